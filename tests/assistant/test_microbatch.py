"""Calls that arrive together share a batch of the model, and each gets its own result."""

from __future__ import annotations

import threading
import time
from typing import Any

from assistant.microbatch import MicroBatcher

DEADLINE_S = 30.0


class Gate:
    """A ``run`` whose first call waits until all other callers queue up; from then on it may fail once."""

    def __init__(self, callers: int, fails: bool = False) -> None:
        self.callers = callers
        self.fails = fails
        self.batches: list[list[int]] = []
        self.batcher = MicroBatcher(self.run, max_batch=4)
        self.busy = threading.Lock()

    def run(self, items: list[int]) -> list[int]:
        assert self.busy.acquire(blocking=False), "run was called by two threads at a time"
        self.batches.append(items)
        ends = time.monotonic() + DEADLINE_S
        while len(self.batches) == 1 and len(self.batcher._waiting) + len(items) < self.callers and time.monotonic() < ends:
            pass
        self.busy.release()
        if self.fails and len(self.batches) == 2:
            raise ValueError("bad batch")
        return [item * 2 for item in items]


def call_all(batcher: MicroBatcher, items: list[Any]) -> dict[int, Any]:
    """Call from one thread per item; return results or errors by row."""
    found: dict[int, Any] = {}
    barrier = threading.Barrier(len(items))

    def call(row: int) -> None:
        barrier.wait(DEADLINE_S)
        try:
            found[row] = batcher(items[row])
        except Exception as error:
            found[row] = error

    threads = [threading.Thread(target=call, args=(row,), daemon=True) for row in range(len(items))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not any(thread.is_alive() for thread in threads), "a caller waits for ever"
    return found


def test_every_caller_gets_its_own_result_and_waiting_calls_share_batches() -> None:
    gate = Gate(callers=10)
    assert call_all(gate.batcher, list(range(10))) == {row: row * 2 for row in range(10)}
    assert sum(map(len, gate.batches)) == 10 and len(gate.batches) <= 4 and max(map(len, gate.batches)) == 4


def test_an_error_reaches_every_caller_of_its_batch_and_the_next_calls_work() -> None:
    gate = Gate(callers=12, fails=True)
    found = call_all(gate.batcher, list(range(12)))
    failed = {row for row, value in found.items() if isinstance(value, ValueError)}
    assert failed == set(gate.batches[1]) and len(failed) == 4
    assert {row: value for row, value in found.items() if row not in failed} == {r: r * 2 for r in range(12) if r not in failed}
    assert gate.batcher(21) == 42


def test_a_run_that_loses_results_fails_loudly_instead_of_hanging() -> None:
    batcher = MicroBatcher(lambda items: [])
    found = call_all(batcher, [1, 2, 3])
    assert all(isinstance(value, RuntimeError) for value in found.values()) and len(found) == 3


def test_many_calls_from_many_threads_all_come_back() -> None:
    batcher = MicroBatcher(lambda items: [item + 1 for item in items], max_batch=3)
    found: list[int] = []
    barrier = threading.Barrier(8)

    def work(start: int) -> None:
        barrier.wait(DEADLINE_S)
        for item in range(start, start + 200):
            assert batcher(item) == item + 1
        found.append(start)

    threads = [threading.Thread(target=work, args=(at * 1000,), daemon=True) for at in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert len(found) == 8
