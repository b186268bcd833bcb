"""Folders of proposals: remembered once, looked at when somebody is forgotten, and never deleted blindly."""

from __future__ import annotations

from pathlib import Path

import pytest

from assistant.errors import DeskhandError
from ui.discovered import LIST, Erased, erase_discovered, note_folder

NAMES = ("intents.csv",)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def proposal(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "intents.csv"
    path.write_text("where is it")
    return path


def test_a_proposal_of_before_there_was_a_list_is_found_at_its_usual_place(home: Path) -> None:
    path = proposal(home / "discover")
    assert erase_discovered(home, NAMES, known=True) == Erased((path,), ())
    assert erase_discovered(home, NAMES, known=True) == Erased((), ())


def test_a_folder_is_remembered_once_under_its_real_name(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    path = proposal(home / "a" / "b")
    for written in (Path("a/b"), home / "a" / ".." / "a" / "b"):
        note_folder(home, written)
    assert (home / LIST).read_text().count("intents") == 0 and (home / LIST).read_text().count("a/b") == 1
    assert erase_discovered(home, NAMES, known=True).deleted == (path,)


def test_a_link_that_leads_out_of_the_home_deletes_nothing_there(home: Path, tmp_path: Path) -> None:
    path = proposal(tmp_path / "elsewhere")
    (home / "discover").symlink_to(tmp_path / "elsewhere")
    assert erase_discovered(home, NAMES, known=True) == Erased((), (home / "discover" / "intents.csv",))
    assert path.exists()


@pytest.mark.parametrize("written", ["{", "{}", "[1]", "\x00"])
def test_a_list_that_cannot_be_read_is_named_and_nothing_is_deleted(home: Path, written: str) -> None:
    path = proposal(home / "discover")
    (home / LIST).write_text(written)
    with pytest.raises(DeskhandError, match=r"discoveries\.json"):
        erase_discovered(home, NAMES, known=True)
    with pytest.raises(DeskhandError, match=r"discoveries\.json"):
        note_folder(home, home / "x")
    assert path.exists()
