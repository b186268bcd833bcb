"""The backtest: strong surges are found, weak ones not, chance follows from the seed; nonsense is refused with the mend."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from assistant.errors import UsageError
from assistant.monitor.backtest import backtest
from assistant.monitor.backtest_history import Named, Spell, clocks, lines_of, play, shuffle
from assistant.monitor.backtest_page import duration, hint, lead, page
from assistant.monitor.backtest_records import Backtest
from assistant.monitor.events import Event
from assistant.monitor.wall import Wall
from assistant.monitor.watching import Rules

START = datetime(2025, 1, 6, 7, 30, tzinfo=UTC)  # a Monday, inside a day
RULES = Rules()
WEEKS = 9
DAY_S = 86_400


def history(seed: int = 3, days: int = 7 * WEEKS, sour: float = 0.25, bad: range = range(0)) -> list[Event]:
    """Three topics, 30 messages a working day in all, from 8 to 18 o'clock; on bad days most of ``delivery`` is negative."""
    chance = random.Random(seed)
    found = []
    for day in range(days):
        for topic, rate in (("delivery", 16), ("refund", 9), ("size_advice", 5)):
            for number in range(rate if day % 7 < 5 else rate // 3):
                at = START.replace(hour=8, minute=0) + timedelta(days=day, hours=chance.uniform(0, 10))
                share = 0.95 if day in bad and topic == "delivery" else sour
                negative = 0.9 if chance.random() < share else 0.1
                found.append(Event(f"{topic}-{day}-{number}", f"c-{topic}-{day}-{number}", at, topic, "en", negative=negative))
    return found


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return history()


@pytest.fixture(scope="module")
def strong(events: list[Event]) -> Backtest:
    return backtest(events, RULES, times=9.0, hours=48.0, surges=12, seed=7)


def test_strong_surges_are_found_after_their_beginning_and_before_they_are_long_over(strong: Backtest) -> None:
    assert len(strong.surges) == strong.asked == 12 and strong.found >= 10
    for one in strong.surges:
        assert one.end - one.begin == timedelta(hours=48) and one.extra >= 1
        assert one.begin > START + timedelta(days=RULES.limits.warm_up_days)
        if one.found_at is not None and one.delay_minutes is not None and one.delay_messages is not None:
            assert one.begin < one.found_at <= one.end + timedelta(days=1)
            assert one.delay_minutes == pytest.approx((one.found_at - one.begin) / timedelta(minutes=1))
            assert RULES.limits.minimum <= one.delay_messages
    assert strong.median_minutes is not None and 0 < strong.median_minutes < 72 * 60
    assert strong.share.low <= strong.found / 12 <= strong.share.high


def test_a_surge_has_as_many_more_as_was_asked_for(strong: Backtest) -> None:
    wanted = sum(8 * one.usual for one in strong.surges)
    assert abs(sum(one.extra for one in strong.surges) - wanted) < 4 * math.sqrt(wanted)
    usual = {topic: [one.usual for one in strong.surges if one.topic == topic] for topic in ("delivery", "size_advice")}
    # A quarter of 16 messages on each of two working days; none on many weekends.
    assert all(0.5 < value < 10.5 for value in usual["delivery"])


def test_small_surges_are_mostly_missed_and_the_reader_is_told_what_to_try(events: list[Event], strong: Backtest) -> None:
    weak = backtest(events, RULES, times=1.2, hours=6.0, surges=8, seed=7)
    assert weak.found <= 1
    assert "small" in hint(weak) and "try --times " in hint(weak)
    rarer = replace(weak, surges=tuple(replace(one, usual=0.02) for one in weak.surges))
    assert "try --times 19 --hours 168." in hint(rarer)  # neither alone is what the command takes
    assert "try" not in hint(replace(weak, surges=tuple(replace(one, usual=1e-5) for one in weak.surges)))
    assert hint(strong) == ""


def test_the_same_seed_gives_the_same_backtest_and_another_one_another(events: list[Event], strong: Backtest) -> None:
    again = list(events)
    random.Random(1).shuffle(again)  # nor does the order in which they are told matter, nor being told twice
    assert backtest([*again, *events[:50]], RULES, times=9.0, hours=48.0, surges=12, seed=7) == strong
    other = backtest(events, RULES, times=9.0, hours=48.0, surges=12, seed=8)
    assert [one.begin for one in other.surges] != [one.begin for one in strong.surges]


def test_surges_come_at_the_hours_at_which_the_topic_is_alive(strong: Backtest, events: list[Event]) -> None:
    assert strong.example is not None
    hours: Counter[int] = Counter()
    for bar in strong.example.bars:
        hours[bar.start.hour] += bar.extra
    assert sum(hours.values()) == strong.example.surge.extra
    step = strong.example.step_hours
    night = sum(count for hour, count in hours.items() if hour + step <= 6 or hour >= 20)
    assert night <= 0.25 * sum(hours.values())
    clock = clocks(lines_of(events, RULES), Wall())[Named("delivery", "en")]
    assert clock.factors[12] > 4 * clock.factors[2]  # Monday noon against Monday night
    assert clock.factors[12] > 1.5 * clock.factors[5 * 24 + 12]  # against Saturday


def test_no_surge_is_put_where_an_alert_is_open_anyway(events: list[Event]) -> None:
    sour = history(bad=range(38, 39))
    lines = lines_of(sour, RULES)
    own = play(lines, RULES.limits, lambda *_: None).spells[Named("delivery", "en")]
    assert own
    found = backtest(sour, RULES, times=6.0, hours=24.0, surges=25, seed=2)
    assert found.alerts >= 1
    for one in found.surges:
        if one.topic == "delivery":
            begin, end = one.begin.timestamp(), (one.end + timedelta(days=1)).timestamp()
            assert not any(spell.since < end and spell.closed > begin for spell in own)


def test_a_shuffled_history_keeps_hours_weekdays_and_edges_and_moves_the_rest(events: list[Event]) -> None:
    lines = lines_of(events, RULES)
    mixed = shuffle(lines, {}, np.random.default_rng(5), Wall())
    assert [one.at for one in mixed] == sorted(one.at for one in mixed)

    def week(at: float) -> float:
        return round(at % (7 * DAY_S), 3)

    assert Counter((one.stream, one.conversation, week(one.at)) for one in mixed) == Counter(
        (one.stream, one.conversation, week(one.at)) for one in lines
    )
    was = {one.conversation: one.at for one in lines}
    moved = sum(one.at != was[one.conversation] for one in mixed)
    assert moved > len(lines) / 2
    first, last = lines[0].at // DAY_S, lines[-1].at // DAY_S
    assert all(one.at == was[one.conversation] for one in mixed if one.at // DAY_S in (first, last))


def test_days_of_a_real_surge_are_no_example_of_quiet_ones_but_days_of_a_false_alarm_are() -> None:
    lines = lines_of(history(bad=range(38, 39)), RULES)
    since = START.timestamp() + 38 * DAY_S
    stream = Named("delivery", "en")
    mixed = shuffle(lines, {stream: [Spell(since, since, since + 3600)]}, np.random.default_rng(5), Wall())
    bad = {one.conversation for one in lines if one.stream == stream and one.at // DAY_S == since // DAY_S}
    assert bad and not bad & {one.conversation for one in mixed}
    others = {one.conversation for one in lines if one.stream != stream}
    assert others <= {one.conversation for one in mixed}
    days = Counter(int(one.at // DAY_S) for one in mixed if one.stream == stream and one.at // DAY_S % 7 == since // DAY_S % 7)
    assert set(days.values()) == {16}  # every such weekday has its messages
    chance = Spell(since, since, since + 3600, chance=1e-4)
    assert bad <= {one.conversation for one in shuffle(lines, {stream: [chance]}, np.random.default_rng(5), Wall())}


def test_the_history_tells_a_real_surge_from_chance() -> None:
    own = play(lines_of(history(bad=range(36, 40)), RULES), RULES.limits, lambda *_: None).spells[Named("delivery", "en")]
    since = START.timestamp() + 36 * DAY_S
    surge = next(one for one in own if since < one.opened < since + 2 * DAY_S)
    assert surge.chance < 1e-6 and surge.since < surge.opened < surge.closed


def test_false_alarms_are_counted_over_weeks_after_the_warm_up(strong: Backtest) -> None:
    length = (strong.until - strong.since) / timedelta(weeks=1)
    assert strong.false_weeks == pytest.approx(8 * (length - 15 / 7))
    assert strong.false_interval.low <= strong.false_a_week <= strong.false_interval.high
    assert strong.allowed_a_week == pytest.approx(0.25)
    none = replace(strong, false_alarms=0, false_weeks=10.0)
    assert none.false_interval.low == 0.0
    assert none.false_interval.high == pytest.approx(0.3689, abs=1e-4)  # -ln(0.025) / 10


def test_a_conversation_that_goes_on_complaining_is_one_unhappy_customer() -> None:
    event = Event("1", "c1", START, "delivery", "en", negative=0.9)
    told = [replace(event, id=str(hour), at=START + timedelta(hours=hour)) for hour in (0, 1, 5, 30)]
    assert [one.counted for one in lines_of(told, RULES)] == [True, False, False, True]


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ({"times": 1.0}, "times = 1.0"),
        ({"times": math.nan}, "times = nan"),
        ({"hours": 0.0}, "hours = 0.0"),
        ({"hours": math.inf}, "hours = inf"),
        ({"surges": 0}, "surges = 0"),
        ({"seed": -1}, "seed = -1"),
        ({"hours": 24.0 * 60}, "history has 62.* days.* need 89"),
    ],
)
def test_a_size_that_cannot_be_is_refused(events: list[Event], size: dict[str, float], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        backtest(events, RULES, **{"times": 3.0, "hours": 24.0, "surges": 4, "seed": 1, **size})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ([], "monitor look"),
        (history(days=20), "has 19.* days, 2025-01-06 to 2025-01-25, and surges of 24 hours need 30"),
        (history(sour=-1.0), "none of .* messages counts as negative"),
        (history(sour=0.002), "no topic has the 10 unhappy conversations"),
        ([replace(one, at=one.at.replace(tzinfo=None)) for one in history(days=1)], "no zone"),
    ],
)
def test_a_history_that_says_nothing_is_refused_with_the_mend(told: list[Event], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        backtest(told, RULES, times=3.0, hours=24.0, surges=4, seed=1)


def test_topics_with_too_few_unhappy_customers_are_left_out_and_counted(events: list[Event]) -> None:
    rare = [Event(f"r{n}", f"r{n}", START + timedelta(days=6 * n), "rare", "zh", negative=0.9) for n in range(9)]
    found = backtest([*events, *rare], RULES, times=4.0, hours=24.0, surges=6, seed=1)
    assert (found.streams, found.left_out, found.left_out_negative) == (3, 1, 9)
    assert "1 further topic with 9 unhappy customers in all was left out" in page(found, zone=UTC, made_at=START)


class Outline(HTMLParser):
    """What a page is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.labels: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        for name, value in attrs:
            assert name not in ("src", "onerror") and not (name == "href" and not (value or "").startswith("#"))
            if tag == "svg" and name == "aria-label":
                self.labels.append(value or "")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone_says_the_figures_and_describes_its_plots(strong: Backtest) -> None:
    made = datetime(2025, 6, 1, tzinfo=UTC)
    written = page(strong, zone=ZoneInfo("Europe/Berlin"), made_at=made, company="Lumi")
    assert page(strong, zone=ZoneInfo("Europe/Berlin"), made_at=made, company="Lumi") == written
    outline = Outline()
    outline.feed(written)
    assert outline.tags["script"] == 0 and outline.tags["svg"] == 4 and outline.tags["h1"] == 1
    assert outline.labels[0].startswith(f"Delay of each surge: {strong.found} surges found and {12 - strong.found} not")
    assert all("found 2025-" in label for label in outline.labels[2:])
    assert lead(strong) in outline.text and f"{strong.found} of 12" in outline.text
    assert outline.text.count("size advice") == sum(one.topic == "size_advice" for one in strong.surges)
    first = min(strong.surges, key=lambda one: one.begin)
    assert f"{first.begin.astimezone(ZoneInfo('Europe/Berlin')):%Y-%m-%d %H:%M}" in outline.text


def test_a_topics_name_cannot_harm_the_page(strong: Backtest) -> None:
    hostile = '<img src=x onerror=alert(1)>{{ 7*7 }}\x07"'
    surges = tuple(replace(one, topic=hostile, locale=hostile) for one in strong.surges)
    assert strong.example is not None
    example = replace(strong.example, surge=surges[0])
    written = page(replace(strong, surges=surges, example=example), zone=UTC, made_at=START, company=hostile)
    outline = Outline()
    outline.feed(written)
    assert outline.tags["img"] == 0 and "{{ 7*7 }}" in outline.text and "\x07" not in written


@pytest.mark.parametrize("found", [0, 1])
def test_a_page_without_a_surge_found_says_so(strong: Backtest, found: int) -> None:
    missed = tuple(replace(one, found_at=None, delay_minutes=None, delay_messages=None) for one in strong.surges)
    kept = next(one for one in strong.surges if one.found_at)
    written = page(replace(strong, surges=(*missed, *[kept] * found)), zone=UTC, made_at=START)
    assert ("none was found" in written) == (found == 0)
    assert f"{found} of {12 + found} surges {'was' if found else 'were'} found" in written


@pytest.mark.parametrize(
    ("minutes", "said"),
    [(None, "–"), (1.0, "1 minute"), (45.04, "45 minutes"), (210.0, "3.5 hours"), (2880.0, "2 days"), (1440.0 * 30, "30 days")],
)
def test_lengths_of_time_are_written_as_people_say_them(minutes: float | None, said: str) -> None:
    assert duration(minutes) == said
