"""Events -> counts per topic, locale, channel and adapter version, in steps from minutes to months.

Steps follow the clock on the wall of one time zone: a day begins at its midnight, also when the clock is changed. Order does
not matter: late events count where they belong, a message told twice counts once, and adding one by one gives the same as a
whole rebuild. Knows no text and no store. Before: ``events``. After: ``comparison``, ``report``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from assistant.errors import UsageError
from assistant.monitor.comparison import Change, Interval, compare_numbers, compare_shares, wilson
from assistant.monitor.events import Event

Unit = Literal["minute", "hour", "day", "week", "month"]
Judge = Callable[[Event], bool]
USUAL_LIMIT = 0.5

_UNITS: dict[str, Unit] = {"m": "minute", "h": "hour", "d": "day", "w": "week", "mo": "month"}
_MINUTES = {"minute": 1, "hour": 60, "day": 1440, "week": 10080}
_FITS_INTO = {"minute": 60, "hour": 24, "day": 1, "week": 1, "month": 12}
_WRITTEN = re.compile(r"(\d{1,3})(mo|m|h|d|w)")


@dataclass(frozen=True, slots=True)
class Step:
    """A length of time by the calendar: so many minutes (a divisor of 60), hours (of 24), months (of 12), one day or week."""

    count: int
    unit: Unit

    def __post_init__(self) -> None:
        """Refuse steps that would not fill an hour, a day or a year.

        Raises:
            UsageError: If the count does not divide it.
        """
        if self.count < 1 or _FITS_INTO[self.unit] % self.count:
            into = _FITS_INTO[self.unit]
            raise UsageError(f"step of {self.count} {self.unit}: give a divisor of {into}" if into > 1 else f"give 1 {self.unit}")


@dataclass(frozen=True, slots=True)
class Stream:
    """What one counter counts; the fields are an event's."""

    topic: str
    locale: str
    channel: str
    version: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How many messages there were, and how many of them were negative or positive."""

    messages: int = 0
    negative: int = 0
    positive: int = 0

    def __add__(self, other: Tally) -> Tally:
        """Add two tallies."""
        return Tally(self.messages + other.messages, self.negative + other.negative, self.positive + other.positive)

    @property
    def share(self) -> float | None:
        """Share of negative messages in [0, 1]; None without messages."""
        return self.negative / self.messages if self.messages else None

    @property
    def interval(self) -> Interval:
        """The share's 95 % Wilson (1927) interval."""
        return wilson(self.negative, self.messages)


@dataclass(frozen=True, slots=True)
class Point:
    """One step of a series: from ``start`` to before ``end``."""

    start: datetime
    end: datetime
    tally: Tally


@dataclass(frozen=True, slots=True)
class Movement:
    """What became of a stream between two periods: of the share of negative messages, and of their number."""

    share: Change
    number: Change


Wanted = Callable[[Stream], bool]


class Trend:
    """Counts of one step's length; give events in any order with ``add``, ask at any time."""

    def __init__(self, step: Step, zone: tzinfo, negative: Judge | None = None) -> None:
        """Start with nothing counted.

        Args:
            step: The finest length of time that can be asked for.
            zone: Where the steps' days begin.
            negative: Whether a message counts as negative; from a probability of 0.5 on if not given.
        """
        self.step = step
        self.zone = zone
        self.negative = negative or is_negative
        self._counts: dict[datetime, dict[Stream, Tally]] = {}
        self._seen: set[str] = set()

    def add(self, event: Event) -> bool:
        """Count one message.

        Args:
            event: The message, at any place in time.

        Returns:
            Whether it counted; False for an id that was counted before.

        Raises:
            UsageError: If the event's time has no zone.
        """
        start = start_of(event.at, self.step, self.zone).astimezone(UTC)
        if event.id in self._seen:
            return False
        self._seen.add(event.id)
        stream = Stream(event.topic, event.locale, event.channel, event.version)
        streams = self._counts.setdefault(start, {})
        negative = self.negative(event)
        positive = not negative and event.positive >= USUAL_LIMIT
        streams[stream] = streams.get(stream, Tally()) + Tally(1, int(negative), int(positive))
        return True

    def totals(self, since: datetime, until: datetime, wanted: Wanted | None = None) -> dict[Stream, Tally]:
        """Sum each stream over the steps that begin in a stretch of time.

        Args:
            since: First moment.
            until: First moment no longer counted; both should be starts of steps, as a step is counted whole.
            wanted: Which streams; all without it.

        Returns:
            A tally for each stream that had messages, in a fixed order.
        """
        found: dict[Stream, Tally] = {}
        for start, streams in self._counts.items():
            if since <= start < until:
                for stream, tally in streams.items():
                    if wanted is None or wanted(stream):
                        found[stream] = found.get(stream, Tally()) + tally
        return {stream: found[stream] for stream in sorted(found, key=_order)}

    def coarser(self, step: Step) -> Trend:
        """Return the same counts in longer steps, without looking at the events again.

        Args:
            step: A multiple of this one's length, such as days of hours.

        Returns:
            A new ``Trend``; adding to one does not change the other.
        """
        merged = Trend(step, self.zone, self.negative)
        merged._seen = set(self._seen)
        for start, streams in self._counts.items():
            into = merged._counts.setdefault(start_of(start, step, self.zone).astimezone(UTC), {})
            for stream, tally in streams.items():
                into[stream] = into.get(stream, Tally()) + tally
        return merged

    def series(self, since: datetime, until: datetime, wanted: Wanted | None = None) -> tuple[Point, ...]:
        """Return every step of a stretch of time, those without messages too.

        Args:
            since: First moment; the step that holds it is the first.
            until: First moment no longer shown.
            wanted: Which streams; all without it.

        Returns:
            Points in order of time.
        """
        points = []
        for start, end in steps_between(since, until, self.step, self.zone):
            streams = self._counts.get(start.astimezone(UTC), {})
            tallies = (tally for stream, tally in streams.items() if wanted is None or wanted(stream))
            points.append(Point(start, end, sum(tallies, Tally())))
        return tuple(points)


