"""A question and filters -> ranked hits from one index version.

Comes after ``understand`` (which may hand over the question's vector) and before ``compose``. Knows nothing of how the
index was built.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import numpy as np

from assistant.records import Hit
from retrieval.fuse import Encode, combine
from retrieval.index import Index
from retrieval.lexical import is_chinese

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES = 50
SAME_LANGUAGE_BONUS = 0.05
#: BM25's share of the query's idf runs lower than a cosine: on the sample's validation questions a share of 0.16 told right
#: from outside as well as a fused score of 0.53 did. Dividing by this keeps one evidence threshold for all languages.
LEXICAL_SCALE = 0.3
_MAX_CHARS = 4_000  # beyond this an encoder of 256 or 512 tokens sees nothing


class Retriever:
    """Searches one index; safe to call from several threads, since neither index nor encoder changes."""

    def __init__(self, index: Index, encode: Encode) -> None:
        """Keep the index and what embeds a question.

        Args:
            index: What ``open_current`` returned.
            encode: Texts to unit vectors ``(n, d)`` float32, by the encoder that built the index.
        """
        self.index = index
        self._encode = encode

    def search(
        self,
        text: str,
        *,
        vector: NDArray[np.float32] | None = None,
        k: int = 8,
        kinds: Sequence[str] | None = None,
        lang: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        prefer_lang: str | None = None,
    ) -> list[Hit]:
        """Rank passages for a question.

        The 50 best by cosine and the 50 best by BM25 are candidates; both scores are computed for every one of them and
        fused (see ``fuse``), so a candidate of one list is not punished for missing in the other.

        Args:
            text: The question, redacted.
            vector: Its unit embedding ``(d,)``, if it is known already.
            k: How many hits.
            kinds: Allowed kinds; ``None`` for all. Filters hold before ranking.
            lang: Allowed language; ``None`` for all.
            since: Dated passages from this moment on; undated ones pass.
            until: Dated passages before this moment; undated ones pass.
            prefer_lang: Language whose passages rank 0.05 higher; their scores stay as they are.

        Returns:
            Up to ``k`` hits, best first, fewer only where fewer passages pass the filters; none for a blank question.
            ``Hit.score`` in [0, 1] can be compared between questions.
        """
        text = text[:_MAX_CHARS].strip()
        if not text or k <= 0 or not len(self.index):
            return []
        allowed = self.index.shelf.select(kinds, lang, since, until)
        if vector is None:
            vector = self._encode([text])[0]
        coverage = self.index.words.coverage(text)
        width = max(CANDIDATES, k)
        rows = np.union1d(self.index.nearest.search(vector, width, allowed), _best(coverage, width, allowed))
        if not len(rows):
            return []
        dense = self.index.nearest.vectors[rows] @ vector
        alpha = self.index.alpha("zh" if is_chinese(text) else prefer_lang or lang)
        fused = combine(dense, coverage[rows], alpha) / (alpha + LEXICAL_SCALE * (1 - alpha))
        ranked = fused if prefer_lang is None else fused + SAME_LANGUAGE_BONUS * self.index.shelf.of_lang(prefer_lang)[rows]
        order = np.argsort(-ranked, kind="stable")[:k].tolist()
        return [
            # Cut off at 1 only here: where many pass it, as for short Chinese questions, they are still ranked.
            Hit(self.index.shelf.passage(int(rows[at])), min(float(fused[at]), 1.0), float(dense[at]), float(coverage[rows[at]]))
            for at in order
        ]


def _best(coverage: NDArray[np.float32], width: int, allowed: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Return the rows of the ``width`` best positive scores among those allowed, in no order."""
    rows = np.flatnonzero(coverage if allowed is None else coverage * allowed)
    if len(rows) > width:
        rows = rows[np.argpartition(-coverage[rows], width)[:width]]
    return rows.astype(np.int64)
