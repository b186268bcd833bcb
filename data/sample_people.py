"""Who writes to the sample company and when: contacts, agents' hours, the seasons of a year.

It knows nothing of what they write. All names are invented, e-mail addresses are at example.com and example.org (RFC 2606),
phone numbers lie in ranges set aside for fiction (Ofcom's 07700 900xxx, +49 176 040690xx, NANP 555-01xx) or use 1990000xxxx.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from random import Random

from sample_words import pick

FIRST_DAY, LAST_DAY = date(2025, 11, 1), date(2026, 10, 31)
BAD_WEEK = (date(2026, 3, 9), date(2026, 3, 15))
CET = timezone(timedelta(hours=1))
WEEKDAY_WEIGHTS = (1.30, 1.15, 1.05, 1.0, 0.95, 0.75, 0.55)
HOUR_WEIGHTS = (1, 1, 0, 0, 0, 1, 3, 8, 16, 22, 24, 20, 18, 19, 18, 18, 18, 19, 22, 24, 22, 16, 9, 4)
# China's afternoon is the European morning.
HOUR_WEIGHTS_ZH = (4, 10, 16, 20, 18, 14, 18, 22, 24, 20, 16, 12, 16, 18, 14, 8, 4, 2, 1, 0, 0, 0, 1, 2)
# November sales, Christmas, the spring lull, the summer holidays.
MONTH_WEIGHTS = {11: 1.25, 12: 1.35, 1: 1.15, 2: 0.95, 3: 0.95, 4: 0.95, 5: 1.0, 6: 0.95, 7: 0.9, 8: 0.9, 9: 1.05, 10: 1.1}
GROWTH = 0.45


@dataclass(frozen=True)
class Contact:
    """One invented customer."""

    id: str
    lang: str
    first_name: str
    last_name: str
    email: str
    phone: str
    city: str
    address: str

    @property
    def full_name(self) -> str:
        """The name as its owner writes it: Chinese family names come first."""
        return f"{self.last_name}{self.first_name}" if self.lang == "zh" else f"{self.first_name} {self.last_name}"


def make_contact(number: int, lang: str, pools: dict[str, list[str]], seed: str) -> Contact:
    """Invent a customer.

    Args:
        number: which one; it becomes the id, such as "c0417".
        lang: "en" or "zh".
        pools: the phrases of that language, with names, cities and streets.
        seed: the seed of the whole sample.

    Returns:
        The customer, the same for the same arguments.
    """
    rng = Random(f"{seed}:contact:{number}")
    first, last, city = pick(rng, pools["first_name"]), pick(rng, pools["last_name"]), pick(rng, pools["city"])
    street, house, tail = pick(rng, pools["street"]), 1 + int(rng.random() * 140), int(rng.random() * 1000)
    host = pick(rng, ("example.com", "example.org", "mail.example.com", "example.net"))
    if lang == "zh":
        local = pick(rng, ("sunny", "leaf", "star", "river", "cat", "moon", "bear", "tea", "cloud", "fish")) + f"{100 + tail}"
        address = f"{city}市{street}{house}号{1 + tail % 20}栋{100 * (1 + tail % 15) + 1 + tail % 4}室"
        return Contact(f"c{number:04}", lang, first, last, f"{local}@{host}", f"1990000{tail:04}", city, address)
    plain = "".join(letter for letter in f"{first}.{last}".lower() if letter.isascii() and (letter.isalpha() or letter == "."))
    local = pick(rng, (plain, plain.replace(".", "_"), f"{plain}{tail % 90 + 10}", f"{plain[0]}.{plain.split('.')[1]}"))
    phone = pick(
        rng, (f"07700 900{tail:03}", f"+44 7700 900{tail:03}", f"+49 176 040690{tail % 100:02}", f"+1 202 555 01{tail % 100:02}")
    )
    address = f"{house} {street}, {10000 + tail * 71} {city}"
    return Contact(f"c{number:04}", lang, first, last, f"{local}@{host}", phone, city, address)


def choose_start(rng: Random, lang: str, days: Sequence[date]) -> datetime:
    """Choose when a conversation begins, by growth, month, weekday and hour.

    Args:
        rng: the source of chance.
        lang: "en" or "zh"; Chinese customers write at other hours.
        days: the days that may be chosen.

    Returns:
        A time in CET.
    """
    day = days[_weighted(rng, [_day_weight(day) for day in days])]
    hour = _weighted(rng, HOUR_WEIGHTS_ZH if lang == "zh" else HOUR_WEIGHTS)
    return datetime.combine(day, time(hour, int(rng.random() * 60), int(rng.random() * 60)), CET)


def all_days() -> list[date]:
    """Return the sample's twelve months day by day, in order.

    Returns:
        2025-11-01 to 2026-10-31.
    """
    return [FIRST_DAY + timedelta(days=number) for number in range((LAST_DAY - FIRST_DAY).days + 1)]


def next_open(moment: datetime) -> datetime:
    """Return the first moment, from the given one on, at which agents work (Mon-Sat 8:00-20:00 CET).

    Args:
        moment: a time in CET.

    Returns:
        The same time, or the next opening plus the seconds past the hour, so that not all answers come at once.
    """
    if moment.weekday() < 6 and 8 <= moment.hour < 20:
        return moment
    day = moment.date() if moment.hour < 8 else moment.date() + timedelta(days=1)
    if day.weekday() == 6:
        day += timedelta(days=1)
    return datetime.combine(day, time(8, moment.minute // 2, moment.second), CET)


def _day_weight(day: date) -> float:
    grown = 1 + GROWTH * (day - FIRST_DAY).days / 365
    return grown * MONTH_WEIGHTS[day.month] * WEEKDAY_WEIGHTS[day.weekday()]


def _weighted(rng: Random, weights: Sequence[float]) -> int:
    heights, total = [], 0.0
    for weight in weights:
        total += weight
        heights.append(total)
    return min(bisect(heights, rng.random() * total), len(weights) - 1)
