"""How values are made safe to store: column types that SQLite and PostgreSQL both keep unharmed, and the upsert of each.

Knows neither tables nor connections; ``schema.py`` describes the tables with these types.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect
from sqlalchemy.types import TypeDecorator

from assistant.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


def storable(value: str) -> str:
    """Return the text without what a database refuses.

    PostgreSQL refuses NUL and neither engine takes half of a surrogate pair. NUL is dropped, two halves that belong
    together are joined, and a lone half becomes U+FFFD.

    Args:
        value: Any text.

    Returns:
        The text, unchanged when nothing was wrong with it.
    """
    if "\x00" in value:
        value = value.replace("\x00", "")
    if value.isascii():
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def storable_json(value: Any) -> Any:
    """Return the value with every text in it made storable, keys included.

    Args:
        value: Mappings, sequences, texts, numbers, ``None``, nested at will.

    Returns:
        The same shape; tuples become lists.
    """
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(str(key)): storable_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [storable_json(item) for item in value]
    return value


class SafeText(TypeDecorator[str]):
    """Text that is made storable on its way in, also where it is compared with."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Clean one value."""
        return None if value is None else storable(value)


class SafeJSON(TypeDecorator[Any]):
    """JSON whose texts are made storable on their way in."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """Clean one value."""
        return storable_json(value)


class Moment(TypeDecorator[datetime]):
    """A point in time: timezone-aware in, UTC out, on engines with and without time zones."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn one value into UTC; refuse one that does not say its zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise StoreError(f"time {value.isoformat()} has no time zone: pass an aware datetime, e.g. with tzinfo=UTC")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give one value back in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def insert_into(connection: Connection, table: sa.Table) -> postgresql.Insert | sqlite.Insert:
    """Begin an insert that can say what happens to a row that is there already, ``on_conflict_…``.

    Args:
        connection: Where it will run.
        table: Where the rows go.

    Returns:
        The insert in the engine's own dialect; both understand the same.
    """
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # each costs a few hundredths of a second, and one will do

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)
