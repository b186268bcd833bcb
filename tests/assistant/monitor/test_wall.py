from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest

from assistant.monitor.season import Clock
from assistant.monitor.wall import Wall

DAY_S = 86_400.0
BERLIN = "Europe/Berlin"


def seconds(written: str, zone: str = "UTC", fold: int = 0) -> float:
    return datetime.fromisoformat(written).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def test_the_week_begins_on_monday_at_midnight_of_the_zone() -> None:
    assert Wall().hours(seconds("2024-01-01T00:00")) % 168 == 0
    assert Wall().hours(seconds("2024-01-07T23:30")) % 168 == 167.5
    for zone in (BERLIN, "Asia/Shanghai", "America/New_York", "Asia/Kathmandu"):
        for written in ("2024-01-01T00:00", "2024-07-01T00:00"):
            assert Wall(zone).hours(seconds(written, zone)) % 168 == 0, (zone, written)


def test_nine_in_the_morning_is_nine_in_winter_and_summer() -> None:
    wall = Wall(BERLIN)
    days = [datetime(2026, 1, 1, 9, tzinfo=ZoneInfo(BERLIN)) + timedelta(days=day) for day in range(500)]
    assert {wall.hours(at.timestamp()) % 24 for at in days} == {9.0}
    assert len({Wall().hours(at.timestamp()) % 24 for at in days}) == 2, "UTC shifts"


def test_a_skipped_hour_is_jumped_over_and_one_that_is_there_twice_stands_still() -> None:
    wall = Wall(BERLIN)
    spring = seconds("2026-03-29T01:00")
    assert wall.hours(spring) - wall.hours(spring - 60) == pytest.approx(1 + 1 / 60)
    autumn = seconds("2026-10-25T01:00")
    for minutes in (0, 30, 59):
        assert wall.hours(autumn + 60 * minutes) == wall.hours(autumn)
    assert wall.hours(autumn + 7200) - wall.hours(autumn) == pytest.approx(1.0)


@pytest.mark.parametrize("zone", ["UTC", BERLIN, "America/Santiago", "Australia/Lord_Howe", "Atlantic/Azores", "Pacific/Apia"])
def test_the_clock_never_runs_backwards_and_can_be_read_backwards(zone: str) -> None:
    wall = Wall(zone)
    moments = [seconds("2010-01-01T00:00") + 1800.0 * step + 7.0 for step in range(0, 48 * 365 * 3)]
    read = [wall.hours(at) for at in moments]
    assert all(early <= late for early, late in pairwise(read))
    fresh = Wall(zone)  # however it came there
    assert [fresh.hours(at) for at in reversed(moments[::997])] == list(reversed(read[::997]))
    for at, hours in list(zip(moments, read, strict=True))[::97]:
        assert wall.at(hours) <= at + 1e-3
        assert wall.hours(wall.at(hours)) == pytest.approx(hours, abs=1e-6)


@pytest.mark.parametrize("zone", ["UTC", BERLIN, "America/Santiago", "Atlantic/Azores"])
def test_every_day_begins_once_and_at_its_first_moment(zone: str) -> None:
    wall, first = Wall(zone), Wall(zone).day(seconds("2024-01-01T00:00", zone))
    assert first % 7 == 0
    for day in range(first, first + 800):
        begin, end = wall.midnight(day), wall.midnight(day + 1)
        assert 0.9 * DAY_S < end - begin < 1.1 * DAY_S
        assert wall.day(begin) == wall.day(end - 1.0) == day
        later = begin + 3601.0  # where 23 o'clock comes twice, the second one stands still at midnight
        assert datetime.fromtimestamp(later, ZoneInfo(zone)).date() == (datetime(2024, 1, 1) + timedelta(days=day - first)).date()


def test_a_day_moves_to_another_season_at_the_same_time_of_day() -> None:
    wall = Wall(BERLIN)
    assert wall.moved(seconds("2026-03-25T09:30", BERLIN), 7) == seconds("2026-04-01T09:30", BERLIN)
    assert Wall().moved(12.5, 3) == 12.5 + 3 * DAY_S


def test_moments_of_other_centuries_are_read_too() -> None:
    wall = Wall(BERLIN)
    for year in (1, 1800, 2399, 2400, 5000, 9999):
        at = (datetime(year, 6, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
        assert abs(wall.hours(at) - Wall().hours(at)) <= 2.0
    assert wall.at(wall.hours(1e13)) == pytest.approx(1e13)


def test_season_time_passes_evenly_through_a_change_of_the_clock() -> None:
    factors = [2.0 if 8 <= slot % 24 < 20 else 0.0001 for slot in range(168)]
    factors = [factor * 168 / sum(factors) for factor in factors]
    clock = Clock(factors, Wall(BERLIN))
    for day in range(1, 30):  # the busy hours of the days around 29 March
        noon = seconds(f"2026-03-{day:02d}T08:00", BERLIN)
        assert clock.read_at(noon + 12 * 3600) - clock.read_at(noon) == pytest.approx(1.0, abs=0.01)
    assert clock.moment(clock.read_at(noon)) == pytest.approx(noon, abs=1e-3)
