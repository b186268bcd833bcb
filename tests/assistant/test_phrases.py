"""What the assistant says of its own accord is said in every language, with the same places to fill."""

from __future__ import annotations

import string

import pytest

from assistant.phrases import PHRASES, say, slot_name


def places(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("lang", [lang for lang in PHRASES if lang != "en"])
def test_every_language_says_everything(lang: str) -> None:
    assert PHRASES[lang].keys() == PHRASES["en"].keys()
    for key, text in PHRASES["en"].items():
        assert places(PHRASES[lang][key]) == places(text), key


def test_a_language_that_is_not_spoken_gets_english() -> None:
    assert say("thanks", "fi") == PHRASES["en"]["thanks"]
    assert slot_name("order_number", "fi") == "order number"


def test_a_value_with_braces_is_said_as_it_is() -> None:
    assert "{0} & {x}" in say("greeting", "en", company="{0} & {x}")


def test_a_slot_without_a_name_is_still_readable() -> None:
    assert slot_name("shoe_size", "en") == "shoe size"
    assert "shoe size" in say("ask_slot", "en", slot=slot_name("shoe_size", "en"))
