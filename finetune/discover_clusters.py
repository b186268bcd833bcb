"""Vectors and words of texts -> clusters, their number found from the data, with what belongs to none set aside.

The steps, each chosen on training and validation splits of banking77 and clinc150 (``tests/bench/bench_discover.py``):

1. Encoder vectors, centred, beside TF-IDF reduced by SVD at half their weight.
2. Each text is drawn towards its nearest neighbours, twice, which thins the bridges between intents.
3. Ward's agglomerative clustering (Ward 1963) of a sample; every number of clusters is a cut of one tree.
4. The number: the map equation of the neighbour graph (Rosvall & Bergstrom 2008) gives its range, the silhouette (Rousseeuw
   1987) decides within it. Alone, either is further off.
5. What was not sampled joins the cluster of its neighbours.

Knows nothing of names or files; ``discover`` comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from finetune.discover_names import words_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD_WEIGHT = 0.5
SVD_DIMENSIONS = 200
SMOOTHING_NEIGHBOURS, SMOOTHING_STEPS = 10, 2
GRAPH_NEIGHBOURS = 15
#: Between these multiples of the map equation's number of clusters the silhouette decides.
FEWEST, MOST = 0.5, 1.5
#: A text is of no intent if its cosine with its cluster's centre is so many deviations below the median of all texts.
DEVIATIONS = 2.0
#: A word of more than this share of the texts tells nothing of their intent; up to COMMON_LEAST texts are always allowed.
COMMON, COMMON_LEAST = 0.2, 50
#: Numbers of clusters that are tried, spaced evenly by ratio.
TRIED, MOST_CLUSTERS = 60, 400
_BLOCK = 2048
_MAD_TO_DEVIATION = 1.4826


@dataclass(frozen=True, slots=True)
class Clustering:
    """For ``n`` texts: ``labels (n,)`` int64, ``outlying (n,)`` bool, ``centrality (n,)`` and ``confidence (n,)`` float32.

    ``centrality`` is the cosine with the cluster's centre among encoder vectors. ``confidence`` in [0, 1] is the share of a
    text's neighbours, weighted by likeness, that are in its cluster. Labels run from 0 without gaps, outlying texts included.
    """

    labels: NDArray[np.int64]
    outlying: NDArray[np.bool_]
    centrality: NDArray[np.float32]
    confidence: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The ``m`` nearest of each row, itself left out: ``rows (n, m)`` int64 and cosines ``likeness (n, m)``, nearest first."""

    rows: NDArray[np.int64]
    likeness: NDArray[np.float32]


