"""A company after its first night, trained once; tests go on from a copy. Test files import the fixtures they need."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.encoder import Encoder
from finetune import pages, verdicts
from tests.finetune.nights import Company, company, talks


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no pages and time no messages, which would take longer than the training itself."""
    _quicken(monkeypatch)


def _quicken(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pages, "write_classifier", lambda *_: None)
    patch.setattr(pages, "write_chooser", lambda *_: None)
    patch.setattr(verdicts, "latencies", lambda _, versions, __: [1.0] * len(versions))


@pytest.fixture
def start(tmp_path: Path, encoder: Encoder, quick: None) -> Iterator[Company]:
    """A company on its first day."""
    with company(tmp_path / "home", encoder) as opened:
        yield opened


@pytest.fixture(scope="session")
def first_night(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Path:
    """The home of a company that had one good night."""
    home = tmp_path_factory.mktemp("company") / "home"
    with pytest.MonkeyPatch.context() as patch, company(home, encoder) as opened:
        _quicken(patch)
        opened.ingest("log.jsonl", talks(0, 14))
        assert opened.night().state == "promoted"
    return home


@pytest.fixture
def second_day(first_night: Path, tmp_path: Path, encoder: Encoder, quick: None) -> Iterator[Company]:
    """A copy of it, a day later."""
    with company(Path(shutil.copytree(first_night, tmp_path / "home")), encoder, day=1) as opened:
        yield opened
