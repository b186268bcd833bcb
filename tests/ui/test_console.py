"""The console: what staff see and may do, what nobody else may, and that customers' words stay words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from assistant.monitor.events import Event
from assistant.monitor.ledger import Place, Reading
from assistant.monitor.telling import notices
from tests.ui.past_messages import ANGRY, HOSTILE, ODD_TOPIC, alert, fill, served, turn_id, with_receivers
from tests.ui.stand_in import NOW, wired
from ui.console import from_here
from ui.console_counts import RANGES, count, start_reading
from ui.console_filters import Filters, read_filters
from ui.console_text import console_words

HERE = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def parts(tmp_path: Path, store_url: str) -> Iterator[Any]:
    with wired(tmp_path, url=store_url) as parts:
        fill(parts.store)
        parts.settings = with_receivers(parts.settings)
        parts.store.monitor.raise_alert(alert())
        yield parts


@pytest.fixture
def client(parts: Any) -> Iterator[TestClient]:
    with TestClient(served(parts), raise_server_exceptions=False) as client:
        yield client


def text_of(page: str) -> str:
    """What a page says, without its marks."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", "", re.sub(r"<svg.*?</svg>", "", page, flags=re.S)))


def event(hours: float, topic: str = "t", locale: str = "en", negative: float = 0.9) -> Event:
    at = NOW - timedelta(hours=hours)
    return Event(f"{topic}-{hours}", "conversation:x", at, topic, locale, negative=negative)


def test_an_alert_says_what_since_when_how_many_how_sure_and_what_to_do(client: TestClient) -> None:
    page = client.get("/console?lang=en").text
    said = text_of(page)
    for part in (
        "delivery status", "31 against 8.0 expected", "2026-02-27 17:00", "about once in 7.67 years", "rivertown", "anger 75%",
        "Where is my parcel?", "sentiment s-1", "intent i-1", "2026-01-05, 17 conversations, lasted 30 hours", ANGRY,
        "Acknowledge", "Resolve",
    ):  # fmt: skip
        assert part in said, part
    assert "<title>(1) Console" in page


def test_an_alert_whose_customers_are_quiet_says_since_when_and_how_it_ends(parts: Any) -> None:
    with TestClient(served(parts)) as client:
        assert "Quiet since" not in text_of(client.get("/console").text), "they wrote an hour ago"
    with TestClient(served(parts, lambda: NOW + timedelta(days=3))) as client:
        page = text_of(client.get("/console").text)
        assert f"Quiet since{NOW - timedelta(minutes=5):%Y-%m-%d %H:%M} No unhappy message since then" in page
        assert "After 14 days without one, while other customers write, the alert ends by itself." in page
        assert "平静始于" in client.get("/console?lang=zh").text


def test_trends_compare_each_topic_with_the_range_before(client: TestClient) -> None:
    page = client.get("/console?range=7d").text
    row = next(part for part in page.partition("<tbody>")[2].split("<tr>") if "topic=delivery_status&amp;locale=en" in part)
    assert "63 of 168" in text_of(row) and "21 of 168" in text_of(row)
    assert "worse" in text_of(row) and "× 3.0" in text_of(row)
    assert re.search(r'<svg class="spark" role="img" aria-label="delivery status \(en\): 63 of 168[^"]*"', row)
    assert "<caption>" in page and 'class="plot" role="img" aria-label="Share of negative messages over time' in page


def test_what_few_messages_cannot_tell_is_said_in_words_and_not_in_ratios(client: TestClient) -> None:
    for lang, words in (("en", "too few to tell"), ("zh", "数量太少，无法判断")):
        page = client.get("/console", params={"range": "24h", "lang": lang}).text
        row = next(part for part in page.partition("<tbody>")[2].split("<tr>") if "topic=returns" in part)
        assert words in text_of(row) and "×" not in text_of(row)


def test_open_alerts_are_marked_in_the_plot_and_do_not_cover_it(client: TestClient, parts: Any) -> None:
    parts.store.monitor.raise_alert(alert("alert_2", "returns", opened_at=NOW - timedelta(days=20)))
    page = client.get("/console?range=28d").text
    plot = next(one for one in re.findall(r'<svg class="plot".*?</svg>', page, re.S))
    red = re.findall(r'<path d="([^"]*)"[^>]*style="[^"]*fill: #b4232f; opacity: 0.55', plot)
    assert len(red) == 2
    for path in red:
        heights = [float(number) for number in re.findall(r"-?[\d.]+", path)[1::2]]
        assert max(heights) - min(heights) < 8
    assert "Red line at the top" in text_of(page)


