"""A finished training and its validation rows -> the record of its page. Knows both sides' fields, draws nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from assistant.adapter_files import Manifest
from finetune.dialog import TrainedChooser, context_text
from finetune.examples import Labelled, Tagged
from finetune.harvested import Pair
from finetune.intent import Trained
from finetune.recipe import Progress
from finetune.run_page import EpochPoint, RankedReply, RunRecord, SpanMistake, write_run_page
from finetune.slots import TrainedTagger


def write_classifier(trained: Trained, validation: Sequence[Labelled], page: Path) -> None:
    """Write the page of an intent or sentiment training."""
    texts = tuple(example.text for example in validation if example.label in trained.manifest.labels)
    write_run_page(_record(trained.manifest, trained.history, trained.truth, trained.chances, texts), page)


def write_tagger(trained: TrainedTagger, validation: Sequence[Tagged], page: Path) -> None:
    """Write the page of a slots training."""
    mistakes = tuple(
        SpanMistake(example.text, example.spans, tuple(found))
        for example, found in zip(validation, trained.found, strict=True)
        if set(example.spans) != set(found)
    )
    texts = tuple(example.text for example in validation)
    write_run_page(_record(trained.manifest, trained.history, *_none(), texts, spans=mistakes), page)


def write_chooser(trained: TrainedChooser, validation: Sequence[Pair], page: Path) -> None:
    """Write the page of a dialog training."""
    ranked = tuple(
        RankedReply(context_text(pair), pair.reply, validation[int(chosen)].reply, int(rank))
        for pair, rank, chosen in zip(validation, trained.ranking.ranks, trained.ranking.chosen, strict=True)
    )
    write_run_page(_record(trained.manifest, trained.history, *_none(), (), ranks=ranked), page)


def _none() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    return np.zeros(0, dtype=np.int64), np.zeros((0, 0), dtype=np.float32)


def _record(
    manifest: Manifest,
    history: Sequence[Progress],
    truth: np.ndarray,  # type: ignore[type-arg]
    chances: np.ndarray,  # type: ignore[type-arg]
    texts: tuple[str, ...],
    spans: tuple[SpanMistake, ...] | None = None,
    ranks: tuple[RankedReply, ...] | None = None,
) -> RunRecord:
    return RunRecord(
        task=manifest.task,
        version=manifest.version,
        base=manifest.base_name,
        created_at=manifest.created_at,
        settings=manifest.method,
        training_set=manifest.training_set,
        history=tuple(EpochPoint(one.epoch, one.loss, one.score, None, one.seconds) for one in history),
        labels=manifest.labels,
        truth=truth,
        chances=chances,
        texts=texts,
        scores=manifest.scores,
        thresholds=manifest.thresholds,
        temperature=manifest.temperature,
        spans=spans,
        ranks=ranks,
    )
