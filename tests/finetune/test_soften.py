"""Soft targets: who answers has never learned what it is asked about."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from finetune.losses import soft_cross_entropy
from finetune.soften import deal, out_of_sample

TARGETS = [0] * 10 + [1] * 5 + [2]


def test_every_part_holds_every_class_alike() -> None:
    parts = deal(TARGETS, 5, seed=3)
    assert sorted(row for part in parts for row in part) == list(range(len(TARGETS)))
    for part in parts:
        counts = np.bincount([TARGETS[row] for row in part], minlength=3)
        assert counts[0] == 2 and counts[1] == 1
    assert deal(TARGETS, 5, seed=3) == parts != deal(TARGETS, 5, seed=4)


def test_no_row_is_answered_by_a_classifier_that_learned_it() -> None:
    asked_of: list[tuple[set[int], list[int]]] = []

    def teach(learned: list[int], asked: list[int]) -> np.ndarray:
        asked_of.append((set(learned), asked))
        return np.array([[row, 1.0, 0.0] for row in asked], dtype=np.float32)

    found = out_of_sample(teach, TARGETS, 3, parts=4, seed=1)
    assert len(asked_of) == 4
    for learned, asked in asked_of:
        assert not learned & set(asked) and len(learned) + len(asked) == len(TARGETS)
    assert found[:, 0].tolist() == list(range(len(TARGETS)))  # each answer lies in its own row


def test_a_target_that_is_all_one_class_costs_what_cross_entropy_costs() -> None:
    logits = torch.tensor([[2.0, 0.5, -1.0], [0.1, 0.2, 0.3]])
    weights = torch.tensor([1.0, 3.0])
    answers = torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    plain = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 2]), reduction="none")
    assert float(soft_cross_entropy(logits, answers, weights)) == pytest.approx(float((plain * weights).sum() / 4))
