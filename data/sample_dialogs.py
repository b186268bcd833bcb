"""The course of a conversation, from its opening to thanks, grumbling or silence.

It knows what a customer may be asked for and what an agent may say, and takes every text from the sources. Who writes and
when comes from ``sample_people``; ``make_sample`` decides how many conversations there are and of what.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from sample_answers import AnswerBook
from sample_people import Contact, next_open
from sample_sources import Intent, strip_brackets
from sample_values import Details, agent_text, customer_text
from sample_words import add_noise, fill, pick, shuffled, write_order

DELIVERY = ("delivery_late", "order_status", "marked_delivered_not_received", "reschedule_delivery")
BY_ACCOUNT = frozenset({
    "login_password", "change_account_details", "delete_account", "share_access", "plus_start", "plus_cancel", "plus_billing",
    "gift_card", "double_charge", "video_recordings",
})  # fmt: skip
PLAIN_QUESTIONS = frozenset({
    "delivery_options_costs", "international_shipping", "return_policy", "payment_methods", "product_advice", "compatibility",
    "factory_reset", "warranty_length", "plus_benefits", "filter_replacement", "return_label", "speak_to_human", "plus_start",
})  # fmt: skip
_EXUBERANT = re.compile(
    r"star|lifesaver|Excellent|fab|brill|Smashing|super|happy|wow|lovely|million|赞|爱了|态度|太好|真不错",
    re.I,
)
_SORRY = re.compile(r"sorry|apolog|抱歉|对不起|不好意思", re.I)
_ONLY_FOR = (
    (r"warehouse|仓库", ("orders",)),
    (r"technician|技术", ("devices",)),
    (r"accounts", ("money",)),
    (
        r"team lead|主管|carrier|承运商",
        ("complaint", "refund_status", "double_charge", "price_drop", "warranty_claim", *DELIVERY),
    ),
    (r"tried|did exactly|didn't work|试过|做过", ("devices",)),
)
_PACE_S = {"chat": (20, 150), "widget": (20, 200), "email": (1500, 15000)}
NOISY, CODE_SWITCHING = 0.3, 0.035


@dataclass
class Case:
    """What a conversation starts from."""

    intent: Intent
    lang: str
    opening: str
    mood: str
    contact: Contact
    start: datetime
    channel: str
    details: Details
    bad_week: bool


@dataclass
class Script:
    """A conversation being written: its turns so far and the clock."""

    case: Case
    rng: Random
    pools: dict[str, list[str]]
    agent: str
    clock: datetime
    turns: list[dict[str, str]] = field(default_factory=list)
    waited: bool = False
    known_order: bool = False
    email_given: bool = False

    def phrase(self, pool: str) -> str:
        """Draw a phrase and put in names and contact data."""
        contact, raw = self.case.contact, pick(self.rng, self.pools[pool])
        name = contact.full_name if contact.lang == "zh" else contact.first_name
        values = {"agent": self.agent, "name": name, "full_name": contact.full_name, "email": contact.email}
        values |= {"phone": contact.phone, "address": contact.address, "order": write_order(self.rng, self.case.details.order)}
        return fill(raw, values).text

    def fitting(self, pool: str) -> str:
        """Draw a phrase that suits the subject: no carrier for a forgotten password."""
        while True:
            line = self.phrase(pool)
            subject = {self.case.intent.group, self.case.intent.name}
            if all(subject & set(names) or not re.search(cue, line) for cue, names in _ONLY_FOR):
                return line

    def agent_says(self, *parts: str) -> None:
        """Add an agent's turn, in working hours."""
        self._wait()
        opened = next_open(self.clock)
        self.waited = self.waited or (opened - self.clock).total_seconds() > 1800
        self.clock = opened
        self._add("agent", ("" if self.case.lang == "zh" else " ").join(part for part in parts if part))

    def customer_says(self, text: str, noise: float = NOISY) -> None:
        """Add a customer's turn, sometimes mistyped."""
        self._wait()
        self._add("customer", add_noise(self.rng, text, self.case.lang) if self.rng.random() < noise else text)

    def bot_says(self, pool: str) -> None:
        """Add a line of the old assistant."""
        if self.turns:
            self.clock += timedelta(seconds=2)
        self._add("bot", self.phrase(pool))

    def said(self) -> str:
        """All that has been said so far."""
        return "\n".join(turn["text"] for turn in self.turns)

    def _wait(self) -> None:
        if self.turns:
            low, high = _PACE_S[self.case.channel]
            self.clock += timedelta(seconds=low + int(self.rng.random() * (high - low)))

    def _add(self, role: str, text: str) -> None:
        self.turns.append({"role": role, "text": text, "at": self.clock.isoformat()})


