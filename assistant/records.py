"""The values that cross file borders: frozen dataclasses, nothing else.

Knows nothing of databases, models or screens. Every other file imports from here; this one imports none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Role = Literal["customer", "agent", "bot"]
Language = str  # ISO 639-1, "en", "zh"; "und" when the text gives no sign
PassageKind = Literal["article", "reply", "template"]
Action = Literal["send", "clarify", "handoff"]
SentimentLabel = Literal["negative", "neutral", "positive"]


@dataclass(frozen=True, slots=True)
class TranscriptTurn:
    """One line of a past conversation."""

    role: Role
    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """One past conversation as a support log gives it.

    ``where`` is ``file:line`` of its first row, for error messages. ``intent`` is the log's own label, if any.
    """

    id: str
    turns: tuple[TranscriptTurn, ...]
    where: str
    lang: Language | None = None
    contact: str | None = None
    resolved: bool | None = None
    rating: int | None = None
    intent: str | None = None
    started_at: datetime | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Article:
    """One help article; ``body`` is Markdown, headings included."""

    id: str
    title: str
    body: str
    where: str
    lang: Language | None = None
    intent: str | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Template:
    """An approved answer to one intent, with ``{slot}`` places; ``ask`` asks for the required slots."""

    intent: str
    lang: Language
    text: str
    ask: str = ""
    required_slots: tuple[str, ...] = ()
    title: str = ""


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of evidence as it is stored and indexed.

    ``text`` is what is shown and quoted; ``search_text`` is what is encoded and tokenised (the customer's problem for a
    reply, heading plus section for an article). ``count`` is how many near-duplicates fold into it.
    """

    id: str
    kind: PassageKind
    title: str
    text: str
    search_text: str
    source: str
    lang: Language = "und"
    intent: str | None = None
    count: int = 1
    at: datetime | None = None
    required_slots: tuple[str, ...] = ()
    ask: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a question, with its fused score in [0, 1] and the two it came from."""

    passage: Passage
    score: float
    dense: float = 0.0
    lexical: float = 0.0


@dataclass(frozen=True, slots=True)
class IntentGuess:
    """An intent's name with its calibrated probability."""

    name: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Sentiment:
    """Label with its calibrated probability, and ``score`` = P(positive) - P(negative) in [-1, 1]."""

    label: SentimentLabel
    confidence: float
    score: float


@dataclass(frozen=True, slots=True)
class Message:
    """What the customer wrote, after redaction: ``text`` holds typed placeholders for personal data.

    ``slots`` are the values that redaction kept usable inside this conversation (order and tracking numbers).
    """

    id: str
    conversation_id: str
    text: str
    at: datetime
    slots: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Understanding:
    """What one forward pass made of a message.

    ``intents`` is sorted, best first, and empty when no intent adapter is loaded. ``out_of_scope`` in [0, 1] is the
    probability that the message is none of the company's business. ``vector`` is the base encoder's unit embedding. ``emotions``
    are probabilities of anger, disappointment, confusion, gratitude, each where the sentiment adapter can tell.
    """

    language: Language
    intents: tuple[IntentGuess, ...] = ()
    out_of_scope: float = 0.0
    sentiment: Sentiment | None = None
    slots: dict[str, str] = field(default_factory=dict)
    vector: Any = None  # (d,) float32
    versions: dict[str, str] = field(default_factory=dict)
    emotions: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """A reply that is not checked yet, with the evidence it stands on.

    ``origin`` says how it was made: template, reply, article, generated, ask (for a slot), choices (two readings), social.
    ``confidence`` in [0, 1] is the probability that it is the right answer, by what is known before checking.
    """

    text: str
    origin: str
    intent: str | None
    evidence: tuple[Hit, ...]
    confidence: float
    missing_slots: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check decided, with a machine's reason and one the customer can read."""

    action: Action
    reason: str
    text: str
    checks: dict[str, float | bool | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """One finished turn as every door returns it; ``as_json`` is the documented form."""

    conversation_id: str
    message_id: str
    action: Action
    reason: str
    text: str
    understanding: Understanding
    evidence: tuple[Hit, ...]
    versions: dict[str, str]
    latency_ms: float
    thresholds: dict[str, float] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    stages_ms: dict[str, float] = field(default_factory=dict)
    origin: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the documented JSON object of ``deskhand ask --json`` and REST."""
        intents = self.understanding.intents
        sentiment = self.understanding.sentiment
        return {
            "conversation_id": self.conversation_id,
            "message_id": self.message_id,
            "action": self.action,
            "reason": self.reason,
            "reply": self.text,
            "intent": {
                "name": intents[0].name if intents else None,
                "confidence": round(intents[0].confidence, 4) if intents else 0.0,
                "alternatives": [{"name": g.name, "confidence": round(g.confidence, 4)} for g in intents[1:4]],
            },
            "sentiment": {
                "label": sentiment.label if sentiment else "neutral",
                "score": round(sentiment.score, 4) if sentiment else 0.0,
            },
            "slots": dict(self.slots),
            "language": self.understanding.language,
            "evidence": [
                {
                    "id": hit.passage.id,
                    "kind": hit.passage.kind,
                    "title": hit.passage.title,
                    "text": hit.passage.text,
                    "score": round(hit.score, 4),
                }
                for hit in self.evidence
            ],
            "versions": dict(self.versions),
            "latency_ms": round(self.latency_ms, 1),
        }


@dataclass(frozen=True, slots=True)
class Turn:
    """A customer's message and the reply to it, as the store gives them back."""

    message: Message
    reply: Reply


@dataclass(frozen=True, slots=True)
class Feedback:
    """A person's judgement of one reply: thumbs (-1 or 1), with an optional correction.

    ``correction`` is the reply as it should have been, ``intent`` what the customer really wanted.
    """

    message_id: str
    rating: int
    comment: str = ""
    correction: str = ""
    at: datetime | None = None
    intent: str | None = None
