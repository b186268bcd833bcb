"""A search begins with the defaults, goes on after a kill as if nothing had happened, and never finds worse than it began."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assistant.encoder import Encoder
from assistant.errors import TrainingError
from finetune.examples import Labelled
from finetune.recipe import METHODS, TASKS, Run, TrainSettings
from finetune.search import Found, Report, Trial, knobs, search, study_name, validation_score
from finetune.session import Split
from tests.finetune.tiny_training import TRAINING, VALIDATION, tiny_encoder

BASE = TrainSettings(seeds=3)


@pytest.fixture(scope="module")
def tiny(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder small enough to train with in a test."""
    return tiny_encoder(encoder, tmp_path_factory.mktemp("tiny") / "tiny-bert")


def landscape(settings: TrainSettings, report: Report) -> float:
    """A made-up score: best at three times the default rate, rank 32, little dropout; four epochs."""
    away = abs(math.log(settings.adapter_rate / (3 * BASE.adapter_rate))) + abs(5 - math.log2(settings.rank)) + settings.dropout
    score = 1 / (1 + away)
    for epoch in range(1, 5):
        report(epoch, score * epoch / 4)
    return score


def look(folder: Path, trials: int, evaluate: Any = landscape, **changes: Any) -> Found:
    values: dict[str, Any] = {"base": BASE, "task": "intent", "name": "intent-abc", "seed": 3, **changes}
    return search(evaluate, trials=trials, storage=folder / "search.db", **values)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A search of nine trials that was not broken off."""
    return look(tmp_path_factory.mktemp("whole"), 9)


def test_the_first_trial_is_the_defaults_and_the_best_is_found(tmp_path: Path) -> None:
    told: list[Trial] = []
    found = look(tmp_path, 14, tell=told.append)
    first = found.trials[0].settings
    assert (first.adapter_rate, first.rank, first.dropout, first.batch_size) == (BASE.adapter_rate, 16, 0.1, 32)
    assert found.score == max(trial.score for trial in found.trials if not trial.pruned) > found.trials[0].score + 0.1
    assert found.settings.seeds == 3 and {trial.settings.seeds for trial in found.trials} == {1}
    assert [trial.number for trial in told] == list(range(1, 15)) and tuple(told) == found.trials
    assert any(trial.pruned for trial in told)


def test_the_same_seed_finds_the_same_and_another_something_else(tmp_path: Path, whole: Found) -> None:
    assert look(tmp_path / "again", 9) == whole
    assert look(tmp_path / "other", 3, seed=4).trials[1:] != whole.trials[1:3]


def test_a_pruned_trial_is_broken_off_between_epochs(tmp_path: Path) -> None:
    epochs: list[int] = []

    def bad_after_the_first(settings: TrainSettings, report: Report) -> float:
        epochs.append(0)
        for epoch in range(1, 5):
            epochs[-1] = epoch
            report(epoch, 0.9 if len(epochs) <= 4 else 0.1)
        return 0.9

    found = look(tmp_path, 6, bad_after_the_first)
    assert epochs == [4, 4, 4, 4, 2, 2]
    assert [trial.pruned for trial in found.trials] == [False] * 4 + [True] * 2
    assert found.trials[-1].score == 0.1 and found.score == 0.9


def test_a_finished_search_is_only_read(tmp_path: Path) -> None:
    found = look(tmp_path, 5)
    assert look(tmp_path, 5, lambda settings, report: pytest.fail("searched again")) == found
    assert len(look(tmp_path, 7).trials) == 7


def test_an_interrupted_search_ends_as_an_unbroken_one(tmp_path: Path, whole: Found) -> None:
    calls: list[int] = []

    def breaks(settings: TrainSettings, report: Report) -> float:
        calls.append(1)
        if len(calls) in (1, 4):
            report(1, 0.5)
            raise KeyboardInterrupt
        return landscape(settings, report)

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            look(tmp_path, 9, breaks)
    assert look(tmp_path, 9, breaks) == whole


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.finetune.test_search import landscape, look
calls = []
def evaluate(settings, report):
    calls.append(1)
    if len(calls) == 4:
        report(1, 0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    return landscape(settings, report)
look(Path(sys.argv[1]), 9, evaluate)
"""


