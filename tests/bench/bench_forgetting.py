"""Forgetting: the sample company learns five nights of new topics; what its first champion knew must stay.

Fifteen intents are kept back, three come each night. Two sets of questions that the first champion gets right are asked again
after every night: a regression set as the product keeps it (answers that people corrected or confirmed, which are learned from
too), and unseen ones, the validation rows of the other intents. Every night's rows are put together by
``finetune.training_rows``, as ``deskhand retrain`` does it: the company's own rows, the new ones, and a share of what came in
earlier nights; as there, each night's candidate is trained from the bare base.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.encoder import Encoder, resolve
from finetune.examples import Labelled, read_labelled
from finetune.harvested import Example
from finetune.holdout import Row
from finetune.recipe import TrainSettings
from finetune.training_rows import split_for_training, training_rows
from tests.bench.own import Own, chances_of, train_own, truth_of

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
NIGHTS, TOPICS, REPLAY, REGRESSION = 5, 3, 0.5, 300
SETTINGS = TrainSettings(epochs=3, patience=3, average=0.98)


def main() -> list[dict[str, Any]]:
    """Measure.

    Returns:
        Points of both sets lost after the last night.
    """
    encoder = Encoder(resolve("all-MiniLM-L6-v2"))
    training = read_labelled(SAMPLE / "train" / "intent.jsonl")
    judged = read_labelled(SAMPLE / "validation" / "intent.jsonl")
    rng = random.Random(0)
    late = sorted({one.label for one in training} - {"oos", "greeting", "thanks", "goodbye"})
    rng.shuffle(late)
    late = late[: NIGHTS * TOPICS]
    seen = [one for one in training if one.label not in late]
    cases = [one for one in judged if one.label not in late and one.label != "oos"]
    kept = rng.sample([one for one in seen if one.label != "oos"], REGRESSION)
    confirmed = {one.text for one in kept}
    # A person's word on a conversation names it; the company's own rows come from a file.
    given = [Example(one.text, one.label, "said" * (one.text in confirmed), "und", None, "person") for one in seen]
    first = _trained(given, encoder, SETTINGS)
    sets = {"the regression set": _known(first, encoder, kept), "unseen questions": _known(first, encoder, cases)}
    lost: dict[str, float] = {}
    came: list[Example] = []
    for night in range(NIGHTS):
        topics = late[night * TOPICS : (night + 1) * TOPICS]
        new = [Example(one.text, one.label, "", "und", None, "action") for one in training if one.label in topics]
        came += new
        seed = SETTINGS.seed + night
        rows = training_rows(new, came, given, [], corrected=(), replay=REPLAY, seed=seed)
        candidate = _trained(rows, encoder, replace(SETTINGS, seed=seed))
        lost = {name: 100 * (1 - sum(_right(candidate, encoder, asked)) / len(asked)) for name, asked in sets.items()}
        late_rows = [one for one in judged if one.label in late[: (night + 1) * TOPICS]]
        told = ", ".join(f"{points:.2f} points of {name}" for name, points in lost.items())
        well = sum(_right(candidate, encoder, late_rows))
        print(f"night {night + 1}: lost {told}; {well} of {len(late_rows)} on new topics right", flush=True)
    return [
        {
            "figure": f"forgetting: points of {name} lost after five nights of new topics",
            "value": round(lost[name], 2),
            "target": 0.5,
            "n": len(asked),
            "peer": {},
            "limit": f"{REPLAY:.0%} of what came in earlier nights is replayed; the gate is off here",
        }
        for name, asked in sets.items()
    ]


def _known(own: Own, encoder: Encoder, rows: list[Labelled]) -> list[Labelled]:
    return [one for one, good in zip(rows, _right(own, encoder, rows), strict=True) if good]


def _trained(rows: Sequence[Row], encoder: Encoder, settings: TrainSettings) -> Own:
    return train_own("intent", split_for_training("intent", rows, settings.seed), encoder, settings)


def _right(own: Own, encoder: Encoder, cases: list[Labelled]) -> list[bool]:
    guessed = chances_of(own, encoder, [one.text for one in cases]).argmax(1)
    return [bool(one) for one in guessed == truth_of(own, [one.label for one in cases])]
