"""Does a sentiment adapter carry over to chats it never saw? Every source is left out once, and judged by one that never saw it.

The same rows and settings as ``make adapters``. Judged are rows nobody trains on: of the four public support chats a
hand-labelled half each, of the shop its validation file, of GoEmotions 600 rows of its dev side. The 400 held-back messages of
the shop and the test side of GoEmotions are not read here.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from assistant.encoder import Encoder, resolve
from finetune.evaluate import macro_f1
from finetune.examples import SENTIMENTS, Labelled
from finetune.session import Split
from tests.bench import peers
from tests.bench.own import Own, chances_of, row, train_own, truth_of

FOLDER = Path(__file__).resolve().parents[2] / "data"


def main(data: Path) -> list[dict[str, Any]]:
    """Measure every source left out, beside two peers trained on the same rows.

    Args:
        data: Folder of the public data sets.

    Returns:
        One row per source, and their mean.
    """
    encoder = Encoder(resolve("all-MiniLM-L6-v2"))
    mix, settings = script("sentiment_sources"), script("train_adapters").SETTINGS["sentiment"]
    found = []
    for source in mix.sources():
        training = [one for other in mix.sources() if other != source for one in examples(mix, other, "train", data)]
        validation = [one for other in mix.sources() if other != source for one in examples(mix, other, "judge", data)]
        judged = examples(mix, source, "judge", data)
        own = train_own("sentiment", Split(tuple(training), tuple(validation)), encoder, settings)
        beside = {
            one.name: macro_f1(_places(one.labels), _places([row.label for row in judged]))
            for one in (peers.tfidf_svm(training, judged), peers.frozen_logreg(encoder.encode, training, validation, judged))
        }
        value = macro_f1_of(own, encoder, judged)
        print(f"  without {source}: {value:.3f}", file=sys.stderr, flush=True)
        found.append(row(f"sentiment of {source}, never seen: macro-F1", value, None, len(judged), beside))
    mean = float(np.mean([one["value"] for one in found]))
    return [*found, row("sentiment, mean over sources left out", mean, None, len(found))]


def script(name: str) -> ModuleType:
    """Load a script of ``data/``, which is nobody's import name."""
    known = f"deskhand_data_{name}"
    if known not in sys.modules:
        spec = importlib.util.spec_from_file_location(known, FOLDER / f"{name}.py")
        if spec is None or spec.loader is None:
            raise FileNotFoundError(FOLDER / f"{name}.py")
        sys.path.insert(0, str(FOLDER))  # the scripts import each other by their plain names
        sys.modules[known] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[known])
    return sys.modules[known]


def examples(mix: ModuleType, source: str, side: str, data: Path) -> list[Labelled]:
    """Return one side of a source as examples."""
    found = []
    for one in mix.rows(source, side, data):
        felt = one.get("emotions")
        found.append(Labelled(one["text"], one["label"], None if felt is None else tuple(felt)))
    return found


def macro_f1_of(own: Own, encoder: Encoder, judged: list[Labelled]) -> float:
    """Judge by the serving path."""
    guessed = chances_of(own, encoder, [one.text for one in judged]).argmax(1)
    return macro_f1(guessed, truth_of(own, [one.label for one in judged]))


def _places(labels: Any) -> Any:
    return np.array([SENTIMENTS.index(label) for label in labels])
