"""``retrain``: settings and a home folder -> one night's learning, and what it came to.

Wires store, registry, retrieval and redaction for ``finetune/retrain.py``, which knows how a night goes.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from assistant.errors import DeskhandError, IndexVersionError, StoreError, UsageError
from assistant.settings import home
from ui import terminal
from ui.training import RUNS, Wishes, epoch_line, settings_of
from ui.wiring import (
    choose_thresholds,
    connect,
    load_encoder,
    make_home,
    make_redactor,
    open_registry,
    read_settings,
    salt,
)

if TYPE_CHECKING:
    from assistant.encoder import Encoder
    from assistant.learning import Learning
    from assistant.settings import Settings
    from assistant.store import Store
    from finetune.recipe import Progress
    from finetune.retrain import Means, Night, Place, Plan

#: Folders of the home: labelled rows the company gives, and rows that nothing is trained on.
EXAMPLES, HOLDOUT = "examples", "holdout"
#: Adapters of these methods share the base's pass over a message. One of another takes a pass of its own, which its setting has
#: chosen: a message may take so many times as long as with the champion, or every night of it would be refused against a LoRA.
_SHARED, _OWN_PASS = ("lora", "adalora"), 2.5


def run_retrain(*, task: str | None, if_due: bool, force: bool, as_json: bool) -> None:
    """Learn from what people wrote since the last run.

    Args:
        task: One task; ``None`` for those of the settings.
        if_due: Leave quietly where another process is at it.
        force: Train even if little is new, and on refused nights too.
        as_json: Whether to print an array of objects.

    Raises:
        UsageError: If the task is none that is retrained, or another process is retraining.
        DeskhandError: If a night fails; the nights of the other tasks are held first.
    """
    from finetune.retrain import TASKS

    # A shell starts what runs in its background deaf to it; a scheduler there could not stop a night.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)
    place = home()
    settings = read_settings(place)
    tasks = (task,) if task else tuple(settings.retrain.tasks)
    if set(tasks) - set(TASKS):
        raise UsageError(f"{task!r} is not retrained from conversations; {', '.join(TASKS)} are")
    nights: list[Night] = []
    faults: list[DeskhandError] = []
    encoder: Encoder | None = None
    with connect(settings, make_home(place)) as store:
        for one in tasks:
            lease = Lease(store.learning, f"retrain:{one}", settings.schedule.lease_s)
            if not lease.take():
                if not if_due:
                    faults.append(UsageError(f"{one} is being retrained by another process; `deskhand adapters list` shows it"))
                continue
            with lease, terminal.Steps(quiet=as_json) as steps:
                encoder = encoder or load_encoder(settings)
                try:
                    nights.append(_hold(settings, place, store, one, encoder, lease, steps, force=force))
                except DeskhandError as error:
                    faults.append(error)
    if as_json and (nights or not faults):
        terminal.say_json([night_json(night) for night in nights])
    elif not as_json:
        for night in nights:
            show(night)
    for fault in faults[1:]:
        terminal.complain(str(fault), as_json=as_json)
    if faults:
        raise faults[0]


def _hold(
    settings: Settings,
    place: Path,
    store: Store,
    task: str,
    encoder: Encoder,
    lease: Lease,
    steps: terminal.Steps,
    *,
    force: bool,
) -> Night:
    from finetune.retrain import retrain

    parts, means, plan = wire(settings, place, store, task, encoder, steps.line)
    means = replace(means, check=lease.check, progress=_checked(means.progress, lease), steps=steps)
    return retrain(task, parts, means, plan, force=force)


def wire(
    settings: Settings, place: Path, store: Store, task: str, encoder: Encoder, tell: Callable[[str], None]
) -> tuple[Place, Means, Plan]:
    """Build what a night needs.

    Args:
        settings: Section ``retrain`` and those that ``wiring.serve`` reads.
        place: The home folder.
        store: The open store.
        task: The task.
        encoder: The base.
        tell: Called with lines for people.

    Returns:
        Where learning lives, its means, and its plan.
    """
    from assistant.language import detect
    from assistant.redact import Memory
    from finetune.promote import Bounds
    from finetune.retrain import Means, Place, Plan
    from ui.version import code_version

    own, redactor, secret = settings.retrain, make_redactor(settings), salt(place)
    chosen = replace(settings_of(task, Wishes(method=own.method, epochs=own.epochs)), replay=own.replay)
    means = Means(
        now=lambda: datetime.now(UTC),
        new_id=lambda: uuid.uuid4().hex,
        redact=lambda text: redactor.redact(text, Memory(secret)).text,
        evidence=_evidence(settings, place, encoder),
        templates={one.text: one.intent for one in store.iter_templates()},
        detect=lambda text: detect(text, None, settings.company.languages),
        code_version=code_version(),
        progress=lambda epoch: tell(epoch_line(task, epoch, chosen.seeds)),
        tell=tell,
    )
    bounds = Bounds(
        max_drop=own.max_drop,
        forgotten=own.allowed_forgotten,
        floors=dict(own.floors) if task == "intent" else {},
    )
    plan = Plan(
        settings=chosen,
        bounds=bounds if own.method in _SHARED else replace(bounds, max_latency_ratio=_OWN_PASS),
        min_examples=own.min_examples,
        holdout_share=own.holdout_share,
        auto_promote=own.auto_promote,
        try_share=own.try_share,
    )
    parts = Place(store, open_registry(place), encoder, place / EXAMPLES, place / HOLDOUT, place / RUNS)
    return parts, means, plan


class Lease:
    """One process's right to retrain a task, kept alive by a thread; ``with`` gives it back at the end.

    A process of this machine that was killed is not waited for; any other loses the lease when its time is up.
    """

    def __init__(self, learning: Learning, name: str, seconds: float) -> None:
        """Name what is leased, and for how long at a time; nothing is taken yet."""
        self._learning, self._name, self._seconds = learning, name, seconds
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._stop = threading.Event()
        self._lost = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="deskhand-lease", daemon=True)

    def take(self) -> bool:
        """Take the lease, and say whether that went well."""
        if self._take():
            return True
        found = self._learning.lease(self._name)
        if found is not None and _is_dead(found.holder):
            self._learning.release_lease(self._name, found.holder)
        return self._take()

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            Overtaken: If another process has it.
        """
        from finetune.retrain import Overtaken

        if self._lost.is_set():
            raise Overtaken("another process took this training over; this one stops and leaves it to the other")

    def __enter__(self) -> Lease:
        """Begin to renew it."""
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Give it back."""
        self._stop.set()
        self._thread.join()
        self._learning.release_lease(self._name, self._holder)

    def _take(self) -> bool:
        return self._learning.take_lease(self._name, self._holder, datetime.now(UTC), self._seconds)

    def _renew(self) -> None:
        while not self._stop.wait(self._seconds / 4):
            try:
                if not self._take():
                    self._lost.set()
                    return
            except StoreError:
                continue  # a database that is busy now may not be so before the lease ends


def _is_dead(holder: str) -> bool:
    host, _, rest = holder.rpartition(":")[0].rpartition(":")
    if host != socket.gethostname() or not rest.isdecimal():
        return False
    try:
        os.kill(int(rest), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _checked(progress: Callable[[Progress], None] | None, lease: Lease) -> Callable[[Progress], None]:
    def told(epoch: Progress) -> None:
        lease.check()
        if progress:
            progress(epoch)

    return told


def night_json(night: Night) -> dict[str, Any]:
    """Return one night as the command prints it."""
    return {
        "task": night.task,
        "state": night.state,
        "why": night.why,
        "version": night.version,
        "counts": dict(night.counts),
        "verdict": night.verdict.as_json() if night.verdict else None,
    }


def show(night: Night) -> None:
    """Print one night for people."""
    from finetune.promote import COLUMNS

    terminal.say(f"{night.task}: {night.state}. {night.why}")
    if night.counts:
        shown = ("new", "training", "holdout", "pairs" if night.task == "dialog" else "examples")
        terminal.say("  " + ", ".join(f"{name} {night.counts[name]}" for name in shown if name in night.counts))
    if night.verdict:
        title = f"{night.task}/{night.version} against the champion"
        terminal.table(title, COLUMNS, [tuple(line) for line in night.verdict.as_table()])


def _evidence(settings: Settings, place: Path, encoder: Encoder) -> Callable[[Sequence[str]], list[str | None]] | None:
    """Return a search over articles and templates; past replies would find the very conversation that is harvested."""
    from retrieval.index import open_current
    from retrieval.retriever import Retriever

    try:
        index = open_current(place / "index", encoder.sha256, gpu=settings.index.gpu)
    except IndexVersionError:
        return None
    retriever = Retriever(index, encoder.encode)
    trained: Mapping[str, float] = {}
    least = choose_thresholds(settings, trained).min_evidence

    def evidence(texts: Sequence[str]) -> list[str | None]:
        vectors = encoder.encode(texts)
        found: list[str | None] = []
        for text, vector in zip(texts, vectors, strict=True):
            hits = retriever.search(text, vector=vector, k=1, kinds=("article", "template"))
            found.append(hits[0].passage.intent if hits and hits[0].score >= least else None)
        return found

    return evidence
