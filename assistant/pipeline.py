"""One turn, end to end: redact, understand, retrieve, compose, check, store. Reads like the picture in the design.

Objects come from outside (``ui/wiring.py``). A failure inside becomes a handoff, never a trace; it is logged for people.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from assistant import compose, context
from assistant.check import Thresholds, decide
from assistant.errors import StoreError
from assistant.phrases import say
from assistant.records import Feedback, Hit, Message, Reply, Turn, Understanding, Verdict
from assistant.redact import Memory, Redactor, fill
from assistant.store import Store
from assistant.understand import SOCIAL, Understander, visible

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOG = logging.getLogger("deskhand")
MAX_CHARS = 8_000  # what is stored of one message; the rest of a 100,000-character paste is dropped at the door
_HISTORY = 4
_REMEMBERED = 2_000  # conversations whose redaction memory is kept at hand; others are rebuilt from the store


class Search(Protocol):
    """What the pipeline needs of a retriever; the tests' small one and the real one both fit."""

    def search(self, text: str, *, vector: NDArray[Any] | None = None, k: int = 8, prefer_lang: str | None = None) -> list[Hit]:
        """Return the best passages for a question."""
        ...


@dataclass(frozen=True, slots=True)
class CompanyFacts:
    """What the assistant knows of who it speaks for."""

    name: str
    languages: tuple[str, ...]
    hours: str = ""
    person_intents: tuple[str, ...] = ("speak_to_human",)


