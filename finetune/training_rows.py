"""A night's rows -> what its candidate is trained on: the new ones, the company's own, and a share of all older ones.

Pure functions over rows and one file. Comes after harvest and holdout, before training. The candidate is trained from the bare
base, not from the champion, hence whatever it is to know must be in here ("replay"; Robins 1995, "Catastrophic Forgetting,
Rehearsal and Pseudorehearsal").
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from finetune.dialog import too_few
from finetune.examples import Labelled, read_labelled, split
from finetune.harvested import LEVELS, Example, Pair
from finetune.holdout import Row, key_of, without
from finetune.session import Split, split_pairs

#: Of every label so many older examples stay however small the share is: a label that is sampled away is forgotten.
LEAST_REPLAYED = 16


def given_rows(task: str, folder: Path) -> list[Example]:
    """Read the labelled rows that the company gave itself, ``<task>.jsonl``.

    Args:
        task: The task; pairs are not given by file.
        folder: Where the file may be.

    Returns:
        The rows, without a conversation.

    Raises:
        TrainingError: If a row is faulty.
    """
    path = folder / f"{task}.jsonl"
    if task == "dialog" or not path.is_file():
        return []
    return [Example(one.text, one.label, "", "und", None, "person") for one in read_labelled(path)]


def new_rows(rows: Sequence[Row], refs: Collection[str], by_hand: Collection[str]) -> list[Row]:
    """Return the rows that came in this night.

    Args:
        rows: All rows.
        refs: Conversations that came in, were corrected or labelled this night.
        by_hand: Keys of texts that were labelled this night and stand in no conversation.
    """
    return [row for row in rows if (row.ref in refs if row.ref else key_of(row) in by_hand)]


def training_rows(
    new: Sequence[Row],
    rows: Sequence[Row],
    given: Sequence[Row],
    held: Iterable[Row],
    *,
    corrected: Collection[str],
    replay: float,
    seed: int,
) -> list[Row]:
    """Put a training set together.

    Of a text that stands twice the first of these counts: a person's new word, the company's own row, a person's older word,
    what agents did, what champion and evidence agree on. People's words are all kept, of the rest the new ones and of every
    label ``replay`` of the older ones, ``LEAST_REPLAYED`` at least.

    Args:
        new: The night's rows.
        rows: All rows, the new ones among them.
        given: The company's own.
        held: Nothing that shares text or conversation with these is taken.
        corrected: Conversations whose pairs are people's words.
        replay: Share of the older rows, in [0, 1].
        seed: Of the draw.

    Returns:
        The rows, each text once.
    """

    def level(row: Row) -> int:
        return LEVELS[row.trust] if isinstance(row, Example) else int(row.ref not in corrected)

    fresh = set(new)
    older = [row for row in rows if row not in fresh]
    said = [row for row in new if level(row) == 0]
    ordered: list[Row] = [*said, *given, *(row for row in older if level(row) == 0)]
    ordered += sorted((row for row in new if level(row) > 0), key=level)
    ordered += _replayed([row for row in older if level(row) > 0], replay, seed)
    taken: set[str] = set()
    chosen: list[Row] = []
    for row in without(ordered, held):
        if (key := key_of(row)) not in taken:
            taken.add(key)
            chosen.append(row)
    return chosen


def split_for_training(task: str, rows: Sequence[Row], seed: int) -> Split:
    """Split training rows into those trained on and those the epoch and the temperature are chosen by.

    Args:
        task: ``dialog`` splits by conversation, others by label.
        rows: The training rows.
        seed: Of the draw.

    Returns:
        Both sides; a label of fewer than three examples is on neither, for two are needed to learn and one to check.
    """
    if task == "dialog":
        return split_pairs([row for row in rows if isinstance(row, Pair)])
    examples = [row for row in rows if isinstance(row, Example)]
    counts = Counter(row.label for row in examples)
    training, validation = split([Labelled(row.text, row.label) for row in examples if counts[row.label] >= 3], 0.1, seed)
    return Split(tuple(training), tuple(validation))


def too_little(task: str, examples: Split) -> str:
    """Say why a split does not suffice to train on; empty where it does."""
    if task == "dialog":
        training, validation = (
            [one for one in side if isinstance(one, Pair)] for side in (examples.training, examples.validation)
        )
        return too_few(training, validation)
    labels = {one.label for one in examples.training if isinstance(one, Labelled)}
    return "" if len(labels) > 1 else f"{len(labels)} labels with three examples or more; two are needed"


def _replayed(older: Sequence[Row], replay: float, seed: int) -> list[Row]:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in older:
        groups[row.label if isinstance(row, Example) else ""].append(row)
    kept: list[Row] = []
    for label, group in sorted(groups.items()):
        random.Random(f"{seed} {label}").shuffle(group)
        kept += group[: max(math.ceil(len(group) * replay - 1e-9), LEAST_REPLAYED if replay else 0)]
    return kept
