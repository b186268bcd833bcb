"""A version is whole or does not serve, and what was removed is gone."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from assistant.encoder import Encoder
from assistant.errors import IndexVersionError
from assistant.records import Passage
from retrieval import index as index_module
from retrieval.index import build, open_current, prune, verify
from retrieval.nearest import build_nearest
from retrieval.retriever import Retriever

Write = Callable[[list[Passage], str], Path]
NOW = datetime(2026, 3, 1, tzinfo=UTC)


def test_passages_come_back_as_they_were(write_version: Write, shop: list[Passage], encoder: Encoder) -> None:
    index = open_current(write_version(shop, "v1"), encoder.sha256)
    assert index.shelf.passages() == shop
    assert np.allclose(index.nearest.vectors, encoder.encode([one.search_text for one in shop]), atol=1e-5)
    assert index.manifest["kinds"] == {"article": 7, "reply": 2, "template": 1} and index.notes == ()


@pytest.mark.parametrize("size", [0, 1])
def test_tiny_indexes_serve(size: int, write_version: Write, shop: list[Passage], encoder: Encoder) -> None:
    index = open_current(write_version(shop[:size], "v1"), encoder.sha256)
    assert len(index) == size
    assert len(Retriever(index, encoder.encode).search("refund")) == size


@pytest.mark.parametrize("killed_at", ["rename", "replace"])
def test_killed_while_building_the_old_version_serves(
    killed_at: str, write_version: Write, shop: list[Passage], encoder: Encoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_version(shop, "v1")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(index_module.os, killed_at, die)
        with pytest.raises(KeyboardInterrupt):
            write_version(shop[:2], "v2")
    index = open_current(root, encoder.sha256)
    assert (index.version, len(index), index.notes) == ("v1", len(shop), ())
    prune(root, 1)
    assert sorted(path.name for path in root.iterdir() if path.is_dir()) == ["v1"]
    write_version(shop[:2], "v3")
    assert len(open_current(root, encoder.sha256)) == 2


def test_a_flipped_byte_in_any_file_is_named_and_the_older_version_serves(
    write_version: Write, shop: list[Passage], encoder: Encoder
) -> None:
    write_version(shop, "v1")
    root = write_version(shop[:3], "v2")
    for file in sorted((root / "v2").iterdir()):
        good = file.read_bytes()
        for place in (0, len(good) // 2, len(good) - 1):
            file.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
            index = open_current(root, encoder.sha256)
            assert index.version == "v1" and str(file) in index.notes[0], (file, place)
        file.unlink()
        assert str(file) in open_current(root, encoder.sha256).notes[0]
        file.write_bytes(good)
    assert open_current(root, encoder.sha256).version == "v2"


def test_when_nothing_whole_is_left_the_error_names_the_files(
    write_version: Write, shop: list[Passage], encoder: Encoder
) -> None:
    root = write_version(shop, "v1")
    (root / "v1" / "vectors.faiss").write_bytes(b"")
    with pytest.raises(IndexVersionError, match=r"vectors\.faiss.*damaged[\s\S]*deskhand ingest"):
        open_current(root, encoder.sha256)


@pytest.mark.parametrize("pointer", [b"", b"../../etc", b"\xff\xfe", None])
def test_a_damaged_pointer_is_named_and_the_newest_version_serves(
    pointer: bytes | None, write_version: Write, shop: list[Passage], encoder: Encoder
) -> None:
    root = write_version(shop, "v1")
    (root / "current").unlink() if pointer is None else (root / "current").write_bytes(pointer)
    index = open_current(root, encoder.sha256)
    assert index.version == "v1" and "current" in index.notes[0]


def test_another_encoder_is_refused_with_the_mend(write_version: Write, shop: list[Passage]) -> None:
    with pytest.raises(IndexVersionError, match=r"all-MiniLM-L6-v2.*set encoder\.model back, or run"):
        open_current(write_version(shop, "v1"), "0" * 64)


def test_no_index_yet_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(IndexVersionError, match="deskhand ingest"):
        open_current(tmp_path / "none", "x")


def test_what_was_removed_is_gone_after_pruning(write_version: Write, shop: list[Passage], encoder: Encoder) -> None:
    write_version(shop, "v1")
    root = write_version([one for one in shop if one.source != "src-refund"], "v2")
    assert prune(root, 1) == ["v1"]
    assert all(b"src-refund" not in file.read_bytes() for file in root.rglob("*") if file.is_file())
    hits = Retriever(open_current(root, encoder.sha256), encoder.encode).search("when do refunds reach my bank account")
    assert "refund" not in {hit.passage.id for hit in hits}


@pytest.mark.parametrize("version", ["", "..", "a/b", "current", ".staging-x", "v1"])
def test_names_that_cannot_be_a_new_version(version: str, write_version: Write, shop: list[Passage]) -> None:
    write_version(shop[:1], "v1")
    with pytest.raises(IndexVersionError, match="name"):
        write_version(shop[:1], version)


@pytest.mark.parametrize("vectors", [np.zeros((3, 4), np.float32), np.full((2, 4), np.nan, np.float32)])
def test_vectors_that_do_not_fit_are_refused(vectors: np.ndarray, shop: list[Passage], tmp_path: Path) -> None:
    with pytest.raises(IndexVersionError):
        build(tmp_path, shop[:2], vectors, encoder_sha256="x", encoder_name="x", now=NOW, version="v1")
    assert list(tmp_path.iterdir()) == []


def test_a_graph_serves_where_it_finds_what_flat_search_finds(shop: list[Passage], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(50, 32))
    vectors = (centres[rng.integers(0, 50, 2_000)] + 0.5 * rng.normal(size=(2_000, 32))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    passages = [Passage(f"p{i}", "article" if i % 2 else "reply", "", "t", f"text {i}", "s", "en") for i in range(2_000)]
    build(tmp_path, passages, vectors, encoder_sha256="x", encoder_name="x", now=NOW, version="v1", flat_below=1_000)
    index = open_current(tmp_path, "x")
    measured = index.manifest["calibration"]["nearest"]
    assert measured["method"] == "hnsw" and measured["recall_at_10"] >= 0.98
    assert np.array_equal(index.nearest.vectors, vectors)
    odd = np.arange(2_000) % 2 == 1
    found = index.nearest.search(vectors[3], 10, odd)
    assert len(found) == 10 and found[0] == 3 and (found % 2 == 1).all()
    assert build_nearest(vectors, 5_000, 0).method == "flat"


def test_verify_accepts_only_what_was_written(write_version: Write, shop: list[Passage]) -> None:
    root = write_version(shop, "v1")
    assert verify(root / "v1")["passages"] == len(shop)
    assert not [name for name in os.listdir(root) if name.startswith(".")]
