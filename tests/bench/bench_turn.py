"""Milliseconds of one turn over 100,000 passages, beside a plain LangChain chain, and seconds of a cold command.

The peer does the same work the plain way: the same encoder in fp32 through sentence-transformers behind LangChain's
``Embeddings``, FAISS (flat) behind ``BaseRetriever``, one peft adapter after the other for intent, sentiment and slots,
and a Runnable that joins them. Its retrieval alone is printed too, since it answers nothing but search.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.bench_answers import ROOT, rows, sample_home
from tests.bench.bench_retrieval import synthetic

TURNS = 200


def _percentiles(call: Callable[[str], Any], questions: list[str]) -> tuple[float, float]:
    for text in questions[:20]:
        call(text)
    times = []
    for text in questions[:TURNS]:
        started = time.perf_counter()
        call(text)
        times.append((time.perf_counter() - started) * 1e3)
    times.sort()
    return statistics.median(times), times[int(len(times) * 0.95)]


def _large_index(home: Path, wired: Any, count: int) -> Any:
    """Build an index of ``count`` passages: the sample company's own and synthetic ones behind them."""
    from retrieval import index as versions

    own = versions.open_current(wired.home / "index", wired.encoder.sha256)
    passages = own.shelf.passages()
    vectors = np.asarray(own.nearest.vectors, dtype=np.float32)
    extra, far = synthetic(count - len(passages), seed=11)
    versions.build(
        home / "index-100k",
        [*passages, *extra],
        np.concatenate([vectors, far]),
        encoder_sha256=wired.encoder.sha256,
        encoder_name=wired.encoder.name,
        now=datetime.now(UTC),
        version="v100k",
    )
    return versions.open_current(home / "index-100k", wired.encoder.sha256)


def _chain(encoder_folder: Path, adapters: Path, vectors: np.ndarray[Any, Any], texts: list[str]) -> tuple[Any, Any]:
    """Build the peer: the whole chain, and its retrieval alone."""
    import faiss
    import torch
    from langchain_core.callbacks import CallbackManagerForRetrieverRun
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import RunnableLambda, RunnableParallel
    from peft import PeftModel
    from sentence_transformers import SentenceTransformer
    from transformers import AutoModel, AutoTokenizer

    model = SentenceTransformer(str(encoder_folder), device="cpu")

    class Plain(Embeddings):
        def embed_query(self, text: str) -> list[float]:
            return model.encode(text, normalize_embeddings=True, show_progress_bar=False).tolist()

        def embed_documents(self, texts: list[str]) -> list[list[float]]:
            return [self.embed_query(text) for text in texts]

    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    embeddings = Plain()

    class Flat(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
            scores, found = flat.search(np.array([embeddings.embed_query(query)], dtype=np.float32), 8)
            return [Document(texts[i], metadata={"score": float(s)}) for i, s in zip(found[0], scores[0], strict=True)]

    tokenizer = AutoTokenizer.from_pretrained(encoder_folder)
    base = AutoModel.from_pretrained(encoder_folder)
    tasks = ["intent", "sentiment", "slots"]
    folders = {task: next(path.parent for path in sorted((adapters / task).glob("*/manifest.json"))) for task in tasks}
    adapted = PeftModel.from_pretrained(base, folders["intent"], adapter_name="intent")
    for task in tasks[1:]:
        adapted.load_adapter(folders[task], adapter_name=task)
    adapted.eval()

    def classify(task: str) -> Callable[[str], list[float]]:
        def run(text: str) -> list[float]:
            adapted.set_adapter(task)
            with torch.inference_mode():
                hidden = adapted(**tokenizer(text, return_tensors="pt", truncation=True)).last_hidden_state
            return hidden.mean(1)[0, :3].tolist()

        return run

    retriever = Flat()
    understanding = {task: RunnableLambda(classify(task)) for task in tasks}
    whole = RunnableParallel(evidence=retriever, **understanding) | RunnableLambda(
        lambda found: {"reply": found["evidence"][0].page_content, **found}
    )
    return whole, retriever


def _cold(arguments: list[str], home: Path, times: int = 5) -> float:
    import os

    environment = {**os.environ, "DESKHAND_HOME": str(home)}
    command = [sys.executable, "-c", "from ui.cli import main; main()", *arguments]
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run(command, check=True, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def main(data: Path, home: Path | None = None, count: int = 100_000) -> list[dict[str, Any]]:
    """Measure turns and cold starts.

    Args:
        data: Unused.
        home: Where the sample company is set up; a temporary folder by default.
        count: Passages in the index.

    Returns:
        Rows for the bench table.
    """
    from assistant.pipeline import Assistant
    from assistant.settings import load
    from retrieval.retriever import Retriever
    from ui.wiring import build, make_redactor, salt, serve

    with tempfile.TemporaryDirectory() as scratch:
        place = sample_home(home or Path(scratch) / "home")
        wired = build(load(place / "deskhand.toml"), place)
        index = _large_index(Path(scratch), wired, count)
        serving, _ = serve(wired.settings, place, wired.encoder, wired.registry)
        large = replace(serving, retriever=Retriever(index, wired.encoder.encode))
        assistant = Assistant(
            store=wired.store,
            serving=lambda _: large,
            redactor=make_redactor(wired.settings),
            company=wired.assistant.company,
            salt=salt(place),
            now=lambda: datetime.now(UTC),
            new_id=lambda: uuid.uuid4().hex,
        )
        questions = [row["text"] for row in rows(ROOT / "data" / "sample" / "validation" / "intent.jsonl") if row["lang"] == "en"]
        questions = (questions * 4)[: TURNS + 20]
        p50, p95 = _percentiles(assistant.turn, questions)
        vectors = np.ascontiguousarray(index.nearest.vectors, dtype=np.float32)
        texts = ["passage"] * len(vectors)
        whole, alone = _chain(wired.encoder.folder, place / "adapters", vectors, texts)
        peer50, peer95 = _percentiles(whole.invoke, questions)
        only50, only95 = _percentiles(alone.invoke, questions)
        forward50, _ = _percentiles(lambda text: wired.encoder.encode_for_tasks([text]), questions)
        wired.close()
        help_s = _cold(["--help"], place)
        ask_s = _cold(["ask", "where is my parcel?", "--json"], place)
        python_s = _cold_python()
    return [
        {
            "figure": f"one turn, {count:,} passages, p50 / p95",
            "value": f"{p50:.1f} / {p95:.1f} ms",
            "target": "25 / 60 ms",
            "peer": f"LangChain chain, same work, fp32: {peer50:.1f} / {peer95:.1f} ms ({peer50 / p50:.1f}x)",
            "limit": f"the forward pass alone: {forward50:.1f} ms",
            "n": TURNS,
        },
        {
            "figure": "the same turn against the chain's retrieval alone",
            "value": f"{p50:.1f} / {p95:.1f} ms",
            "target": "4 times faster than the chain",
            "peer": f"retrieval only: {only50:.1f} / {only95:.1f} ms ({only50 / p50:.1f}x)",
            "limit": "",
            "n": TURNS,
        },
        {
            "figure": "cold `deskhand ask` / `deskhand --help`",
            "value": f"{ask_s:.2f} / {help_s:.2f} s",
            "target": "4 / 0.3 s",
            "peer": "",
            "limit": f"python and torch alone: {python_s:.2f} s",
            "n": 5,
        },
    ]


def _cold_python() -> float:
    taken = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import torch"], check=True)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


if __name__ == "__main__":
    for line in main(Path()):
        print(line)
