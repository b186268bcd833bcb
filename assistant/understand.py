"""Messages -> intent with calibrated confidence, sentiment, slots and language, in one forward pass.

Runs base and adapters as one batch and applies the heads. Knows one text at a time: what the conversation adds is in
``context.py``; what to answer is decided later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from assistant.encoder import EncodedBlock, Encoder
from assistant.heads import behind_question, class_logits, tagged_spans
from assistant.language import detect
from assistant.microbatch import MicroBatcher
from assistant.products import Products
from assistant.records import IntentGuess, Sentiment, SentimentLabel, Understanding

if TYPE_CHECKING:
    from torch import Tensor

    from assistant.registry import AdapterVersion

OUT_OF_SCOPE = "oos"
SOCIAL = frozenset({"greeting", "thanks", "goodbye"})
_READ_CHARS = 1500  # the model reads the beginning; a customer's question is not on page two
_INVISIBLE = re.compile("[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\U000e0000-\U000e007f]")


class Understander:
    """The encoder with the adapters that serve now; safe to share between threads."""

    def __init__(
        self,
        encoder: Encoder,
        adapters: Mapping[str, AdapterVersion],
        *,
        languages: Sequence[str],
        products: Products | None = None,
    ) -> None:
        """Stack the adapters for the encoder.

        Args:
            encoder: The frozen base.
            adapters: By task: ``intent``, ``sentiment``, ``slots``; any may be missing.
            languages: The company's languages.
            products: Names of the company's products, for the ``product`` slot.
        """
        self.encoder = encoder
        self._adapters = dict(adapters)
        self._languages = tuple(languages)
        self._products = products
        self._batched = MicroBatcher(self._run)
        # Its own stack: while a promotion takes effect, an older Understander still reads with the heads it began with.
        self._stack = encoder.stack({task: version.weights for task, version in self._adapters.items()})

    @property
    def versions(self) -> dict[str, str]:
        """Return the version that serves each task."""
        return {task: version.manifest.version for task, version in self._adapters.items()}

    @property
    def intents(self) -> tuple[str, ...]:
        """Return the labels the intent adapter knows; empty without one."""
        intent = self._adapters.get("intent")
        return intent.manifest.labels if intent else ()

    @property
    def thresholds(self) -> dict[str, float]:
        """Return the thresholds chosen on validation when the intent adapter was trained; empty without one."""
        intent = self._adapters.get("intent")
        return dict(intent.manifest.thresholds) if intent else {}

    @property
    def mood_thresholds(self) -> dict[str, float]:
        """Return the thresholds chosen when the sentiment adapter was trained; empty without one."""
        sentiment = self._adapters.get("sentiment")
        return dict(sentiment.manifest.thresholds) if sentiment else {}

    def read(self, texts: Sequence[str], before: str | None = None, asked: str = "") -> list[Understanding]:
        """Understand texts in one forward pass.

        Args:
            texts: Redacted messages, or parts of one.
            before: The conversation's language so far.
            asked: Names of the slots that were asked for before the first text; counts where the tagger was trained with it.

        Returns:
            One understanding per text.
        """
        clean = tuple(visible(text)[:_READ_CHARS] or " " for text in texts)
        slots = self._adapters.get("slots")
        if not asked or not clean or slots is None or not slots.manifest.head.get("asked"):
            found: list[Understanding] = self._batched((clean, before, 0))
            return found
        behind = behind_question(clean[0], asked)
        *found, answer = self._batched(((*clean, behind), before, len(behind) - len(clean[0])))
        return [replace(found[0], slots={**found[0].slots, **answer.slots}), *found[1:]]

    def _run(self, calls: Sequence[tuple[tuple[str, ...], str | None, int]]) -> list[list[Understanding]]:
        """Read the texts of one or several calls, made by different conversations at the same time, as one batch.

        A call's last text begins with a question of so many characters.
        """
        clean = [text for texts, _, _ in calls for text in texts]
        languages = [before for texts, before, _ in calls for _ in texts]
        begins = [0 if left else question for texts, _, question in calls for left in reversed(range(len(texts)))]
        readings = iter(self._read(clean, languages, begins))
        return [[next(readings) for _ in texts] for texts, _, _ in calls]

    def _read(self, clean: Sequence[str], before: Sequence[str | None], begins: Sequence[int]) -> list[Understanding]:
        block = self.encoder.encode_for_tasks(clean, self._stack)
        vectors = self.encoder.pool(block.hidden["base"], block.mask).numpy().astype(np.float32)
        intents = self._classes("intent", block, clean)
        feelings = self._classes("sentiment", block, clean)
        emotions = self._emotions(block)
        slots = self._slots(block, clean, begins)
        found = []
        for row, text in enumerate(clean):
            chances = intents[row] if intents else {}
            guesses = sorted(
                (IntentGuess(name, chance) for name, chance in chances.items() if name != OUT_OF_SCOPE),
                key=lambda guess: -guess.confidence,
            )
            found.append(
                Understanding(
                    language=detect(text, before[row], self._languages),
                    intents=tuple(guesses[:8]),
                    out_of_scope=chances.get(OUT_OF_SCOPE, 0.0),
                    sentiment=_sentiment(feelings[row]) if feelings else None,
                    slots=slots[row],
                    vector=vectors[row],
                    versions=self.versions,
                    emotions=emotions[row] if emotions else {},
                )
            )
        return found

    def _emotions(self, block: EncodedBlock) -> list[dict[str, float]]:
        import torch
        from torch.nn import functional as fn

        version = self._adapters.get("sentiment")
        if version is None or "emotion.weight" not in version.head:
            return []
        names = version.manifest.head["emotions"]
        with torch.inference_mode():
            pooled = self.encoder.pool(block.hidden["sentiment"], block.mask)
            rows = torch.sigmoid(fn.linear(pooled, version.head["emotion.weight"], version.head["emotion.bias"])).tolist()
        return [dict(zip(names, (round(chance, 4) for chance in row), strict=True)) for row in rows]

    def _classes(self, task: str, block: EncodedBlock, texts: Sequence[str]) -> list[dict[str, float]]:
        import torch

        version = self._adapters.get(task)
        if version is None:
            return []
        pooled: Tensor = self.encoder.pool(block.hidden[task], block.mask)
        with torch.inference_mode():
            logits = class_logits(version.head, pooled, texts) / version.manifest.temperature
        rows = torch.softmax(logits, dim=1).tolist()
        return [dict(zip(version.manifest.labels, row, strict=True)) for row in rows]

    def _slots(self, block: EncodedBlock, texts: Sequence[str], begins: Sequence[int]) -> list[dict[str, str]]:
        found: list[dict[str, str]] = [{} for _ in texts]
        version = self._adapters.get("slots")
        if version is not None:
            head, labels, once = version.head, version.manifest.labels, version.manifest.head.get("once", ())
            scores = block.hidden["slots"] @ head["deep.weight"].T + head["deep.bias"]
            for row, offsets in enumerate(block.offsets):
                for start, end, slot in tagged_spans(scores[row], labels, offsets, texts[row], once, begins[row]):
                    found[row].setdefault(slot, texts[row][start:end])
        for row, text in enumerate(texts):
            self._name_product(found[row], text[begins[row] :])
        return found

    def _name_product(self, slots: dict[str, str], text: str) -> None:
        if self._products is None:
            return
        mention = slots.pop("product", None)
        product = self._products.find(text) or (self._products.named(mention) if mention else None)
        if product:
            slots["product"] = product


def drop_invisible(text: str) -> str:
    """Return the text without zero-width and direction characters, which can hide a card number from its pattern."""
    return _INVISIBLE.sub("", text)


def visible(text: str) -> str:
    """Return the text without zero-width and direction characters, spaces folded, for models to read."""
    return " ".join(drop_invisible(text).split())


def _sentiment(chances: Mapping[str, float]) -> Sentiment:
    label: SentimentLabel = max(("negative", "neutral", "positive"), key=lambda name: chances.get(name, 0.0))  # type: ignore[assignment]
    score = chances.get("positive", 0.0) - chances.get("negative", 0.0)
    return Sentiment(label, chances.get(label, 0.0), score)
