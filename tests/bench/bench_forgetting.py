"""Forgetting: the sample company learns five nights of new topics; what its first champion knew must stay.

Fifteen intents are kept back, three come each night. The regression set are the validation rows of the other intents that the
first champion gets right. Every night's rows are put together by ``finetune.training_rows``, as ``deskhand retrain`` does it: the
company's own rows, the new ones, and a share of what came in earlier nights. As there, each night starts from the champion's
weights and is held to what the champion says where it is right; "anew" is beside it, which does neither.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.adapter_files import AdapterVersion
from assistant.encoder import Encoder, resolve
from finetune.examples import Labelled, read_labelled, split
from finetune.harvested import Example
from finetune.recipe import TrainSettings
from finetune.session import Split
from finetune.training_rows import training_rows
from tests.bench.own import Own, chances_of, train_own, truth_of

SAMPLE = Path(__file__).resolve().parents[2] / "data" / "sample"
NIGHTS, TOPICS, REPLAY = 5, 3, 0.5
SETTINGS = TrainSettings(epochs=3, patience=3, average=0.98, remember=0.5)


def main() -> list[dict[str, Any]]:
    """Measure.

    Returns:
        Two rows: points of the regression set lost after the last night, and accuracy on the new topics.
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
    first = _trained(seen, encoder, SETTINGS, None)
    cases = [one for one, good in zip(cases, _right(first, encoder, cases), strict=True) if good]
    lost = {"as nights go": 0.0, "anew": 0.0}
    for way in lost:
        champion: Own | None = first
        given = [Example(one.text, one.label, "", "und", None, "person") for one in seen]
        came: list[Example] = []
        for night in range(NIGHTS):
            topics = late[night * TOPICS : (night + 1) * TOPICS]
            new = [Example(one.text, one.label, "", "und", None, "action") for one in training if one.label in topics]
            came += new
            seed = SETTINGS.seed + night
            rows = training_rows(new, came, given, [], corrected=(), replay=REPLAY, seed=seed)
            learned = [Labelled(one.text, one.label) for one in rows if isinstance(one, Example)]
            start = champion.version if champion and way == "as nights go" else None
            champion = _trained(learned, encoder, replace(SETTINGS, seed=seed), start)
            good = _right(champion, encoder, cases)
            lost[way] = 100 * (1 - sum(good) / len(good))
            late_rows = [one for one in judged if one.label in late[: (night + 1) * TOPICS]]
            new_right = _right(champion, encoder, late_rows)
            print(
                f"{way}, night {night + 1}: {lost[way]:.2f} points of the regression set lost, "
                f"{sum(new_right)} of {len(late_rows)} questions on new topics right",
                flush=True,
            )
    return [
        {
            "figure": "forgetting: points lost on the regression set after five nights of new topics",
            "value": round(lost["as nights go"], 2),
            "target": 0.5,
            "n": len(cases),
            "peer": {"anew": round(lost["anew"], 2)},
            "limit": f"{REPLAY:.0%} of what came in earlier nights is replayed; the gate is off here",
        }
    ]


def _trained(rows: list[Labelled], encoder: Encoder, settings: TrainSettings, start: AdapterVersion | None) -> Own:
    training, validation = split(rows, 0.1, settings.seed)
    return train_own("intent", Split(tuple(training), tuple(validation)), encoder, settings, start)


def _right(own: Own, encoder: Encoder, cases: list[Labelled]) -> list[bool]:
    guessed = chances_of(own, encoder, [one.text for one in cases]).argmax(1)
    return [bool(one) for one in guessed == truth_of(own, [one.label for one in cases])]
