"""What a command run by a test leaves, and a conversation to read in."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

CHAT = json.dumps(
    {
        "id": "c1",
        "contact": "c0042",
        "resolved": True,
        "turns": [
            {"role": "customer", "text": "My garden robot beeps three times and stops, what is that?"},
            {"role": "agent", "text": "Three beeps mean that the blades are blocked. Clear them and press start."},
        ],
    }
)


@dataclass
class Ran:
    """What one command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> object:
        """Its stdout, which must be one JSON value."""
        return json.loads(self.out)


Run = Callable[..., Ran]
