"""Batches of like length: nothing is lost, nothing comes twice, and none is larger than asked for."""

from __future__ import annotations

from assistant.batches import by_area, by_length

LENGTHS = [5, 1, 9, 1, 7, 3, 40]


def test_every_row_comes_once_shortest_first_in_batches_of_the_size() -> None:
    assert list(by_length(LENGTHS, 3)) == [[1, 3, 5], [0, 4, 2], [6]]
    assert list(by_length([], 3)) == []


def test_a_batch_holds_as_many_rows_as_fit_when_padded_to_its_longest() -> None:
    assert list(by_area(LENGTHS, 15)) == [[1, 3, 5], [0, 4], [2], [6]]
    assert list(by_area([], 15)) == []
