"""A fresh store on each engine. PostgreSQL gets a schema of its own that is dropped afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from assistant.store import Store, open_store, sqlite_url

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
