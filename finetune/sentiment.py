"""Sentiment adapters: a classifier of negative, neutral and positive, thresholds by language, emotions where rows tell them.

The same words weigh differently in different languages, so from which probability on a message counts as negative is chosen
for each language by itself. Emotions are logistic regressions on the adapter's finished vectors, one each, because a message
may hold several; they never change the adapter. Knows nothing of how the figures are used (``assistant/monitor``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from assistant.encoder import Encoder
from assistant.language import identify
from finetune.evaluate import auroc
from finetune.examples import EMOTIONS, SENTIMENTS, Labelled
from finetune.fitting import Fitted
from finetune.head_start import pooled
from finetune.intent import Finished, Trained, train_classifier
from finetune.ranks import Ranks
from finetune.recipe import Run

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: A language with fewer validation rows, or negative ones, gets no threshold of its own: it would be chance.
_LEAST_ROWS, _LEAST_NEGATIVE = 40, 10
#: An emotion with fewer rows to learn from, or to check by, is not told.
_LEAST_FELT = 30


def train_sentiment(
    run: Run,
    training: Sequence[Labelled],
    validation: Sequence[Labelled],
    encoder: Encoder,
    *,
    ranks: Ranks | None = None,
) -> Trained:
    """Train a sentiment adapter.

    Args:
        run: Version, settings, and where it is written.
        training: Rows of the three labels; those that name emotions, even none, teach emotions too.
        validation: Chooses epoch, temperature and thresholds.
        encoder: The frozen base.
        ranks: The processes that train together.

    Returns:
        As ``train_classifier``; the manifest's thresholds hold ``negative_LANG``, its head ``emotions``.

    Raises:
        TrainingError: As ``train_classifier``.
    """

    def finish(fitted: Fitted, chances: NDArray[np.float32], held: Sequence[Labelled]) -> Finished:
        thresholds = negative_thresholds(chances[:, SENTIMENTS.index("negative")], held)
        told = [(row, felt) for row in training if (felt := row.emotions) is not None]
        checked = [(row, felt) for row in held if (felt := row.emotions) is not None]
        found = _emotions(fitted, told, checked)
        return Finished(found.tensors, found.head, found.scores, thresholds)

    return train_classifier(run, training, validation, encoder, labels=SENTIMENTS, ranks=ranks, finish=finish)


def negative_thresholds(chances: NDArray[np.float32], held: Sequence[Labelled]) -> dict[str, float]:
    """Choose for each language from which probability on a message counts as negative.

    The threshold at which as many messages are called negative as are: then the number of negative messages, which the monitor
    watches, is right on average, in every language alike.

    Args:
        chances: Calibrated probability of negative ``(n,)``.
        held: The validation rows ``n``.

    Returns:
        ``negative_LANG`` -> probability in (0, 1), for every language with enough rows.
    """
    languages = np.array([identify(row.text) for row in held])
    truth = np.array([row.label == "negative" for row in held])
    found = {}
    for language in sorted(set(languages) - {"und"}):
        own = languages == language
        count = int(truth[own].sum())
        if own.sum() < _LEAST_ROWS or not _LEAST_NEGATIVE <= count <= own.sum() - _LEAST_NEGATIVE:
            continue
        ranked = np.sort(chances[own])[::-1]
        found[f"negative_{language}"] = round(float((ranked[count - 1] + ranked[count]) / 2), 4)
    return found


def _emotions(
    fitted: Fitted,
    told: Sequence[tuple[Labelled, Sequence[str]]],
    checked: Sequence[tuple[Labelled, Sequence[str]]],
) -> Finished:
    """Fit what can be told of emotions; nothing where too few rows name them."""
    import torch
    from sklearn.linear_model import LogisticRegression

    names = [name for name in EMOTIONS if _LEAST_FELT <= sum(name in felt for _, felt in told) <= len(told) - _LEAST_FELT]
    if not names:
        return Finished()
    with torch.inference_mode():
        vectors = pooled(fitted.adapted, fitted.adapted.prepare([row.text for row, _ in told])).numpy()
        judged = pooled(fitted.adapted, fitted.adapted.prepare([row.text for row, _ in checked])).numpy() if checked else None
    weights, biases, scores = [], [], {}
    for name in names:
        model = LogisticRegression(C=10.0, max_iter=1000).fit(vectors, [name in felt for _, felt in told])
        weights.append(model.coef_[0])
        biases.append(model.intercept_[0])
        truth = np.array([name in felt for _, felt in checked], dtype=bool)
        if judged is not None and 0 < truth.sum() < len(truth):
            scores[f"validation_auroc_{name}"] = round(float(auroc(model.decision_function(judged).astype(np.float32), truth)), 4)
    tensors = {
        "emotion.weight": torch.tensor(np.array(weights), dtype=torch.float32),
        "emotion.bias": torch.tensor(np.array(biases), dtype=torch.float32),
    }
    return Finished(tensors, {"emotions": names}, scores)
