"""Adapter versions on disk: written aside, checked, moved into place; one champion pointer per task.

    <root>/<task>/<version>/adapter_model.safetensors   LoRA factors as peft writes them
                            adapter_config.json         peft's configuration
                            head.safetensors            the task's own head
                            manifest.json               written last: what it is, from what, how good, checksums
    <root>/<task>/champion                              the name of the version that serves

Never unpickles anything. Knows files, checksums and shapes; nothing of how an adapter is trained or what a task means.
"""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.bert import LINEARS, LoraWeights
from assistant.encoder import file_sha256
from assistant.errors import RegistryError
from assistant.heads import BUCKETS

if TYPE_CHECKING:
    from torch import Tensor

TASKS = ("intent", "sentiment", "slots", "dialog", "reply")
MANIFEST_FORMAT = 1
WEIGHTS, CONFIG, HEAD, MANIFEST = "adapter_model.safetensors", "adapter_config.json", "head.safetensors", "manifest.json"
MAX_FILE_BYTES = 256 * 2**20
_VERSION = re.compile(r"(?!(?:champion|previous)$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}")  # the two are pointers' names
_LORA_KEY = re.compile(r"encoder\.layer\.(\d+)\.(.+)\.lora_(A|B)\.weight$")


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
    lora: LoraWeights
    head: Mapping[str, Tensor]


