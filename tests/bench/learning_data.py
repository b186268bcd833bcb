"""Public data sets -> examples for the learning benchmark, each with its train, validation and test side.

Columns are named in each folder's ``README.txt``. Knows no model. Every split is official or drawn from a hash or a seed, so
that two runs see the same rows. Texts that stand in both official sides are left there, save in banking77: in the chats of
multidogo and restaurant8k short texts like "ok" or "13" come again in real life too.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.dialog import choice_sets
from finetune.examples import OUT_OF_SCOPE, SENTIMENTS, Labelled, Tagged, read_labelled, split, unleaked
from finetune.harvested import Pair

MULTIDOGO_DOMAINS = ("airline", "fastfood", "finance", "insurance", "media", "software")
DIALOG_SETS = ("cucom_ecommerce", "star")
_VALIDATION_SHARE = 0.1
_BRAND = re.compile(r"(?i)(?:amazon|amzon|amazn|\bamzn\b)(?:\.(?:in|com)\b)?(?: india\b)?")
_MASK = "the shop"


@dataclass(frozen=True, slots=True)
class Classification:
    """Texts with one label; ``dropped`` rows of the source had none or several of them, or no text."""

    train: tuple[Labelled, ...]
    validation: tuple[Labelled, ...]
    test: tuple[Labelled, ...]
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Tagging:
    """Texts with spans; ``dropped`` spans overlapped a longer one, ``trimmed`` ones began or ended with a space."""

    train: tuple[Tagged, ...]
    validation: tuple[Tagged, ...]
    test: tuple[Tagged, ...]
    dropped: int
    trimmed: int


@dataclass(frozen=True, slots=True)
class Dialogs:
    """Turns before an agent's reply, and that reply; no conversation stands on two sides.

    No reply stands twice in ``test``. ``sets[i]`` are the rows of ``test`` that context ``i`` chooses its reply from: its own
    first, then 99 others. ``sets`` is what ``finetune.dialog.predict_ranking`` draws itself with the same ``seed``.
    """

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...]
    test: tuple[Pair, ...]
    sets: tuple[tuple[int, ...], ...]
    seed: int


def banking77(data: Path, seed: int = 0) -> Classification:
    """Read banking77: 77 intents; 10 % of each intent's training rows validate.

    Args:
        data: The folder that holds ``banking77``.
        seed: Of the split.

    Returns:
        The three sides; ``dropped`` are training rows whose text stands in the test.
    """
    folder = data / "banking77"
    test, rows = read_labelled(folder / "test.csv.gz"), read_labelled(folder / "train.csv.gz")
    kept = unleaked(rows, test)
    train, validation = split(kept, _VALIDATION_SHARE, seed)
    return Classification(tuple(train), tuple(validation), tuple(test), len(rows) - len(kept))


def clinc150(data: Path) -> Classification:
    """Read clinc150 with its official sides: 150 intents, and ``oos`` for out-of-scope questions."""
    folder = data / "clinc150"
    sides = [read_labelled(folder / f"{side}.csv.gz") for side in ("train", "val", "test")]
    outside = [read_labelled(folder / f"oos_{side}.csv.gz") for side in ("train", "val", "test")]
    if {one.label for rows in outside for one in rows} != {OUT_OF_SCOPE}:
        raise ValueError(f"{folder}: a row of the oos_* files is labelled otherwise than {OUT_OF_SCOPE!r}; fetch the data again")
    train, validation, test = (tuple(inside + out) for inside, out in zip(sides, outside, strict=True))
    return Classification(train, validation, test)


def multidogo(data: Path, domain: str) -> Classification:
    """Read one domain of multidogo at turn level, with its official sides.

    Turns with text and exactly one intent are taken; 281 of all 116,597 turns carry several, 77 are empty. So are left out 4
    turns of finance whose intent (``openaccount``) no training turn has. About half of the turns are ``contentonly`` or
    ``confirmation``, so read macro-F1 beside accuracy.

    Args:
        data: The folder that holds ``multidogo``.
        domain: One of ``MULTIDOGO_DOMAINS``.

    Returns:
        The three sides, in file order.

    Raises:
        ValueError: If there is no such domain.
    """
    if domain not in MULTIDOGO_DOMAINS:
        raise ValueError(f"multidogo has no domain {domain!r}; choose one of {', '.join(MULTIDOGO_DOMAINS)}")
    sides: dict[str, list[Labelled]] = {"train": [], "dev": [], "test": []}
    dropped = 0
    for row in _json_rows(data / "multidogo" / "customer_turn_level.jsonl.gz"):
        if row["domain"] != domain:
            continue
        if len(row["intents"]) != 1 or not row["text"].strip():
            dropped += 1
            continue
        sides[row["split"]].append(Labelled(row["text"], row["intents"][0]))
    known = {one.label for one in sides["train"]}
    train, validation, test = (tuple(one for one in rows if one.label in known) for rows in sides.values())
    dropped += sum(map(len, sides.values())) - len(train) - len(validation) - len(test)
    return Classification(train, validation, test, dropped)


def goemotions(data: Path) -> Classification:
    """Read goemotions with its official sides and its official grouping into negative, neutral and positive.

    Rows of the group ``ambiguous`` (surprise, confusion, curiosity, realization) and rows whose emotions fall into several
    groups (``mixed``) are dropped on every side.
    """
    sides, dropped = [], 0
    for side in ("train", "dev", "test"):
        rows = list(_csv_rows(data / "goemotions" / f"{side}.csv.gz"))
        kept = [Labelled(row["text"], row["sentiment_group"]) for row in rows if row["sentiment_group"] in SENTIMENTS]
        dropped += len(rows) - len(kept)
        sides.append(tuple(kept))
    return Classification(sides[0], sides[1], sides[2], dropped)


def restaurant8k(data: Path) -> Tagging:
    """Read restaurant8k: ``train_0`` with 10 % by hash of the text for validation, and the official test.

    What the bot had asked for goes along: without it a bare "13" is a time or a number of people.
    """
    train: list[Tagged] = []
    validation: list[Tagged] = []
    test: list[Tagged] = []
    dropped = trimmed = 0
    for name in ("train_0", "test"):
        for row in _json_rows(data / "restaurant8k" / f"{name}.jsonl.gz"):
            text, raw = row["text"], [(int(start), int(end), str(slot)) for start, end, slot in row["spans"] or ()]
            spans = [_trim(text, span) for span in raw]
            kept = _apart(spans)
            dropped += len(spans) - len(kept)
            trimmed += sum(old != new for old, new in zip(raw, spans, strict=True))
            side = test if name == "test" else validation if _fold(text, 0) == 0 else train
            side.append(Tagged(text, kept, " ".join(row["requested"] or ())))
    return Tagging(tuple(train), tuple(validation), tuple(test), dropped, trimmed)


def few(training: Sequence[Labelled], shots: int, seed: int) -> list[Labelled]:
    """Draw ``shots`` examples of every label, or all where a label has fewer, in shuffled order."""
    rng = random.Random(seed)
    by_label: dict[str, list[Labelled]] = {}
    for example in training:
        by_label.setdefault(example.label, []).append(example)
    drawn = [one for label in sorted(by_label) for one in rng.sample(by_label[label], min(shots, len(by_label[label])))]
    rng.shuffle(drawn)
    return drawn


def dialogs(data: Path, name: str, seed: int = 0, most: int = 1000, context_turns: int = 4) -> Dialogs:
    """Read pairs of context and reply, conversations split 80/10/10 by hash of their id.

    Every agent turn after a customer's is a pair, small talk included; a pair said twice on one side counts once. Validation and
    test hold each reply once, a random one of its contexts with it, and at most ``most`` of them. The brand of cucom is masked.
    The untuned encoder, given the last customer turn only, is right at 0.44 (cucom) and 0.17 (star) of these sets.

    Args:
        data: The folder that holds the data set.
        name: One of ``DIALOG_SETS``.
        seed: Of the split, the order of the pairs and the draw of the choices.
        most: Validation and test contexts at most, each.
        context_turns: How many turns before the reply are kept.

    Returns:
        The three sides in shuffled order, so that the first ``n`` are a sample.

    Raises:
        ValueError: If there is no such data set.
    """
    if name not in DIALOG_SETS:
        raise ValueError(f"no dialogues named {name!r}; choose one of {', '.join(DIALOG_SETS)}")
    sides: list[dict[tuple[tuple[tuple[str, str], ...], str], Pair]] = [{}, {}, {}]
    for row in _json_rows(data / name / "dialogues.jsonl.gz"):
        side = sides[max(0, _fold(row["id"], seed) - 7)]
        for pair in _pairs(row, context_turns, mask=name == "cucom_ecommerce"):
            side.setdefault((pair.context, pair.reply), pair)
    train, validation, judged = (_shuffled(list(side.values()), seed) for side in sides)
    test = _each_once(judged)[:most]
    sets = choice_sets([pair.reply for pair in test], seed)
    return Dialogs(tuple(train), _each_once(validation)[:most], test, tuple(tuple(rows) for rows in sets), seed)


def _each_once(pairs: list[Pair]) -> tuple[Pair, ...]:
    unique: dict[str, Pair] = {}
    for pair in pairs:
        unique.setdefault(" ".join(pair.reply.lower().split()), pair)
    return tuple(unique.values())


def _pairs(row: dict[str, Any], context_turns: int, *, mask: bool) -> Iterator[Pair]:
    turns = [
        (str(turn["role"]), _BRAND.sub(_MASK, turn["text"]).strip() if mask else turn["text"].strip())
        for turn in row["turns"]
        if turn["role"] in ("customer", "agent") and turn["text"].strip()
    ]
    for place, (role, text) in enumerate(turns):
        context = tuple(turns[max(0, place - context_turns) : place])
        if role == "agent" and any(who == "customer" for who, _ in context):
            yield Pair(context, text, str(row["id"]), None, "en")


def _shuffled(pairs: list[Pair], seed: int) -> list[Pair]:
    random.Random(seed).shuffle(pairs)
    return pairs


def _trim(text: str, span: tuple[int, int, str]) -> tuple[int, int, str]:
    start, end, slot = span
    value = text[start:end]
    if not 0 <= start < end <= len(text) or not value.strip():
        raise ValueError(f"span {span} lies outside its text {text!r}; fetch the data again")
    return start + len(value) - len(value.lstrip()), end - len(value) + len(value.rstrip()), slot


def _apart(spans: Sequence[tuple[int, int, str]]) -> tuple[tuple[int, int, str], ...]:
    """Keep the longer of overlapping spans: a character can belong to one slot only; of equal ones, the first by name."""
    kept: list[tuple[int, int, str]] = []
    for span in sorted(spans, key=lambda one: (one[0] - one[1], one[0], one[2])):
        if all(span[1] <= other[0] or other[1] <= span[0] for other in kept):
            kept.append(span)
    return tuple(sorted(kept))


def _fold(key: str, seed: int) -> int:
    """Return a number from 0 to 9 that hangs on the key and the seed alone."""
    return int(hashlib.sha256(f"{seed}:{key}".encode()).hexdigest(), 16) % 10


def _json_rows(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        yield from csv.DictReader(lines)
