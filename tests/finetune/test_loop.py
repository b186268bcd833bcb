"""The training loop: every row once an epoch, the best epoch is kept, gradients and averages are what they should be."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from finetune.loop import Learner, batches, steps_of, train
from finetune.ranks import Ranks
from finetune.recipe import TrainSettings


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(1, 40), st.integers(1, 4), st.integers(0, 5))
def test_every_row_is_in_one_batch_and_the_steps_are_known_before(count: int, size: int, accumulate: int, seed: int) -> None:
    lengths = [(row * 7) % 50 for row in range(count)]
    found = list(batches(count, size, lengths, random.Random(seed)))
    assert sorted(row for rows in found for row in rows) == list(range(count))
    assert all(0 < len(rows) <= size for rows in found)
    assert found == list(batches(count, size, lengths, random.Random(seed)))
    chosen = TrainSettings(batch_size=size, accumulate=accumulate, epochs=3)
    assert steps_of(count, chosen, Ranks()) == 3 * -(-len(found) // accumulate)


def test_texts_of_like_length_share_a_batch() -> None:
    lengths = [1, 50] * 32
    assert all(len({lengths[row] for row in rows}) == 1 for rows in batches(64, 4, lengths, random.Random(1)))


class Toy:
    """One weight to train, a head of one linear, and a judge with a script."""

    def __init__(self, scores: list[float], **changes: Any) -> None:
        torch.manual_seed(0)
        self.head = torch.nn.Linear(2, 1)
        model = torch.nn.Linear(2, 2)
        self.watched: list[bool] = []
        self.adapted: Any = SimpleNamespace(
            model=model,
            parameters=lambda: list(model.parameters()),
            penalty=lambda: 0.0,
            after_step=lambda step: self.steps.append(step),
            watch=self.watched.append,
            perturb=lambda size: self.pushes.append(size),
            state=dict,
            restore=lambda state: None,
        )
        self.steps: list[int] = []
        self.pushes: list[float] = []
        self.biases: list[float] = []
        self.drawn: list[float] = []
        self.batches: list[list[int]] = []
        self.rng = random.Random(0)
        self.scores = scores
        self.rows = torch.randn(8, 2)
        self.settings = TrainSettings(**{"epochs": len(scores), "batch_size": 2, "patience": 9, "weight_decay": 0.0, **changes})

    def loss(self, rows: list[int]) -> torch.Tensor:
        self.drawn.append(self.rng.random())
        self.batches.append(rows)
        return ((self.head(self.adapted.model(self.rows[rows])) - self.rows[rows][:, :1]) ** 2).mean()

    def judge(self) -> float:
        assert not self.head.training and not self.adapted.model.training
        self.biases.append(float(self.head.bias.detach()))
        return self.scores[len(self.biases) - 1]

    def fresh(self, rng: random.Random) -> None:
        self.rng = rng

    def run(self) -> list[Any]:
        learner = Learner(self.head, [1] * 8, self.loss, lambda: None, self.judge, self.fresh)
        return train(self.adapted, learner, self.settings, seed=1)


def test_the_best_epoch_is_kept() -> None:
    toy = Toy([0.2, 0.9, 0.5])
    assert [epoch.score for epoch in toy.run()] == [0.2, 0.9, 0.5]
    assert float(toy.head.bias.detach()) == toy.biases[1] != toy.biases[2]


def test_training_stops_when_nothing_gets_better() -> None:
    assert [epoch.score for epoch in Toy([0.5, 0.4, 0.5, 0.9, 0.9], patience=2).run()] == [0.5, 0.4, 0.5]


def test_accumulated_batches_are_one_larger_batch() -> None:
    large, summed = Toy([0.5], batch_size=8), Toy([0.5], batch_size=2, accumulate=4)
    assert large.run()[0].loss == pytest.approx(summed.run()[0].loss, rel=1e-5)
    assert large.steps == summed.steps == [1]
    torch.testing.assert_close(summed.head.weight, large.head.weight)
    torch.testing.assert_close(summed.adapted.model.weight, large.adapted.model.weight)


def test_an_epoch_of_some_examples_draws_others_each_time() -> None:
    toy = Toy([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], epoch_examples=4)
    toy.run()
    assert len(toy.batches) == toy.steps[-1] == steps_of(8, toy.settings, Ranks()) == 12
    seen = [{row for rows in toy.batches[at : at + 2] for row in rows} for at in range(0, 12, 2)]
    assert all(len(rows) == 4 for rows in seen) and len(set().union(*seen)) == 8


def test_the_average_of_the_weights_is_judged_and_kept() -> None:
    plain, averaged = Toy([0.1, 0.2]), Toy([0.1, 0.2], average=0.9)
    started = float(plain.head.bias.detach())
    plain.run()
    averaged.run()
    # Nearer to the beginning than the last weights, and not the beginning itself.
    assert 0 < abs(averaged.biases[-1] - started) < abs(plain.biases[-1] - started)
    assert float(averaged.head.bias.detach()) == averaged.biases[-1]


def test_the_rate_rises_and_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", lambda self: seen.append(self.param_groups[1]["lr"]) or step(self))
    Toy([0.5, 0.6, 0.7], head_learning_rate=1.0, warmup=0.25).run()
    assert len(seen) == 12 and max(seen) == 1.0 and seen.index(1.0) in (2, 3)
    assert seen[:3] == sorted(seen[:3]) and seen[3:] == sorted(seen[3:], reverse=True) and 0 < seen[-1] < 0.2


def test_the_adversarial_pass_sees_the_same_draws_and_is_switched_off_afterwards() -> None:
    toy = Toy([0.5], adversarial=0.1)
    toy.run()
    assert toy.pushes == [0.1] * 4 and toy.watched == [True, False] * 4
    assert toy.drawn[::2] == toy.drawn[1::2] and len(set(toy.drawn)) > 1


def test_the_loss_of_an_epoch_is_the_mean_over_its_rows() -> None:
    toy = Toy([0.5], learning_rate=1e-9, head_learning_rate=1e-9, batch_size=3)
    whole = float(toy.loss(list(range(8))).detach())
    assert toy.run()[0].loss == pytest.approx(whole, rel=1e-5)
