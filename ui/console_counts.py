"""What the console counts: a range of time and the one before, per topic and locale, in one pass over the customers' messages.

Knows events and how they are judged; knows no text, no page and no filter, so that one count serves every filter. Before: the
ledger's stream. After: ``console_html.py`` draws it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo

from assistant.monitor.events import Event
from assistant.monitor.report_records import Move, Period, VersionMark
from assistant.monitor.report_tables import changes, moves
from assistant.monitor.trend import Judge, Point, Step, Stream, Tally, read_step, start_of, steps_between

#: Newest negative messages kept of each topic and locale, to be read.
NEWEST = 25

Pick = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Range:
    """A length of time that can be looked at, and the steps that fit it, the usual one first."""

    name: str
    length: timedelta
    steps: tuple[str, ...]


#: Whole weeks where a week fits, so that Monday is compared with Monday.
RANGES = {
    one.name: one
    for one in (
        Range("24h", timedelta(hours=24), ("1h", "15m", "6h")),
        Range("7d", timedelta(days=7), ("6h", "1h", "1d")),
        Range("28d", timedelta(days=28), ("1d", "6h", "1w")),
        Range("6mo", timedelta(days=182), ("1w", "1d", "1mo")),
    )
}
USUAL = "7d"


@dataclass(slots=True)
class Course:
    """Messages and negative ones of one topic and locale, step by step, and its newest negative messages."""

    messages: array[int]
    negative: array[int]
    messages_before: array[int]
    negative_before: array[int]
    newest: deque[Event] = field(default_factory=lambda: deque(maxlen=NEWEST))


@dataclass(frozen=True, slots=True)
class Counted:
    """A range and the one before, counted.

    Attributes:
        period: The range.
        step: Length of a step.
        edges: Start and end of each step; the first one holds the range's beginning and is counted whole.
        edges_before: The same of the range before.
        moves: One for each topic and locale with messages, strongest evidence of a change first.
        courses: By (topic, locale).
        versions: Changes of adapter versions within the range, in order of time; of the adapters that read the messages.
    """

    period: Period
    step: Step
    edges: tuple[tuple[datetime, datetime], ...]
    edges_before: tuple[tuple[datetime, datetime], ...]
    moves: tuple[Move, ...]
    courses: dict[tuple[str, str], Course]
    versions: tuple[VersionMark, ...] = ()

    def chosen(self, pick: Pick) -> tuple[Move, ...]:
        """Return the moves of the topics and locales that ``pick`` says yes to."""
        return tuple(one for one in self.moves if pick(one.topic, one.locale))

    def points(self, pick: Pick) -> tuple[Point, ...]:
        """Sum the chosen courses, step by step, over the range."""
        parts = [(one.messages, one.negative) for one in self._picked(pick)]
        return _points(self.edges, parts)

    def points_before(self, pick: Pick) -> tuple[Point, ...]:
        """The same over the range before."""
        parts = [(one.messages_before, one.negative_before) for one in self._picked(pick)]
        return _points(self.edges_before, parts)

    def newest(self, pick: Pick, most: int = NEWEST) -> tuple[Event, ...]:
        """Return the newest negative messages of the range, newest first."""
        found = [event for one in self._picked(pick) for event in one.newest]
        return tuple(sorted(found, key=lambda one: (one.at, one.id), reverse=True)[:most])

    def topics(self) -> tuple[str, ...]:
        """Return every topic that had messages, by name."""
        return tuple(sorted({one.topic for one in self.moves}))

    def locales(self) -> tuple[str, ...]:
        """Return every locale that had messages, by name."""
        return tuple(sorted({one.locale for one in self.moves}))

    def _picked(self, pick: Pick) -> Iterator[Course]:
        return (one for (topic, locale), one in self.courses.items() if pick(topic, locale))


def step_of(range: Range, written: str) -> str:
    """Return the step that was asked for if it fits the range, else the range's usual one."""
    return written if written in range.steps else range.steps[0]


def start_reading(range: Range, step: str, until: datetime, zone: tzinfo) -> datetime:
    """Return the moment from which on ``count`` needs the messages: the first step of the range before, whole."""
    return start_of(until - 2 * range.length, read_step(step), zone)


def count(events: Iterable[Event], range: Range, step: str, until: datetime, zone: tzinfo, negative: Judge) -> Counted:
    """Count a range and the one before.

    Args:
        events: Messages from ``start_reading`` on to before ``until``, each once; others are left out.
        range: How far back.
        step: One of the range's steps.
        until: The range's end, timezone-aware; the last step ends here early.
        zone: Whose days and hours the steps follow.
        negative: Whether a message counts as negative.

    Returns:
        The counts.
    """
    period = Period((until - range.length).astimezone(UTC), until.astimezone(UTC))
    length = read_step(step)
    edges = tuple(steps_between(period.since, period.until, length, zone))
    edges_before = tuple(steps_between(period.before().since, period.since, length, zone))
    # Numbers compare several times as fast as moments with zones, and this is done for every message.
    starts, starts_before = ([start.timestamp() for start, _ in part] for part in (edges, edges_before))
    since, end = period.since.timestamp(), period.until.timestamp()
    before = period.before().since.timestamp()
    courses: dict[tuple[str, str], Course] = {}
    totals: dict[tuple[str, str], list[int]] = {}
    began: dict[tuple[str, str], datetime] = {}
    for event in events:
        at = event.at.timestamp()
        if not starts_before[0] <= at < end:
            continue
        for task, version in (("sentiment", event.version), ("intent", event.intent_version)):
            if version and ((task, version) not in began or event.at < began[task, version]):
                began[task, version] = event.at
        key = (event.topic, event.locale)
        course = courses.get(key)
        if course is None:
            course = courses[key] = Course(_zeros(edges), _zeros(edges), _zeros(edges_before), _zeros(edges_before))
            totals[key] = [0] * 6
        bad = int(negative(event))
        if at >= before:
            total, first = totals[key], 0 if at >= since else 3
            total[first] += 1
            total[first + 1] += bad
            total[first + 2] += int(not bad and event.positive >= 0.5)
        if at >= starts[0]:
            place = bisect_right(starts, at) - 1
            course.messages[place] += 1
            course.negative[place] += bad
        if at < since:
            place = bisect_right(starts_before, at) - 1
            course.messages_before[place] += 1
            course.negative_before[place] += bad
        elif bad:
            course.newest.append(event)
    now, then = ({Stream(*key, "", ""): Tally(*row[at : at + 3]) for key, row in totals.items() if row[at]} for at in (0, 3))
    return Counted(period, length, edges, edges_before, moves(now, then, period), courses, changes(began, period))


def condensed(points: Sequence[Point], most: int) -> tuple[Tally, ...]:
    """Join neighbouring steps until there are at most ``most``, for a picture too small for all of them."""
    each = -(-len(points) // most)
    return tuple(sum((one.tally for one in points[at : at + each]), Tally()) for at in range(0, len(points), each))


def _zeros(steps: Sequence[object]) -> array[int]:
    return array("l", [0]) * len(steps)


def _points(edges: Sequence[tuple[datetime, datetime]], parts: Collection[tuple[array[int], array[int]]]) -> tuple[Point, ...]:
    return tuple(
        Point(start, end, Tally(sum(one[0][at] for one in parts), sum(one[1][at] for one in parts)))
        for at, (start, end) in enumerate(edges)
    )
