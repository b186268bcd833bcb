"""``deskhand replay``: the customers' messages of the last month, decided again by champion and candidate, side by side.

Every message is decided where it stood: behind the turns that really came before it, at its own time, with today's index and
corrections. So a difference comes from the adapters and from this message alone. Nothing is written: the assistant is given a
store that remembers one conversation and forgets what it answers. Where there are no conversations yet, the openings of the
ingested logs are asked. What differs is told apart in ``replay_changes.py``.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, cast

from assistant.errors import RegistryError, StoreError, UsageError
from assistant.records import Message, Reply, Turn
from assistant.settings import home
from ui import terminal
from ui.replay_changes import Change, compare, notable, summary
from ui.wiring import (
    SERVED,
    assemble,
    connect,
    load_encoder,
    make_redactor,
    open_registry,
    read_settings,
    salt,
    serve,
    with_versions,
)

if TYPE_CHECKING:
    from assistant.learning import Learning
    from assistant.pipeline import Serving
    from assistant.redact import Redactor
    from assistant.registry import Registry
    from assistant.settings import Settings
    from assistant.store import Conversation, Store

_WHOLE = 10_000
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Asked:
    """A customer's message where it stood: its conversation's language and the turns before it.

    ``text`` has the order numbers that the customer gave in place of their placeholders, as far as they are known.
    """

    message_id: str
    conversation_id: str
    text: str
    shown: str
    at: datetime
    lang: str | None
    before: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Past:
    """Messages to decide again, oldest first, and the time they are from; ``total`` counts those left out too."""

    source: Literal["conversations", "transcripts"]
    start: datetime | None
    end: datetime | None
    total: int
    asked: tuple[Asked, ...]


class OneConversation:
    """Stands for the store of an assistant that decides a message again: remembers what came before it, and writes nothing.

    What people put right (``learning``) is read from the real store.
    """

    def __init__(self, store: Store) -> None:
        """Read what is shared by all conversations from a store."""
        self._store = store
        self.asked: Asked | None = None

    @property
    def learning(self) -> Learning:
        """What people put right, to be read only."""
        return self._store.learning

    def message_detail(self, message_id: str) -> dict[str, Any] | None:
        """Tell what is stored about a turn; see ``Store.message_detail``."""
        return self._store.message_detail(message_id)

    def conversation(self, id: str) -> Conversation | None:
        """Return the conversation that is decided now."""
        from assistant.store import Conversation

        return None if self.asked is None else Conversation(id, self.asked.at, self.asked.lang)

    def turns(self, conversation_id: str, limit: int = 6) -> list[Turn]:
        """Return the last turns before the message."""
        return [] if self.asked is None or limit < 1 else list(self.asked.before[-limit:])

    def record_turn(self, message: Message, reply: Reply) -> None:
        """Forget the turn."""


class Again:
    """One arm: decides messages again with parts that stay."""

    def __init__(self, store: Store, serving: Serving, redactor: Redactor, settings: Settings, secret: str) -> None:
        """Build an assistant over a store that forgets.

        Args:
            store: The real one, for what people put right.
            serving: The parts of this arm.
            redactor: Finds personal data.
            settings: As for a live assistant.
            secret: This installation's.
        """
        self._past = OneConversation(store)
        self._now = _EARLIEST
        # The assistant needs only a few of a store's methods, and these it finds here.
        past = cast("Store", self._past)
        self._assistant = assemble(past, lambda _: serving, redactor, settings, secret, now=lambda: self._now)
        self._count = 0

    def __call__(self, asked: Asked) -> Reply:
        """Decide one message."""
        self._past.asked, self._now = asked, asked.at
        self._count += 1
        # An id of its own: what was replaced in another message of the conversation is brought back from its turns.
        return self._assistant.turn(asked.text, conversation_id=f"{asked.conversation_id}#{self._count}", lang=asked.lang)


def run_replay(
    *, task: str = "intent", version: str | None = None, days: int = 30, limit: int | None = None, as_json: bool
) -> None:
    """Decide the last month's messages again with champion and candidate, and print what would change.

    Args:
        task: The candidate's task.
        version: The candidate; the task's latest version that is not the champion by default.
        days: How many days count, up to the newest message there is.
        limit: Only the newest so many messages; all by default.
        as_json: Whether to print one object.

    Raises:
        UsageError: If the task, days or limit are none, or there is nothing to decide.
        RegistryError: If there is no champion or candidate.
    """
    if task not in SERVED:
        raise UsageError(f"{task!r} cannot be replayed; {', '.join(SERVED)} can")
    if days < 1 or (limit is not None and limit < 1):
        raise UsageError(f"--days {days} --limit {limit}: give at least 1")
    place = home()
    settings, registry = read_settings(place), open_registry(place)
    champion, candidate = _versions(registry, task, version)
    secret, redactor = salt(place), make_redactor(settings)
    store = connect(settings, place)
    try:
        past = gather(store, task, days, limit, secret)
        if not past.asked:
            raise UsageError("no customer's message to decide again: nothing was asked yet, and no log with dates is ingested")
        encoder = load_encoder(settings)
        first, _ = serve(settings, place, encoder, registry, {task: champion})
        second, _ = with_versions(first, settings, place, registry, {task: candidate})

        ours, theirs = (Again(store, serving, redactor, settings, secret) for serving in (first, second))
        with terminal.Steps(quiet=as_json) as steps:
            changes = list(_decided(past.asked, ours, theirs, steps))
    finally:
        store.close()
    said = {
        "task": task,
        "champion": champion,
        "candidate": candidate,
        "source": past.source,
        "from": past.start.isoformat() if past.start else None,
        "to": past.end.isoformat() if past.end else None,
        "left_out": past.total - len(past.asked),
        **summary(changes),
    }
    if as_json:
        terminal.say_json(said)
    else:
        _show(said, notable(changes))


def run_replay_message(message_id: str, *, as_json: bool) -> None:
    """Decide one stored message again with what serves today, and print it beside the reply that was given.

    Args:
        message_id: Id of the message or of the reply to it.
        as_json: Whether to print one object.

    Raises:
        StoreError: If the message is not known, or was not answered.
    """
    place = home()
    settings, registry = read_settings(place), open_registry(place)
    secret, redactor = salt(place), make_redactor(settings)
    store = connect(settings, place)
    try:
        detail = store.message_detail(message_id)
        if detail is None or detail["reply"] is None:
            raise StoreError(f"there is no answered message {message_id!r}; ids stand in the answer of `deskhand ask --json`")
        conversation = detail["message"]["conversation_id"]
        stored = next(turn for turn in store.turns(conversation, _WHOLE) if turn.message.id == detail["message"]["id"])
        asked = next(one for one in _of_conversation(store, conversation, secret) if one.message_id == stored.message.id)
        serving, _ = serve(settings, place, load_encoder(settings), registry)
        again = Again(store, serving, redactor, settings, secret)(asked)
    finally:
        store.close()
    change = compare(asked.message_id, asked.shown, asked.at, stored.reply, again)
    if as_json:
        versions = {"then": dict(stored.reply.versions), "today": dict(again.versions)}
        terminal.say_json({"same": change.kind == "same", "versions": versions, **change.as_json("then", "today")})
        return
    terminal.say(f"{change.kind.replace('_', ' ')}: {asked.shown}")
    rows = [("versions", _named(stored.reply), _named(again)), *_rows(change)]
    terminal.table("", ("", "then", "today"), rows)


def gather(store: Store, task: str, days: int, limit: int | None, secret: str) -> Past:
    """Read the customers' messages of the newest days there are.

    Args:
        store: Live conversations, or else ingested logs.
        task: Any task; replies name its version.
        days: How many, back from the newest message.
        limit: Only the newest so many messages; ``None`` for all.
        secret: This installation's.

    Returns:
        The messages; of logs only each conversation's opening, since what followed answered a person.
    """
    outcomes = store.learning.outcomes(task, _EARLIEST)
    if outcomes:
        end = max(one.at for one in outcomes)
        start = end - timedelta(days=days)
        ids = dict.fromkeys(one.conversation_id for one in outcomes if one.at >= start)
        asked = [one for id in ids for one in _of_conversation(store, id, secret) if one.at >= start]
        return _past("conversations", start, end, asked, limit)
    newest = max((one.at for one in _openings(store)), default=None)
    if newest is None:
        return Past("transcripts", None, None, 0, ())
    start = newest - timedelta(days=days)
    return _past("transcripts", start, newest, (one for one in _openings(store) if one.at >= start), limit)


def _past(
    source: Literal["conversations", "transcripts"],
    start: datetime,
    end: datetime,
    asked: Iterable[Asked],
    limit: int | None,
) -> Past:
    total = 0

    def counted() -> Iterator[Asked]:
        nonlocal total
        for one in asked:
            total += 1
            yield one

    kept = list(counted()) if limit is None else heapq.nlargest(limit, counted(), key=lambda one: (one.at, one.message_id))
    return Past(source, start, end, total, tuple(sorted(kept, key=lambda one: (one.at, one.message_id))))


def _of_conversation(store: Store, id: str, secret: str) -> list[Asked]:
    from assistant.history import remember
    from assistant.redact import Memory, fill

    conversation = store.conversation(id)
    turns = store.turns(id, _WHOLE)
    # Placeholders of order numbers become numbers again, or the message would not be the one that was decided.
    numbers = remember(turns, Memory(secret)).numbers()
    lang = conversation.lang if conversation else None
    bare = [replace(one, reply=replace(one.reply, evidence=())) for one in turns]  # nobody looks back at it, and it is large
    return [
        Asked(one.message.id, id, fill(one.message.text, numbers), one.message.text, one.message.at, lang, tuple(bare[:place]))
        for place, one in enumerate(turns)
    ]


def _openings(store: Store) -> Iterator[Asked]:
    """Read the customer's first message of every ingested conversation that has a date; logs are stored redacted."""
    for transcript in store.iter_transcripts():
        turn = next((one for one in transcript.turns if one.role == "customer" and one.text.strip()), None)
        at = (turn.at or transcript.started_at) if turn else None
        if turn is not None and at is not None:
            yield Asked(transcript.id, transcript.id, turn.text, turn.text, at, transcript.lang)


