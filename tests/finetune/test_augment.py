"""Augmented copies are noisy, repeatable, never empty, and leave placeholders whole."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.augment import SYNONYMS, typo, variants, vary
from finetune.recipe import TrainSettings

LOUD = TrainSettings(typing_noise=0.9, casing=0.9, token_dropout=0.6, synonyms=0.9)
WORDS = st.sampled_from(["refund", "my", "parcel", "[ORDER_1]", "[EMAIL_12],", "where", "?", "é", "连不上", "a", "don't"])


@settings(max_examples=300, deadline=None)
@given(st.lists(WORDS, min_size=1, max_size=12), st.integers(0, 10_000))
def test_placeholders_stay_whole_and_no_text_becomes_empty(words: list[str], seed: int) -> None:
    found = vary(" ".join(words), LOUD, random.Random(seed))
    assert found.strip()
    assert found.count("[ORDER_1]") == words.count("[ORDER_1]")
    assert found.count("[EMAIL_12]") == words.count("[EMAIL_12],")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40), st.integers(0, 1000))
def test_any_text_survives(text: str, seed: int) -> None:
    found = vary(text, LOUD, random.Random(seed))
    assert bool(found.strip()) or not text.strip()


def test_copies_repeat_with_their_seed_and_differ_by_number() -> None:
    texts = ["I want a refund for my broken parcel please", "where is my order"] * 5
    assert variants(texts, LOUD, 0) == variants(texts, LOUD, 0) != variants(texts, LOUD, 1)
    assert variants(texts, TrainSettings(typing_noise=0.9, seed=8), 0) != variants(texts, TrainSettings(typing_noise=0.9), 0)
    assert len(variants(texts, LOUD, 0)) == len(texts)


def test_settings_of_zero_change_nothing() -> None:
    assert variants(["My order [ORDER_1] is late"], TrainSettings(), 0) == ["My order [ORDER_1] is late"]


def test_each_kind_of_noise_does_its_own() -> None:
    rng = random.Random(1)
    swapped = {vary("my parcel", TrainSettings(synonyms=0.99), rng) for _ in range(30)}
    assert swapped <= {"my parcel", *(f"my {word}" for word in SYNONYMS["parcel"])} and len(swapped) > 2
    dropped = [vary("one two three four", TrainSettings(token_dropout=0.5), rng).split() for _ in range(20)]
    assert min(map(len, dropped)) < 4 and all(set(words) <= {"one", "two", "three", "four"} for words in dropped)
    cased = {vary("My Lamp", TrainSettings(casing=0.99), rng) for _ in range(30)}
    assert {"my lamp", "MY LAMP", "My lamp"} <= cased


@given(st.text("abcdefgh", min_size=4, max_size=10), st.integers(0, 1000))
def test_a_slip_is_one_slip(word: str, seed: int) -> None:
    slipped = typo(word, random.Random(seed))
    assert slipped[0] == word[0] and abs(len(slipped) - len(word)) <= 1
