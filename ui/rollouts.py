"""The commands about trials: ``adapters try``, ``adapters withdraw`` and ``adapters trial``.

Knows words and what is printed; a trial is judged in ``assistant/rollout.py`` and ended in ``ui/watch.py``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from assistant.errors import RegistryError, StoreError, UsageError
from assistant.rollout import Bounds, Rate
from assistant.settings import home
from ui import terminal
from ui.wiring import SERVED, base_sha256, connect, open_registry, read_settings

if TYPE_CHECKING:
    from assistant.registry import Withdrawal
    from ui.watch import Look

_SHARE = 0.1


def run_try(task: str, version: str, *, share: float = _SHARE, bounds: Bounds | None = None, as_json: bool) -> None:
    """Let a version answer a share of the conversations from now on.

    Args:
        task: Its task.
        version: Its name.
        share: Share of the conversations, in (0, 1].
        bounds: What it may do at worst; the usual bounds by default.
        as_json: Whether to print JSON.

    Raises:
        UsageError: If the share is none, or the task is none that serves.
        RegistryError: If the version is missing, damaged or the champion, or another one is on trial.
    """
    if not 0 < share <= 1:
        raise UsageError(f"--share {share}: a share of conversations lies above 0 and up to 1, 0.1 for a tenth")
    if task not in SERVED:
        raise UsageError(f"{task!r} cannot be tried on conversations; {', '.join(SERVED)} can")
    base, registry = base_sha256(read_settings(home())), open_registry(home())
    found = registry.offer(task, version, share, datetime.now(UTC), base, bounds or Bounds())
    champion = registry.champion(task)
    if as_json:
        terminal.say_json({"task": task, "champion": champion, "candidate": found.as_json()})
        return
    terminal.say(f"{task}: {version} answers {share:.0%} of the conversations from now on, {champion} the others")
    terminal.say(f"it is withdrawn by itself if it does worse; `deskhand adapters trial {task}` shows how it does")


def run_withdraw(task: str, *, reason: str = "withdrawn by hand", as_json: bool) -> None:
    """Take a task's candidate out; every conversation goes to the champion.

    Args:
        task: The task.
        reason: Why, for the record.
        as_json: Whether to print JSON.

    Raises:
        RegistryError: If none is on trial.
    """
    registry = open_registry(home())
    figures = {}
    try:
        look = _look(task)
        figures = look.judgement.as_json() if look is not None else {}
    except (RegistryError, StoreError):
        pass  # taking it out must work where its pointer or the replies cannot be read
    told = registry.withdraw(task, reason, datetime.now(UTC), figures=figures)
    if told is None:
        raise RegistryError(f"{task}: no candidate is on trial; `deskhand adapters try {task} VERSION` begins a trial")
    champion = registry.champion(task)
    if as_json:
        terminal.say_json({"task": task, "champion": champion, "withdrawn": told.version, "reason": reason})
    else:
        terminal.say(f"{task}: {told.version} is withdrawn, {champion or 'nothing'} answers all conversations")


def run_status(task: str | None, *, as_json: bool) -> None:
    """Print how the candidates on trial do beside their champions, and what was withdrawn before.

    Args:
        task: Its task; ``None`` for all.
        as_json: Whether to print an array of objects.

    Raises:
        RegistryError: If the task is none, or its pointer cannot be read.
        StoreError: If the replies cannot be read.
    """
    from assistant.registry import TASKS

    registry = open_registry(home())
    looks = [look for name in ((task,) if task else TASKS) if (look := _look(name)) is not None]
    past = {name: registry.withdrawals(name) for name in ((task,) if task else TASKS)}
    if as_json:
        terminal.say_json({"trials": [_told(look) for look in looks], "withdrawn": _past(past)})
        return
    for look in looks:
        _show(look)
    if not looks:
        terminal.say("no candidate is on trial; `deskhand adapters try TASK VERSION --share 0.1` begins a trial")
    for name, gone in past.items():
        for one in gone[-3:]:
            terminal.say(f"{name}: {one.version} was withdrawn {one.at}: {one.reason}")


def _look(task: str) -> Look | None:
    """Judge one task's candidate on what the store holds; nothing is changed."""
    from ui.watch import look_at

    registry = open_registry(home())
    if registry.candidate(task) is None:
        return None
    store = connect(read_settings(home()), home())
    try:
        return look_at(registry, store, task)
    finally:
        store.close()


def _show(look: Look) -> None:
    candidate, judgement = look.candidate, look.judgement
    arms = (judgement.candidate, judgement.champion)
    rows: list[tuple[object, ...]] = [("conversations", *(one.conversations for one in arms), "")]
    rows.append(("replies", *(one.replies for one in arms), ""))
    for mine, other in zip(*(one.rates for one in arms), strict=True):
        allowed = f"+{100 * float(getattr(candidate.bounds, mine.name)):.3g} points"
        rows.append((mine.name, _cell(mine), _cell(other), allowed))
    title = f"{look.task}: {candidate.version} answers {candidate.share:.0%} since {candidate.started_at:%Y-%m-%d %H:%M %Z}"
    columns = ("share of conversations [95 %]", f"candidate {arms[0].version}", f"champion {arms[1].version}", "allowed")
    terminal.table(title, columns, rows)
    terminal.say(f"{'to be withdrawn: ' if judgement.withdraw else ''}{judgement.reason}")


def _cell(rate: Rate) -> str:
    if rate.share is None:
        return "-"
    return f"{100 * rate.share:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"


def _told(look: Look) -> dict[str, Any]:
    judged = look.judgement
    words = {"withdraw": judged.withdraw, "reason": judged.reason, "arms": judged.as_json()}
    return {"task": look.task, **look.candidate.as_json(), **words}


def _past(past: dict[str, list[Withdrawal]]) -> list[dict[str, Any]]:
    from dataclasses import asdict

    return [{"task": task, **asdict(one)} for task, gone in past.items() for one in gone]
