"""When a cron expression comes next and came last, in a time zone, whatever its clocks do.

``cronsim`` works the times out as Debian's cron does: a time that clocks jump over comes when they have jumped, one that happens
twice counts once. APScheduler's ``CronTrigger`` would too, but version 3.11.3 leaves out the midnight after clocks went forward
(its issues 529 and 606). Knows the calendar only; ``schedule.py`` runs jobs at these times.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from assistant.cron import check_cron


def next_run(cron: str, timezone: str, now: datetime) -> datetime | None:
    """Work out when a cron expression comes next.

    Args:
        cron: Five fields; empty for never.
        timezone: The zone they are meant in.
        now: Timezone-aware.

    Returns:
        The first time after ``now``, in that zone, or ``None``.

    Raises:
        UsageError: If the expression cannot be read.
    """
    return next((at for at in _times(cron, timezone, now, reverse=False) if at > now), None)


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
    start = now + timedelta(minutes=2)  # it looks at whole minutes, and the present one counts
    return next((at for at in _times(cron, timezone, start, reverse=True) if at <= now), None)


def _times(cron: str, timezone: str, start: datetime, *, reverse: bool) -> Iterator[datetime]:
    if cron.strip():
        check_cron(cron)
        from cronsim import CronSim

        yield from CronSim(cron, start.astimezone(ZoneInfo(timezone)), reverse=reverse)
