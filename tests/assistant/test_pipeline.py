"""Conversations as customers hold them, through the whole pipeline on the sample company."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from assistant.errors import StoreError
from assistant.records import Hit, IntentGuess, Passage, Reply, Sentiment, Understanding
from assistant.store import Store

Talk = Callable[..., list[Reply]]
ASKS_ORDER = ("order number", "订单号")


def intent(reply: Reply) -> str | None:
    found = reply.as_json()["intent"]["name"]
    return None if found is None else str(found)


def has_han(text: str) -> bool:
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


# A conversation


@pytest.mark.parametrize(
    ("question", "follow_up", "topic"),
    [
        ("What is your return policy?", "and if it's opened?", "return_policy"),
        ("你们的退货政策是什么？", "那拆封了呢？", "return_policy"),
        ("How long does standard delivery take to Germany?", "and what would the faster one cost?", "delivery_options_costs"),
        ("How long is the warranty?", "does it cover the battery?", "warranty_length"),
    ],
)
def test_a_follow_up_stays_on_its_topic_and_says_something_new(talk: Talk, question: str, follow_up: str, topic: str) -> None:
    first, second = talk(question, follow_up)
    assert [intent(first), intent(second)] == [topic, topic]
    assert second.action == "send" and second.origin in ("article", "reply")
    assert second.text != first.text
    assert second.evidence[0].passage.intent == topic


@pytest.mark.parametrize(
    ("question", "number"),
    [
        ("Where is my order?", "FW-204518"),
        ("Where is my order?", "its fw204518"),
        ("Where is my order?", "it’s FW-204518"),
        ("Where is my order?", "Sure, my number is FW-204518, my email is jo@example.com"),
        ("我的订单到哪了？", "订单号FW-204518"),
        ("我的订单到哪了？", "我的订单编号是 FW-204518"),
    ],
)
def test_an_order_number_given_alone_completes_the_request(talk: Talk, question: str, number: str) -> None:
    first, second = talk(question, number)
    assert (first.action, first.reason) == ("clarify", "missing_slot")
    assert any(words in first.text for words in ASKS_ORDER)
    assert second.action == "send" and intent(second) == "order_status"
    assert "204518" in second.text and "[ORDER" not in second.text
    assert has_han(first.text) == has_han(second.text) == has_han(question)


@pytest.mark.parametrize(
    ("question", "correction"),
    [
        ("where is my order FW-204518", "no, the other order, FW-777001"),
        ("where is my order FW-204518", "Sorry, typo: FW-777001"),
        ("我的订单FW-204518到哪了", "不对，是另一个订单 FW-777001"),
    ],
)
def test_a_correction_uses_the_new_number(talk: Talk, question: str, correction: str) -> None:
    _, second = talk(question, correction)
    assert second.action == "send" and intent(second) == "order_status"
    assert "FW-777001" in second.text and "204518" not in second.text


def test_the_other_order_without_a_number_is_asked_for(talk: Talk) -> None:
    _, second, third = talk("where is my order FW-204518", "no, the other one", "FW-777001")
    assert second.reason == "missing_slot" and "order_number" not in second.slots
    assert third.action == "send" and "FW-777001" in third.text


def test_an_order_number_is_not_asked_for_twice(talk: Talk) -> None:
    replies = talk("where is my order FW-204518", "thanks", "How long is the warranty?", "I want to cancel my order please")
    assert intent(replies[-1]) == "cancel_order"
    assert replies[-1].action == "send" and "FW-204518" in replies[-1].text


@pytest.mark.parametrize(
    ("text", "second_intent", "joiner"),
    [
        ("How do I reset my password? And how long is the warranty on the Vac 5?", "warranty_length", "other question"),
        ("Do you ship to Norway and which payment methods do you take?", "payment_methods", "other question"),
        ("你们支持哪些付款方式？另外保修多久？", "warranty_length", "另一个问题"),
    ],
)
def test_two_questions_in_one_message_are_both_answered(talk: Talk, text: str, second_intent: str, joiner: str) -> None:
    (reply,) = talk(text)
    assert reply.action == "send" and joiner in reply.text
    assert len({hit.passage.intent for hit in reply.evidence} & {intent(reply), second_intent}) == 2


def test_a_question_beside_the_wish_for_a_person_brings_both(talk: Talk) -> None:
    (reply,) = talk("How long is the warranty? And can I talk to a person?")
    assert (reply.action, reply.reason) == ("handoff", "asked_for_person")
    assert "2-year" in reply.text and "colleague" in reply.text


def test_thanks_and_goodbye_are_answered_in_kind(talk: Talk) -> None:
    _, thanks, bye = talk("How long is the warranty?", "thanks!", "bye")
    assert (thanks.reason, intent(thanks)) == ("social", "thanks")
    assert (bye.reason, intent(bye)) == ("social", "goodbye")


def test_ok_is_no_greeting(talk: Talk) -> None:
    _, asked_again = talk("Where is my order?", "ok")
    assert asked_again.reason == "missing_slot"
    _, closed = talk("How long is the warranty?", "ok")
    assert intent(closed) == "thanks" and closed.action == "send"


def test_short_messages_keep_the_language(talk: Talk) -> None:
    for reply in talk("我的订单到哪了？", "ok", "FW-112233", "?"):
        assert reply.understanding.language == "zh" and has_han(reply.text)


def test_the_language_is_the_customers_also_when_it_changes(talk: Talk) -> None:
    replies = talk("保修多久？", "What payment methods do you accept?", "谢谢")
    assert [reply.understanding.language for reply in replies] == ["zh", "en", "zh"]
    assert [has_han(reply.text) for reply in replies] == [True, False, True]


def test_the_door_s_language_holds_where_the_message_gives_no_sign(talk: Talk) -> None:
    (reply,) = talk("FW-112233", lang="zh")
    assert reply.understanding.language == "zh" and has_han(reply.text)


@pytest.mark.parametrize("text", ["I want to talk to a real person please", "我要转人工"])
def test_asking_for_a_person_hands_over_and_says_when_people_are_there(talk: Talk, text: str) -> None:
    (reply,) = talk(text)
    assert (reply.action, reply.reason) == ("handoff", "asked_for_person")
    assert "8:00-20:00" in reply.text and has_han(reply.text) == has_han(text)


class _Scripted:
    """Understands as it is told: intents by what a message holds. The figures of a trained adapter change with training."""

    versions: dict[str, str] = {}  # noqa: RUF012
    thresholds: dict[str, float] = {}  # noqa: RUF012

    def __init__(self, real: Any, script: dict[str, list[tuple[str, float]]]) -> None:
        self._real, self._script = real, script

    def read(self, texts: Sequence[str], before: str | None = None, asked: str = "") -> list[Understanding]:
        found = self._real.read(texts, before)
        guesses = [next(guess for word, guess in self._script.items() if text.endswith(word)) for text in texts]
        return [
            replace(one, intents=tuple(IntentGuess(name, chance) for name, chance in guess), out_of_scope=0.0)
            for one, guess in zip(found, guesses, strict=True)
        ]


UNCLEAR = {"stuff": [("wrong_item", 0.36), ("missing_item", 0.3)], "": [("complaint", 0.2), ("goodbye", 0.1)]}


def test_two_unclear_messages_in_a_row_hand_over(shop: Any, till: Store) -> None:
    assistant = shop.assistant(till, understander=_Scripted(shop.untrained, UNCLEAR))
    first = assistant.turn("the thing is not like it was")
    second = assistant.turn("you know how it is", conversation_id=first.conversation_id)
    assert (first.action, first.reason) == ("clarify", "low_confidence")
    assert (second.action, second.reason) == ("handoff", "unsure_twice")
    assert "colleague" in second.text and "8:00-20:00" in second.text
    chinese = assistant.turn("那个东西怎么说呢")
    assert has_han(assistant.turn("就是那样的", conversation_id=chinese.conversation_id).text)


class _Displeased(_Scripted):
    """Hears a steady, mild displeasure in every message."""

    def read(self, texts: Sequence[str], before: str | None = None, asked: str = "") -> list[Understanding]:
        return [replace(one, sentiment=Sentiment("negative", 0.6, -0.5)) for one in super().read(texts, before, asked)]


def test_displeasure_that_goes_on_for_many_messages_gets_a_person_once(shop: Any, till: Store) -> None:
    assistant = shop.assistant(till, understander=_Displeased(shop.untrained, {"": [("payment_methods", 0.95)]}))
    replies, conversation = [], None
    for number in range(10):
        replies.append(assistant.turn(f"which cards do you take, question {number}", conversation_id=conversation))
        conversation = replies[-1].conversation_id
    asked = [at for at, reply in enumerate(replies) if reply.reason == "sour_from_start"]
    assert len(asked) == 1 and asked[0] > 3


@pytest.mark.parametrize(("pick", "topic"), [("the first one", "wrong_item"), ("2", "missing_item"), ("第二个", "missing_item")])
def test_one_of_two_offered_readings_can_be_picked(shop: Any, till: Store, pick: str, topic: str) -> None:
    assistant = shop.assistant(till, understander=_Scripted(shop.untrained, UNCLEAR))
    first = assistant.turn("hmm the thing with the stuff")
    assert first.reason == "two_readings"
    second = assistant.turn(pick, conversation_id=first.conversation_id)
    assert intent(second) == topic and second.reason == "missing_slot"
    third = assistant.turn("FW-204518", conversation_id=first.conversation_id)
    assert intent(third) == topic and third.action == "send"


# Failures


class _Broken:
    """A part that fails whenever it is used."""

    versions: dict[str, str] = {}  # noqa: RUF012
    thresholds: dict[str, float] = {}  # noqa: RUF012

    def search(self, *_: Any, **__: Any) -> list[Hit]:
        raise RuntimeError("secret detail of the machine")

    read = search


@pytest.mark.parametrize("part", ["retriever", "understander"])
def test_a_failure_inside_becomes_a_handoff(shop: Any, till: Store, caplog: pytest.LogCaptureFixture, part: str) -> None:
    assistant = shop.assistant(till, **{part: _Broken()})
    with caplog.at_level(logging.ERROR, logger="deskhand"):
        reply = assistant.turn("我的订单FW-204518到哪了？")
    assert (reply.action, reply.reason) == ("handoff", "failure")
    assert has_han(reply.text) and "secret" not in reply.text and "8:00-20:00" in reply.text
    assert "secret detail" in caplog.text and "204518" not in caplog.text
    assert till.turns(reply.conversation_id)[0].reply.reason == "failure"


def test_an_unknown_conversation_is_refused(shop: Any, till: Store) -> None:
    with pytest.raises(StoreError, match="no conversation 'nowhere'"):
        shop.assistant(till).turn("hello", conversation_id="nowhere")


def test_an_unknown_message_cannot_be_explained_and_a_known_one_can(shop: Any, till: Store) -> None:
    assistant = shop.assistant(till)
    with pytest.raises(StoreError, match="no message 'nothing'"):
        assistant.explain("nothing")
    reply = assistant.turn("How long is the warranty?")
    detail = assistant.explain(reply.message_id)
    assert detail["reply"]["text"] == reply.text and detail["evidence"]


def test_a_comment_on_a_reply_is_stored_without_personal_data(shop: Any, till: Store) -> None:
    assistant = shop.assistant(till)
    reply = assistant.turn("How long is the warranty?")
    assistant.feedback(reply.message_id, -1, "mail me at john@example.com", "")
    kept = till.feedback(reply.message_id)
    assert kept is not None and kept.rating == -1 and "john@" not in kept.comment


# Several conversations, and restarts


def test_conversations_at_once_do_not_mix_their_numbers(shop: Any, till: Store) -> None:
    assistant = shop.assistant(till)
    numbers = ["FW-100001", "FW-200002", "FW-300003"]
    said: dict[str, list[str]] = {}

    def customer(number: str) -> None:
        first = assistant.turn(f"where is my order {number}")
        second = assistant.turn("I want to cancel my order please", conversation_id=first.conversation_id)
        said[number] = [first.text, second.text]

    threads = [threading.Thread(target=customer, args=(number,)) for number in numbers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in numbers:
        assert all(number in text for text in said[number])
        assert not [other for other in numbers if other != number and other in str(said[number])]


def test_messages_of_one_conversation_sent_at_once_are_all_answered(shop: Any, till: Store) -> None:
    assistant = shop.assistant(till)
    known = assistant.turn("hello").conversation_id
    replies: list[Reply] = []
    texts = [f"where is my order FW-{number}" for number in range(400001, 400007)]
    threads = [
        threading.Thread(target=lambda text=text: replies.append(assistant.turn(text, conversation_id=known))) for text in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(replies) == len(texts) and not [reply for reply in replies if reply.reason == "failure"]
    assert len(till.turns(known, 20)) == len(texts) + 1


def test_a_restart_forgets_neither_order_number_nor_topic(shop: Any, till: Store) -> None:
    before = shop.assistant(till)
    known = before.turn("where is my order FW-100001").conversation_id
    before.turn("no, the other order, FW-204518, mail jo@example.com", conversation_id=known)
    for text in ("How long is the warranty?", "do you take paypal?", "do you ship to Norway?", "how do I reset my password?"):
        before.turn(text, conversation_id=known)
    after = shop.assistant(till)
    reply = after.turn("I want to cancel my order please", conversation_id=known)
    assert reply.action == "send" and "FW-204518" in reply.text
    again = after.turn("it is FW-100001, my mail is other@example.com", conversation_id=known)
    stored = [turn.message.text for turn in till.turns(known, 20)]
    assert "[ORDER_1]" in stored[0] and "[ORDER_2]" in stored[1] and "[ORDER_1]" in stored[-1]  # the same number, the same name
    assert "[EMAIL_2]" in stored[-1]
    assert "FW-100001" in again.text


def test_a_restart_between_question_and_order_number_goes_on(shop: Any, till: Store) -> None:
    known = shop.assistant(till).turn("我的订单到哪了？").conversation_id
    reply = shop.assistant(till).turn("FW-204518", conversation_id=known)
    assert reply.action == "send" and intent(reply) == "order_status" and "FW-204518" in reply.text
    assert has_han(reply.text)


# What a reply holds


def test_a_reply_has_the_documented_keys(talk: Talk) -> None:
    (reply,) = talk("where is my order FW-204518")
    found = reply.as_json()
    assert list(found) == [
        "conversation_id",
        "message_id",
        "action",
        "reason",
        "reply",
        "intent",
        "sentiment",
        "slots",
        "language",
        "evidence",
        "versions",
        "latency_ms",
    ]
    assert set(found["intent"]) == {"name", "confidence", "alternatives"}
    assert set(found["sentiment"]) == {"label", "score"}
    assert set(found["evidence"][0]) == {"id", "kind", "title", "text", "score"}
    assert {"index", "intent"} <= set(found["versions"])
    assert found["latency_ms"] > 0


def test_another_customers_placeholder_in_the_evidence_never_reaches_a_reply(shop: Any, till: Store) -> None:
    def passage(text: str, id: str) -> Hit:
        return Hit(Passage(id, "reply", "warranty", text, "warranty", "past", "en"), 0.9)

    tainted = [
        passage("Your parcel [ORDER_1] goes to [ADDRESS_1] and [NAME_2] has signed for it at the door.", "a"),
        passage("I've refunded you 25 euro for order [ORDER_1]. It shows within five days.", "b"),
        passage("Dear {{Customer Name}}, the warranty covers two years from delivery of the device.", "c"),
    ]
    search = SimpleNamespace(search=lambda *_, **__: list(tainted))
    reply = shop.assistant(till, retriever=search, understander=shop.untrained).turn("where is my order FW-204518")
    assert "[" not in reply.text and "{{" not in reply.text and "refunded" not in reply.text and "signed" not in reply.text


# A company that has only ingested logs: no adapters


def test_without_adapters_evidence_answers_above_the_threshold_and_a_question_comes_back_below(shop: Any, till: Store) -> None:
    assistant = shop.assistant(till, understander=shop.untrained)
    for text, topic in (("Do you ship to Norway?", "international_shipping"), ("保修多久？", "warranty_length")):
        reply = assistant.turn(text)
        assert reply.action == "send" and intent(reply) is None
        assert topic in {hit.passage.intent for hit in reply.evidence} and has_han(reply.text) == has_han(text)
    for text in ("What is the capital of Mongolia?", "blorp wug zzyx", "蒙古的首都是哪里？"):
        unknown = assistant.turn(text)
        assert (unknown.action, unknown.reason) == ("clarify", "low_evidence")
