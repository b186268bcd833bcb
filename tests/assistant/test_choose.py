"""The dialog adapter chooses among the replies that may be said, and leaves everything else where it was."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from assistant.adapter_files import CONFIG, HEAD, WEIGHTS, AdapterVersion, Manifest, read_version, write_manifest
from assistant.choose import ReplyChooser, context_of
from assistant.encoder import DEFAULT_MODEL, Encoder, resolve
from assistant.heads import BUCKETS, hashed
from assistant.records import Hit, Passage
from assistant.sides import context_grams, context_text
from tests.assistant.conftest import MOMENT

KEY = "base_model.model.encoder.layer.5.attention.self.query.lora_{}.weight"


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(resolve(DEFAULT_MODEL))


def stage(folder: Path, head: dict[str, torch.Tensor], width: int = 384) -> None:
    """Write a version's files, all but the manifest, with a LoRA that changes nothing."""
    save_file({KEY.format("A"): torch.zeros(2, width), KEY.format("B"): torch.zeros(width, 2)}, folder / WEIGHTS)
    save_file(head, folder / HEAD)
    (folder / CONFIG).write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 4}))


@pytest.fixture(scope="module")
def adapter(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> AdapterVersion:
    """A dialog adapter that changes nothing: its choice is that of the base encoder, which is known."""
    staged = tmp_path_factory.mktemp("dialog")
    width = encoder.dim
    stage(staged, {"context.weight": torch.eye(width), "reply.weight": torch.eye(width)}, width)
    manifest = Manifest(
        task="dialog",
        version="d1",
        base_name=encoder.name,
        base_sha256=encoder.sha256,
        method={"name": "lora"},
        labels=(),
        training_set={},
        seed=0,
        code_version="0",
        scores={},
        thresholds={},
        temperature=1.0,
        created_at=MOMENT.isoformat(),
        head={"kind": "dual-encoder"},
    )
    write_manifest(staged, manifest)
    return read_version(staged, encoder.sha256)


def hit(text: str, score: float, kind: str = "reply") -> Hit:
    return Hit(Passage(text[:12], kind, "", text, text, "log", "en"), score)  # type: ignore[arg-type]


PARCEL = "Your parcel left our warehouse, the carrier will deliver the package tomorrow."
REFUND = "Refunds are paid back to the card you paid with within five days."
LAMP = "Hold the button of the lamp for ten seconds to reset it."
ASKED = [("customer", "hello"), ("agent", "Hello, what can I do?"), ("customer", "when will my package be delivered?")]


def test_the_reply_that_fits_comes_first(encoder: Encoder, adapter: AdapterVersion) -> None:
    hits = [hit(LAMP, 0.9), hit(REFUND, 0.85), hit(PARCEL, 0.8)]
    chosen = ReplyChooser(encoder, adapter).order(ASKED, hits, 0.5)
    assert chosen[0] == hits[2] and sorted(one.score for one in chosen) == [0.8, 0.85, 0.9]


def test_articles_templates_and_replies_that_may_not_be_said_keep_their_places(encoder: Encoder, adapter: AdapterVersion) -> None:
    hits = [
        hit(PARCEL, 0.9, "article"),
        hit(LAMP, 0.8),
        hit(REFUND, 0.75, "template"),
        hit(PARCEL, 0.7),
        hit(PARCEL + " Thanks.", 0.4),
    ]
    chosen = ReplyChooser(encoder, adapter).order(ASKED, hits, 0.5)
    assert chosen == [hits[0], hits[3], hits[2], hits[1], hits[4]]


def test_a_single_reply_costs_no_forward_pass(encoder: Encoder, adapter: AdapterVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    chooser = ReplyChooser(encoder, adapter)
    monkeypatch.setattr(encoder, "encode_for_tasks", None)
    hits = [hit(LAMP, 0.9), hit(PARCEL, 0.2)]
    assert chooser.order(ASKED, hits, 0.5) == hits


def test_a_reply_seen_before_is_not_encoded_again_and_scores_the_same(
    encoder: Encoder, adapter: AdapterVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    chooser = ReplyChooser(encoder, adapter)
    first = chooser.scores(ASKED, [LAMP, PARCEL])
    seen: list[list[str]] = []
    original = encoder.encode_for_tasks
    monkeypatch.setattr(encoder, "encode_for_tasks", lambda texts, stack: seen.append(list(texts)) or original(texts, stack))
    again = chooser.scores(ASKED, [PARCEL, LAMP])
    assert seen == [[context_text(ASKED)]]
    assert again.tolist() == pytest.approx(first[::-1].tolist(), abs=1e-5)


def test_a_context_is_the_last_turns_newest_first_and_cut() -> None:
    turns = [("customer", f"turn {number} " + "x" * 300) for number in range(6)]
    text = context_text(turns)
    assert text.startswith("turn 5 ") and "turn 2" in text and "turn 1" not in text
    assert len(text) == 4 * 240 + 3 * len(" | ")
    assert context_of([], "hi") == [("customer", "hi")]


def test_a_broken_head_is_refused_before_it_serves(encoder: Encoder, adapter: AdapterVersion, tmp_path: Path) -> None:
    from assistant.errors import RegistryError

    stage(tmp_path, {"context.weight": torch.eye(10), "reply.weight": torch.eye(10)})
    write_manifest(tmp_path, replace(adapter.manifest, files={}))
    with pytest.raises(RegistryError, match="384, 384"):
        read_version(tmp_path, encoder.sha256)


def test_a_wide_half_joins_in_by_its_weight(encoder: Encoder, adapter: AdapterVersion) -> None:
    wide = torch.zeros(BUCKETS, 2)
    buckets, _ = hashed(LAMP)
    wide[buckets] = torch.tensor([0.0, 1.0])
    asked = torch.zeros(BUCKETS, 2)
    asked[:, 1] = 1.0
    alone = ReplyChooser(encoder, adapter).scores(ASKED, [LAMP, PARCEL])
    head = {**adapter.head, "wide.context.weight": asked, "wide.reply.weight": wide, "wide.share": torch.tensor(0.5)}
    found = ReplyChooser(encoder, replace(adapter, head=head)).scores(ASKED, [LAMP])
    assert found[0] == pytest.approx((alone[0] + 0.5) / 1.5, abs=1e-5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"wide.reply.weight": torch.zeros(BUCKETS, 3)},
        {"wide.context.weight": torch.zeros(7, 2)},
        {"wide.share": torch.tensor(-1.0)},
        {"wide.share": torch.zeros(2)},
        {"wide.share": None},
    ],
)
def test_a_broken_wide_half_is_refused_too(
    encoder: Encoder, adapter: AdapterVersion, tmp_path: Path, wrong: dict[str, torch.Tensor | None]
) -> None:
    from assistant.errors import RegistryError

    sides = {f"wide.{side}.weight": torch.zeros(BUCKETS, 2) for side in ("context", "reply")}
    head = {**adapter.head, **sides, "wide.share": torch.tensor(0.5), **wrong}
    stage(tmp_path, {name: tensor for name, tensor in head.items() if tensor is not None})
    write_manifest(tmp_path, replace(adapter.manifest, files={}))
    with pytest.raises(RegistryError, match="wide half"):
        read_version(tmp_path, encoder.sha256)


def test_a_word_of_the_last_turn_is_another_than_the_same_word_before() -> None:
    now, before = context_grams([("customer", "yes")]), context_grams([("customer", "yes"), ("agent", "parcel")])
    assert not set(now[0].tolist()) & set(before[0].tolist()) - {0}
    old = [("customer", "long ago"), *ASKED, ("customer", "yes")]
    assert context_grams(old)[0].tolist() == context_grams(old[1:])[0].tolist()
