"""Delivers what waits in the outbox: at least once, with the same id at every try, until it arrives or is given up.

Each receiver is served by a thread of its own, so that one that hangs holds up nobody else, and one row at a time: it is
claimed, sent and marked before the next. Who dies between sending and marking loses the claim after a while; somebody sends
the row again with the same id, and a receiver that honours the id sees it once. Tries follow one another with exponential
back-off and jitter. Alerts come before, ``webhook.py`` and ``notices.py`` know how one notice is sent.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from assistant.monitor.ledger import Ledger, OutboxRow

#: ``unreachable``: nobody answered. ``later``: the receiver is there and fails. ``refused``: it says no, and will until a
#: person mends something. ``gone``: it wants no more, ever.
Outcome = Literal["sent", "later", "unreachable", "refused", "gone"]

_MOST_THREADS = 8
_LONGEST_WAIT = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Parcel:
    """One notice on its way.

    Attributes:
        id: Its id, the same at every try.
        alert_id: The alert it tells of.
        what: What happened to it.
        title: One line.
        text: A few lines in plain words.
        happened_at: When it happened.
        sent_at: The time of this try.
        data: The figures, ready for JSON.
        messages: Texts of the messages to quote, by id, as far as they still exist.
    """

    id: str
    alert_id: str
    what: str
    title: str
    text: str
    happened_at: datetime
    sent_at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Receipt:
    """How a try went; ``error`` says why it failed and holds no secret, ``retry_after_s`` is what the receiver asks for."""

    outcome: Outcome
    error: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Delivered:
    """How many notices were sent, failed and will be tried again, and were given up."""

    sent: int = 0
    failed: int = 0
    dead: int = 0


#: Sends one parcel and says how it went.
Sender = Callable[[Parcel], Receipt]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long is waited for what.

    Attributes:
        first_s: Seconds before the second try; each further wait is twice as long.
        longest_s: The longest wait, and the wait after a refusal.
        give_up_hours: A notice that is older when a try fails is given up.
        claim_s: Seconds for which a row is held; longer than any try may take.
        limit: Most rows for one receiver in one go.
        call_s: Seconds after which a receiver gets no further row in one go.
    """

    first_s: float = 5.0
    longest_s: float = 3600.0
    give_up_hours: float = 72.0
    claim_s: float = 120.0
    limit: int = 100
    call_s: float = 30.0


def deliver(
    ledger: Ledger,
    senders: Mapping[str, Sender],
    now: Callable[[], datetime],
    holder: str,
    chance: random.Random,
    patience: Patience = Patience(),
) -> Delivered:
    """Send everything that is due.

    Args:
        ledger: The store's side of it.
        senders: By the receiver's name in the settings.
        now: The clock, timezone-aware.
        holder: Who delivers; unique to the process.
        chance: Where jitter comes from.
        patience: How long is waited for what.

    Returns:
        How it went.

    Raises:
        StoreError: The database fails.
    """
    at = now()
    strangers = ledger.give_up_strangers(list(senders), at - timedelta(hours=patience.give_up_hours), at)
    counts = [Delivered(dead=strangers)]
    if senders:
        with ThreadPoolExecutor(min(len(senders), _MOST_THREADS), "outbox") as pool:
            served = [
                pool.submit(_serve, ledger, name, sender, now, holder, chance, patience) for name, sender in senders.items()
            ]
        counts += [one.result() for one in served]
    return Delivered(sum(c.sent for c in counts), sum(c.failed for c in counts), sum(c.dead for c in counts))


def wait_s(attempts: int, chance: random.Random, patience: Patience) -> float:
    """Choose how long to wait after a failed try: exponential back-off of which the second half is drawn by chance.

    Args:
        attempts: How many tries there were, from 1.
        chance: Where jitter comes from.
        patience: The shortest and the longest wait.

    Returns:
        Seconds, between half the wait and the whole.
    """
    whole = min(patience.first_s * 2.0 ** min(attempts - 1, 60), patience.longest_s)
    return whole * (0.5 + chance.random() / 2)


def _serve(
    ledger: Ledger,
    name: str,
    sender: Sender,
    now: Callable[[], datetime],
    holder: str,
    chance: random.Random,
    patience: Patience,
) -> Delivered:
    """Send to one receiver what is due, oldest first, until nothing is left or nobody answers."""
    sent = failed = dead = 0
    begun = now()
    for _ in range(patience.limit):
        if now() - begun > timedelta(seconds=patience.call_s):
            break  # a slow receiver holds up neither the others nor the watching; the rest is sent at the next call
        rows = ledger.claim([name], now(), holder, patience.claim_s)
        if not rows:
            break
        row = rows[0]
        receipt = _try(ledger, row, sender, now())
        at = now()
        if receipt.outcome == "sent":
            sent += ledger.mark_sent(row.id, at)
            continue
        end = row.created_at + timedelta(hours=patience.give_up_hours)
        if receipt.outcome == "gone" or at >= end:
            dead += ledger.give_up(row.id, holder, at, receipt.error)
        else:
            failed += ledger.postpone(row.id, holder, _next_try(row, receipt, at, end, chance, patience), receipt.error)
        if receipt.outcome == "unreachable":
            break  # the others would wait for the same silence; their turn comes at the next call
    return Delivered(sent, failed, dead)


def _next_try(
    row: OutboxRow, receipt: Receipt, at: datetime, end: datetime, chance: random.Random, patience: Patience
) -> datetime:
    """Choose when to try again; the last try is at the very end, however long the wait would be."""
    wait = patience.longest_s if receipt.outcome == "refused" else wait_s(row.attempts, chance, patience)
    asked = min(timedelta(seconds=max(receipt.retry_after_s, 0.0)), _LONGEST_WAIT)
    return min(at + max(timedelta(seconds=wait), asked), end)


def _try(ledger: Ledger, row: OutboxRow, sender: Sender, at: datetime) -> Receipt:
    body = row.body
    parcel = Parcel(
        id=row.id,
        alert_id=row.alert_id,
        what=body["what"],
        title=body["title"],
        text=body["text"],
        happened_at=datetime.fromisoformat(body["at"]),
        sent_at=at,
        data=body["data"],
        messages=ledger.texts(body["messages"]),
    )
    try:
        return sender(parcel)
    except Exception as error:  # a receiver's fault, or its library's, must not hold up the other receivers
        return Receipt("later", f"the sender failed: {type(error).__name__}")
