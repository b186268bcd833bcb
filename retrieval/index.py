"""Index versions: FAISS, BM25 and passages in one folder, built aside, checked, swapped.

    <root>/current                 the name of the version that serves, replaced atomically
    <root>/<version>/manifest.json written last; holds the SHA-256 of every other file
    <root>/.staging-<version>/     a build under way, or one that was killed

A version never changes after its rename. Knows nothing of questions or of where passages came from. After passages were
removed or erased, call ``prune(root, keep=1)``: an older version kept for emergencies would still hold them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.encoder import file_sha256
from assistant.errors import IndexVersionError
from assistant.records import Passage
from retrieval import lexical
from retrieval.fuse import PRIOR_ALPHA, PRIOR_BY_LANG, Encode, choose_alphas
from retrieval.nearest import Nearest, build_nearest, load_nearest, save_nearest
from retrieval.shelf import Shelf, load_shelf, save_shelf

if TYPE_CHECKING:
    from numpy.typing import NDArray

FORMAT = 1
POINTER = "current"
MANIFEST = "manifest.json"
_VECTORS = "vectors.faiss"
_STAGING = ".staging-"
_SEED = 20


@dataclass(frozen=True, slots=True)
class Index:
    """One opened version; ``notes`` says, for people, what was found damaged on the way to it."""

    version: str
    nearest: Nearest
    words: lexical.Lexical
    shelf: Shelf
    manifest: dict[str, Any]
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        """Return the number of passages."""
        return len(self.shelf)

    def alpha(self, lang: str | None) -> float:
        """Return the weight of the dense score in [0, 1] for questions of this language."""
        alphas: dict[str, float] = self.manifest["calibration"]["alpha"]
        return float(alphas.get(lang or "", alphas.get("default", PRIOR_ALPHA)))


def build(
    root: Path,
    passages: Sequence[Passage],
    vectors: NDArray[np.float32],
    *,
    encoder_sha256: str,
    encoder_name: str,
    now: datetime,
    version: str,
    flat_below: int = 50_000,
    encode: Encode | None = None,
) -> str:
    """Write a new index version and let it serve.

    Args:
        root: The folder of all versions, ``<home>/index``.
        passages: ``n`` passages with different ids.
        vectors: ``(n, d)`` float32 unit vectors of their search texts.
        encoder_sha256: Of the encoder that made the vectors.
        encoder_name: For people.
        now: For the manifest.
        version: The new version's name.
        flat_below: From this many passages on, an HNSW graph is searched instead of every vector.
        encode: Lets the fusion's weight be calibrated on headings too (see ``fuse.choose_alphas``).

    Returns:
        The version's name.

    Raises:
        IndexVersionError: If the arguments do not fit together or the name is taken or no plain name.
    """
    _check_name(root, version)
    if vectors.ndim != 2 or len(vectors) != len(passages):
        raise IndexVersionError(f"{root}: {len(passages)} passages came with vectors of shape {vectors.shape}; one row each")
    if not np.isfinite(vectors).all():
        raise IndexVersionError(f"{root}: vectors of {encoder_name} hold NaN or infinity; check the encoder's weights")
    if (root / version).exists():
        raise IndexVersionError(f"{root / version} exists already; an index version never changes, so choose another name")
    root.mkdir(parents=True, exist_ok=True)
    staging = root / f"{_STAGING}{version}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    nearest = build_nearest(vectors, flat_below, _SEED)
    save_nearest(nearest, staging / _VECTORS)
    words = lexical.build([one.search_text for one in passages])
    lexical.save(words, staging)
    save_shelf(passages, staging)
    kinds = [one.kind for one in passages]
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "version": version,
        "encoder": {"sha256": encoder_sha256, "name": encoder_name, "dim": int(vectors.shape[1])},
        "passages": len(passages),
        "kinds": {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        "created_at": now.isoformat(),
        "calibration": {
            "alpha": {"default": PRIOR_ALPHA} | PRIOR_BY_LANG | choose_alphas(passages, vectors, words, encode, _SEED),
            "nearest": {"method": nearest.method, "ef_search": nearest.ef_search, "recall_at_10": nearest.recall_at_10},
        },
        "files": {file.name: file_sha256(file) for file in sorted(staging.iterdir())},
    }
    for file in staging.iterdir():
        _sync(file)
    manifest["manifest_sha256"] = _manifest_digest(manifest)
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    _sync(staging / MANIFEST)
    _sync(staging)
    os.rename(staging, root / version)
    _sync(root)
    _point(root, version)
    return version


def open_current(root: Path, encoder_sha256: str, *, gpu: str = "auto") -> Index:
    """Open the version that serves, or the last good one when it is damaged.

    Args:
        root: The folder of all versions.
        encoder_sha256: Of the encoder that will embed the questions.
        gpu: ``auto`` searches on a GPU when FAISS finds one, ``never`` does not.

    Returns:
        The index; its ``notes`` name every damaged file that was passed over.

    Raises:
        IndexVersionError: If there is no version, none is whole, or the serving one was built by another encoder.
    """
    notes: list[str] = []
    for version in _candidates(root, notes):
        try:
            manifest = verify(root / version)
        except IndexVersionError as error:
            notes.append(str(error))
            continue
        made_by = manifest["encoder"]
        if made_by["sha256"] != encoder_sha256:
            raise IndexVersionError(
                f"{root / version}: built by encoder {made_by['name']!r} ({made_by['sha256'][:12]}…), but the encoder loaded "
                f"now is {encoder_sha256[:12]}…; set encoder.model back, or run `deskhand ingest` on the sources again"
            )
        if notes:
            notes.append(f"{root}: version {version} serves instead; run `deskhand ingest` again to replace the damaged one")
        ef_search = manifest["calibration"]["nearest"]["ef_search"]
        nearest = load_nearest(root / version / _VECTORS, ef_search, gpu=gpu == "auto")
        words, shelf = lexical.load(root / version), load_shelf(root / version)
        return Index(version, nearest, words, shelf, manifest, tuple(notes))
    if notes:
        raise IndexVersionError("\n".join([*notes, "no whole index version is left; run `deskhand ingest` on the sources again"]))
    raise IndexVersionError(f"{root}: there is no index yet; `deskhand ingest PATH...` builds one")


def verify(folder: Path) -> dict[str, Any]:
    """Check every file of a version against its manifest.

    Args:
        folder: The version's folder.

    Returns:
        The manifest.

    Raises:
        IndexVersionError: Naming the first file that is missing or damaged.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        claimed = manifest.pop("manifest_sha256", None)
        files, _ = manifest["files"], (manifest["encoder"]["sha256"], manifest["encoder"]["name"], manifest["calibration"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise IndexVersionError(f"{path}: missing or damaged ({type(error).__name__}); this version cannot be trusted") from error
    if claimed != _manifest_digest(manifest):
        raise IndexVersionError(f"{path}: damaged, its content does not match its own SHA-256")
    if manifest["format"] != FORMAT:
        raise IndexVersionError(f"{path}: layout {manifest['format']}, this program reads {FORMAT}; run `deskhand ingest` again")
    for name, digest in files.items():
        try:
            found = file_sha256(folder / name)
        except OSError as error:
            raise IndexVersionError(f"{folder / name}: missing or unreadable ({type(error).__name__})") from error
        if found != digest:
            raise IndexVersionError(f"{folder / name}: damaged, SHA-256 is {found[:12]}…, the manifest says {digest[:12]}…")
    return manifest


def prune(root: Path, keep: int) -> list[str]:
    """Delete old versions and builds that were killed; the serving version always stays.

    Args:
        root: The folder of all versions; no build may be under way.
        keep: How many versions stay, at least 1.

    Returns:
        The names of the deleted versions.
    """
    ordered = _candidates(root, [])
    gone = ordered[max(keep, 1) :]
    for version in gone:
        shutil.rmtree(root / version, ignore_errors=True)
    for left in root.glob(f"{_STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)
    return gone


def _candidates(root: Path, notes: list[str]) -> list[str]:
    """Return version names: the pointer's first, then by date, newest first."""
    if not root.is_dir():
        return []
    dated: list[tuple[str, str]] = []
    for folder in root.iterdir():
        if folder.is_dir() and not folder.name.startswith("."):
            try:
                created = str(json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["created_at"])
            except (OSError, ValueError, KeyError, TypeError):
                created = ""
            dated.append((created, folder.name))
    names = [name for _, name in sorted(dated, reverse=True)]
    try:
        current = (root / POINTER).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        current = ""
    if current in names:
        names.remove(current)
        return [current, *names]
    if names:
        notes.append(f"{root / POINTER}: missing or damaged, it names no version here")
    return names


def _check_name(root: Path, version: str) -> None:
    if not version or version == POINTER or version.startswith(".") or version != Path(version).name:
        raise IndexVersionError(f"{root}: {version!r} cannot name an index version; use letters, digits and hyphens")


def _point(root: Path, version: str) -> None:
    fresh = root / f".{POINTER}.new"
    fresh.write_text(version + "\n", encoding="utf-8")
    _sync(fresh)
    os.replace(fresh, root / POINTER)
    _sync(root)


def _manifest_digest(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
