"""A customer in a real browser: asks, looks at the evidence, votes, changes language, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytestmark = pytest.mark.browser

DESK, PHONE = (1280, 860), (390, 844)
HOSTILE = '<script>document.title="owned"</script><img src=x onerror=alert(1)> ![x](http://evil.example/a.png) ${1+1} {{value}}'
WAIT_MS = 30_000


@contextmanager
def tab(browser: Any, address: str, size: tuple[int, int] = DESK, locale: str = "en-GB", scheme: str = "light") -> Iterator[Any]:
    """Open the chat in a browser of its own; fails if it asks another host for anything, or a script breaks."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, locale=locale, color_scheme=scheme)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    asked: list[str] = []
    broken: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(address)
    page.wait_for_selector(".dh-welcome")
    yield page
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith(("data:", "blob:"))}
    context.close()
    assert hosts == {urlsplit(address).netloc}
    assert broken == []


def say(page: Any, text: str) -> Any:
    """Write a message, press Enter, and return the reply's part of the page."""
    before = page.locator(".dh-log .dh-turn").count()
    page.fill("#dh-input", text)
    page.press("#dh-input", "Enter")
    page.wait_for_selector(f".dh-log .dh-turn:nth-child({before + 1})")
    return page.locator(".dh-log .dh-turn").nth(before)


def message_id(turn: Any) -> str:
    return str(turn.locator(".dh-why").get_attribute("data-id"))


def overflow(page: Any) -> int:
    """By how many pixels the page or the conversation is wider than its place."""
    return int(
        page.evaluate(
            """() => Math.max(document.documentElement.scrollWidth - innerWidth,
                   ...[...document.querySelectorAll('#dh-scroll, #dh-side')].map(box => box.scrollWidth - box.clientWidth))"""
        )
    )


def test_three_turns_evidence_and_votes_that_are_stored(browser: Any, address: str, sample_company: Any, pictures: Path) -> None:
    with tab(browser, address) as page:
        first = say(page, "How long do I have to return something?")
        assert "30" in first.locator(".dh-bot .dh-bubble").inner_text()
        followed = say(page, "and if I already opened it?")
        chinese = say(page, "怎么取消 Plus 会员？")
        assert any("\u4e00" <= sign <= "\u9fff" for sign in chinese.locator(".dh-bot .dh-bubble").inner_text())

        first.locator(".dh-sources summary").click()
        first.locator(".dh-sources li").first.wait_for()
        assert "%" in first.locator(".dh-score").first.inner_text()

        first.locator("[data-rating='1']").click()
        first.locator("[data-rating='1'][aria-pressed='true']").wait_for()
        assert sample_company.store.feedback(message_id(first)).rating == 1
        assert first.locator(".dh-sources").get_attribute("open") is not None, "a vote folded the evidence away"

        followed.locator("[data-rating='-1']").click()
        followed.locator(".dh-correct textarea").fill("Yes, opened devices may come back too.")
        followed.locator(".dh-correct .dh-strong").click()
        followed.locator(".dh-correct").wait_for(state="detached")
        kept = sample_company.store.feedback(message_id(followed))
        assert (kept.rating, kept.correction) == (-1, "Yes, opened devices may come back too.")

        conversation = sample_company.store.message_detail(message_id(first))["conversation"]["id"]
        assert len(sample_company.store.turns(conversation)) == 3
        first.locator(".dh-why").click()
        page.wait_for_selector(".dh-turn:nth-child(1).dh-chosen")
        page.wait_for_function("document.querySelector('.dh-panel').innerText.includes('How long can I return things?')")
        assert "ms" in page.locator(".dh-panel").inner_text()
        page.evaluate("document.getElementById('dh-scroll').scrollTop = 0")
        page.mouse.move(640, 850)
        page.screenshot(path=pictures / "chat-desktop.png")


def test_a_phone_shows_everything_without_sideways_scrolling(browser: Any, address: str, pictures: Path) -> None:
    with tab(browser, address, PHONE) as page:
        assert overflow(page) <= 0
        page.locator("[data-say]").first.click()
        page.locator(".dh-log .dh-turn").wait_for()
        asked = say(page, "https://fernwick.example/" + "a" * 300)
        asked.wait_for()
        page.locator(".dh-sources summary").first.click()
        assert overflow(page) <= 0
        box = page.locator("#dh-input").bounding_box()
        assert box["y"] + box["height"] <= PHONE[1] and box["x"] >= 0 and box["x"] + box["width"] <= PHONE[0]
        assert not page.locator(".dh-panel").is_visible()
        page.locator(".dh-behind summary").click()
        assert page.locator(".dh-panel").is_visible()
        assert page.locator(".dh-panel").bounding_box()["y"] > page.locator("#dh-input").bounding_box()["y"]
        assert overflow(page) <= 0
    with tab(browser, address, PHONE) as page:
        say(page, "My parcel arrived damaged, order FW-204518")
        page.screenshot(path=pictures / "chat-phone.png")


def test_a_chinese_browser_gets_a_chinese_page_and_the_switch_changes_it(browser: Any, address: str, pictures: Path) -> None:
    with tab(browser, address, locale="zh-CN") as page:
        assert page.evaluate("document.documentElement.lang") == "zh"
        assert "大家常问" in page.locator(".dh-welcome").inner_text()
        say(page, "退款多久到账？")
        say(page, "我想找人工客服")
        page.mouse.move(640, 850)
        page.screenshot(path=pictures / "chat-zh.png")
        page.locator("[data-do='lang'][data-id='en']").click()
        page.locator("text=Behind the answer").wait_for()
        assert page.locator("#dh-input").get_attribute("placeholder") == "Write a message…"
        assert page.evaluate("document.documentElement.lang") == "en"
        assert page.locator(".dh-log .dh-turn").count() == 2


def test_what_is_written_is_shown_as_text(browser: Any, address: str) -> None:
    with tab(browser, address) as page:
        turn = say(page, HOSTILE)
        assert turn.locator(".dh-you .dh-bubble").inner_text() == HOSTILE
        assert page.locator(".dh-log img, .dh-log script").count() == 0
        assert page.title() == "Fernwick"


def test_two_tabs_hold_two_conversations(browser: Any, address: str, sample_company: Any) -> None:
    with tab(browser, address) as left, tab(browser, address) as right:
        one = message_id(say(left, "Which ways to pay are there?"))
        two = message_id(say(right, "Is the Vac 5 in stock?"))
        detail = sample_company.store.message_detail
        assert detail(one)["conversation"]["id"] != detail(two)["conversation"]["id"]
        assert left.locator(".dh-log .dh-turn").count() == right.locator(".dh-log .dh-turn").count() == 1
        left.locator("[data-do='new']").click()
        left.locator(".dh-welcome").wait_for()
        assert right.locator(".dh-log .dh-turn").count() == 1


def test_empty_endless_and_emoji_messages_are_borne(browser: Any, address: str) -> None:
    with tab(browser, address, scheme="dark") as page:
        page.press("#dh-input", "Enter")
        page.fill("#dh-input", "   ")
        page.press("#dh-input", "Enter")
        assert page.locator(".dh-welcome").is_visible()
        assert say(page, "🙂🙃").locator(".dh-bot .dh-bubble").inner_text()
        endless = say(page, "where is it " * 8_334)
        assert "more characters" in endless.locator(".dh-you").inner_text()
        assert page.locator("#dh-input").input_value() == ""
        page.fill("#dh-input", "line one")
        page.press("#dh-input", "Shift+Enter")
        assert page.locator("#dh-input").input_value() == "line one\n"
