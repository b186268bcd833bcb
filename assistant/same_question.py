"""Do two messages ask the same thing? A strict test on their words, for answers that a person wrote for one of them.

Cosine alone cannot tell: "deliver on Saturdays" and "deliver on Sundays" stand at 0.90, "with the app" and "without the app"
at 0.94. So the words decide what may be compared at all, and the caller's cosine settles the rest (``corrections.py``).
Pure functions over texts; knows nothing of conversations or stores.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

#: Of the words of the longer question the shorter one holds at least so many; it holds no word of its own.
LEAST_SHARE = 0.6
#: Pairs of neighbouring characters in common, of all pairs, from which two Chinese questions are the same one.
LEAST_PAIRS = 0.4

_PLACEHOLDER = re.compile(r"\[([A-Z]{2,12})_\d{1,3}\]")
_HAN = "\u3400-\u9fff"
_WORD = re.compile(rf"[^\W_{_HAN}]+|[{_HAN}]")
_ASKED_BOTH_WAYS = re.compile(rf"([{_HAN}])[不没]\1")  # 能不能, 是不是: a question, no negation
_SMALL_WORDS = (
    "a an and the i my me we our you your it its this that these those there here is are was were be been am do does did can "
    "could will would should may might must shall have has had to of in on at for from by with about or but so if then also as "
    "just please hi hello hey dear thanks thank ok any some what how when where which who why get got want need like possible "
    "use using let know tell us im ive id ill whats hows wheres "
    "的 了 吗 呢 吧 啊 呀 嘛 哦 请 问 想 您 你 们 我 咱 一 下 个 可 以 能 会 要 是 给"
)
_FILLERS = frozenset(_SMALL_WORDS.split())
_CONTRACTIONS = "dont doesnt didnt cant cannot wont isnt arent wasnt werent hasnt havent hadnt couldnt wouldnt shouldnt aint"
_NEGATED = frozenset(_CONTRACTIONS.split())
#: Small words that turn a question round.
_TURNING = frozenset(("not", "no", "never", "without", "off", "nothing", "none", *"不没无未别非勿"))
_ENDINGS = ("ing", "ed", "es", "s", "e")
_GOES_ON = re.compile(
    r"\W*(?:(?:and|but|so|then|or|also|even|what if|what about|how about)\b|那|那么|如果|要是|但|但是|还有|然后|万一)", re.I
)
_POINTS_BACK = re.compile(r"\b(?:it|its|that|this|they|them|those|these|one|ones)\b|这个|那个|它|这些|那些", re.I)


@dataclass(frozen=True, slots=True)
class Question:
    """A question made ready for comparison.

    ``key`` is equal for equal texts; ``words`` are what it speaks of, in order, and ``spoken`` the set of them; ``turning``
    are its negations and numbers. ``alone`` says whether it can be understood without what was said before; ``latin`` whether
    it is in the Latin script.
    """

    key: str
    words: tuple[str, ...]
    spoken: frozenset[str]
    turning: frozenset[str]
    alone: bool
    latin: bool


def question(text: str) -> Question:
    """Make a message ready for comparison.

    Args:
        text: A redacted message.

    Returns:
        The question; ``key`` is empty where there are no words.
    """
    plain = unicodedata.normalize("NFKC", _PLACEHOLDER.sub(r" \1 ", text)).casefold()
    plain = plain.replace("'", "").replace("’", "")
    key = " ".join(_WORD.findall(plain))
    found = ["not" if word in _NEGATED else word for word in _WORD.findall(_ASKED_BOTH_WAYS.sub(r"\1", plain))]
    words = tuple(_stem(word) for word in found if word not in _FILLERS)
    turning = frozenset(word for word in words if word in _TURNING or any(char.isdigit() for char in word))
    latin = all(ord(char) < 0x250 for char in key if char.isalpha())
    return Question(key, words, frozenset(words), turning, _stands_alone(text, words, latin), latin)


def may_be_same(one: Question, other: Question) -> bool:
    """Say whether two questions use the same words, up to a few more on one side.

    A word that each side has for itself is mostly a substitution, Saturday for Sunday; numbers and negations must be equal.

    Args:
        one: A question.
        other: Another.

    Returns:
        Whether it is worth comparing them closely; false for questions of fewer than two words (three Han characters).
    """
    if one.turning != other.turning or one.latin != other.latin:
        return False
    less, more = sorted((one.spoken, other.spoken), key=len)
    return len(less) >= _fewest(one.latin) and less <= more and len(less) >= LEAST_SHARE * len(more)


def pairs_in_common(one: Question, other: Question) -> float:
    """Return the share of neighbouring words (Han characters) that two questions have in common, in [0, 1] (Jaccard)."""
    ours, theirs = set(zip(one.words, one.words[1:], strict=False)), set(zip(other.words, other.words[1:], strict=False))
    return len(ours & theirs) / len(ours | theirs) if ours or theirs else 0.0


def _stands_alone(text: str, words: tuple[str, ...], latin: bool) -> bool:
    said = len(set(words))
    if said < _fewest(latin) or _GOES_ON.match(text):
        return False
    return said > _fewest(latin) or not _POINTS_BACK.search(text)


def _fewest(latin: bool) -> int:
    return 2 if latin else 3


def _stem(word: str) -> str:
    """Cut the commonest English endings, so that "replaced" and "replace" are one word."""
    ending = next((end for end in _ENDINGS if word.endswith(end) and len(word) - len(end) >= 4), "")
    word = word.removesuffix(ending)
    return word.removesuffix("e") if len(word) > 4 else word
