"""``adapters train``: labelled files and settings -> a new version, with its page, and a search for settings if asked for.

Knows files, words and what is printed; how training goes is in ``finetune/session.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import UsageError
from assistant.settings import home
from ui import terminal
from ui.wiring import load_encoder, make_home, open_registry, read_settings

if TYPE_CHECKING:
    from assistant.encoder import Encoder
    from assistant.registry import Manifest, Registry
    from finetune.ranks import Ranks
    from finetune.recipe import Progress, TrainSettings

TASKS = ("intent", "sentiment", "slots", "dialog")
RUNS = "runs"
#: What differs from the defaults for a task, chosen on validation.
OWN: Mapping[str, Mapping[str, Any]] = {
    "slots": {"layers_from": 0, "learning_rate": 1e-3, "label_smoothing": 0.0},
    # The wide half learns from all pairs; an epoch of the encoder, on a few thousand of them, takes minutes on two cores.
    "dialog": {
        "layers_from": 2,
        "batch_size": 64,
        "max_tokens": 128,
        "head_learning_rate": 1e-3,
        "epochs": 4,
        "epoch_examples": 2000,
    },
}


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a person asked for; ``settings`` are ``NAME=VALUE`` pairs, ``search`` is how many settings to try."""

    promote: bool = False
    settings: tuple[str, ...] = ()
    search: int = 0
    method: str | None = None
    epochs: int | None = None
    rank: int | None = None
    seed: int | None = None


def run_train(task: str, data: Path | None, validation: Path | None, wishes: Wishes, *, as_json: bool) -> None:
    """Train a new version and, if asked, let it serve.

    Args:
        task: ``intent``, ``sentiment``, ``slots`` or ``dialog``.
        data: Labelled rows, or conversations for ``dialog``; ``None`` takes the sample company's in a demo home.
        validation: Rows to choose by; ``None`` holds a tenth out, or takes the sample's with the sample's rows.
        wishes: Settings, search, promotion.
        as_json: Whether to print the manifest's figures as JSON.

    Raises:
        UsageError: If the task or a setting is not known, or no rows are named outside a demo home.
        TrainingError: If the rows or settings do not allow it.
    """
    place = home()
    training, validation = _files(task, data, validation, place)
    chosen = settings_of(task, wishes)
    chosen.check(task)
    from finetune.ranks import join

    ranks = join()
    if wishes.search and ranks.world > 1:
        ranks.close()
        raise UsageError("--search runs in one process: call `deskhand adapters train` with it, without torchrun")
    registry = open_registry(make_home(place))
    encoder = load_encoder(read_settings(place))
    with terminal.Steps(quiet=as_json or not ranks.first) as steps:
        if wishes.search:
            chosen = search_settings(task, training, validation, encoder, chosen, wishes.search, place, steps)
        manifest = train_version(task, [training], validation, encoder, registry, chosen, steps, ranks=ranks, runs=place / RUNS)
    if not ranks.first:
        ranks.close()
        return
    if wishes.promote:
        registry.promote(task, manifest.version, encoder.sha256)
    ranks.close()
    page = place / RUNS / task / manifest.version / "run.html"
    if as_json:
        terminal.say_json(
            {
                "task": task,
                "version": manifest.version,
                "promoted": wishes.promote,
                "scores": manifest.scores,
                "thresholds": manifest.thresholds,
                "settings": manifest.method,
                "folder": str(registry.folder(task, manifest.version)),
                "page": str(page),
            }
        )
        return
    figures = ", ".join(f"{name.removeprefix('validation_')} {value:.4g}" for name, value in manifest.scores.items())
    terminal.say(f"{task}/{manifest.version}: {figures}")
    terminal.say(f"what it learned and where it errs: {page}")
    if not wishes.promote:
        terminal.say(f"it serves after: deskhand adapters promote {task} {manifest.version}")


def settings_of(task: str, wishes: Wishes) -> TrainSettings:
    """Settle the training settings of one training on given rows: a task's own, then what was asked for.

    Args:
        task: The task.
        wishes: Named options and ``NAME=VALUE`` pairs.

    Returns:
        The settings, not checked yet.

    Raises:
        UsageError: If a name is not known, does nothing here or a value is of another kind; all of them at once.
    """
    from finetune.recipe import TrainSettings

    changes: dict[str, Any] = dict(OWN.get(task, {}))
    kinds = {one.name: type(getattr(TrainSettings(), one.name)) for one in fields(TrainSettings) if one.name != "replay"}
    faults = []
    for pair in wishes.settings:
        name, equals, text = pair.partition("=")
        name = name.strip().replace("-", "_")
        if name == "replay":
            faults.append(f"{pair!r}: replay counts for `deskhand retrain` only; set retrain.replay in deskhand.toml")
            continue
        if not equals or name not in kinds:
            faults.append(f"{pair!r}: write NAME=VALUE with NAME one of {', '.join(sorted(kinds))}")
            continue
        try:
            changes[name] = tuple(part.strip() for part in text.split(",")) if kinds[name] is tuple else kinds[name](text)
        except ValueError:
            faults.append(f"{pair!r}: a value of kind {kinds[name].__name__} is needed")
    if faults:
        raise UsageError("; ".join(faults))
    named = {"method": wishes.method, "epochs": wishes.epochs, "rank": wishes.rank, "seed": wishes.seed}
    changes |= {name: value for name, value in named.items() if value is not None}
    if "rank" in changes and "alpha" not in changes:
        changes["alpha"] = 2 * changes["rank"]  # keeps the size of an adapter's change where the default has it
    return replace(TrainSettings(), **changes)


