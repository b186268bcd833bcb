"""Fixtures that all folders share."""

from __future__ import annotations

import pytest

from assistant.encoder import Encoder, resolve


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """The real base encoder, loaded once."""
    return Encoder(resolve("all-MiniLM-L6-v2"), dtype="float32", threads=2)
