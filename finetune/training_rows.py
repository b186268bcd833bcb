"""A night's rows -> what its candidate is trained on: the new ones, the company's own, and a share of all older ones.

Pure functions over rows and one file. Comes after harvest and holdout, before training. The candidate is trained from the bare
base, not from the champion, hence whatever it is to know must be in here ("replay"; Robins 1995, "Catastrophic Forgetting,
Rehearsal and Pseudorehearsal").
"""

from __future__ import annotations

import math
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from finetune.dialog import too_few
from finetune.examples import Labelled, read_labelled
from finetune.harvested import LEVELS, Example, Pair
from finetune.holdout import Row, key_of, without
from finetune.session import Split, split_pairs

#: Of every label so many older examples stay however small the share is: a label that is sampled away is forgotten.
LEAST_REPLAYED = 16
#: Share of a label's rows that is held apart to choose by.
VALIDATION_SHARE = 0.1
#: Behind all levels of trust: what a person said of a conversation is there to be learned.
_LAST = max(LEVELS.values()) + 1


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
    """Split training rows into those trained on and those the epoch, the temperature and the thresholds are chosen by.

    A temperature that is fitted on wrong labels calls every answer less sure than it is, so the company's own rows are held apart
    first, then what agents did, then what champion and evidence agree on. A person's word on a conversation is learned from and
    held apart only where a label has little else.

    Args:
        task: ``dialog`` splits by conversation, others by label.
        rows: The training rows.
        seed: Of the draw.

    Returns:
        Both sides; a label of fewer than three examples is on neither, for two are needed to learn and one to check.
    """
    if task == "dialog":
        return split_pairs([row for row in rows if isinstance(row, Pair)])
    groups: dict[str, list[Example]] = defaultdict(list)
    for row in rows:
        if isinstance(row, Example):
            groups[row.label].append(row)
    rng = random.Random(seed)
    training: list[Labelled] = []
    validation: list[Labelled] = []
    for _, group in sorted(groups.items()):
        if len(group) < 3:
            continue
        rng.shuffle(group)
        apart = set(_held_apart(group))
        validation += [Labelled(row.text, row.label) for row in group if row in apart]
        training += [Labelled(row.text, row.label) for row in group if row not in apart]
    rng.shuffle(training)
    return Split(tuple(training), tuple(validation))


def _held_apart(group: Sequence[Example]) -> list[Example]:
    """Return a tenth of a label's rows, at least one: the best vouched for, but of each kind no more than a third."""
    wanted = max(1, round(len(group) * VALIDATION_SHARE))
    kinds: dict[int, list[Example]] = defaultdict(list)
    for row in group:
        level = LEVELS[row.trust]
        kinds[_LAST if level == 0 and row.ref else level].append(row)
    apart: list[Example] = []
    for _, kind in sorted(kinds.items()):
        apart += kind[: min(wanted - len(apart), len(kind) // 3)]
    return apart or list(next(kind for _, kind in sorted(kinds.items())))[:1]


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
