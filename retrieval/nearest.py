"""Nearest vectors by cosine: FAISS, flat for few passages and an HNSW graph for many, on a GPU when there is one.

Knows rows and vectors only. ``faiss`` is imported at first use.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

RECALL_WANTED = 0.98
_LINKS = 32
_EF_CONSTRUCTION = 80
_EF_SEARCH = (32, 64, 128, 256, 512)
_PROBES = 200
_EXACT_BELOW = 5_000  # so few allowed rows are scored one by one: exact, and cheaper than a filtered graph


@dataclass(frozen=True, slots=True)
class Nearest:
    """A FAISS index with a view on its stored vectors; ``recall_at_10`` was measured against flat search at build time."""

    faiss: Any
    vectors: NDArray[np.float32]  # (n, d), a view into the FAISS index
    method: str
    ef_search: int
    recall_at_10: float
    on_gpu: Any = None

    def search(self, vector: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None) -> NDArray[np.int64]:
        """Find the rows with the greatest cosine.

        Args:
            vector: A unit vector ``(d,)`` float32.
            k: How many rows.
            allowed: ``(n,)`` which rows may be found; ``None`` for all.

        Returns:
            Up to ``k`` rows, best first; fewer only where fewer are allowed.
        """
        if allowed is None:
            return self._ask(vector, min(k, len(self.vectors)), None)
        rows = np.flatnonzero(allowed)
        k = min(k, len(rows))
        if len(rows) > _EXACT_BELOW:
            faiss = load_faiss()
            bits = np.packbits(allowed, bitorder="little")
            found = self._ask(vector, k, faiss.IDSelectorBitmap(len(allowed), faiss.swig_ptr(bits)))
            if len(found) == k:
                return found
        order = np.argsort(-(self.vectors[rows] @ vector), kind="stable")[:k]
        return rows[order].astype(np.int64)

    def _ask(self, vector: NDArray[np.float32], k: int, selector: Any) -> NDArray[np.int64]:
        if k == 0:
            return np.zeros(0, np.int64)
        faiss = load_faiss()
        query = np.ascontiguousarray(vector, dtype=np.float32)[None]
        if self.on_gpu is not None and selector is None:
            _, found = self.on_gpu.search(query, k)
        elif self.method == "hnsw":
            params = faiss.SearchParametersHNSW(efSearch=max(self.ef_search, 2 * k), sel=selector)
            _, found = self.faiss.search(query, k, params=params)
        else:
            _, found = self.faiss.search(query, k, params=faiss.SearchParameters(sel=selector) if selector else None)
        rows: NDArray[np.int64] = found[0]
        return rows[rows >= 0]


def load_faiss() -> Any:
    """Import FAISS at first use; its stubs know too little of it, hence ``Any``."""
    return importlib.import_module("faiss")


def build_nearest(vectors: NDArray[np.float32], flat_below: int, seed: int) -> Nearest:
    """Index unit vectors; from ``flat_below`` rows on by HNSW (Malkov and Yashunin, 2018), if it reaches recall 0.98.

    Args:
        vectors: ``(n, d)`` float32 unit vectors.
        flat_below: Least number of rows for a graph.
        seed: Of the 200 probes, which are stored vectors with noise.

    Returns:
        The index with the smallest search width whose recall@10 against flat search is 0.98; flat if none is.
    """
    faiss = load_faiss()
    block = np.ascontiguousarray(vectors, dtype=np.float32)
    flat = faiss.IndexFlatIP(block.shape[1])
    flat.add(block)
    exact = Nearest(flat, block, "flat", 0, 1.0)
    if len(block) < max(flat_below, 1):
        return exact
    graph = faiss.IndexHNSWFlat(block.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction = _EF_CONSTRUCTION
    graph.add(block)
    rng = np.random.default_rng(seed)
    probes = block[rng.choice(len(block), min(_PROBES, len(block)), replace=False)]
    probes = probes + rng.normal(0, 0.5 / np.sqrt(block.shape[1]), probes.shape).astype(np.float32)
    probes /= np.linalg.norm(probes, axis=1, keepdims=True)
    k = min(10, len(block))
    _, truth = flat.search(probes, k)
    for width in _EF_SEARCH:
        _, found = graph.search(probes, k, params=faiss.SearchParametersHNSW(efSearch=width))
        recall = float(np.mean([len(set(a) & set(b)) / k for a, b in zip(truth.tolist(), found.tolist(), strict=True)]))
        if recall >= RECALL_WANTED:
            return Nearest(graph, block, "hnsw", width, round(recall, 4))
    return exact


def save_nearest(nearest: Nearest, path: Path) -> None:
    """Write the FAISS index to a file."""
    faiss = load_faiss()
    faiss.write_index(nearest.faiss, str(path))


def load_nearest(path: Path, ef_search: int, *, gpu: bool) -> Nearest:
    """Read a FAISS index whose checksum the caller has verified.

    Args:
        path: The file.
        ef_search: Search width chosen at build time; 0 for a flat index.
        gpu: Whether to search on a GPU if this FAISS has one.

    Returns:
        The index.
    """
    faiss = load_faiss()
    index = faiss.read_index(str(path))
    storage = faiss.downcast_index(index.storage) if ef_search else index
    flat = faiss.rev_swig_ptr(storage.get_xb(), storage.ntotal * storage.d) if storage.ntotal else np.zeros(0, np.float32)
    vectors = flat.reshape(storage.ntotal, storage.d)
    on_gpu = None
    if gpu and hasattr(faiss, "index_cpu_to_gpu") and getattr(faiss, "get_num_gpus", int)() > 0 and storage.ntotal:
        on_gpu = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, storage)
    return Nearest(index, vectors, "hnsw" if ef_search else "flat", ef_search, 1.0, on_gpu)
