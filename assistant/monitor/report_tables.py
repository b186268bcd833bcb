"""Events, alerts and replies -> the tables of a report, as records: what moved, how service went, what stayed unanswered.

Pure functions; know nothing of HTML and of languages. Before: ``trend``, ``trajectory``, ``words``. After: ``report``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from assistant.monitor.comparison import clear_of_noise, compare_shares, wilson
from assistant.monitor.events import Alert, Event
from assistant.monitor.report_quotes import quote
from assistant.monitor.report_records import (
    AlertRow,
    Answered,
    FigureName,
    LastTime,
    LocaleRow,
    Move,
    Period,
    Service,
    ServiceFigure,
    ServiceRow,
    Texts,
    Verdict,
    VersionMark,
)
from assistant.monitor.trend import Judge, Stream, Tally, movement
from assistant.monitor.words import distinctive, typical

#: Texts that an alert's words are looked for in: the newest of its own, and a sample of those before it.
_MOST_TOLD, _MOST_REST = 300, 2_000
_MOST_WORDS, _MOST_TYPICAL = 8, 5
Streams = Mapping[Stream, Tally]


def moves(now: Streams, then: Streams, period: Period) -> tuple[Move, ...]:
    """Say what became of every topic in every locale.

    A stream got worse if a larger share of its messages is negative, or more negative messages came while the share did not
    fall; it got better only by its share, as fewer messages alone are no happier customers. What chance explains is steady.

    Args:
        now: Tallies of the period.
        then: Tallies of the period before.
        period: The period.

    Returns:
        Moves, strongest evidence first.
    """
    here, there = _by(now, _topic_and_locale), _by(then, _topic_and_locale)
    length, length_then = ((one.until - one.since).total_seconds() for one in (_utc(period), _utc(period.before())))
    rows = []
    for topic, locale in sorted({*here, *there}):
        ours, theirs = here.get((topic, locale), Tally()), there.get((topic, locale), Tally())
        moved = movement(ours, theirs, length, length_then)
        p_value = moved.share.p_value
        if not theirs.messages:
            p_value = moved.number.p_value
        elif moved.number.ratio > 1 and moved.share.ratio >= 1:
            p_value = min(1.0, 2 * min(p_value, moved.number.p_value))  # two looks, paid for (Bonferroni)
        rows.append(Move(topic, locale, ours, theirs, moved, p_value, "steady"))
    clear = clear_of_noise([row.p_value for row in rows])
    judged = (replace(row, verdict=_verdict(row, news)) for row, news in zip(rows, clear, strict=True))
    return tuple(sorted(judged, key=lambda row: (row.p_value, -row.now.negative, -row.now.messages, row.topic, row.locale)))


def locale_rows(now: Streams, then: Streams) -> tuple[LocaleRow, ...]:
    """Say what became of every locale, most messages first."""
    here, there = _by(now, lambda stream: (stream.locale,)), _by(then, lambda stream: (stream.locale,))
    rows = []
    for key in {*here, *there}:
        ours, theirs = here.get(key, Tally()), there.get(key, Tally())
        change = compare_shares(ours.negative, ours.messages, theirs.negative, theirs.messages)
        rows.append(LocaleRow(key[0], ours, theirs, change))
    return tuple(sorted(rows, key=lambda row: (-row.now.messages, row.locale)))


def alert_rows(
    alerts: Iterable[Alert], events: Sequence[Event], texts: Texts, period: Period, negative: Judge
) -> tuple[AlertRow, ...]:
    """Show the alerts that were open at some time of the period, newest first.

    Words and typical messages come from the alert's details (``explain.py``), or else from the texts.

    Args:
        alerts: Any alerts.
        events: Messages of both periods.
        texts: Fetches redacted texts by the ids of events.
        period: The period.
        negative: Whether a message counts as negative.

    Returns:
        One row for each such alert.
    """
    shown = [
        one for one in alerts if one.opened_at < period.until and (one.resolved_at is None or one.resolved_at >= period.since)
    ]
    rows = []
    for alert in sorted(shown, key=lambda one: (one.opened_at, one.id), reverse=True):
        words = _named(alert.details.get("words"))
        said = tuple(texts(_named(alert.details.get("messages"))).values())
        if not words or not said:
            stream = [one for one in events if (one.topic, one.locale) == (alert.topic, alert.locale)]
            end = alert.resolved_at or period.until
            ours = [one for one in stream if alert.signal.since <= one.at <= end and negative(one)][-_MOST_TOLD:]
            before = [one for one in stream if one.at < alert.signal.since]
            before = before[:: max(1, -(-len(before) // _MOST_REST))]
            told, rest = (list(texts(one.id for one in part).values()) for part in (ours, before))
            words = words or tuple(one.text for one in distinctive(told, rest, _MOST_WORDS))
            said = said or tuple(one.text for one in typical(told, _MOST_TYPICAL))
        rows.append(_alert_row(alert, words[:_MOST_WORDS], tuple(quote(text) for text in said[:_MOST_TYPICAL])))
    return tuple(rows)


def service(answered: Iterable[Answered], handed: Collection[str] | None = None) -> Service:
    """Count how customers were served.

    Args:
        answered: The replies.
        handed: Conversations that went to a person, where ``answered`` are a part of their replies only; found in it by default.
    """
    replies = list(answered)
    if not replies:
        return Service()
    waits = np.percentile([one.latency_ms for one in replies], (50, 95))
    conversations = {one.conversation for one in replies}
    handed = conversations & set(_handed(replies) if handed is None else handed)
    sent = {one.conversation for one in replies if one.action == "send"}
    return Service(
        conversations=len(conversations),
        deflected=len(sent - handed),
        replies=len(replies),
        handoffs=len(handed),
        clarifications=sum(one.action == "clarify" for one in replies),
        rated=sum(one.rating is not None for one in replies),
        liked=sum(one.rating is not None and one.rating > 0 for one in replies),
        p50_ms=float(waits[0]),
        p95_ms=float(waits[1]),
    )


def _handed(replies: Iterable[Answered]) -> set[str]:
    return {one.conversation for one in replies if one.action == "handoff"}


def service_figures(now: Service, then: Service) -> tuple[ServiceFigure, ...]:
    """Put two periods' service side by side."""
    parts: tuple[tuple[FigureName, int, int, int, int], ...] = (
        ("deflection", now.deflected, now.conversations, then.deflected, then.conversations),
        ("handoffs", now.handoffs, now.conversations, then.handoffs, then.conversations),
        ("abstentions", now.clarifications, now.replies, then.clarifications, then.replies),
        ("ratings", now.liked, now.rated, then.liked, then.rated),
    )
    figures = []
    for name, count, total, count_then, total_then in parts:
        share, share_then = (part / whole if whole else None for part, whole in ((count, total), (count_then, total_then)))
        change = compare_shares(count, total, count_then, total_then) if total and total_then else None
        figures.append(ServiceFigure(name, share, share_then, total, wilson(count, total) if total else None, change))
    figures.append(ServiceFigure("p50_ms", now.p50_ms, then.p50_ms, now.replies))
    figures.append(ServiceFigure("p95_ms", now.p95_ms, then.p95_ms, now.replies))
    return tuple(figures)


