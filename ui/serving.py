"""What serves, read from a home folder: index and adapters, for the champions and for the candidates on trial.

While a candidate is tried, two sets of parts are built: the champions', and one in which the candidate stands for its
champion; encoder, index and retriever are the same. A champion that is damaged is stood in for by the one before it, aloud.
Before: ``wiring.py`` opens encoder and registry. After: ``live.py`` chooses among the parts for every conversation.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.errors import RegistryError

if TYPE_CHECKING:
    from assistant.check import Thresholds
    from assistant.choose import ReplyChooser
    from assistant.compose import Templates
    from assistant.encoder import Encoder
    from assistant.pipeline import Serving
    from assistant.products import Products
    from assistant.registry import AdapterVersion, Registry
    from assistant.settings import Settings
    from assistant.understand import Understander
    from retrieval.index import Index
    from ui.live import Arms

LOG = logging.getLogger("deskhand")
#: Tasks whose champions understand messages, and those that serve at all: the dialog adapter orders past replies.
UNDERSTANDING = ("intent", "sentiment", "slots")
SERVED = (*UNDERSTANDING, "dialog")
#: Thresholds where neither the settings nor a trained adapter give one; min_evidence was chosen on the sample's validation
#: questions without adapters: English 91 % answered, 68 % of them on the topic, 12 % of what is outside answered too.
UNTRAINED: Mapping[str, float] = {"min_confidence": 0.5, "max_out_of_scope": 0.5, "min_evidence": 0.55}


def champions(
    registry: Registry, base_sha256: str, tell: Callable[[str], None] = LOG.error, *, instead: Mapping[str, str] | None = None
) -> dict[str, AdapterVersion]:
    """Load the champion of every task that serves; the one before stands in for a champion that is damaged.

    Args:
        registry: Where the versions are.
        base_sha256: Of the encoder that serves them.
        tell: Called with one line for each champion that is stood in for; never silent.
        instead: Versions to load in place of champions, by task; nothing stands in for these.

    Returns:
        The versions by task; tasks without a champion are left out.

    Raises:
        RegistryError: If a champion is missing, damaged or of another base, and so is the one before it.
    """
    instead = instead or {}
    found = {}
    for task in SERVED:
        if task in instead:
            found[task] = registry.load(task, instead[task], base_sha256)
        elif served := registry.load_serving(task, base_sha256):
            found[task] = served.adapter
            if served.fault:
                tell(f"{task}: {served.fault}; `deskhand adapters rollback {task}` makes that final")
    return found


def read_company_products(home: Path) -> Products | None:
    """Read ``products.json`` of the home folder, which names the company's products; ``None`` without one.

    Raises:
        SettingsError: If it is there and cannot be read.
    """
    from assistant.products import read_products

    path = home / "products.json"
    return read_products(path) if path.is_file() else None


def serve(
    settings: Settings, home: Path, encoder: Encoder, registry: Registry, versions: Mapping[str, str] | None = None
) -> tuple[Serving, tuple[str, ...]]:
    """Read the index version and the champions that serve now.

    Args:
        settings: Sections ``answer``, ``company`` and ``index`` count.
        home: ``$DESKHAND_HOME``.
        encoder: The frozen base.
        registry: Where the champions are.
        versions: Versions to take in place of champions, by task.

    Returns:
        The parts, and what was found wanting.

    Raises:
        DeskhandError: If a part is missing or damaged; the message says which, and the mend.
    """
    from assistant.pipeline import Serving
    from retrieval.index import open_current
    from retrieval.retriever import Retriever

    notes: list[str] = []
    index = open_current(home / "index", encoder.sha256, gpu=settings.index.gpu)
    adapters = champions(registry, encoder.sha256, notes.append, instead=versions)
    understander = _understander(settings, home, encoder, adapters)
    serving = Serving(
        retriever=Retriever(index, encoder.encode),
        understander=understander,
        templates=approved_answers(index, settings.company.languages[0]),
        thresholds=choose_thresholds(settings, understander.thresholds),
        index_version=index.version,
        intents=understander.intents,
        chooser=_chooser(encoder, adapters),
    )
    return serving, (*index.notes, *notes)


def with_versions(
    serving: Serving, settings: Settings, home: Path, registry: Registry, versions: Mapping[str, str]
) -> tuple[Serving, tuple[str, ...]]:
    """Read adapters anew for the index, retriever and encoder of parts that are loaded already.

    Args:
        serving: The parts; they stay as they are.
        settings: Sections ``answer`` and ``company`` count.
        home: ``$DESKHAND_HOME``.
        registry: Where the versions are.
        versions: Versions to take in place of champions, by task.

    Returns:
        Parts that share all but the adapters, and what was found wanting.

    Raises:
        RegistryError: If a version is missing or damaged.
    """
    notes: list[str] = []
    encoder = serving.understander.encoder
    adapters = champions(registry, encoder.sha256, notes.append, instead=versions)
    understander = _understander(settings, home, encoder, adapters)
    changed = replace(
        serving,
        understander=understander,
        thresholds=choose_thresholds(settings, understander.thresholds),
        intents=understander.intents,
        chooser=_chooser(encoder, adapters),
    )
    return changed, tuple(notes)


def split(
    settings: Settings, home: Path, encoder: Encoder, registry: Registry, *, before: Arms[Serving] | None = None
) -> tuple[Arms[Serving], tuple[str, ...]]:
    """Read what serves now: the champions, and for every candidate on trial the parts in which it stands for its champion.

    A candidate that cannot be loaded is left out, aloud: the champion answers all conversations.

    Args:
        settings: Sections ``answer``, ``company`` and ``index`` count.
        home: ``$DESKHAND_HOME``.
        encoder: The frozen base.
        registry: Where the versions are.
        before: What served until now; its index is kept if it is still the current one.

    Returns:
        The arms, and what was found wanting; where parts served before, that is logged as well.

    Raises:
        DeskhandError: If a part that all conversations need is missing or damaged.
    """
    from retrieval.index import POINTER
    from ui.live import Arms

    champion = frozenset[str]()
    served = before.parts[champion] if before else None
    pointer = home / "index" / POINTER
    if served is not None and pointer.is_file() and pointer.read_text(encoding="utf-8").strip() == served.index_version:
        first, notes = with_versions(served, settings, home, registry, {})
    else:
        first, notes = serve(settings, home, encoder, registry)
    found = list(notes)
    candidates = {}
    for task in SERVED:
        try:
            candidate = registry.candidate(task)
            if candidate is not None:
                registry.load(task, candidate.version, encoder.sha256)
                candidates[task] = candidate
        except RegistryError as error:
            found.append(f"{task}: the candidate cannot be tried, the champion answers all conversations ({error})")
    parts = {champion: first}
    # Usually one task is on trial, so there are two; all four at once would make sixteen, of which each is small.
    for tasks in chain.from_iterable(combinations(candidates, size) for size in range(1, len(candidates) + 1)):
        versions = {task: candidates[task].version for task in tasks}
        parts[frozenset(tasks)], _ = with_versions(first, settings, home, registry, versions)
    if before is not None:  # at the start the commands print it
        for line in found:
            LOG.error("%s", line)
    return Arms(parts, candidates), tuple(found)


def _understander(settings: Settings, home: Path, encoder: Encoder, adapters: Mapping[str, AdapterVersion]) -> Understander:
    from assistant.understand import Understander

    reads = {task: version for task, version in adapters.items() if task in UNDERSTANDING}
    return Understander(encoder, reads, languages=settings.company.languages, products=read_company_products(home))


def _chooser(encoder: Encoder, adapters: Mapping[str, AdapterVersion]) -> ReplyChooser | None:
    from assistant.choose import ReplyChooser

    return ReplyChooser(encoder, adapters["dialog"]) if "dialog" in adapters else None


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
