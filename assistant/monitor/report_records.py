"""What a report of the monitor holds, and what it is made of: frozen records, nothing else.

Knows nothing of HTML, files or the store. Before: ``events`` and the stored replies. After: ``report_tables`` fills them,
``report`` shows them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from typing import Literal

from assistant.errors import UsageError
from assistant.monitor.comparison import Change, Interval
from assistant.monitor.events import AlertState, SignalKind
from assistant.monitor.trajectory import Trajectory
from assistant.monitor.trend import Movement, Point, Step, Tally, start_of
from assistant.records import Action

Verdict = Literal["worse", "better", "steady", "new", "gone"]
#: An interval of a ratio that spans this factor holds both half and double; below so many messages nothing negative says little.
_NOT_TOLD_APART, _FEW_MESSAGES = 4.0, 100
#: Fetches redacted texts by the ids of events, without those that are gone; asked only for what a page quotes.
Texts = Callable[[Iterable[str]], Mapping[str, str]]
FigureName = Literal["deflection", "handoffs", "abstentions", "ratings", "p50_ms", "p95_ms"]


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time, from ``since`` to before ``until``, both with a zone."""

    since: datetime
    until: datetime

    def __post_init__(self) -> None:
        """Refuse an empty stretch.

        Raises:
            UsageError: If a time has no zone, or the end is not after the start.
        """
        if self.since.utcoffset() is None or self.until.utcoffset() is None:
            raise UsageError(f"period {self.since} to {self.until}: give both times a zone, such as +00:00")
        if self.until <= self.since:
            raise UsageError(f"period {self.since} to {self.until} is empty; the end must come after the start")

    def before(self) -> Period:
        """Return the period of the same length before; a day or week by the calendar of ``since``'s zone."""
        until = self.until.astimezone(self.since.tzinfo)
        return Period(self.since - (until - self.since), self.since)

    def holds(self, at: datetime) -> bool:
        """Say whether a moment lies inside."""
        return self.since <= at < self.until


def last_day(now: datetime, zone: tzinfo) -> Period:
    """Return the last whole calendar day before ``now``."""
    return _last(now, zone, Step(1, "day"))


def last_week(now: datetime, zone: tzinfo) -> Period:
    """Return the last whole week, Monday to Sunday, before ``now``."""
    return _last(now, zone, Step(1, "week"))


def _last(now: datetime, zone: tzinfo, step: Step) -> Period:
    until = start_of(now, step, zone)
    return Period(start_of(until - timedelta(hours=12), step, zone), until)


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one customer message.

    Attributes:
        id: The message's id, the same as its event's.
        conversation: Id of its conversation.
        at: When it was answered, with a zone.
        topic: The intent's name; ``oos`` or ``""`` as in ``Event``.
        locale: The customer's language.
        channel: Where it came from.
        action: ``send``, ``clarify`` or ``handoff``.
        reason: The check's reason code.
        origin: How the reply was made: template, reply, article, generated, ask, choices, social; ``""`` for none.
        rating: 1 for thumbs up, -1 for down, None for no rating.
        latency_ms: How long the customer waited for it.
        versions: Task -> adapter version that took part.
        asked: How many characters the customer wrote, 0 where the text is not kept; the text itself is fetched by ``id``.
    """

    id: str
    conversation: str
    at: datetime
    topic: str
    locale: str
    channel: str
    action: Action
    reason: str
    origin: str
    rating: int | None
    latency_ms: float
    versions: Mapping[str, str] = field(default_factory=dict)
    asked: int = 0


@dataclass(frozen=True, slots=True)
class Move:
    """What became of one topic in one locale. ``p_value`` is of the evidence that the verdict stands on."""

    topic: str
    locale: str
    now: Tally
    before: Tally
    movement: Movement
    p_value: float
    verdict: Verdict

    @property
    def too_few(self) -> bool:
        """Whether nothing can be said: not even halved and doubled are told apart, and what is seen is none of both."""
        change = self.movement.share
        small = min(self.now.messages, self.before.messages) < _FEW_MESSAGES or bool(self.now.negative + self.before.negative)
        return self.verdict == "steady" and small and change.interval.high > _NOT_TOLD_APART * change.interval.low


@dataclass(frozen=True, slots=True)
class Series:
    """The course of a stream in this period and the one before; ``topic`` and ``locale`` are empty for all of them."""

    topic: str
    locale: str
    step: Step
    points: tuple[Point, ...]
    before: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class LocaleRow:
    """One locale's messages in this period and the one before, and what became of them."""

    locale: str
    now: Tally
    before: Tally
    change: Change


#: Hours from which on a length is told in days.
LONG_HOURS = 72


