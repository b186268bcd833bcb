"""The PDF: a page that can be read and searched in both languages, nothing fetched, and a mend named for what is missing."""

from __future__ import annotations

import builtins
import re
import subprocess
import sys
from collections.abc import Iterable
from datetime import datetime, timedelta
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from assistant.errors import DeskhandError
from assistant.monitor import report_pdf
from assistant.monitor.events import Event
from assistant.monitor.report import build, render
from assistant.monitor.report_records import Period
from assistant.monitor.report_text import CHINESE

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.fixture(scope="module")
def weasyprint() -> ModuleType:
    try:
        import weasyprint
    except (ModuleNotFoundError, OSError) as error:
        pytest.skip(f"WeasyPrint cannot be loaded: {error}")
    return weasyprint


def read(written: bytes) -> list[str]:
    """Return the text of each page."""
    import pypdfium2

    document = pypdfium2.PdfDocument(written)
    try:
        return [page.get_textpage().get_text_range() for page in document]
    finally:
        document.close()


def test_the_report_in_chinese_is_a_pdf_whose_words_can_be_searched(weasyprint: ModuleType) -> None:
    if not report_pdf._has_chinese_font():
        pytest.skip(f"no font for Chinese; {report_pdf.CHINESE_FONTS}")
    day = Period(datetime(2027, 3, 1, tzinfo=SHANGHAI), datetime(2027, 3, 2, tzinfo=SHANGHAI))
    events = [Event(f"m{n}", f"c{n}", day.since + timedelta(minutes=9 * n), "物流", "zh", negative=n % 2) for n in range(60)]

    def told(ids: Iterable[str]) -> dict[str, str]:
        return {id: "包裹还没到" for id in ids if id == "m1"}

    data = build(day, events, [], [], texts=told, zone=SHANGHAI, made_at=day.until, company="光明家居")
    written = render(data, "pdf", "zh")
    assert written.startswith(b"%PDF-")
    text = "".join(read(written))
    for said in ("光明家居", CHINESE["moves"], "物流", "2027-03-01", "50.0%"):
        assert said in text


def test_long_pages_break_into_numbered_sheets(weasyprint: ModuleType) -> None:
    style = "<style>@page { size: A4; @bottom-right { content: counter(page) '/' counter(pages) } }</style>"
    sheets = read(report_pdf.pdf(style + "<p>line</p>" * 120, "en"))
    assert len(sheets) > 1
    assert f"{len(sheets)}/{len(sheets)}" in sheets[-1]


def test_nothing_is_fetched_from_the_network_or_the_disk(weasyprint: ModuleType, tmp_path: Any) -> None:
    secret = tmp_path / "secret.css"
    secret.write_text("p { display: none }")
    page = f'<link rel="stylesheet" href="{secret.as_uri()}"><img src="http://127.0.0.1:9/x.png" alt="nothing"><p>kept</p>'
    assert "kept" in read(report_pdf.pdf(page, "en"))[0]


def test_a_missing_system_library_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary = builtins.__import__

    def broken(name: str, *rest: Any, **more: Any) -> Any:
        if name == "weasyprint":
            raise OSError("cannot load library 'libpango-1.0-0'")
        return ordinary(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", broken)
    with pytest.raises(DeskhandError, match=re.escape(report_pdf.PANGO)):
        report_pdf.pdf("<p>x</p>", "en")


def test_a_missing_package_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    with pytest.raises(DeskhandError, match="pip install weasyprint"):
        report_pdf.pdf("<p>x</p>", "en")


def test_a_chinese_page_without_a_chinese_font_is_refused_and_a_quote_only_told(
    weasyprint: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(report_pdf.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(report_pdf.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 0, b"", b""))
    with pytest.raises(DeskhandError, match="fonts-noto-cjk"):
        report_pdf.pdf("<p>报告</p>", "zh")
    assert report_pdf.pdf("<p>one customer wrote 还没到</p>", "en").startswith(b"%PDF-")
    assert "fonts-noto-cjk" in caplog.text
