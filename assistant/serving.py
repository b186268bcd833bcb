"""What answers now, and for whom: index, adapters, templates and thresholds of one turn, and facts of the company.

Knows nothing of messages. Built in ``ui/wiring.py``, used by ``pipeline.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from assistant.check import Thresholds
from assistant.choose import ReplyChooser
from assistant.compose import Templates
from assistant.records import Hit
from assistant.understand import Understander

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Search(Protocol):
    """What the pipeline needs of a retriever; the tests' small one and the real one both fit."""

    def search(self, text: str, *, vector: NDArray[Any] | None = None, k: int = 8, prefer_lang: str | None = None) -> list[Hit]:
        """Return the best passages for a question."""
        ...


@dataclass(frozen=True, slots=True)
class CompanyFacts:
    """What the assistant knows of who it speaks for."""

    name: str
    languages: tuple[str, ...]
    hours: str = ""
    person_intents: tuple[str, ...] = ("speak_to_human",)


@dataclass(frozen=True, slots=True)
class Serving:
    """The index and adapters that answer now; a turn uses one of these from beginning to end.

    ``intents`` are the labels of the intent adapter, ``oos`` for what is none of the company's business among them. ``chooser``
    orders past replies by the conversation; without a dialog adapter retrieval's order stands.
    """

    retriever: Search
    understander: Understander
    templates: Templates
    thresholds: Thresholds
    index_version: str
    intents: tuple[str, ...] = ()
    chooser: ReplyChooser | None = None

    @property
    def versions(self) -> dict[str, str]:
        """Return the index and adapter versions."""
        chosen = {"dialog": self.chooser.version} if self.chooser else {}
        return {"index": self.index_version, **self.understander.versions, **chosen}

    @property
    def known_intents(self) -> tuple[str, ...]:
        """Return every topic that has a name here, by the adapter or by a template, sorted."""
        return tuple(sorted({*self.intents, *(intent for intent, _ in self.templates.by_intent)}))
