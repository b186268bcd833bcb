"""The page of a training run: what stands on it, in which order, and that customers' texts cannot harm its reader."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assistant.adapter_files import Manifest
from assistant.errors import TrainingError
from finetune.evaluate import classification_figures
from finetune.recipe import Progress
from finetune.run_page import RankedReply, RunRecord, SpanMistake, run_page, write_run_page
from finetune.run_tables import UNKNOWN_LABEL, Judged, class_rows, confusions, worst_mistakes

LABELS = ("refund", "order_status", "oos")


def record(rows: int = 60, wrong: int = 12) -> RunRecord:
    """A run of three labels, ``wrong`` of whose rows are taken for the next label, each less surely than the one before."""
    truth = np.arange(rows) % 3
    said = np.where(np.arange(rows) < wrong, (truth + 1) % 3, truth)
    chances = np.full((rows, 3), 0.02, dtype=np.float32)
    chances[np.arange(rows), said] = 0.96
    for row in range(wrong):
        chances[row] = (1 - (0.9 - 0.02 * row)) / 2
        chances[row, said[row]] = 0.9 - 0.02 * row
    manifest = Manifest(
        task="intent",
        version="2027-01-12-ab12cd",
        base_name="all-MiniLM-L6-v2",
        base_sha256="5e5e",
        method={"method": "lora", "rank": 8, "loss": {"smoothing": 0.1}},
        labels=LABELS,
        training_set={"sha256": "9f9f", "examples": 900},
        seed=7,
        code_version="0.1.0",
        scores={"validation_accuracy": 0.81},
        thresholds={"min_confidence": 0.55, "max_out_of_scope": 0.3},
        temperature=1.2,
        created_at="2027-01-12T03:14:00+01:00",
    )
    history = tuple(Progress(at, 3, 3 / at, 1 - 0.5 / at, 12.0) for at in (1, 2, 3))
    return RunRecord(manifest, history, tuple(f"message number {row}" for row in range(rows)), truth, chances)


def without_rows(task: str) -> RunRecord:
    run = record()
    return RunRecord(replace(run.manifest, task=task, labels=(), thresholds={}), run.history, ())


def told(run: RunRecord, **changes: Any) -> RunRecord:
    """A run with another manifest."""
    return replace(run, manifest=replace(run.manifest, **changes))


def judged(run: RunRecord) -> Judged:
    return Judged(run.manifest.labels, run.truth, run.chances, run.texts)


class Outline(HTMLParser):
    """Tags in order, their attributes, and ids."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))

    def values(self, name: str) -> list[str]:
        return [str(found[name]) for _, found in self.attributes if name in found]


def plain(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", page))


def test_an_intent_page_holds_every_section_and_the_figures_of_evaluate() -> None:
    run = record()
    page = run_page(run)
    for section in ("figures", "learning", "confidence", "scope", "labels", "confusions", "mistakes", "settings"):
        assert f'<h2 id="{section}">' in page
    figures = classification_figures(run.chances, run.truth, LABELS)
    assert f"{figures['accuracy']:.1%}" in page
    assert f"{figures['ece']:.3f}" in page
    assert "60 held-out messages were judged; 48 were labelled right, 12 wrong." in plain(page)
    assert "threshold 0.55:" in page
    assert "2027-01-12 02:14 UTC" in page
    assert "{&#34;smoothing&#34;: 0.1}" in page


def test_pictures_are_described_and_share_no_id_and_every_link_leads_somewhere() -> None:
    page = run_page(record())
    outline = Outline(page)
    pictures = [attributes for tag, attributes in outline.attributes if tag == "svg"]
    assert len(pictures) == 5
    assert all(one["role"] == "img" and one["aria-label"] for one in pictures)
    ids = outline.values("id")
    assert len(ids) == len(set(ids))
    for target in (*outline.values("href"), *outline.values("xlink:href"), *re.findall(r"url\((#[^)]+)\)", page)):
        assert target.startswith("#") and target[1:] in ids
    for svg in re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL):
        ET.fromstring(svg)
    assert outline.attributes[0] == ("html", {"lang": "en"})
    assert all("scope" in attributes for tag, attributes in outline.attributes if tag == "th")


