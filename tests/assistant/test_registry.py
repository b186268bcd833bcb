"""A version that was written can be read; one that was damaged, forged or made for another base never serves."""

from __future__ import annotations

import json
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from assistant import adapter_files
from assistant.adapter_files import CONFIG, HEAD, MANIFEST, WEIGHTS, Manifest, read_manifest, write_manifest
from assistant.errors import RegistryError
from assistant.heads import BUCKETS
from assistant.registry import Registry

BASE = "b" * 64
KEY = "base_model.model.encoder.layer.5.attention.self.query.lora_{}.weight"
LABELS = ("cancel", "refund")


def manifest(version: str, **changes: Any) -> Manifest:
    plain = Manifest(
        task="intent",
        version=version,
        base_name="tiny",
        base_sha256=BASE,
        method={"name": "lora"},
        labels=LABELS,
        training_set={"sha256": "0" * 64, "examples": 2, "sources": ["a.jsonl"]},
        seed=7,
        code_version="0.1.0",
        scores={"validation_accuracy": 0.5},
        thresholds={"min_confidence": 0.5},
        temperature=1.5,
        created_at="2026-01-01T00:00:00+00:00",
    )
    return replace(plain, **changes)


def lora_tensors() -> dict[str, torch.Tensor]:
    return {KEY.format("A"): torch.arange(8.0).view(2, 4), KEY.format("B"): torch.arange(8.0).view(4, 2)}


def head_tensors() -> dict[str, torch.Tensor]:
    return {
        "deep.weight": torch.ones(2, 4),
        "deep.bias": torch.zeros(2),
        "wide.weight": torch.zeros(BUCKETS, 2, dtype=torch.float16),
    }


