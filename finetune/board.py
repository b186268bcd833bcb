"""TensorBoard's event files of one training: loss, score and seconds of every epoch. Knows finished epochs only."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from finetune.recipe import Progress


class Board:
    """Writes events into a folder; without one it does nothing."""

    def __init__(self, folder: Path | None) -> None:
        """Open the folder, which ``tensorboard --logdir`` reads."""
        self._writer: Any = None
        if folder is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                from torch.utils.tensorboard import SummaryWriter

                folder.mkdir(parents=True, exist_ok=True)
                self._writer = SummaryWriter(str(folder))

    def add(self, epoch: Progress) -> None:
        """Add one epoch; several seeds are several curves. A refit is none: its score says nothing."""
        if self._writer is None or epoch.refit:
            return
        for name in ("loss", "score", "seconds"):
            self._writer.add_scalar(f"{name}/seed-{epoch.seed}", getattr(epoch, name), epoch.epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
