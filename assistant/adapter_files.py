"""The files of one adapter version: written, read back and checked tensor by tensor.

Layout of a version's folder: ``adapter_model.safetensors`` and ``adapter_config.json`` as peft writes them,
``head.safetensors`` with the task's own head, and ``manifest.json``, written last: what it is, from what, how good, checksums.
Never unpickles anything. Knows one folder; which versions there are and which serves is in ``registry.py``.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.bert import LINEARS, AdapterWeights
from assistant.encoder import file_sha256
from assistant.errors import RegistryError
from assistant.heads import BUCKETS

if TYPE_CHECKING:
    from torch import Tensor

MANIFEST_FORMAT = 1
WEIGHTS, CONFIG, HEAD, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "head.safetensors", "manifest.json"
MAX_FILE_BYTES = 256 * 2**20
_LORA_KEY = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.lora_(A|B)\.weight$")
_GAIN_KEY = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.ia3_l(?:\.weight)?$")
_PROMPT_KEY = "prompt_embeddings"


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything that is known of one adapter version."""

    task: str
    version: str
    base_name: str
    base_sha256: str
    method: dict[str, Any]
    labels: tuple[str, ...]
    training_set: dict[str, Any]
    seed: int
    code_version: str
    scores: dict[str, float]
    thresholds: dict[str, float]
    temperature: float
    created_at: str
    head: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)  # name -> SHA-256
    format: int = MANIFEST_FORMAT


@dataclass(frozen=True, slots=True)
class AdapterVersion:
    """A version as it was read and checked."""

    manifest: Manifest
    weights: AdapterWeights
    head: Mapping[str, Tensor]


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Checksum the version's files and write ``manifest.json``, last of all.

    Returns:
        The manifest with its ``files`` filled in.
    """
    files = {name: file_sha256(folder / name) for name in (WEIGHTS, CONFIG, HEAD)}
    complete = Manifest(**{**asdict(manifest), "labels": tuple(manifest.labels), "files": files})
    replace_text(folder / MANIFEST, json.dumps(asdict(complete), indent=2, ensure_ascii=False, sort_keys=True) + "\n")
    return complete


def read_manifest(folder: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        RegistryError: If it is missing, not JSON, or of another format.
    """
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if values["format"] != MANIFEST_FORMAT:
            raise RegistryError(f"{path}: format {values['format']}, this Deskhand reads format {MANIFEST_FORMAT}")
        manifest = Manifest(**{**values, "labels": tuple(values["labels"])})
        if not isinstance(manifest.files, dict) or not 0 < manifest.temperature < math.inf:
            raise ValueError(f"temperature {manifest.temperature!r} or files of the wrong kind")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise RegistryError(f"{path}: cannot be read as a manifest ({error}); train or copy the version again") from error
    return manifest


def check_files(folder: Path, manifest: Manifest) -> None:
    """Compare a version's files with its manifest.

    Raises:
        RegistryError: If one is missing, oversized or damaged.
    """
    for name in (WEIGHTS, CONFIG, HEAD):
        path = folder / name
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise RegistryError(f"{path}: missing, or larger than {MAX_FILE_BYTES // 2**20} MiB")
        if file_sha256(path) != manifest.files.get(name):
            raise RegistryError(f"{path}: damaged, its checksum is not the manifest's; roll back or copy the version again")


def read_version(folder: Path, base_sha256: str) -> AdapterVersion:
    """Read and check a version's folder; see ``Registry.load``."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    manifest = read_manifest(folder)
    if manifest.base_sha256 != base_sha256:
        raise RegistryError(
            f"{folder}: made for base {manifest.base_name} ({manifest.base_sha256[:12]}…), the encoder here is "
            f"{base_sha256[:12]}…; set encoder.model to that base or train again"
        )
    check_files(folder, manifest)
    try:
        weights, head = load_file(folder / WEIGHTS), load_file(folder / HEAD)
    except (SafetensorError, OSError, ValueError) as error:
        raise RegistryError(f"{folder}: cannot be read as safetensors ({error})") from error
    for name, tensor in (*weights.items(), *head.items()):
        if not bool(tensor.isfinite().all()):
            raise RegistryError(f"{folder}: tensor {name!r} holds NaN or infinity; train again")
    adapter = _weights(folder, weights)
    _check_head(folder, manifest, head, _width(adapter))
    return AdapterVersion(manifest, adapter, {name: tensor.float() for name, tensor in head.items()})


def _width(weights: AdapterWeights) -> int:
    """Return the width of the hidden states that an adapter fits: its smallest side; the inner layer is wider."""
    sides = [side for down, up in weights.factors.values() for side in (down.shape[0], up.shape[-1])]
    sides += [len(gain) for gain in weights.gains.values()]
    sides += [keys.shape[-1] for keys, _ in weights.prefix.values()]
    sides += [weights.prompt.shape[-1]] if weights.prompt is not None else []
    return min(sides, default=0)


def _weights(folder: Path, tensors: Mapping[str, Tensor]) -> AdapterWeights:
    """Turn peft's file into what the encoder serves, by the method its configuration names."""
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind = str(config.get("peft_type"))
        if kind == "LORA":
            return AdapterWeights(_factors(folder, tensors, config))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RegistryError(f"{folder / CONFIG}: cannot be read as peft's configuration ({error}); train again") from error
    if kind == "IA3":
        return AdapterWeights(gains=_gains(folder, tensors))
    if kind in ("PREFIX_TUNING", "PROMPT_TUNING"):
        virtual = tensors.get(_PROMPT_KEY)
        if virtual is None or len(tensors) != 1 or virtual.dim() != 2:
            raise RegistryError(f"{folder / WEIGHTS}: one tensor {_PROMPT_KEY!r} of two dimensions belongs here; train again")
        return _prompt(folder, kind, virtual.float(), config)
    raise RegistryError(f"{folder / CONFIG}: peft_type {kind!r} cannot be served; LORA, IA3, PREFIX_TUNING and PROMPT_TUNING can")


