from __future__ import annotations

import math

import pytest

from assistant.monitor.season import Clock, locale_season, negative_hours, own_days, own_hours, shrunk


def planted() -> list[float]:
    hours = [math.exp(math.cos(2 * math.pi * (hour - 14) / 24)) for hour in range(24)]
    factors = [hours[slot % 24] * (0.5 if slot // 24 >= 5 else 1.2) for slot in range(168)]
    return [factor * 168 / sum(factors) for factor in factors]


def test_many_messages_show_the_season_and_few_show_nothing() -> None:
    truth = planted()
    found = locale_season([1000 * factor for factor in truth])
    assert max(abs(a / b - 1) for a, b in zip(found, truth, strict=True)) < 0.01
    assert locale_season([0.0] * 168) == [1.0] * 168
    one = [0.0] * 168
    one[30] = 1.0
    assert max(locale_season(one)) < 1.6


def test_a_stream_with_few_messages_keeps_its_locales_season_and_one_with_many_has_its_own() -> None:
    season = locale_season([1000 * factor for factor in planted()])
    night = [0.0] * 24
    night[3] = 2.0
    assert max(own_hours(season, night)) < 1.1
    night[3] = 100_000.0
    ratios = own_hours(season, night)
    assert ratios[3] > 5 > 0.2 > ratios[12]
    assert own_days(season, [0, 0, 0, 0, 0, 50_000, 0])[5] > 5
    assert max(own_days(season, [0, 0, 0, 0, 0, 1, 0])) < 1.1


def test_negative_messages_may_have_hours_of_their_own() -> None:
    ratios = negative_hours([1.0] * 168, [2000.0 if hour < 6 else 1000.0 for hour in range(24)])
    assert ratios[2] / ratios[12] == pytest.approx(2.0, rel=0.1)
    assert negative_hours([1.0] * 168, [0.0] * 24) == [1.0] * 24


def test_shrinkage_is_the_mean_of_a_gamma_poisson_posterior() -> None:
    assert shrunk([10.0], [5.0], 5.0) == [1.5]


def test_the_clock_gains_seven_days_a_week_runs_fast_when_busy_and_can_be_read_backwards() -> None:
    clock = Clock(planted())
    for hours in (0.0, 13.7, 100.25, 167.999):
        assert clock.read(hours + 168) - clock.read(hours) == pytest.approx(7.0)
        assert clock.when(clock.read(hours + 5040)) == pytest.approx(hours + 5040, abs=1e-6)
    assert clock.read(15) - clock.read(14) > 5 * (clock.read(4) - clock.read(3)) > 0


def test_two_tables_agree_at_every_mondays_midnight() -> None:
    flat, other = Clock(), Clock(planted())
    assert [flat.read(168.0 * week) for week in range(2800, 2805)] == [other.read(168.0 * week) for week in range(2800, 2805)]
