"""Help articles and answer templates -> records.

Knows Markdown with front matter, HTML, PDF, DOCX and JSON Lines, told apart by content. Does not know sections or passages:
`retrieval.passages` cuts the bodies. PDF, DOCX and HTML go through single converters of markitdown, without its front door,
so that no plugin, program, model or network is ever called.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from assistant.errors import TranscriptError
from assistant.formats.fields import clean, label, language, text_of
from assistant.formats.rows import BadRow, Broken, Record, Unreadable, chunks, records
from assistant.formats.sniff import ArticleForm, article_form, discover
from assistant.records import Article, Template

_MAX_FILE = 64 << 20
_MAX_UNPACKED = 256 << 20
_MAX_FRONT_MATTER = 64 << 10
_MAX_TEXT = 4 << 20
_CHROME = ("script", "style", "noscript", "template", "nav", "header", "footer", "aside", "form", "iframe", "svg", "button")
_FENCE = re.compile(r"\s{0,3}(```|~~~)")
_ATX = re.compile(r"\s{0,3}#{1,6}[ \t]+(.+?)[ \t]*#*\s*")
_DATA_IMAGE = re.compile(r"!\[[^\]]*\]\(data:[^)]*\)")


def read_articles(path: Path) -> Iterator[Article]:
    """Read a help article, a JSONL file of articles, or all articles in a folder.

    Args:
        path: A file or a folder. ``discover`` says what a folder leaves out.

    Yields:
        Articles with Markdown bodies. An id is the path without its ending, relative to the folder.

    Raises:
        TranscriptError: If a file is damaged, encrypted, empty, or not UTF-8; names the file and the mend.
    """
    if not path.is_dir():
        if not path.exists():
            raise TranscriptError(f"{path}: no such file or folder; check the path")
        yield from _read_file(path, _stem(path.name))
        return
    taken: set[str] = set()
    for file in discover(path).files:
        if file.kind != "article":
            continue
        name = file.path.relative_to(path).as_posix()
        id = _stem(name) if _stem(name) not in taken else name  # the same page as .md and .pdf
        taken.add(id)
        yield from _read_file(file.path, id)


def read_templates(path: Path) -> Iterator[Template]:
    """Read answer templates, one JSON object per line.

    Args:
        path: JSONL of ``intent``, ``lang``, ``text`` and optionally ``ask``, ``required_slots``, ``title``.

    Yields:
        Templates in the file's order.

    Raises:
        TranscriptError: At the first row that cannot be used, with ``file:line``.
    """
    for where, row in _objects(path):
        try:
            slots = row.get("required_slots") or []
            if not isinstance(slots, list) or not all(isinstance(slot, str) for slot in slots):
                raise Broken("required_slots is not a list of texts")
            names = {name: text_of(row.get(name), name, _MAX_TEXT).strip() for name in ("intent", "lang", "text")}
            if empty := [name for name, value in names.items() if not value]:
                raise Broken(f"{', '.join(empty)} is empty")
            ask = text_of(row.get("ask") or "", "ask", _MAX_TEXT)
            title = text_of(row.get("title") or "", "title", _MAX_TEXT)
            lang = language(names["lang"]) or ""
            yield Template(names["intent"], lang, names["text"], ask, tuple(slots), title)
        except Broken as error:
            raise TranscriptError(f"{where}: {error}") from error


def _read_file(path: Path, id: str) -> Iterator[Article]:
    form = article_form(path)
    if form is None:
        raise TranscriptError(f"{path}: no article; expected Markdown, HTML, PDF, DOCX or JSONL with title and body")
    if form == "jsonl":
        yield from _jsonl(path, id)
        return
    if path.stat().st_size > _MAX_FILE:
        raise TranscriptError(f"{path}: larger than 64 MiB; split it into articles")
    if form == "markdown":
        yield _markdown(path, id)
    elif form == "html":
        yield _html(path, id)
    else:
        yield _converted(path, id, form)


def _jsonl(path: Path, stem: str) -> Iterator[Article]:
    for where, row in _objects(path):
        try:
            title = text_of(row.get("title"), "title", 1000).strip()
            body = text_of(row["body"] if "body" in row else row.get("text"), "body", _MAX_TEXT).strip()
            if not title or not body:
                raise Broken(f"{'body' if title else 'title'} is empty")
            lang = language(row.get("lang"))
            digest = hashlib.sha256(f"{lang}\0{title}\0{body}".encode()).hexdigest()[:12]
            given = label(row.get("id"), "id")
            intent, url = label(row.get("intent"), "intent"), label(row.get("url"), "url")
            yield Article(given or f"{stem}/{digest}", title, body, where, lang, intent, url)
        except Broken as error:
            raise TranscriptError(f"{where}: {error}") from error


def _objects(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        for row in records(path):
            if isinstance(row, BadRow):
                raise TranscriptError(f"{row.where}: {row.why}")
            if not isinstance(row, Record) or not isinstance(row.value, dict):
                raise TranscriptError(f"{row.where}: not an object; write one JSON object per line")
            yield row.where, row.value
    except Unreadable as error:
        raise TranscriptError(f"{path}:{error.line}: {error.why}") from error


def _text(path: Path) -> str:
    try:
        data = b"".join(chunks(path))
        return clean(data.decode("utf-8").replace("\r\n", "\n").replace("\r", "\n"), _MAX_TEXT)
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise TranscriptError(f"{path}:{line}: not UTF-8; save the file as UTF-8") from error
    except EOFError as error:
        raise TranscriptError(f"{path}: the gzip file is cut short or damaged; copy or download it again") from error


def _markdown(path: Path, id: str) -> Article:
    text = _text(path)
    about: Mapping[str, Any] = {}
    if text.startswith("---\n"):
        end = re.search(r"^(---|\.\.\.)[ \t]*$", text[4:], re.MULTILINE)
        if end is not None and end.start() <= _MAX_FRONT_MATTER:
            about = _front_matter(path, text[4 : 4 + end.start()])
            text = text[4 + end.end() :]
    body = text.strip()
    if not body:
        raise TranscriptError(f"{path}:1: the article is empty; write a body, or remove the file")
    try:
        title = label(about.get("title"), "title") or _heading(body) or _name(path)
        lang, intent, url = language(about.get("lang")), label(about.get("intent"), "intent"), label(about.get("url"), "url")
    except Broken as error:
        raise TranscriptError(f"{path}:1: front matter: {error}") from error
    return Article(id, title, body, f"{path}:1", lang, intent, url)


def _front_matter(path: Path, block: str) -> Mapping[str, Any]:
    import yaml

    try:
        read = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = 2 + (mark.line if mark else 0)
        why = getattr(error, "problem", None) or "it cannot be read"
        raise TranscriptError(f"{path}:{line}: front matter is not YAML ({why}); quote values with a colon") from error
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise TranscriptError(f"{path}:2: front matter is not a list of 'key: value' lines")
    # YAML reads a bare `no` (the language) as false; it is meant as a word.
    return {**read, "lang": "no" if read.get("lang") is False else read.get("lang")}


def _html(path: Path, id: str) -> Article:
    import bs4

    try:
        with _quiet():
            soup = bs4.BeautifulSoup(_text(path), "html.parser")
        page = soup.title.get_text(strip=True) if soup.title else ""
        lang = language(str(soup.html.get("lang") or "") if soup.html else None)
        address = soup.find("link", rel="canonical")
        url = str(address.get("href") or "") if isinstance(address, bs4.Tag) else ""
        main = soup.find("main") or soup.find(role="main") or soup.find("article") or soup.body or soup
        heading = main.find("h1") if isinstance(main, bs4.Tag) else None  # may stand in a header that is dropped
        title = heading.get_text(" ", strip=True) if isinstance(heading, bs4.Tag) else page
        if isinstance(main, bs4.Tag):
            for tag in main.find_all(_CHROME):
                tag.decompose()
        body = _through("html", str(main).encode("utf-8", "replace"))
    except (RecursionError, Broken) as error:
        raise TranscriptError(f"{path}: the page cannot be read ({error}); save it as Markdown") from error
    if not body:
        raise TranscriptError(f"{path}: the page holds no text; save it as it is shown in the browser")
    return Article(id, title or _heading(body) or _name(path), body, f"{path}:1", lang, None, url or None)


def _converted(path: Path, id: str, form: ArticleForm) -> Article:
    data = path.read_bytes()
    mend = "open it in its program and save it again"
    try:
        if form == "docx":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > _MAX_UNPACKED:
                    raise TranscriptError(f"{path}: unpacks to more than 256 MiB; remove its pictures")
        body = _through(form, data)
    except TranscriptError:
        raise
    except Exception as error:  # the parsers raise whatever a damaged file makes them raise
        names = {type(cause).__name__ for cause in _causes(error)}
        if names & {"PDFPasswordIncorrect", "PDFEncryptionError"} or (form == "pdf" and b"/Encrypt" in data):
            raise TranscriptError(f"{path}: the {form.upper()} is encrypted; save it without a password") from error
        reason = next((str(cause) for cause in _causes(error) if str(cause)), type(error).__name__)[:200]
        raise TranscriptError(f"{path}: the {form.upper()} is damaged ({reason}); {mend}") from error
    if not body:
        why = "is it a scan? run text recognition over it first" if form == "pdf" else mend
        raise TranscriptError(f"{path}: the {form.upper()} holds no text; {why}")
    title = _heading(body) or (_first_line(body) if form == "pdf" else None) or _name(path)
    return Article(id, title, body, f"{path}:1")


def _through(form: str, data: bytes) -> str:
    """Convert to Markdown with exactly one of markitdown's converters."""
    with _quiet():
        from markitdown import StreamInfo
        from markitdown.converters import DocxConverter, HtmlConverter, PdfConverter

        converter = {"pdf": PdfConverter, "docx": DocxConverter, "html": HtmlConverter}[form]()
        info = StreamInfo(extension=f".{form}", charset="utf-8" if form == "html" else None)
        markdown = str(converter.convert(io.BytesIO(data), info).markdown)
    markdown = _DATA_IMAGE.sub("", markdown).replace("\r\n", "\n").replace("\f", "\n\n")
    return clean(re.sub(r"\n{3,}", "\n\n", markdown), _MAX_TEXT).strip()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the parsers' warnings and log lines about odd files away from the user."""
    logger = logging.getLogger("pdfminer")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _causes(error: BaseException) -> Iterator[BaseException]:
    at: BaseException | None = error
    for _ in range(8):
        if at is None:
            return
        yield at
        nested = next((arg for arg in at.args if isinstance(arg, BaseException)), None)
        at = nested or at.__cause__ or at.__context__


def _heading(body: str) -> str | None:
    """Return the first Markdown heading outside of code, without its marks."""
    fenced = False
    previous = ""
    for line in body.split("\n"):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            if found := _ATX.fullmatch(line):
                return found[1].strip("*_ ") or None
            if previous.strip() and re.fullmatch(r"(=+|-{3,})\s*", line):
                return previous.strip("*_ ")
        previous = "" if fenced else line
    return None


def _first_line(body: str) -> str | None:
    line = body.split("\n", 1)[0].strip()
    return line if 0 < len(line) <= 100 and not line.startswith("|") and not line.endswith((".", ",", ";")) else None


def _name(path: Path) -> str:
    words = re.sub(r"[-_]+", " ", _stem(path.name)).strip()
    return words[:1].upper() + words[1:]


def _stem(name: str) -> str:
    return re.sub(r"(?<=[^/])\.[^./]+$", "", name.removesuffix(".gz"))
