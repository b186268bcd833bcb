"""The monitor in a process: past conversations are read once, one process watches, receivers hear of what is new."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest

from assistant.monitor.ledger import Place, Reading
from assistant.monitor.outbox import Parcel, Receipt
from assistant.monitor.watching import Caught
from assistant.records import IntentGuess, Sentiment, Transcript, TranscriptTurn, Understanding
from assistant.settings import Settings
from assistant.sources import SourceRecord
from assistant.store import Store, open_store
from finetune.schedule import Job
from tests.assistant.monitor.test_watching import DAYS, SURGE_DAY, fill, history, moment
from ui import reading_past
from ui.monitoring import LEASE, Background, Watcher, rules
from ui.reading_past import BATCH, read_past
from ui.scheduled_monitor import report_jobs, watcher

STRICT = Settings(monitor={"false_alerts": 0.02})  # type: ignore[arg-type]


class Reader:
    """Understands every text alike, and remembers which it was given."""

    def __init__(self, version: str = "s1") -> None:
        self.versions = {"sentiment": version, "intent": "i1"} if version else {}
        self.seen: list[str] = []
        self.mood_thresholds: dict[str, float] = {}

    def read(self, texts: Sequence[str]) -> list[Understanding]:
        self.seen += texts
        known = (IntentGuess("delivery", 0.9),)
        mood = Sentiment("negative", 0.8, -0.7)
        return [Understanding("en", known, 0.1, mood, versions=self.versions, emotions={"anger": 0.6}) for _ in texts]


class Team:
    """A receiver."""

    def __init__(self) -> None:
        self.got: list[Parcel] = []

    def __call__(self, parcel: Parcel) -> Receipt:
        self.got.append(parcel)
        return Receipt("sent")


def talk(number: int) -> Transcript:
    turns = (
        TranscriptTurn("customer", f"where is box {number}", moment(number / 100)),
        TranscriptTurn("agent", "Soon.", moment(1)),
    )
    return Transcript(f"c{number}", turns, "log:1", "en")


def ingest(store: Store, count: int) -> None:
    store.add_source(SourceRecord("s1", "log", "logs", "s1", "jsonl", moment(0)), [talk(number) for number in range(count)])


def test_past_turns_are_read_once_and_become_events(store: Store) -> None:
    ingest(store, 3)
    reader: Any = Reader()
    done: list[int] = []
    assert store.monitor.count_unread("s1") == 3 and store.monitor.count_unread("") == 0
    assert read_past(store.monitor, reader, progress=done.append) == 3 and sum(done) == 3
    assert store.monitor.count_unread("s1") == 0 and store.monitor.count_unread("s2") == 3
    assert read_past(store.monitor, reader) == 0 and len(reader.seen) == 3
    (event, *_) = store.monitor.stream()
    assert (event.topic, event.version, event.intent_version, event.emotions) == ("delivery", "s1", "i1", {"anger": 0.6})
    assert event.negative == pytest.approx(0.8) and event.positive == pytest.approx(0.1)


def test_whoever_writes_meanwhile_waits_for_few_messages_only(store: Store) -> None:
    ingest(store, 3 * BATCH)

    class Measured(Reader):
        def read(self, texts: Sequence[str]) -> list[Understanding]:
            assert len(texts) <= 8
            return super().read(texts)

    assert read_past(store.monitor, Measured()) == 3 * BATCH  # type: ignore[arg-type]


def test_another_adapter_reads_them_again_and_none_reads_nothing(store: Store) -> None:
    ingest(store, 2)
    assert read_past(store.monitor, Reader("")) == 0  # type: ignore[arg-type]
    assert read_past(store.monitor, Reader("s1")) == 2  # type: ignore[arg-type]
    assert read_past(store.monitor, Reader("s2")) == 2  # type: ignore[arg-type]
    assert {event.version for event in store.monitor.stream()} == {"s2"}


def test_reading_that_is_stopped_goes_on_where_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_past, "_PAGE", BATCH)
    ingest(store, 2 * BATCH)
    reader: Any = Reader()
    stops = iter([False, False, True])
    assert read_past(store.monitor, reader, stop=lambda: next(stops)) == BATCH
    assert read_past(store.monitor, reader) == BATCH
    assert len(set(reader.seen)) == len(reader.seen) == 2 * BATCH


def test_a_turn_without_a_business_of_its_own_belongs_to_what_its_conversation_is_about(store: Store) -> None:
    said = {
        "my box is late": ("delivery", 0.9),
        "bye then": ("goodbye", 0.9),
        "well?": ("refund", 0.2),
        "a refund": ("refund", 0.9),
    }
    turns = tuple(TranscriptTurn("customer", text, moment(at)) for at, text in enumerate(said))
    others = (TranscriptTurn("customer", "bye then", moment(9)),)
    talks = [Transcript("c1", turns, "log:1", "en"), Transcript("c2", others, "log:2", "en")]
    store.add_source(SourceRecord("s1", "log", "logs", "s1", "jsonl", moment(0)), talks)

    class Knowing(Reader):
        def read(self, texts: Sequence[str]) -> list[Understanding]:
            return [Understanding("en", (IntentGuess(*said[text]),), 0.1, versions=self.versions) for text in texts]

    read_past(store.monitor, Knowing())  # type: ignore[arg-type]
    assert [event.topic for event in store.monitor.stream()] == ["delivery", "delivery", "delivery", "refund", "goodbye"]


def test_receivers_hear_of_a_surge_when_it_happens_and_once(store: Store) -> None:
    fill(store, history())
    team, clock = Team(), [SURGE_DAY - 1]
    watch = Watcher(STRICT, store, {"team": team}, thresholds={}, holder="a")
    while clock[0] < DAYS:
        watch.look(lambda: moment(clock[0]))
        clock[0] += 0.1
    (parcel,) = team.got
    assert parcel.what == "opened" and "delivery" in parcel.title and "Chance alone" in parcel.text
    assert any("Rivertown" in text for text in parcel.messages.values())


def test_nobody_is_called_for_what_is_long_past(store: Store) -> None:
    fill(store, history())
    team = Team()
    look = Watcher(STRICT, store, {"team": team}, thresholds={}).look(lambda: moment(DAYS + 30))
    assert look.caught is not None and len(look.caught.raised) == 1 and not team.got


def test_of_two_processes_one_watches_and_the_other_takes_over(store: Store) -> None:
    first, second = (Watcher(STRICT, store, {}, thresholds={}, holder=name) for name in "ab")
    assert first.look(lambda: moment(1)).caught is not None
    assert second.look(lambda: moment(1)).caught is None
    later = moment(1) + timedelta(hours=1)
    assert second.look(lambda: later).caught is not None
    second.close()
    assert first.look(lambda: later).caught is not None


def test_past_messages_are_read_though_a_process_without_a_model_watches(store: Store) -> None:
    ingest(store, 4)
    scheduler, server = (Watcher(STRICT, store, {}, thresholds={}, holder=name) for name in ("scheduler", "server"))
    assert scheduler.look(lambda: moment(1)).caught == Caught(rewound=False)
    read = server.look(lambda: moment(1), Reader())  # type: ignore[arg-type]
    assert (read.read, read.caught) == (4, None)
    caught = scheduler.look(lambda: moment(1) + timedelta(minutes=5)).caught
    assert caught is not None and caught.events == 4


def test_nobody_judges_what_another_process_is_half_through_reading(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_past, "_PAGE", BATCH)
    ingest(store, 2 * BATCH)
    scheduler, server = (Watcher(STRICT, store, {}, thresholds={}, holder=name) for name in ("scheduler", "server"))
    meanwhile: list[Any] = []

    def progress(count: int) -> None:
        meanwhile.append(scheduler.look(lambda: moment(1)).caught)

    server.look(lambda: moment(1), Reader(), progress=progress)  # type: ignore[arg-type]
    assert meanwhile == [None, None]


def test_the_thresholds_of_a_version_that_serves_by_now_count(store: Store) -> None:
    serving = {"negative_en": 0.4}
    watch = Watcher(STRICT, store, {}, thresholds=lambda: serving, holder="a")
    watch.look(lambda: moment(1))
    assert watch.rules.above == {"en": 0.4}
    serving["negative_en"] = 0.6
    watch.look(lambda: moment(2))
    assert watch.rules.above == {"en": 0.6}


def test_two_processes_that_look_at_once_tell_every_receiver_once_and_count_nothing_twice(store_url: str) -> None:
    with open_store(store_url) as store:
        fill(store, history())
    team, together, faults = Team(), threading.Barrier(2), list[BaseException]()
    counted: list[int] = []

    def serve(holder: str) -> None:
        try:
            with open_store(store_url) as own:
                watch = Watcher(STRICT, own, {"team": team}, thresholds={}, holder=holder)
                for step in range(10 * int(DAYS - SURGE_DAY) + 11):
                    together.wait(60)
                    look = watch.look(lambda: moment(SURGE_DAY - 1 + step / 10))  # noqa: B023
                    counted.append(look.caught.events if look.caught else 0)
        except BaseException as fault:
            faults.append(fault)
            together.abort()

    threads = [threading.Thread(target=serve, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert faults == []
    with open_store(store_url) as store:
        told = Counter(parcel.id for parcel in team.got)
        assert len(store.monitor.alerts()) == 1 and told == {row.id: 1 for row in store.monitor.outbox()} and told
        # The lease runs out between two looks, so that now this one watches and now that one; both see every message.
        snapshot = store.monitor.load_state("monitor")
        assert snapshot is not None
        (stand,) = snapshot.value["stands"]
        assert stand["count"] == store.monitor.count(Place(datetime.fromisoformat(stand["until"]), "")) > 1000
        assert sum(counted) >= stand["count"]


def test_a_refused_notice_is_tried_again_within_seconds_and_not_only_at_the_next_look(store: Store) -> None:
    fill(store, history())
    tries: list[float] = []
    clock = [moment(SURGE_DAY + 1)]

    def busy(parcel: Parcel) -> Receipt:
        tries.append((clock[0] - moment(SURGE_DAY + 1)).total_seconds())
        return Receipt("sent" if len(tries) == 4 else "later", "HTTP 503")

    watch = Watcher(STRICT, store, {"team": busy}, thresholds={}, holder="a")
    waits: list[float] = []
    while len(tries) < 4:
        watch.turn(lambda: clock[0])
        waits.append(watch.wait_s)
        clock[0] += timedelta(seconds=watch.wait_s)
    assert all(5.0 <= wait <= 20.0 for wait in waits[:3]) and tries[-1] < 40
    lease = store.learning.lease(LEASE)
    assert lease is not None and lease.until == moment(SURGE_DAY + 1) + timedelta(seconds=180)  # it looked once
    watch.turn(lambda: clock[0])
    assert 60 - watch.wait_s == pytest.approx((clock[0] - moment(SURGE_DAY + 1)).total_seconds() % 60, abs=1.0)


def test_a_clock_that_was_put_back_holds_up_no_look(store: Store) -> None:
    watch = Watcher(STRICT, store, {}, thresholds={}, holder="a")
    watch.turn(lambda: moment(2))
    watch.close()
    watch.turn(lambda: moment(1))
    assert store.learning.lease(LEASE) is not None and watch.wait_s == 60.0


def test_whoever_takes_over_goes_on_from_what_the_other_found_in_readings_made_anew(store: Store) -> None:
    fill(store, history())
    first, second = (Watcher(STRICT, store, {}, thresholds={}, holder=name) for name in "ab")
    for one in (second, first):
        one.look(lambda: moment(DAYS))
        one.close()
    store.monitor.add_readings(
        Reading(event.id, event.topic, "en", 1 - event.negative, 0.1, "s2", "i") for event in list(store.monitor.stream())
    )
    first.monitor.forget()
    first.look(lambda: moment(DAYS + 1))
    first.close()
    second.look(lambda: moment(DAYS + 1.1))
    first.look(lambda: moment(DAYS + 1.1))
    rebuilt = Watcher(STRICT, store, {}, thresholds={}, holder="c").monitor
    rebuilt.forget()
    rebuilt.catch_up(moment(DAYS + 1.1))
    assert second.monitor.state() == rebuilt.state()


def test_a_threshold_of_the_settings_beats_the_adapters(store: Store) -> None:
    own = Settings(monitor={"negative_above": {"zh": 0.7}})  # type: ignore[arg-type]
    found = rules(own, {"negative_zh": 0.4, "negative_en": 0.45, "min_confidence": 0.3})
    assert dict(found.above) == {"zh": 0.7, "en": 0.45}


def test_the_scheduler_writes_reports_and_judges_as_a_server_does(store: Store, tmp_path: Path) -> None:
    fill(store, history())
    now = datetime(2025, 2, 18, 8, tzinfo=UTC)
    jobs: list[Job] = report_jobs(STRICT, store, tmp_path, lambda: now)
    assert [(job.name, job.cron) for job in jobs] == [("report-daily", "0 7 * * *"), ("report-weekly", "0 7 * * 1")]
    for job in jobs:
        assert "wrote" in job.run(lambda: False)
    assert len(list((tmp_path / "reports").glob("*.html"))) == 2
    assert watcher(STRICT, store, tmp_path).rules.mark() == rules(STRICT, {}).mark()
    assert not report_jobs(Settings(monitor={"enabled": False}), store, tmp_path, lambda: now)  # type: ignore[arg-type]


def test_a_server_looks_at_once_and_gives_the_lease_back_when_it_stops(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    ingest(store, 1)
    looked = threading.Event()

    class Known(Reader):
        mood_thresholds = MappingProxyType[str, float]({})

        def read(self, texts: Sequence[str]) -> list[Understanding]:
            looked.set()
            return super().read(texts)

    parts = SimpleNamespace(settings=STRICT, store=store, serving=lambda: SimpleNamespace(understander=Known()))
    background = Background(parts, lambda: moment(1))  # type: ignore[arg-type]
    background.start()
    assert looked.wait(30)
    background.stop()
    assert store.learning.lease(LEASE) is None and not caplog.records


def test_a_server_whose_monitor_is_off_reads_nothing(store: Store) -> None:
    ingest(store, 1)
    reader = Reader()
    off = Settings(monitor={"enabled": False})  # type: ignore[arg-type]
    parts = SimpleNamespace(settings=off, store=store, serving=lambda: SimpleNamespace(understander=reader))
    background = Background(parts, lambda: moment(1))  # type: ignore[arg-type]
    background.start()
    background.stop()
    assert not reader.seen
