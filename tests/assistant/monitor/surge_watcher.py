"""Runs for ``test_surges.py``: a process that watches a store as a server does, on a clock that its parent moves.

Arguments: the store's address, the receiver's port, and the time at which it starts. Every time the monitor waits, and before it
stores an alert, a snapshot or a delivery, it writes one line to its parent and goes on when that answers; there it may be killed.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from types import MappingProxyType, SimpleNamespace
from typing import Any

from assistant.monitor.ledger import Ledger
from assistant.settings import Notify, Settings, WebhookReceiver
from assistant.store import open_store
from ui.monitoring import Background

SECRET = "whsec_" + "QUJDRA" * 6
TARGET = "team"
END = "end"


def tell(what: str, **more: Any) -> str:
    """Tell the parent where this process is, and wait for its answer; a parent that is gone ends it."""
    print(json.dumps({"what": what, **more}), flush=True)
    return sys.stdin.readline().strip() or END


class StreamTime(threading.Event):
    """The monitor's clock: waiting moves it, and the parent puts away what was written until then."""

    def __init__(self, at: datetime) -> None:
        """Start at a time, timezone-aware."""
        super().__init__()
        self.at = at
        self.over = threading.Event()

    def now(self) -> datetime:
        """Tell the time."""
        return self.at

    def wait(self, timeout: float | None = None) -> bool:
        """Pass the time."""
        if not self.over.is_set():
            self.at += timedelta(seconds=timeout or 0.0)
            if tell("time", at=self.at.isoformat()) != END:
                return False
            self.over.set()
        return super().wait()  # until the monitor is stopped


def pause_before(name: str) -> None:
    """Let the parent decide before each call of one of the ledger's changes."""
    change: Callable[..., Any] = getattr(Ledger, name)

    def told(self: Ledger, *arguments: Any) -> Any:
        tell(name)
        return change(self, *arguments)

    setattr(Ledger, name, told)


def main() -> None:
    """Watch until the parent says that the stream is over."""
    for name in ("raise_alert", "save_state", "mark_sent"):
        pause_before(name)
    hook = WebhookReceiver(name=TARGET, url=f"http://127.0.0.1:{sys.argv[2]}/", secret=SECRET)
    settings = Settings(notify=Notify(allow_private=True, webhooks=(hook,)))
    clock = StreamTime(datetime.fromisoformat(sys.argv[3]))
    understander = SimpleNamespace(versions={}, mood_thresholds=MappingProxyType[str, float]({}))
    with open_store(sys.argv[1]) as store:
        parts: Any = SimpleNamespace(settings=settings, store=store, serving=lambda: SimpleNamespace(understander=understander))
        tell("time", at=clock.at.isoformat())
        background = Background(parts, clock.now, clock)
        background.start()
        clock.over.wait()
        background.stop()


if __name__ == "__main__":
    main()
