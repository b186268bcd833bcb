"""What the conversation adds to a message: follow-ups, corrections, bare order numbers, several questions at once.

Pure functions over understandings; the forward pass happens before them. English and Chinese cue words are here because
no adapter has learnt them yet; everything else is decided by the classifier's own confidence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from assistant.records import IntentGuess, Understanding
from assistant.understand import SOCIAL

_SLOT_TOKEN = re.compile(r"\[(?:ORDER|TRACKING|DATE|EMAIL|PHONE|NAME)_\d+\]")
_FILLER = re.compile(
    r"\b(?:(?:it|that|here|number|order|name)['’]?s|it is|here|you|go|are|is|this|the|my|order|number|no|nr|yes|sure|ok|okay|"
    r"sorry|hi|hello|sir|please|thanks|thank|and|for|(?:e-?)?mail|phone|name)\b"
    r"|订单编?号?|编号|单号|是|好的?|的|我|这个|给你|给您|嗯|哦|号码|谢谢|您好|你好|在这",
    re.I,
)
_FOLLOW_UP = re.compile(
    r"^\W*(?:and|but|so|what if|what about|how about|how long|how much|when|where|which|does (?:it|that)|do i|can i|"
    r"is (?:it|that|there)|will (?:it|that|they)|would (?:it|that)|even if|also if|or|why|then|ok|okay|even|still|same|"
    r"really|for how|until when|and if)\b"
    r"|^\W*(?:那|那么|如果|要是|多久|多少|什么时候|哪|可以|能|需要|要|还|但是|但|然后|会|也|是不是|怎么|万一|这个|它|为什么)",
    re.I,
)
_CORRECTION = re.compile(
    r"^\W*(?:no[,.! ]|nope|not that|sorry[,. ]|oops|wrong|actually|i meant?|correction|wait|the other|my mistake|typo)"
    r"|the other (?:one|order)|wrong (?:order|number|one)|i me[ae]nt?\b"
    r"|^\W*(?:不是|不对|错了|弄错|搞错|说错|发错|等等|等下|抱歉|是另)|另一个|另外那|写错|打错|应该是",
    re.I,
)
_OTHER_ONE = re.compile(
    r"\bother (?:one|order)\b|\bwrong (?:order|number)\b|另一个|另一单|另外那|订单号?(?:写|打|发)?错|写错|打错", re.I
)
_REJECTION = re.compile(r"not (?:what|my question|it\b)|别的问题|不是(?:这个意思|问|想问|我(?:要|想)?问)|答非所问", re.I)
_ACKNOWLEDGEMENT = re.compile(
    r"\W*(?:ok(?:ay)?|k|kk|alright|all right|right|i see|got it|understood|fine|cool|hm+|yes|yeah|yep|sure|sure thing"
    r"|好的?|嗯+|哦+|知道了|明白了?|了解了?|行|可以|是的?|收到)\W*",
    re.I,
)
_CHOICE = (
    re.compile(r"\W*(?:the )?(?:first|1st|former|1|one)(?: one)?(?: please)?\W*|第一[个种]?\W*|前者\W*|前一?个\W*", re.I),
    re.compile(r"\W*(?:the )?(?:second|2nd|latter|2|two)(?: one)?(?: please)?\W*|第二[个种]?\W*|后者\W*|后一?个\W*", re.I),
)
_COURTESY = re.compile(
    r"\b(?:hi+|hiya|hey+a?|hello+|morning|afternoon|evening|greetings|anyone|(?:you|u) there|thanks?|thank ?you|th?n?x|ty|tysm|"
    r"cheers|ta|great|perfect|brilliant|lovely|appreciate\w*|grateful|helpful|helped|awesome|bye+|goodbye|see (?:you|ya)|"
    r"(?:good|nice) (?:day|night|one|weekend)|take care|that(?:['’]?s| was|['’]ll be) (?:all|it)|all (?:good|set|done)|no|nope)\b"
    r"|[你您]好|哈[喽啰]|嗨|嘿|早上?好?|[上下]午好|晚上好|在[吗么]|谢|感恩|辛苦|麻烦|太好了|再[见会]|拜拜|没(?:有)?(?:别的|其他)|不用了|就这样",
    re.I,
)
#: A classifier takes what it has no words for ("help", "florp") for courtesy, at up to 0.95; courteous words need less.
_SURELY_SOCIAL = 0.97
_SOCIAL_WITH_WORDS = 0.5
_MOST_SOCIAL_CHARS = 160
_BREAK = re.compile(
    r"(?<=[?!？！。；])\s*|(?<=[.;])\s+"
    r"|\s+(?:and also|also,|and another thing|plus,|oh and|and by the way|btw|another question)\s+"
    r"|[，,]?\s*(?:另外|还有|顺便|对了|还想问)[，, ]?"
    r"|\s+and\s+(?=(?:how|what|when|where|can|do|does|is|are|why|which|could|will)\b)",
    re.I,
)

#: What a question or a wish looks like; a message is only cut where two of its parts do, or where it says "also".
_WISH = re.compile(
    r"[?？]|^\W*(?:what|when|where|which|who|why|how|please|tell me|need|can|could|do|does|did|is|are|will|would|should|any)\b"
    r"|\bhow (?:do|does|can|could|long|much|many|would|should)\b|\b(?:can|could|may|should|do|did|will|would) (?:i|you|we)\b"
    r"|\bdoes (?:it|the|this|that|my)\b|\b(?:i|we)(?:'d| would) (?:like|want|rather)\b|\bi (?:want|need)\b|\bwant to\b"
    r"|怎么|怎样|如何|多久|多少|哪|什么|吗|呢|能不能|可不可以|可以|能否|是否|想|请|帮|麻烦|要",
    re.I,
)
_ALSO = re.compile(r"\balso\b|\banother (?:thing|question)\b|\bbtw\b|\bby the way\b|另外|还有|顺便|还想问", re.I)


@dataclass(frozen=True, slots=True)
class Reading:
    """A message in its context: the understanding to act on, further ones for further questions, and how it was read."""

    main: Understanding
    others: tuple[Understanding, ...] = ()
    kind: str = "question"  # question, follow_up, correction, slot, choice, social


def parts(text: str, most: int = 3) -> tuple[str, ...]:
    """Cut a message into the questions it may hold; empty if there is only one.

    Args:
        text: The message.
        most: At most so many parts.

    Returns:
        Two or more parts of at least two words (four Han characters), of which two are questions or wishes, or which "also"
        joins; one question alone where only courtesy stands beside it; or nothing.
    """
    if len(text) > 600:
        return ()
    cut = [piece.strip(" ,，") for piece in _BREAK.split(text) if piece]
    pieces = [piece for piece in cut if _weight(piece) >= 2]
    wishes = [piece for piece in pieces if _WISH.search(piece)]
    if len(wishes) > 1 or (len(pieces) > 1 and _ALSO.search(text)):
        return tuple(pieces[:most])
    beside = [piece for piece in cut if piece not in wishes]
    return tuple(wishes) if beside and all(_COURTESY.search(piece) for piece in beside) else ()


def only_slots(text: str) -> bool:
    """Say whether a message holds nothing but order numbers and filler words."""
    if not _SLOT_TOKEN.search(text):
        return False
    rest = _FILLER.sub(" ", _SLOT_TOKEN.sub(" ", text))
    return not re.search(r"\w", rest.replace("_", " "))


def is_correction(text: str) -> bool:
    """Say whether a message takes back what was said before."""
    return bool(_CORRECTION.search(text))


def names_other(text: str) -> bool:
    """Say whether a message means another order than the one spoken of."""
    return bool(_OTHER_ONE.search(text))


def acknowledges(text: str) -> bool:
    """Say whether a message only says that the last one was read: "ok"."""
    return bool(_ACKNOWLEDGEMENT.fullmatch(text))


def chosen(text: str) -> int | None:
    """Return 0 or 1 where a message picks the first or second of two offered readings, else ``None``."""
    return next((place for place, pattern in enumerate(_CHOICE) if pattern.fullmatch(text)), None)


def picked(current: Understanding, intent: str) -> Reading:
    """Return the reading of a message that picks an offered intent."""
    return Reading(_with_intent(current, intent), kind="choice")


def is_short(text: str) -> bool:
    """Say whether a message is too short to stand alone: up to 12 words or 20 Han characters."""
    return _weight(text) <= 12


def read_in_context(
    text: str,
    current: Understanding,
    joined: Understanding | None,
    pieces: Sequence[Understanding],
    before: str | None,
    *,
    sure: float,
    awaited: bool = False,
) -> Reading:
    """Decide what a message means in its conversation.

    Args:
        text: The redacted message.
        current: The message by itself.
        joined: The message behind the customer's earlier one, read as one text; ``None`` in a first turn.
        pieces: Its parts, each by itself.
        before: The intent the conversation was about, if any.
        sure: Confidence from which an intent counts as clear.
        awaited: Whether the last reply asked for a missing slot.

    Returns:
        The reading.
    """
    top = current.intents[0] if current.intents else None
    if before and only_slots(text):
        return Reading(_with_intent(current, before), kind="slot")
    if before and acknowledges(text):
        # "ok" answers nothing: what was asked for is asked for again, and after an answer it is thanks enough.
        if awaited:
            return Reading(_with_intent(current, before), kind="slot")
        return Reading(_with_intent(current, "thanks"), kind="social")
    clear = top is not None and top.confidence >= sure and current.out_of_scope < 0.5
    courtesy = top is not None and top.name in SOCIAL
    number = bool(_SLOT_TOKEN.search(text))
    unclear = (courtesy and names_other(text)) or (not clear and not _REJECTION.search(text))
    if before and is_correction(text) and (number or unclear):
        return Reading(_with_intent(current, before), kind="correction")
    several = _several(pieces, sure)
    if len(several) > 1:
        return Reading(several[0], several[1:])
    if top is not None and top.name in SOCIAL:
        # "Thanks! And the label?": a clear question beside the courtesy wins. What only looks like courtesy is none.
        if several:
            return Reading(several[0])
        enough = _SOCIAL_WITH_WORDS if _COURTESY.search(text) else _SURELY_SOCIAL
        if clear and top.confidence >= enough and is_short(text) and len(text) <= _MOST_SOCIAL_CHARS:
            return Reading(current, kind="social")
        current = replace(current, intents=tuple(g for g in current.intents if g.name not in SOCIAL))
    if before and joined is not None and joined.intents and is_short(text):
        cue = bool(_FOLLOW_UP.search(text))
        same = top is not None and top.name == before
        if same:
            return Reading(_blend(current, joined, before), kind="follow_up")
        stays = joined.intents[0].name == before and joined.intents[0].confidence >= 0.5
        if cue and (top is None or top.confidence < 0.85) and stays:
            return Reading(_blend(current, joined, before), kind="follow_up")
        if not clear and joined.intents[0].confidence > (top.confidence if top else 0.0):
            return Reading(_blend(current, joined, before), kind="follow_up")
    if not before and joined is not None and not clear and _sure_of(joined, sure):
        # What was unclear in two messages may be clear in both together: "where is it", asked again, "[ORDER_1]".
        both = replace(joined, language=current.language, vector=current.vector, slots={**joined.slots, **current.slots})
        return Reading(both, kind="follow_up")
    return Reading(current)


def _sure_of(reading: Understanding, sure: float) -> bool:
    top = reading.intents[0] if reading.intents else None
    return top is not None and top.name not in SOCIAL and top.confidence >= sure and reading.out_of_scope < 0.5


def _several(pieces: Sequence[Understanding], sure: float) -> tuple[Understanding, ...]:
    kept: list[Understanding] = []
    for piece in pieces:
        if not piece.intents or piece.out_of_scope >= 0.5:
            continue
        top = piece.intents[0]
        if top.name in SOCIAL or top.confidence < max(sure, 0.6) or any(top.name == k.intents[0].name for k in kept):
            continue
        kept.append(piece)
    return tuple(kept)


def _with_intent(current: Understanding, name: str) -> Understanding:
    others = tuple(guess for guess in current.intents if guess.name != name)
    return replace(current, intents=(IntentGuess(name, 0.99), *others), out_of_scope=0.0)


def _blend(current: Understanding, joined: Understanding, before: str) -> Understanding:
    """Average both readings; what the conversation was about gets the benefit of the doubt."""
    chances: dict[str, float] = {}
    for reading in (current, joined):
        for guess in reading.intents:
            chances[guess.name] = chances.get(guess.name, 0.0) + guess.confidence / 2
    if before in chances:
        chances[before] = 1 - (1 - chances[before]) * 0.5
    total = sum(chances.values()) or 1.0
    guesses = sorted((IntentGuess(n, c / max(total, 1.0)) for n, c in chances.items()), key=lambda g: -g.confidence)
    return replace(
        current,
        intents=tuple(guesses[:8]),
        out_of_scope=min(current.out_of_scope, joined.out_of_scope),
        slots={**joined.slots, **current.slots},
    )


def _weight(text: str) -> float:
    han = len(re.findall(r"[\u3400-\u9fff]", text))
    return len(re.findall(r"[A-Za-z0-9']+", text)) + han * 0.6
