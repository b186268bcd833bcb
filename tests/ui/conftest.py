"""One small home of the sample company, built once for all tests of the doors."""

from __future__ import annotations

import gzip
import itertools
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.encoder import Encoder
from ui import demo, terminal
from ui.sample import Sample, find_sample

CONVERSATIONS = 150


@pytest.fixture(scope="session")
def small_sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The sample company with its first 150 conversations, which is enough to be answered from."""
    whole = find_sample()
    root = tmp_path_factory.mktemp("sample")
    (root / "sample").mkdir()
    shutil.copytree(whole.articles, root / "sample" / "articles")
    shutil.copy(whole.templates, root / "sample")
    shutil.copy(whole.products, root / "sample")
    if whole.adapters.is_dir():
        shutil.copytree(whole.adapters, root / "adapters")
    with (
        gzip.open(whole.conversations, "rt", encoding="utf-8") as lines,
        gzip.open(root / "sample" / whole.conversations.name, "wt", encoding="utf-8") as few,
    ):
        few.writelines(itertools.islice(lines, CONVERSATIONS))
    return Sample(root)


@pytest.fixture(scope="session")
def sample_home(small_sample: Sample, encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home folder in which the sample company is set up; tests that change it take a copy (``own_home``)."""
    place = tmp_path_factory.mktemp("home") / "home"
    patch = pytest.MonkeyPatch()
    for name in ("DESKHAND_CONFIG", "DESKHAND_HOME"):
        patch.delenv(name, raising=False)
    patch.chdir(tmp_path_factory.mktemp("work"))
    patch.setattr(demo, "load_encoder", lambda settings: encoder)
    demo.set_up(place, small_sample, terminal.Steps(quiet=True))
    patch.undo()
    return place


@pytest.fixture
def own_home(sample_home: Path, tmp_path: Path) -> Path:
    """A copy of the home that a test may change."""
    return Path(shutil.copytree(sample_home, tmp_path / "own"))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that somebody else listens on already."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield int(door.getsockname()[1])
