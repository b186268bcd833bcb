"""The small trained parts on top of the encoder: a wide-and-deep classifier head and a token tagger head.

The deep half is linear over the adapter's pooled vector. The wide half is linear over hashed character and word n-grams of
the text itself; it carries what the encoder's vocabulary cannot (60 % of Chinese characters are unknown to MiniLM).
Method: wide & deep learning (Cheng et al. 2016, arXiv:1606.07792) with feature hashing (Weinberger et al. 2009,
arXiv:0902.2206). Knows tensors and strings; nothing of files or tasks.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Collection, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Hashed = tuple[NDArray[np.int64], NDArray[np.float32]]

BUCKETS = 2**15
#: The encoder sees most Han characters as unknown, so the wide half has to learn more from them: validation accuracy of
#: Chinese intents rose from 0.89 to 0.95 with it, English stayed. A higher learning rate for all n-grams cost English likelihood.
_HAN_WEIGHT = 2.5
_MAX_CHARS = 600  # the wide half reads the beginning only; a pasted mail thread would drown the question
_WORD = re.compile(r"[a-z0-9']+|[\u3400-\u9fff\uf900-\ufaff]+|[^\sa-z0-9\u3400-\u9fff]")


def normal_form(text: str) -> str:
    """Return the text as the wide half reads it: NFKC, lower case, single spaces, at most 600 characters."""
    return " ".join(unicodedata.normalize("NFKC", text[: _MAX_CHARS * 2]).lower().split())[:_MAX_CHARS]


def ngrams(text: str) -> list[str]:
    """List the n-grams of a text: words, word pairs, character 3- to 4-grams of words, 1- to 3-grams of Han runs."""
    tokens = _WORD.findall(normal_form(text))
    found: list[str] = []
    words: list[str] = []
    for token in tokens:
        if "\u3400" <= token[0] <= "\ufaff":
            found += ["h" + token[i : i + n] for n in (1, 2, 3) for i in range(len(token) - n + 1)]
            words.append("\u4e2d")
            continue
        words.append(token)
        found.append("w" + token)
        if len(token) > 3:
            marked = f"<{token}>"
            found += ["c" + marked[i : i + n] for n in (3, 4) for i in range(len(marked) - n + 1)]
    found += [f"p{a} {b}" for a, b in pairwise(words)]
    return found


def hashed(text: str, salt: str = "") -> Hashed:
    """Hash a text's n-grams into buckets.

    Args:
        text: Any text.
        salt: The same n-gram falls into another bucket under another salt.

    Returns:
        Bucket indices ``(m,)`` and their weights ``(m,)``: log term frequency, scaled to unit length; never empty.
    """
    counts: dict[int, float] = {}
    han: set[int] = set()
    for gram in ngrams(text):
        bucket = zlib.crc32(f"{salt}{gram}".encode("utf-8", "replace")) % BUCKETS
        counts[bucket] = counts.get(bucket, 0) + 1
        if gram[0] == "h":
            han.add(bucket)
    if not counts:
        return np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32)
    weights = 1.0 + np.log(np.fromiter(counts.values(), dtype=np.float32))
    unit = weights / np.linalg.norm(weights)
    unit[[row for row, bucket in enumerate(counts) if bucket in han]] *= _HAN_WEIGHT
    return np.fromiter(counts, dtype=np.int64), unit.astype(np.float32)


def bags(rows: Sequence[Hashed]) -> tuple[Tensor, Tensor, Tensor]:
    """Join hashed texts for ``torch.nn.functional.embedding_bag``: flat buckets, row offsets, weights."""
    import torch

    lengths = [len(indices) for indices, _ in rows]
    offsets = torch.tensor([0, *np.cumsum(lengths)[:-1]], dtype=torch.int64)
    buckets = torch.from_numpy(np.concatenate([indices for indices, _ in rows]))
    return buckets, offsets, torch.from_numpy(np.concatenate([weights for _, weights in rows]))


def class_logits(head: Mapping[str, Tensor], pooled: Tensor, texts: Sequence[str]) -> Tensor:
    """Score classes.

    Args:
        head: ``deep.weight (C, D)``, ``deep.bias (C,)`` and, if the head is wide, ``wide.weight (BUCKETS, C)``.
        pooled: The adapter's unit vectors ``(B, D)``.
        texts: The same texts, ``B`` of them.

    Returns:
        Logits ``(B, C)`` before temperature.
    """
    from torch.nn import functional as fn

    logits = fn.linear(pooled, head["deep.weight"], head["deep.bias"])
    if "wide.weight" in head:
        buckets, offsets, weights = bags([hashed(text) for text in texts])
        logits = logits + fn.embedding_bag(buckets, head["wide.weight"], offsets, mode="sum", per_sample_weights=weights)
    return logits


def behind_question(text: str, asked: str) -> str:
    """Return the text as the tagger reads it behind a question for slots, so that a bare number has a meaning.

    Args:
        text: The customer's message.
        asked: Names of the slots that were asked for; empty for none.

    Returns:
        ``asked ? text``, or the text alone. The text's own characters are the last ones.
    """
    return f"{asked.replace('_', ' ')} ? {text}" if asked else text


def spans_from_tags(tags: Sequence[str], offsets: Sequence[tuple[int, int]], text: str) -> list[tuple[int, int, str]]:
    """Turn IOB2 tags of tokens into character spans.

    Args:
        tags: One of ``O``, ``B-x``, ``I-x`` per token; an ``I-x`` without a beginning starts a span (as conlleval does).
        offsets: Character range of each token; empty ranges are special tokens.
        text: The text the offsets point into.

    Returns:
        ``(start, end, slot)`` in order.
    """
    spans: list[tuple[int, int, str]] = []
    for tag, (start, end) in zip(tags, offsets, strict=True):
        if end <= start or tag == "O":
            continue
        kind, _, slot = tag.partition("-")
        touching = bool(spans) and spans[-1][2] == slot and not text[spans[-1][1] : start].strip(" -'")
        word_goes_on = touching and spans[-1][1] == start and start > 0 and text[start].isascii() and text[start].isalnum()
        if touching and (kind == "I" or word_goes_on):
            spans[-1] = (spans[-1][0], end, slot)
        else:
            spans.append((start, end, slot))
    return spans


def tagged_spans(
    logits: Tensor,
    labels: Sequence[str],
    offsets: Sequence[tuple[int, int]],
    text: str,
    once: Collection[str] = (),
    begin: int = 0,
) -> list[tuple[int, int, str]]:
    """Turn a tagger's scores of one text into character spans.

    Args:
        logits: ``(T, C)``, of at least as many tokens as there are offsets.
        labels: ``O`` and the IOB2 tags, ``C``.
        offsets: Character range of each token.
        text: The text the offsets point into.
        once: Slots that a text holds at most once. Of several spans of one of these the likeliest is kept: that whose tokens'
            tags have the highest mean log-probability.
        begin: Where the customer's own words begin; what is found in the question before them does not count.

    Returns:
        ``(start, end, slot)`` in order.
    """
    sure, tags = logits[: len(offsets)].log_softmax(-1).max(-1)
    spans = [span for span in spans_from_tags([labels[tag] for tag in tags.tolist()], offsets, text) if span[0] >= begin]

    def likelihood(span: tuple[int, int, str]) -> float:
        inside = [row for row, (start, end) in enumerate(offsets) if end > start and span[0] <= start and end <= span[1]]
        return float(sure[inside].mean())

    kept = {slot: max((one for one in spans if one[2] == slot), key=likelihood) for slot in {one[2] for one in spans} & set(once)}
    return [span for span in spans if kept.get(span[2], span) == span]
