"""Words of both scripts are found, and what is saved is read back without pickle."""

from __future__ import annotations

from pathlib import Path

import bm25s
import numpy as np
import pytest

from retrieval.lexical import build, load, save, tokenise

TEXTS = ["Refunds reach your account", "The parcel was refunded twice", "快递已经送达", "我要申请退款", "Vac 5 的电池不能充电"]


def test_inflected_words_meet() -> None:
    assert tokenise("charges charging charged") == ["charg"] * 3
    assert tokenise("Where is the parcel?") == ["parcel"]


def test_mixed_scripts_in_one_message() -> None:
    assert {"vac", "5", "电池", "电", "池"} <= set(tokenise("我的 Vac 5 电池坏了"))


@pytest.mark.parametrize(("query", "row"), [("refund to my account", 0), ("退款", 3), ("快递送达了吗", 2), ("vac 充电", 4)])
def test_best_text_covers_most(query: str, row: int) -> None:
    assert int(build(TEXTS).coverage(query).argmax()) == row


def test_scores_are_those_of_bm25s(tmp_path: Path) -> None:
    index = build(TEXTS)
    save(index, tmp_path)
    theirs = bm25s.BM25.load(tmp_path, show_progress=False).get_scores(tokenise("refund account"))
    ours = load(tmp_path).coverage("refund account")
    assert np.allclose(theirs / theirs.max(), ours / ours.max())
    assert ours.min() >= 0 and ours.max() < 1


def test_unknown_words_lower_the_coverage() -> None:
    index = build(TEXTS)
    assert index.coverage("refund zeppelin").max() < index.coverage("refund").max()


@pytest.mark.parametrize("query", ["", "the is of", "🙂🙃", "\u200b\u202e", "<script>", "a" * 100_000, "退" * 100_000])
def test_hostile_questions_give_shares(query: str) -> None:
    scores = build(TEXTS).coverage(query)
    assert scores.shape == (5,) and np.isfinite(scores).all() and (scores >= 0).all() and (scores < 1).all()


@pytest.mark.parametrize("texts", [[], ["🙂"], ["one word"]])
def test_tiny_collections_survive_the_round_trip(texts: list[str], tmp_path: Path) -> None:
    save(build(texts), tmp_path)
    assert load(tmp_path).coverage("one").shape == (len(texts),)


def test_a_pickle_in_place_of_numbers_is_refused(tmp_path: Path) -> None:
    save(build(TEXTS), tmp_path)
    np.save(tmp_path / "data.csc.index.npy", np.array([{"evil": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        load(tmp_path)
