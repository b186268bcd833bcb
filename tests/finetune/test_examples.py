"""Labelled files in every documented form are read; a faulty row is named by file and line."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from assistant.errors import TrainingError
from finetune.examples import Labelled, Tagged, check_labels, digest, read_labelled, read_tagged, split, split_texts, unleaked

ROWS = [Labelled("where is it", "status"), Labelled('a "quoted", text\nof two lines', "complaint"), Labelled("退款", "refund")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.csv", "a.csv.gz", "a.tsv"])
def test_every_form_gives_the_same_examples(tmp_path: Path, name: str) -> None:
    if "jsonl" in name:
        text = "\n\n".join(json.dumps({"text": row.text, "label": row.label, "lang": "en"}) for row in ROWS)
    else:
        comma = "\t" if "tsv" in name else ","
        text = f"text{comma}intent\r\n" + "".join(
            '"{}"{}{}\r\n'.format(row.text.replace('"', '""'), comma, row.label) for row in ROWS
        )
    content = ("\ufeff" + text).encode()  # as spreadsheets save it
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    assert read_labelled(tmp_path / name) == ROWS


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("a.jsonl", '{"text": "a", "label": "b"}\n{"text": "a"}', "a.jsonl:2"),
        ("a.jsonl", '\n\n{"text": " ", "label": "b"}', "a.jsonl:3"),
        ("a.jsonl", '{"text": "a", "label": 5}', "a.jsonl:1"),
        ("a.jsonl", '{"text": "a", "label": "b"}\nnot json', "a.jsonl:2: not valid JSON"),
        ("a.jsonl", "[1]", "a.jsonl:1: expected a JSON object, got list"),
        ("a.jsonl", "[" * 100_000, "a.jsonl:1"),
        ("a.csv", "text,label\na,b\nc,\n", "a.csv:3"),
        ("a.csv", "text,label\na\n", "a.csv:2"),
        ("a.csv", "question,label\na,b\n", "a.csv:2"),
        ("a.csv", "text,label\n", "no examples"),
        ("a.jsonl", "", "no examples"),
    ],
)
def test_the_first_faulty_row_is_named(tmp_path: Path, name: str, content: str, where: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(TrainingError, match=where):
        read_labelled(tmp_path / name)


PACKED = gzip.compress(b'{"text": "a", "label": "b"}\n' * 200, mtime=0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b'{"text": "\xff"}'),
        ("a.jsonl.gz", b"no gzip"),
        ("a.jsonl.gz", PACKED[:-20]),
        ("a.jsonl.gz", PACKED[:14] + b"\xff" * 12 + PACKED[26:]),
        ("a.csv", b'text,label\n"' + b"x" * 200_000),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TrainingError, match=name):
        read_labelled(tmp_path / name)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"gone\.jsonl: cannot be read \(No such file"):
        read_labelled(tmp_path / "gone.jsonl")
    with pytest.raises(TrainingError, match="check the path"):
        read_labelled(tmp_path)


def test_sentiments_have_three_names_and_short_forms(tmp_path: Path) -> None:
    file = tmp_path / "s.csv"
    file.write_text("text,label\na,NEG\nb,neutral\nc,Pos\n")
    assert [row.label for row in read_labelled(file, sentiment=True)] == ["negative", "neutral", "positive"]
    file.write_text("text,label\na,neg\nb,angry\n")
    with pytest.raises(TrainingError, match=r"s\.csv:3: label 'angry' is none of negative, neutral, positive"):
        read_labelled(file, sentiment=True)


def test_tagged_rows_are_read_from_both_forms(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "my vac 5", "spans": [[3, 8, "product"]]}\n{"text": "hi"}\n')
    assert read_tagged(tmp_path / "a.jsonl") == [Tagged("my vac 5", ((3, 8, "product"),)), Tagged("hi", ())]
    (tmp_path / "a.csv").write_text('text,spans\nmy vac 5,"[[3, 8, ""product""]]"\n')
    assert read_tagged(tmp_path / "a.csv") == [Tagged("my vac 5", ((3, 8, "product"),))]


@pytest.mark.parametrize(
    "spans",
    ["[[3, 9, 'p']]", "[[3, 3, 'p']]", "[[-1, 2, 'p']]", "[[0, 2]]", "5", "'x'", "[[0, Infinity, 'p']]", "[['a', 2, 'p']]",
     "[[0, 4, 'p'], [3, 8, 'q']]", "null"],
)  # fmt: skip
def test_spans_that_cannot_be_are_named(tmp_path: Path, spans: str) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "ok"}\n{"text": "my vac 5", "spans": ' + spans.replace("'", '"') + "}")
    with pytest.raises(TrainingError, match=r"a\.jsonl:2"):
        read_tagged(file)


def test_the_split_holds_a_share_of_every_label_and_repeats() -> None:
    rows = [Labelled(f"{label} {at}", label) for label, count in (("a", 20), ("b", 3), ("c", 1)) for at in range(count)]
    training, validation = split(rows, 0.1, seed=1)
    assert Counter(row.label for row in validation) == {"a": 2, "b": 1}
    assert sorted(map(repr, training + validation)) == sorted(map(repr, rows))
    assert split(rows, 0.1, seed=1) == (training, validation)
    assert split(rows, 0.1, seed=2) != (training, validation)


def test_a_text_that_was_given_often_stands_on_one_side_only() -> None:
    rows = [Labelled(f"{label} {at}", label) for label in "ab" for at in range(20)] * 10 + [Labelled("A  3", "b")]
    training, validation = split(rows, 0.2, seed=1)
    texts = [{" ".join(row.text.lower().split()) for row in side} for side in (training, validation)]
    assert not texts[0] & texts[1] and len(validation) >= 80
    tagged = [Tagged(f"{number}", (), asked) for asked in ("people", "time") for number in range(15)] * 4
    taught, held = split_texts(tagged)
    assert len(held) == 12 and not {(row.text, row.asked) for row in taught} & {(row.text, row.asked) for row in held}


def test_texts_that_are_judged_are_not_trained_on() -> None:
    judged = [Labelled("Where is  my order", "status")]
    training = [Labelled("where IS my order ", "status"), Labelled("where is my orders", "status")]
    assert unleaked(training, judged) == training[1:]


def test_too_few_labels_or_examples_are_named() -> None:
    with pytest.raises(TrainingError, match="only one label"):
        check_labels([Labelled("a", "x"), Labelled("b", "x")])
    with pytest.raises(TrainingError, match="only one label"):
        check_labels([])
    with pytest.raises(TrainingError, match=r"fewer than 2 examples: y \(1\)"):
        check_labels([Labelled("a", "x"), Labelled("b", "x"), Labelled("c", "y")])
    assert check_labels([Labelled(str(at), label) for at, label in enumerate("yxyx")]) == ("x", "y")


def test_the_digest_knows_contents_not_order() -> None:
    assert digest(ROWS) == digest(ROWS[::-1])
    assert digest(ROWS) != digest(ROWS[:2])
    assert digest([Labelled("\ud83d", "x")])
