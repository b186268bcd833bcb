"""What becomes evidence and what does not, and what folds into one."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest

from assistant.encoder import Encoder
from assistant.records import Article, Passage, Template, Transcript, TranscriptTurn
from retrieval.passages import fold, from_article, from_template, from_transcript

ANSWER = "Your refund was sent to the bank on Monday and arrives within five working days."


def talk(*lines: tuple[str, str], **values: object) -> Transcript:
    turns = tuple(TranscriptTurn(role, text) for role, text in lines)  # type: ignore[arg-type]
    return Transcript(**({"id": "c1", "turns": turns, "where": "log:1", "lang": "en"} | values))  # type: ignore[arg-type]


def test_problem_and_answer_become_a_pair_and_small_talk_does_not() -> None:
    found = from_transcript(
        talk(
            ("bot", "Hello, I am the robot and I can answer your questions about orders and refunds."),
            ("customer", "Where is the money for the kettle I sent back?"),
            ("agent", "Hi Anna, thanks for reaching out!"),
            ("agent", "Could you please give me your order number and the date on which you sent the parcel?"),
            ("customer", "FW-204913, last week"),
            ("agent", "One moment please."),
            ("agent", ANSWER),
            ("customer", "great, thanks"),
            ("agent", "You're welcome, have a nice day!"),
            intent="refund_status",
            started_at=datetime(2026, 1, 1, tzinfo=UTC),
        )
    )
    assert [one.text for one in found] == [ANSWER]
    assert found[0].search_text == "Where is the money for the kettle I sent back? FW-204913, last week"
    assert (found[0].kind, found[0].intent, found[0].lang, found[0].at) == (
        "reply", "refund_status", "en", datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip


def test_chinese_small_talk_is_skipped_and_the_answer_kept() -> None:
    found = from_transcript(
        talk(
            ("customer", "我退货的钱什么时候到账？"),
            ("agent", "您好，请稍等，我帮您查一下。"),
            ("agent", "请问您的订单号是多少？"),
            ("agent", "麻烦您提供一下订单号和收件人的电话号码。"),
            ("customer", "FW-204913"),
            ("agent", "退款已于周一退回您的银行卡，预计五个工作日内到账。"),
            lang="zh",
        )
    )
    assert [one.text for one in found] == ["退款已于周一退回您的银行卡，预计五个工作日内到账。"]
    assert "什么时候到账" in found[0].search_text


@pytest.mark.parametrize(
    ("values", "last", "usable"),
    [
        ({"resolved": False}, "thanks", False),
        ({"resolved": None}, "thanks", True),
        ({"resolved": True, "rating": 5}, "thanks", True),
        ({"rating": 1}, "This is still not solved, I am furious", False),
        ({"rating": 1}, "thanks", True),
        ({"rating": 4}, "It came today", True),
    ],
)
def test_unresolved_threads_make_no_evidence(values: dict[str, object], last: str, usable: bool) -> None:
    found = from_transcript(talk(("customer", "Where is my refund?"), ("agent", ANSWER), ("customer", last), **values))
    assert bool(found) is usable


def test_an_agent_who_speaks_first_answers_nothing() -> None:
    assert from_transcript(talk(("agent", ANSWER), ("customer", "what?"))) == []
    assert from_transcript(talk()) == []


def test_language_is_detected_only_where_the_record_is_silent() -> None:
    said = from_transcript(talk(("customer", "Where is my refund?"), ("agent", ANSWER), lang=None), lambda _: "xx")
    assert said[0].lang == "xx"


def test_a_long_opening_is_cut_near_sixty_words() -> None:
    found = from_transcript(talk(("customer", "word " * 5000), ("agent", ANSWER)))
    assert len(found[0].search_text.split()) == 60


def test_article_sections_carry_their_heading_path() -> None:
    body = (
        "# Returns\n\nYou have 30 days.\n\n## How\n\n### By post\n\nPrint the label.\n\n"
        "```\n# no heading\n```\n\n## Empty\n\n## Costs\n\nFree."
    )
    found = from_article(Article("a1", "Returns", body, "returns.md", lang="en", intent="return_policy"))
    assert [one.title for one in found] == ["Returns", "Returns › How › By post", "Returns › Costs"]
    assert found[1].text == "Print the label.\n\n```\n# no heading\n```"
    assert found[1].search_text.startswith("Returns. How. By post. Print")
    assert {one.source for one in found} == {"a1"} and len({one.id for one in found}) == 3


def test_long_sections_are_split_at_sentence_ends_without_losing_a_word() -> None:
    for sentence, lang in (
        ("The vacuum returns to its dock when the battery is low. ", "en"),
        ("电量低时扫地机会自动返回充电座充电。", "zh"),
    ):
        body = sentence * 60
        found = from_article(Article("a", "Dock", body, "a.md", lang=lang))
        assert len(found) > 3
        assert all(one.text.endswith((".", "。")) for one in found)
        assert "".join(one.text for one in found).replace(" ", "") == body.replace(" ", "")


def test_ids_stay_the_same_and_follow_the_content() -> None:
    first = from_article(Article("a", "T", "Body text", "a.md"))[0].id
    assert first == from_article(Article("a", "T", "Body text", "b.md"))[0].id
    assert first != from_article(Article("a", "T", "Other text", "a.md"))[0].id


def test_template_keeps_its_slots() -> None:
    one = from_template(
        Template("order_status", "en", "Order {order_number} is packed.", "Which order?", ("order_number",)), "templates"
    )
    assert (one.title, one.required_slots, one.ask) == ("order status", ("order_number",), "Which order?")
    assert one.search_text == "order status. Order {order_number} is packed."


def test_near_duplicates_fold_into_the_oldest_and_count(make_passage: Callable[..., Passage], encoder: Encoder) -> None:
    day = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 9)]
    base = "The refund reaches your bank account within 5 working days after the parcel has been checked by us"
    problem = "where is my refund for the kettle"
    same = {"kind": "reply", "search_text": problem}
    rows = [
        make_passage("late", base + ".", at=day[3], **same),
        make_passage("oldest", base, at=day[1], **same),
        make_passage("shouted", base.upper() + "!!", at=day[2], **(same | {"search_text": "Where is my refund for the kettle?"})),
        make_passage("near", base + " today", at=day[4], **(same | {"search_text": "where's my refund for the kettle??"})),
        make_passage("fourteen", base.replace("5", "14"), at=day[5], **same),
        make_passage("german", base, at=day[6], lang="de", **same),
        make_passage("article", base, search_text=problem),
        make_passage("elsewhere", "Refunds for gift cards go back to the card.", at=day[7], **same),
    ]
    folded = fold(rows, encoder.encode([one.search_text for one in rows]), 0.95)
    assert {one.id: one.count for one in folded.passages} == {
        "oldest": 4,
        "fourteen": 1,
        "german": 1,
        "article": 1,
        "elsewhere": 1,
    }
    assert [rows[row].id for row in folded.rows] == [one.id for one in folded.passages]


def test_folding_nothing_gives_nothing() -> None:
    folded = fold([], np.zeros((0, 384), np.float32), 0.97)
    assert folded.passages == [] and folded.rows.tolist() == []


def test_counts_add_up_over_many_rows(make_passage: Callable[..., Passage]) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(3_000, 32)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors = vectors[np.arange(6_000) // 2]
    rows = [make_passage(f"p{i}", f"answer number {i // 2} of the list", search_text=f"q{i}", kind="reply") for i in range(6_000)]
    started = time.perf_counter()
    folded = fold(rows, vectors, 0.97)
    assert len(folded.passages) == 3_000 and {one.count for one in folded.passages} == {2}
    assert time.perf_counter() - started < 30
