"""The wide half of a dialog adapter: vectors of n-grams for contexts and replies, trained apart from the encoder.

It learns from every pair in a fraction of the time that the encoder takes for a few thousand, and knows what many conversations
teach: which words of an answer follow which words of a question. How much it weighs beside the encoder, validation says. In-batch
negatives, as in ``dialog.py``. Method: StarSpace (Wu et al. 2018, arXiv:1709.03856). Knows pairs, not where they come from.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from assistant.heads import BUCKETS, hashed
from assistant.sides import SHARE, context_grams, weight_of, wide_side
from finetune.harvested import Pair
from finetune.recipe import Steps

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from assistant.heads import Hashed

WIDTH = 128  # numbers per n-gram: two sides are 17 MB in half precision
#: Chosen on cucom's validation side: without dropout of n-grams a few epochs learn the training pairs by heart. See DECISIONS.md.
EPOCHS, BATCH, RATE, DROPOUT = 16, 256, 1e-2, 0.6
#: Weights of the wide half that are tried on validation; 0 leaves it out.
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0)
_SCALE = 20.0


@dataclass(frozen=True, slots=True)
class Wide:
    """Vectors of n-grams for contexts and for replies, each ``(BUCKETS, WIDTH)``, exact in half precision."""

    context: Tensor
    reply: Tensor

    def sides(self, pairs: Sequence[Pair]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return unit vectors of contexts and of replies, each ``(n, WIDTH)``."""
        contexts, replies = [context_grams(pair.context) for pair in pairs], [hashed(pair.reply) for pair in pairs]
        return wide_side(self.context, contexts).numpy(), wide_side(self.reply, replies).numpy()

    def tensors(self, share: float) -> dict[str, Tensor]:
        """Return what the head keeps, with the weight beside the deep half."""
        import torch

        wide = {weight_of("context", wide=True): self.context.half(), weight_of("reply", wide=True): self.reply.half()}
        return {**wide, SHARE: torch.tensor(share)}


def train_wide(pairs: Sequence[Pair], seed: int, told: Steps | None = None) -> Wide:
    """Train both sides' vectors of n-grams.

    Both begin alike, at random and weighed by rarity, so that a rare word on both sides counts before anything is learned. Adam's
    rate falls to zero.

    Args:
        pairs: Contexts with their replies.
        seed: Of the beginning and the order.
        told: Called after every epoch.

    Returns:
        The vectors.
    """
    import torch
    from torch.nn import functional as fn

    torch.manual_seed(seed)
    contexts = [context_grams(pair.context) for pair in pairs]
    place: dict[str, int] = {}
    own = [place.setdefault(pair.reply, len(place)) for pair in pairs]
    replies = [hashed(reply) for reply in place]
    start = torch.randn(BUCKETS, WIDTH) / WIDTH**0.5 * torch.from_numpy(_rarity(replies))[:, None]
    asked, said = start.clone().requires_grad_(), start.clone().requires_grad_()
    optimiser = torch.optim.Adam([asked, said], lr=RATE, fused=True)
    steps = EPOCHS * -(-len(pairs) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(0.0, 1 - step / steps))
    for epoch in range(EPOCHS):
        order = list(range(len(pairs)))
        random.Random(f"{seed} {epoch}").shuffle(order)
        for at in range(0, len(order), BATCH):
            rows = order[at : at + BATCH]
            column = {row: number for number, row in enumerate(dict.fromkeys(own[row] for row in rows))}
            left = wide_side(asked, [contexts[row] for row in rows], DROPOUT)
            right = wide_side(said, [replies[row] for row in column], DROPOUT)
            loss = fn.cross_entropy(_SCALE * left @ right.T, torch.tensor([column[own[row]] for row in rows]))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        if told:
            told("epochs of n-grams", epoch + 1, EPOCHS)
    return Wide(asked.detach().half().float(), said.detach().half().float())


def best_share(judge: Callable[[float], float]) -> float:
    """Return the weight of the wide half that judges best on validation, the smallest of equals.

    Args:
        judge: Weight -> score, higher is better.
    """
    return max(SHARES, key=lambda share: (judge(share), -share))


def _rarity(rows: Sequence[Hashed]) -> NDArray[np.float32]:
    """Return the inverse document frequency of every bucket ``(BUCKETS,)``."""
    counts = np.zeros(BUCKETS)
    for buckets, _ in rows:
        counts[buckets] += 1
    return np.log((len(rows) + 1) / (counts + 1)).astype(np.float32)
