"""A killed training goes on where it was; a checkpoint of something else, or a damaged one, is not taken up."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from assistant.adapter_files import HEAD, WEIGHTS
from assistant.encoder import Encoder
from finetune.checkpoint import Checkpoint, load, save
from finetune.intent import Trained
from finetune.recipe import Progress, TrainSettings
from tests.finetune import tiny_training
from tests.finetune.tiny_training import TRAINING, tiny_encoder, train

KEPT = Checkpoint({"weight.0": torch.arange(6.0).view(2, 3), "best.0": torch.ones(2)}, (Progress(1, 3, 0.5, 0.25, 1.5, 7),), 4)
EVERYTHING = TrainSettings(
    rank=4, layers_from=1, epochs=4, batch_size=8, patience=4, dropout=0.2, average=0.5, adversarial=0.02, contrast=0.1,
    typing_noise=0.3, casing=0.3,
)  # fmt: skip


@pytest.fixture(scope="module")
def tiny(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder small enough to train with in a test."""
    return tiny_encoder(encoder, tmp_path_factory.mktemp("tiny") / "tiny-bert")


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.adapted.bfloat16_pays", lambda: False)


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    return {**load_file(folder / WEIGHTS), **load_file(folder / HEAD)}


def same_weights(first: Path, second: Path) -> bool:
    one, other = tensors(first), tensors(second)
    return set(one) == set(other) and all(torch.equal(one[name], other[name]) for name in one)


def interrupted(tiny: Encoder, folder: Path, settings: TrainSettings, after: int, **changes: Any) -> None:
    """Train and break off when so many epochs are done."""
    seen: list[Progress] = []

    def stop(epoch: Progress) -> None:
        seen.append(epoch)
        if len(seen) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tiny, folder, settings, progress=stop, **changes)


def epochs_run(tiny: Encoder, folder: Path, settings: TrainSettings, **changes: Any) -> tuple[list[int], Trained]:
    seen: list[int] = []
    trained = train(tiny, folder, settings, progress=lambda epoch: seen.append(epoch.epoch), **changes)
    return seen, trained


def test_a_checkpoint_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    save(tmp_path / "new" / "a.safetensors", KEPT, "print")
    found = load(tmp_path / "new" / "a.safetensors", "print")
    assert found is not None and found.history == KEPT.history and found.step == 4
    assert all(torch.equal(found.tensors[name], KEPT.tensors[name]) for name in KEPT.tensors)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.safetensors"]


def test_no_other_or_a_damaged_checkpoint_is_none(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    assert load(file, "print") is None
    save(file, KEPT, "print")
    assert load(file, "another") is None
    whole = file.read_bytes()
    for damaged in (b"", whole[:40], whole[:-3], b"\xff" * 200, whole.replace(b'\\"epoch\\"', b'\\"epoxy\\"')):
        file.write_bytes(damaged)
        assert load(file, "print") is None


@pytest.mark.slow
def test_a_killed_process_is_taken_up_by_the_next_and_ends_bit_for_bit_alike(tiny: Encoder, tmp_path: Path) -> None:
    script = [sys.executable, tiny_training.__file__, str(tiny.folder), str(tmp_path / "killed")]
    values = {**asdict(EVERYTHING), "linears": list(EVERYTHING.linears)}
    killed = subprocess.run(
        [*script, json.dumps(values), "2"], cwd=Path(__file__).parents[2], capture_output=True, check=False, timeout=600
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()[-2000:]
    settings = TrainSettings(**{**values, "linears": tuple(EVERYTHING.linears)})
    seen, resumed = epochs_run(tiny, tmp_path / "killed" / "rank-0", settings)
    _, unbroken = epochs_run(tiny, tmp_path / "whole", settings)
    assert seen == [3, 4]
    assert [epoch.score for epoch in resumed.history] == [epoch.score for epoch in unbroken.history]
    assert same_weights(tmp_path / "killed" / "rank-0" / "v1", tmp_path / "whole" / "v1")


@pytest.mark.parametrize("method", ["adalora", "ia3", "prefix", "prompt"])
def test_every_method_goes_on_bit_for_bit(tiny: Encoder, tmp_path: Path, method: str) -> None:
    tokens = {"virtual_tokens": 4} if method in ("prefix", "prompt") else {}
    settings = TrainSettings(method=method, rank=4, layers_from=1, epochs=5, batch_size=6, patience=5, **tokens)
    interrupted(tiny, tmp_path / "broken", settings, 4)  # AdaLoRA has fixed its ranks by then
    seen, _ = epochs_run(tiny, tmp_path / "broken", settings)
    epochs_run(tiny, tmp_path / "whole", settings)
    assert seen == [5]
    assert same_weights(tmp_path / "broken" / "v1", tmp_path / "whole" / "v1")


def test_a_break_in_the_second_of_two_seeds_does_not_train_the_first_again(tiny: Encoder, tmp_path: Path) -> None:
    settings = TrainSettings(rank=2, layers_from=2, epochs=2, batch_size=8, seeds=2)
    interrupted(tiny, tmp_path / "broken", settings, 3)
    seen, resumed = epochs_run(tiny, tmp_path / "broken", settings)
    epochs_run(tiny, tmp_path / "whole", settings)
    assert seen == [2] and [(epoch.seed, epoch.epoch) for epoch in resumed.history] == [(7, 1), (7, 2), (8, 1), (8, 2)]
    assert same_weights(tmp_path / "broken" / "v1", tmp_path / "whole" / "v1")


def test_a_checkpoint_of_other_examples_or_settings_is_not_taken_up(tiny: Encoder, tmp_path: Path) -> None:
    settings = TrainSettings(rank=2, layers_from=2, epochs=2, batch_size=8)
    interrupted(tiny, tmp_path, settings, 1)
    assert epochs_run(tiny, tmp_path, settings, training=TRAINING[1:])[0] == [1, 2]
    assert epochs_run(tiny, tmp_path, TrainSettings(rank=2, layers_from=2, epochs=2, batch_size=9))[0] == [1, 2]
    assert epochs_run(tiny, tmp_path, settings)[0] == [2]


def test_a_damaged_checkpoint_is_trained_over(tiny: Encoder, tmp_path: Path) -> None:
    settings = TrainSettings(rank=2, layers_from=2, epochs=2, batch_size=8)
    interrupted(tiny, tmp_path, settings, 1)
    (file,) = (tmp_path / "work").rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:5000])
    assert epochs_run(tiny, tmp_path, settings)[0] == [1, 2]
