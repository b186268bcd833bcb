"""The only place where objects are built: settings and a home folder in, a working assistant out.

Knows which part needs which other part. Knows nothing of commands, pages or requests; ``cli.py`` and ``server.py`` come
after it. Heavy libraries are imported where something is built with them.
"""

from __future__ import annotations

import os
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import SettingsError

if TYPE_CHECKING:
    from assistant.check import Thresholds
    from assistant.compose import Templates
    from assistant.encoder import Encoder
    from assistant.pipeline import Assistant, Serving
    from assistant.products import Products
    from assistant.redact import Redactor
    from assistant.registry import AdapterVersion, Registry
    from assistant.settings import Settings
    from assistant.store import Store
    from retrieval.index import Index

#: Tasks whose champions understand messages.
UNDERSTANDING = ("intent", "sentiment", "slots")
#: Thresholds where neither the settings nor a trained adapter give one; min_evidence was chosen on the sample's validation
#: questions without adapters: English 91 % answered, 68 % of them on the topic, 12 % of what is outside answered too.
UNTRAINED: Mapping[str, float] = {"min_confidence": 0.5, "max_out_of_scope": 0.5, "min_evidence": 0.55}
SETTINGS_FILE = "deskhand.toml"
_SALT_BYTES = 32


@dataclass(frozen=True, slots=True)
class Wired:
    """A working assistant with what it was built from; ``notes`` says, for people, what was found wanting."""

    assistant: Assistant
    store: Store
    registry: Registry
    encoder: Encoder
    settings: Settings
    home: Path
    notes: tuple[str, ...] = ()

    def close(self) -> None:
        """Close the store."""
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


def champions(registry: Registry, base_sha256: str) -> dict[str, AdapterVersion]:
    """Load the champion of every task that understands messages.

    Args:
        registry: Where the versions are.
        base_sha256: Of the encoder that serves them.

    Returns:
        The versions by task; tasks without a champion are left out.

    Raises:
        RegistryError: If a champion is missing, damaged or of another base.
    """
    named = {task: registry.champion(task) for task in UNDERSTANDING}
    return {task: registry.load(task, version, base_sha256) for task, version in named.items() if version}


def read_company_products(home: Path) -> Products | None:
    """Read ``products.json`` of the home folder, which names the company's products; ``None`` without one.

    Raises:
        SettingsError: If it is there and cannot be read.
    """
    from assistant.products import read_products

    path = home / "products.json"
    return read_products(path) if path.is_file() else None


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
    from assistant.pipeline import Assistant, CompanyFacts
    from ui.live import Live

    make_home(home)
    redactor = make_redactor(settings)
    encoder = load_encoder(settings)
    registry = open_registry(home)
    company = settings.company
    notes: list[str] = []

    def load() -> Serving:
        serving, found = serve(settings, home, encoder, registry)
        notes.extend(note for note in found if note not in notes)
        return serving

    pointers = [home / "index" / "current", *(registry.pointer(task) for task in UNDERSTANDING)]
    live = Live(pointers, load)
    store = connect(settings, home)
    try:
        assistant = Assistant(
            store=store,
            serving=live,
            redactor=redactor,
            company=CompanyFacts(company.name, company.languages, company.support_hours),
            salt=salt(home),
            now=now or (lambda: datetime.now(UTC)),
            new_id=lambda: uuid.uuid4().hex,
            k=settings.retrieve.k,
        )
    except BaseException:
        store.close()
        raise
    return Wired(assistant, store, registry, encoder, settings, home, tuple(notes))


def serve(settings: Settings, home: Path, encoder: Encoder, registry: Registry) -> tuple[Serving, tuple[str, ...]]:
    """Read the index version and the champions that serve now.

    Args:
        settings: Sections ``answer``, ``company`` and ``index`` count.
        home: ``$DESKHAND_HOME``.
        encoder: The frozen base.
        registry: Where the champions are.

    Returns:
        The parts, and what was found wanting.

    Raises:
        DeskhandError: If a part is missing or damaged; the message says which, and the mend.
    """
    from assistant.pipeline import Serving
    from assistant.understand import Understander
    from retrieval.index import open_current
    from retrieval.retriever import Retriever

    index = open_current(home / "index", encoder.sha256, gpu=settings.index.gpu)
    languages = settings.company.languages
    understander = Understander(
        encoder, champions(registry, encoder.sha256), languages=languages, products=read_company_products(home)
    )
    serving = Serving(
        retriever=Retriever(index, encoder.encode),
        understander=understander,
        templates=approved_answers(index, languages[0]),
        thresholds=choose_thresholds(settings, understander.thresholds),
        index_version=index.version,
    )
    return serving, index.notes


def approved_answers(index: Index, default_lang: str) -> Templates:
    """Collect the templates that an index version holds.

    Args:
        index: An open version.
        default_lang: Language of the answer where a customer's own has none.

    Returns:
        The templates by intent and language.
    """
    import numpy as np

    from assistant.compose import Templates

    chosen = index.shelf.select(["template"], None, None, None)
    rows = [] if chosen is None else np.flatnonzero(chosen).tolist()
    passages = [index.shelf.passage(row) for row in rows]
    return Templates({(one.intent, one.lang): one for one in passages if one.intent}, default_lang)


def choose_thresholds(settings: Settings, trained: Mapping[str, float]) -> Thresholds:
    """Settle the thresholds of the check: the setting, else what was chosen on data, else a careful figure.

    Args:
        settings: Section ``answer`` counts.
        trained: Thresholds stored with the intent champion; empty without one.

    Returns:
        The thresholds.
    """
    from assistant.check import Thresholds

    def settled(name: str) -> float:
        value: float | None = getattr(settings.answer, name)
        return trained.get(name, UNTRAINED[name]) if value is None else value

    return Thresholds(
        min_confidence=settled("min_confidence"),
        max_out_of_scope=settled("max_out_of_scope"),
        min_evidence=settled("min_evidence"),
        choice_margin=settings.answer.choice_margin,
    )
