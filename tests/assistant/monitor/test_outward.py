"""Nothing inside is reached while a thread is guarded: by no spelling and no kind of call; other threads do as they like."""

from __future__ import annotations

import contextvars
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from assistant.monitor.outward import Door, outward_only


@pytest.fixture
def door() -> Iterator[Door]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield Door(*server.getsockname()[:2])


def call(host: str, port: int) -> None:
    socket.create_connection((host, port), timeout=10).close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "0"])
def test_what_leads_inside_is_refused_and_named(door: Door, host: str) -> None:
    with outward_only() as refused, pytest.raises(ConnectionRefusedError, match=r"loopback|unspecified"):
        call(host, door.port)
    assert refused and "which is" in refused[0]
    call(host, door.port)


def test_a_name_that_a_socket_would_look_up_itself_is_refused(door: Door) -> None:
    with outward_only(), socket.socket() as opened, pytest.raises(ConnectionRefusedError):
        opened.connect(("localhost", door.port))


def test_datagrams_are_refused_too() -> None:
    with outward_only(), socket.socket(type=socket.SOCK_DGRAM) as opened:
        with pytest.raises(ConnectionRefusedError):
            opened.sendto(b"x", ("127.0.0.1", 9))
        with pytest.raises(ConnectionRefusedError):
            opened.sendmsg([b"x"], (), 0, ("127.0.0.1", 9))


def test_what_is_allowed_passes_on_its_own_port_only(door: Door) -> None:
    with outward_only([door]) as refused:
        call(door.address, door.port)
        with pytest.raises(ConnectionRefusedError):
            call(door.address, 9)
    assert len(refused) == 1


def test_other_threads_are_left_alone_and_those_with_the_context_are_not(door: Door) -> None:
    faults: list[BaseException] = []

    def elsewhere() -> None:
        try:
            call(door.address, door.port)
        except OSError as error:
            faults.append(error)

    with outward_only() as refused, ThreadPoolExecutor(1) as pool:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join(30)
        assert faults == [] == refused
        with pytest.raises(ConnectionRefusedError):
            pool.submit(contextvars.copy_context().run, call, door.address, door.port).result(30)
    assert len(refused) == 1


def test_a_connection_within_the_machine_that_is_no_network_passes() -> None:
    one, other = socket.socketpair()
    with outward_only() as refused, one, other:
        one.sendall(b"x")
        assert other.recv(1) == b"x" and refused == []
