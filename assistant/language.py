"""Which language a text is in, by script first and a trained identifier second; short messages keep the last one.

Knows nothing of conversations: the language before is passed in.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HANGUL = re.compile(r"[\uac00-\ud7af]")
_LETTER = re.compile(r"[^\W\d_]")
_PLACEHOLDER = re.compile(r"\[[A-Z]+_\d+\]|https?://\S+|\b[A-Z]{2,4}-?\d{4,}\b")
_OTHER_SCRIPTS = ("zh", "ja", "ko")
_ENOUGH_LETTERS = 12  # below this the identifier guesses Latin and Welsh for "ok thx"


def detect(text: str, before: str | None, languages: Sequence[str]) -> str:
    """Name the language of a message.

    Args:
        text: The message.
        before: The conversation's language so far, kept when the text is too short to tell.
        languages: The company's languages, ISO 639-1, first is the default.

    Returns:
        One of ``languages``: the nearest the company serves. Text in another language gives the first.
    """
    default = before if before is not None and before in languages else languages[0]
    by_script = _by_script(text)
    latin = [language for language in languages if language not in _OTHER_SCRIPTS]
    if by_script in ("und", *languages):
        return default if by_script == "und" else by_script
    if by_script == "latin":
        # One language of this script: no need to load the identifier (0.8 s of a cold start).
        found = latin[0] if len(latin) == 1 else identify(text)
        if found in languages:
            return found
    if before is not None and before in languages:
        return before
    return latin[0] if latin else languages[0]


def identify(text: str) -> str:
    """Name a text's language, ISO 639-1, or ``und`` where it gives no sign."""
    by_script = _by_script(text)
    return str(_identifier().classify(text[:2000])[0]) if by_script == "latin" else by_script


def _by_script(text: str) -> str:
    sample = _PLACEHOLDER.sub(" ", text[:2000])
    letters = len(_LETTER.findall(sample))
    if not letters:
        return "und"
    if _KANA.search(sample):
        return "ja"
    if _HANGUL.search(sample):
        return "ko"
    han = len(_HAN.findall(sample))
    # A Han character says as much as two or three Latin letters: "Vac 5 连不上" is Chinese.
    if han * 3 >= letters - han and han:
        return "zh"
    return "latin" if letters >= _ENOUGH_LETTERS else "und"


@lru_cache(maxsize=1)
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE)
