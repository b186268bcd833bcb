"""A period's messages, alerts and replies -> a report: one record, shown as HTML, PDF, JSON or CSV.

``build`` is pure and does all counting; ``render`` only shows. The page stands alone: no network, no script, pictures inline,
readable on a phone and on paper. Customers wrote the texts, so all of it is escaped, cut and kept apart in direction. The same
record gives the same bytes. Knows no store. Before: ``trend``, ``report_tables``. After: whoever sends it.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta, tzinfo
from importlib import resources
from typing import Literal, get_args
from zoneinfo import ZoneInfo

from assistant.errors import UsageError
from assistant.monitor import report_quotes as quotes
from assistant.monitor import report_tables as tables
from assistant.monitor.events import Alert, Event
from assistant.monitor.report_figures import Plot, Span, course, dumbbell, small_course
from assistant.monitor.report_records import Answered, Period, ReportData, Series, Service, Texts
from assistant.monitor.report_text import words_of
from assistant.monitor.trend import Judge, Step, Stream, Tally, Trend, Wanted, is_negative, movement, start_of
from assistant.monitor.trend import build as count

Form = Literal["html", "pdf", "json", "csv"]
FORMS: tuple[Form, ...] = get_args(Form)

_TEMPLATE = "report.html.j2"
_STEPS = (Step(1, "hour"), Step(6, "hour"), Step(1, "day"), Step(1, "week"), Step(1, "month"))
# A plot has no more steps than there is room for, and four of five of them hold enough messages for a share to say something.
_MOST_STEPS, _FEWEST_STEPS, _ENOUGH_PER_STEP, _FULL_SHARE = 62, 5, 10, 0.8
_MOST_COURSES, _MOST_SERVICE_ROWS = 6, 12
MOST_MOVES = 25
Say = Callable[..., str]
_COLUMNS = (
    "since", "until", "topic", "locale", "messages", "negative", "positive", "negative_share", "share_low", "share_high",
    "messages_before", "negative_before", "negative_share_before", "share_ratio", "ratio_low", "ratio_high", "p_value", "verdict",
    "conversations", "deflected", "handoffs", "replies", "clarifications", "rated", "liked", "p50_ms", "p95_ms",
)  # fmt: skip
_SPREADSHEET_COMMAND = ("=", "+", "-", "@", "\t", "\r")


def build(
    period: Period,
    events: Iterable[Event],
    alerts: Iterable[Alert],
    answered: Iterable[Answered],
    *,
    texts: Texts,
    zone: tzinfo,
    made_at: datetime,
    negative: Judge = is_negative,
    company: str = "",
    step: Step | None = None,
) -> ReportData:
    """Count everything that a report shows.

    Args:
        period: What is reported; it is compared with the period of the same length before.
        events: Customer messages of both periods, any order; others do no harm.
        alerts: Alerts of any time.
        answered: Replies of both periods.
        texts: Fetches redacted texts by the ids of events; called for what is quoted, and for the questions without an answer.
        zone: Of the days, and of the times shown.
        made_at: When the report is made.
        negative: Whether a message counts as negative, the same as the alerts were raised by.
        company: Whose customers; may be empty.
        step: Length of a step in the plots; chosen by the number of messages if not given.

    Returns:
        The report's data.

    Raises:
        UsageError: If a time has no zone.
    """
    before = period.before()
    seen = list({one.id: one for one in events if _inside(one.at, one.id, before.since, period.until)}.values())
    replies = list({one.id: one for one in answered if _inside(one.at, one.id, before.since, period.until)}.values())
    trend = count(seen, step if step and step.unit == "minute" else Step(1, "hour"), zone, negative)
    levels = [trend.coarser(one) for one in ((step,) if step else reversed(_STEPS))]
    now, then = (_streams(trend, seen, part) for part in (period, before))
    moved = tables.moves(now, then, period)
    news = [one for one in moved if one.verdict in ("worse", "better")][:_MOST_COURSES]
    total, total_then = (sum(one.values(), Tally()) for one in (now, then))
    lengths = [_seconds(one) for one in (period, before)]
    service, service_then = (tables.service(one for one in replies if part.holds(one.at)) for part in (period, before))
    courses, worst, best = quotes.conversation_rows(seen, texts, period)
    open_questions, open_total = quotes.unanswered(replies, texts, period)
    return ReportData(
        company=company,
        made_at=made_at.astimezone(zone),
        zone=str(zone),
        period=Period(period.since.astimezone(zone), period.until.astimezone(zone)),
        before=Period(before.since.astimezone(zone), before.until.astimezone(zone)),
        now=total,
        then=total_then,
        movement=movement(total, total_then, *lengths),
        moves=moved,
        locales=tables.locale_rows(now, then),
        overall=_series(levels, period),
        courses=tuple(_series(levels, period, one.topic, one.locale) for one in news),
        alerts=tables.alert_rows(alerts, seen, texts, period, negative),
        service=service,
        service_then=service_then,
        figures=tables.service_figures(service, service_then),
        service_rows=tables.service_rows(one for one in replies if period.holds(one.at)),
        versions=tables.version_marks(seen, replies, period),
        trajectories=courses,
        worst=worst,
        best=best,
        unanswered=open_questions,
        unanswered_total=open_total,
    )


def render(data: ReportData, form: Form, lang: str = "en") -> bytes:
    """Show a report.

    Args:
        data: What ``build`` returned.
        form: ``html`` (one page that stands alone), ``pdf``, ``json`` (all of the data) or ``csv`` (topics and locales).
        lang: Language of the page, ``en`` or ``zh``; JSON and CSV have none.

    Returns:
        The file's bytes; text is UTF-8.

    Raises:
        UsageError: If the form or the language is not known.
        DeskhandError: If a PDF cannot be made on this machine.
    """
    if form == "html":
        return page(data, lang).encode()
    if form == "pdf":
        from assistant.monitor.report_pdf import pdf

        return pdf(page(data, lang), lang)
    if form == "json":
        return (json.dumps(_plain(data), ensure_ascii=False, indent=2, allow_nan=False) + "\n").encode()
    if form == "csv":
        return _table(data).encode()
    raise UsageError(f"report format {form!r} is not known; give one of {', '.join(FORMS)}")


def page(data: ReportData, lang: str = "en") -> str:
    """Render the HTML page.

    Args:
        data: What ``build`` returned.
        lang: ``en`` or ``zh``.

    Returns:
        A whole HTML document.

    Raises:
        UsageError: If the language is not known.
    """
    from jinja2 import Environment, StrictUndefined

    words = words_of(lang)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"clean": clean, "percent": _percent, "number": _number, "mood": _mood, "milliseconds": _wait}
    environment.globals |= {"dumbbell": dumbbell}

    def say(name: str, **values: object) -> str:
        return words[name].format(**values)

    def topic(name: str) -> str:
        return words["no_topic"] if not name else words["oos"] if name == "oos" else name.replace("_", " ")

    zone = data.period.since.tzinfo
    template = environment.from_string(resources.files("assistant.monitor").joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        data=data,
        lang=lang,
        say=say,
        known=words,
        topic=topic,
        when=lambda at: at.astimezone(zone).strftime("%Y-%m-%d %H:%M"),
        ends=_ends,
        worse=[one for one in data.moves if one.verdict == "worse"],
        better=[one for one in data.moves if one.verdict == "better"],
        plot=_course_plot(data, say),
        phone_plot=_course_plot(data, say, narrow=True),
        small=_small_plots(data, say, topic),
        scale=_scale(data),
        most_moves=MOST_MOVES,
        most_rows=_MOST_SERVICE_ROWS,
    )


def _streams(trend: Trend, seen: Iterable[Event], period: Period) -> dict[Stream, Tally]:
    """Count a period: from the hours that are counted already, or message by message if it cuts an hour in two."""
    if all(start_of(at, trend.step, trend.zone) == at for at in (period.since, period.until)):
        return trend.totals(period.since, period.until)
    parts = count((one for one in seen if period.holds(one.at)), Step(1, "month"), trend.zone, trend.negative)
    return parts.totals(start_of(period.since, parts.step, trend.zone), period.until)


def _seconds(period: Period) -> float:
    return period.until.timestamp() - period.since.timestamp()


def _series(levels: Sequence[Trend], period: Period, topic: str = "", locale: str = "") -> Series:
    """Take a stream's steps, or those of all, from the finest of the levels with room and messages enough."""
    wanted: Wanted | None = None
    if topic or locale:
        wanted = lambda stream: (stream.topic, stream.locale) == (topic, locale)  # noqa: E731
    before, found = period.before(), Series(topic, locale, levels[0].step, (), ())
    for level in levels:
        points = level.series(period.since, period.until, wanted)
        full = sum(point.tally.messages >= _ENOUGH_PER_STEP for point in points)
        if found.points and (len(points) > _MOST_STEPS or (len(points) > _FEWEST_STEPS and full < _FULL_SHARE * len(points))):
            break
        found = Series(topic, locale, level.step, points, level.series(before.since, before.until, wanted))
    return found


