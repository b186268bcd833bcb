"""What each training setting does: banking77 with ten examples a class, judged on validation, one setting changed at a time.

The same figures chose the defaults of ``bench_intents.FEW``. Noise robustness is judged on the validation texts with typing
errors. One seed each: differences under about 1.5 points are noise, as the row of other seeds shows.

The share that is replayed has rows of its own: 60 labels came in earlier nights, 17 come tonight, 40 rows each, put together by
``finetune.training_rows`` as ``deskhand retrain`` does it.
"""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.encoder import Encoder, resolve
from finetune.augment import vary
from finetune.evaluate import expected_calibration_error
from finetune.harvested import Example
from finetune.recipe import TrainSettings
from finetune.session import Split
from finetune.training_rows import split_for_training, training_rows
from tests.bench import learning_data
from tests.bench.own import chances_of, labels_of, texts_of, train_own, truth_of

PLAIN = TrainSettings(epochs=10, patience=10)
_GENTLE = {"learning_rate": 1e-4, "head_learning_rate": 3e-4, "wide_learning_rate": 0.0}
CHANGES: dict[str, dict[str, Any]] = {
    "plain LoRA": {},
    "another seed": {"seed": 8},
    "moving average": {"average": 0.98},
    "FGM": {"adversarial": 0.1},
    "moving average + FGM": {"average": 0.98, "adversarial": 0.1},
    "contrastive loss": {"contrast": 0.5, "batch_size": 64},
    "typing noise": {"typing_noise": 0.1},
    "casing": {"casing": 0.1},
    "token dropout": {"token_dropout": 0.1},
    "synonyms": {"synonyms": 0.2},
    "these four together": {"typing_noise": 0.1, "token_dropout": 0.1, "casing": 0.1, "synonyms": 0.2},
    "three seeds folded": {"seeds": 3, "average": 0.98},
    "no label smoothing": {"label_smoothing": 0.0},
    "probe, lower rates": {"head_start": "probe", **_GENTLE},
    "all layers": {"layers_from": 0},
    "AdaLoRA": {"method": "adalora"},
    "IA3": {"method": "ia3"},
    "prefix tuning": {"method": "prefix"},
    "prompt tuning": {"method": "prompt"},
}
SHARES = (0.0, 0.3, 0.5, 1.0)
TONIGHT, ROWS = 17, 40


def main(data: Path) -> list[dict[str, Any]]:
    """Measure every change.

    Args:
        data: Folder of the public data sets.

    Returns:
        One row per setting: accuracy on clean and on noisy validation texts, calibration error, seconds. One row per share
        replayed: accuracy on labels of earlier nights and of tonight.
    """
    encoder = Encoder(resolve("all-MiniLM-L6-v2"))
    return [*changes(data, encoder), *replayed(data, encoder)]


def changes(data: Path, encoder: Encoder) -> list[dict[str, Any]]:
    """Measure one setting at a time."""
    rows = learning_data.banking77(data)
    training = tuple(learning_data.few(rows.train, 10, 0))
    held = tuple(learning_data.few(rows.validation, 7, 0))
    rng = random.Random(0)
    noise = replace(PLAIN, typing_noise=0.3, casing=0.2)
    noisy = [vary(one.text, noise, rng) for one in held]
    found = []
    for name, change in CHANGES.items():
        own = train_own("intent", Split(training, held), encoder, replace(PLAIN, **change))
        truth = truth_of(own, [one.label for one in held])
        clean = chances_of(own, encoder, texts_of(held))
        rough = float((chances_of(own, encoder, noisy).argmax(1) == truth).mean())
        limit = {
            "with typing noise": rough,
            "calibration error": expected_calibration_error(clean, truth),
            "seconds": round(own.seconds),
        }
        value = float((clean.argmax(1) == truth).mean())
        found.append({"figure": f"effect: {name}", "value": value, "target": None, "n": len(held), "peer": {}, "limit": limit})
    return found


def replayed(data: Path, encoder: Encoder) -> list[dict[str, Any]]:
    """Measure what each share of older rows keeps, and what it costs the new ones."""
    rows = learning_data.banking77(data)
    labels = sorted({one.label for one in rows.train})
    random.Random(0).shuffle(labels)
    tonight = set(labels[:TONIGHT])
    came = [Example(one.text, one.label, "", "und", None, "action") for one in learning_data.few(rows.train, ROWS, 0)]
    new = [one for one in came if one.label in tonight]
    held = learning_data.few(rows.validation, 7, 0)
    sides = {"earlier": [one for one in held if one.label not in tonight], "new": [one for one in held if one.label in tonight]}
    found = []
    for share in SHARES:
        training = training_rows(new, came, [], [], corrected=(), replay=share, seed=PLAIN.seed)
        settings = replace(PLAIN, epochs=6, average=0.98)
        own = train_own("intent", split_for_training("intent", training, PLAIN.seed), encoder, settings)
        right = {
            name: float((chances_of(own, encoder, texts_of(side)).argmax(1) == truth_of(own, labels_of(side))).mean())
            for name, side in sides.items()
        }
        limit = {"on tonight's labels": right["new"], "rows": len(training), "seconds": round(own.seconds)}
        figure = f"effect: {share:.0%} of earlier nights replayed, their labels"
        found.append(
            {"figure": figure, "value": right["earlier"], "target": None, "n": len(sides["earlier"]), "peer": {}, "limit": limit}
        )
    return found
