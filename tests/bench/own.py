"""Train and judge with the product's own training core and serving path, for the learning benchmarks.

Chosen on validation, judged once on test; what comes back is read from the version's files as the server reads them.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.adapter_files import AdapterVersion, read_version
from assistant.encoder import Encoder
from finetune.examples import Labelled
from finetune.intent import predict_classes
from finetune.recipe import Progress, Run, TrainSettings
from finetune.session import Split, train_split
from tests.bench.peers import Epoch


@dataclass(frozen=True, slots=True)
class Own:
    """A trained version, its epochs, and the seconds training took, preparation included."""

    version: AdapterVersion
    history: tuple[Progress, ...]
    seconds: float

    @property
    def epochs(self) -> tuple[Epoch, ...]:
        """Return the epochs as peers tell theirs; preparation counts before the first."""
        spent = self.seconds - sum(one.seconds for one in self.history)
        found = []
        for one in self.history:
            spent += one.seconds
            found.append(Epoch(one.epoch, spent, one.score))
        return tuple(found)


def train_own(task: str, split: Split, encoder: Encoder, settings: TrainSettings) -> Own:
    """Train on a split; one line per epoch goes to stderr."""
    folder = Path(tempfile.mkdtemp(prefix="deskhand-bench-"))
    history: list[Progress] = []
    started = time.perf_counter()

    def progress(epoch: Progress) -> None:
        history.append(epoch)
        print(
            f"  {task} epoch {epoch.epoch}/{epoch.epochs} loss {epoch.loss:.4f} score {epoch.score:.4f} {epoch.seconds:.0f} s",
            file=sys.stderr,
            flush=True,
        )

    try:
        run = Run(task, "bench", folder, datetime.now(UTC), "bench", settings=settings, progress=progress)
        train_split(run, split, encoder)
        seconds = time.perf_counter() - started
        return Own(read_version(folder, encoder.sha256), tuple(history), seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def chances_of(own: Own, encoder: Encoder, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return calibrated probabilities ``(n, C)`` by the serving path."""
    task = own.version.manifest.task
    encoder.set_adapters({task: own.version.weights})
    return predict_classes(encoder, task, dict(own.version.head), own.version.manifest.temperature, texts)


def truth_of(own: Own, labels: Sequence[str]) -> NDArray[np.int64]:
    """Return class rows; -1 for a label the version does not know."""
    rows = {label: row for row, label in enumerate(own.version.manifest.labels)}
    return np.array([rows.get(label, -1) for label in labels])


def texts_of(rows: Iterable[Labelled]) -> list[str]:
    """Return the texts."""
    return [one.text for one in rows]


def labels_of(rows: Iterable[Labelled]) -> list[str]:
    """Return the labels."""
    return [one.label for one in rows]


def row(figure: str, value: float, target: float | None, n: int, peer: Any = None, limit: Any = None) -> dict[str, Any]:
    """Return one row of the printed table."""
    return {"figure": figure, "value": value, "target": target, "n": n, "peer": peer or {}, "limit": limit}
