"""A process that retrains may be killed at any instant: a whole champion serves, and the next process ends what it began."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_kills_at_random_instants_cost_neither_champion_nor_run(tmp_path: Path) -> None:
    script = Path(__file__).with_name("retrain_killer.py")
    ran = subprocess.run(
        [sys.executable, str(script), str(tmp_path), "100", "50", "11"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    told = json.loads(ran.stdout.splitlines()[-1])
    assert told["faults"] == []
    assert told["kills"] >= 3 and told["resumed"] >= 1
    assert told["nights"] == told["versions"] and not told["left"]
