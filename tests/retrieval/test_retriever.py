"""A question finds its passage, filters hold, and no input breaks the search."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from assistant.encoder import Encoder
from retrieval.index import Index
from retrieval.retriever import Retriever


@pytest.fixture(scope="module")
def retriever(index: Index, encoder: Encoder) -> Retriever:
    return Retriever(index, encoder.encode)


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("how long until I get my money back", "refund"),
        ("camera not charging", "charge"),
        ("wifi setup", "router"),
        ("退款多久能到账？", "zh-refund"),
        ("快递几天送到", "zh-delivery"),
        ("how do I connect to 路由器", "zh-wifi"),
    ],
)
def test_the_right_passage_comes_first(question: str, first: str, retriever: Retriever) -> None:
    hits = retriever.search(question)
    assert hits[0].passage.id == first
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert all(0 <= hit.score <= 1 and 0 <= hit.lexical <= 1 and -1.001 <= hit.dense <= 1.001 for hit in hits)


def test_filters_hold_and_miss_nothing(retriever: Retriever) -> None:
    def found(**filters: object) -> set[str]:
        return {hit.passage.id for hit in retriever.search("where is my refund parcel", k=50, **filters)}  # type: ignore[arg-type]

    assert found(kinds=("template",)) == {"tpl"}
    assert found(lang="zh") == {"zh-refund", "zh-delivery", "zh-wifi"}
    assert found(kinds=("reply",), since=datetime(2025, 6, 1, tzinfo=UTC)) == {"new"}
    assert found(kinds=("reply",), until=datetime(2025, 6, 1, tzinfo=UTC)) == {"old"}
    assert "refund" in found(since=datetime(2030, 1, 1, tzinfo=UTC)), "undated passages pass"
    assert len(found()) == 10 and found(lang="fr") == set() and found(kinds=()) == set()


def test_preferred_language_breaks_near_ties_only(retriever: Retriever) -> None:
    assert retriever.search("退款多久能到账", prefer_lang="en")[0].passage.lang == "zh"
    plain = {hit.passage.id: hit.score for hit in retriever.search("refund 退款", lang=None, prefer_lang="zh", k=10)}
    assert retriever.search("refund 退款", prefer_lang="zh")[0].passage.lang == "zh"
    assert len(plain) == 10


@pytest.mark.parametrize("question", ["", "   ", "\n\t"])
def test_blank_questions_find_nothing(question: str, retriever: Retriever) -> None:
    assert retriever.search(question) == []


@pytest.mark.parametrize(
    "question", ["🙂" * 50, "x " * 50_000, "退款" * 50_000, "\u200b\u200f", "<b>'; drop table", "\x00", "\ud800"[:0] + "ـ"]
)
def test_hostile_questions_are_answered_decently(question: str, retriever: Retriever) -> None:
    hits = retriever.search(question, k=3)
    assert len(hits) == 3 and all(0 <= hit.score <= 1 for hit in hits)


def test_nonsense_scores_below_a_real_question(retriever: Retriever) -> None:
    real = retriever.search("when does the refund reach my bank account")[0].score
    assert real > 0.5 > retriever.search("quantum zebra philosophy")[0].score


def test_k_is_kept(retriever: Retriever) -> None:
    assert [len(retriever.search("refund", k=k)) for k in (0, 1, 5, 1000)] == [0, 1, 5, 10]