@dataclass(frozen=True, slots=True)
class LastTime:
    """The alert before on the same topic: when it opened, how many it counted, how long it lasted and who ended it."""

    opened: str
    observed: int
    hours: float | None
    resolved_by: str

    @property
    def told(self) -> str:
        """Return the name of the sentence that tells it."""
        if self.hours is None:
            return "alert_last_said"
        return "alert_last_days" if self.hours > LONG_HOURS else "alert_last_hours"

    @property
    def length(self) -> float | None:
        """Return how long it lasted, in the unit of that sentence."""
        return self.hours / 24 if self.hours is not None and self.hours > LONG_HOURS else self.hours


@dataclass(frozen=True, slots=True)
class AlertRow:
    """An alert that was open at some time of the period; the fields are those of ``Alert``, its signal and its details.

    ``typical`` holds texts (redacted, cut), ``emotions`` shares in [0, 1] of the messages that have them.
    """

    id: str
    topic: str
    locale: str
    also: tuple[str, ...]
    kind: SignalKind
    state: AlertState
    since: datetime
    opened_at: datetime
    acknowledged_by: str
    resolved_at: datetime | None
    resolved_by: str
    observed: int
    expected: float
    messages: int
    ratio: float
    false_alarms_per_28_days: float
    words: tuple[str, ...]
    typical: tuple[str, ...]
    articles: tuple[str, ...]
    versions: tuple[str, ...]
    emotions: Mapping[str, float]
    last: LastTime | None


@dataclass(frozen=True, slots=True)
class Service:
    """How customers were served: counts, and percentiles of waiting time (None without replies).

    A conversation is deflected if the assistant answered in it and no reply handed it to a person.
    """

    conversations: int = 0
    deflected: int = 0
    replies: int = 0
    handoffs: int = 0
    clarifications: int = 0
    rated: int = 0
    liked: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None


@dataclass(frozen=True, slots=True)
class ServiceFigure:
    """One figure of service now and before: a share in [0, 1] or milliseconds; ``change`` and ``interval`` of shares only."""

    name: FigureName
    now: float | None
    before: float | None
    of: int
    interval: Interval | None = None
    change: Change | None = None


@dataclass(frozen=True, slots=True)
class ServiceRow:
    """The service of one topic in one locale."""

    topic: str
    locale: str
    service: Service


@dataclass(frozen=True, slots=True)
class VersionMark:
    """When another adapter version of a task was first seen at work; ``before`` is the one it followed."""

    at: datetime
    task: str
    version: str
    before: str


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """A conversation worth reading: its course, and what the customer said at the low and at the end (redacted, cut)."""

    id: str
    topic: str
    locale: str
    began_at: datetime
    ended_at: datetime
    trajectory: Trajectory
    low_quote: str
    last_quote: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Questions that are near each other and that no article answered; ``count`` is how many conversations asked."""

    locale: str
    count: int
    question: str
    words: tuple[str, ...]
    topics: tuple[str, ...]
    reasons: tuple[str, ...]
    last_at: datetime


@dataclass(frozen=True, slots=True)
class ReportData:
    """Everything that a report shows, in the order in which it is shown.

    Attributes:
        company: Whose customers; may be empty.
        made_at: When the report was made.
        zone: Name of the time zone.
        period: What is reported.
        before: What it is compared with.
        now: All customer messages of the period.
        then: All of the period before.
        movement: What became of them.
        moves: Every topic and locale of either period, strongest evidence first.
        locales: Every locale of either period.
        overall: The course of all messages.
        courses: The courses of what moved most.
        alerts: That were open at some time of the period, newest first.
        service: Of the period.
        service_then: Of the period before.
        figures: Both of them, side by side.
        service_rows: By topic and locale, most replies first.
        versions: Changes of adapter versions within the period, in order of time.
        trajectories: Course -> number of conversations that ended in the period.
        worst: The conversations that went worst.
        best: Those that were turned to the good.
        unanswered: Questions without an article, most asked first.
        unanswered_total: How many conversations asked one, those not shown too.
    """

    company: str
    made_at: datetime
    zone: str
    period: Period
    before: Period
    now: Tally
    then: Tally
    movement: Movement
    moves: tuple[Move, ...]
    locales: tuple[LocaleRow, ...]
    overall: Series
    courses: tuple[Series, ...]
    alerts: tuple[AlertRow, ...]
    service: Service
    service_then: Service
    figures: tuple[ServiceFigure, ...]
    service_rows: tuple[ServiceRow, ...]
    versions: tuple[VersionMark, ...]
    trajectories: Mapping[str, int]
    worst: tuple[ConversationRow, ...]
    best: tuple[ConversationRow, ...]
    unanswered: tuple[Unanswered, ...]
    unanswered_total: int
