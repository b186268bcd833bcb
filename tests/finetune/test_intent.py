"""A small classifier learns, repeats with its seed, and serves the chances it was trained to give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from assistant.adapter_files import read_version
from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.registry import Registry
from finetune import head_start, intent
from finetune.adapted import AdaptedEncoder
from finetune.examples import Labelled
from finetune.intent import Trained, predict_classes, train_classifier
from finetune.recipe import Progress, Run, TrainSettings
from finetune.sentiment import train_sentiment
from tests.finetune.tiny_training import tiny_encoder

SETTINGS = TrainSettings(rank=4, alpha=8, layers_from=4, epochs=3, batch_size=6, warmup=0.1)
THINGS = (
    "the hoover",
    "my doorbell",
    "a lamp",
    "order two",
    "the kettle",
    "this phone",
    "my fan",
    "it",
    "the radio",
    "our tv",
    "that",
    "the box",
)
SAYINGS = {
    "refund": "I want my money back for {}",
    "status": "when will {} arrive, where is it now",
    "broken": "{} does not work any more",
}
EXAMPLES = [Labelled(saying.format(thing), label) for label, saying in SAYINGS.items() for thing in THINGS]
TRAINING = [row for at, row in enumerate(EXAMPLES) if at % 4]
VALIDATION = EXAMPLES[::4]
WHEN = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture(scope="module")
def tiny(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder small enough to train with in a test."""
    return tiny_encoder(encoder, tmp_path_factory.mktemp("tiny") / "tiny-bert")


def record(folder: Path, task: str = "intent", settings: TrainSettings = SETTINGS) -> Run:
    folder.mkdir()
    return Run(task, folder.name, folder, WHEN, "0.1.0", ("a.jsonl",), settings, {"by_origin": {"file": 27}})


def run(encoder: Encoder, folder: Path, training: list[Labelled] = TRAINING, validation: list[Labelled] = VALIDATION) -> Trained:
    return train_classifier(record(folder), training, validation, encoder)


@pytest.fixture(scope="module")
def logits_seen() -> list[np.ndarray]:
    return []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("intent") / "v1"


@pytest.fixture(scope="module")
def trained(encoder: Encoder, folder: Path, logits_seen: list[np.ndarray]) -> Iterator[Trained]:
    """One training; ``logits_seen`` gets the final validation logits of the training path."""
    fit = intent.fit_temperature
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intent, "fit_temperature", lambda logits, truth: logits_seen.append(logits.copy()) or fit(logits, truth))
        patch.setattr("finetune.adapted.bfloat16_pays", lambda: False)  # bfloat16 would blur the comparison
        yield run(encoder, folder)


@pytest.fixture
def serving(encoder: Encoder) -> Iterator[Encoder]:
    yield encoder
    encoder.set_adapters({})


def test_it_learns(trained: Trained, folder: Path, serving: Encoder) -> None:
    version = read_version(folder, serving.sha256)
    serving.set_adapters({"intent": version.weights})
    texts = [
        "please give me my money back",
        "where is my parcel now",
        "the mixer does not work",
        *(row.text for row in VALIDATION),
    ]
    wanted = ["refund", "status", "broken", *(row.label for row in VALIDATION)]
    chances = predict_classes(serving, "intent", dict(version.head), version.manifest.temperature, texts)
    assert [version.manifest.labels[row] for row in chances.argmax(1)] == wanted
    assert trained.history[-1].loss < trained.history[0].loss


def test_serving_gives_the_chances_of_the_training_path(
    trained: Trained, folder: Path, serving: Encoder, logits_seen: list[np.ndarray]
) -> None:
    version = read_version(folder, serving.sha256)
    serving.set_adapters({"other": version.weights, "intent": version.weights})
    texts = [row.text for row in VALIDATION]
    served = predict_classes(serving, "intent", dict(version.head), version.manifest.temperature, texts, batch=4)
    wanted = intent.softmax(logits_seen[0] / version.manifest.temperature)
    np.testing.assert_allclose(served, wanted, atol=1e-3)
    np.testing.assert_allclose(trained.chances, wanted, atol=1e-6)


