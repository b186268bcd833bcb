"""Labelled files -> examples for training and judging, with every faulty row named.

Reads the documented evaluation formats (JSONL or CSV, plain or gzip). Knows nothing of models.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import random
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from assistant.errors import TrainingError

if TYPE_CHECKING:
    from finetune.harvested import Pair

OUT_OF_SCOPE = "oos"
SENTIMENTS = ("negative", "neutral", "positive")
EMOTIONS = ("anger", "disappointment", "confusion", "gratitude")
_SENTIMENT_NAMES = {"neg": "negative", "neu": "neutral", "pos": "positive"}


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text with one label; ``emotions`` are those it shows, ``None`` where nobody said."""

    text: str
    label: str
    emotions: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Tagged:
    """A text with spans ``(start, end, slot)`` in characters; ``asked`` names the slots that were asked for before it."""

    text: str
    spans: tuple[tuple[int, int, str], ...]
    asked: str = ""


Kind = TypeVar("Kind", bound="Labelled | Tagged | Pair")


def read_labelled(path: Path, *, sentiment: bool = False) -> list[Labelled]:
    """Read ``text,label`` rows.

    Args:
        path: JSONL or CSV with a header, plain or ``.gz``; ``intent`` is accepted for ``label``.
        sentiment: Whether labels must be negative, neutral or positive; ``emotions`` are read then too, where a row has them.

    Returns:
        The examples in file order.

    Raises:
        TrainingError: Naming ``file:line`` of the first faulty row.
    """
    examples = []
    for line, row in _rows(path):
        text, label = row.get("text"), row.get("label", row.get("intent"))
        if not isinstance(text, str) or not text.strip() or not isinstance(label, str) or not label.strip():
            raise TrainingError(f"{path}:{line}: 'text' and 'label' must both be non-empty text, got {str(row)[:120]}")
        label = label.strip()
        if sentiment:
            label = _SENTIMENT_NAMES.get(label.lower(), label.lower())
            if label not in SENTIMENTS:
                raise TrainingError(f"{path}:{line}: label {label!r} is none of {', '.join(SENTIMENTS)}")
        examples.append(Labelled(text, label, _felt(row, f"{path}:{line}") if sentiment else None))
    if not examples:
        raise TrainingError(f"{path}: no examples; rows with 'text' and 'label' are needed")
    return examples


def _felt(row: dict[str, Any], where: str) -> tuple[str, ...] | None:
    felt = row.get("emotions")
    if felt is None or felt == "":
        return None
    named = felt.replace(",", " ").split() if isinstance(felt, str) else felt
    if not isinstance(named, list) or set(map(str, named)) - set(EMOTIONS):
        raise TrainingError(f"{where}: 'emotions' must be a list of {', '.join(EMOTIONS)}, got {str(felt)[:80]}")
    return tuple(name for name in EMOTIONS if name in named)


def read_tagged(path: Path) -> list[Tagged]:
    """Read ``text,spans`` rows; spans are ``[[start, end, slot], ...]`` (in CSV as JSON text).

    ``asked`` may name the slot, or the list of slots, that was asked for before: a bare "6" is a time or a number of people.

    Raises:
        TrainingError: Naming ``file:line`` of the first faulty row.
    """
    examples = []
    for line, row in _rows(path):
        text, spans = row.get("text"), row.get("spans", [])
        try:
            values = json.loads(spans) if isinstance(spans, str) else spans
            cleaned = tuple(sorted((int(start), int(end), str(slot)) for start, end, slot in values))
        except (ValueError, TypeError, OverflowError) as error:
            raise TrainingError(f"{path}:{line}: 'spans' must be [[start, end, slot], ...], got {str(spans)[:80]}") from error
        if not isinstance(text, str) or any(not 0 <= start < end <= len(text) for start, end, _ in cleaned):
            raise TrainingError(f"{path}:{line}: a span lies outside its text of {len(str(text))} characters: {cleaned}")
        if any(left[1] > right[0] for left, right in pairwise(cleaned)):
            raise TrainingError(f"{path}:{line}: spans overlap, a character can belong to one slot only: {cleaned}")
        asked = row.get("asked") or ""
        examples.append(Tagged(text, cleaned, asked if isinstance(asked, str) else " ".join(map(str, asked))))
    if not examples:
        raise TrainingError(f"{path}: no examples; rows with 'text' and 'spans' are needed")
    return examples


