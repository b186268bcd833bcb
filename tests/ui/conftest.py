"""A home that a test may change, a port that is taken, a command that is run; the home is built in ``tests/conftest.py``."""

from __future__ import annotations

import io
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.encoder import Encoder
from tests.ui.commands import Ran, Run
from ui import cli, demo, intake, judging, training, wiring


@pytest.fixture
def own_home(sample_home: Path, tmp_path: Path) -> Path:
    """A copy of the home that a test may change."""
    return Path(shutil.copytree(sample_home, tmp_path / "own"))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that somebody else listens on already."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield int(door.getsockname()[1])


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, encoder: Encoder) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.setenv("DESKHAND_HOME", str(tmp_path / "home"))
    for module in (wiring, intake, training, judging, demo):
        monkeypatch.setattr(module, "load_encoder", lambda settings: encoder)

    def call(*words: str, stdin: str | None = None, home: Path | None = None) -> Ran:
        if home is not None:
            monkeypatch.setenv("DESKHAND_HOME", str(home))
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode()), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main(words)
        printed = capsys.readouterr()
        return Ran(int(left.value.code or 0), printed.out, printed.err)

    return call
