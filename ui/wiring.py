"""The only place where objects are built: settings and a home folder in, a working assistant out.

Knows which part needs which other part. Knows nothing of commands, pages or requests; ``cli.py`` and ``server.py`` come
after it, and what serves is read by ``serving.py``. Heavy libraries are imported where something is built with them.
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import SettingsError
from ui.serving import SERVED as SERVED
from ui.serving import UNTRAINED as UNTRAINED
from ui.serving import approved_answers as approved_answers
from ui.serving import champions as champions
from ui.serving import choose_thresholds as choose_thresholds
from ui.serving import read_company_products as read_company_products
from ui.serving import serve as serve
from ui.serving import split as split
from ui.serving import with_versions as with_versions

if TYPE_CHECKING:
    from assistant.encoder import Encoder
    from assistant.pipeline import Assistant, Serving
    from assistant.redact import Redactor
    from assistant.registry import Registry
    from assistant.settings import Settings
    from assistant.store import Store
    from ui.live import Arms
    from ui.watch import Watch

SETTINGS_FILE = "deskhand.toml"
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Wired:
    """A working assistant with what it was built from; ``notes`` says, for people, what was found wanting.

    ``serving()`` gives the parts that answer now.

    ``watch`` judges candidates on trial; whoever serves for long starts and stops it.
    """

    assistant: Assistant
    store: Store
    registry: Registry
    encoder: Encoder
    settings: Settings
    home: Path
    serving: Callable[..., Serving]
    notes: tuple[str, ...] = ()
    watch: Watch | None = None

    def close(self) -> None:
        """End the watch and close the store."""
        if self.watch is not None:
            self.watch.stop()
        self.store.close()


def read_settings(home: Path) -> Settings:
    """Read the settings that hold for a home folder.

    Args:
        home: ``$DESKHAND_HOME``.

    Returns:
        Those of ``$DESKHAND_CONFIG``, else of ``deskhand.toml`` in the working directory, else of the home's own, as
        the demo leaves it there; else the defaults.

    Raises:
        SettingsError: With every fault found.
    """
    from assistant.settings import load

    own = home / SETTINGS_FILE
    elsewhere = os.environ.get("DESKHAND_CONFIG") or Path(SETTINGS_FILE).is_file()
    return load(own) if not elsewhere and own.is_file() else load()


def make_home(home: Path) -> Path:
    """Make the home folder where it is missing.

    Args:
        home: ``$DESKHAND_HOME``.

    Returns:
        The folder.

    Raises:
        SettingsError: If it cannot be made.
    """
    try:
        # Customers' words lie here: nobody else on the machine has to read them.
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError([f"DESKHAND_HOME = {str(home)!r}: {error.strerror}; name a folder that can be written"]) from error
    return home


def salt(home: Path) -> str:
    """Return this installation's secret, made at random the first time.

    Args:
        home: ``$DESKHAND_HOME``, which exists; the file is ``salt``, readable by its owner only.

    Returns:
        64 hexadecimal digits.

    Raises:
        SettingsError: If the file cannot be read or written, or holds something else.
    """
    path = home / "salt"
    try:
        if not path.exists():
            fresh = home / f".salt-{secrets.token_hex(8)}"
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
                stream.write(secrets.token_hex(_SALT_BYTES))
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(fresh, path)  # whole or not at all, and the first of two processes wins
            except FileExistsError:
                pass
            finally:
                fresh.unlink()
        text = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError([f"{path}: cannot be read or written ({error}); make the home folder writable"]) from error
    if len(text) < _SALT_BYTES:
        raise SettingsError([f"{path}: holds {len(text)} characters, which is no secret; restore it, or delete it to make one"])
    return text


def connect(settings: Settings, home: Path) -> Store:
    """Open the store alone, for commands that need no model.

    Args:
        settings: ``store.url`` counts; empty means SQLite in the home folder.
        home: ``$DESKHAND_HOME``, made where missing.

    Returns:
        The open store.

    Raises:
        StoreError: If it cannot be opened.
    """
    from assistant.database import sqlite_url
    from assistant.store import open_store

    return open_store(settings.store.url or sqlite_url(make_home(home) / "deskhand.db"))


def load_encoder(settings: Settings) -> Encoder:
    """Load the base encoder.

    Args:
        settings: ``encoder.model``, ``encoder.dtype`` and ``encoder.threads`` count.

    Returns:
        The encoder, without adapters.

    Raises:
        EncoderError: If it cannot be found or read.
    """
    from assistant.encoder import Encoder, resolve

    return Encoder(resolve(settings.encoder.model), dtype=settings.encoder.dtype, threads=settings.encoder.threads)


def base_sha256(settings: Settings) -> str:
    """Return the checksum of the base encoder, for commands that need not load it.

    Raises:
        EncoderError: If it cannot be found.
    """
    from assistant.encoder import file_sha256, resolve

    return file_sha256(resolve(settings.encoder.model) / "model.safetensors")


def open_registry(home: Path) -> Registry:
    """Return the registry of adapters in a home folder."""
    from assistant.registry import Registry

    return Registry(home / "adapters")


def make_redactor(settings: Settings) -> Redactor:
    """Compile the company's patterns of personal data.

    Raises:
        SettingsError: Naming every pattern that cannot be used.
    """
    from assistant.redact import Redactor

    own = settings.redact
    return Redactor(own.order_patterns, own.tracking_patterns, own.phone_regions)


def build(settings: Settings, home: Path, *, now: Callable[[], datetime] | None = None) -> Wired:
    """Build the assistant of a home folder from its store, index and champions.

    Args:
        settings: As ``read_settings`` gives them.
        home: ``$DESKHAND_HOME``.
        now: The clock; the system's, in UTC, by default.

    Returns:
        The assistant with its parts; close it at the end.

    Raises:
        DeskhandError: If a part is missing or damaged; the message says which, and the mend.
    """
    from ui.live import Live
    from ui.watch import Watch, check_rollouts

    make_home(home)
    redactor = make_redactor(settings)
    encoder = load_encoder(settings)
    registry = open_registry(home)
    clock = now or (lambda: datetime.now(UTC))
    notes: list[str] = []
    last: list[Arms[Serving]] = []

    def load() -> Arms[Serving]:
        arms, found = split(settings, home, encoder, registry, before=last[0] if last else None)
        last[:] = [arms]
        notes.extend(note for note in found if note not in notes)
        return arms

    pointers = [home / "index" / "current", *(path for task in SERVED for path in registry.pointers(task))]
    live = Live(pointers, load)
    store = connect(settings, home)
    try:
        watch = Watch(lambda: check_rollouts(registry, store, clock()))

        def serving(conversation_id: str = "") -> Serving:
            if conversation_id:
                watch.replied()
            return live(conversation_id)

        assistant = assemble(store, serving, redactor, settings, salt(home), now=clock)
    except BaseException:
        store.close()
        raise
    return Wired(assistant, store, registry, encoder, settings, home, live, tuple(notes), watch)


def assemble(
    store: Store,
    serving: Callable[[str], Serving],
    redactor: Redactor,
    settings: Settings,
    secret: str,
    *,
    now: Callable[[], datetime],
) -> Assistant:
    """Put an assistant together.

    Args:
        store: Where it reads and writes conversations.
        serving: Gives the parts that answer a conversation, by its id.
        redactor: Finds personal data.
        settings: Sections ``company`` and ``retrieve`` count.
        secret: This installation's, as ``salt`` gives it.
        now: The clock.

    Returns:
        The assistant.
    """
    from assistant.pipeline import Assistant, CompanyFacts

    company = settings.company
    return Assistant(
        store=store,
        serving=serving,
        redactor=redactor,
        company=CompanyFacts(company.name, company.languages, company.support_hours),
        salt=secret,
        now=now,
        new_id=lambda: uuid.uuid4().hex,
        k=settings.retrieve.k,
    )