def fill(
    folder: Path,
    version: str = "v1",
    *,
    lora: dict[str, torch.Tensor] | None = None,
    head: dict[str, torch.Tensor] | None = None,
    config: Any = None,
    **changes: Any,
) -> Path:
    """Write a whole version with right checksums, whatever its contents."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file(lora_tensors() if lora is None else lora, folder / WEIGHTS)
    save_file(head_tensors() if head is None else head, folder / HEAD)
    values = {"peft_type": "LORA", "r": 2, "lora_alpha": 4} if config is None else config
    (folder / CONFIG).write_text(values if isinstance(values, str) else json.dumps(values))
    write_manifest(folder, manifest(version, **changes))
    return folder


def add(registry: Registry, version: str, **changes: Any) -> Path:
    return registry.add("intent", version, fill(registry.staging("intent", version), version, **changes), BASE)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "adapters")


def test_a_version_comes_back_as_it_was_written(registry: Registry) -> None:
    folder = add(registry, "v1")
    found = registry.load("intent", "v1", BASE)
    assert replace(found.manifest, files={}) == manifest("v1")
    assert set(found.manifest.files) == {WEIGHTS, CONFIG, HEAD}
    (down, up) = found.weights.factors[5, "attention.self.query"]
    assert torch.equal(down, lora_tensors()[KEY.format("A")].T)
    assert torch.equal(up, lora_tensors()[KEY.format("B")].T * 2)  # alpha / r
    assert found.head["wide.weight"].dtype == torch.float32
    assert registry.folder("intent", "v1") == folder
    assert [one.version for one in registry.versions("intent")] == ["v1"]
    assert registry.champion("intent") is None


def test_versions_are_listed_oldest_first_without_damaged_and_staged_ones(registry: Registry) -> None:
    add(registry, "z", created_at="2026-01-01")
    add(registry, "a", created_at="2026-02-01")
    (add(registry, "broken") / MANIFEST).write_text("{")
    fill(registry.staging("intent", "left-behind"), "left-behind")  # a run that was killed
    assert [one.version for one in registry.versions("intent")] == ["z", "a"]


def test_an_empty_registry_has_nothing_and_makes_nothing(registry: Registry) -> None:
    assert registry.versions("intent") == [] and registry.champion("intent") is None
    assert not registry.root.exists()


NAN = torch.full((2, 4), float("nan"))
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "NaN in the factors": ({"lora": {**lora_tensors(), KEY.format("A"): NAN}}, "NaN"),
    "infinity in the head": ({"head": {**head_tensors(), "deep.bias": torch.tensor([float("inf"), 0.0])}}, "infinity"),
    "rank of A": ({"lora": {**lora_tensors(), KEY.format("A"): torch.ones(3, 4)}}, "wrong shapes for rank 2"),
    "rank of B": ({"lora": {**lora_tensors(), KEY.format("B"): torch.ones(3, 3)}}, "wrong shapes for rank 2"),
    "one dimension": ({"lora": {**lora_tensors(), KEY.format("A"): torch.ones(2)}}, "wrong shapes"),
    "half a pair": ({"lora": {KEY.format("A"): torch.ones(2, 4)}}, "wrong shapes"),
    "a foreign tensor": ({"lora": {**lora_tensors(), "embeddings.word_embeddings.weight": torch.ones(2)}}, "unexpected tensor"),
    "a foreign linear": ({"lora": {"encoder.layer.5.pooler.lora_A.weight": torch.ones(2, 4)}}, "unexpected tensor"),
    "more labels than rows": ({"labels": ("a", "b", "c")}, "wrong shapes .* for 3 labels"),
    "no deep half": ({"head": {"wide.weight": torch.zeros(BUCKETS, 2)}}, "wrong shapes"),
    "fewer buckets": ({"head": {**head_tensors(), "wide.weight": torch.zeros(7, 2)}}, "wrong shapes"),
    "another method": ({"config": {"peft_type": "LOHA", "r": 2, "lora_alpha": 4}}, "'LOHA'"),
    "an alpha for each layer": (
        {"config": {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "alpha_pattern": {"q": 9}}},
        "one alpha",
    ),
    "no alpha": ({"config": {"peft_type": "LORA", "r": 2}}, "lora_alpha"),
    "no JSON": ({"config": "{"}, "cannot be read"),
    "a list for a configuration": ({"config": "[]"}, "cannot be read"),
    "a foreign base": ({"base_sha256": "c" * 64}, "made for base tiny"),
    "temperature zero": ({"temperature": 0.0}, "temperature"),
    "temperature NaN": ({"temperature": float("nan")}, "temperature"),
    "a newer format": ({"format": 2}, "format 2"),
    "another task": ({"task": "sentiment"}, "sentiment/v1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_version_that_cannot_serve_is_refused_and_changes_nothing(registry: Registry, name: str) -> None:
    changes, message = WRONG[name]
    staged = fill(registry.staging("intent", "v1"), **changes)
    with pytest.raises(RegistryError, match=message):
        registry.add("intent", "v1", staged, BASE)
    assert registry.versions("intent") == []


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", [WEIGHTS, CONFIG, HEAD])
@pytest.mark.parametrize(("damage", "message"), [(flip, "checksum"), (Path.unlink, "missing")])
def test_a_damaged_file_stops_serving_and_promotion(
    registry: Registry, name: str, damage: Callable[[Path], None], message: str
) -> None:
    add(registry, "good")
    registry.promote("intent", "good", BASE)
    damage(add(registry, "v1") / name)
    with pytest.raises(RegistryError, match=message):
        registry.load("intent", "v1", BASE)
    with pytest.raises(RegistryError, match=message):
        registry.promote("intent", "v1", BASE)
    assert registry.champion("intent") == "good"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 1, "labels": []}', b"\xff\xfe", b"[" * 100_000, b"null"])
def test_an_unreadable_manifest_is_named(registry: Registry, content: bytes) -> None:
    (add(registry, "v1") / MANIFEST).write_bytes(content)
    with pytest.raises(RegistryError, match=r"manifest\.json"):
        registry.load("intent", "v1", BASE)


def test_an_oversized_file_is_refused_before_it_is_read(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    add(registry, "v1")
    monkeypatch.setattr(adapter_files, "MAX_FILE_BYTES", 1000)
    with pytest.raises(RegistryError, match="larger than"):
        registry.load("intent", "v1", BASE)


class Bomb:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (open, ("exploded", "w"))


def test_pickles_are_never_opened(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = add(registry, "v1")
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb()))
    registry.load("intent", "v1", BASE)  # an extra file is nobody's business
    (folder / HEAD).write_bytes(pickle.dumps(Bomb()))
    write_manifest(folder, manifest("v1"))  # even with the right checksum
    with pytest.raises(RegistryError, match="safetensors"):
        registry.load("intent", "v1", BASE)
    assert not Path("exploded").exists()


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "x/../../../y",
        "",
        ".",
        "..",
        ".hidden",
        "a b",
        "a\n",
        "x" * 65,
        "champion",
        "previous",
        "candidate",
        "withdrawn.jsonl",
    ],
)
def test_names_that_are_no_version_never_touch_the_disk(registry: Registry, tmp_path: Path, name: str) -> None:
    staged = fill(tmp_path / "elsewhere" / "staged", name)
    before = sorted(tmp_path.rglob("*"))
    for act in (
        lambda: registry.staging("intent", name),
        lambda: registry.add("intent", name, staged, BASE),
        lambda: registry.promote("intent", name, BASE),
        lambda: registry.load("intent", name, BASE),
    ):
        with pytest.raises(RegistryError):
            act()
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_task_is_named_with_those_there_are(registry: Registry) -> None:
    with pytest.raises(RegistryError, match=r"'../intent' is no task; tasks are intent, sentiment"):
        registry.champion("../intent")


def test_an_unknown_version_is_answered_with_the_known_ones(registry: Registry) -> None:
    add(registry, "v1")
    add(registry, "v2")
    with pytest.raises(RegistryError, match=r"no version 'v3'.*known versions: v1, v2"):
        registry.load("intent", "v3", BASE)


def test_a_version_is_never_overwritten(registry: Registry) -> None:
    add(registry, "v1")
    with pytest.raises(RegistryError, match="there already"):
        registry.add("intent", "v1", fill(registry.root / "intent" / ".staging-x", "v1"), BASE)


def test_a_copy_under_another_name_is_refused(registry: Registry) -> None:
    add(registry, "v1").rename(registry.root / "intent" / "v2")
    with pytest.raises(RegistryError, match="those of intent/v1"):
        registry.promote("intent", "v2", BASE)


def test_rollback_goes_back_to_the_champion_before(registry: Registry) -> None:
    with pytest.raises(RegistryError, match="nothing to roll back to"):
        registry.rollback("intent", BASE)
    for version in ("v1", "v2"):
        add(registry, version)
        registry.promote("intent", version, BASE)
    registry.promote("intent", "v2", BASE)  # twice the same must not lose the one before
    assert registry.rollback("intent", BASE) == "v1" == registry.champion("intent")
    assert registry.rollback("intent", BASE) == "v2" == registry.champion("intent")


def test_rollback_to_a_damaged_version_leaves_the_champion(registry: Registry) -> None:
    for version in ("v1", "v2"):
        add(registry, version)
        registry.promote("intent", version, BASE)
    flip(registry.folder("intent", "v1") / HEAD)
    with pytest.raises(RegistryError, match="checksum"):
        registry.rollback("intent", BASE)
    assert registry.champion("intent") == "v2"


KILLED = """
import os, signal, sys
from pathlib import Path
from assistant.registry import Registry
calls, real = 0, os.replace
def replace(source, target):
    global calls
    calls += 1
    if calls == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    real(source, target)
