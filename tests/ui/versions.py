"""Small adapter versions that really differ: random LoRA factors on one layer, and a random head over a champion's labels."""

from __future__ import annotations

import json
from dataclasses import replace

import torch
from safetensors.torch import save_file

from assistant.adapter_files import CONFIG, HEAD, WEIGHTS, write_manifest
from assistant.registry import Registry

KEY = "base_model.model.encoder.layer.5.attention.self.{}.lora_{}.weight"
WIDTH = 384


def add_random(registry: Registry, version: str, base_sha256: str, seed: int, task: str = "intent") -> str:
    """Add a version of a task whose decisions are its own, and sure; return its name."""
    rng = torch.Generator().manual_seed(seed)
    like = registry.load(task, registry.champion(task) or "", base_sha256).manifest
    staged = registry.staging(task, version)
    factors = {}
    for linear in ("query", "value"):
        factors[KEY.format(linear, "A")] = torch.randn(2, WIDTH, generator=rng) * 0.2
        factors[KEY.format(linear, "B")] = torch.randn(WIDTH, 2, generator=rng) * 0.2
    save_file(factors, staged / WEIGHTS)
    deep = torch.randn(len(like.labels), WIDTH, generator=rng) * 20
    if "oos" in like.labels:
        deep[like.labels.index("oos")] = 0.0  # or most messages would be nobody's business
    save_file({"deep.weight": deep, "deep.bias": torch.zeros(len(like.labels))}, staged / HEAD)
    (staged / CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))
    made = f"2027-01-0{1 + seed % 9}T00:00:00+00:00"
    write_manifest(staged, replace(like, version=version, temperature=1.0, created_at=made, files={}))
    registry.add(task, version, staged, base_sha256)
    return version
