"""What counts as the same question: paraphrases do, a changed day, product or negation does not."""

from __future__ import annotations

import pytest

from assistant.same_question import LEAST_PAIRS, may_be_same, pairs_in_common, question


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How long is the warranty?", "how long does the warranty last"),
        ("Can I return an opened filter?", "Is it possible to return a filter that was opened?"),
        ("How often must the filter be replaced?", "how often do I need to replace the filter"),
        ("My robot beeps three times and stops", "The robot stops and beeps three times!!"),
        ("My vac won't charge", "the vac does not charge"),
    ],
)
def test_a_paraphrase_may_be_the_same(one: str, other: str) -> None:
    assert may_be_same(question(one), question(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Do you deliver on Saturdays?", "Do you deliver on Sundays?"),
        ("Can I use the vac without the app?", "Can I use the vac with the app?"),
        ("How do I turn on motion alerts?", "How do I turn off motion alerts?"),
        ("I received my refund", "I have not received my refund"),
        ("Can I return an opened filter?", "Can I return an unopened filter?"),
        ("How long is the warranty on the Vac 5?", "How long is the warranty on the Vac 3?"),
        ("Is the Cam 2 waterproof?", "Is the Bell 2 waterproof?"),
        ("warranty?", "What does the long warranty cover abroad?"),
    ],
)
def test_a_changed_word_number_or_negation_is_another_question(one: str, other: str) -> None:
    assert not may_be_same(question(one), question(other))


def same_chinese(one: str, other: str) -> bool:
    ours, theirs = question(one), question(other)
    return may_be_same(ours, theirs) and pairs_in_common(ours, theirs) >= LEAST_PAIRS


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("保修多久？", "保修期是多久", True),
        ("你们送到挪威吗", "请问可以送到挪威吗", True),
        ("可以用支付宝付款吗", "能不能用支付宝付款", True),
        ("怎么重置密码", "密码怎么重置", True),
        ("你们送到挪威吗", "你们送到瑞典吗", False),
        ("怎么打开移动提醒", "怎么关闭移动提醒", False),
        ("开封的滤芯能退吗", "没开封的滤芯能退吗", False),
        ("保修多久", "延保多久", False),
        ("标准快递多少钱", "加急快递多少钱", False),
    ],
)
def test_chinese_questions_are_compared_by_neighbouring_characters(one: str, other: str, same: bool) -> None:
    assert same_chinese(one, other) is same


def test_case_signs_spaces_and_placeholder_numbers_make_no_difference() -> None:
    assert question("Where is [ORDER_1]?!").key == question("  where IS [ORDER_2] ").key
    assert question("保修，多久？").key == question("保修多久").key
    assert question("?! 😀").key == ""


@pytest.mark.parametrize(
    "text", ["and if it's opened?", "what about Norway?", "does it cover the battery?", "那拆封了呢？", "when?", "[ORDER_1]"]
)
def test_a_message_that_leans_on_the_one_before_does_not_stand_alone(text: str) -> None:
    assert not question(text).alone


@pytest.mark.parametrize("text", ["How long is the warranty?", "Is it possible to return an opened filter?", "保修多久？"])
def test_a_whole_question_stands_alone(text: str) -> None:
    assert question(text).alone
