"""Runs for ``test_retrain_kill.py`` and the benchmark: forks a process that retrains, and kills it at random instants.

Usage: ``python retrain_killer.py FOLDER KILLS SECONDS SEED``. Ends after so many kills or seconds, whichever comes first, and
prints one line of JSON: how many kills, at which step each of them came, and every fault that was found after one.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from assistant.encoder import Encoder, resolve
from assistant.errors import DeskhandError
from assistant.records import Transcript, TranscriptTurn
from finetune import pages
from finetune.harvested import Rules
from finetune.holdout import read_holdout
from finetune.recipe import TrainSettings
from finetune.retrain import HELD
from finetune.verdicts import OUTCOME
from tests.finetune.nights import OPEN, START, Company, Plan, company
from tests.finetune.tiny_training import tiny_encoder

LABELS = ("refund", "delivery", "password")
PLAN = Plan(
    settings=TrainSettings(rank=2, layers_from=1, epochs=2, batch_size=8, max_tokens=16, replay=0.0),
    bounds=replace(OPEN, least_rows=8),
    rules=Rules(near=2.0),  # to a random encoder all texts are alike
    min_examples=10,
)


def log(day: int, batch: int) -> list[Transcript]:
    """Ten resolved conversations on each of three intents."""
    made = []
    for number in range(30):
        label, id = LABELS[number % 3], f"{day}-{batch}-{number}"
        at = START + timedelta(days=30 + day, seconds=batch)
        said = TranscriptTurn("customer", f"I need help with my {label} on account {id.replace('-', ' ')} again", at)
        turns = (said, TranscriptTurn("agent", f"Your {label} is taken care of, see letter {id}.", at))
        made.append(Transcript(id, turns, id, "en", f"c-{id}", True, intent=label, started_at=at))
    return made


def work(folder: Path, encoder: Encoder, day: int, nights: int) -> None:
    """Finish what was cut off, then ingest and retrain again and again."""
    with company(folder, encoder, day) as shop:
        if shop.store.learning.unfinished_runs():
            shop.night(plan=PLAN)
        for batch in range(nights):
            shop.ingest(f"log-{day}-{batch}", log(day, batch))
            shop.night(plan=PLAN)


def step_of(shop: Company) -> str:
    """Say how far the run had come that was killed."""
    runs = shop.store.learning.unfinished_runs()
    if not runs or runs[0].version is None:
        return "between two runs"
    version, place = runs[0].version, shop.place
    if place.registry.champion("intent") == version:
        return "promoted, row unfinished"
    if (place.folder("intent", version) / OUTCOME).is_file():
        return "judged, not promoted"
    if (place.registry.root / "intent" / version).is_dir():
        return "in the registry, not judged"
    if any(place.runs.glob("checkpoints/*/seed-*")):
        return "in training, after an epoch"
    return "in training, before an epoch" if (place.folder("intent", version) / HELD).is_file() else "gathering"


def faults_of(shop: Company) -> list[str]:
    """Say what is wrong after a kill: the store opens, one run at most is unfinished, and a whole champion serves."""
    faults = []
    if len(shop.store.learning.unfinished_runs()) > 1:
        faults.append("several runs are unfinished")
    try:
        if shop.champion() is None:
            faults.append("there is no champion")
        held = read_holdout(shop.place.holdout / "intent.jsonl", lambda row: row.ref)
        if len({row.text for row in held}) != len(held):
            faults.append("a row stands twice in the holdout")
    except DeskhandError as error:
        faults.append(str(error))
    return faults


def main() -> None:
    """Kill the worker as often as the arguments say."""
    folder, kills, seconds, rng = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), random.Random(int(sys.argv[4]))
    pages.write_classifier = lambda *_: None  # type: ignore[assignment]
    encoder = tiny_encoder(Encoder(resolve("all-MiniLM-L6-v2"), dtype="float32", threads=1), folder / "tiny-bert")
    home = folder / "home"
    started = time.monotonic()
    work(home, encoder, 0, 1)
    night_s = time.monotonic() - started  # what a night takes here and now
    steps: Counter[str] = Counter()
    faults: list[str] = []
    done = resumed = 0
    while done < kills and time.monotonic() - started < seconds:
        done += 1
        child = os.fork()
        if not child:
            try:
                work(home, encoder, done, 1000)
            finally:
                os._exit(3)
        time.sleep(rng.uniform(0.0, 1.5 * night_s))
        os.kill(child, signal.SIGKILL)
        if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
            faults.append(f"kill {done}: the worker had ended by itself")
        with company(home, encoder) as shop:
            steps[step_of(shop)] += 1
            faults += [f"kill {done}: {fault}" for fault in faults_of(shop)]
    work(home, encoder, done + 1, 1)
    with company(home, encoder) as shop:
        runs = shop.store.learning.runs("intent", limit=10_000)
        resumed = sum(run.attempts > 1 for run in runs)
        states = Counter(run.state for run in runs)
        faults += faults_of(shop)
        if set(states) != {"promoted"}:
            faults.append(f"runs ended {dict(states)}")
        left = [path.name for path in (shop.place.registry.root / "intent").glob(".*")]
        versions = len(shop.place.registry.versions("intent"))
    print(
        json.dumps({
            "kills": done, "steps": dict(steps), "resumed": resumed, "nights": len(runs), "versions": versions, "left": left,
            "faults": faults, "night_s": round(night_s, 2),
        })
    )  # fmt: skip


if __name__ == "__main__":
    main()
