"""The report's page and files: every part in both languages, and nothing a customer writes can harm them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from datetime import UTC, timedelta
from html.parser import HTMLParser
from string import Formatter
from zoneinfo import ZoneInfo

import pytest

from assistant.errors import UsageError
from assistant.monitor.report import page, render
from assistant.monitor.report_records import ReportData
from assistant.monitor.report_text import CHINESE, ENGLISH
from tests.assistant.monitor.test_report import MADE, WEEK, alert, full, message, messages, reply, report

HOSTILE = '<script>alert(1)</script><img src="https://evil.example/x.png" onerror=alert(2)>{{ 7*7 }}\x07"\'&'


class Outline(HTMLParser):
    """What stands on a page: its text, and every attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def data() -> ReportData:
    return full()


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_shows_every_part_in_both_languages(data: ReportData, lang: str) -> None:
    outline, words = Outline(page(data, lang)), {"en": ENGLISH, "zh": CHINESE}[lang]
    for part in ("moves", "course", "alerts", "service", "conversations", "unanswered", "method"):
        assert words[part] in outline.text
    for said in (
        "Lumi",
        "not arrived",
        "Delivery times",
        "never again",
        "wonderful",
        "do you ship to iceland",
        "s2",
        words["anger"],
    ):
        assert said in outline.text
    assert ("html", "lang", lang) in outline.attributes


def test_topics_that_turned_sour_are_listed_with_the_commas_of_the_language() -> None:
    data = report(messages(WEEK, 40, 20), alerts=[alert(), alert(id="a2", topic="refund")])
    assert "refund en, delivery en." in Outline(page(data, "en")).text
    assert "refund en、delivery en。" in Outline(page(data, "zh")).text


def test_how_long_the_last_trouble_lasted_is_told_in_hours_and_then_in_days() -> None:
    for hours, told in ((70.2, "lasted 70 hours"), (1293.4, "lasted 54 days")):
        last = {"opened_at": "2027-01-12T08:00:00+01:00", "observed": 17, "hours": hours, "resolved_by": "recovery"}
        assert told in Outline(page(report(messages(WEEK, 40, 20), alerts=[alert(details={"last_time": last})]), "en")).text


def test_the_page_names_nothing_outside_itself_and_runs_no_script(data: ReportData) -> None:
    outline = Outline(page(data))
    assert not {"script", "img", "link", "iframe", "object", "video", "audio", "form"} & set(outline.tags)
    targets = [value for _, name, value in outline.attributes if name in ("href", "src", "xlink:href", "action", "data")]
    assert targets and all(value.startswith("#") for value in targets)
    assert not re.search(r"url\((?!#)|@import", page(data))
    assert not [name for _, name, _ in outline.attributes if name.startswith("on")]


def test_nothing_a_customer_or_an_agent_writes_becomes_markup() -> None:
    at = WEEK.since + timedelta(days=1)
    events = [
        message(f"m{n}", at + timedelta(minutes=n), -0.9, HOSTILE, HOSTILE, HOSTILE, version=f"{HOSTILE}{n}") for n in range(40)
    ]
    details: dict[str, object] = {
        "words": [HOSTILE],
        "articles": [HOSTILE],
        "emotions": {HOSTILE: 0.5},
        "versions": {HOSTILE: {HOSTILE: 1}},
    }
    details["last_time"] = {"opened_at": HOSTILE, "observed": 1, "hours": None, "resolved_by": HOSTILE}
    hostile = alert(topic=HOSTILE, locale=HOSTILE, also=(HOSTILE,), acknowledged_by=HOSTILE, resolved_by=HOSTILE, details=details)
    answered = [reply("q", at, "clarify", "low_evidence", asked=len(HOSTILE), locale=HOSTILE, topic=HOSTILE)]
    texts = {one.id: HOSTILE for one in events} | {"q": HOSTILE}
    made = report(events, answered, [replace(hostile, state="resolved", resolved_at=WEEK.until)], texts=texts, company=HOSTILE)
    for lang in ("en", "zh"):
        outline = Outline(page(made, lang))
        assert not {"script", "img"} & set(outline.tags)
        assert not [name for _, name, _ in outline.attributes if name.startswith("on")]
        assert "<script>alert(1)</script>" in outline.text  # shown as it was written
        assert "{{ 7*7 }}" in outline.text and "\x07" not in outline.text


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_an_empty_period_says_so_plainly(lang: str) -> None:
    words, outline = {"en": ENGLISH, "zh": CHINESE}[lang], Outline(page(report([]), lang))
    for key in ("lead_none", "alerts_none", "service_none", "conversations_none", "unanswered_none"):
        assert words[key] in outline.text
    assert "svg" not in outline.tags


