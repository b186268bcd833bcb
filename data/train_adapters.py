"""Train the sample company's adapters again: ``data/sample/train`` -> ``data/adapters/<task>/<version>``.

Run as ``python data/train_adapters.py [--data FOLDER]``; about ten minutes on two cores. Same data, seed, library versions and
kind of processor give the same weights. Validation files choose the epoch, temperature and thresholds; held-back files are not
read. Sentiment also learns from public chats in FOLDER (``sentiment_sources.py``); without them, from the sample alone, and
says so.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import sentiment_sources  # noqa: E402

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


def sentiment_files(data: Path, folder: Path) -> tuple[list[Path], Path]:
    """Write the sentiment rows of all sources into a folder; sources that are not there are told and left out.

    Returns:
        The files to train on, and the one to choose by.
    """
    training, judged = [], []
    for source in sentiment_sources.sources():
        try:
            training.append(_written(folder / f"{source}.jsonl", sentiment_sources.rows(source, "train", data)))
            judged += sentiment_sources.rows(source, "judge", data)
        except FileNotFoundError as error:
            print(f"sentiment: {error.filename} is not there; trained without {source}")
    return training, _written(folder / "judged.jsonl", judged)


def _written(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


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
            files, judged = [HERE / "sample" / "train" / f"{task}.jsonl"], HERE / "sample" / "validation" / f"{task}.jsonl"
            if task == "sentiment":
                files, judged = sentiment_files(arguments.data, Path(scratch))
            manifest = train_from_files(
                task,
                files,
                judged,
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
