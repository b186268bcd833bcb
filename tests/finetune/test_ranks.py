"""Several processes share every batch and end with what one process ends with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from assistant.adapter_files import HEAD, WEIGHTS
from assistant.encoder import Encoder
from finetune.ranks import Ranks, join
from finetune.recipe import TrainSettings
from tests.finetune import tiny_training
from tests.finetune.tiny_training import tiny_encoder


@pytest.fixture(scope="module")
def tiny(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder small enough to train with in a test."""
    return tiny_encoder(encoder, tmp_path_factory.mktemp("tiny") / "tiny-bert")


@given(st.lists(st.integers(), max_size=30, unique=True), st.integers(1, 5))
def test_the_shares_of_all_ranks_are_the_batch(rows: list[int], world: int) -> None:
    shares = [Ranks(rank, world).share(rows) for rank in range(world)]
    assert sorted(row for share in shares for row in share) == sorted(rows)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_without_torchrun_one_process_trains_alone() -> None:
    alone = join({})
    assert alone == Ranks() and alone.first and alone.share([3, 1]) == [3, 1] and alone.agree(0.25) == 0.25
    weight = torch.nn.Parameter(torch.ones(2))
    alone.add_gradients([weight])
    assert weight.grad is None
    alone.close()


@pytest.mark.slow
def test_two_processes_train_what_one_trains(tiny: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.adapted.bfloat16_pays", lambda: False)
    # No class weights and no dropout: both are drawn or weighed per process.
    together = TrainSettings(
        rank=4, layers_from=1, epochs=3, batch_size=4, dropout=0.0, class_weights="none", patience=3, max_tokens=16
    )
    values = {**asdict(together), "linears": list(together.linears)}
    command = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", tiny_training.__file__,
        str(tiny.folder), str(tmp_path), json.dumps(values), "0",
    ]  # fmt: skip
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    alone = TrainSettings(**{**values, "linears": together.linears, "batch_size": 8})
    single = tiny_training.train(tiny, tmp_path / "alone", alone)
    scores = np.array(json.loads((tmp_path / "history.json").read_text()))[:, 1]
    np.testing.assert_allclose(scores, [epoch.score for epoch in single.history], atol=1e-3)
    for name in (WEIGHTS, HEAD):
        wanted = load_file(tmp_path / "alone" / "v1" / name)
        ranks = [load_file(tmp_path / f"rank-{rank}" / "v1" / name) for rank in (0, 1)]
        for key, tensor in wanted.items():
            assert torch.equal(ranks[0][key], ranks[1][key])
            torch.testing.assert_close(ranks[0][key], tensor, atol=2e-3, rtol=1e-2)
