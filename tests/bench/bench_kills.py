"""Kills at random instants: 100 of a process that retrains, 100 of one that promotes, rolls back, offers and adds versions.

    python tests/bench/bench_kills.py [--kills 100] [--seed 7]

After every kill the store must open, a whole champion must serve and at most one run may be unfinished; at the end every run
that was cut off has ended. The trainings are tiny, so that the kills fall between all steps of a night.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from assistant.registry import Registry  # noqa: E402

BASE = "b" * 64
Row = dict[str, Any]


def run(data: Path, kills: int = 100, seed: int = 7) -> list[Row]:
    """Kill both processes and count what was found broken.

    Args:
        data: Not used; every part of the benchmark is given it.
        kills: Of each process.
        seed: Of the instants.

    Returns:
        Rows of figure, value, target, peer, limit and n.
    """
    with tempfile.TemporaryDirectory() as scratch:
        return [_retraining(Path(scratch) / "retrain", kills, seed), _promotion(Path(scratch) / "adapters", kills, seed)]


def _retraining(folder: Path, kills: int, seed: int) -> Row:
    folder.mkdir()
    started = time.perf_counter()
    told = _told("tests/finetune/retrain_killer.py", folder, kills, 3600, seed)
    steps = ", ".join(f"{step} {count}" for step, count in sorted(told["steps"].items()))
    seconds = time.perf_counter() - started
    return {
        "figure": f"faults after kills of a retraining ({steps}; {told['resumed']} runs taken up of {told['nights']})",
        "value": len(told["faults"]) + (told["kills"] < kills),
        "target": "0",
        "peer": {"seconds": round(seconds), "a night took": told["night_s"]},
        "limit": "; ".join(told["faults"][:5]),
        "n": told["kills"],
    }


def _promotion(folder: Path, kills: int, seed: int) -> Row:
    from tests.assistant.test_registry_kill import tiny

    registry = Registry(folder)
    for version in ("v1", "v2", "v3"):
        registry.add("intent", version, tiny(registry.staging("intent", version), version), BASE)
    registry.promote("intent", "v1", BASE)
    registry.promote("intent", "v2", BASE)
    told = _told("tests/assistant/registry_killer.py", folder, kills, seed)
    return {
        "figure": f"faults after kills of a promotion ({told['caught']} caught at work)",
        "value": len(told["faults"]),
        "target": "0",
        "peer": None,
        "limit": "; ".join(told["faults"][:5]),
        "n": told["kills"],
    }


def _told(script: str, *words: Any) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / script), *map(str, words)]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{script} ended with {ran.returncode}: {ran.stderr[-2000:]}")
    return json.loads(ran.stdout.splitlines()[-1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    for row in run(Path(), options.kills, options.seed):
        print(f"{row['figure']}: {row['value']}   (target {row['target']}, n {row['n']}) {row['peer'] or ''} {row['limit']}")
