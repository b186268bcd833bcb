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
from typing import Any

from assistant import compose, context, corrections, history
from assistant.check import decide
from assistant.choose import context_of
from assistant.corrections import Corrections
from assistant.errors import StoreError
from assistant.escalate import COURSE, escalate
from assistant.feedback import Learned, keep_feedback
from assistant.language import detect
from assistant.phrases import say
from assistant.reading import HISTORY, Asked, leans_on, query, read, topic, with_intent
from assistant.records import Draft, Feedback, Hit, Message, Reply, Understanding, Verdict
from assistant.redact import Memory, Redactor, fill
from assistant.relevance import on_topic
from assistant.serving import CompanyFacts as CompanyFacts
from assistant.serving import Search as Search
from assistant.serving import Serving as Serving
from assistant.store import Store
from assistant.understand import drop_invisible, visible

LOG = logging.getLogger("deskhand")
MAX_CHARS = 8_000  # what is stored of one message; the rest of a 100,000-character paste is dropped at the door
_CUT_MARGIN = 300  # read beyond the cut, so that a card number across it is still recognised
_WHOLE = 10_000  # turns read to bring a conversation's redaction memory back
_REMEMBERED = 2_000  # conversations whose redaction memory is kept at hand; others are rebuilt from the store


class Assistant:
    """Answers customers; safe to call from several threads."""

    def __init__(
        self,
        *,
        store: Store,
        serving: Callable[[str], Serving],
        redactor: Redactor,
        company: CompanyFacts,
        salt: str,
        now: Callable[[], datetime],
        new_id: Callable[[], str],
        k: int = 8,
    ) -> None:
        """Take everything a turn needs.

        ``serving`` is asked at each turn with the conversation's id, so a new version takes effect between two turns, and some
        conversations may be answered by other versions than the rest; asked with "" it gives what serves by default.
        """
        self.store = store
        self.company = company
        self._serving = serving
        self._redactor = redactor
        self._salt = salt
        self._now = now
        self._new_id = new_id
        self._k = k
        self._corrections = Corrections(store)
        self._memories: OrderedDict[str, _Held] = OrderedDict()
        self._lock = threading.Lock()
        self._judging = threading.Lock()

    @property
    def versions(self) -> dict[str, str]:
        """Return the index and adapter versions that serve."""
        return self._serving("").versions

    @property
    def intents(self) -> tuple[str, ...]:
        """Return every topic that a correction may name."""
        return self._serving("").known_intents

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
            held = self._hold(conversation_id, new=True)
        else:
            conversation = self.store.conversation(conversation_id)
            if conversation is None:
                raise StoreError(f"there is no conversation {conversation_id!r}; leave the id out to start one")
            lang = lang or conversation.lang
            held = self._hold(conversation_id, new=False)
        with held.lock:  # messages that one customer sends at once are answered one after the other
            return self._turn(text, conversation_id, held.memory, lang, started)

    def _turn(self, text: str, conversation_id: str, memory: Memory, lang: str | None, started: float) -> Reply:
        clock = _Stages(started)
        turns = self.store.turns(conversation_id, HISTORY)
        redacted = self._redactor.redact(drop_invisible(text[: MAX_CHARS + _CUT_MARGIN]), memory).text[:MAX_CHARS]
        message = Message(self._new_id(), conversation_id, redacted, self._now(), dict(memory.slots()))
        clock.mark("redact")
        serving = None
        try:
            serving = self._serving(conversation_id)
            asked = Asked(serving, message, turns, memory)
            reply = self._answer(asked, lang, clock, cut=len(text) > MAX_CHARS)
        except Exception:  # the edge of one turn: whatever fails, the customer gets a person
            LOG.exception("turn failed; message %s was handed over", message.id)
            before = turns[-1].reply.understanding.language if turns else lang
            spoken = detect(redacted, before, self.company.languages)
            reply = self._finish(
                message,
                Verdict("handoff", "failure", say("handoff_failure", spoken, hours=self._hours(spoken))),
                Understanding(language=spoken),
                (),
                "failure",
                clock,
                serving,
            )
        stored = time.perf_counter()
        self.store.record_turn(message, reply)
        stages = {**reply.stages_ms, "store": (time.perf_counter() - stored) * 1e3}
        return replace(reply, latency_ms=(time.perf_counter() - started) * 1e3, stages_ms=stages)

    def feedback(
        self, message_id: str, rating: int, comment: str = "", correction: str = "", intent: str | None = None
    ) -> Learned:
        """Store a thumb, with a comment, or what would have been right, which serves from the next message on.

        Who may correct is for the door to decide: what is corrected here is said to other customers.

        Args:
            message_id: The reply's id.
            rating: -1 or 1.
            comment: What a person thinks of the reply.
            correction: The reply as it should have been.
            intent: What the customer really wanted.

        Returns:
            What came of it; see ``feedback.keep_feedback``.

        Raises:
            StoreError: If the reply or the intent is not known, or the rating is neither -1 nor 1.
        """
        memory = Memory(self._salt)
        clean = [self._redactor.redact(value[:MAX_CHARS], memory).text.strip() for value in (comment, correction)]
        judged = Feedback(message_id, rating, clean[0], clean[1], intent=(intent or "").strip() or None)
        with self._judging:  # an earlier judgement is read before it is replaced
            learned = keep_feedback(self.store, judged, self._now(), lambda: self._serving("").known_intents, self._new_id)
        self._corrections.expire()
        return learned

    def explain(self, message_id: str) -> dict[str, Any]:
        """Return everything that was stored of a message: evidence, scores, thresholds, versions.

        Raises:
            StoreError: If the message is not known.
        """
        detail = self.store.message_detail(message_id)
        if detail is None:
            raise StoreError(f"there is no message {message_id!r}; ids stand in the answer of `deskhand ask --json`")
        return detail

    def _answer(self, asked: Asked, lang: str | None, clock: _Stages, *, cut: bool) -> Reply:
        serving, message, turns, memory = asked.serving, asked.message, asked.turns, asked.memory
        before = turns[-1].reply.understanding.language if turns else lang
        text = visible(message.text)
        if not any(letter.isalnum() for letter in text):
            spoken = before if before in self.company.languages else self.company.languages[0]
            verdict = Verdict("clarify", "empty", say("empty", spoken))
            return self._finish(message, verdict, Understanding(language=spoken), (), "empty", clock, serving)
        reading = read(asked, text, before)
        found = self._corrected(asked, reading, text)
        reading = with_intent(reading, found.correction.intent if found else None)
        clock.mark("understand")
        main = reading.main
        slots = {**history.known_slots(turns), **main.slots, **memory.slots()}
        if reading.kind == "correction" and context.names_other(text) and "[ORDER_" not in text:
            slots.pop("order_number", None)  # "no, the other order": which one is asked for
        answer = self._put_right(found, reading, slots)
        if answer is not None:  # a person's word on this very question outranks the doubt whether it is one for us
            main = replace(main, out_of_scope=0.0)
            reading = replace(reading, main=main, others=())
        wanted = query(asked, reading, text)
        vector = main.vector if wanted == text and not reading.others else None
        hits = serving.retriever.search(wanted, vector=vector, k=self._k, prefer_lang=main.language)
        if not main.intents and main.vector is not None:
            hits = on_topic(hits, main.vector, serving.understander.encoder.encode)
        if serving.chooser is not None:
            hits = serving.chooser.order(context_of(turns, text), hits, serving.thresholds.min_evidence)
        clock.mark("retrieve")
        verdict, evidence, origin = self._decide(asked, reading, hits, slots, answer)
        if found is not None and (origin == corrections.ORIGIN or found.correction.intent):
            verdict = replace(verdict, checks={**verdict.checks, "correction": round(found.score, 4)})
            if origin != corrections.ORIGIN:
                evidence += (corrections.evidence(found, main.language),)
        if reading.others and verdict.action != "handoff":
            verdict, evidence = self._also(asked, reading, (verdict, evidence), slots)
        if cut and verdict.reason in ("low_confidence", "low_evidence", "out_of_scope"):
            verdict = replace(verdict, text=say("too_long", main.language))
        course = turns
        if len(turns) == HISTORY and main.sentiment is not None and main.sentiment.score < 0:
            course = self.store.turns(message.conversation_id, COURSE)
        verdict = escalate(verdict, course, main.sentiment, main.language, self.company.hours)
        clock.mark("check")
        verdict = replace(verdict, text=fill(verdict.text, memory.numbers()))
        return self._finish(message, verdict, main, evidence, origin, clock, serving, slots)

    def _corrected(self, asked: Asked, reading: context.Reading, text: str) -> corrections.Match | None:
        """Find what a person put right for this question; a bare number or "the first one" asks none."""
        if reading.kind in ("slot", "choice", "correction"):
            return None
        return self._corrections.find(
            text,
            vector=reading.main.vector,
            encode=lambda texts: asked.serving.understander.encoder.encode(texts),
            topic=topic(reading),
            before=leans_on(asked.turns),
        )

    def _put_right(self, found: corrections.Match | None, reading: context.Reading, slots: dict[str, str]) -> Draft | None:
        if found is None:
            return None
        top = topic(reading)
        return corrections.draft(found, top.name if top else None, slots, reading.main.language)

    def _decide(
        self, asked: Asked, reading: context.Reading, hits: Sequence[Hit], slots: dict[str, str], answer: Draft | None = None
    ) -> tuple[Verdict, tuple[Hit, ...], str]:
        serving, message, turns, memory = asked.serving, asked.message, asked.turns, asked.memory
        main, lang = reading.main, reading.main.language
        follow_up = reading.kind in ("follow_up", "slot", "correction")
        usable = {name: value for name, value in slots.items() if value}
        told = [] if reading.kind in ("slot", "correction") else history.told(turns)
        found = compose.drafts(
            main,
            hits,
            serving.templates,
            usable,
            lang=lang,
            company=self.company.name,
            told=told,
            follow_up=follow_up,
            social=reading.kind == "social",
        )
        if answer is not None:
            found = [answer, *found]
        top = topic(reading)
        wants = top is not None and top.name in self.company.person_intents and top.confidence >= 0.5 and main.out_of_scope < 0.5
        grounds = [message.text, *usable.values(), *(turn.message.text for turn in turns), self.company.hours]
        verdict, draft = decide(
            found,
            compose.choices(main, serving.templates, lang),
            main,
            [fill(text, memory.numbers()) for text in grounds],
            serving.thresholds,
            lang=lang,
            company=self.company.name,
            hours=self.company.hours,
            clarified=history.clarified(turns),
            wants_person=wants,
            follow_up=follow_up and not history.clarified(turns),
        )
        if draft is not None and draft.origin == corrections.ORIGIN:
            verdict = replace(verdict, reason="corrected")
        evidence = draft.evidence if draft else ()
        if verdict.action == "send" and draft is not None and draft.origin != "social":
            shown = {hit.passage.id for hit in evidence}
            evidence += tuple(hit for hit in hits if hit.passage.id not in shown and hit.passage.intent == draft.intent)[:2]
            upset = main.sentiment is not None and main.sentiment.label == "negative" and main.sentiment.confidence > 0.7
            if upset and draft.origin in ("article", "reply"):
                verdict = replace(verdict, text=say("sorry", lang) + verdict.text)
        return verdict, evidence, draft.origin if draft else verdict.reason

    def _also(
        self, asked: Asked, reading: context.Reading, first: tuple[Verdict, tuple[Hit, ...]], slots: dict[str, str]
    ) -> tuple[Verdict, tuple[Hit, ...]]:
        """Answer the further questions of one message behind the first answer."""
        verdict, evidence = first
        for other in reading.others:
            query = asked.serving.templates.title(other.intents[0].name, other.language)
            hits = asked.serving.retriever.search(query, vector=other.vector, k=self._k, prefer_lang=other.language)
            more, proof, _ = self._decide(asked, context.Reading(other), hits, slots)
            if more.reason == "asked_for_person":  # what can be answered is, and the person comes too
                text = f"{verdict.text}\n\n{more.text}" if verdict.action == "send" else more.text
                return replace(more, text=text, checks=verdict.checks), evidence
            if more.action == "handoff" or more.reason in ("low_confidence", "low_evidence", "two_readings", "out_of_scope"):
                continue
            action = "send" if "send" in (verdict.action, more.action) else verdict.action
            joined = f"{verdict.text}\n\n{say('joiner', reading.main.language)}{more.text}"
            verdict = Verdict(action, verdict.reason, joined, {**verdict.checks, f"also_{other.intents[0].name}": more.reason})
            evidence += proof
        return verdict, evidence

    def _finish(
        self,
        message: Message,
        verdict: Verdict,
        understanding: Understanding,
        evidence: Sequence[Hit],
        origin: str,
        clock: _Stages,
        serving: Serving | None,
        slots: dict[str, str] | None = None,
    ) -> Reply:
        asked_for = serving.thresholds.as_dict() if serving else {}
        thresholds = {**asked_for, **{k: v for k, v in verdict.checks.items() if isinstance(v, float)}}
        return Reply(
            conversation_id=message.conversation_id,
            message_id=self._new_id(),
            action=verdict.action,
            reason=verdict.reason,
            text=verdict.text,
            understanding=understanding,
            evidence=tuple(evidence),
            versions=serving.versions if serving else {},
            latency_ms=clock.total_ms(),
            thresholds=thresholds,
            slots=slots if slots is not None else dict(message.slots),
            stages_ms=dict(clock.stages),
            origin=origin,
        )

    def _hold(self, conversation_id: str, *, new: bool) -> _Held:
        with self._lock:
            held = self._memories.get(conversation_id)
            if held is None:
                turns = [] if new else self.store.turns(conversation_id, _WHOLE)
                held = self._memories[conversation_id] = _Held(history.remember(turns, Memory(self._salt)), threading.Lock())
            self._memories.move_to_end(conversation_id)
            while len(self._memories) > _REMEMBERED:
                self._memories.popitem(last=False)
            return held

    def _hours(self, lang: str) -> str:
        return say("hours", lang, hours=self.company.hours) if self.company.hours else ""


@dataclass(frozen=True, slots=True)
class _Held:
    """What is at hand of a conversation: its redaction memory, and the lock that lets one message in at a time."""

    memory: Memory
    lock: threading.Lock


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
