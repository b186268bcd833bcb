"""Words of the sample company: placeholders filled, dates as people write them, and the noise of typing.

It knows nothing of intents or the course of a conversation. Everything random comes from the generator passed in, and
only through ``random()``, which Python promises to keep the same from version to version.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import TypeVar

T = TypeVar("T")

WEEKDAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "zh": ("周一", "周二", "周三", "周四", "周五", "周六", "周日"),
}
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
HOMOPHONES = (
    ("快递", "快第"), ("收到", "受到"), ("的话", "得话"), ("怎么", "咋么"), ("退款", "退宽"), ("订单", "定单"), ("账户", "帐户"),
    ("登录", "登陆"), ("充电", "冲电"), ("什么", "神马"), ("已经", "以经"), ("为什么", "为森么"), ("那里", "哪里"), ("再", "在"),
    ("联系", "连系"), ("发票", "发漂"), ("没有", "木有"), ("客服", "克服"), ("取消", "取削"), ("摄像头", "摄象头"),
)  # fmt: skip
PINYIN = (("快递", "kuaidi"), ("退款", "tuikuan"), ("客服", "kefu"), ("谢谢", "xiexie"), ("怎么", "zenme"), ("发票", "fapiao"))

_MARK = re.compile(r"<([^<>\s](?:[^<>]*[^<>\s])?)>|\{([a-z_]+)\}")
# Words that redaction and slots live on stay as they are: numbers, addresses, links.
_FIXED = re.compile(r"\d|@|://|\[")


@dataclass(frozen=True)
class Marked:
    """A filled text and the spans of what was filled or bracketed: ``(start, end, slot)`` in characters."""

    text: str
    spans: list[tuple[int, int, str]]


def pick(rng: Random, items: Sequence[T]) -> T:
    """Choose one item.

    Args:
        rng: the source of chance.
        items: what to choose from, not empty.

    Returns:
        One of the items, all equally likely.
    """
    return items[int(rng.random() * len(items))]


def shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    """Return the items in a new order (Fisher and Yates).

    Args:
        rng: the source of chance.
        items: what to reorder.

    Returns:
        A new list.
    """
    order = list(items)
    for last in range(len(order) - 1, 0, -1):
        other = int(rng.random() * (last + 1))
        order[last], order[other] = order[other], order[last]
    return order


def fill(text: str, values: dict[str, str], slots: dict[str, str] | None = None) -> Marked:
    """Put values for placeholders and drop angle brackets, noting where both ended up.

    Args:
        text: a source text with ``{placeholders}`` and ``<devices>``.
        values: the value of each placeholder.
        slots: the slot name under which a placeholder's span is noted; others are not. Devices are always "product".

    Returns:
        The text as written by a person, and the spans in reading order.

    Raises:
        KeyError: a placeholder has no value.
    """
    parts: list[str] = []
    spans: list[tuple[int, int, str]] = []
    length = end = 0
    for mark in _MARK.finditer(text):
        parts.append(text[end : mark.start()])
        length += len(parts[-1])
        value = mark[1] or values[mark[2]]
        slot = "product" if mark[1] else (slots or {}).get(mark[2])
        if slot:
            spans.append((length, length + len(value), slot))
        parts.append(value)
        length, end = length + len(value), mark.end()
    return Marked("".join(parts) + text[end:], spans)


def write_date(rng: Random, day: date, today: date, lang: str, customer: bool) -> str:
    """Write a date as a person would.

    Args:
        rng: the source of chance.
        day: the date.
        today: the day of writing; only near dates are written short.
        lang: "en" or "zh".
        customer: customers write more loosely than agents.

    Returns:
        The date, to stand after "on", "by" or "until" in English.
    """
    distance = (day - today).days
    if abs(distance) > 150:
        return f"{day.year}年{day.month}月{day.day}日" if lang == "zh" else f"{day.day} {MONTHS[day.month - 1]} {day.year}"
    if lang == "zh":
        forms = [f"{day.month}月{day.day}日", f"{day.month}月{day.day}号"]
        if customer:
            forms += [f"{day.month}.{day.day}"] + ([f"{day.day}号"] if abs(distance) < 15 else [])
        return pick(rng, forms)
    month = MONTHS[day.month - 1]
    forms = [f"{day.day} {month}", f"{WEEKDAYS['en'][day.weekday()]} {day.day} {month}", f"{month} {day.day}"]
    if customer:
        forms += [f"{day.day} {month[:3]}", f"{day.day:02}/{day.month:02}"]
        forms += [f"the {ordinal(day.day)}"] * 2 if abs(distance) < 15 else []
    if 1 < distance < 6:
        forms += [WEEKDAYS["en"][day.weekday()]] * 2
    return pick(rng, forms)


def ordinal(number: int) -> str:
    """Write an English ordinal.

    Args:
        number: a day of the month.

    Returns:
        Such as "21st".
    """
    ending = "th" if number in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def write_order(rng: Random, number: str) -> str:
    """Write an order number the way customers do.

    Args:
        rng: the source of chance.
        number: such as "FW-204518".

    Returns:
        Mostly unchanged; sometimes with a space, in lower case or without the hyphen.
    """
    digits = number.removeprefix("FW-")
    return pick(
        rng, (number, number, number, number, f"FW{digits}", f"fw-{digits}", f"fw{digits}", f"FW {digits}", f"fw {digits}")
    )


def add_noise(rng: Random, text: str, lang: str) -> str:
    """Mistype a text a little, leaving numbers, addresses and links alone.

    Args:
        rng: the source of chance.
        text: what the customer meant to type.
        lang: "en" or "zh".

    Returns:
        The text with one to three slips.
    """
    if lang == "zh":
        return _noise_zh(rng, text)
    words = text.split(" ")
    kind = rng.random()
    if kind < 0.25:
        return " ".join(word if _FIXED.search(word) else word.lower() for word in words)
    if kind < 0.35:
        return text.replace("'", "").replace("’", "")
    slips = 1 + int(rng.random() * min(3, len(words) / 8 + 1))
    for place in shuffled(rng, range(len(words)))[:slips]:
        if len(words[place]) > 3 and not _FIXED.search(words[place]):
            words[place] = _slip(rng, words[place])
    if rng.random() < 0.15 and len(words) > 5:
        place = 1 + int(rng.random() * (len(words) - 3))
        if not _FIXED.search(words[place] + words[place + 1]):
            words[place : place + 2] = [words[place] + words[place + 1]]
    return " ".join(words)


def _slip(rng: Random, word: str) -> str:
    place = 1 + int(rng.random() * (len(word) - 2))
    kind, letter = rng.random(), word[place]
    if not letter.isalpha() or not letter.isascii():
        return word
    if kind < 0.3:
        return word[:place] + word[place + 1 :]
    if kind < 0.5:
        return word[:place] + letter + word[place:]
    if kind < 0.75 and word[place + 1].isalpha():
        return word[:place] + word[place + 1] + letter + word[place + 2 :]
    row = next(row for row in ROWS if letter.lower() in row)
    near = row[max(0, row.index(letter.lower()) - 1) : row.index(letter.lower()) + 2].replace(letter.lower(), "")
    return word[:place] + pick(rng, near) + word[place + 1 :]


def _noise_zh(rng: Random, text: str) -> str:
    kind = rng.random()
    if kind < 0.4:
        bare = re.sub(r"[，、,]", " ", re.sub(r"[。！!.]+$", "", text))
        return bare if kind < 0.25 else bare.replace(" ", "")
    pairs = HOMOPHONES if kind < 0.85 else PINYIN
    fitting = [pair for pair in pairs if pair[0] in text]
    if fitting:
        right, wrong = pick(rng, fitting)
        return text.replace(right, wrong, 1)
    return re.sub(r"[。！]$", "", text)
