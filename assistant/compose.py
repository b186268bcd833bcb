"""Understanding and evidence -> drafts, best first: template with slots, past reply, article extract, or a question.

Knows nothing of thresholds on what may be sent; ``check.py`` comes after it. Never writes a sentence that is not in the
evidence or in ``phrases.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from assistant.phrases import say, slot_name
from assistant.records import Draft, Hit, IntentGuess, Passage, Understanding
from assistant.understand import SOCIAL

_SLOT = re.compile(r"\{([a-z_]+)\}")
_GREETING = re.compile(
    r"^\s*(?:(?:hi|hello|hey|dear|good (?:morning|afternoon|evening))\b[^.!?,\n]{0,30}[.!,]\s*"
    r"|(?:[\u4e00-\u9fff]{2,4}?)?(?:您好|你好|亲)[^。！，,]{0,8}[。！，,!]\s*)",
    re.I,
)
#: An agent's own deeds: true when they were written, false when a machine repeats them.
_DEED = re.compile(
    r"\b(?:i|we)(?:'ve|’ve| have|'m|’m| am|'ll|’ll| will| just| already)\b"
    r"|\b(?:i|we) (?:can see|see|checked|found|sent|refunded|moved|changed|"
    r"cancelled|opened|booked|asked|raised|processed|issued|arranged)\b|\blet me\b|\bplease (?:wait|hold|bear)\b"
    r"|\b(?:has|have) (?:now |just |already |also )?been (?:refunded|cancell?ed|issued|processed|sent|shipped|dispatched|changed|"
    r"updated|booked|arranged|credited|replaced|approved)\b|\bon my (?:side|end)\b"
    r"|\b(?:records?|system) shows?\b|\baccording to (?:your|our|the) (?:order|record|serial)"
    r"|我(?:已|帮您|给您|替您|这边|这就|刚|查|看到|看了|按|会|来|今天|明天)|已经?(?:为您|帮您|给您)|这边(?:已|帮|给|查)"
    r"|(?:记录|系统)显示|按(?:您的)?(?:序列号|记录|订单)|给我[一几]?(?:分钟|点时间)|稍等",
    re.I,
)
#: Who answered then does not answer now: "Jonas from the team here.", "我是真人客服小林。"
_INTRODUCTION = re.compile(
    r"^\W*(?-i:(?!Click|Tap|Press|Look|Start|Sign|Enter|Go|See)[A-Z][a-z]+) "
    r"(?:here|from (?:the |our )?(?:\w+ ){0,2}(?:team|support|desk|care|service)(?: here)?)(?:, [^.!?]{0,40})?[.!]?$"
    r"|(?:^|[，。！,])\s*我是[^，。！,]{1,10}(?:$|[，。！,])|(?:这里是|这边是)[^，。！,]{0,8}(?:客服|人工|真人|顾问)"
    r"|这里是[^，。！,]{1,6}[。！]?$|客服[^，。！,]{0,6}已接入",
    re.I,
)
_PLACEHOLDER = re.compile(r"\[[A-Za-z][A-Za-z _-]{1,24}\d{0,3}\]|\{\{[^}]{1,40}\}\}")
_MOST_WORDS = 110


@dataclass(frozen=True, slots=True)
class Templates:
    """The approved answers, by intent and language."""

    by_intent: Mapping[tuple[str, str], Passage]
    default_lang: str

    def find(self, intent: str, lang: str) -> Passage | None:
        """Return the template of an intent, in the company's first language where this one lacks it."""
        return self.by_intent.get((intent, lang)) or self.by_intent.get((intent, self.default_lang))

    def title(self, intent: str, lang: str) -> str:
        """Return an intent's name as a customer may read it."""
        found = self.find(intent, lang)
        return found.title if found and found.title else intent.replace("_", " ")


def agreement(hits: Sequence[Hit], intent: str, most: int = 5) -> float:
    """Return the share of the best hits' score that stands behind an intent, in [0, 1]; 0.5 where no hit names one."""
    named = [hit for hit in hits[:most] if hit.passage.intent]
    total = sum(hit.score for hit in named)
    return sum(hit.score for hit in named if hit.passage.intent == intent) / total if total else 0.5