os.replace = replace
Registry(Path(sys.argv[1])).promote("intent", "v2", "b" * 64)
"""


def test_a_kill_during_promotion_leaves_a_champion_that_serves_and_can_be_rolled_back(registry: Registry) -> None:
    for version in ("v0", "v1", "v2"):
        add(registry, version)
    registry.promote("intent", "v0", BASE)
    registry.promote("intent", "v1", BASE)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(registry.root), "1"], cwd=Path(__file__).parents[2])
    assert ended.returncode == -signal.SIGKILL
    assert (registry.champion("intent"), registry.previous("intent")) == ("v1", "v0")
    registry.load("intent", "v1", BASE)
    assert {one.version for one in registry.versions("intent")} == {"v0", "v1", "v2"}
    assert registry.rollback("intent", BASE) == "v0"
    registry.promote("intent", "v2", BASE)
    assert (registry.champion("intent"), registry.previous("intent")) == ("v2", "v0")
    assert not list(registry.root.rglob(".champion.*"))  # what the killed process left is swept away


def test_a_promotion_over_a_damaged_champion_keeps_the_last_sound_one_for_rollback(registry: Registry) -> None:
    for version in ("v1", "v2", "v3"):
        add(registry, version)
    registry.promote("intent", "v1", BASE)
    registry.promote("intent", "v2", BASE)
    flip(registry.folder("intent", "v2") / HEAD)
    registry.promote("intent", "v3", BASE)
    assert registry.rollback("intent", BASE) == "v1"


def test_what_serves_is_the_champion_or_aloud_the_one_before_it(registry: Registry) -> None:
    assert registry.load_serving("intent", BASE) is None
    for version in ("v1", "v2"):
        add(registry, version)
        registry.promote("intent", version, BASE)
    served = registry.load_serving("intent", BASE)
    assert served is not None and (served.adapter.manifest.version, served.fault) == ("v2", "")
    flip(registry.folder("intent", "v2") / HEAD)
    served = registry.load_serving("intent", BASE)
    assert served is not None and served.adapter.manifest.version == "v1"
    assert "champion v2 cannot serve, v1 before it stands in" in served.fault and "checksum" in served.fault
    flip(registry.folder("intent", "v1") / HEAD)
    with pytest.raises(RegistryError, match=r"nor can the champion before it stand in.*adapters promote intent VERSION"):
        registry.load_serving("intent", BASE)


def test_a_damaged_first_champion_has_none_to_stand_in(registry: Registry) -> None:
    add(registry, "v1")
    registry.promote("intent", "v1", BASE)
    flip(registry.folder("intent", "v1") / HEAD)
    with pytest.raises(RegistryError, match=r"checksum.*adapters promote intent VERSION"):
        registry.load_serving("intent", BASE)


def test_a_pointer_damaged_by_hand_is_named_with_the_mend_and_promoting_mends_it(registry: Registry) -> None:
    add(registry, "v1")
    (registry.root / "intent" / "champion").write_text("\x00 rubbish")
    with pytest.raises(RegistryError, match=r"known versions: v1.*adapters promote intent VERSION"):
        registry.load_serving("intent", BASE)
    registry.promote("intent", "v1", BASE)
    assert registry.load_serving("intent", BASE) is not None


def test_a_pair_of_files_from_before_is_still_read(registry: Registry) -> None:
    for version in ("v1", "v2"):
        add(registry, version)
    (registry.root / "intent" / "champion").write_text("v2")
    (registry.root / "intent" / "previous").write_text("v1")
    assert registry.rollback("intent", BASE) == "v1"
    assert registry.previous("intent") == "v2" and not (registry.root / "intent" / "previous").exists()


def test_threads_that_promote_at_once_leave_a_pair_that_loads(registry: Registry) -> None:
    names = [f"v{number}" for number in range(6)]
    for version in names:
        add(registry, version)
    threads = [threading.Thread(target=registry.promote, args=("intent", version, BASE)) for version in names for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    champion, before = registry.champion("intent"), registry.previous("intent")
    assert champion in names and before in names and champion != before
    assert registry.rollback("intent", BASE) == before


def test_shipped_versions_are_installed_once_and_never_over_a_champion(registry: Registry, tmp_path: Path) -> None:
    shipped = Registry(tmp_path / "shipped")
    add(shipped, "sample-1")
    fill(shipped.root / "intent" / ".staging-x-1", "x")
    assert registry.install(shipped.root) == ["intent/sample-1"]
    assert registry.champion("intent") == "sample-1"
    add(registry, "own")
    registry.promote("intent", "own", BASE)
    assert registry.install(shipped.root) == []
    assert registry.champion("intent") == "own"
    assert [path.name for path in registry.root.rglob(".*")] == []
    registry.load("intent", "sample-1", BASE)


def test_the_manifest_is_plain_readable_json(registry: Registry) -> None:
    folder = add(registry, "v1", labels=("取消", "refund"))
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    assert "取消" in text and json.loads(text)["format"] == 1
    assert read_manifest(folder).labels == ("取消", "refund")
