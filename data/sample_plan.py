"""Which conversations the sample company had: how many of each intent, from whom, when, and in which week it went wrong.

It knows nothing of what is said after the opening; ``sample_dialogs`` plays each case.
"""

from __future__ import annotations

from datetime import date, datetime
from random import Random

from sample_answers import devices_in
from sample_dialogs import DELIVERY, Case
from sample_people import BAD_WEEK, Contact, all_days, choose_start, make_contact
from sample_sources import LANGUAGES, SOCIAL, Intent, Opening, Sources, strip_brackets
from sample_values import make_details
from sample_words import pick, shuffled

# Short utterances that open a conversation beside the hand-written openings: (busy, usual, quiet) intents.
UTTERANCES = {"en": (22, 10, 6), "zh": (16, 6, 4)}
BUSY = frozenset(
    {"refund_status", "start_return", "wifi_offline", "device_setup", "login_password", "return_label", "cancel_order"}
)
QUIET = frozenset({"delete_account", "gift_card", "price_drop", "plus_benefits", "repair_spare_parts", "international_shipping"})
DELIVERY_UTTERANCES = {"en": 28, "zh": 24}
# Openings of the bad week, by language and in the order of DELIVERY: about five times an ordinary week.
BAD_WEEK_COUNTS = {"en": (9, 5, 3, 2), "zh": (5, 3, 2, 1)}
CONTACTS = {"en": 860, "zh": 540}


def plan_cases(sources: Sources, seed: str) -> list[Case]:
    """Decide on all conversations.

    Args:
        sources: the hand-written texts.
        seed: the seed of the whole sample.

    Returns:
        The cases in order of their start.
    """
    rng = Random(f"{seed}:plan")
    aliases = {name: [*product["en"], *product["zh"]] for name, product in sources.products.items()}  # type: ignore[misc]
    drafts = [
        (intent, lang, opening, bad)
        for intent in sources.intents
        if intent.group != SOCIAL
        for lang in LANGUAGES
        for opening, bad in _openings(rng, intent, lang)
    ]
    everyone = _contacts(sources, seed)
    waiting = {lang: shuffled(rng, people) for lang, people in everyone.items()}
    cases = []
    for intent, lang, opening, bad in shuffled(rng, drafts):
        contact = waiting[lang].pop() if waiting[lang] else _returning(rng, everyone[lang])
        start = _start(rng, lang, intent.name, bad)
        price = max((int(str(sources.products[name]["price"])) for name in devices_in(opening.text, aliases)), default=0)
        name = contact.full_name if lang == "zh" else contact.first_name
        details = make_details(rng, intent.name, lang, start.date(), sources.phrases[lang], name, price)
        channel = _channel(rng, opening.text, lang)
        cases.append(Case(intent, lang, opening.text, opening.mood, contact, start, channel, details, bad))
    return sorted(cases, key=lambda case: (case.start, case.opening))


def _openings(rng: Random, intent: Intent, lang: str) -> list[tuple[Opening, bool]]:
    """All hand-written openings once, some utterances, and which of them fall into the bad week."""
    count = DELIVERY_UTTERANCES[lang]
    if intent.name not in DELIVERY:
        count = UTTERANCES[lang][0 if intent.name in BUSY else 2 if intent.name in QUIET else 1]
    openings = shuffled(rng, intent.openings[lang])
    openings += [Opening(text, "neutral") for text in shuffled(rng, intent.utterances[lang])[:count]]
    if intent.name not in DELIVERY:
        return [(opening, False) for opening in openings]
    wanted = BAD_WEEK_COUNTS[lang][DELIVERY.index(intent.name)]
    worst = [opening for opening in openings if opening.mood == "negative"][:wanted]
    # Where the negative openings do not suffice, an utterance gets an angry tail like the others.
    calm = [opening for opening in openings if opening.mood == "neutral"]
    short = calm[len(calm) - (wanted - len(worst)) :]
    angry = worst + [Opening(opening.text, "negative") for opening in short]
    rest = [opening for opening in openings if opening not in worst and opening not in short]
    return [(opening, True) for opening in angry] + [(opening, False) for opening in rest]


def _contacts(sources: Sources, seed: str) -> dict[str, list[Contact]]:
    numbers = shuffled(Random(f"{seed}:contacts"), range(1, sum(CONTACTS.values()) + 1))
    split = {"en": numbers[: CONTACTS["en"]], "zh": numbers[CONTACTS["en"] :]}
    return {lang: [make_contact(number, lang, sources.phrases[lang], seed) for number in split[lang]] for lang in LANGUAGES}


def _returning(rng: Random, people: list[Contact]) -> Contact:
    # The power gives some regulars a handful of conversations.
    return people[int(rng.random() ** 1.3 * len(people))]


def _start(rng: Random, lang: str, intent: str, bad: bool) -> datetime:
    if bad:
        return choose_start(rng, lang, [day for day in all_days() if BAD_WEEK[0] <= day <= BAD_WEEK[1]])
    days: list[date] = all_days()
    if intent in DELIVERY:
        days = [day for day in days if not BAD_WEEK[0] <= day <= BAD_WEEK[1]]
    return choose_start(rng, lang, days)


def _channel(rng: Random, text: str, lang: str) -> str:
    # Nobody writes an e-mail of four words.
    if len(strip_brackets(text)) > (30 if lang == "zh" else 90) and rng.random() < (0.15 if lang == "zh" else 0.28):
        return "email"
    return pick(rng, ("chat", "widget", "widget"))
