"""How a classifier's head begins: from its classes' means, or from logistic regression on the frozen encoder.

Knows heads and prepared texts; ``intent.py`` trains on from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from assistant.batches import by_length
from finetune.adapted import AdaptedEncoder, Prepared

if TYPE_CHECKING:
    from torch import Tensor

#: Unit vectors need a scale to give peaked classes; it is folded into the deep weights when they are saved.
SCALE = 12.0
_PROBE_C = 30.0  # inverse strength of the probe's regularisation; the best of 1 to 100 on vectors of length 1


def imprint(head: Any, adapted: AdaptedEncoder, states: Sequence[Prepared], targets: Tensor) -> None:
    """Begin the deep half with the mean vector of every class (Qi et al. 2018, arXiv:1712.07136), not with noise.

    Args:
        head: The head; a class without an example keeps its small random row.
        adapted: The encoder before training.
        states: The training texts.
        targets: Their class rows ``(n,)``.
    """
    import torch
    from torch.nn import functional as fn

    with torch.no_grad():
        sums = torch.zeros_like(head.deep.weight).index_add_(0, targets, pooled(adapted, states))
        present = sums.norm(dim=1) > 0
        centred = fn.normalize(sums, dim=1)
        centred = centred - centred[present].mean(0)
        head.deep.weight[present] = centred[present]


def probe(head: Any, adapted: AdaptedEncoder, states: Sequence[Prepared], targets: Tensor) -> None:
    """Begin the deep half with logistic regression on the frozen encoder, so that fine-tuning starts from a good head.

    Linear probing before fine-tuning keeps the encoder's features from being torn about by a head that knows nothing yet (Kumar
    et al. 2022, arXiv:2202.10054).

    Args:
        head: The head; a class without an example keeps its small random row.
        adapted: The encoder before training.
        states: The training texts.
        targets: Their class rows ``(n,)``, of two classes at least.
    """
    import torch
    from sklearn.linear_model import LogisticRegression

    with torch.no_grad():
        found = LogisticRegression(C=_PROBE_C, max_iter=1000).fit(pooled(adapted, states).numpy(), targets.numpy())
        weight, bias = (torch.tensor(part, dtype=torch.float32) / SCALE for part in (found.coef_, found.intercept_))
        if len(found.classes_) == 2:  # one plane between the two, which scikit-learn gives once
            weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
        head.deep.weight[found.classes_], head.deep.bias[found.classes_] = weight, bias


def pooled(adapted: AdaptedEncoder, states: Sequence[Prepared]) -> Tensor:
    """Return the unit vectors of all texts ``(n, D)``, as the adapter stands."""
    import torch

    found = torch.zeros(len(states), adapted.dim)
    for rows in by_length([len(state) for state in states], 128):
        found[rows] = adapted.pool(*adapted.hidden([states[row] for row in rows]))
    return found