def test_the_page_loads_nothing_from_elsewhere_and_lets_only_its_own_script_run() -> None:
    page = run_page(record())
    outline = Outline(page)
    assert not {"link", "img", "iframe", "object", "form"} & set(outline.tags)
    assert outline.tags.count("script") == 1
    assert not outline.values("src")
    assert "default-src 'none'" in page and "script-src 'sha256-" in page and "@import" not in page


def test_hostile_texts_and_labels_stand_on_the_page_as_text() -> None:
    run = record()
    evil = "<script>alert('x')</script>"
    texts = (evil, "\u202eright to left\x00", "A" * 10_000, "half a pair \ud800", "我的订单呢？", *run.texts[5:])
    labels = ('"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "oos")
    hostile = told(run, labels=labels, version=evil, method={evil: evil}, training_set={"n": "</style>" + evil})
    page = run_page(replace(hostile, texts=texts))
    page.encode("utf-8")
    outline = Outline(page)
    assert outline.tags.count("script") == 1
    assert "img" not in outline.tags
    assert "onerror" not in {name for _, attributes in outline.attributes for name in attributes}
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;" in page
    assert "{{ 7 * 7 }}" in page
    assert "A" * 321 not in page and "10,000 characters" in page
    assert "\x00" not in page and '<bdi lang="" dir="auto">\u202eright to left\ufffd</bdi>' in page
    assert "我的订单呢？" in page


def test_the_surest_mistakes_come_first_and_at_most_fifty() -> None:
    run = record(rows=90, wrong=12)
    mistakes = worst_mistakes(judged(run))
    confidences = [one.confidence for one in mistakes]
    assert len(mistakes) == 12
    assert confidences == sorted(confidences, reverse=True)
    assert (mistakes[0].text, mistakes[0].truth, mistakes[0].predicted) == ("message number 0", "refund", "order_status")
    assert mistakes[0].truth_chance == pytest.approx(0.05)
    listed = run_page(run).split('id="mistakes"')[1]
    places = [listed.index(f">message number {row}<") for row in range(12)]
    assert places == sorted(places)
    upside_down = replace(run, truth=(run.chances.argmax(1) + 1) % 3)
    page = run_page(upside_down)
    assert page.split('id="mistakes"')[1].count("<li>") == 50 and "The first 50 of 90." in page


def test_mixed_up_labels_are_counted_with_their_surest_example() -> None:
    run = record(rows=60, wrong=4)
    pairs = confusions(judged(run), worst_mistakes(judged(run)))
    assert [(one.truth, one.predicted, one.count) for one in pairs] == [
        ("refund", "order_status", 2),
        ("oos", "refund", 1),
        ("order_status", "oos", 1),
    ]
    assert pairs[0].share == pytest.approx(2 / 20)
    assert pairs[0].example == "message number 0"


def test_labels_are_listed_worst_first_and_those_that_never_occur_last() -> None:
    chances = np.eye(4, dtype=np.float32)[[0, 0, 1, 0]]
    rows = class_rows(Judged(("good", "weak", "missing", "never"), np.array([0, 0, 1, 2]), chances, ("",) * 4))
    assert [row.label for row in rows] == ["missing", "good", "weak", "never"]
    assert (rows[0].support, rows[0].precision, rows[0].recall, rows[0].f1) == (1, None, 0.0, 0.0)
    assert (rows[1].precision, rows[1].recall) == (pytest.approx(2 / 3), 1.0)
    assert rows[3].f1 is None


def test_a_label_that_the_version_does_not_know_counts_as_wrong_and_is_named() -> None:
    run = record(wrong=0)
    truth = run.truth.copy()
    truth[7] = -1
    page = run_page(replace(run, truth=truth))
    assert UNKNOWN_LABEL in page and "59 were labelled right, 1 wrong." in plain(page)
    assert "1 of the wrong ones have a label that this version does not know" in plain(page)


def test_the_same_record_gives_the_same_bytes_and_folders_are_made(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run_page(record(), tmp_path / name / "run.html")
    first, second = ((tmp_path / name / "run.html").read_bytes() for name in ("a", "b"))
    assert first == second
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["run.html"]


def test_a_run_without_mistakes_says_so() -> None:
    page = run_page(record(wrong=0))
    assert "None: everything that was judged is right." in page and "No label was taken for another." in page


def test_one_label_only_makes_a_page() -> None:
    run = record(rows=9, wrong=0)
    single = replace(run, truth=np.zeros(9, dtype=np.int64), chances=np.ones((9, 1), dtype=np.float32), history=run.history[:1])
    page = run_page(told(single, labels=("refund",)))
    assert "9 were labelled right, 0 wrong." in plain(page)
    assert '<h2 id="scope">' not in page


def test_rows_all_out_of_scope_or_none_at_all_make_a_page() -> None:
    run = record(rows=6, wrong=0)
    outside = run_page(replace(run, truth=np.full(6, 2, dtype=np.int64)))
    assert "No judged message is in scope." in outside and "<dt>Accuracy</dt>" not in outside
    page = run_page(replace(told(without_rows("intent"), scores={}), history=()))
    assert "No held-out message was judged." in page and "No epoch was recorded." in page


@pytest.mark.parametrize("losses", [(float("nan"), float("nan")), (2.0, float("inf"))])
def test_a_run_that_went_astray_still_has_its_page(losses: tuple[float, float]) -> None:
    history = tuple(Progress(at + 1, len(losses), loss, float("nan")) for at, loss in enumerate(losses))
    page = run_page(replace(record(), history=history))
    assert "No epoch has a score." in page


def test_several_seeds_are_drawn_as_several_lines() -> None:
    once = record()
    twice = replace(once, history=once.history + once.history)
    lines = [page.count("stroke: #3949c6; stroke-opacity: 0.65; stroke-width: 1.5") for page in map(run_page, (once, twice))]
    assert lines[0] == 0 and lines[1] >= 4


def test_a_slots_page_shows_what_was_missed_and_what_was_made_up() -> None:
    spans = (
        SpanMistake("my hoover broke", ((3, 9, "product"),), ((3, 9, "product"), (10, 15, "fault"))),
        SpanMistake("order AB-12 <b>", ((6, 11, "order_number"), (12, 15, "tag")), ()),
    )
    scores = {"validation_precision": 0.9, "validation_f1": 0.875}
    page = run_page(replace(told(without_rows("slots"), scores=scores), spans=spans, texts=("a", "b", "c")))
    said = plain(page)
    assert "2 of 3 judged texts" in said and "90.0%" in page and "0.875" in page
    assert said.index("order AB-12 &lt;b&gt;") < said.index("my hoover broke")
    assert "missedorder_number: AB-12" in said and "wrongfault: broke" in said and "foundproduct: hoover" in said
    assert '<h2 id="confidence">' not in page and '<h2 id="labels">' not in page
    assert "everything that was judged is right" in run_page(replace(without_rows("slots"), spans=()))


def test_a_dialog_page_shows_ranks_and_the_worst_choices_first() -> None:
    ranks = (
        RankedReply("where is it", "It left today.", "It left today.", 1),
        RankedReply("money back", "Done.", "Which order?", 2),
        RankedReply("broken", "Send it in.", "Goodbye.", 14),
    )
    page = run_page(replace(without_rows("dialog"), ranks=ranks))
    assert "<dt>Recall@1</dt>" in page and "33.3%" in page and "0.524" in page
    listed = page.split('id="mistakes"')[1]
    assert listed.index("Goodbye.") < listed.index("Which order?") and "It left today." not in listed
    with pytest.raises(TrainingError, match="rank below 1"):
        run_page(replace(without_rows("dialog"), ranks=(replace(ranks[0], rank=0),)))


def test_rows_that_do_not_fit_each_other_are_refused_and_leave_the_page_as_it_was(tmp_path: Path) -> None:
    run, page = record(), tmp_path / "run.html"
    page.write_text("before")
    for faulty, fault in (
        (replace(run, texts=run.texts[1:]), "59 texts for 60 rows"),
        (told(run, labels=LABELS[:2]), "60 rows of 2 labels"),
        (replace(run, truth=run.truth + 1), "truth beyond the 3 labels"),
    ):
        with pytest.raises(TrainingError, match=fault):
            write_run_page(faulty, page)
    assert page.read_text() == "before"
