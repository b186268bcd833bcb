"""Slot adapters: a token tagger with IOB2 labels on the adapted encoder.

Tags follow Ramshaw & Marcus 1995 (IOB2 as in CoNLL-2002). Knows nothing of what a slot's value means.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistant.adapter_files import AdapterVersion, Manifest
from assistant.batches import by_length
from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.heads import behind_question, tagged_spans
from finetune.adapted import AdaptedEncoder, Prepared
from finetune.evaluate import span_figures
from finetune.examples import Tagged, digest
from finetune.fitting import fit, write_version
from finetune.loop import Learner
from finetune.ranks import Ranks
from finetune.recipe import Progress, Run

if TYPE_CHECKING:
    from torch import Tensor

Spans = list[list[tuple[int, int, str]]]


@dataclass(frozen=True, slots=True)
class TrainedTagger:
    """What a training run leaves: its manifest, the epochs, and the spans the new version finds in the validation texts."""

    manifest: Manifest
    history: tuple[Progress, ...]
    found: Spans


def tags_of(spans: Sequence[tuple[int, int, str]], offsets: Sequence[tuple[int, int]]) -> list[str]:
    """Turn character spans into one IOB2 tag per token; a token that overlaps a span belongs to it.

    Args:
        spans: ``(start, end, slot)``, not overlapping.
        offsets: Character range of each token; empty ranges are special tokens.

    Returns:
        ``O``, ``B-slot`` or ``I-slot`` for each token.
    """
    tags = ["O"] * len(offsets)
    for start, end, slot in spans:
        inside = [row for row, (left, right) in enumerate(offsets) if right > left and left < end and right > start]
        for place, row in enumerate(inside):
            tags[row] = f"{'I' if place else 'B'}-{slot}"
    return tags


def taken_once(examples: Sequence[Tagged]) -> list[str]:
    """Name the slots that no text holds more than once: then a second span is a mistake, and the likelier one counts."""
    counts = [Counter(slot for _, _, slot in example.spans) for example in examples]
    return sorted({slot for count in counts for slot in count} - {slot for count in counts for slot in count if count[slot] > 1})


def train_slots(
    run: Run, training: Sequence[Tagged], validation: Sequence[Tagged], encoder: Encoder, *, ranks: Ranks | None = None
) -> TrainedTagger:
    """Train a slot adapter and write it, complete with manifest, into the run's staged folder.

    Augmentation would move the spans; the only noise a tagger sees is letter case.

    Args:
        run: Version, settings, and where it is written.
        training: Texts with spans.
        validation: Held apart; for early stopping only.
        encoder: The frozen base.
        ranks: The processes that train together.

    Returns:
        The manifest, the epochs, and what is found in the validation texts.

    Raises:
        TrainingError: If settings cannot work, no training example holds a span, or there is nothing to validate on.
    """
    import torch
    from torch.nn import functional as fn
    from torch.nn.utils.rnn import pad_sequence

    run.settings.check(run.task)
    slots = sorted({slot for example in training for _, _, slot in example.spans})
    if not slots or not validation:
        raise TrainingError(
            f"{len(training)} training examples with {len(slots)} slots and {len(validation)} validation examples; "
            "at least one slot and one validation example are needed"
        )
    labels = ("O", *(f"{kind}-{slot}" for slot in slots for kind in "BI"))
    rows = {label: row for row, label in enumerate(labels)}
    once = taken_once(training)
    settings = run.settings

    def build(adapted: AdaptedEncoder) -> Learner:
        head: Any = torch.nn.Module()
        head.deep = torch.nn.Linear(adapted.dim, len(labels))
        texts = [behind_question(example.text, example.asked) for example in training]
        copies = [texts, [text.swapcase() if text.islower() else text.lower() for text in texts]] if settings.casing else [texts]
        prepared = [adapted.prepare(copy) for copy in copies]
        targets = [
            [
                torch.tensor([rows[tag] for tag in tags_of(_shifted(example), row.offsets)])
                for example, row in zip(training, copy, strict=True)
            ]
            for copy in prepared
        ]
        judged = adapted.prepare([behind_question(example.text, example.asked) for example in validation])
        taken = [0] * len(training)

        def fresh(rng: random.Random) -> None:
            taken[:] = [int(rng.random() < settings.casing) for _ in taken]

        def scores(batch: Sequence[Prepared]) -> Tensor:
            hidden, _ = adapted.hidden(batch)
            found: Tensor = head.deep(fn.dropout(hidden, settings.dropout, training=head.training))
            return found

        def loss(batch: list[int]) -> Tensor:
            wanted = pad_sequence([targets[taken[row]][row] for row in batch], batch_first=True, padding_value=-100)
            logits = scores([prepared[taken[row]][row] for row in batch])
            return fn.cross_entropy(logits.flatten(0, 1), wanted.flatten(), label_smoothing=settings.label_smoothing)

        def predict() -> Spans:
            spans: Spans = [[] for _ in judged]
            for batch in by_length([len(row) for row in judged], 128):
                for row, logits in zip(batch, scores([judged[row] for row in batch]), strict=True):
                    spans[row] = _own_spans(logits, labels, judged[row].offsets, validation[row], once)
            return spans

        def judge() -> float:
            return span_figures(predict(), [example.spans for example in validation])["f1"]

        return Learner(head, [len(row) for row in prepared[0]], loss, predict, judge, fresh)

    fitted = fit(run, encoder, len(training), build, digest(training) + digest(validation), ranks)
    with torch.inference_mode():
        found: Spans = fitted.learner.predict()
    figures = span_figures(found, [example.spans for example in validation])
    head: Any = fitted.learner.head
    values = {
        "labels": labels,
        "training_set": {"sha256": digest(training), "examples": len(training)},
        "scores": {f"validation_{name}": value for name, value in figures.items()},
        "thresholds": {},
        "temperature": 1.0,
        "head": {"kind": "token-tagger", "asked": any(example.asked for example in training), "once": once},
    }
    tensors = {"deep.weight": head.deep.weight, "deep.bias": head.deep.bias}
    return TrainedTagger(write_version(run, fitted, encoder, tensors, values), fitted.history, found)


def predict_slots(encoder: Encoder, version: AdapterVersion, examples: Sequence[Tagged]) -> Spans:
    """Tag the examples' texts with the serving path.

    Args:
        encoder: With the adapter set under its task's name.
        version: The adapter: its labels, ``deep.weight (C, D)`` and ``deep.bias (C,)``, and which slots a text holds once.
        examples: Texts with what was asked before them; their spans are not looked at.

    Returns:
        The spans found in each text.
    """
    head, labels, once = version.head, version.manifest.labels, version.manifest.head.get("once", ())
    found: Spans = [[] for _ in examples]
    for rows in by_length([len(example.text) for example in examples], 64):
        block = encoder.encode_for_tasks([behind_question(examples[row].text, examples[row].asked) for row in rows])
        scores = block.hidden[version.manifest.task] @ head["deep.weight"].T + head["deep.bias"]
        for place, row in enumerate(rows):
            found[row] = _own_spans(scores[place], labels, block.offsets[place], examples[row], once)
    return found


def _shifted(example: Tagged) -> tuple[tuple[int, int, str], ...]:
    """Return the spans where they stand behind the question."""
    before = len(behind_question(example.text, example.asked)) - len(example.text)
    return tuple((start + before, end + before, slot) for start, end, slot in example.spans)


def _own_spans(
    logits: Tensor, labels: Sequence[str], offsets: Sequence[tuple[int, int]], example: Tagged, once: Sequence[str]
) -> list[tuple[int, int, str]]:
    """Return the spans of the text itself, without the question before it."""
    text = behind_question(example.text, example.asked)
    before = len(text) - len(example.text)
    return [
        (start - before, end - before, slot) for start, end, slot in tagged_spans(logits, labels, offsets, text, once, before)
    ]
