"""Looks after the trials: judges every candidate on the conversations so far, and takes out those that do worse.

``check_rollouts`` is one look, for whoever keeps time; ``Watch`` is the server's own timekeeper. How both arms are compared
is in ``assistant/rollout.py``; what happens after a withdrawal, in ``live.py``, which sees the pointer go.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from assistant.errors import DeskhandError, RegistryError
from assistant.rollout import Candidate, Judgement, judge

if TYPE_CHECKING:
    from assistant.registry import Registry
    from assistant.store import Store

LOG = logging.getLogger("deskhand")
EVERY_S = 60.0
EVERY_REPLIES = 50


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a task's trial found; ``withdrawn`` says whether this look ended it."""

    task: str
    candidate: Candidate
    judgement: Judgement
    withdrawn: bool


def check_rollouts(registry: Registry, store: Store, now: datetime) -> list[Look]:
    """Judge every candidate on trial, and withdraw those that do worse than their champion.

    Args:
        registry: Where the candidates are.
        store: Where the replies are.
        now: The time of a withdrawal, timezone-aware.

    Returns:
        One for each candidate on trial. A pointer that cannot be read is logged and passed over; it serves nobody.

    Raises:
        StoreError: If the replies cannot be read.
    """
    from assistant.registry import TASKS

    looks = []
    for task in TASKS:
        try:
            look = look_at(registry, store, task)
        except RegistryError as error:
            LOG.error("%s", error)
            continue
        if look is None:
            continue
        judgement, version = look.judgement, look.candidate.version
        if judgement.withdraw:
            gone = registry.withdraw(task, judgement.reason, now, version=version, figures=judgement.as_json())
            if gone is not None:
                LOG.warning("%s: candidate %s is withdrawn: %s", task, version, judgement.reason)
                look = Look(task, look.candidate, judgement, withdrawn=True)
        looks.append(look)
    return looks


def look_at(registry: Registry, store: Store, task: str) -> Look | None:
    """Judge one task's candidate and change nothing; ``None`` without one.

    Raises:
        RegistryError: If its pointer cannot be read.
        StoreError: If the replies cannot be read.
    """
    candidate = registry.candidate(task)
    if candidate is None:
        return None
    outcomes = store.learning.outcomes(task, candidate.started_at)
    judgement = judge(outcomes, candidate.version, registry.champion(task) or "", candidate.bounds)
    return Look(task, candidate, judgement, withdrawn=False)


class Watch:
    """A thread that looks every so often, and after so many replies; it never ends because of a fault."""

    def __init__(
        self,
        look: Callable[[], object],
        *,
        every_s: float | Callable[[], float] = EVERY_S,
        every_replies: int = EVERY_REPLIES,
        wake: threading.Event | None = None,
        at_once: bool = False,
        fault: str = "the candidates on trial could not be judged",
    ) -> None:
        """Keep what to do; nothing runs before ``start``.

        Args:
            look: One look; may raise.
            every_s: Seconds between two looks, or what tells them anew before each.
            every_replies: A look comes earlier after so many replies.
            wake: The clock: its ``wait`` passes the time; the system's by default.
            at_once: Whether the first look comes without waiting.
            fault: What the log says of a look that raised.
        """
        self._look = look
        self._every_s = every_s
        self._every_replies = every_replies
        self._wake = wake or threading.Event()
        self._at_once = at_once
        self._fault = fault
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._replies = 0
        self._thread: threading.Thread | None = None

    def replied(self) -> None:
        """Count a reply; cheap, and safe to call from any thread."""
        with self._lock:
            self._replies += 1
            due = self._replies >= self._every_replies
            if due:
                self._replies = 0
        if due:
            self._wake.set()

    def stopping(self) -> bool:
        """Say whether it was told to end; a long look asks now and then."""
        return self._stopped.is_set()

    def start(self) -> None:
        """Begin to look, unless that has begun already."""
        if self._thread is None:
            self._stopped.clear()
            self._thread = threading.Thread(target=self._run, name="deskhand-watch", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End, and wait until a look under way is done."""
        self._stopped.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        waited = self._at_once
        while not self._stopped.is_set():
            if not waited:
                self._wake.wait(self._every_s() if callable(self._every_s) else self._every_s)
                self._wake.clear()
            waited = False
            if self._stopped.is_set():
                return
            try:
                self._look()
            except DeskhandError as error:
                LOG.error("%s: %s", self._fault, error)
            except Exception:  # the edge of a thread: the next look may work, and nobody else would look
                LOG.exception(self._fault)
