"""Banking77 beside peers that tune the encoder too: SetFit on ten examples a class, full fine-tuning on the whole training set.

One draw and one seed each, because the peers take minutes; the figures that stand in the table come from ``bench_intents.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from assistant.encoder import Encoder, bfloat16_pays, resolve
from finetune.examples import Labelled
from finetune.recipe import TrainSettings
from finetune.session import Split
from tests.bench import learning_data, peers, peers_tuned
from tests.bench.bench_intents import FEW
from tests.bench.bench_speed import FAST
from tests.bench.own import chances_of, row, train_own, truth_of

PEER_EPOCHS = 4


def main(data: Path) -> list[dict[str, Any]]:
    """Measure.

    Args:
        data: Folder of the public data sets.

    Returns:
        One row for each size of training set.
    """
    encoder = Encoder(resolve("all-MiniLM-L6-v2"))
    rows = learning_data.banking77(data)
    training, held = learning_data.few(rows.train, 10, 0), learning_data.few(rows.validation, 2, 0)
    few, seconds = _own(training, held, rows.test, encoder, FEW)
    setfit = peers.setfit([*training, *held], rows.test, encoder.folder)
    whole, longer = _own(rows.train, rows.validation, rows.test, encoder, replace(FAST, epochs=PEER_EPOCHS))
    tuned = peers_tuned.full_finetune(
        rows.train, rows.validation, rows.test, encoder.folder, epochs=PEER_EPOCHS, bfloat16=bfloat16_pays()
    )
    n = len(rows.test)
    return [
        row("banking77, 10 examples a class, one draw", few, 0.88, n, _told(setfit, rows.test), f"{seconds:.0f} s of training"),
        row("banking77, full set, no adversarial step", whole, 0.945, n, _told(tuned, rows.test), f"{longer:.0f} s of training"),
    ]


def _own(training: Any, held: Any, test: Any, encoder: Encoder, settings: TrainSettings) -> tuple[float, float]:
    own = train_own("intent", Split(tuple(training), tuple(held)), encoder, settings)
    found = chances_of(own, encoder, [one.text for one in test]).argmax(1)
    return float((found == truth_of(own, [one.label for one in test])).mean()), own.seconds


def _told(peer: peers.Predicted, test: tuple[Labelled, ...]) -> dict[str, str]:
    return {peer.name: f"{peer.accuracy(test):.4f} in {peer.seconds:.0f} s ({peer.note})"}
