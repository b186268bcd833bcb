"""Fixtures that all folders share."""

from __future__ import annotations

import pytest

from assistant.encoder import Encoder, resolve


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the browser test write the pictures of the README."""
    parser.addoption("--screenshots", action="store_true", help="write docs/screenshots from the browser test")


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The real base encoder, loaded once; on one thread, for two took four times as long on a busy machine."""
    return Encoder(resolve("all-MiniLM-L6-v2"), dtype="float32", threads=1)