def cluster(
    texts: Sequence[str], vectors: NDArray[np.float32], *, seed: int, fit_rows: int, clusters: int | None = None
) -> Clustering:
    """Cluster texts.

    Args:
        texts: ``n`` different texts, at least 4.
        vectors: Their unit vectors ``(n, d)``.
        seed: Of the sample and the SVD.
        fit_rows: The tree is built over at most so many rows, for its memory grows with their square.
        clusters: The number of clusters; found from the data when ``None``.

    Returns:
        The clustering.
    """
    rows = _sample(len(texts), fit_rows, seed)
    points = features(texts, vectors, seed)
    fitted = points[rows]
    near = neighbours(fitted, fitted, min(GRAPH_NEIGHBOURS, max(3, len(fitted) // 10)), np.arange(len(fitted)))
    tree = _ward(_smooth(fitted, near))
    fitted_labels = _cut(tree, clusters or choose_number(tree, fitted, near))
    place = np.full(len(texts), -1)
    place[rows] = np.arange(len(rows))
    around = neighbours(points, fitted, min(SMOOTHING_NEIGHBOURS, len(fitted) - 1), place)
    votes = _votes(around, fitted_labels)
    labels = votes.argmax(1)
    labels[rows] = fitted_labels
    confidence = votes[np.arange(len(texts)), labels] / np.maximum(votes.sum(1), 1e-9)
    central = _centrality(vectors, labels)
    return Clustering(labels, _outlying(central), central, confidence.astype(np.float32))


def features(texts: Sequence[str], vectors: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Join the encoder's vectors, centred, with reduced TF-IDF of words and word pairs.

    Args:
        texts: ``n`` texts.
        vectors: Their unit vectors ``(n, d)``.
        seed: Of the SVD.

    Returns:
        Unit rows ``(n, d + at most 200)`` float32; ``(n, d)`` where the texts share no words.
    """
    from sklearn.decomposition import TruncatedSVD  # type: ignore[import-untyped]
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    meaning = _unit(vectors - vectors.mean(0))
    counter = TfidfVectorizer(analyzer=_terms, sublinear_tf=True, min_df=2, max_df=max(COMMON_LEAST, int(COMMON * len(texts))))
    try:
        words = counter.fit_transform(texts)
    except ValueError:  # no word is in two texts
        return meaning
    dimensions = min(SVD_DIMENSIONS, words.shape[1] - 1, words.shape[0] - 1)
    if dimensions < 2:
        return meaning
    reduced = _unit(TruncatedSVD(dimensions, random_state=seed).fit_transform(words).astype(np.float32))
    return _unit(np.hstack([meaning, WORD_WEIGHT * reduced]))


def neighbours(points: NDArray[np.float32], among: NDArray[np.float32], m: int, own: NDArray[np.int64]) -> Neighbours:
    """Find the nearest of ``among`` for each point by exact search, in blocks that bound the memory.

    Args:
        points: Unit rows ``(n, d)``.
        among: Unit rows ``(f, d)``, ``f > m``.
        m: How many.
        own: For each point its own row in ``among``, which is no neighbour; -1 where it has none.

    Returns:
        The neighbours; likeness is clipped to at least 1e-6.
    """
    rows = np.zeros((len(points), m), dtype=np.int64)
    likeness = np.zeros((len(points), m), dtype=np.float32)
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK] @ among.T
        mine = own[start : start + _BLOCK]
        block[mine >= 0, mine[mine >= 0]] = -np.inf
        best = np.argpartition(-block, m - 1, axis=1)[:, :m]
        values = np.take_along_axis(block, best, 1)
        order = np.argsort(-values, axis=1, kind="stable")
        rows[start : start + _BLOCK] = np.take_along_axis(best, order, 1)
        likeness[start : start + _BLOCK] = np.take_along_axis(values, order, 1)
    return Neighbours(rows, np.maximum(likeness, 1e-6))


def choose_number(tree: NDArray[np.float64], points: NDArray[np.float32], near: Neighbours) -> int:
    """Choose at how many clusters to cut a tree.

    Args:
        tree: Linkage matrix ``(n - 1, 4)`` as scipy has it.
        points: Unit rows ``(n, d)`` before smoothing, for the silhouette; smoothed ones overstate how apart clusters are.
        near: Their neighbours.

    Returns:
        The number, at least 2. It is a rough one: subsamples of nine tenths of banking77's training texts gave 73 to 114 where
        77 intents are, at nearly the same NMI, because the silhouette is flat around its maximum.
    """
    most = max(3, min(MOST_CLUSTERS, len(points) // 4))
    numbers = np.unique(np.round(np.geomspace(2, most, TRIED)).astype(int)).tolist()
    graph = _graph(near, near.rows.shape[1])
    lengths = [map_equation(graph, _cut(tree, number)) for number in numbers]
    middle = numbers[int(np.argmin(lengths))]
    inside = [number for number in numbers if FEWEST * middle <= number <= MOST * middle]
    return int(max(inside, key=lambda number: silhouette(points, _cut(tree, number))))


def map_equation(graph: Any, labels: NDArray[np.int64]) -> float:
    """Return the bits a random walk on a graph takes to describe, step by step, if clusters have codebooks of their own.

    Rosvall and Bergstrom 2008, two levels, undirected.

    Args:
        graph: Symmetric weights ``(n, n)``, a scipy sparse matrix.
        labels: A cluster ``0..k-1`` for each row.

    Returns:
        The code length; smaller is better.
    """
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    n, k = len(labels), int(labels.max()) + 1
    total = float(graph.sum())
    visits = np.asarray(graph.sum(1)).ravel() / total
    members = csr_matrix((np.ones(n), (labels, np.arange(n))), shape=(k, n))
    held = np.bincount(labels, visits, minlength=k)
    leaving = np.maximum(held - (members @ graph @ members.T).diagonal() / total, 0.0)
    return _plogp(leaving.sum()[None]) - 2 * _plogp(leaving) - _plogp(visits) + _plogp(leaving + held)


def silhouette(points: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """Return the mean silhouette by cosine distance.

    With unit rows the mean distance to a cluster is one minus the product with the sum of its rows over their number, so no
    ``(n, n)`` distances are held.

    Args:
        points: Unit rows ``(n, d)``.
        labels: A cluster ``0..k-1`` for each row, ``k`` at least 2.

    Returns:
        In [-1, 1]; a cluster of one row counts as 0.
    """
    k = int(labels.max()) + 1
    sizes = np.bincount(labels, minlength=k)
    likeness = points @ _sums(points, labels).T  # (n, k)
    every = np.arange(len(points))
    own = likeness[every, labels] - (points * points).sum(1)
    inside = 1 - own / np.maximum(sizes[labels] - 1, 1)
    away = 1 - likeness / sizes
    away[every, labels] = np.inf
    nearest = away.min(1)
    value = (nearest - inside) / np.maximum(np.maximum(nearest, inside), 1e-9)
    return float(np.where(sizes[labels] > 1, value, 0.0).mean())


def _terms(text: str) -> list[str]:
    words = words_of(text, signs=True)
    return words + [f"{left} {right}" for left, right in pairwise(words)]


def _sample(n: int, most: int, seed: int) -> NDArray[np.int64]:
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def _graph(near: Neighbours, m: int) -> Any:
    """Return the symmetric graph in which two rows are joined if either is among the ``m`` nearest of the other."""
    from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

    n = len(near.rows)
    start = np.repeat(np.arange(n), m)
    one_way = csr_matrix((near.likeness[:, :m].ravel(), (start, near.rows[:, :m].ravel())), shape=(n, n))
    return one_way.maximum(one_way.T)


def _smooth(points: NDArray[np.float32], near: Neighbours) -> NDArray[np.float32]:
    from scipy.sparse import eye  # type: ignore[import-untyped]

    graph = _graph(near, min(SMOOTHING_NEIGHBOURS, near.rows.shape[1])) + eye(len(points), dtype=np.float32)
    for _ in range(SMOOTHING_STEPS):
        points = _unit(np.asarray(graph @ points, dtype=np.float32))
    return points


def _ward(points: NDArray[np.float32]) -> NDArray[np.float64]:
    from scipy.cluster.hierarchy import linkage  # type: ignore[import-untyped]

    tree: NDArray[np.float64] = linkage(points, "ward")
    return tree


def _cut(tree: NDArray[np.float64], number: int) -> NDArray[np.int64]:
    from scipy.cluster.hierarchy import fcluster  # type: ignore[import-untyped]

    return np.unique(fcluster(tree, number, "maxclust"), return_inverse=True)[1].astype(np.int64)


def _votes(around: Neighbours, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    votes = np.zeros((len(around.rows), int(labels.max()) + 1), dtype=np.float32)
    np.add.at(votes, (np.arange(len(votes))[:, None], labels[around.rows]), around.likeness)
    return votes


def _centrality(vectors: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    centres = _unit(_sums(vectors, labels))
    return np.asarray((vectors * centres[labels]).sum(1), dtype=np.float32)


def _outlying(central: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Mark what is far from its cluster's centre, measured by the median and its absolute deviation over all texts."""
    median = float(np.median(central))
    deviation = _MAD_TO_DEVIATION * float(np.median(np.abs(central - median)))
    return np.asarray(central < median - DEVIATIONS * deviation)


def _sums(points: NDArray[np.float32], labels: NDArray[np.int64]) -> NDArray[np.float32]:
    sums = np.zeros((int(labels.max()) + 1, points.shape[1]), dtype=np.float32)
    np.add.at(sums, labels, points)
    return sums


def _unit(points: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9), dtype=np.float32)


def _plogp(shares: NDArray[np.float64]) -> float:
    some = shares[shares > 0]
    return float((some * np.log2(some)).sum())