def test_topic_and_language_narrow_the_table_down(client: TestClient) -> None:
    page = text_of(client.get("/console?topic=returns&range=28d").text).partition("strongest evidence")[2]
    assert "returns" in page and "delivery status" not in page
    unnamed = text_of(client.get("/console?topic=-").text).partition("strongest evidence")[2]
    assert "no topic named" in unnamed and "returns" not in unnamed
    assert "No message fits this choice" in client.get("/console?topic=never_heard").text


def test_a_topic_leads_to_its_messages_and_a_message_to_its_conversation(client: TestClient) -> None:
    page = client.get("/console/topic?topic=delivery_status&locale=en&range=24h").text
    assert text_of(page).count(ANGRY) >= 24 and "negative 90%" in page
    link = re.search(r'href="(/console/conversation\?message=[^"]+)"', page)
    assert link is not None
    talk = client.get(link[1].replace("&amp;", "&")).text
    assert 'aria-current="true"><p class="note"><strong>Customer' in talk
    assert "[NAME_1]" in talk and "Person of the team" in talk and "negative 90%" in talk


def test_a_conversation_is_judged_by_the_threshold_of_its_language(client: TestClient, parts: Any) -> None:
    parts.serving = lambda: SimpleNamespace(
        understander=SimpleNamespace(mood_thresholds={"negative_en": 0.95, "negative_zh": 0.05})
    )
    english = client.get("/console/conversation", params={"message": turn_id(0)}).text
    assert ANGRY in english and "negative 90%" not in english and 'class="chip neutral"' in english
    chinese = next(
        place for place in range(10) if "谢谢" in client.get("/console/conversation", params={"message": turn_id(place)}).text
    )
    assert "negative 10%" in client.get("/console/conversation", params={"message": turn_id(chinese)}).text


def test_trends_mark_where_another_adapter_version_began_to_work(client: TestClient, parts: Any) -> None:
    assert "another adapter version" not in client.get("/console?range=7d").text
    old = [Reading(turn_id(place), "returns", "en", 0.1, 0.1, "s-0", "i-1") for place in range(100, 448)]
    parts.store.monitor.add_readings(old)
    page = client.get("/console?range=28d").text
    listed = re.search(r'<ol class="marks note">(.*?)</ol>', page, re.S)
    assert listed is not None and text_of(listed[1]).strip().endswith("sentiment s-1 (before: s-0)")
    assert text_of(page).count("Numbered lines: another adapter version began to work.") == 1
    assert all(re.search(r">1</text>|<!-- 1 -->|>1<", plot) for plot in re.findall(r'<svg class="plot".*?</svg>', page, re.S))


def test_a_live_conversation_can_be_read_from_its_message(client: TestClient, parts: Any) -> None:
    reply = parts.assistant.turn("I am furious", channel="chat")
    page = text_of(client.get("/console/conversation", params={"message": reply.message_id}).text)
    assert "I am furious" in page and "Assistant" in page


def test_hostile_words_are_shown_as_words_everywhere(client: TestClient, parts: Any) -> None:
    odd = alert("alert_<b>\"'", ODD_TOPIC, also=("<i>x</i>/en",))
    words: Any = {"words": [{"text": HOSTILE}], "articles": [{"title": HOSTILE}], "versions": {HOSTILE: {HOSTILE: 1}}}
    details = {**odd.details, **words, "emotions": {HOSTILE: 1.0}, "messages": [turn_id(448)]}
    parts.store.monitor.raise_alert(alert("alert_<b>\"'", ODD_TOPIC, also=("<i>x</i>/en",), details=details))
    client.cookies.set("deskhand_by", "%22%3E%3Cscript%3E")
    pages = [
        client.get("/console").text,
        client.get("/console/topic", params={"topic": ODD_TOPIC, "locale": "en"}).text,
        client.get("/console/conversation", params={"message": turn_id(448)}).text,
        client.get("/console", params={"topic": HOSTILE, "locale": HOSTILE, "until": HOSTILE, "lang": HOSTILE}).text,
    ]
    assert all("document.title=" in page for page in pages[:3])
    for page in pages:
        assert "<script>" not in page and "<img" not in page and "<i>x" not in page and '"><script' not in page
        assert "{{ 7*7 }}" in page or page == pages[3]


