"""A labelled file and an adapter version -> the flat object of figures that ``deskhand evaluate`` prints.

Judges with the serving path, so the figures are those of what customers get; the main ones with 95 % intervals by bootstrap.
Knows nothing of promotion.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.registry import AdapterVersion
from finetune.bootstrap import Interval, f1_interval, interval
from finetune.dialog import predict_ranking, ranking_figures
from finetune.evaluate import classification_figures, span_figures
from finetune.examples import OUT_OF_SCOPE, read_labelled, read_pairs, read_tagged
from finetune.harvested import Pair
from finetune.holdout import read_holdout
from finetune.intent import predict_classes
from finetune.recipe import TASKS
from finetune.slots import predict_slots

SEED = 7


def judge(task: str, path: Path, encoder: Encoder, adapter: AdapterVersion) -> dict[str, float]:
    """Judge one adapter on a labelled file.

    Args:
        task: ``intent``, ``sentiment``, ``slots`` or ``dialog``.
        path: JSONL or CSV in the documented form; conversations for ``dialog``.
        encoder: The base; its adapters are replaced by this one.
        adapter: The version to judge.

    Returns:
        Figures by name, with ``n`` and ``seconds``; ``NAME_low`` and ``NAME_high`` are the ends of a 95 % interval.

    Raises:
        TrainingError: If the file is faulty, the task cannot be judged, or no label of the file is known to the adapter.
    """
    if task not in TASKS:
        raise TrainingError(f"{task!r} cannot be judged from a file; {', '.join(TASKS)} can")
    started = time.perf_counter()
    encoder.set_adapters({task: adapter.weights})
    kind = {"slots": _slots, "dialog": _dialog}.get(task, _classes)
    figures = kind(task, path, encoder, adapter)
    return {**figures, "seconds": round(time.perf_counter() - started, 2)}


def _slots(task: str, path: Path, encoder: Encoder, adapter: AdapterVersion) -> dict[str, float]:
    tagged = read_tagged(path)
    found = predict_slots(encoder, adapter, tagged)
    wanted = [example.spans for example in tagged]
    hits = np.array([len(set(one) & set(right)) for one, right in zip(found, wanted, strict=True)])
    ends = f1_interval(hits, np.array([len(set(one)) for one in found]), np.array([len(set(one)) for one in wanted]), SEED)
    return {**span_figures(found, wanted), **_ends("f1", ends), "n": len(tagged)}


def _dialog(task: str, path: Path, encoder: Encoder, adapter: AdapterVersion) -> dict[str, float]:
    pairs = _frozen_pairs(path) or read_pairs(path)
    ranks = predict_ranking(encoder, task, dict(adapter.head), pairs, SEED).ranks
    ends = _ends("recall_at_1_of_100", interval(ranks == 1, SEED)) | _ends("mrr", interval(1.0 / ranks, SEED))
    return {**ranking_figures(ranks), **ends, "n": len(pairs)}


def _frozen_pairs(path: Path) -> list[Pair]:
    """Return the rows of a frozen holdout of dialog; none where the file holds conversations."""
    try:
        with path.open(encoding="utf-8") as lines:
            first = json.loads(next(lines))
    except (OSError, ValueError, StopIteration):
        return []  # whoever reads conversations says what is wrong with it
    if not isinstance(first, dict) or not {"context", "reply"} <= first.keys():
        return []
    return [row for row in read_holdout(path, lambda row: row.ref) if isinstance(row, Pair)]


def _classes(task: str, path: Path, encoder: Encoder, adapter: AdapterVersion) -> dict[str, float]:
    labels = adapter.manifest.labels
    examples = read_labelled(path, sentiment=task == "sentiment")
    rows = {label: row for row, label in enumerate(labels)}
    truth = np.array([rows.get(example.label, -1) for example in examples])
    known = truth >= 0
    if not known.any():
        raise TrainingError(
            f"{path}: none of its labels ({', '.join(sorted({e.label for e in examples})[:5])}, …) is known to "
            f"{task} version {adapter.manifest.version}; train on your own labels first (--train FILE)"
        )
    chances = predict_classes(encoder, task, dict(adapter.head), adapter.manifest.temperature, [e.text for e in examples])
    # An adapter without the class cannot refuse; its accuracy is still that of the rows in scope.
    outside = np.array([example.label == OUT_OF_SCOPE for example in examples]) & ~known
    figures = classification_figures(chances[~outside], truth[~outside], labels)
    if outside.any():
        figures["oos_recall"] = 0.0
    scope = rows.get(OUT_OF_SCOPE, -2)
    inside = ~outside & (truth != scope)
    guessed, right = chances[inside].argmax(axis=1), truth[inside]
    if len(right):
        classes = np.arange(-1, len(labels))
        one_hot, wanted = guessed[:, None] == classes, right[:, None] == classes
        figures |= _ends("accuracy", interval(guessed == right, SEED))
        figures |= _ends("macro_f1", f1_interval(one_hot & wanted, one_hot, wanted, SEED))
    return {**figures, "n": len(examples)}


def _ends(name: str, found: Interval) -> dict[str, float]:
    return {f"{name}_low": round(found.low, 4), f"{name}_high": round(found.high, 4)}
