"""A connection that goes to addresses which were checked and to nothing else, and that is over by a deadline.

A backend for httpcore, which asks it for a host by name: so the Host header and the TLS certificate are still those of the
name, while the name is not looked up again. Timeouts of single reads would let a receiver that sends one byte now and then
hold the caller for ever; here all of them together end at the deadline. Imported at first use; knows no webhook.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterable

import httpcore

Clock = Callable[[], float]


class PinnedBackend(httpcore.NetworkBackend):
    """Connects to the first of some addresses that answers, whatever host it is asked for."""

    def __init__(self, addresses: Iterable[str], seconds: float, clock: Clock = time.monotonic) -> None:
        """Take the checked addresses; ``seconds`` from now everything has to be over."""
        self._addresses = tuple(addresses)
        self._clock = clock
        self._deadline = clock() + seconds
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to an address; the host is not looked at."""
        failure: Exception = httpcore.ConnectError("no address to connect to")
        for address in self._addresses:
            try:
                left = remaining(self._deadline, self._clock, timeout, httpcore.ConnectTimeout)
                stream = self._backend.connect_tcp(address, port, left, local_address, socket_options)
                return _Hurried(stream, self._deadline, self._clock)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure


class _Hurried(httpcore.NetworkStream):
    """A stream whose every step ends at the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float, clock: Clock) -> None:
        self._stream = stream
        self._deadline = deadline
        self._clock = clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, remaining(self._deadline, self._clock, timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, remaining(self._deadline, self._clock, timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = remaining(self._deadline, self._clock, timeout, httpcore.ConnectTimeout)
        return _Hurried(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline, self._clock)

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


def remaining(deadline: float, clock: Clock, timeout: float | None, over: type[httpcore.TimeoutException]) -> float:
    """Tell how long a step may take.

    Args:
        deadline: When everything has to be over, by the clock.
        clock: The clock, in seconds.
        timeout: How long the step may take at most; ``None`` for no limit of its own.
        over: What is raised when no time is left.

    Returns:
        Seconds, above 0.

    Raises:
        TimeoutException: Of the kind ``over``.
    """
    left = deadline - clock()
    if left <= 0:
        raise over("the receiver took too long altogether")
    return left if timeout is None else min(left, timeout)
