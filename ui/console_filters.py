"""What the address of a console page says: range, step, topic, locale, end and language; read leniently, written shortly.

An address may be typed, kept or sent by anybody, so that what does not fit is put right and never an error. Knows no HTTP.
Before: a request's query. After: ``console.py`` and the links of ``console_html.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta, tzinfo
from typing import Any
from urllib.parse import urlencode

from ui.chat_text import LANGUAGES
from ui.console_counts import RANGES, USUAL, Range, step_of
from ui.plain_text import mend

#: In an address, the topic of messages that no adapter named one for; an empty one means all topics.
NO_TOPIC = "-"
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Filters:
    """What is looked at; ``None`` is all of them, or now. ``lang`` is empty where the browser's language counts."""

    range: str = USUAL
    step: str = RANGES[USUAL].steps[0]
    topic: str | None = None
    locale: str | None = None
    until: date | None = None
    lang: str = ""

    @property
    def length(self) -> Range:
        """The range itself."""
        return RANGES[self.range]

    def pick(self, topic: str, locale: str) -> bool:
        """Say whether a stream is looked at."""
        return self.topic in (None, topic) and self.locale in (None, locale)

    def end(self, now: datetime, zone: tzinfo) -> datetime:
        """Return the range's end: now, or the end of the day that was chosen if that is earlier."""
        if self.until is None:
            return now
        following = self.until + timedelta(days=1)
        return min(now, datetime(following.year, following.month, following.day, tzinfo=zone))

    def query(self, **changes: Any) -> str:
        """Write the query of an address.

        Args:
            changes: Fields that are other there; another range brings its own step.

        Returns:
            ``?…``, or nothing where everything is as usual.
        """
        if "range" in changes and "step" not in changes:
            changes["step"] = RANGES[changes["range"]].steps[0]
        other = replace(self, **changes)
        said = {
            "range": other.range if other.range != USUAL else "",
            "step": other.step if other.step != other.length.steps[0] else "",
            "topic": NO_TOPIC if other.topic == "" else other.topic or "",
            "locale": other.locale or "",
            "until": other.until.isoformat() if other.until else "",
            "lang": other.lang,
        }
        written = urlencode({name: value for name, value in said.items() if value})
        return f"?{written}" if written else ""


def read_filters(query: Mapping[str, str]) -> Filters:
    """Read a query.

    Args:
        query: Name -> value, as sent.

    Returns:
        The filters; what is missing or does not fit is as usual.
    """
    told = {name: mend(query.get(name, ""))[:_LONGEST].strip() for name in ("range", "step", "topic", "locale", "until", "lang")}
    length = RANGES.get(told["range"], RANGES[USUAL])
    return Filters(
        range=length.name,
        step=step_of(length, told["step"]),
        topic="" if told["topic"] == NO_TOPIC else told["topic"] or None,
        locale=told["locale"] or None,
        until=_day(told["until"]),
        lang=told["lang"] if told["lang"] in LANGUAGES else "",
    )


def _day(written: str) -> date | None:
    try:
        day = date.fromisoformat(written)
    except ValueError:
        return None
    return day if 1970 < day.year < 9000 else None
