"""Equal texts get equal keys, courtesy is told from questions, and a sent template is recognised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finetune.wording import compile_templates, is_small_talk, normalise, says_nothing, template_intent, weigh

TEMPLATES = {
    "You can see how far order {order_number} has come under My orders.": "order_status",
    "您可以在“我的订单”查看订单 {order_number} 的进度，加急需1-2天。": "order_status",
    "{greeting}, thanks": "thanks",
}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Where is my order?", "where  is my ORDER"),
        ("Where is [ORDER_1]", "where is [ORDER_12]!"),
        ("I don't know", "i dont know…"),
        ("退款 怎么办？", "退款怎么办"),
        ("ｆｕｌｌ width", "full width"),
    ],
)
def test_texts_that_say_the_same_have_one_key(one: str, other: str) -> None:
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), [("order 5", "order 6"), ("[ORDER_1] gone", "[EMAIL_1] gone"), ("कि", "की")])
def test_texts_that_differ_keep_different_keys(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@given(st.text(alphabet=st.characters(codec="utf-8", max_codepoint=0x9FFF)))
def test_a_key_is_its_own_key(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)


@pytest.mark.parametrize(
    "text",
    [
        "hi",
        "Hello there!",
        "Hi Jonas,",
        "thank u :)",
        "ok great, thanks. Bye",
        "anyone there?",
        "您好",
        "好的谢谢",
        "在吗？",
        "谢谢小雨",
    ],
)
def test_courtesy_is_small_talk(text: str) -> None:
    assert is_small_talk(text)


@pytest.mark.parametrize(
    "text",
    [
        "hi, my parcel is late",
        "thanks for nothing",
        "I'm stuck",
        "refund please",
        "你好退款",
        "人工客服",
        "[ORDER_1]",
        "👍",
        "no refund?",
    ],
)
def test_a_word_that_says_more_is_no_small_talk(text: str) -> None:
    assert not is_small_talk(text)


@pytest.mark.parametrize(
    "text",
    ["Hi Hannah, glad you wrote. It's Jonas.", "Hello, you're chatting with Mara now.", "您好，我是文博。", "Any time, Niamh."],
)
def test_an_agents_introduction_is_small_talk(text: str) -> None:
    assert is_small_talk(text, agent=True)


def test_words_are_counted_in_both_scripts() -> None:
    assert weigh("refund") == 1
    assert weigh("refund [ORDER_1]") == 2
    assert weigh("怎么退款") == pytest.approx(2.4)
    assert says_nothing("[ORDER_1], [EMAIL_2] …") and not says_nothing("[ORDER_1] late")


@pytest.mark.parametrize(
    "reply",
    [
        "You can see how far order [ORDER_3] has come under My orders.",
        "Hi Anna, you can see how far order FW-123456 has come under “My orders”. Best, T.",
        "您可以在“我的订单”查看订单 [ORDER_1] 的进度，加急需1-2天。",
    ],
)
def test_a_sent_template_is_recognised_whatever_stands_in_its_slot(reply: str) -> None:
    assert template_intent(reply, compile_templates(TEMPLATES)) == "order_status"


@pytest.mark.parametrize("reply", ["Order [ORDER_1] is with the carrier.", "Hello, thanks", "Good day, thanks", ""])
def test_an_agents_own_words_are_no_template(reply: str) -> None:
    assert template_intent(reply, compile_templates(TEMPLATES)) is None


def test_a_template_inside_a_long_reply_tells_nothing() -> None:
    reply = "You can see how far order [ORDER_3] has come under My orders. " + "But what you really want is a refund. " * 5
    assert template_intent(reply, compile_templates(TEMPLATES)) is None
