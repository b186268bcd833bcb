"""``deskhand review`` and ``deskhand label``: what waits for a person, and the word a person gives."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant.database import sqlite_url
from assistant.errors import StoreError, UsageError
from assistant.learning import ReviewItem
from assistant.store import Store, open_store
from tests.finetune.night_fixtures import first_night as first_night
from ui.reviewing import run_label, run_review

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
TEXTS = {"aaa1": ("where is it", 0.2), "aaa2": ("money\x1b[2J back", 0.9), "bbb1": ("到哪里了", 0.5)}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A home with three messages that wait."""
    monkeypatch.setenv("DESKHAND_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    with open_store(sqlite_url(tmp_path / "home" / "deskhand.db")) as opened:
        opened.learning.queue(
            ReviewItem(id, "intent", text, "en", "refund", 1 - unsure, unsure, "", NOON) for id, (text, unsure) in TEXTS.items()
        )
        yield opened


def test_the_most_uncertain_message_comes_first(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run_review("intent", limit=2, as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert [row["id"] for row in rows] == ["aaa2", "bbb1"] and rows[0]["at"] == NOON.isoformat()
    run_review("intent", limit=9, as_json=False)
    shown = capsys.readouterr().out
    assert shown.index("back") < shown.index("到哪里了") < shown.index("where is it")
    assert "\x1b[2J" not in shown and "deskhand label ID LABEL" in shown


def test_an_empty_queue_says_what_fills_it(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run_review("dialog", limit=2, as_json=False)
    assert "no dialog message waits for a label" in capsys.readouterr().out


def test_a_label_is_stored_by_the_beginning_of_an_id(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    run_label("b", "order_status", drop=False, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told == {"id": "bbb1", "text": "到哪里了", "label": "order_status", "state": "labelled"}
    assert [(one.id, one.label) for one in store.learning.labelled("intent")] == [("bbb1", "order_status")]
    run_label("aaa1", None, drop=True, as_json=False)
    assert "dropped" in capsys.readouterr().out
    assert [one.id for one in store.learning.review("intent")] == ["aaa2"]


def test_an_id_that_is_none_or_several_is_refused(store: Store) -> None:
    for id, message in (("aaa", "2 open messages have"), ("zz", "no open message has")):
        with pytest.raises(StoreError, match=message):
            run_label(id, "refund", drop=False, as_json=True)


@pytest.mark.parametrize(("label", "drop"), [(None, False), ("refund", True)])
def test_either_a_label_or_a_drop_is_given(store: Store, label: str | None, drop: bool) -> None:
    with pytest.raises(UsageError, match="either a LABEL or --drop"):
        run_label("b", label, drop=drop, as_json=True)


def test_a_slip_of_the_finger_makes_no_class_of_its_own(store: Store, first_night: Path, tmp_path: Path) -> None:
    shutil.copytree(first_night / "adapters", tmp_path / "home" / "adapters")
    with pytest.raises(UsageError, match="did you mean 'gift_card'"):
        run_label("b", "gift_crad", drop=False, as_json=True)
    run_label("b", "Gift Card", drop=False, as_json=True)  # another spelling of it, which the harvest knows
    run_label("aaa1", "loyalty_points", drop=False, as_json=True)  # a label of a new kind
    assert [one.label for one in store.learning.labelled("intent")] == ["Gift Card", "loyalty_points"]
