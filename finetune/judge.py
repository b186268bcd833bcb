"""A labelled file and an adapter version -> the flat object of figures that ``deskhand evaluate`` prints.

Judges with the serving path, so the figures are those of what customers get. Knows nothing of promotion.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.registry import AdapterVersion
from finetune.evaluate import classification_figures, span_figures
from finetune.examples import OUT_OF_SCOPE, read_labelled, read_tagged
from finetune.intent import predict_classes
from finetune.slots import predict_slots


def judge(task: str, path: Path, encoder: Encoder, adapter: AdapterVersion) -> dict[str, float]:
    """Judge one adapter on a labelled file.

    Args:
        task: ``intent``, ``sentiment`` or ``slots``.
        path: JSONL or CSV in the documented form.
        encoder: The base; its adapters are replaced by this one.
        adapter: The version to judge.

    Returns:
        Figures by name, with ``n`` and ``seconds``.

    Raises:
        TrainingError: If the file is faulty, the task cannot be judged, or no label of the file is known to the adapter.
    """
    started = time.perf_counter()
    encoder.set_adapters({task: adapter.lora})
    labels = adapter.manifest.labels
    if task == "slots":
        tagged = read_tagged(path)
        spans = predict_slots(encoder, task, labels, dict(adapter.head), [example.text for example in tagged])
        figures = span_figures(spans, [example.spans for example in tagged])
        return {**figures, "n": len(tagged), "seconds": round(time.perf_counter() - started, 2)}
    if task not in ("intent", "sentiment"):
        raise TrainingError(f"{task!r} cannot be judged from a file of labels; intent, sentiment and slots can")
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
    return {**figures, "n": len(examples), "seconds": round(time.perf_counter() - started, 2)}
