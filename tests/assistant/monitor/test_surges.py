"""A hundred topics turn sour, three calls in ten fail, the watching process is killed twice: a hundred alerts arrive, once each.

Messages are streamed into a store; a process of its own watches it as a server does (``surge_watcher.py``) and is killed by
SIGKILL where it has done one thing and not yet noted it. What the detector says of the same messages offline must arrive.
"""

from __future__ import annotations

import json
import math
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from assistant import schema, turn_rows
from assistant.monitor.detect import Detector
from assistant.monitor.events import Signal
from assistant.monitor.ledger import Place
from assistant.monitor.outbox_rows import notice_id
from assistant.monitor.watching import alert_id
from assistant.records import IntentGuess, Message, Reply, Sentiment, Understanding
from assistant.settings import Settings
from assistant.store import Store, open_store, sqlite_url
from tests.assistant.monitor.surge_watcher import END, TARGET
from ui.monitoring import rules

ROOT = Path(__file__).parents[3]
START = datetime(2025, 1, 6, tzinfo=UTC)
WATCHED = START + timedelta(days=35)
OVER = WATCHED + timedelta(hours=3)
TOPICS, SURGE_SIZE, SURGE_LASTS = 100, 24, timedelta(minutes=40)
#: Of a topic's messages on a calm day, all together and unhappy.
CALM_A_DAY, CROSS_A_DAY = 3.0, 1.5
CALM = ("could you tell me when it comes", "how long does it take", "which carrier is it", "can I change the day")
CROSS = ("this is taking far too long", "nobody answers me", "I am fed up with this", "it is broken again")
WITHIN = timedelta(minutes=5)
REFUSED = 0.3
AWAY = timedelta(seconds=5)  # until a killed process is started again


@dataclass(frozen=True, slots=True)
class Written:
    """One message."""

    at: datetime
    topic: str
    negative: bool
    text: str


@dataclass(frozen=True, slots=True)
class Kill:
    """Where a process is killed: before it stores ``at``, once so many alerts were about to be raised."""

    raised: int
    at: str


def stream(seed: int) -> list[Written]:
    """Five calm weeks of every topic, and a surge of each with words of its own in the hours that are watched."""
    chance = random.Random(seed)
    rows = []
    for number in range(TOPICS):
        topic = f"topic_{number:02d}"
        for a_day, negative, said in ((CALM_A_DAY, False, CALM), (CROSS_A_DAY, True, CROSS)):
            at = START
            while (at := at + timedelta(days=chance.expovariate(a_day))) < OVER:
                rows.append(Written(at, topic, negative, chance.choice(said)))
        begin = WATCHED + chance.random() * (OVER - WATCHED - SURGE_LASTS - WITHIN)
        words = [f"{chance.choice('bdfgklmnprst')}{chance.choice('aeiou')}{number:02d}x{part}" for part in range(4)]
        for _ in range(SURGE_SIZE):
            rows.append(Written(begin + chance.random() * SURGE_LASTS, topic, True, " ".join(chance.sample(words, 3))))
    return sorted(rows, key=lambda row: (row.at, row.topic))


def put(store: Store, rows: Sequence[Written], begin: int) -> None:
    """Put messages away as conversations of one turn each, as serving does, in one transaction."""
    talks, said = [], []
    for number, row in enumerate(rows, begin):
        id = f"c{number:06d}"
        mood = Sentiment("negative", 0.9, -0.85) if row.negative else Sentiment("neutral", 0.9, 0.0)
        known = Understanding("en", (IntentGuess(row.topic, 0.9),), 0.05, mood, versions={"sentiment": "s-1", "intent": "i-1"})
        talks.append({"id": id, "lang": "en", "channel": "chat", "created_at": row.at, "state": "bot"})
        reply = Reply(id, f"r{number:06d}", "send", "template", "It is on its way.", known, (), {}, 5.0)
        said += turn_rows.message_rows(Message(f"m{number:06d}", id, row.text, row.at), reply, 0)
    if talks:
        with store.monitor._database.writing() as connection:
            connection.execute(schema.conversations.insert(), talks)
            connection.execute(schema.messages.insert(), said)


