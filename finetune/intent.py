"""Classifier adapters (intent and sentiment): examples -> a finished, checked version in the registry's staging folder.

Out-of-scope examples (label ``oos``) are a class of their own. Confidence is calibrated by one temperature on validation
(Guo et al. 2017, arXiv:1706.04599); thresholds are chosen there too. Knows nothing of which version serves.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.heads import BUCKETS, bags, class_logits, hashed
from assistant.registry import HEAD, Manifest, write_manifest
from finetune.evaluate import (
    auroc,
    choose_out_of_scope_threshold,
    choose_threshold,
    classification_figures,
    fit_temperature,
    softmax,
)
from finetune.examples import OUT_OF_SCOPE, Labelled, check_labels, digest
from finetune.lora import AdaptedEncoder, LoraSettings, Progress, train

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor

    from assistant.heads import Hashed


@dataclass(frozen=True, slots=True)
class Trained:
    """What a training run leaves: the staged folder, its manifest, and the epochs."""

    folder: Path
    manifest: Manifest
    history: tuple[Progress, ...]


def class_head(dim: int, classes: int) -> torch.nn.Module:
    """Build the wide-and-deep head: ``deep`` over the pooled vector, ``wide`` over hashed n-grams, from zero."""
    import torch

    head = torch.nn.Module()
    head.deep = torch.nn.Linear(dim, classes)
    head.wide = torch.nn.Embedding(BUCKETS, classes)
    torch.nn.init.zeros_(head.wide.weight)
    torch.nn.init.normal_(head.deep.weight, std=0.02)
    return head


def train_classifier(
    task: str,
    training: Sequence[Labelled],
    validation: Sequence[Labelled],
    encoder: Encoder,
    staged: Path,
    *,
    version: str,
    created_at: datetime,
    code_version: str,
    sources: Sequence[str],
    settings: LoraSettings,
    labels: Sequence[str] = (),
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train one classifier adapter and write it, complete with manifest, into ``staged``.

    Args:
        task: ``intent`` or ``sentiment``.
        training: Labelled texts.
        validation: Held apart; used for early stopping, temperature and thresholds only.
        encoder: The frozen base.
        staged: Empty folder on the registry's file system.
        version: Name of the new version.
        created_at: Time written into the manifest.
        code_version: Deskhand's version.
        sources: Names of the files the examples came from.
        settings: Rank, rates, epochs, seed.
        labels: Fixed label order; empty means the sorted labels of the training set.
        progress: Called after every epoch.

    Returns:
        The staged folder with manifest and history.

    Raises:
        TrainingError: If labels are too few, or validation holds none of them. Rows of other labels are left out of it.
    """
    import torch
    from safetensors.torch import save_file
    from torch.nn import functional as fn

    found_labels = check_labels(training)
    names = tuple(labels) or found_labels
    if set(found_labels) - set(names):
        raise TrainingError(f"labels {', '.join(sorted(set(found_labels) - set(names)))} are none of {', '.join(names)}")
    rows = {name: row for row, name in enumerate(names)}
    validation = [example for example in validation if example.label in rows]
    if not validation:
        raise TrainingError(f"validation holds none of the labels that are trained ({', '.join(names[:5])}, …)")
    adapted = AdaptedEncoder(encoder, settings)
    head: Any = class_head(adapted.dim, len(names))
    texts = [example.text for example in training]
    states = [state for state, _ in adapted.prepare(texts)]
    targets = torch.tensor([rows[example.label] for example in training])
    counts = torch.bincount(targets, minlength=len(names)).float()
    # Rare classes weigh more, by the square root only: full balancing let the noisiest classes dominate.
    weights = (counts.mean() / counts.clamp(min=1)).sqrt()
    judged = [example.text for example in validation]
    judged_states = [state for state, _ in adapted.prepare(judged)]
    truth = np.array([rows[example.label] for example in validation])
    oos = names.index(OUT_OF_SCOPE) if OUT_OF_SCOPE in names else -1
    if oos >= 0:
        weights[oos] = 1.0
    scale = 12.0  # unit vectors need a scale to give peaked classes; folded into the deep weights below

    grams, judged_grams = [hashed(text) for text in texts], [hashed(text) for text in judged]

    def logits(lower: Sequence[Tensor], rows: Sequence[Hashed]) -> Tensor:
        hidden, mask = adapted.hidden(lower)
        buckets, offsets, values = bags(rows)
        wide = fn.embedding_bag(buckets, head.wide.weight, offsets, mode="sum", per_sample_weights=values)
        pooled = fn.dropout(adapted.pool(hidden, mask), settings.dropout, training=head.training)
        scored: Tensor = scale * head.deep(pooled) + wide
        return scored

    def loss(batch: list[int]) -> Tensor:
        scores = logits([states[row] for row in batch], [grams[row] for row in batch])
        return fn.cross_entropy(scores, targets[batch], weight=weights, label_smoothing=settings.label_smoothing)

    def predict() -> NDArray[np.float32]:
        parts = [logits(judged_states[at : at + 128], judged_grams[at : at + 128]).numpy() for at in range(0, len(judged), 128)]
        return np.concatenate(parts) if parts else np.zeros((0, len(names)), dtype=np.float32)

    def judge() -> float:
        found = predict()
        # Accuracy on the company's own business first, then how well the rest is told apart, then the likelihood.
        inside = truth != oos
        right = float((found[inside].argmax(1) == truth[inside]).mean()) if inside.any() else 0.0
        apart = auroc(softmax(found)[:, oos], ~inside) if oos >= 0 else 1.0
        chance = softmax(found)[np.arange(len(truth)), truth]
        return 0.8 * right + 0.18 * apart + 0.02 * math.exp(float(np.log(chance + 1e-9).mean()))

    history = train(adapted, head, [len(state) for state in states], loss, judge, settings, progress)
    tensors = {
        "deep.weight": (head.deep.weight.detach() * scale).contiguous(),
        "deep.bias": (head.deep.bias.detach() * scale).contiguous(),
        "wide.weight": head.wide.weight.detach().to(torch.float16).contiguous(),
    }
    with torch.inference_mode():
        final = predict()
    temperature = fit_temperature(final, truth)
    scores, thresholds = _figures(final / temperature, truth, names)
    adapted.save(staged)
    save_file(tensors, staged / HEAD)
    manifest = write_manifest(
        staged,
        Manifest(
            task=task,
            version=version,
            base_name=encoder.name,
            base_sha256=encoder.sha256,
            method=settings.as_dict(),
            labels=names,
            training_set={"sha256": digest(training), "examples": len(training), "sources": list(sources)},
            seed=settings.seed,
            code_version=code_version,
            scores=scores,
            thresholds=thresholds,
            temperature=temperature,
            created_at=created_at.isoformat(),
            head={"kind": "wide-and-deep", "buckets": BUCKETS},
        ),
    )
    return Trained(staged, manifest, tuple(history))