class Assistant:
    """Answers customers; safe to call from several threads."""

    def __init__(
        self,
        *,
        store: Store,
        retriever: Search,
        understander: Understander,
        redactor: Redactor,
        templates: compose.Templates,
        company: CompanyFacts,
        thresholds: Thresholds,
        index_version: str,
        salt: str,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        k: int = 8,
    ) -> None:
        """Take everything a turn needs."""
        self.store = store
        self.company = company
        self.thresholds = thresholds
        self._retriever = retriever
        self._understander = understander
        self._redactor = redactor
        self._templates = templates
        self._index_version = index_version
        self._salt = salt
        self._now = now
        self._new_id = new_id
        self._k = k
        self._memories: OrderedDict[str, Memory] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def versions(self) -> dict[str, str]:
        """Return the index and adapter versions that serve."""
        return {"index": self._index_version, **self._understander.versions}

    def turn(
        self,
        text: str,
        *,
        conversation_id: str | None = None,
        contact: str | None = None,
        channel: str = "api",
        lang: str | None = None,
    ) -> Reply:
        """Answer one message and store the turn.

        Args:
            text: What the customer wrote; anything.
            conversation_id: A conversation under way; a new one starts without it.
            contact: Who writes, for ``deskhand forget``.
            channel: Where it came from.
            lang: The customer's chosen language, if a door knows it.

        Returns:
            The reply. A failure inside gives a handoff with reason ``failure``.

        Raises:
            StoreError: If the conversation is not known, or the store cannot be written at all.
        """
        started = time.perf_counter()
        if conversation_id is None:
            conversation_id = self._new_id()
            self.store.start_conversation(conversation_id, self._now(), lang=lang, contact=contact, channel=channel)
            turns: list[Turn] = []
        else:
            conversation = self.store.conversation(conversation_id)
            if conversation is None:
                raise StoreError(f"there is no conversation {conversation_id!r}; leave the id out to start one")
            turns = self.store.turns(conversation_id, _HISTORY)
            lang = lang or conversation.lang
        clock = _Stages(started)
        memory = self._memory(conversation_id, turns)
        redacted = self._redactor.redact(text[:MAX_CHARS], memory).text
        message = Message(self._new_id(), conversation_id, redacted, self._now(), dict(memory.slots()))
        clock.mark("redact")
        try:
            reply = self._answer(message, turns, memory, lang, clock, cut=len(text) > MAX_CHARS)
        except Exception:  # the edge of one turn: whatever fails, the customer gets a person
            LOG.exception("turn failed; message %s was handed over", message.id)
            spoken = turns[-1].reply.understanding.language if turns else (lang or self.company.languages[0])
            reply = self._finish(
                message,
                Verdict("handoff", "failure", say("handoff_failure", spoken, hours=self._hours(spoken))),
                Understanding(language=spoken),
                (),
                "failure",
                clock,
            )
        stored = time.perf_counter()
        self.store.record_turn(message, reply)
        stages = {**reply.stages_ms, "store": (time.perf_counter() - stored) * 1e3}
        return replace(reply, latency_ms=(time.perf_counter() - started) * 1e3, stages_ms=stages)

    def feedback(self, message_id: str, rating: int, comment: str = "", correction: str = "") -> None:
        """Store a thumb, with a comment or a corrected answer.

        Raises:
            StoreError: If the reply is not known or the rating is neither -1 nor 1.
        """
        memory = Memory(self._salt)
        clean = [self._redactor.redact(value[:MAX_CHARS], memory).text for value in (comment, correction)]
        self.store.add_feedback(Feedback(message_id, rating, clean[0], clean[1], self._now()))

    def explain(self, message_id: str) -> dict[str, Any]:
        """Return everything that was stored of a message: evidence, scores, thresholds, versions.

        Raises:
            StoreError: If the message is not known.
        """
        detail = self.store.message_detail(message_id)
        if detail is None:
            raise StoreError(f"there is no message {message_id!r}; ids stand in the answer of `deskhand ask --json`")
        return detail

    def _answer(
        self, message: Message, turns: Sequence[Turn], memory: Memory, lang: str | None, clock: _Stages, *, cut: bool
    ) -> Reply:
        before = turns[-1].reply.understanding.language if turns else lang
        text = visible(message.text)
        if not any(letter.isalnum() for letter in text):
            spoken = before if before in self.company.languages else self.company.languages[0]
            verdict = Verdict("clarify", "empty", say("empty", spoken))
            return self._finish(message, verdict, Understanding(language=spoken), (), "empty", clock)
        reading = self._read(text, turns, before)
        clock.mark("understand")
        main = reading.main
        slots = {**_known_slots(turns), **main.slots, **memory.slots()}
        query = self._query(text, turns, reading.kind)
        vector = main.vector if query == text and not reading.others else None
        hits = self._retriever.search(query, vector=vector, k=self._k, prefer_lang=main.language)
        clock.mark("retrieve")
        verdict, evidence, origin = self._decide(message, reading, hits, turns, memory, slots)
        if reading.others and verdict.action != "handoff":
            verdict, evidence = self._also(message, reading, (verdict, evidence), turns, memory, slots)
        if cut and verdict.reason in ("low_confidence", "low_evidence", "out_of_scope"):
            verdict = replace(verdict, text=say("too_long", main.language))
        clock.mark("check")
        verdict = replace(verdict, text=fill(verdict.text, memory.numbers()))
        return self._finish(message, verdict, main, evidence, origin, clock, slots)

    def _read(self, text: str, turns: Sequence[Turn], before: str | None) -> context.Reading:
        """Understand the message alone, behind the one before it, and in parts: all in one forward pass."""
        earlier = _topic(turns)
        joined = f"{turns[-1].message.text[-300:]} {text}" if turns and context.is_short(text) else None
        pieces = context.parts(text)
        texts = [text, *([joined] if joined else []), *pieces]
        readings = self._understander.read(texts, before)
        return context.read_in_context(
            text,
            readings[0],
            readings[1] if joined else None,
            readings[2:] if joined else readings[1:],
            earlier,
            sure=self.thresholds.min_confidence,
        )

    def _decide(
        self,
        message: Message,
        reading: context.Reading,
        hits: Sequence[Hit],
        turns: Sequence[Turn],
        memory: Memory,
        slots: dict[str, str],
    ) -> tuple[Verdict, tuple[Hit, ...], str]:
        main, lang = reading.main, reading.main.language
        follow_up = reading.kind in ("follow_up", "slot", "correction")
        usable = {name: value for name, value in slots.items() if value}
        told = [] if reading.kind in ("slot", "correction") else _told(turns)
        found = compose.drafts(
            main, hits, self._templates, usable, lang=lang, company=self.company.name, told=told, follow_up=follow_up
        )
        top = main.intents[0] if main.intents else None
        wants = top is not None and top.name in self.company.person_intents and top.confidence >= 0.5
        grounds = [message.text, *usable.values(), *(turn.message.text for turn in turns), self.company.hours]
        verdict, draft = decide(
            found,
            compose.choices(main, self._templates, lang),
            main,
            [fill(text, memory.numbers()) for text in grounds],
            self.thresholds,
            lang=lang,
            company=self.company.name,
            hours=self.company.hours,
            clarified=_clarified(turns),
            wants_person=wants,
            follow_up=follow_up,
        )
        evidence = draft.evidence if draft else ()
        if verdict.action == "send" and draft is not None and draft.origin != "social":
            shown = {hit.passage.id for hit in evidence}
            evidence += tuple(hit for hit in hits if hit.passage.id not in shown and hit.passage.intent == draft.intent)[:2]
            upset = main.sentiment is not None and main.sentiment.label == "negative" and main.sentiment.confidence > 0.7
            if upset and draft.origin in ("article", "reply"):
                verdict = replace(verdict, text=say("sorry", lang) + verdict.text)
        return verdict, evidence, draft.origin if draft else verdict.reason

    def _also(
        self,
        message: Message,
        reading: context.Reading,
        first: tuple[Verdict, tuple[Hit, ...]],
        turns: Sequence[Turn],
        memory: Memory,
        slots: dict[str, str],
    ) -> tuple[Verdict, tuple[Hit, ...]]:
        """Answer the further questions of one message behind the first answer."""
        verdict, evidence = first
        for other in reading.others:
            query = self._templates.title(other.intents[0].name, other.language)
            hits = self._retriever.search(query, vector=other.vector, k=self._k, prefer_lang=other.language)
            more, proof, _ = self._decide(message, context.Reading(other), hits, turns, memory, slots)
            if more.reason in ("low_confidence", "two_readings", "out_of_scope"):
                continue
            action = "send" if "send" in (verdict.action, more.action) else verdict.action
            joined = f"{verdict.text}\n\n{say('joiner', reading.main.language)}{more.text}"
            verdict = Verdict(action, verdict.reason, joined, {**verdict.checks, f"also_{other.intents[0].name}": more.reason})
            evidence += proof
        return verdict, evidence

    def _query(self, text: str, turns: Sequence[Turn], kind: str) -> str:
        if kind in ("slot", "correction") and turns:
            return turns[-1].message.text
        return text

    def _finish(
        self,
        message: Message,
        verdict: Verdict,
        understanding: Understanding,
        evidence: Sequence[Hit],
        origin: str,
        clock: _Stages,
        slots: dict[str, str] | None = None,
    ) -> Reply:
        thresholds = {**self.thresholds.as_dict(), **{k: v for k, v in verdict.checks.items() if isinstance(v, float)}}
        return Reply(
            conversation_id=message.conversation_id,
            message_id=self._new_id(),
            action=verdict.action,
            reason=verdict.reason,
            text=verdict.text,
            understanding=understanding,
            evidence=tuple(evidence),
            versions=self.versions,
            latency_ms=clock.total_ms(),
            thresholds=thresholds,
            slots=slots if slots is not None else dict(message.slots),
            stages_ms=dict(clock.stages),
            origin=origin,
        )

    def _memory(self, conversation_id: str, turns: Sequence[Turn]) -> Memory:
        with self._lock:
            memory = self._memories.get(conversation_id)
            if memory is None:
                memory = Memory(self._salt)
                for turn in turns:
                    memory.reserve(turn.message.text)
                    # Numbers are stored as slots of their own turn, so an order keeps its value across restarts.
                    for slot, kind in (("order_number", "ORDER"), ("tracking_number", "TRACKING")):
                        if turn.message.slots.get(slot):
                            memory.placeholder(kind, turn.message.slots[slot])
                self._memories[conversation_id] = memory
            self._memories.move_to_end(conversation_id)
            while len(self._memories) > _REMEMBERED:
                self._memories.popitem(last=False)
            return memory

    def _hours(self, lang: str) -> str:
        return say("hours", lang, hours=self.company.hours) if self.company.hours else ""


