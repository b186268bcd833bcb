"""Intents: banking77 full and with ten examples a class, clinc150 with out-of-scope, multidogo by domain, each beside peers.

Everything is chosen on validation (carved from train where there is none); each test set is judged once per line printed.
Peers run here too, on the same rows. What a training setting does is in ``bench_effects.py``, seconds are in
``bench_speed.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assistant.encoder import Encoder, resolve
from finetune.evaluate import auroc, expected_calibration_error, macro_f1
from finetune.examples import OUT_OF_SCOPE, Labelled
from finetune.recipe import TrainSettings
from finetune.session import Split
from tests.bench import learning_data, peers
from tests.bench.own import chances_of, labels_of, row, texts_of, train_own, truth_of

#: Chosen on validation; see DECISIONS.md.
FULL = TrainSettings(epochs=7, patience=8, average=0.99, adversarial=0.05, refit=True)
FEW = TrainSettings(
    epochs=6,
    patience=6,
    average=0.98,
    head_start="probe",
    learning_rate=1e-4,
    head_learning_rate=3e-4,
    wide_learning_rate=0.0,
    refit=True,
)
DOMAIN_ROWS = 4000  # of a multidogo domain; more would take hours of two cores


def main(data: Path) -> list[dict[str, Any]]:
    """Measure all data sets.

    Args:
        data: Folder of the public data sets.

    Returns:
        One row per figure.
    """
    encoder = Encoder(resolve("all-MiniLM-L6-v2"))
    return [*banking(data, encoder), *few_shots(data, encoder), *clinc(data, encoder), *domains(data, encoder)]


def banking(data: Path, encoder: Encoder) -> list[dict[str, Any]]:
    """Measure banking77, full training set."""
    rows = learning_data.banking77(data)
    own = train_own("intent", Split(rows.train, rows.validation), encoder, FULL)
    texts, truth = texts_of(rows.test), truth_of(own, labels_of(rows.test))
    chances = chances_of(own, encoder, texts)
    figure = float((chances.argmax(1) == truth).mean())
    others = _simple_peers(rows.train, rows.validation, rows.test, encoder)
    return [
        row("banking77 test accuracy, full training set", figure, 0.945, len(texts), others, f"{own.seconds:.0f} s of training"),
        row("banking77 expected calibration error", expected_calibration_error(chances, truth), 0.02, len(texts)),
    ]


def few_shots(data: Path, encoder: Encoder, seeds: tuple[int, ...] = (0, 1, 2)) -> list[dict[str, Any]]:
    """Measure banking77 with ten examples a class; the mean of three draws."""
    rows = learning_data.banking77(data)
    found: list[float] = []
    beside: dict[str, list[float]] = {}
    for seed in seeds:
        training = learning_data.few(rows.train, 10, seed)
        # Early stopping on as many validation rows as a company with 770 examples could spare.
        held = learning_data.few(rows.validation, 2, seed)
        own = train_own("intent", Split(tuple(training), tuple(held)), encoder, replace(FEW, seed=7 + seed))
        chances = chances_of(own, encoder, texts_of(rows.test))
        found.append(float((chances.argmax(1) == truth_of(own, labels_of(rows.test))).mean()))
        for name, value in _simple_peers(training, held, rows.test, encoder).items():
            beside.setdefault(name, []).append(value)
    others = {name: float(np.mean(values)) for name, values in beside.items()}
    return [row("banking77, 10 examples a class, mean of 3 draws", float(np.mean(found)), 0.88, len(rows.test), others)]


def clinc(data: Path, encoder: Encoder) -> list[dict[str, Any]]:
    """Measure clinc150: accuracy in scope, and how well what is outside is told apart."""
    rows = learning_data.clinc150(data)
    settings = replace(FULL, epochs=4, patience=4, adversarial=0.0)
    own = train_own("intent", Split(rows.train, rows.validation), encoder, settings)
    labels = labels_of(rows.test)
    inside = np.array([label != OUT_OF_SCOPE for label in labels])
    chances = chances_of(own, encoder, texts_of(rows.test))
    column = own.version.manifest.labels.index(OUT_OF_SCOPE)
    outside = chances[:, column]
    business = chances.copy()
    business[:, column] = 0.0
    accuracy = float((business[inside].argmax(1) == truth_of(own, labels)[inside]).mean())
    limit = float(np.quantile(outside[inside], 0.95))
    sides = [[one for one in side if one.label != OUT_OF_SCOPE] for side in (rows.train, rows.validation, rows.test)]
    others = _simple_peers(*sides, encoder)
    n = len(labels)
    return [
        row("clinc150 accuracy in scope", accuracy, 0.965, int(inside.sum()), others, f"{own.seconds:.0f} s of training"),
        row("clinc150 out-of-scope recall at 95 % in scope kept", float((outside[~inside] > limit).mean()), 0.80, n),
        row("clinc150 out-of-scope AUROC", auroc(outside, ~inside), 0.97, n),
    ]


def domains(data: Path, encoder: Encoder) -> list[dict[str, Any]]:
    """Measure multidogo's turn-level intents, each domain."""
    found = []
    for domain in learning_data.MULTIDOGO_DOMAINS:
        rows = learning_data.multidogo(data, domain)
        training = _known(rows.train[:DOMAIN_ROWS])
        test = rows.test
        held = rows.validation[:1000]
        own = train_own("intent", Split(training, held), encoder, replace(FULL, epochs=3, adversarial=0.0))
        truth = truth_of(own, labels_of(test))
        guessed = chances_of(own, encoder, texts_of(test)).argmax(1)
        others = _simple_peers(training, held, test, encoder)
        figure = float((guessed == truth).mean())
        note = f"macro-F1 {macro_f1(guessed, truth):.3f}; {len(training)} rows to learn from"
        found.append(row(f"multidogo {domain}, turn level, micro-F1", figure, None, len(test), others, note))
    return found


def _simple_peers(training: Any, validation: Any, test: Any, encoder: Encoder) -> dict[str, float]:
    found = (peers.tfidf_svm(training, test), peers.frozen_logreg(encoder.encode, training, validation, test))
    return {one.name: one.accuracy(test) for one in found}


def _known(rows: tuple[Labelled, ...]) -> tuple[Labelled, ...]:
    """Leave out labels of a single row, which nothing can be learned of."""
    counts: dict[str, int] = {}
    for one in rows:
        counts[one.label] = counts.get(one.label, 0) + 1
    return tuple(one for one in rows if counts[one.label] > 1)
