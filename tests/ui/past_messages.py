"""A store with two weeks of past messages that were read, and an alert on them: what the console and REST are tried with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

from fastapi import FastAPI

from assistant.monitor.events import Alert, Signal
from assistant.monitor.ledger import Reading
from assistant.records import Transcript, TranscriptTurn
from assistant.settings import Notify, WebhookReceiver
from assistant.store import SourceRecord, Store
from tests.ui.stand_in import NOW
from ui.alerts_api import add_alerts
from ui.api import add_api
from ui.console import add_console
from ui.server import Guard

HOSTILE = "<script>document.title='owned'</script><img src=x onerror=alert(1)> {{ 7*7 }} ${1} \u202ereversed"
ANGRY = "the depot in Rivertown is under water"
ODD_TOPIC = 'odd_"><script>x</script>'


def fill(store: Store) -> None:
    """Put 14 days of conversations away: delivery sours in the last two days, returns stay calm, one topic is hostile."""
    rows: list[tuple[datetime, str, str, float, str]] = []
    for hour in range(14 * 24):
        at = NOW - timedelta(hours=hour, minutes=5)
        sour = hour < 48
        rows.append((at, "delivery_status", "en", 0.9 if sour or hour % 8 == 0 else 0.1, ANGRY if sour else "where is it"))
        if hour % 3 == 0:
            rows.append((at, "returns", "zh", 0.1, "谢谢"))
    rows.append((NOW - timedelta(hours=1), ODD_TOPIC, "en", 0.97, HOSTILE))
    rows.append((NOW - timedelta(hours=2), "", "en", 0.8, "hm"))
    talks = [
        Transcript(
            f"c{place}",
            (
                TranscriptTurn("customer", said, at),
                TranscriptTurn("agent", "Let me look, [NAME_1].", at + timedelta(minutes=1)),
            ),
            f"log:{place}",
            locale,
        )
        for place, (at, _, locale, _, said) in enumerate(rows)
    ]
    store.add_source(SourceRecord("s9", "log.jsonl", "logs", "9" * 64, "jsonl", NOW), talks)
    store.monitor.add_readings(
        Reading(turn_id(place), topic, locale, negative, 0.05, "s-1", "i-1")
        for place, (_, topic, locale, negative, _) in enumerate(rows)
    )


def turn_id(place: int) -> str:
    """Name the customer's turn of a conversation, the newest first."""
    return f"transcript:s9/c{place}#0000"


def alert(id: str = "alert_1", topic: str = "delivery_status", **changes: Any) -> Alert:
    """An open alert on the last two days."""
    since = NOW - timedelta(hours=40)
    signal = Signal("number", topic, "en", since + timedelta(hours=6), since, 31, 8.0, 40, 0.01, 3.9)
    details: dict[str, object] = {
        "words": [{"text": "rivertown", "z": 4.0, "count": 9, "share": 0.5, "background_share": 0.0}],
        "messages": [turn_id(0), "gone"],
        "emotions": {"anger": 0.75},
        "articles": [{"id": "a1", "title": "Where is my parcel?", "count": 3}],
        "versions": {"sentiment": {"s-1": 31}, "intent": {"i-1": 31}},
        "last_time": {"opened_at": "2026-01-05T08:00:00+00:00", "observed": 17, "hours": 30.0, "resolved_by": "Ada"},
    }
    return replace(Alert(id, topic, "en", signal, "open", signal.at, details=details), **changes)


def with_receivers(settings: Any) -> Any:
    """The same settings with two webhooks that are told of alerts."""
    secret = "whsec_" + "YWJj" * 8
    hooks = tuple(WebhookReceiver(name=name, url=f"https://{name}.example/hook", secret=secret) for name in ("team", "manager"))
    return settings.model_copy(update={"notify": Notify(webhooks=hooks)})


def served(parts: Any, now: Callable[[], datetime] = lambda: NOW) -> FastAPI:
    """The app without its chat page, on the data's own clock."""
    parts.serving = lambda: SimpleNamespace(understander=SimpleNamespace(mood_thresholds={"negative_en": 0.6}))
    app = FastAPI()
    add_alerts(app, parts, now)
    add_console(app, parts, now)
    add_api(app, parts)
    app.add_middleware(Guard)
    return app
