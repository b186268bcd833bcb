"""Since when the customers of open alerts are quiet, kept for some seconds, so that many who ask cost as much as one.

Knows the ledger and the clock; knows no page and no request. Before: ``assistant/monitor/quiet.py``. After: ``console.py`` and
``alerts_api.py``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from assistant.monitor.ledger import Ledger
from assistant.monitor.quiet import quiet_since
from assistant.monitor.watching import Rules

#: What was read is kept this long, and at least so many times as long as it took: reading never takes more than a twentieth.
_KEPT, _KEPT_TIMES = timedelta(seconds=10), 20


def kept_until(started: datetime, done: datetime) -> datetime:
    """Tell how long what was read for a page is good enough.

    Args:
        started: When reading began.
        done: When it was done.

    Returns:
        The moment from which on it is read again.
    """
    return done + max(_KEPT, _KEPT_TIMES * (done - started))


@dataclass(frozen=True, slots=True)
class _Found:
    """What was read, of which alerts and by which rules, and until when it is good enough."""

    of: tuple[object, ...]
    quiet: Mapping[str, datetime]
    until: datetime


class Quiet:
    """Tells it of all open alerts at once; safe to share between threads."""

    def __init__(self, ledger: Ledger, now: Callable[[], datetime]) -> None:
        """Keep what to read from.

        Args:
            ledger: The store's side.
            now: The clock, timezone-aware.
        """
        self._ledger = ledger
        self._now = now
        self._found: _Found | None = None
        self._lock = threading.Lock()

    def since(self, judged: Rules) -> Mapping[str, datetime]:
        """Tell since when the customers of open alerts are quiet.

        Args:
            judged: Which messages count as negative.

        Returns:
            Alert's id -> when the last unhappy message came; without those that are not quiet.

        Raises:
            StoreError: If the store cannot be read.
        """
        with self._lock:  # who waits for the same reading gets it from the one who reads
            started = self._now()
            alerts = [*self._ledger.alerts(state="open"), *self._ledger.alerts(state="acknowledged")]
            of = (judged.mark(), *sorted((one.id, one.also) for one in alerts))
            known = self._found
            if known is None or known.of != of or started >= known.until:
                quiet = quiet_since(self._ledger, alerts, judged.negative, started)
                known = self._found = _Found(of, quiet, kept_until(started, self._now()))
            return known.quiet
