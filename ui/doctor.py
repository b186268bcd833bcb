"""What is here and what is missing, each with the mend; looks only, changes and makes nothing.

Knows what Deskhand needs of a machine and of its home folder. Every check stands alone: one that breaks becomes a
``missing`` line and the others go on.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from assistant.errors import DeskhandError

if TYPE_CHECKING:
    from assistant.settings import Settings

State = Literal["ok", "warn", "missing"]
SUPPORTED = ((3, 11), (3, 14))  # from, before; the same as requires-python
#: Two connections that checkpoint at once could reset the write-ahead log under a reader before this version.
WAL_RESET_MENDED = (3, 51, 3)
ENOUGH_DISK_BYTES = 1 * 2**30
SPOKEN = ("en", "zh")  # languages in which the assistant has its own sentences


@dataclass(frozen=True, slots=True)
class Check:
    """One line: ``warn`` works with less, ``missing`` does not work; ``mend`` says what to do."""

    name: str
    state: State
    detail: str
    mend: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the line as a JSON object."""
        return {"name": self.name, "state": self.state, "detail": self.detail, "mend": self.mend}


def examine(settings: Settings, home: Path) -> list[Check]:
    """Look at everything Deskhand needs.

    Args:
        settings: As they hold for the home folder.
        home: ``$DESKHAND_HOME``; need not exist.

    Returns:
        The lines, in the order in which things build on one another.
    """
    sha256: list[str] = []

    parts: tuple[tuple[str, Callable[[], Iterator[Check]]], ...] = (
        ("python", _python),
        ("torch", _torch),
        ("encoder", lambda: _encoder(settings, sha256)),
        ("faiss", _faiss),
        ("home", lambda: _home(home)),
        ("store", lambda: _store(settings, home)),
        ("index", lambda: _index(home, sha256[0] if sha256 else "")),
        ("adapters", lambda: _adapters(home, sha256[0] if sha256 else "")),
        ("languages", lambda: _languages(settings)),
        ("browser", _browser),
    )
    found: list[Check] = []
    for name, look in parts:
        try:
            found += look()
        except DeskhandError as error:
            found.append(Check(name, "missing", str(error), "see the message"))
        except Exception as error:  # the edge: a broken library must not hide the other lines
            found.append(Check(name, "missing", f"{type(error).__name__}: {error}", "reinstall deskhand's dependencies"))
    return found


def healthy(checks: list[Check]) -> bool:
    """Say whether nothing that is needed is missing."""
    return all(check.state != "missing" for check in checks)


def _python() -> Iterator[Check]:
    here, version = sys.version_info[:2], ".".join(map(str, sys.version_info[:3]))
    low, high = SUPPORTED
    mend = f"use Python {low[0]}.{low[1]} or newer, before {high[0]}.{high[1]}"
    yield Check("python", "ok", version) if low <= here < high else Check("python", "missing", version, mend)


def _torch() -> Iterator[Check]:
    import torch

    from assistant.encoder import has_matrix_tiles

    place = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "processor only"
    yield Check("torch", "ok", f"{torch.__version__}, {place}, {os.cpu_count()} cores")
    if has_matrix_tiles():
        yield Check("bfloat16", "ok", "the processor has matrix tiles (AMX): batches and training run in bfloat16")
    else:
        yield Check("bfloat16", "warn", "no matrix tiles (AMX): everything runs in float32, which is slower, not worse")


def _encoder(settings: Settings, sha256: list[str]) -> Iterator[Check]:
    from assistant.encoder import DEFAULT_SHA256, file_sha256, resolve

    folder = resolve(settings.encoder.model)
    digest = file_sha256(folder / "model.safetensors")
    sha256.append(digest)
    known = "the checksum is the known one" if digest == DEFAULT_SHA256 else f"SHA-256 {digest[:12]}…"
    yield Check("encoder", "ok", f"{settings.encoder.model} in {folder}, {known}")


def _faiss() -> Iterator[Check]:
    from retrieval.nearest import load_faiss

    faiss = load_faiss()
    gpus = int(getattr(faiss, "get_num_gpus", int)())
    yield Check("faiss", "ok", f"{faiss.__version__}, {f'{gpus} GPU(s)' if gpus else 'on the processor'}")


def _home(home: Path) -> Iterator[Check]:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(place, os.W_OK):
        yield Check("home", "missing", f"{home} cannot be written", "name another folder in DESKHAND_HOME")
    elif not home.is_dir():
        yield Check("home", "warn", f"{home} is not there yet", "`deskhand demo` or `deskhand ingest PATH...` makes it")
    else:
        yield Check("home", "ok", str(home))
    free = shutil.disk_usage(place).free
    enough = free >= ENOUGH_DISK_BYTES
    mend = "" if enough else "free at least 1 GiB, or name another disk in DESKHAND_HOME"
    yield Check("disk", "ok" if enough else "warn", f"{free / 2**30:.1f} GiB free", mend)


