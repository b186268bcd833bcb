"""Fixtures that all folders share."""

from __future__ import annotations

import gzip
import itertools
import shutil
from pathlib import Path

import pytest

from assistant.encoder import Encoder, resolve
from ui import demo, terminal
from ui.sample import Sample, find_sample

CONVERSATIONS = 150


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the browser test write the pictures of the README."""
    parser.addoption("--screenshots", action="store_true", help="write docs/screenshots from the browser test")


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The real base encoder, loaded once; on one thread, for two took four times as long on a busy machine."""
    return Encoder(resolve("all-MiniLM-L6-v2"), dtype="float32", threads=1)


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
