"""What one night of retraining is given, how it goes, and what it came to: frozen values, nothing else.

Read by ``retrain.py``, which knows the steps, and by ``verdicts.py``, which judges; ``ui/retraining.py`` builds them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from assistant import rollout
from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.records import Language
from assistant.registry import Registry
from assistant.store import Store
from finetune.harvested import Rules
from finetune.promote import Bounds, GateVerdict
from finetune.recipe import Progress, Steps, TrainSettings

TASKS = ("intent", "dialog")
#: What a night can come to; ``kept`` passed every check and waits for a person, ``nothing`` had too little to learn from.
NightState = Literal["promoted", "offered", "kept", "refused", "nothing"]


class Overtaken(TrainingError):
    """Another process has taken this run up; the one that learns of it stops and leaves the run's row as it is."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a company's learning lives: its store, its registry, its encoder and the folders of its home.

    Attributes:
        base: Folder of labelled rows the company gave, ``<task>.jsonl``; part of every training.
        holdout: Folder of the frozen holdouts, ``<task>.jsonl``.
        runs: Folder of pages, verdicts, checkpoints and of the book of what was seen.
    """

    store: Store
    registry: Registry
    encoder: Encoder
    base: Path
    holdout: Path
    runs: Path

    def folder(self, task: str, version: str) -> Path:
        """Return the folder of one run."""
        return self.runs / task / version


@dataclass(frozen=True, slots=True)
class Means:
    """What a night needs from outside: clock, redaction, retrieval, language.

    Attributes:
        now: The clock, in UTC.
        new_id: Makes ids.
        redact: Replaces personal data; leaves redacted text as it is.
        evidence: Intent of the best article or template for each text, ``None`` where nothing fits well.
        templates: Text of the company's templates -> intent.
        detect: Language of a text.
        code_version: Deskhand's version.
        progress: Called after every epoch.
        steps: As ``Run.steps``.
        tell: Called with lines for people.
        check: Called before every step; raises ``Overtaken`` where another process has taken the run up.
    """

    now: Callable[[], datetime]
    new_id: Callable[[], str]
    redact: Callable[[str], str]
    evidence: Callable[[Sequence[str]], list[str | None]] | None = None
    templates: Mapping[str, str] = field(default_factory=dict)
    detect: Callable[[str], Language] | None = None
    code_version: str = ""
    progress: Callable[[Progress], None] | None = None
    steps: Steps | None = None
    tell: Callable[[str], None] = lambda line: None
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True, slots=True)
class Plan:
    """How a night goes.

    Attributes:
        settings: How to train; ``replay`` is the share of older rows that is mixed into new ones.
        bounds: What the gate asks for.
        rules: How strict the harvest is.
        min_examples: Fewer new rows wait for the next night.
        holdout_share: Share of a night's new rows that joins the frozen holdout if the candidate is promoted.
        auto_promote: Whether what passes serves at once.
        try_share: Above 0, what passes first answers this share of the conversations.
        rollout: What it may do at worst while it is tried.
    """

    settings: TrainSettings = field(default_factory=TrainSettings)
    bounds: Bounds = field(default_factory=Bounds)
    rules: Rules = field(default_factory=Rules)
    min_examples: int = 20
    holdout_share: float = 0.15
    auto_promote: bool = True
    try_share: float = 0.0
    rollout: rollout.Bounds = field(default_factory=rollout.Bounds)


@dataclass(frozen=True, slots=True)
class Night:
    """What one night came to, as the store keeps it too."""

    task: str
    state: NightState
    why: str
    version: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    verdict: GateVerdict | None = None


@dataclass(frozen=True, slots=True)
class Begun:
    """A run that is under way: its row's id, the version it makes, and what came in between which moments it learns from.

    ``since`` is ``None`` on the first night; ``force`` says that nights which were refused are learned from too; ``resumed``
    that a process before this one was cut off at it.
    """

    id: str
    task: str
    version: str
    since: datetime | None
    until: datetime
    force: bool = False
    resumed: bool = False
