"""What the console shows, as HTML: the page of alerts and trends, a topic, a conversation, and plain notices.

Pure functions of what was counted and read; nothing is asked or changed here. Customers wrote the texts, so the template
escapes everything, cuts it and keeps its direction apart. Before: ``console_counts.py``. After: ``console.py`` sends it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, urlencode

from markupsafe import Markup, escape

from assistant.monitor.events import Alert, Event
from assistant.monitor.ledger import Said
from assistant.monitor.report_records import AlertRow, Move, Period
from assistant.monitor.report_tables import alert_rows
from assistant.monitor.telling import how_sure
from assistant.monitor.trajectory import trajectory
from assistant.monitor.trend import is_negative
from ui.chat_text import LANGUAGES
from ui.console_counts import NEWEST, RANGES, Counted
from ui.console_figures import Plots, clean, moment, number, percent, spark, topic_name
from ui.console_filters import Filters
from ui.console_text import console_words

if TYPE_CHECKING:
    from jinja2 import Template

MOST_ROWS, MOST_LINES, MOST_QUOTED = 40, 300, 5
_LONGEST_TEXT = 4_000
_EVER = Period(datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC))
Mood = Literal["negative", "neutral", "positive", ""]


@dataclass(frozen=True, slots=True)
class Frame:
    """What every page has: whose it is, when it was made, where it stands and what was chosen."""

    company: str
    lang: str
    zone: tzinfo
    made_at: datetime
    filters: Filters
    path: str = "/console"
    message: str = ""


@dataclass(frozen=True, slots=True)
class AlertCard:
    """An alert as a card shows it."""

    row: AlertRow
    sure: str
    acknowledged_at: datetime | None
    typical: tuple[Quote, ...]
    look: str
    quiet: datetime | None = None
    quiet_days: float = 0.0


@dataclass(frozen=True, slots=True)
class Quote:
    """A message by its id; ``chance`` is of ``mood``, which is empty where nobody read it."""

    id: str
    text: str
    at: datetime | None = None
    role: str = "customer"
    locale: str = ""
    mood: Mood = ""
    chance: float = 0.0


@dataclass(frozen=True, slots=True)
class TableRow:
    """One topic in one locale; the ratio and its interval are empty where nothing can be said."""

    move: Move
    ratio: str
    low: str
    high: str
    spark: Markup


def overview(
    frame: Frame,
    counted: Counted,
    plot: Plots | None,
    cards: Sequence[AlertCard],
    over: Sequence[AlertCard],
    *,
    looked: str,
    by: str = "",
    more_alerts: int = 0,
    empty: bool = False,
) -> str:
    """Render the console's first page.

    Args:
        frame: What every page has.
        counted: The range, all topics.
        plot: Its course under the filters; None without messages.
        cards: Alerts that are open or acknowledged.
        over: Alerts that ended lately.
        looked: When the monitor last looked, in words.
        by: The name that was given last.
        more_alerts: How many further alerts are open.
        empty: Whether the store holds no message at all.

    Returns:
        A whole HTML document.
    """
    chosen = counted.chosen(frame.filters.pick)
    return _page(
        frame,
        "overview",
        counted=counted,
        plot=plot,
        alerts=cards,
        over=over,
        looked=looked,
        by=by,
        more_alerts=more_alerts,
        count=len(cards) + more_alerts,
        empty=empty,
        topics=_with(counted.topics(), frame.filters.topic),
        locales=_with(counted.locales(), frame.filters.locale),
        rows=table(frame, counted, chosen[:MOST_ROWS]),
        all_rows=len(chosen),
    )


def topic_page(frame: Frame, counted: Counted, plot: Plots | None, said_badly: Sequence[Quote], looked: str) -> str:
    """Render one topic: its course and its newest negative messages.

    Args:
        frame: What every page has; the filters name the topic.
        counted: The range, all topics.
        plot: The topic's course; None without messages.
        said_badly: The messages.
        looked: When the monitor last looked, in words.

    Returns:
        A whole HTML document.
    """
    rows = table(frame, counted, counted.chosen(frame.filters.pick)[:4]) if frame.filters.topic is not None else ()
    return _page(frame, "topic", counted=counted, plot=plot, said_badly=said_badly, looked=looked, rows=rows, most=NEWEST)


def conversation_page(
    frame: Frame, ref: str, said: Sequence[Said], chosen: str, threshold: Callable[[str], float], looked: str
) -> str:
    """Render a conversation with the mood of each of the customer's messages.

    Args:
        frame: What every page has.
        ref: Names the conversation.
        said: Its lines.
        chosen: Id of the message that led here.
        threshold: Locale -> the probability from which on a message counts as negative.
        looked: When the monitor last looked, in words.

    Returns:
        A whole HTML document.
    """
    scores = [(one.positive or 0.0) - one.negative for one in said if one.negative is not None]
    lines = [
        Quote(one.id, _cut(one.text), one.at, one.role, "", *_mood_of(one.negative, one.positive, threshold(one.locale)))
        for one in said[:MOST_LINES]
    ]
    run = trajectory(scores)
    return _page(frame, "conversation", ref=ref, lines=lines, all_lines=len(said), chosen=chosen, run=run, looked=looked)


def notice(frame: Frame, title: str, paragraphs: Sequence[str], code: str = "", back: bool = True) -> str:
    """Render a page that only says something.

    Args:
        frame: What every page has.
        title: Name of a sentence of ``console_text.py``.
        paragraphs: What it says, as text.
        code: What may be copied.
        back: Whether to lead back to the console.

    Returns:
        A whole HTML document.
    """
    words = console_words(frame.lang)
    return _page(frame, "notice", title=words[title], paragraphs=paragraphs, code=code, back=back)


def alert_cards(
    frame: Frame,
    alerts: Iterable[Alert],
    texts: Mapping[str, str],
    quiet: Mapping[str, datetime] | None = None,
    quiet_days: float = 0.0,
) -> tuple[AlertCard, ...]:
    """Make cards of alerts, in their order.

    Args:
        frame: What every page has.
        alerts: The alerts.
        texts: The texts of their typical messages by id.
        quiet: Since when their customers have been quiet, by the alert's id.
        quiet_days: After so many quiet days an alert ends.

    Returns:
        One card for each.
    """

    def known(ids: Iterable[str]) -> dict[str, str]:
        return {id: texts[id] for id in ids if id in texts}

    cards = []
    for alert in alerts:
        (row,) = alert_rows([alert], (), known, _EVER, is_negative)
        said = tuple(Quote(id, _cut(texts[id], 600)) for id in alert.quoted[:MOST_QUOTED] if id in texts)
        look = frame.filters.query(topic=alert.topic, locale=alert.locale, **_around(alert, frame))
        cards.append(
            AlertCard(row, _sure(alert, frame.lang), alert.acknowledged_at, said, look, (quiet or {}).get(alert.id), quiet_days)
        )
    return tuple(cards)


def quotes(events: Iterable[Event], texts: Mapping[str, str]) -> tuple[Quote, ...]:
    """Put negative messages and their texts together; those whose text is gone are left out."""
    return tuple(
        Quote(one.id, _cut(texts[one.id], 600), one.at, "customer", one.locale, "negative", one.negative)
        for one in events
        if one.id in texts
    )


def table(frame: Frame, counted: Counted, chosen: Sequence[Move]) -> tuple[TableRow, ...]:
    """Make the rows of the table of topics and locales, each with its small picture."""
    rows = []
    for move in chosen:
        points = counted.points(lambda topic, locale, own=move: (topic, locale) == (own.topic, own.locale))  # type: ignore[misc]
        change = move.movement.share
        ratio, low, high = (number(value, 1) for value in (change.ratio, change.interval.low, change.interval.high))
        if move.too_few or not (move.before.messages and move.now.messages and math.isfinite(change.ratio)):
            ratio = low = high = ""
        rows.append(TableRow(move, ratio, low, high, spark(frame.lang, frame.zone, move, points)))
    return tuple(rows)


def _page(frame: Frame, part: str, **values: Any) -> str:
    words, live = console_words(frame.lang), part != "notice"

    def address(**changes: str) -> str:
        said = {"message": frame.message, **changes} if frame.message else changes
        own = frame.filters.query(**{"lang": said.pop("lang", frame.filters.lang)})
        return own + ("&" if own and said else "?" if said else "") + urlencode(said)

    own_lang = {"lang": frame.filters.lang} if frame.filters.lang else {}
    return (
        _template()
        .render(
            part=part,
            live=live,
            frame=frame,
            filters=frame.filters,
            company=frame.company,
            lang=frame.lang,
            zone=str(frame.zone),
            made_at=frame.made_at,
            known=words,
            all_ranges=tuple(RANGES),
            say=lambda name, **said: words[name].format(**said),
            rich=lambda name, **said: Markup(escape(words[name])).format(**{key: _code(one) for key, one in said.items()}),
            topic=lambda name: topic_name(words, name),
            when=lambda at: moment(at, frame.zone),
            talk=lambda id: "/console/conversation?" + urlencode({"message": id} | own_lang),
            switch=[
                {"code": code, "label": label, "address": frame.path + address(lang=code)} for code, label in LANGUAGES.items()
            ],
            **({"count": 0} | values),
        )
        .strip()
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {"clean": clean, "percent": percent, "number": number, "mood": _mood, "part": _part}
    return environment.from_string(resources.files("ui").joinpath("console.html.j2").read_text(encoding="utf-8"))


def _cut(text: str, most: int = _LONGEST_TEXT) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _part(id: str) -> str:
    """Write an id as one part of a path."""
    return quote(clean(id), safe="")


def _code(text: str) -> Markup:
    return Markup("<code>{}</code>").format(text)


def _mood(score: float) -> str:
    return f"{score:+.1f}".replace("-", "−") if abs(score) >= 0.05 else "0.0"


def _mood_of(negative: float | None, positive: float | None, judge: float) -> tuple[Mood, float]:
    if negative is None:
        return "", 0.0
    if negative >= judge:
        return "negative", negative
    return ("positive", positive) if positive is not None and positive >= 0.5 else ("neutral", 0.0)


def _sure(alert: Alert, lang: str) -> str:
    """Say how sure an alert is: in English as its notices say it, in Chinese in the report's words."""
    if lang == "en":
        return how_sure(alert.signal)
    words, rate = console_words(lang), alert.signal.false_alarms_per_28_days
    days = 28 / rate if rate > 0 else math.inf
    if days > 365_000:
        return words["alert_sure_never"]
    return (
        words["alert_sure_years"].format(n=number(days / 365)) if days > 730 else words["alert_sure_days"].format(n=number(days))
    )


def _around(alert: Alert, frame: Frame) -> dict[str, Any]:
    """Choose the range that shows how an alert began and went on: four weeks up to now, or to a week after an older one."""
    seen = alert.signal.at.astimezone(frame.zone)
    ended = (frame.made_at - seen).days
    return {"range": "28d", "until": None if ended < 14 else (seen + RANGES["7d"].length).date()}


def _with(known: Sequence[str], chosen: str | None) -> tuple[str, ...]:
    """Keep what was chosen on offer, also where it had no messages."""
    return tuple(known) if chosen is None or chosen in known else tuple(sorted({*known, chosen}))
