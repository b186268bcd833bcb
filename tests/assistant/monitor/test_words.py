"""What sets messages apart, which stand for them, which belong together: in English and Chinese."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np

from assistant.monitor.words import LEAST_Z, cut, distinctive, group, phrases, typical

SAMPLE = Path(__file__).resolve().parents[3] / "data" / "sample"
CALM = [f"how do i change the colour of lamp number {number}" for number in range(30)] + [
    "please send an invoice for my order"
] * 15
LATE = [
    "my parcel has not arrived, order [ORDER_1]",
    "parcel still not arrived",
    "the parcel was promised on monday and has not arrived",
    "[NAME_1] here, parcel not arrived",
    "why has my parcel not arrived?",
    "order [ORDER_2]: parcel not arrived after ten days",
]
SPAETER = ["包裹还没到", "快递还没到，三天了", "我的包裹还没到，太失望了", "订单[ORDER_1]还没到"]
RUHIG = ["请问发票怎么开", "滤网可以洗吗", "怎么修改地址", "这个水壶声音大吗"] * 4


def test_the_phrase_that_sets_messages_apart_comes_first() -> None:
    found = distinctive(LATE, CALM)
    assert "arrived" in found[0].text
    assert found[0].count == 6 and found[0].share == 1.0 and found[0].background_share == 0.0
    assert all(one.z > LEAST_Z for one in found)
    assert [one.z for one in found] == sorted((one.z for one in found), reverse=True)


def test_phrases_inside_one_another_are_shown_once() -> None:
    texts = [one.text for one in distinctive(LATE, CALM)]
    assert not any(one != other and f" {one} " in f" {other} " for one in texts for other in texts)
    assert sum("arrived" in text for text in texts) == 1


def test_chinese_phrases_are_whole_and_written_together() -> None:
    texts = [one.text for one in distinctive(SPAETER, RUHIG)]
    assert any("没到" in text for text in texts)
    assert not any(" " in text for text in texts)


def test_placeholders_are_no_words_and_no_phrase_runs_over_them() -> None:
    assert cut("order [ORDER_1] late") == [["order"], ["late"]]
    assert not any("order_1" in " ".join(phrase).lower() for phrase in phrases("[ORDER_1] [ORDER_1] late"))
    assert ("order", "late") not in phrases("order [ORDER_1] late")


def test_negations_are_kept_for_they_are_what_was_said() -> None:
    assert ("not", "arrived") in phrases("it has not arrived")


def test_what_both_sides_say_is_not_told_apart() -> None:
    assert distinctive(["the blue lamp is late"] * 5 + ["red lamp"] * 5, ["the blue lamp is late"] * 50 + ["red lamp"] * 50) == ()


def test_messages_drawn_by_chance_have_hardly_ever_a_word_of_their_own() -> None:
    rows = [json.loads(line) for line in (SAMPLE / "train" / "intent.jsonl").read_text(encoding="utf-8").splitlines()]
    rng, named, draws = random.Random(0), 0, 0
    for topic in ("delivery_late", "refund_status", "battery_charging", "complaint"):
        texts = [row["text"] for row in rows if row["label"] == topic]
        for size in (5, 10, 20):
            for _ in range(10):
                rng.shuffle(texts)
                named += bool(distinctive(texts[:size], texts[size:]))
                draws += 1
    assert named <= 0.05 * draws


def test_one_customer_cannot_write_a_phrase_into_the_list() -> None:
    shouted = ["scam " * 500, "lamp broken", "where is my lamp"]
    assert "scam" not in [one.text for one in distinctive(shouted, CALM)]


def test_without_messages_or_background_nothing_is_said() -> None:
    assert distinctive([], CALM) == () == distinctive(LATE, [])
    assert distinctive(["", "[ORDER_1]"], ["", ""]) == ()


def test_typical_messages_stand_for_the_set_and_are_no_copies() -> None:
    texts = [*LATE, "parcel still not arrived!", "Parcel still not arrived", "do you sell bicycles", ""]
    chosen = typical(texts, k=4)
    assert len(chosen) == 4
    assert "bicycles" not in " ".join(one.text for one in chosen)
    assert sum(one.text.lower().strip("!") == "parcel still not arrived" for one in chosen) == 1
    assert [one.nearness for one in chosen] == sorted((one.nearness for one in chosen), reverse=True)
    assert all(texts[one.place] == one.text for one in chosen)


def test_typical_messages_by_vectors() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0.6, 0.7], [-1, 0.1], [0, 0]], dtype=np.float32)
    chosen = typical(["a", "b", "c", "far", "zero"], k=2, vectors=vectors)
    assert {one.text for one in chosen} == {"b", "c"}


def test_typical_of_little_is_what_there_is() -> None:
    assert typical([]) == () == typical(["", " "])
    assert [one.text for one in typical(["[ORDER_1]", "嗯"])] == ["[ORDER_1]", "嗯"]


def test_questions_that_ask_the_same_are_one_group() -> None:
    texts = [
        "can a school pay by invoice",
        "do you ship to iceland",
        "payment by invoice for schools?",
        "could schools pay by invoice",
        "shipping to iceland possible?",
        "",
    ]
    groups = group(texts)
    assert [one.members for one in groups] == [(0, 2, 3), (1, 4)]
    assert all(one.middle in one.members for one in groups)


def test_grouping_by_vectors_and_of_nothing() -> None:
    vectors = np.array([[1, 0], [0, 1], [0.95, 0.05]], dtype=np.float32)
    assert [one.members for one in group(["a", "b", "c"], 0.9, vectors)] == [(0, 2), (1,)]
    assert group([]) == () == group([" "])
