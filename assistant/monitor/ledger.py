"""The monitor's side of a store: the stream of events, readings of past turns, alerts, the outbox, detector snapshots.

One door to what stands in several files: events in ``event_rows.py``, readings in ``readings.py``, texts to show in
``showing.py``, alerts in ``alert_rows.py``, the outbox in ``outbox_rows.py``. Knows no detector and no receiver.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa

from assistant import schema
from assistant.database import Database
from assistant.monitor import alert_rows, answers, event_rows, outbox_rows, readings, showing
from assistant.monitor.answers import Replied as Replied
from assistant.monitor.event_rows import Place as Place
from assistant.monitor.event_rows import Stream as Stream
from assistant.monitor.events import Alert, AlertState, Event
from assistant.monitor.outbox_rows import Notice as Notice
from assistant.monitor.outbox_rows import OutboxRow as OutboxRow
from assistant.monitor.outbox_rows import OutboxState as OutboxState
from assistant.monitor.readings import Reading as Reading
from assistant.monitor.readings import UnreadTurn as UnreadTurn
from assistant.monitor.report_records import Answered as Answered
from assistant.monitor.showing import Said as Said


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was saved under a name, and when; ``value`` is as JSON gives it back."""

    name: str
    value: Any
    at: datetime


class Ledger:
    """What the monitor reads and keeps; safe to share between threads."""

    def __init__(self, database: Database) -> None:
        """Use an open database."""
        self._database = database

    # What customers wrote

    def stream(
        self, after: Place | None = None, until: datetime | None = None, only: Collection[Stream] | None = None
    ) -> Iterator[Event]:
        """Read what customers wrote, live and past, in order of (at, id); see ``event_rows.stream``."""
        return event_rows.stream(self._database, after, until, only=only)

    def events(self, after: Place | None, until: datetime | None, limit: int) -> list[Event]:
        """Read the next events behind a place and before a time, at most ``limit``; see ``event_rows.stream``."""
        return list(islice(event_rows.stream(self._database, after, until, page=max(1, min(limit, 5_000))), max(limit, 0)))

    def count(self, upto: Place) -> int:
        """Count the events up to a place, to find whether some came late; see ``event_rows.count``."""
        return event_rows.count(self._database, upto)

    def unread_turns(self, version: str, limit: int, after: str | None = None) -> list[UnreadTurn]:
        """List past turns that a sentiment adapter's version has not read; see ``readings.unread_turns``."""
        return readings.unread_turns(self._database, version, limit, after)

    def count_unread(self, version: str) -> int:
        """Count the past turns that a sentiment adapter's version has not read; see ``readings.count_unread``."""
        return readings.count_unread(self._database, version)

    def add_readings(self, read: Iterable[Reading]) -> int:
        """Put away what the adapters made of past turns, and say of how many; see ``readings.add_readings``."""
        return readings.add_readings(self._database, read)

    def texts(self, ids: Iterable[str]) -> dict[str, str]:
        """Fetch the texts of events, without those that are gone; see ``showing.texts``."""
        return showing.texts(self._database, ids)

    def conversation(self, ref: str) -> list[Said]:
        """Tell how a conversation went; see ``showing.conversation``."""
        return showing.conversation(self._database, ref)

    def replies(self, ids: Iterable[str]) -> list[Replied]:
        """Find the replies to live messages, with the articles they stood on; see ``answers.replies``."""
        return answers.replies(self._database, ids)

    def answered(self, since: datetime, until: datetime) -> Iterator[Answered]:
        """Read what became of the messages of a period; see ``answers.answered``."""
        return answers.answered(self._database, since, until)

    # Alerts

    def raise_alert(self, alert: Alert, notices: Iterable[Notice] = ()) -> bool:
        """Store an alert and its notices, and say whether it is new; see ``alert_rows.raise_alert``."""
        return alert_rows.raise_alert(self._database, alert, notices)

    def alerts(
        self,
        state: AlertState | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        topic: str | None = None,
    ) -> list[Alert]:
        """List alerts, newest first; see ``alert_rows.list_alerts``."""
        return alert_rows.list_alerts(self._database, state, since, until, topic)

    def alert(self, id: str) -> Alert | None:
        """Find an alert; see ``alert_rows.find_alert``."""
        return alert_rows.find_alert(self._database, id)

    def acknowledge(self, id: str, by: str, at: datetime, notices: Iterable[Notice] = ()) -> bool:
        """Note that a person took an alert, and say whether it was open; see ``alert_rows.acknowledge``."""
        return alert_rows.acknowledge(self._database, id, by, at, notices)

    def resolve(self, id: str, by: str, at: datetime, notices: Iterable[Notice] = ()) -> bool:
        """Note that an alert is over, and say whether that is new; see ``alert_rows.resolve``."""
        return alert_rows.resolve(self._database, id, by, at, notices)

    def attach(self, id: str, also: Iterable[str], notices: Iterable[Notice] = ()) -> bool:
        """Note further streams of an alert's cause, and say whether any is new; see ``alert_rows.attach``."""
        return alert_rows.attach(self._database, id, also, notices)

    def announce(self, id: str, notices: Iterable[Notice]) -> bool:
        """Tell of an alert that was raised without telling, and say whether it stands; see ``alert_rows.announce``."""
        return alert_rows.announce(self._database, id, notices)

    def renew(self, id: str, details: Mapping[str, Any]) -> bool:
        """Put another explanation in the place of an alert's, and say whether it was; see ``alert_rows.renew``."""
        return alert_rows.renew(self._database, id, details)

    # The outbox

    def claim(self, targets: Collection[str], now: datetime, holder: str, seconds: float, limit: int = 1) -> list[OutboxRow]:
        """Take notices that are due, so that nobody else sends them; see ``outbox_rows.claim``."""
        return outbox_rows.claim(self._database, targets, now, holder, seconds, limit)

    def mark_sent(self, id: str, at: datetime) -> bool:
        """Note that a notice arrived; see ``outbox_rows.mark_sent``."""
        return outbox_rows.mark_sent(self._database, id, at)

    def postpone(self, id: str, holder: str, next_at: datetime, error: str) -> bool:
        """Note that a try failed and when the next is due; see ``outbox_rows.postpone``."""
        return outbox_rows.postpone(self._database, id, holder, next_at, error)

    def give_up(self, id: str, holder: str, at: datetime, error: str) -> bool:
        """Note that a notice will not be tried again; see ``outbox_rows.give_up``."""
        return outbox_rows.give_up(self._database, id, holder, at, error)

    def give_up_strangers(self, targets: Collection[str], before: datetime, at: datetime) -> int:
        """Give up old notices to receivers that are in the settings no more; see ``outbox_rows.give_up_strangers``."""
        return outbox_rows.give_up_strangers(self._database, targets, before, at)

    def revive(self, id: str, at: datetime) -> None:
        """Try a notice again that was given up; see ``outbox_rows.revive``."""
        outbox_rows.revive(self._database, id, at)

    def outbox(self, state: OutboxState | None = None, limit: int = 100) -> list[OutboxRow]:
        """List what is in the outbox, newest first; see ``outbox_rows.list_rows``."""
        return outbox_rows.list_rows(self._database, state, limit)

    def next_due(self, targets: Collection[str]) -> datetime | None:
        """Tell when the next try is due; see ``outbox_rows.next_due``."""
        return outbox_rows.next_due(self._database, targets)

    # Snapshots

    def save_state(self, name: str, value: Any, at: datetime) -> None:
        """Save something under a name, in place of what was there.

        Args:
            name: Whose it is, such as ``detectors``.
            value: Anything JSON can say; no customer's text.
            at: When, timezone-aware.

        Raises:
            StoreError: The time has no zone, or the database fails.
        """
        with self._database.writing() as connection:
            insert = schema.insert_into(connection, schema.monitor_state).values(name=name, value=value, at=at)
            connection.execute(insert.on_conflict_do_update(index_elements=["name"], set_={"value": value, "at": at}))

    def load_state(self, name: str) -> Snapshot | None:
        """Load what was saved under a name.

        Args:
            name: Whose it is.

        Returns:
            The snapshot, or ``None`` when there is none.
        """
        table = schema.monitor_state
        with self._database.reading() as connection:
            row = connection.execute(sa.select(table).where(table.c.name == name)).mappings().first()
        return None if row is None else Snapshot(**row)
