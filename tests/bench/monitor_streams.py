"""A simulated company: what its customers write in 26 weeks, by topic and locale, and the surges put into it.

Nothing here knows the detector. Each topic's conversations are a Poisson process whose rate has the locale's hours and weekdays
(the topic's own differ a little), a level that wanders slowly, and days that are uneven for no reason. A conversation writes one
message or more; a negative one has its first negative message somewhere in it, and an angry one goes on being negative. Volumes
are heavy-tailed: a few topics have most of the messages. All of it follows from the seed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

START_S = 1_704_067_200.0  # Monday, 2024-01-01, midnight UTC
WEEK_S = 604_800.0
LOCALES = ("en", "zh")
APART_H = 35 * 24.0  # between two surges of one stream
LEAST_EXTRA = 10.0  # further negative conversations; fewer cannot be told from chance at one false alert in four weeks
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Company:
    """What is simulated.

    Attributes:
        seed: Everything follows from it.
        topics: Each exists in both locales.
        weeks: How long.
        conversations: On a mean day, all streams together.
        english: Part of them in English; the rest is Chinese.
        negative: Mean share of negative conversations, English and Chinese.
        tail: Standard deviation of the logarithm of the topics' volumes.
        wander: Standard deviation of the logarithm of a stream's level around its mean; correlated over six weeks.
        unevenness: Coefficient of variation of a stream's day for no reason.
        angry: Share of negative conversations that stay negative; they write some messages more.
    """

    seed: int = 0
    topics: int = 200
    weeks: int = 26
    conversations: float = 2500.0
    english: float = 0.6
    negative: tuple[float, float] = (0.10, 0.18)
    tail: float = 1.5
    wander: float = 0.10
    unevenness: float = 0.10
    angry: float = 0.3


@dataclass(frozen=True, slots=True)
class Surge:
    """One surge put in.

    Attributes:
        stream: Number of the stream: ``topic * 2 + locale``.
        begin: Seconds since 1970.
        end: The same.
        ratio: How many times the negative conversations (for ``growth``: all conversations) are as many, at its height.
        shape: ``sudden``; ``slow``, rising evenly over its whole length; ``growth``, all traffic and not the share.
        extra: Expected further negative conversations.
    """

    stream: int
    begin: float
    end: float
    ratio: float
    shape: str
    extra: float


@dataclass(frozen=True, slots=True)
class History:
    """All messages in order of time; ``n`` of them.

    Attributes:
        at: Seconds since 1970, ``(n,)`` float64, rising.
        stream: ``topic * 2 + locale``, ``(n,)`` int64.
        conversation: ``(n,)`` int64.
        negative: ``(n,)`` bool.
        first: Whether it is its conversation's first negative message, ``(n,)`` bool.
        surges: What was put in.
        rates: Mean negative conversations a day by stream, ``(streams,)``.
    """

    at: Floats
    stream: Ints
    conversation: Ints
    negative: NDArray[np.bool_]
    first: NDArray[np.bool_]
    surges: tuple[Surge, ...]
    rates: Floats


def simulate(company: Company, surges_wanted: int = 0, ratios: tuple[float, ...] = (3.0,), growth: int = 0) -> History:
    """Write a history.

    Args:
        company: What is simulated.
        surges_wanted: How many surges to put in, after six weeks, at random, five weeks apart in one stream; a third
            of them slow.
        ratios: Their sizes, at random.
        growth: How many of them are growth of all traffic instead.

    Returns:
        The history; the same for the same arguments.
    """
    rng = np.random.default_rng(company.seed)
    streams, hours = company.topics * 2, company.weeks * 168
    calm, sour = _rates(company, rng)  # conversations an hour, (streams, hours), without and with a negative message
    volumes = sour.mean(axis=1) * 24
    surges = _surges(rng, company, sour, surges_wanted, ratios, growth)
    for surge in surges:
        extra = _profile(surge, hours)
        sour[surge.stream] *= 1 + (surge.ratio - 1) * extra
        if surge.shape == "growth":
            calm[surge.stream] *= 1 + (surge.ratio - 1) * extra
    parts, number = [], 0
    for rates, is_sour in ((calm, False), (sour, True)):
        counts = rng.poisson(rates)
        cell = np.repeat(np.arange(streams * hours), counts.ravel())
        begun = START_S + ((cell % hours) + rng.random(cell.size)) * 3600.0
        parts.append(_messages(rng, company, cell // hours, begun, number, is_sour))
        number += cell.size
    at, stream, conversation, negative, first = (np.concatenate(both) for both in zip(*parts, strict=True))
    order = np.argsort(at, kind="stable")
    return History(at[order], stream[order], conversation[order], negative[order], first[order], surges, volumes)


def _rates(company: Company, rng: np.random.Generator) -> tuple[Floats, Floats]:
    streams, hours = company.topics * 2, company.weeks * 168
    volume = rng.lognormal(0.0, company.tail, company.topics)
    english = np.clip(rng.normal(company.english, 0.15, company.topics), 0.05, 0.95)
    daily = company.conversations * volume / volume.sum()
    base = np.stack([daily * english, daily * (1 - english)], axis=1).ravel() / 24
    locale = np.arange(streams) % 2
    share = np.array(company.negative)[locale] * rng.lognormal(-0.08, 0.4, streams)
    clock = np.arange(hours)
    shift = np.where(locale == 0, 14.0, 5.0) + rng.normal(0.0, 0.8, streams)  # busiest hour, UTC
    phase = 2 * np.pi * (clock[None, :] % 24 - shift[:, None]) / 24
    day = np.exp(1.3 * np.cos(phase) + 0.35 * np.cos(2 * phase))
    weekend = np.where(locale == 0, 0.55, 0.85) * rng.lognormal(0.0, 0.15, streams)
    season = day * np.where((clock // 24 % 7 >= 5)[None, :], weekend[:, None], 1.0)
    season /= season.mean(axis=1, keepdims=True)
    days = company.weeks * 7
    keep = np.exp(-1 / 42.0)
    steps = rng.normal(0.0, company.wander * np.sqrt(1 - keep * keep), (streams, days))
    steps[:, 0] = rng.normal(0.0, company.wander, streams)
    level = np.empty_like(steps)
    level[:, 0] = steps[:, 0]
    for number in range(1, days):
        level[:, number] = keep * level[:, number - 1] + steps[:, number]
    shape = 1 / company.unevenness**2
    level = np.exp(level) * rng.gamma(shape, 1 / shape, (streams, days))
    traffic = base[:, None] * season * np.repeat(level, 24, axis=1)
    # Nights are a little more negative than days, everywhere.
    souring = share[:, None] * (1 + 0.15 * np.cos(phase + np.pi))
    return traffic * (1 - souring), traffic * souring


def _surges(
    rng: np.random.Generator, company: Company, sour: Floats, wanted: int, ratios: tuple[float, ...], growth: int
) -> tuple[Surge, ...]:
    surges: list[Surge] = []
    taken: dict[int, list[tuple[float, float]]] = {}
    # Busy streams are drawn more often, or most draws would hold too few messages to tell anything.
    drawn = np.sqrt(sour.mean(axis=1))
    drawn /= drawn.sum()
    for _ in range(wanted * 100):
        if len(surges) >= wanted:
            break
        stream, ratio = int(rng.choice(sour.shape[0], p=drawn)), ratios[int(rng.integers(len(ratios)))]
        shape = "growth" if len(surges) < growth else ("sudden", "sudden", "slow")[len(surges) % 3]
        lasting = float(np.exp(rng.uniform(np.log(6.0), np.log(14 * 24.0))))  # hours
        begin = float(rng.uniform(6 * 168, company.weeks * 168 - lasting))
        if any(begin < last + APART_H and first - APART_H < begin + lasting for first, last in taken.get(stream, ())):
            continue
        surge = Surge(stream, START_S + begin * 3600, START_S + (begin + lasting) * 3600, ratio, shape, 0.0)
        extra = float((sour[stream] * (ratio - 1) * _profile(surge, sour.shape[1])).sum())
        if extra >= LEAST_EXTRA:
            surges.append(replace(surge, extra=extra))
            taken.setdefault(stream, []).append((begin, begin + lasting))
    return tuple(surges)


def _profile(surge: Surge, hours: int) -> Floats:
    """How much of the surge there is in each hour, 0 to 1."""
    begin, end = (surge.begin - START_S) / 3600, (surge.end - START_S) / 3600
    clock = np.arange(hours)
    inside: Floats = np.clip(np.minimum(clock + 1, end) - np.maximum(clock, begin), 0.0, 1.0)
    if surge.shape != "slow":
        return inside
    risen: Floats = inside * np.clip((clock + 0.5 - begin) / (end - begin), 0.0, 1.0)
    return risen


def _messages(
    rng: np.random.Generator, company: Company, stream: Ints, begun: Floats, number: int, sour: bool
) -> tuple[Floats, Ints, Ints, NDArray[np.bool_], NDArray[np.bool_]]:
    """Write each conversation's messages: how many, when, and which of them are negative."""
    size = 1 + rng.poisson(1.0, begun.size)
    angry = np.zeros(begun.size, bool)
    if sour:
        angry = rng.random(begun.size) < company.angry
        size = size + np.where(angry, rng.geometric(0.5, begun.size), 0)
    owner = np.repeat(np.arange(begun.size), size)
    place = np.arange(owner.size) - np.repeat(np.cumsum(size) - size, size)
    gaps = rng.exponential(240.0, owner.size)
    gaps[place == 0] = 0.0
    run = np.cumsum(gaps)
    at = begun[owner] + run - run[np.cumsum(size) - size][owner]
    if not sour:
        nothing = np.zeros(owner.size, bool)
        return at, stream[owner], owner + number, nothing, nothing
    turn = np.floor(rng.random(begun.size) * (1 + (size - 1) * 0.5)).astype(np.int64)
    first = place == turn[owner]
    negative = first | (angry[owner] & (place > turn[owner]))
    return at, stream[owner], owner + number, negative, first
