"""A million readings in a SQLite store: how long the monitor takes to read and judge all of them, from nothing.

    python tests/bench/bench_rebuild.py [--events 1000000]

The messages are those of a simulated company of 200 topics in two languages (``monitor_streams.py``), put into the tables in
bulk. The monitor then looks for the first time, which raises and explains alerts; its snapshots are dropped and it looks again:
that is the rebuild. Both go through what a server runs: the store's stream, the detector, alerts, snapshots. Beside them: reading
the same rows as plain tuples, and as the stream's events. A rebuild that ends elsewhere than the first look is an error.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from assistant.monitor.explain import explain  # noqa: E402
from assistant.monitor.readings import turn_id  # noqa: E402
from assistant.monitor.telling import notices  # noqa: E402
from assistant.monitor.watching import Monitor, Rules  # noqa: E402
from assistant.store import Store, open_store, sqlite_url  # noqa: E402
from tests.bench.monitor_streams import LOCALES, Company, History, simulate  # noqa: E402

Row = dict[str, Any]
EVENTS = 1_000_000
WEEKS = 30
SOURCE = "log"
CALM = ("could you tell me when it comes", "how long does it take", "which carrier is it", "can I change the day", "thank you")
CROSS = (
    "this is taking far too long",
    "nobody answers me",
    "I am fed up with this",
    "it is broken again",
    "I want my money back",
)
_CHUNK = 100_000


def run(data: Path, events: int = EVENTS) -> list[Row]:
    """Fill a store, look, drop the monitor's state and rebuild it.

    Args:
        data: Not used; every part of the benchmark is given it.
        events: How many readings; the first so many of the simulated company's messages.

    Returns:
        One row of figure, value, target, peer, limit and n.

    Raises:
        RuntimeError: The simulated company wrote too little, or the rebuild ended elsewhere than the first look.
    """
    history = simulate(Company(seed=99, weeks=WEEKS))
    if history.at.size < events:
        raise RuntimeError(f"{history.at.size} messages in {WEEKS} weeks, {events} are wanted: simulate more weeks")
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "deskhand.db"
        filling = _Stopwatch()
        with open_store(sqlite_url(path)):
            pass
        fill(path, history, events)
        print(f"{events} readings written in {filling}, {path.stat().st_size / 1e6:.0f} MB", flush=True)
        now = datetime.fromtimestamp(float(history.at[events - 1]), UTC) + timedelta(minutes=1)
        del history
        return [_measure(path, events, now)]


def _measure(path: Path, events: int, now: datetime) -> Row:
    plain = _Stopwatch()
    with closing(sqlite3.connect(path)) as connection:
        for _ in connection.execute("SELECT id, at, topic, locale, negative, positive FROM readings ORDER BY at, id"):
            pass
    plain.stop()
    with open_store(sqlite_url(path)) as store:
        streaming = _Stopwatch()
        seen = sum(1 for _ in store.monitor.stream())
        streaming.stop()
        first = _Stopwatch()
        monitor = _monitor(store)
        found = monitor.catch_up(now)
        first.stop()
        print(f"first look: {first}, {len(found.raised)} alerts raised, {len(found.joined)} joined", flush=True)
        rebuilding = _Stopwatch()
        again = _monitor(store)
        again.forget()
        rebuilt = again.catch_up(now)
        rebuilding.stop()
        if seen != events or rebuilt.events != events or again.state() != monitor.state() or rebuilt.raised:
            raise RuntimeError(f"{events} were written, {seen} streamed, {rebuilt.events} rebuilt; or the states differ")
    print(f"rebuilt: {rebuilding}; stream alone {streaming}; rows alone {plain}", flush=True)
    return {
        "figure": f"seconds to rebuild the monitor from {events:,} readings in SQLite, measured whole",
        "value": round(rebuilding.wall, 1),
        "target": "60",
        "peer": {
            "processor seconds": round(rebuilding.work, 1),
            "first look, with the alerts' explanations": round(first.wall, 1),
            "streaming the events alone": round(streaming.wall, 1),
        },
        "limit": {"reading the rows alone": round(plain.wall, 1)},
        "n": events,
    }


def _monitor(store: Store) -> Monitor:
    rules = Rules()
    return Monitor(
        store.monitor, rules, partial(explain, store.monitor, rules), lambda one, what, at: notices(one, what, at, ("team",), UTC)
    )


def fill(path: Path, history: History, events: int) -> None:
    """Put past conversations and their readings into the tables, in bulk.

    Args:
        path: A SQLite store at the newest revision, empty.
        history: The messages.
        events: How many of them, from the first on.
    """
    chance = random.Random(7)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("BEGIN")
        connection.execute(
            "INSERT INTO sources VALUES (?, ?, 'logs', ?, 'jsonl', '{}', '2024-01-01 00:00:00.000000')", (SOURCE, SOURCE, SOURCE)
        )
        known: dict[int, int] = {}
        for begin in range(0, events, _CHUNK):
            rows = list(_rows(history, begin, min(begin + _CHUNK, events), known, chance))
            talks = [row[1:7] for row in rows if row[0] == 0]
            connection.executemany(
                'INSERT INTO transcripts (source_id, id, position, lang, started_at, "where") VALUES (?, ?, ?, ?, ?, ?)', talks
            )
            connection.executemany(
                "INSERT INTO transcript_turns VALUES (?, ?, ?, 'customer', ?, ?)",
                ((SOURCE, row[2], row[0], row[7], row[5]) for row in rows),
            )
            connection.executemany(
                "INSERT INTO readings (source_id, transcript_id, position, id, at, topic, locale, negative, positive, emotions,"
                " version, intent_version) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '{}', 's-1', 'i-1')",
                ((SOURCE, row[2], row[0], turn_id(SOURCE, row[2], row[0]), row[5], row[8], row[4], row[9], 0.05) for row in rows),
            )
        connection.execute("COMMIT")


def _rows(history: History, begin: int, end: int, known: dict[int, int], chance: random.Random) -> Iterator[tuple[Any, ...]]:
    """Yield each message: position, its conversation's row (source, id, position, lang, time, where), text, topic, negative."""
    part = slice(begin, end)
    for at, stream, number, negative in zip(
        history.at[part].tolist(),
        history.stream[part].tolist(),
        history.conversation[part].tolist(),
        history.negative[part].tolist(),
        strict=True,
    ):
        position = known.get(number, -1) + 1
        known[number] = position
        moment = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        said = chance.choice(CROSS if negative else CALM)
        locale = LOCALES[stream % 2]
        yield (
            position,
            SOURCE,
            f"c{number}",
            number,
            locale,
            moment,
            "log",
            said,
            f"topic_{stream // 2}",
            0.9 if negative else 0.1,
        )


class _Stopwatch:
    """Seconds by the wall's clock and of the processor, from now on."""

    def __init__(self) -> None:
        self._begun, self._worked = time.perf_counter(), time.process_time()
        self.wall = self.work = 0.0

    def stop(self) -> None:
        self.wall, self.work = time.perf_counter() - self._begun, time.process_time() - self._worked

    def __str__(self) -> str:
        if not self.wall:
            self.stop()
        return f"{self.wall:.1f} s ({self.work:.1f} s of the processor)"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=EVENTS)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    run(Path(), parser.parse_args().events)
