"""One judgement, three effects, and what a judgement cannot do."""

from __future__ import annotations

from typing import Any

import pytest

from assistant.errors import StoreError
from assistant.learning import conversation_ref
from assistant.store import Store

QUESTION = "How do I polish the brass plate of the doorbell?"
ANSWER = "Wipe it with a dry cloth."


@pytest.fixture
def assistant(shop: Any, till: Store) -> Any:
    return shop.assistant(till)


def test_a_correction_serves_becomes_a_case_and_an_example(assistant: Any, till: Store) -> None:
    wrong = assistant.turn(QUESTION)
    learned = assistant.feedback(wrong.message_id, -1, correction=ANSWER, intent="repair_spare_parts")
    assert learned.serves and learned.trains and set(learned.regression) == {"intent", "answers"} and not learned.notes
    cases = {case.task: case for case in till.learning.regression_cases()}
    assert cases["intent"].text == cases["answers"].text == QUESTION == learned.question
    assert (cases["intent"].expected, cases["answers"].expected) == ("repair_spare_parts", ANSWER)
    assert cases["intent"].ref == conversation_ref(wrong.conversation_id) and cases["intent"].lang == "en"
    (one,) = till.learning.corrections()
    assert (one.question, one.answer, one.intent) == (QUESTION, ANSWER, "repair_spare_parts")


def test_a_second_correction_replaces_the_case(assistant: Any, till: Store) -> None:
    wrong = assistant.turn(QUESTION)
    for intent in ("complaint", "repair_spare_parts"):
        assistant.feedback(wrong.message_id, -1, intent=intent)
    assert [case.expected for case in till.learning.regression_cases("intent")] == ["repair_spare_parts"]


def test_an_intent_nobody_knows_is_refused_with_the_nearest(assistant: Any, till: Store) -> None:
    wrong = assistant.turn(QUESTION)
    with pytest.raises(StoreError, match=r"'waranty_length'.*nearest is 'warranty_length'"):
        assistant.feedback(wrong.message_id, -1, correction=ANSWER, intent="waranty_length")
    assert till.feedback(wrong.message_id) is None and not till.learning.regression_cases()
    assert "oos" in assistant.intents and "greeting" in assistant.intents


def test_a_thumb_takes_no_correction_back(assistant: Any, till: Store) -> None:
    wrong = assistant.turn(QUESTION)
    assistant.feedback(wrong.message_id, -1, correction=ANSWER)
    assistant.feedback(wrong.message_id, 1, "thanks!")
    kept = till.feedback(wrong.message_id)
    assert kept is not None and (kept.rating, kept.comment, kept.correction) == (1, "thanks!", ANSWER)
    assistant.feedback(wrong.message_id, -1, intent="complaint")
    kept = till.feedback(wrong.message_id)
    assert kept is not None and (kept.correction, kept.intent) == (ANSWER, "complaint")


def test_a_mere_thumb_has_no_effects(assistant: Any, till: Store) -> None:
    learned = assistant.feedback(assistant.turn(QUESTION).message_id, -1, "bad")
    assert (learned.serves, learned.regression, learned.trains) == (False, (), False)
    assert not till.learning.corrections() and not till.learning.regression_cases()


def test_what_cannot_serve_or_be_a_case_says_why(assistant: Any, till: Store) -> None:
    known = assistant.turn("What is your return policy?").conversation_id
    leaning = assistant.turn("and if it's opened?", conversation_id=known)
    learned = assistant.feedback(leaning.message_id, -1, correction="Write to jo@example.com about it.")
    assert not learned.serves and learned.trains and learned.regression == ()
    assert "personal data" in learned.notes[0] and "leans" in learned.notes[1]
    kept = till.feedback(leaning.message_id)
    assert kept is not None and "jo@" not in kept.correction


@pytest.mark.parametrize(
    ("rating", "which", "fault"), [(0, "reply", "neither"), (1, "nothing", "nothing"), (1, "own", "customer's own")]
)
def test_what_is_no_judgement_of_a_reply_is_refused(assistant: Any, till: Store, rating: int, which: str, fault: str) -> None:
    reply = assistant.turn(QUESTION)
    own = till.turns(reply.conversation_id)[0].message.id
    with pytest.raises(StoreError, match=fault):
        assistant.feedback({"reply": reply.message_id, "own": own}.get(which, which), rating, correction=ANSWER)


def test_forgetting_a_contact_takes_the_cases_along(assistant: Any, till: Store) -> None:
    wrong = assistant.turn(QUESTION, contact="c-9")
    assistant.feedback(wrong.message_id, -1, correction=ANSWER, intent="complaint")
    till.forget_contact("c-9")
    assert not till.learning.regression_cases() and not till.learning.corrections()
