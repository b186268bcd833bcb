"""A report's HTML page -> a PDF, set by WeasyPrint: the same page, the same words, plots that stay vectors.

Chosen over fpdf2 and xhtml2pdf because it alone lays out the page's own CSS (grid, print rules, inline SVG) and takes Chinese
from the system's fonts; its price is Pango, a system library that pip cannot bring. Nothing is fetched: the page stands alone.
Knows nothing of reports. Before: ``report``.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from typing import Any

from assistant.errors import DeskhandError

PANGO = "apt-get install libpango-1.0-0 libpangoft2-1.0-0"
CHINESE_FONTS = "apt-get install fonts-noto-cjk"
_HAN = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]")
_LOG = logging.getLogger(__name__)


def pdf(page: str, lang: str) -> bytes:
    """Set a page as PDF.

    Args:
        page: A whole HTML document that needs nothing from elsewhere.
        lang: Its language; a Chinese page is refused where no font could show it.

    Returns:
        The file's bytes.

    Raises:
        DeskhandError: If WeasyPrint, its system library or a font for Chinese is missing, naming the mend.
    """
    weasyprint = _weasyprint()
    if _HAN.search(page) and not _has_chinese_font():
        if lang == "zh":
            raise DeskhandError(f"no font on this machine has Chinese characters, the PDF would show boxes; {CHINESE_FONTS}")
        _LOG.warning("no font on this machine has Chinese characters: those in the PDF show as boxes; %s", CHINESE_FONTS)
    # Nothing is fetched, whatever a page may name: no protocol is allowed.
    nothing = weasyprint.urls.URLFetcher(allowed_protocols=())
    document = weasyprint.HTML(string=page, base_url=None, url_fetcher=nothing)
    written: bytes = document.write_pdf()
    return written


def _weasyprint() -> Any:
    """Import WeasyPrint, which loads Pango at once."""
    try:
        import weasyprint
    except ModuleNotFoundError as error:
        raise DeskhandError("PDF needs WeasyPrint, which is not installed; pip install weasyprint, or take html") from error
    except OSError as error:
        raise DeskhandError(
            f"PDF needs the system library Pango, which cannot be loaded ({error}); {PANGO}, or take html"
        ) from error
    return weasyprint


def _has_chinese_font() -> bool:
    """Ask fontconfig, which Pango finds its fonts by; where it cannot be asked, assume the best."""
    asked = shutil.which("fc-list")
    if asked is None:
        return True
    try:
        answer = subprocess.run([asked, ":lang=zh", "family"], capture_output=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return True
    return answer.returncode != 0 or bool(answer.stdout.strip())
