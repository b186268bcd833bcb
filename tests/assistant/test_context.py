"""What a message means in its conversation, decided without a model."""

from __future__ import annotations

import pytest

from assistant.context import acknowledges, chosen, is_correction, is_short, names_other, only_slots, parts, read_in_context
from assistant.records import IntentGuess, Understanding


def seen(*guesses: tuple[str, float], out_of_scope: float = 0.0) -> Understanding:
    return Understanding("en", tuple(IntentGuess(name, chance) for name, chance in guesses), out_of_scope)


@pytest.mark.parametrize(
    "text",
    [
        "[ORDER_1]",
        "its [ORDER_1]",
        "it’s [ORDER_1]",
        "My order number is [ORDER_1], thank you",
        "Hello, here you go: [ORDER_12].",
        "订单号[ORDER_1]",
        "我的订单编号是[ORDER_1]，谢谢",
        "[ORDER_1] and my e-mail is [EMAIL_1]",
    ],
)
def test_a_bare_number_is_an_answer(text: str) -> None:
    assert only_slots(text)


@pytest.mark.parametrize(
    "text", ["cancel [ORDER_1]", "[ORDER_1] arrived broken", "取消[ORDER_1]", "order number", "", "is it [ORDER_1] that you lost"]
)
def test_a_number_in_a_request_is_no_bare_number(text: str) -> None:
    assert not only_slots(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How do I pay? And when will it come?", ("How do I pay?", "And when will it come?")),
        ("how do i pay and when will it come", ("how do i pay", "when will it come")),
        ("怎么付款？另外保修多久？", ("怎么付款？", "保修多久？")),
        ("It costs 14.90 euro, is that right", ()),
        ("see https://a.example/help.html for my case", ()),
        ("Just one question", ()),
        ("", ()),
        ("?!?!?!?!", ()),
        ("how does it work? " * 200, ()),
    ],
)
def test_several_questions_are_cut_apart_and_numbers_and_links_are_not(text: str, expected: tuple[str, ...]) -> None:
    assert parts(text) == expected


@pytest.mark.parametrize("text", ["no, the other order", "Sorry, typo", "I meant the vacuum", "不对，是另一个订单", "打错了"])
def test_corrections_are_recognised(text: str) -> None:
    assert is_correction(text)


@pytest.mark.parametrize("text", ["Is my order on its way?", "It does not charge", "我想退货", ""])
def test_questions_are_no_corrections(text: str) -> None:
    assert not is_correction(text)


@pytest.mark.parametrize("text", ["ok", "OK!", "okay.", "hmm", "好的", "嗯嗯", "知道了。"])
def test_an_acknowledgement_is_recognised(text: str) -> None:
    assert acknowledges(text)


@pytest.mark.parametrize("text", ["", "ok but when", "好的，那退款呢", "okra", "?"])
def test_more_than_an_acknowledgement_is_none(text: str) -> None:
    assert not acknowledges(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("the first one", 0),
        ("First please", 0),
        ("2", 1),
        ("the latter", 1),
        ("第一个", 0),
        ("后者", 1),
        ("first my order", None),
        ("", None),
    ],
)
def test_one_of_two_readings_is_picked_by_its_place(text: str, place: int | None) -> None:
    assert chosen(text) == place


def test_the_other_order_is_told_from_other_things() -> None:
    assert names_other("no, the other one") and names_other("是另一个订单")
    assert not names_other("another question") and not names_other("on the other hand")


def test_a_long_message_stands_alone() -> None:
    assert is_short("and if it is opened?") and is_short("那拆封了呢？")
    assert not is_short("word " * 13) and not is_short("我想问一下" * 5)


def test_a_correction_without_a_topic_is_a_question() -> None:
    assert read_in_context("no, the other one", seen(("returns", 0.3)), None, (), None, sure=0.5).kind == "question"


def test_a_corrected_detail_stays_on_the_topic_and_a_rejected_answer_does_not() -> None:
    unclear = seen(("recordings", 0.04), out_of_scope=0.6)
    detail = read_in_context("Mill Close I mean, not Lane. Sorry!", unclear, None, (), "change_address", sure=0.5)
    assert (detail.kind, detail.main.intents[0].name, detail.main.out_of_scope) == ("correction", "change_address", 0.0)
    rejected = read_in_context("no, that's not what I asked", unclear, None, (), "change_address", sure=0.5)
    assert rejected.kind == "question"


