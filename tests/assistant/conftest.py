"""The sample company to talk to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assistant.encoder import Encoder
from assistant.pipeline import Assistant, CompanyFacts, Serving
from assistant.records import Reply
from assistant.settings import Settings
from assistant.store import Store, open_store, sqlite_url
from assistant.understand import Understander
from retrieval.index import open_current
from retrieval.retriever import Retriever
from ui import wiring

#: Every turn happens at this moment.
MOMENT = datetime(2025, 6, 2, 10, 30, tzinfo=UTC)
HOURS = "Mon-Sat 8:00-20:00 CET"


class Shop:
    """The sample company's parts, loaded once, and conversations with it, each on a store of its own."""

    def __init__(self, home: Path, encoder: Encoder) -> None:
        """Open index and adapters of a home folder."""
        self.settings = Settings()
        index = open_current(home / "index", encoder.sha256, gpu="never")
        adapters = wiring.champions(wiring.open_registry(home), encoder.sha256)
        products = wiring.read_company_products(home)
        self.understander = Understander(encoder, adapters, languages=("en", "zh"), products=products)
        self.untrained = Understander(encoder, {}, languages=("en", "zh"), products=products)
        self.retriever = Retriever(index, encoder.encode)
        self.serving = Serving(
            retriever=self.retriever,
            understander=self.understander,
            templates=wiring.approved_answers(index, "en"),
            thresholds=wiring.choose_thresholds(self.settings, self.understander.thresholds),
            index_version=index.version,
            intents=tuple(adapters["intent"].manifest.labels),
        )
        self._count = itertools.count(1)

    def assistant(self, store: Store, **changes: Any) -> Assistant:
        """Return an assistant on a store; ``changes`` replace parts of what serves."""
        serving = replace(self.serving, **changes)
        return Assistant(
            store=store,
            serving=lambda conversation_id: serving,
            redactor=wiring.make_redactor(self.settings),
            company=CompanyFacts("Fernwick", ("en", "zh"), HOURS),
            salt="of the tests" * 4,
            now=lambda: MOMENT,
            new_id=lambda: f"id-{next(self._count):06d}",
        )


@pytest.fixture(scope="session")
def shop(sample_home: Path, encoder: Encoder) -> Shop:
    """The sample company, small."""
    return Shop(sample_home, encoder)


@pytest.fixture
def till(tmp_path: Path) -> Iterator[Store]:
    """An empty SQLite store for conversations."""
    with open_store(sqlite_url(tmp_path / "conversations.db")) as opened:
        yield opened


@pytest.fixture
def talk(shop: Shop, till: Store) -> Callable[..., list[Reply]]:
    """Hold one conversation: messages in, replies out."""
    assistant = shop.assistant(till)

    def hold(*messages: str, lang: str | None = None) -> list[Reply]:
        replies: list[Reply] = []
        for text in messages:
            known = replies[-1].conversation_id if replies else None
            replies.append(assistant.turn(text, conversation_id=known, lang=lang))
        return replies

    return hold
