"""A small company whose nights are tried: six of the sample's intents, a store, a registry, and a clock that ticks when asked."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from assistant.database import sqlite_url
from assistant.encoder import Encoder
from assistant.learning import conversation_ref
from assistant.records import Feedback, Message, Reply, Transcript, TranscriptTurn, Understanding
from assistant.registry import Registry
from assistant.sources import SourceRecord
from assistant.store import Store, open_store
from finetune.promote import Bounds
from finetune.recipe import TrainSettings
from finetune.retrain import Means, Night, Place, Plan, retrain

ROWS = Path(__file__).parents[2] / "data" / "sample" / "train" / "intent.jsonl"
LABELS = ("cancel_order", "damaged_on_arrival", "gift_card", "invoice_request", "login_password", "wifi_offline")
START = datetime(2026, 5, 1, tzinfo=UTC)
SETTINGS = TrainSettings(rank=2, layers_from=5, epochs=2, batch_size=8, max_tokens=32, replay=1.0)
#: A gate that lets everything pass that is a version at all: these are tests of nights, and tiny adapters are no good.
OPEN = Bounds(
    least_rows=20, worse_by=1.0, max_drop=1.0, over_majority=0.0, least_score=0.0, floor_drop=1.0, unrecognised=1.0, forgotten=99,
    max_ece=1.0, max_ece_rise=1.0, kept=0.0,
)  # fmt: skip
PLAN = Plan(settings=SETTINGS, bounds=OPEN, min_examples=20)
Tag = Callable[[str, int], str | None]


def questions() -> dict[str, list[tuple[str, str]]]:
    """Text and language of every row of the six intents, every fourth one Chinese."""
    found: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for line in ROWS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        if row["label"] in LABELS:
            found[row["label"]].append((row["text"], row["lang"]))
    for label, rows in found.items():
        en, zh = ([row for row in rows if row[1] == lang] for lang in ("en", "zh"))
        mixed = [row for at, other in enumerate(zh) for row in (*en[3 * at : 3 * at + 3], other)]
        found[label] = mixed
    return found


QUESTIONS = questions()


def talks(start: int, stop: int, tag: Tag = lambda label, _: label, labels: Sequence[str] = LABELS) -> list[Transcript]:
    """One resolved conversation for each of the rows ``start`` to ``stop`` of every intent, tagged by what ``tag`` says."""
    made = []
    for number, label in itertools.product(range(start, stop), labels):
        text, lang = QUESTIONS[label][number]
        at = START + timedelta(minutes=10 * number + labels.index(label))
        answer = f"We have now taken care of your {label.replace('_', ' ')} request number {number} and written to you about it."
        turns = (TranscriptTurn("customer", text, at), TranscriptTurn("agent", answer, at + timedelta(minutes=1)))
        id = f"{label}-{number}"
        made.append(Transcript(id, turns, id, lang, f"c-{id}", True, intent=tag(label, number), started_at=at))
    return made


class Company:
    """What a night needs, and shorthands for what happens by day."""

    def __init__(self, folder: Path, store: Store, encoder: Encoder, day: int = 0) -> None:
        """Lay out a home in a folder; a later day has a later clock and other ids."""
        self.store = store
        self.place = Place(
            store, Registry(folder / "adapters"), encoder, folder / "examples", folder / "holdout", folder / "runs"
        )
        self.at = START + timedelta(days=30 + day)
        self.ids = (f"id-{day}-{number}" for number in itertools.count())
        self.told: list[str] = []
        self.means = Means(now=self.now, new_id=lambda: next(self.ids), redact=str, tell=self.told.append)

    def now(self) -> datetime:
        """A second later every time."""
        self.at += timedelta(seconds=1)
        return self.at

    def ingest(self, name: str, transcripts: Iterable[Transcript], replaces: str | None = None) -> None:
        """Take a log in."""
        id = next(self.ids)
        source = SourceRecord(f"s-{id}", name, "logs", id, "jsonl", self.now())
        self.store.add_source(source, transcripts=transcripts, replaces=replaces)

    def talk(self, id: str, question: str) -> None:
        """Hold a live conversation of one turn: ``ID-m`` asks, ``ID-r`` answers."""
        self.store.start_conversation(id, self.now(), "en", f"c-{id}")
        reply = Reply(id, f"{id}-r", "send", "sure", "an answer", Understanding("en"), (), {}, 0.0)
        self.store.record_turn(Message(f"{id}-m", id, question, self.now()), reply)

    def correct(self, id: str, question: str, answer: str = "", intent: str | None = None) -> str:
        """Put the answer to a live question right; return the conversation's ref."""
        self.talk(id, question)
        self.store.add_feedback(Feedback(f"{id}-r", -1, "", answer, self.now(), intent))
        return conversation_ref(id)

    def night(self, task: str = "intent", plan: Plan = PLAN, *, force: bool = False, **means: Any) -> Night:
        """Retrain."""
        return retrain(task, self.place, replace(self.means, **means), plan, force=force)

    def champion(self, task: str = "intent") -> str | None:
        """What serves; it is whole."""
        name = self.place.registry.champion(task)
        if name:
            self.place.registry.load(task, name, self.place.encoder.sha256)
        return name

    def held(self, task: str = "intent") -> list[dict[str, Any]]:
        """The frozen holdout."""
        path = self.place.holdout / f"{task}.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []


@contextmanager
def company(folder: Path, encoder: Encoder, day: int = 0) -> Iterator[Company]:
    """A company on a new store, or on the one that stands in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with open_store(sqlite_url(folder / "deskhand.db")) as store:
        yield Company(folder, store, encoder, day)


def whole(texts: Sequence[str]) -> list[str | None]:
    """Evidence that knows the truth of every question of the sample, as the company's articles and templates would."""
    truth = {text: label for label, rows in QUESTIONS.items() for text, _ in rows}
    return [truth.get(text) for text in texts]
