"""The clock on the wall of the company's time zone, as hours since a Monday's midnight that never run backwards.

Customers keep the hours of their day when summer time begins, so seasons are kept on this clock and not on UTC. Where the
clock is set forward, the skipped hour is jumped over; where it is set back, it stands still for the hour that is there twice:
either costs one hour of a night twice a year, instead of a season that is an hour off for weeks. Knows no season and no message.
Before it: a zone's name. After it: ``season.py``.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

# 1970-01-01 was a Thursday: 72 hours after a Monday's midnight.
MONDAY_HOURS = 72.0
_DAY_S = 86_400.0
_STRETCH_S = 366 * _DAY_S
# Nobody knows the summer time of later centuries; the offset of this moment (2400-01-01) holds from then on.
_KNOWN_UNTIL_S = 13_569_465_600.0


class Wall:
    """One zone's clock; not to be shared between threads."""

    __slots__ = ("_floor", "_from", "_known", "_offset", "_to", "_zone")

    def __init__(self, zone: str = "UTC") -> None:
        """Read a zone's clock.

        Args:
            zone: A name of the time-zone database; UTC, which never changes, is the fastest.
        """
        self._zone = ZoneInfo(zone)
        self._known: dict[int, list[tuple[float, float, float]]] = {}
        # The stretch that was looked at last, its offset, and what the clock read before the change at its beginning.
        self._from, self._to, self._offset, self._floor = math.inf, -math.inf, 0.0, -math.inf
        if zone == "UTC":
            self._from, self._to = -math.inf, math.inf

    def hours(self, at: float) -> float:
        """Turn seconds since 1970 into hours since a Monday's midnight, so that ``% 168`` is the hour of the week.

        Args:
            at: Seconds since 1970.

        Returns:
            Hours; never less for a later moment.
        """
        if not self._from <= at < self._to:
            self._find(at)
        return max(at + self._offset, self._floor) / 3600.0 + MONDAY_HOURS

    def at(self, hours: float) -> float:
        """Tell when the clock reads ``hours``, or has jumped over them: the reverse of ``hours``.

        Args:
            hours: As from ``hours``.

        Returns:
            Seconds since 1970, the first such moment.
        """
        wall = (hours - MONDAY_HOURS) * 3600.0
        if self._zone.key == "UTC":
            return wall
        self._find(wall - _DAY_S)  # no offset is as long as a day
        while not wall - self._offset < self._to:
            self._find(self._to)
        return self._from if wall <= self._floor else max(wall - self._offset, self._from)

    def day(self, at: float) -> int:
        """Number the day on the wall that holds a moment; ``% 7`` is 0 for Mondays."""
        # A day's first moment may lie a rounding error before it.
        return int((self.hours(at) + 1e-6) // 24.0)

    def midnight(self, day: int) -> float:
        """Tell a day's first moment, in seconds since 1970; it is later than midnight where that was jumped over."""
        return self.at(day * 24.0)

    def moved(self, at: float, days: int) -> float:
        """Tell the same time of day so many days later, in seconds since 1970."""
        there = at + days * _DAY_S
        return there + self._offset_at(at) - self._offset_at(there)

    def _offset_at(self, at: float) -> float:
        if not self._from <= at < self._to:
            self._find(at)
        return self._offset

    def _find(self, at: float) -> None:
        """Look up the stretch of one offset that holds a moment."""
        if self._zone.key == "UTC":
            return
        number = int(min(at, _KNOWN_UNTIL_S) // _STRETCH_S)
        found = self._known.get(number)
        if found is None:
            found = self._known[number] = self._changes(number)
        place = max(k for k, (since, _, _) in enumerate(found) if k == 0 or since <= at)
        self._from, self._offset, self._floor = found[place]
        self._to = found[place + 1][0] if place + 1 < len(found) else (number + 1) * _STRETCH_S
        if at >= _KNOWN_UNTIL_S:
            self._to = math.inf

    def _changes(self, number: int) -> list[tuple[float, float, float]]:
        """List where offsets begin in a stretch: since when, the offset, and the clock's reading just before, all in seconds."""
        begin = number * _STRETCH_S
        # A day earlier, so that an hour that is there twice is known although the stretch begins in it.
        day, offset = begin - _DAY_S, self._asked(begin - _DAY_S)
        found = [(-math.inf, offset, -math.inf)]
        while day < begin + _STRETCH_S:
            following = day + _DAY_S
            other = self._asked(following)
            if other != offset:
                low, high = day, following
                while high - low > 1.0:
                    middle = math.floor((low + high) / 2.0)
                    low, high = (middle, high) if self._asked(middle) == offset else (low, middle)
                found.append((high, other, high + offset))
                offset = other
            day = following
        while len(found) > 1 and found[1][0] <= begin:
            del found[0]
        _, offset, floor = found[0]
        return [(begin, offset, floor), *found[1:]]

    def _asked(self, at: float) -> float:
        known = datetime.fromtimestamp(min(max(at, -_KNOWN_UNTIL_S / 4), _KNOWN_UNTIL_S), UTC).astimezone(self._zone).utcoffset()
        return known.total_seconds() if known is not None else 0.0