def read_pairs(path: Path) -> list[Pair]:
    """Read conversations and take what was said before each reply of a person, and that reply.

    Args:
        path: Conversations in any format that ``deskhand ingest`` reads. Only those not marked unresolved count.

    Raises:
        TrainingError: If the file is faulty, or holds no reply of an agent behind a customer's message.
    """
    from assistant.errors import TranscriptError
    from assistant.transcripts import read_transcripts
    from finetune.dialog_pairs import pairs_from
    from finetune.harvested import Conversation, Rules

    rules = Rules()
    pairs: list[Pair] = []
    try:
        for one in read_transcripts(path):
            if one.resolved is not False:
                pairs += pairs_from(Conversation(f"transcript:{path.name}/{one.id}", one), rules, Counter())
    except TranscriptError as error:
        raise TrainingError(str(error)) from error
    if not pairs:
        raise TrainingError(f"{path}: no agent's reply behind a customer's message; conversations with both are needed")
    return pairs


def split(examples: Sequence[Labelled], share: float, seed: int) -> tuple[list[Labelled], list[Labelled]]:
    """Split off a validation share, the same share of every label, at least one text of each label with two or more.

    Args:
        examples: All examples.
        share: Share of a label's different texts that goes to validation, in (0, 1).
        seed: Seed of the shuffle.

    Returns:
        Training and validation examples; no text stands on both sides, however often it was given.
    """
    rng = random.Random(seed)
    by_label: dict[str, dict[str, list[Labelled]]] = {}
    for example in examples:
        by_label.setdefault(example.label, {}).setdefault(_key(example), []).append(example)
    training: list[Labelled] = []
    validation: list[Labelled] = []
    for label in sorted(by_label):
        texts = list(by_label[label].values())
        rng.shuffle(texts)
        take = max(1, round(len(texts) * share)) if len(texts) > 1 else 0
        validation += [one for same in texts[:take] for one in same]
        training += [one for same in texts[take:] for one in same]
    rng.shuffle(training)
    return unleaked(training, validation), validation  # one text may have two labels


def split_texts(examples: Sequence[Tagged]) -> tuple[list[Tagged], list[Tagged]]:
    """Split off every tenth of the different texts for validation, with all rows of it."""
    held = set(list(dict.fromkeys(map(_key, examples)))[::10])
    return [one for one in examples if _key(one) not in held], [one for one in examples if _key(one) in held]


def unleaked(training: Sequence[Kind], judged: Sequence[Kind]) -> list[Kind]:
    """Return the training examples whose text is not among the judged ones (case and spaces aside)."""
    seen = set(map(_key, judged))
    return [example for example in training if _key(example) not in seen]


def _key(example: Labelled | Tagged | Pair) -> str:
    asked = example.asked if isinstance(example, Tagged) else ""  # a bare number is another example behind another question
    return f"{asked}\n{' '.join(example.text.lower().split())}"


def check_labels(examples: Sequence[Labelled], least: int = 2) -> tuple[str, ...]:
    """Return the sorted labels.

    Raises:
        TrainingError: If there are fewer than two labels, or a label has fewer than ``least`` examples.
    """
    counts = Counter(example.label for example in examples)
    if len(counts) < 2:
        raise TrainingError(f"only one label ({next(iter(counts), 'none')!r}) in the examples; at least two are needed")
    poor = [f"{label} ({count})" for label, count in sorted(counts.items()) if count < least]
    if poor:
        raise TrainingError(f"labels with fewer than {least} examples: {', '.join(poor)}; add examples or drop the label")
    return tuple(sorted(counts))


def digest(examples: Sequence[Labelled | Tagged]) -> str:
    """Return the SHA-256 of a training set; order does not count."""
    return digest_of(repr(example) for example in examples)


def digest_of(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines; order does not count."""
    return hashlib.sha256("\n".join(sorted(lines)).encode("utf-8", "surrogatepass")).hexdigest()


def _rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        stream = _open(path)
    except OSError as error:
        raise TrainingError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    with stream:
        try:
            if ".csv" in path.suffixes or ".tsv" in path.suffixes:
                reader = csv.DictReader(stream, delimiter="\t" if ".tsv" in path.suffixes else ",")
                for row in reader:
                    yield reader.line_num, {key: value for key, value in row.items() if key}
                return
            for line, text in enumerate(stream, start=1):
                if text.strip():
                    try:
                        row = json.loads(text)
                    except (ValueError, RecursionError) as error:
                        raise TrainingError(f"{path}:{line}: not valid JSON ({error})") from error
                    if not isinstance(row, dict):
                        raise TrainingError(f"{path}:{line}: expected a JSON object, got {type(row).__name__}")
                    yield line, row
        except (UnicodeDecodeError, EOFError, gzip.BadGzipFile, zlib.error, csv.Error) as error:
            raise TrainingError(f"{path}: cannot be decoded as UTF-8 text ({error})") from error


def _open(path: Path) -> IO[str]:
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
