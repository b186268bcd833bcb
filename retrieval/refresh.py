"""The store -> an index version that holds exactly what the store holds.

Knows sources as the store lists them, and what of the serving version can be used again. Does not read files:
``ingest`` comes before it and holds the lock. A version's name ends in the fingerprint of what it was made from, so a
run that was killed between store and index is seen by the next one. A file ``.erasing`` stands from before anything
leaves the store until no version on disk holds it any more.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assistant.encoder import Encoder
from assistant.errors import IndexVersionError
from assistant.language import identify
from assistant.records import Passage
from assistant.store import Store
from retrieval.index import POINTER, Index, build, open_current, prune
from retrieval.passages import fold, from_article, from_template, from_transcript

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Raise it when ``passages`` cuts differently, so that every index is built again by the next run.
PASSAGE_RULES = 1
ERASING = ".erasing"
_CHUNK = 2_048  # texts tokenised at once; 100,000 at once would hold a gigabyte of token tables
_EVERY = 200


@dataclass(frozen=True, slots=True)
class Progress:
    """Where long work stands: stage ``read``, ``passages``, ``encode`` or ``index``; ``total`` is 0 where unknown."""

    stage: str
    done: int
    total: int = 0
    what: str = ""


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What ``refresh`` did; all counts but ``passages`` are 0 where the serving version was already right.

    ``by_source`` counts passages before folding, ``folded`` those that went into another one.
    """

    version: str
    built: bool
    passages: int
    folded: int = 0
    encoded: int = 0
    reused: int = 0
    by_source: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def refresh(
    store: Store,
    encoder: Encoder,
    root: Path,
    *,
    now: datetime,
    near_duplicate: float = 0.97,
    flat_below: int = 50_000,
    keep_versions: int = 3,
    force: bool = False,
    progress: Report | None = None,
) -> Refreshed:
    """Build and serve an index version of everything in the store, unless the serving one is that already.

    Vectors are taken over from the serving version where a search text is the same. The caller holds the lock.

    Args:
        store: What was ingested.
        encoder: Embeds the search texts that are new.
        root: The folder of all versions.
        now: For the version's name and manifest.
        near_duplicate: Cosine from which passages may fold, in (0.5, 1].
        flat_below: From this many passages on a graph is searched.
        keep_versions: How many versions stay; one only after something left the store, because older ones hold it.
        force: Build even if nothing seems to have changed.
        progress: Told where the work stands.

    Returns:
        What was done.

    Raises:
        IndexVersionError: If the version cannot be built.
        StoreError: If the store cannot be read.
    """
    wanted = fingerprint(store, encoder.sha256, near_duplicate, flat_below)
    serving = _serving(root, encoder.sha256)
    if serving and not serving.notes and not force and made_from(serving.version) == wanted:
        if (root / ERASING).exists():  # killed after the swap, before the old versions were gone
            prune(root, keep=1)
            _erased(root)
        return Refreshed(serving.version, False, len(serving))
    clock = _Clock()
    passages, by_source = _passages(store, progress)
    clock.stage("passages")
    vectors, encoded = _vectors([one.search_text for one in passages], encoder, serving, progress)
    clock.stage("encode")
    if progress:
        progress(Progress("index", 0, len(passages)))
    kept = fold(passages, vectors, near_duplicate)
    clock.stage("fold")
    version = build(
        root,
        kept.passages,
        vectors[kept.rows],
        encoder_sha256=encoder.sha256,
        encoder_name=encoder.name,
        now=now,
        version=_free_name(root, f"{now:%Y%m%dT%H%M%S}-{wanted}"),
        flat_below=flat_below,
        encode=encoder.encode,
    )
    doubtful = serving is None or bool(serving.notes) or (root / ERASING).exists()
    prune(root, keep=1 if doubtful else keep_versions)
    _erased(root)
    clock.stage("index")
    if progress:
        progress(Progress("index", len(passages), len(passages)))
    folded = len(passages) - len(kept.passages)
    notes = serving.notes if serving else ()
    reused = len(passages) - encoded
    return Refreshed(version, True, len(kept.passages), folded, encoded, reused, by_source, clock.seconds, notes)


