"""``review`` and ``label``: messages that wait for a person, and the label a person gives.

A label given here is trained on at the next run with the highest trust. Knows the store's queue and what is printed.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from assistant.errors import StoreError, UsageError
from assistant.settings import home
from ui import terminal
from ui.wiring import connect, open_registry, read_settings

_SHOWN = 8  # characters of an id that are shown; any unique beginning is taken back
_OPEN = 100_000


def run_review(task: str, *, limit: int, as_json: bool) -> None:
    """Print the open messages of a task, most uncertain first.

    Args:
        task: The task.
        limit: How many at most.
        as_json: Whether to print an array of objects.
    """
    place = home()
    with connect(read_settings(place), place) as store:
        items = store.learning.review(task, limit)
    if as_json:
        terminal.say_json([{**asdict(one), "at": one.at.isoformat(), "decided_at": None} for one in items])
    elif not items:
        terminal.say(f"no {task} message waits for a label; `deskhand retrain` puts those it is unsure of here")
    else:
        rows = [(one.id[:_SHOWN], one.text, one.proposed or "-", f"{one.confidence:.2f}") for one in items]
        terminal.table(f"{task}: messages that wait for a label", ("id", "message", "proposed", "sure"), rows)
        terminal.say("deskhand label ID LABEL, or deskhand label ID --drop")


def run_label(item_id: str, name: str | None, *, drop: bool, as_json: bool) -> None:
    """Decide one waiting message.

    Args:
        item_id: Its id, or a beginning that only it has.
        name: The label.
        drop: Whether to drop it instead.
        as_json: Whether to print JSON.

    Raises:
        UsageError: If neither or both of label and drop are given, or the label is unknown to the champion and a near
            miss of one it knows.
        StoreError: If no open message, or several, have that id.
    """
    if (name is None) == (not drop):
        raise UsageError("give either a LABEL or --drop")
    place = home()
    with connect(read_settings(place), place) as store:
        found = [one for one in store.learning.review(None, _OPEN) if one.id.startswith(item_id)]
        if len(found) != 1:
            what = "no open message has" if not found else f"{len(found)} open messages have"
            raise StoreError(f"{what} an id that begins with {item_id!r}; `deskhand review` lists them")
        item = found[0]
        if name is not None:
            _refuse_misspelling(item.task, name)
        store.learning.decide(item.id, name, datetime.now(UTC))
    if as_json:
        terminal.say_json({"id": item.id, "text": item.text, "label": name, "state": "dropped" if drop else "labelled"})
    else:
        terminal.say(f"{item.text!r}: {name or 'dropped'}")


def _refuse_misspelling(task: str, name: str) -> None:
    """Refuse a name one letter off a label the champion knows: a slip would make a class of its own."""
    import difflib

    registry = open_registry(home())
    champion = registry.champion(task)
    known = next((one.labels for one in registry.versions(task) if one.version == champion), ())
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.85)
    if known and name not in known and close:
        raise UsageError(f"label {name!r} is not known; did you mean {close[0]!r}?")
