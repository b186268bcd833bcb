"""Ingests one file and kills itself with SIGKILL at a named point: ``python killed_ingest.py HOME FILE POINT``."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import retrieval.index
import retrieval.ingest
import retrieval.refresh
from assistant.encoder import Encoder, resolve
from assistant.redact import Redactor
from assistant.store import open_store, sqlite_url


def die(*_: Any, **__: Any) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def main(home: Path, file: Path, point: str) -> None:
    encoder = Encoder(resolve("all-MiniLM-L6-v2"), dtype="float32", threads=1)
    if point == "half read":
        seen: list[str] = []
        redacted = retrieval.ingest.redacted
        retrieval.ingest.redacted = lambda *given: die() if seen else (seen.append("one"), redacted(*given))[1]
    elif point == "before the swap":
        retrieval.index._point = die
    elif point == "before the old version is deleted":
        retrieval.refresh.prune = die
    stage = {"stored": "read", "half encoded": "encode"}.get(point)
    with open_store(sqlite_url(home / "deskhand.db")) as store:
        retrieval.ingest.ingest(
            [file],
            store=store,
            encoder=encoder,
            redactor=Redactor((r"FW-?\d{6}",), (), ("GB",)),
            salt="salt",
            index_root=home / "index",
            now=lambda: datetime.now(UTC),
            new_id=lambda: uuid4().hex,
            progress=lambda at: die() if at.stage == stage else None,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
