"""The hand-written sources of the sample company, read and checked line by line.

It knows the formats of ``data/source`` and nothing of conversations. ``sample_dialogs`` and ``sample_labels`` use what it
returns. A line that cannot be what its section asks for is refused with ``file:line``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import yaml

LANGUAGES = ("en", "zh")
MOODS = {"neg": "negative", "neu": "neutral", "pos": "positive"}
PLACEHOLDERS = frozenset({"order_number", "tracking_number", "date", "name", "city", "amount", "product"})
SLOTS = frozenset({"order_number", "product"})
SOCIAL = "social"
LISTS = ("utterances", "openings", "replies", "followups")
SINGLE = ("template", "ask")

_SECTION = re.compile(r"^\[([a-z]+)\.([a-z]+)\]$")
_BRACKETED = re.compile(r"<([^<>\s](?:[^<>]*[^<>\s])?)>")


class SourceError(ValueError):
    """A source file holds a line that its format does not allow; the message names ``file:line``."""


@dataclass(frozen=True)
class Opening:
    """A conversation's first message, with brackets and placeholders, and its writer's mood."""

    text: str
    mood: str


@dataclass(frozen=True)
class Exchange:
    """A question asked later in a conversation and the agent's answer."""

    question: str
    answer: str


@dataclass
class Intent:
    """All texts of one intent by language; ``slots`` maps a slot to whether an answer requires it."""

    name: str
    group: str
    slots: dict[str, bool]
    utterances: dict[str, list[str]] = field(default_factory=dict)
    openings: dict[str, list[Opening]] = field(default_factory=dict)
    replies: dict[str, list[str]] = field(default_factory=dict)
    followups: dict[str, list[Exchange]] = field(default_factory=dict)
    template: dict[str, str] = field(default_factory=dict)
    ask: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Sources:
    """Everything under ``data/source`` that the sample is made from."""

    intents: list[Intent]
    phrases: dict[str, dict[str, list[str]]]
    titles: dict[str, list[str]]
    products: dict[str, dict[str, object]]
    articles: dict[tuple[str, str], str]
    validation: dict[str, list[dict[str, str]]]


def read_sources(root: Path) -> Sources:
    """Read and check the whole source folder.

    Args:
        root: the folder that holds ``taxonomy.yaml``, ``intents/``, ``articles/`` and the rest.

    Returns:
        The sources, intents in the taxonomy's order.

    Raises:
        SourceError: a line or file is malformed, or an intent of the taxonomy has no file.
    """
    intents = [
        _read_intent(root / "intents" / f"{name}.txt", Intent(name, group, slots))
        for group, name, slots in _read_taxonomy(root / "taxonomy.yaml")
    ]
    phrases = {
        lang: {pool: text.splitlines() for pool, text in pools.items()}
        for lang, pools in yaml.safe_load(read_text(root / "phrases.yaml")).items()
    }
    articles = {}
    for intent in intents:
        for lang in LANGUAGES:
            if intent.group != SOCIAL:
                articles[lang, intent.name] = _read_article(root / "articles" / lang / f"{intent.name}.md")
    return Sources(
        intents=intents,
        phrases=phrases,
        titles=yaml.safe_load(read_text(root / "titles.yaml")),
        products=yaml.safe_load(read_text(root / "products.yaml")),
        articles=articles,
        validation={path.stem: _read_rows(path) for path in sorted((root / "validation").glob("*.jsonl"))},
    )


def strip_brackets(text: str) -> str:
    """Drop the angle brackets around device words.

    Args:
        text: a source text such as ``"my <doorbell> died"``.

    Returns:
        The text as the customer typed it.
    """
    return _BRACKETED.sub(r"\1", text)


def read_text(path: Path) -> str:
    """Read one source file.

    Args:
        path: the file.

    Returns:
        Its text.

    Raises:
        SourceError: the file is missing or is not UTF-8.
    """
    if not path.is_file():
        raise SourceError(f"{path}:1: the file is missing; write it or restore it from version control")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}:1: not UTF-8 ({error.reason} at byte {error.start}); save the file as UTF-8") from error


