"""When an alert ends: how often while its surge still goes on, and how long after it is over.

Companies of three topics, one of which turns sour for two weeks after 60 days and is back to normal then. Knows no peer: those
that the monitor stands beside only say that something changed.
"""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from assistant.monitor.detect import Detector
from assistant.monitor.events import Event

_START = datetime(2025, 1, 6, tzinfo=UTC)
_BEFORE, _LONG, _AFTER = 60.0, 14.0, 14.0
_LEVELS, _RATIOS = (2.0, 8.0), (2.0, 3.0, 5.0)  # unhappy conversations a day, and how many times as many


def rows(runs: int = 16) -> list[dict[str, Any]]:
    """Measure.

    Args:
        runs: Seeded runs of every level and ratio.

    Returns:
        One row: the share of found surges whose alert ended before them, and the median days by which it outlived them.
    """
    found, early = 0, 0
    late: dict[float, list[float]] = {}
    for level in _LEVELS:
        ends = []
        for ratio in _RATIOS:
            for seed in range(runs):
                opened, ended = _run(seed, level, ratio)
                found += opened
                early += any(day < _BEFORE + _LONG for day in ended)
                if opened:
                    ends.append(next((day - _BEFORE - _LONG for day in ended if day >= _BEFORE + _LONG), math.inf))
        late[level] = ends
    days = ", ".join(f"{level:g} unhappy conversations a day: {np.median(ends):.1f}" for level, ends in late.items())
    return [
        {
            "figure": "surges of two weeks told to be over while they went on, %",
            "value": 100.0 * early / found,
            "target": None,
            "n": found,
            "peer": {},
            "limit": f"median days from a surge's end to its alert's, at a usual level of {days}",
        }
    ]


def _run(seed: int, level: float, ratio: float) -> tuple[bool, list[float]]:
    """Say whether the surge was found, and on which days alerts of its topic ended from its beginning on."""
    rng, events = random.Random(seed), []
    for topic in "abc":
        for negative, rate in ((False, 4 * level), (True, level)):
            most, day = 2 * rate * ratio, 0.0
            while (day := day + rng.expovariate(most)) < _BEFORE + _LONG + _AFTER:
                high = topic == "a" and negative and _BEFORE <= day < _BEFORE + _LONG
                season = 1 + 0.9 * math.sin(2 * math.pi * day)
                if rng.random() < rate * (ratio if high else 1.0) * season / most:
                    events.append((day, topic, negative))
    detector, opened, ended = Detector(), False, []
    for number, (day, topic, negative) in enumerate(sorted(events)):
        event = Event(str(number), f"c{number}", _START + timedelta(days=day), topic, "en")
        for signal in detector.observe(event, negative):
            if signal.topic != "a" or day < _BEFORE:
                continue
            if signal.kind == "recovered":
                ended.append(day)
            else:
                opened = opened or day < _BEFORE + _LONG
    return opened, ended if opened else []
