"""When a cron expression comes next and came last, in a time zone, whatever its clocks do.

Knows the calendar only; ``schedule.py`` runs jobs at these times. APScheduler's ``CronTrigger`` would work them out too, but
version 3.11.3 leaves out the midnight after clocks went forward (its issues 529 and 606): ``0 0 * * *`` in Berlin does not come
on 2025-03-31, ``0 0 1 1 *`` in Sydney, asked for in June 2025, not before 2027.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from assistant.cron import Cron, read_cron

#: Days that are searched; the leap days around a turn of a century that has none are 8 years apart.
_DAYS = 366 * 9


def next_run(cron: str, timezone: str, now: datetime) -> datetime | None:
    """Work out when a cron expression comes next.

    As in cron(8), a time that clocks jump over comes later by as much as they jump, and one that happens twice counts once;
    where the expression names every hour, it follows the clock instead.

    Args:
        cron: Five fields; empty for never.
        timezone: The zone they are meant in.
        now: Timezone-aware.

    Returns:
        The first time after ``now``, in that zone, or ``None``.

    Raises:
        UsageError: If the expression cannot be read.
    """
    zone = ZoneInfo(timezone)
    for day in _days(cron, now.astimezone(zone).date() - timedelta(days=2), 1):
        coming = [at for at in _times(read_cron(cron), day, zone) if at > now]
        if coming:
            return min(coming).astimezone(zone)
    return None


def last_run(cron: str, timezone: str, now: datetime) -> datetime | None:
    """Work out when a cron expression came last.

    Args:
        cron: Five fields; empty for never.
        timezone: The zone they are meant in.
        now: Timezone-aware.

    Returns:
        The last time that is not after ``now``, in that zone, or ``None``.

    Raises:
        UsageError: If the expression cannot be read.
    """
    zone = ZoneInfo(timezone)
    for day in _days(cron, now.astimezone(zone).date(), -1):
        gone = [at for at in _times(read_cron(cron), day, zone) if at <= now]
        if gone:
            return max(gone).astimezone(zone)
    return None


def _days(cron: str, start: date, step: int) -> Iterator[date]:
    """Yield the days that the expression names, from a day on, forward or back."""
    if not cron:
        return
    fields = read_cron(cron)
    for number in range(_DAYS):
        day = start + timedelta(days=step * number)
        named, weekday = day.day in fields.days, day.isoweekday() % 7 in fields.weekdays
        if day.month in fields.months and (named or weekday if fields.either_day else named and weekday):
            yield day


def _times(cron: Cron, day: date, zone: ZoneInfo) -> set[datetime]:
    """Return the expression's times on a day, in UTC."""
    found = set()
    for hour in cron.hours:
        for minute in cron.minutes:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
            first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
            # Clocks that jump over a local time put the second before the first; clocks that repeat one, after.
            if not cron.every_hour or first <= second:
                found.add(first)
            if cron.every_hour and first < second:
                found.add(second)
    return found
