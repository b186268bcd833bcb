"""Cron expressions are read as crontab(5) means them, and what cannot be meant is refused with the mend."""

from __future__ import annotations

import pytest

from assistant.cron import read_cron
from assistant.errors import UsageError


def test_lists_ranges_steps_and_names_are_understood() -> None:
    cron = read_cron("*/20 1-3,22 1,15 jan-MAR/2 *")
    assert (cron.minutes, cron.hours, cron.days, cron.months) == ((0, 20, 40), (1, 2, 3, 22), (1, 15), (1, 3))
    assert cron.weekdays == tuple(range(7)) and not cron.either_day
    assert read_cron("50/5 * * * *").minutes == (50, 55)
    assert read_cron("0 * * * *").every_hour and not cron.every_hour


@pytest.mark.parametrize(
    ("field", "days"),
    [("0", (0,)), ("7", (0,)), ("5-7", (0, 5, 6)), ("sun-tue", (0, 1, 2)), ("mon,FRI", (1, 5)), ("*/3", (0, 3, 6))],
)
def test_weekdays_count_from_sunday(field: str, days: tuple[int, ...]) -> None:
    assert read_cron(f"0 3 * * {field}").weekdays == days


def test_either_day_field_suffices_where_both_name_days() -> None:
    assert read_cron("0 3 13 * fri").either_day
    assert not read_cron("0 3 */2 * fri").either_day


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0 3 * *", "4 fields.*five"),
        ("@daily", "1 fields.*0 3"),
        ("60 3 * * *", "minute '60' is not between 0 and 59"),
        ("0 -1 * * *", "hour '-1' cannot be read"),
        ("0 3 * * funday", "day of week 'funday' .* or one of sun, mon"),
        ("0 5-3 * * *", "ends before it begins.*two ranges"),
        ("*/0 * * * *", "step of 0"),
        ("0,, 3 * * *", "minute '' cannot be read"),
        ("0 3 30 feb *", "no month of 'feb' has a day 30"),
        ("٣ 3 * * *", "minute '٣' is not between"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_mend(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read_cron(text)


def test_leap_day_comes() -> None:
    assert read_cron("0 3 29 2 *").days == (29,)
