"""What ``deskhand schedule`` does for the monitor: looks every so often, and the daily and weekly report at their times."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from assistant.monitor.report_records import Period, last_day, last_week
from ui.monitor_reports import write_report
from ui.monitoring import Watcher, make_senders, trained_thresholds

if TYPE_CHECKING:
    from datetime import tzinfo

    from assistant.settings import Settings
    from assistant.store import Store
    from finetune.schedule import Job


def report_jobs(settings: Settings, store: Store, place: Path, now: Callable[[], datetime]) -> list[Job]:
    """Make the jobs that write the reports.

    Args:
        settings: Sections ``monitor``, ``company`` and ``schedule`` count.
        store: The open store.
        place: The home folder; reports go to ``reports`` in it.
        now: The clock.

    Returns:
        Those with a time, named ``report-daily`` and ``report-weekly``.
    """
    from finetune.schedule import Job

    zone = ZoneInfo(settings.schedule.timezone)
    lang = "zh" if settings.company.languages[0] == "zh" else "en"

    def write(period: Callable[[datetime, tzinfo], Period], stopped: Callable[[], bool]) -> str:
        at = now()
        return f"wrote {write_report(store, settings, place, period(at, zone), 'html', lang, at)}"

    own = settings.monitor
    kinds = (("report-daily", own.daily, last_day), ("report-weekly", own.weekly, last_week))
    wanted = [kind for kind in kinds if own.enabled and kind[1]]
    return [Job(name, cron, partial(write, period), settings.schedule.timezone) for name, cron, period in wanted]


def watcher(settings: Settings, store: Store, place: Path) -> Watcher:
    """Make what looks after the store; past conversations are read by a process that serves.

    Args:
        settings: Sections ``monitor``, ``notify`` and ``schedule`` count.
        store: The open store.
        place: The home folder: messages are judged by the thresholds of its sentiment champion, as a serving process does.

    Returns:
        The watcher.

    Raises:
        SettingsError: A receiver cannot be used.
    """
    return Watcher(settings, store, make_senders(settings), thresholds=partial(trained_thresholds, place))
