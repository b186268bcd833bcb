"""Poisoned nights: what wrong labels in bulk would teach is set aside, and an honest night passes.

The champion of these tests is sure (0.97) of two texts in three and unsure (0.6) of the others.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from assistant.records import Transcript, TranscriptTurn
from finetune.harvest import Conversation, Harvest, Rules, harvest

START = datetime(2026, 5, 1, tzinfo=UTC)
LABELS = ("cancel", "invoice", "late", "login", "refund", "warranty")


@dataclass(frozen=True)
class Correction:
    """As the store gives it."""

    question: str
    intent: str | None
    ref: str
    answer: str = ""
    lang: str = "en"
    at: datetime | None = START


def _truth(text: str) -> str:
    return text.split()[0]


def _night(tag: Callable[[str, int], str], each: int = 30) -> list[Conversation]:
    """Thirty questions on each intent, tagged by what ``tag`` makes of the true intent and the question's number."""
    talks: list[Conversation] = []
    for label in LABELS:
        for number in range(each):
            at = START + timedelta(minutes=len(talks))
            question = TranscriptTurn("customer", f"{label} question with number {number}", at)
            turns = (question, TranscriptTurn("agent", "This is taken care of now.", at))
            ref, name = f"transcript:log/{len(talks)}", tag(label, number)
            talks.append(Conversation(ref, Transcript(ref, turns, ref, lang="en", intent=name, resolved=True, started_at=at)))
    return talks


def _predict(texts: Sequence[str]) -> tuple[np.ndarray[Any, np.dtype[np.float32]], Sequence[str]]:
    chances = np.zeros((len(texts), len(LABELS)), dtype=np.float32)
    for row, text in enumerate(texts):
        sure = 0.6 if int(text.split()[-1]) % 3 == 0 else 0.97
        chances[row] = (1 - sure) / (len(LABELS) - 1)
        chances[row, LABELS.index(_truth(text))] = sure
    return chances, LABELS


def _gather(talks: Sequence[Conversation], corrections: Sequence[Correction] = (), seed: int = 0) -> Harvest:
    return harvest(
        talks,
        corrections,
        predict=_predict,
        evidence=lambda texts: [_truth(text) for text in texts],
        templates={},
        known=LABELS,
        redact=str,
        rules=Rules(seed=seed),
    )


def test_an_honest_night_passes_whole() -> None:
    result = _gather(_night(lambda label, _: label))
    assert len(result.examples) == 180 and not result.set_aside
    assert (result.counts["checked"], result.counts["contradicted"]) == (180, 0)


def test_of_a_night_with_shuffled_labels_only_what_the_champion_confirms_is_learned() -> None:
    rng = random.Random(0)
    result = _gather(_night(lambda *_: rng.choice(LABELS)))
    assert all(_truth(one.text) == one.label for one in result.examples)
    assert result.counts["set_aside.suspicious"] == result.counts["contradicted"] > 120
    assert any("checked in this harvest" in one.because for one in result.set_aside)


def test_of_one_intent_labelled_as_another_nothing_is_learned() -> None:
    result = _gather(_night(lambda label, _: "cancel" if label == "refund" else label))
    assert len(result.examples) == 150 and all(_truth(one.text) == one.label for one in result.examples)
    assert {_truth(one.example.text) for one in result.set_aside} == {"refund"}
    assert any("go the same way" in one.because for one in result.set_aside)
    assert {(row.label, row.given, row.reason) for row in result.queue} == {("refund", ("cancel",), "suspicious")}


def test_single_slips_do_not_bring_the_unsure_labels_down() -> None:
    result = _gather(
        _night(lambda label, number: "login" if (label, number) in (("late", 1), ("late", 2), ("late", 3)) else label)
    )
    assert result.counts["set_aside.suspicious"] == 2  # of the third the champion is not sure


def test_a_flood_of_one_label_is_capped_and_the_surplus_counted() -> None:
    talks = _night(lambda label, _: label, each=20)
    flood = [Correction(f"flood of word {n}", "cancel", f"m{n}") for n in range(900)]
    result = _gather(talks, flood)
    sizes = Counter(one.label for one in result.examples)
    assert sizes["cancel"] <= 0.3 * len(result.examples)
    assert all(sizes[label] == 20 for label in LABELS if label != "cancel")
    assert result.counts["dropped.flood"] == 920 - sizes["cancel"]
    assert _gather(talks, flood, seed=1).examples != result.examples == _gather(talks[::-1], flood[::-1]).examples
