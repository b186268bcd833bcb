"""Personal data becomes typed placeholders such as ``[EMAIL_1]`` before anything is stored or indexed.

Placeholders are numbered within one conversation, and the same value keeps its placeholder there; that state is ``Memory``.
What personal data looks like is known to ``personal_data.py`` and ``personal_names.py``; this file only decides between
overlapping finds and replaces them. Knows nothing of stores, and never keeps a value except order and tracking numbers.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.errors import SettingsError, StoreError
from assistant.personal_data import (
    Span,
    cards,
    emails,
    ibans,
    network_addresses,
    order_numbers,
    passwords,
    phones,
    social_numbers,
)
from assistant.personal_names import addresses, names

#: Kinds whose value stays usable inside its own conversation, with the name of the slot it fills.
SLOT_NAMES = {"ORDER": "order_number", "TRACKING": "tracking_number"}
#: A replacement can uncover one more find (a name behind a number); so many rounds settle it.
MAX_ROUNDS = 8

_PLACEHOLDER = re.compile(r"\[([A-Z]{2,12})_(\d{1,3})\]")
_PROTECTED = re.compile(
    r"\[(?!(?:at|dot|punkt|ät)\])[^\W\d_][^\W\d]{0,14}(?:[ /'’-][^\W\d]{1,20}){0,5}(?:_?\d{1,6})?\]"
    r"|\{\{? ?[^\W\d][^\W\d]{0,30}(?:[ /'’-][^\W\d]{1,20}){0,5}(?:_?\d{1,3})? ?\}?\}",
    re.I,
)


@dataclass(frozen=True, slots=True)
class Finding:
    """One piece of personal data: where it stood in the original text, and the placeholder that took its place."""

    kind: str
    placeholder: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Redaction:
    """The text with placeholders, and what was found, in order of place; findings never overlap."""

    text: str
    found: tuple[Finding, ...]


class Memory:
    """Which value has which placeholder in one conversation.

    Values are kept as keyed hashes (BLAKE2b), order and tracking numbers also in clear.
    """

    def __init__(self, salt: str) -> None:
        """Start empty.

        Args:
            salt: A secret of this installation; whoever knows it could guess phone numbers from a stored memory.
        """
        self._key = hashlib.blake2b(salt.encode("utf-8", "surrogatepass"), digest_size=32).digest()
        self._placeholders: dict[str, str] = {}  # hash -> placeholder
        self._counts: dict[str, int] = {}
        self._kept: dict[str, str] = {}  # placeholder of an order or tracking number -> value, latest last

    def placeholder(self, kind: str, value: str) -> str:
        """Return the placeholder of a value, a new one if it was not seen in this conversation.

        Args:
            kind: Type such as ``EMAIL``.
            value: As written; case, spaces and punctuation make no difference.

        Returns:
            For example ``[EMAIL_1]``.
        """
        folded = f"{kind}:{_fold(kind, value)}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(folded, key=self._key, digest_size=16).hexdigest()
        if digest not in self._placeholders:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._placeholders[digest] = f"[{kind}_{self._counts[kind]}]"
        placeholder = self._placeholders[digest]
        if kind in SLOT_NAMES:
            self._kept.pop(placeholder, None)
            self._kept[placeholder] = value
        return placeholder

    def reserve(self, text: str) -> None:
        """Keep the numbers of placeholders that a text already holds from being given to other values.

        Args:
            text: A text about to be redacted.
        """
        for match in _PLACEHOLDER.finditer(text):
            self._counts[match[1]] = max(self._counts.get(match[1], 0), int(match[2]))

    def slots(self) -> dict[str, str]:
        """Return the latest order and tracking number of this conversation.

        Returns:
            ``{"order_number": ..., "tracking_number": ...}``, without what was not mentioned.
        """
        return {SLOT_NAMES[placeholder[1:].split("_")[0]]: value for placeholder, value in self._kept.items()}

    def numbers(self) -> dict[str, str]:
        """Return every order and tracking number under its own placeholder.

        Returns:
            For example ``{"[ORDER_1]": "12345"}``, the latest last.
        """
        return dict(self._kept)

    def as_dict(self) -> dict[str, Any]:
        """Return what may be stored: hashes, counts, and order and tracking numbers with their value.

        Returns:
            An object that JSON can hold, for ``from_dict``.
        """
        return {"placeholders": dict(self._placeholders), "counts": dict(self._counts), "kept": dict(self._kept)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], salt: str) -> Memory:
        """Take up a stored conversation again.

        Args:
            data: What ``as_dict`` gave.
            salt: The same salt; with another one known values get new placeholders.

        Returns:
            The memory as it was.

        Raises:
            StoreError: If the object is not one that ``as_dict`` makes.
        """
        memory = cls(salt)
        try:
            memory._placeholders = {str(key): str(value) for key, value in data["placeholders"].items()}
            memory._counts = {str(key): int(value) for key, value in data["counts"].items()}
            memory._kept = {str(key): str(value) for key, value in data["kept"].items()}
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise StoreError(
                f"a stored redaction memory cannot be read ({error!r}); it needs placeholders, counts "
                "and kept: drop it to start anew"
            ) from error
        return memory


class Redactor:
    """Finds personal data with patterns compiled once; one instance serves all conversations and threads."""

    def __init__(self, order_patterns: Sequence[str], tracking_patterns: Sequence[str], phone_regions: Sequence[str]) -> None:
        """Compile the company's own patterns.

        Args:
            order_patterns: Regular expressions of order numbers, matched whole and in any case.
            tracking_patterns: The same for tracking numbers.
            phone_regions: ISO 3166 codes whose national phone numbers are looked for.

        Raises:
            SettingsError: Naming every pattern or region that cannot be used.
        """
        faults: list[str] = []
        self._own = [
            (kind, pattern)
            for kind, key, sources in (("TRACKING", "tracking", tracking_patterns), ("ORDER", "order", order_patterns))
            for pattern in _compiled(f"redact.{key}_patterns", sources, faults)
        ]
        for region in phone_regions:
            if not re.fullmatch(r"[A-Za-z]{2}", region):
                faults.append(f"redact.phone_regions: {region!r} is no region; use two letters such as 'GB'")
        if faults:
            raise SettingsError(faults)
        self._regions = tuple(region.upper() for region in phone_regions)

    def redact(self, text: str, memory: Memory) -> Redaction:
        """Replace personal data by placeholders; a text that was redacted before stays as it is.

        Args:
            text: One message or passage, any length; time is linear in it.
            memory: The conversation's memory, which is extended.

        Returns:
            The new text and the findings, with offsets into ``text``.
        """
        memory.reserve(text)
        found: list[Finding] = []
        redacted = text
        for _ in range(MAX_ROUNDS):
            spans = self._spans(redacted)
            if not spans:
                break
            redacted, found = _replace(redacted, spans, found, memory)
        return Redaction(redacted, tuple(found))

    def _spans(self, text: str) -> list[Span]:
        """Return what to replace, sorted and free of overlaps; the earlier finder wins."""
        taken = bytearray(len(text))
        for match in _PROTECTED.finditer(text):
            taken[match.start() : match.end()] = b"\x01" * (match.end() - match.start())
        spans = []
        for span in self._candidates(text):
            if span.start < span.end and not any(taken[span.start : span.end]):
                taken[span.start : span.end] = b"\x01" * (span.end - span.start)
                spans.append(span)
        return sorted(spans, key=lambda span: span.start)

    def _candidates(self, text: str) -> Iterator[Span]:
        has_digit = any(char.isdigit() for char in text)
        yield from passwords(text)
        yield from emails(text)
        for kind, pattern in self._own:
            for match in pattern.finditer(text):
                yield Span(kind, match.start(), match.end())
        if has_digit:
            yield from ibans(text)
            yield from network_addresses(text)
            yield from social_numbers(text)
            yield from order_numbers(text)
            yield from cards(text)
            yield from addresses(text)
            yield from phones(text, self._regions)
        yield from names(text)


def fill(text: str, slots: Mapping[str, str]) -> str:
    """Put order and tracking numbers back into a reply to the customer who gave them.

    Args:
        text: A reply with placeholders such as ``[ORDER_1]``.
        slots: ``Memory.slots()``, or ``Memory.numbers()`` where each placeholder shall get its own value; the latter wins.

    Returns:
        The text; placeholders of other kinds, or without a value, stay.
    """

    def value(match: re.Match[str]) -> str:
        return slots.get(match[0]) or slots.get(SLOT_NAMES.get(match[1], "")) or match[0]

    return _PLACEHOLDER.sub(value, text)


def _replace(text: str, spans: Sequence[Span], found: Sequence[Finding], memory: Memory) -> tuple[str, list[Finding]]:
    """Replace spans of the half-redacted text; their offsets are moved back to the original by what was found before."""
    pieces: list[str] = []
    merged: list[Finding] = []
    earlier = iter(found)
    following = next(earlier, None)
    position = shift = 0  # original offset = offset in text + shift
    for span in spans:
        while following is not None and following.end <= span.start + shift + _growth(following):
            shift += _growth(following)
            merged.append(following)
            following = next(earlier, None)
        placeholder = memory.placeholder(span.kind, text[span.start : span.end])
        pieces += [text[position : span.start], placeholder]
        position = span.end
        merged.append(Finding(span.kind, placeholder, span.start + shift, span.end + shift))
    if following is not None:
        merged += [following, *earlier]
    return "".join([*pieces, text[position:]]), merged


def _growth(finding: Finding) -> int:
    return finding.end - finding.start - len(finding.placeholder)


def _compiled(key: str, sources: Sequence[str], faults: list[str]) -> list[re.Pattern[str]]:
    patterns = []
    for source in sources:
        try:
            patterns.append(re.compile(rf"(?<![A-Za-z0-9])(?:{source})(?![A-Za-z0-9])", re.IGNORECASE))
        except re.error as error:
            faults.append(f"{key}: {source!r} is no regular expression ({error}); mend it or leave it out")
    return patterns


def _fold(kind: str, value: str) -> str:
    """Return the form in which two spellings of one value are equal."""
    if kind == "NAME":
        return " ".join(value.casefold().split())
    if kind == "PASSWORD":
        return value
    if kind == "EMAIL":
        value = re.sub(r"(?<=[\s(\[{<])(?:dot|punkt)(?=[\s)\]}>])", ".", value.lower())
        value = re.sub(r"(?<=[\s(\[{<])(?:at|ät)(?=[\s)\]}>])", "@", value)
        return re.sub(r"[\s()\[\]{}<>]", "", value)
    folded = "".join(char for char in value.casefold() if char.isalnum())
    return folded.removeprefix("00") if kind == "PHONE" else folded
