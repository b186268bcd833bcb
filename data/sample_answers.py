"""Which answer an agent gives to which opening: the human reply that fits best, else the template or a part of the article.

It knows words, not meaning: replies are tied to openings by rare words in common, and refused when they speak of another
device. A rough fit is enough for a sample; what fits nothing gets the general answer, which is always right.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from dataclasses import dataclass, field

from sample_sources import Intent, strip_brackets

STOP = frozenset(
    re.findall(
        r"\S+",
        """
    the and you your for that with this have has had was were are but not from they them what when which will would can could
    our out one two its it's i've i'm i'll isn't don't there here just now then than been into about some any all get got did
    does how who why where she her his him their please thanks thank also only still very more most much over after before
    again back same send sent way day days new like want need know see tell
""",
    )
)
_LEANING = re.compile(
    r"(If neither|If it|If they|If this|If none|If that|It |They |Then |That |These |This |Both |也|它|这|都|如果还|还是)"
)
DEVICES = ("Hub 2", "Bell 3", "Cam 2", "Therm 1", "Vac 5", "Air 4", "Sense 1")
# Chosen by reading: below, an answer more often misses than meets the opening.
CLEAR, LIKELY, PART = 1.2, 0.6, 1.0
# A reply was written with few openings in mind: it is given to those that it fits best.
SUITED = 3


def words(text: str) -> set[str]:
    """Cut a text into comparable words: English stems, Chinese pairs of characters.

    Args:
        text: any text.

    Returns:
        The words that carry meaning.
    """
    found = set()
    for word in re.findall(r"[a-z0-9][a-z0-9'-]{2,}", text.lower()):
        if word not in STOP:
            found.add(re.sub(r"(ing|ed|es|s|e|ly)$", "", word) if len(word) > 4 else word)
    for run in re.findall(r"[\u4e00-\u9fff]+", text):
        found.update(run[start : start + 2] for start in range(len(run) - 1))
    return found


@dataclass
class Answer:
    """What an agent may say; a human reply also knows the openings that it suits best."""

    text: str
    human: bool
    devices: frozenset[str]
    terms: frozenset[str]
    suits: frozenset[str] = frozenset()


@dataclass
class AnswerBook:
    """All answers of one intent in one language."""

    answers: list[Answer]
    template: Answer
    weight: dict[str, float]
    aliases: dict[str, list[str]] = field(repr=False)

    def best(self, opening: str) -> Answer:
        """Choose the answer that fits an opening.

        Args:
            opening: the customer's text, without brackets.

        Returns:
            A human reply where one fits, else a part of the article that is to the point, else the template.
        """
        terms, devices = words(opening), devices_in(opening, self.aliases)
        scored = [(self.score(answer, terms, devices), -number, answer) for number, answer in enumerate(self.answers)]
        humans = [row for row in scored if row[2].human and row[0] >= (LIKELY if opening in row[2].suits else CLEAR)]
        parts = [row for row in scored if not row[2].human and row[2] is not self.template and row[0] >= PART]
        return max(humans or parts, default=(0.0, 0, self.template))[2]

    def overlap(self, one: str, other: str) -> float:
        """Measure how much of the shorter text's words stand in the other.

        Args:
            one: a text.
            other: another.

        Returns:
            0 to 1.
        """
        mine, theirs = words(one), words(other)
        return len(mine & theirs) / max(1, min(len(mine), len(theirs)))

    def speaks_of_other(self, text: str, context: str) -> bool:
        """Tell whether a text names a device that its context does not.

        Args:
            text: what somebody is about to say.
            context: what has been said.

        Returns:
            True when it does not belong there.
        """
        mine, theirs = devices_in(text, self.aliases), devices_in(context, self.aliases)
        return bool(mine) and not mine <= theirs

    def score(self, answer: Answer, terms: set[str], devices: frozenset[str]) -> float:
        """Measure how well an answer fits.

        Args:
            answer: the answer.
            terms: the words of the opening.
            devices: the devices that the opening names.

        Returns:
            Weighted words in common, from about -2 to 3.
        """
        # Sorted, because floats added in another order may differ in the last digit.
        shared = sorted(terms & answer.terms)
        score = sum(self.weight.get(term, 0.0) for term in shared) / math.sqrt(len(answer.terms) + 4)
        if answer.human and answer.devices and not answer.devices & devices:
            score -= 2.0 if devices else 0.35
        if answer.human and answer.devices & devices:
            score += 0.3
        return round(score, 6)


def devices_in(text: str, aliases: dict[str, list[str]]) -> frozenset[str]:
    """Find the devices that a text names.

    Args:
        text: any text.
        aliases: names by device.

    Returns:
        The canonical names.
    """
    lower = text.lower()
    return frozenset(
        device
        for device in DEVICES
        if any((name in lower) if not name.isascii() else re.search(rf"\b{re.escape(name)}\b", lower) for name in aliases[device])
    )


def make_book(intent: Intent, lang: str, article: str, aliases: dict[str, list[str]]) -> AnswerBook:
    """Collect what agents may answer to an intent.

    Args:
        intent: the intent.
        lang: "en" or "zh".
        article: its help article, in Markdown.
        aliases: names by device.

    Returns:
        The answers with the weights of their words.
    """
    texts = [(text, True) for text in intent.replies[lang]] + [(intent.template[lang], False)]
    texts += [(text, False) for text in _sections(article, lang)]
    answers = [Answer(text, human, devices_in(text, aliases), frozenset(words(text))) for text, human in texts]
    asked = [strip_brackets(text) for text in [opening.text for opening in intent.openings[lang]] + intent.utterances[lang]]
    everything = [words(text) for text in asked] + [set(answer.terms) for answer in answers]
    counts = Counter(term for terms in everything for term in sorted(terms))
    weight = {term: math.log(len(everything) / count) for term, count in counts.items()}
    book = AnswerBook(answers, answers[len(intent.replies[lang])], weight, aliases)
    read = [(text, words(text), devices_in(text, aliases)) for text in asked]
    for answer in answers[: len(intent.replies[lang])]:
        ranked = sorted((-book.score(answer, terms, devices), text) for text, terms, devices in read)
        answer.suits = frozenset(text for _, text in ranked[:SUITED])
    return book


def _sections(article: str, lang: str) -> list[str]:
    """Cut an article into the paragraphs that could be sent as a message: prose of a few sentences, no lists."""
    shortest, longest = (40, 150) if lang == "zh" else (110, 420)
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n|^#.*$", article, flags=re.M)]
    prose = [
        re.sub(r"[*`]", "", part).replace("\n", " ") for part in paragraphs if not re.search(r"^([-*]|\d+\.) ", part, flags=re.M)
    ]
    # A paragraph that leans on the one before or after makes no sense alone.
    prose = [part for part in prose if not _LEANING.match(part)]
    whole = [part for part in prose if part and part[-1] in ".。!！)）" and not re.search("below|above|下面|上面", part)]
    return [part for part in whole if shortest <= len(part) <= longest]
