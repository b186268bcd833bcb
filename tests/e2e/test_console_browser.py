"""Staff in a real browser: look at alerts and trends, drill down, take an alert, on a desk and on a phone."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import uvicorn

from tests.ui.past_messages import ODD_TOPIC, alert, fill, served
from tests.ui.stand_in import wired

pytestmark = pytest.mark.browser

DESK, PHONE = (1280, 860), (390, 844)
WAIT_MS = 60_000


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Any]:
    with wired(tmp_path) as parts:
        fill(parts.store)
        parts.store.monitor.raise_alert(alert())
        yield parts


@pytest.fixture
def address(company: Any) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as door:
        server = uvicorn.Server(uvicorn.Config(served(company), log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        until = time.monotonic() + 30
        while not server.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.05)
        assert server.started, "the server did not start"
        yield f"http://127.0.0.1:{door.getsockname()[1]}/console"
        server.should_exit = True
        thread.join(10)


@contextmanager
def tab(browser: Any, address: str, size: tuple[int, int] = DESK, **options: Any) -> Iterator[Any]:
    """Open the console; fails if it asks another host for anything, or the browser has anything to complain of."""
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **{"locale": "en-GB", **options})
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    asked: list[str] = []
    broken: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.on("console", lambda said: broken.append(said.text) if said.type in ("error", "warning") else None)
    page.goto(address)
    yield page
    hosts = {urlsplit(url).netloc for url in asked if not url.startswith("data:")}
    context.close()
    assert hosts == {urlsplit(address).netloc}
    assert broken == []


def overflow(page: Any) -> int:
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


def test_staff_drills_down_and_takes_an_alert(browser: Any, address: str, company: Any, pictures: Path) -> None:
    with tab(browser, f"{address}?range=7d") as page:
        page.screenshot(path=pictures / "console-desktop.png", full_page=True)
        page.locator("text=Acknowledge").first.click()
        assert company.store.monitor.alert("alert_1").state == "open", "without a name nothing happens"
        page.fill("#by", "Ada")
        page.press("#by", "Enter")
        assert company.store.monitor.alert("alert_1").state == "open", "Enter in the name presses no button"
        page.locator("button:has-text('Acknowledge')").click()
        page.wait_for_selector(".alert.acknowledged")
        assert company.store.monitor.alert("alert_1").acknowledged_by == "Ada"
        assert page.input_value("#by") == "Ada"
        page.locator("tbody a", has_text="delivery status").click()
        page.locator("ol.said a").first.click()
        assert "Rivertown" in page.locator(".talk .chosen").inner_text()


def test_the_page_brings_itself_up_to_date_and_keeps_what_was_typed_and_unfolded(
    browser: Any, address: str, company: Any
) -> None:
    ended = {"state": "resolved", "resolved_by": "Bo", "resolved_at": alert().opened_at}
    company.store.monitor.raise_alert(alert("alert_0", "returns", **ended))
    with tab(browser, address) as page:
        page.fill("#by", "Half a na")
        page.locator("details.over summary").click()
        page.evaluate("scrollTo(0, 400)")
        company.store.monitor.raise_alert(alert("alert_2", "warranty"))
        page.evaluate("document.dispatchEvent(new Event('deskhand:refresh'))")
        page.wait_for_selector("#alert_2")
        assert page.title().startswith("(2)")
        assert page.input_value("#by") == "Half a na"
        assert page.locator("details.over").get_attribute("open") is not None
        assert page.evaluate("scrollY") == 400


def test_a_phone_shows_everything_without_sideways_scrolling(browser: Any, address: str, company: Any, pictures: Path) -> None:
    company.store.monitor.raise_alert(alert("alert_2", "a_very_long_topic_" * 12, also=(f"{ODD_TOPIC}/en",)))
    with tab(browser, f"{address}?lang=zh", PHONE) as page:
        assert overflow(page) <= 0
        page.screenshot(path=pictures / "console-phone.png", full_page=True)
        page.locator("a", has_text="delivery status").last.click()
        page.wait_for_selector("ol.said")
        assert overflow(page) <= 0
        page.locator("ol.said a").first.click()
        page.wait_for_selector("ol.talk")
        assert overflow(page) <= 0 and page.evaluate("document.documentElement.lang") == "zh"


def test_everything_can_be_reached_and_done_with_the_keyboard(browser: Any, address: str, company: Any) -> None:
    with tab(browser, address) as page:
        page.fill("#by", "Ada")
        for _ in range(12):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.innerText") == "Resolve":
                break
        page.keyboard.press("Enter")
        page.wait_for_selector("details.over")
        assert company.store.monitor.alert("alert_1").resolved_by == "Ada"


def test_without_scripts_the_page_still_shows_and_moves(browser: Any, address: str, company: Any) -> None:
    with tab(browser, address, java_script_enabled=False) as page:
        page.fill("#by", "Ada")
        page.locator("button:has-text('Resolve')").click()
        page.wait_for_selector("details.over")
    assert company.store.monitor.alert("alert_1").state == "resolved"
