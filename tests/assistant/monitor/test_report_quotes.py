"""What a report quotes: the conversations worth reading and the questions nobody answered, and no other text is fetched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from assistant.monitor.report import build
from assistant.monitor.report_records import Answered
from assistant.records import Action
from tests.assistant.monitor.test_report import BERLIN, MADE, WEEK, alert, full, message, messages, reply, report


def test_worst_and_best_conversations_are_read_by_their_course() -> None:
    data = full()
    assert (data.worst[0].id, data.worst[0].trajectory.course) == ("bad", "came_content_left_angry")
    assert (data.best[0].id, data.best[0].low_quote, data.best[0].last_quote) == ("good", "this is too late", "wonderful")
    assert data.trajectories["came_angry_left_content"] == 1


def test_questions_without_an_answer_are_grouped_and_answered_ones_left_out() -> None:
    at, said = WEEK.since + timedelta(days=1), dict[str, str]()

    def asked(name: str, question: str, reason: str = "low_evidence", **more: object) -> Answered:
        action: Action = "handoff" if reason in ("unsure_twice", "asked_for_person") else "clarify"
        said[name] = question
        return reply(name, at, action, reason, asked=len(question), **more)

    answered = [
        asked("1", "do you ship to iceland"),
        asked("2", "shipping to iceland?", "out_of_scope"),
        asked("3", "is the lamp waterproof", "unsure_twice"),
        asked("4", "i want to talk to a person", "asked_for_person"),
        asked("5", "where is my invoice"),
        replace(
            asked("6", ""), at=at + timedelta(minutes=1), conversation="c-5", action="send", reason="article", origin="article"
        ),
        replace(asked("7", "well, is it?", "unsure_twice"), at=at + timedelta(minutes=2), conversation="c-3"),
        asked("8", "能开发票吗", locale="zh"),
    ]
    data = report([], answered, texts=said)
    assert data.unanswered_total == 4
    assert {(one.question, one.count, one.locale) for one in data.unanswered} == {
        ("do you ship to iceland", 2, "en"),
        ("is the lamp waterproof", 1, "en"),
        ("能开发票吗", 1, "zh"),
    }
    assert data.unanswered[0].count == 2 and set(data.unanswered[0].reasons) == {"low_evidence", "out_of_scope"}


def test_only_the_texts_that_a_page_quotes_are_asked_for() -> None:
    asked: list[str] = []

    def texts(ids: Iterable[str]) -> dict[str, str]:
        asked.extend(ids := list(ids))
        return {id: f"text of {id}" for id in ids}

    at = WEEK.since + timedelta(days=3)
    events = messages(WEEK, 3_000, 900) + messages(WEEK.before(), 3_000, 300)
    events += [message(f"b{n}", at + timedelta(minutes=n), -0.9, talk="bad") for n in range(4)]
    answered = [reply(one.id, one.at) for one in events] + [reply("q", at, "clarify", "low_evidence", asked=9)]
    details: dict[str, object] = {"words": ["late"], "messages": ["b1"]}
    data = build(WEEK, events, [alert(details=details)], answered, texts=texts, zone=BERLIN, made_at=MADE)
    assert len(asked) < 20 and {"b1", "b3", "q"} <= set(asked)
    assert data.worst[0].last_quote == "text of b3" and data.unanswered[0].question == "text of q"
