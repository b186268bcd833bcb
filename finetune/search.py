"""Search for better training settings on validation data: what ``deskhand adapters train TASK --search N`` runs before it trains.

Tree-structured Parzen estimators (Bergstra et al. 2011, NeurIPS) with median pruning, by optuna (Akiba et al. 2019,
arXiv:1907.10902). Every trial is kept in a SQLite file, so a killed search goes on where it was and finds what an unbroken one
finds. Knows settings and scores; ``validation_score`` trains one candidate.

What is searched, always with the value of the settings the search starts from among the choices:

=================  =====================  ==================================================
setting            values                 where
=================  =====================  ==================================================
learning_rate      rate / 5 .. rate * 5   every method, logarithmic
head_learning_rate rate / 5 .. rate * 5   every method, logarithmic
batch_size         16, 32, 64             every method
average            0, 0.9, 0.98           every method
rank               4, 8, 16, 32           LoRA and AdaLoRA
virtual_tokens     4, 8, 16, 32           prefix and prompt tuning
layers_from        two below .. its own   LoRA, AdaLoRA and IA3
adversarial        0, 0.01, 0.03          LoRA, AdaLoRA and IA3
dropout            0 .. 0.3               every task but dialog, which drops nothing
label_smoothing    0 .. 0.2               every task but dialog
contrast           0, 0.05, 0.2           intent and sentiment
=================  =====================  ==================================================
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from assistant.encoder import Encoder
from assistant.errors import TrainingError
from finetune.recipe import Progress, Run, TrainSettings
from finetune.session import Split, train_split

#: Told after every epoch: its number from 1, and the validation score in [0, 1]. May end the trial by raising.
Report = Callable[[int, float], None]
Evaluate = Callable[[TrainSettings, Report], float]
_SPREAD = 5.0  # a learning rate is looked for between a fifth and five times its own
_RANDOM = 6  # trials drawn at random before the estimator has enough to go by
_BEFORE_PRUNING = 4  # finished trials, before one may be broken off


@dataclass(frozen=True, slots=True)
class Knob:
    """One setting that is searched: ``choices``, or a range ``low`` to ``high``, logarithmic if ``log``."""

    name: str
    choices: tuple[float, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """One candidate that was trained: number from 1, settings, validation score; a pruned one has that of its last epoch."""

    number: int
    settings: TrainSettings
    score: float
    pruned: bool


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found: the best settings, their validation score, and every trial in order, the defaults first."""

    settings: TrainSettings
    score: float
    trials: tuple[Trial, ...]


def knobs(task: str, base: TrainSettings) -> tuple[Knob, ...]:
    """Return what is searched for a task and the method of ``base``; see the table above.

    Args:
        task: One of ``recipe.TASKS``.
        base: The settings a search starts from; their values are in every knob's range.
    """
    rate, head = base.adapter_rate, _head_rate(base)
    found = [
        Knob("learning_rate", low=rate / _SPREAD, high=rate * _SPREAD, log=True),
        Knob("head_learning_rate", low=head / _SPREAD, high=head * _SPREAD, log=True),
        _choices(base, "batch_size", 16, 32, 64),
        _choices(base, "average", 0.0, 0.9, 0.98),
    ]
    if base.method in ("lora", "adalora"):
        found.append(_choices(base, "rank", 4, 8, 16, 32))
    if base.method in ("prefix", "prompt"):
        found.append(_choices(base, "virtual_tokens", 4, 8, 16, 32))
    else:
        # Never above the base's own: how many layers the encoder has is not known here.
        found.append(_choices(base, "layers_from", *range(max(0, base.layers_from - 2), base.layers_from)))
        found.append(_choices(base, "adversarial", 0.0, 0.01, 0.03))
    if task != "dialog":
        found.append(Knob("dropout", high=max(0.3, base.dropout)))
        found.append(Knob("label_smoothing", high=max(0.2, base.label_smoothing)))
    if task in ("intent", "sentiment"):
        found.append(_choices(base, "contrast", 0.0, 0.05, 0.2))
    return tuple(found)


def search(
    evaluate: Evaluate,
    base: TrainSettings,
    *,
    task: str,
    trials: int,
    storage: Path,
    name: str,
    seed: int,
    tell: Callable[[Trial], None] | None = None,
    resumed: Callable[[Sequence[Trial]], None] | None = None,
) -> Found:
    """Search for settings that score better on validation data than ``base``.

    Args:
        evaluate: Trains with some settings, reports every epoch, returns the validation score in [0, 1].
        base: The settings to start from; the first trial. Method, linears and epochs are never changed, and trials train
            with one seed; ``base.seeds`` counts again in what is found.
        task: Decides what is searched.
        trials: How many there are to be in all, those of an earlier, killed search included.
        storage: SQLite file of all searches; made where missing.
        name: Of this search: task, and a checksum of the examples (``study_name``). Another name is another search, and so
            are another ``base`` and another ``seed`` under the same name.
        seed: Of the draws.
        tell: Called after every trial that is run here.
        resumed: Called once with the trials of an earlier search that this one goes on from, where there are any.

    Returns:
        The best trial and all of them.

    Raises:
        TrainingError: If ``trials`` is below 1, the settings cannot work, the file cannot be used, or a search is running on it.
    """
    base.check(task)
    if trials < 1:
        raise TrainingError(f"search of {trials} trials; at least 1 is needed")
    space = knobs(task, base)
    start = replace(base, seeds=1)
    with _locked(storage), _study(storage, _full_name(name, task, base, space, seed)) as study:
        _put_first(study, {knob.name: getattr(_explicit(base), knob.name) for knob in space})
        if resumed and (earlier := _trials(study, start)):
            resumed(earlier)
        while (done := len(_trials(study, start))) < trials:
            tried = _run_one(study, evaluate, start, task, space, seed + done)
            if tell:
                tell(tried)
        every = _trials(study, start)[:trials]
    best = max((one for one in every if not one.pruned), key=lambda one: one.score)
    return Found(replace(best.settings, seeds=base.seeds), best.score, tuple(every))