def _course_plot(data: ReportData, say: Say, narrow: bool = False) -> Plot | None:
    if not data.now.messages:
        return None
    zone, points = data.period.since.tzinfo or ZoneInfo("UTC"), data.overall.points
    spans = [Span(max(one.since, points[0].start), min(one.resolved_at or points[-1].end, points[-1].end)) for one in data.alerts]
    top = max((one for one in points if one.tally.messages), key=lambda one: one.tally.share or 0.0)
    alt = say(
        "course_alt",
        share=_percent(data.now.share),
        messages=_number(data.now.messages),
        before=_percent(data.then.share),
        top=_percent(top.tally.share),
        at=f"{top.start:%Y-%m-%d %H:%M}",
    )
    marks = [one.at for one in data.versions]
    spans, name = [one for one in spans if one.since < one.until], "phone" if narrow else "course"
    return course(points, data.overall.before, marks, spans, zone, name, alt, narrow=narrow)


def _small_plots(data: ReportData, say: Say, topic: Say) -> dict[tuple[str, str], Plot]:
    zone, moved = data.period.since.tzinfo or ZoneInfo("UTC"), {(one.topic, one.locale): one for one in data.moves}
    plots = {}
    for at, one in enumerate(data.courses):
        move = moved[one.topic, one.locale]
        shares = {"share": _percent(move.now.share), "before": _percent(move.before.share)}
        alt = say("small_alt", topic=clean(topic(one.topic)), locale=clean(one.locale), **shares)
        plots[one.topic, one.locale] = small_course(one.points, one.before, zone, f"small{at}", alt)
    return plots


