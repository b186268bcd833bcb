"""The two sides of choosing a reply, context and reply, as vectors: what both share is how well they fit.

Each side has a deep half, a projection of the adapted encoder's vector, and may have a wide one, the sum of vectors of its hashed
n-grams, which carries what a small encoder does not know: names of things, turns of phrase. Method: wide & deep learning (Cheng
et al. 2016, arXiv:1606.07792) on a dual encoder, the wide half as in StarSpace (Wu et al. 2018, arXiv:1709.03856). Knows
tensors and strings; ``choose.py`` serves it, ``finetune/wide_dialog.py`` trains the wide half.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from assistant.heads import bags, hashed

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from assistant.heads import Hashed

Side = Literal["context", "reply"]
Context = Sequence[tuple[str, str]]
#: Weight of the wide half beside the deep one, whose weight is 1.
SHARE = "wide.share"
_CONTEXT_TURNS, _TURN_CHARS = 4, 240
_BEFORE, _BEFORE_WEIGHT = "e", np.float32(0.7)  # the turns before the last: their salt, and their weight


def context_text(context: Context) -> str:
    """Return what was said before a reply as one text, the last turn first, since long texts are cut at the end.

    Args:
        context: ``(role, text)`` of the turns, oldest first.

    Returns:
        The last four turns, each cut to 240 characters.
    """
    return " | ".join(text[:_TURN_CHARS] for _, text in reversed(context[-_CONTEXT_TURNS:]))


def context_grams(context: Context) -> Hashed:
    """Hash the n-grams of a context, those of its last turn apart: "yes" means one thing now and another three turns ago.

    Args:
        context: ``(role, text)`` of the turns, oldest first.

    Returns:
        Buckets and weights of the turns that ``context_text`` takes; those before the last are cut to 600 characters together.
    """
    newest = [text[:_TURN_CHARS] for _, text in reversed(context[-_CONTEXT_TURNS:])]
    last, before = hashed(newest[0] if newest else ""), hashed(" | ".join(newest[1:]), _BEFORE)
    return np.concatenate([last[0], before[0]]), np.concatenate([last[1], before[1] * _BEFORE_WEIGHT])


def weight_of(side: Side, *, wide: bool = False) -> str:
    """Return the name of a side's tensor in the head."""
    return f"wide.{side}.weight" if wide else f"{side}.weight"


def deep_side(weight: Tensor, pooled: Tensor) -> Tensor:
    """Project the encoder's vectors ``(B, D)`` with ``weight (D, D)``; unit vectors ``(B, D)``."""
    from torch.nn import functional as fn

    return fn.normalize(fn.linear(pooled, weight), dim=1)


def wide_side(weight: Tensor, rows: Sequence[Hashed], dropout: float = 0.0) -> Tensor:
    """Add up the vectors of hashed n-grams with ``weight (BUCKETS, E)``, a share of them left out; unit vectors ``(B, E)``."""
    from torch.nn import functional as fn

    buckets, offsets, weights = bags(rows)
    weights = fn.dropout(weights, dropout)
    return fn.normalize(fn.embedding_bag(buckets, weight, offsets, mode="sum", per_sample_weights=weights), dim=1)


def joined(deep: NDArray[np.float32], wide: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Join both halves to ``(B, D + E)``; inner products are ``(deep + share * wide) / (1 + share)`` of the halves' cosines."""
    found: NDArray[np.float32] = np.concatenate([deep, wide * share**0.5], axis=1, dtype=np.float32)
    return found * np.float32((1 + share) ** -0.5)


def vectors(head: Mapping[str, Tensor], side: Side, pooled: Tensor, grams: Sequence[Hashed]) -> NDArray[np.float32]:
    """Return a side's vectors as they are served, of unit length unless a text has no n-grams.

    Args:
        head: ``context.weight`` and ``reply.weight``, each ``(D, D)``; with a wide half also ``wide.context.weight`` and
            ``wide.reply.weight``, each ``(BUCKETS, E)``, and ``wide.share``, a number.
        side: Which side it is.
        pooled: The adapter's vectors ``(B, D)`` of the texts.
        grams: Their n-grams, ``context_grams`` of contexts and ``heads.hashed`` of replies ``(B,)``.

    Returns:
        ``(B, D)`` or ``(B, D + E)``.
    """
    deep: NDArray[np.float32] = deep_side(head[weight_of(side)], pooled).numpy()
    if SHARE not in head:
        return deep
    return joined(deep, wide_side(head[weight_of(side, wide=True)], grams).numpy(), float(head[SHARE]))
