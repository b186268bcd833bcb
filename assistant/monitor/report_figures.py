"""Counts over time -> pictures as SVG that stand inside a page: a course with its uncertainty, a small one, a before-and-after.

The pictures hold digits and dates only, so that they need no font for any language and nothing in them needs escaping; words
stand beside them. The same numbers give the same bytes. Before: ``report_records``. After: ``report.html.j2``.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.monitor.comparison import Interval
from assistant.monitor.trend import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, QUIET, LINE, ACCENT, BAD, PALE = "#1b2033", "#5c647a", "#e2e5ee", "#3949c6", "#b4232f", "#cfd4e4"
_UNSIGNED = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture as inline SVG, and what it shows in words."""

    svg: str
    alt: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the time axis that is marked."""

    since: datetime
    until: datetime


def course(
    points: Sequence[Point],
    before: Sequence[Point],
    marks: Sequence[datetime],
    spans: Sequence[Span],
    zone: tzinfo,
    name: str,
    alt: str,
    *,
    narrow: bool = False,
) -> Plot:
    """Draw the share of negative messages over time above the number of messages.

    Args:
        points: The period's steps, at least one.
        before: Those of the period before, drawn as a dashed line at the same place.
        marks: Moments to mark with 1, 2, 3 …
        spans: Stretches to mark with a thin line at the upper edge and a stroke where they begin, such as alerts.
        zone: Of the dates on the axis.
        name: Tells this picture from the others of the page; letters and digits.
        alt: What it shows, in words.
        narrow: Whether it is for a phone.

    Returns:
        The picture; the band is the 95 % Wilson interval of each step.
    """
    figure = blank(4.3, 3.4) if narrow else blank(8.6, 3.7)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.15))
    for axes in (above, below):
        calm(axes)
    _strip(spans, above)
    _share_line(above, points, before)
    start, end = points[0].start, points[-1].end
    _mark(marks, above, below)
    widths = [0.84 * (place(one.end) - place(one.start)) for one in points]
    middles = _middles(points)
    below.bar(middles, [one.tally.messages for one in points], width=widths, color=PALE)
    below.bar(middles, [one.tally.negative for one in points], width=widths, color=BAD)
    below.set_xlim(place(start), place(end))
    whole_numbers(below)
    date_axis(below, start, end, zone, most=5 if narrow else 9)
    return drawn(figure, name, alt)


def small_course(points: Sequence[Point], before: Sequence[Point], zone: tzinfo, name: str, alt: str) -> Plot:
    """Draw the share of negative messages of one topic, in a small picture.

    Args:
        points: The period's steps, at least one.
        before: Those of the period before.
        zone: Of the dates on the axis.
        name: Tells this picture from the others of the page; letters and digits.
        alt: What it shows, in words.

    Returns:
        The picture.
    """
    figure = blank(4.3, 2.1)
    axes = figure.add_subplot()
    calm(axes)
    _share_line(axes, points, before)
    axes.set_xlim(place(points[0].start), place(points[-1].end))
    date_axis(axes, points[0].start, points[-1].end, zone, most=5)
    return drawn(figure, name, alt)


def dumbbell(now: float | None, interval: Interval, before: float | None, scale: float = 1.0) -> str:
    """Draw two shares on one line: a hollow dot before, a full one now, and now's interval; nothing without messages.

    Args:
        now: Share in [0, 1], or None.
        interval: Of ``now``.
        before: Share in [0, 1], or None.
        scale: Share at the right end.

    Returns:
        A small SVG without text, hidden from screen readers, as the numbers stand beside it.
    """

    def place(share: float) -> str:
        return f"{6 + 108 * min(1.0, share / scale):.1f}"

    parts = [f'<line x1="6" y1="9" x2="114" y2="9" stroke="{LINE}" stroke-width="2"/>']
    if now is not None:
        ends = f'x1="{place(interval.low)}" x2="{place(interval.high)}"'
        parts.append(f'<line {ends} y1="9" y2="9" stroke="{ACCENT}" stroke-opacity="0.35" stroke-width="6"/>')
    if before is not None:
        parts.append(f'<circle cx="{place(before)}" cy="9" r="4" fill="#ffffff" stroke="{QUIET}" stroke-width="1.6"/>')
    if now is not None:
        parts.append(f'<circle cx="{place(now)}" cy="9" r="4.4" fill="{ACCENT}"/>')
    return f'<svg class="dumbbell" viewBox="0 0 120 18" width="120" height="18" aria-hidden="true">{"".join(parts)}</svg>'


def _share_line(axes: Axes, points: Sequence[Point], before: Sequence[Point]) -> None:
    middles = _middles(points)
    shares = np.array([np.nan if one.tally.share is None else one.tally.share for one in points])
    ends = [one.tally.interval for one in points]
    empty = np.isnan(shares)
    low, high = (np.where(empty, np.nan, values) for values in ([one.low for one in ends], [one.high for one in ends]))
    then: list[float] = []
    if before and len(before) >= len(points) - 1:
        # Step by step under the same place of this period, so that Monday stands under Monday.
        then = [np.nan if one.tally.share is None else one.tally.share for one in before[: len(points)]]
        axes.plot(middles[: len(then)], then, color=QUIET, linewidth=1.3, linestyle=(0, (4, 3)))
    axes.fill_between(middles, low, high, color=ACCENT, alpha=0.15, linewidth=0)
    axes.plot(middles, shares, color=ACCENT, linewidth=1.9, marker="o", markersize=3.4 if len(points) <= 40 else 0)
    alone = [at for at in range(len(points)) if not empty[at] and empty[max(0, at - 1)] and empty[min(len(points) - 1, at + 1)]]
    if len(points) > 40 and alone:  # without a neighbour there is no line to see it by
        axes.plot([middles[at] for at in alone], shares[alone], color=ACCENT, linestyle="", marker="o", markersize=3)
    drawn = [share for share in (*shares, *then) if share == share]
    # Room for the wide bands of quiet steps would press the lines to the ground: such bands are cut off.
    axes.set_ylim(0.0, min(1.02, max(0.25, 1.25 * max(drawn, default=0.5))))
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _strip(spans: Sequence[Span], axes: Axes) -> None:
    """Draw stretches as a thin line at the upper edge: shading would cover all of a picture in which many lie together."""
    for span in spans:
        start, end = place(span.since), place(span.until)
        axes.axvspan(start, end, ymin=0.975, color=BAD, alpha=0.55, linewidth=0)
        axes.axvline(start, ymin=0.93, color=BAD, linewidth=1.6)


def _mark(marks: Sequence[datetime], above: Axes, *below: Axes) -> None:
    """Draw a numbered line through all axes at each moment, its number above the first."""
    for at, moment in enumerate(marks, start=1):
        for axes in (above, *below):
            axes.axvline(place(moment), color=INK, linewidth=1, linestyle=(0, (2, 2)))
        where: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "xytext": (0, 9), "textcoords": "offset points"}
        look: dict[str, Any] = {"ha": "center", "va": "center", "color": "white", "fontsize": 9.5, "annotation_clip": False}
        ring = {"boxstyle": "circle,pad=0.22", "facecolor": INK, "edgecolor": "none"}
        above.annotate(str(at), (place(moment), 1.0), bbox=ring, **where, **look)


def place(at: datetime) -> float:
    """Return a moment's place on the time axis, in days."""
    from matplotlib.dates import date2num

    return float(date2num(at))


