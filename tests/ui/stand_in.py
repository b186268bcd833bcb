"""An assistant without a model, over a real store: what the doors are tried with."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from assistant.database import sqlite_url
from assistant.feedback import Learned, keep_feedback
from assistant.records import Article, Feedback, Hit, IntentGuess, Message, Passage, Reply, Sentiment, Template, Understanding
from assistant.settings import Company, Serve, Settings
from assistant.store import SourceRecord, Store, open_store

NOW = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ANSWER = "Returns are free for **30 days**; see https://shop.example/returns. <b>Not bold</b>"


def passage(**changes: Any) -> Passage:
    """A passage of an article."""
    values = {"id": "p1", "kind": "article", "title": "Returns › How", "text": "Send it <i>back</i> within 30 days."}
    return Passage(**{**values, "search_text": "returns", "source": "returns", "lang": "en", **changes})


class StandIn:
    """Answers everything alike; 'boom' fails, 'person' hands off, 'what' asks back."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.texts: list[str] = []
        self.langs: list[str | None] = []
        self._ids = (f"id-{number}" for number in itertools.count())

    @property
    def versions(self) -> dict[str, str]:
        return {"index": "i-1", "intent": "v7"}

    def turn(
        self,
        text: str,
        *,
        conversation_id: str | None = None,
        contact: str | None = None,
        channel: str = "api",
        lang: str | None = None,
    ) -> Reply:
        if "boom" in text:
            raise RuntimeError("the secret inside")
        self.texts.append(text)
        self.langs.append(lang)
        if conversation_id is None:
            conversation_id = next(self._ids)
            self.store.start_conversation(conversation_id, NOW, lang, contact, channel)
        action, reason = "send", "template"
        if "person" in text:
            action, reason = "handoff", "asked_for_person"
        elif "what" in text:
            action, reason = "clarify", "missing_slot"
        reply = Reply(
            conversation_id=conversation_id,
            message_id=next(self._ids),
            action=action,
            reason=reason,
            text=ANSWER,
            understanding=Understanding(
                "en",
                (IntentGuess("start_return", 0.91), IntentGuess("refund_status", 0.06)),
                0.02,
                Sentiment("negative", 0.8, -0.71),
            ),
            evidence=(Hit(passage(), 0.83),),
            versions=self.versions,
            latency_ms=12.3,
            thresholds={"min_confidence": 0.5, "confidence": 0.91},
            slots={"order_number": "FW-204518"},
            stages_ms={"understand": 8.0, "retrieve": 4.3},
            origin="template",
        )
        self.store.record_turn(Message(next(self._ids), conversation_id, text[:500], NOW), reply)
        return reply

    def feedback(
        self, message_id: str, rating: int, comment: str = "", correction: str = "", intent: str | None = None
    ) -> Learned:
        given = Feedback(message_id, rating, comment, correction, intent=intent)
        return keep_feedback(self.store, given, NOW, lambda: ("opening_hours", "return_policy"), lambda: next(self._ids))


@contextmanager
def wired(folder: Path, tokens: tuple[str, ...] = (), url: str = "") -> Iterator[Any]:
    """What ``ui.wiring.build`` gives, with the stand-in inside and one article and template in the store, SQLite by default."""
    with open_store(url or sqlite_url(folder / "deskhand.db")) as store:
        store.add_source(
            SourceRecord("s1", "help", "articles", "0" * 64, "markdown", NOW),
            articles=[Article("returns", "Returns", "Send it back.", "help:1", "en", url="https://shop.example/returns")],
            templates=[
                Template("return_policy", "en", "30 days.", title="How long can I return things?"),
                Template("return_policy", "zh", "30 天。", title="退货规则"),
                Template("opening_hours", "en", "9 to 5.", title="When are you open?"),
            ],
        )
        settings = Settings(company=Company(name="Fern & Co", languages=("en", "zh")), serve=Serve(tokens=tokens))
        parts = SimpleNamespace(assistant=StandIn(store), store=store, settings=settings, home=folder, notes=())
        parts.serving = lambda: SimpleNamespace(understander=SimpleNamespace(mood_thresholds={}))
        yield parts
