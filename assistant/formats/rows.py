"""Files -> numbered lines and JSON records, plain or gzip, in bounded memory.

Knows bytes, lines, encodings and JSON; does not know what a conversation is. `chats`, `vendors` and `tables` make
transcripts of what comes out of here. Faults of one row come out as ``BadRow`` in its place; a fault after which nothing
more of the file can be read is raised as ``Unreadable``.
"""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from assistant.errors import TranscriptError

CHUNK = 1 << 20
#: No single row or array element may be longer; a conversation of this size is a damaged file.
MAX_ROW = 64 << 20
#: A first line longer than this is read as a document, not as a line.
MAX_FIRST_LINE = 2 << 20
#: Keys under which exports and API pages keep their list of conversations.
WRAPPERS = ("tickets", "conversations", "payload", "data")
_OWN_KEYS = frozenset({"turns", "messages", "comments", "conversation_parts"})


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that was left out: ``where`` is ``file:line``, ``why`` says what is wrong and the mend."""

    where: str
    why: str


@dataclass(frozen=True, slots=True)
class Record:
    """One JSON value of a file with the ``file:line`` at which it starts."""

    where: str
    value: Any


class Broken(ValueError):
    """One row cannot be used; the text says why."""


class Unreadable(Exception):
    """Nothing after ``line`` can be read; ``why`` says what is wrong and the mend."""

    def __init__(self, line: int, why: str) -> None:
        """Keep the line for the message's ``file:line``."""
        super().__init__(why)
        self.line = line
        self.why = why


def chunks(path: Path) -> Iterator[bytes]:
    """Read a file piece by piece, unpacking gzip by its magic bytes and dropping a UTF-8 byte order mark.

    Args:
        path: The file.

    Yields:
        Pieces of at most 1 MiB, NUL bytes removed.

    Raises:
        TranscriptError: If the file cannot be opened, or is UTF-16 or UTF-32.
        EOFError: If a gzip file is cut short or damaged; everything before the damage has been yielded.
    """
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == b"\x1f\x8b"
            stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=raw) if packed else raw
            first = True
            while piece := stream.read1(CHUNK):  # type: ignore[union-attr]
                if first:
                    if piece[:2] in (b"\xff\xfe", b"\xfe\xff"):
                        raise TranscriptError(f"{path}:1: the file is UTF-16 or UTF-32; save it as UTF-8")
                    piece, first = piece.removeprefix(codecs.BOM_UTF8), False
                yield piece.replace(b"\0", b"") if b"\0" in piece else piece
    except (gzip.BadGzipFile, zlib.error) as error:
        raise EOFError(str(error)) from error
    except OSError as error:
        raise TranscriptError(f"{path}: cannot be read: {error.strerror or error}") from error


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    r"""Split a file at ``\n``, ``\r\n`` and ``\r``.

    Args:
        path: The file, plain or gzip.

    Yields:
        Line number from 1, and the line without its end.

    Raises:
        TranscriptError: As ``chunks``.
        Unreadable: If the gzip file is cut short or a line is longer than 64 MiB.
    """
    number, held, size = 0, [b""], 0
    try:
        for piece in chunks(path):
            if not (b"\n" in piece or b"\r" in piece or held[-1].endswith((b"\r", b"\n"))):
                held.append(piece)
                size += len(piece)
                if size > MAX_ROW:
                    raise Unreadable(number + 1, "the line is longer than 64 MiB; is this a log with one conversation per line?")
                continue
            # A finished line is held too: its end may be the first half of one that falls between two pieces.
            whole = b"".join([*held, piece])
            found = whole.splitlines(keepends=True)
            last = found.pop()
            for line in found:
                number += 1
                yield number, line.rstrip(b"\r\n")
            held, size = [last], len(last)
    except EOFError as error:
        raise Unreadable(number + 1, f"the gzip file is cut short or damaged ({error}); copy or download it again") from error
    rest = b"".join(held)
    if rest:
        yield number + 1, rest.rstrip(b"\r\n")


def text_lines(path: Path) -> Iterator[str]:
    r"""Give the lines as text ending in ``\n``; bytes that are not UTF-8 become surrogates, for the caller to find."""
    for _, data in lines(path):
        yield data.decode("utf-8", "surrogateescape") + "\n"


def records(path: Path) -> Iterator[Record | BadRow]:
    """Read JSON Lines, a JSON array, or an object that wraps a list of conversations, without loading the file.

    Args:
        path: The file, plain or gzip.

    Yields:
        Each value with its place, or what is wrong with that line.

    Raises:
        TranscriptError: As ``chunks``.
        Unreadable: If the rest of the file makes no sense.
    """
    if _is_document(path):
        yield from _document(path)
        return
    for number, data in lines(path):
        if not data.strip():
            continue
        where = f"{path}:{number}"
        try:
            value = loads(data)
        except Broken as error:
            yield BadRow(where, str(error))
            continue
        inside = _unwrap(value)
        if inside is value:
            yield Record(where, value)
        else:
            yield from (Record(f"{where} (item {n})", item) for n, item in enumerate(inside, 1))


