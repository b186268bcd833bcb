"""After conversations left the store: what learning had written of their words into files goes too.

Two kinds of files hold customers' words: the frozen holdouts, and the pages of training runs with their worst mistakes. Comes
after ``Store.forget_contact``, which sees to the store and notes which versions have to be trained anew; may be repeated.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from assistant.provenance import ERASED
from assistant.store import Store
from finetune.gathering import gather
from finetune.holdout import prune_holdout
from finetune.session import PAGE

_MOMENTS = 10.0  # seconds
_ALWAYS = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Erased:
    """What went: rows of holdouts, and pages of training runs."""

    rows: int
    pages: int


def erase_learned(store: Store, holdout: Path, runs: Path, task: str | None = None) -> Erased:
    """Delete the words of erased conversations from the files that learning wrote.

    Args:
        store: The store, in which they are no more.
        holdout: Folder of the frozen holdouts, ``<task>.jsonl``. A row without a conversation was given by the company and
            stays; every other row whose conversation is gone goes.
        runs: Folder of runs. The page of every version goes that is due to be trained anew because a contact was erased;
            verdicts and figures stay.
        task: Only this task's files; a night must not fail for another task's.

    Returns:
        How much went.

    Raises:
        TrainingError: If a line of a holdout cannot be read; pages are gone by then.
    """
    pages = 0
    for due in store.learning.due():
        page = runs / due.task / due.version / PAGE
        if due.reason == ERASED and task in (None, due.task) and page.is_file():
            page.unlink(missing_ok=True)
            pages += 1
    for torn in holdout.glob(".*.jsonl.*"):  # left by a writer that was killed; one that lives is done within moments
        with suppress(FileNotFoundError):  # moved into place meanwhile
            if time.time() - torn.stat().st_mtime > _MOMENTS:
                torn.unlink()
    rows = 0
    for path in sorted(holdout.glob("*.jsonl" if task is None else f"{task}.jsonl")):
        rows += prune_holdout(path, gather(store, path.stem, None, _ALWAYS).finder())
    return Erased(rows, pages)
