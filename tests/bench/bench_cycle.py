"""A whole cycle on real logs: four nights of the STAR dialogues, then a poisoned one; after each, how the champion does.

    python tests/bench/bench_cycle.py --data PATH/TO/DATA [--conversations 5818] [--cap 1500]

The numbers of the dialogues stand for time. The first night learns from the oldest 25 %, three more from 15 % each, and the
newest 20 % is the test, which no night ever sees; what is left before it, about 10 %, is the poisoned night: tags are shuffled
and agents' replies swapped between conversations. Completed dialogues count as resolved; the first task of a
dialogue is its tag, though a third of them turn to others later. Trainings are smaller than in use: three epochs, the upper
half of the layers, ``cap`` conversations a night at most.
"""

from __future__ import annotations

import argparse
import gzip
import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from assistant.database import sqlite_url  # noqa: E402
from assistant.encoder import Encoder, resolve  # noqa: E402
from assistant.records import Transcript, TranscriptTurn  # noqa: E402
from assistant.registry import Registry  # noqa: E402
from assistant.sources import SourceRecord  # noqa: E402
from assistant.store import open_store  # noqa: E402
from finetune.comparing import judge_version  # noqa: E402
from finetune.harvest import harvest  # noqa: E402
from finetune.harvested import Conversation, Example, Pair, Rules  # noqa: E402
from finetune.recipe import TrainSettings  # noqa: E402
from finetune.retrain import Means, Night, Place, Plan, retrain  # noqa: E402

START = datetime(2020, 1, 1, tzinfo=UTC)
SHARES = (0.25, 0.15, 0.15, 0.15)
TEST_SHARE, TEST_ROWS = 0.2, 1000
SETTINGS = {
    "intent": TrainSettings(epochs=3, layers_from=3, replay=0.5),
    "dialog": TrainSettings(
        epochs=3, layers_from=3, replay=0.5, batch_size=64, max_tokens=128, head_learning_rate=1e-3, rank=8, alpha=16
    ),
}
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Test:
    """What no night sees: opening questions with their task, and pairs of context and reply."""

    examples: tuple[Example, ...]
    pairs: tuple[Pair, ...]


def run(data: Path, conversations: int = 5818, cap: int = 1500) -> list[Row]:
    """Hold the nights and measure the champion after each.

    Args:
        data: The folder that holds ``star``.
        conversations: How many dialogues are used, evenly over time.
        cap: Most conversations of one night; the newest of it are taken.

    Returns:
        Rows of figure, value, target, peer, limit and n; none, with a line printed, where the data is absent.
    """
    file = data / "star" / "dialogues.jsonl.gz"
    if not file.is_file():
        print(f"skipped: {file} is absent")
        return []
    talks = list(_read(file))
    talks = talks[:: max(1, len(talks) // conversations)]
    ends = [round(len(talks) * share) for share in itertools.accumulate(SHARES)]
    begin = len(talks) - round(len(talks) * TEST_SHARE)
    nights = [talks[first:last][-cap:] for first, last in itertools.pairwise([0, *ends])]
    bad = _poisoned(talks[ends[-1] : begin][-cap:])
    test = _test(talks[begin:])
    encoder = Encoder(resolve("all-MiniLM-L6-v2"))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch, open_store(sqlite_url(Path(scratch) / "deskhand.db")) as store:
        folders = (Path(scratch) / name for name in ("examples", "holdout", "runs"))
        place = Place(store, Registry(Path(scratch) / "adapters"), encoder, *folders)
        clock = (START + timedelta(days=30, seconds=second) for second in itertools.count())
        ids = (f"id-{number}" for number in itertools.count())
        means = Means(now=lambda: next(clock), new_id=lambda: next(ids), redact=str)
        for number, log in enumerate([*nights, bad]):
            name = "poisoned night" if log is bad else f"night {number + 1}"
            source = SourceRecord(f"s{number}", name, "logs", str(number), "jsonl", next(clock))
            store.add_source(source, transcripts=log)
            for task in ("intent", "dialog"):
                started = time.perf_counter()
                night = retrain(task, place, means, Plan(settings=SETTINGS[task]))
                seconds = time.perf_counter() - started
                rows.append(_row(name, task, night, place, test, len(log), seconds, poisoned=log is bad))
    return rows


def _row(
    name: str, task: str, night: Night, place: Place, test: Test, conversations: int, seconds: float, *, poisoned: bool
) -> Row:
    figure, value = ("intent accuracy", None) if task == "intent" else ("dialog recall@1 of 100", None)
    count = 0
    if champion := place.registry.champion(task):
        version = place.registry.load(task, champion, place.encoder.sha256)
        judged = judge_version(version, place.encoder, test.examples if task == "intent" else test.pairs, [], 0)
        count = judged.n
        value = round(float((judged.right >= 1).mean()), 4)
    learned = f"{night.counts.get('training', 0)} rows of {conversations} new conversations, {seconds:.0f} s"
    row = {
        "figure": f"{name}: {figure} of the champion on the newest {TEST_SHARE:.0%}",
        "value": value,
        "target": "refused" if poisoned else None,
        "peer": {"night": night.state, "learned from": learned},
        "limit": night.why if night.state != "promoted" else "",
        "n": count,
    }
    print(f"{row['figure']}: {value} ({night.state}; {learned}) {row['limit']}", flush=True)
    return row


def _poisoned(talks: Sequence[Transcript]) -> list[Transcript]:
    """Shuffle the tags, and give every conversation the agents' replies of another."""
    rng = random.Random(0)
    tags = [one.intent for one in talks]
    others = list(talks)
    rng.shuffle(tags)
    rng.shuffle(others)
    bad = []
    for one, tag, other in zip(talks, tags, others, strict=True):
        replies = [turn.text for turn in other.turns if turn.role == "agent"] or ["That is not what we do here, sorry."]
        said = itertools.cycle(replies)
        turns = tuple(replace(turn, text=next(said)) if turn.role == "agent" else turn for turn in one.turns)
        bad.append(replace(one, turns=turns, intent=tag))
    return bad


def _test(talks: Sequence[Transcript]) -> Test:
    """Make rows as a night would, without a champion's opinion and without leaving out what is said often."""
    rules = Rules(least=1, flood_share=1.0, flood_times=1e9, near=2.0)
    gathered = [Conversation(f"transcript:test/{one.id}", one) for one in talks]
    found = harvest(gathered, predict=None, evidence=None, templates={}, known=(), redact=str, rules=rules)
    unique: dict[str, Pair] = {}
    for pair in found.pairs:
        unique.setdefault(" ".join(pair.reply.lower().split()), pair)
    pairs = list(unique.values())
    random.Random(0).shuffle(pairs)
    return Test(found.examples[-TEST_ROWS:], tuple(pairs[:TEST_ROWS]))


def _read(file: Path) -> Iterator[Transcript]:
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = sorted((json.loads(line) for line in lines), key=lambda row: int(row["id"].partition("-")[2]))
    for row in rows:
        at = START + timedelta(minutes=int(row["id"].partition("-")[2]))
        turns = tuple(
            TranscriptTurn(turn["role"], turn["text"].strip(), at)
            for turn in row["turns"]
            if turn["role"] in ("customer", "agent") and turn["text"].strip()
        )
        if turns and row["tasks"]:
            done = row["completion"] == "Complete"
            yield Transcript(row["id"], turns, row["id"], "en", None, done, intent=row["tasks"][0], started_at=at)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--conversations", type=int, default=5818)
    parser.add_argument("--cap", type=int, default=1500)
    options = parser.parse_args()
    run(options.data, options.conversations, options.cap)
