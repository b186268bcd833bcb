"""A conversation that goes wrong gets a person; one rude word, or one bad answer, does not."""

from __future__ import annotations

from dataclasses import replace

from assistant.escalate import escalate
from assistant.records import Message, Reply, Sentiment, Turn, Understanding, Verdict
from tests.assistant.conftest import HOURS, MOMENT

SENT = Verdict("send", "template", "Parcels take three days.")
ANGRY, NEUTRAL, GLAD = Sentiment("negative", 0.97, -0.96), Sentiment("neutral", 0.9, 0.0), Sentiment("positive", 0.95, 0.94)


def turn(mood: Sentiment | None, action: str = "send") -> Turn:
    reply = Reply("c", "r", action, "template", "…", Understanding("en", sentiment=mood), (), {}, 1.0)  # type: ignore[arg-type]
    return Turn(Message("m", "c", "…", MOMENT), reply)


def test_one_rude_message_gets_an_answer_and_no_person() -> None:
    assert escalate(SENT, [], ANGRY, "en", "") is SENT
    assert escalate(SENT, [turn(NEUTRAL), turn(NEUTRAL)], ANGRY, "en", "") is SENT
    assert escalate(SENT, [turn(ANGRY), turn(GLAD)], ANGRY, "en", "") is SENT


def test_three_angry_messages_get_the_answer_and_a_person() -> None:
    found = escalate(SENT, [turn(ANGRY), turn(ANGRY)], ANGRY, "en", HOURS)
    assert found.action == "handoff" and found.reason == "sour_from_start"
    assert found.text.startswith("Parcels take three days.\n\n") and "colleague" in found.text and HOURS in found.text
    assert found.checks["mood"]


def test_a_conversation_that_began_well_is_told_from_one_that_began_badly() -> None:
    found = escalate(SENT, [turn(GLAD), turn(ANGRY), turn(ANGRY)], ANGRY, "zh", "")
    assert found.reason == "turned_sour" and "人工" in found.text


def test_a_question_back_is_not_put_to_a_customer_who_is_handed_over() -> None:
    found = escalate(replace(SENT, action="clarify", text="Which order?"), [turn(ANGRY), turn(ANGRY)], ANGRY, "en", "")
    assert "Which order?" not in found.text


def test_a_person_is_asked_for_once() -> None:
    assert escalate(SENT, [turn(ANGRY), turn(ANGRY), turn(ANGRY, "handoff")], ANGRY, "en", "") is SENT


def test_without_a_sentiment_adapter_nothing_is_judged() -> None:
    assert escalate(SENT, [turn(ANGRY)] * 3, None, "en", "") is SENT
    assert escalate(SENT, [turn(None)] * 3, ANGRY, "en", "") is SENT
