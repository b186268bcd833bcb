"""Messages are understood in one pass, alone or together, with and without adapters."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from assistant.understand import drop_invisible, visible


def test_a_message_is_understood_whole(shop: Any) -> None:
    (found,) = shop.understander.read(["The battery of my Vac 5 is dead after ten minutes, this is awful!"])
    assert found.language == "en" and found.intents[0].name == "battery_charging"
    assert found.slots["product"] == "Vac 5"
    assert found.sentiment is not None and found.sentiment.label == "negative"
    assert found.vector.shape == (384,) and np.linalg.norm(found.vector) == pytest.approx(1, abs=1e-3)


def test_probabilities_are_probabilities_and_best_first(shop: Any) -> None:
    for found in shop.understander.read(["Where is my order?", "怎么退货？", "asdf", " "]):
        chances = [guess.confidence for guess in found.intents]
        assert chances == sorted(chances, reverse=True)
        assert 0 <= found.out_of_scope <= 1 and sum(chances) + found.out_of_scope <= 1 + 1e-6
        assert found.sentiment is not None and -1 <= found.sentiment.score <= 1
        assert "oos" not in {guess.name for guess in found.intents}


def test_a_message_is_read_the_same_alone_and_among_others(shop: Any) -> None:
    texts = ["Where is my order?", "How do I reset my password? " * 20, "退款"]
    alone = [shop.understander.read([text])[0] for text in texts]
    for one, other in zip(alone, shop.understander.read(texts), strict=True):
        assert one.intents[0].name == other.intents[0].name
        assert one.intents[0].confidence == pytest.approx(other.intents[0].confidence, abs=1e-3)


@pytest.mark.parametrize("text", ["", "\x00", "\ud800", "\u200b", "😀" * 5_000, "\n" * 5_000, "a" * 100_000, "مرحبا"])
def test_anything_can_be_read(shop: Any, text: str) -> None:
    (found,) = shop.understander.read([text])
    assert found.language in ("en", "zh") and np.isfinite(found.vector).all()


def test_without_adapters_there_is_language_vector_and_product_only(shop: Any) -> None:
    (found,) = shop.untrained.read(["我的 Vac 5 坏了"])
    assert (found.language, found.intents, found.sentiment, found.slots) == ("zh", (), None, {"product": "Vac 5"})
    assert shop.untrained.versions == {} and shop.untrained.thresholds == {}


def test_versions_and_thresholds_are_those_of_the_adapters(shop: Any) -> None:
    assert shop.understander.versions["intent"].startswith("sample-")
    assert 0 < shop.understander.thresholds["min_confidence"] < 1


def test_invisible_characters_are_dropped_and_spaces_folded() -> None:
    assert visible("whe\u200bre\u2066 is\n\n my\u00ad  order\ufeff") == "where is my order"
    assert visible("\u200b\u200c\u200d\u2060") == ""
    assert visible("hidden\U000e0049\U000e0067") == "hidden"
    assert drop_invisible("line\nbreaks  stay") == "line\nbreaks  stay"
