"""A backtest -> one HTML page that stands alone: share found, delay, false alarms, two plots, every surge.

Knows no store, no detector and no file. The same record gives the same bytes. Before: ``backtest.py``. After: whoever writes
it to a file.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from importlib import resources

from assistant.monitor import report_figures as figures
from assistant.monitor.backtest import LEAST_NEGATIVE, SHUFFLES
from assistant.monitor.backtest_records import Backtest, Example
from assistant.monitor.report import clean
from assistant.monitor.report_figures import ACCENT, BAD, QUIET, Plot
from assistant.monitor.telling import name_of

_TEMPLATE = "backtest.html.j2"
_USUAL, _GOOD = "#b4bbd2", "#166a34"
_MOST_ROWS = 200
# What the command takes.
_MOST_HOURS, _MOST_TIMES = 24.0 * 60, 100


def page(data: Backtest, *, zone: tzinfo, made_at: datetime, company: str = "") -> str:
    """Render the page.

    Args:
        data: What ``backtest`` returned; at least one surge.
        zone: Of the times shown.
        made_at: When it is made, timezone-aware.
        company: Whose history; may be empty.

    Returns:
        A whole HTML document.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"clean": clean, "percent": _percent, "duration": duration, "figure": _figure}
    environment.filters |= {"thousands": lambda value: f"{value:,}"}
    warm = timedelta(days=data.limits.warm_up_days + 1)
    template = environment.from_string(resources.files("assistant.monitor").joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    return template.render(
        data=data,
        company=company,
        made_at=made_at,
        zone=str(zone),
        when=lambda at: f"{at.astimezone(zone):%Y-%m-%d %H:%M}",
        topic=name_of,
        counted=lambda count, noun: f"{count:,} {noun}{'' if count == 1 else 's'}",
        length=duration(data.hours * 60.0),
        lead=lead(data),
        hint=hint(data),
        weeks=(data.until - data.since - warm) / timedelta(weeks=1),
        delays=[_delays(data, narrow) for narrow in (False, True)],
        example=[_course(data.example, zone, narrow) for narrow in (False, True)] if data.example else [],
        step=duration(data.example.step_hours * 60.0) if data.example else "",
        rows=sorted(data.surges, key=lambda one: (one.begin, one.topic, one.locale))[:_MOST_ROWS],
        least=LEAST_NEGATIVE,
        shuffles=SHUFFLES,
    )


def lead(data: Backtest) -> str:
    """Say the result in a sentence or two.

    Args:
        data: What ``backtest`` returned.

    Returns:
        Plain text.
    """
    found = f"{data.found} of {len(data.surges)} surges {'was' if data.found == 1 else 'were'} found"
    if data.found:
        found += f", {'half of these within' if data.found > 1 else 'after'} {duration(data.median_minutes)}"
    low, high, allowed = data.false_interval.low, data.false_interval.high, data.allowed_a_week
    kept = "more than" if low > allowed else "fewer than" if high < allowed else "in keeping with"
    false = f"When nothing happens there are {data.false_a_week:.2f} false alarms a week"
    return f"{found}. {false}, {kept} the {allowed:.2f} that the settings allow."


def hint(data: Backtest) -> str:
    """Say what to try where the surges were too small to be told from chance.

    Args:
        data: What ``backtest`` returned.

    Returns:
        Plain text; empty where they were large enough.
    """
    if not data.surges or data.mean_extra >= data.limits.minimum or data.found * 2 >= len(data.surges):
        return ""
    usual = max(sum(one.usual for one in data.surges) / len(data.surges), 1e-6)
    wanted = 2.0 * data.limits.minimum
    hours, times = _round_up(data.hours * wanted / ((data.times - 1) * usual)), _round_up(1 + wanted / usual)
    room = min(_MOST_HOURS, (data.until - data.since) / timedelta(hours=4))
    more = [f"--hours {hours}"] if hours <= room else []
    more += [f"--times {times}"] if times <= _MOST_TIMES else []
    if not more:
        week = min(168.0, room)
        times = _round_up(1 + wanted / (usual * week / data.hours))
        more = [f"--times {times} --hours {week:.0f}"] if times <= _MOST_TIMES else []
    tried = f" To see what can be found, try {' or '.join(more)}." if more else ""
    size = f"{_figure(data.times)} times the usual for {duration(data.hours * 60.0)}"
    return (
        f"These surges are small: in this history {size} is {(data.times - 1) * usual:.1f} more unhappy customers on average, "
        f"and under {data.limits.minimum} no alert is raised.{tried}"
    )


def duration(minutes: float | None) -> str:
    """Write a length of time as people say it.

    Args:
        minutes: Its length; ``None`` for none.

    Returns:
        Such as ``45 minutes``, ``3.5 hours``, ``2 days``, ``–``.
    """
    if minutes is None:
        return "–"
    size, unit = (1.0, "minute") if minutes < 90.0 else (60.0, "hour") if minutes < 2880.0 else (1440.0, "day")
    written = _figure(minutes / size)
    return f"{written} {unit}{'' if written == '1' else 's'}"


def _delays(data: Backtest, narrow: bool) -> Plot:
    """Draw each surge's delay by the customers it brought, for a desk or a phone; those not found lie in a strip above."""
    from matplotlib.ticker import MaxNLocator

    found = [(one.extra, one.delay_minutes) for one in data.surges if one.delay_minutes is not None]
    missed = [one.extra for one in data.surges if one.found_at is None]
    longest = max((minutes for _, minutes in found), default=data.hours * 60.0)
    size, unit = (1.0, "minutes") if longest < 180 else (60.0, "hours") if longest < 4320 else (1440.0, "days")
    figure = figures.blank(4.3, 3.2) if narrow else figures.blank(8.6, 3.9)
    axes = figure.add_subplot()
    figures.calm(axes)
    top = 1.12 * longest / size
    axes.scatter(
        [extra for extra, _ in found], [minutes / size for _, minutes in found], s=34, color=ACCENT, alpha=0.7, linewidth=0
    )
    if missed:
        axes.axhline(top, color="#b9bfce", linewidth=0.8)
        axes.scatter(missed, [1.07 * top] * len(missed), s=34, marker="x", color=BAD, alpha=0.8, linewidth=1.5)
    if data.median_minutes is not None:
        axes.axhline(data.median_minutes / size, color=QUIET, linewidth=1.2, linestyle=(0, (4, 3)))
        at = (1.0, data.median_minutes / size)
        axes.annotate("median", at, (0, 4), ("axes fraction", "data"), "offset points", ha="right", color=QUIET, fontsize=9.5)
    axes.set_ylim(0.0, 1.14 * top if missed else top)
    axes.set_yticks([tick for tick in MaxNLocator(5).tick_values(0.0, top) if 0 <= tick < 0.96 * top])
    most = max(one.extra for one in data.surges)
    axes.set_xlim(0.0, 1.06 * most + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(4 if narrow else 8, integer=True))
    axes.set_xlabel("unhappy customers put in", color=QUIET, fontsize=9.5)
    axes.set_ylabel(f"delay, {unit}", color=QUIET, fontsize=9.5)
    least = min(one.extra for one in data.surges)
    said = f"{len(found)} surges found and {len(missed)} not, by unhappy customers put in, from {least} to {most}"
    delay = f"; median delay {duration(data.median_minutes)}, longest {duration(longest)}" if found else ""
    return figures.drawn(figure, _named("delays", narrow), f"Delay of each surge: {said}{delay}.")


def _course(example: Example, zone: tzinfo, narrow: bool) -> Plot:
    """Draw one stream's unhappy customers around its surge, and when it was found, for a desk or a phone."""
    surge, width = example.surge, example.step_hours / 24.0
    figure = figures.blank(4.3, 2.9) if narrow else figures.blank(8.6, 3.3)
    axes = figure.add_subplot()
    figures.calm(axes)
    places = [figures.place(one.start) + width / 2 for one in example.bars]
    usual = [one.usual for one in example.bars]
    axes.axvspan(figures.place(surge.begin), figures.place(surge.end), color=BAD, alpha=0.08, linewidth=0)
    axes.bar(places, usual, width=0.86 * width, color=_USUAL)
    axes.bar(places, [one.extra for one in example.bars], width=0.86 * width, bottom=usual, color=ACCENT)
    if surge.found_at is not None:
        axes.axvline(figures.place(surge.found_at), color=_GOOD, linewidth=1.8)
    start, end = example.bars[0].start, example.bars[-1].start + timedelta(hours=example.step_hours)
    axes.set_xlim(figures.place(start), figures.place(end))
    figures.whole_numbers(axes)
    figures.date_axis(axes, start, end, zone, most=5 if narrow else 9)
    name, locale = clean(name_of(surge.topic)), clean(surge.locale)
    begin, finish, found = (
        f"{at.astimezone(zone):%Y-%m-%d %H:%M}" if at else "" for at in (surge.begin, surge.end, surge.found_at)
    )
    alt = f"Unhappy customers of {name} ({locale}): {surge.extra} put in from {begin} to {finish}, usual {surge.usual:.1f}"
    return figures.drawn(figure, _named("example", narrow), f"{alt}; {f'found {found}' if found else 'not found'}.")


def _named(name: str, narrow: bool) -> str:
    return f"phone{name}" if narrow else name


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def _figure(value: float) -> str:
    """Write a number with a digit behind the point where it is small and not whole."""
    rounded = round(value, 1)
    return f"{rounded:,.0f}" if rounded >= 20 or rounded == round(rounded) else f"{rounded:.1f}"


def _round_up(value: float) -> int:
    """Round up to one or two digits, as a person would choose."""
    for step in (1, 5, 10, 50, 100, 500, 1000):
        if value <= 20 * step:
            return int(-(-value // step) * step)
    return int(-(-value // 1000) * 1000)
