"""Correcting from the terminal: what it prints, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import StoreError, UsageError
from tests.ui.stand_in import wired
from ui import talk


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with wired(tmp_path) as parts:

        @contextmanager
        def assistant() -> Iterator[Any]:
            yield parts

        monkeypatch.setattr(talk, "_assistant", assistant)
        yield parts


def test_a_correction_prints_its_three_effects(parts: Any, capsys: pytest.CaptureFixture[str]) -> None:
    reply = parts.assistant.turn("May I return an opened box?")
    talk.run_correct(reply.message_id, answer="Yes, within 60 days.", intent="return_policy", as_json=False)
    printed = capsys.readouterr().out
    assert "serves at once:    yes" in printed and "for intent and answers" in printed and "training example:  yes" in printed
    (kept,) = parts.store.learning.corrections()
    assert (kept.answer, kept.intent) == ("Yes, within 60 days.", "return_policy")


def test_a_machine_reads_the_effects_by_the_customers_message_too(parts: Any, capsys: pytest.CaptureFixture[str]) -> None:
    reply = parts.assistant.turn("May I return an opened box?")
    own = parts.store.turns(reply.conversation_id)[0].message.id
    talk.run_correct(own, answer=None, intent="return_policy", as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "message_id": reply.message_id,
        "question": "May I return an opened box?",
        "serves": True,
        "regression": ["intent"],
        "trains": True,
        "notes": [],
        "says": False,
    }


def test_an_answer_that_cannot_be_said_is_not_called_said(parts: Any, capsys: pytest.CaptureFixture[str]) -> None:
    reply = parts.assistant.turn("May I return an opened box?")
    talk.run_correct(reply.message_id, answer="Ask [NAME_1] about it.", intent="return_policy", as_json=False)
    printed = capsys.readouterr()
    assert "serves at once:    yes, the topic is return_policy" in printed.out and "said to nobody" in printed.err


def test_what_does_not_serve_says_why(parts: Any, capsys: pytest.CaptureFixture[str]) -> None:
    reply = parts.assistant.turn("and when?")
    talk.run_correct(reply.message_id, answer="On Monday, [NAME_1].", intent=None, as_json=False)
    printed = capsys.readouterr()
    assert "serves at once:    no" in printed.out and "regression case:   no" in printed.out
    assert "personal data" in printed.err and "leans" in printed.err


def test_an_empty_correction_and_an_unknown_message_are_refused(parts: Any) -> None:
    with pytest.raises(UsageError, match="--answer"):
        talk.run_correct("id-1", answer="  ", intent=None, as_json=False)
    with pytest.raises(StoreError, match="no message 'nope'"):
        talk.run_correct("nope", answer="Yes.", intent=None, as_json=False)
