"""Keeps other people's code from connecting into the company's own network, while one thread says so and for that thread only.

Libraries that look a host up themselves may get another answer than the one that was checked before (DNS rebinding), follow a
name of their own, or be given an address in an odd spelling. So what is checked here is the address that a socket is about to
connect or send to, at that moment: Python tells its audit hooks of it (PEP 578), in whatever library the call is made. The hook
is set once per process, since hooks cannot be taken back, and does nothing for whoever has not asked for it. It holds for
Python's own sockets; a library that calls the system's from its own C code is not seen. Before: ``targets.py``. After:
``notices.py``.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from assistant.monitor.targets import why_private

_CALLS = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NETWORK = frozenset({socket.AF_INET, socket.AF_INET6})


@dataclass(frozen=True, slots=True)
class Door:
    """One address and port, as a socket connects to it."""

    address: str
    port: int


@dataclass(slots=True)
class _Guard:
    """What may be called although it lies inside, and what was refused."""

    allowed: frozenset[Door]
    refused: list[str] = field(default_factory=list)


_guard: ContextVar[_Guard | None] = ContextVar("deskhand_outward", default=None)
_setting, _set = threading.Lock(), False


@contextmanager
def outward_only(allowed: Collection[Door] = ()) -> Iterator[list[str]]:
    """Refuse every connection to an address that is not public, in this thread and in those that are given its context.

    Args:
        allowed: What may be called all the same, such as the company's proxy.

    Yields:
        What was refused so far: address and reason, in words.
    """
    _set_hook()
    guard = _Guard(frozenset(allowed))
    token = _guard.set(guard)
    try:
        yield guard.refused
    finally:
        _guard.reset(token)


def _set_hook() -> None:
    global _set
    with _setting:
        if not _set:
            sys.addaudithook(_check)
            _set = True


def _check(event: str, given: tuple[Any, ...]) -> None:
    if event not in _CALLS:
        return
    guard = _guard.get()
    if guard is None:
        return
    opened, to = given[0], given[1]
    if opened.family not in _NETWORK or not isinstance(to, tuple):  # a socket on this machine, or one connected before
        return
    fault = why_private(str(to[0]))
    if fault and Door(str(to[0]), int(to[1])) not in guard.allowed:
        guard.refused.append(f"{to[0]}, which is {fault}")
        raise ConnectionRefusedError(f"{to[0]} is {fault}")
