"""A process that changes the registry may be killed at any instant: the next start finds a sound champion and a way back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from assistant.adapter_files import CONFIG, HEAD, WEIGHTS, Manifest, write_manifest
from assistant.registry import Registry

BASE = "b" * 64
KILLS = 100


def tiny(folder: Path, version: str) -> Path:
    """Write a whole version of a few numbers."""
    key = "encoder.layer.5.attention.self.query.lora_{}.weight"
    save_file({key.format("A"): torch.ones(2, 4), key.format("B"): torch.ones(4, 2)}, folder / WEIGHTS)
    save_file({"deep.weight": torch.ones(2, 4), "deep.bias": torch.zeros(2)}, folder / HEAD)
    (folder / CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    write_manifest(
        folder,
        Manifest(
            task="intent",
            version=version,
            base_name="tiny",
            base_sha256=BASE,
            method={},
            labels=("a", "b"),
            training_set={},
            seed=0,
            code_version="0",
            scores={},
            thresholds={},
            temperature=1.0,
            created_at="2026-01-01T00:00:00+00:00",
        ),
    )
    return folder


def test_a_hundred_kills_at_random_instants_never_cost_the_champion(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "adapters")
    for version in ("v1", "v2", "v3"):
        registry.add("intent", version, tiny(registry.staging("intent", version), version), BASE)
    registry.promote("intent", "v1", BASE)
    registry.promote("intent", "v2", BASE)
    script = Path(__file__).with_name("registry_killer.py")
    ran = subprocess.run(
        [sys.executable, str(script), str(registry.root), str(KILLS), "5"],
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told == {"kills": KILLS, "caught": KILLS, "faults": []}
    assert len(registry.withdrawals("intent")) >= 1  # the writers did work