def train_version(
    task: str,
    training: Sequence[Path],
    validation: Path | None,
    encoder: Encoder,
    registry: Registry,
    settings: TrainSettings,
    steps: terminal.Steps,
    *,
    ranks: Ranks | None = None,
    runs: Path | None = None,
) -> Manifest:
    """Train on files and add the finished version to a registry.

    Args:
        task: The task.
        training: Labelled rows, or conversations.
        validation: Rows to choose by; ``None`` holds a tenth of ``training`` out.
        encoder: The frozen base.
        registry: Where the version goes.
        settings: How to train.
        steps: Told how far it is, and a line after every epoch.
        ranks: The processes that train together.
        runs: Folder of pages and checkpoints; ``None`` for neither.

    Returns:
        The version's manifest.

    Raises:
        TrainingError: If the rows do not allow it; then the registry is as it was.
    """
    from finetune.session import train_from_files
    from ui.version import code_version

    now = datetime.now(UTC)
    return train_from_files(
        task,
        training,
        validation,
        encoder,
        registry,
        version=now.strftime("%Y%m%d-%H%M%S-%f")[:-3],
        created_at=now,
        code_version=code_version(),
        settings=settings,
        progress=lambda epoch: steps.line(epoch_line(task, epoch, settings.seeds)),
        steps=steps,
        ranks=ranks,
        runs=runs,
    )


def epoch_line(task: str, epoch: Progress, seeds: int) -> str:
    """Return the line that is told after an epoch; it names the seed where there are several."""
    seed = f", seed {epoch.seed}" if seeds > 1 else ""
    judged = "on all rows" if epoch.refit else f"validation {epoch.score:.4f}"
    done = f"{task}: epoch {epoch.epoch} of {epoch.epochs}{seed}, loss {epoch.loss:.4f}, {judged}"
    return f"{done}, {epoch.seconds:.0f} s"


def search_settings(
    task: str,
    training: Path,
    validation: Path | None,
    encoder: Encoder,
    base: TrainSettings,
    trials: int,
    place: Path,
    steps: terminal.Steps,
) -> TrainSettings:
    """Try settings on validation and return the best; a search that was cut off goes on where it stopped.

    Args:
        task: The task.
        training: Rows to train on.
        validation: Rows to choose by.
        encoder: The frozen base.
        base: Where the search begins.
        trials: How many settings to try, those of an earlier search on the same files included.
        place: The home folder; the search is kept in ``runs/search.db``.
        steps: Told how far it is, and a line after every trial.

    Returns:
        The settings with the best validation score.

    Raises:
        TrainingError: If the rows do not allow it.
    """
    import tempfile

    from finetune.recipe import Run
    from finetune.search import Trial, search, study_name, validation_score
    from finetune.session import read_split

    examples = read_split(task, [training], validation, base.seed)
    name = study_name(task, examples.training, examples.validation)

    def told(trial: Trial) -> None:
        cut = " (cut short)" if trial.pruned else ""
        steps.line(f"{task}: trial {trial.number} of {trials} scores {trial.score:.4f}{cut}")

    def resumed(earlier: Sequence[Trial]) -> None:
        best = max((one.score for one in earlier if not one.pruned), default=0.0)
        steps.line(f"{task}: goes on from {len(earlier)} trials of an earlier search on these rows, the best at {best:.4f}")

    storage = place / RUNS / "search.db"
    with tempfile.TemporaryDirectory(prefix="deskhand-search-") as scratch:
        run = Run(task, "trial", Path(scratch), datetime.now(UTC), "", steps=steps)
        evaluate = validation_score(run, examples, encoder)
        found = search(
            evaluate, base, task=task, trials=trials, storage=storage, name=name, seed=base.seed, tell=told, resumed=resumed
        )
    steps.line(f"{task}: best of {len(found.trials)} settings scores {found.score:.4f} on validation")
    return found.settings


def _files(task: str, data: Path | None, validation: Path | None, place: Path) -> tuple[Path, Path | None]:
    if task not in TASKS:
        raise UsageError(f"{task!r} cannot be trained; {', '.join(TASKS)} can")
    if data is not None:
        return data, validation
    from ui.demo import is_demo
    from ui.sample import find_sample

    if not is_demo(place):
        raise UsageError(f"{place} is not the demo's home: name rows with --data FILE")
    sample = find_sample()
    if task == "dialog":
        return sample.conversations, validation
    return sample.labelled("train", task), validation or sample.labelled("validation", task)
