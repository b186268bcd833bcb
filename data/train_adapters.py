"""Train the sample company's adapters again: ``data/sample/train`` -> ``data/adapters/<task>/<version>``.

Run as ``python data/train_adapters.py [--data FOLDER]``; about ten minutes on two cores. Same data, seed, library versions and
kind of processor give the same weights. Validation files choose the epoch, temperature and thresholds; held-back files are not
read. Where FOLDER holds GoEmotions (Demszky et al. 2020, Apache-2.0), sentiment also learns from a part of it, because customers
write in more ways than one shop's; without it, from the sample alone, and says so.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from assistant.encoder import DEFAULT_MODEL, Encoder, resolve  # noqa: E402
from assistant.registry import Registry  # noqa: E402
from finetune.recipe import Progress, TrainSettings  # noqa: E402
from finetune.session import train_from_files  # noqa: E402

VERSION = "sample-1"
TRAINABLE = ("intent", "sentiment", "slots")
#: What differs from the defaults, chosen on validation.
SETTINGS = {
    "intent": TrainSettings(),
    "sentiment": TrainSettings(epochs=3, average=0.99, layers_from=2),
    "slots": TrainSettings(rank=8, epochs=4),
}


#: Rows of GoEmotions beside the 3,071 of the sample; its emotions by the names used here.
BORROWED = 9_000
FELT = {
    "anger": "anger",
    "annoyance": "anger",
    "disappointment": "disappointment",
    "confusion": "confusion",
    "gratitude": "gratitude",
}


def borrowed(data: Path, folder: Path) -> list[Path]:
    """Write the rows of GoEmotions that are trained on into a folder; none where the data is not there."""
    source = data / "goemotions" / "train.csv.gz"
    if not source.is_file():
        print(f"sentiment: {source} is not there; trained on the sample alone")
        return []
    rows = []
    with gzip.open(source, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["sentiment_group"] in ("negative", "neutral", "positive"):
                felt = sorted({FELT[name] for name in row["emotions"].split("|") if name in FELT})
                rows.append({"text": row["text"], "label": row["sentiment_group"], "emotions": felt})
    random.Random(7).shuffle(rows)
    path = folder / "goemotions.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows[:BORROWED]), encoding="utf-8")
    return [path]


def main() -> None:
    """Train the tasks named on the command line, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", choices=[*TRAINABLE, []], help="intent, sentiment, slots; default all")
    parser.add_argument("--out", type=Path, default=HERE / "adapters")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of public data sets")
    arguments = parser.parse_args()
    encoder = Encoder(resolve(DEFAULT_MODEL))
    registry = Registry(arguments.out)
    for task in arguments.tasks or TRAINABLE:

        def tell(step: Progress, task: str = task) -> None:
            print(f"{task}: epoch {step.epoch}/{step.epochs} loss {step.loss:.3f} validation {step.score:.4f}", flush=True)

        shutil.rmtree(arguments.out / task / VERSION, ignore_errors=True)
        with tempfile.TemporaryDirectory() as scratch:
            files = [HERE / "sample" / "train" / f"{task}.jsonl"]
            if task == "sentiment":
                files += borrowed(arguments.data, Path(scratch))
            manifest = train_from_files(
                task,
                files,
                HERE / "sample" / "validation" / f"{task}.jsonl",
                encoder,
                registry,
                version=VERSION,
                created_at=datetime.now(UTC).replace(microsecond=0),
                code_version="0.1.0",
                settings=SETTINGS[task],
                progress=tell,
            )
        print(f"{task}: {manifest.scores} {manifest.thresholds}")


if __name__ == "__main__":
    main()
