"""One training from files to a checked version in the registry: what ``deskhand adapters train`` runs.

Knows where examples and versions live; the task files know how to train.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.registry import Manifest, Registry
from finetune.examples import Tagged, check_labels, read_labelled, read_tagged, split, unleaked
from finetune.intent import train_classifier
from finetune.lora import LoraSettings, Progress
from finetune.sentiment import train_sentiment
from finetune.slots import train_slots

TRAINABLE = ("intent", "sentiment", "slots")


def train_from_files(
    task: str,
    training: Sequence[Path],
    validation: Path | None,
    encoder: Encoder,
    registry: Registry,
    *,
    version: str,
    created_at: datetime,
    code_version: str,
    settings: LoraSettings,
    progress: Callable[[Progress], None] | None = None,
) -> Manifest:
    """Train a task on labelled files and add the version to the registry; the champion stays as it is.

    Args:
        task: ``intent``, ``sentiment`` or ``slots``.
        training: Labelled files, read in this order.
        validation: Labelled file; without it a tenth of the training rows is held apart.
        encoder: The frozen base.
        registry: Where the version goes.
        version: Its name.
        created_at: Time for the manifest.
        code_version: Deskhand's version.
        settings: How to train.
        progress: Called after every epoch.

    Returns:
        The new version's manifest.

    Raises:
        TrainingError: If a file is faulty or the examples do not suffice; then the registry is as before.
        RegistryError: If the version's name is taken.
    """
    if task not in TRAINABLE:
        raise TrainingError(f"{task!r} cannot be trained yet; {', '.join(TRAINABLE)} can")
    names = [path.name for path in training]
    staged = registry.staging(task, version)
    try:
        if task == "slots":
            tagged = [example for path in training for example in read_tagged(path)]
            judged: list[Tagged] = read_tagged(validation) if validation else tagged[::10]
            kept = tagged if validation else [example for row, example in enumerate(tagged) if row % 10]
            trained = train_slots(
                kept, judged, encoder, staged, version=version, created_at=created_at, code_version=code_version,
                sources=names, settings=settings, progress=progress,
            )  # fmt: skip
        else:
            sentiment = task == "sentiment"
            rows = [example for path in training for example in read_labelled(path, sentiment=sentiment)]
            if validation:
                held = read_labelled(validation, sentiment=sentiment)
                rows = unleaked(rows, held)
                if not rows:
                    raise TrainingError(f"{validation}: holds every training text too; name rows that are not trained on")
            else:
                check_labels(rows, least=3)  # one of three goes to validation, two are left to learn from
                rows, held = split(rows, 0.1, settings.seed)
            if sentiment:
                trained = train_sentiment(
                    rows, held, encoder, staged, version=version, created_at=created_at, code_version=code_version,
                    sources=names, settings=settings, progress=progress,
                )  # fmt: skip
            else:
                trained = train_classifier(
                    task, rows, held, encoder, staged, version=version, created_at=created_at, code_version=code_version,
                    sources=names, settings=settings, progress=progress,
                )  # fmt: skip
        registry.add(task, version, trained.folder, encoder.sha256)
        return trained.manifest
    finally:
        shutil.rmtree(staged, ignore_errors=True)