class _Stages:
    """Milliseconds since the last mark, by stage."""

    def __init__(self, started: float) -> None:
        self._started = self._last = started
        self.stages: dict[str, float] = {}

    def mark(self, stage: str) -> None:
        now = time.perf_counter()
        self.stages[stage] = (now - self._last) * 1e3
        self._last = now

    def total_ms(self) -> float:
        return (time.perf_counter() - self._started) * 1e3


def _topic(turns: Sequence[Turn]) -> str | None:
    """Return the intent the conversation is about: the last one that was not small talk."""
    for turn in reversed(turns):
        intents = turn.reply.understanding.intents
        if turn.reply.reason in ("out_of_scope", "empty", "low_confidence", "low_evidence", "failure"):
            continue
        if intents and intents[0].name not in SOCIAL:
            return intents[0].name
    return None


def _told(turns: Sequence[Turn]) -> list[str]:
    """List the intents that were answered already."""
    return [t.reply.understanding.intents[0].name for t in turns if t.reply.action == "send" and t.reply.understanding.intents]


def _known_slots(turns: Sequence[Turn]) -> dict[str, str]:
    known: dict[str, str] = {}
    for turn in turns:
        known.update({name: value for name, value in turn.reply.slots.items() if value})
    return known


def _clarified(turns: Sequence[Turn]) -> int:
    """Count the questions back at the end of the conversation so far."""
    count = 0
    for turn in reversed(turns):
        if turn.reply.reason not in ("low_confidence", "low_evidence", "two_readings"):
            break
        count += 1
    return count
