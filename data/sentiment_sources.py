"""Where the sentiment adapter learns from, source by source: the sample company, GoEmotions and four public support chats.

Customers write in more ways than one shop's, so an adapter is trained on all of them and chosen by leaving one out
(``tests/bench/bench_sources.py``). The public texts are read from the folder of public data and never shipped. GoEmotions is
Demszky et al. 2020 (Apache-2.0); the others are named in ``README.md``. Knows rows; nothing of training.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import public_sentiment

HERE = Path(__file__).resolve().parent
SHOP, REDDIT = "fernwick", "goemotions"
PUBLIC = public_sentiment.SOURCES
#: Rows of GoEmotions that are trained on, beside some 10,000 of the shop; more of them drown the customers.
BORROWED = 4_000
JUDGED = 600
#: GoEmotions' names of feelings by those used here.
FELT = {
    "anger": "anger",
    "annoyance": "anger",
    "disappointment": "disappointment",
    "confusion": "confusion",
    "gratitude": "gratitude",
}
_SIDES = {"train": ("train", "train", BORROWED), "judge": ("validation", "dev", JUDGED)}


def sources() -> tuple[str, ...]:
    """Name all sources, the shop's first."""
    return (SHOP, REDDIT, *PUBLIC)


def rows(source: str, side: str, data: Path) -> list[dict[str, Any]]:
    """Read one side of a source.

    Args:
        source: One of ``sources()``.
        side: ``train``, or ``judge`` for rows nobody trains on.
        data: The folder of public data sets.

    Returns:
        Rows of ``text``, ``label`` and, where somebody said, ``emotions``.

    Raises:
        FileNotFoundError: If the source is not there.
        ValueError: If there is no such source or side, or labels and texts do not fit together.
    """
    if side not in _SIDES or source not in sources():
        raise ValueError(f"no rows {source!r} {side!r}; sources are {', '.join(sources())}, sides {', '.join(_SIDES)}")
    own, reddit, most = _SIDES[side]
    if source == SHOP:
        path = HERE / "sample" / own / "sentiment.jsonl"
        every = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        # Rows without feelings were labelled before the guide, by another rule: DECISIONS.md has what they cost.
        return [row for row in every if "emotions" in row]
    if source == REDDIT:
        found = list(_reddit(data / REDDIT / f"{reddit}.csv.gz"))
        random.Random(7).shuffle(found)
        return found[:most]
    public = public_sentiment.labelled(source, data)
    return [{"text": one.text, "label": one.label, "emotions": list(one.emotions)} for one in public if one.side == side]


def _reddit(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["sentiment_group"] in ("negative", "neutral", "positive"):
                felt = sorted({FELT[name] for name in row["emotions"].split("|") if name in FELT})
                yield {"text": row["text"], "label": row["sentiment_group"], "emotions": felt}
