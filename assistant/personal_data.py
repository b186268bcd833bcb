"""Where numbers that belong to a person stand in a text: e-mail, IBAN, card, phone, order, tracking and the like.

Knows nothing of placeholders, conversations or storage; ``personal_names.py`` does the same for names and addresses, and
``redact.py`` comes after both. Every pattern is bounded, or anchored so that each run of characters is walked once: a hostile
message of any kind costs time linear in its length.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

#: After so many look-ups in one text the shape alone decides, and a doubtful number is taken out.
MAX_PHONE_LOOKUPS = 100

_LETTER = r"A-Za-z0-9\u00c0-\u024f"
_OPEN, _CLOSE = r"[(\[{<] ?", r" ?[)\]}>]"
_AT = rf"(?:@| @ | ?{_OPEN}(?:at|@|ät){_CLOSE} ?)"
_DOT = rf"(?:\.| ?{_OPEN}(?:dot|punkt|\.){_CLOSE} ?| dot )"
_EMAIL_TAIL = re.compile(rf"{_AT}(?P<host>[{_LETTER}-]{{1,63}}(?:{_DOT}[{_LETTER}-]{{1,63}}){{0,8}})", re.I)
_SPOKEN_TAIL = re.compile(rf" at (?P<host>[{_LETTER}-]{{1,63}}(?: dot [{_LETTER}-]{{2,63}}){{1,4}})", re.I)
_LOCAL = re.compile(rf"[{_LETTER}._%+'-]{{1,64}}")

_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}")
_IBAN_SHAPE = re.compile(r"[A-Za-z0-9]{15,34}|[A-Za-z]{2}\d{2}(?:[ -][A-Za-z0-9]{4}){2,7}(?:[ -][A-Za-z0-9]{1,3}\b)?")
_IBAN_CUE = re.compile(r"iban|bank|konto|account|账号", re.I)

_GAP = r"[ \u00a0.\-\u2010-\u2015]"
_CARD = re.compile(
    rf"(?<![A-Za-z0-9+])(?<![A-Za-z0-9]-)(?:\d{{4}}{_GAP}\d{{4}}{_GAP}\d{{4}}{_GAP}\d{{1,7}}"
    rf"|\d{{4}}{_GAP}\d{{6}}{_GAP}\d{{4,5}}|\d{{12,19}})(?![A-Za-z0-9])"
)
_CARD_CUE = re.compile(
    r"\b(?:card|cards|cc|visa|master ?card|amex|credit|debit|maestro|discover|carte|tarjeta)\b|karte|卡号|信用卡|银行卡", re.I
)

_IPV4 = re.compile(r"(?<![\w.])(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)(?![\w]|\.\d)", re.A)
_IPV6 = re.compile(r"(?<![\w:])(?:[0-9a-f]{1,4}:){2,7}(?::?[0-9a-f]{1,4})(?::[0-9a-f]{1,4}){0,5}(?![\w:])", re.I | re.A)

_SSN = re.compile(
    r"(?<![\w-])(?:\d{3}-\d{2}-\d{4}"  # United States
    r"|[A-Z]{2} ?\d{2} ?\d{2} ?\d{2} ?[A-D]"  # United Kingdom
    r"|[1-9]\d{5}(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx])(?![\w-])",  # China
    re.A,
)
_SSN_SPOKEN = re.compile(r"\b(?:ssn|social security(?: number| no\.?)?)(?: is|:)? {0,2}(\d{3}[ -]?\d{2}[ -]?\d{4})(?!\d)")

_PASSWORD = re.compile(
    r"(?:\b(?:pass ?word|pass ?code|passwort|kennwort|mot de passe|contraseña|pin(?: code)?)|密码)"
    r"(?P<link> ?(?:is|was|ist|est|es|=|是|为) ?| ?[:：] ?)(?P<value>[^\s\[\]{}]{3,64})",
)

_NUMBER_WORD = r"(?:numbers?|num\.?|nr\.?|no\.?|n°|id|code|ref(?:erence)?)"
_LINK = rf"[ ]?(?:{_NUMBER_WORD})?[ ]?(?:is|was|:|：|ist|=|是|为)?[ ]?[#№]?[ ]?"
_VALUE = r"(?P<value>[A-Za-z0-9][A-Za-z0-9-]{2,29})(?![A-Za-z0-9])"
_TRACKING_CUE = re.compile(
    rf"(?:\b(?:tracking|track|shipment|parcel|waybill|sendung\w{{0,10}})|(?:运|快递|物流)单号){_LINK}{_VALUE}"
)
_ORDER_CUE = re.compile(
    rf"(?:\b(?:order|purchase|booking|reservation|bestell\w{{0,8}}|auftrag\w{{0,8}}|commande|pedido|ordine)"
    rf"|订单(?:编号|号码|号)?|单号){_LINK}{_VALUE}"
)
_TRACKING = re.compile(
    r"(?<![A-Za-z0-9])(?:1Z[0-9A-Z]{16}|[A-Z]{2}\d{9}[A-Z]{2}|(?:TBA|JJD|JD|SF|YT)\d{12,20}|9[2-5]\d{20})(?![A-Za-z0-9])",
    re.I | re.A,
)
_ORDER = re.compile(
    r"(?<![\w-])#?(?P<value>\d{3}-\d{7}-\d{7})(?![\w-])"
    r"|(?<![\w#])# ?(?P<hash>[A-Z]{0,4}-?\d{4,11})(?![\w-])",
    re.I | re.A,
)

_BETWEEN = r"[ \u00a0.()/\-\u2010-\u2015]"
_RUN = re.compile(
    rf"(?<![A-Za-z0-9_])[+(]{{0,3}}\d(?:{_BETWEEN}{{0,3}}\d)*(?: ?(?:x|ext\.?|extension|durchwahl) ?\d{{1,6}})?",
    re.I,
)
_NEW_NUMBER = re.compile(r"(?<=\d) (?=\(?0\d)")
_HOURS = re.compile(r"\d{1,2} ?[-\u2013] ?\d{1,2} ")
_PHONE_CUE = re.compile(
    r"\b(?:phone|telephone|tel|mobile|mob|cell|call|called|calling|ring|fax|desk|office|sms|text|texts|whatsapp|wechat|contact|reach|dial"
    r"|message|messages|answering|registered|handy|anruf\w{0,4}|telefon\w{0,8}|rückruf)\b|电话|手机|号码|联系",
    re.I,
)
#: Small towns still have six digits, written in pairs; only a word like *call* or *office* beside them makes them a phone.
_SHORT_PAIRS = re.compile(r"\d\d(?:[ -]\d\d){2}")
_PHONE_AFTER = re.compile(r"^[ ,\\-]{0,3}\(?(?:office|fax|mobile|cell|home|work|desk)\b", re.I)
_OTHER_CUE = re.compile(
    r"(?:\b(?:order|invoice|ticket|case|ref|reference|item|sku|model|serial|id|version|zip|part|isbn|ean|article|policy|licen[cs]e)"
    r"|订单|单号|编号|型号)\W{0,3}(?:number|num|no|nr|code|is|:|#|\W){0,4}$",
    re.I,
)
_MONEY_BEFORE = re.compile(r"(?:[$€£¥₹]|\b(?:USD|EUR|GBP|CNY|RMB|Rs\.?)) ?$")
_MONEY_AFTER = re.compile(r"^(?:[,.]\d| ?(?:[$€£¥₹%元]|USD|EUR|GBP|CNY|dollars?|euros?|pounds?|kg|km|ms|mAh|pcs)(?![a-z]))")
_DATE = re.compile(
    r"(?<![\d./-])(?:(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:[0-2]?\d|3[01])"
    r"|(?:[0-2]?\d|3[01])[-/.](?:[0-2]?\d|3[01])[-/.](?:19|20)?\d\d)(?!\d|[-/.]\d)|^(?:19|20)\d\d ?[-–/] ?(?:19|20)\d\d$"
)
_RESOLUTION = re.compile(r"\d{3,5} ?x ?\d{3,5}", re.I)
_NANP_SHAPE = re.compile(r"^\+?1?[ .-]?\(?\d{3}\)?[ .-]?\d{3}[ .-]\d{4}(?!\d)|^\(\d{3}\) ?\d{3}[ .-]?\d{4}(?!\d)")
_PAIRS_SHAPE = re.compile(r"^0\d(?:[ .-]\d\d){4}$")
_CHINESE_MOBILE = re.compile(r"^(?:\+?86[ -]?)?1[3-9]\d[ -]?\d{4}[ -]?\d{4}$")


@dataclass(frozen=True, slots=True)
class Span:
    """Personal data of one ``kind`` at ``text[start:end]``."""

    kind: str
    start: int
    end: int


def fold(text: str) -> str:
    """Lower a text without moving a character, so that patterns in small letters (much faster than case-blind ones) can be used.

    Args:
        text: Any text.

    Returns:
        A text of the same length.
    """
    lowered = text.lower()
    if len(lowered) == len(text):
        return lowered
    return "".join(char.lower() if len(char.lower()) == 1 else char for char in text)


def emails(text: str) -> Iterator[Span]:
    """Find e-mail addresses, also ``john (at) mail dot com`` and ``john at mail dot com``.

    Args:
        text: Any text.

    Yields:
        Spans of kind ``EMAIL``.
    """
    folded = text.lower()
    tails = [_EMAIL_TAIL] if "@" in folded or "at" in folded or "ät" in folded else []
    tails += [_SPOKEN_TAIL] if " dot " in folded else []
    for pattern in tails:
        for tail in pattern.finditer(text):
            # The local part is read backwards over bounded text, so that no long run is tried from each of its places.
            local = _LOCAL.match(text[max(0, tail.start() - 64) : tail.start()][::-1])
            length = len(local.group().rstrip(".'-")) if local else 0
            if tail.group().startswith(" @ ") and "." not in tail["host"]:
                continue  # "lol @ work"
            if length and any(char.isalpha() for char in tail["host"]):
                yield Span("EMAIL", tail.start() - length, tail.end())


def ibans(text: str) -> Iterator[Span]:
    """Find IBANs by their mod-97 check digits (ISO 13616), spaced or lower case, or by shape after the word IBAN.

    Args:
        text: Any text.

    Yields:
        Spans of kind ``IBAN``.
    """
    for match in _IBAN.finditer(text):
        ends = [i for i in range(match.start() + 15, match.end() + 1) if not text[i : i + 1].isalnum()]
        valid = [end for end in reversed(ends) if _is_valid_iban(text[match.start() : end])]
        if valid:
            yield Span("IBAN", match.start(), valid[0])
        elif ends and _IBAN_CUE.search(text[max(0, match.start() - 40) : match.start()]):
            joined = _IBAN_SHAPE.match(match.group())
            if joined:
                yield Span("IBAN", match.start(), match.start() + joined.end())


def _is_valid_iban(shown: str) -> bool:
    compact = "".join(char for char in shown.upper() if char.isalnum())
    if not (15 <= len(compact) <= 34 and compact.isascii()):
        return False
    if int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 != 1:
        return False
    from stdnum import iban

    return bool(iban.is_valid(compact))  # one text in a hundred passes mod 97 by chance: the country's own form decides


def cards(text: str) -> Iterator[Span]:
    """Find payment card numbers: 13 to 19 digits that pass Luhn's check, or 12 to 19 near a word like *card*.

    Args:
        text: Any text.

    Yields:
        Spans of kind ``CARD``.
    """
    for match in _CARD.finditer(text):
        digits = [int(char) for char in match.group() if char.isdigit()]
        grouped = len(digits) < len(match.group())
        likely = 13 <= len(digits) <= 19 and digits[0] in (2, 3, 4, 5, 6) and (grouped or luhn(digits))
        near = text[max(0, match.start() - 60) : match.start()] + " | " + text[match.end() : match.end() + 25]
        if likely or _CARD_CUE.search(near):
            yield Span("CARD", match.start(), match.end())


def luhn(digits: Sequence[int]) -> bool:
    """Tell whether the digits pass Luhn's check (ISO/IEC 7812-1, annex B).

    Args:
        digits: Single digits, the check digit last.

    Returns:
        True if the weighted sum is a multiple of ten.
    """
    doubled = (sum(divmod(2 * digit, 10)) for digit in digits[-2::-2])
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def network_addresses(text: str) -> Iterator[Span]:
    """Find IPv4 and IPv6 addresses.

    Args:
        text: Any text.

    Yields:
        Spans of kind ``IP``.
    """
    for match in _IPV4.finditer(text):
        yield Span("IP", match.start(), match.end())
    for match in _IPV6.finditer(text):
        if "::" in match.group() or match.group().count(":") == 7:  # fewer groups are a time such as 11:34:35
            yield Span("IP", match.start(), match.end())


def social_numbers(text: str) -> Iterator[Span]:
    """Find United States and United Kingdom social security numbers and Chinese identity card numbers.

    Args:
        text: Any text.

    Yields:
        Spans of kind ``SSN``.
    """
    for match in _SSN.finditer(text):
        yield Span("SSN", match.start(), match.end())
    for match in _SSN_SPOKEN.finditer(fold(text)):
        yield Span("SSN", match.start(1), match.end(1))


def passwords(text: str) -> Iterator[Span]:
    """Find what follows ``password is``, unless it reads as a plain word ("my password is wrong").

    Args:
        text: Any text.

    Yields:
        Spans of kind ``PASSWORD``.
    """
    for match in _PASSWORD.finditer(fold(text)):
        value = text[match.start("value") : match.end("value")].rstrip(".,;!?\"'”’")
        plain = value.lstrip("\"'“‘").isalpha() and value[1:] == value[1:].lower()
        spelled_out = any(sign in match["link"] for sign in ":：=") or match["value"][0] in "\"'“‘"
        if len(value) >= 3 and (spelled_out or not plain) and value.isprintable():
            yield Span("PASSWORD", match.start("value"), match.start("value") + len(value))


def order_numbers(text: str) -> Iterator[Span]:
    """Find order and tracking numbers by the word before them or by a carrier's form.

    Args:
        text: Any text.

    Yields:
        Spans of kind ``TRACKING``, then ``ORDER``; cued ones first.
    """
    folded = fold(text)
    for kind, pattern, least in (("TRACKING", _TRACKING_CUE, 6), ("ORDER", _ORDER_CUE, 4)):
        for match in pattern.finditer(folded):
            value = match["value"]
            if sum(char.isdigit() for char in value) >= least and not _DATE.search(value):
                yield Span(kind, match.start("value"), match.end("value"))
    for match in _TRACKING.finditer(text):
        yield Span("TRACKING", match.start(), match.end())
    for match in _ORDER.finditer(text) if "#" in text or "-" in text else ():
        group = "value" if match["value"] else "hash"
        if not _CARD_CUE.search(text[max(0, match.start() - 12) : match.start()]):
            yield Span("ORDER", match.start(group), match.end(group))


def phones(text: str, regions: Sequence[str]) -> Iterator[Span]:
    """Find phone numbers: by a word like *call* nearby, by a national shape, or by what ``phonenumbers`` holds valid.

    Args:
        text: Any text.
        regions: ISO 3166 codes whose national forms count, upper case.

    Yields:
        Spans of kind ``PHONE``.
    """
    if sum(char.isdigit() for char in text) < 6:
        return
    lookups = 0
    for start, end in _digit_runs(text):
        shown = text[start:end]
        digits = sum(char.isdigit() for char in shown)
        shape = _phone_shape(text, start, end, digits) if 7 <= digits <= 31 or _SHORT_PAIRS.fullmatch(shown) else "no"
        if shape == "ask":
            lookups += 1
            shape = "yes" if lookups > MAX_PHONE_LOOKUPS or _is_valid_phone(shown, regions) else "no"
        if shape == "yes":
            yield Span("PHONE", start, end)


def _digit_runs(text: str) -> Iterator[tuple[int, int]]:
    """Yield runs of digits and what may stand between them; a long run, or one after hours, is cut where a 0 begins anew."""
    for run in _RUN.finditer(text):
        shown = run.group()
        cuts = [cut.end() for cut in _NEW_NUMBER.finditer(shown)]
        if cuts and (sum(char.isdigit() for char in shown) > 15 or _HOURS.match(shown)):
            bounds = [0, *cuts, len(shown) + 1]
            yield from ((run.start() + a, run.start() + b - 1) for a, b in itertools.pairwise(bounds))
        else:
            yield run.span()


def _phone_shape(text: str, start: int, end: int, digits: int) -> str:
    shown, before, after = text[start:end], text[max(0, start - 45) : start], text[end : end + 12]
    if shown.startswith("+") and digits <= 18:
        return "yes"
    if _RESOLUTION.fullmatch(shown) or (after[:1].isascii() and (after[:1].isalpha() or after[:1] == "_")):
        return "no"
    if _OTHER_CUE.search(before) or _MONEY_BEFORE.search(before) or _MONEY_AFTER.search(after) or _DATE.search(shown):
        return "no"
    if (_PHONE_CUE.search(before) or _PHONE_AFTER.search(after)) and not re.fullmatch(r"\d{1,8}\.\d{1,2}", shown):
        return "yes"
    if digits > 17 or digits < 7:
        return "no"
    if _NANP_SHAPE.search(shown) or _PAIRS_SHAPE.search(shown) or _CHINESE_MOBILE.search(shown):
        return "yes"
    return "ask" if shown.lstrip("(")[0] == "0" and digits >= 9 else "no"


def _is_valid_phone(shown: str, regions: Sequence[str]) -> bool:
    import phonenumbers

    for region in regions:
        try:
            number = phonenumbers.parse("+" + shown[2:] if shown.startswith("00") else shown, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return True
    return False
