"""Past replies that answer the question, for companies without an intent adapter.

A past reply is found by the customer's words before it; in a long or wandering conversation it may speak of something else.
Without an intent to compare, its own words must stand near the question. Comes between retrieval and composing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from assistant.records import Hit

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Cosine between question and reply; see DECISIONS.md for what it was chosen on.
LEAST_COSINE = 0.3


def on_topic(
    hits: Sequence[Hit],
    question: NDArray[np.float32],
    encode: Callable[[Sequence[str]], NDArray[np.float32]],
    least: float = LEAST_COSINE,
) -> list[Hit]:
    """Leave out past replies whose own words are far from the question.

    Args:
        hits: Evidence, best first.
        question: The question's unit vector ``(d,)``.
        encode: Texts to unit vectors ``(n, d)``.
        least: Cosine from which a reply stays.

    Returns:
        The hits in their order, articles and templates all kept.
    """
    replies = [hit for hit in hits if hit.passage.kind == "reply"]
    if not replies:
        return list(hits)
    near = encode([hit.passage.text for hit in replies]) @ question >= least
    left_out = {hit.passage.id for hit, stays in zip(replies, near.tolist(), strict=True) if not stays}
    return [hit for hit in hits if hit.passage.id not in left_out]
