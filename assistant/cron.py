"""Reads a cron expression of five fields as crontab(5) means it: numbers out, or a sentence that says what is wrong.

Knows no clock and no time zone. ``settings.py`` refuses by it what cannot be read; ``finetune/schedule.py`` works out times.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from assistant.errors import UsageError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: Field -> lowest and highest number; Sunday is 0 and 7.
_FIELDS = {"minute": (0, 59), "hour": (0, 23), "day of month": (1, 31), "month": (1, 12), "day of week": (0, 7)}
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ITEM = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?")


@dataclass(frozen=True, slots=True)
class Cron:
    """When something shall happen, each field as its numbers in ascending order; ``weekdays`` count from Sunday, 0.

    As crontab(5) has it: where neither day field begins with ``*``, a day counts if either of them names it.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    either_day: bool

    @property
    def every_hour(self) -> bool:
        """Say whether no hour is left out."""
        return len(self.hours) == 24


def read_cron(expression: str) -> Cron:
    """Read a cron expression.

    Args:
        expression: Minute, hour, day of month, month, day of week; lists, ranges, steps and English names are understood.

    Returns:
        Its fields.

    Raises:
        UsageError: If it cannot be read, or names a day that no month has.
    """
    words = expression.lower().split()
    if len(words) != len(_FIELDS):
        raise UsageError(
            f"{len(words)} fields, a cron expression has five: minute, hour, day of month, month, day of week; "
            '"0 3 * * *" is every night at three'
        )
    minutes, hours, days, months, weekdays = (_numbers(word, field) for word, field in zip(words, _FIELDS, strict=True))
    either = not words[2].startswith("*") and not words[4].startswith("*")
    if not either and min(days) > max(_LONGEST_MONTH[month - 1] for month in months):
        raise UsageError(f"no month of {words[3]!r} has a day {min(days)}, so this time never comes; name another day")
    return Cron(minutes, hours, days, months, tuple(sorted({day % 7 for day in weekdays})), either)


def _numbers(word: str, field: str) -> tuple[int, ...]:
    low, high = _FIELDS[field]
    found: set[int] = set()
    for item in word.split(","):
        parts = _ITEM.fullmatch(item)
        if parts is None:
            raise UsageError(f"{field} {item!r} cannot be read; write *, a number, 1-5, */15, or a list of these")
        star, first, last, step = parts.groups()
        begin, end = (low, high) if star else (_number(first, field), _number(last or first, field))
        if step and not star and not last:
            end = high  # 5/15 is 5-59/15
        if begin > end:
            raise UsageError(f"{field} {item!r} ends before it begins; write it as two ranges")
        if step and int(step) == 0:
            raise UsageError(f"{field} {item!r} has a step of 0; a step is 1 or more")
        found.update(range(begin, end + 1, int(step or 1)))
    return tuple(sorted(found))


def _number(word: str, field: str) -> int:
    names = {"month": _MONTHS, "day of week": _WEEKDAYS}.get(field, ())
    low, high = _FIELDS[field]
    if word in names:
        return names.index(word) + low
    if not (word.isascii() and word.isdigit()) or not low <= int(word) <= high:
        raise UsageError(
            f"{field} {word!r} is not between {low} and {high}" + (f" or one of {', '.join(names)}" if names else "")
        )
    return int(word)
