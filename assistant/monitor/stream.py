"""One topic in one locale: its normal level, its charts, and the alert that is open on it.

The normal level is a Gamma posterior over negative messages per day of season time, the normal share a Beta posterior, both
with exponential forgetting (power discounting, West & Harrison 1997) and a prior pooled over the locale's streams. They go on
learning while evidence gathers, because their mean, taken from all that came before, is what makes the charts keep their false
alarms whatever the level; when an alert opens, what came since its start is taken out again, and nothing is learned until it
closes, so that a surge is not learned as normal. Knows no other stream; the pool is read for what streams share.
Before it: ``pool.py``, which gives budget, prior and dispersion. After it: ``detect.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from assistant.monitor.charts import COMPONENTS, DRIFT_MARGIN, Charts, Mark
from assistant.monitor.events import Signal, SignalKind
from assistant.monitor.limits import Limits
from assistant.monitor.recovery import OpenAlert, opened
from assistant.monitor.season import Clock, own_days, own_hours

DAY_S = 86_400.0
# Largest squared deviation of a day's count that says something of dispersion, in variances: surges are no dispersion.
OUTLIER = 25.0

_NUMBER = tuple((k, one.ratio - 1.0) for k, one in enumerate(COMPONENTS) if one.watch == "number")
_SHARE = tuple((k, one.ratio - 1.0) for k, one in enumerate(COMPONENTS) if one.watch == "share")
_DRIFT = tuple((k, one.ratio - 1.0) for k, one in enumerate(COMPONENTS) if one.watch == "drift")
_LOGS = tuple(math.log(one.ratio) for one in COMPONENTS)


@dataclass(frozen=True, slots=True)
class Prior:
    """What is believed of a stream of which nothing is known.

    Attributes:
        shape: Negative messages that the belief is worth.
        days: Days of season time that it is worth; ``shape / days`` is the rate.
        negative: Negative messages that the belief about the share is worth.
        other: Other messages that it is worth.
    """

    shape: float = 0.5
    days: float = 0.5
    negative: float = 1.0
    other: float = 5.0


class Stream:
    """The state of one topic in one locale."""

    __slots__ = (
        "born", "budget", "charts", "clock", "counted", "day_count", "day_expected", "days", "exposure", "hours", "messages",
        "negative", "negatives", "open", "other", "own_days", "own_hours", "quiet", "read", "recent", "scale", "slow",
        "slow_exposure", "stopped", "topic", "whole_week",
    )  # fmt: skip

    def __init__(self, topic: str, at: float, clock: Clock, budget: float) -> None:
        """Begin a stream at its first message.

        Args:
            topic: Its topic.
            at: Seconds since 1970.
            clock: Season time, for now.
            budget: Its part of the false-alarm budget, 0 to 1, until the next day.
        """
        self.topic, self.clock, self.budget = topic, clock, budget
        self.stopped = 0.0  # days for which the clock stood still, because nothing at all came in
        self.read = self.born = clock.read_at(at)
        self.messages = self.counted = self.negatives = self.quiet = 0
        self.negative = self.other = self.exposure = self.slow = self.slow_exposure = 0.0  # forgetful counts
        self.day_count, self.day_expected = 0, 0.0
        self.scale = 1.0  # 1 / dispersion
        self.hours, self.days = [0.0] * 24, [0.0] * 7
        self.own_hours, self.own_days = [1.0] * 24, [1.0] * 7
        self.whole_week = False
        self.recent: dict[str, float] = {}
        self.open: OpenAlert | None = None
        self.charts = Charts(self.mark(at))

    def mark(self, at: float) -> Mark:
        """Name this moment, to count from it later."""
        return Mark(at, self.read, self.negatives, self.counted, self.messages)

    def rate(self, prior: Prior) -> float:
        """Tell the normal level: negative messages per day of season time."""
        return (prior.shape + self.negative) / (prior.days + self.exposure)

    def settle(self, at: float, hours: float, prior: Prior, warm: bool) -> None:
        """Bring level and charts to this moment; no negative message came since the last time.

        Args:
            at: Seconds since 1970.
            hours: The same on the wall.
            prior: The pool's.
            warm: Whether charts run yet.
        """
        now = self.clock.read(hours) - self.stopped
        gap = now - self.read
        self.read = now
        quiet, self.quiet = self.quiet, 0
        alert = self.open
        if alert is not None:
            if alert.frozen:
                alert.fallen += alert.pace * gap
            else:
                self.other += quiet
                self.exposure += gap
                self.slow_exposure += gap
            return
        # The mean of a Gamma posterior falls while nothing comes; this is its integral over the gap.
        shape, days = prior.shape, prior.days
        expected = (shape + self.negative) * math.log1p(gap / (days + self.exposure))
        if warm:
            scale = self.scale
            costs = [0.0] * len(COMPONENTS)
            for k, more in _NUMBER:
                costs[k] = more * expected * scale
            slow = DRIFT_MARGIN * (shape + self.slow) * math.log1p(gap / (days + self.slow_exposure))
            for k, more in _DRIFT:
                costs[k] = more * slow * scale
            if quiet:
                mass = prior.negative + self.negative
                share = mass / (mass + prior.other + self.other + 0.5 * quiet)
                for k, more in _SHARE:
                    costs[k] = quiet * math.log1p(more * share) * scale
            self.charts.wait(costs, self.budget * gap, self.mark(at))
        self.day_expected += expected
        self.exposure += gap
        self.slow_exposure += gap
        self.other += quiet

    def count(self, prior: Prior, warm: bool) -> float:
        """Count one negative message at the moment just settled.

        Returns:
            The charts' evidence in days; 0 where none is gathered.
        """
        self.negatives += 1
        alert = self.open
        if alert is not None:
            alert.heard = self.read
            if alert.frozen:
                alert.fallen = max(0.0, alert.fallen - alert.gain)
            else:
                self.negative += 1.0
                self.slow += 1.0
            return 0.0
        evidence = 0.0
        if warm:
            scale = self.scale
            gains = [log * scale for log in _LOGS]
            mass = prior.negative + self.negative
            share = mass / (mass + prior.other + self.other)
            for k, more in _SHARE:
                gains[k] -= math.log1p(more * share) * scale
            evidence = self.charts.strike(gains)
        self.day_count += 1
        self.negative += 1.0
        self.slow += 1.0
        return evidence

    def raise_alert(self, at: float, locale: str, prior: Prior, limits: Limits, false_alarms: float) -> Signal | None:
        """Open an alert, unless too few messages speak for it.

        Args:
            at: Seconds since 1970, just settled and counted.
            locale: The pool's name.
            prior: The pool's.
            limits: The settings.
            false_alarms: What the evidence is worth, per 28 days.

        Returns:
            The signal; none below the least volume.
        """
        best = self.charts.strongest()
        start = self.charts.starts[best]
        observed = self.negatives - start.negatives
        if observed < limits.minimum:
            return None
        counted = self.counted - start.counted
        gap = self.read - start.clock
        drift = COMPONENTS[best].watch == "drift"
        new = start.clock - self.born < limits.warm_up_days and self.read - self.born < 2 * limits.warm_up_days
        if new:
            level, share = prior.shape / prior.days, prior.negative / (prior.negative + prior.other)
        else:
            self._unlearn(observed, counted, gap, (at - start.at) / DAY_S, limits, drift)
            level = self.rate(prior)
            share = (prior.negative + self.negative) / (prior.negative + self.negative + prior.other + self.other)
        # A rise in number is a rise in traffic times a rise in share: the larger of the two names it.
        souring = observed / (counted * share) >= counted * share / max(level * gap, 1e-9)
        kind: SignalKind = "new" if new else "drift" if drift else "share" if souring else "number"
        until = at + limits.warm_up_days * DAY_S if new else math.inf
        ratio, quiet = _ratio(observed, level * gap), limits.quiet_days
        self.open = opened(start, kind, false_alarms, level, share, ratio, self.scale, self.read, quiet, until)
        return self._signal(kind, at, locale, start, observed, self.open.expected(gap, counted), false_alarms)

    def recovers_at(self) -> float:
        """Tell when the open alert ends if no further message comes, in seconds since 1970; infinite without one."""
        alert = self.open
        if alert is None:
            return math.inf
        ends = alert.heard + alert.quiet_days
        if alert.kind == "new":
            return min(alert.until, self.clock.moment(ends + self.stopped))
        return self.clock.moment(min(ends, self.read + alert.days_left()) + self.stopped)

    def hear(self, hours: float) -> None:
        """Note a negative message that is not counted, since its conversation was: the alert's customers are not quiet."""
        if self.open is not None:
            self.open.heard = self.clock.read(hours) - self.stopped

    def recover(self, at: float, locale: str) -> Signal:
        """Close the open alert because its time has come; the caller settled at ``at``."""
        alert = self.open
        if alert is None:
            raise RuntimeError(f"stream {self.topic}/{locale} recovers without an open alert; this is a bug")
        start = alert.start
        expected = alert.expected(self.read - start.clock, self.counted - start.counted)
        self.close(at)
        return self._signal("recovered", at, locale, start, self.negatives - start.negatives, expected, alert.false_alarms)

    def _signal(
        self, kind: SignalKind, at: float, locale: str, start: Mark, observed: int, expected: float, false_alarms: float
    ) -> Signal:
        moments = datetime.fromtimestamp(at, UTC), datetime.fromtimestamp(start.at, UTC)
        messages, ratio = self.messages - start.messages, _ratio(observed, expected)
        return Signal(kind, self.topic, locale, *moments, observed, expected, messages, false_alarms, ratio)

    def accept(self, prior: Prior) -> None:
        """Take the level seen during the open alert as the normal one; a new topic's is learned already."""
        if self.open is None or not self.open.frozen:
            return
        start = self.open.start
        gap = max(self.read - start.clock, 1e-6)
        negatives, counted = self.negatives - start.negatives, self.counted - start.counted
        self.exposure = min(self.exposure, gap)
        self.slow_exposure = self.exposure
        level = (prior.shape + negatives) / (prior.days + gap)
        self.negative = self.slow = max(0.0, level * (prior.days + self.exposure) - prior.shape)
        self.other = (counted - negatives) * self.exposure / gap

    def close(self, at: float) -> None:
        """Forget the alert; charts begin anew."""
        self.open = None
        self.quiet = 0
        self.charts.reset(self.mark(at))

    def end_day(self, keep: float, slow_keep: float, prior: Prior) -> tuple[float, float]:
        """Forget a day's worth, and tell how the day's count deviated.

        Args:
            keep: What is left of the level's counts after a day, 0 to 1.
            slow_keep: The same for the slow level.
            prior: The pool's.

        Returns:
            Squared deviation beyond chance and the estimate's own error, and the square of what was expected.
        """
        expected, excess, square = self.day_expected, 0.0, 0.0
        if self.open is None:
            if expected >= 1.0:
                chance = expected + expected * expected / (prior.shape + self.negative)
                excess = min((self.day_count - expected) ** 2, OUTLIER * chance) - chance
                square = expected * expected
            self.negative *= keep
            self.other *= keep
            self.exposure *= keep
            self.slow *= slow_keep
            self.slow_exposure *= slow_keep
        self.day_count, self.day_expected = 0, 0.0
        return excess, square

    def end_week(self, season: list[float], keep: float) -> None:
        """Estimate the stream's own hours and weekdays, at a Monday's midnight; a first, broken week is left out."""
        if not self.whole_week:
            self.hours, self.days = [0.0] * 24, [0.0] * 7
            self.whole_week = True
            return
        self.own_hours, self.own_days = own_hours(season, self.hours), own_days(season, self.days)
        self.hours = [count * keep for count in self.hours]
        self.days = [count * keep for count in self.days]

    def _unlearn(self, observed: int, counted: int, gap: float, days: float, limits: Limits, drift: bool) -> None:
        """Take what came since the start out of the level; a drift falls back to the slow level."""
        kept = 0.5 ** (days / 2 / limits.half_life_days)
        slow_kept = 0.5 ** (days / 2 / limits.slow_half_life_days)
        self.negative = max(0.0, self.negative - observed * kept)
        self.other = max(0.0, self.other - (counted - observed) * kept)
        self.exposure = max(0.0, self.exposure - gap * kept)
        self.slow = max(0.0, self.slow - observed * slow_kept)
        self.slow_exposure = max(0.0, self.slow_exposure - gap * slow_kept)
        if drift and self.slow_exposure > 0.0:
            self.exposure = min(max(self.exposure, limits.half_life_days / 4), self.slow_exposure)
            before, self.negative = self.negative, self.slow * self.exposure / self.slow_exposure
            self.other = max(self.other, before + self.other - self.negative)

    def state(self) -> dict[str, Any]:
        """Give everything but the clock as JSON values; the clock follows from the pool and ``own_*``."""
        values = {name: getattr(self, name) for name in _PLAIN}
        plain = {name: list(value) if isinstance(value, list) else value for name, value in values.items()}
        alert = None if self.open is None else self.open.state()
        return plain | {"recent": dict(self.recent), "charts": self.charts.state(), "open": alert}

    @classmethod
    def restore(cls, state: dict[str, Any], clock: Clock) -> Stream:
        """Take up ``state`` again, to the last bit."""
        stream = cls(state["topic"], 0.0, clock, state["budget"])
        for name in _PLAIN:
            value = state[name]
            setattr(stream, name, list(value) if isinstance(value, list) else value)
        stream.recent = dict(state["recent"])
        stream.charts = Charts.restore(state["charts"])
        stream.open = None if state["open"] is None else OpenAlert.restore(state["open"])
        return stream


def _ratio(observed: int, expected: float) -> float:
    # Half a message on each side, because a start chosen by the data flatters the ratio.
    return (observed + 0.5) / (expected + 0.5)


_PLAIN = tuple(name for name in Stream.__slots__ if name not in ("clock", "recent", "open", "charts"))