def test_ok_repeats_what_was_asked_for_and_thanks_for_what_was_answered() -> None:
    current = seen(("greeting", 0.9))
    awaited = read_in_context("ok", current, None, (), "order_status", sure=0.5, awaited=True)
    assert (awaited.kind, awaited.main.intents[0].name) == ("slot", "order_status")
    answered = read_in_context("ok", current, None, (), "order_status", sure=0.5)
    assert (answered.kind, answered.main.intents[0].name) == ("social", "thanks")


def test_a_clear_new_question_leaves_the_topic() -> None:
    current, joined = seen(("payment", 0.95)), seen(("returns", 0.9), ("payment", 0.1))
    reading = read_in_context("do you take paypal?", current, joined, (), "returns", sure=0.5)
    assert (reading.kind, reading.main.intents[0].name) == ("question", "payment")


def test_an_unclear_message_is_read_behind_the_one_before() -> None:
    current, joined = seen(("setup", 0.3), ("returns", 0.2)), seen(("returns", 0.9))
    reading = read_in_context("and if it's opened?", current, joined, (), "returns", sure=0.5)
    assert (reading.kind, reading.main.intents[0].name) == ("follow_up", "returns")
    assert sum(guess.confidence for guess in reading.main.intents) <= 1.0 + 1e-9


def test_courtesy_beside_a_question_does_not_hide_it() -> None:
    question = seen(("return_label", 0.95))
    reading = read_in_context(
        "Thanks! And the label?", seen(("thanks", 0.9)), None, (seen(("thanks", 0.99)), question), None, sure=0.5
    )
    assert reading.kind == "question" and reading.main is question


def test_the_same_question_twice_is_answered_once() -> None:
    piece = seen(("payment", 0.95))
    assert read_in_context("pay? pay?", piece, None, (piece, piece), None, sure=0.5).others == ()


def test_what_only_looks_like_courtesy_is_none() -> None:
    reading = read_in_context("dfg", seen(("thanks", 0.59), ("payment", 0.1)), None, (), None, sure=0.5)
    assert reading.kind == "question" and [guess.name for guess in reading.main.intents] == ["payment"]
    assert read_in_context("help", seen(("thanks", 0.95)), None, (), None, sure=0.5).kind == "question"
    assert read_in_context("a" * 8000, seen(("greeting", 0.98)), None, (), None, sure=0.5).kind == "question"


@pytest.mark.parametrize(
    ("text", "name"), [("thanks a lot", "thanks"), ("Hiya", "greeting"), ("再见啦", "goodbye"), ("no, that's all", "goodbye")]
)
def test_courteous_words_are_courtesy(text: str, name: str) -> None:
    assert read_in_context(text, seen((name, 0.7)), None, (), None, sure=0.5).kind == "social"


def test_nothing_understood_is_no_error() -> None:
    assert read_in_context("what?", seen(), seen(), (seen(), seen()), "returns", sure=0.5).main.intents == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Thanks! And how do I pay?", ("And how do I pay?",)),
        ("thanks, and how can I pay?", ("how can I pay?",)),
        ("谢谢！怎么付款？", ("怎么付款？",)),
        ("My camera is broken. What now?", ()),
        ("Thanks!", ()),
    ],
)
def test_a_question_beside_courtesy_is_read_by_itself(text: str, expected: tuple[str, ...]) -> None:
    assert parts(text) == expected


def test_what_was_unclear_is_read_again_with_what_came_after() -> None:
    alone, together = seen(("change", 0.2)), seen(("order_status", 0.9))
    reading = read_in_context("[ORDER_1]", alone, together, (), None, sure=0.5)
    assert (reading.kind, reading.main.intents[0].name) == ("follow_up", "order_status")
    unsure = read_in_context("the stuff", alone, seen(("order_status", 0.4)), (), None, sure=0.5)
    assert (unsure.kind, unsure.main.intents[0].name) == ("question", "change")


def test_a_question_of_its_own_is_not_drawn_to_the_topic_by_its_first_word() -> None:
    current, joined = seen(("plus_cancel", 0.5), ("start_return", 0.2)), seen(("order_status", 0.48))
    reading = read_in_context("怎么退货？", current, joined, (), "order_status", sure=0.5)
    assert (reading.kind, reading.main.intents[0].name) == ("question", "plus_cancel")
