"""The ``adapters`` commands: list, show, train, promote, roll back.

Knows files, words and what is printed; how training goes is in ``finetune/session.py``, what a version is in
``assistant/registry.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import RegistryError, UsageError
from assistant.settings import home
from ui import terminal
from ui.wiring import UNDERSTANDING, load_encoder, make_home, open_registry, read_settings

if TYPE_CHECKING:
    from assistant.encoder import Encoder
    from assistant.registry import Manifest, Registry
    from finetune.lora import Progress


def run_list(*, as_json: bool) -> None:
    """Print every version of every task, oldest first.

    Args:
        as_json: Whether to print an array of objects.
    """
    from assistant.registry import TASKS

    registry = open_registry(home())
    rows: list[dict[str, Any]] = []
    for task in TASKS:
        champion = registry.champion(task)
        for one in registry.versions(task):
            rows.append(
                {
                    "task": task,
                    "version": one.version,
                    "champion": one.version == champion,
                    "base": one.base_name,
                    "examples": one.training_set.get("examples"),
                    "scores": one.scores,
                    "created_at": one.created_at,
                }
            )
    if as_json:
        terminal.say_json(rows)
    elif not rows:
        terminal.say(f"no adapters in {registry.root}; `deskhand adapters train TASK --data FILE` makes one")
    else:
        shown = [
            (
                "*" if row["champion"] else "",
                row["task"],
                row["version"],
                row["examples"],
                _scores(row["scores"]),
                row["created_at"],
            )
            for row in rows
        ]
        terminal.table("adapters (* serves)", ("", "task", "version", "examples", "scores", "made"), shown)


def run_show(version: str, *, task: str | None, as_json: bool) -> None:
    """Print everything that is known of one version.

    Args:
        version: Its name.
        task: Its task; needed only where several tasks have a version of that name.
        as_json: Whether to print the manifest as JSON.

    Raises:
        RegistryError: If there is no such version.
        UsageError: If several tasks have one.
    """
    from assistant.registry import TASKS

    registry = open_registry(home())
    tasks = TASKS if task is None else (task,)
    found = [one for name in tasks for one in registry.versions(name) if one.version == version]
    if not found:
        known = ", ".join(f"{one.task}/{one.version}" for name in tasks for one in registry.versions(name)) or "none"
        raise RegistryError(f"there is no version {version!r} under {registry.root}; known versions: {known}")
    if len(found) > 1:
        raise UsageError(f"{version!r} is a version of {', '.join(one.task for one in found)}; choose by --task")
    values = {**asdict(found[0]), "champion": registry.champion(found[0].task) == version}
    if as_json:
        terminal.say_json(values)
        return
    values["labels"] = f"{len(found[0].labels)}: {', '.join(found[0].labels)}"
    rows = [(name, _lines(value)) for name, value in values.items() if value not in ({}, "")]
    terminal.table(f"{found[0].task}/{version}", ("what", "value"), rows)


def run_train(
    task: str,
    data: Path | None,
    validation: Path | None,
    *,
    promote: bool,
    epochs: int | None,
    rank: int | None,
    seed: int | None,
    as_json: bool,
) -> None:
    """Train a new version and, if asked, let it serve.

    Args:
        task: ``intent``, ``sentiment`` or ``slots``.
        data: Labelled rows; ``None`` takes the sample company's in a demo home.
        validation: Rows to choose by; ``None`` holds a tenth out, or takes the sample's with the sample's rows.
        promote: Whether the new version becomes the champion.
        epochs: Most passes; ``None`` for the task's own figure. The same holds for ``rank`` and ``seed``.
        rank: Rank of the adapter.
        seed: Seed of shuffles and weights.
        as_json: Whether to print the manifest's figures as JSON.

    Raises:
        UsageError: If the task cannot be trained here, or no rows are named outside a demo home.
        TrainingError: If the rows do not allow it.
    """
    place = home()
    training, validation = _files(task, data, validation, place)
    settings = read_settings(place)
    registry = open_registry(make_home(place))
    encoder = load_encoder(settings)
    chosen = {"epochs": epochs, "rank": rank, "seed": seed}
    with terminal.Steps(quiet=as_json) as steps:
        manifest = train_version(task, training, validation, encoder, registry, chosen, steps.line)
    if promote:
        registry.promote(task, manifest.version, encoder.sha256)
    result = {"task": task, "version": manifest.version, "promoted": promote, "scores": manifest.scores}
    if as_json:
        terminal.say_json({**result, "thresholds": manifest.thresholds, "folder": str(registry.folder(task, manifest.version))})
        return
    terminal.say(f"{task}/{manifest.version}: {_scores(manifest.scores)}")
    if not promote:
        terminal.say(f"it serves after: deskhand adapters promote {task} {manifest.version}")


def train_version(
    task: str,
    training: Path,
    validation: Path | None,
    encoder: Encoder,
    registry: Registry,
    chosen: Mapping[str, int | None],
    tell: Callable[[str], None],
) -> Manifest:
    """Train on files and add the finished version to a registry.

    Args:
        task: ``intent``, ``sentiment`` or ``slots``.
        training: Labelled rows.
        validation: Rows to choose by; ``None`` holds a tenth of ``training`` out.
        encoder: The frozen base.
        registry: Where the version goes.
        chosen: ``epochs``, ``rank`` and ``seed`` other than the default; ``None`` keeps it.
        tell: Called with one line after every epoch.

    Returns:
        The version's manifest.

    Raises:
        TrainingError: If the rows do not allow it; then the registry is as it was.
    """
    from finetune.lora import LoraSettings
    from finetune.session import train_from_files
    from ui.version import code_version

    changes: dict[str, Any] = {name: value for name, value in chosen.items() if value is not None}
    if "rank" in changes:
        changes["alpha"] = 2 * changes["rank"]  # keeps the size of an adapter's change where the default has it
    now = datetime.now(UTC)

    def progress(epoch: Progress) -> None:
        tell(f"{task}: epoch {epoch.epoch} of {epoch.epochs}, loss {epoch.loss:.4f}, validation {epoch.score:.4f}")

    return train_from_files(
        task,
        [training],
        validation,
        encoder,
        registry,
        version=now.strftime("%Y%m%d-%H%M%S-%f")[:-3],
        created_at=now,
        code_version=code_version(),
        settings=replace(LoraSettings(), **changes),
        progress=progress,
    )


def run_promote(task: str, version: str, *, as_json: bool) -> None:
    """Make a version the champion.

    Args:
        task: Its task.
        version: Its name.
        as_json: Whether to print JSON.

    Raises:
        RegistryError: If the version is missing or does not pass the checks.
    """
    registry = open_registry(home())
    before = registry.champion(task)
    registry.promote(task, version, _base_sha256())
    _told(task, version, before, as_json=as_json)


def run_rollback(task: str, *, as_json: bool) -> None:
    """Make the champion before this one the champion again.

    Args:
        task: The task.
        as_json: Whether to print JSON.

    Raises:
        RegistryError: If there was none before.
    """
    registry = open_registry(home())
    before = registry.champion(task)
    version = registry.rollback(task, _base_sha256())
    _told(task, version, before, as_json=as_json)


def _told(task: str, version: str, before: str | None, *, as_json: bool) -> None:
    if as_json:
        terminal.say_json({"task": task, "champion": version, "before": before})
    else:
        terminal.say(f"{task}: {version} serves now (before: {before or 'none'})")


def _base_sha256() -> str:
    from assistant.encoder import file_sha256, resolve

    return file_sha256(resolve(read_settings(home()).encoder.model) / "model.safetensors")


def _files(task: str, data: Path | None, validation: Path | None, place: Path) -> tuple[Path, Path | None]:
    if task not in UNDERSTANDING:
        raise UsageError(f"{task!r} cannot be trained; {', '.join(UNDERSTANDING)} can")
    if data is not None:
        return data, validation
    from ui.demo import is_demo
    from ui.sample import find_sample

    if not is_demo(place):
        raise UsageError(f"{place} is not the demo's home: name labelled rows with --data FILE")
    sample = find_sample()
    return sample.labelled("train", task), validation or sample.labelled("validation", task)


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name.removeprefix('validation_')} {value:.4g}" for name, value in scores.items())


def _lines(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key} = {item}" for key, item in value.items())
    return str(value)
