"""Opens a database, brings its tables up to date, and hands out connections to read and to write.

SQLite runs in WAL mode with one writing connection behind a lock and a pool of read-only ones, so that a reader never
waits for a writer; PostgreSQL uses one pool. Knows nothing of what is stored: ``schema.py`` describes it, ``store.py``
and ``sources.py`` use it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from assistant.errors import StoreError
from assistant.schema import REVISION, REVISION_TABLE

#: How long a SQLite connection waits for another process that writes.
BUSY_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10
#: Key of PostgreSQL's advisory lock under which tables are made; any number that is ours.
_MIGRATION_LOCK = 0x6465736B68616E64
_MIGRATIONS = Path(__file__).resolve().parent / "migrations"


def sqlite_url(path: Path) -> str:
    """Return the URL of a SQLite file.

    Args:
        path: Where the file is or shall be; any characters.

    Returns:
        A URL for ``open_store``.
    """
    return URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)


class Database:
    """One open database: ``reading()`` and ``writing()`` each give a connection inside a transaction."""

    def __init__(self, reader: Engine, writer: Engine, name: str, *, one_writer: bool) -> None:
        """Keep the engines; ``name`` is what messages call the database, without its password."""
        self.name = name
        self._reader = reader
        self._writer = writer
        self._lock = threading.Lock() if one_writer else None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a connection that sees one state of the database, whatever is written meanwhile.

        Yields:
            A connection in a transaction that is rolled back at the end.

        Raises:
            StoreError: The database cannot be reached or read.
        """
        with self._explained("read"), self._reader.connect() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give the connection to write with; all of it is kept at the end, or nothing when an error passes through.

        Yields:
            A connection in a transaction.

        Raises:
            StoreError: The database cannot be reached, or refuses what is written.
        """
        with self._explained("write"):
            if self._lock is None:
                with self._writer.begin() as connection:
                    yield connection
            else:
                with self._lock, self._writer.begin() as connection:
                    yield connection

    def close(self) -> None:
        """Close every connection that is not in use."""
        self._reader.dispose()
        self._writer.dispose()

    @contextmanager
    def _explained(self, verb: str) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise StoreError(_explain(error, verb, self.name)) from error


def open_database(address: str) -> Database:
    """Open a database and bring its tables to the newest revision, making file and folder where they are missing.

    Args:
        address: A SQLAlchemy URL, ``sqlite:///…`` or ``postgresql+psycopg://…``.

    Returns:
        The open database.

    Raises:
        StoreError: The URL is of another kind, nothing answers there, or what is there is not Deskhand's or is newer.
    """
    url = _parsed(address)
    name = url.render_as_string(hide_password=True)
    database = _sqlite(url, name) if url.get_backend_name() == "sqlite" else _postgresql(url, name)
    try:
        with database.reading() as connection:
            current = _revision(connection) == REVISION
        if not current:
            with database.writing() as connection:
                _migrate(connection, name)
        if url.get_backend_name() == "sqlite":
            _use_wal(Path(str(url.database)), name)
    except BaseException:
        database.close()
        raise
    return database


def _parsed(address: str) -> URL:
    try:
        url = make_url(address)
    except ArgumentError as error:
        raise StoreError("store.url is not a URL: write sqlite:////path/deskhand.db or postgresql+psycopg://…") from error
    if url.drivername == "sqlite" and url.database not in (None, "", ":memory:"):
        return url
    if url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        return url.set(drivername="postgresql+psycopg")
    shown = url.render_as_string(hide_password=True)
    raise StoreError(f"store.url {shown!r} cannot be used: write sqlite:////path/deskhand.db or postgresql+psycopg://…")


def _sqlite(url: URL, name: str) -> Database:
    folder = Path(str(url.database)).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot make the folder {folder}: {error.strerror}; choose another in store.url") from error

    def engine(begin: str, pragmas: tuple[str, ...], **pool: int) -> Engine:
        made = sa.create_engine(
            url,
            poolclass=QueuePool,
            connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S},
            json_serializer=_json,
            json_deserializer=orjson.loads,
            **pool,
        )

        @sa.event.listens_for(made, "connect")
        def connected(connection: Any, _record: object) -> None:
            connection.isolation_level = None  # the driver must not begin transactions by itself
            for pragma in pragmas:
                connection.execute(f"PRAGMA {pragma}")

        @sa.event.listens_for(made, "begin")
        def begun(connection: Connection) -> None:
            connection.exec_driver_sql(begin)

        return made

    # In WAL mode NORMAL never tears the file; a power cut may lose the last moments, a killed process nothing.
    # secure_delete: what `deskhand forget` takes out is overwritten, not left lying in free pages.
    writing = ("synchronous=NORMAL", "foreign_keys=ON", "secure_delete=ON")
    reader = engine("BEGIN", ("query_only=ON",), pool_size=8, max_overflow=24)
    return Database(reader, engine("BEGIN IMMEDIATE", writing, pool_size=1, max_overflow=0), name, one_writer=True)


def _postgresql(url: URL, name: str) -> Database:
    try:
        engine = sa.create_engine(
            url,
            pool_size=8,
            max_overflow=24,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_TIMEOUT_S} if "connect_timeout" not in url.query else {},
            json_serializer=_json,
            json_deserializer=orjson.loads,
        )
    except ModuleNotFoundError as error:
        raise StoreError("store.url asks for PostgreSQL, whose driver is missing: pip install 'deskhand[postgres]'") from error
    except NoSuchModuleError as error:
        raise StoreError(f"store.url {name!r} cannot be used: write postgresql+psycopg://…") from error
    snapshot = engine.execution_options(isolation_level="REPEATABLE READ")
    return Database(snapshot, engine, name, one_writer=False)


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY, default=float).decode()


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(REVISION_TABLE):
        return None
    found = connection.execute(sa.text(f"SELECT version_num FROM {REVISION_TABLE}")).scalar()
    return None if found is None else str(found)


def _migrate(connection: Connection, name: str) -> None:
    """Bring the tables to the newest revision; two processes may try at once, and the second finds it done."""
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
    found = _revision(connection)
    if found == REVISION:
        return
    if found is None:
        foreign = sorted(set(sa.inspect(connection).get_table_names()) - {REVISION_TABLE})
        if foreign:
            shown = ", ".join(foreign[:5]) + (", …" if len(foreign) > 5 else "")
            raise StoreError(f"{name} holds tables of something else ({shown}): name an empty or new database in store.url")

    from alembic import command  # costs a third of a second, and most starts do without
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"{name} is at revision {found}, and this Deskhand knows none after {REVISION}: "
            "install the newer Deskhand that wrote it, or name another database in store.url"
        )
    command.upgrade(config, "head")


def _use_wal(path: Path, name: str) -> None:
    """Switch the file to WAL, for good; done last, so that a file that was refused is left as it was."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
        while connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                # SQLite does not wait here by itself while another process opens the same new file.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise StoreError(f"cannot switch {name} to WAL: {error}; put it on a local disk") from error
                time.sleep(0.01)


def _explain(error: SQLAlchemyError, verb: str, name: str) -> str:
    cause = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
    if isinstance(error, OperationalError) and "locked" in cause:
        mend = f"another process has been writing for {BUSY_TIMEOUT_S:.0f} s: try again when it is done"
    elif "not a database" in cause:
        mend = "that file is something else: name another in store.url"
    elif isinstance(error, OperationalError):
        mend = "check store.url, that the server runs, free space and permissions"
    else:
        mend = "nothing of it was kept"
    return f"cannot {verb} {name}: {cause} ({mend})"
