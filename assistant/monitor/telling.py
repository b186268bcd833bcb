"""What receivers are told of an alert: a title, a few lines in plain words, the figures, and which messages to quote.

Pure functions from alerts to notices; every configured receiver gets one when an alert opens, when a further topic or language
joins it, and when it ends. Holds no customer's sentence: those are fetched when a notice is sent (``outbox.py``). Before:
``watching.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, tzinfo
from typing import Any

from assistant.monitor.events import JOINED, Alert, Signal
from assistant.monitor.ledger import Notice
from assistant.monitor.report_records import LONG_HOURS

_KINDS = {
    "number": "more unhappy customers than the time of day and week explains",
    "share": "a larger part of the customers is unhappy than usual",
    "drift": "slowly more unhappy customers, for some time now",
    "new": "a new topic, and many of its customers are unhappy",
}


def title(alert: Alert, what: str) -> str:
    """Write one line.

    Args:
        alert: The alert.
        what: ``opened``, ``joined:TOPIC/LOCALE`` or ``resolved``.

    Returns:
        Such as ``Turning sour: damaged on arrival (en), 31 against 8 expected``.
    """
    topic = name_of(alert.topic)
    if what == "resolved":
        return f"Back to normal: {topic} ({alert.locale})"
    if what.startswith(JOINED):
        return f"Turning sour as well: {_stream_name(what)}, with {topic} ({alert.locale})"
    return f"Turning sour: {topic} ({alert.locale}), {alert.signal.observed} against {alert.signal.expected:.3g} expected"


def text(alert: Alert, what: str, zone: tzinfo) -> str:
    """Write a few lines in plain words.

    Args:
        alert: The alert.
        what: ``opened``, ``joined:TOPIC/LOCALE`` or ``resolved``.
        zone: For times.

    Returns:
        Lines of plain text.
    """
    signal = alert.signal
    since = f"{signal.since.astimezone(zone):%Y-%m-%d %H:%M %Z}"
    if what == "resolved":
        return f"Since {since}; over at {(alert.resolved_at or signal.at).astimezone(zone):%Y-%m-%d %H:%M %Z}."
    if what.startswith(JOINED):
        return f"{_stream_name(what)} turned for the same cause; the alert is open since {since}."
    lines = [
        f"{_KINDS.get(signal.kind, signal.kind).capitalize()}, since {since}.",
        f"{signal.observed} unhappy conversations, {signal.expected:.3g} were expected ({signal.ratio:.2g} times as many).",
        how_sure(signal),
    ]
    if words := ", ".join(f"“{one['text']}”" for one in alert.words[:6]):
        lines.append(f"What sets them apart: {words}.")
    if articles := "; ".join(str(one["title"]) for one in alert.articles):
        lines.append(f"Articles they were shown: {articles}.")
    last = alert.details.get("last_time")
    if isinstance(last, dict):
        hours = float(last.get("hours") or 0.0)
        lasted = f" and lasted {hours / 24:.0f} days" if hours > LONG_HOURS else f" and lasted {hours:.0f} hours" if hours else ""
        lines.append(f"Last time: {str(last['opened_at'])[:10]}, {last['observed']} conversations{lasted}.")
    return "\n".join(lines)


def how_sure(signal: Signal) -> str:
    """Say how often chance alone would raise such an alert."""
    rate = signal.false_alarms_per_28_days
    if rate <= 0:
        return "Chance alone would practically never do this."
    days = 28 / rate
    often = f"{days / 365:.3g} years" if days > 730 else f"{days:.0f} days"
    return f"Chance alone would do this about once in {often}, over all topics."


def data(alert: Alert) -> dict[str, Any]:
    """Give an alert's figures for machines, ready for JSON."""
    signal = asdict(alert.signal)
    return {
        "id": alert.id,
        "topic": alert.topic,
        "locale": alert.locale,
        "state": alert.state,
        **{name: value.isoformat() if isinstance(value, datetime) else value for name, value in signal.items()},
        "also": list(alert.also),
        "words": alert.words,
        "articles": alert.articles,
        "versions": alert.details.get("versions", {}),
    }


def notices(alert: Alert, what: str, at: datetime, receivers: Sequence[str], zone: tzinfo) -> tuple[Notice, ...]:
    """Make one notice for every receiver.

    Args:
        alert: The alert.
        what: ``opened``, ``joined:TOPIC/LOCALE`` or ``resolved``.
        at: When by the clock, timezone-aware.
        receivers: Names in the settings.
        zone: For times in the text.

    Returns:
        The notices; messages are quoted when an alert opens.
    """
    quoted = alert.quoted if what == "opened" else ()
    lines, line, figures = text(alert, what, zone), title(alert, what), data(alert)
    return tuple(Notice(name, what, line, lines, at, figures, quoted) for name in receivers)


def _stream_name(what: str) -> str:
    topic, _, locale = what.removeprefix(JOINED).rpartition("/")
    return f"{name_of(topic)} ({locale})"


def name_of(topic: str) -> str:
    """Return a topic as people read it."""
    return {"": "no topic", "oos": "none of our business"}.get(topic, topic.replace("_", " "))
