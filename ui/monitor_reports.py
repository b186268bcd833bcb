"""``monitor report`` and ``monitor backtest``: files in ``reports`` of the home, or wherever they are wanted.

Opens the store, settles the period, hands events to ``assistant/monitor`` and writes what comes back, whole or not at all. Loads
no model: messages were read before, and are judged by the thresholds of the home's sentiment champion. ``write_report`` is called
by schedulers too.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from zoneinfo import ZoneInfo

from assistant.errors import DeskhandError, UsageError
from assistant.monitor.ledger import Ledger, Place
from assistant.monitor.report_records import Period, ReportData, last_week
from assistant.settings import home
from ui import terminal
from ui.monitoring import rules, trained_thresholds
from ui.wiring import connect, make_home, read_settings

if TYPE_CHECKING:
    from assistant.monitor.backtest_records import Backtest
    from assistant.monitor.report import Form
    from assistant.settings import Settings
    from assistant.store import Store

REPORTS = "reports"
_STDOUT = Path("-")
_WEEK = timedelta(weeks=1)
_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LOOK = "`deskhand ingest PATH...` brings conversations in, `deskhand monitor look` reads them"


@dataclass(frozen=True, slots=True)
class Chosen:
    """The period of a report, and what the reader should know of the choice; ``""`` for nothing."""

    period: Period
    note: str = ""


def run_report(*, since: str | None, until: str | None, format: str, lang: str, out: Path | None, as_json: bool) -> None:
    """Write the report of a period.

    Args:
        since: First day or moment; without a zone it is of ``schedule.timezone``.
        until: End, not part of it.
        format: ``html``, ``pdf``, ``json`` or ``csv``.
        lang: ``en`` or ``zh``.
        out: The file; ``-`` for stdout; ``None`` for a name in the home's ``reports``.
        as_json: Whether to print one object.

    Raises:
        UsageError: If format, language or period cannot be.
        DeskhandError: If the file cannot be made or written.
    """
    _check(format, lang)
    _check_out(out, as_json=as_json)
    place = home()
    settings = read_settings(place)
    zone, now = ZoneInfo(settings.schedule.timezone), datetime.now(UTC)
    store = connect(settings, place)
    try:
        chosen = choose_period(store.monitor, since, until, now=now, zone=zone)
        data = _data(store, settings, place, chosen.period, now)
    finally:
        store.close()
    path = _put(_render(data, format, lang), out, place, _report_name(data.period, format, lang))
    if chosen.note:
        terminal.note(chosen.note)
    if as_json:
        ends = {"since": data.period.since.isoformat(), "until": data.period.until.isoformat()}
        figures = {"messages": data.now.messages, "negative": data.now.negative, "alerts": len(data.alerts)}
        terminal.say_json({"path": str(path), "period": ends, "format": format, "lang": lang, **figures, "note": chosen.note})
    elif path is not None:
        terminal.say(str(path))


def run_backtest(*, times: float, hours: float, surges: int, seed: int, out: Path | None, as_json: bool) -> None:
    """Put surges into the company's own history and say how many are found.

    Args:
        times: How many times as many unhappy customers as usual.
        hours: How long each surge lasts.
        surges: How many.
        seed: Of where and when.
        out: The page; ``-`` for stdout; ``None`` for a name in the home's ``reports``.
        as_json: Whether to print one object.

    Raises:
        UsageError: If the size cannot be, or the history is too short.
        DeskhandError: If the file cannot be written.
    """
    from assistant.monitor.backtest import backtest
    from assistant.monitor.backtest_page import hint, lead, page

    _check_out(out, as_json=as_json)
    place = home()
    settings = read_settings(place)
    now = datetime.now(UTC)
    with terminal.Steps(quiet=as_json) as steps:
        steps.line("reading what customers wrote")
        store = connect(settings, place)
        try:
            events = list(store.monitor.stream(until=now))
        finally:
            store.close()
        judged = rules(settings, trained_thresholds(place))
        found = backtest(events, judged, times=times, hours=hours, surges=surges, seed=seed, progress=steps)
    zone, company = ZoneInfo(settings.schedule.timezone), settings.company.name
    written = page(found, zone=zone, made_at=now, company=company)
    path = _put(written.encode(), out, place, f"backtest-{times:g}x-{hours:g}h-seed{seed}.html")
    if as_json:
        terminal.say_json({"path": str(path), **_figures(found), "hint": hint(found)})
    elif path is not None:
        terminal.say(lead(found))
        if hint(found):
            terminal.say(hint(found))
        terminal.say(str(path))


def write_report(store: Store, settings: Settings, home: Path, period: Period, format: str, lang: str, now: datetime) -> Path:
    """Write the report of a period into the home's ``reports``.

    Args:
        store: The open store.
        settings: Sections ``monitor``, ``company`` and ``schedule`` count.
        home: ``$DESKHAND_HOME``.
        period: What is reported.
        format: ``html``, ``pdf``, ``json`` or ``csv``.
        lang: ``en`` or ``zh``.
        now: When it is made, timezone-aware.

    Returns:
        The file; one of the same period, format and language is replaced.

    Raises:
        UsageError: If format or language is not known.
        DeskhandError: If the file cannot be made or written.
    """
    _check(format, lang)
    data = _data(store, settings, home, period, now)
    path = home / REPORTS / _report_name(data.period, format, lang)
    _write(path, _render(data, format, lang))
    return path


def choose_period(ledger: Ledger, since: str | None, until: str | None, *, now: datetime, zone: tzinfo) -> Chosen:
    """Settle which period is reported.

    Args:
        ledger: Tells when customers wrote, where neither end is given.
        since: First day or moment, or ``None``.
        until: End, not part of it, or ``None``.
        now: The time.
        zone: Of days, and of moments without a zone.

    Returns:
        From ``since`` for a week, at most until now; the week before ``until``; without both the last whole week with messages.

    Raises:
        UsageError: If an end cannot be read or lies in the future, the end is not after the start, or nobody ever wrote.
    """
    first = read_moment("--since", since, now, zone) if since is not None else None
    end = read_moment("--until", until, now, zone) if until is not None else None
    if first is None and end is None:
        return _last_week(ledger, now, zone)
    if first is None and end is not None:
        return Chosen(Period(end - _WEEK, end))
    if first is not None and end is None:
        return Chosen(Period(first, min(first + _WEEK, now.astimezone(zone), key=lambda at: at.timestamp())))
    if first is None or end is None:
        raise RuntimeError("one end of the period is missing; this is a bug")
    if end.timestamp() <= first.timestamp():
        raise UsageError(f"--until {until} does not lie after --since {since}; --until is the end and not part of the period")
    return Chosen(Period(first, end))


def read_moment(option: str, written: str, now: datetime, zone: tzinfo) -> datetime:
    """Read a day or a moment.

    Args:
        option: Whose value it is, for the message.
        written: A day, which means its midnight, or a moment, in ISO 8601.
        now: The time; later ones are refused.
        zone: Of what has none.

    Returns:
        The moment, in ``zone``.

    Raises:
        UsageError: If it cannot be read, or lies in the future.
    """
    try:
        read = datetime.fromisoformat(written.strip())
        at = (read.replace(tzinfo=zone) if read.tzinfo is None else read).astimezone(zone)
        late = at.timestamp() > now.timestamp()
    except (ValueError, OverflowError) as error:
        mend = "write a day such as 2026-03-01, or a moment such as 2026-03-01T08:00 or 2026-03-01T08:00+01:00"
        raise UsageError(f"{option} {written!r} is no day or moment ({error}); {mend}") from error
    if late:
        latest = f"{now.astimezone(zone):%Y-%m-%dT%H:%M}"
        raise UsageError(f"{option} {written} lies in the future; the latest is {latest}, which is now")
    if at.year < 1970:
        raise UsageError(f"{option} {written} lies before 1970; give a later day")
    return at


def _last_week(ledger: Ledger, now: datetime, zone: tzinfo) -> Chosen:
    """Find the last whole week in which somebody wrote; the present one, as far as it is, where nobody wrote before."""
    whole = last_week(now, zone)
    all_count = ledger.count(Place(now, ""))
    if not all_count:
        raise UsageError(f"no customer has written anything yet that the monitor read; {_LOOK}, or give --since and --until")
    before = ledger.count(Place(whole.until, ""))
    if not before:
        present = Period(whole.until, now.astimezone(zone))
        return Chosen(present, "nobody wrote before this week: the report is of this week until now")
    if ledger.count(Place(whole.since, "")) < before:
        return Chosen(whole)
    # By halving: the fewest weeks back from which on somebody wrote.
    low, high = 0, (whole.since - _FIRST) // _WEEK + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if ledger.count(Place(whole.since - middle * _WEEK, "")) < before else (middle, high)
    period = Period(whole.since - high * _WEEK, whole.since - (high - 1) * _WEEK)
    return Chosen(
        period, f"nobody wrote from {period.until:%Y-%m-%d} to {whole.until:%Y-%m-%d}: the report is of the week before"
    )


def _data(store: Store, settings: Settings, place: Path, period: Period, now: datetime) -> ReportData:
    """Fetch and count what a report shows."""
    from assistant.monitor.report import build

    zone = ZoneInfo(settings.schedule.timezone)
    period = Period(period.since.astimezone(zone), period.until.astimezone(zone))
    before, ledger = period.before(), store.monitor
    judged = rules(settings, trained_thresholds(place))
    return build(
        period,
        ledger.stream(Place(before.since, ""), period.until),
        ledger.alerts(),
        ledger.answered(before.since, period.until),
        texts=ledger.texts,
        zone=zone,
        made_at=now,
        negative=judged.negative,
        company=settings.company.name,
    )


def _render(data: ReportData, format: str, lang: str) -> bytes:
    from assistant.monitor.report import render

    return render(data, cast("Form", format), lang)


def _check(format: str, lang: str) -> None:
    from assistant.monitor.report import FORMS
    from assistant.monitor.report_text import LANGUAGES

    faults = []
    if format not in FORMS:
        faults.append(f"--format {format!r} is none of {', '.join(FORMS)}")
    if lang not in LANGUAGES:
        faults.append(f"--lang {lang!r} is none of {', '.join(LANGUAGES)}")
    if faults:
        raise UsageError("; ".join(faults))


def _check_out(out: Path | None, *, as_json: bool) -> None:
    if out == _STDOUT and as_json:
        raise UsageError("--out - and --json both want stdout; leave one of them out")
    if out is not None and out != _STDOUT and out.is_dir():
        raise UsageError(f"--out {out} is a folder; name a file in it")


def _report_name(period: Period, format: str, lang: str) -> str:
    """Name a report by its first and last day, or by its moments where it does not begin and end at midnight."""
    days = not any(at.hour or at.minute or at.second or at.microsecond for at in (period.since, period.until))
    written, last = ("%Y-%m-%d", period.until - timedelta(microseconds=1)) if days else ("%Y-%m-%dT%H%M", period.until)
    ends = list(dict.fromkeys([period.since.strftime(written), last.strftime(written)]))
    return f"report-{'-to-'.join(ends)}{f'.{lang}' if format in ('html', 'pdf') else ''}.{format}"


def _put(content: bytes, out: Path | None, place: Path, name: str) -> Path | None:
    """Write a file, or stdout, and say which file it was."""
    if out == _STDOUT:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return None
    path = out or make_home(place) / REPORTS / name
    _write(path, content)
    return path


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; its folder is made where missing."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with fresh.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(fresh, path)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise DeskhandError(f"{path}: cannot be written ({error.strerror or error}); name another file with --out") from error


def _figures(found: Backtest) -> dict[str, Any]:
    share, false = found.share, found.false_interval
    return {
        "period": {"since": found.since.isoformat(), "until": found.until.isoformat()},
        "messages": found.messages,
        "unhappy": found.negative,
        "times": found.times,
        "hours": found.hours,
        "seed": found.seed,
        "surges": len(found.surges),
        "found": found.found,
        "found_share": found.found / len(found.surges),
        "found_interval": [share.low, share.high],
        "median_delay_minutes": found.median_minutes,
        "median_delay_messages": found.median_messages,
        "mean_extra": found.mean_extra,
        "false_alarms_a_week": found.false_a_week,
        "false_alarms_interval": [false.low, false.high],
        "false_alarms_allowed": found.allowed_a_week,
        "alerts_in_history": found.alerts,
        "streams": found.streams,
        "left_out": found.left_out,
    }