class Registry:
    """The adapter versions under one folder."""

    def __init__(self, root: Path) -> None:
        """Remember the folder; nothing is created before something is written."""
        self.root = root

    def versions(self, task: str) -> list[Manifest]:
        """List the versions of a task, oldest first; damaged manifests are left out."""
        found = []
        for path in sorted(self._task(task).glob(f"*/{MANIFEST}")):
            if not _VERSION.fullmatch(path.parent.name):
                continue  # glob finds the staging folders of killed runs too
            try:
                found.append(read_manifest(path.parent))
            except RegistryError:
                continue
        return sorted(found, key=lambda manifest: (manifest.created_at, manifest.version))

    def pointer(self, task: str) -> Path:
        """Return the file that names a task's champion; it is replaced when another is promoted."""
        return self._task(task) / "champion"

    def champion(self, task: str) -> str | None:
        """Return the name of the version that serves, or ``None``."""
        try:
            return (self._task(task) / "champion").read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None

    def folder(self, task: str, version: str) -> Path:
        """Return the folder of a version.

        Raises:
            RegistryError: If there is no such version; the message lists those there are.
        """
        folder = self._task(task) / version
        if not _VERSION.fullmatch(version) or not (folder / MANIFEST).is_file():
            known = ", ".join(manifest.version for manifest in self.versions(task)) or "none"
            raise RegistryError(f"{task}: there is no version {version!r} under {self.root}; known versions: {known}")
        return folder

    def load(self, task: str, version: str, base_sha256: str) -> AdapterVersion:
        """Read one version after checking every file of it.

        Args:
            task: One of ``TASKS``.
            version: Its name.
            base_sha256: Checksum of the encoder that would serve it.

        Returns:
            Manifest, LoRA factors and head tensors.

        Raises:
            RegistryError: If a file is missing, damaged, oversized, not finite, of wrong shape or for another base.
        """
        found = read_version(self.folder(task, version), base_sha256)
        _check_name(found.manifest, task, version)
        return found

    def add(self, task: str, version: str, staged: Path, base_sha256: str) -> Path:
        """Check a finished version and move it into place by rename.

        Args:
            task: One of ``TASKS``.
            version: The new name; must not be taken.
            staged: Folder with all four files, on the same file system.
            base_sha256: Checksum of the encoder it was trained on.

        Returns:
            The version's folder.

        Raises:
            RegistryError: If the version is taken or does not pass the checks; then nothing changed.
        """
        self.check_free(task, version)
        target = self._task(task) / version
        _check_name(read_version(staged, base_sha256).manifest, task, version)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(staged, target)
        return target

    def check_free(self, task: str, version: str) -> None:
        """Check that a new version may have this name.

        Raises:
            RegistryError: If it is no version name, or taken.
        """
        if not _VERSION.fullmatch(version):
            raise RegistryError(
                f"{task}: {version!r} is no version name; up to 64 letters, digits, '.', '_' and '-' are, "
                "'champion' and 'previous' aside"
            )
        if (self._task(task) / version).exists():
            raise RegistryError(f"{task}: version {version!r} is there already; versions are never changed")

    def staging(self, task: str, version: str) -> Path:
        """Return an empty folder on the registry's file system to write a version into.

        Raises:
            RegistryError: If the name is none or taken.
        """
        self.check_free(task, version)
        folder = self._task(task) / f".staging-{version}-{os.getpid()}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def promote(self, task: str, version: str, base_sha256: str) -> None:
        """Make a version the champion, atomically, after checking all of it; the one before is kept for ``rollback``.

        Raises:
            RegistryError: If the version is missing or does not pass the checks; then the champion stays.
        """
        self.load(task, version, base_sha256)
        before = self.champion(task)
        if before and before != version:
            _replace_text(self._task(task) / "previous", before)
        _replace_text(self._task(task) / "champion", version)

    def rollback(self, task: str, base_sha256: str) -> str:
        """Make the previous champion the champion again and return its name.

        Raises:
            RegistryError: If there was no champion before this one.
        """
        try:
            before = (self._task(task) / "previous").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise RegistryError(f"{task}: nothing to roll back to; no earlier champion under {self.root}") from None
        self.promote(task, before, base_sha256)
        return before

    def install(self, shipped: Path) -> list[str]:
        """Copy shipped versions that are not there yet and point tasks without a champion at them.

        Returns:
            ``task/version`` for each copied version.
        """
        done = []
        for manifest_path in sorted(shipped.glob(f"*/*/{MANIFEST}")):
            task, version = manifest_path.parent.parent.name, manifest_path.parent.name
            if not _VERSION.fullmatch(version):
                continue
            if not (self._task(task) / version).exists():
                staged = self.staging(task, version)
                shutil.copytree(manifest_path.parent, staged, dirs_exist_ok=True)
                os.replace(staged, self._task(task) / version)
                done.append(f"{task}/{version}")
            if self.champion(task) is None:
                _replace_text(self._task(task) / "champion", version)
        return done

    def _task(self, task: str) -> Path:
        if task not in TASKS:
            raise RegistryError(f"{task!r} is no task; tasks are {', '.join(TASKS)}")
        return self.root / task


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Checksum the version's files and write ``manifest.json``, last of all.

    Returns:
        The manifest with its ``files`` filled in.
    """
    files = {name: file_sha256(folder / name) for name in (WEIGHTS, CONFIG, HEAD)}
    complete = Manifest(**{**asdict(manifest), "labels": tuple(manifest.labels), "files": files})
    _replace_text(folder / MANIFEST, json.dumps(asdict(complete), indent=2, ensure_ascii=False, sort_keys=True) + "\n")
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
    for name in (WEIGHTS, CONFIG, HEAD):
        path = folder / name
        if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
            raise RegistryError(f"{path}: missing, or larger than {MAX_FILE_BYTES // 2**20} MiB")
        if file_sha256(path) != manifest.files.get(name):
            raise RegistryError(f"{path}: damaged, its checksum is not the manifest's; roll back or copy the version again")
    try:
        weights, head = load_file(folder / WEIGHTS), load_file(folder / HEAD)
    except (SafetensorError, OSError, ValueError) as error:
        raise RegistryError(f"{folder}: cannot be read as safetensors ({error})") from error
    for name, tensor in (*weights.items(), *head.items()):
        if not bool(tensor.isfinite().all()):
            raise RegistryError(f"{folder}: tensor {name!r} holds NaN or infinity; train again")
    _check_head(folder, manifest, head)
    return AdapterVersion(manifest, _factors(folder, weights), {name: tensor.float() for name, tensor in head.items()})


def _factors(folder: Path, weights: Mapping[str, Tensor]) -> LoraWeights:
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        kind, rank, alpha = str(config.get("peft_type")), int(config["r"]), float(config["lora_alpha"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RegistryError(f"{folder / CONFIG}: cannot be read as peft's configuration ({error}); train again") from error
    if kind != "LORA" or rank < 1 or config.get("alpha_pattern"):
        raise RegistryError(f"{folder / CONFIG}: peft_type {kind!r} of rank {rank} cannot be served; LORA of one alpha can")
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    halves: dict[tuple[int, str], dict[str, Tensor]] = {}
    for name, tensor in weights.items():
        match = _LORA_KEY.search(name)
        if match is None or match[2] not in LINEARS:
            raise RegistryError(
                f"{folder / WEIGHTS}: unexpected tensor {name!r}; only LoRA factors of the encoder's linears belong"
            )
        halves.setdefault((int(match[1]), match[2]), {})[match[3]] = tensor.float()
    factors = {}
    for key, pair in halves.items():
        if set(pair) != {"A", "B"} or pair["A"].shape[:-1] != (rank,) or pair["B"].shape[1:] != (rank,):
            raise RegistryError(f"{folder / WEIGHTS}: layer {key[0]} {key[1]} has wrong shapes for rank {rank}")
        factors[key] = (pair["A"].T.contiguous(), (pair["B"].T * scale).contiguous())
    return LoraWeights(factors)


def _check_name(manifest: Manifest, task: str, version: str) -> None:
    if (manifest.task, manifest.version) != (task, version):
        raise RegistryError(
            f"{task}: the files of {version!r} are those of {manifest.task}/{manifest.version}; copy the right version again"
        )


def _check_head(folder: Path, manifest: Manifest, head: Mapping[str, Tensor]) -> None:
    """Refuse a classifier's or tagger's head whose shapes do not fit the manifest's labels."""
    if manifest.task not in ("intent", "sentiment", "slots"):
        return
    classes = len(manifest.labels)
    shapes = {name: tuple(tensor.shape) for name, tensor in head.items()}
    wide = shapes.get("wide.weight", (BUCKETS, classes))
    deep = shapes.get("deep.weight", ())
    if len(deep) != 2 or deep[0] != classes or shapes.get("deep.bias") != (classes,) or wide != (BUCKETS, classes):
        raise RegistryError(f"{folder / HEAD}: wrong shapes {shapes} for {classes} labels; train again")


def _replace_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
