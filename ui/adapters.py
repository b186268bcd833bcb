"""The ``adapters`` commands: list, show, promote, roll back.

Knows words and what is printed; training is in ``training.py``, what a version is in ``assistant/registry.py``.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from assistant.settings import home
from ui import terminal
from ui.wiring import base_sha256, connect, open_registry, read_settings

#: Labels that are named in one line.
_NAMED = 6


def run_list(*, as_json: bool) -> None:
    """Print every version of every task, oldest first, what retraining last came to and when it runs next.

    Args:
        as_json: Whether to print one object: ``versions``, ``faults``, ``next_retraining``, ``retraining_now``, ``last``.
    """
    from assistant.registry import TASKS
    from ui.scheduling import schedule_state

    place = home()
    registry, settings = open_registry(place), read_settings(place)
    with connect(settings, place) as store:
        due = store.learning.due()
        state = schedule_state(settings, store, datetime.now(UTC))
    stale = {(one.task, one.version): one.reason for one in due}
    faults = {task: fault for task in TASKS if (fault := registry.fault(task))}
    rows: list[dict[str, Any]] = []
    for task in TASKS:
        champion, candidate = registry.champion(task), registry.candidate(task)
        for one in registry.versions(task):
            tried = candidate.share if candidate is not None and candidate.version == one.version else None
            rows.append(
                {
                    "task": task,
                    "version": one.version,
                    "champion": one.version == champion,
                    "candidate_share": tried,
                    "due": stale.get((task, one.version)),
                    "base": one.base_name,
                    "method": one.method.get("name"),
                    "examples": one.training_set.get("examples"),
                    "scores": one.scores,
                    "created_at": one.created_at,
                }
            )
    if as_json:
        following = state.next_run.isoformat() if state.next_run else None
        told = {"versions": rows, "faults": faults, "next_retraining": following}
        terminal.say_json({**told, "retraining_now": state.holder, "last": list(state.verdicts)})
        return
    if not rows:
        terminal.say(f"no adapters in {registry.root}; `deskhand adapters train TASK --data FILE` makes one")
    else:
        shown = [
            (_mark(row), row["task"], row["version"], row["examples"], _scores(row["scores"]), row["created_at"][:16])
            for row in rows
        ]
        terminal.table("adapters (* serves)", ("", "task", "version", "examples", "scores", "made"), shown)
    for task, fault in faults.items():
        terminal.note(f"warning: {task}: {registry.champion(task)} cannot serve: {fault}")
    for old in due:
        serves = old.version == registry.champion(old.task)
        what = "due for retraining" if serves else "holds what was erased, let it not serve again"
        terminal.say(f"{what}: {old.task}/{old.version} ({old.reason})")
    for line in state.verdicts:
        terminal.say(line)
    if state.holder:
        terminal.say(f"retraining now: {state.holder}")
    if state.next_run:
        terminal.say(f"next retraining: {state.next_run:%Y-%m-%d %H:%M %Z}, where `deskhand schedule` runs")


def _mark(row: dict[str, Any]) -> str:
    if row["champion"]:
        return "*"
    if row["candidate_share"] is not None:
        return f"{row['candidate_share']:.0%}"
    return "due" if row["due"] else ""


def run_show(task: str, version: str, *, as_json: bool) -> None:
    """Print everything that is known of one version.

    Args:
        task: Its task.
        version: Its name.
        as_json: Whether to print the manifest as JSON.

    Raises:
        RegistryError: If there is no such version, or its manifest is damaged.
    """
    from assistant.adapter_files import read_manifest

    registry = open_registry(home())
    found = read_manifest(registry.folder(task, version))
    values = {**asdict(found), "champion": registry.champion(task) == version}
    if as_json:
        terminal.say_json(values)
        return
    values["labels"] = f"{len(found.labels)}: {', '.join(found.labels)}"
    rows = [(name, _lines(value)) for name, value in values.items() if value not in ({}, "")]
    terminal.table(f"{task}/{version}", ("what", "value"), rows)


def run_promote(task: str, version: str, *, as_json: bool) -> None:
    """Make a version the champion.

    Args:
        task: Its task.
        version: Its name.
        as_json: Whether to print JSON.

    Raises:
        RegistryError: If the version is missing or does not pass the checks.
    """
    registry = open_registry(home())
    before = registry.champion(task)
    known = {one.version: one.labels for one in registry.versions(task)}
    registry.promote(task, version, base_sha256(read_settings(home())))
    _told(task, version, before, as_json=as_json)
    gone = sorted({*known.get(before or "", ())} - {*known[version]})
    if gone and not as_json:
        named = ", ".join(gone[:_NAMED]) + (", …" if len(gone) > _NAMED else "")
        terminal.note(f"warning: it knows none of {len(gone)} labels that {before} knows: {named}")


def run_rollback(task: str, *, as_json: bool) -> None:
    """Make the champion before this one the champion again.

    Args:
        task: The task.
        as_json: Whether to print JSON.

    Raises:
        RegistryError: If there was none before.
    """
    registry = open_registry(home())
    before = registry.champion(task)
    version = registry.rollback(task, base_sha256(read_settings(home())))
    _told(task, version, before, as_json=as_json)


def _told(task: str, version: str, before: str | None, *, as_json: bool) -> None:
    if as_json:
        terminal.say_json({"task": task, "champion": version, "before": before})
    else:
        terminal.say(f"{task}: {version} serves now (before: {before or 'none'})")


def _scores(scores: dict[str, float]) -> str:
    return ", ".join(f"{name.removeprefix('validation_')} {value:.4g}" for name, value in scores.items())


def _lines(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key} = {item}" for key, item in value.items())
    return str(value)
