"""What an alert is about: the words that set its messages apart, typical ones, articles and versions involved, and last time.

Reads the store at the moment an alert opens, and again as it grows (``renewing.py``), and gives plain values for its
``details``: ids of messages, short phrases that several customers used, names and figures; no customer's sentence. Before: a
detector's signal. After: the alert, its notices, the console and the report, which fetch the texts by id.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from assistant.monitor.events import Event, Signal
from assistant.monitor.ledger import Ledger, Place, Stream
from assistant.monitor.watching import MOMENT, Rules
from assistant.monitor.words import Contrast, typical

#: Messages looked at: the newest of the stream's negative ones, and a sample of what the locale wrote in the weeks before.
_MOST, _BACKGROUND, _ENOUGH = 300, 2000, 50
_BEFORE = timedelta(days=28)
_WORDS, _HINTS, _TYPICAL, _ARTICLES = 10, 5, 5, 3
_EMOTIONS = 0.5


def explain(ledger: Ledger, rules: Rules, signal: Signal) -> dict[str, Any]:
    """Say what a signal is about.

    Its messages are set against the stream's own earlier ones, so that what is new shows, not what its topic is. Every so many
    of those are taken, so that the background stays small and spans the weeks.

    Args:
        ledger: The store's side.
        rules: Which messages count as negative.
        signal: What the detector said.

    Returns:
        ``of`` (how many unhappy messages it has by now), ``words`` (text, z, count, share, background_share), ``hints``
        (phrases, sure or not, by which another topic with the same cause is known), ``messages`` (ids, most typical first),
        ``emotions`` (shares), ``channels`` (counts), ``versions`` (task -> version -> count), ``articles`` (id, title, count)
        that were shown to these customers, ``actions`` (counts of send, clarify, handoff) and ``last_time`` (the alert before on
        this topic, or None).
    """
    begin, end = Place(signal.since - _BEFORE, ""), signal.at + MOMENT
    stream = list(ledger.stream(begin, end, [Stream(signal.topic, signal.locale)]))
    unhappy = [one for one in stream if one.at >= signal.since and rules.negative(one)]
    own = unhappy[-_MOST:]
    others: Sequence[Event] = [one for one in stream if one.at < signal.since]
    if len(others) < _ENOUGH:  # too little of a past: against everything its locale wrote, which takes long to read
        known = {event.id for event in unhappy}
        others = [one for one in ledger.stream(begin, end) if one.locale == signal.locale and one.id not in known]
    others = others[:: max(1, -(-len(others) // _BACKGROUND))]
    texts = ledger.texts([*(event.id for event in own), *(event.id for event in others)])
    said = [event for event in own if event.id in texts]
    wrote, before = [texts[event.id] for event in said], [texts[one.id] for one in others if one.id in texts]
    apart = Contrast(wrote, before)
    words, hints = apart.phrases(_WORDS), apart.phrases(_HINTS, math.inf)
    best = typical(wrote, _TYPICAL)
    replies = ledger.replies([event.id for event in said])
    shown = Counter((one.id, one.title) for reply in replies for one in reply.articles)
    return {
        "of": len(unhappy),
        "words": [
            {
                "text": word.text,
                "z": round(word.z, 2),
                "count": word.count,
                "share": round(word.share, 3),
                "background_share": round(word.background_share, 3),
            }
            for word in words
        ],
        "hints": [word.text for word in hints],
        "messages": [said[one.place].id for one in best],
        "emotions": _emotions(own),
        "channels": dict(Counter(event.channel for event in own if event.channel).most_common()),
        "versions": {
            task: dict(Counter(version for version in found if version).most_common())
            for task, found in (
                ("sentiment", [event.version for event in own]),
                ("intent", [event.intent_version for event in own]),
            )
        },
        "articles": [{"id": id, "title": title, "count": count} for (id, title), count in shown.most_common(_ARTICLES)],
        "actions": dict(Counter(reply.action for reply in replies).most_common()),
        "last_time": _last_time(ledger, signal),
    }


def _emotions(events: Sequence[Event]) -> dict[str, float]:
    """Return the share of messages in which each emotion is likelier than not, where the adapter can tell."""
    told = [event.emotions for event in events if event.emotions]
    counts = Counter(name for one in told for name, chance in one.items() if chance >= _EMOTIONS)
    return {name: round(count / len(told), 3) for name, count in counts.most_common()}


def _last_time(ledger: Ledger, signal: Signal) -> dict[str, Any] | None:
    earlier = [
        one
        for one in ledger.alerts(topic=signal.topic, until=signal.since)
        if one.locale == signal.locale and one.state == "resolved"
    ]
    if not earlier:
        return None
    last = earlier[0]
    lasted = last.resolved_at - last.signal.since if last.resolved_at else None
    return {
        "id": last.id,
        "opened_at": last.opened_at.isoformat(),
        "resolved_at": last.resolved_at.isoformat() if last.resolved_at else None,
        "resolved_by": last.resolved_by,
        "hours": round(lasted.total_seconds() / 3600, 1) if lasted else None,
        "observed": last.signal.observed,
    }
