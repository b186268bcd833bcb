"""Rows of unlike length -> batches of like length, which saves padding. Knows lengths; nothing of what is run on the rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def by_length(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Yield every row number once, shortest first.

    Args:
        lengths: Length of each row, in tokens or characters.
        size: Rows of one batch, at most.

    Yields:
        Row numbers; rows of one length keep their order.
    """
    order = _shortest_first(lengths)
    for start in range(0, len(order), size):
        yield order[start : start + size]


def by_area(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Yield every row number once, shortest first, as many at a time as fit.

    Args:
        lengths: Length of each row, in tokens.
        most: Rows times the length of the longest, at most; a row that alone is longer comes alone.

    Yields:
        Row numbers; rows of one length keep their order.
    """
    batch: list[int] = []
    for row in _shortest_first(lengths):
        if batch and (len(batch) + 1) * lengths[row] > most:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def _shortest_first(lengths: Sequence[int]) -> list[int]:
    return sorted(range(len(lengths)), key=lengths.__getitem__)
