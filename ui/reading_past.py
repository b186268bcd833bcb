"""Past conversations read for the monitor: every customer's turn gets its topic and sentiment from the adapters that serve.

Live messages are read when they come; the turns of ingested logs are read here, once for each sentiment adapter, in batches,
and what was read is kept in the store. Cut off and begun again, it goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from assistant.monitor.event_rows import chances_of, topic_of
from assistant.monitor.ledger import Ledger, Reading, UnreadTurn

if TYPE_CHECKING:
    from assistant.records import Understanding
    from assistant.understand import Understander

BATCH = 64
_PAGE = 1024


def read_past(
    ledger: Ledger,
    understander: Understander,
    *,
    progress: Callable[[int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Read every turn that the serving sentiment adapter has not read.

    Args:
        ledger: The monitor's side of the store.
        understander: What serves; without a sentiment adapter nothing is read.
        progress: Called with the number of turns of each finished batch.
        stop: Asked between two batches.

    Returns:
        How many turns were read.

    Raises:
        StoreError: If the store cannot be read or written.
    """
    version = understander.versions.get("sentiment")
    if not version:
        return 0
    read, after = 0, None
    while not stop() and (page := ledger.unread_turns(version, _PAGE, after)):
        after = page[-1].id
        page.sort(key=lambda turn: len(turn.text))  # texts of like length share a batch
        for start in range(0, len(page), BATCH):
            turns = page[start : start + BATCH]
            found = understander.read([turn.text for turn in turns])
            read += ledger.add_readings(_reading(turn, one) for turn, one in zip(turns, found, strict=True))
            if progress:
                progress(len(turns))
            if stop():
                break
    return read


def _reading(turn: UnreadTurn, understood: Understanding) -> Reading:
    felt = understood.sentiment
    chances = chances_of(felt.label, felt.confidence, felt.score) if felt else chances_of("neutral", 1.0, 0.0)
    return Reading(
        turn.id,
        topic_of(understood),
        turn.lang or understood.language,
        chances.negative,
        chances.positive,
        understood.versions.get("sentiment", ""),
        understood.versions.get("intent", ""),
        understood.emotions,
    )