def _read_taxonomy(path: Path) -> list[tuple[str, str, dict[str, bool]]]:
    found = []
    for group, intents in yaml.safe_load(read_text(path)).items():
        for name, parts in intents.items():
            # The description may hold commas itself, so that YAML splits it: only known slot names count.
            slots = {str(part).rstrip("!"): str(part).endswith("!") for part in parts if str(part).rstrip("!") in SLOTS}
            found.append((group, name, slots))
    return found


def _read_intent(path: Path, intent: Intent) -> Intent:
    section = language = ""
    seen: dict[tuple[str, str], set[str]] = {}
    for number, raw in enumerate(read_text(path).splitlines(), start=1):
        line, where = raw.strip(), f"{path}:{number}"
        if not line:
            continue
        if heading := _SECTION.match(line):
            section, language = heading.groups()
            if section not in LISTS + SINGLE or language not in LANGUAGES:
                raise SourceError(f"{where}: unknown section {line!r}; use {', '.join(LISTS + SINGLE)} with .en or .zh")
            continue
        if not section:
            raise SourceError(f"{where}: a text before the first section: {line!r}; begin with [utterances.en]")
        if line in seen.setdefault((section, language), set()):
            raise SourceError(f"{where}: the same text twice in [{section}.{language}]: {line!r}; write another")
        seen[section, language].add(line)
        _check_marks(line, section, where)
        _keep(intent, section, language, line, where)
    _check_complete(path, intent)
    return intent


def _keep(intent: Intent, section: str, language: str, line: str, where: str) -> None:
    if section == "openings":
        mood, bar, text = line.partition(" | ")
        if not bar or mood not in MOODS or not text.strip():
            raise SourceError(f'{where}: an opening needs a mood and a bar, "neg | text", "neu | text" or "pos | text": {line!r}')
        intent.openings.setdefault(language, []).append(Opening(text.strip(), MOODS[mood]))
    elif section == "followups":
        question, arrow, answer = line.partition(" => ")
        if not arrow or not question.strip() or not answer.strip():
            raise SourceError(f'{where}: a follow-up needs "question => answer": {line!r}')
        intent.followups.setdefault(language, []).append(Exchange(question.strip(), answer.strip()))
    elif section in LISTS:
        getattr(intent, section).setdefault(language, []).append(line)
    elif language in getattr(intent, section):
        raise SourceError(f"{where}: [{section}.{language}] holds one line only; drop {line!r}")
    else:
        getattr(intent, section)[language] = line


def _check_marks(line: str, section: str, where: str) -> None:
    for name in re.findall(r"\{([^{}]*)\}", line):
        if name not in PLACEHOLDERS:
            raise SourceError(f"{where}: unknown placeholder {{{name}}}; known are {', '.join(sorted(PLACEHOLDERS))}")
    if re.search(r"[{}]", re.sub(r"\{[^{}]*\}", "", line)):
        raise SourceError(f"{where}: a stray brace in {line!r}; write placeholders as {{name}}")
    # " > " between spaces is a menu path, as in "Account > Details".
    if section in ("utterances", "openings") and re.search(r"[<>]", _BRACKETED.sub("", line).replace(" > ", " ")):
        raise SourceError(f"{where}: a stray angle bracket in {line!r}; write devices as <doorbell>")


def _check_complete(path: Path, intent: Intent) -> None:
    wanted = (
        ["utterances", "template"] if intent.group == SOCIAL else ["utterances", "openings", "template", "replies", "followups"]
    )
    if intent.slots.get("order_number"):
        wanted.append("ask")
    for section in wanted:
        for lang in LANGUAGES:
            if not getattr(intent, section).get(lang):
                raise SourceError(f"{path}:1: the section [{section}.{lang}] is missing or empty; {intent.name} needs it")


def _read_article(path: Path) -> str:
    text = read_text(path).strip() + "\n"
    if not text.startswith("# "):
        raise SourceError(f'{path}:1: an article begins with "# Title", not {text.splitlines()[0]!r}')
    return text


def _read_rows(path: Path) -> list[dict[str, str]]:
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise SourceError(f"{path}:{number}: not JSON ({error.msg}); each line is one object") from error
        if not isinstance(row, dict) or not {"lang", "text"} <= row.keys():
            raise SourceError(f'{path}:{number}: a row needs "lang" and "text": {line[:80]!r}')
        rows.append(row)
    return rows
