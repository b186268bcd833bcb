"""LangChain seams: our encoder as ``Embeddings``, our retriever as ``BaseRetriever``.

The only file of this folder that imports LangChain. Anything that speaks these two interfaces can take our place, and
ours can stand in any chain. Knows nothing of indexes.
"""

from __future__ import annotations

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever

from retrieval.fuse import Encode
from retrieval.retriever import Retriever


class EncoderEmbeddings(Embeddings):
    """``Embeddings`` over ``Encoder.encode`` or any function of its kind."""

    def __init__(self, encode: Encode) -> None:
        """Keep the function from texts to unit vectors ``(n, d)`` float32."""
        self._encode = encode

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed texts; returns ``n`` lists of ``d`` numbers."""
        vectors: list[list[float]] = self._encode(texts).tolist()
        return vectors

    def embed_query(self, text: str) -> list[float]:
        """Embed one question; returns ``d`` numbers."""
        return self.embed_documents([text])[0]


class PassageRetriever(BaseRetriever):
    """``BaseRetriever`` over ``Retriever``; metadata carries id, kind, title, source, lang, intent and score."""

    retriever: Retriever
    k: int = 8
    kinds: tuple[str, ...] | None = None
    lang: str | None = None

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        hits = self.retriever.search(query, k=self.k, kinds=self.kinds, lang=self.lang)
        return [
            Document(
                id=hit.passage.id,
                page_content=hit.passage.text,
                metadata={
                    "kind": hit.passage.kind,
                    "title": hit.passage.title,
                    "source": hit.passage.source,
                    "lang": hit.passage.lang,
                    "intent": hit.passage.intent,
                    "score": hit.score,
                },
            )
            for hit in hits
        ]
