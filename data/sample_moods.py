"""Customers' messages with the feeling that shows in them: hand-written lines, read and checked.

It knows the format of the sentiment sources and of no other; what the labels mean stands in ``data/README.md``.
``sample_labels`` turns training and validation messages into rows, ``make_sample`` writes the held-back ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml
from sample_sources import LANGUAGES, MOODS, SourceError, read_text

EMOTIONS = {"ang": "anger", "dis": "disappointment", "con": "confusion", "gra": "gratitude"}
LINE_BREAK = "⏎"


@dataclass(frozen=True)
class Mood:
    """One message, its label (negative, neutral or positive) and the emotions that show, in the order of ``EMOTIONS``."""

    text: str
    lang: str
    label: str
    emotions: tuple[str, ...]


def read_moods(path: Path) -> list[Mood]:
    """Read one file of messages: language -> kind -> lines such as ``neg ang dis | text``.

    Args:
        path: a YAML file; kinds only keep its lines in order and mean nothing.

    Returns:
        The messages in the order of the file.

    Raises:
        SourceError: the file is missing, or a line has no known mood, names an emotion wrongly, or repeats a text.
    """
    moods: list[Mood] = []
    seen: set[str] = set()
    for lang, number, line in _lines(path):
        mood = _read_line(lang, line, f"{path}:{number}")
        if mood.text in seen:
            raise SourceError(f"{path}:{number}: the same text twice: {mood.text!r}; write another")
        seen.add(mood.text)
        moods.append(mood)
    if not moods:
        raise SourceError(f'{path}:1: the file holds no message; write "neg ang | text" below a language and a kind')
    return moods


def _lines(path: Path) -> Iterator[tuple[str, int, str]]:
    """Yield language, line number and line; composing keeps the numbers that loading would lose."""
    text = read_text(path)
    try:
        root = yaml.compose(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise SourceError(f"{path}:{line}: not YAML ({error.problem}); indent lines by four spaces below a kind") from error
    for language, kinds in _entries(root, path):
        if language.value not in LANGUAGES:
            line = language.start_mark.line + 1
            raise SourceError(f"{path}:{line}: unknown language {language.value!r}; use {' or '.join(LANGUAGES)}")
        for kind, block in _entries(kinds, path):
            if not isinstance(block, yaml.ScalarNode) or block.style != "|":
                raise SourceError(f'{path}:{kind.start_mark.line + 1}: {kind.value} must hold lines; write "{kind.value}: |"')
            for number, line in enumerate(block.value.split("\n"), start=block.start_mark.line + 2):
                if line.strip():
                    yield language.value, number, line.strip()


def _entries(node: yaml.Node | None, path: Path) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1 if node else 1
        raise SourceError(f"{path}:{line}: a language holds kinds and a kind holds lines; see heldback/sentiment.yaml")
    return list(node.value)


def _read_line(lang: str, line: str, where: str) -> Mood:
    marks, bar, text = line.partition(" | ")
    mood, *emotions = marks.split() or [""]
    if not bar or mood not in MOODS or not text.strip():
        raise SourceError(f'{where}: a message needs a mood and a bar, "neg | text", "neu | text" or "pos | text": {line!r}')
    unknown = [emotion for emotion in emotions if emotion not in EMOTIONS]
    if unknown or len(set(emotions)) < len(emotions):
        raise SourceError(f"{where}: emotions are {', '.join(EMOTIONS)}, each once, not {' '.join(emotions)!r}: {line!r}")
    named = tuple(name for short, name in EMOTIONS.items() if short in emotions)
    return Mood(text.strip().replace(LINE_BREAK, "\n"), lang, MOODS[mood], named)
