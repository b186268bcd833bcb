"""Delivery: at least once, never twice to a receiver that honours the id, whatever fails on the way."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from assistant.errors import StoreError
from assistant.monitor.events import Alert, Signal
from assistant.monitor.ledger import Ledger, Notice
from assistant.monitor.outbox import Delivered, Outcome, Parcel, Patience, Receipt, Sender, deliver, wait_s
from assistant.monitor.outbox_rows import notice_id
from assistant.monitor.webhook import webhook_sender
from assistant.records import Message, Reply, Understanding
from assistant.store import Store, open_store

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
SIGNAL = Signal("number", "refund", "en", NOON, NOON - HOUR, 12, 3.5, 20, 0.4, 3.4)
SECRET = "whsec_" + "QUJDRA" * 6


class Clock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


class Post:
    """A sender that keeps what it is given and answers as it is told, again and again the last."""

    def __init__(self, *outcomes: Outcome | Receipt) -> None:
        self.outcomes = [Receipt(one) if isinstance(one, str) else one for one in outcomes or ("sent",)]
        self.got: list[Parcel] = []

    def __call__(self, parcel: Parcel) -> Receipt:
        self.got.append(parcel)
        return self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def tell(ledger: Ledger, id: str = "a1", *targets: str, at: datetime = NOON, **notice: Any) -> None:
    told = Notice("ops", "opened", "Refunds", "12 against 3.5", at, {"n": 12})
    notices = [replace(told, target=target, **notice) for target in targets or ("ops",)]
    assert ledger.raise_alert(Alert(id, "refund", "en", SIGNAL, "open", NOON), notices)


def run(ledger: Ledger, clock: Clock, holder: str = "one", **senders: Sender) -> Delivered:
    return deliver(ledger, senders, clock, holder, random.Random(5))


def test_notice_arrives_once_with_all_it_tells(store: Store, clock: Clock) -> None:
    store.start_conversation("c1", NOON)
    reply = Reply("c1", "r1", "send", "sure", "x", Understanding("en"), (), {}, 0.0)
    store.record_turn(Message("m1", "c1", "where is it", NOON), reply)
    tell(store.monitor, messages=("m1", "gone"))
    post = Post()
    clock.now += timedelta(seconds=1)
    assert run(store.monitor, clock, ops=post) == Delivered(sent=1)
    assert run(store.monitor, clock, ops=post) == Delivered()
    id = notice_id("a1", "opened", "ops")
    assert post.got == [
        Parcel(id, "a1", "opened", "Refunds", "12 against 3.5", NOON, clock.now, {"n": 12}, {"m1": "where is it"})
    ]
    (row,) = store.monitor.outbox("sent")
    assert (row.id, row.attempts, row.done_at, row.holder) == (id, 1, clock.now, None)


def test_forgotten_message_is_not_quoted_at_a_later_try(store: Store, clock: Clock) -> None:
    store.start_conversation("c1", NOON, contact="anna")
    reply = Reply("c1", "r1", "send", "sure", "x", Understanding("en"), (), {}, 0.0)
    store.record_turn(Message("m1", "c1", "where is it", NOON), reply)
    tell(store.monitor, messages=("m1",))
    post = Post("later", "sent")
    run(store.monitor, clock, ops=post)
    store.forget_contact("anna")
    clock.now += HOUR
    assert run(store.monitor, clock, ops=post).sent == 1
    assert [parcel.messages for parcel in post.got] == [{"m1": "where is it"}, {}]


def test_failed_try_is_repeated_with_the_same_id_ever_more_patiently(ledger: Ledger, clock: Clock) -> None:
    tell(ledger)
    post = Post(Receipt("later", "HTTP 500"))
    waits = []
    for _ in range(14):
        assert run(ledger, clock, ops=post) == Delivered(failed=1)
        (row,) = ledger.outbox("waiting")
        assert row.last_error == "HTTP 500" and ledger.next_due(["ops"]) == row.next_at
        waits.append((row.next_at - clock.now).total_seconds())
        assert run(ledger, clock, ops=post) == Delivered()
        clock.now = row.next_at
    for number, wait in enumerate(waits):
        whole = min(5.0 * 2**number, 3600.0)
        assert whole / 2 <= wait <= whole
    assert len({parcel.id for parcel in post.got}) == 1 and len(post.got) == 14


def test_waits_differ_so_that_receivers_are_not_called_all_at_once() -> None:
    chance = random.Random(1)
    assert len({wait_s(3, chance, Patience()) for _ in range(50)}) == 50


def test_receiver_that_is_down_for_a_day_misses_nothing(ledger: Ledger, clock: Clock) -> None:
    for number in range(5):
        tell(ledger, f"a{number}", at=NOON + number * HOUR)
    up = NOON + timedelta(hours=24)
    heard: list[str] = []

    def post(parcel: Parcel) -> Receipt:
        if clock.now < up:
            return Receipt("unreachable", "connection refused")
        heard.append(parcel.alert_id)
        return Receipt("sent")

    while clock.now < up + 2 * HOUR:
        run(ledger, clock, ops=post)
        clock.now += timedelta(minutes=5)
    assert sorted(heard) == [f"a{number}" for number in range(5)]
    assert {row.state for row in ledger.outbox()} == {"sent"}


def test_notice_is_given_up_after_its_time_with_the_last_error_and_may_be_revived(ledger: Ledger, clock: Clock) -> None:
    tell(ledger)
    post = Post(Receipt("later", "HTTP 503 tired"))
    total = Delivered()
    while not total.dead:
        total = run(ledger, clock, ops=post)
        clock.now = ledger.next_due(["ops"]) or clock.now
    assert clock.now == NOON + timedelta(hours=72)
    (row,) = ledger.outbox("dead")
    assert (row.last_error, row.done_at) == ("HTTP 503 tired", clock.now)
    clock.now += timedelta(days=30)
    assert run(ledger, clock, ops=post) == Delivered()
    ledger.revive(row.id, clock.now)
    assert run(ledger, clock, ops=Post()) == Delivered(sent=1)
    for id, why in ((row.id, "is sent, not given up"), ("msg_0", "there is no notice 'msg_0'")):
        with pytest.raises(StoreError, match=why):
            ledger.revive(id, clock.now)


def test_monitor_that_was_down_for_a_week_still_tries(ledger: Ledger, clock: Clock) -> None:
    tell(ledger)
    clock.now += timedelta(days=7)
    assert run(ledger, clock, ops=Post()) == Delivered(sent=1)


def test_receiver_that_wants_no_more_is_left_alone(ledger: Ledger, clock: Clock) -> None:
    tell(ledger)
    assert run(ledger, clock, ops=Post(Receipt("gone", "HTTP 410"))) == Delivered(dead=1)
    assert ledger.outbox()[0].last_error == "HTTP 410"


def test_refusal_is_repeated_at_the_longest_wait_only_and_a_wish_for_time_is_honoured(ledger: Ledger, clock: Clock) -> None:
    tell(ledger, "a1", "wrong", "busy")
    run(ledger, clock, wrong=Post("refused"), busy=Post(Receipt("later", "HTTP 429", retry_after_s=7200.0)))
    assert {row.target: row.next_at for row in ledger.outbox()} == {"wrong": NOON + HOUR, "busy": NOON + 2 * HOUR}


def test_one_receiver_that_fails_holds_up_no_other(ledger: Ledger, clock: Clock) -> None:
    for number in range(3):
        tell(ledger, f"a{number}", "ops", "team")

    def broken(parcel: Parcel) -> Receipt:
        raise RuntimeError("token abc123 is bad")

    post = Post()
    assert run(ledger, clock, ops=broken, team=post) == Delivered(sent=3, failed=3)
    assert {row.last_error for row in ledger.outbox("waiting")} == {"the sender failed: RuntimeError"}


def test_receiver_that_does_not_answer_is_asked_once_a_round(ledger: Ledger, clock: Clock) -> None:
    for number in range(3):
        tell(ledger, f"a{number}")
    post = Post("unreachable")
    assert run(ledger, clock, ops=post) == Delivered(failed=1)
    assert len(post.got) == 1


def test_end_of_an_alert_is_not_told_before_its_beginning(ledger: Ledger, clock: Clock) -> None:
    tell(ledger)
    post = Post("later", "sent")
    run(ledger, clock, ops=post)
    clock.now += timedelta(seconds=1)
    ledger.resolve("a1", "kim", clock.now, [Notice("ops", "resolved", "Over", "", clock.now)])
    assert run(ledger, clock, ops=post) == Delivered()
    clock.now += HOUR
    assert run(ledger, clock, ops=post) == Delivered(sent=2)
    assert [parcel.what for parcel in post.got] == ["opened", "opened", "resolved"]


def test_receiver_that_left_the_settings_is_given_up_in_the_end(ledger: Ledger, clock: Clock) -> None:
    tell(ledger)
    assert run(ledger, clock, other=Post()) == Delivered()
    clock.now += timedelta(hours=73)
    assert run(ledger, clock, other=Post()) == Delivered(dead=1)
    assert "no receiver of this name" in ledger.outbox("dead")[0].last_error


def test_crash_between_sending_and_marking_sends_again_with_the_same_id(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(ledger)
    post = Post()

    def killed(self: Ledger, id: str, at: datetime) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "mark_sent", killed)
        with pytest.raises(KeyboardInterrupt):
            run(ledger, clock, "one", ops=post)
    assert run(ledger, clock, "two", ops=post) == Delivered()
    assert ledger.next_due(["ops"]) == NOON + timedelta(seconds=120)
    clock.now += timedelta(seconds=120)
    assert run(ledger, clock, "two", ops=post) == Delivered(sent=1)
    assert len(post.got) == 2 and len({parcel.id for parcel in post.got}) == 1


def test_sender_that_lost_its_claim_does_not_disturb_the_next(ledger: Ledger) -> None:
    tell(ledger)
    (row,) = ledger.claim(["ops"], NOON, "one", 60.0)
    assert ledger.claim(["ops"], NOON, "two", 60.0) == []
    (again,) = ledger.claim(["ops"], NOON + HOUR, "two", 60.0)
    assert (again.id, again.attempts, again.holder) == (row.id, 2, "two")
    assert not ledger.postpone(row.id, "one", NOON, "late") and not ledger.give_up(row.id, "one", NOON, "late")
    assert ledger.mark_sent(row.id, NOON + HOUR)
    assert not ledger.postpone(row.id, "two", NOON, "late")
    with pytest.raises(StoreError, match="more than 0 seconds"):
        ledger.claim(["ops"], NOON, "one", 0.0)


def test_two_deliverers_on_one_outbox_send_each_notice_once(store_url: str) -> None:
    with open_store(store_url) as store:
        for number in range(30):
            tell(store.monitor, f"a{number}")
    sent: Counter[str] = Counter()
    faults: list[BaseException] = []
    lock, start = threading.Lock(), threading.Barrier(3)

    def post(parcel: Parcel) -> Receipt:
        with lock:
            sent[parcel.id] += 1
        return Receipt("sent")

    def work(name: str) -> None:
        try:
            with open_store(store_url) as own:
                start.wait(60)
                deliver(own.monitor, {"ops": post}, lambda: NOON, name, random.Random(0))
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=work, args=(f"holder {number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert faults == []
    assert len(sent) == 30 and set(sent.values()) == {1}


def test_hundred_alerts_arrive_once_each_though_calls_fail_and_senders_die(
    ledger: Ledger, clock: Clock, receive: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(30)
    receiver = receive()
    receiver.answer = lambda count: (200 if chance.random() > 0.3 else chance.choice([500, 503]), {}, b"")
    sender = webhook_sender("ops", f"http://127.0.0.1:{receiver.port}/", SECRET, allow_private=True)
    for number in range(100):
        tell(ledger, f"a{number}")
    mark, deaths = Ledger.mark_sent, [20, 60]

    def fragile(self: Ledger, id: str, at: datetime) -> bool:
        if deaths and len(receiver.got) >= deaths[0]:
            deaths.pop(0)
            raise KeyboardInterrupt
        return mark(self, id, at)

    monkeypatch.setattr(Ledger, "mark_sent", fragile)
    while ledger.outbox("waiting") and clock.now < NOON + timedelta(minutes=5):
        try:
            run(ledger, clock, f"life {len(deaths)}", ops=sender)
        except KeyboardInterrupt:
            continue
        clock.now += timedelta(seconds=10)
    assert deaths == [] and len(ledger.outbox("sent")) == 100
    assert {headers["webhook-id"] for _, headers, _ in receiver.got} == {row.id for row in ledger.outbox()}
