"""Events, alerts and replies -> the tables of a report, as records: what moved, how service went, what stayed unanswered.

Pure functions; know nothing of HTML and of languages. Before: ``trend``, ``trajectory``, ``words``. After: ``report``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from assistant.monitor.comparison import clear_of_noise, compare_shares, wilson
from assistant.monitor.events import Alert, Event
from assistant.monitor.report_records import (
    AlertRow,
    Answered,
    ConversationRow,
    FigureName,
    LastTime,
    LocaleRow,
    Move,
    Period,
    Service,
    ServiceFigure,
    ServiceRow,
    Unanswered,
    Verdict,
    VersionMark,
)
from assistant.monitor.trajectory import going_wrong, smoothed, trajectory
from assistant.monitor.trend import Judge, Stream, Tally, movement
from assistant.monitor.words import distinctive, group, typical

MOST_QUOTED = 180  # characters
_MOST_CONVERSATIONS, _MOST_UNANSWERED, _MOST_WORDS, _MOST_TYPICAL = 5, 10, 8, 5
#: Reason codes of replies that found nothing to say. A wish for a person is no question, and a failure not the articles' fault.
_NOTHING_FOUND = frozenset({"low_evidence", "low_confidence", "out_of_scope", "unsure_twice", "ungrounded"})

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
    alerts: Iterable[Alert], events: Sequence[Event], texts: Mapping[str, str], period: Period, negative: Judge
) -> tuple[AlertRow, ...]:
    """Show the alerts that were open at some time of the period, newest first.

    Words and typical messages come from the alert's details (``explain.py``), or else from the texts.

    Args:
        alerts: Any alerts.
        events: Messages of both periods.
        texts: Event id -> redacted text.
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
        said = tuple(texts[one] for one in _named(alert.details.get("messages")) if one in texts)
        if not words or not said:
            stream = [one for one in events if (one.topic, one.locale) == (alert.topic, alert.locale) and one.id in texts]
            end = alert.resolved_at or period.until
            ours = [one for one in stream if alert.signal.since <= one.at <= end and negative(one)]
            told, rest = _texts(ours, texts), _texts((one for one in stream if one.at < alert.signal.since), texts)
            words = words or tuple(one.text for one in distinctive(told, rest, _MOST_WORDS))
            said = said or tuple(one.text for one in typical(told, _MOST_TYPICAL))
        rows.append(_alert_row(alert, words[:_MOST_WORDS], tuple(_quote(text) for text in said[:_MOST_TYPICAL])))
    return tuple(rows)


def service(answered: Iterable[Answered]) -> Service:
    """Count how customers were served."""
    replies = list(answered)
    if not replies:
        return Service()
    waits = np.percentile([one.latency_ms for one in replies], (50, 95))
    conversations = {one.conversation for one in replies}
    handed = {one.conversation for one in replies if one.action == "handoff"}
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
    """Count the service of every topic and locale, most replies first."""
    parts: dict[tuple[str, str], list[Answered]] = defaultdict(list)
    for one in answered:
        parts[one.topic, one.locale].append(one)
    rows = (ServiceRow(topic, locale, service(part)) for (topic, locale), part in parts.items())
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


def conversation_rows(
    events: Sequence[Event], texts: Mapping[str, str], period: Period
) -> tuple[dict[str, int], tuple[ConversationRow, ...], tuple[ConversationRow, ...]]:
    """Read every conversation that ended in the period.

    Args:
        events: Messages of both periods, so that one that began before is read whole.
        texts: Event id -> redacted text.
        period: The period.

    Returns:
        Number of each course; the worst, most evidence of trouble first; the best, largest rise from its low first.
    """
    parts: dict[str, list[Event]] = defaultdict(list)
    for one in {event.id: event for event in events}.values():
        parts[one.conversation].append(one)
    ranked: list[tuple[float, float, ConversationRow]] = []
    for part in parts.values():
        part.sort(key=lambda one: (one.at, one.id))
        if period.holds(part[-1].at):
            scores = [one.positive - one.negative for one in part]
            row = _conversation_row(part, scores, texts)
            ranked.append((going_wrong(scores).evidence, row.trajectory.ended - row.trajectory.low, row))
    counts: Counter[str] = Counter(row.trajectory.course for *_, row in ranked)
    bad = [one for one in ranked if one[2].trajectory.course in ("came_content_left_angry", "angry_throughout", "mixed")]
    good = [one for one in ranked if one[2].trajectory.course == "came_angry_left_content"]
    bad.sort(key=lambda one: (-one[0], one[2].trajectory.ended, one[2].id))
    good.sort(key=lambda one: (-one[1], one[2].id))
    worst, best = (tuple(row for *_, row in side[:_MOST_CONVERSATIONS]) for side in (bad, good))
    return dict(counts), worst, best


