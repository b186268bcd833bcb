"""The language of a message: scripts are told apart, short messages keep the conversation's language."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.language import detect, identify

ENGLISH_CHINESE = ("en", "zh")


@pytest.mark.parametrize(
    "text", ["ok thx", "Vac 5", "", "👍", "12345", "FW-123456", "[EMAIL_1]", "https://example.org/where/is/it"]
)
def test_a_message_too_short_to_tell_keeps_the_language(text: str) -> None:
    assert detect(text, "zh", ENGLISH_CHINESE) == "zh"
    assert detect(text, "en", ENGLISH_CHINESE) == "en"
    assert detect(text, None, ENGLISH_CHINESE) == "en"
    assert detect(text, None, ("zh", "en")) == "zh"


@pytest.mark.parametrize(
    "text", ["Vac 5 连不上", "我的订单在哪里", "退款", "order FW-123456 到哪了", "APP登不上", "[NAME_1] 你好"]
)
def test_chinese_is_told_even_among_latin_names(text: str) -> None:
    assert identify(text) == "zh"
    assert detect(text, "en", ENGLISH_CHINESE) == "zh"


def test_an_english_sentence_with_one_chinese_word_stays_english() -> None:
    assert detect("the label on the box says 扫地机 and nothing else", None, ENGLISH_CHINESE) == "en"


@pytest.mark.parametrize(
    ("text", "language"), [("返品したいです", "ja"), ("カメラ", "ja"), ("배송이 언제 오나요", "ko"), ("注文の返品", "ja")]
)
def test_japanese_and_korean_are_not_taken_for_chinese(text: str, language: str) -> None:
    assert identify(text) == language
    assert detect(text, None, ENGLISH_CHINESE) == "en"
    assert detect(text, None, (*ENGLISH_CHINESE, language)) == language


@pytest.mark.parametrize("text", ["", "   ", "123 456", "😀😀", "?!…", "[ORDER_1]", "\u200b"])
def test_digits_signs_and_emoji_are_no_language(text: str) -> None:
    assert identify(text) == "und"


def test_latin_languages_are_told_apart_by_the_identifier() -> None:
    served = ("en", "de", "fr")
    assert detect("Ich möchte meine Bestellung bitte stornieren", "en", served) == "de"
    assert detect("Je voudrais annuler ma commande s'il vous plaît", None, served) == "fr"
    assert detect("Quiero cancelar mi pedido, por favor, es urgente", "de", served) == "de"


def test_a_language_that_is_not_served_falls_back_to_the_default() -> None:
    assert detect("ok", "fr", ENGLISH_CHINESE) == "en"
    assert detect("where is my parcel please", None, ("zh",)) == "zh"


@settings(max_examples=60, deadline=None)
@given(st.text(alphabet=st.characters(codec=None, exclude_categories=()), max_size=11), st.sampled_from([None, "en", "zh", "xx"]))
def test_any_text_gives_a_language_that_is_served(text: str, before: str | None) -> None:
    assert detect(text, before, ENGLISH_CHINESE) in ENGLISH_CHINESE
