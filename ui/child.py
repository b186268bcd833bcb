"""Runs a command in a child process that can be asked to stop, and that has a limit of time.

Knows processes and signals, not what the command does.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from assistant.errors import TrainingError

#: How long a child that was asked to stop may take, before it is killed.
GRACE_S = 20.0
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child process ended: its exit code and what it printed, or which limit it reached."""

    code: int
    out: str
    err: str
    overdue: bool = False
    stopped: bool = False


#: Runs a command: words, a question whether to stop, and the most seconds it may take.
Runner = Callable[[Sequence[str], Callable[[], bool], float], Ended]


def run_child(words: Sequence[str], stopped: Callable[[], bool], limit_s: float) -> Ended:
    """Run a command in a child process.

    Args:
        words: The command.
        stopped: Asked about twice a second; the child is interrupted when it says so.
        limit_s: Most seconds it may take.

    Returns:
        How it ended.

    Raises:
        TrainingError: If it cannot be started.
    """
    # Files, not pipes: the child can go on and end well if this process is killed. It has its own session, so that Ctrl-C in
    # a terminal reaches it once, through us.
    with tempfile.TemporaryFile("w+", errors="replace") as out, tempfile.TemporaryFile("w+", errors="replace") as err:
        try:
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True, text=True)
        except OSError as error:
            raise TrainingError(f"{words[0]} cannot be started: {error.strerror}; install Deskhand anew") from error
        until, overdue, asked = time.monotonic() + limit_s, False, False
        try:
            while child.poll() is None:
                overdue, asked = time.monotonic() >= until, stopped()
                if overdue or asked:
                    _interrupt(child)
                    break
                try:
                    child.wait(min(_POLL_S, max(until - time.monotonic(), 0.001)))
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if child.poll() is None:  # something was raised here
                _kill(child)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read())
        return Ended(child.returncode, texts[0], texts[1], overdue=overdue, stopped=asked and not overdue)


def _interrupt(child: subprocess.Popen[str]) -> None:
    """Ask a child to stop as Ctrl-C does, so that it gives its leases back; kill it and its own children if it does not."""
    child.send_signal(signal.SIGINT)
    try:
        child.wait(GRACE_S)
    except subprocess.TimeoutExpired:
        _kill(child)


def _kill(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