def play(case: Case, book: AnswerBook, pools: dict[str, list[str]], rng: Random) -> dict[str, object]:
    """Write one conversation.

    Args:
        case: what it starts from.
        book: the answers of its intent and language.
        pools: the phrases of its language.
        rng: the source of chance.

    Returns:
        The record as it stands in ``conversations.jsonl.gz``, without an id.
    """
    script = Script(case, rng, pools, pick(rng, pools["agent_name"]), case.start)
    resolved = rng.random() > (0.38 if case.bad_week else 0.22 if case.mood == "negative" else 0.125)
    _open(script)
    if resolved:
        _resolve(script, book)
        _close(script)
    else:
        # A plain question is not put off: it is missed.
        courses = (_go_round,) if case.intent.name in PLAIN_QUESTIONS else (_leave, _put_off, _put_off, _go_round)
        pick(rng, courses)(script, book)
    return {
        "lang": case.lang,
        "turns": script.turns,
        "contact": case.contact.id,
        "resolved": resolved,
        "rating": _rate(rng, case.mood, resolved, case.bad_week),
        "intent": case.intent.name,
        "started_at": case.start.isoformat(),
        "channel": case.channel,
    }


def _open(script: Script) -> None:
    case, rng = script.case, script.rng
    if case.channel != "email" and rng.random() < 0.25:
        script.bot_says("bot_before")
    text = customer_text(rng, case.opening, case.details).text
    script.known_order = "{order_number}" in case.opening or "{tracking_number}" in case.opening
    if case.mood == "negative" and rng.random() < (0.5 if case.bad_week else 0.08):
        text = _append(text, script.phrase("angry_tail"), case.lang)
    if rng.random() < CODE_SWITCHING:
        text = _append(text, script.phrase("code_switch"), case.lang)
    # A signature is kept out of the noise, so that names and addresses stay what they are.
    mistyped = add_noise(rng, text, case.lang) if rng.random() < NOISY else text
    if case.channel == "email" and rng.random() < 0.65:
        signature = script.phrase("email_signature")
        script.email_given = "@" in signature
        mistyped = f"{mistyped}\n{signature}"
    script.customer_says(mistyped, noise=0.0)
    if case.channel == "email":
        return
    if next_open(script.clock) != script.clock:
        if rng.random() < 0.7:
            script.bot_says("bot_night")
    elif rng.random() < 0.2:
        script.bot_says("bot_after")


def _greet(script: Script, next_text: str = "") -> list[str]:
    parts = [script.phrase("agent_greeting")]
    if script.case.mood == "negative" and script.rng.random() < 0.6 and not _SORRY.search(next_text + parts[0]):
        parts.append(script.phrase("apology"))
    return parts


def _identify(script: Script, answer: str, human: bool) -> bool:
    """Ask for what is missing to give an answer; return whether the agent has spoken."""
    case, rng = script.case, script.rng
    needs_order = bool(case.intent.slots.get("order_number")) or "{order_number}" in answer or "{tracking_number}" in answer
    if needs_order and not script.known_order:
        _ask_order(script)
        script.customer_says(script.phrase("give_order"), noise=0.1)
    elif human and case.intent.name in BY_ACCOUNT and not script.email_given and rng.random() < 0.55:
        question = script.phrase("ask_email")
        script.agent_says(*_greet(script, question), question)
        script.customer_says(script.phrase("give_email"), noise=0.0)
    else:
        return False
    script.known_order = script.known_order or needs_order
    if human and case.intent.name == "change_delivery_address" and rng.random() < 0.6:
        script.agent_says(script.phrase("ask_address"))
        script.customer_says(script.phrase("give_address"), noise=0.0)
    elif case.intent.name in DELIVERY and rng.random() < 0.2:
        script.agent_says(script.phrase("hold_on"), script.phrase("ask_contact"))
        script.customer_says(script.phrase("give_contact"), noise=0.0)
    return True


def _ask_order(script: Script) -> None:
    question = script.case.intent.ask.get(script.case.lang, "")
    if not question or script.rng.random() < 0.65:
        question = script.phrase("ask_order")
    script.agent_says(*_greet(script, question), question)


def _resolve(script: Script, book: AnswerBook) -> None:
    case, rng = script.case, script.rng
    answer = book.best(strip_brackets(case.opening))
    spoken = _identify(script, answer.text, answer.human)
    text = agent_text(rng, answer.text, case.details)
    lead = [] if spoken else _greet(script, text)
    if not spoken and case.channel != "email" and rng.random() < 0.3:
        script.agent_says(*lead, script.phrase("looking") if answer.human else "")
        lead = []
    elif spoken and answer.human and rng.random() < 0.4:
        lead = [script.phrase("hold_on")]
    if not answer.human and rng.random() < 0.55 and not _SORRY.search(text):
        lead.append(script.phrase("macro_lead"))
    struck = case.bad_week and rng.random() < 0.6
    if struck:
        lead.append(script.phrase("strike"))
    for number, part in enumerate(_portions(rng, text) if answer is book.template and case.channel != "email" else [text]):
        script.agent_says(*([] if number else lead), part)
    if struck and rng.random() < 0.45:
        script.customer_says(script.phrase("strike_reaction"))
        script.agent_says(script.phrase("strike_answer"))
    for _ in range(0 if rng.random() < 0.36 else 1 if rng.random() < 0.7 else 2):
        _follow_up(script, book)


