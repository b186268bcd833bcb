"""Calls of several threads -> one batch of the model. Knows nothing of what is run."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any


class MicroBatcher:
    """Joins calls that arrive while the model is busy into its next batch; adds no wait when it is idle.

    ``run`` takes a list of items and returns as many results; it is called by one thread at a time.
    """

    def __init__(self, run: Callable[[list[Any]], Sequence[Any]], max_batch: int = 16) -> None:
        """Remember what to run and how many items may go together."""
        self._run = run
        self._max = max_batch
        self._lock = threading.Lock()
        self._busy = threading.Lock()
        self._waiting: list[tuple[Any, list[Any], threading.Event]] = []

    def __call__(self, item: Any) -> Any:
        """Run one item, together with others that wait; raise what ``run`` raised."""
        slot: list[Any] = []
        done = threading.Event()
        with self._lock:
            self._waiting.append((item, slot, done))
        while not done.is_set():
            with self._busy:
                if done.is_set():
                    break
                with self._lock:
                    batch, self._waiting = self._waiting[: self._max], self._waiting[self._max :]
                self._finish(batch)
        if isinstance(slot[0], BaseException):
            raise slot[0]
        return slot[0]

    def _finish(self, batch: list[tuple[Any, list[Any], threading.Event]]) -> None:
        results: Sequence[Any]
        try:
            results = self._run([item for item, _, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} items went in, {len(results)} results came out")
        except BaseException as error:  # handed to every caller of the batch, which raises it
            results = [error] * len(batch)
        for (_, slot, done), result in zip(batch, results, strict=True):
            slot.append(result)
            done.set()
