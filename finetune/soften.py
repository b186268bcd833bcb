"""Soft targets for a classifier: what others, trained without an example, say of it.

People's labels are noisy, and two labels may both fit. So the examples are dealt into parts; for each part a classifier is
trained on the rest and asked about the part. The final training learns from a mix of labels and answers. Answers come from
outside the sample (as in confident learning, Northcutt et al. 2021, arXiv:1911.00068), or the classifiers would only repeat
the labels they had learned; learning from answers is distillation (Hinton et al. 2015, arXiv:1503.02531). Knows row numbers
and arrays; what is trained, the caller knows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Teach = Callable[[list[int], list[int]], NDArray[np.float32]]


def deal(targets: Sequence[int], parts: int, seed: int) -> list[list[int]]:
    """Deal rows into parts that hold every class alike.

    Args:
        targets: Class of each row ``(n,)``.
        parts: How many parts.
        seed: Of the order within a class.

    Returns:
        Row numbers of each part, ascending. A class of a single row is in one part only: the others are taught without it.
    """
    order = list(range(len(targets)))
    random.Random(seed).shuffle(order)
    order.sort(key=lambda row: targets[row])
    return [sorted(order[part::parts]) for part in range(parts)]


def out_of_sample(teach: Teach, targets: Sequence[int], classes: int, parts: int, seed: int) -> NDArray[np.float32]:
    """Ask about every row a classifier that was not trained on it.

    Args:
        teach: Trains on the first rows and returns the probabilities ``(m, C)`` of the second.
        targets: Class of each row ``(n,)``.
        classes: ``C``.
        parts: How many classifiers, 2 or more.
        seed: Of the deal.

    Returns:
        Probabilities ``(n, C)``.
    """
    found = np.zeros((len(targets), classes), dtype=np.float32)
    for part in deal(targets, parts, seed):
        asked = set(part)
        found[part] = teach([row for row in range(len(targets)) if row not in asked], part)
    return found