def _factors(
    folder: Path, tensors: Mapping[str, Tensor], config: Mapping[str, Any]
) -> dict[tuple[int, str], tuple[Tensor, Tensor]]:
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    if rank < 1 or config.get("alpha_pattern"):
        raise RegistryError(f"{folder / CONFIG}: LoRA of rank {rank} cannot be served; one rank and one alpha of at least 1 can")
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    halves: dict[tuple[int, str], dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        match = _LORA_KEY.search(name)
        if match is None or match[2] not in LINEARS:
            raise _unexpected(folder, name, "LoRA factors")
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor.float()
    factors = {}
    for key, pair in halves.items():
        if set(pair) != {"A", "B"} or pair["A"].shape[:-1] != (rank,) or pair["B"].shape[1:] != (rank,):
            raise RegistryError(f"{folder / WEIGHTS}: layer {key[0]} {key[1]} has wrong shapes for rank {rank}")
        factors[key] = (pair["A"].T.contiguous(), (pair["B"].T * scale).contiguous())
    return factors


def _gains(folder: Path, tensors: Mapping[str, Tensor]) -> dict[tuple[int, str], Tensor]:
    gains = {}
    for name, tensor in tensors.items():
        match = _GAIN_KEY.search(name)
        if match is None or match[2] not in LINEARS:
            raise _unexpected(folder, name, "IA3 vectors")
        gains[int(match[1]), match[2]] = tensor.float().flatten()
    return gains


def _prompt(folder: Path, kind: str, virtual: Tensor, config: Mapping[str, Any]) -> AdapterWeights:
    if kind == "PROMPT_TUNING":
        return AdapterWeights(prompt=virtual)
    try:
        layers, width = int(config["num_layers"]), int(config["token_dim"])
        stacked = virtual.view(virtual.shape[0], 2 * layers, width)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise RegistryError(f"{folder / WEIGHTS}: prefix of shape {tuple(virtual.shape)} fits no layers ({error})") from error
    return AdapterWeights(prefix={layer: (stacked[:, 2 * layer], stacked[:, 2 * layer + 1]) for layer in range(layers)})


def _unexpected(folder: Path, name: str, what: str) -> RegistryError:
    return RegistryError(f"{folder / WEIGHTS}: unexpected tensor {name!r}; only {what} of the encoder's linears belong")


def _check_head(folder: Path, manifest: Manifest, head: Mapping[str, Tensor], width: int) -> None:
    """Refuse a head whose shapes do not fit the adapter's width and the task's labels, or the two sides of dialog."""
    if manifest.task == "dialog":
        _check_sides(folder, head, width)
    if manifest.task not in ("intent", "sentiment", "slots"):
        return
    once = manifest.head.get("once", [])
    if not isinstance(once, list) or not {f"B-{slot}" for slot in once}.issubset(manifest.labels):
        raise RegistryError(f"{folder / MANIFEST}: once = {once!r} must be a list of the adapter's slots; train again")
    classes = len(manifest.labels)
    shapes = {name: tuple(tensor.shape) for name, tensor in head.items()}
    wide = shapes.get("wide.weight", (BUCKETS, classes))
    felt = len(manifest.head.get("emotions", ()))
    if ("emotion.weight" in shapes or felt) and (shapes.get("emotion.weight"), shapes.get("emotion.bias")) != (
        (felt, width),
        (felt,),
    ):
        raise RegistryError(f"{folder / HEAD}: wrong shapes {shapes} for {felt} emotions and width {width}; train again")
    deep = shapes.get("deep.weight", ())
    if deep != (classes, width) or shapes.get("deep.bias") != (classes,) or wide != (BUCKETS, classes):
        raise RegistryError(f"{folder / HEAD}: wrong shapes {shapes} for {classes} labels and width {width}; train again")


def _check_sides(folder: Path, head: Mapping[str, Tensor], width: int) -> None:
    """Refuse what are not two square projections, with or without both sides of the wide half and its weight."""
    shapes = {name: tuple(tensor.shape) for name, tensor in head.items()}
    sides = [shapes.get(name, ()) for name in ("context.weight", "reply.weight")]
    if any(side != (width, width) for side in sides):
        raise RegistryError(f"{folder / HEAD}: wrong shapes {sides}, two of {(width, width)} are needed; train again")
    wide = [shapes.get(f"wide.{name}") for name in ("context.weight", "reply.weight", "share")]
    if wide == [None] * 3:
        return
    grams = wide[0] or ()
    if len(grams) != 2 or grams[0] != BUCKETS or wide != [grams, grams, ()] or float(head["wide.share"]) < 0:
        needed = f"two of ({BUCKETS}, any) and one number that is not negative"
        raise RegistryError(f"{folder / HEAD}: wrong shapes {wide} of the wide half, {needed} are needed; train again")


def replace_text(path: Path, text: str) -> None:
    """Write a small file whole or not at all: aside, synced, then moved into place; its folder is made where missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
