"""Slot adapters: a token tagger with IOB2 labels on the adapted encoder.

Tags follow Ramshaw & Marcus 1995 (IOB2 as in CoNLL-2002). Knows nothing of what a slot's value means.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.heads import spans_from_tags
from assistant.registry import HEAD, Manifest, write_manifest
from finetune.evaluate import span_figures
from finetune.examples import Tagged, digest
from finetune.intent import Trained
from finetune.lora import AdaptedEncoder, LoraSettings, Progress, train

if TYPE_CHECKING:
    from torch import Tensor

Spans = list[list[tuple[int, int, str]]]


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


def train_slots(
    training: Sequence[Tagged],
    validation: Sequence[Tagged],
    encoder: Encoder,
    staged: Path,
    *,
    version: str,
    created_at: datetime,
    code_version: str,
    sources: Sequence[str],
    settings: LoraSettings,
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train a slot adapter and write it, complete with manifest, into ``staged``.

    Args:
        training: Texts with spans.
        validation: Held apart; for early stopping only.
        encoder: The frozen base.
        staged: Empty folder on the registry's file system.
        version: Name of the new version.
        created_at: Time written into the manifest.
        code_version: Deskhand's version.
        sources: Names of the files the examples came from.
        settings: Rank, rates, epochs, seed.
        progress: Called after every epoch.

    Returns:
        The staged folder with manifest and history.

    Raises:
        TrainingError: If no training example holds a span, or there is nothing to validate on.
    """
    import torch
    from safetensors.torch import save_file
    from torch.nn import functional as fn
    from torch.nn.utils.rnn import pad_sequence

    slots = sorted({slot for example in training for _, _, slot in example.spans})
    if not slots or not validation:
        raise TrainingError(
            f"{len(training)} training examples with {len(slots)} slots and {len(validation)} validation examples; "
            "at least one slot and one validation example are needed"
        )
    labels = ("O", *(f"{kind}-{slot}" for slot in slots for kind in "BI"))
    rows = {label: row for row, label in enumerate(labels)}
    adapted = AdaptedEncoder(encoder, settings)
    head: Any = torch.nn.Module()
    head.deep = torch.nn.Linear(adapted.dim, len(labels))
    prepared = adapted.prepare([example.text for example in training])
    states = [state for state, _ in prepared]
    targets = [
        torch.tensor([rows[tag] for tag in tags_of(example.spans, offsets)])
        for example, (_, offsets) in zip(training, prepared, strict=True)
    ]
    judged = adapted.prepare([example.text for example in validation])

    def loss(batch: list[int]) -> Tensor:
        hidden, _ = adapted.hidden([states[row] for row in batch])
        wanted = pad_sequence([targets[row] for row in batch], batch_first=True, padding_value=-100)
        return fn.cross_entropy(head.deep(hidden).flatten(0, 1), wanted.flatten())

    def predict() -> Spans:
        found: Spans = []
        for at in range(0, len(judged), 128):
            chunk = judged[at : at + 128]
            hidden, _ = adapted.hidden([state for state, _ in chunk])
            for row, tags in enumerate(head.deep(hidden).argmax(-1).tolist()):
                offsets = chunk[row][1]
                names = [labels[tag] for tag in tags[: len(offsets)]]
                found.append(spans_from_tags(names, offsets, validation[at + row].text))
        return found

    def figures() -> dict[str, float]:
        return span_figures(predict(), [example.spans for example in validation])

    lengths = [len(state) for state in states]
    history = train(adapted, head, lengths, loss, lambda: figures()["f1"], settings, progress)
    with torch.inference_mode():
        scores = {f"validation_{name}": value for name, value in figures().items()}
    adapted.save(staged)
    tensors = {"deep.weight": head.deep.weight.detach(), "deep.bias": head.deep.bias.detach()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, staged / HEAD)
    manifest = write_manifest(
        staged,
        Manifest(
            task="slots",
            version=version,
            base_name=encoder.name,
            base_sha256=encoder.sha256,
            method=settings.as_dict(),
            labels=labels,
            training_set={"sha256": digest(training), "examples": len(training), "sources": list(sources)},
            seed=settings.seed,
            code_version=code_version,
            scores=scores,
            thresholds={},
            temperature=1.0,
            created_at=created_at.isoformat(),
            head={"kind": "token-tagger"},
        ),
    )
    return Trained(staged, manifest, tuple(history))


def predict_slots(encoder: Encoder, name: str, labels: Sequence[str], head: dict[str, Tensor], texts: Sequence[str]) -> Spans:
    """Tag texts with the serving path; return their spans."""
    found: Spans = []
    for at in range(0, len(texts), 64):
        chunk = list(texts[at : at + 64])
        block = encoder.encode_for_tasks(chunk)
        scores = block.hidden[name] @ head["deep.weight"].T + head["deep.bias"]
        for row, tags in enumerate(scores.argmax(-1).tolist()):
            offsets = block.offsets[row]
            found.append(spans_from_tags([labels[tag] for tag in tags[: len(offsets)]], offsets, chunk[row]))
    return found