def service_rows(answered: Iterable[Answered]) -> tuple[ServiceRow, ...]:
    """Count the service of every topic and locale, most replies first.

    A conversation that went to a person was deflected in none of its topics: "a person, please" is a topic of its own.
    """
    parts: dict[tuple[str, str], list[Answered]] = defaultdict(list)
    every = list(answered)
    for one in every:
        parts[one.topic, one.locale].append(one)
    handed = _handed(every)
    rows = (ServiceRow(topic, locale, service(part, handed)) for (topic, locale), part in parts.items())
    return tuple(sorted(rows, key=lambda row: (-row.service.replies, row.topic, row.locale)))


def version_marks(events: Iterable[Event], answered: Iterable[Answered], period: Period) -> tuple[VersionMark, ...]:
    """Find when an adapter version was first at work, where another one was before it.

    Args:
        events: Messages of both periods.
        answered: Replies of both periods.
        period: Marks outside it are left out.

    Returns:
        Marks in order of time.
    """
    first: dict[tuple[str, str], datetime] = {}
    sightings = [(one.at, {"sentiment": one.version, "intent": one.intent_version}) for one in events]
    sightings += [(one.at, dict(one.versions)) for one in answered]
    for at, versions in sightings:
        for task, version in versions.items():
            if version and at < first.get((task, version), datetime.max.replace(tzinfo=at.tzinfo)):
                first[task, version] = at
    return changes(first, period)