def erasing(root: Path) -> None:
    """Note on disk, before the store changes, that something is about to leave it.

    Args:
        root: The folder of all versions, which exists.
    """
    handle = os.open(root / ERASING, os.O_WRONLY | os.O_CREAT, 0o600)
    os.fsync(handle)
    os.close(handle)
    _sync_folder(root)


def fingerprint(store: Store, encoder_sha256: str, near_duplicate: float, flat_below: int) -> str:
    """Return 12 hexadecimal digits that change with anything an index version is made from.

    Args:
        store: Its list of sources counts, each with its id, which is new whenever a file is ingested.
        encoder_sha256: Of the encoder.
        near_duplicate: Setting of ``fold``.
        flat_below: Setting of ``build``.

    Returns:
        The fingerprint.
    """
    sources = sorted((source.id, source.name, source.sha256) for source in store.sources())
    made = json.dumps([PASSAGE_RULES, encoder_sha256, near_duplicate, flat_below, sources])
    return hashlib.sha256(made.encode()).hexdigest()[:12]


def made_from(version: str) -> str:
    """Return the fingerprint in a version's name, empty where there is none."""
    parts = version.split("-")
    return parts[1] if len(parts) > 1 else ""


def serving_name(root: Path) -> str:
    """Return the name of the version that is pointed to, unchecked; empty where there is none."""
    try:
        return (root / POINTER).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""


def _erased(root: Path) -> None:
    (root / ERASING).unlink(missing_ok=True)
    _sync_folder(root)


def _serving(root: Path, encoder_sha256: str) -> Index | None:
    """Open what serves; ``None`` when there is nothing to go on from: no version, none whole, or of another encoder."""
    try:
        return open_current(root, encoder_sha256, gpu="never")
    except IndexVersionError:
        return None


def _passages(store: Store, progress: Report | None) -> tuple[list[Passage], dict[str, int]]:
    """Cut everything in the store; a passage's source begins with the source's name, as ``--list`` shows it."""
    passages: list[Passage] = []
    counts: Counter[str] = Counter()
    for source in store.sources():
        before = len(passages)
        for number, transcript in enumerate(store.iter_transcripts(source.id), start=1):
            passages += from_transcript(replace(transcript, id=f"{source.name}#{transcript.id}"), identify)
            if progress and number % _EVERY == 0:
                progress(Progress("passages", len(passages), 0, source.name))
        for article in store.iter_articles(source.id):
            passages += from_article(article, identify)
        passages += [from_template(template, source.name) for template in store.iter_templates(source.id)]
        counts[source.name] += len(passages) - before
    if progress:
        progress(Progress("passages", len(passages), len(passages)))
    return passages, dict(counts)


def _vectors(
    texts: list[str], encoder: Encoder, serving: Index | None, progress: Report | None
) -> tuple[NDArray[np.float32], int]:
    """Return unit vectors ``(n, d)`` and how many of the texts had to be encoded; equal texts are encoded once."""
    rows: dict[str, list[int]] = {}
    for row, text in enumerate(texts):
        rows.setdefault(text, []).append(row)
    vectors = np.zeros((len(texts), encoder.dim), np.float32)
    if serving is not None:
        for known in range(len(serving)):
            for row in rows.pop(serving.shelf.passage(known).search_text, ()):
                vectors[row] = serving.nearest.vectors[known]
    fresh = sorted(rows, key=len)  # so that a chunk holds texts of like length and its batches are full
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress:
            progress(Progress("encode", done, len(fresh)))

    for start in range(0, len(fresh), _CHUNK):
        chunk = fresh[start : start + _CHUNK]
        for text, vector in zip(chunk, encoder.encode(chunk, advance), strict=True):
            vectors[rows[text]] = vector
    return vectors, sum(len(places) for places in rows.values())


def _free_name(root: Path, name: str) -> str:
    tried, number = name, 1
    while (root / tried).exists():
        number += 1
        tried = f"{name}-{number}"
    return tried


def _sync_folder(root: Path) -> None:
    handle = os.open(root, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class _Clock:
    """Seconds of each stage since the one before."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def stage(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now
