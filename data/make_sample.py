"""Write the sample company: ``python data/make_sample.py``.

Reads ``data/source`` (hand-written texts) and writes ``data/sample`` (conversations, articles, templates, labelled sets),
the same on every run. It needs PyYAML and nothing else; ``data/README.md`` describes what comes out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from random import Random

from sample_answers import make_book
from sample_dialogs import play
from sample_labels import label_rows
from sample_moods import Mood, read_moods
from sample_plan import plan_cases
from sample_sources import LANGUAGES, SOCIAL, SourceError, Sources, read_sources

HERE = Path(__file__).resolve().parent
SEED = "fernwick-2026"
HELD_BACK = ("questions", "none_of_its_business", "conversations")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: instead of ``sys.argv[1:]``.

    Returns:
        0, or 1 when a source is malformed.
    """
    parser = argparse.ArgumentParser(description="Write the sample company from its hand-written sources.")
    parser.add_argument("--source", type=Path, default=HERE / "source", help="folder of the sources")
    parser.add_argument("--out", type=Path, default=HERE / "sample", help="folder to write")
    options = parser.parse_args(arguments)
    try:
        write_sample(options.source, options.out)
    except SourceError as error:
        print(f"make_sample: {error}", file=sys.stderr)
        return 1
    return 0


def write_sample(source: Path, out: Path) -> None:
    """Read the sources and write every file of the sample.

    Args:
        source: the folder of the sources.
        out: the folder to write; files of the same name are replaced.

    Raises:
        SourceError: a source is malformed; nothing has been written then.
    """
    sources = read_sources(source)
    training = _moods(source / "sentiment", "*.yaml")
    validation = _moods(source / "validation", "sentiment_*.yaml")
    held_back = read_moods(source / "heldback" / "sentiment.yaml")
    rows = label_rows(sources, training, validation, SEED)
    conversations = _conversations(sources)
    for (lang, name), text in sources.articles.items():
        slug = name.replace("_", "-")
        front = f"---\nlang: {lang}\nintent: {name}\nurl: https://fernwick.example/help/{slug}\n---\n"
        _write(out / "articles" / lang / f"{name}.md", front + text)
    _write(out / "templates.jsonl", _lines(_templates(sources)))
    _write(out / "products.json", json.dumps(_products(sources), ensure_ascii=False, indent=1) + "\n")
    for path, records in rows.items():
        _write(out / path, _lines(records))
    for name in HELD_BACK:
        # Copied unread: nothing held back may find its way into anything else.
        (out / "heldback").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / "heldback" / f"{name}.jsonl", out / "heldback" / f"{name}.jsonl")
    _write(out / "heldback" / "sentiment.jsonl", _lines(_held_back(held_back)))
    _write_gzip(out / "conversations.jsonl.gz", _lines(conversations))


def _moods(folder: Path, names: str) -> list[Mood]:
    """Read all files of messages in a folder, in the order of their names; a text may stand in one of them only."""
    found: dict[str, tuple[Mood, Path]] = {}
    for path in sorted(folder.glob(names)):
        for mood in read_moods(path):
            if mood.text in found:
                raise SourceError(f"{path}: {mood.text!r} stands in {found[mood.text][1]} too; take it out of one of them")
            found[mood.text] = mood, path
    if not found:
        raise SourceError(f"{folder / names}: no such file; the messages with feelings stand there")
    return [mood for mood, _ in found.values()]


def _held_back(moods: Iterable[Mood]) -> Iterable[dict[str, object]]:
    for number, mood in enumerate(moods, start=1):
        yield {
            "id": f"m{number:03}",
            "lang": mood.lang,
            "text": mood.text,
            "label": mood.label,
            "emotions": list(mood.emotions),
        }


def _conversations(sources: Sources) -> list[dict[str, object]]:
    aliases = {name: [*_names(product, "en"), *_names(product, "zh")] for name, product in sources.products.items()}
    books = {
        (intent.name, lang): make_book(intent, lang, sources.articles[lang, intent.name], aliases)
        for intent in sources.intents
        if intent.group != SOCIAL
        for lang in LANGUAGES
    }
    records = []
    for number, case in enumerate(plan_cases(sources, SEED), start=1):
        rng = Random(f"{SEED}:dialog:{case.intent.name}:{case.lang}:{case.opening}")
        record = play(case, books[case.intent.name, case.lang], sources.phrases[case.lang], rng)
        records.append({"id": f"s{number:05}", **record})
    return records


def _templates(sources: Sources) -> Iterable[dict[str, object]]:
    for intent in sources.intents:
        for place, lang in enumerate(LANGUAGES):
            yield {
                "intent": intent.name,
                "lang": lang,
                "title": sources.titles[intent.name][place],
                "text": intent.template[lang],
                "ask": intent.ask.get(lang),
                "required_slots": [slot for slot, required in intent.slots.items() if required],
            }


def _products(sources: Sources) -> dict[str, object]:
    return {
        name: {"names": {lang: _names(product, lang) for lang in LANGUAGES}, "price": product["price"]}
        for name, product in sources.products.items()
    }


def _names(product: Mapping[str, object], lang: str) -> list[str]:
    names = product[lang]
    if not isinstance(names, list):
        raise SourceError(f"products.yaml:1: the names of a product in {lang} must be a list, not {names!r}")
    return [str(name) for name in names]


def _lines(records: Iterable[Mapping[str, object]]) -> str:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8"))


def _write_gzip(path: Path, text: str) -> None:
    # No name and no time in the header, so that equal content gives equal bytes.
    with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as packed:
        packed.write(text.encode("utf-8"))


if __name__ == "__main__":
    sys.exit(main())