def loads(data: bytes) -> Any:
    """Decode one JSON value, fast, and with a readable fault.

    Args:
        data: UTF-8 bytes.

    Returns:
        The value; lone surrogates are kept for ``fields.clean`` to mend.

    Raises:
        Broken: If it is not UTF-8, not JSON, or nested too deeply.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        pass  # the slow reader below accepts lone surrogates and has better messages
    try:
        return _DECODER.decode(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise Broken(f"not UTF-8 (byte {error.start + 1} of the line); save the file as UTF-8") from error
    except json.JSONDecodeError as error:
        raise Broken(f"not JSON: {error.msg} at column {error.colno}; each line must be one complete object") from error
    except RecursionError as error:
        raise Broken("not a conversation: nested too deeply") from error
    except ValueError as error:
        raise Broken(f"not JSON: {error}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _unwrap(value: Any) -> Any:
    """Return the list inside a page of results, or the value itself when there is none."""
    inner = value
    for _ in range(3):
        if not isinstance(inner, dict) or _OWN_KEYS & inner.keys():
            return value
        inner = next((inner[key] for key in WRAPPERS if isinstance(inner.get(key), (list, dict))), None)
        if isinstance(inner, list):
            return inner
    return value


def _is_document(path: Path) -> bool:
    """Tell a JSON document from JSON Lines by its first line."""
    held = b""
    try:
        for piece in chunks(path):
            held = (held + piece).lstrip()
            if held.startswith(b"[") or b"\n" in held or b"\r" in held or len(held) > MAX_FIRST_LINE:
                break
    except EOFError:
        return False
    if held.startswith(b"["):
        return True
    first = held.splitlines()[0].rstrip() if held else b""
    if len(first) > MAX_FIRST_LINE:
        return True
    try:
        loads(first)
    except Broken:
        return first.endswith((b"{", b"[", b",", b":"))
    return False


def _document(path: Path) -> Iterator[Record]:
    reader = _Reader(path)
    while char := reader.peek():
        if char == "[":
            yield from _array(path, reader)
        elif char == "{":
            yield from _object(path, reader)
        else:
            raise Unreadable(reader.line, f"not JSON: {char!r} where an object should begin")


def _array(path: Path, reader: _Reader) -> Iterator[Record]:
    reader.take("[")
    number = 0
    while reader.peek() != "]":
        number += 1
        line = reader.line
        yield Record(f"{path}:{line} (item {number})", reader.value())
        if reader.peek() != "]":
            reader.take(",")
    reader.take("]")


def _object(path: Path, reader: _Reader) -> Iterator[Record]:
    line, wrapped, fields = reader.line, False, {}
    reader.take("{")
    while reader.peek() != "}":
        key = reader.value()
        reader.take(":")
        if key in WRAPPERS and reader.peek() == "[":
            wrapped = True
            yield from _array(path, reader)
        else:
            fields[key if isinstance(key, str) else ""] = reader.value()
        if reader.peek() != "}":
            reader.take(",")
    reader.take("}")
    if wrapped:
        return
    inside = _unwrap(fields)
    if inside is fields:
        yield Record(f"{path}:{line}", fields)
    else:
        yield from (Record(f"{path}:{line} (item {n})", item) for n, item in enumerate(inside, 1))


class _Reader:
    """A JSON document's text with a cursor; holds one value and one piece at a time."""

    def __init__(self, path: Path) -> None:
        self.line = 1
        self._pieces = chunks(path)
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0

    def peek(self) -> str:
        """Skip white space; return the next character, or nothing at the end."""
        while True:
            end = len(self._text)
            at = self._at
            while at < end and self._text[at] in " \t\r\n":
                at += 1
            self._move(at)
            if at < end:
                return self._text[at]
            if not self._more(1):
                return ""

    def take(self, char: str) -> None:
        """Pass over one expected character."""
        found = self.peek()
        if found != char:
            what = f"{found!r} where {char!r} should stand" if found else "the file ends too early; export it again"
            raise Unreadable(self.line, f"not JSON: {what}")
        self._at += 1

    def value(self) -> Any:
        """Decode the next value, reading on only while it is incomplete."""
        if not self.peek():
            raise Unreadable(self.line, "not JSON: the file ends too early; export it again")
        wanted = CHUNK
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise Unreadable(self.line, "not a conversation: nested too deeply") from error
            except json.JSONDecodeError as error:
                # A value that is merely cut off fails at the end of what has been read, or inside an open string.
                cut = error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - 16
                if cut and len(self._text) - self._at > MAX_ROW:
                    raise Unreadable(self.line, "one value is longer than 64 MiB; is this a log?") from error
                if not cut or not self._more(wanted):
                    line = self.line + self._text.count("\n", self._at, error.pos)
                    raise Unreadable(line, f"not JSON: {error.msg}; the rest of the file was left") from error
                wanted *= 2
            except ValueError as error:
                raise Unreadable(self.line, f"not JSON: {error}") from error
            else:
                if end == len(self._text) and self._more(1):
                    continue  # a number may go on in the next piece
                self._move(end)
                return value

    def _move(self, to: int) -> None:
        self.line += self._text.count("\n", self._at, to)
        self._at = to

    def _more(self, wanted: int) -> bool:
        """Read at least ``wanted`` further characters if there are any; drop what lies behind the cursor."""
        parts, size = [self._text[self._at :]], 0
        try:
            for piece in self._pieces:
                parts.append(self._decoder.decode(piece))
                size += len(parts[-1])
                if size >= wanted:
                    break
            else:
                self._decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line = self.line + sum(part.count("\n") for part in parts) + error.object[: error.start].count(b"\n")
            raise Unreadable(line, "not UTF-8; save the file as UTF-8") from error
        except EOFError as error:
            raise Unreadable(self.line, f"the gzip file is cut short or damaged ({error}); copy or download it again") from error
        self._text, self._at = "".join(parts), 0
        return size > 0
