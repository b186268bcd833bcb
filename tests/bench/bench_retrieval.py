"""Retrieval measured: fused against dense and BM25 alone on feedbackqa, and search latency at 100,000 passages.

    python tests/bench/bench_retrieval.py PATH/TO/feedbackqa_quebec_who [--split valid] [--latency]

Everything was chosen on the train and validation queries: sections cut near 120 words with their heading, page titles
left out before question-like headings, suffix removal, the fusion's form, and the prior of its weight. The weight itself
is chosen by ``build`` from the passages alone, as in use. A section is as good as the best of its pieces.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assistant.encoder import Encoder, resolve
from assistant.records import Article, Passage
from retrieval.index import build, open_current
from retrieval.passages import from_article
from retrieval.retriever import Retriever

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Row = dict[str, Any]


def main(data: Path, split: str = "test") -> list[Row]:
    """Rank feedbackqa's sections for the queries of one split.

    Args:
        data: The folder with ``passages.jsonl.gz`` and ``queries.jsonl.gz``.
        split: A value of the column ``split``, or ``test*`` for all that begin so.

    Returns:
        One row for each figure; empty, with a line printed, where the data is absent.
    """
    if not (data / "passages.jsonl.gz").is_file():
        print(f"skipped feedbackqa: no passages.jsonl.gz in {data}")
        return []
    articles = [_article(row) for row in _read(data / "passages.jsonl.gz")]
    wanted = [row for row in _read(data / "queries.jsonl.gz") if _in_split(row["split"], split)]
    passages = [piece for article in articles for piece in from_article(article, lambda _: "en")]
    encoder = Encoder(resolve("all-MiniLM-L6-v2"))
    vectors = encoder.encode([one.search_text for one in passages])
    queries = encoder.encode([row["query"] for row in wanted])
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        build(root, passages, vectors, encoder_sha256="x", encoder_name="x", now=NOW, version="v1", encode=encoder.encode)
        index = open_current(root, "x")
    alpha = index.alpha("en")
    sources = np.array([one.source for one in passages])
    ranks: dict[str, list[int]] = {"dense": [], "bm25": [], "fused": []}
    retriever = Retriever(index, encoder.encode)
    for row, vector in zip(wanted, queries, strict=True):
        relevant = set(row["relevant"])
        coverage = index.words.coverage(row["query"])
        ranks["dense"].append(_rank(sources[np.argsort(-(vectors @ vector), kind="stable")[:200]].tolist(), relevant))
        ranks["bm25"].append(_rank(sources[np.argsort(-coverage, kind="stable")[:200]].tolist(), relevant))
        hits = retriever.search(row["query"], vector=vector, k=50, lang="en")
        ranks["fused"].append(_rank([hit.passage.source for hit in hits], relevant))
    figures = {name: _figures(np.array(values)) for name, values in ranks.items()}
    rows = []
    for figure in ("hit@1", "hit@5", "mrr@10"):
        peers = {name: round(figures[name][figure], 4) for name in ("dense", "bm25")}
        rows.append(
            {
                "figure": f"feedbackqa {split} {figure} fused {figures['fused'][figure]:.4f} (alpha {alpha})",
                "value": round(figures["fused"][figure], 4),
                "target": "above both",
                "peer": peers,
                "limit": "one gold section each, near-copies of which count as wrong",
                "n": len(wanted),
            }
        )
    return rows


def latency(n: int = 100_000, queries: int = 200, seed: int = 20) -> list[Row]:
    """Measure search alone, the question's vector given, over synthetic passages.

    Vectors are noisy copies of 2,000 random centres, because independent random vectors have no neighbours to find;
    texts are drawn from 20,000 made-up words by Zipf's law.

    Args:
        n: Passages.
        queries: Questions.
        seed: Of both.

    Returns:
        Rows for p50 and p95 of one search, the time to open, and the time of BM25 alone.
    """
    passages, vectors = synthetic(n, seed)
    rng = np.random.default_rng(seed + 1)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        started = time.perf_counter()
        build(root, passages, vectors, encoder_sha256="x", encoder_name="x", now=NOW, version="v1")
        built = time.perf_counter() - started
        started = time.perf_counter()
        index = open_current(root, "x")
        opened = time.perf_counter() - started
    kept = index.manifest["calibration"]["nearest"]
    retriever = Retriever(index, lambda texts: vectors[: len(texts)])
    times: dict[str, list[float]] = {"search": [], "bm25": [], "filtered": []}
    for row in rng.integers(0, n, queries).tolist():
        text = " ".join(passages[row].text.split()[:10])
        started = time.perf_counter()
        index.words.coverage(text)
        times["bm25"].append(time.perf_counter() - started)
        started = time.perf_counter()
        retriever.search(text, vector=vectors[row])
        times["search"].append(time.perf_counter() - started)
        started = time.perf_counter()
        retriever.search(text, vector=vectors[row], kinds=("article",))
        times["filtered"].append(time.perf_counter() - started)
    for name, values in times.items():
        for share in (50, 95):
            value = round(float(np.percentile(values, share)) * 1000, 2)
            rows.append(_row(f"{name} p{share}, {n:,} passages, ms", value, f"{kept}", queries))
    rows.append(_row(f"open index of {n:,} passages, s", round(opened, 3), "checksums included", 1))
    rows.append(_row(f"build index of {n:,} passages, s", round(built, 1), f"{kept}", 1))
    return rows


def synthetic(n: int, seed: int) -> tuple[list[Passage], NDArray[np.float32]]:
    """Make ``n`` passages and their unit vectors ``(n, 384)``; a third of them articles."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(2_000, 384)).astype(np.float32)
    vectors = centres[rng.integers(0, 2_000, n)] + 0.7 * rng.normal(size=(n, 384)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = np.array(
        ["".join(rng.choice(list("bcdfglmnprst")) + rng.choice(list("aeiou")) for _ in range(4)) for _ in range(20_000)]
    )
    picks = np.minimum(rng.zipf(1.3, size=(n, 40)), 20_000) - 1
    texts = [" ".join(line) for line in words[picks].tolist()]
    kinds = ("reply", "reply", "article")
    return [Passage(f"p{i}", kinds[i % 3], "", text, text, f"s{i}", "en") for i, text in enumerate(texts)], vectors  # type: ignore[arg-type]


def _row(figure: str, value: float, limit: str, n: int) -> Row:
    return {"figure": figure, "value": value, "target": None, "peer": None, "limit": limit, "n": n}


def _article(row: Row) -> Article:
    headings = "\n".join(f"{'#' * min(level + 2, 6)} {name}" for level, name in enumerate(row["headers"]))
    return Article(row["passage_id"], row["page_title"], f"{headings}\n\n{row['text']}", "passages.jsonl.gz", url=row["uri"])


def _in_split(value: str, wanted: str) -> bool:
    return value.startswith(wanted[:-1]) if wanted.endswith("*") else value == wanted


def _rank(sources: list[str], relevant: set[str]) -> int:
    for place, source in enumerate(dict.fromkeys(sources), start=1):
        if source in relevant:
            return place
    return 10**6


def _figures(ranks: NDArray[np.int64]) -> dict[str, float]:
    return {
        "hit@1": float((ranks == 1).mean()),
        "hit@5": float((ranks <= 5).mean()),
        "mrr@10": float(np.where(ranks <= 10, 1 / ranks, 0).mean()),
    }


def _read(path: Path) -> Iterator[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        for line in stream:
            yield json.loads(line)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--split", default="test")
    parser.add_argument("--latency", action="store_true")
    options = parser.parse_args()
    for line in main(options.data, options.split) + (latency() if options.latency else []):
        print(json.dumps(line, ensure_ascii=False))
