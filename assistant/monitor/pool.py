"""What the streams of one locale share: season, prior, dispersion, budget, and whether anything comes in at all.

Every locale is fitted by itself, because the same words weigh differently in different languages, and because customers of
another country write at other hours. Knows no limit and raises nothing.
Before it: ``season.py``, ``stream.py``. After it: ``detect.py``, which ends days and weeks for all pools at once.
"""

from __future__ import annotations

import math
from typing import Any

from assistant.monitor.limits import Limits
from assistant.monitor.season import WEEK_HOURS, Clock, locale_season, negative_hours, normalised
from assistant.monitor.stream import DAY_S, Prior, Stream
from assistant.monitor.wall import Wall

# Clocks of a locale stand still once so many messages have failed to come: the line is dead, not the customers content.
SILENCE = 30.0
# The budget of a locale is shared in proportion to rate ** EVENNESS: 0 is alike for all streams, 1 as messages fall.
EVENNESS = 0.7
# Prior of the dispersion: extra variance of a day's count over its squared mean, and how many squared counts it is worth.
DISPERSION, DISPERSION_WORTH = 0.01, 100.0
SEASON_HALF_LIFE_DAYS = 84.0
FORGOTTEN = 0.01


class Pool:
    """The state of one locale."""

    __slots__ = (
        "age", "cells", "clock", "dark", "excess", "exposure", "hours", "last", "locale", "patience", "prior", "ratios", "season",
        "share", "squares", "streams", "traffic", "warm", "weights", "whole_week",
    )  # fmt: skip

    def __init__(self, locale: str, at: float, wall: Wall) -> None:
        """Begin a locale at its first message, in seconds since 1970, with seasons on a zone's wall clock."""
        self.locale = locale
        self.last = at
        self.age = 0  # full days seen
        self.warm = False
        self.streams: dict[str, Stream] = {}
        self.prior = Prior()
        self.cells, self.hours = [0.0] * WEEK_HOURS, [0.0] * 24  # all messages; negative messages
        self.whole_week = False
        self.season, self.ratios = [1.0] * WEEK_HOURS, [1.0] * 24
        self.clock = Clock(wall=wall)
        self.traffic = self.exposure = 0.0  # forgetful: messages, and days
        self.patience = math.inf  # seconds without a message before silence is looked into
        self.dark = False  # a recovery was due in silence, and waits for the next message
        self.excess = self.squares = 0.0
        self.share, self.weights = 0.0, 1.0

    def stream(self, topic: str, at: float) -> Stream:
        """Find a stream, or begin it."""
        known = self.streams.get(topic)
        if known is None:
            rate = self.prior.shape / self.prior.days
            known = Stream(topic, at, self._stream_clock([1.0] * 24, [1.0] * 7), self.share * rate**EVENNESS / self.weights)
            self.streams[topic] = known
        return known

    def silent_from(self) -> float:
        """Tell when silence sets in if no message follows the last one, in seconds since 1970."""
        if self.patience == math.inf:
            return math.inf
        rate = self.traffic / self.exposure
        return self.clock.moment(self.clock.read_at(self.last) + SILENCE / rate)

    def wake(self, at: float) -> bool:
        """Take silence before the message at ``at`` out of all clocks.

        Returns:
            Whether there was any.
        """
        self.dark, dark = False, self.silent_from()
        if dark >= at:
            return False
        for stream in self.streams.values():
            self.settle(stream, dark)
            stream.stopped += max(0.0, stream.clock.read_at(at) - stream.stopped - stream.read)
        return True

    def settle(self, stream: Stream, at: float) -> None:
        """Bring a stream to ``at``, or to where it already is, if that is later."""
        hours = self.clock.wall.hours(at)
        if stream.clock.read(hours) - stream.stopped > stream.read:
            stream.settle(at, hours, self.prior, self.warm)

    def end_day(self, at: float, limits: Limits) -> None:
        """Bring all streams to midnight, forget a day's worth, and estimate anew what they share.

        Args:
            at: The midnight on the wall, in seconds since 1970.
            limits: The settings.
        """
        if at - self.last > self.patience and self.silent_from() < at:
            return
        keep, slow_keep = 0.5 ** (1 / limits.half_life_days), 0.5 ** (1 / limits.slow_half_life_days)
        self.excess *= keep
        self.squares *= keep
        for topic, stream in list(self.streams.items()):
            self.settle(stream, at)
            excess, square = stream.end_day(keep, slow_keep, self.prior)
            self.excess += excess
            self.squares += square
            if stream.recent:
                oldest = at - limits.repeat_hours * 3600.0
                stream.recent = {name: when for name, when in stream.recent.items() if when > oldest}
            if stream.open is None and stream.negative + stream.other + stream.quiet < FORGOTTEN:
                del self.streams[topic]
        self.traffic *= keep
        self.exposure = self.exposure * keep + 1.0
        self.age += 1
        if not self.warm and self.age > limits.warm_up_days:
            self.warm = True
            for stream in self.streams.values():
                stream.charts.reset(stream.mark(at))
        rate = self.traffic / self.exposure
        # Before the season is known, a closed night or weekend would look like a dead line, no day would end and none be learned.
        known = self.age >= 7 and rate > 0.0 and self.season != [1.0] * WEEK_HOURS
        self.patience = SILENCE / rate / max(self.clock.factors) * DAY_S if known else math.inf
        self._pool_streams()

    def end_week(self, at: float) -> None:
        """Estimate the season anew, at a Monday's midnight; a first, broken week is left out.

        Args:
            at: The midnight, in seconds since 1970.
        """
        if at - self.last > self.patience and self.silent_from() < at:
            return
        keep = 0.5 ** (7 / SEASON_HALF_LIFE_DAYS)
        if self.whole_week:
            self.season = locale_season(self.cells)
            self.ratios = negative_hours(self.season, self.hours)
            self.clock = Clock(self.season, self.clock.wall)
        for stream in self.streams.values():
            stream.end_week(self.season, keep)
            stream.clock = self._stream_clock(stream.own_hours, stream.own_days)
        self.cells = [count * keep for count in self.cells] if self.whole_week else [0.0] * WEEK_HOURS
        self.hours = [count * keep for count in self.hours] if self.whole_week else [0.0] * 24
        self.whole_week = True

    def give_budget(self, share: float) -> None:
        """Share the locale's part of the false-alarm budget among its streams.

        Args:
            share: The locale's part, 0 to 1.
        """
        parts = {topic: stream.rate(self.prior) ** EVENNESS for topic, stream in self.streams.items()}
        self.share, self.weights = share, sum(parts.values()) or 1.0
        for topic, part in parts.items():
            self.streams[topic].budget = share * part / self.weights

    def _pool_streams(self) -> None:
        """Estimate prior and dispersion by moments over the streams."""
        rates = [(one.negative / one.exposure, one.exposure) for one in self.streams.values() if one.exposure >= 7.0]
        shares = [(one.negative, one.negative + one.other) for one in self.streams.values() if one.negative + one.other >= 30.0]
        shape, days, negative, other = self.prior.shape, self.prior.days, self.prior.negative, self.prior.other
        mean = sum(rate for rate, _ in rates) / len(rates) if rates else 0.0
        if len(rates) >= 3 and mean > 0.0:
            spread = sum((rate - mean) ** 2 - rate / exposure for rate, exposure in rates) / (len(rates) - 1)
            shape = min(max(mean * mean / max(spread, 1e-9), 0.3), 3.0)
            days = shape / mean
        counted = sum(total for _, total in shares)
        mean = sum(part for part, _ in shares) / counted if counted else 0.0
        if len(shares) >= 3 and 0.0 < mean < 1.0:
            spread = sum((part / total - mean) ** 2 - mean * (1 - mean) / total for part, total in shares) / (len(shares) - 1)
            worth = min(max(mean * (1 - mean) / max(spread, 1e-9) - 1.0, 2.0), 30.0)
            negative, other = mean * worth, (1 - mean) * worth
        self.prior = Prior(shape, days, negative, other)
        extra = (self.excess + DISPERSION * DISPERSION_WORTH) / (self.squares + DISPERSION_WORTH)
        extra = min(max(extra, 0.0), 1.0)
        for stream in self.streams.values():
            stream.scale = 1.0 / (1.0 + extra * stream.rate(self.prior))

    def _stream_clock(self, own_hours: list[float], own_days: list[float]) -> Clock:
        season, ratios = self.season, self.ratios
        hours = [ratio * own for ratio, own in zip(ratios, own_hours, strict=True)]
        factors = normalised([season[slot] * hours[slot % 24] * own_days[slot // 24] for slot in range(WEEK_HOURS)])
        return Clock(factors, self.clock.wall)

    def state(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        values = {name: getattr(self, name) for name in _PLAIN}
        plain = {name: list(value) if isinstance(value, list) else value for name, value in values.items()}
        prior = [self.prior.shape, self.prior.days, self.prior.negative, self.prior.other]
        patience = None if self.patience == math.inf else self.patience
        streams = [stream.state() for stream in self.streams.values()]
        return plain | {"prior": prior, "patience": patience, "streams": streams}

    @classmethod
    def restore(cls, state: dict[str, Any], wall: Wall) -> Pool:
        """Take up ``state`` again, to the last bit."""
        pool = cls(state["locale"], 0.0, wall)
        for name in _PLAIN:
            value = state[name]
            setattr(pool, name, list(value) if isinstance(value, list) else value)
        pool.prior = Prior(*state["prior"])
        pool.patience = math.inf if state["patience"] is None else state["patience"]
        pool.clock = Clock(pool.season, wall)
        for one in state["streams"]:
            pool.streams[one["topic"]] = Stream.restore(one, pool._stream_clock(one["own_hours"], one["own_days"]))
        return pool


_PLAIN = tuple(name for name in Pool.__slots__ if name not in ("clock", "prior", "patience", "streams"))
