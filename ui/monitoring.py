"""The monitor wired: store, detector, explanation, receivers; one look after another for servers and schedulers.

Builds what ``assistant/monitor`` is made of from settings and an open store. Of several processes on one store, the one that
holds the lease watches, and one reads past conversations, which may be another one, since a scheduler has no model. Delivering
needs no lease, since every notice is claimed by itself. What commands print is in ``monitor_alerts.py`` and
``monitor_reports.py``.
"""

from __future__ import annotations

import logging
import random
import secrets
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from assistant.errors import StoreError
from assistant.monitor.events import Alert
from assistant.monitor.explain import explain
from assistant.monitor.ledger import Notice
from assistant.monitor.limits import Limits
from assistant.monitor.outbox import Delivered, Patience, deliver
from assistant.monitor.telling import notices
from assistant.monitor.watching import Caught, Monitor, Rules
from ui.reading_past import read_past
from ui.watch import Watch

if TYPE_CHECKING:
    from assistant.monitor.outbox import Sender
    from assistant.settings import Settings
    from assistant.store import Store
    from assistant.understand import Understander
    from ui.wiring import Wired

LOG = logging.getLogger("deskhand")
LEASE, READING = "monitor", "monitor: reading"
#: Says in the store that past conversations were read meanwhile, so that everything has to be judged anew.
_ANEW = "monitor: anew"
#: Whoever watches keeps the lease so many looks long; a killed one is stood in for after that.
_LEASE_LOOKS = 3
_LEAST_LEASE_S = 30.0
_LEAST_WAIT_S = 1.0
#: Alerts that opened longer ago are kept and shown, but people are called only if they go on: old logs have many.
OLD_NEWS = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Look:
    """What one look brought: ``caught`` is ``None`` where another process watches, ``read`` counts past messages read."""

    caught: Caught | None
    delivered: Delivered
    read: int = 0


class Watcher:
    """Watches one store for one process."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        senders: Mapping[str, Sender],
        *,
        thresholds: Mapping[str, float] | Callable[[], Mapping[str, float]],
        holder: str = "",
    ) -> None:
        """Wire the parts.

        Args:
            settings: Sections ``monitor``, ``notify`` and ``schedule`` count.
            store: The open store.
            senders: By receiver's name.
            thresholds: Of the serving sentiment adapter, such as ``negative_en``, or what finds them before each look, for
                another version may serve by then; see ``rules``.
            holder: Who holds the lease; unique to the process, drawn where not given.
        """
        self._settings = settings
        self._store = store
        self._senders = senders
        self._holder = holder or f"{socket.gethostname()}-{secrets.token_hex(4)}"
        self._chance = random.Random(self._holder)
        self._patience = Patience(give_up_hours=settings.notify.give_up_hours)
        self._looked: datetime | None = None
        self._watches = False
        #: After how many seconds whoever keeps time shall call ``turn`` again.
        self.wait_s = settings.monitor.check_s
        self._thresholds = thresholds
        self.rules = self._settled()
        self.monitor = self._made()

    def look(
        self,
        now: Callable[[], datetime],
        understander: Understander | None = None,
        *,
        progress: Callable[[int], None] | None = None,
        stop: Callable[[], bool] = lambda: False,
    ) -> Look:
        """Read what is new, raise and resolve alerts, and deliver what is due.

        Args:
            now: The clock, timezone-aware.
            understander: Reads past conversations that were ingested, whoever watches; without one they wait for a process that
                has one.
            progress: Called with the number of past messages of each finished batch.
            stop: Asked between two batches; a stopped look judges nothing.

        Returns:
            What it brought.

        Raises:
            StoreError: The database fails.
        """
        if (found := self._settled()) != self.rules:
            self.rules = found
            self.monitor = self._made()
        caught, read = None, 0
        if understander is not None:
            read = self._read(now, understander, progress, stop)
            if stop():
                return Look(None, Delivered(), read)
        watched, self._watches = self._watches, not self._others_read(now()) and self._mine(now())
        if self._watches:
            if not watched:
                self.monitor.reload()
            anew = self._store.monitor.load_state(_ANEW)
            if anew is not None and anew.value:
                self.monitor.forget()
                self._store.monitor.save_state(_ANEW, False, now())
            caught = self.monitor.catch_up(now())
            for alert in caught.raised:
                LOG.warning("alert %s: %s/%s", alert.id, alert.topic, alert.locale)
        return Look(caught, self._deliver(now), read)

    def turn(
        self, now: Callable[[], datetime], understander: Understander | None = None, *, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Do what whoever keeps time calls for: look where a look is due, else only deliver what is due, and set ``wait_s``.

        A notice that was refused is so tried again after seconds, and not only at the next look.

        Args:
            now: The clock, timezone-aware.
            understander: As for ``look``.
            stop: As for ``look``.

        Raises:
            StoreError: The database fails; the next look is due as if this one had worked.
        """
        every = self.wait_s = self._settings.monitor.check_s
        at = now()
        if self._looked is None or not timedelta(0) <= at - self._looked < timedelta(seconds=every):
            self._looked = at
            delivered = self.look(now, understander, stop=stop).delivered
        else:
            delivered = self._deliver(now)
        at = now()
        wait = every - (at - self._looked).total_seconds()
        if delivered.failed and (due := self._store.monitor.next_due(list(self._senders))) is not None:
            wait = min(wait, max((due - at).total_seconds(), self._patience.first_s))
        self.wait_s = min(max(wait, _LEAST_WAIT_S), every)

    def _settled(self) -> Rules:
        return rules(self._settings, self._thresholds() if callable(self._thresholds) else self._thresholds)

    def _made(self) -> Monitor:
        ledger = self._store.monitor
        return Monitor(ledger, self.rules, partial(explain, ledger, self.rules), self._tell, OLD_NEWS)

    def _read(
        self,
        now: Callable[[], datetime],
        understander: Understander,
        progress: Callable[[int], None] | None,
        stop: Callable[[], bool],
    ) -> int:
        """Read past conversations unless another process does; whoever watches, which may be another one, begins anew then."""
        ledger, read = self._store.monitor, 0
        if not self._mine(now(), READING):
            return 0

        def done(count: int) -> None:
            nonlocal read
            if not read:  # who reads may be killed before the end
                ledger.save_state(_ANEW, True, now())
            read += count
            self._mine(now(), READING)  # reading takes minutes where much was ingested
            if self._watches:
                self._mine(now())
            if progress:
                progress(count)

        try:
            put_away = read_past(ledger, understander, progress=done, stop=stop)
            if put_away:
                ledger.save_state(_ANEW, True, now())
        finally:
            self._store.learning.release_lease(READING, self._holder)
        return put_away

    def _others_read(self, at: datetime) -> bool:
        """Say whether another process is reading past conversations: what is half read would raise alerts of its own."""
        lease = self._store.learning.lease(READING)
        return lease is not None and lease.holder != self._holder and lease.until > at

    def _deliver(self, now: Callable[[], datetime]) -> Delivered:
        return deliver(self._store.monitor, self._senders, now, self._holder, self._chance, self._patience)

    def close(self) -> None:
        """Give the lease back."""
        self._watches = False
        self._store.learning.release_lease(LEASE, self._holder)

    def _mine(self, at: datetime, lease: str = LEASE) -> bool:
        """Take or renew a lease, and say whether it is held now."""
        return self._store.learning.take_lease(lease, self._holder, at, lease_seconds(self._settings))

    def _tell(self, alert: Alert, what: str, now: datetime) -> Sequence[Notice]:
        return notices(alert, what, now, tuple(self._senders), ZoneInfo(self._settings.schedule.timezone))


