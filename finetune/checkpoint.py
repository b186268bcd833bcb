"""Where a killed training goes on: one file with weights, optimiser and history, replaced atomically after every epoch.

Safetensors with the history in its header, never a pickle. Random numbers are drawn from seed and epoch, so a resumed run
computes what an unbroken one would. Knows tensors and a fingerprint; nothing of tasks.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.recipe import Progress

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A training after some epoch.

    Attributes:
        tensors: ``weight.N`` of every trained parameter, ``best.N`` of the best epoch, ``average.N``, and the optimiser's.
        history: The epochs that were run.
        step: Optimiser steps that were made.
    """

    tensors: Mapping[str, Tensor]
    history: tuple[Progress, ...]
    step: int


def save(path: Path, checkpoint: Checkpoint, fingerprint: str) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: The file.
        checkpoint: What to keep.
        fingerprint: Of settings and examples; another one's checkpoint is not taken up.
    """
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    header = {
        "fingerprint": fingerprint,
        "history": json.dumps([asdict(epoch) for epoch in checkpoint.history]),
        "step": str(checkpoint.step),
    }
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    save_file({name: tensor.detach().contiguous() for name, tensor in checkpoint.tensors.items()}, aside, metadata=header)
    os.replace(aside, path)


def load(path: Path, fingerprint: str) -> Checkpoint | None:
    """Read a checkpoint.

    Returns:
        What was kept, or ``None`` if there is none, it is damaged, or it is of other settings or examples.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("fingerprint") != fingerprint:
                return None
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        history = tuple(Progress(**epoch) for epoch in json.loads(header["history"]))
        return Checkpoint(tensors, history, int(header["step"]))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return None


def optimiser_tensors(optimiser: Any, parameters: Sequence[Any]) -> dict[str, Tensor]:
    """Return the moments of every parameter by name; the step count goes along as a tensor."""
    found = {}
    for number, parameter in enumerate(parameters):
        for name, value in optimiser.state.get(parameter, {}).items():
            found[f"optimiser.{number}.{name}"] = value
    return found


def restore_optimiser(optimiser: Any, parameters: Sequence[Any], tensors: Mapping[str, Tensor]) -> None:
    """Put the moments back."""
    for number, parameter in enumerate(parameters):
        start = f"optimiser.{number}."
        state = {name.removeprefix(start): value.clone() for name, value in tensors.items() if name.startswith(start)}
        if state:
            optimiser.state[parameter] = state
