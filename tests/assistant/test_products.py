"""Products are found under the names customers use, and a product file that cannot be used is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assistant.errors import SettingsError
from assistant.products import Products, read_products

NAMES = {
    "Vac 5": "Vac 5",
    "Vac 5 Pro": "Vac 5 Pro",
    "robot hoover": "Vac 5",
    "扫地机": "Vac 5",
    "Bell 3": "Bell 3",
    "C++ kit": "Kit",
}


@pytest.mark.parametrize(
    ("text", "product"),
    [
        ("my VAC 5 broke", "Vac 5"),
        ("my vac 5 pro broke", "Vac 5 Pro"),  # the longest name wins
        ("two robot hoovers!", "Vac 5"),
        ("扫地机坏了", "Vac 5"),
        ("the Bell 3 and the Vac 5", "Bell 3"),  # the first named
        ("a C++ kit, please", "Kit"),
        ("bell 30", None),
        ("doorbell 3", None),
        ("evac 5", None),
        ("", None),
        ("nothing of yours", None),
    ],
)
def test_products_are_found_in_text(text: str, product: str | None) -> None:
    assert Products(NAMES).find(text) == product


def test_a_mention_is_named_plural_and_case_aside() -> None:
    products = Products(NAMES)
    assert products.named(" Robot Hoovers ") == "Vac 5"
    assert products.named("hoover") is None


@pytest.mark.parametrize("names", [{}, {"": "Vac 5"}, {"  ": "Vac 5"}])
def test_without_names_nothing_is_found(names: dict[str, str]) -> None:
    assert Products(names).find("s, or anything else") is None


def test_a_name_with_spaces_around_it_is_found() -> None:
    assert Products({" hoover ": "Vac 5"}).find("my hoover") == "Vac 5"


def test_the_products_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "products.json"
    file.write_text(json.dumps({"Vac 5": {"names": {"en": ["robot hoover"], "zh": ["扫地机"]}}}), encoding="utf-8")
    products = read_products(file)
    assert [products.find(text) for text in ("vac 5", "Robot Hoover", "扫地机")] == ["Vac 5"] * 3


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"Vac 5": {}}',
        b'{"Vac 5": {"names": []}}',
        b'{"Vac 5": {"names": {"en": "hoover"}}}',
        b'{"Vac 5": {"names": {"en": [5]}}}',
        b'{"Vac 5": {"names": {"en": [""]}}}',
        None,
    ],
)
def test_a_products_file_that_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "products.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match=r"products\.json.*expected"):
        read_products(file)
