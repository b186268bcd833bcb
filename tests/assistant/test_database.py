"""Opening a database: made where missing, brought up to date, and left alone when it is somebody else's."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

import assistant
from assistant import schema
from assistant.database import open_database
from assistant.errors import StoreError
from assistant.store import open_store, sqlite_url


def test_migrations_end_where_the_schema_says() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(str(assistant.__file__)).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == schema.REVISION


def test_migrated_database_equals_the_schema(store_url: str) -> None:
    database = open_database(store_url)
    with database.reading() as connection:
        options = {"version_table": schema.REVISION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []
    database.close()


def test_store_of_the_first_revision_keeps_what_it_holds(store_url: str) -> None:
    from alembic import command

    url = sa.make_url(store_url)
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).parent.mkdir(parents=True)
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg") if url.get_backend_name() == "postgresql" else url)
    config = Config()
    config.set_main_option("script_location", str(Path(str(assistant.__file__)).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        moment = "'2025-03-01 12:00:00.000000'"
        for statement in (
            f"INSERT INTO conversations (id, created_at, state) VALUES ('c1', {moment}, 'bot')",
            "INSERT INTO messages (id, conversation_id, position, role, text, at, slots, understanding)"
            f" VALUES ('m1', 'c1', 0, 'customer', 'where is it', {moment}, '{{}}', '{{}}')",
            "INSERT INTO messages (id, conversation_id, position, role, text, at, slots, reply_to)"
            f" VALUES ('r1', 'c1', 1, 'bot', 'no idea', {moment}, '{{}}', 'm1')",
            "INSERT INTO feedback (message_id, rating, comment, correction, at)"
            f" VALUES ('r1', -1, 'rude', 'It is on its way.', {moment})",
        ):
            connection.execute(sa.text(statement))
    engine.dispose()
    with open_store(store_url) as store:
        judged = store.feedback("r1")
        assert judged is not None
        assert (judged.rating, judged.correction, judged.intent) == (-1, "It is on its way.", None)
        assert [(c.question, c.answer) for c in store.learning.corrections()] == [("where is it", "It is on its way.")]
        assert store.learning.runs() == []
        assert store.learning.due() == []
    database = open_database(store_url)
    with database.reading() as connection:
        options = {"version_table": schema.REVISION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []
    database.close()


def test_store_of_the_second_revision_keeps_what_it_holds(store_url: str) -> None:
    from alembic import command

    url = sa.make_url(store_url)
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).parent.mkdir(parents=True)
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg") if url.get_backend_name() == "postgresql" else url)
    config = Config()
    config.set_main_option("script_location", str(Path(str(assistant.__file__)).parent / "migrations"))
    understood = (
        '{"language": "en", "intents": [{"name": "refund", "confidence": 0.9}], "out_of_scope": 0.0, "slots": {},'
        ' "sentiment": {"label": "negative", "confidence": 0.75, "score": -0.7}, "versions": {"sentiment": "s1"}}'
    )
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
        moment = "'2025-03-01 12:00:00.000000'"
        for statement in (
            f"INSERT INTO conversations (id, created_at, state) VALUES ('c1', {moment}, 'bot')",
            "INSERT INTO messages (id, conversation_id, position, role, text, at, slots, understanding)"
            f" VALUES ('m1', 'c1', 0, 'customer', 'where is it', {moment}, '{{}}', '{understood}')",
            "INSERT INTO sources (id, name, kind, sha256, format, counts, ingested_at)"
            f" VALUES ('s1', 'a', 'logs', '00', 'jsonl', '{{}}', {moment})",
            f"INSERT INTO transcripts (source_id, id, position, started_at, \"where\") VALUES ('s1', '17', 0, {moment}, 'a:1')",
            "INSERT INTO transcript_turns (source_id, transcript_id, position, role, text)"
            " VALUES ('s1', '17', 0, 'customer', 'hm')",
        ):
            connection.exec_driver_sql(statement)
    engine.dispose()
    with open_store(store_url) as store:
        (event,) = store.monitor.stream()
        assert (event.id, event.topic, event.version, event.negative) == ("m1", "refund", "s1", 0.75)
        (turn,) = store.monitor.unread_turns("s1", 9)
        assert (turn.id, turn.text, turn.at) == ("transcript:s1/17#0000", "hm", event.at)
        assert store.monitor.alerts() == [] and store.monitor.outbox() == []
    database = open_database(store_url)
    with database.reading() as connection:
        options = {"version_table": schema.REVISION_TABLE, "compare_type": True}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata) == []
    database.close()


def test_reopened_store_is_the_same(store_url: str) -> None:
    for _ in range(3):
        with open_store(store_url) as store:
            assert store.sources() == []


def test_current_store_opens_without_alembic(store_url: str) -> None:
    open_store(store_url).close()
    script = (
        "import sys; from assistant.store import open_store; open_store(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script, store_url], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout.strip() == "False"


def test_many_open_a_new_store_at_once(store_url: str) -> None:
    faults: list[BaseException] = []
    start = threading.Barrier(4)

    def work() -> None:
        try:
            start.wait(30)
            with open_store(store_url) as store:
                assert store.sources() == []
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []


def test_foreign_database_is_refused_and_left_alone(store_url: str) -> None:
    url = sa.make_url(store_url)
    if url.get_backend_name() == "sqlite":
        Path(str(url.database)).parent.mkdir(parents=True)
    engine = sa.create_engine(url.set(drivername="postgresql+psycopg") if url.get_backend_name() == "postgresql" else url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE alembic_version (version_num TEXT)"))
        connection.execute(sa.text("CREATE TABLE wp_posts (id INTEGER)"))
    before = Path(str(url.database)).read_bytes() if url.get_backend_name() == "sqlite" else None
    with pytest.raises(StoreError, match=r"tables of something else \(alembic_version, wp_posts\).*new database"):
        open_store(store_url)
    with engine.connect() as connection:
        assert sorted(sa.inspect(connection).get_table_names()) == ["alembic_version", "wp_posts"]
    engine.dispose()
    if before is not None:
        assert Path(str(url.database)).read_bytes() == before


def test_newer_store_is_refused_with_the_mend(store_url: str) -> None:
    database = open_database(store_url)
    with database.writing() as connection:
        connection.execute(sa.text(f"UPDATE {schema.REVISION_TABLE} SET version_num = '9999'"))
    database.close()
    with pytest.raises(StoreError, match=r"revision 9999.*install the newer Deskhand"):
        open_store(store_url)


@pytest.mark.parametrize("url", ["", "deskhand.db", "sqlite://", "sqlite:///:memory:", "mysql://u:secret@h/d", "oracle+nope://x"])
def test_url_that_cannot_work_says_what_to_write(url: str) -> None:
    with pytest.raises(StoreError, match=r"sqlite:////path") as refused:
        open_store(url)
    assert "secret" not in str(refused.value)


def test_server_that_does_not_answer_is_named_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match=r"127.0.0.1:1/") as refused:
        open_store("postgresql+psycopg://u:secret@127.0.0.1:1/d")
    assert "secret" not in str(refused.value)


def test_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("dear diary, " * 1000)
    with pytest.raises(StoreError, match=r"something else"):
        open_store(sqlite_url(tmp_path / "notes.txt"))
    with pytest.raises(StoreError, match=r"cannot make the folder"):
        open_store(sqlite_url(tmp_path / "notes.txt" / "deskhand.db"))
    with pytest.raises(StoreError, match=r"unable to open"):
        open_store(sqlite_url(tmp_path))


def test_odd_paths_work(tmp_path: Path) -> None:
    path = tmp_path / "50% off? #1 'ü'" / "a b.db"
    open_store(sqlite_url(path)).close()
    assert path.stat().st_size > 0


def test_sqlite_runs_as_promised(tmp_path: Path) -> None:
    database = open_database(sqlite_url(tmp_path / "d.db"))
    with database.writing() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}
    with pytest.raises(StoreError, match=r"readonly"), database.reading() as connection:
        connection.exec_driver_sql("DELETE FROM messages")
    database.close()


def test_forgotten_text_is_not_left_in_the_file(tmp_path: Path) -> None:
    from datetime import UTC, datetime

    path = tmp_path / "d.db"
    with open_store(sqlite_url(path)) as store:
        store.start_conversation("c1", datetime(2025, 1, 1, tzinfo=UTC), contact="unmistakable-contact")
    assert b"unmistakable-contact" in path.read_bytes()
    with open_store(sqlite_url(path)) as store:
        store.forget_contact("unmistakable-contact")
    assert b"unmistakable-contact" not in path.read_bytes()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
