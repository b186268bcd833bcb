"""Labelled rows for training and validation, made from the same hand-written texts as the conversations.

It knows nothing of conversations. Texts are written as the model sees them, after redaction: order and tracking numbers are
``[ORDER_1]`` and ``[TRACKING_1]``. Rows carry no typing noise; augmentation is the trainer's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date, timedelta
from random import Random

from sample_moods import Mood
from sample_sources import LANGUAGES, Sources
from sample_values import customer_text, make_details
from sample_words import Marked, pick

Row = dict[str, object]
OUT_OF_SCOPE = "oos"
_DATE = {
    "en": re.compile(
        r"\b(?:(?:last |next |this )?(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|the \d{1,2}(?:st|nd|rd|th)|yesterday|tomorrow)\b",
        re.I,
    ),
    "zh": re.compile(r"(?:上个?|这个?|下个?)?(?:周|星期|礼拜)[一二三四五六日天]|\d{1,2}月\d{1,2}[日号]|昨天|前天|明天|大?后天"),
}
_AMOUNT = re.compile(r"(?:[€¥£] ?\d+(?:[.,]\d+)?|\d+(?:[.,]\d+)? ?(?:€|euros?\b|EUR\b|欧|块钱?|元))")


def label_rows(sources: Sources, training: Iterable[Mood], validation: Iterable[Mood], seed: str) -> dict[str, list[Row]]:
    """Make every labelled file that is learned from or chosen by.

    Args:
        sources: the hand-written texts.
        training: messages of many trades with their feelings, for ``train/sentiment.jsonl``.
        validation: the same for ``validation/sentiment.jsonl``.
        seed: the seed of the whole sample.

    Returns:
        Rows by path below ``data/sample``, such as "train/intent.jsonl".
    """
    intent, sentiment, slots = _from_texts(sources, Random(f"{seed}:labels"))
    held = sources.validation
    intent += [_row(row["text"], OUT_OF_SCOPE, row["lang"]) for row in held["out_of_scope_train"]]
    moods = [_row(row["text"], row["label"], row["lang"]) for row in held["sentiment"]]
    questions = held["questions"]
    return {
        "train/intent.jsonl": intent,
        "train/sentiment.jsonl": sentiment + moods[::2] + _mood_rows(training),
        "train/slots.jsonl": [row for number, row in enumerate(slots) if number % 10 != 9],
        "validation/intent.jsonl": [_row(_redacted(row["text"]), row["intent"], row["lang"]) for row in questions]
        + [_row(row["text"], OUT_OF_SCOPE, row["lang"]) for row in held["none_of_its_business"]],
        "validation/sentiment.jsonl": moods[1::2]
        + [_row(_redacted(row["text"]), row["mood"], row["lang"]) for row in questions]
        + _mood_rows(validation),
        "validation/slots.jsonl": slots[9::10],
    }


def _mood_rows(moods: Iterable[Mood]) -> list[Row]:
    return [{**_row(mood.text, mood.label, mood.lang), "emotions": list(mood.emotions)} for mood in moods]


def _from_texts(sources: Sources, rng: Random) -> tuple[list[Row], list[Row], list[Row]]:
    intents: list[Row] = []
    moods: list[Row] = []
    slots: list[Row] = []
    for intent in sources.intents:
        for lang in LANGUAGES:
            texts = [(text, "") for text in intent.utterances[lang]]
            texts += [(opening.text, opening.mood) for opening in intent.openings.get(lang, [])]
            for text, mood in texts:
                today = date(2026, 1, 1) + timedelta(days=int(rng.random() * 365))
                pools = sources.phrases[lang]
                details = make_details(rng, intent.name, lang, today, pools, pick(rng, pools["first_name"]), 0)
                written = customer_text(rng, text, details, redacted=True)
                intents.append(_row(written.text, intent.name, lang))
                slots.append({"text": written.text, "spans": _all_spans(written, lang), "lang": lang})
                if mood:
                    moods.append(_row(written.text, mood, lang))
    return intents, moods, slots


def _all_spans(written: Marked, lang: str) -> list[list[object]]:
    """Add the days and sums that the writers spelled out themselves to those that filled a placeholder."""
    spans = list(written.spans)
    for pattern, slot in ((_DATE[lang], "date"), (_AMOUNT, "amount")):
        for found in pattern.finditer(written.text):
            if all(found.end() <= start or found.start() >= end for start, end, _ in spans):
                spans.append((found.start(), found.end(), slot))
    return [list(span) for span in sorted(spans)]


def _redacted(text: str) -> str:
    seen: dict[str, str] = {}

    def replace(found: re.Match[str]) -> str:
        kind = "TRACKING" if found[1].upper() == "FWT" else "ORDER"
        number = sum(1 for other in seen.values() if kind in other) + 1
        return seen.setdefault(f"{kind}{found[2]}", f"[{kind}_{number}]")

    return re.sub(r"\b(FWT|FW)[- ]?(\d{10}|\d{6})(?!\d)", replace, text, flags=re.I | re.A)


def _row(text: str, label: str, lang: str) -> Row:
    return {"text": text, "label": label, "lang": lang}
