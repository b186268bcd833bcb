"""Since when the customers of an open alert have been quiet: when the last unhappy one of its streams wrote.

Reads the store once for all alerts and keeps nothing; how long a stream must be quiet until its alert ends is the detector's
(``recovery.py``). Before it: the ledger. After it: the console, REST and the list of alerts.
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
        ledger: The store's side; the streams of all the alerts are read in one pass.
        alerts: Any alerts; resolved ones are left out.
        negative: Whether a message counts as negative.
        now: The time, timezone-aware.

    Returns:
        Alert's id -> when the last unhappy message came.
    """
    waiting = [one for one in alerts if one.state != "resolved" and now - one.signal.at >= LEAST]
    if not waiting:
        return {}
    heard = {Stream(*stream): alert.signal.at for alert in waiting for stream in alert.streams}
    for event in ledger.stream(Place(min(one.signal.at for one in waiting), ""), now, heard.keys()):
        if negative(event):
            heard[Stream(event.topic, event.locale)] = event.at
    last = {one.id: max(one.signal.at, *(heard[Stream(*stream)] for stream in one.streams)) for one in waiting}
    return {id: at for id, at in last.items() if now - at >= LEAST}