def test_the_same_seed_gives_the_same_adapter(
    trained: Trained, folder: Path, encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.adapted.bfloat16_pays", lambda: False)
    torch.manual_seed(99)  # what ran before must not count
    run(encoder, tmp_path / "v2")
    again = read_version(tmp_path / "v2", encoder.sha256)
    first = read_version(folder, encoder.sha256)
    for name, tensor in first.head.items():
        torch.testing.assert_close(again.head[name], tensor, atol=1e-5, rtol=1e-5)
    assert again.manifest.training_set == first.manifest.training_set


def test_the_manifest_tells_everything_but_where_it_was_made(trained: Trained, folder: Path, encoder: Encoder) -> None:
    made = trained.manifest
    assert (made.task, made.version, made.base_name, made.base_sha256) == ("intent", "v1", encoder.name, encoder.sha256)
    assert made.labels == ("broken", "refund", "status")
    assert made.training_set["examples"] == len(TRAINING) and made.training_set["sources"] == ["a.jsonl"]
    assert made.training_set["by_origin"] == {"file": 27}
    assert len(made.training_set["sha256"]) == 64
    assert made.method["rank"] == 4 and made.method["layers_from"] == 4 and made.seed == SETTINGS.seed
    assert made.created_at == "2026-01-02T00:00:00+00:00" and made.code_version == "0.1.0"
    assert {"validation_accuracy", "validation_macro_f1", "validation_ece"} <= set(made.scores)
    assert 0.3 <= made.thresholds["min_confidence"] <= 0.8 and 0.25 <= made.temperature <= 4
    assert sorted(path.name for path in folder.iterdir()) == sorted([*made.files, "manifest.json"])
    for name in ("manifest.json", "adapter_config.json"):
        text = (folder / name).read_text(encoding="utf-8")
        assert str(folder.parent) not in text and str(encoder.folder) not in text and '"/' not in text
        json.loads(text)


def test_an_out_of_scope_class_gets_its_own_threshold(encoder: Encoder, tmp_path: Path) -> None:
    outside = [Labelled(f"what is the weather in {place}", "oos") for place in ("Rome", "Oslo", "Bonn", "Lima")]
    made = run(encoder, tmp_path / "v1", TRAINING + outside[1:], [*VALIDATION, outside[0]]).manifest
    assert 0.05 <= made.thresholds["max_out_of_scope"] <= 0.9
    assert "validation_oos_auroc" in made.scores


@pytest.mark.parametrize(
    ("training", "validation", "message"),
    [
        (TRAINING[:4], VALIDATION, "only one label"),
        ([], VALIDATION, "only one label"),
        ([*TRAINING, Labelled("x", "rare")], VALIDATION, r"rare \(1\)"),
        (TRAINING, [], "validation holds none"),
        (TRAINING, [Labelled("x", "unknown")], "validation holds none"),
    ],
)
def test_examples_that_do_not_allow_training_are_refused(
    encoder: Encoder, tmp_path: Path, training: list[Labelled], validation: list[Labelled], message: str
) -> None:
    with pytest.raises(TrainingError, match=message):
        run(encoder, tmp_path / "v1", training, validation)
    assert not list((tmp_path / "v1").iterdir())


def test_sentiment_keeps_the_order_of_its_three_classes_and_refuses_others(encoder: Encoder, tmp_path: Path) -> None:
    rows = [Labelled(f"{word} {at}", label) for label, word in (("positive", "great"), ("negative", "awful")) for at in range(6)]
    where = tmp_path / "v1"
    run_of = record(where, "sentiment")
    with pytest.raises(TrainingError, match="angry"):
        train_sentiment(run_of, [*rows, Labelled("a", "angry"), Labelled("b", "angry")], rows, encoder)
    made = train_sentiment(run_of, rows, rows, encoder)
    assert made.manifest.labels == ("negative", "neutral", "positive")
    staged = Registry(tmp_path / "adapters").staging("sentiment", "v1")
    staged.rmdir()
    where.rename(staged)
    Registry(tmp_path / "adapters").add("sentiment", "v1", staged, encoder.sha256)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "prefix", "virtual_tokens": 4},
        {"contrast": 0.2, "class_weights": "balanced"},
        {"typing_noise": 0.2, "synonyms": 0.3, "adversarial": 0.03, "average": 0.5},
    ],
)
def test_other_ways_of_training_learn_too(tiny: Encoder, tmp_path: Path, changes: dict[str, Any]) -> None:
    settings = replace(SETTINGS, **{"layers_from": 1, "epochs": 4, **changes})
    made = train_classifier(record(tmp_path / "v1", settings=settings), TRAINING, VALIDATION, tiny)
    assert made.history[-1].loss < made.history[0].loss
    assert read_version(tmp_path / "v1", tiny.sha256).manifest.method["name"] == settings.method


def test_labels_keep_a_given_order_and_others_are_refused(tiny: Encoder, tmp_path: Path) -> None:
    settings = replace(SETTINGS, layers_from=1, epochs=1)
    names = ("status", "unheard", "refund", "broken")
    made = train_classifier(record(tmp_path / "v1", settings=settings), TRAINING, VALIDATION, tiny, labels=names)
    assert made.manifest.labels == names and made.chances.shape == (len(VALIDATION), 4)
    with pytest.raises(TrainingError, match="labels refund are none of status, broken"):
        train_classifier(record(tmp_path / "v2"), TRAINING, VALIDATION, tiny, labels=("status", "broken"))


