"""The monitor's peers: EWMA chart, plain CUSUM, ADWIN and Page-Hinkley on the same streams, each tuned to the same false alarms.

Each gets what our detector gets: only the first negative message of a conversation counts, nothing is raised in the first two
weeks or on fewer than five negative messages, and each stream is watched by itself. EWMA (Roberts 1959) and CUSUM (Page 1954)
look at the number of negative messages by the hour and know each stream's own mean so far, and no season. ADWIN (Bifet & Gavalda
2007) and Page-Hinkley, of the library river, look at the negative share message by message. One threshold for all streams.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.bench.monitor_streams import START_S, WEEK_S, History

WARM_S = 14 * 86_400.0
MINIMUM = 5


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm of a detector: which stream, and when, in seconds since 1970."""

    stream: int
    at: float


Peer = Callable[[History, float], list[Alarm]]


def ewma(history: History, threshold: float, weight: float = 0.02) -> list[Alarm]:
    """EWMA chart of the hourly number of negative messages; the limit is ``threshold`` standard deviations over the mean."""
    deviation = np.sqrt(weight / (2 - weight))

    def update(state: NDArray[np.float64], count: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.bool_]:
        state[:] = (1 - weight) * state + weight * count
        hit: NDArray[np.bool_] = (state > mean + threshold * deviation * np.sqrt(mean)) & (state >= MINIMUM * weight)
        state[hit] = mean[hit]
        return hit

    return _hourly(history, update)


def cusum(history: History, threshold: float, ratio: float = 3.0) -> list[Alarm]:
    """CUSUM of the Poisson log-likelihood ratio of three times the mean, hour by hour, alarm above ``threshold``."""

    def update(state: NDArray[np.float64], count: NDArray[np.float64], mean: NDArray[np.float64]) -> NDArray[np.bool_]:
        state[:] = np.maximum(0.0, state + count * np.log(ratio) - (ratio - 1) * mean)
        hit: NDArray[np.bool_] = state > threshold
        state[hit] = 0.0
        return hit

    return _hourly(history, update)


def adwin(history: History, threshold: float) -> list[Alarm]:
    """ADWIN on the negative share with ``delta = exp(-threshold)``, checked at every message; rises only."""
    from river.drift import ADWIN

    delta = float(np.exp(-threshold))

    def make() -> Callable[[float], bool]:
        one = ADWIN(delta=delta, clock=1)  # type: ignore[no-untyped-call]

        def update(value: float) -> bool:
            before = one.estimation
            one.update(value)  # type: ignore[no-untyped-call]
            return bool(one.drift_detected and one.estimation > before)

        return update

    return _by_message(history, make)


def page_hinkley(history: History, threshold: float) -> list[Alarm]:
    """Page-Hinkley on the negative share, rises only, alarm above ``threshold``."""
    from river.drift import PageHinkley

    def make() -> Callable[[float], bool]:
        one = PageHinkley(threshold=threshold, mode="up")

        def update(value: float) -> bool:
            one.update(value)  # type: ignore[no-untyped-call]
            return bool(one.drift_detected)

        return update

    return _by_message(history, make)


# name: peer, lowest and highest threshold that tuning looks at
PEERS: dict[str, tuple[Peer, float, float]] = {
    "EWMA": (ewma, 2.0, 60.0),
    "CUSUM": (cusum, 2.0, 40.0),
    "ADWIN": (adwin, 1.0, 60.0),
    "Page-Hinkley": (page_hinkley, 2.0, 200.0),
}


def per_four_weeks(alarms: int, histories: int, weeks: float) -> float:
    """Turn a count of alarms into alarms in four weeks, without the first two weeks of each history."""
    return alarms / (histories * (weeks - 2) / 4)


def tuned(peer: Peer, low: float, high: float, histories: Sequence[History], weeks: float, steps: int = 7) -> float:
    """Find the threshold at which histories without surges give one alarm in four weeks, by bisection.

    Args:
        peer: The detector.
        low: Lowest threshold.
        high: Highest.
        histories: Validation histories.
        weeks: Length of each.
        steps: How often the interval is halved (by ratio).

    Returns:
        The threshold, from the side that alarms not more than that.
    """
    for _ in range(steps):
        middle = float(np.sqrt(low * high))
        alarms = sum(len(peer(history, middle)) for history in histories)
        if per_four_weeks(alarms, len(histories), weeks) > 1.0:
            low = middle
        else:
            high = middle
    return high


def _hourly(
    history: History,
    update: Callable[[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]],
) -> list[Alarm]:
    streams = history.rates.size
    hours = int(np.ceil((history.at[-1] - START_S) / 3600)) + 1
    hour = ((history.at - START_S) // 3600).astype(np.int64)[history.first]
    counts = np.bincount(hour * streams + history.stream[history.first], minlength=hours * streams).reshape(hours, streams)
    state = np.zeros(streams)
    mean = np.zeros(streams)
    total = np.zeros(streams)
    alarms = []
    for number in range(hours):
        if number % 24 == 0:
            # What is known of a stream so far, with a little of the mean of all, so that rare streams have a mean at all.
            pooled = total.mean() / max(number, 1)
            mean = np.maximum((total + pooled * 168) / (number + 168), 1e-6)
        count = counts[number].astype(np.float64)
        hit = update(state, count, mean)
        total += count
        if number * 3600 >= WARM_S:
            ending = START_S + (number + 1) * 3600.0
            alarms += [Alarm(int(stream), ending) for stream in np.flatnonzero(hit)]
    return alarms


def _by_message(history: History, make: Callable[[], Callable[[float], bool]]) -> list[Alarm]:
    shown = ~history.negative | history.first
    at, stream, value = history.at[shown].tolist(), history.stream[shown].tolist(), history.first[shown].tolist()
    updates = [make() for _ in range(history.rates.size)]
    seen = [0] * history.rates.size
    alarms = []
    for now, number, negative in zip(at, stream, value, strict=True):
        seen[number] += negative
        if updates[number](float(negative)) and now >= START_S + WARM_S and seen[number] >= MINIMUM:
            alarms.append(Alarm(number, now))
    return alarms


def weeks_of(history: History) -> float:
    """Tell how many weeks a history lasts."""
    return float((history.at[-1] - START_S) / WEEK_S)
