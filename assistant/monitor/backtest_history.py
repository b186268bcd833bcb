"""A company's own history as the backtest plays it: in order, with its open alerts and weekly states, or with its days shuffled.

Knows the detector and no store, no page. Before it: events with their reading. After it: ``backtest.py``, which puts surges in.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from assistant.errors import UsageError
from assistant.monitor.detect import Detector
from assistant.monitor.events import Event
from assistant.monitor.limits import Limits
from assistant.monitor.season import WEEK_HOURS, Clock, locale_season, negative_hours, normalised, own_days, own_hours
from assistant.monitor.wall import Wall
from assistant.monitor.watching import Rules

if TYPE_CHECKING:
    import numpy as np

#: Days change places within so many weeks, so that a level that wanders or grows over months stays where it was.
BLOCK_WEEKS = 8
#: A stretch with an open alert that chance explains less than once in a million times is a real surge.
REAL = 1e-6
_TELL_EVERY = 5_000

#: Told how far it is: (what is done, how much of it, out of how much).
Progress = Callable[[str, int, int | None], None]


@dataclass(frozen=True, slots=True)
class Named:
    """A stream: one topic in one locale."""

    topic: str
    locale: str


@dataclass(frozen=True, slots=True)
class Line:
    """One message as the detector takes it in; ``counted`` is a negative one that no other of its conversation stands before."""

    at: float
    stream: Named
    conversation: str
    negative: bool
    counted: bool


@dataclass(frozen=True, slots=True)
class Spell:
    """A stretch in which an alert was open, in seconds since 1970.

    Attributes:
        since: When the change had begun.
        opened: When the alert was raised.
        closed: When the stream had recovered; infinite if it never did.
        chance: Probability that so many unhappy conversations came from ``since`` to ``closed`` by chance; 0 if it never did.
    """

    since: float
    opened: float
    closed: float = math.inf
    chance: float = 0.0


@dataclass(frozen=True, slots=True)
class Stand:
    """The detector's state before the line of this number, whose time is ``at``."""

    at: float
    number: int
    state: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Played:
    """What playing the history as it was brought: states, one a week, and the open alerts of every stream."""

    stands: tuple[Stand, ...]
    spells: Mapping[Named, list[Spell]] = field(default_factory=dict)


def lines_of(events: Iterable[Event], rules: Rules) -> list[Line]:
    """Judge every message once, in order of time.

    Args:
        events: In any order; a message told twice counts once.
        rules: Which are negative, and how long a conversation's further ones are not counted.

    Returns:
        One line for each message.

    Raises:
        UsageError: A message has no time zone.
    """
    streams: dict[tuple[str, str], Named] = {}
    recent: dict[tuple[Named, str], float] = {}
    repeat_s = rules.limits.repeat_hours * 3600.0
    found = []
    kept = {one.id: one for one in events}.values()
    for one in kept:
        if one.at.utcoffset() is None:
            raise UsageError(f"message {one.id}: time {one.at.isoformat()} has no zone; give it one, such as +00:00")
    for event in sorted(kept, key=lambda one: (one.at, one.id)):
        stream = streams.setdefault((event.topic, event.locale), Named(event.topic, event.locale))
        at, negative = event.at.timestamp(), rules.negative(event)
        last = recent.get((stream, event.conversation))
        counted = negative and (last is None or at - last >= repeat_s)
        if counted:
            recent[stream, event.conversation] = at
        found.append(Line(at, stream, event.conversation, negative, counted))
    return found


def play(lines: Sequence[Line], limits: Limits, progress: Progress) -> Played:
    """Let the detector see the history as it was.

    Args:
        lines: In order of time, at least one.
        limits: The detector's settings.
        progress: Told how far it is.

    Returns:
        States at the first line and at every week's beginning, and when alerts were open.
    """
    from scipy.special import gammainc

    detector, wall = Detector(limits), Wall(limits.timezone)
    stands = [Stand(-math.inf, 0, detector.state())]
    spells: dict[Named, list[Spell]] = defaultdict(list)
    week = wall.day(lines[0].at) // 7
    for number, line in enumerate(lines):
        if wall.day(line.at) // 7 != week:
            week = wall.day(line.at) // 7
            stands.append(Stand(line.at, number, detector.state()))
        for signal in detector.step(line.at, line.stream.topic, line.stream.locale, line.conversation, line.negative):
            own = spells[Named(signal.topic, signal.locale)]
            if signal.kind != "recovered":
                own.append(Spell(signal.since.timestamp(), signal.at.timestamp()))
            elif own:
                chance = float(gammainc(signal.observed, signal.expected)) if signal.observed else 1.0
                own[-1] = replace(own[-1], closed=signal.at.timestamp(), chance=chance)
        if number % _TELL_EVERY == 0:
            progress("history", number, len(lines))
    progress("history", len(lines), len(lines))
    return Played(tuple(stands), dict(spells))


