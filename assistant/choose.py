"""Which past reply fits a conversation: the dialog adapter orders the replies that retrieval found.

Contexts and replies meet in one space (``sides.py``; ``finetune/dialog.py`` trains it). Knows nothing of how replies were
found, nor which may be sent: ``retrieval`` comes before it, ``compose.py`` and ``check.py`` after.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from assistant.encoder import Encoder
from assistant.heads import hashed
from assistant.records import Hit, Turn
from assistant.sides import Context, context_grams, context_text, vectors

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from assistant.registry import AdapterVersion

_REPLY_CHARS = 1500
_KEPT = 20_000  # reply vectors at hand, 41 MB at 512 numbers each


def context_of(turns: Sequence[Turn], text: str) -> list[tuple[str, str]]:
    """Return the turns before a reply as training knows them.

    Args:
        turns: Those before the message, oldest first.
        text: The customer's message that waits for the reply.

    Returns:
        ``(role, text)``, oldest first.
    """
    said = [part for turn in turns for part in (("customer", turn.message.text), ("agent", turn.reply.text))]
    return [*said, ("customer", text)]


class ReplyChooser:
    """The dialog adapter that serves now; safe to share between threads."""

    def __init__(self, encoder: Encoder, adapter: AdapterVersion) -> None:
        """Stack the adapter for the encoder.

        Args:
            encoder: The frozen base.
            adapter: A checked version of the task ``dialog``.
        """
        self.version = adapter.manifest.version
        self._encoder = encoder
        self._head = dict(adapter.head)
        self._stack = encoder.stack({"dialog": adapter.weights})
        self._vectors: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def scores(self, context: Context, replies: Sequence[str]) -> NDArray[np.float32]:
        """Say how well replies fit a conversation.

        Args:
            context: ``(role, text)`` of the turns so far, oldest first, the customer's last.
            replies: ``n`` replies.

        Returns:
            Cosines ``(n,)`` in [-1, 1].
        """
        if not replies:
            return np.zeros(0, dtype=np.float32)
        asked = vectors(self._head, "context", self._pooled([context_text(context)]), [context_grams(context)])[0]
        found: NDArray[np.float32] = self._replies([reply[:_REPLY_CHARS] for reply in replies]) @ asked
        return found

    def order(self, context: Context, hits: Sequence[Hit], least: float) -> list[Hit]:
        """Put past replies in the order in which they fit; everything else keeps its place.

        Args:
            context: As for ``scores``.
            hits: Evidence, best first.
            least: Replies that retrieval scored below this stay where they are: the adapter chooses among what may be said.

        Returns:
            The same hits.
        """
        places = [at for at, hit in enumerate(hits) if hit.passage.kind == "reply" and hit.score >= least]
        ordered = list(hits)
        if len(places) < 2:
            return ordered
        fits = self.scores(context, [hits[at].passage.text for at in places])
        for place, best in zip(places, np.argsort(-fits, kind="stable").tolist(), strict=True):
            ordered[place] = hits[places[best]]
        return ordered

    def _replies(self, texts: Sequence[str]) -> NDArray[np.float32]:
        with self._lock:
            kept = {text: self._vectors[text] for text in texts if text in self._vectors}
        missing = [text for text in dict.fromkeys(texts) if text not in kept]
        if missing:
            said = vectors(self._head, "reply", self._pooled(missing), [hashed(text) for text in missing])
            kept |= dict(zip(missing, said, strict=True))
        with self._lock:
            for text in texts:
                self._vectors[text] = kept[text]
                self._vectors.move_to_end(text)
            while len(self._vectors) > _KEPT:
                self._vectors.popitem(last=False)
        return np.stack([kept[text] for text in texts])

    def _pooled(self, texts: Sequence[str]) -> Tensor:
        import torch

        block = self._encoder.encode_for_tasks(texts, self._stack)
        with torch.inference_mode():
            return self._encoder.pool(block.hidden["dialog"], block.mask)
