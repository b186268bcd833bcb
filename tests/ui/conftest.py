"""A home folder that a test may change, and a port that is taken; the home itself is built in ``tests/conftest.py``."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def own_home(sample_home: Path, tmp_path: Path) -> Path:
    """A copy of the home that a test may change."""
    return Path(shutil.copytree(sample_home, tmp_path / "own"))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that somebody else listens on already."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield int(door.getsockname()[1])
