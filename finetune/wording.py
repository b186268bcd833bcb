"""When two texts say the same, when one says nothing, and when a reply is one of the company's templates.

Plain rules for English and Chinese, kept in view at the top; other languages are only folded and counted. Knows nothing of
conversations or labels. Used by everything that turns past conversations into examples.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

_HAN = "\u3400-\u9fff\uf900-\ufaff"
_HAN_WEIGHT = 0.6  # a Han character says about six tenths of a word
_LEAST_TEMPLATE_WORDS = 4.0  # "OK, thanks" may be a macro, but tells no intent
_LEAST_COVER = 0.8  # the rest is "Hi Anna," and "Best, Tom"
_SLOT_CHARS = 60
_LONGEST_COURTESY = 400

_PLACEHOLDER = re.compile(r"[\[{]{1,2} ?([a-z][a-z_ ]{0,30}?)(?:_\d{1,3})? ?[\]}]{1,2}")
_FOLDED = re.compile(r"\[[a-z_ ]+\]")
_ASCII_SIGNS = re.compile(r"[\W_]")
_BESIDE_HAN = re.compile(rf"(?<=[{_HAN}]) | (?=[{_HAN}])")
_WORD = re.compile(rf"\[[a-z_ ]+\]|[{_HAN}]|[^ \[\]{_HAN}]+")
_GREETED = re.compile(r"\b((?:[Hh]i|[Hh]ello|[Hh]ey|[Dd]ear|[Tt]hanks|[Tt]hank you|[Bb]ye|[Cc]heers),? )[A-Z][a-z]+\b")
_ADDRESSED = re.compile(r", [A-Z][a-z]+(?=[.!,]|$)")
_COURTESY = re.compile(
    r"\b(?:hi+|hiya|hey+a?|hello+|howdy|dear|good (?:morning|afternoon|evening|day|night)|morning|afternoon|evening|greetings"
    r"|(?:is )?(?:any|some)(?:one|body)(?: (?:there|here|available|around))?|(?:are )?(?:you|u) (?:there|around)"
    r"|how are (?:you|u)(?: doing)?|hows it going|whats up|thank ?(?:you|u)|thanks?|thx|tnx|ty|tysm|cheers|ta|appreciated?"
    r"|great|perfect|brilliant|lovely|awesome|excellent|wonderful|smashing|super|cool|nice|bye+|goodbye|see (?:you|ya)"
    r"|take care|all the best|any ?time|have a (?:nice|good|great|lovely) \w+|ok(?:ay)?|k+|yes|yeah|yep|no|nope|sure"
    r"|alright|all right|got it|i see|understood|fine|all (?:good|set|done|clear)|thats (?:all|it|sorted|clear)"
    r"|that (?:is|was|ll be) (?:all|it)|that (?:answers it|helps|helped)|(?:youre |you are )?(?:very |most )?welcome"
    r"|no problem|my pleasure|please|sorry|for (?:your|the|all your) (?:help|time|reply|answer|support|patience)"
    r"|a (?:lot|million)|oh|ah|well|wow|so|very|much|many|and|there|all|again|team|sir|madam|everyone|guys|mate|then|now"
    r"|today|really|it|that|you|i)\b"
    r"|[您你]好|亲爱的|亲|哈[喽啰]|嗨|嘿|早上?好?|[上下中]午好|晚上好|在[吗么]|有人在?[吗么]?|谢谢?|[多感]谢|感恩|辛苦|麻烦"
    r"|太好了|很清楚|再[见会]|拜拜|没有?(?:别的|其他)?(?:事|问题)?了|不用了|就这样|好的?|嗯+|哦+|知道了|明白|了解|行|可以"
    r"|是的?|收到|不客气|客服|请问|[了啊呀哦呢吗嘛啦的吧您你们]"
)
_THANKED = re.compile(rf"(谢谢|[感多]谢)[{_HAN}]{{2,3}}$")
_AGENT_COURTESY = re.compile(
    r"\b(?:(?:youre|you are) (?:now )?(?:chatting|talking|speaking|connected|through) (?:with|to) (?:\w+|\[name\])"
    r"|(?:this|it) is (?:\w+|\[name\])|its (?:\w+|\[name\])|(?:i am|im|my name is) (?:\w+|\[name\])|^\w+ here|\w+ speaking"
    r"|(?:\w+ )?from (?:the )?(?:\w+ ){0,2}(?:team|support)|(?:\w+ )?from customer (?:care|service)|welcome to \w+"
    r"|(?:and )?(?:how|what) (?:can|may|could) (?:i|we) (?:help|assist|do)(?: for)?(?: you)?(?: with)?"
    r"|(?:i am|im|id be|i will be|ill be)? ?(?:glad|happy) (?:to help|to assist|you (?:wrote|asked|got in touch)|i could help)"
    r"|glad thats sorted|good to hear from you|(?:let me|ill|i will) (?:just )?(?:check|have a look|take a look|look into it)"
    r"|(?:just )?(?:one|a) (?:moment|minute|second)|lets see what (?:i|we) can do"
    r"|(?:is there )?anything else(?: (?:i|we) can (?:help|do)(?: you)?(?: with| for you)?)?|for now"
    r"|for (?:waiting|holding on|contacting us|getting in touch|writing(?: to us)?|reaching out))\b"
    rf"|(?:我是|这里是|我叫)[{_HAN}]{{1,4}}|[{_HAN}]{{1,3}}为[您你]服务|有什么(?:可以|能)?(?:帮|为)到?[您你](?:服务|做)?|很高兴为[您你]服务"
    r"|还有(?:什么|其他|别的)(?:问题|可以帮您|需要)?|祝[您你](?:生活愉快|一切顺利|购物愉快)|欢迎光临|久等|让您|稍等|请?稍候"
    r"|很高兴帮到您|[您的]{0,3}(?:耐心|理解)|我?(?:帮您|为您|给您)?(?:查|看)一下|随时联系"
)
_NAME_PLACEHOLDER = re.compile(r"\[[a-z_ ]+\]")


@dataclass(frozen=True, slots=True)
class Macro:
    """A template made ready for comparison: its longest fixed part (tested first), the whole pattern, and its intent."""

    fixed: str
    pattern: re.Pattern[str]
    intent: str


def normalise(text: str) -> str:
    """Fold case, spaces, punctuation, symbols and the numbers of placeholders, so that equal keys mean the same text.

    ``[ORDER_1]`` and ``[ORDER_2]`` become ``[order]``, a template's ``{order_number}`` becomes ``[order_number]``.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    pieces = []
    end = 0
    for match in _PLACEHOLDER.finditer(folded):
        pieces += [_bare(folded[end : match.start()]), f" [{match[1].strip()}] "]
        end = match.end()
    pieces.append(_bare(folded[end:]))
    return _BESIDE_HAN.sub("", " ".join("".join(pieces).split()))