def _scale(data: ReportData) -> float:
    """Return the share at the right end of the small before-and-after pictures: one that all of them fit under."""
    shown = data.moves[:MOST_MOVES]
    shares = [one.share for move in shown for one in (move.now, move.before) if one.share is not None]
    return min(1.0, max([0.25, *(1.15 * share for share in shares)]))


def _inside(at: datetime, name: str, since: datetime, until: datetime) -> bool:
    if at.utcoffset() is None:
        raise UsageError(f"message {name}: time {at.isoformat()} has no zone; give it one, such as +00:00")
    return since <= at < until


def _ends(period: Period) -> tuple[str, str]:
    """Write a period's first and last day; the moments themselves where it does not begin or end at midnight."""
    last = period.until - timedelta(microseconds=1)
    if not any(at.hour or at.minute or at.second for at in (period.since, period.until)):
        return f"{period.since:%Y-%m-%d}", f"{last:%Y-%m-%d}"
    return f"{period.since:%Y-%m-%d %H:%M}", f"{period.until:%Y-%m-%d %H:%M}"


def clean(text: str) -> str:
    """Put a mark where a character can neither be printed nor written: controls, and halves of surrogate pairs."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def _percent(share: float | None, digits: int = 0) -> str:
    if share is None or not math.isfinite(share):
        return "–"
    return f"{100 * share:.{digits if share == 0 or share >= 0.01 else 1}f}%"


def _number(value: float | None, digits: int = 0) -> str:
    """Print a number with thousands apart; infinity as its sign."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if math.isfinite(value) else "∞"


def _mood(score: float) -> str:
    """Print a score in [-1, 1] with its sign."""
    return f"{score:+.1f}".replace("-", "−") if abs(score) >= 0.05 else "0.0"


def _wait(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "–"
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _plain(value: object) -> object:
    """Make a record ready for JSON: times in ISO 8601, infinity as null, tallies with their share and its interval."""
    if is_dataclass(value) and not isinstance(value, type):
        found = {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
        if isinstance(value, Tally):
            found |= {"share": value.share, "interval": _plain(value.interval)}
        return found
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(part) for part in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return clean(value) if isinstance(value, str) else value


def _table(data: ReportData) -> str:
    """Write one row for each topic and locale, most messages first."""
    served = {(one.topic, one.locale): one.service for one in data.service_rows}
    moved = {(one.topic, one.locale): one for one in data.moves}
    written = io.StringIO()
    writer = csv.DictWriter(written, _COLUMNS, lineterminator="\n")
    writer.writeheader()
    empty = tables.moves({}, {Stream("", "", "", ""): Tally()}, data.period)[0]
    keys = sorted({*moved, *served}, key=lambda key: (-(moved[key].now.messages if key in moved else 0), key))
    for key in keys:
        move, service = moved.get(key, empty), served.get(key, Service())
        ends, change = move.now.interval, move.movement.share
        row: tuple[object, ...] = (
            data.period.since.isoformat(), data.period.until.isoformat(), *(_harmless(part) for part in key),
            move.now.messages, move.now.negative, move.now.positive, move.now.share,
            ends.low if move.now.messages else None, ends.high if move.now.messages else None,
            move.before.messages, move.before.negative, move.before.share,
            change.ratio, change.interval.low, change.interval.high, move.p_value, move.verdict,
            service.conversations, service.deflected, service.handoffs, service.replies, service.clarifications,
            service.rated, service.liked, service.p50_ms, service.p95_ms,
        )  # fmt: skip
        writer.writerow(dict(zip(_COLUMNS, map(_cell, row), strict=True)))
    return written.getvalue()


def _harmless(text: str) -> str:
    """Keep a spreadsheet from running a name as a formula (OWASP, CSV injection)."""
    return f"'{clean(text)}" if text.startswith(_SPREADSHEET_COMMAND) else clean(text)


def _cell(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else ""
    return "" if value is None else value
