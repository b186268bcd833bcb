from __future__ import annotations

import json
import math
import random

import pytest

from assistant.monitor.charts import COMPONENTS, OVERSHOOT, SIZE, Charts, Mark

START = Mark(0.0, 0.0, 0, 0, 0)


def costs(expected: float) -> list[float]:
    """As for a stream whose rate is known and whose share is never looked at."""
    return [(one.ratio - 1) * expected if one.watch == "number" else 1e6 for one in COMPONENTS]


GAINS = [math.log(one.ratio) if one.watch == "number" else 0.0 for one in COMPONENTS]


def test_the_components_share_one_budget() -> None:
    assert sum(one.weight for one in COMPONENTS) == pytest.approx(1.0)
    assert all(one.ratio > 1 and one.weight > 0 for one in COMPONENTS)


def test_evidence_is_the_integral_of_likelihood_ratios_over_all_starts() -> None:
    charts = Charts(START)
    events = (0.7, 0.2, 1.1)
    for gap in events:
        charts.wait(costs(gap), gap, START)
        charts.strike(GAINS)
    k = next(k for k, one in enumerate(COMPONENTS) if one.watch == "number")
    rho, end = COMPONENTS[k].ratio, sum(events)
    times = [sum(events[: n + 1]) for n in range(3)]
    steps = 20_000
    total = 0.0
    for step in range(steps):
        start = end * (step + 0.5) / steps
        total += rho ** sum(time >= start for time in times) * math.exp(-(rho - 1) * (end - start)) * end / steps
    assert charts.evidence[k] == pytest.approx(COMPONENTS[k].weight * total, rel=1e-3)


def test_the_start_is_where_the_cusum_last_was_zero() -> None:
    charts = Charts(START)
    k = next(k for k, one in enumerate(COMPONENTS) if one.watch == "number" and one.ratio == 3.0)
    for number, gap in enumerate((1.0, 1.0, 1.0, 0.05, 0.05, 0.05)):
        mark = Mark(float(number), 0.0, number, number, number)
        charts.wait(costs(gap), gap, mark)
        charts.strike(GAINS)
    assert charts.starts[k].at == 2.0
    assert charts.cusums[k] == pytest.approx(4 * math.log(3) - 3 * 2 * 0.05)


def test_false_alarms_come_as_seldom_as_the_limit_says() -> None:
    rng = random.Random(11)
    share = sum(one.weight for one in COMPONENTS if one.watch == "number")
    days_between, spent, alarms = 60.0, 0.0, 0
    charts = Charts(START)
    for _ in range(40_000):
        gap = rng.expovariate(1.0)
        spent += gap * share
        charts.wait(costs(gap), gap, START)
        if charts.strike(GAINS) >= days_between / OVERSHOOT:
            alarms += 1
            charts.reset(START)
    assert spent / alarms == pytest.approx(days_between, rel=0.2)


def test_charts_go_on_to_the_last_bit_after_json() -> None:
    charts = Charts(START)
    charts.wait(costs(0.3), 0.1, Mark(1.5, 0.3, 1, 2, 3))
    charts.strike(GAINS)
    again = Charts.restore(json.loads(json.dumps(charts.state())))
    assert again.state() == charts.state()
    assert again.strike(GAINS) == charts.strike(GAINS)
    assert len(again.evidence) == SIZE
