"""The forward pass without transformers gives transformers' numbers, for the base and for each adapter of a batch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from assistant.adapter_files import _weights
from assistant.bert import LINEARS, AdapterWeights, Bert, BertShape, LoraBank
from assistant.encoder import Encoder
from assistant.errors import EncoderError

TEXTS = [
    "Where is my order?",
    "hi",
    "The robot hoover stopped in the middle of the kitchen and will not charge any more, please help",
]


@pytest.fixture(scope="module")
def packed(encoder: Encoder) -> tuple[torch.Tensor, torch.Tensor]:
    """Three texts of different length, padded."""
    rows = [encoding.ids for encoding in encoder._tokens(TEXTS)]
    ids, mask = encoder._pack(rows)
    assert mask is not None and not mask.all()
    return ids, mask


@pytest.fixture(scope="module")
def reference(encoder: Encoder) -> Any:
    from transformers import AutoModel

    return AutoModel.from_pretrained(encoder.folder, local_files_only=True).eval()


def peft_adapter(
    encoder: Encoder, folder: Path, seed: int, layers: str, linears: str, **config: Any
) -> tuple[Any, AdapterWeights]:
    """A peft model with random factors, and the same adapter as the registry reads it from peft's own files."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    torch.manual_seed(seed)
    config["target_modules"] = rf".*encoder\.layer\.({layers})\.({linears})"
    base = AutoModel.from_pretrained(encoder.folder, local_files_only=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft uses names that transformers is about to drop
        model = get_peft_model(base, LoraConfig(**config)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(folder, safe_serialization=True)
    return model, _weights(folder, load_file(folder / "adapter_model.safetensors"))


@pytest.fixture(scope="module")
def adapters(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, AdapterWeights]]:
    """Two adapters of different rank, layers, linears and scaling."""
    root = tmp_path_factory.mktemp("peft")
    every = "|".join(name.replace(".", r"\.") for name in LINEARS)
    return [
        peft_adapter(encoder, root / "a", 1, "2|3|4|5", r"attention\.self\.query|attention\.self\.value", r=4, lora_alpha=8),
        peft_adapter(encoder, root / "b", 2, "4|5", every, r=8, lora_alpha=16, use_rslora=True),
    ]


def real(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return hidden[mask]  # what stands at padding is nobody's business


def test_base_gives_the_numbers_of_transformers_on_a_padded_batch(encoder: Encoder, reference: Any, packed: Any) -> None:
    ids, mask = packed
    with torch.inference_mode():
        wanted = reference(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        found = encoder._bert.forward(ids, mask)
    torch.testing.assert_close(real(found, mask), real(wanted, mask), atol=1e-4, rtol=0)


def test_stopping_after_some_layers_gives_the_hidden_state_of_that_layer(encoder: Encoder, reference: Any, packed: Any) -> None:
    ids, mask = packed
    with torch.inference_mode():
        wanted = reference(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        for layers in (0, 3, 6):
            found = encoder._bert.forward(ids, mask, layers=layers)
            torch.testing.assert_close(real(found, mask), real(wanted[layers], mask), atol=1e-4, rtol=0)


def test_each_adapter_of_a_mixed_batch_gives_the_numbers_of_peft(encoder: Encoder, adapters: Any, packed: Any) -> None:
    ids, mask = packed
    bank = LoraBank([weights for _, weights in adapters])
    with torch.inference_mode():
        bare = encoder._bert.forward(ids, mask)
        blocks = encoder._bert.forward(ids, mask, bank).view(3, len(ids), ids.shape[1], -1)
        torch.testing.assert_close(real(blocks[0], mask), real(bare, mask), atol=1e-5, rtol=0)
        for block, (model, _) in zip(blocks[1:], adapters, strict=True):
            wanted = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
            assert (real(wanted, mask) - real(bare, mask)).abs().max() > 0.05  # the adapter does change something
            torch.testing.assert_close(real(block, mask), real(wanted, mask), atol=1e-4, rtol=0)


def test_rows_are_shared_up_to_the_first_adapted_layer(
    encoder: Encoder, adapters: Any, packed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids, mask = packed
    bank = LoraBank([adapters[1][1]])
    assert bank.first_layer == 4
    assert LoraBank([weights for _, weights in adapters]).first_layer == 2
    rows: list[int] = []
    norm = torch.nn.functional.layer_norm
    monkeypatch.setattr(torch.nn.functional, "layer_norm", lambda x, *rest: rows.append(len(x)) or norm(x, *rest))
    with torch.inference_mode():
        encoder._bert.forward(ids, mask, bank)
    assert rows == [3] * 9 + [6] * 4  # embeddings and four layers once, two layers for base and adapter


def test_a_run_that_ends_below_the_adapters_still_has_a_block_for_each(encoder: Encoder, adapters: Any, packed: Any) -> None:
    ids, mask = packed
    with torch.inference_mode():
        found = encoder._bert.forward(ids, mask, LoraBank([adapters[1][1]]), layers=2)
    assert torch.equal(found[:3], found[3:])


def test_an_empty_bank_is_the_bare_base(encoder: Encoder, packed: Any) -> None:
    ids, mask = packed
    with torch.inference_mode():
        assert torch.equal(encoder._bert.forward(ids, mask, LoraBank(())), encoder._bert.forward(ids, mask))


def test_missing_weights_are_named() -> None:
    with pytest.raises(EncoderError, match=r"embeddings\.word_embeddings\.weight"):
        Bert({}, BertShape(layers=1, width=8, heads=2, eps=1e-12, position_offset=0, max_tokens=8))


@pytest.mark.parametrize(
    ("key", "down", "up"),
    [
        ((6, "output.dense"), (1536, 2), (2, 384)),
        ((5, "output.dense"), (384, 2), (2, 384)),
        ((5, "intermediate.dense"), (384, 2), (2, 384)),
        ((5, "attention.self.query"), (384, 2), (3, 384)),
    ],
)
def test_an_adapter_of_another_size_is_refused_before_it_serves(
    encoder: Encoder, key: tuple[int, str], down: tuple[int, int], up: tuple[int, int]
) -> None:
    with pytest.raises(EncoderError, match="does not fit the encoder"):
        encoder.set_adapters({"odd": AdapterWeights({key: (torch.zeros(down), torch.zeros(up))})})
    assert set(encoder.encode_for_tasks(["hello"]).hidden) == {"base"}


def random_prefix(seed: int) -> AdapterWeights:
    torch.manual_seed(seed)
    return AdapterWeights(prefix={layer: (torch.randn(3, 384), torch.randn(3, 384)) for layer in range(6)})


@pytest.mark.parametrize(
    "weights",
    [
        AdapterWeights(),
        AdapterWeights(gains={(4, "attention.self.key"): torch.full((384,), 1.5), (5, "output.dense"): torch.full((1536,), 0.5)}),
        random_prefix(1),
        AdapterWeights(prompt=torch.ones(4, 384)),
    ],
    ids=["bare", "ia3", "prefix", "prompt"],
)
def test_padding_does_not_count_for_any_method(encoder: Encoder, packed: Any, weights: AdapterWeights) -> None:
    ids, mask = packed
    with torch.inference_mode():
        together = encoder.forward_with(ids, mask, weights)
        assert together.shape == (*ids.shape, 384)
        for row, one in enumerate(mask):
            alone = encoder.forward_with(ids[row : row + 1, one], one[one][None], weights)[0]
            torch.testing.assert_close(together[row][one], alone, atol=1e-4, rtol=0)


def test_one_adapter_alone_gives_what_the_mixed_batch_gives(encoder: Encoder, adapters: Any, packed: Any) -> None:
    ids, mask = packed
    with torch.inference_mode():
        blocks = encoder._bert.forward(ids, mask, LoraBank([weights for _, weights in adapters])).view(3, *ids.shape, -1)
        for block, (_, weights) in zip(blocks[1:], adapters, strict=True):
            torch.testing.assert_close(real(encoder.forward_with(ids, mask, weights), mask), real(block, mask), atol=1e-4, rtol=0)


def test_gradients_flow_into_the_adapter_and_not_into_the_base(encoder: Encoder, packed: Any) -> None:
    ids, mask = packed
    prompt = torch.ones(2, 384, requires_grad=True)
    found = encoder.forward_with(ids, mask, AdapterWeights(prompt=prompt))
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert prompt.grad is not None and float(prompt.grad.abs().max()) > 0
    assert not any(tensor.requires_grad for tensor in encoder._bert._embed.values())


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (AdapterWeights(gains={(6, "output.dense"): torch.ones(1536)}), r"layer 6 output\.dense"),
        (AdapterWeights(gains={(5, "output.dense"): torch.ones(384)}), r"layer 5 output\.dense"),
        (AdapterWeights(prefix={2: (torch.ones(3, 384), torch.ones(2, 384))}), "the prefix of layer 2"),
        (AdapterWeights(prompt=torch.ones(3, 32)), "the prompt"),
    ],
)
def test_vectors_of_another_size_are_refused_before_they_serve(encoder: Encoder, weights: AdapterWeights, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        encoder.set_adapters({"odd": weights})
    assert set(encoder.encode_for_tasks(["hello"]).hidden) == {"base"}
