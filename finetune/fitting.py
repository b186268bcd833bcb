"""Train one task's learner: once, or with several seeds folded into one adapter; and write what came out.

Folding is a model soup (Wortsman et al. 2022, arXiv:2203.05482): trainings that begin alike and see the examples in another
order are averaged weight by weight; the average is kept where it judges no worse than the best of them. Knows runs and
learners; what a label is, task files know.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assistant.adapter_files import HEAD, Manifest, write_manifest
from assistant.encoder import Encoder
from finetune.adapted import AdaptedEncoder
from finetune.loop import Learner, steps_of, train
from finetune.ranks import Ranks
from finetune.recipe import Progress, Run

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained adapter and head, in eval mode, with the epochs of every seed; ``mark`` names its checkpoints."""

    adapted: AdaptedEncoder
    learner: Learner
    history: tuple[Progress, ...]
    mark: str


def fit(
    run: Run,
    encoder: Encoder,
    count: int,
    build: Callable[[AdaptedEncoder], Learner],
    training_set: str,
    ranks: Ranks | None = None,
    until: Mapping[int, int] | None = None,
) -> Fitted:
    """Train by the run's settings.

    Args:
        run: Settings, progress, and where checkpoints go.
        encoder: The frozen base.
        count: Number of training examples.
        build: Makes the task's learner for an adapted encoder; called once per seed.
        training_set: Checksums of training and validation rows; a checkpoint of others is not taken up.
        ranks: The processes that train together.
        until: Seed -> the epoch after which its training stops, where that was chosen before; nothing is judged then.

    Returns:
        Adapter and head of the best epoch, or of the soup.
    """
    import torch

    settings, ranks = run.settings, ranks or Ranks()
    steps = steps_of(count, settings, ranks)
    mark = fingerprint(run, training_set, encoder.sha256, ranks.world)
    until = until or {}
    told = run.steps if ranks.first else None
    history: list[Progress] = []
    found: list[list[Tensor]] = []
    scores: list[float] = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        adapted = AdaptedEncoder(encoder, settings, steps, told)
        torch.manual_seed(settings.seed)  # heads begin alike too
        learner = build(adapted)
        stage = "refit-" if until else ""
        kept_at = run.work / mark[:16] / f"{stage}seed-{seed}.safetensors" if run.work else None
        epochs = train(
            adapted,
            learner,
            settings,
            seed=seed,
            ranks=ranks,
            kept_at=kept_at,
            fingerprint=stage + mark,
            until=until.get(seed, 0),
            progress=run.progress,
            told=told,
        )
        history += epochs
        scores.append(max(one.score for one in epochs))
        found.append([p.detach().clone() for p in _weights(adapted, learner)])
    adapted.exact = True
    if len(found) > 1:
        _fold(adapted, learner, found, [] if until else scores)
    return Fitted(adapted, learner, tuple(history), mark)


def fingerprint(run: Run, training_set: str, base: str, world: int = 1) -> str:
    """Return what a checkpoint must share with a run to be taken up by it.

    That is task, settings, examples, base, Deskhand's version, and how many processes train, since steps count in their batches.
    """
    text = json.dumps([run.task, run.settings.as_dict(), training_set, base, run.code_version, world], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def write_version(
    run: Run, fitted: Fitted, encoder: Encoder, head: Mapping[str, Tensor], manifest_values: Mapping[str, Any]
) -> Manifest:
    """Write adapter, head and manifest into the run's staged folder.

    Args:
        run: Where it goes, and what it is called.
        fitted: What was trained.
        encoder: The frozen base.
        head: The head's tensors as they are served.
        manifest_values: ``labels``, ``training_set``, ``scores``, ``thresholds``, ``temperature``, ``head``.

    Returns:
        The manifest, with the files' checksums.
    """
    from safetensors.torch import save_file

    fitted.adapted.save(run.staged)
    save_file({name: tensor.detach().contiguous() for name, tensor in head.items()}, run.staged / HEAD)
    values = dict(manifest_values)
    values["training_set"] = {**values["training_set"], "sources": list(run.sources), "checkpoint": fitted.mark[:16], **run.facts}
    return write_manifest(
        run.staged,
        Manifest(
            task=run.task,
            version=run.version,
            base_name=encoder.name,
            base_sha256=encoder.sha256,
            method=run.settings.as_dict(),
            seed=run.settings.seed,
            code_version=run.code_version,
            created_at=run.created_at.isoformat(),
            **values,
        ),
    )


def _weights(adapted: AdaptedEncoder, learner: Learner) -> list[Any]:
    return [*adapted.parameters(), *learner.head.parameters()]


def _fold(adapted: AdaptedEncoder, learner: Learner, found: list[list[Tensor]], scores: list[float]) -> None:
    """Load the average of all trainings, or the best of them where the average judges worse than ``scores``, if any are given."""
    import torch

    own = _weights(adapted, learner)

    def load(values: list[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(own, values, strict=True):
                parameter.copy_(value)

    load([torch.stack(parts).mean(0) for parts in zip(*found, strict=True)])
    if not scores:
        return
    with torch.inference_mode():
        folded = learner.judge()
    if folded < max(scores):
        load(found[scores.index(max(scores))])
