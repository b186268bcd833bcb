"""Settings that cannot work are refused before anything is trained, every fault at once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from assistant.errors import TrainingError
from finetune.recipe import METHODS, TASKS, TrainSettings


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_train_every_task_but_prompts_for_dialog(task: str, method: str) -> None:
    if (task, method) == ("dialog", "prompt"):
        with pytest.raises(TrainingError, match="choose lora or prefix"):
            TrainSettings(method=method).check(task)
        return
    TrainSettings(method=method).check(task)


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("reply", {}, "'reply' cannot be trained; intent, sentiment, slots, dialog can"),
        ("intent", {"method": "qlora"}, "method 'qlora' is none of lora"),
        ("intent", {"head_start": "svm"}, "head_start 'svm' is none of means, probe"),
        ("slots", {"refit": True}, "refit = True does nothing for slots; leave it at False"),
        ("slots", {"class_weights": "balanced"}, "class_weights = balanced does nothing for slots; leave it at sqrt"),
        ("dialog", {"head_start": "probe"}, "head_start = probe does nothing for dialog; leave it at means"),
        ("dialog", {"label_smoothing": 0.2}, "label_smoothing = 0.2 does nothing for dialog"),
        ("intent", {"method": "ia3", "linears": ("output.dense",)}, "does nothing for ia3"),
        ("intent", {"virtual_tokens": 4}, "virtual_tokens = 4 does nothing for lora; leave it at 16"),
        ("intent", {"method": "prefix", "seeds": 3}, "cannot be folded into one; choose lora or ia3"),
        ("intent", {"method": "prompt", "adversarial": 0.1}, "virtual tokens share; choose lora or ia3"),
        ("intent", {"class_weights": "root"}, "class_weights 'root'"),
        ("intent", {"linears": ("pooler.dense",)}, r"linears pooler\.dense must be among"),
        ("intent", {"linears": ()}, r"linears \(none\)"),
        ("intent", {"dropout": 1.0}, r"dropout = 1\.0 must be in \[0, 1\)"),
        ("intent", {"average": -0.1}, r"average = -0\.1"),
        ("intent", {"token_dropout": float("nan")}, "token_dropout = nan"),
        ("intent", {"rank": 0}, "rank = 0 must be at least 1"),
        ("intent", {"accumulate": 0}, "accumulate = 0"),
        ("intent", {"learning_rate": -1e-3}, "learning_rate = -0.001 must not be negative"),
        ("intent", {"learning_rate": float("inf")}, "learning_rate = inf"),
        ("intent", {"replay": 1.5}, r"replay = 1\.5 must be in \[0, 1\]"),
    ],
)
def test_what_cannot_work_is_refused_with_the_mend(task: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(TrainingError, match=message):
        TrainSettings(**changes).check(task)


def test_all_faults_are_named_at_once() -> None:
    with pytest.raises(TrainingError) as caught:
        TrainSettings(method="prompt", rank=0, epochs=0, dropout=2.0, seeds=2, class_weights="x").check("dialog")
    for part in ("cannot learn dialog", "seeds = 2", "class_weights 'x'", "dropout = 2.0", "rank = 0", "epochs = 0"):
        assert part in str(caught.value)


def test_settings_go_whole_into_the_manifest() -> None:
    values = TrainSettings(method="ia3", rank=3).as_dict()
    assert values["name"] == "ia3" and values["rank"] == 3 and values["learning_rate"] == METHODS["ia3"]
    assert json.loads(json.dumps(values)) == values
    assert TrainSettings(learning_rate=0.5).as_dict()["learning_rate"] == 0.5


def test_virtual_tokens_are_trained_from_the_lowest_layer() -> None:
    assert [TrainSettings(method=method, layers_from=2).first_layer for method in METHODS] == [2, 2, 2, 0, 0]


def test_copies_are_made_only_when_noise_is_asked_for() -> None:
    assert not TrainSettings().augments
    assert all(TrainSettings(**{name: 0.1}).augments for name in ("typing_noise", "casing", "token_dropout", "synonyms"))
