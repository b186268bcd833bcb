"""What the user sets for the detector: how many false alerts, how much volume, how fast the normal level is forgotten.

Knows no stream and no event. Every value is checked when it is set, and all faults are told at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from zoneinfo import ZoneInfo

from assistant.errors import SettingsError

# name: (least, most, whole number), both ends allowed
_RANGES: dict[str, tuple[float, float, bool]] = {
    "false_alerts": (1e-6, 1e4, False),
    "per_days": (1.0, 3660.0, False),
    "minimum": (2, 1_000_000, True),
    "half_life_days": (3.0, 3660.0, False),
    "slow_half_life_days": (7.0, 36_600.0, False),
    "warm_up_days": (1.0, 366.0, False),
    "repeat_hours": (0.0, 720.0, False),
    "quiet_days": (1.0, 366.0, False),
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The detector's settings.

    Attributes:
        false_alerts: How many alerts chance alone may raise in ``per_days``, over all topics, locales and charts together.
        per_days: The time that ``false_alerts`` is meant for, in days.
        minimum: Fewest negative conversations since the change began for which an alert is raised.
        half_life_days: After so many days a message weighs half in the normal level.
        slow_half_life_days: The same for the slow level that drifts are judged against.
        warm_up_days: A locale raises nothing in its first days; a topic younger than this is called new.
        repeat_hours: Further negative messages of one conversation in one topic within so many hours of the counted one are
            not counted again: one angry customer is one event. 0 counts every message.
        quiet_days: An open alert ends after so many days without a negative message, if the statistic has not ended it before:
            on a rare topic that alone would take months.
        timezone: Whose hours and weekdays the season is of; summer time does not shift it.
    """

    false_alerts: float = 1.0
    per_days: float = 28.0
    minimum: int = 5
    half_life_days: float = 56.0
    slow_half_life_days: float = 182.0
    warm_up_days: float = 14.0
    repeat_hours: float = 24.0
    quiet_days: float = 14.0
    timezone: str = "UTC"

    def __post_init__(self) -> None:
        """Check every value.

        Raises:
            SettingsError: Something is out of range; every fault is named.
        """
        faults = []
        for field in fields(self):
            if field.name not in _RANGES:
                continue
            value = getattr(self, field.name)
            least, most, whole = _RANGES[field.name]
            kind = "a whole number" if whole else "a number"
            right = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
            if not right or not math.isfinite(value) or not least <= value <= most:
                faults.append(f"{field.name}: {value!r} is not {kind} from {least:g} to {most:g}; default is {field.default!r}")
        if not faults and self.slow_half_life_days < 2 * self.half_life_days:
            faults.append(
                f"slow_half_life_days: {self.slow_half_life_days!r} must be at least twice half_life_days "
                f"({self.half_life_days!r}), or drifts are learned as normal; raise it"
            )
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError, TypeError):
            faults.append(f"timezone: {self.timezone!r} is no time zone; write it like 'Europe/Berlin'")
        if faults:
            raise SettingsError(faults, "monitor")

    @property
    def days_between(self) -> float:
        """Mean number of days between two false alerts."""
        return self.per_days / self.false_alerts
