"""A tiny intent training, run by tests in their own process and, as a script, in one that is killed or in several at once.

Usage: ``python tiny_training.py ENCODER FOLDER SETTINGS_JSON KILL_AFTER``; kills itself after so many epochs, 0 for never.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from assistant.encoder import Encoder
from finetune import adapted
from finetune.examples import Labelled
from finetune.intent import Trained, train_classifier
from finetune.ranks import Ranks, join
from finetune.recipe import Progress, Run, TrainSettings

THINGS = ("the hoover", "my doorbell", "a lamp", "order two", "the kettle", "this phone", "my fan", "it", "the radio", "our tv")
SAYINGS = {"refund": "I want my money back for {}", "status": "when will {} arrive", "broken": "{} does not work any more"}
EXAMPLES = [Labelled(saying.format(thing), label) for label, saying in SAYINGS.items() for thing in THINGS]
TRAINING = [row for at, row in enumerate(EXAMPLES) if at % 5]
VALIDATION = EXAMPLES[::5]


def tiny_encoder(like: Encoder, folder: Path) -> Encoder:
    """Make an encoder of three random layers behind the real tokenizer, with which a training takes a second."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(5)
    config = BertConfig(
        vocab_size=30522, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=96, initializer_range=0.2,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    (folder / "tokenizer.json").symlink_to(like.folder / "tokenizer.json")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 64}')
    return Encoder(folder, dtype="float32", threads=1)


def train(
    encoder: Encoder,
    folder: Path,
    settings: TrainSettings,
    *,
    training: list[Labelled] | None = None,
    progress: Callable[[Progress], None] | None = None,
    ranks: Ranks | None = None,
    version: str = "v1",
) -> Trained:
    """Train into ``folder/VERSION`` with checkpoints in ``folder/work``."""
    staged = folder / version
    staged.mkdir(parents=True, exist_ok=True)
    run = Run(
        task="intent",
        version=version,
        staged=staged,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        code_version="0.1.0",
        sources=("a.jsonl",),
        settings=settings,
        work=folder / "work",
        progress=progress,
    )
    return train_classifier(run, training or TRAINING, VALIDATION, encoder, ranks=ranks)


def main(folder_of_encoder: str, folder: str, settings: str, kill_after: str) -> None:
    """Train as ``torchrun`` or a test asks for it; the first process writes ``history.json``."""
    adapted.bfloat16_pays = lambda: False  # type: ignore[assignment]
    ranks = join()
    values = json.loads(settings)

    def progress(epoch: Progress) -> None:
        if epoch.epoch == int(kill_after):
            os.kill(os.getpid(), signal.SIGKILL)

    trained = train(
        Encoder(Path(folder_of_encoder), dtype="float32", threads=1),
        Path(folder) / f"rank-{ranks.rank}",
        TrainSettings(**values),
        progress=progress,
        ranks=ranks,
    )
    if ranks.first:
        (Path(folder) / "history.json").write_text(json.dumps([[epoch.loss, epoch.score] for epoch in trained.history]))
    ranks.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
