"""When in the week messages come: hour-of-week factors, and clocks that run fast in busy hours and slowly at night.

On such a clock, in "days" of which seven make a week, a stream's messages come evenly as long as nothing happens, so that the
charts need not know the hour. Factors are estimated down a ladder, each step shrunk towards the one above it as the mean of a
Gamma-Poisson posterior (Clayton & Kaldor 1987): flat week, hour of day and weekday of the locale, its 168 hours, how its
negative messages differ by hour of day, and at last the hour of day and the weekday of the single stream. Hours are those of
the company's time zone (``wall.py``). Knows nothing of levels, charts or alerts. Before it: counts. After it: ``stream.py``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from assistant.monitor.wall import Wall

WEEK_HOURS = 168
# Pseudo-messages in favour of the step above. Messages of one conversation come together, so these are generous.
HOUR_STRENGTH, CELL_STRENGTH, NEGATIVE_STRENGTH, STREAM_STRENGTH = 5.0, 40.0, 60.0, 60.0


def shrunk(counts: Sequence[float], expected: Sequence[float], strength: float) -> list[float]:
    """Estimate how counts differ from what was expected, shrunk towards "not at all".

    Args:
        counts: What was counted, any length.
        expected: What was expected there; the same length.
        strength: Pseudo-counts in favour of a ratio of 1.

    Returns:
        One positive ratio per count.
    """
    return [(count + strength) / (mean + strength) for count, mean in zip(counts, expected, strict=True)]


def locale_season(cells: Sequence[float]) -> list[float]:
    """Estimate the 168 hour-of-week factors of all of a locale's messages.

    Args:
        cells: Messages by hour of the week, 168, over whole weeks only.

    Returns:
        168 factors with mean 1; all 1 where nothing was counted.
    """
    total = sum(cells)
    hours = shrunk([sum(cells[hour::24]) for hour in range(24)], [total / 24] * 24, HOUR_STRENGTH)
    days = shrunk([sum(cells[24 * day : 24 * day + 24]) for day in range(7)], [total / 7] * 7, HOUR_STRENGTH)
    product = normalised([days[slot // 24] * hours[slot % 24] for slot in range(WEEK_HOURS)])
    single = shrunk(cells, [total / WEEK_HOURS * factor for factor in product], CELL_STRENGTH)
    return normalised([factor * ratio for factor, ratio in zip(product, single, strict=True)])


def negative_hours(season: Sequence[float], negatives: Sequence[float]) -> list[float]:
    """Estimate how a locale's negative messages differ from all its messages by hour of day.

    Args:
        season: The locale's 168 factors.
        negatives: Negative messages by hour of day, 24.

    Returns:
        24 ratios.
    """
    total = sum(negatives)
    return shrunk(negatives, [total * sum(season[hour::24]) / WEEK_HOURS for hour in range(24)], NEGATIVE_STRENGTH)


def own_hours(season: Sequence[float], counts: Sequence[float]) -> list[float]:
    """Estimate how one stream's hours of day differ from its locale's, smoothed over neighbours round the clock.

    Args:
        season: The locale's 168 factors.
        counts: The stream's messages by hour of day, 24.

    Returns:
        24 ratios.
    """
    total = sum(counts)
    expected = [total * sum(season[hour::24]) / WEEK_HOURS for hour in range(24)]
    near_counts = [counts[hour - 1] + counts[hour] + counts[(hour + 1) % 24] for hour in range(24)]
    near_expected = [expected[hour - 1] + expected[hour] + expected[(hour + 1) % 24] for hour in range(24)]
    return shrunk(near_counts, near_expected, STREAM_STRENGTH)


def own_days(season: Sequence[float], counts: Sequence[float]) -> list[float]:
    """Estimate how one stream's weekdays differ from its locale's.

    Args:
        season: The locale's 168 factors.
        counts: The stream's messages by weekday, 7, Monday first.

    Returns:
        7 ratios.
    """
    total = sum(counts)
    expected = [total * sum(season[24 * day : 24 * day + 24]) / WEEK_HOURS for day in range(7)]
    return shrunk(counts, expected, STREAM_STRENGTH)


def normalised(factors: Sequence[float]) -> list[float]:
    """Scale positive factors to a mean of 1."""
    scale = len(factors) / sum(factors)
    return [factor * scale for factor in factors]


class Clock:
    """Season time: how many average days have passed, given the hour-of-week factors."""

    __slots__ = ("factors", "sums", "wall")

    def __init__(self, factors: Sequence[float] | None = None, wall: Wall | None = None) -> None:
        """Prepare the sums over the week.

        Args:
            factors: 168 positive factors with mean 1; none for a flat week.
            wall: Whose hours the factors are of; UTC's where not given.
        """
        self.wall = wall or Wall()
        self.factors: list[float] = list(factors) if factors else [1.0] * WEEK_HOURS
        self.sums: list[float] = [0.0, *accumulate(self.factors)]
        # Exactly one week a week, so that a new table may take over at any Monday's midnight without a jump.
        self.sums[WEEK_HOURS] = float(WEEK_HOURS)

    def read(self, hours: float) -> float:
        """Tell the season time in days.

        Args:
            hours: From the wall.

        Returns:
            Days; rises steadily, by exactly 7 a week.
        """
        whole = int(hours)
        week, slot = divmod(whole, WEEK_HOURS)
        return (week * WEEK_HOURS + self.sums[slot] + self.factors[slot] * (hours - whole)) / 24.0

    def when(self, days: float) -> float:
        """Tell when the clock reads ``days``: the reverse of ``read``, to within rounding.

        Args:
            days: Season time.

        Returns:
            Hours as from the wall.
        """
        week, rest = divmod(days * 24.0, float(WEEK_HOURS))
        slot = min(bisect_right(self.sums, rest), WEEK_HOURS) - 1
        return week * WEEK_HOURS + slot + min(1.0, (rest - self.sums[slot]) / self.factors[slot])

    def read_at(self, at: float) -> float:
        """Tell the season time in days at a moment, in seconds since 1970."""
        return self.read(self.wall.hours(at))

    def moment(self, days: float) -> float:
        """Tell when the clock reads ``days``, in seconds since 1970: the reverse of ``read_at``."""
        return self.wall.at(self.when(days))
