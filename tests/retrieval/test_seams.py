"""Any LangChain chain can take our encoder and our retriever."""

from __future__ import annotations

import numpy as np
from langchain_core.runnables import RunnableLambda

from assistant.encoder import Encoder
from retrieval.index import Index
from retrieval.retriever import Retriever
from retrieval.seams import EncoderEmbeddings, PassageRetriever


def test_embeddings_are_the_encoders(encoder: Encoder) -> None:
    seam = EncoderEmbeddings(encoder.encode)
    assert np.allclose(seam.embed_query("refund"), encoder.encode(["refund"])[0], atol=1e-6)
    assert np.array(seam.embed_documents(["a", "b"])).shape == (2, encoder.dim)
    assert seam.embed_documents([]) == []


def test_retriever_works_in_a_chain(index: Index, encoder: Encoder) -> None:
    seam = PassageRetriever(retriever=Retriever(index, encoder.encode), k=2, kinds=("article",))
    chain = seam | RunnableLambda(lambda documents: documents[0])
    best = chain.invoke("when is my refund paid")
    assert best.id == "refund" and best.page_content.startswith("Refunds reach")
    assert best.metadata.keys() == {"kind", "title", "source", "lang", "intent", "score"}
    assert len(seam.invoke("refund")) == 2
