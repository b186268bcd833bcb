"""Recall and precision of redaction on the presidio_pii corpora; printed, never asserted.

``synth_dataset_v2`` is what the patterns were chosen on; ``generated_large`` is the held-back one. A labelled span counts as
recalled if redaction covers all of it (any type), and as *same type* if placeholders of its own type cover it. Precision is the
share of e-mail, phone, card and IBAN placeholders that touch any labelled personal data. The peer is one textbook pattern per
type. Run: ``python tests/bench/bench_pii.py --data FOLDER``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from assistant.redact import Memory, Redactor  # noqa: E402

TYPES = {"EMAIL_ADDRESS": "EMAIL", "PHONE_NUMBER": "PHONE", "CREDIT_CARD": "CARD", "IBAN_CODE": "IBAN"}
ALSO = {"US_SSN": "SSN", "IP_ADDRESS": "IP"}
FILES = (("synth_dataset_v2.jsonl.gz", "development"), ("generated_large.jsonl.gz", "held back"))
TEXTBOOK = {
    "EMAIL": re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+"),
    "PHONE": re.compile(r"\+?\d{0,3}[ .-]?\(?\d{3}\)?[ .-]?\d{3}[ .-]?\d{4}"),
    "CARD": re.compile(r"\b(?:\d[ -]?){13,16}\b"),
    "IBAN": re.compile(r"\b[A-Z]{2}\d{2}[A-Z0-9]{11,30}\b"),
    "SSN": re.compile(r"\b\d{3}-\d{2}-\d{4}\b"),
    "IP": re.compile(r"\b(?:\d{1,3}\.){3}\d{1,3}\b"),
}
NORMAL = (
    "Hi, this is Anna Smith. My order FW-123456 from 12 May has not come, please call me on 07700 900123 or mail a@example.com."
)


def main(data: Path, missed: int = 0) -> list[dict[str, Any]]:
    """Measure both files.

    Args:
        data: The folder that holds ``presidio_pii``.
        missed: How many missed values per type to print, from the development file only.

    Returns:
        Rows of figure, value, target, peer, limit and n; empty if the data is absent.
    """
    folder = data / "presidio_pii"
    redactor = Redactor([], [], ["GB", "US", "CN", "DE"])
    rows: list[dict[str, Any]] = []
    for name, role in FILES:
        if not (folder / name).is_file():
            print(f"skipped: {folder / name} is absent")
            continue
        with gzip.open(folder / name, "rt", encoding="utf-8") as lines:
            rows += _measure([json.loads(line) for line in lines], role, redactor, missed if role == "development" else 0)
    rows.append(_row("redact one message, ms", _milliseconds(redactor), 1.0, None, None, 2000))
    return rows


def _measure(samples: list[dict[str, Any]], role: str, redactor: Redactor, missed: int) -> Iterator[dict[str, Any]]:
    hits = {kind: [0, 0, 0, 0] for kind in (TYPES | ALSO).values()}  # covered, same type, peer, labelled
    precise = {kind: [0, 0] for kind in TYPES.values()}  # touching a label, all
    for sample in samples:
        text = sample["full_text"]
        spans = [(s["start_position"], s["end_position"], s["entity_type"]) for s in sample["spans"]]
        found = redactor.redact(text, Memory("bench")).found
        for start, end, label in spans:
            kind = (TYPES | ALSO).get(label)
            if kind is None:
                continue
            covered = _covers([(f.start, f.end) for f in found], start, end)
            hits[kind][0] += covered
            hits[kind][1] += _covers([(f.start, f.end) for f in found if f.kind == kind], start, end)
            hits[kind][2] += _covers([m.span() for m in TEXTBOOK[kind].finditer(text)], start, end)
            hits[kind][3] += 1
            if not covered and missed > 0:
                print(f"missed {kind}: {text[max(0, start - 40) : start]!r} >>{text[start:end]}<< {text[end : end + 15]!r}")
        for finding in found:
            if finding.kind in precise:
                touches = any(finding.start < end and start < finding.end for start, end, _ in spans)
                precise[finding.kind][0] += touches
                precise[finding.kind][1] += 1
                if not touches and missed > 0:
                    print(f"false {finding.kind}: {text[max(0, finding.start - 30) : finding.end + 15]!r}")
    for kind, (covered, same, peer, labelled) in hits.items():
        target = 0.99 if kind in precise else None
        yield _row(f"{role}: {kind} recall", covered / max(1, labelled), target, peer / max(1, labelled), 1.0, labelled)
        yield _row(f"{role}: {kind} recall, same type", same / max(1, labelled), None, None, 1.0, labelled)
    for kind, (right, total) in precise.items():
        yield _row(f"{role}: {kind} precision", right / max(1, total), None, None, 1.0, total)


def _covers(found: list[tuple[int, int]], start: int, end: int) -> bool:
    return all(any(a <= place < b for a, b in found) for place in range(start, end))


def _row(figure: str, value: float, target: float | None, peer: float | None, limit: float | None, n: int) -> dict[str, Any]:
    return {"figure": figure, "value": value, "target": target, "peer": peer, "limit": limit, "n": n}


def _milliseconds(redactor: Redactor, rounds: int = 2000) -> float:
    redactor.redact(NORMAL, Memory("bench"))  # loads phonenumbers
    start = time.perf_counter()
    for _ in range(rounds):
        redactor.redact(NORMAL, Memory("bench"))
    return (time.perf_counter() - start) / rounds * 1000


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Recall and precision of redaction.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--missed", type=int, default=0, help="above 0: list what was missed in the development file")
    arguments = parser.parse_args()
    for line in main(arguments.data, arguments.missed):
        print(line)
