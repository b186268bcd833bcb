"""A labelled file and a version give the figures customers would see, by the path that serves them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from assistant.bert import AdapterWeights
from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.registry import AdapterVersion, Manifest
from finetune.harvested import Pair
from finetune.holdout import write_holdout
from finetune.judge import judge

SAYINGS = {"refund": "I want my money back", "status": "where is my parcel", "oos": "what is the weather in Rome"}


@pytest.fixture
def serving(encoder: Encoder) -> Iterator[Encoder]:
    yield encoder
    encoder.set_adapters({})


def manifest(task: str, labels: tuple[str, ...]) -> Manifest:
    return Manifest(
        task=task, version="v1", base_name="x", base_sha256="", method={}, labels=labels, training_set={}, seed=1,
        code_version="0", scores={}, thresholds={}, temperature=1.0, created_at="",
    )  # fmt: skip


def nearest(encoder: Encoder, *labels: str) -> AdapterVersion:
    """A classifier that needs no training: the label whose saying is nearest."""
    rows = torch.from_numpy(encoder.encode([SAYINGS[label] for label in labels])) * 30
    return AdapterVersion(
        manifest("intent", labels), AdapterWeights(), {"deep.weight": rows, "deep.bias": torch.zeros(len(rows))}
    )


def write(file: Path, *rows: dict[str, Any]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def row(text: str, label: str) -> dict[str, str]:
    return {"text": text, "label": label}


def test_a_classifier_is_judged_with_out_of_scope_apart(serving: Encoder, tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl", row("give me my money back", "refund"), row("where's the parcel", "status"),
        row("my money, back!", "status"), row("how is the weather in Rome", "oos"),
    )  # fmt: skip
    figures = judge("intent", file, serving, nearest(serving, "oos", "refund", "status"))
    assert figures["n"] == 4 and figures["seconds"] >= 0
    assert figures["accuracy"] == pytest.approx(2 / 3, abs=1e-4)
    assert figures["oos_recall"] == 1.0 and figures["oos_auroc"] == 1.0


def test_an_adapter_that_cannot_refuse_is_told_so_and_judged_on_the_rest(serving: Encoder, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", row("give me my money back", "refund"), row("how is the weather", "oos"))
    figures = judge("intent", file, serving, nearest(serving, "refund", "status"))
    assert (figures["accuracy"], figures["oos_recall"], figures["n"]) == (1.0, 0.0, 2)


def test_a_label_the_adapter_does_not_know_counts_as_wrong(serving: Encoder, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", row("give me my money back", "refund"), row("sing a song", "music"))
    assert judge("intent", file, serving, nearest(serving, "refund", "status"))["accuracy"] == 0.5


def test_a_file_of_other_labels_is_refused_with_the_mend(serving: Encoder, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", row("x", "music"))
    with pytest.raises(TrainingError, match=r"a\.jsonl: none of its labels \(music, …\).*--train FILE"):
        judge("intent", file, serving, nearest(serving, "refund", "status"))


def test_slots_are_judged_by_exact_spans(serving: Encoder, tmp_path: Path) -> None:
    head = {"deep.weight": torch.zeros(2, serving.dim), "deep.bias": torch.tensor([0.0, 1.0])}  # marks every word
    adapter = AdapterVersion(manifest("slots", ("O", "B-product")), AdapterWeights(), head)
    file = write(tmp_path / "a.jsonl", {"text": "my lamp", "spans": [[3, 7, "product"]]})
    figures = judge("slots", file, serving, adapter)
    assert (figures["precision"], figures["recall"], figures["n"]) == (0.5, 1.0, 1)


def test_dialog_is_judged_on_the_frozen_holdout_as_on_conversations(serving: Encoder, tmp_path: Path) -> None:
    head = {name: torch.eye(serving.dim) for name in ("context.weight", "reply.weight")}
    adapter = AdapterVersion(manifest("dialog", ()), AdapterWeights(), head)
    said = {"where is my parcel": "Your parcel is on its way.", "I want my money back": "You get your money back."}
    pairs = [Pair((("customer", ask),), reply, f"transcript:s/{ask}", None, "en") for ask, reply in said.items()]
    write_holdout(tmp_path / "dialog.jsonl", pairs)
    assert judge("dialog", tmp_path / "dialog.jsonl", serving, adapter)["recall_at_1_of_100"] == 1.0
    talks = [
        {"id": ask, "turns": [{"role": "customer", "text": ask}, {"role": "agent", "text": reply}]} for ask, reply in said.items()
    ]
    assert judge("dialog", write(tmp_path / "talks.jsonl", *talks), serving, adapter)["n"] == 2


def test_other_tasks_cannot_be_judged(serving: Encoder, tmp_path: Path) -> None:
    adapter = nearest(serving, "refund", "status")
    with pytest.raises(TrainingError, match="'reply' cannot be judged"):
        judge("reply", tmp_path / "a.jsonl", serving, replace(adapter, manifest=manifest("reply", ())))
