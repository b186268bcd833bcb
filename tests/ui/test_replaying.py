"""Replay tells what a candidate would change, message by message, and leaves no trace in the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from assistant import schema
from assistant.encoder import Encoder
from assistant.errors import RegistryError, StoreError, UsageError
from assistant.records import IntentGuess, Reply, Understanding
from tests.ui.versions import add_random
from ui import replaying, wiring
from ui.replay_changes import KINDS, compare, notable, summary

NOW = datetime(2025, 6, 2, 10, 30, tzinfo=UTC)


# What differs


def decided(intent: str, confidence: float = 0.9, action: str = "send", text: str = "answer") -> Reply:
    guesses = (IntentGuess(intent, confidence),) if intent else ()
    return Reply("c", "r", action, "reason", text, Understanding("en", guesses), (), {}, 1.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("champion", "candidate", "kind"),
    [
        (decided("a"), decided("a", 0.4), "same"),
        (decided("a"), decided("a", text="other"), "other_answer"),
        (decided("a"), decided("b"), "other_intent"),
        (decided("a"), decided("b", action="handoff"), "newly_handed_over"),
        (decided("a", action="clarify"), decided("a"), "newly_answered"),
        (decided("a", action="handoff"), decided("b"), "newly_answered"),
        (decided("a"), decided("a", action="clarify"), "no_longer_answered"),
        (decided("a", action="handoff"), decided("a", action="clarify"), "other_answer"),
        (decided(""), decided(""), "same"),
    ],
)
def test_each_message_has_one_kind_of_change(champion: Reply, candidate: Reply, kind: str) -> None:
    assert compare("m", "text", NOW, champion, candidate).kind == kind


def test_counts_and_flows_add_up_and_the_surest_disagreement_comes_first() -> None:
    changes = [
        compare("m1", "t", NOW, decided("a"), decided("a")),
        compare("m2", "t", NOW, decided("a", 0.5), decided("b", 0.5)),
        compare("m3", "t", NOW, decided("a", 0.9), decided("b", 0.9)),
        compare("m4", "t", NOW, decided("b", 0.9), decided("c", 0.2, "handoff")),
        compare("m5", "t", NOW, decided("a"), decided("a", text="other")),
    ]
    told = summary(changes)
    assert told["counts"] == dict(zip(KINDS, (1, 0, 0, 2, 1, 1), strict=True)) and sum(told["counts"].values()) == 5
    assert told["flows"][0] == {"champion": "a", "candidate": "b", "messages": 2} and len(told["flows"]) == 2
    assert [one.message_id for one in notable(changes)] == ["m4", "m3", "m2", "m5"]
    assert [one["message_id"] for one in told["changed"]] == ["m4", "m3", "m2", "m5"]
    assert len(notable(changes * 20)) == 20


# Decided again


@pytest.fixture
def running(own_home: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Iterator[wiring.Wired]:
    """An assistant over a home of its own, which the commands find too, with a second intent version."""
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.setenv("DESKHAND_HOME", str(own_home))
    monkeypatch.chdir(own_home)
    for module in (wiring, replaying):
        monkeypatch.setattr(module, "load_encoder", lambda settings: encoder)
    # The sample home is shared: conversations that other tests held in it before it was copied are not this one's.
    with wiring.connect(wiring.read_settings(own_home), own_home) as store, store._database.writing() as connection:
        connection.execute(schema.conversations.delete())
    moment = [NOW]

    def now() -> datetime:
        moment[0] += timedelta(hours=1)
        return moment[0]

    wired = wiring.build(wiring.read_settings(own_home), own_home, now=now)
    add_random(wired.registry, "odd", encoder.sha256, 1)
    yield wired
    wired.close()


def rows(home: Path) -> str:
    """Hash of all that is stored."""
    import sqlite3

    with sqlite3.connect(home / "deskhand.db") as connection:
        return hashlib.sha256("\n".join(connection.iterdump()).encode()).hexdigest()


def replayed(capsys: pytest.CaptureFixture[str], **options: Any) -> Any:
    capsys.readouterr()
    replaying.run_replay(**options, as_json=True)
    return json.loads(capsys.readouterr().out)


def hold(running: wiring.Wired) -> list[Reply]:
    """Two conversations: one with follow-ups and an order number, one of a single question."""
    first = running.assistant.turn("Where is my order?")
    known = first.conversation_id
    rest = [running.assistant.turn(text, conversation_id=known) for text in ("FW-204518", "and how long does a refund take?")]
    return [first, *rest, running.assistant.turn("How long is the warranty?")]


def test_the_champion_decides_every_message_as_it_did_and_nothing_is_written(running: wiring.Wired) -> None:
    replies = hold(running)
    before = rows(running.home)
    past = replaying.gather(running.store, "intent", 30, None, wiring.salt(running.home))
    assert (past.source, past.total, [one.shown for one in past.asked][1]) == ("conversations", 4, "[ORDER_1]")
    serving, _ = wiring.serve(running.settings, running.home, running.encoder, running.registry)
    redactor, secret = wiring.make_redactor(running.settings), wiring.salt(running.home)
    again = replaying.Again(running.store, serving, redactor, running.settings, secret)
    for asked, reply in zip(past.asked, replies, strict=True):
        found = again(asked)
        assert (found.action, found.reason, found.text) == (reply.action, reply.reason, reply.text)
        assert found.slots == reply.slots
    assert rows(running.home) == before


def test_replay_names_both_versions_and_counts_every_message(running: wiring.Wired, capsys: pytest.CaptureFixture[str]) -> None:
    hold(running)
    before = rows(running.home)
    told = replayed(capsys, task="intent")
    assert (told["champion"], told["candidate"]) == (running.registry.champion("intent"), "odd")
    assert told["source"] == "conversations" and told["messages"] == 4 == sum(told["counts"].values())
    assert told["counts"]["same"] < 4 and told["flows"]
    one = told["changed"][0]
    assert {"message_id", "text", "change", "champion", "candidate"} <= set(one) and one["champion"] != one["candidate"]
    assert rows(running.home) == before
    replaying.run_replay(task="intent", version="odd", as_json=False)
    shown = capsys.readouterr().out
    assert "4 live messages" in shown and "most notable" in shown and "odd" in shown


def test_only_the_newest_days_and_messages_count(running: wiring.Wired, capsys: pytest.CaptureFixture[str]) -> None:
    replies = hold(running)
    told = replayed(capsys, limit=1)
    assert (told["messages"], told["left_out"]) == (1, 3)
    assert all(one["text"] == "How long is the warranty?" for one in told["changed"])
    running.store.start_conversation("late", NOW + timedelta(days=40))
    from assistant.records import Message

    late = Message("late-m", "late", "Do you ship to Norway?", NOW + timedelta(days=40))
    running.store.record_turn(late, Reply("late", "late-r", "send", "x", "y", replies[0].understanding, (), {}, 1.0))
    assert replayed(capsys, days=30)["messages"] == 1 and replayed(capsys, days=60)["messages"] == 5


def test_without_conversations_the_newest_month_of_the_logs_is_asked_and_said_so(
    running: wiring.Wired, capsys: pytest.CaptureFixture[str]
) -> None:
    told = replayed(capsys, limit=12)
    assert told["source"] == "transcripts" and told["messages"] == 12 and told["left_out"] > 0
    assert told["from"] < told["to"]
    assert datetime.fromisoformat(told["to"]) - datetime.fromisoformat(told["from"]) == timedelta(days=30)
    replaying.run_replay(limit=3, as_json=False)
    assert "openings of ingested logs" in capsys.readouterr().out


def test_replay_of_one_message_sets_today_beside_then(running: wiring.Wired, capsys: pytest.CaptureFixture[str]) -> None:
    replies = hold(running)
    shipped = running.registry.champion("intent")
    replaying.run_replay_message(replies[1].message_id, as_json=True)
    same = json.loads(capsys.readouterr().out)
    assert same["same"] and same["then"] == same["today"] and "FW-204518" in same["today"]["reply"]
    running.registry.promote("intent", "odd", running.encoder.sha256)
    replaying.run_replay_message(replies[0].message_id, as_json=True)
    other = json.loads(capsys.readouterr().out)
    assert (other["versions"]["then"]["intent"], other["versions"]["today"]["intent"]) == (shipped, "odd")
    replaying.run_replay_message(replies[0].message_id, as_json=False)
    assert "then" in capsys.readouterr().out
    with pytest.raises(StoreError, match="no answered message 'nobody'"):
        replaying.run_replay_message("nobody", as_json=True)


def test_what_cannot_be_replayed_says_why(running: wiring.Wired) -> None:
    for options, message in (({"task": "reply"}, "'reply'"), ({"days": 0}, "days 0"), ({"limit": 0}, "limit 0")):
        with pytest.raises(UsageError, match=message):
            replaying.run_replay(**options, as_json=True)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="is the champion itself"):
        replaying.run_replay(version=running.registry.champion("intent"), as_json=True)
    with pytest.raises(RegistryError, match="is the only version"):
        replaying.run_replay(task="slots", as_json=True)
    with pytest.raises(RegistryError, match="no version 'nine'"):
        replaying.run_replay(version="nine", as_json=True)
