"""What is held apart of a night's rows to choose by: the best vouched for, and never what a person has just put right."""

from __future__ import annotations

from collections import Counter

import numpy as np

from finetune.evaluate import expected_calibration_error, fit_temperature, softmax
from finetune.harvested import Example, Trust
from finetune.training_rows import split_for_training


def rows(label: str, trust: Trust, count: int, ref: str = "") -> list[Example]:
    return [
        Example(f"{label} {trust} {ref}{number}", label, ref and f"{ref}/{number}", "en", None, trust) for number in range(count)
    ]


def held(group: list[Example], seed: int = 7) -> Counter[Trust]:
    trusted = {row.text: row.trust for row in group}
    return Counter(trusted[row.text] for row in split_for_training("intent", group, seed).validation)  # type: ignore[union-attr]


def test_the_companys_own_rows_are_held_apart_before_what_agents_did() -> None:
    group = [*rows("refund", "action", 90, "log"), *rows("refund", "person", 60), *rows("refund", "agreement", 50, "log")]
    assert held(group) == {"person": 20}


def test_no_kind_gives_more_than_a_third() -> None:
    group = [*rows("refund", "person", 6), *rows("refund", "action", 90, "log"), *rows("refund", "agreement", 104, "log")]
    assert held(group) == {"person": 2, "action": 18}


def test_a_correction_is_learned_from_and_not_held_apart() -> None:
    group = [*rows("refund", "correction", 40, "conversation"), *rows("refund", "action", 60, "log")]
    for seed in range(5):
        assert held(group, seed) == {"action": 10}


def test_every_label_of_three_rows_is_on_both_sides_and_no_row_on_two() -> None:
    group = [
        *rows("refund", "correction", 3, "conversation"),
        *rows("login", "action", 3, "log"),
        *rows("rare", "action", 2, "log"),
    ]
    split = split_for_training("intent", group, 7)
    training, validation = ([row.text for row in side] for side in (split.training, split.validation))  # type: ignore[union-attr]
    assert {text.split()[0] for text in training} == {text.split()[0] for text in validation} == {"refund", "login"}
    assert len(training) + len(validation) == len({*training, *validation}) == 6
    assert split == split_for_training("intent", group, 7)


def test_wrong_tags_of_agents_do_not_make_a_version_less_sure_than_it_is() -> None:
    """Three tenths of the agents' tags are drawn anew; a calibrated classifier must come out with a temperature near 1."""
    random = np.random.default_rng(0)
    labels = ["refund", "login", "stock"]
    group = [one for label in labels for one in (*rows(label, "person", 400), *rows(label, "action", 400, "log"))]
    found = {row.text: 3 * random.normal(size=3) for row in group}
    truth = {text: int(random.choice(3, p=softmax(scores[None])[0])) for text, scores in found.items()}
    tagged = {
        row.text: int(random.integers(3)) if row.trust == "action" and random.random() < 0.3 else truth[row.text] for row in group
    }

    def fitted(texts: list[str]) -> float:
        return fit_temperature(np.array([found[text] for text in texts]), np.array([tagged[text] for text in texts]))

    apart = [row.text for row in split_for_training("intent", group, 7).validation]  # type: ignore[union-attr]
    drawn = [group[row].text for row in random.permutation(len(group))[: len(apart)]]
    clean = [row.text for row in group if row.trust == "person" and row.text not in apart]
    scores, right = np.array([found[text] for text in clean]), np.array([truth[text] for text in clean])
    errors = [expected_calibration_error(softmax(scores / heat), right) for heat in (fitted(apart), fitted(drawn))]
    assert 0.8 < fitted(apart) < 1.25 < fitted(drawn)
    assert errors[0] < errors[1] - 0.02
