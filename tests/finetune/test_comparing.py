"""One version on holdout rows and regression cases, and a clock that treats both versions alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from assistant.bert import AdapterWeights
from assistant.encoder import Encoder
from assistant.registry import AdapterVersion, Manifest, Registry
from finetune import comparing, holdout
from finetune.comparing import class_chances, judge_version, latencies
from finetune.harvested import Example, Pair
from tests.finetune.night_fixtures import first_night as first_night
from tests.finetune.nights import LABELS, QUESTIONS


@pytest.fixture
def champion(first_night: Path, encoder: Encoder) -> Iterator[AdapterVersion]:
    registry = Registry(first_night / "adapters")
    yield registry.load("intent", str(registry.champion("intent")), encoder.sha256)
    encoder.set_adapters({})


def rows(label: str, count: int) -> list[Example]:
    return [Example(text, label, "", lang, None, "person") for text, lang in QUESTIONS[label][:count]]


def test_a_version_is_judged_on_rows_and_cases_alike(champion: AdapterVersion, encoder: Encoder) -> None:
    examples = [*rows("gift_card", 5), *rows("wifi_offline", 5)]
    cases = [(one.text, one.label) for one in examples]
    found = judge_version(champion, encoder, examples, cases, 0, 3.5)
    assert found.right.tolist() == found.regression.tolist() and found.right.mean() >= 0.8
    assert found.labels == ("gift_card",) * 5 + ("wifi_offline",) * 5 and found.latency_ms == 3.5
    assert ((found.confidence > 1 / len(LABELS)) & (found.confidence <= 1)).all() and 0 <= found.ece <= 1


def test_a_label_that_a_version_does_not_know_counts_as_wrong(champion: AdapterVersion, encoder: Encoder) -> None:
    stranger = [Example("Do you mend bicycles?", "bicycles", "", "en", None, "person")]
    found = judge_version(champion, encoder, stranger, [("Do you mend bicycles?", "bicycles")], 0)
    assert not found.right.any() and not found.regression.any()


def test_no_rows_and_no_cases_are_judged_too(champion: AdapterVersion, encoder: Encoder) -> None:
    found = judge_version(champion, encoder, [], [], 0)
    assert (found.n, len(found.confidence), len(found.regression), found.ece) == (0, 0, 0, 0.0)
    assert class_chances(champion, encoder, []).shape == (0, len(LABELS))
    assert latencies(encoder, [champion, champion], []) == [0.0, 0.0]


def test_calibration_is_judged_on_the_half_that_no_temperature_was_fitted_on(
    champion: AdapterVersion, encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = [*rows("gift_card", 5), *rows("wifi_offline", 5)]
    assert judge_version(champion, encoder, examples, [], 0).unfitted is None  # too few to halve
    monkeypatch.setattr(holdout, "LEAST_HALVED", 10)
    fitted = set(holdout.calibrating(examples))
    assert 0 < len(fitted) < 10
    # Every row of the other half is given a wrong label: certain of what is wrong, nothing of the fitted half in it.
    other = {"gift_card": "wifi_offline", "wifi_offline": "gift_card"}
    swapped = [one if one in fitted else replace(one, label=other[one.label]) for one in examples]
    found = judge_version(champion, encoder, swapped, [], 0)
    assert found.unfitted is not None and found.unfitted.tolist() == [one not in fitted for one in examples]
    wrong = found.unfitted & ~found.right
    assert found.ece == pytest.approx(float(found.confidence[wrong].mean()), abs=0.05) and wrong.sum() == found.unfitted.sum()


class Busy:
    """An encoder of a given speed on a machine whose clock other programs hold up; ``clock`` is what the test reads."""

    def __init__(self, speeds: Sequence[float], noise: Iterator[float]) -> None:
        self.at, self._speeds, self._noise, self.asked = 0.0, dict(enumerate(speeds)), noise, []  # type: ignore[var-annotated]

    def stack(self, adapters: dict[str, Any]) -> int:
        return int(next(iter(adapters.values())))

    def encode_for_tasks(self, texts: list[str], stack: int) -> None:
        self.asked.append(stack)
        self.at += self._speeds[stack] + next(self._noise)


def timed(monkeypatch: pytest.MonkeyPatch, speeds: Sequence[float], noise: Iterator[float]) -> list[float]:
    busy = Busy(speeds, noise)
    monkeypatch.setattr(comparing, "time", SimpleNamespace(perf_counter=lambda: busy.at))
    versions = [SimpleNamespace(manifest=SimpleNamespace(task="intent"), weights=row) for row in range(len(speeds))]
    found = latencies(busy, versions, [f"text {number}" for number in range(40)])  # type: ignore[arg-type]
    assert {busy.asked.count(row) for row in range(len(speeds))} == {len(busy.asked) // len(speeds)}
    return found


def test_a_corrected_answer_must_stay_the_first_of_the_replies(encoder: Encoder) -> None:
    head = {name: torch.eye(encoder.dim) for name in ("context.weight", "reply.weight")}
    manifest = Manifest(
        task="dialog", version="v1", base_name="x", base_sha256="", method={}, labels=(), training_set={}, seed=1,
        code_version="0", scores={}, thresholds={}, temperature=1.0, created_at="",
    )  # fmt: skip
    version = AdapterVersion(manifest, AdapterWeights(), head)
    rows = [
        Pair((("customer", ask),), reply, f"transcript:s/{ask}", None, "en")
        for ask, reply in (
            ("where is my parcel", "Your parcel is on its way."),
            ("the lamp is broken", "We send you a new lamp."),
        )
    ]
    cases = [("how do I pay", "You pay by card or on invoice."), ("where is my parcel", "Snow falls in winter.")]
    found = judge_version(version, encoder, rows, cases, 0)
    encoder.set_adapters({})
    assert found.regression.tolist() == [True, False] and found.n == 2


def test_a_busy_machine_makes_no_version_look_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for _ in range(30):
        # Stalls of up to 30 ms on half of all passes, and load that triples half way.
        load = (float(rng.uniform(0, 0.03)) * (rng.random() < 0.5) * (1 if number < 150 else 3) for number in itertools.count())
        first, second = timed(monkeypatch, (0.004, 0.004), load)
        assert abs(first - second) < 1.0


def test_a_version_that_is_slower_is_seen_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = timed(monkeypatch, (0.009, 0.004), itertools.cycle((0.0, 0.01, 0.0, 0.003, 0.02)))
    assert first - second == pytest.approx(5.0, abs=0.5)
