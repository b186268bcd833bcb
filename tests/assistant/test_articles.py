"""Help articles keep their headings and titles in every format; a file that cannot be read says why."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from assistant.articles import read_articles, read_templates
from assistant.errors import TranscriptError
from assistant.records import Article, Template

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"


def one(path: Path) -> Article:
    [article] = read_articles(path)
    return article


def write_pdf(path: Path, *lines: str, trailer: str = "") -> Path:
    """Write a one-page PDF by hand."""
    drawn = "BT /F1 12 Tf 72 720 Td 16 TL " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n"
    start = len(out)
    out += "xref\n0 6\n0000000000 65535 f \n" + "".join(f"{place:010d} 00000 n \n" for place in places)
    out += f"trailer\n<< /Size 6 /Root 1 0 R {trailer}>>\nstartxref\n{start}\n%%EOF\n"
    path.write_bytes(out.encode("latin-1"))
    return path


def write_docx(path: Path, *paragraphs: tuple[str, str]) -> Path:
    """Write the least that counts as DOCX; a paragraph is a style name and a text."""
    body = "".join(
        f'<w:p><w:pPr><w:pStyle w:val="{style}"/></w:pPr><w:r><w:t>{text}</w:t></w:r></w:p>' for style, text in paragraphs
    )
    kind = "application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"
    types = "http://schemas.openxmlformats.org/package/2006/content-types"
    relations = "http://schemas.openxmlformats.org/package/2006/relationships"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{types}"><Default Extension="rels" ContentType="application/xml"/>'
            f'<Override PartName="/word/document.xml" ContentType="{kind}"/></Types>',
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{relations}">'
            f'<Relationship Id="r" Type="{office}" Target="word/document.xml"/></Relationships>',
        )
        archive.writestr("word/document.xml", f'<w:document xmlns:w="{W}"><w:body>{body}</w:body></w:document>')
        archive.writestr(
            "word/styles.xml",
            f'<w:styles xmlns:w="{W}"><w:style w:type="paragraph" w:styleId="Heading1">'
            '<w:name w:val="heading 1"/></w:style></w:styles>',
        )
    return path


def test_markdown_front_matter_is_read_and_taken_off(tmp_path: Path) -> None:
    file = tmp_path / "returns.md"
    file.write_text("\ufeff---\nlang: en-GB\nintent: return_item\nurl: https://x.example/r\n---\n# Returns\n\nIn **30** days.\n")
    assert one(file) == Article(
        "returns", "Returns", "# Returns\n\nIn **30** days.", f"{file}:1", "en", "return_item", "https://x.example/r"
    )


def test_a_title_comes_from_front_matter_then_heading_then_file_name(tmp_path: Path) -> None:
    file = tmp_path / "how-to_return.md"
    for text, title in (
        ("---\ntitle: Given\n---\n# Head\n", "Given"),
        ("```\n# code\n```\n## Head ##\n", "Head"),
        ("Under\n=====\ntext", "Under"),
        ("just text", "How to return"),
    ):
        file.write_text(text)
        assert one(file).title == title


def test_html_keeps_the_main_content_only(tmp_path: Path) -> None:
    page = """<!DOCTYPE html><html lang="de"><head><title>Shop | Hilfe</title><script>var secret = 1</script>
    <link rel="canonical" href="https://x.example/hilfe"></head><body><nav>Start Warenkorb</nav><main><h1>Rückgabe</h1>
    <h2>Frist</h2><p>Bis zu <b>30</b> Tage, siehe <a href="https://x.example/f">Formular</a>.</p><script>alert(1)</script></main>
    <footer>Impressum</footer></body></html>"""
    (tmp_path / "p").write_text(page, encoding="utf-8")
    got = one(tmp_path / "p")
    assert (got.title, got.lang, got.url) == ("Rückgabe", "de", "https://x.example/hilfe")
    assert "## Frist" in got.body and "[Formular](https://x.example/f)" in got.body
    assert not any(word in got.body for word in ("Warenkorb", "Impressum", "alert", "secret"))


def test_pdf_and_docx_become_markdown(tmp_path: Path) -> None:
    pdf = one(write_pdf(tmp_path / "warranty", "Warranty terms", "The lamp is covered for 24 months."))
    assert pdf.title == "Warranty terms" and "24 months" in pdf.body
    docx = one(write_docx(tmp_path / "care", ("Heading1", "Care of the lamp"), ("Normal", "Wipe it with a dry cloth.")))
    assert (docx.title, docx.body) == ("Care of the lamp", "# Care of the lamp\n\nWipe it with a dry cloth.")


def test_jsonl_articles_keep_ids_and_get_stable_ones(tmp_path: Path) -> None:
    rows = [{"id": "a", "title": "T", "body": "# T\nx", "lang": "en"}, {"title": "U", "text": "y", "url": "https://x.example"}]
    file = tmp_path / "faq.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    first, second = read_articles(file)
    assert (first.id, first.where, second.body, second.url) == ("a", f"{file}:1", "y", "https://x.example")
    assert second.id.startswith("faq/") and second.id == list(read_articles(file))[1].id


def test_a_folder_names_articles_by_their_path(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en/a.md").write_text("# A\nx")
    (tmp_path / "a.md").write_text("# A\nx")
    (tmp_path / "a.html").write_text("<html><body><p>x</p></body></html>")
    (tmp_path / "README.md").write_text("# About\nx")
    assert [article.id for article in read_articles(tmp_path)] == ["a", "a.md", "en/a"]


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"%PDF-1.4\n%%EOF", "PDF is damaged|PDF holds no text"),
        (b"%PDF-1.4\n" + b"\x00\xff" * 500, "PDF is damaged|PDF holds no text"),
        (b"PK\x03\x04broken", "DOCX is damaged|no article"),
        (b"", "empty"),
        (b"---\ntitle: x\n---\n", "empty"),
        (b"# T\n\ncaf\xe9", r":3: not UTF-8; save the file as UTF-8"),
        (b"---\ntitle: [x\n---\n# T", r":\d: front matter is not YAML"),
        (b"---\n- a\n---\n# T", "front matter is not a list of"),
        (b"---\ntitle: {a: 1}\n---\n# T", "title is an object"),
        (b"<html><body><nav>only</nav></body></html>", "holds no text"),
        (b'{"title": "x", "body": 5}\n', r":1: body is a number"),
        (b'{"title": "x", "body": "y"}\n{"title"', r":2: not JSON"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path, data: bytes, why: str) -> None:
    file = tmp_path / "bad.docx"
    file.write_bytes(data)
    with pytest.raises(TranscriptError, match=why) as caught:
        list(read_articles(file))
    assert str(caught.value).startswith(str(file))


def test_an_encrypted_pdf_and_a_scan_say_so(tmp_path: Path) -> None:
    key = "41" * 32
    locked = f"/Encrypt << /Filter /Standard /V 1 /R 2 /O <{key}> /U <{key}> /P -4 >> /ID [<00> <00>] "
    with pytest.raises(TranscriptError, match="encrypted; save it without a password"):
        one(write_pdf(tmp_path / "locked.pdf", "x", trailer=locked))
    with pytest.raises(TranscriptError, match="holds no text; is it a scan"):
        one(write_pdf(tmp_path / "scan.pdf"))


def test_deeply_nested_html_is_still_an_article(tmp_path: Path) -> None:
    (tmp_path / "deep").write_text("<html><body>" + "<div>" * 5_000 + "deep</body></html>")
    assert one(tmp_path / "deep").body == "deep"


def test_templates_are_read_and_a_bad_one_is_named_by_its_line(tmp_path: Path) -> None:
    file = tmp_path / "t.jsonl"
    good = {"intent": "track", "lang": "en", "text": "It is {status}.", "ask": "Which order?", "required_slots": ["order_number"]}
    file.write_text(json.dumps(good) + "\n")
    assert list(read_templates(file)) == [Template("track", "en", "It is {status}.", "Which order?", ("order_number",), "")]
    for bad, why in (
        ({**good, "text": 3}, "text is a number"),
        ({**good, "required_slots": "x"}, "not a list"),
        ({**good, "lang": " "}, "lang is empty"),
    ):
        file.write_text(json.dumps(good) + "\n" + json.dumps(bad))
        with pytest.raises(TranscriptError, match=rf"t.jsonl:2: .*{why}"):
            list(read_templates(file))
