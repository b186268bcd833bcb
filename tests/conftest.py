"""Fixtures that all folders share: the encoder, the sample company, and a fresh store on each engine.

PostgreSQL gets a schema of its own that is dropped afterwards.
"""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url

from assistant.encoder import Encoder, resolve
from assistant.store import Store, open_store, sqlite_url
from ui import demo, terminal
from ui.sample import Sample, find_sample

CONVERSATIONS = 150
POSTGRES = os.environ.get("DESKHAND_TEST_POSTGRES", "postgresql://root@127.0.0.1:5432/test")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the browser test write the pictures of the README."""
    parser.addoption("--screenshots", action="store_true", help="write docs/screenshots from the browser test")


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The real base encoder, loaded once; on one thread, for two took four times as long on a busy machine."""
    return Encoder(resolve("all-MiniLM-L6-v2"), dtype="float32", threads=1)


@pytest.fixture(scope="session")
def small_sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The sample company with its first 150 conversations, which is enough to be answered from."""
    whole = find_sample()
    root = tmp_path_factory.mktemp("sample")
    (root / "sample").mkdir()
    shutil.copytree(whole.articles, root / "sample" / "articles")
    shutil.copy(whole.templates, root / "sample")
    shutil.copy(whole.products, root / "sample")
    if whole.adapters.is_dir():
        shutil.copytree(whole.adapters, root / "adapters")
    with (
        gzip.open(whole.conversations, "rt", encoding="utf-8") as lines,
        gzip.open(root / "sample" / whole.conversations.name, "wt", encoding="utf-8") as few,
    ):
        few.writelines(itertools.islice(lines, CONVERSATIONS))
    return Sample(root)


@pytest.fixture(scope="session")
def sample_home(small_sample: Sample, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder in which the sample company is set up; tests that change it take a copy (``own_home``)."""
    place = tmp_path_factory.mktemp("home") / "home"
    patch = pytest.MonkeyPatch()
    for name in ("DESKHAND_CONFIG", "DESKHAND_HOME"):
        patch.delenv(name, raising=False)
    patch.chdir(tmp_path_factory.mktemp("work"))
    patch.setattr(demo, "load_encoder", lambda settings: encoder)
    demo.set_up(place, small_sample, terminal.Steps(quiet=True))
    patch.undo()
    return place


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
