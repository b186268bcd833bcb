"""The monitor at work: reads what is new in the store, lets the detector judge it, raises, joins and resolves alerts.

Everything it knows comes from the store, so it can be thrown away and rebuilt: the same messages give the same alerts, whether
they came in order, late, or all at once. It reads up to a moment a little before the clock (``grace_s``), remembers that
moment and how many messages stood before it, and when that number is no longer true (a late message, an erased customer) it
goes back to the last snapshot that still holds. Knows no receiver and no page; ``explain.py`` says what an alert is about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from assistant.errors import UsageError
from assistant.monitor.detect import Detector
from assistant.monitor.events import JOINED, Alert, Event, Signal
from assistant.monitor.ledger import Ledger, Notice, Place, Stream
from assistant.monitor.limits import Limits
from assistant.monitor.renewing import Renewal

FORMAT = 1
#: Snapshots in the store, newest first: where the monitor stands, and where it stood when the last days and weeks began. Those
#: have a row of their own, since they are many times as long and change at midnight only.
_SNAPSHOT, _OLDER = "monitor", "monitor: older"
_KEPT_DAYS, _KEPT_WEEKS = 3, 4
RECOVERY = "recovery"
_SAME_CAUSE = timedelta(days=3)
_SAME_START = timedelta(hours=12)
_CLOCK_SLACK = timedelta(minutes=5)  # a clock put back by less is waited for
_DAY = timedelta(days=1)
#: What turns "up to and with" a time into "before" one.
MOMENT = timedelta(microseconds=1)
_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)

#: Says what an alert is about: ids, words and figures, ready for JSON; no customer's sentences.
Explain = Callable[[Signal], dict[str, Any]]
#: Says what receivers are told of an alert: (alert, what happened, when by the clock) -> notices. What happened is ``opened``,
#: ``joined:TOPIC/LOCALE`` or ``resolved``.
Tell = Callable[[Alert, str, datetime], Sequence[Notice]]


@dataclass(frozen=True, slots=True)
class Rules:
    """How messages are judged.

    Attributes:
        limits: The detector's settings.
        above: Per locale, from which probability on a message counts as negative.
        otherwise: The same for locales that ``above`` does not name.
        grace_s: So many seconds a message may take from its time to the store.
    """

    limits: Limits = field(default_factory=Limits)
    above: Mapping[str, float] = field(default_factory=dict)
    otherwise: float = 0.5
    grace_s: float = 20.0

    def negative(self, event: Event) -> bool:
        """Say whether a message counts as negative in its locale."""
        return event.negative >= self.above.get(event.locale, self.otherwise)

    def mark(self) -> str:
        """Return what a snapshot must share with these rules to be gone on from."""
        text = json.dumps([FORMAT, asdict(self.limits), sorted(self.above.items()), self.otherwise])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Caught:
    """What one look at the store brought: messages read, alerts raised and resolved, and whether it had to go back."""

    events: int = 0
    raised: tuple[Alert, ...] = ()
    joined: tuple[Alert, ...] = ()
    resolved: tuple[Alert, ...] = ()
    rewound: bool = False


@dataclass(frozen=True, slots=True)
class _Stand:
    """A moment, how many messages stood before it, and the detector's state there."""

    until: datetime
    count: int
    state: dict[str, Any]


