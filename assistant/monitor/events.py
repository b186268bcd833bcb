"""What the monitor sees: one customer message as an event, and what a detector says of a stream of them.

A stream is one topic in one locale. Knows no text, no store and no model: texts are fetched by id where they are shown.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

SignalKind = Literal["number", "share", "drift", "new", "recovered"]
#: What happened to an alert that a further stream joined; the stream follows.
JOINED = "joined:"
AlertState = Literal["open", "acknowledged", "resolved"]


@dataclass(frozen=True, slots=True)
class Event:
    """One customer message.

    Attributes:
        id: Unique over all sources; a message told twice has the same id.
        conversation: Id of its conversation, unique over all sources.
        at: When it was written, timezone-aware.
        topic: The intent's name; ``oos`` for none of the company's business, ``""`` where no adapter named one.
        locale: The customer's language, such as ``en``.
        channel: Where it came from, such as ``chat``; ``""`` where that is not known.
        version: Version of the sentiment adapter that read it; ``""`` for none.
        negative: Calibrated probability that the message is negative, in [0, 1].
        positive: The same for positive.
        emotions: Probability of anger, disappointment, confusion, gratitude, each where the adapter can tell.
        intent_version: Version of the intent adapter that named the topic; ``""`` for none.
    """

    id: str
    conversation: str
    at: datetime
    topic: str
    locale: str
    channel: str = ""
    version: str = ""
    negative: float = 0.0
    positive: float = 0.0
    emotions: dict[str, float] = field(default_factory=dict)
    intent_version: str = ""


@dataclass(frozen=True, slots=True)
class Signal:
    """What a detector says of one stream at one moment of the stream's time.

    Attributes:
        kind: ``number`` (more negative messages than the season explains), ``share`` (a larger part of the messages is
            negative), ``drift`` (slowly), ``new`` (a topic without a history), or ``recovered``.
        topic: The stream's topic.
        locale: The stream's locale.
        at: When it was noticed: the time of the event that crossed the limit.
        since: When the change most likely began.
        observed: Unhappy conversations from ``since`` to ``at``, each counted once.
        expected: How many were expected in that time.
        messages: All messages of the stream in that time.
        false_alarms_per_28_days: How often chance alone would raise a signal as strong as this, over all streams; of a
            recovery, the figure of its opening.
        ratio: Estimated rate as a multiple of the expected one.
    """

    kind: SignalKind
    topic: str
    locale: str
    at: datetime
    since: datetime
    observed: int
    expected: float
    messages: int
    false_alarms_per_28_days: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Alert:
    """A topic that turned sour: one cause, one alert.

    Attributes:
        id: Hangs on topic, locale and ``since`` alone, so that two monitors raise one alert.
        topic: Of the stream that crossed its limit first.
        locale: Of that stream.
        signal: What was seen when it opened.
        state: ``open``, ``acknowledged`` or ``resolved``.
        opened_at: The stream's time when it was noticed.
        acknowledged_at: When a person took it; ``None`` before.
        acknowledged_by: Who.
        resolved_at: When it ended; ``None`` before.
        resolved_by: A person, or ``recovery``.
        also: Further streams that turned for the same cause, as ``topic/locale``.
        details: What ``explain.explain`` says: words, typical messages, articles and versions, what happened last time; ready for
            JSON.
    """

    id: str
    topic: str
    locale: str
    signal: Signal
    state: AlertState
    opened_at: datetime
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    resolved_at: datetime | None = None
    resolved_by: str = ""
    also: tuple[str, ...] = ()
    details: dict[str, object] = field(default_factory=dict)

    @property
    def streams(self) -> tuple[tuple[str, str], ...]:
        """Return topic and locale of every stream that turned for this cause, its own first."""
        others = (written.rpartition("/") for written in self.also)
        return ((self.topic, self.locale), *((topic, locale) for topic, _, locale in others))

    def ended(self, at: datetime, by: str) -> Alert:
        """Return the alert as it is once it is resolved."""
        return replace(self, state="resolved", resolved_at=at, resolved_by=by)

    @property
    def words(self) -> list[dict[str, Any]]:
        """Return what sets its messages apart, strongest first; each with its ``text``."""
        return self._listed("words")

    @property
    def hints(self) -> frozenset[str]:
        """Return the phrases by which an alert of the same cause is known; those of ``words`` where no others are kept."""
        return frozenset(self._listed("hints") or (word["text"] for word in self.words[:5]))

    @property
    def articles(self) -> list[dict[str, Any]]:
        """Return the articles that its customers were shown; each with its ``id`` and ``title``."""
        return self._listed("articles")

    @property
    def quoted(self) -> tuple[str, ...]:
        """Return the ids of its typical messages, most typical first."""
        return tuple(str(id) for id in self._listed("messages"))

    def _listed(self, key: str) -> list[Any]:
        found = self.details.get(key)
        return found if isinstance(found, list) else []
