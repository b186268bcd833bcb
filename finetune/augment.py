"""Augmented copies of training texts: typing noise, casing, dropped words, synonyms the examples themselves suggest.

Sources: EDA (Wei & Zou 2019, arXiv:1901.11196) for dropping and replacing words; keyboard and transposition noise after
Belinkov & Bisk 2018 (arXiv:1711.02173). Knows strings only; which copy an epoch sees, the task decides.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from finetune.recipe import TrainSettings

_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_WORD = re.compile(r"[A-Za-z]{2,}")
_PLACEHOLDER = re.compile(r"\[[A-Z_]+\d*\]")
#: Everyday words of customer service that stand for one another; both ways, whole words only.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    word: tuple(other for other in group if other != word)
    for group in (
        ("parcel", "package", "delivery", "shipment"),
        ("order", "purchase"),
        ("refund", "reimbursement"),
        ("help", "assist", "support"),
        ("broken", "damaged", "defective", "faulty"),
        ("cancel", "stop"),
        ("change", "modify", "update", "edit"),
        ("buy", "purchase", "order"),
        ("cost", "price", "charge"),
        ("show", "display", "list"),
        ("want", "need", "would like"),
        ("find", "locate"),
        ("get", "receive", "obtain"),
        ("send", "ship"),
        ("phone", "mobile", "cell"),
        ("card", "bank card"),
        ("money", "funds", "cash"),
        ("account", "profile"),
        ("begin", "start"),
        ("wrong", "incorrect"),
        ("tell", "inform"),
        ("quickly", "fast", "soon"),
        ("problem", "issue", "trouble"),
        ("why", "how come"),
        ("hi", "hello", "hey"),
        ("thanks", "thank you"),
    )
    for word in group
    if " " not in word
}


def variants(texts: Sequence[str], settings: TrainSettings, number: int) -> list[str]:
    """Make one augmented copy of each text.

    Args:
        texts: The examples.
        settings: ``typing_noise``, ``token_dropout``, ``synonyms`` as shares of words, ``casing`` as a share of texts, ``seed``.
        number: Which copy; another number gives other noise.

    Returns:
        As many texts, none of them empty; placeholders such as ``[ORDER_1]`` stay whole.
    """
    rng = random.Random(f"{settings.seed} augment {number}")
    return [vary(text, settings, rng) for text in texts]


def vary(text: str, settings: TrainSettings, rng: random.Random) -> str:
    """Return the text with noise of every kind that the settings ask for."""
    words = text.split()
    kept = [word for word in words if _PLACEHOLDER.search(word) or rng.random() >= settings.token_dropout]
    found = []
    for word in kept if len(kept) > 1 else words:
        if _PLACEHOLDER.search(word):
            found.append(word)
            continue
        others = SYNONYMS.get(word.lower())
        if others and rng.random() < settings.synonyms:
            word = rng.choice(others)
        if len(word) > 3 and rng.random() < settings.typing_noise:
            word = typo(word, rng)
        found.append(word)
    joined = " ".join(found) or text
    if rng.random() < settings.casing:
        change = rng.choice((str.lower, str.upper, str.capitalize))
        whole = _PLACEHOLDER.findall(joined)
        parts = [change(part) for part in _PLACEHOLDER.split(joined)]
        joined = "".join(part for pair in zip(parts, [*whole, ""], strict=True) for part in pair)
    return joined


def typo(word: str, rng: random.Random) -> str:
    """Return the word with one slip: two letters swapped, one left out, doubled, or a neighbouring key hit."""
    if not _WORD.search(word):
        return word
    at = rng.randrange(1, len(word) - 1) if len(word) > 2 else 0
    kind = rng.randrange(4)
    if kind == 0:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    if kind == 1:
        return word[:at] + word[at + 1 :]
    if kind == 2:
        return word[:at] + word[at] + word[at:]
    return word[:at] + _neighbour(word[at], rng) + word[at + 1 :]


def _neighbour(letter: str, rng: random.Random) -> str:
    for row in _KEYS:
        place = row.find(letter.lower())
        if place >= 0:
            return rng.choice([row[near] for near in (place - 1, place + 1) if 0 <= near < len(row)])
    return letter
