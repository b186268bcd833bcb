"""Answers that people put right, said to the next customer who asks the same.

Holds the store's corrections in memory and reads them again when its stamp changes, so that a correction made by another
process serves in this one too. What counts as the same question is decided by words first (``same_question.py``), then by
cosine. Does not know how a reply is checked; ``pipeline.py`` does the asking, ``feedback.py`` writes what is read here.
"""

from __future__ import annotations

import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from assistant.compose import fill_slots
from assistant.judgements import Correction
from assistant.reading import leans_on
from assistant.records import Draft, Hit, IntentGuess, Passage
from assistant.redact import fill
from assistant.same_question import LEAST_PAIRS, LEAST_SHARE, Question, may_be_same, pairs_in_common, question
from assistant.store import Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Cosine from which two questions that share their words are the same; see DECISIONS.md for what it was chosen on.
LEAST_COSINE = 0.8
#: The same where the message says more than the corrected question: it may ask for something narrower.
LEAST_COSINE_NARROWER = 0.88
#: How likely the answer to a near question is right; to the very same one it is taken as certain.
NEAR_IS_RIGHT = 0.95
ORIGIN = "correction"
_SURE = 0.6  # two topics, each read with this confidence, that differ: the questions differ too
_MOST_COMPARED = 16
_WHOLE = 10_000  # turns of a conversation
_TITLES = {"en": "Corrected answer", "zh": "更正后的回答"}
_TOPIC_TITLES = {"en": "Corrected topic", "zh": "更正后的主题"}
_PLACEHOLDER = re.compile(r"\[([A-Z]{2,12})_\d{1,3}\]")


@dataclass(frozen=True, slots=True)
class Match:
    """A correction of the question that is asked; ``score`` in [0, 1], 1 for the same words."""

    correction: Correction
    score: float
    dense: float = 0.0
    lexical: float = 1.0

    @property
    def exact(self) -> bool:
        """Whether the very same words were corrected."""
        return self.score >= 1.0


@dataclass(frozen=True, slots=True)
class _Row:
    correction: Correction
    question: Question


@dataclass(frozen=True, slots=True)
class _Known:
    """The corrections at one moment, the last of each question."""

    stamp: str
    rows: tuple[_Row, ...]
    by_key: Mapping[str, _Row]
    holding: Mapping[str, tuple[int, ...]]  # word -> places in ``rows``


@dataclass(frozen=True, slots=True)
class _Asked:
    """How the corrected message was understood then, and what it came after (see ``reading.leans_on``)."""

    topic: IntentGuess | None
    before: str


class Corrections:
    """The corrected answers of a store; safe to share between threads."""

    def __init__(self, store: Store) -> None:
        """Use an open store; nothing is read before the first question."""
        self._store = store
        self._lock = threading.Lock()
        self._known = _Known("", (), {}, {})
        self._vectors: dict[str, NDArray[Any]] = {}
        self._asked: dict[str, _Asked | None] = {}

    def expire(self) -> None:
        """Read the corrections again at the next question, whatever the stamp says."""
        self._known = replace(self._known, stamp="")

    def find(
        self,
        text: str,
        *,
        vector: NDArray[Any] | None,
        encode: Callable[[Sequence[str]], NDArray[Any]],
        topic: IntentGuess | None,
        before: str,
    ) -> Match | None:
        """Find what a person put right for this question.

        The same words win over near ones, and the last correction of a question over those before it. A message that leans
        on what was said before it ("and if it's opened?") is the same question only after the same. In scripts that the base
        encoder does not know (it has no word for 60 % of Han characters) neighbouring characters are compared instead.

        Args:
            text: The customer's message, redacted.
            vector: Its unit vector ``(d,)``; without one only the same words are found.
            encode: Texts to unit vectors ``(n, d)``; called for corrected questions that share this one's words.
            topic: The intent understood now, if any.
            before: What the message comes after; see ``reading.leans_on``.

        Returns:
            The correction, or ``None``.

        Raises:
            StoreError: If the store cannot be read.
        """
        known = self._current()
        if not known.rows:
            return None
        asked = question(text)
        same = known.by_key.get(asked.key)
        if same is not None and self._fits(same, asked, topic, before, exact=True):
            return Match(same.correction, 1.0, 1.0, 1.0)
        near = self._near(known, asked, vector, encode)
        return next((match for row, match in near if self._fits(row, asked, topic, before, exact=False)), None)

    def _current(self) -> _Known:
        stamp = self._store.learning.corrections_stamp()
        if stamp != self._known.stamp:
            with self._lock:
                if stamp != self._known.stamp:
                    self._known = _read(self._store.learning.corrections(), stamp)
                    kept = {row.question.key for row in self._known.rows}
                    self._vectors = {key: vector for key, vector in self._vectors.items() if key in kept}
                    self._asked = {}
        return self._known

    def _near(
        self, known: _Known, asked: Question, vector: NDArray[Any] | None, encode: Callable[[Sequence[str]], NDArray[Any]]
    ) -> list[tuple[_Row, Match]]:
        """List the corrected questions near this one, nearest first."""
        shared = Counter(place for word in asked.spoken for place in known.holding.get(word, ()))
        least = LEAST_SHARE * len(asked.spoken)  # what may be the same shares as much; nearly all rows stop here
        likely = (known.rows[place] for place, count in shared.most_common() if count >= least)
        rows = [row for row in likely if may_be_same(row.question, asked)][:_MOST_COMPARED]
        if not rows:
            return []
        if not asked.latin:
            common = [(row, pairs_in_common(row.question, asked)) for row in rows]
            found = [(row, Match(row.correction, score, 0.0, score)) for row, score in common if score >= LEAST_PAIRS]
        elif vector is None:
            return []
        else:
            cosines = [float(each @ vector) for each in self._encoded(rows, encode)]
            found = [
                (row, Match(row.correction, min(score, 0.9999), score, pairs_in_common(row.question, asked)))
                for row, score in zip(rows, cosines, strict=True)
                if score >= (LEAST_COSINE if asked.spoken <= row.question.spoken else LEAST_COSINE_NARROWER)
            ]
        return sorted(found, key=lambda pair: (pair[1].score, pair[0].correction.at), reverse=True)

    def _encoded(self, rows: Sequence[_Row], encode: Callable[[Sequence[str]], NDArray[Any]]) -> list[NDArray[Any]]:
        vectors = self._vectors  # a reading thread may replace it meanwhile
        new = [row for row in rows if row.question.key not in vectors]
        if new:
            vectors.update(zip((row.question.key for row in new), encode([row.correction.question for row in new]), strict=True))
        return [vectors[row.question.key] for row in rows]

    def _fits(self, row: _Row, asked: Question, topic: IntentGuess | None, before: str, *, exact: bool) -> bool:
        alone = asked.alone and row.question.alone
        if exact and alone:
            return True
        then = self._then(row.correction)
        if then is None:  # erased since it was read
            return False
        read_as = then.topic.name if then.topic else None
        if not alone and before not in (then.before, read_as, row.question.key):  # asked once more, it comes after itself
            return False
        # Near questions that are both surely read, as different topics, are different questions.
        sure = topic is not None and then.topic is not None and min(topic.confidence, then.topic.confidence) >= _SURE
        return exact or not sure or (topic is not None and topic.name in (read_as, row.correction.intent))

    def _then(self, one: Correction) -> _Asked | None:
        if one.message_id not in self._asked:
            turns = self._store.turns(one.conversation_id, _WHOLE)
            place = next((place for place, turn in enumerate(turns) if turn.reply.message_id == one.message_id), None)
            found = None
            if place is not None:
                guesses = turns[place].reply.understanding.intents
                found = _Asked(guesses[0] if guesses else None, leans_on(turns[:place]))
            self._asked[one.message_id] = found
        return self._asked[one.message_id]


