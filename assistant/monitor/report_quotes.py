"""What a report quotes: the conversations worth reading, and the questions that no article answered.

Chosen by figures alone; the texts of what was chosen are fetched afterwards, so that a report on a million messages holds the
words of a few. Knows nothing of HTML and of languages. Before: ``trajectory``, ``words``. After: ``report``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from assistant.monitor.events import Event
from assistant.monitor.report_records import Answered, ConversationRow, Period, Texts, Unanswered
from assistant.monitor.trajectory import going_wrong, smoothed, trajectory
from assistant.monitor.words import MOST_GROUPED, distinctive, group

MOST_QUOTED = 180  # characters
_MOST_CONVERSATIONS, _MOST_UNANSWERED, _MOST_WORDS = 5, 10, 4
#: Reason codes of replies that found nothing to say. A wish for a person is no question, and a failure not the articles' fault.
_NOTHING_FOUND = frozenset({"low_evidence", "low_confidence", "out_of_scope", "unsure_twice", "ungrounded"})


def conversation_rows(
    events: Sequence[Event], texts: Texts, period: Period
) -> tuple[dict[str, int], tuple[ConversationRow, ...], tuple[ConversationRow, ...]]:
    """Read every conversation that ended in the period.

    Args:
        events: Messages of both periods, each once, so that one that began before is read whole.
        texts: Fetches redacted texts by the ids of events; asked for those of the conversations that are shown.
        period: The period.

    Returns:
        Number of each course; the worst, most evidence of trouble first; the best, largest rise from its low first.
    """
    parts: dict[str, list[Event]] = defaultdict(list)
    for one in events:
        parts[one.conversation].append(one)
    counts: Counter[str] = Counter()
    bad: list[tuple[float, float, str]] = []
    good: list[tuple[float, str]] = []
    for id, part in parts.items():
        part.sort(key=lambda one: (one.at, one.id))
        if not period.holds(part[-1].at):
            continue
        scores = _scores(part)
        run = trajectory(scores)
        counts[run.course] += 1
        if run.course in ("came_content_left_angry", "angry_throughout", "mixed"):
            bad.append((-going_wrong(scores).evidence, run.ended, id))
        elif run.course == "came_angry_left_content":
            good.append((run.low - run.ended, id))
    chosen = (
        [id for _, _, id in sorted(bad)[:_MOST_CONVERSATIONS]],
        [id for _, id in sorted(good)[:_MOST_CONVERSATIONS]],
    )
    quoted = texts(one.id for side in chosen for id in side for one in (parts[id][_low(_scores(parts[id]))], parts[id][-1]))
    worst, best = (tuple(_conversation_row(parts[id], quoted) for id in side) for side in chosen)
    return dict(counts), worst, best


def unanswered(answered: Iterable[Answered], texts: Texts, period: Period) -> tuple[tuple[Unanswered, ...], int]:
    """Group the questions that no article answered, by nearness of their words.

    A question counts if the assistant found nothing to say to it and nothing was sent later in its conversation either; a
    customer who asks it twice in one conversation counts once.

    Args:
        answered: Replies of both periods.
        texts: Fetches redacted texts by the ids of messages; asked for the newest such questions of each locale.
        period: Questions outside it are left out.

    Returns:
        The groups most asked, and how many conversations asked such a question in all.
    """
    open_questions: dict[str, Answered] = {}
    for one in sorted(answered, key=lambda one: (one.at, one.id)):
        if one.action == "send" and one.origin != "social":
            open_questions.pop(one.conversation, None)
        elif one.reason in _NOTHING_FOUND and period.holds(one.at) and one.asked:
            # Pressed for an answer, people write less: "well?". The fuller wording says what was asked.
            known = open_questions.get(one.conversation)
            if known is None or one.asked > known.asked:
                open_questions[one.conversation] = one
    by_locale: dict[str, list[Answered]] = defaultdict(list)
    for one in open_questions.values():
        by_locale[one.locale].append(one)
    groups: list[tuple[list[Answered], str]] = []
    said: dict[str, str] = {}
    for locale, part in by_locale.items():
        said |= texts(one.id for one in part[-MOST_GROUPED:])
        by_locale[locale] = part = [one for one in part[-MOST_GROUPED:] if one.id in said]
        for found in group([said[one.id] for one in part]):
            groups.append(([part[at] for at in found.members], said[part[found.middle].id]))
    groups.sort(key=lambda one: (-len(one[0]), -max(asked.at.timestamp() for asked in one[0]), one[1]))
    rows = []
    for members, question in groups[:_MOST_UNANSWERED]:
        own = {one.id for one in members}
        rest = [said[one.id] for one in by_locale[members[0].locale] if one.id not in own]
        words = distinctive([said[id] for id in own], rest, _MOST_WORDS) if len(members) > 1 else ()
        rows.append(_unanswered_row(members, question, tuple(one.text for one in words)))
    return tuple(rows), len(open_questions)


def quote(text: str) -> str:
    """Cut a text to one line of at most ``MOST_QUOTED`` characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= MOST_QUOTED else flat[: MOST_QUOTED - 1].rstrip() + "…"


def _scores(part: Sequence[Event]) -> list[float]:
    return [one.positive - one.negative for one in part]


def _low(scores: Sequence[float]) -> int:
    """Find the message that a conversation was at its worst with."""
    smooth = smoothed(scores)
    return min(range(len(scores)), key=lambda at: (scores[at], smooth[at]))


def _conversation_row(part: Sequence[Event], texts: Mapping[str, str]) -> ConversationRow:
    scores = _scores(part)
    low, last = texts.get(part[_low(scores)].id, ""), texts.get(part[-1].id, "")
    topics = Counter(one.topic for one in part if one.topic)
    return ConversationRow(
        id=part[0].conversation,
        topic=topics.most_common(1)[0][0] if topics else "",
        locale=part[-1].locale,
        began_at=part[0].at,
        ended_at=part[-1].at,
        trajectory=trajectory(scores),
        low_quote=quote(low),
        last_quote=quote(last) if last != low else "",
    )


def _unanswered_row(members: Sequence[Answered], question: str, words: tuple[str, ...]) -> Unanswered:
    topics, reasons = Counter(one.topic for one in members if one.topic), Counter(one.reason for one in members)
    return Unanswered(
        locale=members[0].locale,
        count=len(members),
        question=quote(question),
        words=words,
        topics=tuple(topic for topic, _ in topics.most_common(3)),
        reasons=tuple(reason for reason, _ in reasons.most_common()),
        last_at=max(one.at for one in members),
    )
