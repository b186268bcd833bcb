"""``make bench``: every measured figure beside its target, its peer and its limit, from one run."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

PARTS = (
    "answers",
    "turn",
    "ingest",
    "retrieval",
    "pii",
    "intents",
    "tasks",
    "sources",
    "tuned",
    "speed",
    "effects",
    "forgetting",
    "discover",
    "cycle",
    "kills",
    "monitor",
    "rebuild",
)


def main() -> None:
    """Run the benchmarks named on the command line, all by default, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="public data sets; parts that need them say if they are absent"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; parts are {', '.join(PARTS)}")
    table: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for part in arguments.parts or PARTS:
            started = time.perf_counter()
            table += _run(part, arguments.data, Path(scratch) / "home")
            print(f"{part}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    if arguments.json:
        print(json.dumps(table, ensure_ascii=False, indent=1))
        return
    print(f"\n{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    for row in table:
        print(f"{row['figure']}: {_text(row['value'])}   (target {_text(row['target'])}, n {row['n']})")
        for name in ("peer", "limit"):
            if row.get(name) not in (None, "", {}):
                print(f"    {name}: {_text(row[name])}")


def _run(part: str, data: Path, home: Path) -> list[dict[str, Any]]:
    if part == "answers":
        from tests.bench.bench_answers import main as answers

        return answers(data, home)
    if part == "turn":
        from tests.bench.bench_turn import main as turn

        return turn(data, home)
    if part == "ingest":
        from tests.bench.bench_ingest import SAMPLE
        from tests.bench.bench_ingest import main as ingest

        return ingest([SAMPLE / "conversations.jsonl.gz", data / "bitext_support_2023"])
    if part == "retrieval":
        from tests.bench.bench_retrieval import main as retrieval

        return list(retrieval(data / "feedbackqa_quebec_who"))
    if part == "forgetting":
        from tests.bench.bench_forgetting import main as forgetting

        return forgetting()
    module = importlib.import_module(f"tests.bench.bench_{part}")
    measure = module.run if part in ("cycle", "kills", "monitor", "rebuild") else module.main
    return list(measure(data))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    return "stated" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
