"""Several trainings are folded into one only where that is no worse; what counts in a training is where it should be."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from assistant.adapter_files import HEAD, MANIFEST, WEIGHTS, read_version
from assistant.encoder import Encoder
from finetune.fitting import Fitted, fingerprint, fit
from finetune.loop import Learner
from finetune.losses import class_weights, contrastive
from finetune.recipe import Run, TrainSettings
from tests.finetune.tiny_training import TRAINING, tiny_encoder, train

SETTINGS = TrainSettings(rank=2, layers_from=2, epochs=1, batch_size=2, dropout=0.0)
TEXTS = ["where is it", "money back", "it broke", "hello there"]


@pytest.fixture(scope="module")
def tiny(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder small enough to train with in a test."""
    return tiny_encoder(encoder, tmp_path_factory.mktemp("tiny") / "tiny-bert")


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.adapted.bfloat16_pays", lambda: False)


def fitted(
    tiny: Encoder, scores: list[float], until: dict[int, int] | None = None, **changes: Any
) -> tuple[Fitted, list[torch.Tensor]]:
    """Fit with a scripted judge; return what came out and the head as it was at each judgement."""
    seen: list[torch.Tensor] = []

    def build(adapted: Any) -> Learner:
        head = torch.nn.Linear(adapted.dim, 2)
        states = adapted.prepare(TEXTS)

        def loss(rows: list[int]) -> torch.Tensor:
            pooled = adapted.pool(*adapted.hidden([states[row] for row in rows]))
            return torch.nn.functional.cross_entropy(head(pooled), torch.tensor([row % 2 for row in rows]))

        def judge() -> float:
            seen.append(head.weight.detach().clone())
            return scores[len(seen) - 1]

        return Learner(head, [3] * len(TEXTS), loss, lambda: None, judge)

    run = Run("intent", "v1", Path(), datetime(2026, 1, 2, tzinfo=UTC), "0", settings=replace(SETTINGS, **changes))
    return fit(run, tiny, len(TEXTS), build, "examples", until=until), seen


def test_seeds_are_averaged_where_the_average_is_no_worse(tiny: Encoder) -> None:
    made, seen = fitted(tiny, [0.5, 0.6, 0.6], seeds=2)
    assert not torch.equal(seen[0], seen[1])
    torch.testing.assert_close(made.learner.head.weight.detach(), (seen[0] + seen[1]) / 2)
    assert [epoch.seed for epoch in made.history] == [7, 8]


def test_the_best_seed_is_kept_where_the_average_is_worse(tiny: Encoder) -> None:
    made, seen = fitted(tiny, [0.5, 0.6, 0.4, 0.59], seeds=3)
    assert torch.equal(made.learner.head.weight.detach(), seen[1])


def test_a_training_whose_end_was_chosen_before_keeps_its_last_epoch_however_it_judges(tiny: Encoder) -> None:
    made, seen = fitted(tiny, [0.9, 0.1], until={7: 2}, epochs=5, patience=1)
    assert torch.equal(made.learner.head.weight.detach(), seen[1])
    assert [(epoch.epoch, epoch.epochs, epoch.refit) for epoch in made.history] == [(1, 2, True), (2, 2, True)]


def test_seeds_whose_ends_were_chosen_before_are_averaged_without_being_judged(tiny: Encoder) -> None:
    made, seen = fitted(tiny, [0.9, 0.1], until={7: 1, 8: 1}, seeds=2)
    torch.testing.assert_close(made.learner.head.weight.detach(), (seen[0] + seen[1]) / 2)


def test_one_seed_is_not_judged_again(tiny: Encoder) -> None:
    assert len(fitted(tiny, [0.5])[1]) == 1


def test_what_comes_out_is_exact_and_no_longer_trains(tiny: Encoder) -> None:
    made, _ = fitted(tiny, [0.5])
    assert made.adapted.exact and not made.adapted.model.training and not made.learner.head.training


def test_a_fingerprint_tells_apart_all_that_counts(tmp_path: Path) -> None:
    run = Run("intent", "v1", tmp_path, datetime(2026, 1, 2, tzinfo=UTC), "0", settings=SETTINGS)
    first = fingerprint(run, "examples", "base")
    others = [
        fingerprint(replace(run, task="sentiment"), "examples", "base"),
        fingerprint(replace(run, settings=replace(SETTINGS, rank=3)), "examples", "base"),
        fingerprint(replace(run, code_version="1"), "examples", "base"),
        fingerprint(run, "others", "base"),
        fingerprint(run, "examples", "another base"),
        fingerprint(run, "examples", "base", world=2),
    ]
    assert len({first, *others}) == 7
    # A run that is started again has another name and time.
    again = replace(run, version="v2", created_at=datetime(2026, 2, 2, tzinfo=UTC), staged=tmp_path / "x")
    assert fingerprint(again, "examples", "base") == first


def test_a_version_is_whole_and_tells_where_it_came_from(tiny: Encoder, tmp_path: Path) -> None:
    made = train(tiny, tmp_path, replace(SETTINGS, batch_size=8)).manifest
    assert sorted(path.name for path in (tmp_path / "v1").iterdir()) == sorted([*made.files, MANIFEST])
    assert made.training_set["sources"] == ["a.jsonl"] and made.training_set["examples"] == len(TRAINING)
    assert len(made.training_set["checkpoint"]) == 16
    assert read_version(tmp_path / "v1", tiny.sha256).manifest == made


def test_replay_is_a_matter_of_gathering_examples_not_of_the_loop(tiny: Encoder, tmp_path: Path) -> None:
    for replay in (0.0, 1.0):
        train(tiny, tmp_path / str(replay), replace(SETTINGS, replay=replay, batch_size=8))
    for name in (WEIGHTS, HEAD):
        first, second = (load_file(tmp_path / str(replay) / "v1" / name) for replay in (0.0, 1.0))
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_rare_classes_weigh_more_and_the_out_of_scope_class_does_not() -> None:
    targets = torch.tensor([0] * 8 + [1] * 2 + [2] * 2)
    assert class_weights(targets, 3, "none").tolist() == [1, 1, 1]
    assert class_weights(targets, 3, "balanced").tolist() == [0.5, 2, 2]
    assert class_weights(targets, 3, "balanced", outside=2).tolist() == [0.5, 2, 1]
    torch.testing.assert_close(class_weights(targets, 3, "sqrt"), torch.tensor([0.5**0.5, 2**0.5, 2**0.5]))
    assert class_weights(targets, 4, "balanced").isfinite().all()


def test_the_contrastive_loss_is_small_where_classes_keep_together() -> None:
    east, north = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    pooled = torch.stack([east, east, north, north])
    together = contrastive(pooled, torch.tensor([0, 0, 1, 1]))
    apart = contrastive(pooled, torch.tensor([0, 1, 0, 1]))
    assert 0 <= float(together) < 0.01 and float(apart) > 5
    assert float(contrastive(pooled, torch.tensor([0, 1, 2, 3]))) == 0.0
