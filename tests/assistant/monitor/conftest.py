"""A receiver of notices on this machine, and a ledger on each engine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from assistant.monitor.ledger import Ledger
from assistant.store import Store


@pytest.fixture
def ledger(store: Store) -> Ledger:
    """The monitor's side of an empty store on each engine."""
    return store.monitor


class Receiver:
    """A web server that keeps what it is sent; ``answer`` says with which status, headers and body it replies."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answer: Callable[[int], tuple[int, dict[str, str], bytes]] = lambda count: (200, {}, b"ok")
        lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with lock:
                    receiver.got.append((self.path, {key.lower(): value for key, value in self.headers.items()}, body))
                    status, headers, said = receiver.answer(len(receiver.got))
                self.send_response(status)
                for key, value in {"Content-Length": str(len(said)), **headers}.items():
                    self.send_header(key, value)
                self.end_headers()
                with suppress(OSError):  # the sender may have read enough
                    self.wfile.write(said)

            do_GET = do_POST

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self.server.server_address[1])
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join(10)


@pytest.fixture
def receive() -> Iterator[Callable[[], Receiver]]:
    """Start a receiver."""
    with ExitStack() as stack:

        def start() -> Receiver:
            receiver = Receiver()
            stack.callback(receiver.close)
            return receiver

        yield start
