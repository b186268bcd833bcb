"""The chat page without a browser: what it shows, keeps and survives."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from assistant.errors import StoreError
from tests.ui.stand_in import ANSWER, NOW, StandIn, passage, wired
from ui.chat import ChatDoor, View, build, company_of
from ui.chat_html import SHOWN_CHARS, Chat, Company, esc
from ui.chat_text import CHINESE, ENGLISH, page_language, starters
from ui.plain_text import mend, pieces

HOSTILE = "<script>alert(1)</script> ![x](http://evil.example/a.png) ${1+1} {{value}} `x` **loud** \"'&"


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Any]:
    with wired(tmp_path) as parts:
        yield parts


@pytest.fixture
def assistant(parts: Any) -> StandIn:
    return parts.assistant  # type: ignore[no-any-return]


@pytest.fixture
def door(parts: Any) -> ChatDoor:
    return ChatDoor(parts.assistant, company_of("Fern & Co", ("en", "zh"), parts.store), pace_s=0)


def say(door: ChatDoor, chat: Chat, text: str) -> View:
    """Say something and return the last drawing."""
    return list(door.say(chat, text))[-1]


def last_id(chat: Chat) -> str:
    reply = chat.exchanges[-1].reply
    assert reply is not None
    return reply.message_id


def test_a_new_tab_is_welcomed_in_the_browsers_language_with_suggestions(door: ChatDoor) -> None:
    english, chinese = Chat(), Chat()
    view = door.open(english, "en-GB,en;q=0.9")
    assert view.conversation and ENGLISH.welcome in view.conversation
    assert view.conversation.count("data-say=") >= 4
    assert "How long do I have to return something?" in view.conversation
    view = door.open(chinese, "zh-CN,zh;q=0.9")
    assert view.conversation and CHINESE.welcome in view.conversation and "买了之后多久可以退货？" in view.conversation


def test_every_word_changes_with_the_language_and_the_conversation_stays(door: ChatDoor) -> None:
    chat = Chat()
    door.open(chat, None)
    say(door, chat, "I want a person")
    view = door.act(chat, "lang", "zh")
    page = "".join(filter(None, (view.header, view.conversation, view.live, view.composer, view.panel)))
    page = re.sub(r'(?:class|role|id|for|data-[a-z]+)="[^"]*"', "", page)
    for each in fields(ENGLISH):
        english = getattr(ENGLISH, each.name)
        if len(english) > 4:
            assert esc(english) not in page, each.name
    assert CHINESE.new_chat in page and "转接人工客服" in page and "I want a person" in page


def test_both_languages_have_every_word_and_the_same_places(door: ChatDoor) -> None:
    for each in fields(ENGLISH):
        english, chinese = getattr(ENGLISH, each.name), getattr(CHINESE, each.name)
        assert english and chinese
        if each.name != "source":
            assert re.findall(r"\{\w+\}", english) == re.findall(r"\{\w+\}", chinese), each.name


def test_what_a_customer_writes_is_shown_literally(door: ChatDoor) -> None:
    chat = Chat()
    view = say(door, chat, HOSTILE)
    assert view.conversation is not None
    assert "<script" not in view.conversation and "<img" not in view.conversation and "<strong>loud" not in view.conversation
    assert "${" not in view.conversation and "{{" not in view.conversation
    assert esc(HOSTILE) in view.conversation
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in view.conversation


def test_the_assistants_text_and_evidence_are_escaped_and_only_web_links_work(parts: Any) -> None:
    company = Company("C", urls={"returns": "javascript:alert(1)"})
    door = ChatDoor(parts.assistant, company, pace_s=0)
    view = say(door, Chat(), "hi")
    assert view.conversation is not None
    assert "&lt;b&gt;Not bold&lt;/b&gt;" in view.conversation and "&lt;i&gt;back&lt;/i&gt;" in view.conversation
    assert '<a href="https://shop.example/returns" target="_blank" rel="noopener noreferrer">' in view.conversation
    assert "<strong>30 days</strong>" in view.conversation
    assert "javascript:" not in view.conversation


def test_evidence_links_to_the_article_it_comes_from(door: ChatDoor) -> None:
    view = say(door, Chat(), "hi")
    assert view.conversation is not None
    unfolded = view.conversation.split("<details", 1)[1]
    assert 'href="https://shop.example/returns"' in unfolded and passage().title in unfolded and "83%" in unfolded


def test_a_reply_is_written_word_by_word_and_ends_whole(door: ChatDoor) -> None:
    views = list(door.say(Chat(), "hi"))
    assert views[0].live is not None and 'data-busy="1"' in views[0].live and "hi" in views[0].live
    lengths = [len(view.live) for view in views[1:-1] if view.live]
    assert len(lengths) > 4 and lengths == sorted(lengths)
    assert views[-1].live == '<div class="dh-live" data-busy="0"></div>'
    assert views[-1].conversation and "free for" in views[-1].conversation


def test_a_conversation_goes_on_until_a_new_one_is_begun(door: ChatDoor, parts: Any) -> None:
    chat = Chat()
    say(door, chat, "one")
    first = chat.conversation_id
    say(door, chat, "two")
    assert chat.conversation_id == first and len(parts.store.turns(first)) == 2
    view = door.act(chat, "new")
    assert view.conversation and ENGLISH.welcome in view.conversation
    say(door, chat, "three")
    assert chat.conversation_id != first


def test_two_tabs_do_not_mix(door: ChatDoor, parts: Any) -> None:
    left, right = Chat(), Chat()
    streams = [door.say(left, "from the left"), door.say(right, "from the right")]
    drawn: list[list[View]] = [[], []]
    while any(streams):  # interleaved, as two browsers would
        for side, stream in enumerate(streams):
            view = next(stream, None) if stream else None
            if view is None:
                streams[side] = iter(())
            else:
                drawn[side].append(view)
        if all(views and views[-1].panel for views in drawn):
            break
    assert left.conversation_id != right.conversation_id
    assert "from the right" not in "".join(view.conversation or "" for view in drawn[0])
    assert "from the left" not in "".join(view.conversation or "" for view in drawn[1])
    assert door.act(left, "vote", last_id(right), 1) == View()
    assert parts.store.feedback(last_id(right)) is None


def test_thumbs_are_stored_and_a_thumb_down_asks_for_the_right_answer(door: ChatDoor, parts: Any) -> None:
    chat = Chat(staff=True)
    say(door, chat, "May I return an opened box?")
    id = last_id(chat)
    view = door.act(chat, "vote", id, 1)
    assert parts.store.feedback(id).rating == 1
    assert view.conversation and ENGLISH.thanks in view.conversation and 'data-form="correct"' not in view.conversation
    view = door.act(chat, "vote", id, -1)
    assert parts.store.feedback(id).rating == -1
    assert view.conversation and 'data-form="correct"' in view.conversation
    view = door.act(chat, "correct", id, text="60 days")
    assert parts.store.feedback(id).correction == "60 days"
    assert view.conversation and ENGLISH.correction_kept in view.conversation and 'data-form="correct"' not in view.conversation


def test_staff_can_name_the_right_topic(door: ChatDoor, parts: Any) -> None:
    chat = Chat(staff=True)
    say(door, chat, "May I return an opened box?")
    id = last_id(chat)
    form = door.act(chat, "vote", id, -1).conversation or ""
    assert '<option value="return_policy">How long can I return things?</option>' in form and ENGLISH.correction_topic in form
    chinese = door.act(chat, "lang", "zh").conversation or ""
    assert '<option value="return_policy">退货规则</option>' in chinese and '<option value="opening_hours">' in chinese
    view = door.act(chat, "correct", id, intent="return_policy")
    assert parts.store.feedback(id).intent == "return_policy"
    assert view.conversation and CHINESE.correction_kept in view.conversation


def test_a_correction_for_one_customer_only_is_not_announced_as_the_new_answer(door: ChatDoor) -> None:
    chat = Chat(staff=True)
    say(door, chat, "May I return an opened box?")
    view = door.act(chat, "correct", last_id(chat), text="Yes, [NAME_1].")
    assert view.conversation and esc(ENGLISH.correction_stored) in view.conversation


def test_a_customers_words_are_a_comment_and_correct_nothing(door: ChatDoor, parts: Any) -> None:
    chat = Chat()
    say(door, chat, "May I return an opened box?")
    id = last_id(chat)
    form = door.act(chat, "vote", id, -1).conversation or ""
    assert ENGLISH.comment_sorry in form and ENGLISH.comment_send in form
    assert "<select" not in form and ENGLISH.correction_send not in form
    view = door.act(chat, "correct", id, text="60 days", intent="return_policy")
    kept = parts.store.feedback(id)
    assert (kept.rating, kept.comment, kept.correction, kept.intent) == (-1, "60 days", "", None)
    assert view.conversation and ENGLISH.comment_kept in view.conversation
    assert door.act(chat, "correct", id, intent="return_policy") == View(conversation=view.conversation)
    assert not parts.store.learning.corrections()


def test_a_vote_that_cannot_be_stored_says_so(door: ChatDoor, parts: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise StoreError("the disk is full")

    chat = Chat()
    say(door, chat, "hi")
    monkeypatch.setattr(parts.assistant, "feedback", refuse)
    view = door.act(chat, "vote", last_id(chat), 1)
    assert view.conversation and ENGLISH.not_stored in view.conversation and 'aria-pressed="true"' not in view.conversation


def test_a_failing_assistant_leaves_a_sentence_and_the_chat_usable(door: ChatDoor) -> None:
    chat = Chat()
    view = say(door, chat, "boom")
    assert view.conversation and esc(ENGLISH.trouble) in view.conversation and "secret" not in view.conversation
    view = say(door, chat, "hi")
    assert view.conversation and "free for" in view.conversation and "boom" in view.conversation


def test_handoff_and_question_back_look_apart_and_say_why(door: ChatDoor) -> None:
    chat = Chat()
    handed = say(door, chat, "a person please").conversation or ""
    assert "dh-handoff" in handed and "A person takes over" in handed and "You asked for a person." in handed
    asked = say(door, Chat(), "what").conversation or ""
    assert "dh-clarify" in asked and "One question first" in asked and "A detail is missing." in asked
    assert "dh-badge" not in (say(door, Chat(), "hi").conversation or "")


def test_the_panel_tells_how_the_answer_was_made(door: ChatDoor) -> None:
    chat = Chat()
    panel = say(door, chat, "hi").panel or ""
    for shown in (
        "Answered",
        "Start return",
        "91 %",
        "Refund status",
        "negative",
        "-0.71",
        "FW-204518",
        "v7",
        "8.0 ms",
        "12.3 ms",
        "≥ 0.50",
    ):
        assert shown in panel, shown
    first = last_id(chat)
    say(door, chat, "a person please")
    view = door.act(chat, "why", first)
    assert view.panel and "Answered" in view.panel and "Passed to a person" not in view.panel


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\x00"])
def test_a_blank_message_does_nothing(door: ChatDoor, assistant: StandIn, text: str) -> None:
    chat = Chat()
    assert list(door.say(chat, text)) == []
    assert chat.exchanges == [] and assistant.texts == []


def test_a_hundred_thousand_characters_reach_the_assistant_and_are_shown_short(door: ChatDoor, assistant: StandIn) -> None:
    chat = Chat()
    view = say(door, chat, "x" * 100_000)
    assert len(assistant.texts[0]) == 100_000
    assert view.conversation and len(view.conversation) < 6_000 + SHOWN_CHARS
    assert f"{100_000 - SHOWN_CHARS:,} more characters" in view.conversation


@pytest.mark.parametrize("text", ["🙂🙃", "\ud800", "\u202eevil\u202c", "\u200b\u200d?", "مرحبا"])
def test_odd_signs_are_answered(door: ChatDoor, text: str) -> None:
    chat = Chat()
    view = say(door, chat, text)
    assert view.conversation and "free for" in view.conversation
    assert view.conversation.encode()


@pytest.mark.parametrize("what", ["", "drop", "lang", "vote", "correct", "why"])
def test_a_click_that_was_forged_does_nothing(door: ChatDoor, what: str) -> None:
    chat = Chat()
    say(door, chat, "hi")
    before = door.act(chat, "skip", last_id(chat))
    assert door.act(chat, what, "<x>", 99, "text") == View()
    assert door.act(chat, "skip", last_id(chat)) == before


def test_suggestions_are_the_companys_own_and_never_fewer_than_four() -> None:
    assert len(starters({}, "en")) >= 4 and len(starters({}, "zh")) >= 4
    own = starters({"opening_hours": "When are you open?", "order_status": "Order?"}, "en")
    assert own[:2] == ("Where is my order?", "When are you open?")
    many = starters(
        {topic: topic for topic in ("order_status", "return_policy", "wifi_offline", "double_charge", "damaged_on_arrival")}, "en"
    )
    assert 4 <= len(many) <= 6 and len(set(many)) == len(many)


@pytest.mark.parametrize(
    ("accepted", "offered", "lang"),
    [("zh-TW,en", ("en", "zh"), "zh"), ("de", ("en", "zh"), "en"), (None, ("zh",), "zh"), ("zh", ("en",), "en"), ("", (), "en")],
)
def test_the_first_language_follows_the_browser(accepted: str | None, offered: tuple[str, ...], lang: str) -> None:
    assert page_language(accepted, offered) == lang


@pytest.mark.parametrize("text", ["", "  ", ANSWER, "您好，世界！abc 好\n\n- a\n", "🙂🙂 x \n", "a\u3000全角"])
def test_pieces_join_to_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_mending_leaves_good_text_alone() -> None:
    assert mend("Grüße 您好 🙂") == "Grüße 您好 🙂"
    assert mend("a\ud800b\x00c") == "a?bc"
    assert NOW.tzinfo is not None


def test_the_page_is_built_without_calls_home(parts: Any) -> None:
    async def built() -> Any:
        return build(parts)

    with ThreadPoolExecutor(1) as own:  # a thread of its own, because a browser test may have left a loop running in this one
        page = own.submit(lambda: asyncio.run(built())).result()
    assert page.analytics_enabled is False
    assert all(fn.api_visibility == "private" for fn in page.fns.values())
