"""The training loop: batches cover every row, early stopping keeps the best epoch, impossible settings are refused."""

from __future__ import annotations

import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.registry import _factors
from finetune.lora import AdaptedEncoder, LoraSettings, batches, train

TEXTS = ["where is my order, please", "hi", "it is broken"]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 200), st.integers(1, 40), st.integers(0, 5))
def test_every_row_is_in_one_batch(count: int, size: int, seed: int) -> None:
    lengths = [(row * 7) % 50 for row in range(count)]
    found = list(batches(count, size, lengths, random.Random(seed)))
    assert sorted(row for rows in found for row in rows) == list(range(count))
    assert all(0 < len(rows) <= size for rows in found)
    assert found == list(batches(count, size, lengths, random.Random(seed)))


def scripted(scores: list[float], **changes: Any) -> tuple[list[float], torch.nn.Linear, list[float]]:
    """Run the loop on one weight; return scores seen, the head afterwards and its bias after each epoch."""
    head = torch.nn.Linear(1, 1)
    adapted: Any = SimpleNamespace(model=torch.nn.Linear(1, 1), parameters=lambda: list(adapted.model.parameters()))
    biases: list[float] = []

    def judge() -> float:
        assert not head.training
        biases.append(float(head.bias.detach()))
        return scores[len(biases) - 1]

    chosen = LoraSettings(**{"epochs": len(scores), "batch_size": 2, "patience": 2, **changes})
    history = train(adapted, head, [1] * 6, lambda rows: head(adapted.model(torch.ones(len(rows), 1))).mean(), judge, chosen)
    return [step.score for step in history], head, biases


def test_the_best_epoch_is_kept() -> None:
    seen, head, biases = scripted([0.2, 0.9, 0.5])
    assert seen == [0.2, 0.9, 0.5]
    assert float(head.bias.detach()) == pytest.approx(biases[1]) and biases[1] != biases[2]


def test_training_stops_when_nothing_gets_better() -> None:
    seen, _, _ = scripted([0.5, 0.4, 0.5, 0.9, 0.9], patience=2)
    assert seen == [0.5, 0.4, 0.5]


@pytest.mark.parametrize("changes", [{"layers_from": 6}, {"layers_from": -1}, {"linears": ("pooler.dense",)}])
def test_layers_and_linears_that_are_not_there_are_refused(encoder: Encoder, changes: dict[str, Any]) -> None:
    with pytest.raises(TrainingError, match="layers_from must be in 0"):
        AdaptedEncoder(encoder, LoraSettings(**changes))


def test_a_fresh_adapter_changes_nothing_and_saves_what_serving_reads(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.lora.has_matrix_tiles", lambda: False)
    chosen = LoraSettings(rank=4, layers_from=3, linears=("attention.self.query", "output.dense"))
    adapted = AdaptedEncoder(encoder, chosen)
    states = [state for state, _ in adapted.prepare(TEXTS)]
    with torch.inference_mode():
        hidden, mask = adapted.hidden(states)
        block = encoder.encode_for_tasks(TEXTS)
    torch.testing.assert_close(hidden[mask], block.hidden["base"][block.mask], atol=1e-4, rtol=0)
    adapted.save(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["adapter_config.json", "adapter_model.safetensors"]
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == encoder.name
    from safetensors.torch import load_file

    factors = _factors(tmp_path, load_file(tmp_path / "adapter_model.safetensors")).factors
    assert set(factors) == {(layer, linear) for layer in (3, 4, 5) for linear in chosen.linears}


def test_settings_go_whole_into_the_manifest() -> None:
    values = LoraSettings(rank=3).as_dict()
    assert values["name"] == "lora" and values["rank"] == 3
    assert json.loads(json.dumps(values)) == values
