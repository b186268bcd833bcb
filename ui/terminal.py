"""What commands print: results on stdout, progress and errors on stderr, JSON where it was asked for.

Knows how things look, nothing of how they come about. Text from customers is shown without control characters, so that
a message cannot drive the reader's terminal. ``rich`` is imported when something is printed, not before.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
#: A pipe gets a line every so many seconds at most, and fewer the longer it takes; a terminal gets a moving bar.
PLAIN_EVERY_S = 5.0


def printable(text: str) -> str:
    """Return text without the characters that move cursors, change colours or turn the reading direction.

    Args:
        text: Anything a customer, a log or an error brought along.

    Returns:
        The text; line breaks and tabs stay.
    """
    return _CONTROL.sub("", text)


def say(text: str = "") -> None:
    """Print one plain line on stdout.

    Args:
        text: The line; control characters are left out.
    """
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def say_json(value: Any) -> None:
    """Print one JSON value on stdout, on one line, as a machine reads it.

    Args:
        value: Anything JSON can hold.
    """
    sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
    sys.stdout.flush()


def note(text: str) -> None:
    """Print one line on stderr, beside the result and not in it.

    Args:
        text: The line; control characters are left out.
    """
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def complain(message: str, *, as_json: bool) -> None:
    """Print an error on stderr.

    Args:
        message: What went wrong and the mend.
        as_json: Whether the caller reads JSON.
    """
    if as_json:
        sys.stderr.write(json.dumps({"error": message}, ensure_ascii=False) + "\n")
    else:
        note(f"error: {message}")


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout, as wide as the terminal allows.

    Args:
        title: Heading above it; empty for none.
        columns: Names of the columns.
        rows: Cells, as many to a row as there are columns.
    """
    from rich.table import Table
    from rich.text import Text

    grid = Table(title=title or None, title_justify="left", title_style="bold", header_style="bold", expand=False)
    for column in columns:
        grid.add_column(column, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(printable(str(cell))) for cell in row))
    _console().print(grid)


def reply(answer: Mapping[str, Any], *, evidence: bool) -> None:
    """Print a reply as a person reads it.

    Args:
        answer: ``Reply.as_json()``.
        evidence: Whether its evidence follows.
    """
    from rich.text import Text

    console = _console()
    console.print(Text(printable(str(answer["reply"])), style="bold"))
    intent, feeling = answer["intent"], answer["sentiment"]
    parts = [str(answer["action"]), str(answer["reason"])]
    if intent["name"]:
        parts.append(f"{intent['name']} {intent['confidence']:.2f}")
    parts += [str(feeling["label"]), str(answer["language"]), f"{answer['latency_ms']:.0f} ms"]
    console.print(Text(printable(" · ".join(parts)), style="dim"))
    console.print(Text(f"conversation {printable(answer['conversation_id'])} · message {printable(answer['message_id'])}", "dim"))
    if evidence:
        show_evidence(answer["evidence"])


def show_evidence(hits: Sequence[Mapping[str, Any]]) -> None:
    """Print what a reply stands on, best first.

    Args:
        hits: Objects with ``kind``, ``title``, ``text`` and ``score``.
    """
    if not hits:
        say("no evidence")
        return
    rows = [(f"{hit['score']:.3f}", hit["kind"], hit["title"], _clip(str(hit["text"]), 240)) for hit in hits]
    table("evidence", ("score", "kind", "title", "text"), rows)


class Steps:
    """Progress of long work on stderr: a bar on a terminal, a plain line now and then elsewhere, nothing when quiet."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Remember whether to keep silent, as with ``--json`` into a pipe."""
        self._bar: Progress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._lines: dict[str, tuple[float, float]] = {}  # of a stage: when it began, and when it was last told
        self._bars = sys.stderr.isatty()
        self._quiet = quiet and not self._bars

    def __enter__(self) -> Steps:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, stage: str, done: int, total: int | None = None) -> None:
        """Show how far a stage is.

        Args:
            stage: Its name.
            done: How many items are finished.
            total: Of how many, where that is known.
        """
        if self._quiet:
            return
        if self._bars:
            self._draw(stage, done, total)
            return
        now = time.monotonic()
        began, last = self._lines.get(stage, (now, None))
        finished = total is not None and done >= total
        if last is None or finished or now - last >= max(PLAIN_EVERY_S, (now - began) / 10):
            self._lines[stage] = (began, now)
            note(f"{stage}: {done}{f' of {total}' if total is not None else ''}")

    def line(self, text: str) -> None:
        """Print a line beside the bar."""
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.console.print(printable(text), markup=False, highlight=False)
        else:
            note(text)

    def _draw(self, stage: str, done: int, total: int | None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        if self._bar is None:
            look = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*look, console=Console(stderr=True))
            self._bar.start()
        if stage not in self._tasks:
            self._tasks[stage] = self._bar.add_task(stage, total=total)
        self._bar.update(self._tasks[stage], completed=done, total=total)


def _console() -> Console:
    from rich.console import Console

    # Numbers and paths inside replies are no code: no highlighting, no markup. A pipe has no width of its own.
    return Console(markup=False, highlight=False, emoji=False, width=None if sys.stdout.isatty() else 120)


def _clip(text: str, most: int) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= most else flat[: most - 1] + "…"
