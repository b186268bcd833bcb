"""Text features are stable and never empty; tags become the spans a person would mark."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.heads import BUCKETS, bags, class_logits, hashed, ngrams, normal_form, spans_from_tags, tagged_spans


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=80))
def test_any_text_hashes_to_unit_weights_in_range(text: str) -> None:
    buckets, weights = hashed(text)
    assert len(buckets) == len(weights) >= 1
    assert buckets.min() >= 0 and buckets.max() < BUCKETS and len(set(buckets.tolist())) == len(buckets)
    length = float(np.linalg.norm(weights))
    if not any(gram[0] == "h" for gram in ngrams(text)):
        assert length == pytest.approx(1.0, abs=1e-5) or (not ngrams(text) and length == 0.0)


def test_han_characters_weigh_more_than_the_words_beside_them() -> None:
    mixed, plain = hashed("Vac 5 连不上"), hashed("Vac 5")
    weight = dict(zip(mixed[0].tolist(), mixed[1].tolist(), strict=True))
    latin = {weight[bucket] for bucket in plain[0].tolist() if bucket in weight}
    assert latin and max(weight.values()) > 2 * max(latin)
    assert 1.0 < float(np.linalg.norm(mixed[1])) < 2.5


def test_case_width_and_spaces_do_not_count() -> None:
    plain, odd = hashed("vac 5 wifi"), hashed("  VAC\u3000５\n WiFi ")
    assert plain[0].tolist() == odd[0].tolist() and plain[1].tolist() == odd[1].tolist()


def test_features_never_change_between_versions() -> None:
    """A trained wide half is worthless once the hashing changes; these values are stored in every adapter."""
    assert ngrams("no wifi 连不") == [
        "wno", "wwifi", "c<wi", "cwif", "cifi", "cfi>", "c<wif", "cwifi", "cifi>", "h连", "h不", "h连不",
        "pno wifi", "pwifi 中",
    ]  # fmt: skip
    assert hashed("no")[0].tolist() == [7463]


def test_a_pasted_mail_thread_is_read_at_its_beginning_only() -> None:
    assert len(normal_form("word " * 100_000)) <= 600
    assert hashed("refund " * 600)[0].tolist() == hashed("refund " * 60_000)[0].tolist()


def test_half_a_surrogate_pair_and_no_text_have_features() -> None:
    assert len(hashed("\ud83d")[0]) == 1
    assert hashed("")[1].tolist() == [0.0]


def test_logits_are_the_deep_part_plus_the_weighted_buckets() -> None:
    generator = torch.Generator().manual_seed(0)
    texts = ["where is my order", "", "没连上", "where is my order"]
    head = {
        "deep.weight": torch.randn(3, 8, generator=generator),
        "deep.bias": torch.randn(3, generator=generator),
        "wide.weight": torch.randn(BUCKETS, 3, generator=generator),
    }
    pooled = torch.randn(4, 8, generator=generator)
    found = class_logits(head, pooled, texts)
    for row, text in enumerate(texts):
        buckets, weights = hashed(text)
        wide = (head["wide.weight"][torch.from_numpy(buckets)] * torch.from_numpy(weights)[:, None]).sum(0)
        wanted = head["deep.weight"] @ pooled[row] + head["deep.bias"] + wide
        torch.testing.assert_close(found[row], wanted, atol=1e-5, rtol=1e-5)


def test_a_head_without_a_wide_half_is_linear() -> None:
    head = {"deep.weight": torch.eye(2), "deep.bias": torch.tensor([1.0, 0.0])}
    assert class_logits(head, torch.tensor([[0.5, 0.25]]), ["hi"]).tolist() == [[1.5, 0.25]]


def test_bags_join_rows_in_order() -> None:
    buckets, offsets, weights = bags([hashed("one two"), hashed(""), hashed("three")])
    assert offsets.tolist() == [0, len(hashed("one two")[0]), len(hashed("one two")[0]) + 1]
    assert len(buckets) == len(weights)


def offsets_of(text: str, *words: str) -> list[tuple[int, int]]:
    return [(text.index(word), text.index(word) + len(word)) for word in words]


@pytest.mark.parametrize(
    ("text", "words", "tags", "wanted"),
    [
        ("my vac 5 broke", ("my", "vac", "5", "broke"), ("O", "B-p", "I-p", "O"), ["vac 5"]),
        ("vac 5 bell 3", ("vac", "5", "bell", "3"), ("B-p", "I-p", "B-p", "I-p"), ["vac 5", "bell 3"]),
        ("vac 5 broke", ("vac", "5", "broke"), ("I-p", "I-p", "O"), ["vac 5"]),  # no beginning: conlleval starts one
        ("vac monday", ("vac", "monday"), ("B-p", "I-d"), ["vac", "monday"]),
        ("vac, bell", ("vac", "bell"), ("B-p", "I-p"), ["vac", "bell"]),  # a comma parts them
        ("vacuum", ("vac", "uum"), ("B-p", "B-p"), ["vacuum"]),  # word pieces of one word stay together
        ("扫地机坏了", ("扫", "地", "机", "坏"), ("B-p", "I-p", "I-p", "O"), ["扫地机"]),
        ("扫地", ("扫", "地"), ("B-p", "B-p"), ["扫", "地"]),
        ("", (), (), []),
    ],
)
def test_tags_become_spans(text: str, words: tuple[str, ...], tags: tuple[str, ...], wanted: list[str]) -> None:
    spans = spans_from_tags(tags, offsets_of(text, *words), text)
    assert [text[start:end] for start, end, _ in spans] == wanted


@pytest.mark.parametrize(("once", "wanted"), [((), ["ten", "6"]), (("time",), ["6"]), (("date",), ["ten", "6"])])
def test_of_a_slot_that_a_text_holds_once_the_likeliest_span_is_kept(once: tuple[str, ...], wanted: list[str]) -> None:
    text = "ten past 6"
    logits = torch.tensor([[0.0, 1.0], [5.0, 0.0], [0.0, 4.0], [0.0, 9.0]])  # the last row is padding
    spans = tagged_spans(logits, ("O", "B-time"), offsets_of(text, "ten", "past", "6"), text, once)
    assert [text[start:end] for start, end, _ in spans] == wanted


def test_what_a_question_holds_never_takes_the_place_of_the_answer() -> None:
    text = "time ? 6"
    logits = torch.tensor([[0.0, 9.0], [5.0, 0.0], [0.0, 4.0]])
    assert tagged_spans(logits, ("O", "B-time"), offsets_of(text, "time", "?", "6"), text, ("time",), 7) == [(7, 8, "time")]


def test_special_tokens_never_become_spans() -> None:
    assert spans_from_tags(["B-p", "B-p", "B-p"], [(0, 0), (0, 2), (0, 0)], "hi") == [(0, 2, "p")]
