"""Past conversations read for the monitor: every customer's turn gets its topic and sentiment from the adapters that serve.

Live messages are read when they come; the turns of ingested logs are read here, once for each sentiment adapter, in batches,
and what was read is kept in the store. Cut off and begun again, it goes on where it was. A turn that names no business of its
own ("and now?", "thanks", "give me a person") belongs to what its conversation is about, as a live message does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.batches import by_length
from assistant.monitor.event_rows import OUT_OF_SCOPE, chances_of, topic_of
from assistant.monitor.ledger import Ledger, Reading, UnreadTurn
from assistant.understand import SOCIAL

if TYPE_CHECKING:
    from assistant.records import Understanding
    from assistant.understand import Understander

#: A customer who writes meanwhile waits for one batch at most: 64 at once held a reply up for two seconds.
BATCH = 8
_PAGE = 1024
_SURE = 0.5
_NO_BUSINESS = frozenset({"", OUT_OF_SCOPE, "speak_to_human", *SOCIAL})


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
    read, after, about = 0, None, _About("", "")
    while not stop() and (page := ledger.unread_turns(version, _PAGE, after)):
        after = page[-1].id
        understood: dict[str, Understanding] = {}
        for rows in by_length([len(turn.text) for turn in page], BATCH):
            found = understander.read([page[row].text for row in rows])
            understood |= {page[row].id: one for row, one in zip(rows, found, strict=True)}
            if progress:
                progress(len(rows))
            if stop():
                return read
        readings = []
        for turn in page:  # the turns of a conversation follow one another
            about = _about(turn, understood[turn.id], about)
            readings.append(_reading(turn, understood[turn.id], about.topic))
        read += ledger.add_readings(readings)
    return read


@dataclass(frozen=True, slots=True)
class _About:
    """What a conversation is about so far."""

    conversation: str
    topic: str


def _about(turn: UnreadTurn, understood: Understanding, before: _About) -> _About:
    own = topic_of(understood)
    earlier = before.topic if before.conversation == turn.conversation else ""
    sure = bool(understood.intents) and understood.intents[0].confidence >= _SURE
    if earlier and (own in _NO_BUSINESS or not sure):
        return before
    return _About(turn.conversation, own)


def _reading(turn: UnreadTurn, understood: Understanding, topic: str) -> Reading:
    felt = understood.sentiment
    chances = chances_of(felt.label, felt.confidence, felt.score) if felt else chances_of("neutral", 1.0, 0.0)
    return Reading(
        turn.id,
        topic,
        turn.lang or understood.language,
        chances.negative,
        chances.positive,
        understood.versions.get("sentiment", ""),
        understood.versions.get("intent", ""),
        understood.emotions,
    )