def unanswered(answered: Iterable[Answered], period: Period) -> tuple[tuple[Unanswered, ...], int]:
    """Group the questions that no article answered, by nearness of their words.

    A question counts if the assistant found nothing to say to it and nothing was sent later in its conversation either; a
    customer who asks it twice in one conversation counts once.

    Args:
        answered: Replies of both periods.
        period: Questions outside it are left out.

    Returns:
        The groups most asked, and how many conversations asked such a question in all.
    """
    open_questions: dict[str, Answered] = {}
    for one in sorted(answered, key=lambda one: (one.at, one.id)):
        if one.action == "send" and one.origin != "social":
            open_questions.pop(one.conversation, None)
        elif one.reason in _NOTHING_FOUND and period.holds(one.at) and one.question.strip():
            # Pressed for an answer, people write less: "well?". The fuller wording says what was asked.
            known = open_questions.get(one.conversation)
            if known is None or len(one.question) > len(known.question):
                open_questions[one.conversation] = one
    by_locale: dict[str, list[Answered]] = defaultdict(list)
    for one in open_questions.values():
        by_locale[one.locale].append(one)
    rows = []
    for locale, part in by_locale.items():
        said = [one.question for one in part]
        for found in group(said):
            members = [part[at] for at in found.members]
            rest = [text for at, text in enumerate(said) if at not in set(found.members)]
            words = distinctive([one.question for one in members], rest, 4) if len(members) > 1 else ()
            rows.append(_unanswered_row(locale, members, said[found.middle], tuple(one.text for one in words)))
    rows.sort(key=lambda row: (-row.count, -row.last_at.timestamp(), row.question))
    return tuple(rows[:_MOST_UNANSWERED]), len(open_questions)


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


def _texts(events: Iterable[Event], texts: Mapping[str, str]) -> list[str]:
    return [texts[one.id] for one in events if one.id in texts]


def _conversation_row(part: Sequence[Event], scores: Sequence[float], texts: Mapping[str, str]) -> ConversationRow:
    smooth = smoothed(scores)
    low = min(range(len(scores)), key=lambda at: (scores[at], smooth[at]))
    topics = Counter(one.topic for one in part if one.topic)
    return ConversationRow(
        id=part[0].conversation,
        topic=topics.most_common(1)[0][0] if topics else "",
        locale=part[-1].locale,
        began_at=part[0].at,
        ended_at=part[-1].at,
        trajectory=trajectory(scores),
        low_quote=_quote(texts.get(part[low].id, "")),
        last_quote=_quote(texts.get(part[-1].id, "")) if texts.get(part[-1].id) != texts.get(part[low].id) else "",
    )


def _unanswered_row(locale: str, members: Sequence[Answered], question: str, words: tuple[str, ...]) -> Unanswered:
    topics, reasons = Counter(one.topic for one in members if one.topic), Counter(one.reason for one in members)
    return Unanswered(
        locale=locale,
        count=len(members),
        question=_quote(question),
        words=words,
        topics=tuple(topic for topic, _ in topics.most_common(3)),
        reasons=tuple(reason for reason, _ in reasons.most_common()),
        last_at=max(one.at for one in members),
    )


def _quote(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MOST_QUOTED else flat[: MOST_QUOTED - 1].rstrip() + "…"
