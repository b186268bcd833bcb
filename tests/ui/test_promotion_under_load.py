"""Fifty conversations while adapters are promoted thirty times: no error, and every reply is wholly one version's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant.encoder import Encoder
from assistant.records import Reply
from tests.ui.versions import add_random
from ui import wiring

NOW = datetime(2025, 6, 2, 10, 30, tzinfo=UTC)
CONVERSATIONS, PROMOTIONS = 50, 30
QUESTIONS = (
    "How long is the warranty?",
    "My robot does not charge any more",
    "I want my money back for the vacuum",
    "Can I change the delivery address?",
    "Do you ship to Norway and what does it cost?",
    "How do I connect the app to the wifi?",
)


@pytest.fixture
def running(own_home: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> Iterator[wiring.Wired]:
    """An assistant that serves a home of its own, with two more intent versions beside the shipped one."""
    monkeypatch.delenv("DESKHAND_CONFIG", raising=False)
    monkeypatch.chdir(own_home)
    monkeypatch.setattr(wiring, "load_encoder", lambda settings: encoder)
    wired = wiring.build(wiring.read_settings(own_home), own_home, now=lambda: NOW)
    for seed, version in enumerate(("odd", "even"), 1):
        add_random(wired.registry, version, encoder.sha256, seed)
    yield wired
    wired.close()


def offline(running: wiring.Wired, version: str) -> dict[str, Reply]:
    """What a version answers to each question, alone and with nothing else going on."""
    serving, _ = wiring.serve(running.settings, running.home, running.encoder, running.registry, {"intent": version})
    assistant = wiring.assemble(
        running.store, lambda _="": serving, wiring.make_redactor(running.settings), running.settings, "s" * 64, now=lambda: NOW
    )
    return {question: assistant.turn(question) for question in QUESTIONS}


def test_every_reply_is_wholly_one_versions_while_adapters_are_promoted(running: wiring.Wired) -> None:
    expected = {version: offline(running, version) for version in ("odd", "even")}
    assert len({tuple(one.text for one in replies.values()) for replies in expected.values()}) == 2  # they do differ
    running.registry.promote("intent", "odd", running.encoder.sha256)
    gate = threading.Barrier(CONVERSATIONS + 1)
    promoted = threading.Event()
    replies: list[tuple[str, Reply]] = []
    faults: list[BaseException] = []

    def talk(number: int) -> None:
        gate.wait()
        for turn in range(200):  # goes on until the last promotion, and answers at least twice
            if turn > 1 and promoted.is_set():
                return
            question = QUESTIONS[(number + turn) % len(QUESTIONS)]
            try:
                replies.append((question, running.assistant.turn(question)))
            except BaseException as error:  # told below, by the test's own thread
                faults.append(error)
                return

    threads = [threading.Thread(target=talk, args=(number,)) for number in range(CONVERSATIONS)]
    for thread in threads:
        thread.start()
    gate.wait()
    try:
        for number in range(PROMOTIONS):
            seen = len(replies)
            running.registry.promote("intent", ("even", "odd")[number % 2], running.encoder.sha256)
            while len(replies) < seen + 3 and not faults and any(thread.is_alive() for thread in threads):
                threads[0].join(0.001)  # let some replies happen in between
    finally:
        promoted.set()
        for thread in threads:
            thread.join()
    assert faults == []
    assert len(replies) >= 2 * CONVERSATIONS
    assert {reply.versions["intent"] for _, reply in replies} == {"odd", "even"}
    for question, reply in replies:
        told = expected[reply.versions["intent"]][question]
        assert (reply.action, reply.reason, reply.text) == (told.action, told.reason, told.text)
        ours, theirs = reply.understanding, told.understanding
        assert ours.versions["intent"] == reply.versions["intent"]
        assert ours.intents[0].name == theirs.intents[0].name
        assert ours.intents[0].confidence == pytest.approx(theirs.intents[0].confidence, abs=1e-4)


def test_what_is_stored_names_the_version_that_answered(running: wiring.Wired) -> None:
    first = running.assistant.turn(QUESTIONS[0])
    running.registry.promote("intent", "even", running.encoder.sha256)
    running.assistant.turn(QUESTIONS[1], conversation_id=first.conversation_id)
    stored = running.store.turns(first.conversation_id)
    assert [one.reply.versions["intent"] for one in stored] == [first.versions["intent"], "even"]
    assert [one.reply.understanding.versions["intent"] for one in stored] == [first.versions["intent"], "even"]