def sayable(answer: str, slots: Mapping[str, str]) -> str | None:
    """Fill in what a corrected answer leaves open.

    An order or tracking number is this customer's latest; a second one of its kind, or a name, is nobody's but the customer's
    for whom the answer was written.

    Args:
        answer: As stored, with placeholders for personal data.
        slots: Values known in this conversation, ``{"order_number": ...}``.

    Returns:
        The answer, or ``None`` where it is empty or cannot be said here.
    """
    kinds: dict[str, set[str]] = defaultdict(set)
    for place in _PLACEHOLDER.finditer(answer):
        kinds[place[1]].add(place[0])
    text, missing = fill_slots(answer, slots)
    text = fill(text, slots)
    several = any(len(places) > 1 for places in kinds.values())
    return None if several or missing or not text.strip() or _PLACEHOLDER.search(text) else text


def draft(match: Match, intent: str | None, slots: Mapping[str, str], lang: str) -> Draft | None:
    """Make a draft of a corrected answer.

    Args:
        match: What was found.
        intent: The topic it stands for.
        slots: Values known in this conversation.
        lang: Language of the evidence's title.

    Returns:
        The draft, with the correction as its evidence; ``None`` where there is nothing that can be said here.
    """
    text = sayable(match.correction.answer, slots)
    if text is None:
        return None
    return Draft(text, ORIGIN, intent, (evidence(match, lang),), 1.0 if match.exact else NEAR_IS_RIGHT)


def evidence(match: Match, lang: str) -> Hit:
    """Show a correction as evidence.

    The customer's question stays out of it: evidence is stored with other customers' conversations.

    Args:
        match: What was found.
        lang: Language of the title.

    Returns:
        A hit whose source names the corrected reply, ``feedback:MESSAGE_ID``.
    """
    one = match.correction
    titles = _TITLES if one.answer else _TOPIC_TITLES
    passage = Passage(
        id=f"{ORIGIN}:{one.message_id}",
        kind="reply",
        title=titles.get(lang, titles["en"]),
        text=one.answer or str(one.intent),
        search_text="",
        source=f"feedback:{one.message_id}",
        lang=one.lang,
        intent=one.intent,
        at=one.at,
    )
    return Hit(passage, match.score, match.dense, match.lexical)


def _read(corrections: Sequence[Correction], stamp: str) -> _Known:
    by_key: dict[str, _Row] = {}
    for one in corrections:
        asked = question(one.question)
        if asked.key:
            by_key[asked.key] = _Row(one, asked)
    rows = tuple(by_key.values())
    holding: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        for word in row.question.spoken:
            holding[word].append(place)
    return _Known(stamp, rows, by_key, {word: tuple(places) for word, places in holding.items()})
