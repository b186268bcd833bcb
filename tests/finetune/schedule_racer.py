"""One scheduler of ``test_schedule_processes.py``: each line on stdin sets its clock, then it looks once and says what happened.

Arguments: store's address, the time it began in ISO, a file that each run adds a line to, and ``end`` or ``hang``. With
``hang`` the job says ``begun`` on stdout and never ends by itself.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime

from assistant.store import open_store
from finetune.schedule import Job, Keeper

LEASE_S = 120.0


def main() -> None:
    """Look as often as there are lines."""
    url, began, ran, how = sys.argv[1:]
    clock = [datetime.fromisoformat(began)]

    def run(stopped: Callable[[], bool]) -> str:
        door = os.open(ran, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(door, f"{clock[-1].isoformat()}\n".encode())
        os.close(door)
        if how == "hang":
            print("begun", flush=True)
            signal.pause()
        return "done"

    with open_store(url) as store:
        keeper = Keeper(
            store.learning,
            f"host:{os.getpid()}",
            now=lambda: clock[-1],
            monotonic=time.monotonic,
            lease_s=LEASE_S,
            stop=threading.Event(),
        )
        print("ready", flush=True)
        for line in sys.stdin:
            clock.append(datetime.fromisoformat(line.strip()))
            print(keeper.look(Job("retrain", "0 3 * * *", run)).happened, flush=True)


main()