def test_a_killed_search_ends_as_an_unbroken_one(tmp_path: Path, whole: Found) -> None:
    root = Path(__file__).parents[2]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)], cwd=root, capture_output=True, check=False, timeout=600
    )
    assert killed.returncode == -9, killed.stderr.decode()[-2000:]
    told: list[Trial] = []
    earlier: list[Sequence[Trial]] = []
    found = look(tmp_path, 9, tell=told.append, resumed=earlier.append)
    assert [[trial.number for trial in trials] for trials in earlier] == [[1, 2, 3]]
    assert [trial.number for trial in told] == [4, 5, 6, 7, 8, 9]
    assert found == whole


def test_other_examples_settings_or_tasks_are_another_search(tmp_path: Path) -> None:
    look(tmp_path, 3)
    for changes in ({"name": "intent-def"}, {"base": TrainSettings(rank=8)}, {"task": "sentiment"}):
        told: list[Trial] = []
        look(tmp_path, 1, tell=told.append, **changes)
        assert len(told) == 1
    rows = [Labelled("a", "x"), Labelled("b", "y")]
    name = study_name("intent", rows, rows[:1])
    assert name == study_name("intent", rows[::-1], rows[:1]) != study_name("intent", rows, rows[1:])
    assert study_name("sentiment", rows, rows[:1]) != name


def test_only_one_search_at_a_time_runs_on_a_file(tmp_path: Path) -> None:
    def second(settings: TrainSettings, report: Report) -> float:
        with pytest.raises(TrainingError, match="another search is running"):
            look(tmp_path, 1)
        return 0.5

    assert look(tmp_path, 1, second).score == 0.5


def test_a_file_that_is_no_search_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "search.db").write_text("my diary, day one\n" * 100)
    with pytest.raises(TrainingError, match=r"search\.db: cannot be used as the file of a search"):
        look(tmp_path, 1)
    assert (tmp_path / "search.db").read_text().startswith("my diary")


@pytest.mark.parametrize("changes", [{"trials": 0}, {"base": TrainSettings(method="qlora")}, {"base": TrainSettings(rank=0)}])
def test_what_cannot_be_searched_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(TrainingError):
        look(tmp_path, **{"trials": 2, **changes})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_corner_of_the_space_can_be_trained_and_holds_the_defaults(task: str, method: str) -> None:
    if (task, method) == ("dialog", "prompt"):
        return
    base = TrainSettings(method=method, rank=12, layers_from=1, average=0.5)
    space = knobs(task, base)
    for corner in (0, -1):
        values = {knob.name: (knob.choices or (knob.low, knob.high))[corner] for knob in space}
        TrainSettings(**{"method": method, **values}).check(task)
    for knob in space:
        own = base.adapter_rate if knob.name == "learning_rate" else getattr(base, knob.name)
        assert own in knob.choices if knob.choices else knob.low <= own <= knob.high


def test_a_search_trains_and_leaves_no_files_behind(tiny: Encoder, tmp_path: Path) -> None:
    settings = TrainSettings(rank=2, layers_from=1, epochs=1, batch_size=8)
    run = Run("intent", "search", tmp_path / "work", datetime(2026, 1, 2, tzinfo=UTC), "0", settings=settings)
    evaluate = validation_score(run, Split(tuple(TRAINING), tuple(VALIDATION)), tiny)
    found = look(tmp_path, 2, evaluate, base=settings)
    assert len(found.trials) == 2 and 0 < found.trials[0].score <= found.score <= 1
    assert list((tmp_path / "work").iterdir()) == []