def changes(first: Mapping[tuple[str, str], datetime], period: Period) -> tuple[VersionMark, ...]:
    """Find when a version followed another one of its task.

    Args:
        first: When each (task, version) was first seen at work.
        period: Marks outside it are left out.

    Returns:
        Marks in order of time.
    """
    marks, at_work = [], dict[str, str]()
    for (task, version), at in sorted(first.items(), key=lambda one: (one[1], one[0])):
        if task in at_work and period.holds(at):
            marks.append(VersionMark(at, task, version, at_work[task]))
        at_work[task] = version
    return tuple(marks)


def _verdict(row: Move, news: bool) -> Verdict:
    if not row.now.messages:
        return "gone"
    if not news:
        return "steady" if row.before.messages else "new"
    return "better" if row.movement.share.ratio < 1 else "worse"  # one never seen before has a ratio of 1


def _by(streams: Streams, key: Callable[[Stream], tuple[str, ...]]) -> dict[tuple[str, ...], Tally]:
    found: dict[tuple[str, ...], Tally] = {}
    for stream, tally in streams.items():
        found[key(stream)] = found.get(key(stream), Tally()) + tally
    return found


def _topic_and_locale(stream: Stream) -> tuple[str, str]:
    return (stream.topic, stream.locale)


def _utc(period: Period) -> Period:
    """Put a period on the clock that is never changed: wall-clock times of one zone subtract to wall-clock lengths."""
    return Period(period.since.astimezone(UTC), period.until.astimezone(UTC))


def _alert_row(alert: Alert, words: tuple[str, ...], said: tuple[str, ...]) -> AlertRow:
    signal, details = alert.signal, alert.details
    return AlertRow(
        id=alert.id,
        topic=alert.topic,
        locale=alert.locale,
        also=alert.also,
        kind=signal.kind,
        state=alert.state,
        since=signal.since,
        opened_at=alert.opened_at,
        acknowledged_by=alert.acknowledged_by,
        resolved_at=alert.resolved_at,
        resolved_by=alert.resolved_by,
        observed=signal.observed,
        expected=signal.expected,
        messages=signal.messages,
        ratio=signal.ratio,
        false_alarms_per_28_days=signal.false_alarms_per_28_days,
        words=words,
        typical=said,
        articles=_named(details.get("articles")),
        versions=_versions(details.get("versions")),
        emotions=_shares(details.get("emotions")),
        last=_last_time(details.get("last_time")),
    )


def _named(value: object) -> tuple[str, ...]:
    """Read a list of an alert's details: of texts or ids, or of objects with a text, a title or an id."""
    if not isinstance(value, list | tuple):
        return ()
    found = []
    for one in value:
        names = [one.get(key) for key in ("text", "title", "id")] if isinstance(one, Mapping) else [one]
        found += [str(name) for name in names if name][:1]
    return tuple(found)


def _versions(value: object) -> tuple[str, ...]:
    """Read task -> version -> count, most messages first within a task."""
    if not isinstance(value, Mapping):
        return ()
    return tuple(f"{task} {version}" for task, counts in value.items() if isinstance(counts, Mapping) for version in counts)


def _shares(value: object) -> dict[str, float]:
    if not isinstance(value, Mapping):
        return {}
    return {str(name): float(share) for name, share in value.items() if isinstance(share, int | float)}


def _last_time(value: object) -> LastTime | None:
    if not isinstance(value, Mapping) or not value.get("opened_at"):
        return None
    hours = value.get("hours")
    length = float(hours) if isinstance(hours, int | float) else None
    return LastTime(str(value["opened_at"])[:10], int(value.get("observed") or 0), length, str(value.get("resolved_by") or ""))
