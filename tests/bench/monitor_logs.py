"""Real logs as a history for the monitor: the order and the words are real, the times and the surges are not.

The files hold no times. Conversations keep the order of their file and are laid over 26 weeks with a plain season of hours and
weekdays; multidogo's six domains stand one after another in the file and are laid over the same weeks side by side. Topics are
multidogo's intents, and a few words in cucom, which has none. Negative is decided by a short word list, which is no sentiment
model: it is here so that the figures hang on no adapter.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.bench.monitor_streams import START_S, History, Surge

HOURS = 26 * 168
NEGATIVE = re.compile(
    r"\b(angry|annoy\w*|awful|bad|broke\w*|cheat\w*|complain\w*|crack\w*|damage\w*|delay\w*|disappoint\w*|disgust\w*|fail\w*|"
    r"frustrat\w*|furious|hate|horrible|issue|late|lost|mad|mess|mistake|never|pathetic|problem|ridiculous|ruin\w*|scam|"
    r"stole\w*|stuck|stupid|terrible|unacceptabl\w*|upset|useless|waste|worried|worst|wrong|"
    r"(?:not|isn'?t|doesn'?t|don'?t) work\w*)\b",
    re.IGNORECASE,
)
GENERIC = {"contentonly", "confirmation", "rejection", "openinggreeting", "closinggreeting", "thankyou", "outofdomain"}
# First that occurs in the customer's first two messages names a cucom conversation's topic.
WORDS = (
    "refund",
    "return",
    "replac",
    "deliver",
    "cancel",
    "payment",
    "warranty",
    "damag",
    "wrong",
    "missing",
    "account",
    "offer",
)
MOST_TURNS = 12


@dataclass(frozen=True, slots=True)
class Turn:
    """One customer message: topic, and whether it is negative."""

    topic: str
    negative: bool


def real_order(
    data: Path, name: str, negative: Callable[[str], bool] = lambda text: NEGATIVE.search(text) is not None
) -> tuple[History, tuple[str, ...]] | None:
    """Read a log in its order.

    Args:
        data: The folder of data sets.
        name: ``multidogo`` or ``cucom_ecommerce``.
        negative: Decides of one text.

    Returns:
        The history, and the streams' topics; none where the data is absent.
    """
    file = data / name / ("customer_turn_level.jsonl.gz" if name == "multidogo" else "dialogues.jsonl.gz")
    if not file.is_file():
        return None
    groups = _multidogo(file, negative) if name == "multidogo" else {"cucom": list(_cucom(file, negative))}
    rng = np.random.default_rng(7)
    hour = np.arange(HOURS)
    season = np.exp(1.2 * np.cos(2 * np.pi * (hour % 24 - 14) / 24)) * np.where(hour // 24 % 7 >= 5, 0.6, 1.0)
    busy = np.concatenate([[0.0], np.cumsum(season) / season.sum()])
    numbers: dict[str, int] = {}
    at, stream, conversation, flags, first = [], [], [], [], []
    talk = 0
    for talks in groups.values():
        gaps = np.cumsum(rng.exponential(size=len(talks) + 1))
        begun = START_S + 3600 * np.interp(gaps[:-1] / gaps[-1], busy, np.arange(HOURS + 1))
        for begin, turns in zip(begun.tolist(), talks, strict=True):
            now, counted = begin, set()
            talk += 1
            for turn in turns[:MOST_TURNS]:
                at.append(now)
                stream.append(numbers.setdefault(turn.topic, len(numbers)))
                conversation.append(talk)
                flags.append(turn.negative)
                first.append(turn.negative and turn.topic not in counted)
                if turn.negative:
                    counted.add(turn.topic)
                now += float(rng.exponential(120.0))
    order = np.argsort(at, kind="stable")
    streams, firsts = np.array(stream)[order], np.array(first)[order]
    rates = np.bincount(streams[firsts], minlength=len(numbers)) / (HOURS / 24)
    history = History(np.array(at)[order], streams, np.array(conversation)[order], np.array(flags)[order], firsts, (), rates)
    return history, tuple(numbers)


def with_surges(history: History, seed: int, wanted: int = 4, ratio: float = 3.0) -> History:
    """Put surges into real logs: negative conversations of the stream, taken from all its weeks, told again.

    Args:
        history: From ``real_order``.
        seed: Everything follows from it.
        wanted: How many, each in a stream of its own; fewer where few streams have enough negative messages.
        ratio: How many times the negative conversations are as many.

    Returns:
        The history with them; each lasts a week, or as long as it needs for about forty further negative conversations.
    """
    rng = np.random.default_rng(seed)
    able = np.flatnonzero(history.rates * (ratio - 1) * 28 >= 40)
    surges, added = [], []
    number = int(history.conversation.max())
    for stream in rng.permutation(able)[:wanted].tolist():
        days = max(7.0, 40 / (history.rates[stream] * (ratio - 1)))
        begin = START_S + 86_400 * float(rng.uniform(42, HOURS / 24 - days))
        end = begin + 86_400 * days
        own = np.flatnonzero((history.stream == stream) & history.first)
        inside = own[(history.at[own] >= begin) & (history.at[own] < end)]
        count = int(rng.poisson((ratio - 1) * inside.size))
        surges.append(Surge(stream, begin, end, ratio, "sudden", (ratio - 1) * inside.size))
        for one, near in zip(rng.choice(own, count), rng.choice(inside, count) if inside.size else [], strict=False):
            number += 1
            talk = np.flatnonzero((history.conversation == history.conversation[one]) & (history.stream == stream))
            start = min(max(history.at[near] + rng.normal(0.0, 3 * 3600.0), begin), end)
            added.append((start + history.at[talk] - history.at[one], talk, number))
    if not added:
        return history
    source = np.concatenate([talk for _, talk, _ in added])
    at = np.concatenate([history.at, np.clip(np.concatenate([when for when, _, _ in added]), START_S, history.at[-1])])
    talks = np.concatenate([history.conversation, *(np.full(talk.size, name) for _, talk, name in added)])
    order = np.argsort(at, kind="stable")
    parts = (np.concatenate([what, what[source]])[order] for what in (history.stream, history.negative, history.first))
    streams, flags, first = parts
    return replace(
        history, at=at[order], stream=streams, conversation=talks[order], negative=flags, first=first, surges=tuple(surges)
    )


def _multidogo(file: Path, negative: Callable[[str], bool]) -> dict[str, list[list[Turn]]]:
    domains: dict[str, dict[str, list[Turn]]] = defaultdict(dict)
    for row in _rows(file):
        talks = domains[row["domain"]]
        turns = talks.setdefault(row["conv"], [])
        named = [one for one in row["intents"] if one not in GENERIC]
        # A turn that only gives a name or a number belongs to what was asked before it.
        topic = f"{row['domain']}/{named[0]}" if named else turns[-1].topic if turns else f"{row['domain']}/greeting"
        turns.append(Turn(topic, negative(row["text"])))
    return {domain: list(talks.values()) for domain, talks in domains.items()}


def _cucom(file: Path, negative: Callable[[str], bool]) -> Iterator[list[Turn]]:
    for row in _rows(file):
        texts = [turn["text"] for turn in row["turns"] if turn["role"] == "customer"]
        opening = " ".join(texts[:2]).lower()
        topic = next((word for word in WORDS if word in opening), "other")
        yield [Turn(topic, negative(text)) for text in texts]


def _rows(file: Path) -> Iterator[dict]:  # type: ignore[type-arg]
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)
