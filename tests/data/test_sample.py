"""The sample company: reproducible, as large and varied as promised, and nothing held back in what is learned from."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from finetune.examples import SENTIMENTS, read_labelled

DATA = Path(__file__).resolve().parents[2] / "data"
SAMPLE = DATA / "sample"
DELIVERY = {"delivery_late", "order_status", "marked_delivered_not_received", "reschedule_delivery"}
BAD_WEEK = date(2026, 3, 9)
EMOTIONS = ("anger", "disappointment", "confusion", "gratitude")


def rows(name: str) -> list[dict[str, Any]]:
    path = SAMPLE / name
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


@pytest.fixture(scope="module")
def conversations() -> list[dict[str, Any]]:
    return rows("conversations.jsonl.gz")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(DATA / "make_sample.py"), *arguments], capture_output=True, text=True, check=False)


def plain(text: str) -> str:
    return re.sub(r"\W+", "", text).lower()


def pieces(text: str) -> set[tuple[str, ...]]:
    """Word triples; of a text mostly in Chinese characters, runs of four."""
    words = re.findall(r"[\u4e00-\u9fff]|[a-z0-9_']+", text.lower())
    size = 4 if 2 * sum("\u4e00" <= word <= "\u9fff" for word in words) > len(words) else 3
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


def echoes(texts: Iterable[str], known: Iterable[str]) -> list[tuple[str, str]]:
    """Texts that stand in ``known``, or share half of their pieces with one text there, each with that text."""
    others = list(dict.fromkeys(known))
    same = {plain(other): other for other in others}
    holders: dict[tuple[str, ...], list[int]] = {}
    for number, other in enumerate(others):
        for piece in pieces(other):
            holders.setdefault(piece, []).append(number)
    found = []
    for text in texts:
        mine = pieces(text)
        shared = Counter(number for piece in mine for number in holders.get(piece, ()))
        if plain(text) in same:
            found.append((text, same[plain(text)]))
        elif shared and 2 * shared.most_common(1)[0][1] >= len(mine):
            found.append((text, others[shared.most_common(1)[0][0]]))
    return found


def feelings(name: str) -> list[dict[str, Any]]:
    return [row for row in rows(f"{name}/sentiment.jsonl") if "emotions" in row]


def openings(conversations: list[dict[str, Any]]) -> list[str]:
    return [next(turn["text"] for turn in row["turns"] if turn["role"] == "customer") for row in conversations]


def test_the_script_writes_the_committed_sample_again(tmp_path: Path) -> None:
    done = make("--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    committed = sorted(path.relative_to(SAMPLE) for path in SAMPLE.rglob("*") if path.is_file())
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()) == committed
    for path in committed:
        ours, theirs = (SAMPLE / path).read_bytes(), (tmp_path / path).read_bytes()
        if path.suffix == ".gz":
            # Another build of zlib may pack the same text differently.
            ours, theirs = gzip.decompress(ours), gzip.decompress(theirs)
        assert ours == theirs, f"{path} differs; run python data/make_sample.py and commit"


def test_there_are_enough_articles_intents_and_utterances() -> None:
    assert len(list((SAMPLE / "articles").rglob("*.md"))) >= 60
    train = rows("train/intent.jsonl")
    for lang in ("en", "zh"):
        counts = Counter(row["label"] for row in train if row["lang"] == lang and row["label"] != "oos")
        assert sum(count >= 25 for count in counts.values()) >= 40
    assert len({row["intent"] for row in rows("templates.jsonl") if row["text"] and row["title"]}) >= 40


def test_held_back_sets_have_their_size() -> None:
    assert len(rows("heldback/questions.jsonl")) == 300
    assert len(rows("heldback/none_of_its_business.jsonl")) == 150
    assert rows("heldback/conversations.jsonl")
    assert Counter(row["lang"] for row in rows("heldback/sentiment.jsonl")) == {"en": 220, "zh": 180}


@pytest.mark.parametrize(("name", "en", "zh"), [("train", 450, 350), ("validation", 90, 60), ("heldback", 220, 180)])
def test_feelings_are_balanced_and_labelled_with_known_names(name: str, en: int, zh: int) -> None:
    for lang, least in (("en", en), ("zh", zh)):
        mine = [row for row in feelings(name) if row["lang"] == lang]
        assert len(mine) >= least
        shares = {label: count / len(mine) for label, count in Counter(row["label"] for row in mine).items()}
        assert shares == pytest.approx({"negative": 0.4, "neutral": 0.35, "positive": 0.25}, abs=0.03)
        for emotion in EMOTIONS:
            assert sum(emotion in row["emotions"] for row in mine) >= 5, (lang, emotion)
    for row in feelings(name):
        assert row["emotions"] == [emotion for emotion in EMOTIONS if emotion in row["emotions"]], row
        assert set(re.findall(r"\[([A-Z]+)_\d\]", row["text"])) <= {"ORDER", "TRACKING", "EMAIL", "NAME", "PHONE"}, row
        assert "⏎" not in row["text"]


def test_the_trainer_reads_sentiment_rows_that_name_emotions() -> None:
    for name in ("train", "validation", "heldback"):
        read = read_labelled(SAMPLE / name / "sentiment.jsonl", sentiment=True)
        assert [row.text for row in read] == [row["text"] for row in rows(f"{name}/sentiment.jsonl")]
        assert {row.label for row in read} == set(SENTIMENTS)


def test_every_message_with_feelings_is_its_own() -> None:
    texts = [plain(row["text"]) for name in ("train", "validation", "heldback") for row in feelings(name)]
    assert not [text for text, count in Counter(texts).items() if count > 1]
    assert len({row["id"] for row in rows("heldback/sentiment.jsonl")}) == 400


def test_no_held_back_feeling_is_learned_from_or_chosen_by(conversations: list[dict[str, Any]]) -> None:
    learned = [row["text"] for path in SAMPLE.glob("[tv]*/*.jsonl") for row in rows(str(path.relative_to(SAMPLE)))]
    learned += [turn["text"] for row in conversations for turn in row["turns"]]
    assert len(learned) > 20_000
    assert not echoes((row["text"] for row in rows("heldback/sentiment.jsonl")), learned)
    # The check must see what it is for: a learned text, and one with two words put before it.
    longest = max(learned, key=len)
    assert len(echoes([longest.upper(), f"so then {longest}", "words nobody ever wrote"], learned)) == 2


def test_validation_feelings_are_not_learned_from() -> None:
    # Of a message of three or four words one triple is half, so that only longer ones are compared by pieces.
    mine = [row["text"] for row in feelings("validation") if len(pieces(row["text"])) > 2]
    assert not echoes(mine, [row["text"] for row in rows("train/sentiment.jsonl")])


def test_conversations_cover_twelve_months_in_two_languages(conversations: list[dict[str, Any]]) -> None:
    assert len(conversations) >= 2400
    assert len({row["started_at"][:7] for row in conversations}) == 12
    assert Counter(row["lang"] for row in conversations)["zh"] > 800
    assert {row["channel"] for row in conversations} == {"chat", "email", "widget"}
    assert len({row["id"] for row in conversations}) == len(conversations)
    assert 0.1 < sum(not row["resolved"] for row in conversations) / len(conversations) < 0.2


def test_turns_run_forward_in_time_and_hold_no_placeholder(conversations: list[dict[str, Any]]) -> None:
    for row in conversations:
        times = [turn["at"] for turn in row["turns"]]
        assert times == sorted(times), row["id"]
        for turn in row["turns"]:
            assert turn["text"].strip() == turn["text"] != "", row["id"]
            assert not re.search(r"\{[a-z_]+\}|<[^<>]+>", turn["text"]), (row["id"], turn["text"])


def test_a_customer_is_not_asked_for_an_order_number_twice_or_in_vain(conversations: list[dict[str, Any]]) -> None:
    number = re.compile(r"fw[- ]?\d{6}", re.I)
    for row in conversations:
        said = [turn for turn in row["turns"] if turn["role"] == "customer" and number.search(turn["text"])]
        assert len(said) <= 1, row["id"]
        assert len({re.sub(r"\D", "", found) for turn in row["turns"] for found in number.findall(turn["text"])}) <= 1, row["id"]


def test_ratings_follow_what_happened(conversations: list[dict[str, Any]]) -> None:
    def mean(resolved: bool) -> float:
        ratings = [row["rating"] for row in conversations if row["resolved"] is resolved and row["rating"]]
        return sum(ratings) / len(ratings)

    assert mean(True) > 3.5
    assert mean(False) < 2.2
    assert 0.4 < sum(row["rating"] is None for row in conversations) / len(conversations) < 0.6


def test_openings_do_not_share_a_skeleton(conversations: list[dict[str, Any]]) -> None:
    english = [text for text, row in zip(openings(conversations), conversations, strict=True) if row["lang"] == "en"]
    starts = Counter(" ".join(text.lower().split()[:5]) for text in english if len(text.split()) >= 5)
    assert sum(count for count in starts.values() if count > 1) / sum(starts.values()) < 0.02
    assert len({plain(text) for text in openings(conversations)}) / len(conversations) > 0.99


def test_nothing_held_back_is_learned_from(conversations: list[dict[str, Any]]) -> None:
    held = {plain(row["text"]) for name in ("questions", "none_of_its_business") for row in rows(f"heldback/{name}.jsonl")}
    # A bare greeting or thanks may stand anywhere; anything longer must not.
    talks = rows("heldback/conversations.jsonl")
    held |= {plain(turn) for row in talks for turn in row["turns"] if len(plain(turn)) > 18}
    learned = [row["text"] for name in ("intent", "sentiment", "slots") for row in rows(f"train/{name}.jsonl")]
    learned += [turn["text"] for row in conversations for turn in row["turns"]]
    assert not held & {plain(text) for text in learned}


def test_validation_rows_are_not_in_training() -> None:
    for name in ("intent", "sentiment", "slots"):
        train = {plain(row["text"]) for row in rows(f"train/{name}.jsonl")}
        shared = [
            row["text"] for row in rows(f"validation/{name}.jsonl") if plain(row["text"]) in train and len(plain(row["text"])) > 8
        ]
        assert not shared


def test_the_bad_week_stands_out_in_both_languages(conversations: list[dict[str, Any]]) -> None:
    for lang in ("en", "zh"):
        days = Counter(row["started_at"][:10] for row in conversations if row["intent"] in DELIVERY and row["lang"] == lang)

        def week(start: date, days: Counter[str] = days) -> int:
            return sum(days[(start + timedelta(days=day)).isoformat()] for day in range(7))

        neighbours = [week(BAD_WEEK + timedelta(weeks=weeks)) for weeks in range(-6, 7) if weeks]
        assert week(BAD_WEEK) > 3 * sum(neighbours) / len(neighbours)
        assert week(BAD_WEEK) > max(neighbours)
    said = [turn["text"] for row in conversations for turn in row["turns"] if turn["role"] == "agent"]
    assert sum("Duisburg" in text for text in said) >= 3
    assert sum("杜伊斯堡" in text for text in said) >= 2


def test_slot_spans_point_at_words() -> None:
    for name in ("train", "validation"):
        for row in rows(f"{name}/slots.jsonl"):
            end_before = 0
            for start, end, slot in row["spans"]:
                assert slot in {"product", "date", "city", "amount"}
                assert end_before <= start < end <= len(row["text"]), row
                assert row["text"][start:end].strip() == row["text"][start:end], row
                end_before = end


@pytest.mark.parametrize(
    ("section", "line", "complaint"),
    [
        ("[openings.en]", "where is the bar in this line", "mood and a bar"),
        ("[openings.zh]", "bad | 心情写错了", "mood and a bar"),
        ("[utterances.en]", "my <doorbell is open", "stray angle bracket"),
        ("[utterances.zh]", "我的{订单}呢", "unknown placeholder"),
        ("[followups.en]", "a question without an answer", "question => answer"),
        ("[replies.en]", "an order {order_number", "stray brace"),
        ("[template.en]", "a second template", "one line only"),
        ("[greetings.en]", "hello", "unknown section"),
    ],
)
def test_a_malformed_source_line_is_refused_with_its_place(tmp_path: Path, section: str, line: str, complaint: str) -> None:
    source = tmp_path / "source"
    shutil.copytree(DATA / "source", source)
    broken = source / "intents" / "order_status.txt"
    lines = broken.read_text(encoding="utf-8").rstrip("\n").split("\n")
    broken.write_text("\n".join([*lines, section, line]) + "\n", encoding="utf-8")
    done = make("--source", str(source), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    place = len(lines) + (1 if "unknown section" in complaint else 2)
    assert f"order_status.txt:{place}: " in done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_missing_or_unreadable_source_is_named(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(DATA / "source", source)
    (source / "intents" / "gift_card.txt").write_bytes(b"[utterances.en]\n\xff\xfe")
    assert "gift_card.txt:1: not UTF-8" in make("--source", str(source), "--out", str(tmp_path / "out")).stderr
    (source / "intents" / "gift_card.txt").unlink()
    assert "gift_card.txt:1: the file is missing" in make("--source", str(source), "--out", str(tmp_path / "out")).stderr


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("sad | no such mood", "mood and a bar"),
        ("neg ang no bar at all", "mood and a bar"),
        ("neg joy | no such emotion", "emotions are ang, dis, con, gra"),
        ("neg ang ang | an emotion twice", "each once"),
        ("neu | ok", "the same text twice"),
    ],
)
def test_a_malformed_message_is_refused_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    source = tmp_path / "source"
    shutil.copytree(DATA / "source", source)
    broken = source / "heldback" / "sentiment.yaml"
    broken.write_text(f"# head\nen:\n  kind: |\n    neu | ok\n\n    {text}\n", encoding="utf-8")
    done = make("--source", str(source), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "sentiment.yaml:6: " in done.stderr
    assert complaint in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "sentiment.yaml:1: a language holds kinds"),
        ("fr:\n  kind: |\n    neu | oui\n", "sentiment.yaml:1: unknown language 'fr'"),
        ("en:\n  kind: neu | ok\n", "sentiment.yaml:2: kind must hold lines"),
        ("en:\n  kind: |\n    neu | ok\n 2 }\n", "not YAML"),
        ("en: {}\n", "sentiment.yaml:1: the file holds no message"),
    ],
)
def test_a_file_of_messages_in_another_form_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    source = tmp_path / "source"
    shutil.copytree(DATA / "source", source)
    (source / "heldback" / "sentiment.yaml").write_text(text, encoding="utf-8")
    done = make("--source", str(source), "--out", str(tmp_path / "out"))
    assert done.returncode == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
