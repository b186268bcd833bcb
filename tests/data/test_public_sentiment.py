"""Labels of public chats: every key finds its text, both sides have all labels, and the draw can be repeated."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PUBLIC = ROOT.parent / "shared" / "data"
SOURCES = ("multidogo", "star", "irc_tech_support", "cucom_ecommerce")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script as a module: ``data`` is no package."""
    spec = importlib.util.spec_from_file_location("public_sentiment", ROOT / "data" / "public_sentiment.py")
    assert spec and spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(source: str) -> list[dict[str, str]]:
    path = ROOT / "data" / "source" / "sentiment_public" / f"{source}.csv"
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def write_chats(folder: Path, source: str, turns: list[tuple[str, str]]) -> None:
    (folder / source).mkdir()
    record = {"turns": [{"role": role, "text": text} for role, text in turns]}
    with gzip.open(folder / source / "dialogues.jsonl.gz", "wt", encoding="utf-8") as lines:
        lines.write(json.dumps(record) + "\n")


def write_labels(folder: Path, *lines: str) -> None:
    (folder / "star.csv").write_text("\n".join(("key,label,emotions,side", *lines)) + "\n", encoding="utf-8")


@pytest.mark.parametrize("source", SOURCES)
def test_a_labels_file_holds_keys_and_labels_and_never_a_text(source: str) -> None:
    for row in rows(source):
        assert list(row) == ["key", "label", "emotions", "side"]
        assert re.fullmatch("[0-9a-f]{16}", row["key"])
        assert re.fullmatch("negative|neutral|positive", row["label"])
        assert re.fullmatch(r"(anger|disappointment|confusion|gratitude|\||)*", row["emotions"])


@pytest.mark.parametrize("source", SOURCES)
def test_both_sides_of_a_source_have_all_three_labels_and_no_key_stands_twice(source: str, script: ModuleType) -> None:
    found = rows(source)
    assert len({row["key"] for row in found}) == len(found) == 300
    assert all(row["side"] == script.side_of(row["key"]) for row in found)
    counts = Counter((row["side"], row["label"]) for row in found)
    assert min(counts[side, label] for side in script.SIDES for label in script.LABELS) >= 10


@pytest.mark.parametrize("source", SOURCES)
def test_every_key_is_found_in_the_public_data_and_is_drawn_again_by_the_rule(source: str, script: ModuleType) -> None:
    if not (PUBLIC / source).is_dir():
        pytest.skip(f"{PUBLIC / source} is not there")
    messages = script.labelled(source, PUBLIC)
    assert all(script.key_of(one.text) == one.key and 2 <= len(one.text.split()) <= 60 for one in messages)
    assert {one.key for one in messages} == set(script.draw(source, script.candidates(source, PUBLIC)))


def test_candidates_are_customers_texts_of_two_to_sixty_words_each_once(tmp_path: Path, script: ModuleType) -> None:
    write_chats(
        tmp_path,
        "star",
        [
            ("customer", "good day "),
            ("agent", "good evening"),
            ("customer", "good day"),
            ("customer", "hm"),
            ("customer", "so " * 61),
        ],
    )
    assert list(script.candidates("star", tmp_path).values()) == ["good day"]


def test_the_brand_is_masked(tmp_path: Path, script: ModuleType) -> None:
    write_chats(tmp_path, "cucom_ecommerce", [("customer", "is Amazon India open")])
    assert list(script.candidates("cucom_ecommerce", tmp_path).values()) == ["is the shop open"]


def test_labels_are_joined_with_their_texts(tmp_path: Path, script: ModuleType) -> None:
    write_chats(tmp_path, "star", [("customer", "what a day"), ("customer", "never labelled")])
    write_labels(tmp_path, f"{script.key_of('what a day')},negative,anger|disappointment,judge")
    (one,) = script.labelled("star", tmp_path, tmp_path)
    assert (one.text, one.label, one.emotions, one.side) == ("what a day", "negative", ("anger", "disappointment"), "judge")


@pytest.mark.parametrize(
    "row", ["{key},cross,,judge", "{key},neutral,envy,judge", "{key},neutral,,test", "0000000000000000,neutral,,judge"]
)
def test_a_row_that_cannot_be_used_is_refused_with_its_line(row: str, tmp_path: Path, script: ModuleType) -> None:
    write_chats(tmp_path, "star", [("customer", "what a day"), ("customer", "what a night")])
    write_labels(tmp_path, f"{script.key_of('what a night')},neutral,,train", row.format(key=script.key_of("what a day")))
    with pytest.raises(ValueError, match=r"star\.csv:3: .*(fetch the data again|mend the row)"):
        script.labelled("star", tmp_path, tmp_path)


def test_a_key_that_stands_twice_is_refused(tmp_path: Path, script: ModuleType) -> None:
    write_chats(tmp_path, "star", [("customer", "what a day")])
    write_labels(tmp_path, *[f"{script.key_of('what a day')},neutral,,judge"] * 2)
    with pytest.raises(ValueError, match="repeats a key"):
        script.labelled("star", tmp_path, tmp_path)
