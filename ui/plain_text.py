"""Plain text at the web doors: mended on the way in, cut into readable pieces on the way out.

Knows nothing of HTTP, HTML or the assistant.
"""

from __future__ import annotations

import re

_HAN = r"\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uffef"
_PIECES = re.compile(rf"\s*(?:[{_HAN}]{{1,2}}|[^\s{_HAN}]+)|\s+$")


def mend(text: str) -> str:
    """Replace what UTF-8 cannot say, so that it can be stored and sent back.

    Args:
        text: Anything a browser or client sent, lone surrogates included.

    Returns:
        The same text with a question mark for each lone surrogate, and without NUL, which no database keeps.
    """
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "")


def pieces(text: str) -> list[str]:
    """Cut a reply into the pieces in which it is streamed: words, or one to two Chinese characters.

    Args:
        text: The whole reply.

    Returns:
        Pieces that join to exactly the text; none for an empty one.
    """
    return _PIECES.findall(text)
