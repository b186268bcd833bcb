"""Where no intent can be compared, a past reply is only said if it speaks of the question."""

from __future__ import annotations

from assistant.encoder import Encoder
from assistant.records import Hit, Passage
from assistant.relevance import on_topic


def hit(name: str, kind: str, text: str) -> Hit:
    return Hit(Passage(name, kind, "", text, "I'd like to check my bank balance", "s", "en"), 0.9)  # type: ignore[arg-type]


def test_a_reply_about_something_else_is_left_out_and_articles_stay(encoder: Encoder) -> None:
    hits = [
        hit("quiz", "reply", "Unfortunately your answer was wrong. 'snail' would have been correct."),
        hit("bank", "reply", "The balance of your account stands at the top of the banking page."),
        hit("help", "article", "Opening hours of our branches."),
    ]
    question = encoder.encode(["I'd like to check my bank balance"])[0]
    assert [one.passage.id for one in on_topic(hits, question, encoder.encode)] == ["bank", "help"]
    assert on_topic([], question, encoder.encode) == []