def test_a_period_without_one_before_and_one_gone_silent_can_be_shown() -> None:
    first = Outline(page(report(messages(WEEK, 30, 4), [reply("1", WEEK.since)])))
    silent = Outline(page(report(messages(WEEK.before(), 30, 4), [reply("1", WEEK.before().since)])))
    assert ENGLISH["none_before"] in first.text
    assert ENGLISH["verdict_gone"] in silent.text and ENGLISH["lead_none"] in silent.text


def test_tables_have_captions_pictures_have_words_and_ids_are_unique(data: ReportData) -> None:
    text = page(data)
    outline = Outline(text)
    assert text.count("<table") == text.count("<caption") >= 6
    plots = [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in re.findall(r"<svg[^>]*>", text)]
    assert plots and all(one.get("aria-label") or one.get("aria-hidden") == "true" for one in plots)
    ids = [value for _, name, value in outline.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    pointed = [
        value for _, name, value in outline.attributes if name in ("aria-labelledby", "href") and value.startswith(("#", "m"))
    ]
    assert {value.lstrip("#") for value in pointed} <= set(ids)


def test_text_can_be_read_against_its_ground(data: ReportData) -> None:
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", page(data)))

    def light(colour: str) -> float:
        full = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
        parts = [int(full[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    pairs = [(ink, ground) for ink in ("ink", "quiet", "accent") for ground in ("page", "card")]
    pairs += [("bad", "card"), ("good", "card"), ("bad", "bad-soft"), ("good", "good-soft"), ("warm", "warm-soft")]
    for ink, ground in pairs:
        dark, bright = sorted((light(colours[ink]), light(colours[ground])))
        assert (bright + 0.05) / (dark + 0.05) >= 4.5, (ink, ground)


def test_the_same_data_give_the_same_page(data: ReportData) -> None:
    assert page(data) == page(full())


def test_both_languages_say_the_same_with_the_same_values() -> None:
    def places(text: str) -> set[str]:
        return {name for _, name, _, _ in Formatter().parse(text) if name}

    assert ENGLISH.keys() == CHINESE.keys()
    for key, text in ENGLISH.items():
        assert places(text) == places(CHINESE[key]), key


def test_json_holds_everything_and_is_plain(data: ReportData) -> None:
    read = json.loads(render(data, "json"))
    assert read["now"]["messages"] == data.now.messages and read["now"]["share"] == data.now.share
    assert read["period"]["since"] == "2027-03-01T00:00:00+01:00"
    assert read["moves"][0]["movement"]["share"]["interval"]["low"] > 1
    assert read["alerts"][0]["words"] == ["not arrived"]


def test_csv_has_one_tidy_row_for_each_topic_and_language(data: ReportData) -> None:
    rows = list(csv.DictReader(io.StringIO(render(data, "csv").decode())))
    assert [(one["topic"], one["locale"]) for one in rows] == [("delivery", "en"), ("refund", "zh")]
    assert (rows[0]["messages"], rows[0]["negative"], rows[0]["verdict"]) == ("68", "44", "worse")
    assert float(rows[1]["negative_share"]) == pytest.approx(0.05)


def test_a_topic_cannot_become_a_formula_in_a_spreadsheet() -> None:
    rows = list(csv.DictReader(io.StringIO(render(report(messages(WEEK, 3, 0, '=HYPERLINK("http://x")')), "csv").decode())))
    assert rows[0]["topic"] == '\'=HYPERLINK("http://x")'


def test_unknown_forms_and_languages_are_refused_with_the_known_ones(data: ReportData) -> None:
    with pytest.raises(UsageError, match="html, pdf, json, csv"):
        render(data, "docx")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="en or zh"):
        page(data, "fr")


def test_times_are_shown_in_the_zone_asked_for() -> None:
    data = report(messages(WEEK, 20, 2), zone=ZoneInfo("Asia/Shanghai"))
    assert data.period.since.utcoffset() == timedelta(hours=8)
    assert "2027-03-08 13:00" in page(data)  # made at 06:00 in Berlin
    assert data.made_at == MADE.astimezone(UTC)
