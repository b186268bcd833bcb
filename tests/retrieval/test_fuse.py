"""Fusion keeps the better of both worlds, and its weight follows the evidence."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from assistant.encoder import Encoder
from assistant.records import Passage
from retrieval import lexical
from retrieval.fuse import PRIOR_ALPHA, choose_alphas, combine

THINGS = ("kettle", "vacuum", "doorbell", "camera", "lamp", "thermostat", "sensor", "speaker")
ASKS = (
    ("The {} will not charge any more", "my {} stays empty however long it is plugged in"),
    ("Sending the {} back for a refund", "i want to return this {} and get my money"),
    ("Cleaning the {}", "how do i wash the {}"),
    ("Connecting the {} to Wi-Fi", "{} can't join my wireless network"),
    ("Warranty of the {}", "how long is the guarantee on the {}"),
)


def mrr(scores: np.ndarray) -> float:
    own = scores.diagonal()[:, None]
    return float((1 / (scores >= own).sum(1)).mean())


def test_fused_is_not_worse_than_the_better_part(encoder: Encoder) -> None:
    documents = [title.format(thing) for title, _ in ASKS for thing in THINGS]
    questions = [ask.format(thing) for _, ask in ASKS for thing in THINGS]
    dense = encoder.encode(questions) @ encoder.encode(documents).T
    words = lexical.build(documents)
    covered = np.stack([words.coverage(question) for question in questions])
    assert mrr(combine(dense, covered, PRIOR_ALPHA)) >= max(mrr(dense), mrr(covered))


def test_scores_stay_in_bounds() -> None:
    dense, covered = np.array([-1.0, 0.0, 1.0000001], np.float32), np.array([0.0, 0.5, 1.0], np.float32)
    for alpha in (0.0, 0.4, 1.0):
        fused = combine(dense, covered, alpha)
        assert fused.dtype == np.float32 and fused.min() >= 0 and fused.max() <= 1


def test_an_encoder_that_knows_nothing_leaves_it_to_the_words(make_passage: Callable[..., Passage]) -> None:
    passages = [
        make_passage(f"p{topic}-{i}", "", intent=f"topic{topic}", kind="reply", search_text=f"subject{topic} case{topic}{i}")
        for topic in range(8)
        for i in range(10)
    ]
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(80, 16)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    words = lexical.build([one.search_text for one in passages])
    assert choose_alphas(passages, noise, words, None, 0)["en"] < PRIOR_ALPHA


def test_words_without_meaning_leave_it_to_the_encoder(make_passage: Callable[..., Passage]) -> None:
    rng = np.random.default_rng(0)
    passages = [
        make_passage(
            f"p{topic}-{i}",
            "",
            intent=f"topic{topic}",
            kind="reply",
            search_text=f"chance{rng.integers(20)} luck{rng.integers(20)}",
        )
        for topic in range(8)
        for i in range(10)
    ]
    # shortened, so that the words would drown the encoder at the prior weight
    vectors = 0.5 * np.repeat(np.eye(8, 16, dtype=np.float32), 10, axis=0)
    words = lexical.build([one.search_text for one in passages])
    assert choose_alphas(passages, vectors, words, None, 0)["en"] > PRIOR_ALPHA


def test_too_little_evidence_chooses_nothing(shop: list[Passage], encoder: Encoder) -> None:
    vectors = encoder.encode([one.search_text for one in shop])
    assert choose_alphas(shop, vectors, lexical.build([one.search_text for one in shop]), encoder.encode, 0) == {}