def lease_seconds(settings: Settings) -> float:
    """Return how long whoever watches keeps the lease after a look."""
    return max(_LEASE_LOOKS * settings.monitor.check_s, _LEAST_LEASE_S)


def rules(settings: Settings, thresholds: Mapping[str, float]) -> Rules:
    """Settle how messages are judged: by the settings, else as the adapter's manifest says for a locale, else from 0.5 on.

    Args:
        settings: Section ``monitor`` counts.
        thresholds: The sentiment adapter's; ``negative_LOCALE`` is used.

    Returns:
        The rules.
    """
    own = settings.monitor
    trained = {name.removeprefix("negative_"): value for name, value in thresholds.items() if name.startswith("negative_")}
    limits = Limits(
        false_alerts=own.false_alerts,
        per_days=own.per_days,
        minimum=max(2, own.minimum),
        half_life_days=own.half_life_days,
        quiet_days=own.quiet_days,
        timezone=settings.schedule.timezone,
    )
    return Rules(limits, {**trained, **own.negative_above})


def trained_thresholds(place: Path) -> dict[str, float]:
    """Return the thresholds that a home's sentiment champion was trained to, without loading it; empty without one.

    Args:
        place: The home folder.

    Returns:
        Name -> probability, as in the version's manifest.
    """
    from ui.wiring import open_registry

    registry = open_registry(place)
    champion = registry.champion("sentiment")
    return next((one.thresholds for one in registry.versions("sentiment") if one.version == champion), {})


def make_senders(settings: Settings) -> dict[str, Sender]:
    """Make a sender for every receiver of the settings.

    Args:
        settings: Section ``notify`` counts.

    Returns:
        The senders by name.

    Raises:
        SettingsError: A receiver cannot be used; the message names it.
    """
    from assistant.monitor.webhook import webhook_sender

    own = settings.notify
    made = {one.name: webhook_sender(one.name, one.url, one.secret, allow_private=own.allow_private) for one in own.webhooks}
    if own.apprise:
        from assistant.monitor.notices import apprise_sender

        made |= {one.name: apprise_sender(one.name, one.url, allow_private=own.allow_private) for one in own.apprise}
    return made


class Background:
    """A thread of a serving process that looks every ``monitor.check_s`` seconds; it never ends because of a fault."""

    def __init__(self, wired: Wired, now: Callable[[], datetime], wake: threading.Event | None = None) -> None:
        """Keep what to do; nothing runs before ``start``.

        Args:
            wired: The assistant with its store and settings.
            now: The clock, timezone-aware.
            wake: What passes the time between two looks, as for ``Watch``; the system's clock by default.

        Raises:
            SettingsError: A receiver cannot be used.
        """
        self._wired = wired
        self._now = now
        self._senders = make_senders(wired.settings)
        self._watcher = Watcher(
            wired.settings, wired.store, self._senders, thresholds=lambda: wired.serving().understander.mood_thresholds
        )
        self._watch = Watch(self._look, every_s=self._wait_s, at_once=True, wake=wake, fault="the monitor could not look")

    def start(self) -> None:
        """Begin to look, unless that has begun already, or the settings say not to."""
        if self._wired.settings.monitor.enabled:
            self._watch.start()

    def stop(self) -> None:
        """End, and wait until a look under way is done."""
        self._watch.stop()
        with suppress(StoreError):  # a lease that cannot be given back runs out
            self._watcher.close()

    def _look(self) -> None:
        self._watcher.turn(self._now, self._wired.serving().understander, stop=self._watch.stopping)

    def _wait_s(self) -> float:
        return self._watcher.wait_s
