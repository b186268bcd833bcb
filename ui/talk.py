"""Commands that talk: ``ask``, ``chat``, ``explain`` and ``correct``.

Knows how a conversation is held in a terminal; what is answered is decided in ``assistant/pipeline.py``.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from assistant.errors import StoreError, UsageError
from assistant.settings import home
from ui import terminal
from ui.wiring import build, connect, read_settings

if TYPE_CHECKING:
    from ui.wiring import Wired

CHANNEL = "terminal"
HELP = "/why shows the evidence of the last reply, /quit leaves"


def read_message(argument: str) -> str:
    """Return the message an argument stands for.

    Args:
        argument: The text itself, or ``-`` for what stands on stdin.

    Returns:
        Well-formed text; bytes that are no UTF-8 become U+FFFD.
    """
    if argument == "-":
        return sys.stdin.buffer.read().decode("utf-8", "replace")
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def run_ask(text: str, *, conversation: str | None, as_json: bool) -> None:
    """Answer one message and print the reply.

    Args:
        text: The customer's message.
        conversation: Id of the conversation it goes on with, if any.
        as_json: Whether to print the documented JSON.

    Raises:
        DeskhandError: If the assistant cannot be built.
    """
    with _assistant() as wired:
        reply = wired.assistant.turn(text, conversation_id=conversation, channel=CHANNEL)
        answer = reply.as_json()
    if as_json:
        terminal.say_json(answer)
    else:
        terminal.reply(answer, evidence=True)


def run_chat(*, as_json: bool) -> None:
    """Hold a conversation until ``/quit``, end of input or Ctrl-C.

    Args:
        as_json: Whether each reply is printed as one line of JSON.

    Raises:
        DeskhandError: If the assistant cannot be built.
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # imported for its effect: input() gets history and editing
    with _assistant() as wired:
        if sys.stdin.isatty():
            terminal.note(f"{wired.settings.company.name}: {HELP}")
        conversation: str | None = None
        last: dict[str, Any] | None = None
        for line in _lines():
            if line == "/quit":
                break
            if line == "/why":
                _why(last, as_json=as_json)
                continue
            if line.startswith("/"):
                terminal.note(f"{line.split()[0]} is no command; {HELP}")
                continue
            reply = wired.assistant.turn(line, conversation_id=conversation, channel=CHANNEL)
            conversation, last = reply.conversation_id, reply.as_json()
            if as_json:
                terminal.say_json(last)
            else:
                terminal.say(f"{wired.settings.company.name}> {reply.text}")


def run_explain(message_id: str, *, as_json: bool) -> None:
    """Print what is stored about one turn.

    Args:
        message_id: Id of the customer's message or of the reply.
        as_json: Whether to print it as JSON.

    Raises:
        StoreError: If there is no such message.
    """
    place = home()
    store = connect(read_settings(place), place)
    try:
        detail = store.message_detail(message_id)
    finally:
        store.close()
    if detail is None:
        raise StoreError(f"there is no message {message_id[:80]!r} in the store: `deskhand ask` prints the ids")
    if as_json:
        terminal.say_json(detail)
        return
    for name in ("message", "reply", "conversation", "feedback"):
        told = {key: value for key, value in (detail[name] or {}).items() if value not in (None, {}, [], "")}
        if told:
            terminal.table(name, ("what", "value"), [(key, _shown(value)) for key, value in told.items()])
    columns = ("score", "dense", "lexical", "kind", "title", "text")
    rows = [[_shown(hit.get(column)) for column in columns] for hit in detail["evidence"]]
    if rows:
        terminal.table("evidence", columns, rows)
    else:
        terminal.say("no evidence")


def run_correct(message_id: str, *, answer: str | None, intent: str | None, as_json: bool) -> None:
    """Put a reply right, and print what comes of it.

    Args:
        message_id: Id of the reply, or of the customer's message that it answers.
        answer: The reply as it should have been, if that was wrong.
        intent: What the customer really wanted, if that was misread.
        as_json: Whether to print it as JSON.

    Raises:
        UsageError: If neither is given.
        StoreError: If the message or the intent is not known.
    """
    answer, intent = (answer or "").strip(), (intent or "").strip() or None
    if not answer and intent is None:
        raise UsageError("say what is right: --answer TEXT, --intent NAME or both")
    with _assistant() as wired:
        reply = (wired.store.message_detail(message_id) or {}).get("reply")
        if reply is None:
            raise StoreError(f"there is no message {message_id[:80]!r} in the store: `deskhand ask --json` prints the ids")
        learned = wired.assistant.feedback(reply["id"], -1, "", answer, intent)
    if as_json:
        terminal.say_json(asdict(learned))
        return
    what = "the answer is said" if learned.says else f"the topic is {intent}"
    cases = " and ".join(learned.regression)
    terminal.say(f"serves at once:    {f'yes, {what} where the same is asked' if learned.serves else 'no'}")
    terminal.say(f"regression case:   {f'yes, for {cases}' if cases else 'no'}")
    tasks = [task for task, given in (("intent", intent), ("dialog", answer)) if given and task in wired.settings.retrain.tasks]
    later = "no; a person is asked for its topic (`deskhand review`), and retrain.tasks with dialog in it learns answers"
    taught = f"yes, for {' and '.join(tasks)}, from the next training on" if tasks else later
    terminal.say(f"training example:  {taught}")
    for note in learned.notes:
        terminal.note(note)


@contextlib.contextmanager
def _assistant() -> Iterator[Wired]:
    place = home()
    wired = build(read_settings(place), place)
    try:
        for line in wired.notes:
            terminal.note(f"warning: {line}")
        yield wired
    finally:
        wired.close()


def _lines() -> Iterator[str]:
    """Yield what is typed, without blank lines; end of input and Ctrl-C both end it."""
    prompt = "you> " if sys.stdin.isatty() else ""
    while True:
        try:
            line = input(prompt)
        except (EOFError, KeyboardInterrupt):
            if prompt:
                terminal.note("")
            return
        except UnicodeDecodeError as error:
            raise UsageError(f"what was typed is no UTF-8 text ({error}); set the terminal to UTF-8") from error
        if line.strip():
            yield read_message(line.strip()) if line.strip() != "-" else "-"


def _why(last: dict[str, Any] | None, *, as_json: bool) -> None:
    if last is None:
        terminal.note("nothing was answered yet")
    elif as_json:
        terminal.say_json({"evidence": last["evidence"]})
    else:
        terminal.reply(last, evidence=True)


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, dict):
        return "\n".join(f"{key} = {_shown(item)}" for key, item in value.items())
    if isinstance(value, list):
        return "\n".join(_shown(item).replace("\n", ", ") for item in value)
    return str(value)
