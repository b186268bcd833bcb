"""Seconds to train banking77 to within 0.3 points of the best epoch, beside `Trainer` with the same LoRA in float32.

Both train on the same rows and are judged on the same validation rows; both times are of training alone, judging aside. Our time
includes running the frozen lower layers once. The peer is transformers' Trainer with peft, rank 16 on every linear of every
layer, batches of 32 padded to the longest, its rate 5e-4. Full fine-tuning stands beside both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assistant.encoder import Encoder, resolve
from finetune.recipe import TrainSettings
from finetune.session import Split
from tests.bench import learning_data, peers, peers_tuned
from tests.bench.own import chances_of, train_own, truth_of

#: The fast recipe: no adversarial step, which doubles the time for a few tenths of a point.
FAST = TrainSettings(epochs=4, patience=4, average=0.99)
PEER_EPOCHS = 3


def main(data: Path) -> list[dict[str, Any]]:
    """Measure.

    Args:
        data: Folder of the public data sets.

    Returns:
        One row.
    """
    encoder = Encoder(resolve("all-MiniLM-L6-v2"))
    rows = learning_data.banking77(data)
    own = train_own("intent", Split(rows.train, rows.validation), encoder, FAST)
    spent = peers.seconds_to_within(own.epochs)
    accuracy = float(
        (chances_of(own, encoder, [o.text for o in rows.test]).argmax(1) == truth_of(own, [o.label for o in rows.test])).mean()
    )
    peer = peers_tuned.trainer_lora_fp32(rows.train, rows.validation, rows.test, encoder.folder, epochs=PEER_EPOCHS)
    theirs = peers.seconds_to_within(peer.epochs)
    beside = {
        "Trainer, LoRA, float32": f"{theirs:.0f} s, {theirs / spent:.1f} times longer, test {peer.accuracy(rows.test):.3f}",
    }
    return [
        {
            "figure": "seconds to train banking77 to within 0.3 points of best",
            "value": round(spent, 1),
            "target": 300,
            "n": len(rows.train),
            "peer": beside,
            "limit": f"test accuracy {accuracy:.4f}",
        }
    ]
