"""From files to a version in the registry; whatever goes wrong leaves the registry as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assistant.adapter_files import Manifest
from assistant.encoder import Encoder
from assistant.errors import RegistryError, TrainingError
from assistant.registry import Registry
from finetune import session
from finetune.recipe import Progress, TrainSettings
from finetune.session import train_from_files
from tests.finetune.tiny_training import tiny_encoder

SETTINGS = TrainSettings(rank=2, layers_from=5, epochs=1, batch_size=8)
TINY = TrainSettings(rank=2, layers_from=1, epochs=1, batch_size=8)
ROWS = [(f"{saying} {at}", label) for label, saying in (("refund", "money back"), ("status", "where is it")) for at in range(6)]


@pytest.fixture(scope="module")
def tiny(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder small enough to train with in a test."""
    return tiny_encoder(encoder, tmp_path_factory.mktemp("tiny") / "tiny-bert")


def labelled(file: Path, rows: list[tuple[str, str]] = ROWS) -> Path:
    file.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows))
    return file


def tagged(file: Path, count: int = 12) -> Path:
    rows = [{"text": f"my hoover {at}", "spans": [[3, 9, "product"]]} for at in range(count)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "adapters")


def run(encoder: Encoder, registry: Registry, task: str, training: list[Path], **changes: Any) -> Manifest:
    values: dict[str, Any] = {"validation": None, "version": "v1", "settings": SETTINGS, **changes}
    return train_from_files(
        task,
        training,
        encoder=encoder,
        registry=registry,
        created_at=datetime(2026, 1, 2, tzinfo=UTC),
        code_version="0",
        **values,
    )


def files(registry: Registry) -> list[str]:
    return sorted(str(path.relative_to(registry.root)) for path in registry.root.rglob("*") if path.is_file())


def test_a_trained_version_is_in_the_registry_and_does_not_serve_yet(
    encoder: Encoder, registry: Registry, tmp_path: Path
) -> None:
    seen: list[Progress] = []
    made = run(encoder, registry, "intent", [labelled(tmp_path / "a.jsonl")], progress=seen.append)
    assert registry.load("intent", "v1", encoder.sha256).manifest == made
    assert registry.champion("intent") is None
    assert made.training_set["sources"] == ["a.jsonl"] and made.training_set["examples"] == 10
    assert [step.epoch for step in seen] == [1]
    assert not list((registry.root / "intent").glob(".*"))


def test_slots_hold_every_tenth_row_apart(encoder: Encoder, registry: Registry, tmp_path: Path) -> None:
    made = run(encoder, registry, "slots", [tagged(tmp_path / "s.jsonl")])
    assert made.training_set["examples"] == 10 and made.labels == ("O", "B-product", "I-product")


def test_rows_of_the_validation_file_are_not_trained_on(encoder: Encoder, registry: Registry, tmp_path: Path) -> None:
    training = labelled(tmp_path / "a.jsonl")
    held = labelled(tmp_path / "v.jsonl", [(text.upper(), label) for text, label in ROWS[::6]])
    assert run(encoder, registry, "intent", [training], validation=held).training_set["examples"] == 10
    with pytest.raises(TrainingError, match=r"a\.jsonl: holds every training text"):
        run(encoder, registry, "intent", [training], validation=training, version="v2")


@pytest.mark.parametrize(
    ("task", "content", "message"),
    [
        ("intent", '{"text": "a", "label": "x"}\n' * 3, "only one label"),
        ("intent", '{"text": "a", "label": "x"}\n{"text": ""}\n', r"bad\.jsonl:2"),
        ("intent", '{"text": "a", "label": "x"}\n{"text": "b", "label": "y"}\n' * 2, r"x \(2\), y \(2\)"),
        ("sentiment", '{"text": "a", "label": "refund"}\n', r"bad\.jsonl:1"),
        ("sentiment", '{"text": "a", "label": "pos"}\n' * 5, "only one label"),
        ("slots", '{"text": "a", "spans": [[0, 9, "p"]]}\n', r"bad\.jsonl:1"),
        ("slots", '{"text": "a", "spans": [[0, 1, "p"]]}\n', "at least one slot"),
        ("reply", "", "cannot be trained; intent, sentiment, slots, dialog can"),
        ("nonsense", "", "cannot be trained; intent, sentiment, slots, dialog can"),
    ],
)
def test_refused_rows_leave_the_registry_untouched(
    encoder: Encoder, registry: Registry, tmp_path: Path, task: str, content: str, message: str
) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text(content)
    with pytest.raises(TrainingError, match=message):
        run(encoder, registry, task, [bad])
    assert files(registry) == []


@pytest.mark.parametrize("version", ["taken", "../x", "champion"])
def test_a_name_that_cannot_be_is_refused_before_the_training(
    encoder: Encoder, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    (registry.root / "intent" / "taken").mkdir(parents=True)
    monkeypatch.setattr(session, "train_classifier", lambda *_, **__: pytest.fail("trained for nothing"))
    with pytest.raises(RegistryError, match=r"there already|no version name"):
        run(encoder, registry, "intent", [labelled(tmp_path / "a.jsonl")], version=version)
    assert files(registry) == []


def test_a_training_that_breaks_off_leaves_nothing(encoder: Encoder, registry: Registry, tmp_path: Path) -> None:
    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(encoder, registry, "intent", [labelled(tmp_path / "a.jsonl")], progress=stop)
    assert files(registry) == []


def conversations(file: Path, count: int = 24) -> Path:
    """Resolved conversations with one question and one person's answer each."""
    rows = [
        {
            "id": f"c{at}",
            "resolved": True,
            "messages": [
                {"role": "customer", "content": f"where is my order number {at}, it has not come"},
                {"role": "agent", "content": f"I am sorry, order {at} was handed to the carrier on day {at} of this month"},
            ],
        }
        for at in range(count)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


@pytest.mark.parametrize("task", ["intent", "slots", "dialog"])
def test_a_training_leaves_its_page_and_curves_and_clears_its_checkpoints(
    tiny: Encoder, registry: Registry, tmp_path: Path, task: str
) -> None:
    files_of = {"intent": labelled, "slots": tagged, "dialog": conversations}
    made = run(tiny, registry, task, [files_of[task](tmp_path / "a.jsonl")], settings=TINY, runs=tmp_path / "runs")
    assert registry.load(task, "v1", tiny.sha256).manifest == made
    folder = tmp_path / "runs" / task / "v1"
    assert "<html" in (folder / session.PAGE).read_text(encoding="utf-8")
    assert list(folder.glob("events.out.tfevents.*"))
    assert not list((tmp_path / "runs").rglob("*.safetensors"))


def test_a_training_that_broke_off_is_taken_up_by_the_next(tiny: Encoder, registry: Registry, tmp_path: Path) -> None:
    seen: list[int] = []

    def stop(epoch: Progress) -> None:
        seen.append(epoch.epoch)
        if len(seen) == 1:
            raise KeyboardInterrupt

    file, settings = labelled(tmp_path / "a.jsonl"), replace(TINY, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        run(tiny, registry, "intent", [file], settings=settings, runs=tmp_path / "runs", progress=stop)
    assert files(registry) == []
    run(tiny, registry, "intent", [file], settings=settings, runs=tmp_path / "runs", progress=stop, version="v2")
    assert seen == [1, 2]
    assert registry.load("intent", "v2", tiny.sha256).manifest.version == "v2"
