"""A small shop's passages in English and Chinese, and an index over them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assistant.encoder import Encoder
from assistant.records import Passage
from retrieval.index import Index, build, open_current

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def passage(id: str, text: str, **values: object) -> Passage:
    """A passage whose unnamed fields are plain."""
    fields: dict[str, object] = {"kind": "article", "title": id, "search_text": text, "source": f"src-{id}", "lang": "en"}
    return Passage(id=id, text=text, **(fields | values))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def shop() -> list[Passage]:
    return [
        passage("refund", "Refunds reach your bank account within five working days after the return has been checked."),
        passage("delivery", "Standard delivery takes three to five days; express parcels arrive the next day."),
        passage("charge", "If the camera does not charge, clean the contacts and use the cable that came with it."),
        passage("router", "Connect the device to the 2.4 GHz band of your router, then restart the app."),
        passage("old", "My parcel never came", kind="reply", at=datetime(2025, 1, 5, tzinfo=UTC)),
        passage("new", "My parcel is missing", kind="reply", at=datetime(2026, 1, 5, tzinfo=UTC)),
        passage("tpl", "Your order {order_number} is on its way.", kind="template", required_slots=("order_number",)),
        passage("zh-refund", "退款会在五个工作日内退回您的银行账户。", lang="zh"),
        passage("zh-delivery", "普通快递三到五天送达，加急次日送达。", lang="zh"),
        passage("zh-wifi", "请把设备连接到路由器的2.4G频段，然后重启应用。", lang="zh"),
    ]


def write(root: Path, passages: list[Passage], encoder: Encoder, version: str) -> None:
    """Build one version with the real encoder."""
    vectors = encoder.encode([one.search_text for one in passages])
    build(root, passages, vectors, encoder_sha256=encoder.sha256, encoder_name=encoder.name, now=NOW, version=version)


@pytest.fixture(scope="session")
def make_passage() -> Callable[..., Passage]:
    return passage


@pytest.fixture
def write_version(encoder: Encoder, tmp_path: Path) -> Callable[[list[Passage], str], Path]:
    """Build a version under the test's own folder and return that folder."""

    def write_it(passages: list[Passage], version: str) -> Path:
        write(tmp_path / "index", passages, encoder, version)
        return tmp_path / "index"

    return write_it


@pytest.fixture(scope="session")
def index(shop: list[Passage], encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Index:
    root = tmp_path_factory.mktemp("index")
    write(root, shop, encoder, "v1")
    return open_current(root, encoder.sha256)
