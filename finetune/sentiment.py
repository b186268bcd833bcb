"""Sentiment adapters: the classifier of ``intent.py`` with three fixed classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from assistant.encoder import Encoder
from finetune.examples import SENTIMENTS, Labelled
from finetune.intent import Trained, train_classifier
from finetune.lora import LoraSettings, Progress


def train_sentiment(
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
    progress: Callable[[Progress], None] | None = None,
) -> Trained:
    """Train a sentiment adapter; see ``finetune.intent.train_classifier`` for arguments and errors.

    Returns:
        The staged folder with manifest and history; labels are negative, neutral, positive in this order.
    """
    return train_classifier(
        "sentiment",
        training,
        validation,
        encoder,
        staged,
        version=version,
        created_at=created_at,
        code_version=code_version,
        sources=sources,
        settings=settings,
        labels=SENTIMENTS,
        progress=progress,
    )