def _store(settings: Settings, home: Path) -> Iterator[Check]:
    mended = sqlite3.sqlite_version_info >= WAL_RESET_MENDED
    note = "" if mended else "; has the WAL-reset bug (mended in 3.51.3), harmless here: one connection writes"
    yield Check("sqlite", "ok", f"{sqlite3.sqlite_version}{note}")
    if settings.store.url and not settings.store.url.startswith("sqlite"):
        yield from _postgresql(settings.store.url)
    elif settings.store.url:
        from sqlalchemy.engine import make_url

        yield from _sqlite_file(Path(str(make_url(settings.store.url).database)))
    else:
        yield from _sqlite_file(home / "deskhand.db")


def _sqlite_file(path: Path) -> Iterator[Check]:
    from assistant.schema import REVISION_TABLE

    if not path.is_file():
        yield Check("store", "warn", f"{path} is not there yet", "the first `deskhand ingest` or `deskhand demo` makes it")
        return
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            row = connection.execute(f"SELECT version_num FROM {REVISION_TABLE}").fetchone()
    except sqlite3.Error as error:
        yield Check("store", "missing", f"{path}: {error}", "name another file in store.url, or restore this one")
        return
    yield _revision(str(path), str(row[0]) if row else None)


def _postgresql(url: str) -> Iterator[Check]:
    import sqlalchemy as sa

    from assistant.schema import REVISION_TABLE

    parsed = sa.make_url(url)
    shown = parsed.render_as_string(hide_password=True)
    if importlib.util.find_spec("psycopg") is None:
        yield Check("store", "missing", f"{shown} needs psycopg", "pip install 'deskhand[postgres]'")
        return
    engine = sa.create_engine(parsed.set(drivername="postgresql+psycopg"), connect_args={"connect_timeout": 5})
    try:
        with engine.connect() as connection:
            version = connection.execute(sa.text("SHOW server_version")).scalar()
            there = sa.inspect(connection).has_table(REVISION_TABLE)
            row = connection.execute(sa.text(f"SELECT version_num FROM {REVISION_TABLE}")).scalar() if there else None
        yield Check("postgresql", "ok", str(version))
        yield _revision(shown, row)
    except sa.exc.SQLAlchemyError as error:
        cause = str(getattr(error, "orig", error)).strip().split("\n")[0]
        yield Check("store", "missing", f"{shown}: {cause}", "check store.url and that the server runs")
    finally:
        engine.dispose()


def _revision(name: str, found: str | None) -> Check:
    from assistant.schema import REVISION

    if found == REVISION:
        return Check("store", "ok", f"{name}, revision {found}")
    if found is None or found < REVISION:
        return Check("store", "warn", f"{name}, revision {found or 'none'}", f"the next command brings it to {REVISION}")
    return Check("store", "missing", f"{name}, revision {found} is newer than {REVISION}", "install the newer Deskhand")


def _index(home: Path, sha256: str) -> Iterator[Check]:
    from retrieval.index import POINTER, verify

    root = home / "index"
    try:
        version = (root / POINTER).read_text(encoding="utf-8").strip()
    except OSError:
        mend = "`deskhand demo` or `deskhand ingest PATH...` builds one"
        yield Check("index", "warn", "nothing is indexed yet", mend)
        return
    manifest = verify(root / version)
    if sha256 and manifest["encoder"]["sha256"] != sha256:
        detail = f"{version} was built by another encoder ({manifest['encoder']['name']})"
        yield Check("index", "missing", detail, "set encoder.model back, or ingest the sources again")
        return
    yield Check("index", "ok", f"{version}: {manifest['passages']} passages, every checksum right")


def _adapters(home: Path, sha256: str) -> Iterator[Check]:
    from ui.wiring import SERVED, open_registry

    registry = open_registry(home)
    for task in SERVED:
        name = f"adapter {task}"
        version = registry.champion(task)
        if version is None and task == "dialog":
            yield Check(name, "ok", "none: past replies stand in the order in which they were found")
            continue
        if version is None:
            mend = f"`deskhand adapters train {task} --data FILE --promote`"
            yield Check(name, "warn", "no champion: messages are read without it", mend)
            continue
        try:
            registry.load(task, version, sha256)
        except DeskhandError as error:
            yield Check(name, "missing", str(error), f"`deskhand adapters rollback {task}`, or train again")
            continue
        yield Check(name, "ok", f"champion {version} of {len(registry.versions(task))}, every checksum right")


def _languages(settings: Settings) -> Iterator[Check]:
    from assistant.encoder import DEFAULT_MODEL

    wanted = settings.company.languages
    silent = [language for language in wanted if language not in SPOKEN]
    if silent:
        detail = f"the assistant has no sentences of its own in {', '.join(silent)}"
        yield Check("languages", "warn", detail, f"company.languages: {' and '.join(SPOKEN)} are whole")
    elif any(language != "en" for language in wanted) and settings.encoder.model == DEFAULT_MODEL:
        detail = f"{', '.join(wanted)}; {DEFAULT_MODEL} was trained on English"
        yield Check("languages", "warn", detail, "set encoder.model to a multilingual one, then ingest and train again")
    else:
        yield Check("languages", "ok", ", ".join(wanted))


def _browser() -> Iterator[Check]:
    path = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
    if path:
        yield Check("browser", "ok", f"{path} (for the browser tests)")
    else:
        yield Check("browser", "warn", "no Chromium; only the browser tests need one", "apt install chromium")
