"""Messages of public support chats, and the labels of feeling that were given to them by hand.

The texts stay in the folder of public data and are never shipped: ``source/sentiment_public/<source>.csv`` holds keys, labels,
emotions and sides, and ``labelled`` joins them. ``draw`` is the rule by which the rows were chosen. Knows no model; what the
labels mean stands in ``README.md``.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LABELS = ("negative", "neutral", "positive")
EMOTIONS = ("anger", "disappointment", "confusion", "gratitude")
SIDES = ("train", "judge")
HERE = Path(__file__).resolve().parent / "source" / "sentiment_public"
#: Of each source, how many rows are drawn at random, then by a word of complaint, then by a word of thanks or praise.
QUOTAS = {
    "multidogo": {"random": 150, "complaint": 100, "thanks": 50},
    "star": {"random": 150, "complaint": 100, "thanks": 50},
    "irc_tech_support": {"random": 150, "complaint": 90, "thanks": 60},
    "cucom_ecommerce": {"random": 150, "complaint": 20, "thanks": 130},
}
SOURCES = tuple(QUOTAS)
_COMPLAINT = re.compile(
    r"(?i)\b(?:worst|terrible|horrible|awful|ridiculous|pathetic|useless|stupid|angry|annoy\w*|frustrat\w*|upset|disappoint\w*|hate|"
    r"hell|damn|wtf|fuck\w*|shit\w*|crap\w*|sucks?|sick of|fed up|tired of|wast(?:e|ing)|rude|scam|fraud|cheat\w*|poor|bad|sad|"
    r"sadly|unaccept\w*|unfortunately|unhappy|unfair|worr(?:y|ied)|scared|afraid|hurry|help me|still (?:not?|waiting|nothing)|"
    r"again|never|why|wrong|complain\w*|manager|lawyer|ugh+|sigh|seriously|come on|no one|nobody|not helpful|doesn'?t help|lost|"
    r"stolen|emergency|too (?:long|much|slow|expensive)|confus\w*)\b|!{2,}|\?{2,}|:[-']?[(/|]"
)
# For multidogo, where nearly all is calm, and cards are lost, stolen and wrong as a matter of course.
_CALM = re.compile(
    r"(?i)\b(?:why|upset|worst|horrible|angry|poor|afraid|scared|worried|tension|disappoint\w*|not (?:happy|good)|very slow|"
    r"never|so (?:slow|much delay)|delaying|too high|hurry|(?:very|his) urgent|already (?:said|told|give|mentioned|provided|"
    r"i said)|said already|again you|problem again|no improvement|charged more|you (?:cannot|made|did)|what happend?|complain|"
    r"oh no|come on|ridiculous|still (?:now|waiting|not|have not|i need)|useless|stupid|frustrat\w*|annoy\w*|hate)\b"
)
_THANKS = re.compile(
    r"(?i)\b(?:thanks?|thank ?you|thx|tnx|ty|thnx|thanx|cheers|grateful|appreciat\w*|great|awesome|perfect|excellent|wonderful|"
    r"amazing|love(?:ly)?|nice|cool|glad|happy|relie(?:f|ved)|good (?:job|to know|news|service)|works? (?:now|great|fine)|worked|"
    r"helped|sweet|brilliant|fantastic|looking forward|excited|best|yay|finally)\b|:-?[)D]"
)
_BRAND = re.compile(r"(?i)(?:amazon|amzon|amazn|\bamzn\b)(?:\.(?:in|com)\b)?(?: india\b)?")
_WORDS = range(2, 61)


@dataclass(frozen=True, slots=True)
class Message:
    """One message, its label, its emotions in the order of ``EMOTIONS`` and its side (``train`` or ``judge``)."""

    key: str
    text: str
    label: str
    emotions: tuple[str, ...]
    side: str


def key_of(text: str) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def side_of(key: str) -> str:
    """Return ``train`` or ``judge``, by a hash of the key alone."""
    return SIDES[int(hashlib.sha256(f"side:{key}".encode()).hexdigest(), 16) % 2]


def candidates(source: str, data: Path) -> dict[str, str]:
    """Read the messages of one source: key -> text, each text once, of 2 to 60 words.

    Raises:
        ValueError: There is no such source.
        FileNotFoundError: The folder ``data`` does not hold it.
    """
    if source not in SOURCES:
        raise ValueError(f"no public source {source!r}; choose one of {', '.join(SOURCES)}")
    texts = (text.strip() for text in _READERS[source](data / source))
    return {key_of(text): text for text in texts if len(text.split()) in _WORDS}


def draw(source: str, messages: Mapping[str, str]) -> dict[str, str]:
    """Choose the rows that were labelled: key -> ``random``, ``complaint`` or ``thanks``, in the order of a hash of the key.

    The random rows stand for the source. The others come from the rest and hold a word of complaint or of thanks, because few
    messages show a feeling; the label does not hang on the word, it was given by reading.
    """
    order = sorted(messages, key=lambda key: hashlib.sha256(f"draw:{key}".encode()).hexdigest())
    drawn: dict[str, str] = {}
    complaint = _CALM if source == "multidogo" else _COMPLAINT
    for how, pattern in (("random", re.compile("")), ("complaint", complaint), ("thanks", _THANKS)):
        fits = [key for key in order if key not in drawn and pattern.search(messages[key])]
        drawn |= dict.fromkeys(fits[: QUOTAS[source][how]], how)
    return drawn


def labelled(source: str, data: Path, labels: Path = HERE) -> list[Message]:
    """Join the labels of one source, in ``labels/<source>.csv``, with its texts in the folder of public data.

    Raises:
        ValueError: A key belongs to no message or stands twice; a label, an emotion or a side is unknown; or as ``candidates``.
        FileNotFoundError: The data or the labels are not there.
    """
    texts, path = candidates(source, data), labels / f"{source}.csv"
    messages: dict[str, Message] = {}
    with path.open(encoding="utf-8", newline="") as lines:
        for number, row in enumerate(csv.DictReader(lines), start=2):
            key, felt = row["key"], tuple(name for name in row["emotions"].split("|") if name)
            if key not in texts:
                raise ValueError(f"{path}:{number}: no message of {data / source} has the key {key!r}; fetch the data again")
            if key in messages or row["label"] not in LABELS or row["side"] not in SIDES or not set(felt) <= set(EMOTIONS):
                raise ValueError(f"{path}:{number}: {row} repeats a key or names an unknown label, emotion or side; mend the row")
            messages[key] = Message(key, texts[key], row["label"], felt, row["side"])
    return list(messages.values())


def _turns(path: Path) -> Iterator[str]:
    return (turn["text"] for row in _rows(path) for turn in row["turns"] if turn["role"] == "customer")


def _irc(folder: Path) -> Iterator[str]:
    for name in ("threads", "threads_new_domains"):
        for text in _turns(folder / f"{name}.jsonl.gz"):
            # Logs, commands and lists of nicknames have fewer than 85 % letters, spaces and , . ! ? '
            if sum(sign.isalpha() or sign in " ,.!?'" for sign in text) >= 0.85 * len(text) and not text.startswith(("!", "/")):
                yield text


def _rows(path: Path) -> Iterator[Any]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


_READERS: dict[str, Callable[[Path], Iterator[str]]] = {
    "multidogo": lambda folder: (row["text"] for row in _rows(folder / "customer_turn_level.jsonl.gz")),
    "star": lambda folder: _turns(folder / "dialogues.jsonl.gz"),
    "irc_tech_support": _irc,
    "cucom_ecommerce": lambda folder: (_BRAND.sub("the shop", text) for text in _turns(folder / "dialogues.jsonl.gz")),
}
