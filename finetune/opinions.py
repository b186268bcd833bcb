"""What champion and evidence think of texts, side by side.

Knows no model: both are passed in as functions. Asked by the harvest before it believes or doubts a label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assistant.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Texts -> the champion's calibrated probabilities ``(n, C)`` and the names of its ``C`` labels.
Predict = Callable[[Sequence[str]], tuple["NDArray[np.float32]", Sequence[str]]]
#: Texts -> for each the intent of the best retrieved passage, ``None`` where its score is not high enough.
Evidence = Callable[[Sequence[str]], Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class Opinion:
    """The champion's best label, its probability, the lead over the second best, and what the evidence speaks of."""

    label: str
    confidence: float
    margin: float
    evidence: str | None


def ask(texts: Sequence[str], predict: Predict | None, evidence: Evidence | None) -> Mapping[str, Opinion]:
    """Ask champion and evidence about texts.

    Args:
        texts: Redacted texts, each once.
        predict: The champion; without one there are no opinions.
        evidence: The evidence. Where it searches an index that holds the very conversations the texts are from, it agrees
            with their labels for no reason: leave those out of its search.

    Returns:
        An opinion for each text; empty without a champion.

    Raises:
        TrainingError: If either gives another number of answers than it was asked for.
    """
    if predict is None or not texts:
        return {}
    chances, labels = predict(texts)
    chances = np.asarray(chances, dtype=np.float64)
    if chances.shape != (len(texts), len(labels)) or not len(labels) or not np.isfinite(chances).all():
        raise TrainingError(
            f"the champion gave probabilities of shape {chances.shape} for {len(texts)} texts and {len(labels)} labels; "
            "a finite one is needed for every text and label"
        )
    spoken: Sequence[str | None] = evidence(texts) if evidence is not None else [None] * len(texts)
    if len(spoken) != len(texts):
        raise TrainingError(f"the evidence gave {len(spoken)} intents for {len(texts)} texts; one (or None) for each is needed")
    best = chances.argmax(axis=1)
    ordered = np.sort(chances, axis=1)
    seconds = ordered[:, -2] if len(labels) > 1 else np.zeros(len(texts))
    return {
        text: Opinion(labels[place], float(top), float(top - second), intent)
        for text, place, top, second, intent in zip(texts, best.tolist(), ordered[:, -1], seconds, spoken, strict=True)
    }
