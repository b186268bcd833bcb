"""A corrected answer is said at once: to whom, where, and when not."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from assistant.corrections import Corrections, sayable
from assistant.errors import StoreError
from assistant.records import Reply
from assistant.store import Store, open_store, sqlite_url

QUESTION = "Do you repair bicycles in your workshop?"
ANSWER = "We only repair what we sell. The bicycle shop next door at https://wheels.example helps with bicycles from 20 euro."


@pytest.fixture
def assistant(shop: Any, till: Store) -> Any:
    return shop.assistant(till)


def correct(assistant: Any, question: str, answer: str = ANSWER, **more: Any) -> Reply:
    """Ask, put the answer right, and return the reply that was wrong."""
    wrong: Reply = assistant.turn(question, contact="c-7")
    assistant.feedback(wrong.message_id, -1, correction=answer, **more)
    return wrong


def test_a_corrected_answer_is_said_to_the_next_customer(assistant: Any) -> None:
    wrong = correct(assistant, QUESTION)
    assert wrong.text != ANSWER
    reply = assistant.turn(QUESTION)
    assert (reply.action, reply.reason, reply.origin, reply.text) == ("send", "corrected", "correction", ANSWER)
    evidence = reply.evidence[0].passage
    assert (evidence.kind, evidence.title, evidence.source) == ("reply", "Corrected answer", f"feedback:{wrong.message_id}")
    assert QUESTION not in str(reply.evidence)  # another customer's words


def test_it_is_said_again_in_the_very_conversation_that_was_corrected(assistant: Any) -> None:
    known = assistant.turn("How long is the warranty?").conversation_id
    wrong = assistant.turn(QUESTION, conversation_id=known)
    assistant.feedback(wrong.message_id, -1, correction=ANSWER)
    assert assistant.turn(QUESTION, conversation_id=known).text == ANSWER
    assert assistant.turn(QUESTION).text == ANSWER


def test_another_process_on_the_same_store_says_it_too(shop: Any, till: Store, tmp_path: Any) -> None:
    here = shop.assistant(till)
    with open_store(sqlite_url(tmp_path / "conversations.db")) as again:
        there = shop.assistant(again)
        assert there.turn(QUESTION).text != ANSWER
        correct(here, QUESTION)
        assert there.turn(QUESTION).text == ANSWER


@pytest.mark.parametrize(
    "paraphrase",
    [
        "do you repair bicycles in your workshop",
        "In your workshop, do you repair a bicycle?",
        "hello, can you repair my bicycle in a workshop",
    ],
)
def test_a_paraphrase_gets_the_corrected_answer(assistant: Any, paraphrase: str) -> None:
    correct(assistant, QUESTION)
    assert assistant.turn(paraphrase).text == ANSWER


@pytest.mark.parametrize(
    "other",
    [
        "Do you sell bicycles in your workshop?",
        "Do you repair phones in your workshop?",
        "How long is the warranty?",
        "你们修自行车吗",
    ],
)
def test_another_question_does_not(assistant: Any, other: str) -> None:
    correct(assistant, QUESTION)
    assert assistant.turn(other).text != ANSWER


def test_the_last_correction_of_a_question_wins(assistant: Any) -> None:
    correct(assistant, QUESTION, "We repair bicycles on Mondays only.")
    correct(assistant, QUESTION)
    assert assistant.turn(QUESTION).text == ANSWER
    wrong = assistant.turn(QUESTION)
    assistant.feedback(wrong.message_id, -1, correction=ANSWER[::-1].replace("[", ""))  # as long, in the same tick of the clock
    assert assistant.turn(QUESTION).text == ANSWER[::-1]


def test_chinese_questions_are_found_by_their_characters(assistant: Any) -> None:
    answer = "我们只修自己卖的产品，自行车请找隔壁车行。"
    correct(assistant, "你们店里修自行车吗？", answer)
    assert assistant.turn("你们店里修自行车吗").text == answer
    reply = assistant.turn("请问你们店里修不修自行车呢")
    assert (reply.text, reply.evidence[0].passage.title) == (answer, "更正后的回答")
    assert assistant.turn("你们店里修电动车吗").text != answer


def test_a_corrected_topic_is_used_at_once(assistant: Any) -> None:
    text = "the thing with the money for the parcel lady"
    wrong = correct(assistant, text, "", intent="delivery_options_costs")
    assert wrong.as_json()["intent"]["name"] != "delivery_options_costs"
    reply = assistant.turn(text)
    assert (reply.action, reply.origin, reply.as_json()["intent"]["name"]) == ("send", "template", "delivery_options_costs")
    shown = assistant.explain(reply.message_id)
    assert f"feedback:{wrong.message_id}" in json.dumps(shown) and shown["reply"]["thresholds"]["correction"] == 1.0


def test_a_question_that_is_none_of_our_business_can_be_declared_so(assistant: Any) -> None:
    text = "How long is the warranty on my neighbour's tractor?"
    correct(assistant, text, "", intent="oos")
    assert assistant.turn(text).reason == "out_of_scope"


def test_the_wish_for_a_person_wins_over_a_correction(assistant: Any) -> None:
    text = "I want to talk to a real person please"
    correct(assistant, text, "Please read our help pages first.")
    assert assistant.turn(text).reason == "asked_for_person"


@pytest.mark.parametrize(
    "answer", ["Dear Mr. [NAME_1], we have called you.", "Write to jo@example.com about it.", "See {product_page}."]
)
def test_an_answer_with_what_only_one_customer_has_is_said_to_nobody(assistant: Any, answer: str) -> None:
    wrong = correct(assistant, QUESTION, answer)
    reply = assistant.turn(QUESTION)
    assert (reply.origin, reply.reason) == (wrong.origin, wrong.reason)
    assert "[" not in reply.text and "{" not in reply.text and "example" not in reply.text


def test_an_order_number_in_the_answer_becomes_this_customers_own(assistant: Any) -> None:
    text = "When does the engraving on order FW-204518 get done?"
    correct(assistant, text, "The engraving on FW-204518 is done within a week.")
    reply = assistant.turn(text.replace("204518", "777001"))
    assert reply.text == "The engraving on FW-777001 is done within a week."
    assert "777001" not in reply.evidence[0].passage.text


def test_one_order_number_fills_one_place_only() -> None:
    known = {"order_number": "FW-1"}
    assert sayable("It is [ORDER_3].", known) == "It is FW-1."
    assert sayable("It is {order_number}.", known) == "It is FW-1."
    assert sayable("Not [ORDER_1] but [ORDER_2].", known) is None
    assert sayable("It is [ORDER_1].", {}) is None
    assert sayable("  ", known) is None


def test_a_message_that_leans_on_another_is_put_right_on_its_topic_only(assistant: Any) -> None:
    answer = "Giving it back takes a week at most."
    known = assistant.turn("What is your return policy?").conversation_id
    wrong = assistant.turn("and how long does that take?", conversation_id=known)
    assistant.feedback(wrong.message_id, -1, correction=answer)
    same = assistant.turn("What is your return policy?").conversation_id
    assert assistant.turn("and how long does that take?", conversation_id=same).text == answer
    other = assistant.turn("How long is the warranty?").conversation_id
    assert assistant.turn("and how long does that take?", conversation_id=other).text != answer


def test_a_forgotten_contacts_correction_is_said_no_more(assistant: Any, till: Store) -> None:
    correct(assistant, QUESTION)
    assert assistant.turn(QUESTION).text == ANSWER
    assert till.forget_contact("c-7") == 1
    assert assistant.turn(QUESTION).text != ANSWER


def test_without_adapters_a_correction_serves_as_well(shop: Any, till: Store) -> None:
    assistant = shop.assistant(till, understander=shop.untrained)
    correct(assistant, QUESTION)
    correct(assistant, "engraving?", "We engrave for free.")
    assert assistant.turn(QUESTION).text == ANSWER
    assert assistant.turn("Engraving").text == "We engrave for free."


def test_customers_who_ask_while_answers_are_corrected_get_one_or_the_other(assistant: Any) -> None:
    first = correct(assistant, QUESTION)
    said: list[str] = []

    def ask() -> None:
        said.extend(assistant.turn(QUESTION).text for _ in range(5))

    def put_right() -> None:
        for number in range(5):
            assistant.feedback(first.message_id, -1, correction=f"Number {number} of the answers that were put right.")

    threads = [threading.Thread(target=each) for each in (ask, put_right, ask)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 10 and all(text == ANSWER or text.startswith("Number ") for text in said)
    assert assistant.turn(QUESTION).text.startswith("Number 4")


def test_the_store_is_read_again_only_when_its_stamp_changes(
    assistant: Any, till: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct(assistant, QUESTION)
    reads = []
    real = type(till.learning).corrections
    monkeypatch.setattr(type(till.learning), "corrections", lambda self, since=None: reads.append(1) or real(self, since))
    known = Corrections(till)

    def find() -> Any:
        return known.find(QUESTION, vector=None, encode=lambda texts: pytest.fail("nothing to encode"), topic=None, before="")

    assert find().exact and find().exact and reads == [1]
    correct(assistant, "Do you engrave bicycles?", "No.")
    reads.clear()
    assert find().exact and find().exact and reads == [1]


def test_a_store_that_cannot_be_read_hands_over(assistant: Any, till: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object) -> str:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(type(till.learning), "corrections_stamp", refuse)
    assert assistant.turn(QUESTION).reason == "failure"
