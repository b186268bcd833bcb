"""Peers that choose the right reply among 100 without being trained on the house's pairs: TF-IDF, BM25, the bare encoder.

They judge the same sets as the dialog adapter (``learning_data.dialogs``), and by the same rule: a tie counts against the
right reply. What the context is, the caller says; ``assistant.sides.context_text`` is the adapter's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.dialog import rank, ranking_figures
from finetune.harvested import Pair

Sets = Sequence[Sequence[int]]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Ranks from 1 of the right replies ``(n,)``, and the seconds that indexing, encoding and ranking took."""

    name: str
    ranks: NDArray[np.int64]
    seconds: float

    @property
    def recall_at_1(self) -> float:
        """Share of contexts whose own reply came first."""
        return ranking_figures(self.ranks)["recall_at_1_of_100"]

    @property
    def mrr(self) -> float:
        """Mean reciprocal rank."""
        return ranking_figures(self.ranks)["mrr"]


def last_customer_turn(pair: Pair) -> str:
    """Return the customer's last words before the reply, the context behind the known figures of the bare encoder."""
    return next(text for role, text in reversed(pair.context) if role == "customer")


def tfidf_cosine(
    train: Sequence[Pair], test: Sequence[Pair], sets: Sets, context: Callable[[Pair], str] = last_customer_turn
) -> Chosen:
    """Rank replies by cosine of TF-IDF vectors of words and word pairs; document frequencies are those of ``train``.

    Args:
        train: Pairs whose contexts and replies give the frequencies.
        test: Contexts with their own replies.
        sets: Rows of ``test`` each context chooses from, its own first.
        context: Pair -> the text that asks.

    Returns:
        The ranks.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    started = time.perf_counter()
    weigh = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    weigh.fit([text for pair in train for text in (context(pair), pair.reply)])
    asked = weigh.transform([context(pair) for pair in test])
    replies = weigh.transform([pair.reply for pair in test])
    ranks = _ranks((asked @ replies.T).toarray(), sets)
    return Chosen("TF-IDF cosine", ranks, time.perf_counter() - started)


def bm25(test: Sequence[Pair], sets: Sets, context: Callable[[Pair], str] = last_customer_turn) -> Chosen:
    """Rank replies by BM25 (bm25s, Lucene's form, English stop words); document frequencies are those of the test replies.

    Args:
        test: Contexts with their own replies.
        sets: Rows of ``test`` each context chooses from, its own first.
        context: Pair -> the text that asks.

    Returns:
        The ranks.
    """
    import bm25s

    def words(texts: list[str]) -> Any:
        return bm25s.tokenize(texts, stopwords="en", return_ids=False, show_progress=False)

    started = time.perf_counter()
    index = bm25s.BM25()
    index.index(words([pair.reply for pair in test]), show_progress=False)
    asked = words([context(pair) for pair in test])
    nothing = np.zeros(len(test), dtype=np.float32)
    scores = np.stack([index.get_scores(query) if query else nothing for query in asked])
    return Chosen("BM25", _ranks(scores, sets), time.perf_counter() - started)


def untuned_encoder(
    encode: Callable[[Sequence[str]], NDArray[np.float32]],
    test: Sequence[Pair],
    sets: Sets,
    context: Callable[[Pair], str] = last_customer_turn,
) -> Chosen:
    """Rank replies by cosine of the bare encoder's vectors.

    Args:
        encode: Texts -> unit vectors ``(n, d)``, as ``Encoder.encode``.
        test: Contexts with their own replies.
        sets: Rows of ``test`` each context chooses from, its own first.
        context: Pair -> the text that asks.

    Returns:
        The ranks.
    """
    started = time.perf_counter()
    asked, replies = encode([context(pair) for pair in test]), encode([pair.reply for pair in test])
    return Chosen("untuned encoder", rank(asked, replies, sets).ranks, time.perf_counter() - started)


def _ranks(scores: NDArray[Any], sets: Sets) -> NDArray[np.int64]:
    """Rank the first of each set by its scores ``(n, n)`` among the set."""
    rows = [scores[row, list(choices)] for row, choices in enumerate(sets)]
    return np.array([1 + int((row[1:] >= row[0]).sum()) for row in rows], dtype=np.int64)