def test_a_button_of_the_console_moves_an_alert_and_the_name_is_remembered(client: TestClient, parts: Any) -> None:
    path = "/console/alerts/alert_1/acknowledge?range=28d"
    answer = client.post(path, data={"by": "Ada 李"}, headers=HERE, follow_redirects=False)
    assert answer.status_code == 303 and answer.headers["location"] == "/console?range=28d#alerts"
    kept = answer.headers["set-cookie"].lower()
    assert "httponly" in kept and "samesite=strict" in kept
    found = parts.store.monitor.alert("alert_1")
    assert (found.state, found.acknowledged_by) == ("acknowledged", "Ada 李")
    assert 'value="Ada 李"' in client.get("/console").text
    parts.store.monitor.announce("alert_1", notices(found, "opened", NOW, ("team", "manager"), UTC))
    client.post("/console/alerts/alert_1/resolve", data={"by": "Ada"}, headers=HERE)
    assert parts.store.monitor.alert("alert_1").state == "resolved"
    told = [row for row in parts.store.monitor.outbox() if row.body["what"] == "resolved"]
    assert sorted(row.target for row in told) == ["manager", "team"]
    assert "Ended by Ada" in text_of(client.get("/console").text)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://testserver"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://testserver.evil.example"},
    ],
)
def test_another_website_cannot_press_the_buttons(client: TestClient, parts: Any, headers: dict[str, str]) -> None:
    answer = client.post("/console/alerts/alert_1/resolve", data={"by": "Mallory"}, headers=headers)
    assert answer.status_code == 403 and "did not come from the console" in answer.text
    assert parts.store.monitor.alert("alert_1").state == "open"


def test_a_browser_without_fetch_metadata_is_known_by_its_origin() -> None:
    assert from_here({"origin": "https://desk.example:8443", "host": "desk.example:8443"})
    assert not from_here({"origin": "", "host": ""})


def test_moves_that_cannot_be_are_explained(client: TestClient) -> None:
    assert client.post("/console/alerts/nope/resolve", data={"by": "Ada"}, headers=HERE).status_code == 404
    assert client.post("/console/alerts/alert_1/resolve", data={"by": " "}, headers=HERE).status_code == 400
    assert client.post("/console/alerts/alert_1/resolve", content=b"\xff\x00%", headers=HERE).status_code == 400
    client.post("/console/alerts/alert_1/resolve", data={"by": "Ada"}, headers=HERE)
    late = client.post("/console/alerts/alert_1/acknowledge", data={"by": "Bo"}, headers=HERE)
    assert late.status_code == 409 and "resolved already" in late.text


@pytest.mark.parametrize("message", ["", "nope", "transcript:s9/c999#0000", "transcript:nothing", "conversation:x", "\x00"])
def test_a_conversation_that_is_not_there_says_so(client: TestClient, message: str) -> None:
    answer = client.get("/console/conversation", params={"message": message})
    assert answer.status_code == 404 and "no such conversation" in answer.text


def test_only_staff_may_look_where_tokens_are_set(tmp_path: Path) -> None:
    with wired(tmp_path, tokens=("alpha-token",)) as parts:
        fill(parts.store)
        parts.store.monitor.raise_alert(alert())
        with TestClient(served(parts)) as client:
            for path in ("/console", "/console/topic?topic=delivery_status", f"/console/conversation?message={turn_id(0)}"):
                refused = client.get(path.replace("#", "%23"))
                assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
                assert "Authorization: Bearer TOKEN" in refused.text and ANGRY not in refused.text
                assert client.get(path.replace("#", "%23"), headers={"Authorization": "Bearer alpha-token"}).status_code == 200
            assert client.get("/console", headers={"Authorization": "Basic alpha-token"}).status_code == 401
            assert client.post("/console/alerts/alert_1/resolve", data={"by": "M"}, headers=HERE).status_code == 401
        assert parts.store.monitor.alert("alert_1").state == "open"


