"""Discovery of intents without labels, measured on banking77 and clinc150 against k-means on the plain encoder.

    python tests/bench/bench_discover.py --data PATH/TO/DATA [--split choosing]

Labels are read for NMI and ARI only. Everything was chosen on banking77's training and clinc150's training and validation
split (``--split choosing`` measures banking77 train and clinc150 val); the default are the test splits. The strong peer is
told the true number of intents, which nobody knows in use; the other has the number that was found. Every different text
counts, as ``propose`` groups them, those set aside with the group they are nearest to. The number found is no firm figure: one
row less took banking77's test texts from 79 to 114, so its range over subsamples of nine tenths is printed with it.
With clinc150 its out-of-scope texts are mixed in for the share of none only.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from assistant.encoder import Encoder, resolve  # noqa: E402
from finetune.discover import distinct  # noqa: E402
from finetune.discover_clusters import cluster  # noqa: E402

FILES = {"test": (("banking77", "test"), ("clinc150", "test")), "choosing": (("banking77", "train"), ("clinc150", "val"))}
FIT_ROWS = 5_000
SUBSAMPLES, KEPT = 5, 0.9
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Opening:
    """A text with the label it is judged by."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Part:
    """What a subsample gave: the number of groups, and NMI and ARI by name."""

    number: int
    scores: dict[str, float]


def main(data: Path, split: str = "test", seed: int = 0) -> list[Row]:
    """Group each set's texts and compare the groups with its labels.

    Args:
        data: The folder that holds ``banking77`` and ``clinc150``.
        split: ``test`` or ``choosing``.
        seed: Of the grouping and of k-means.

    Returns:
        Rows of figure, value, target, peer, limit and n; sets that are absent are left out, with a line printed.
    """
    rows: list[Row] = []
    encoder: Encoder | None = None
    for name, part in FILES[split]:
        file = data / name / f"{part}.csv.gz"
        if not file.is_file():
            print(f"skipped: {file} is absent")
            continue
        encoder = encoder or Encoder(resolve("all-MiniLM-L6-v2"), threads=1)
        openings = list(_read(file))
        vectors = encoder.encode([one.text for one in openings])
        rows += _measure(f"{name} {part}", openings, vectors, seed)
        outside = data / name / f"oos_{part}.csv.gz"
        if outside.is_file():
            strangers = list(_read(outside))
            mixed = np.vstack([vectors, encoder.encode([one.text for one in strangers])])
            rows.append(_set_aside(f"{name} {part}", openings, strangers, mixed, seed))
    return rows


def _measure(name: str, openings: list[Opening], vectors: NDArray[np.float32], seed: int) -> list[Row]:
    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    first, _ = distinct([one.text for one in openings])
    texts, labels = [openings[row].text for row in first], [openings[row].label for row in first]
    vectors = vectors[first]
    true = len(set(labels))
    started = time.perf_counter()
    found = cluster(texts, vectors, seed=seed, fit_rows=FIT_ROWS)
    seconds = time.perf_counter() - started
    k = int(found.labels.max()) + 1
    told = cluster(texts, vectors, seed=seed, fit_rows=FIT_ROWS, clusters=true).labels
    groups = {
        "k-means, true number": KMeans(true, n_init=10, random_state=seed).fit_predict(vectors),
        "k-means, number found": KMeans(k, n_init=10, random_state=seed).fit_predict(vectors),
        "ours, true number": told,
    }
    parts = _parts(texts, labels, vectors, seed)
    limit = {"fewest in subsamples": min(part.number for part in parts), "most": max(part.number for part in parts)}
    rows = [_row(f"{name} intents found (true {true}), in {seconds:.0f} s", k, f"{true}", None, limit, len(texts))]
    for figure, score in (("NMI", normalized_mutual_info_score), ("ARI", adjusted_rand_score)):
        peers = {peer: round(float(score(labels, made)), 4) for peer, made in groups.items()}
        value = round(float(score(labels, found.labels)), 4)
        rows.append(_row(f"{name} {figure}", value, "above k-means", peers, _range(parts, figure), len(texts)))
    return rows


def _parts(texts: list[str], labels: list[str], vectors: NDArray[np.float32], seed: int) -> list[Part]:
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    found = []
    for at in range(SUBSAMPLES):
        rows = np.sort(np.random.default_rng(seed + at).choice(len(texts), int(KEPT * len(texts)), replace=False))
        made = cluster([texts[row] for row in rows], vectors[rows], seed=seed + at, fit_rows=FIT_ROWS).labels
        own = [labels[row] for row in rows]
        scores = {"NMI": normalized_mutual_info_score(own, made), "ARI": adjusted_rand_score(own, made)}
        found.append(Part(int(made.max()) + 1, {figure: float(score) for figure, score in scores.items()}))
    return found


def _range(parts: list[Part], figure: str) -> dict[str, float]:
    values = [part.scores[figure] for part in parts]
    return {"least in subsamples": round(min(values), 4), "most": round(max(values), 4)}


def _set_aside(name: str, openings: list[Opening], strangers: list[Opening], vectors: NDArray[np.float32], seed: int) -> Row:
    texts = [one.text for one in openings + strangers]
    aside = cluster(texts, vectors, seed=seed, fit_rows=FIT_ROWS).outlying
    inside, outside = float(aside[: len(openings)].mean()), float(aside[len(openings) :].mean())
    figure = f"{name} with {len(strangers)} out-of-scope texts: share of these set aside"
    return _row(figure, round(outside, 4), None, {"of texts in scope": round(inside, 4)}, "", len(texts))


def _row(figure: str, value: float, target: str | None, peer: Any, limit: Any, n: int) -> Row:
    return {"figure": figure, "value": value, "target": target, "peer": peer, "limit": limit, "n": n}


def _read(file: Path) -> Iterator[Opening]:
    with gzip.open(file, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            yield Opening(row["text"], row["intent"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--split", choices=sorted(FILES), default="test")
    options = parser.parse_args()
    for line in main(options.data, options.split):
        print(json.dumps(line, ensure_ascii=False))
