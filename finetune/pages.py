"""A finished training and its validation rows -> the record of its page. Knows both sides' fields, draws nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assistant.sides import context_text
from finetune.dialog import TrainedChooser
from finetune.examples import Labelled, Tagged
from finetune.harvested import Pair
from finetune.intent import Trained
from finetune.run_page import RankedReply, RunRecord, SpanMistake, write_run_page
from finetune.slots import TrainedTagger


def write_classifier(trained: Trained, validation: Sequence[Labelled], page: Path) -> None:
    """Write the page of an intent or sentiment training."""
    texts = tuple(example.text for example in validation if example.label in trained.manifest.labels)
    write_run_page(RunRecord(trained.manifest, trained.history, texts, trained.truth, trained.chances), page)


def write_tagger(trained: TrainedTagger, validation: Sequence[Tagged], page: Path) -> None:
    """Write the page of a slots training."""
    mistakes = tuple(
        SpanMistake(example.text, example.spans, tuple(found))
        for example, found in zip(validation, trained.found, strict=True)
        if set(example.spans) != set(found)
    )
    texts = tuple(example.text for example in validation)
    write_run_page(RunRecord(trained.manifest, trained.history, texts, spans=mistakes), page)


def write_chooser(trained: TrainedChooser, validation: Sequence[Pair], page: Path) -> None:
    """Write the page of a dialog training."""
    ranked = tuple(
        RankedReply(context_text(pair.context), pair.reply, validation[int(chosen)].reply, int(rank))
        for pair, rank, chosen in zip(validation, trained.ranking.ranks, trained.ranking.chosen, strict=True)
    )
    write_run_page(RunRecord(trained.manifest, trained.history, (), ranks=ranked), page)
