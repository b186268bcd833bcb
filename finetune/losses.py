"""The classifier's losses beside plain cross-entropy, and how much a class weighs in them. Knows tensors only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def class_weights(targets: Tensor, classes: int, kind: str, outside: int = -1) -> Tensor:
    """Return the weight of each class in the loss.

    Args:
        targets: Class rows ``(n,)``.
        classes: How many classes there are.
        kind: ``none``, ``sqrt`` or ``balanced``; full balancing let the noisiest classes dominate on support chats.
        outside: Row of the out-of-scope class, which keeps weight 1; -1 for none.

    Returns:
        Weights ``(C,)``.
    """
    import torch

    counts = torch.bincount(targets, minlength=classes).float()
    weights = counts.mean() / counts.clamp(min=1)
    weights = {"none": torch.ones(classes), "sqrt": weights.sqrt(), "balanced": weights}[kind]
    if outside >= 0:
        weights[outside] = 1.0
    return weights


def contrastive(pooled: Tensor, wanted: Tensor, temperature: float = 0.1) -> Tensor:
    """Return the supervised contrastive loss of a batch (Khosla et al. 2020, arXiv:2004.11362).

    Args:
        pooled: Unit vectors ``(B, D)``.
        wanted: Class rows ``(B,)``.
        temperature: Of the similarities.

    Returns:
        Mean over rows with another of their class; 0 where no class occurs twice.
    """
    import torch

    alike = (wanted[:, None] == wanted[None]).float()
    alike.fill_diagonal_(0)
    scores = pooled @ pooled.T / temperature
    scores = scores.masked_fill(torch.eye(len(pooled), dtype=torch.bool), -1e9)
    logs = torch.log_softmax(scores, dim=1)
    paired = alike.sum(1)
    rows = -(alike * logs).sum(1) / paired.clamp(min=1)
    return rows[paired > 0].mean() if bool((paired > 0).any()) else rows.sum() * 0