def _versions(registry: Registry, task: str, version: str | None) -> tuple[str, str]:
    champion = registry.champion(task)
    if champion is None:
        raise RegistryError(f"{task}: no champion to compare with; `deskhand adapters promote {task} VERSION` makes one")
    if version is None:
        others = [one.version for one in registry.versions(task) if one.version != champion]
        if not others:
            mend = f"`deskhand adapters train {task}` makes another"
            raise RegistryError(f"{task}: {champion} is the only version, so nothing can be compared; {mend}")
        version = others[-1]
    if version == champion:
        raise UsageError(f"{task}: {version!r} is the champion itself; name another version")
    return champion, version


def _decided(asked: Sequence[Asked], champion: Again, candidate: Again, steps: terminal.Steps) -> Iterator[Change]:
    for number, one in enumerate(asked, 1):
        yield compare(one.message_id, one.shown, one.at, champion(one), candidate(one))
        steps("messages", number, len(asked))


def _show(said: dict[str, Any], changed: Sequence[Change]) -> None:
    kinds = {"conversations": "live messages", "transcripts": "openings of ingested logs (there are no live conversations yet)"}
    terminal.say(f"{said['messages']} {kinds[said['source']]}, {said['from'][:10]} to {said['to'][:10]}")
    if said["left_out"]:
        terminal.say(f"{said['left_out']} older ones are left out by --limit")
    counts = said["counts"]
    names = (f"{said['task']} {said['champion']} (champion) -> {said['candidate']}", ("what would change", "messages", "share"))
    shares = [(name.replace("_", " "), n, f"{n / said['messages']:.1%}") for name, n in counts.items()]
    terminal.table(*names, shares)
    if said["flows"]:
        terminal.table("intents", ("champion", "candidate", "messages"), [list(flow.values()) for flow in said["flows"][:15]])
    if changed:
        rows = [(one.text[:200], one.kind.replace("_", " "), one.champion.line, one.candidate.line) for one in changed]
        columns = ("customer", "change", f"champion {said['champion']}", f"candidate {said['candidate']}")
        terminal.table(f"the {len(rows)} most notable", columns, rows)


def _rows(change: Change) -> list[tuple[str, str, str]]:
    then, today = change.champion, change.candidate
    names = ("intent", "confidence", "action", "reason", "reply")
    return [(name, str(getattr(then, name)), str(getattr(today, name))) for name in names]


def _named(reply: Reply) -> str:
    return ", ".join(f"{name} {version}" for name, version in reply.versions.items())
