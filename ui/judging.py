"""The ``evaluate`` command: a labelled file and a champion, or an adapter trained for it -> one flat object of figures.

Knows where the adapter comes from; how it is judged is in ``finetune/judge.py``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from assistant.errors import RegistryError, UsageError
from assistant.settings import home
from ui import terminal
from ui.retraining import HOLDOUT
from ui.training import TASKS, Wishes, settings_of, train_version
from ui.wiring import load_encoder, open_registry, read_settings


def run(task: str, file: Path | None, *, train: Path | None, version: str | None = None, as_json: bool) -> None:
    """Judge on the frozen holdout or a labelled file and print the figures.

    Args:
        task: ``intent``, ``sentiment``, ``slots`` or ``dialog``.
        file: Labelled rows; ``None`` for the rows that nights are judged by.
        train: Rows to train on first, in a scratch registry; ``None`` judges what there is.
        version: A version of the registry, such as a refused one; the champion by default.
        as_json: Whether to print one flat object.

    Raises:
        UsageError: If the task cannot be judged here, both a version and rows to train on are named, or there is no holdout.
        RegistryError: If there is no champion or no such version to judge.
        TrainingError: If a file is faulty.
    """
    if task not in TASKS:
        raise UsageError(f"{task!r} cannot be evaluated; {', '.join(TASKS)} can")
    if version is not None and train is not None:
        raise UsageError("--version judges what is there and --train makes another: give one of them")
    place = home()
    if file is None:
        file = place / HOLDOUT / f"{task}.jsonl"
        if not file.is_file():
            raise UsageError(f"{file}: no night has frozen a holdout yet; name a FILE of labelled rows")
    encoder = load_encoder(read_settings(place))
    from assistant.registry import Registry
    from finetune.judge import judge

    with tempfile.TemporaryDirectory(prefix="deskhand-") as scratch, terminal.Steps(quiet=as_json) as steps:
        registry = open_registry(place)
        version = version or registry.champion(task)
        if train is not None:
            registry = Registry(Path(scratch))
            version = train_version(task, [train], None, encoder, registry, settings_of(task, Wishes()), steps).version
        if version is None:
            raise RegistryError(f"{registry.root}: no {task} champion to judge; name rows to train on with --train FILE")
        figures = judge(task, file, encoder, registry.load(task, version, encoder.sha256))
    if as_json:
        terminal.say_json(figures)
    else:
        terminal.table(
            f"{task} {version} on {file.name}", ("figure", "value"), [(name, f"{figures[name]:.4g}") for name in figures]
        )
