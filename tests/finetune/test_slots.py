"""Spans survive the way through IOB2 tags and back, and a small tagger learns a product's name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.adapter_files import read_version
from assistant.encoder import Encoder
from assistant.errors import RegistryError, TrainingError
from assistant.heads import spans_from_tags
from finetune.examples import Tagged
from finetune.recipe import Run, TrainSettings
from finetune.slots import TrainedTagger, predict_slots, tags_of, train_slots
from tests.finetune.tiny_training import tiny_encoder

SETTINGS = TrainSettings(rank=4, layers_from=4, epochs=4, batch_size=4, head_learning_rate=2e-2)
NAMES = ("hoover", "doorbell", "lamp", "kettle", "radio", "toaster")
SAYINGS = ("my {} is broken", "where is the {} now", "the {} works well", "please help me", "I bought a {} from you")


def tagged(saying: str, name: str) -> Tagged:
    start = saying.find("{}")
    return Tagged(saying.format(name), ((start, start + len(name), "product"),) if start >= 0 else ())


EXAMPLES = [tagged(saying, name) for saying in SAYINGS for name in NAMES]


@st.composite
def marked_words(draw: st.DrawFn) -> tuple[str, list[tuple[int, int]], list[tuple[int, int, str]]]:
    """A text of words, their offsets between two special tokens, and spans of whole words with a word between."""
    words = draw(st.lists(st.text("abc5", min_size=1, max_size=4), min_size=1, max_size=12))
    offsets, at = [], 0
    for word in words:
        offsets.append((at, at + len(word)))
        at += len(word) + 1
    spans, first = [], 0
    while first < len(words):
        size = draw(st.integers(0, 3))
        if size and first + size <= len(words):
            spans.append((offsets[first][0], offsets[first + size - 1][1], draw(st.sampled_from(["product", "date-of"]))))
        first += max(size, 1) + draw(st.integers(0, 1))
    return " ".join(words), [(0, 0), *offsets, (0, 0)], spans


@settings(max_examples=150, deadline=None)
@given(marked_words())
def test_spans_come_back_from_their_tags(case: tuple[str, list[tuple[int, int]], list[tuple[int, int, str]]]) -> None:
    text, offsets, spans = case
    tags = tags_of(spans, offsets)
    assert tags[0] == tags[-1] == "O"
    assert spans_from_tags(tags, offsets, text) == spans


def test_a_token_that_overlaps_a_span_belongs_to_it() -> None:
    assert tags_of([(1, 5, "p")], [(0, 2), (2, 4), (4, 6), (6, 8)]) == ["B-p", "I-p", "I-p", "O"]
    assert tags_of([], [(0, 0), (0, 2)]) == ["O", "O"]


@pytest.fixture(scope="module")
def tiny(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder small enough to train with in a test."""
    return tiny_encoder(encoder, tmp_path_factory.mktemp("tiny") / "tiny-bert")


def run(
    encoder: Encoder, folder: Path, training: list[Tagged], validation: list[Tagged], settings: TrainSettings = SETTINGS
) -> TrainedTagger:
    folder.mkdir(exist_ok=True)
    record = Run("slots", "v1", folder, datetime(2026, 1, 2, tzinfo=UTC), "0", ("a.jsonl",), settings)
    return train_slots(record, training, validation, encoder)


@pytest.fixture
def serving(encoder: Encoder) -> Iterator[Encoder]:
    yield encoder
    encoder.set_adapters({})


def test_it_learns_a_product_word_and_serves_it(serving: Encoder, tmp_path: Path) -> None:
    made = run(serving, tmp_path / "v1", [row for at, row in enumerate(EXAMPLES) if at % 5], EXAMPLES[::5])
    assert made.manifest.labels == ("O", "B-product", "I-product")
    assert made.manifest.scores["validation_f1"] > 0.8
    version = read_version(tmp_path / "v1", serving.sha256)
    serving.set_adapters({"slots": version.weights})
    texts = ["my toaster is broken again", "please help me", "", "where is the doorbell now?"]
    found = predict_slots(serving, version, [Tagged(text, ()) for text in texts])
    assert [[text[start:end] for start, end, _ in spans] for text, spans in zip(texts, found, strict=True)] == [
        ["toaster"], [], [], ["doorbell"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("training", "validation"), [([], EXAMPLES), ([Tagged("hi", ()), Tagged("you", ())], EXAMPLES), (EXAMPLES, [])]
)
def test_examples_that_teach_nothing_are_refused(
    encoder: Encoder, tmp_path: Path, training: list[Tagged], validation: list[Tagged]
) -> None:
    with pytest.raises(TrainingError, match="at least one slot and one validation example"):
        run(encoder, tmp_path / "v1", training, validation)


@pytest.mark.parametrize(
    "changes", [{"method": "prompt", "virtual_tokens": 4}, {"casing": 0.5, "adversarial": 0.03}, {"method": "adalora"}]
)
def test_other_ways_of_training_learn_and_find_what_serving_finds(
    tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr("finetune.adapted.bfloat16_pays", lambda: False)
    made = run(tiny, tmp_path / "v1", EXAMPLES[5:], EXAMPLES[:5], replace(SETTINGS, layers_from=1, **changes))
    assert made.history[-1].loss < made.history[0].loss
    version = read_version(tmp_path / "v1", tiny.sha256)
    tiny.set_adapters({"slots": version.weights})
    try:
        found = predict_slots(tiny, version, EXAMPLES[:5])
    finally:
        tiny.set_adapters({})
    assert found == made.found


def test_a_slot_that_no_example_holds_twice_is_taken_once(serving: Encoder, tmp_path: Path) -> None:
    two = [Tagged("a lamp, a kettle", ((2, 6, "product"), (10, 16, "product"))), Tagged("by 9", ((3, 4, "date"),))]
    made = run(serving, tmp_path / "v1", [*EXAMPLES, *two], EXAMPLES[:5], replace(SETTINGS, epochs=1))
    assert made.manifest.head["once"] == ["date"]
    path = tmp_path / "v1" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**manifest, "head": {**manifest["head"], "once": ["colour"]}}), encoding="utf-8")
    with pytest.raises(RegistryError, match=r"once = \['colour'\] must be a list of the adapter's slots"):
        read_version(tmp_path / "v1", serving.sha256)


def test_a_bare_number_is_what_was_asked_for(serving: Encoder, tmp_path: Path) -> None:
    rows = [Tagged(str(number), ((0, len(str(number)), slot),), slot) for number in range(2, 40) for slot in ("people", "time")]
    settings = replace(SETTINGS, epochs=12, patience=12, learning_rate=3e-3, rank=4, alpha=8)
    made = run(serving, tmp_path / "v1", rows[8:], rows[:8], settings)
    assert made.manifest.head["asked"] and made.manifest.scores["validation_f1"] > 0.9
    assert made.found[:2] == [[(0, 1, "people")], [(0, 1, "time")]]