def predict_classes(
    encoder: Encoder, name: str, head: dict[str, Tensor], temperature: float, texts: Sequence[str], batch: int = 64
) -> NDArray[np.float32]:
    """Judge texts with the serving path.

    Args:
        encoder: With the adapter ``name`` set.
        name: Adapter name in the encoder's bank.
        head: The head's tensors.
        temperature: Divides the logits.
        texts: ``n`` texts.
        batch: Texts per forward pass.

    Returns:
        Probabilities ``(n, C)``.
    """
    parts = []
    for at in range(0, len(texts), batch):
        chunk = list(texts[at : at + batch])
        block = encoder.encode_for_tasks(chunk)
        parts.append((class_logits(head, encoder.pool(block.hidden[name], block.mask), chunk) / temperature).numpy())
    return softmax(np.concatenate(parts)) if parts else np.zeros((0, 0), dtype=np.float32)


def _figures(
    logits: NDArray[np.float32], truth: NDArray[np.int64], names: Sequence[str]
) -> tuple[dict[str, float], dict[str, float]]:
    chances = softmax(logits)
    scores = {f"validation_{key}": value for key, value in classification_figures(chances, truth, names).items()}
    thresholds: dict[str, float] = {}
    if OUT_OF_SCOPE in names:
        oos = names.index(OUT_OF_SCOPE)
        thresholds["max_out_of_scope"] = choose_out_of_scope_threshold(chances[:, oos], truth == oos)
        # As the check uses it: among what is not refused as out of scope, the best intent beside that class.
        answered = (truth != oos) & (chances[:, oos] <= thresholds["max_out_of_scope"])
        business = chances[answered].copy()
        business[:, oos] = 0.0
        thresholds["min_confidence"] = choose_threshold(business, truth[answered])
    else:
        thresholds["min_confidence"] = choose_threshold(chances, truth)
    return scores, thresholds
