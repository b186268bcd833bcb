"""One adapter version on holdout rows and regression cases, by the serving path -> what the gate compares.

Knows the encoder, a version and rows; the gate (``promote.py``) knows none of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from assistant.encoder import Encoder
from assistant.registry import AdapterVersion
from finetune.dialog import predict_ranking
from finetune.evaluate import expected_calibration_error
from finetune.harvested import Example, Pair
from finetune.holdout import calibrating
from finetune.intent import predict_classes
from finetune.promote import Judged
from finetune.small_holdout import Readings

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Messages that are timed, and passes of each.
_TIMED, _TRIES = 30, 5


def judge_version(
    version: AdapterVersion,
    encoder: Encoder,
    rows: Sequence[Example | Pair],
    cases: Sequence[tuple[str, str]],
    seed: int,
    latency_ms: float = 0.0,
) -> Judged:
    """Judge one version.

    Args:
        version: Of a classifier task or of ``dialog``.
        encoder: The base; its adapters are replaced by this one.
        rows: The holdout; pairs for ``dialog``, examples otherwise. A label the version does not know counts as wrong.
        cases: Regression cases: text and expected label; for ``dialog`` the question and the answer that was wished for, which
            must come first among the holdout's replies.
        seed: Of the draw of replies to choose from.
        latency_ms: What ``latencies`` measured.

    Returns:
        What the gate compares.
    """
    task = version.manifest.task
    encoder.set_adapters({task: version.weights})
    if task == "dialog":
        pairs = [row for row in rows if isinstance(row, Pair)]
        wished = [Pair((("customer", text),), answer, "", None, "und") for text, answer in cases]
        ranks = predict_ranking(encoder, task, dict(version.head), [*pairs, *wished], seed).ranks
        none, count = np.zeros(0, dtype=np.float32), len(pairs)
        return Judged(1.0 / ranks[:count], (), none, ranks[count:] == 1, latency_ms, 0.0)
    examples = [row for row in rows if isinstance(row, Example)]
    texts = [row.text for row in examples]
    known = {label: row for row, label in enumerate(version.manifest.labels)}
    chances = class_chances(version, encoder, [*texts, *(text for text, _ in cases)])
    truth = np.array([known.get(label, -1) for label in [*(one.label for one in examples), *(label for _, label in cases)]])
    right: NDArray[np.bool_] = chances.argmax(axis=1) == truth if len(chances) else np.zeros(0, dtype=np.bool_)
    count = len(examples)
    fitted = set(calibrating(examples))
    unfitted = np.array([row not in fitted for row in examples], dtype=np.bool_)
    return Judged(
        right=right[:count],
        labels=tuple(one.label for one in examples),
        confidence=chances[:count].max(axis=1) if count else np.zeros(0, dtype=np.float32),
        regression=right[count:],
        latency_ms=latency_ms,
        ece=expected_calibration_error(chances[:count][unfitted], truth[:count][unfitted]) if count else 0.0,
        unfitted=unfitted if fitted else None,
    )


def read_both(champion: AdapterVersion, candidate: AdapterVersion, encoder: Encoder, texts: Sequence[str]) -> Readings:
    """Read messages with both versions of a classifier task.

    Args:
        champion: The version that serves.
        candidate: The version that may take its place.
        encoder: The base; its adapters are replaced.
        texts: Messages that the champion was not trained on.

    Returns:
        Both readings; what the candidate reads as a label that is new to the champion is left out, for it is no contradiction.
    """
    found = []
    for version in (champion, candidate):
        encoder.set_adapters({version.manifest.task: version.weights})
        chances, labels = class_chances(version, encoder, texts), version.manifest.labels
        found.append([(labels[int(row.argmax())], float(row.max())) for row in chances])
    known = set(champion.manifest.labels)
    both = [(ours, theirs) for ours, theirs in zip(*found, strict=True) if theirs[0] in known]
    return Readings(
        tuple(ours[0] for ours, _ in both),
        np.array([ours[1] for ours, _ in both], dtype=np.float32),
        np.array([ours[0] == theirs[0] for ours, theirs in both], dtype=np.bool_),
    )


def class_chances(version: AdapterVersion, encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return calibrated probabilities ``(n, C)``; the encoder must hold the version's adapter under its task's name."""
    if not texts:
        return np.zeros((0, len(version.manifest.labels)), dtype=np.float32)
    return predict_classes(encoder, version.manifest.task, dict(version.head), version.manifest.temperature, texts)


def latencies(encoder: Encoder, versions: Sequence[AdapterVersion], texts: Sequence[str]) -> list[float]:
    """Measure how long one message takes with each version, so that a busy machine treats all of them alike.

    The versions take turns on the same message, and of its ``_TRIES`` passes the quickest counts: other programs only ever add
    time, and they add it to neighbours in time alike.

    Args:
        encoder: The base; the adapters that are set stay as they are.
        versions: Versions of one task.
        texts: Messages; the first ``_TIMED`` are taken, cut to 200 characters.

    Returns:
        For each version the median over messages, in milliseconds; 0 without messages.
    """
    stacks = [encoder.stack({one.manifest.task: one.weights}) for one in versions]
    spent: list[list[float]] = [[] for _ in versions]
    for text in texts[:_TIMED]:
        quickest = [float("inf")] * len(stacks)
        for turn in range(_TRIES):
            for place in range(len(stacks)):
                row = (place + turn) % len(stacks)  # neither always comes first
                started = time.perf_counter()
                encoder.encode_for_tasks([text[:200] or " "], stacks[row])
                quickest[row] = min(quickest[row], (time.perf_counter() - started) * 1e3)
        for row, best in enumerate(quickest):
            spent[row].append(best)
    return [float(np.median(times)) if times else 0.0 for times in spent]