def drafts(
    understanding: Understanding,
    hits: Sequence[Hit],
    templates: Templates,
    slots: Mapping[str, str],
    *,
    lang: str,
    company: str,
    told: Sequence[str],
    follow_up: bool,
    social: bool,
) -> list[Draft]:
    """Compose what could be said, best first.

    Args:
        understanding: The message in its context.
        hits: Evidence, best first.
        templates: Approved answers.
        slots: Values known in this conversation.
        lang: Language of the reply.
        company: Who is speaking.
        told: Intents whose template this conversation has already been given.
        follow_up: Whether the message continues the last one.
        social: Whether the message is nothing but courtesy.

    Returns:
        Drafts, possibly none.
    """
    top = understanding.intents[0] if understanding.intents else None
    if top is not None and top.name in SOCIAL and social:
        template = templates.find(top.name, lang)
        text = template.text if template else say(top.name, lang, company=company)
        evidence = (Hit(template, 1.0),) if template else ()
        return [Draft(text, "social", top.name, evidence, top.confidence)]
    found: list[Draft] = []
    if top is not None:
        chance = 0.75 * top.confidence + 0.25 * agreement(hits, top.name)
        own = tuple(hit for hit in hits if hit.passage.intent == top.name)
        template = templates.find(top.name, lang)
        repeated = top.name in told and follow_up
        if template is not None and not repeated:
            found.append(_from_template(template, top.name, own, slots, chance, lang))
        others = [hit for hit in own if template is None or hit.passage.kind != "template"]
        quotes = [draft for hit in others if (draft := _quoted(hit, top.name, chance, slots)) is not None]
        # In the order of the evidence. A template said twice beats an extract in a language that the customer does not write.
        found += [draft for draft in quotes if draft.evidence[0].passage.lang in (lang, "und")][:3]
        if template is not None and repeated:
            found.append(_from_template(template, top.name, own, slots, chance, lang))
        found += [draft for draft in quotes if draft.evidence[0].passage.lang not in (lang, "und")][:3]
    else:
        found += [draft for hit in hits if (draft := _quoted(hit, hit.passage.intent, hit.score, slots)) is not None][:3]
    return found


def offered(understanding: Understanding, templates: Templates, lang: str) -> list[IntentGuess]:
    """Return the likeliest readings that have a name a customer can read, at most two."""
    return [guess for guess in understanding.intents if guess.name not in SOCIAL and templates.find(guess.name, lang)][:2]


def choices(understanding: Understanding, templates: Templates, lang: str) -> Draft | None:
    """Offer the two likeliest readings, or ``None`` where there are not two with a name a customer can read."""
    named = offered(understanding, templates, lang)
    if len(named) < 2:
        return None
    first, second = (templates.title(guess.name, lang) for guess in named)
    text = say("choices", lang, first=first, second=second)
    return Draft(text, "choices", named[0].name, (), named[0].confidence, choices=(named[0].name, named[1].name))


def fill_slots(text: str, slots: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """Put slot values into ``{slot}`` places; return the text and the slots that are not known."""
    missing = tuple(dict.fromkeys(name for name in _SLOT.findall(text) if not slots.get(name)))
    return _SLOT.sub(lambda match: slots.get(match[1]) or match[0], text), missing


def _from_template(
    template: Passage, intent: str, own: tuple[Hit, ...], slots: Mapping[str, str], chance: float, lang: str
) -> Draft:
    text, unfilled = fill_slots(template.text, slots)
    missing = tuple(dict.fromkeys([*(s for s in template.required_slots if not slots.get(s)), *unfilled]))
    support = tuple(hit for hit in own if hit.passage.id != template.id)[:3]
    evidence = (Hit(template, max(0.0, min(1.0, chance))), *support)
    if not missing:
        return Draft(text, "template", intent, evidence, chance)
    wanted = [slot for slot in missing if slot in template.required_slots] or list(missing)
    ask = template.ask or say("ask_slot", lang, slot=slot_name(wanted[0], lang))
    return Draft(ask, "ask", intent, evidence, chance, missing_slots=tuple(wanted))


def _quoted(hit: Hit, intent: str | None, chance: float, slots: Mapping[str, str]) -> Draft | None:
    """Quote a past reply or an article's section, or ``None`` where it cannot be said to this customer."""
    if hit.passage.kind == "template":
        text, missing = fill_slots(hit.passage.text, slots)
        return None if missing else Draft(text, "template", intent, (hit,), chance)
    text = _GREETING.sub("", hit.passage.text).strip()
    if hit.passage.kind == "reply":
        barred = (_DEED, _INTRODUCTION, _PLACEHOLDER)
        kept = [sentence for sentence in _sentences(text) if not any(pattern.search(sentence) for pattern in barred)]
        text = " ".join(kept).strip()
        if len(text) < 12 or len(kept) * 2 < len(_sentences(hit.passage.text)):
            return None
    return Draft(_shortened(text), "article" if hit.passage.kind == "article" else "reply", intent, (hit,), chance)


def _sentences(text: str) -> list[str]:
    return [part for part in re.split(r"(?<=[.!?])\s+|(?<=[。！？])\s*", text) if part.strip()]


def _shortened(text: str) -> str:
    """Cut an extract at a paragraph or sentence end near 110 words (or 220 Han characters)."""

    def weight(piece: str) -> int:
        return len(piece.split()) + len(re.findall(r"[\u3400-\u9fff]", piece)) // 2

    if weight(text) <= _MOST_WORDS:
        return text
    kept = ""
    for piece in re.split(r"(?<=\n)|(?<=[.!?])(?=\s)|(?<=[。！？])", text):
        if kept and weight(kept + piece) > _MOST_WORDS:
            break
        kept += piece
    return kept.strip()