def study_name(task: str, training: Sequence[object], validation: Sequence[object]) -> str:
    """Return the name of a search: the task and a checksum of both sides' examples; their order does not count."""
    lines = [json.dumps(sorted(repr(example) for example in side)) for side in (training, validation)]
    return f"{task}-{hashlib.sha256(chr(10).join(lines).encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def validation_score(run: Run, examples: Split, encoder: Encoder) -> Evaluate:
    """Return what ``search`` calls: train on examples, throw the version away, give the best epoch's validation score.

    Dialog is searched by its deep half alone: the wide one is the same whatever is tried.

    Args:
        run: Task and times; ``staged`` is the folder in which trials write what is deleted after each.
        examples: Of the task's kind.
        encoder: The frozen base.
    """

    def evaluate(settings: TrainSettings, report: Report) -> float:
        scores: list[float] = []

        def progress(epoch: Progress) -> None:
            scores.append(epoch.score)
            report(epoch.epoch, epoch.score)

        run.staged.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".search-", dir=run.staged) as folder:
            tried = replace(settings, wide_learning_rate=0.0) if run.task == "dialog" else settings
            own = replace(run, staged=Path(folder), settings=tried, work=None, progress=progress)
            train_split(own, examples, encoder)
        return max(scores)

    return evaluate


def _run_one(study: Any, evaluate: Evaluate, base: TrainSettings, task: str, space: Sequence[Knob], seed: int) -> Trial:
    """Draw settings, evaluate them, keep the score."""
    import optuna

    # Seeded anew for every trial by how many are done, so that a search that goes on draws what an unbroken one draws.
    study.sampler = _sampler(seed)
    trial = study.ask({knob.name: _distribution(knob) for knob in space})
    settings = replace(base, **trial.params)
    settings.check(task)
    last = 0.0

    def report(epoch: int, score: float) -> None:
        nonlocal last
        last = score
        trial.report(score, step=epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    try:
        score = evaluate(settings, report)
    except optuna.TrialPruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        return Trial(len(_trials(study, base)), settings, last, pruned=True)
    except BaseException:
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        raise
    study.tell(trial, score)
    return Trial(len(_trials(study, base)), settings, score, pruned=False)


@contextlib.contextmanager
def _study(storage: Path, name: str) -> Iterator[Any]:
    """Open the study; trials of a process that died are marked failed."""
    import optuna
    from sqlalchemy.exc import SQLAlchemyError

    states = optuna.trial.TrialState
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    opened: Any = None
    try:
        try:
            opened = optuna.storages.RDBStorage(f"sqlite:///{storage.resolve()}")
            study = optuna.create_study(
                study_name=name,
                storage=opened,
                direction="maximize",
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_startup_trials=_BEFORE_PRUNING, n_warmup_steps=2),
            )
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
            raise TrainingError(f"{storage}: cannot be used as the file of a search ({error}); move it away") from error
        for dead in study.get_trials(deepcopy=False, states=(states.RUNNING,)):
            study.tell(dead.number, state=states.FAIL)
        yield study
    finally:
        optuna.logging.set_verbosity(before)
        if opened is not None:
            opened.remove_session()
            opened.engine.dispose()


def _put_first(study: Any, defaults: dict[str, Any]) -> None:
    """Let the defaults be the first trial, unless a trial is done or they wait already."""
    import optuna

    states = optuna.trial.TrialState
    if not study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED, states.WAITING)):
        study.enqueue_trial(defaults)


def _explicit(base: TrainSettings) -> TrainSettings:
    """Return the settings with the rates that a zero stands for."""
    return replace(base, learning_rate=base.adapter_rate, head_learning_rate=_head_rate(base))


def _head_rate(base: TrainSettings) -> float:
    return base.head_learning_rate or 1e-3  # a logarithmic range cannot begin at 0


def _trials(study: Any, base: TrainSettings) -> list[Trial]:
    """Return the trials that were finished or pruned, in order."""
    import optuna

    states = optuna.trial.TrialState
    found: list[Trial] = []
    for one in study.get_trials(deepcopy=False, states=(states.COMPLETE, states.PRUNED)):
        pruned = one.state == states.PRUNED
        score = one.intermediate_values[max(one.intermediate_values)] if pruned else one.value
        found.append(Trial(len(found) + 1, replace(base, **one.params), float(score), pruned))
    return found


def _sampler(seed: int) -> Any:
    import optuna

    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=_RANDOM, multivariate=True, constant_liar=False)


def _distribution(knob: Knob) -> Any:
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if knob.choices:
        return CategoricalDistribution(knob.choices)
    return FloatDistribution(knob.low, knob.high, log=knob.log)


def _choices(base: TrainSettings, name: str, *values: float) -> Knob:
    return Knob(name, choices=tuple(sorted({*values, getattr(base, name)})))


def _full_name(name: str, task: str, base: TrainSettings, space: Sequence[Knob], seed: int) -> str:
    """Return the name with a checksum of what else a search depends on."""
    text = json.dumps([task, base.as_dict(), [repr(knob) for knob in space], seed], sort_keys=True)
    return f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


@contextlib.contextmanager
def _locked(storage: Path) -> Iterator[None]:
    """Keep other searches off the file; the system takes the lock back from a process that dies."""
    storage.parent.mkdir(parents=True, exist_ok=True)
    with storage.with_name(f".{storage.name}.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise TrainingError(f"{storage}: another search is running on it; wait for its end or stop it") from error
        yield