def test_a_refit_learns_from_the_validation_rows_too_and_keeps_their_verdict(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.adapted.bfloat16_pays", lambda: False)
    told: list[Progress] = []
    seen: list[int] = []
    rows = intent._Rows

    def counting(training: list[Labelled], held: list[Labelled], names: tuple[str, ...], *sent: Any) -> intent._Rows:
        seen.append(len(training))
        return rows(training, held, names, *sent)

    monkeypatch.setattr(intent, "_Rows", counting)
    settings = replace(SETTINGS, refit=True)
    once = replace(record(tmp_path / "once"), progress=None)
    twice = replace(record(tmp_path / "twice"), settings=settings, progress=told.append)
    first = train_classifier(once, TRAINING, VALIDATION, encoder)
    second = train_classifier(twice, TRAINING, VALIDATION, encoder)
    assert seen == [len(TRAINING), len(TRAINING), len(TRAINING) + len(VALIDATION)]
    assert second.manifest.scores == first.manifest.scores and second.manifest.temperature == first.manifest.temperature
    best = max(first.history, key=lambda one: (one.score, one.epoch)).epoch
    assert [one.epoch for one in told if one.refit] == list(range(1, best + 1))
    assert [one.epoch for one in second.history] == [one.epoch for one in first.history]
    weights = [read_version(tmp_path / name, encoder.sha256).head["deep.weight"] for name in ("once", "twice")]
    assert not torch.allclose(weights[0], weights[1])


def test_temperature_and_thresholds_are_chosen_on_what_customers_send_where_that_is_given(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right: list[float] = []
    choose = intent.choose_thresholds

    def noting(chances: np.ndarray, truth: np.ndarray, names: tuple[str, ...]) -> dict[str, float]:
        right.append(float((chances.argmax(1) == truth).mean()))
        return choose(chances, truth, names)

    monkeypatch.setattr(intent, "choose_thresholds", noting)
    # Validation rows with wrong tags ask for a high temperature; what customers send is answered rightly.
    wrong = [replace(row, label="status" if row.label == "refund" else "refund") for row in VALIDATION]
    fooled = train_classifier(record(tmp_path / "fooled"), TRAINING, wrong, encoder)
    made = train_classifier(replace(record(tmp_path / "sent"), calibrate=VALIDATION), TRAINING, wrong, encoder)
    assert made.manifest.temperature < fooled.manifest.temperature
    assert made.chances.shape == fooled.chances.shape == (len(wrong), 3)
    assert right[0] < 0.5 < right[1]
    # The epoch is the validation rows' to choose, with or without them.
    assert [one.score for one in made.history] == pytest.approx([one.score for one in fooled.history], abs=1e-3)


def test_a_probe_begins_as_logistic_regression_on_the_frozen_encoder(encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setattr("finetune.adapted.bfloat16_pays", lambda: False)
    texts, labels = [row.text for row in TRAINING], [row.label for row in TRAINING]
    names = sorted(set(labels))
    targets = torch.tensor([names.index(label) for label in labels])
    adapted = AdaptedEncoder(encoder, SETTINGS)
    head = intent.class_head(adapted.dim, len(names) + 1)
    untold = head.deep.weight[-1].clone()
    head_start.probe(head, adapted, adapted.prepare(texts), targets)
    wanted = LogisticRegression(C=30.0, max_iter=1000).fit(encoder.encode(texts), targets.numpy())
    vectors = encoder.encode([row.text for row in VALIDATION])
    with torch.no_grad():
        found = torch.softmax(head_start.SCALE * head.deep(torch.from_numpy(vectors))[:, : len(names)], dim=1).numpy()
    np.testing.assert_allclose(found, wanted.predict_proba(vectors), atol=0.01)
    assert torch.equal(head.deep.weight[-1], untold)


def test_a_probe_of_two_classes_tells_them_apart(encoder: Encoder) -> None:
    rows = [row for row in TRAINING if row.label in ("refund", "status")]
    adapted = AdaptedEncoder(encoder, SETTINGS)
    head = intent.class_head(adapted.dim, 2)
    targets = torch.tensor([int(row.label == "status") for row in rows])
    head_start.probe(head, adapted, adapted.prepare([row.text for row in rows]), targets)
    with torch.no_grad():
        scores = head.deep(torch.from_numpy(encoder.encode([row.text for row in rows])))
    assert torch.equal(scores.argmax(1), targets)
