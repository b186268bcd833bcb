"""Agents' replies in resolved conversations become pairs, with what was said before them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from assistant.records import Transcript, TranscriptTurn
from finetune.dialog_pairs import distinct, pairs_from, pairs_from_corrections
from finetune.harvested import Conversation, Pair, Rules

START = datetime(2026, 5, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Correction:
    question: str
    answer: str
    intent: str | None = None
    ref: str = "message:1"
    lang: str = "en"
    at: datetime | None = START


def _talk(*turns: tuple[str, str]) -> Conversation:
    lines = tuple(TranscriptTurn(role, text) for role, text in turns)  # type: ignore[arg-type]
    return Conversation("transcript:log/1", Transcript("1", lines, "log:1", lang="en", resolved=True, started_at=START))


def test_pairs_are_agents_replies_with_the_turns_before_them() -> None:
    turns = (
        ("customer", "my parcel never came"),
        ("bot", "Let me find somebody for you."),
        ("agent", "Hello, I'm Tomek."),
        ("agent", "It is stuck at customs, they need an invoice."),
        ("customer", "ok"),
        ("agent", "Sent it."),
        ("agent", "It is stuck at customs! They need an invoice"),
        ("bot", "This conversation was closed by the system."),
    )
    dropped: Counter[str] = Counter()
    (pair,) = pairs_from(_talk(*turns), Rules(), dropped)
    assert (pair.context, pair.reply) == (turns[:3], "It is stuck at customs, they need an invoice.")
    assert (pair.ref, pair.at, pair.lang) == ("transcript:log/1", START, "en")
    assert dropped == {"reply_greeting": 1, "reply_too_short": 1, "reply_duplicate": 1}


def test_what_an_agent_says_before_the_customer_is_no_reply() -> None:
    talk = _talk(("agent", "We have a question on your order."), ("customer", "which one?"), ("agent", "The one of last Monday."))
    assert [pair.reply for pair in pairs_from(talk, Rules(), Counter())] == ["The one of last Monday."]


def test_one_conversation_gives_only_so_many_pairs_with_so_much_context() -> None:
    turns = [(role, f"{role} says {'a' * n} and means it") for n in range(1, 12) for role in ("customer", "agent")]
    pairs = pairs_from(_talk(*turns), Rules(pairs_each=4, context_turns=3), Counter())
    assert len(pairs) == 4 and max(len(pair.context) for pair in pairs) == 3


def test_one_macro_stands_behind_only_so_many_questions() -> None:
    pairs = [Pair((("customer", f"question {n}"),), f"Please wait, order [ORDER_{n}].", f"c{n}", START, "en") for n in range(9)]
    dropped: Counter[str] = Counter()
    assert len(distinct([*pairs, pairs[0]], Rules(same_reply=3), dropped)) == 3 and dropped["reply_duplicate"] == 7


def test_the_same_question_with_the_same_reply_is_learned_once() -> None:
    first = Pair((("customer", "Where is [ORDER_1]?"),), "On its way, [NAME_1]!", "a", START, "en")
    second = Pair((("agent", "Yes?"), ("customer", "where is [ORDER_7]")), "on its way [NAME_2]", "b", START, "en")
    assert distinct([first, second], Rules(), Counter()) == (first,)


def test_a_correction_gives_the_answer_that_was_wished_for() -> None:
    wished = [
        Correction("it broke", "Send it back to ann@example.com"),
        Correction("it broke", "Thank you!"),
        Correction("?", ""),
    ]
    (pair,) = pairs_from_corrections(wished, lambda text: text.replace("ann@example.com", "[EMAIL_1]"))
    assert (pair.context, pair.reply) == ((("customer", "it broke"),), "Send it back to [EMAIL_1]")
