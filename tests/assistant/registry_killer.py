"""Runs for ``test_registry_kill.py``: forks a process that promotes, adds, offers and withdraws, and kills it at random instants.

Prints one line of JSON: how many kills, how many writers were caught at work, and every fault that was found after one.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from assistant.errors import RegistryError
from assistant.registry import Registry
from assistant.rollout import Bounds

BASE = "b" * 64
AT = datetime(2026, 2, 1, tzinfo=UTC)


def write(root: Path, seed: int) -> None:
    """Change the registry in every way there is until somebody ends it."""
    registry, rng = Registry(root), random.Random(seed)
    for number in range(1_000_000):
        registry.promote("intent", rng.choice(("v1", "v2", "v3")), BASE)
        registry.rollback("intent", BASE)
        other = next(name for name in ("v1", "v2", "v3") if name != registry.champion("intent"))
        registry.offer("intent", other, 0.5, AT, BASE, Bounds())
        registry.withdraw("intent", "enough", AT)
        version = f"n{seed}-{number}"
        staged = registry.staging("intent", version)
        source = registry.folder("intent", "v1")
        shutil.copytree(source, staged, dirs_exist_ok=True)
        text = (staged / "manifest.json").read_text()
        (staged / "manifest.json").write_text(text.replace('"version": "v1"', f'"version": "{version}"'))
        shutil.rmtree(registry.add("intent", version, staged, BASE))


def faults_of(root: Path) -> list[str]:
    """Say what is wrong after a kill: a process that starts now must find a sound champion, and a way back."""
    registry, faults = Registry(root), []
    try:
        champion, before = registry.champion("intent"), registry.previous("intent")
        registry.load("intent", champion or "", BASE)
        if before is None or before == champion:
            faults.append(f"previous is {before!r} beside champion {champion!r}")
        elif registry.rollback("intent", BASE) != before or registry.rollback("intent", BASE) != champion:
            faults.append("rollback and back is not where it began")
        running = registry.candidate("intent")
        if running is not None:
            registry.load("intent", running.version, BASE)
            registry.withdraw("intent", "after the kill", AT)
    except RegistryError as error:
        faults.append(str(error))
    return faults


def main() -> None:
    """Kill the writer as often as the arguments say: folder, kills, seed."""
    root, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    faults: list[str] = []
    caught = 0
    for number in range(kills):
        child = os.fork()
        if not child:
            try:
                write(root, number)
            finally:
                os._exit(3)
        time.sleep(rng.uniform(0.001, 0.06))
        os.kill(child, signal.SIGKILL)
        caught += os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
        faults += [f"kill {number}: {fault}" for fault in faults_of(root)]
    print(json.dumps({"kills": kills, "caught": caught, "faults": faults}))


if __name__ == "__main__":
    main()
