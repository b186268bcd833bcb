"""A fresh store on each engine, and the sample company to talk to.

PostgreSQL gets a schema of its own that is dropped afterwards.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from assistant.encoder import Encoder
from assistant.pipeline import Assistant, CompanyFacts, Serving
from assistant.records import Reply
from assistant.settings import Settings
from assistant.store import Store, open_store, sqlite_url
from assistant.understand import Understander
from retrieval.index import open_current
from retrieval.retriever import Retriever
from ui import wiring

POSTGRES = os.environ.get("DESKHAND_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")


@cache
def postgres_fault() -> str | None:
    """Say why PostgreSQL cannot be tested with, or nothing."""
    try:
        import psycopg
    except ImportError:
        return "psycopg is not installed"
    try:
        psycopg.connect(POSTGRES, connect_timeout=3).close()
    except psycopg.Error as error:
        return f"no PostgreSQL answers at {make_url(POSTGRES).render_as_string(hide_password=True)}: {error}"
    return None


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Address of an empty database on each engine."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "new folder" / "deskhand.db")
        return
    fault = postgres_fault()
    if fault:
        pytest.skip(fault)
    import psycopg

    name = f"deskhand_test_{uuid4().hex}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {name}")
        yield make_url(POSTGRES).update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
        connection.execute("SET client_min_messages = error")
        connection.execute(f"DROP SCHEMA {name} CASCADE")


@pytest.fixture
def store(store_url: str) -> Iterator[Store]:
    """An open, empty store on each engine."""
    with open_store(store_url) as opened:
        yield opened


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