class Lives:
    """The watching process and what follows it when it is killed; moves its clock, and puts away what is written meanwhile."""

    def __init__(self, url: str, port: int, store: Store, rows: list[Written], log: Path) -> None:
        self._words = (sys.executable, str(Path(__file__).with_name("surge_watcher.py")), url, str(port))
        self._store, self._rows, self._log = store, rows, log
        self._put = 0
        self.clock = WATCHED
        self.raised = 0
        self.ended_by: list[int] = []

    def run(self, kills: list[Kill]) -> None:
        """Stream everything, and kill where it is said; every kill must have come about."""
        waiting = list(kills)
        while self.clock < OVER:
            with self._log.open("a") as log, self._started(log) as child:
                self._live(child, waiting)
            self.ended_by.append(child.returncode)
            assert child.returncode in (0, -9), self._log.read_text()
            self.clock += AWAY
        assert not waiting

    def _started(self, log: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*self._words, self.clock.isoformat()],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )

    def _live(self, child: subprocess.Popen[str], kills: list[Kill]) -> None:
        assert child.stdin and child.stdout
        for line in child.stdout:
            told = json.loads(line)
            what = told["what"]
            self.raised += what == "raise_alert"
            if kills and what == kills[0].at and self.raised >= kills[0].raised:
                kills.pop(0)
                child.kill()
                return
            if what == "time":
                self.clock = datetime.fromisoformat(told["at"])
                self._write()
            child.stdin.write(f"{END if self.clock >= OVER else 'go'}\n")
            child.stdin.flush()

    def _write(self) -> None:
        end = self._put
        while end < len(self._rows) and self._rows[end].at <= self.clock:
            end += 1
        put(self._store, self._rows[self._put : end], self._put)
        self._put = end


def offline(store: Store) -> list[Signal]:
    """What the detector says of everything in the store, recoveries left out."""
    judged = rules(Settings(), {})
    detector = Detector(judged.limits)
    told = [signal for event in store.monitor.stream(until=OVER) for signal in detector.observe(event, judged.negative(event))]
    return [signal for signal in told if signal.kind != "recovered"]


def refusals(seed: int) -> Callable[[str], bool]:
    """Refuse three calls in ten, by the notice's id and its number of tries, so that no order of calls matters."""
    tries: Counter[str] = Counter()

    def refused(id: str) -> bool:
        tries[id] += 1
        return random.Random(f"{seed} {id} {tries[id]}").random() < REFUSED

    return refused


@pytest.fixture
def lived(tmp_path: Path, receive: Callable[[], Any]) -> Iterator[tuple[Store, Lives, Any]]:
    """An empty store, what watches it, and a receiver that refuses three calls in ten."""
    receiver, refused = receive(), refusals(11)
    receiver.answer = lambda count: (503 if refused(receiver.got[-1][1]["webhook-id"]) else 204, {}, b"")
    url = sqlite_url(tmp_path / "deskhand.db")
    with open_store(url) as store:
        yield store, Lives(url, receiver.port, store, stream(5), tmp_path / "stderr.txt"), receiver


@pytest.mark.slow
def test_a_hundred_surges_are_a_hundred_alerts_in_time_though_calls_fail_and_the_process_is_killed(
    lived: tuple[Store, Lives, Any],
) -> None:
    store, lives, receiver = lived
    chance = random.Random(8)
    # Once between sending and marking, once between raising and the snapshot.
    lives.run([Kill(chance.randrange(10, 40), "mark_sent"), Kill(chance.randrange(50, 90), "save_state")])
    assert lives.ended_by == [-9, -9, 0]

    signals = offline(store)
    assert sorted(signal.topic for signal in signals) == sorted(f"topic_{number:02d}" for number in range(TOPICS))
    assert all(WATCHED < signal.at < OVER for signal in signals)

    calls = [(headers["webhook-id"], int(headers["webhook-timestamp"]), json.loads(body)) for _, headers, body in receiver.got]
    refused, tries = refusals(11), Counter(id for id, _, _ in calls)
    accepted: dict[str, list[tuple[int, Any]]] = {}
    for id, at, told in calls:
        if not refused(id):
            accepted.setdefault(id, []).append((at, told))
    wanted = {notice_id(alert_id(signal), "opened", TARGET): signal for signal in signals}
    opened = {id: got for id, got in accepted.items() if got[0][1]["type"] == "alert.opened"}
    assert opened.keys() == wanted.keys() and len(opened) == TOPICS
    assert len({got[0][1]["data"]["alert_id"] for got in opened.values()}) == TOPICS
    # Only what was killed between sending and marking comes again, under the same id.
    assert sum(len(got) - 1 for got in accepted.values()) == 1
    late = {id: opened[id][0][0] - math.floor(signal.at.timestamp()) for id, signal in wanted.items()}
    assert max(late.values()) <= WITHIN.total_seconds(), late
    assert 0.2 < 1 - sum(map(len, accepted.values())) / tries.total() < 0.4

    assert {row.state for row in store.monitor.outbox(limit=1000)} == {"sent"}
    assert {alert.id for alert in store.monitor.alerts()} == {alert_id(signal) for signal in signals}
    snapshot = store.monitor.load_state("monitor")
    assert snapshot is not None
    (stand,) = snapshot.value["stands"]
    assert stand["count"] == store.monitor.count(Place(datetime.fromisoformat(stand["until"]), ""))