def _portions(rng: Random, text: str) -> list[str]:
    """Agents do not always paste a whole template: some drop its last sentence, some send it in two messages."""
    sentences = re.findall(r".+?(?:[.!?](?= [A-Z])|[。！？]|$)\s?", text)
    chance = rng.random()
    if len(sentences) < 3 or chance < 0.4:
        return [text]
    if chance < 0.7:
        return ["".join(sentences[:-1]).strip()]
    half = (len(sentences) + 1) // 2
    return ["".join(sentences[:half]).strip(), "".join(sentences[half:]).strip()]


def _follow_up(script: Script, book: AnswerBook) -> None:
    said = script.said()
    for exchange in shuffled(script.rng, script.case.intent.followups[script.case.lang]):
        question, answer = exchange.question, exchange.answer
        asks_known = answer[:60] in said or book.overlap(answer, script.turns[-1]["text"]) > 0.34
        if asks_known or question in said or "{order_number}" in question or book.speaks_of_other(question + answer, said):
            continue
        script.customer_says(customer_text(script.rng, question, script.case.details).text)
        script.agent_says(agent_text(script.rng, answer, script.case.details))
        return


def _close(script: Script) -> None:
    rng, mood = script.rng, script.case.mood
    chance = rng.random()
    if chance < 0.27:
        return
    if mood == "negative" and chance < 0.55:
        script.customer_says(script.phrase("grudging"), noise=0.2)
        return
    thanks = script.phrase("thanks")
    while (mood == "negative" and _EXUBERANT.search(thanks)) or (script.waited and re.search("quick|快", thanks)):
        thanks = script.phrase("thanks")
    script.customer_says(thanks, noise=0.1)
    if rng.random() < 0.45:
        script.agent_says(script.phrase("agent_closing"))


def _leave(script: Script, book: AnswerBook) -> None:
    """The agent asks or explains, and the customer is gone."""
    if script.case.intent.slots.get("order_number") and not script.known_order:
        _ask_order(script)
    elif script.case.intent.name in BY_ACCOUNT:
        question = script.phrase("ask_email")
        script.agent_says(*_greet(script, question), question)
    else:
        script.agent_says(*_greet(script), script.fitting("check_back"))


def _put_off(script: Script, book: AnswerBook) -> None:
    """The agent cannot settle it now."""
    template = script.case.intent.template[script.case.lang]
    if not _identify(script, template if "{order_number}" in template else "", human=False):
        script.agent_says(*_greet(script), script.fitting("check_back"))
    else:
        script.agent_says(script.phrase("strike") if script.case.bad_week else "", script.fitting("check_back"))
    if script.rng.random() < 0.65:
        script.customer_says(script.phrase("unresolved_ending"))


def _go_round(script: Script, book: AnswerBook) -> None:
    """General answers that miss the point, until somebody gives up."""
    case, rng = script.case, script.rng
    template = case.intent.template[case.lang]
    spoken = _identify(script, template, human=False)
    script.agent_says(*([] if spoken else _greet(script, template)), agent_text(rng, template, case.details))
    script.customer_says(script.fitting("circles"))
    others = [answer.text for answer in book.answers if not answer.human and answer.text != template]
    if others and rng.random() < 0.5:
        script.agent_says(agent_text(rng, pick(rng, others), case.details))
        first, again = script.turns[-2]["text"], script.fitting("circles")
        while again == first:
            again = script.fitting("circles")
        script.customer_says(again, noise=0.0)
    script.agent_says(script.phrase("apology"), script.fitting("check_back"))
    if rng.random() < 0.75:
        script.customer_says(script.phrase("unresolved_ending"))


def _append(text: str, tail: str, lang: str) -> str:
    if lang == "zh":
        return text + ("" if text[-1] in "。！？!?…~" else "，") + tail
    return text + ("" if text[-1] in ".!?…)" else "." if tail[0].isupper() else ",") + " " + tail


def _rate(rng: Random, mood: str, resolved: bool, bad_week: bool) -> int | None:
    if rng.random() < 0.5:
        return None
    mean = {"negative": 3.4, "neutral": 4.3, "positive": 4.8}[mood] if resolved else 1.5
    mean -= 0.7 if bad_week else 0.0
    return max(1, min(5, round(mean + (rng.random() + rng.random() - 1) * 1.6)))
