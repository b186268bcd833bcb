"""Single values of a row -> the types of a ``Transcript``, or the reason why not.

Knows dates, ratings, roles and labels as support tools write them; does not know files or formats. Every function raises
``Broken`` with the name of the field, the value and the mend.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from assistant.formats.rows import Broken
from assistant.records import Role, Transcript, TranscriptTurn

#: Who speaks, by the words that logs use. A role that is not here is left out with its turn.
ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("customer", "user", "client", "visitor", "end-user", "end_user", "contact", "lead"), "customer"),
    **dict.fromkeys(("agent", "human", "admin", "operator", "support", "staff", "representative", "helper"), "agent"),
    **dict.fromkeys(("bot", "assistant", "chatbot", "agent_bot", "agentbot", "ai"), "bot"),
}
_EPOCH = re.compile(r"\d{9,17}(\.\d+)?")
_TRUE = frozenset({"true", "yes", "y", "1", "resolved", "solved", "closed"})
_FALSE = frozenset({"false", "no", "n", "0", "unresolved", "open", "pending", "hold", "new"})
_RATINGS = {"good": 5, "bad": 1, "1": 1, "2": 2, "3": 3, "4": 4, "5": 5}


def clean(text: str, limit: int) -> str:
    """Remove NUL, mend lone surrogates (they cannot be stored) and cut to ``limit`` characters."""
    if not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text.replace("\0", "")[:limit]


def text_of(value: object, name: str, limit: int) -> str:
    """Return a text, cleaned; ``None`` and anything that is not a string are refused."""
    if not isinstance(value, str):
        raise Broken(f"{name} is {_kind(value)}, not a text; write it in quotes")
    return clean(value, limit)


def label(value: object, name: str) -> str | None:
    """Return a short text such as an id or a contact; numbers become text, empty becomes ``None``."""
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise Broken(f"{name} is {_kind(value)}; write a text or a whole number")
    return clean(str(value), 500).strip() or None


def language(value: object) -> str | None:
    """Return ``en`` for ``en``, ``EN-gb`` and ``en_GB``."""
    name = label(value, "lang")
    return re.split(r"[-_]", name, maxsplit=1)[0].lower() or None if name else None


def moment(value: object, name: str) -> datetime | None:
    """Read ISO 8601, or unix time in seconds, milliseconds or microseconds; a time without a zone is UTC.

    Args:
        value: Text, number, or ``None``.
        name: The field's name, for the message.

    Returns:
        An aware time in UTC, or ``None`` when there is none.

    Raises:
        Broken: If it is no time.
    """
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            written = value.strip()
            if _EPOCH.fullmatch(written):
                return _from_epoch(float(written))
            read = datetime.fromisoformat(re.sub(r"\s*(UTC|GMT)$", "+00:00", written))
            return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return _from_epoch(float(value))
    except (ValueError, OverflowError, OSError):
        pass
    raise Broken(f"{name} = {_shown(value)} is no time; write ISO 8601 (2025-03-01T09:30:00Z) or unix seconds")


def _from_epoch(number: float) -> datetime:
    if not math.isfinite(number) or number < 0:
        raise ValueError("outside of unix time")
    scale = 1.0 if number < 1e11 else 1e3 if number < 1e14 else 1e6
    return datetime.fromtimestamp(number / scale, UTC)


def rating_of(value: object) -> int | None:
    """Return 1 to 5 for a number or its digit; ``good`` is 5 and ``bad`` is 1."""
    if value is None or value == "":
        return None
    number = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip().lower()
    if isinstance(value, bool) or number not in _RATINGS:
        raise Broken(f"rating = {_shown(value)} is not 1 to 5, good or bad; leave it empty when there is none")
    return _RATINGS[number]


def truth(value: object, name: str) -> bool | None:
    """Return yes or no for ``true``, ``1``, ``solved``, ``open`` and the like."""
    if value is None or value == "" or isinstance(value, bool):
        return value if isinstance(value, bool) else None
    word = str(value).strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Broken(f"{name} = {_shown(value)} is neither true nor false")


def items(value: object, name: str) -> list[dict[str, Any]]:
    """Return a list of objects; anything else is refused."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise Broken(f"{name} is {_kind(value)}, not a list of objects")
    if not value:
        raise Broken(f"no turns: {name} is empty")
    return value


def child(value: object) -> dict[str, Any]:
    """Return a nested object, or an empty one in its place."""
    return value if isinstance(value, dict) else {}


def in_order(turns: Sequence[TranscriptTurn]) -> tuple[TranscriptTurn, ...]:
    """Sort by time when every turn has one; exports may be newest first."""
    if any(turn.at is None for turn in turns):
        return tuple(turns)
    return tuple(sorted(turns, key=lambda turn: turn.at or datetime.min.replace(tzinfo=UTC)))


def transcript(
    where: str,
    turns: Sequence[TranscriptTurn],
    *,
    id: str | None = None,
    lang: str | None = None,
    contact: str | None = None,
    resolved: bool | None = None,
    rating: int | None = None,
    intent: str | None = None,
    started_at: datetime | None = None,
    channel: str | None = None,
) -> Transcript:
    """Build a transcript, with an id made of its content when it has none.

    Raises:
        Broken: If neither a customer nor an agent says anything.
    """
    if not any(turn.role != "bot" for turn in turns):
        raise Broken("no customer or agent turn is left; check the names of the roles")
    if id is None:
        digest = hashlib.sha256()
        for part in (contact or "", intent or "", *(part for turn in turns for part in (turn.role, turn.text))):
            digest.update(part.encode() + b"\0")
        id = f"t-{digest.hexdigest()[:20]}"
    started_at = started_at or turns[0].at
    return Transcript(id, tuple(turns), where, lang, contact, resolved, rating, intent, started_at, channel)


def _kind(value: object) -> str:
    names = {type(None): "missing", dict: "an object", list: "a list", bool: "true or false", str: "a text"}
    return names.get(type(value), "a number" if isinstance(value, (int, float)) else type(value).__name__)


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