def _middles(points: Sequence[Point]) -> list[float]:
    return [(place(one.start) + place(one.end)) / 2 for one in points]


def whole_numbers(axes: Axes) -> None:
    """Number the upright axis by whole numbers, few of them."""
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.set_ylim(bottom=0)


def date_axis(axes: Axes, start: datetime, end: datetime, zone: tzinfo, most: int) -> None:
    """Write dates as digits: hours for two days, days for a year, months beyond."""
    from matplotlib.dates import AutoDateLocator, DateFormatter

    length = end - start
    written = "%H:%M" if length <= timedelta(days=2) else "%m-%d" if length <= timedelta(days=300) else "%Y-%m"
    axes.xaxis.set_major_locator(AutoDateLocator(tz=zone, minticks=3, maxticks=most))
    axes.xaxis.set_major_formatter(DateFormatter(written, tz=zone))


def blank(width: float, height: float) -> Figure:
    """Begin a figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def calm(axes: Axes) -> None:
    """Leave only what carries meaning: light grid, a base line, small letters."""
    axes.grid(color=LINE, linewidth=0.7, axis="y")
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=9.5, length=0, pad=5)
    axes.tick_params(axis="x", pad=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color("#b9bfce")


def drawn(figure: Figure, name: str, alt: str) -> Plot:
    """Write the figure so that it may stand in a page beside others: no header, no ids in common, described."""
    import matplotlib

    written = io.StringIO()
    # The SVG writer takes these two from the global settings only; the context puts the former ones back.
    settings: dict[str, Any] = {"svg.fonttype": "none", "svg.hashsalt": name}
    with matplotlib.rc_context(settings):
        figure.savefig(written, format="svg", transparent=True, metadata=_UNSIGNED)
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px; font-family: sans-serif", svg)
    size = re.search(r'viewBox="[^"]*"', svg)
    opening = f'<svg class="plot" role="img" aria-label="{html.escape(alt)}" {size.group() if size else ""}'
    opening += ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    body = svg[svg.index(">") + 1 :]
    return Plot("\n".join(line.rstrip() for line in (opening + body).splitlines() if line.strip()), alt)