class Monitor:
    """One monitor on one store; of several on a store, a lease lets one work at a time."""

    def __init__(self, ledger: Ledger, rules: Rules, explain: Explain, tell: Tell, old: timedelta = timedelta.max) -> None:
        """Begin where the last one stopped, or at the beginning.

        Args:
            ledger: The store's side.
            rules: How messages are judged; others than those of the snapshot begin anew.
            explain: What an alert is about.
            tell: Who is told.
            old: Of an alert that opened longer ago, as a first look at old logs finds many, people are told only if it still
                goes on when all is read.
        """
        self._ledger = ledger
        self._rules = rules
        self._explain = explain
        self._tell = tell
        self._old = old
        self._detector = Detector(rules.limits)
        self._renewal = Renewal(ledger, rules.negative, explain)
        self._until, self._count = _BEGINNING, 0
        self._stands: list[_Stand] = []
        self._older: list[datetime] | None = None  # what stands in the store's second row, where that is known
        self._loaded = False
        self._anew = False  # whether what was read before is read again, and may be judged otherwise

    def catch_up(self, now: datetime) -> Caught:
        """Read what is new up to a little before now, and act on it.

        Args:
            now: The time, timezone-aware.

        Returns:
            What it brought. A clock that went back brings nothing until it has come to where it was, or goes back to a snapshot
            where it went back by more than five minutes.

        Raises:
            UsageError: ``now`` has no time zone.
            StoreError: The database fails; the next call goes on from the last snapshot.
        """
        if now.tzinfo is None:
            raise UsageError(f"now = {now} has no time zone; pass an aware datetime, e.g. with tzinfo=UTC")
        until = now.astimezone(UTC) - timedelta(seconds=self._rules.grace_s)
        if not self._loaded:
            self._load()
        ahead = self._until - until
        if timedelta(0) <= ahead < _CLOCK_SLACK:
            return Caught()
        rewound = ahead >= _CLOCK_SLACK or not self._holds(self._until, self._count)
        if rewound:
            self._go_back(until)
        try:
            found = self._read(until, now)
            if self._anew:
                found = replace(found, resolved=(*found.resolved, *self._drop_orphans(until, now)))
        except BaseException:
            self._loaded = False  # what was half read is read again
            raise
        if found.events or rewound:
            self._save(now)
        return replace(found, rewound=rewound)

    def state(self) -> dict[str, Any]:
        """Return where the monitor stands, ready for JSON; the same after a rebuild from the store."""
        return {"until": self._until.isoformat(), "count": self._count, "detector": self._detector.state()}

    def forget(self) -> None:
        """Drop every snapshot: the next look begins at the beginning. For readings that were made anew."""
        for name in (_SNAPSHOT, _OLDER):
            self._ledger.save_state(name, {"mark": "", "stands": []}, _BEGINNING)
        self._begin()

    def reload(self) -> None:
        """Go on at the next look from what the store holds: for a monitor that another one stood in for meanwhile."""
        self._loaded = False

    def rate(self, topic: str, locale: str) -> float:
        """Return how many negative conversations a stream has on an average day, as far as is known."""
        return self._detector.rate(topic, locale)

    def _read(self, until: datetime, now: datetime) -> Caught:
        count = 0
        raised: list[Alert] = []
        joined: list[Alert] = []
        resolved: list[Alert] = []
        untold: list[str] = []

        def act(signals: Sequence[Signal]) -> None:
            for signal in signals:
                if signal.kind == "recovered":
                    resolved.extend(self._resolve(signal, now))
                    continue
                alert, new = self._raise(signal, now)
                if now - alert.opened_at > self._old:
                    untold.append(alert.id)
                if (signal.topic, signal.locale) == alert.streams[0]:
                    self._renewal.follow(alert, signal.at + MOMENT)
                if new == "raised":
                    raised.append(alert)
                elif new == "joined":
                    joined.append(alert)

        by_hand = self._resolved_by_hand(until)
        waiting = next(by_hand, None)
        tomorrow = _midnight(self._until) + _DAY
        for event in self._ledger.stream(Place(self._until, ""), until):
            while waiting is not None and waiting.resolved_at is not None and waiting.resolved_at <= event.at:
                act(self._close(waiting, waiting.resolved_at))
                waiting = next(by_hand, None)
            if event.at >= tomorrow:
                midnight = _midnight(event.at)
                tomorrow = midnight + _DAY
                if self._count + count and _kept(midnight, until):
                    act(self._detector.advance(midnight))
                    self._stands = _thinned([_Stand(midnight, self._count + count, self._detector.state()), *self._stands])
            self._renewal.observe(event)
            act(self._detector.observe(event, self._rules.negative(event)))
            count += 1
        while waiting is not None and waiting.resolved_at is not None:
            act(self._close(waiting, waiting.resolved_at))
            waiting = next(by_hand, None)
        act(self._detector.advance(until))
        for alert in filter(None, map(self._ledger.alert, dict.fromkeys(untold))):
            if alert.state != "resolved" and self._goes_on(alert, now, until):
                self._ledger.announce(alert.id, self._tell(alert, "opened", now))
        self._until, self._count = until, self._count + count
        return Caught(count, tuple(raised), tuple(joined), tuple(resolved))

    # Alerts

    def _raise(self, signal: Signal, now: datetime) -> tuple[Alert, str]:
        near = [
            one
            for one in self._ledger.alerts(since=signal.at - _SAME_CAUSE, until=signal.at + timedelta(seconds=1))
            if one.resolved_at is None or one.resolved_at > signal.since
        ]
        stream = (signal.topic, signal.locale)
        for one in near:
            # Told already, before a rewind moved its beginning a little; or by another monitor.
            same_start = abs(one.signal.since - signal.since) <= _SAME_START
            if stream in one.streams[1:] or (stream == one.streams[0] and same_start):
                return one, "known"
        details = self._explain(signal)
        alert = Alert(alert_id(signal), signal.topic, signal.locale, signal, "open", signal.at, details=details)
        for one in near:
            if one.state != "resolved" and same_cause(one, alert):
                name = "/".join(stream)
                self._ledger.attach(one.id, [name], self._tell(one, f"{JOINED}{name}", now))
                return one, "joined"
        told = self._tell(alert, "opened", now) if now - alert.opened_at <= self._old else ()
        new = self._ledger.raise_alert(alert, told)
        return alert, "raised" if new else "known"

    def _goes_on(self, alert: Alert, now: datetime, until: datetime) -> bool:
        """Say whether an alert that opened long ago has unhappy customers now: logs that end long ago leave alerts open."""
        streams = [Stream(topic, locale) for topic, locale in alert.streams]
        return any(map(self._rules.negative, self._ledger.stream(Place(now - self._old, ""), until, streams)))

    def _resolve(self, signal: Signal, now: datetime) -> list[Alert]:
        """End the alerts that a stream belongs to, unless another stream of theirs is still high."""
        stream, alerts = (signal.topic, signal.locale), self._ledger.alerts(until=signal.at + timedelta(seconds=1))
        return self._end([one for one in alerts if stream in one.streams], signal.at, now)

    def _drop_orphans(self, until: datetime, now: datetime) -> list[Alert]:
        """End the alerts that were raised on what is not there any more, or is judged otherwise now; nothing else would."""
        self._anew = False
        return self._end(self._ledger.alerts(until=until), until, now)

    def _end(self, alerts: Sequence[Alert], at: datetime, now: datetime) -> list[Alert]:
        """End those of the alerts that no stream of theirs holds up."""
        high, ended = set(self._detector.open_streams()), []
        for one in alerts:
            if one.state == "resolved" or not high.isdisjoint(one.streams):
                continue
            over = one.ended(at, RECOVERY)
            if self._ledger.resolve(one.id, RECOVERY, at, self._tell(over, "resolved", now)):
                self._renewal.drop(one)
                ended.append(over)
        return ended

    def _resolved_by_hand(self, until: datetime) -> Iterator[Alert]:
        """Yield what people closed since the moment read up to, oldest first."""
        closed = [
            one
            for one in self._ledger.alerts(state="resolved")
            if one.resolved_by != RECOVERY and one.resolved_at is not None and self._until <= one.resolved_at < until
        ]
        yield from sorted(closed, key=lambda one: (one.resolved_at or until, one.id))

    def _close(self, alert: Alert, at: datetime) -> list[Signal]:
        self._renewal.drop(alert)
        signals = self._detector.advance(at)
        for topic, locale in alert.streams:
            self._detector.resolve(topic, locale, at)
        return signals

    # Snapshots

    def _begin(self) -> None:
        self._anew = True
        self._detector = Detector(self._rules.limits)
        self._until, self._count, self._stands, self._older = _BEGINNING, 0, [], None

    def _load(self) -> None:
        self._begin()
        stands = []
        for name in (_SNAPSHOT, _OLDER):
            found = self._ledger.load_state(name)
            if found is not None and found.value.get("mark") == self._rules.mark():
                stands += [
                    _Stand(datetime.fromisoformat(one["until"]), one["count"], one["state"]) for one in found.value["stands"]
                ]
        # Whoever died between writing the two rows left the newest in the second.
        self._stands = sorted({one.until: one for one in stands}.values(), key=lambda one: one.until, reverse=True)
        if self._stands:
            self._stand(self._stands[0])
            self._anew = False
        self._renewal.begin(self._until)
        self._loaded = True

    def _save(self, now: datetime) -> None:
        current = _Stand(self._until, self._count, self._detector.state())
        older = [one for one in self._stands if one.until < current.until]
        self._stands = [current, *_thinned(older)]
        moments = [one.until for one in self._stands[1:]]
        if moments != self._older:
            self._put(_OLDER, self._stands[1:], now)
            self._older = moments
        self._put(_SNAPSHOT, [current], now)

    def _put(self, name: str, stands: Sequence[_Stand], now: datetime) -> None:
        values = [{"until": one.until.isoformat(), "count": one.count, "state": one.state} for one in stands]
        self._ledger.save_state(name, {"mark": self._rules.mark(), "stands": values}, now)

    def _holds(self, until: datetime, count: int) -> bool:
        return self._ledger.count(Place(until, "")) == count

    def _go_back(self, until: datetime) -> None:
        self._anew = True
        for stand in self._stands:
            if stand.until < until and self._holds(stand.until, stand.count):
                self._stands = [one for one in self._stands if one.until <= stand.until]
                self._stand(stand)
                break
        else:
            self._begin()
        self._renewal.begin(self._until)

    def _stand(self, stand: _Stand) -> None:
        self._detector = Detector.restore(stand.state, self._rules.limits)
        self._until, self._count = stand.until, stand.count


