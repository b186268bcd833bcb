"""Several training processes as one: each takes its share of a batch, gradients are summed before every step.

Started by ``torchrun``, which sets the environment; without it there is one process and nothing here does anything. Data
parallelism over gloo (Li et al. 2020, arXiv:2006.15704), by hand because adapter and head are a few megabytes. Knows
gradients and numbers; nothing of models.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process's place among those that train together."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        """Say whether this process writes files and speaks."""
        return self.rank == 0

    def share(self, rows: Sequence[int]) -> list[int]:
        """Return this process's part of a batch; may be empty for the last batch."""
        return list(rows[self.rank :: self.world])

    def add_gradients(self, parameters: Sequence[Any]) -> None:
        """Sum the gradients of all processes in place; a parameter without one counts as zero."""
        if self.world == 1:
            return
        import torch
        import torch.distributed as dist

        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([grad.flatten() for grad in grads])
        dist.all_reduce(flat)
        at = 0
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = flat[at : at + grad.numel()].view_as(grad)
            at += grad.numel()

    def agree(self, value: float) -> float:
        """Return the first process's value everywhere, so that all stop at the same epoch."""
        if self.world == 1:
            return value
        import torch
        import torch.distributed as dist

        held = torch.tensor([value], dtype=torch.float64)
        dist.broadcast(held, src=0)
        return float(held)

    def close(self) -> None:
        """Leave the group."""
        if self.world > 1:
            import torch.distributed as dist

            dist.barrier()
            dist.destroy_process_group()


def join(environment: Mapping[str, str] | None = None) -> Ranks:
    """Join the processes that ``torchrun`` started.

    Args:
        environment: ``RANK`` and ``WORLD_SIZE``; the process's own by default.

    Returns:
        This process's place; alone where torchrun was not used.
    """
    environment = os.environ if environment is None else environment
    world = int(environment.get("WORLD_SIZE", "1"))
    if world == 1:
        return Ranks()
    import torch.distributed as dist

    if not dist.is_initialized():
        dist.init_process_group("gloo")
    return Ranks(int(environment["RANK"]), world)
