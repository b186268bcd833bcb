"""Since when the customers of an open alert have been quiet: when the last unhappy one of its streams wrote.

Reads the store and keeps nothing; how long a stream must be quiet until its alert ends is the detector's (``recovery.py``).
Before it: the ledger. After it: the console and the list of alerts.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from assistant.monitor.events import Alert
from assistant.monitor.ledger import Ledger, Place, Stream
from assistant.monitor.trend import Judge

#: Below this nobody is called quiet: customers sleep.
LEAST = timedelta(days=1)


def quiet_since(ledger: Ledger, alerts: Iterable[Alert], negative: Judge, now: datetime) -> dict[str, datetime]:
    """Find the open alerts whose streams have had no unhappy message for a day or longer.

    Args:
        ledger: The store's side.
        alerts: Any alerts; resolved ones are left out.
        negative: Whether a message counts as negative.
        now: The time, timezone-aware.

    Returns:
        Alert's id -> when the last unhappy message came.
    """
    found = {}
    for alert in alerts:
        if alert.state == "resolved":
            continue
        last = alert.signal.at
        for topic, locale in alert.streams:
            unhappy = (one.at for one in ledger.stream(Place(last, ""), now, Stream(topic, locale)) if negative(one))
            last = max(unhappy, default=last)
        if now - last >= LEAST:
            found[alert.id] = last
    return found