def test_an_empty_store_says_what_to_do(tmp_path: Path) -> None:
    with wired(tmp_path) as parts, TestClient(served(parts)) as client:
        page = client.get("/console").text
        assert "<code>deskhand ingest PATH</code>" in page and "<code>deskhand monitor look</code>" in page
        assert "No alert is open" in page and "No monitor has looked" in page
        parts.store.learning.take_lease("monitor: reading", "a", NOW, 60)
        assert "Past conversations are being read" in client.get("/console").text
        assert "正在读取过去的对话" in client.get("/console?lang=zh").text
        assert client.get("/console/topic?topic=x").status_code == 200


def test_an_old_store_is_not_called_empty_and_an_earlier_end_finds_its_messages(parts: Any) -> None:
    with TestClient(served(parts, lambda: NOW + timedelta(days=500))) as client:
        page = client.get("/console").text
        assert "No customer wrote in this range" in page and "deskhand ingest" not in page
        assert "until=2026-03-06" in page, "the alert leads to the time it was about"
        assert "delivery status" in text_of(client.get("/console?until=2026-03-01").text).partition("strongest")[2]


def test_a_chinese_browser_reads_chinese_and_the_address_can_say_otherwise(client: TestClient) -> None:
    page = client.get("/console", headers={"Accept-Language": "zh-CN"}).text
    assert '<html lang="zh">' in page and "确认处理" in page and "Acknowledge" not in page
    assert '<html lang="en">' in client.get("/console?lang=en", headers={"Accept-Language": "zh-CN"}).text
    assert console_words("en").keys() == console_words("zh").keys()


def test_pages_may_run_no_foreign_script_and_are_kept_by_nobody(client: TestClient) -> None:
    answer = client.get("/console")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert re.findall(r"(?:src|href)=\"(?!/|#|data:,)[^\"]*", answer.text) == []
    assert re.search(r"<script[^>]*>[^<]", answer.text) is None
    assert client.get("/console/console.js").headers["content-type"].startswith("text/javascript")
    assert client.get("/console/console.py").status_code == 404


def test_a_second_viewer_costs_no_second_reading_and_more_alerts_no_more(
    client: TestClient, parts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place in range(5):
        parts.store.monitor.raise_alert(alert(f"alert_{place}", "returns", also=(f"topic_{place}/zh",)))
    read: list[Any] = []
    ledger = type(parts.store.monitor)
    stream = ledger.stream

    def counted(self: Any, after: Place, until: datetime, only: Any = None) -> Iterator[Event]:
        read.append((NOW - after.at, only is None))
        return stream(self, after, until, only)

    monkeypatch.setattr(ledger, "stream", counted)
    for path in ("/console", "/console?topic=returns", "/console/topic?topic=delivery_status&locale=en", "/console"):
        assert client.get(path).status_code == 200
    (figures, whole), (quiet, all_streams) = read
    assert whole and timedelta(days=14) <= figures < timedelta(days=15)
    assert not all_streams and quiet == NOW - alert().signal.at
    parts.store.monitor.raise_alert(alert("alert_new"))
    assert client.get("/console").status_code == 200 and len(read) == 3


def test_counting_takes_each_message_once_and_leaves_out_what_is_outside() -> None:
    events = [event(1), event(2, negative=0.1), event(23.9), event(24.1), event(47.9), event(60), event(-1)]
    found = count(events, RANGES["24h"], "1h", NOW, UTC, lambda one: one.negative >= 0.5)
    (move,) = found.moves
    assert (move.now.messages, move.now.negative, move.before.messages) == (3, 2, 2)
    everything = found.points(lambda topic, locale: True)
    assert len(everything) == 24 and sum(one.tally.messages for one in everything) == 3
    assert [one.id for one in found.newest(lambda topic, locale: True)] == ["t-1", "t-23.9"]
    assert start_reading(RANGES["24h"], "1h", NOW, UTC) == NOW - timedelta(hours=48)


def test_an_address_says_what_was_chosen_and_nonsense_is_as_usual() -> None:
    chosen = Filters("28d", "6h", "", "zh", date(2026, 2, 1), "zh")
    query = chosen.query()
    assert read_filters(dict(part.split("=") for part in query[1:].split("&"))) == chosen
    assert read_filters({"range": "9y", "step": "1w", "until": "soon", "lang": "xx"}) == Filters()
    assert read_filters({"range": "6mo", "step": "15m"}).step == "1w"
    assert Filters(until=date(2026, 2, 1)).end(NOW, UTC) == datetime(2026, 2, 2, tzinfo=UTC)
    assert Filters(until=date(2027, 2, 1)).end(NOW, UTC) == NOW
