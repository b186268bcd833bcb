"""Texts become the vectors sentence-transformers would give, whatever the batch; unusable models are refused with the mend."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from assistant.bert import AdapterWeights
from assistant.encoder import Encoder, resolve
from assistant.errors import EncoderError

TEXTS = [
    "Where is my parcel?",
    "",
    "🤖🔥🔥",
    "Vac 5 连不上",
    "The hoover is broken. " * 80,
    "refund",
    "ok thx",
    "Ich möchte meine Bestellung stornieren",
]
DEADLINE_S = 30.0


def together(first: Any, second: Any) -> float:
    return float((first * second).sum(-1).min())


def test_vectors_are_those_of_sentence_transformers(encoder: Encoder) -> None:
    from sentence_transformers import SentenceTransformer

    wanted = SentenceTransformer(str(encoder.folder), device="cpu", local_files_only=True).encode(TEXTS, show_progress_bar=False)
    found = encoder.encode(TEXTS)
    assert found.dtype == np.float32 and found.shape == (len(TEXTS), encoder.dim)
    assert np.abs(found - wanted).max() < 1e-3
    assert together(found, wanted) > 0.9999


def test_order_and_batch_size_do_not_count(encoder: Encoder) -> None:
    order = list(range(len(TEXTS)))
    random.Random(3).shuffle(order)
    many = encoder.encode(TEXTS)
    shuffled = encoder.encode([TEXTS[row] for row in order])
    np.testing.assert_allclose(shuffled, many[order], atol=1e-5)
    np.testing.assert_allclose(np.concatenate([encoder.encode([text]) for text in TEXTS]), many, atol=1e-5)


def test_progress_adds_up_over_several_batches(encoder: Encoder) -> None:
    done: list[int] = []
    found = encoder.encode(["short"] * 100 + ["word " * 40] * 30, done.append)
    assert sum(done) == 130 and len(done) > 1
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    "text",
    ["", " ", "x" * 100_000, "word " * 20_000, "👩‍👩‍👧‍👦" * 50, "a\x00b", "half \ud83d pair", "\u202e\u200b", "한국어 日本語"],
)
def test_hostile_text_gives_a_unit_vector(encoder: Encoder, text: str) -> None:
    found = encoder.encode([text])
    assert abs(float(np.linalg.norm(found)) - 1.0) < 1e-5
    block = encoder.encode_for_tasks([text])
    assert len(block.offsets[0]) <= encoder.max_tokens


def test_no_texts_give_no_vectors(encoder: Encoder) -> None:
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_offsets_point_into_the_text_beside_half_a_surrogate_pair(encoder: Encoder) -> None:
    text = "\ud83d my hoover"
    (start, end) = encoder.encode_for_tasks([text]).offsets[0][-2]
    assert text[end - 2 : end] == "er" and start < end


def test_the_base_block_is_what_encode_gives(encoder: Encoder) -> None:
    block = encoder.encode_for_tasks(TEXTS[:4])
    found = encoder.pool(block.hidden["base"], block.mask).numpy()
    np.testing.assert_allclose(found, encoder.encode(TEXTS[:4]), atol=1e-5)


def test_lower_states_keep_the_closing_token_of_a_text_that_is_cut(encoder: Encoder) -> None:
    (states, offsets), (short, _) = encoder.lower_states(["word " * 50, "hi"], layers=2, max_tokens=10)
    assert states.shape == (10, encoder.dim) and len(offsets) == 10
    assert offsets[-1] == (0, 0)
    assert short.shape == (3, encoder.dim)


def test_tokens_are_cut_with_their_offsets_and_keep_the_closing_one(encoder: Encoder) -> None:
    (ids, offsets), (short, _) = encoder.tokens(["word " * 50, "hi"], 10)
    assert len(ids) == len(offsets) == 10 and offsets[-1] == (0, 0) and ids[-1] == short[-1]
    assert len(short) == 3


def test_training_shares_the_weights_it_serves_with_unless_it_runs_in_bfloat16(encoder: Encoder) -> None:
    assert encoder.trainable(bfloat16=False) is encoder._bert
    assert encoder.trainable(bfloat16=True).dtype == torch.bfloat16 and encoder._bert.dtype == torch.float32


def test_adapters_of_another_method_are_served_beside_the_bank(bare: Encoder) -> None:
    prompt = AdapterWeights(prompt=torch.ones(3, bare.dim))
    bare.set_adapters({"p": prompt, "x": lora(1)})
    many = bare.encode_for_tasks(["hello there", "hi"])
    assert set(many.hidden) == {"base", "x", "p"} and {len(block[0]) for block in many.hidden.values()} == {4}
    apart = bare.encode_for_tasks(["hello there"], bare.stack({"p": prompt}))
    torch.testing.assert_close(apart.hidden["p"][0], many.hidden["p"][0], atol=1e-4, rtol=0)


# --- models that cannot serve -----------------------------------------------------------------------------------------


@pytest.fixture
def folder(encoder: Encoder, tmp_path: Path) -> Path:
    """A copy of the real model, by links, whose files a test may replace."""
    for name in ("model.safetensors", "tokenizer.json", "sentence_bert_config.json", "config.json"):
        (tmp_path / name).symlink_to(encoder.folder / name)
    return tmp_path


def rewrite(file: Path, content: bytes | dict[str, Any]) -> None:
    file.unlink(missing_ok=True)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(json.dumps(content).encode() if isinstance(content, dict) else content)


def changed_config(encoder: Encoder, **changes: Any) -> dict[str, Any]:
    config = json.loads((encoder.folder / "config.json").read_text())
    return {key: value for key, value in {**config, **changes}.items() if value is not None}


def test_another_architecture_is_refused_with_models_that_work(encoder: Encoder, folder: Path) -> None:
    rewrite(folder / "config.json", changed_config(encoder, model_type="distilbert"))
    with pytest.raises(EncoderError, match=r"'distilbert'.*all-MiniLM-L6-v2"):
        Encoder(folder, threads=1)


@pytest.mark.parametrize("changes", [{"hidden_size": None}, {"num_hidden_layers": "six"}])
def test_a_config_that_lacks_or_misstates_a_figure_is_named(encoder: Encoder, folder: Path, changes: dict[str, Any]) -> None:
    rewrite(folder / "config.json", changed_config(encoder, **changes))
    with pytest.raises(EncoderError, match=r"config\.json.*copy the model again"):
        Encoder(folder, threads=1)


def test_another_activation_is_refused_instead_of_computed_wrongly(encoder: Encoder, folder: Path) -> None:
    rewrite(folder / "config.json", changed_config(encoder, hidden_act="relu"))
    with pytest.raises(EncoderError, match="hidden_act 'relu'"):
        Encoder(folder, threads=1)


def test_more_layers_than_weights_are_refused(encoder: Encoder, folder: Path) -> None:
    rewrite(folder / "config.json", changed_config(encoder, num_hidden_layers=7))
    with pytest.raises(EncoderError, match=r"layer\.6"):
        Encoder(folder, threads=1)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_a_missing_file_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(EncoderError, match=name):
        Encoder(folder, threads=1)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe junk", b"\xff" * 64])
def test_a_damaged_file_is_named(folder: Path, name: str, content: bytes) -> None:
    rewrite(folder / name, content)
    with pytest.raises(EncoderError, match=rf"{name}.*copy the model again"):
        Encoder(folder, threads=1)


@pytest.mark.parametrize("values", [{"pooling_mode": "max"}, {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}])
def test_a_pooling_that_is_not_served_is_refused(folder: Path, values: dict[str, Any]) -> None:
    rewrite(folder / "1_Pooling" / "config.json", values)
    with pytest.raises(EncoderError, match="pooling"):
        Encoder(folder, threads=1)


@pytest.mark.parametrize(
    "pooling", [{"pooling_mode": "cls"}, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}]
)
def test_roberta_positions_and_both_forms_of_cls_pooling(encoder: Encoder, tmp_path: Path, pooling: dict[str, Any]) -> None:
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=34, type_vocab_size=1, pad_token_id=1,
    )  # fmt: skip
    model = RobertaModel(config).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").symlink_to(encoder.folder / "tokenizer.json")
    rewrite(tmp_path / "1_Pooling" / "config.json", pooling)
    small = Encoder(tmp_path, dtype="float32", threads=1)
    assert small.max_tokens == 32
    texts = ["where is my order", "word " * 60, "hi"]
    for text, vector in zip(texts, small.encode(texts), strict=True):
        ids = torch.tensor([small._tokens([text])[0].ids])
        with torch.inference_mode():
            wanted = torch.nn.functional.normalize(model(input_ids=ids).last_hidden_state[:, 0], dim=1)[0].numpy()
        np.testing.assert_allclose(vector, wanted, atol=1e-4)


def test_a_flipped_byte_in_the_packaged_weights_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(tmp_path / "model" / "model.safetensors", b"not the weights")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    with pytest.raises(EncoderError, match=r"SHA-256.*reinstall"):
        resolve("all-MiniLM-L6-v2")


def test_a_directory_without_a_model_is_refused_without_asking_the_network(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"no config\.json"):
        resolve(str(tmp_path))


# --- adapters under threads -------------------------------------------------------------------------------------------


@pytest.fixture
def bare(encoder: Encoder) -> Iterator[Encoder]:
    """The shared encoder, given back without adapters."""
    yield encoder
    encoder.set_adapters({})


def lora(seed: int) -> AdapterWeights:
    generator = torch.Generator().manual_seed(seed)
    pair = (torch.randn(384, 4, generator=generator) * 0.1, torch.randn(4, 384, generator=generator) * 0.1)
    return AdapterWeights({(5, "attention.self.value"): pair})


def test_a_call_never_mixes_adapters_that_are_being_replaced(bare: Encoder) -> None:
    first, second = lora(1), lora(2)
    banks = [{"x": first}, {"y": first, "x": second}]
    wanted = []
    for bank in banks:
        bare.set_adapters(bank)
        wanted.append(bare.encode_for_tasks(["hello there"]).hidden)
    barrier, stop, faults = threading.Barrier(4), threading.Event(), []

    def replace() -> None:
        barrier.wait(DEADLINE_S)
        while not stop.is_set():
            for bank in banks:
                bare.set_adapters(bank)

    def read() -> None:
        barrier.wait(DEADLINE_S)
        try:
            for _ in range(25):
                found = bare.encode_for_tasks(["hello there"]).hidden
                right = wanted[len(found) - 2]
                if set(found) != set(right) or any(not torch.allclose(found[name], right[name], atol=1e-4) for name in right):
                    faults.append(set(found))
        except Exception as error:
            faults.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=replace) for _ in range(2)]
    for thread in (*readers, *writers):
        thread.start()
    for thread in readers:
        thread.join(DEADLINE_S)
    stop.set()
    for thread in writers:
        thread.join(DEADLINE_S)
    assert not faults


# --- the batcher ------------------------------------------------------------------------------------------------------
