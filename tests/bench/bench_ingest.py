"""Ingest measured: encoding passages beside sentence-transformers, and a folder end to end.

    python tests/bench/bench_ingest.py PATH... [--threads 2] [--sample 2000]

The peer is ``SentenceTransformer.encode`` in fp32 of the same model on the same search texts, at its default batch size. The
limit is the rate at which this machine could push the same tokens through the model's matrix products alone, measured as
one large fp32 product in the same run: attention, normalisation, tokens and padding come on top of it. Rounds alternate, and
the best of each counts, because other work on the machine only ever slows one down.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from assistant.encoder import Encoder, resolve
from assistant.redact import Redactor
from assistant.settings import Redact
from assistant.store import open_store, sqlite_url
from retrieval.index import open_current
from retrieval.ingest import IngestReport, ingest

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
MODEL = "all-MiniLM-L6-v2"
ROUNDS = 3
Row = dict[str, Any]


def main(paths: list[Path], threads: int = 2, sample: int = 2_000) -> list[Row]:
    """Ingest each path into an empty home, then encode a sample of the first one's passages with both encoders.

    Args:
        paths: Files and folders, each a run of its own; those that are absent are named and left out.
        threads: Of torch.
        sample: How many search texts are encoded.

    Returns:
        One row for each figure.
    """
    rows: list[Row] = []
    encoder = Encoder(resolve(MODEL), threads=threads)
    texts: list[str] = []
    for path in paths:
        if not path.exists():
            print(f"skipped {path.name}: not there")
            continue
        with tempfile.TemporaryDirectory() as folder:
            rows += _end_to_end(path, encoder, Path(folder))
            shelf = open_current(Path(folder) / "index", encoder.sha256, gpu="never").shelf
            texts = texts or sorted({one.search_text for one in shelf.passages()})
    if texts:
        step = max(1, len(texts) // sample)
        rows += encoding(encoder, texts[::step][:sample], threads)
    return rows


def encoding(encoder: Encoder, texts: list[str], threads: int) -> list[Row]:
    """Measure passages a second of our encoder and of sentence-transformers.

    Args:
        encoder: Ours, as it serves.
        texts: Search texts.
        threads: Of torch, for both.

    Returns:
        One row.
    """
    import torch
    from sentence_transformers import SentenceTransformer

    peer = SentenceTransformer(str(encoder.folder), device="cpu", model_kwargs={"dtype": torch.float32})
    torch.set_num_threads(threads)
    ours, theirs, products = 0.0, 0.0, 0.0
    encoder.encode(texts[:64])
    peer.encode(texts[:64], show_progress_bar=False)
    for _ in range(ROUNDS):
        ours = max(ours, _rate(len(texts), lambda: encoder.encode(texts)))
        theirs = max(theirs, _rate(len(texts), lambda: peer.encode(texts, show_progress_bar=False)))
        products = max(products, _flops())
    tokens = sum(len(ids) for ids in peer.tokenizer(texts, truncation=True, max_length=encoder.max_tokens)["input_ids"])
    layers = [value.numel() for name, value in peer.named_parameters() if "encoder.layer" in name and value.ndim == 2]
    limit = products / (2 * sum(layers) * tokens / len(texts))
    return [
        {
            "figure": f"encoding passages ({tokens / len(texts):.0f} tokens each, {encoder.dtype}, {threads} threads), a second",
            "value": round(ours, 1),
            "target": 300,
            "peer": {"sentence-transformers fp32": round(theirs, 1)},
            "limit": f"{limit:.0f}: {products / 1e9:.0f} GFLOP/s in one fp32 product",
            "n": len(texts),
        }
    ]


def _end_to_end(path: Path, encoder: Encoder, home: Path) -> list[Row]:
    own = Redact()
    redactor = Redactor(own.order_patterns, own.tracking_patterns, own.phone_regions)
    note = home / "notes" / "night.md"
    note.parent.mkdir()
    note.write_text("# Night desk\n\nFrom ten at night on, the desk answers by telephone only.\n", encoding="utf-8")
    with open_store(sqlite_url(home / "deskhand.db")) as store:

        def run(what: Path) -> tuple[IngestReport, float]:
            started = time.perf_counter()
            report = ingest(
                [what],
                store=store,
                encoder=encoder,
                redactor=redactor,
                salt="bench",
                index_root=home / "index",
                now=lambda: datetime.now(UTC),
                new_id=lambda: uuid4().hex,
            )
            return report, time.perf_counter() - started

        first, first_s = run(path)
        _, again_s = run(path)
        one, one_s = run(note)
    held = sum(source.conversations + source.articles + source.templates for source in first.sources)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    about = f"{path.name}: {held} conversations and articles, {first.passages} passages, {first.folded} folded"
    found = (
        (f"ingest {about}, s (peak of the process so far {peak} MB)", first_s, first.seconds),
        (f"ingest {path.name} again, s", again_s, None),
        (f"one article more after {path.name}, s ({one.encoded} encoded, {one.reused} taken over)", one_s, one.seconds),
    )
    return [
        {"figure": figure, "value": round(value, 2), "target": None, "peer": None, "limit": stages, "n": held}
        for figure, value, stages in found
    ]


def _rate(count: int, run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return count / (time.perf_counter() - started)


def _flops() -> float:
    """Return floating point operations a second of one product of the model's own shape."""
    import torch

    left, right = torch.rand(4096, 384), torch.rand(384, 1536)
    torch.mm(left, right)
    started = time.perf_counter()
    for _ in range(20):
        torch.mm(left, right)
    return 20 * 2 * 4096 * 384 * 1536 / (time.perf_counter() - started)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", type=Path, nargs="*", default=[SAMPLE / "conversations.jsonl.gz"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--sample", type=int, default=2_000)
    options = parser.parse_args()
    for line in main(options.paths, options.threads, options.sample):
        print(json.dumps(line, ensure_ascii=False))
