"""The sample company in a home folder of its own, served on a free port, and a browser to look at it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from assistant.encoder import Encoder
from ui.sample import find_sample

CHROMIUM = Path("/usr/bin/chromium")
SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def sample_company(tmp_path_factory: pytest.TempPathFactory, encoder: Encoder) -> Iterator[Any]:
    """The sample company without its past conversations, which take minutes to encode: articles, templates, adapters."""
    from assistant.settings import Company, Settings
    from ui import intake, terminal
    from ui.wiring import build, open_registry

    sample, home = find_sample(), tmp_path_factory.mktemp("company")
    settings = Settings(company=Company(name="Fernwick", languages=("en", "zh")))
    (home / "products.json").write_bytes(sample.products.read_bytes())
    if sample.adapters.is_dir():
        open_registry(home).install(sample.adapters)
    with terminal.Steps(quiet=True) as steps:
        intake.take_in([sample.templates, sample.articles], settings, home, encoder, steps=steps)
    wired = build(settings, home)
    yield wired
    wired.close()


@pytest.fixture(scope="session")
def address(sample_company: Any) -> Iterator[str]:
    """Where the sample company answers."""
    from ui.server import create_app

    with socket.create_server(("127.0.0.1", 0)) as door:
        server = uvicorn.Server(uvicorn.Config(create_app(sample_company), log_level="warning", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]}, daemon=True)
        thread.start()
        until = time.monotonic() + 30
        while not server.started and thread.is_alive() and time.monotonic() < until:
            time.sleep(0.05)
        assert server.started, "the server did not start"
        yield f"http://127.0.0.1:{door.getsockname()[1]}/"
        server.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, headless."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    if not os.access(CHROMIUM, os.X_OK):
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=str(CHROMIUM), args=SWITCHES)
        yield browser
        browser.close()


@pytest.fixture
def pictures(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where screenshots go: ``docs/screenshots`` with ``--screenshots``, else nowhere that stays."""
    if not request.config.getoption("--screenshots"):
        return tmp_path
    folder = request.config.rootpath / "docs" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