def clocks(lines: Sequence[Line], wall: Wall) -> dict[Named, Clock]:
    """Estimate each stream's hours of the day and days of the week from the whole weeks of the history.

    Args:
        lines: In order of time, over at least one whole week.
        wall: Whose hours and days.

    Returns:
        Season time of each stream, as the detector reckons it, but with hindsight.
    """
    first = math.ceil(wall.hours(lines[0].at) / WEEK_HOURS)
    last = math.floor(wall.hours(lines[-1].at) / WEEK_HOURS)
    cells: dict[str, list[float]] = defaultdict(lambda: [0.0] * WEEK_HOURS)
    sour: dict[str, list[float]] = defaultdict(lambda: [0.0] * 24)
    hours: dict[Named, list[float]] = defaultdict(lambda: [0.0] * 24)
    days: dict[Named, list[float]] = defaultdict(lambda: [0.0] * 7)
    for line in lines:
        own_hour, own_day = hours[line.stream], days[line.stream]  # every stream is named, also one of the last, broken week
        week, slot = divmod(int(wall.hours(line.at)), WEEK_HOURS)
        if first <= week < last:
            cells[line.stream.locale][slot] += 1.0
            sour[line.stream.locale][slot % 24] += line.counted
            own_hour[slot % 24] += 1.0
            own_day[slot // 24] += 1.0
    seasons = {locale: locale_season(cells[locale]) for locale in {stream.locale for stream in hours}}
    ratios = {locale: negative_hours(season, sour[locale]) for locale, season in seasons.items()}
    made = {}
    for stream in hours:
        season, ratio = seasons[stream.locale], ratios[stream.locale]
        by_hour, by_day = own_hours(season, hours[stream]), own_days(season, days[stream])
        factors = [season[slot] * ratio[slot % 24] * by_hour[slot % 24] * by_day[slot // 24] for slot in range(WEEK_HOURS)]
        made[stream] = Clock(normalised(factors), wall)
    return made


def shuffle(lines: Sequence[Line], spells: Mapping[Named, Sequence[Spell]], rng: np.random.Generator, wall: Wall) -> list[Line]:
    """Let the days of the history change places with days of the same weekday nearby: the season stays, surges fall apart.

    A day of a surge that chance does not explain is no example of a stream's usual days: for that stream a quiet day of the same
    weekday stands in, where there is one. Other alerts may be false ones, and their days stay: without them, histories would
    have fewer false alarms than there are. Days are the detector's; the first and the last, which are broken, stay.

    Args:
        lines: In order of time.
        spells: When alerts were open.
        rng: Chance.
        wall: Whose days.

    Returns:
        The lines of another history, in order of time; hour and weekday of each are what they were.
    """
    by_day: dict[int, list[Line]] = defaultdict(list)
    by_stream: dict[tuple[Named, int], list[Line]] = defaultdict(list)
    for line in lines:
        day = wall.day(line.at)
        by_day[day].append(line)
        by_stream[line.stream, day].append(line)
    first, last = wall.day(lines[0].at), wall.day(lines[-1].at)
    loud = _loud(spells, last, wall)
    blocks = max(1, (last - first) // 7 // BLOCK_WEEKS)
    alike: dict[tuple[int, int], list[int]] = defaultdict(list)
    for day in range(first + 1, last):
        alike[day % 7, min((day - first) // 7 // BLOCK_WEEKS, blocks - 1)].append(day)
    mixed = [*by_day[first], *(by_day[last] if last > first else ())]
    for days in alike.values():
        weekday = range(first + 1 + (days[0] - first - 1) % 7, last, 7)
        for day, source in zip(days, rng.permutation(days).tolist(), strict=True):
            noisy = loud.get(source, ())
            mixed += [_moved(line, day - source, wall) for line in by_day[source] if line.stream not in noisy]
            for stream in noisy:
                quiet = [one for one in days if stream not in loud.get(one, ())]
                quiet = quiet or [one for one in weekday if stream not in loud.get(one, ())]
                if quiet:
                    other = quiet[int(rng.integers(len(quiet)))]
                    mixed += [_moved(line, day - other, wall) for line in by_stream.get((stream, other), ())]
    return sorted(mixed, key=lambda line: line.at)


def alarms(lines: Sequence[Line], limits: Limits, after: float) -> int:
    """Count the alerts that a history raises.

    Args:
        lines: In order of time.
        limits: The detector's settings.
        after: Seconds since 1970 from which on they count.

    Returns:
        How many; recoveries are none.
    """
    detector, count = Detector(limits), 0
    for line in lines:
        for signal in detector.step(line.at, line.stream.topic, line.stream.locale, line.conversation, line.negative):
            count += signal.kind != "recovered" and signal.at.timestamp() >= after
    return count


def _loud(spells: Mapping[Named, Sequence[Spell]], last: int, wall: Wall) -> dict[int, tuple[Named, ...]]:
    """Name the streams that had a real surge on each day."""
    found: dict[int, dict[Named, None]] = defaultdict(dict)
    for stream, own in spells.items():
        for spell in own:
            if spell.chance >= REAL:
                continue
            end = last if spell.closed == math.inf else wall.day(spell.closed)
            for day in range(wall.day(spell.since), end + 1):
                found[day][stream] = None
    return {day: tuple(streams) for day, streams in found.items()}


def _moved(line: Line, days: int, wall: Wall) -> Line:
    return Line(wall.moved(line.at, days), line.stream, line.conversation, line.negative, line.counted)