def weigh(text: str) -> float:
    """Count words; a placeholder is one, a Han character six tenths of one."""
    return sum(_HAN_WEIGHT if re.match(f"[{_HAN}]", word) else 1.0 for word in _WORD.findall(normalise(text)))


def words(text: str) -> frozenset[str]:
    """Return the different words of a text (Han characters singly), placeholders left out."""
    return frozenset(word for word in _WORD.findall(normalise(text)) if not word.startswith("["))


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of words two texts have in common, in [0, 1] (Jaccard)."""
    return len(one & other) / len(one | other) if one or other else 1.0


def says_nothing(text: str) -> bool:
    """Say whether a text holds placeholders, punctuation and symbols only."""
    return not words(text)


def is_small_talk(text: str, *, agent: bool = False) -> bool:
    """Say whether a text holds nothing but courtesy: greetings, thanks, goodbyes, "ok".

    Args:
        text: One message.
        agent: Whether an agent wrote it; then saying one's name and offering help are courtesy as well.

    Returns:
        False as soon as one word says more; a text without words is no small talk either.
    """
    if len(text) > _LONGEST_COURTESY or says_nothing(text):
        return False
    rest = normalise(_ADDRESSED.sub("", _GREETED.sub(r"\1", text)))
    rest = _AGENT_COURTESY.sub(" ", rest) if agent else _THANKED.sub(r"\1", rest)
    rest = _COURTESY.sub(" ", _NAME_PLACEHOLDER.sub(" ", rest))
    return not rest.strip()


def compile_templates(templates: Mapping[str, str]) -> tuple[Macro, ...]:
    """Make templates ready for ``template_intent``.

    Args:
        templates: Template text, normalised or not, to its intent.

    Returns:
        One for each template that says at least four words of its own, those with the longest fixed part first.
    """
    macros = []
    for text, intent in sorted(templates.items()):
        parts = [part.strip() for part in _FOLDED.split(normalise(text)) if part.strip()]
        if weigh(" ".join(parts)) >= _LEAST_TEMPLATE_WORDS:
            pattern = re.compile(f".{{0,{_SLOT_CHARS}}}?".join(map(re.escape, parts)))
            macros.append(Macro(max(parts, key=len), pattern, intent))
    return tuple(sorted(macros, key=lambda macro: (-len(macro.fixed), macro.fixed, macro.intent)))


def template_intent(reply: str, macros: tuple[Macro, ...]) -> str | None:
    """Return the intent of the template an agent sent, whatever stands in its slots; ``None`` for the agent's own words."""
    folded = normalise(reply)
    for macro in macros:
        if macro.fixed in folded:
            match = macro.pattern.search(folded)
            if match is not None and len(match.group()) >= _LEAST_COVER * len(folded):
                return macro.intent
    return None


def _bare(text: str) -> str:
    """Turn punctuation, symbols and spaces into spaces; apostrophes vanish, so that "don't" is "dont"."""
    if text.isascii():
        return _ASCII_SIGNS.sub(" ", text.replace("'", "").replace("`", ""))
    # Marks (category M) are part of the word in Hindi or Thai, and no \w.
    return "".join(
        char if char.isalnum() or unicodedata.category(char)[0] == "M" else ("" if char in "'’`" else " ") for char in text
    )
