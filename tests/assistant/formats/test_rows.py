"""Files are cut into lines and values the same way wherever the pieces end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.formats import rows
from assistant.formats.markup import plain
from assistant.transcripts import read_transcripts

TURNS = [{"role": "customer", "text": "Where is it?"}]


def test_html_bodies_lose_scripts_and_keep_words() -> None:
    assert plain("<p>a</p><script>alert(1)</script><style>p{}</style><p>b &lt;c&gt;</p>") == "a\n\nb <c>"
    assert plain("1 < 2 and 3 > 2") == "1 < 2 and 3 > 2"
    assert plain("<div>" * 20_000 + "deep") == "deep"


@settings(max_examples=200, deadline=None)
@given(st.text("ab \r\n", max_size=30), st.integers(1, 5))
def test_line_numbers_hold_wherever_a_file_is_cut_into_pieces(
    tmp_path_factory: pytest.TempPathFactory, text: str, size: int
) -> None:
    file = tmp_path_factory.mktemp("lines") / "x"
    file.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "CHUNK", size)
        assert list(rows.lines(file)) == list(enumerate(text.encode().splitlines(), 1))


@pytest.mark.parametrize("size", [1, 7, 64])
def test_documents_read_the_same_in_pieces_of_any_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(rows, "CHUNK", size)
    many = [{"turns": TURNS, "id": n, "extra": [1, 2.5, -3e5, True, None, 'é😀 "[,]{']} for n in range(4)]
    for document in (many, {"count": 12345, "tickets": many, "end": True}, {"data": {"payload": many}}):
        (tmp_path / "x").write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
        assert [got.id for got in read_transcripts(tmp_path / "x")] == ["0", "1", "2", "3"]
