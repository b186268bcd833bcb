from __future__ import annotations

import pytest

from assistant.errors import SettingsError
from assistant.monitor.limits import Limits


def test_all_wrong_settings_are_told_at_once_each_with_its_range() -> None:
    with pytest.raises(SettingsError) as told:
        Limits(false_alerts=0, minimum=2.5, half_life_days=float("nan"), warm_up_days=True)  # type: ignore[arg-type]
    assert len(told.value.faults) == 4
    assert "false_alerts: 0 is not a number from 1e-06 to 10000" in str(told.value)


def test_a_slow_level_that_is_not_slow_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least twice"):
        Limits(half_life_days=100, slow_half_life_days=150)


def test_an_unknown_time_zone_is_refused_with_an_example() -> None:
    with pytest.raises(SettingsError, match="timezone: 'Europe/Nowhere' is no time zone; write it like 'Europe/Berlin'"):
        Limits(timezone="Europe/Nowhere")


def test_one_false_alert_in_four_weeks_is_the_default() -> None:
    assert Limits().days_between == 28
    assert Limits(false_alerts=2, per_days=7).days_between == 3.5
