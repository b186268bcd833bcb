"""HTML message bodies -> plain text, as mail and chat tools store them.

Knows block tags, links and entities; does not know pages (``articles`` does). Scripts and styles are dropped.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser

_BLOCKS = frozenset({"p", "div", "br", "li", "ul", "ol", "tr", "table", "blockquote", "pre", "h1", "h2", "h3", "h4", "h5", "h6"})
_SILENT = frozenset({"script", "style", "head", "title", "template"})
_TAG = re.compile(r"<[a-zA-Z/!][^>]*>|&[#a-zA-Z]\w*;")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._silent = 0
        self._link = ""
        self._link_start = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SILENT:
            self._silent += 1
        elif tag in _BLOCKS:
            self.parts.append("\n- " if tag == "li" else "\n")
        elif tag == "a":
            self._link, self._link_start = dict(attrs).get("href") or "", len(self.parts)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in _SILENT:
            self._silent = max(0, self._silent - 1)
        elif tag in _BLOCKS and tag not in ("br", "li"):
            self.parts.append("\n")
        elif tag == "a" and self._link:
            # A reply may only name links that stand in its evidence, so the address must survive.
            shown = "".join(self.parts[self._link_start :])
            if self._link.startswith(("http://", "https://")) and self._link not in shown:
                self.parts.append(f" ({self._link})")
            self._link = ""

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.parts.append(re.sub(r"\s+", " ", data))


def plain(body: str) -> str:
    """Turn an HTML body into text with one line per block.

    Args:
        body: HTML, or text without tags, which comes back as it is.

    Returns:
        The text, stripped; the address of a link follows its words in brackets.
    """
    if not _TAG.search(body):
        return body.strip()
    parser = _Text()
    parser.feed(body)
    parser.close()
    text = re.sub(r"[ \t\xa0]*\n[ \t\xa0]*", "\n", "".join(parser.parts))
    return re.sub(r"\n{3,}", "\n\n", text).strip()
