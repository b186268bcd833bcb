"""Train the sample company's adapters again: ``data/sample/train`` -> ``data/adapters/<task>/<version>``.

Run as ``python data/train_adapters.py``; about ten minutes on two cores. Same data, seed, library versions and kind of
processor give the same weights. Validation files choose the epoch, temperature and thresholds; held-back files are not read.
"""

from __future__ import annotations

import argparse
import shutil
import sys
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
    "sentiment": TrainSettings(rank=8, epochs=5),
    "slots": TrainSettings(rank=8, epochs=4),
}


def main() -> None:
    """Train the tasks named on the command line, all by default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="*", choices=[*TRAINABLE, []], help="intent, sentiment, slots; default all")
    parser.add_argument("--out", type=Path, default=HERE / "adapters")
    arguments = parser.parse_args()
    encoder = Encoder(resolve(DEFAULT_MODEL))
    registry = Registry(arguments.out)
    for task in arguments.tasks or TRAINABLE:

        def tell(step: Progress, task: str = task) -> None:
            print(f"{task}: epoch {step.epoch}/{step.epochs} loss {step.loss:.3f} validation {step.score:.4f}", flush=True)

        shutil.rmtree(arguments.out / task / VERSION, ignore_errors=True)
        manifest = train_from_files(
            task,
            [HERE / "sample" / "train" / f"{task}.jsonl"],
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
