"""The shipped sentiment adapter on held-back rows, and how such an adapter carries over to chats it never saw.

Every source is left out once and judged by an adapter trained on the others, with the rows and settings of ``make adapters``: a
public chat on its 300 hand-labelled rows, the shop on its validation file, GoEmotions on 600 rows of its dev side. The rows of
public chats were drawn with words of complaint and thanks among them, so their macro-F1 is no estimate of the source as it comes.
The shipped adapter is judged on the shop's 400 held-back messages and on GoEmotions' test side, which nothing was chosen on.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from assistant.adapter_files import read_version
from assistant.encoder import Encoder, resolve
from finetune.evaluate import macro_f1
from finetune.examples import SENTIMENTS, Labelled
from finetune.session import Split
from tests.bench import learning_data, peers
from tests.bench.own import Own, chances_of, row, train_own, truth_of

_TONGUES = {"both": ("en", "zh"), "en": ("en",), "zh": ("zh",)}
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
    found = shipped(data, encoder)
    for source in mix.sources():
        training = [one for other in mix.sources() if other != source for one in examples(mix, other, "train", data)]
        validation = [one for other in mix.sources() if other != source for one in examples(mix, other, "judge", data)]
        judged = examples(mix, source, "judge", data)
        if source in mix.PUBLIC:
            judged += examples(mix, source, "train", data)
        own = train_own("sentiment", Split(tuple(training), tuple(validation)), encoder, settings)
        beside = {
            one.name: macro_f1(_places(one.labels), _places([row.label for row in judged]))
            for one in (peers.tfidf_svm(training, judged), peers.frozen_logreg(encoder.encode, training, validation, judged))
        }
        value = macro_f1_of(own, encoder, judged)
        print(f"  without {source}: {value:.3f}", file=sys.stderr, flush=True)
        found.append(row(f"sentiment of {source}, never seen: macro-F1", value, None, len(judged), beside))
    mean = float(np.mean([one["value"] for one in found[-len(mix.sources()) :]]))
    return [*found, row("sentiment, mean over sources left out", mean, None, len(mix.sources()))]


def shipped(data: Path, encoder: Encoder) -> list[dict[str, Any]]:
    """Judge the adapter that comes with Deskhand.

    Args:
        data: Folder of the public data sets.
        encoder: The frozen base.

    Returns:
        Macro-F1 on the shop's held-back messages, each language apart too, and on GoEmotions' test side.
    """
    own = Own(read_version(FOLDER / "adapters" / "sentiment" / "sample-1", encoder.sha256), (), 0.0)
    path = FOLDER / "sample" / "heldback" / "sentiment.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    kept = {
        name: [Labelled(one["text"], one["label"]) for one in lines if one["lang"] in langs] for name, langs in _TONGUES.items()
    }
    values = {name: macro_f1_of(own, encoder, rows) for name, rows in kept.items()}
    both = row("shipped sentiment, 400 held-back messages, macro-F1", values.pop("both"), 0.85, len(lines), values)
    test = list(learning_data.goemotions(data).test)
    return [both, row("shipped sentiment, goemotions test, macro-F1", macro_f1_of(own, encoder, test), 0.78, len(test))]


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
