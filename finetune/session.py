"""One training from files to a checked version in the registry: what ``deskhand adapters train`` runs.

Knows where examples, versions, checkpoints and pages live; the task files know how to train.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from assistant.adapter_files import Manifest
from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.registry import Registry
from finetune import pages
from finetune.board import Board
from finetune.dialog import train_dialog
from finetune.examples import (
    Kind,
    Labelled,
    Tagged,
    check_labels,
    read_labelled,
    read_pairs,
    read_tagged,
    split,
    split_texts,
    unleaked,
)
from finetune.harvested import Pair
from finetune.intent import train_classifier
from finetune.ranks import Ranks
from finetune.recipe import TASKS, Progress, Run, Steps, TrainSettings
from finetune.sentiment import train_sentiment
from finetune.slots import train_slots

PAGE = "run.html"


@dataclass(frozen=True, slots=True)
class Split:
    """Examples to train on and examples to choose by, of the kind the task needs."""

    training: tuple[Labelled | Tagged | Pair, ...]
    validation: tuple[Labelled | Tagged | Pair, ...]


def read_split(task: str, training: Sequence[Path], validation: Path | None, seed: int) -> Split:
    """Read the examples of a task.

    Args:
        task: One of ``TASKS``.
        training: Files, read in this order: labelled rows, or conversations for ``dialog``.
        validation: File to choose by; without it a tenth of the training rows, or conversations, is held apart.
        seed: Of that split.

    Returns:
        The examples; no text stands on both sides.

    Raises:
        TrainingError: If a file is faulty or the examples do not suffice.
    """
    if task not in TASKS:
        raise TrainingError(f"{task!r} cannot be trained; {', '.join(TASKS)} can")
    if task == "slots":
        tagged = [example for path in training for example in read_tagged(path)]
        return _apart(tagged, read_tagged(validation), validation) if validation else Split(*map(tuple, split_texts(tagged)))
    if task == "dialog":
        pairs = [pair for path in training for pair in read_pairs(path)]
        return _apart(pairs, read_pairs(validation), validation) if validation else split_pairs(pairs)
    sentiment = task == "sentiment"
    rows = [example for path in training for example in read_labelled(path, sentiment=sentiment)]
    if validation:
        return _apart(rows, read_labelled(validation, sentiment=sentiment), validation)
    check_labels(rows, least=3)  # one of three goes to validation, two are left to learn from
    return Split(*map(tuple, split(rows, 0.1, seed)))


def _apart(training: Sequence[Kind], held: Sequence[Kind], path: Path) -> Split:
    """Leave out of the training what the named validation file holds too."""
    kept = unleaked(training, held)
    if not kept:
        raise TrainingError(f"{path}: holds every training text too; name rows that are not trained on")
    return Split(tuple(kept), tuple(held))


def split_pairs(pairs: Sequence[Pair]) -> Split:
    """Hold a tenth of the conversations apart; all pairs of one stand on one side, and so does a pair that is said in several."""
    refs = set(sorted({pair.ref for pair in pairs})[::10])
    held = [one for one in pairs if one.ref in refs]
    return Split(tuple(unleaked([one for one in pairs if one.ref not in refs], held)), tuple(held))


def train_split(run: Run, examples: Split, encoder: Encoder, *, ranks: Ranks | None = None, page: Path | None = None) -> Manifest:
    """Train a task on examples into the run's staged folder, and write the run's page.

    Args:
        run: Task, version, settings.
        examples: Of the task's kind.
        encoder: The frozen base.
        ranks: The processes that train together.
        page: Where the HTML page goes; ``None`` for none.

    Returns:
        The new version's manifest.

    Raises:
        TrainingError: If settings cannot work or the examples do not suffice.
    """
    if run.task == "slots":
        tagged = [one for one in examples.training if isinstance(one, Tagged)]
        held_tagged = [one for one in examples.validation if isinstance(one, Tagged)]
        tagger = train_slots(run, tagged, held_tagged, encoder, ranks=ranks)
        if page:
            pages.write_tagger(tagger, held_tagged, page)
        return tagger.manifest
    if run.task == "dialog":
        pairs = [one for one in examples.training if isinstance(one, Pair)]
        held_pairs = [one for one in examples.validation if isinstance(one, Pair)]
        chooser = train_dialog(run, pairs, held_pairs, encoder, ranks=ranks)
        if page:
            pages.write_chooser(chooser, held_pairs, page)
        return chooser.manifest
    rows = [one for one in examples.training if isinstance(one, Labelled)]
    held = [one for one in examples.validation if isinstance(one, Labelled)]
    train = train_sentiment if run.task == "sentiment" else train_classifier
    trained = train(run, rows, held, encoder, ranks=ranks)
    if page:
        pages.write_classifier(trained, held, page)
    return trained.manifest


def train_into(
    registry: Registry,
    run: Run,
    examples: Split,
    encoder: Encoder,
    *,
    ranks: Ranks | None = None,
    runs: Path | None = None,
) -> Manifest:
    """Train on examples and add the version to the registry; the champion stays as it is.

    Args:
        registry: Where the version goes.
        run: Task, version, settings; its staged folder is made here.
        examples: Of the task's kind.
        encoder: The frozen base.
        ranks: The processes that train together; the first writes.
        runs: Folder of runs: ``<task>/<version>/`` gets the page and TensorBoard's events, ``checkpoints/`` what a killed
            run goes on from. ``None`` for none of it.

    Returns:
        The new version's manifest.

    Raises:
        TrainingError: If settings cannot work or the examples do not suffice; then the registry is as before.
        RegistryError: If the version's name is taken.
    """
    ranks = ranks or Ranks()
    staged = registry.staging(run.task, run.version)
    folder = runs / run.task / run.version if runs and ranks.first else None
    board: Board | None = None
    try:
        board = Board(folder)

        def progress(epoch: Progress) -> None:
            if board:
                board.add(epoch)
            if run.progress:
                run.progress(epoch)

        own = replace(run, staged=staged, progress=progress, work=runs / "checkpoints" if runs else None)
        manifest = train_split(own, examples, encoder, ranks=ranks, page=folder / PAGE if folder else None)
        if ranks.first:
            registry.add(run.task, run.version, staged, encoder.sha256)
            if runs:
                shutil.rmtree(runs / "checkpoints" / manifest.training_set["checkpoint"], ignore_errors=True)
        return manifest
    finally:
        if board:
            board.close()
        shutil.rmtree(staged, ignore_errors=True)


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
    settings: TrainSettings,
    progress: Callable[[Progress], None] | None = None,
    steps: Steps | None = None,
    ranks: Ranks | None = None,
    runs: Path | None = None,
) -> Manifest:
    """Read files, train on them and add the version to the registry; see ``read_split`` and ``train_into``.

    Returns:
        The new version's manifest.

    Raises:
        TrainingError: If a file is faulty or the examples do not suffice; then the registry is as before.
        RegistryError: If the version's name is taken.
    """
    settings.check(task)
    registry.check_free(task, version)
    examples = read_split(task, training, validation, settings.seed)
    run = Run(
        task=task,
        version=version,
        staged=Path(),
        created_at=created_at,
        code_version=code_version,
        sources=tuple(path.name for path in training),
        settings=settings,
        progress=progress,
        steps=steps,
    )
    return train_into(registry, run, examples, encoder, ranks=ranks, runs=runs)
