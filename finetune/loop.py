"""The one loop that trains every task: batches, optimiser, adversarial step, moving average, early stopping, resuming.

Task files give a ``Learner``: a head, a loss and a judge. Sources: AdamW with linear warm-up and decay (Loshchilov & Hutter
2019, arXiv:1711.05101); FGM (Miyato et al. 2017, arXiv:1605.07725); weight averaging (Polyak & Juditsky 1992). Knows nothing
of labels or texts.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune import checkpoint
from finetune.adapted import AdaptedEncoder
from finetune.ranks import Ranks
from finetune.recipe import Progress, Steps, TrainSettings

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Learner:
    """What a task gives the loop.

    Attributes:
        head: Its own parameters; those whose name starts with ``wide`` get their own learning rate.
        lengths: Token count of every training example.
        loss: Row numbers -> mean loss of these rows.
        predict: Judges the validation rows as the weights stand; what it returns is the task's. Called in eval mode.
        judge: Score on validation in [0, 1]; called in eval mode after every epoch.
        fresh: Called at the beginning of an epoch with a source of randomness; chooses augmented copies and the like.
    """

    head: torch.nn.Module
    lengths: Sequence[int]
    loss: Callable[[list[int]], Tensor]
    predict: Callable[[], Any]
    judge: Callable[[], float]
    fresh: Callable[[random.Random], None] = lambda rng: None


def batches(count: int, size: int, lengths: Sequence[int], rng: random.Random) -> Iterator[list[int]]:
    """Yield shuffled batches of row numbers whose texts have like lengths, which saves padding."""
    order = list(range(count))
    rng.shuffle(order)
    span = size * 16
    grouped = []
    for start in range(0, count, span):
        chunk = sorted(order[start : start + span], key=lambda row: lengths[row])
        grouped += [chunk[at : at + size] for at in range(0, len(chunk), size)]
    rng.shuffle(grouped)
    yield from grouped


def steps_of(count: int, settings: TrainSettings, ranks: Ranks) -> int:
    """Return how many optimiser steps a whole training makes."""
    size = settings.batch_size * ranks.world * settings.accumulate
    return settings.epochs * -(-min(count, settings.epoch_examples or count) // size)


def train(
    adapted: AdaptedEncoder,
    learner: Learner,
    settings: TrainSettings,
    *,
    seed: int,
    ranks: Ranks | None = None,
    kept_at: Path | None = None,
    fingerprint: str = "",
    until: int = 0,
    progress: Callable[[Progress], None] | None = None,
    told: Steps | None = None,
) -> list[Progress]:
    """Train adapter and head together, keep the epoch that scored best on validation.

    Args:
        adapted: The base with its adapter.
        learner: The task.
        settings: Epochs, rates, patience.
        seed: Of the order of examples.
        ranks: The processes that train together.
        kept_at: Checkpoint file; a run with the same fingerprint goes on from it.
        fingerprint: Of settings and examples.
        until: Stop after this epoch and keep its weights, however they judge; 0 lets validation choose.
        progress: Called after each epoch that is run here, on the first process.
        told: Called after each step.

    Returns:
        The epochs that were run, earlier ones of a resumed run included; adapter and head hold the best one.
    """
    import torch

    ranks = ranks or Ranks()
    state = _State(adapted, learner, settings, steps_of(len(learner.lengths), settings, ranks))
    history: list[Progress] = []
    found = checkpoint.load(kept_at, fingerprint) if kept_at else None
    if found is not None:
        history = state.restore(found)
    for epoch in range(len(history) + 1, (until or settings.epochs) + 1):
        if not until and history and len(history) - max(history, key=lambda one: one.score).epoch >= settings.patience:
            break
        started = time.perf_counter()
        rng = random.Random(f"{seed} {epoch}")
        torch.manual_seed(seed * 1000 + epoch)
        loss = state.epoch(rng, ranks, told)
        score = ranks.agree(state.judged() if ranks.first else 0.0)
        seconds = time.perf_counter() - started
        history.append(Progress(epoch, until or settings.epochs, loss, score, seconds, seed, refit=bool(until)))
        if until or score >= max(one.score for one in history):
            state.keep()
        if ranks.first:
            if kept_at:
                checkpoint.save(kept_at, state.snapshot(history), fingerprint)
            if progress:
                progress(history[-1])
    state.restore_best()
    return history


class _State:
    """Everything that changes while a training goes on."""

    def __init__(self, adapted: AdaptedEncoder, learner: Learner, settings: TrainSettings, steps: int) -> None:
        import torch

        self._adapted, self._learner, self._settings = adapted, learner, settings
        named = list(learner.head.named_parameters())
        wide = [p for n, p in named if n.startswith("wide")]
        for parameter in wide:  # 32,768 rows: at rate 0 their gradients would cost time and change nothing
            parameter.requires_grad_(settings.wide_learning_rate > 0)
        deep = [p for n, p in named if not n.startswith("wide")]
        groups: list[dict[str, Any]] = [
            {"params": adapted.parameters(), "lr": settings.adapter_rate, "weight_decay": settings.weight_decay},
            {"params": deep, "lr": settings.head_learning_rate, "weight_decay": settings.weight_decay},
            {"params": [p for p in wide if p.requires_grad], "lr": settings.wide_learning_rate, "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self._parameters = [parameter for group in groups for parameter in group["params"]]
        # Looked up on the class: peft hands out AdaLoRA's parameters anew after it has changed their number.
        self._optimiser = torch.optim.AdamW(groups, fused=True)
        self._rates = [group["lr"] for group in groups]
        self._steps, self._ramp = steps, max(1, int(steps * settings.warmup))
        self._step = 0
        self._best: list[Tensor] = []
        self._average = [p.detach().clone() for p in self._parameters] if settings.average else []

    def epoch(self, rng: random.Random, ranks: Ranks, told: Steps | None) -> float:
        """Run one epoch and return its mean loss."""
        settings, learner = self._settings, self._learner
        self._adapted.model.train()
        learner.head.train()
        learner.fresh(rng)
        total, seen = 0.0, 0
        size = settings.batch_size * ranks.world
        queue = list(batches(len(learner.lengths), size, learner.lengths, rng))
        if settings.epoch_examples:
            queue = queue[: -(-settings.epoch_examples // size)]
        for start in range(0, len(queue), settings.accumulate):
            group = queue[start : start + settings.accumulate]
            count = sum(len(rows) for rows in group)
            self._optimiser.zero_grad(set_to_none=True)
            for rows in group:
                mine = ranks.share(rows)
                if mine:
                    total += self._backward(mine, len(mine) / count, rng) * len(mine)
                    seen += len(mine)
            ranks.add_gradients(self._parameters)
            self._take_step()
            if told:
                told("training steps", self._step, self._steps)
        self._adapted.model.eval()
        learner.head.eval()
        return total / max(1, seen)

    def _backward(self, rows: list[int], share: float, rng: random.Random) -> float:
        """Add the gradients of these rows, adversarial ones included; return their loss."""
        adversarial = self._settings.adversarial
        drawn = rng.getstate()
        self._adapted.watch(bool(adversarial))
        loss = self._learner.loss(rows)
        ((loss + self._adapted.penalty()) * share).backward()  # type: ignore[no-untyped-call]
        if adversarial:
            self._adapted.perturb(adversarial)
            rng.setstate(drawn)  # a loss that draws its negatives must draw the same again, or the shifts fit no row
            (self._learner.loss(rows) * share).backward()  # type: ignore[no-untyped-call]
            self._adapted.watch(False)
        return float(loss.detach())

    def _take_step(self) -> None:
        import torch

        self._step += 1
        factor = min(self._step / self._ramp, max(0.0, (self._steps - self._step + 1) / max(1, self._steps - self._ramp)))
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        torch.nn.utils.clip_grad_norm_(self._adapted.parameters(), 1.0)
        self._optimiser.step()
        self._adapted.after_step(self._step)
        if self._average:
            # The average starts as the weights themselves and becomes longer as training goes on.
            decay = min(self._settings.average, self._step / (self._step + 10))
            with torch.no_grad():
                torch._foreach_lerp_(self._average, [p.detach() for p in self._parameters], 1 - decay)

    def judged(self) -> float:
        """Return the validation score of what would be kept now."""
        import torch

        with torch.inference_mode(), self._averaged():
            return self._learner.judge()

    def keep(self) -> None:
        """Remember these weights as the best."""
        self._best = [tensor.detach().clone() for tensor in (self._average or self._parameters)]

    def restore_best(self) -> None:
        """Put the best weights into adapter and head."""
        if self._best:
            self._load(self._best)
        self._adapted.model.eval()
        self._learner.head.eval()

    def snapshot(self, history: Sequence[Progress]) -> checkpoint.Checkpoint:
        """Return everything a later process needs to go on."""
        tensors = {f"weight.{n}": p.detach() for n, p in enumerate(self._parameters)}
        tensors |= {f"best.{n}": tensor for n, tensor in enumerate(self._best)}
        tensors |= {f"average.{n}": tensor for n, tensor in enumerate(self._average)}
        tensors |= {f"adapter.{name}": tensor for name, tensor in self._adapted.state().items()}
        tensors |= checkpoint.optimiser_tensors(self._optimiser, self._parameters)
        return checkpoint.Checkpoint(tensors, tuple(history), self._step)

    def restore(self, found: checkpoint.Checkpoint) -> list[Progress]:
        """Go on from a checkpoint; return its epochs."""
        count = len(self._parameters)
        self._load([found.tensors[f"weight.{n}"] for n in range(count)])
        self._best = [found.tensors[f"best.{n}"].clone() for n in range(count)]
        if self._average:
            self._average = [found.tensors[f"average.{n}"].clone() for n in range(count)]
        start = "adapter."
        self._adapted.restore(
            {name.removeprefix(start): tensor for name, tensor in found.tensors.items() if name.startswith(start)}
        )
        checkpoint.restore_optimiser(self._optimiser, self._parameters, found.tensors)
        self._step = found.step
        return list(found.history)

    def _load(self, values: Sequence[Tensor]) -> None:
        import torch

        with torch.no_grad():
            for parameter, value in zip(self._parameters, values, strict=True):
                parameter.copy_(value)

    def _averaged(self) -> Any:
        """Swap the averaged weights in for as long as they are judged."""
        import contextlib

        @contextlib.contextmanager
        def swapped() -> Iterator[None]:
            if not self._average:
                yield
                return
            own = [p.detach().clone() for p in self._parameters]
            self._load(self._average)
            try:
                yield
            finally:
                self._load(own)

        return swapped()