def alert_id(signal: Signal) -> str:
    """Name an alert by its stream and beginning, so that two monitors raise one."""
    text = f"{signal.topic}\n{signal.locale}\n{signal.since.astimezone(UTC).isoformat(timespec='seconds')}"
    return f"alert_{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:20]}"


def same_cause(open_alert: Alert, other: Alert) -> bool:
    """Say whether a further stream turned for the cause that an open alert tells of.

    The same topic in another locale, or another topic whose messages are set apart by the same words: of the five hints
    of each, two are shared.

    Args:
        open_alert: The alert that is there.
        other: What a further stream would raise.

    Returns:
        Whether the stream belongs to the open alert.
    """
    if open_alert.topic == other.topic:
        return True
    if open_alert.locale != other.locale:
        return False
    return len(open_alert.hints & other.hints) >= 2


def _midnight(at: datetime) -> datetime:
    return at.replace(hour=0, minute=0, second=0, microsecond=0)


def _kept(midnight: datetime, until: datetime) -> bool:
    """Say whether a snapshot of that midnight would be kept by one who reads up to ``until``, or be thinned out soon."""
    return midnight.weekday() == 0 or until - midnight < (_KEPT_DAYS + 1) * _DAY


def _thinned(stands: Sequence[_Stand]) -> list[_Stand]:
    """Keep the newest days and of those before one a week, newest first."""
    ordered = sorted({one.until: one for one in stands}.values(), key=lambda one: one.until, reverse=True)
    kept, weeks = ordered[:_KEPT_DAYS], []
    seen = {tuple(one.until.isocalendar()[:2]) for one in kept}
    for one in ordered[_KEPT_DAYS:]:
        week = tuple(one.until.isocalendar()[:2])
        if week not in seen:
            seen.add(week)
            weeks.append(one)
    return [*kept, *weeks[:_KEPT_WEEKS]]
