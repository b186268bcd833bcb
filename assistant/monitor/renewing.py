"""Open alerts are explained anew as they grow: five messages hardly have a word in common, forty do.

Counts what comes into the streams of open alerts and explains an alert again each time its unhappy messages have doubled. Goes by
the messages' own times, so a monitor that reads a week at once leaves the same explanation as one that watched it. Nobody is told
of it; notices, console and report read what the alert holds by then. Before: ``watching.py``. Knows no detector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from assistant.monitor.events import Alert, Event, Signal
from assistant.monitor.ledger import Ledger, Place, Stream

_GROWTH = 2


@dataclass(slots=True)
class _Open:
    """An alert with the unhappy messages counted since its beginning, and how many its explanation stands on."""

    alert: Alert
    count: int
    explained: int


class Renewal:
    """The explanations of open alerts; follows the stream with its monitor."""

    def __init__(self, ledger: Ledger, negative: Callable[[Event], bool], explain: Callable[[Signal], dict[str, Any]]) -> None:
        """Follow nothing yet.

        Args:
            ledger: The store's side.
            negative: Whether a message counts as unhappy.
            explain: What an alert is about as of its signal's time; ``of`` in it says on how many messages it stands.
        """
        self._ledger = ledger
        self._negative = negative
        self._explain = explain
        self._open: dict[tuple[str, str], _Open] = {}

    def begin(self, until: datetime) -> None:
        """Take up the alerts that the store has open, counting their messages before a time.

        Args:
            until: How far the monitor has read.
        """
        self._open = {}
        for alert in reversed(self._ledger.alerts()):  # of two on one stream the newer is followed
            if alert.opened_at <= until:
                self.follow(alert, until)

    def follow(self, alert: Alert, until: datetime) -> None:
        """Follow an alert that was just raised, or met again; one that is over is left alone.

        Args:
            alert: The alert.
            until: Its messages before this time are counted; those from then on come through ``observe``.
        """
        if alert.state == "resolved":
            return
        stream = Stream(alert.topic, alert.locale)
        before = self._ledger.stream(Place(alert.signal.since, ""), until, [stream])
        self._open[alert.topic, alert.locale] = _Open(alert, sum(map(self._negative, before)), _explained(alert))

    def drop(self, alert: Alert) -> None:
        """Follow an alert no longer; it is over."""
        one = self._open.get((alert.topic, alert.locale))
        if one is not None and one.alert.id == alert.id:
            del self._open[alert.topic, alert.locale]

    def observe(self, event: Event) -> None:
        """Count a message, and explain its stream's alert anew where its messages have doubled.

        Args:
            event: The next message in order of time.
        """
        one = self._open.get((event.topic, event.locale))
        if one is None or not self._negative(event):
            return
        one.count += 1
        if one.count >= _GROWTH * one.explained:
            details = self._explain(replace(one.alert.signal, at=event.at))
            self._ledger.renew(one.alert.id, details)
            one.explained = max(one.count, int(details["of"]))


def _explained(alert: Alert) -> int:
    """Return on how many messages an explanation stands; one made before this was kept does not say, and is renewed soon."""
    found = alert.details.get("of")
    return found if isinstance(found, int) else alert.signal.observed
