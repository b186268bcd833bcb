"""The frozen holdout: read back as written, free of what was erased, and never made of what was trained on."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from assistant.errors import TrainingError
from finetune.harvested import Example, Pair
from finetune.holdout import (
    LEAST_HALVED,
    Holdout,
    Row,
    calibrating,
    held_again,
    hold_out,
    key_of,
    prune_holdout,
    read_holdout,
    without,
    write_holdout,
)

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


def example(number: int, ref: str | None = None, text: str | None = None) -> Example:
    at = NOON + timedelta(minutes=number)
    return Example(
        text or f"question number {number}", "late", f"transcript:s/{number}" if ref is None else ref, "en", at, "action"
    )


def pair(number: int, question: str = "Where is it", ref: str = "") -> Pair:
    context = (("bot", f"Hello {number}"), ("customer", question))
    return Pair(context, f"It is at depot {number}.", ref or f"transcript:s/{number}", NOON, "en")


def own(row: Row) -> str | None:
    return row.ref


@pytest.mark.parametrize("rows", [[example(1), example(2, text="在哪里？\u2028是")], [pair(1), pair(2)]])
def test_rows_are_read_back_as_they_were_written(tmp_path: Path, rows: list[Row]) -> None:
    path = tmp_path / "new" / "intent.jsonl"
    write_holdout(path, rows)
    found = read_holdout(path, own)
    assert [(row.text, row.ref, row.at, row.lang) for row in found] == [(row.text, row.ref, row.at, row.lang) for row in rows]
    assert [key_of(row) for row in found] == [key_of(row) for row in rows]


def test_no_file_is_an_empty_holdout(tmp_path: Path) -> None:
    assert read_holdout(tmp_path / "none.jsonl", own) == []


@pytest.mark.parametrize(
    "line", ["{", "[]", "7", '{"text": "a"}', '{"text": "", "label": "x"}', '{"reply": "a"}', '{"context": [], "reply": "a"}']
)
def test_a_faulty_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "intent.jsonl"
    path.write_text(f'{{"text": "fine", "label": "x"}}\n\n{line}\n')
    with pytest.raises(TrainingError, match=r"intent\.jsonl:3: is no holdout row"):
        read_holdout(path, own)


def test_rows_of_an_erased_conversation_go_those_of_the_company_stay_and_moved_ones_follow(tmp_path: Path) -> None:
    path = tmp_path / "intent.jsonl"
    write_holdout(path, [example(1), example(2), example(3), example(4, ref="")])
    moved = {"transcript:s/1": "transcript:s/1", "transcript:s/3": "transcript:new/3", "transcript:new/3": "transcript:new/3"}

    def find(row: Row) -> str | None:
        return moved.get(row.ref)

    assert [row.ref for row in read_holdout(path, find)] == ["transcript:s/1", "transcript:new/3", ""]
    assert prune_holdout(path, find) == 1
    assert "number 2" not in path.read_text() and prune_holdout(path, find) == 0
    assert [json.loads(line)["ref"] for line in path.read_text().splitlines()] == ["transcript:s/1", "transcript:new/3", ""]


def test_neither_text_nor_conversation_stands_on_both_sides() -> None:
    rows = [example(1, text="QUESTION number 9!"), example(2, ref="transcript:s/9"), example(3), example(4, ref="")]
    assert without(rows, [example(9)]) == rows[2:]
    assert without([pair(1, ref="transcript:s/7"), pair(2)], [pair(1)]) == [pair(2)]  # same words, another greeting before


def test_the_newest_conversations_are_held_out_of_those_no_champion_knows() -> None:
    new = [example(number) for number in range(40)]
    taught = {key_of(example(39)), key_of(example(38))}
    held = hold_out([*new, example(90, ref="")], [example(37)], taught, {"transcript:s/36"}, 0.15, 1)
    assert held == new[31:36]
    assert hold_out(new[:1], [], set(), set(), 0.15, 1) == []


def test_what_a_champion_labelled_itself_never_judges_it() -> None:
    agreed = [replace(example(number), trust="agreement") for number in range(40, 80)]
    assert hold_out(agreed, [], set(), set(), 0.15, 20) == []
    held = hold_out([*agreed, *(example(number) for number in range(40))], [], set(), set(), 0.25, 1)
    assert len(held) == 10 and all(row.trust == "action" for row in held if isinstance(row, Example))


def test_the_first_holdout_may_take_more_to_have_enough_to_judge_by() -> None:
    new = [example(number) for number in range(60)]
    assert len(hold_out(new, [], set(), set(), 0.1, 20)) == 20
    assert len(hold_out(new, [], set(), set(), 0.1, 50)) == 24  # two in five at most
    assert len(hold_out(new, [example(100 + n) for n in range(50)], set(), set(), 0.1, 50)) == 6


def test_a_choice_is_made_once_and_holds_no_customers_words(tmp_path: Path) -> None:
    rows = [example(number) for number in range(9)]
    path = tmp_path / "run" / "held.json"
    assert held_again(rows, path, lambda: rows[6:]) == rows[6:]
    assert held_again(rows[:8], path, lambda: pytest.fail("chosen twice")) == rows[6:8]
    assert "question" not in path.read_text()
    path.write_text("{}")
    with pytest.raises(TrainingError, match="delete it"):
        held_again(rows, path, lambda: rows)


def test_freezing_twice_changes_nothing_and_few_frozen_rows_are_helped_out(tmp_path: Path) -> None:
    path = tmp_path / "intent.jsonl"
    before, tonight = (example(1),), (example(2), example(3))
    for _ in range(2):
        Holdout(path, before, tonight).freeze()
    assert len(path.read_text().splitlines()) == 3
    assert Holdout(path, before, tonight).judged == before
    assert Holdout(path, before, tonight, least=2).judged == (*before, *tonight)
    assert Holdout(path, (), tonight).judged == tonight


def test_half_of_a_large_holdout_calibrates_and_always_the_same_half() -> None:
    rows = [Example(f"question number {n}", "a", "", "en", None, "person") for n in range(400)]
    half = calibrating(rows)
    assert 150 < len(half) < 250
    grown = calibrating([*rows[::-1], *(Example(f"later {n}", "b", "", "en", None, "person") for n in range(100))])
    assert set(half) == {row for row in grown if row.text.startswith("question")}
    assert calibrating(rows[: LEAST_HALVED - 1]) == ()