def build(events: Iterable[Event], step: Step, zone: tzinfo, negative: Judge | None = None) -> Trend:
    """Count many events: the same as adding each to an empty ``Trend``.

    Args:
        events: In any order, repeats allowed.
        step: The finest length of time that can be asked for.
        zone: Where the steps' days begin.
        negative: Whether a message counts as negative; from a probability of 0.5 on if not given.

    Returns:
        The counts.

    Raises:
        UsageError: If an event's time has no zone.
    """
    trend = Trend(step, zone, negative)
    for event in events:
        trend.add(event)
    return trend


def movement(now: Tally, before: Tally, time_now: float = 1.0, time_before: float = 1.0) -> Movement:
    """Compare a stream's tallies in two periods.

    Args:
        now: The later period's.
        before: The earlier period's.
        time_now: Length of the later period, any unit.
        time_before: Length of the earlier one, same unit.

    Returns:
        What became of the share of negative messages and of their number.
    """
    shares = compare_shares(now.negative, now.messages, before.negative, before.messages)
    return Movement(shares, compare_numbers(now.negative, before.negative, time_now, time_before))


def is_negative(event: Event) -> bool:
    """Say whether a message is likelier negative than not: the judge where no limits were fitted to the locales."""
    return event.negative >= USUAL_LIMIT


def read_step(written: str) -> Step:
    """Read a step such as ``15m``, ``6h``, ``1d``, ``1w`` or ``1mo``.

    Args:
        written: Count and unit.

    Returns:
        The step.

    Raises:
        UsageError: If it cannot be read or does not divide an hour, a day or a year.
    """
    match = _WRITTEN.fullmatch(written.strip())
    if match is None:
        raise UsageError(f"step {written!r} cannot be read; write 15m, 6h, 1d, 1w or 1mo")
    return Step(int(match[1]), _UNITS[match[2]])


def start_of(at: datetime, step: Step, zone: tzinfo) -> datetime:
    """Return the first moment of the step that holds a moment.

    When the clock is set back, the hour that is there twice is two steps of an hour and one long step of a day; when it is
    set forward, a step whose start was skipped begins at the moment of the change.

    Args:
        at: Any moment.
        step: The step's length.
        zone: Whose calendar.

    Returns:
        The start, in ``zone``.

    Raises:
        UsageError: If ``at`` has no zone.
    """
    if at.utcoffset() is None:
        raise UsageError(f"time {at.isoformat()} has no zone; give it one, such as +00:00")
    local = at.astimezone(zone)
    if step.unit == "minute" or (step.unit == "hour" and step.count == 1):
        # Whole minutes of the wall clock, counted back in real time: both halves of a doubled hour stay apart.
        size = timedelta(minutes=step.count * _MINUTES[step.unit])
        past = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond) % size
        return (at.astimezone(UTC) - past).astimezone(zone)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    if step.unit == "hour":
        wall = midnight.replace(hour=local.hour - local.hour % step.count)
    elif step.unit == "day":
        wall = midnight
    elif step.unit == "week":
        wall = midnight - timedelta(days=midnight.weekday())
    else:
        wall = midnight.replace(day=1, month=(midnight.month - 1) // step.count * step.count + 1)
    return wall.astimezone(UTC).astimezone(zone)


def steps_between(since: datetime, until: datetime, step: Step, zone: tzinfo) -> Iterator[tuple[datetime, datetime]]:
    """Yield start and end of each step, from the one that holds ``since`` to the last that begins before ``until``."""
    start = start_of(since, step, zone)
    while start < until:
        end = _after(start, step, zone)
        yield start, end
        start = end


def _after(start: datetime, step: Step, zone: tzinfo) -> datetime:
    """Return the start of the step that follows."""
    if step.unit == "month":
        return start_of(start + timedelta(days=31 * step.count + 1), step, zone)
    looked = start.astimezone(UTC) + timedelta(minutes=_MINUTES[step.unit] * step.count)
    # A step in which the clock is set back is longer than it should be: look on until it is left.
    while (following := start_of(looked, step, zone)) <= start:
        looked += timedelta(minutes=30)
    return following


def _order(stream: Stream) -> tuple[str, str, str, str]:
    return (stream.topic, stream.locale, stream.channel, stream.version)
