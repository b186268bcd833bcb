"""Slots on restaurant8k, sentiment on goemotions, replies on cucom and star: each beside peers from the same run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from assistant.encoder import Encoder, resolve
from assistant.sides import context_text
from finetune.dialog import predict_ranking, ranking_figures
from finetune.evaluate import macro_f1, span_figures
from finetune.examples import SENTIMENTS
from finetune.recipe import TrainSettings
from finetune.session import Split
from finetune.slots import predict_slots
from tests.bench import learning_data, peers, peers_dialog, peers_tuned
from tests.bench.own import chances_of, row, train_own, truth_of

#: Chosen on validation; see DECISIONS.md.
SLOTS = TrainSettings(
    layers_from=0,
    epochs=5,
    patience=8,
    label_smoothing=0.0,
    learning_rate=1e-3,
    average=0.98,
    adversarial=0.05,
)
SENTIMENT = TrainSettings(epochs=2, patience=4, average=0.99, layers_from=2)
DIALOG = TrainSettings(layers_from=2, epochs=1, patience=4, batch_size=64, max_tokens=96, head_learning_rate=1e-3, average=0.9)
#: How much the encoder learns from; the wide half learns from all pairs, which would take the encoder hours of two cores. Those
#: of cucom are three times as long.
ENCODER: dict[str, dict[str, int]] = {"star": {"epochs": 2}, "cucom_ecommerce": {"epoch_examples": 3_000}}


def main(data: Path) -> list[dict[str, Any]]:
    """Measure the three tasks.

    Args:
        data: Folder of the public data sets.

    Returns:
        One row per figure.
    """
    encoder = Encoder(resolve("all-MiniLM-L6-v2"))
    return [*slots(data, encoder), *sentiment(data, encoder), *dialog(data, encoder)]


def slots(data: Path, encoder: Encoder) -> list[dict[str, Any]]:
    """Measure restaurant8k."""
    rows = learning_data.restaurant8k(data)
    own = train_own("slots", Split(rows.train, rows.validation), encoder, SLOTS)
    encoder.set_adapters({"slots": own.version.weights})
    texts, wanted = [one.text for one in rows.test], [one.spans for one in rows.test]
    found = predict_slots(encoder, own.version, rows.test)
    # A sample, because it takes an hour on all rows.
    peer = peers_tuned.slots_frozen_logreg(rows.train[:500], rows.test[:300], encoder.folder)
    beside = {f"{peer.name}, 500 rows": span_figures(peer.spans, wanted[:300])["f1"]}
    return [row("restaurant8k slots F1", span_figures(found, wanted)["f1"], 0.95, len(texts), beside, f"{own.seconds:.0f} s")]


def sentiment(data: Path, encoder: Encoder) -> list[dict[str, Any]]:
    """Measure goemotions, grouped."""
    rows = learning_data.goemotions(data)
    own = train_own("sentiment", Split(rows.train, rows.validation), encoder, SENTIMENT)
    texts, labels = [one.text for one in rows.test], [one.label for one in rows.test]
    guessed = chances_of(own, encoder, texts).argmax(1)
    places = {label: place for place, label in enumerate(SENTIMENTS)}
    wanted = np.array([places[label] for label in labels])
    beside = {}
    for found in (
        peers.tfidf_svm(rows.train, rows.test),
        peers.frozen_logreg(encoder.encode, rows.train, rows.validation, rows.test),
    ):
        beside[found.name] = macro_f1(np.array([places[label] for label in found.labels]), wanted)
    value = macro_f1(guessed, truth_of(own, labels))
    return [row("goemotions positive/negative/neutral, macro-F1", value, 0.78, len(texts), beside, f"{own.seconds:.0f} s")]


def dialog(data: Path, encoder: Encoder, only: str = "") -> list[dict[str, Any]]:
    """Measure choosing the right reply among 100, on both data sets or on one."""
    found = []
    for name, target in (("star", 0.60), ("cucom_ecommerce", 0.80)):
        if only and name != only:
            continue
        rows = learning_data.dialogs(data, name)
        settings = replace(DIALOG, **ENCODER[name])  # type: ignore[arg-type]
        own = train_own("dialog", Split(rows.train, rows.validation), encoder, settings)
        encoder.set_adapters({"dialog": own.version.weights})
        ranks = predict_ranking(encoder, "dialog", dict(own.version.head), rows.test, rows.seed).ranks
        beside = {}
        for peer in (
            peers_dialog.tfidf_cosine(rows.train, rows.test, rows.sets),
            peers_dialog.bm25(rows.test, rows.sets),
            peers_dialog.untuned_encoder(encoder.encode, rows.test, rows.sets),
        ):
            beside[peer.name] = peer.recall_at_1
        same = peers_dialog.untuned_encoder(encoder.encode, rows.test, rows.sets, lambda pair: context_text(pair.context))
        beside[f"{same.name}, the adapter's own context"] = same.recall_at_1
        value = ranking_figures(ranks)["recall_at_1_of_100"]
        share, held = own.version.manifest.head["wide_share"], own.version.manifest.scores["validation_recall_at_1_of_100"]
        limit = f"{own.seconds:.0f} s; the wide half weighs {share}; {held} on validation"
        found.append(row(f"{name}, recall@1 of 100 unique replies", value, target, len(ranks), beside, limit))
    return found
