"""The console's pictures and figures: a course for a desk and for a phone, the small bars of a table, numbers as read by people.

Pure functions of counts; the words in them are descriptions for those who do not see the pictures. Before:
``console_counts.py``. After: ``console_html.py``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Any

from markupsafe import Markup

from assistant.monitor.events import Alert
from assistant.monitor.report_figures import BAD, PALE, Plot, Span, course
from assistant.monitor.report_records import Move, VersionMark
from assistant.monitor.trend import Point, Tally
from ui.console_counts import condensed
from ui.console_text import console_words

_BARS, _SPARK = 32, (128, 30)
_MOST_MARKS = 9
_HEIGHTS = ("messages", "negative")


@dataclass(frozen=True, slots=True)
class Plots:
    """One course, drawn for a desk and for a phone; ``marks`` are numbered in both from 1 on."""

    large: Plot
    little: Plot
    spans: bool
    marks: tuple[VersionMark, ...] = ()


def plots(
    lang: str,
    zone: tzinfo,
    points: Sequence[Point],
    before: Sequence[Point],
    alerts: Iterable[Alert],
    versions: Sequence[VersionMark] = (),
) -> Plots | None:
    """Draw a course twice, for a desk and for a phone.

    Args:
        lang: Language of the description.
        zone: Of its times.
        points: The range's steps.
        before: Those of the range before.
        alerts: Whose time is marked.
        versions: Changes of adapter versions, in order of time; the newest are marked.

    Returns:
        The pictures; None where there was no message in either range.
    """
    now, then = (sum((one.tally for one in part), Tally()) for part in (points, before))
    if not now.messages and not then.messages:
        return None
    words = console_words(lang)
    values: dict[str, Any] = {"messages": number(now.messages), "share": percent(now.share), "before": percent(then.share)}
    name = "course_alt_calm"
    if now.negative:
        name, top = "course_alt", max((one for one in points if one.tally.messages), key=lambda one: one.tally.share or 0.0)
        values |= {"top": percent(top.tally.share), "at": moment(top.start, zone)}
    alt = words[name].format(**values)
    first, last = points[0].start, points[-1].end
    spans = [Span(max(one.signal.since, first), min(one.resolved_at or last, last)) for one in alerts]
    spans = [one for one in spans if one.since < one.until]
    marks = tuple(versions[-_MOST_MARKS:])
    moments = [one.at for one in marks]
    large = course(points, before, moments, spans, zone, "course", alt)
    little = course(points, before, moments, spans, zone, "small", alt, narrow=True)
    return Plots(large, little, bool(spans), marks)


def spark(lang: str, zone: tzinfo, move: Move, points: Sequence[Point]) -> Markup:
    """Draw the messages of one topic and locale as small bars, the negative ones in red; digits are in its description.

    Args:
        lang: Language of the description.
        zone: Of its times.
        move: The topic and its figures.
        points: Its steps.

    Returns:
        Inline SVG.
    """
    words, (width, height) = console_words(lang), _SPARK
    bars = condensed(points, _BARS)
    most = max((one.messages for one in bars), default=0) or 1
    room = width / max(1, len(bars))
    pale, red = ("".join(_bar(at, room, getattr(one, which) / most, height) for at, one in enumerate(bars)) for which in _HEIGHTS)
    top = max(points, key=lambda one: one.tally.negative)
    said = words["spark_alt"].format(
        topic=topic_name(words, move.topic)[:80],
        locale=move.locale,
        negative=number(move.now.negative),
        messages=number(move.now.messages),
        at=moment(top.start, zone),
        top=number(top.tally.negative),
    )
    return Markup(
        '<svg class="spark" role="img" aria-label="{}" viewBox="0 0 {} {}" preserveAspectRatio="none">'
        '<path d="M0 {}h{}" stroke="{}"/><path d="{}" fill="{}"/><path d="{}" fill="{}"/></svg>'
    ).format(clean(said), width, height, height - 0.5, width, PALE, pale, PALE, red, BAD)


def percent(share: float | None) -> str:
    """Print a share."""
    if share is None or not math.isfinite(share):
        return "–"
    return f"{100 * share:.{0 if share == 0 or share >= 0.01 else 1}f}%"


def number(value: float | None, digits: int = 0) -> str:
    """Print a number with thousands apart."""
    if value is None:
        return "–"
    return f"{value:,.{digits}f}" if math.isfinite(value) else "∞"


def topic_name(words: Mapping[str, str], name: str) -> str:
    """Print a topic as people read it."""
    return words["no_topic"] if not name else words["oos"] if name == "oos" else name.replace("_", " ")


def moment(at: datetime, zone: tzinfo) -> str:
    """Print a moment on the clock of a zone."""
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"


def clean(text: object) -> str:
    """Put a mark where a character can neither be printed nor written: controls, and halves of surrogate pairs."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", str(text))


def _bar(at: int, room: float, share: float, height: int) -> str:
    tall = share * (height - 1)
    return f"M{at * room:.1f} {height}v{-tall:.1f}h{0.8 * room:.1f}v{tall:.1f}z" if tall else ""
