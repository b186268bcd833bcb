"""Every method trains, is saved in peft's format, and serves the numbers it was trained to give."""

from __future__ import annotations

import json
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from assistant.adapter_files import CONFIG, WEIGHTS, _weights
from assistant.bert import AdapterWeights
from assistant.encoder import Encoder
from assistant.errors import TrainingError
from finetune.adapted import AdaptedEncoder
from finetune.loop import Learner, train
from finetune.recipe import METHODS, TrainSettings
from tests.finetune.tiny_training import tiny_encoder

TEXTS = ["where is my order, please", "hi", "it is broken", "I want my money back for the hoover", "when does it arrive"]
WANTED = [0, 1, 2, 2, 0]
#: Higher than the methods' own, because a training here has 25 steps.
RATES = {"lora": 1e-2, "adalora": 5e-2, "ia3": 5e-2, "prefix": 5e-2, "prompt": 5e-2}


@pytest.fixture(scope="module")
def tiny(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder small enough to train with in a test."""
    return tiny_encoder(encoder, tmp_path_factory.mktemp("tiny") / "tiny-bert")


@pytest.fixture(autouse=True)
def _float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.adapted.bfloat16_pays", lambda: False)  # bfloat16 would blur the comparisons


def small(method: str, **changes: Any) -> TrainSettings:
    values: dict[str, Any] = {
        "method": method, "rank": 4, "alpha": 8, "layers_from": 1, "virtual_tokens": 5, "epochs": 25, "batch_size": 5,
        "patience": 25, "max_tokens": 16, "dropout": 0.0, "learning_rate": RATES[method],
    }  # fmt: skip
    return TrainSettings(**{**values, **changes})


def taught(encoder: Encoder, settings: TrainSettings) -> tuple[AdaptedEncoder, list[float]]:
    """Teach a tiny classifier whose head is frozen, so that only the adapter can learn; return it and its losses."""
    adapted = AdaptedEncoder(encoder, settings, steps=settings.epochs)
    torch.manual_seed(1)
    head = torch.nn.Linear(adapted.dim, 3)
    states = adapted.prepare(TEXTS)

    def loss(rows: list[int]) -> torch.Tensor:
        pooled = adapted.pool(*adapted.hidden([states[row] for row in rows]))
        return torch.nn.functional.cross_entropy(8 * head(pooled), torch.tensor([WANTED[row] for row in rows]))

    def judge() -> float:
        return float((-loss(list(range(len(TEXTS))))).exp())

    for parameter in head.parameters():
        parameter.requires_grad_(False)
    nothing = torch.nn.Module()
    history = train(adapted, Learner(nothing, [len(row) for row in states], loss, lambda: None, judge), settings, seed=3)
    return adapted, [epoch.loss for epoch in history]


def trained_hidden(adapted: AdaptedEncoder) -> list[torch.Tensor]:
    states = adapted.prepare(TEXTS)
    with torch.inference_mode():
        hidden, mask = adapted.hidden(states)
    return [hidden[row][mask[row]] for row in range(len(TEXTS))]


@pytest.fixture(scope="module")
def methods(tiny: Encoder, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[AdaptedEncoder, Path, list[float]]]:
    """All five methods, taught and saved."""
    made = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("finetune.adapted.bfloat16_pays", lambda: False)
        for method in METHODS:
            adapted, losses = taught(tiny, small(method))
            folder = tmp_path_factory.mktemp(method)
            adapted.save(folder)
            made[method] = (adapted, folder, losses)
    return made


def served(folder: Path) -> AdapterWeights:
    return _weights(folder, load_file(folder / WEIGHTS))


@pytest.mark.parametrize("method", METHODS)
def test_each_method_learns(methods: Any, method: str) -> None:
    _, _, losses = methods[method]
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("method", METHODS)
def test_each_method_serves_the_states_it_was_trained_with(methods: Any, method: str, tiny: Encoder) -> None:
    adapted, folder, _ = methods[method]
    block = tiny.encode_for_tasks(TEXTS, tiny.stack({"x": served(folder)}))
    base = tiny.encode_for_tasks(TEXTS).hidden["base"]
    for row, wanted in enumerate(trained_hidden(adapted)):
        found = block.hidden["x"][row][block.mask[row]]
        torch.testing.assert_close(found, wanted, atol=2e-5, rtol=1e-4)
        assert (found - base[row][block.mask[row]]).abs().max() > 1e-2  # the adapter does change something


def test_adapters_of_all_methods_share_one_stack(methods: Any, tiny: Encoder) -> None:
    stack = tiny.stack({method: served(folder) for method, (_, folder, _) in methods.items()})
    assert set(stack.names) == {"lora", "adalora"} and set(stack.others) == {"ia3", "prefix", "prompt"}
    block = tiny.encode_for_tasks(TEXTS, stack)
    for method, (adapted, _, _) in methods.items():
        for row, wanted in enumerate(trained_hidden(adapted)):
            torch.testing.assert_close(block.hidden[method][row][block.mask[row]], wanted, atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_training_states_are_those_of_pefts_own_forward_pass(methods: Any, method: str, tiny: Encoder) -> None:
    adapted, _, _ = methods[method]
    mine = trained_hidden(adapted)
    model = adapted.model.eval()
    for row, text in enumerate(TEXTS):
        ids = torch.tensor([tiny.tokens([text], 16)[0][0]])
        with torch.inference_mode(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if method == "prefix":  # peft counts positions behind the prefix; ours are those the base was trained with
                virtual = adapted.model.peft_config["default"].num_virtual_tokens
                found = model.get_base_model()(
                    input_ids=ids,
                    attention_mask=torch.ones(1, virtual + ids.shape[1]),
                    position_ids=torch.arange(ids.shape[1])[None],
                    past_key_values=model.get_prompt(1),
                ).last_hidden_state[0]
            else:
                found = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        torch.testing.assert_close(mine[row], found[-ids.shape[1] :], atol=5e-5, rtol=1e-4)


@pytest.mark.parametrize("method", ["lora", "adalora", "ia3"])
def test_a_fresh_adapter_changes_nothing(encoder: Encoder, method: str) -> None:
    adapted = AdaptedEncoder(encoder, TrainSettings(method=method, rank=4, layers_from=4))
    block = encoder.encode_for_tasks(TEXTS)
    for row, found in enumerate(trained_hidden(adapted)):
        torch.testing.assert_close(found, block.hidden["base"][row][block.mask[row]], atol=1e-4, rtol=0)


def test_what_is_saved_names_the_base_and_no_folder_of_this_machine(methods: Any, tiny: Encoder) -> None:
    for _, folder, _ in methods.values():
        assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]
        text = (folder / CONFIG).read_text()
        assert json.loads(text)["base_model_name_or_path"] == tiny.name and str(tiny.folder.parent) not in text


def test_adalora_is_saved_as_a_lora_of_the_ranks_that_are_left(methods: Any) -> None:
    adapted, folder, _ = methods["adalora"]
    factors = served(folder).factors
    left = sum(int((pair[1].abs().sum(1) > 0).sum()) for pair in factors.values())
    started = sum(module.lora_A["default"].shape[0] for module in adapted._modules.values())
    assert json.loads((folder / CONFIG).read_text())["peft_type"] == "LORA"
    assert 0 < left < started


def test_only_named_linears_of_the_upper_layers_are_changed(tiny: Encoder, tmp_path: Path) -> None:
    chosen = small("lora", linears=("attention.self.query", "output.dense"))
    AdaptedEncoder(tiny, chosen).save(tmp_path)
    assert set(served(tmp_path).factors) == {(layer, linear) for layer in (1, 2) for linear in chosen.linears}


@pytest.mark.parametrize("first", [3, -1])
def test_layers_that_are_not_there_are_refused(tiny: Encoder, first: int) -> None:
    with pytest.raises(TrainingError, match=r"layers_from = .* must be in 0\.\.2"):
        AdaptedEncoder(tiny, small("lora", layers_from=first))


@pytest.mark.parametrize("method", METHODS)
def test_each_method_trains_in_bfloat16_where_that_is_faster(tiny: Encoder, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finetune.adapted.bfloat16_pays", lambda: True)
    adapted, losses = taught(tiny, small(method, epochs=2))
    assert all(loss == loss for loss in losses)
    adapted.exact = True  # final figures are float32, as they are served
    exact = trained_hidden(adapted)
    adapted._fast = adapted._frozen
    adapted.exact = False
    for first, second in zip(exact, trained_hidden(adapted), strict=True):
        torch.testing.assert_close(first, second)


def test_the_adversarial_step_raises_the_loss(tiny: Encoder) -> None:
    adapted = AdaptedEncoder(tiny, small("lora"))
    torch.manual_seed(1)
    head = torch.nn.Linear(adapted.dim, 3)
    states = adapted.prepare(TEXTS)

    def loss() -> torch.Tensor:
        pooled = adapted.pool(*adapted.hidden(states))
        return torch.nn.functional.cross_entropy(8 * head(pooled), torch.tensor(WANTED))

    adapted.watch(True)
    plain = loss()
    plain.backward()  # type: ignore[no-untyped-call]
    adapted.perturb(0.05)
    pushed = loss()
    adapted.watch(False)
    again = loss()
    assert float(pushed.detach()) > float(plain.detach()) + 1e-3
    assert float(again.detach()) == pytest.approx(float(plain.detach()), abs=1e-6)


def test_random_numbers_of_a_training_do_not_depend_on_what_ran_before(tiny: Encoder) -> None:
    first = taught(tiny, small("lora", epochs=2, dropout=0.2))[1]
    torch.manual_seed(random.Random(4).randrange(1000))
    assert taught(tiny, small("lora", epochs=2, dropout=0.2))[1] == first
