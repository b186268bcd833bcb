"""How well the monitor would do in this company: surges of a chosen size are put into its own history, one at a time.

Found or not, how late, and how many alarms are false when nothing happens: measured on the company's own topics, hours and
volumes instead of promised. A surge is judged by the detector in the state it had before it, and only until it is found or a
day after it ended. Knows no store, no text and no page. Before it: events with their reading, ``backtest_history.py``.
After it: ``backtest_page.py``.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from assistant.errors import UsageError
from assistant.monitor.backtest_history import Line, Named, Played, Progress, Spell, alarms, clocks, lines_of, play, shuffle
from assistant.monitor.backtest_records import Backtest, Bar, Example, Surge
from assistant.monitor.detect import Detector
from assistant.monitor.events import Event
from assistant.monitor.limits import Limits
from assistant.monitor.season import Clock
from assistant.monitor.stream import DAY_S
from assistant.monitor.wall import Wall
from assistant.monitor.watching import Rules

if TYPE_CHECKING:
    import numpy as np

SHUFFLES = 8
#: A stream with fewer unhappy conversations in all of the history has no "usual" that could be multiplied.
LEAST_NEGATIVE = 10
_JUDGED_DAYS = 14.0
# What is usual is taken from four weeks around the surge, with two weeks' worth of the stream's average.
_NEAR_S, _AVERAGE_DAYS = 28 * DAY_S, 14.0
_TRIES = 200
_WEEK_S = 7 * DAY_S
_BAR_HOURS = (1, 2, 3, 6, 12, 24, 48, 96, 168)
_MOST_BARS = 72


@dataclass(frozen=True, slots=True)
class _Source:
    """A stream that surges are drawn for: its clock, its unhappy conversations, and between which moments one may begin."""

    stream: Named
    clock: Clock
    counted: tuple[float, ...]  # seconds since 1970, without those of open alerts
    spells: tuple[Spell, ...]
    born: float
    ended: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class _Plan:
    source: _Source
    begin: float
    end: float
    usual: float
    extras: tuple[float, ...]


def backtest(
    events: Sequence[Event],
    rules: Rules,
    *,
    times: float,
    hours: float,
    surges: int,
    seed: int,
    progress: Progress | None = None,
) -> Backtest:
    """Put surges into a history and see which are found.

    Args:
        events: Customers' messages, all there are.
        rules: How messages are judged, and the detector's settings.
        times: How many times as many unhappy conversations as usual; over 1.
        hours: How long each surge lasts.
        surges: How many, at least 1.
        seed: Of where and when, at least 0; the same seed gives the same backtest.
        progress: Told how far it is.

    Returns:
        What was found.

    Raises:
        UsageError: The size cannot be, or the history is too short, empty or without an unhappy customer.
    """
    import numpy as np

    _check_size(times, hours, surges, seed)
    tell = progress or (lambda stage, done, total: None)
    lines = lines_of(events, rules)
    limits, wall = rules.limits, Wall(rules.limits.timezone)
    _check_history(lines, limits, hours)
    rng = np.random.default_rng(seed)
    played = play(lines, limits, tell)
    sources, left_out = _sources(lines, played, limits, hours)
    plans = _draw(sources, rng, times, hours, surges)
    judged = []
    for number, plan in enumerate(plans):
        tell("surges", number, len(plans))
        judged.append(_judge(plan, lines, played, limits))
    tell("surges", len(plans), len(plans))
    warm = lines[0].at + (limits.warm_up_days + 1.0) * DAY_S
    false = 0
    for number in range(SHUFFLES):
        tell("shuffled histories", number, SHUFFLES)
        false += alarms(shuffle(lines, played.spells, rng, wall), limits, warm)
    tell("shuffled histories", SHUFFLES, SHUFFLES)
    counts = Counter(line.stream for line in lines if line.counted)
    return Backtest(
        since=_moment(lines[0].at),
        until=_moment(lines[-1].at),
        messages=len(lines),
        negative=sum(counts.values()),
        times=times,
        hours=hours,
        asked=surges,
        seed=seed,
        limits=limits,
        surges=tuple(judged),
        streams=len(sources),
        left_out=len(left_out),
        left_out_negative=sum(counts[stream] for stream in left_out),
        alerts=sum(len(own) for own in played.spells.values()),
        false_alarms=false,
        false_weeks=SHUFFLES * (lines[-1].at - warm) / _WEEK_S,
        example=_example(plans, judged, lines),
    )


def _check_size(times: float, hours: float, surges: int, seed: int) -> None:
    faults = []
    if not (math.isfinite(times) and times > 1.0):
        faults.append(f"times = {times!r}: a surge is more than 1 times what is usual; give 3, say")
    if not (math.isfinite(hours) and hours > 0.0):
        faults.append(f"hours = {hours!r}: a surge lasts longer than 0 hours; give 24, say")
    if surges < 1:
        faults.append(f"surges = {surges!r}: give at least 1")
    if seed < 0:
        faults.append(f"seed = {seed!r}: give 0 or more")
    if faults:
        raise UsageError("backtest: " + "; ".join(faults))


def _check_history(lines: Sequence[Line], limits: Limits, hours: float) -> None:
    look = "`deskhand monitor look` reads past conversations that were ingested"
    if not lines:
        raise UsageError(f"backtest: the store has no customer's message with a time and a reading; {look}")
    if not any(line.counted for line in lines):
        raise UsageError(
            f"backtest: none of {len(lines):,} messages counts as negative, so there is nothing to multiply; train a sentiment "
            f"adapter (`deskhand adapters train sentiment`), or lower monitor.negative_above; {look}"
        )
    days, need = (lines[-1].at - lines[0].at) / DAY_S, limits.warm_up_days + _JUDGED_DAYS + hours / 24.0 + 1.0
    if days < need:
        raise UsageError(
            f"backtest: the history has {days:.1f} days, {_moment(lines[0].at):%Y-%m-%d} to {_moment(lines[-1].at):%Y-%m-%d}, "
            f"and surges of {hours:g} hours need {math.ceil(need)}: {limits.warm_up_days:g} in which the monitor learns, "
            f"{_JUDGED_DAYS:g} to put surges into, the surge, and a day to find it; ingest older conversations, or wait"
        )


def _sources(lines: Sequence[Line], played: Played, limits: Limits, hours: float) -> tuple[list[_Source], list[Named]]:
    """Tell which streams surges can be drawn for, most unhappy conversations first, and which cannot."""
    counted: dict[Named, list[float]] = defaultdict(list)
    born: dict[Named, float] = {}
    opened: dict[str, float] = {}
    for line in lines:
        born.setdefault(line.stream, line.at)
        opened.setdefault(line.stream.locale, line.at)
        if line.counted:
            counted[line.stream].append(line.at)
    season = clocks(lines, Wall(limits.timezone))
    found, left_out = [], []
    high = lines[-1].at - hours * 3600.0 - DAY_S
    for stream in sorted(born, key=lambda one: (-len(counted[one]), one.topic, one.locale)):
        own = tuple(played.spells.get(stream, ()))
        usual = tuple(at for at in counted[stream] if not any(one.since <= at < one.closed for one in own))
        low = max(opened[stream.locale] + DAY_S, born[stream]) + limits.warm_up_days * DAY_S
        if len(usual) < LEAST_NEGATIVE or low >= high:
            left_out.append(stream)
        else:
            found.append(_Source(stream, season[stream], usual, own, born[stream], lines[-1].at, low, high))
    return found, left_out


def _draw(sources: Sequence[_Source], rng: np.random.Generator, times: float, hours: float, surges: int) -> list[_Plan]:
    if not sources:
        raise UsageError(
            f"backtest: no topic has the {LEAST_NEGATIVE} unhappy conversations outside of alerts, and the time behind it, that "
            "a surge is measured against; ingest older conversations, or wait"
        )
    total = sum(len(one.counted) for one in sources)
    weights = [len(one.counted) / total for one in sources]
    plans: list[_Plan] = []
    for _ in range(surges * _TRIES):
        source = sources[int(rng.choice(len(sources), p=weights))]
        begin = math.floor(rng.uniform(source.low, source.high))
        end = begin + hours * 3600.0
        if any(one.since < end + DAY_S and one.closed > begin for one in source.spells):
            continue
        usual = _usual(source, begin, end)
        mean = (times - 1.0) * usual
        # Poisson, given that there is at least one: the first comes at a moment drawn as such, the others after it.
        first = -math.log1p(rng.random() * math.expm1(-mean))
        count = 1 + int(rng.poisson(max(0.0, mean - first)))
        low, high = (source.clock.read_at(at) for at in (begin, end))
        places = [source.clock.moment(at) for at in rng.uniform(low, high, size=count).tolist()]
        plans.append(_Plan(source, begin, end, usual, tuple(sorted(min(max(at, begin), end) for at in places))))
        if len(plans) == surges:
            break
    if not plans:
        raise UsageError(
            f"backtest: an alert was open in every stretch of {hours:g} hours that was tried; shorten --hours, or raise fewer "
            "alerts by monitor.false_alerts"
        )
    return plans


def _usual(source: _Source, begin: float, end: float) -> float:
    """Estimate how many unhappy conversations the stream usually has in these hours, from the weeks around them."""
    read = source.clock.read_at

    def exposure(since: float, until: float) -> float:
        cut = [(max(since, one.since), min(until, one.closed)) for one in source.spells]
        shut = sum(read(b) - read(a) for a, b in cut if b > a)
        return read(until) - read(since) - shut

    average = len(source.counted) / max(exposure(source.born, source.ended), 1.0)
    since, until = max(source.born, begin - _NEAR_S), min(source.ended, end + _NEAR_S)
    near = bisect_left(source.counted, until) - bisect_left(source.counted, since)
    level = (near + average * _AVERAGE_DAYS) / (exposure(since, until) + _AVERAGE_DAYS)
    return level * (read(end) - read(begin))


def _judge(plan: _Plan, lines: Sequence[Line], played: Played, limits: Limits) -> Surge:
    stream, begin = plan.source.stream, plan.begin
    stand = played.stands[bisect_right(played.stands, begin, key=lambda one: one.at) - 1]
    last = bisect_right(lines, plan.end + DAY_S, key=lambda one: one.at)
    added = [Line(at, stream, f"backtest:{number}", True, True) for number, at in enumerate(plan.extras)]
    detector = Detector.restore(stand.state, limits)
    surge = Surge(stream.topic, stream.locale, _moment(begin), _moment(plan.end), plan.usual, len(added))
    unhappy = 0
    for line in sorted([*lines[stand.number : last], *added], key=lambda one: one.at):
        unhappy += line.stream == stream and line.counted and line.at >= begin
        for signal in detector.step(line.at, line.stream.topic, line.stream.locale, line.conversation, line.negative):
            at = signal.at.timestamp()
            if signal.kind != "recovered" and at >= begin and (signal.topic, signal.locale) == (stream.topic, stream.locale):
                found = (signal.at, (at - begin) / 60.0, unhappy)
                return Surge(surge.topic, surge.locale, surge.begin, surge.end, surge.usual, surge.extra, *found)
    return surge


def _example(plans: Sequence[_Plan], judged: Sequence[Surge], lines: Sequence[Line]) -> Example | None:
    """Take the surge found after the middle delay, or the largest if none was found, with the days around it."""
    if not plans:
        return None
    ranked = sorted((one.delay_minutes, number) for number, one in enumerate(judged) if one.delay_minutes is not None)
    number = ranked[len(ranked) // 2][1] if ranked else max(range(len(judged)), key=lambda one: (judged[one].extra, -one))
    plan = plans[number]
    length = (plan.end - plan.begin) / 3600.0
    around = max(72.0, 1.5 * length)
    wanted = (length + 2 * around) / _MOST_BARS
    step = next((one for one in _BAR_HOURS if one >= wanted), _BAR_HOURS[-1])
    size = step * 3600.0
    start = math.floor((plan.begin - around * 3600.0) / size) * size
    count = math.ceil((min(plan.end + around * 3600.0, lines[-1].at) - start) / size)
    own = Counter(int((one.at - start) // size) for one in lines if one.counted and one.stream == plan.source.stream)
    more = Counter(int((at - start) // size) for at in plan.extras)
    return Example(judged[number], tuple(Bar(_moment(start + at * size), own[at], more[at]) for at in range(count)), step)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
