"""A sentiment adapter tells emotions where rows name them, and counts negative ones alike in every language."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from assistant.adapter_files import read_version
from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.understand import Understander
from finetune.examples import Labelled, read_labelled
from finetune.intent import Trained
from finetune.recipe import Run, TrainSettings
from finetune.sentiment import negative_thresholds, train_sentiment

THINGS = ("the lamp", "my order", "this plug", "the app", "your van", "the box", "it", "the sensor", "the lock", "my parcel")
SAYINGS = (
    ("I am furious about {}, this is outrageous", "negative", ("anger",)),
    ("what a let-down, I had hoped for more from {}", "negative", ("disappointment",)),
    ("when does {} ship", "neutral", ()),
    ("thank you so much for {}, lovely help", "positive", ("gratitude",)),
)
ROWS = [Labelled(said.format(f"{thing} {time}"), label, felt) for said, label, felt in SAYINGS for thing in THINGS
        for time in ("today", "again", "at last", "this week")]  # fmt: skip
TRAINING, VALIDATION = [row for at, row in enumerate(ROWS) if at % 4], ROWS[::4]


def train(encoder: Encoder, folder: Path, training: list[Labelled], validation: list[Labelled]) -> Trained:
    folder.mkdir()
    settings = TrainSettings(rank=2, layers_from=5, epochs=1, batch_size=16)
    run = Run("sentiment", folder.name, folder, datetime(2026, 1, 2, tzinfo=UTC), "0", settings=settings)
    return train_sentiment(run, training, validation, encoder)


def test_emotions_are_told_from_one_another_when_served(encoder: Encoder, tmp_path: Path) -> None:
    made = train(encoder, tmp_path / "v1", TRAINING, VALIDATION)
    assert made.manifest.head["emotions"] == ["anger", "disappointment", "gratitude"]
    assert made.manifest.scores["validation_auroc_gratitude"] > 0.95
    served = Understander(encoder, {"sentiment": read_version(tmp_path / "v1", encoder.sha256)}, languages=("en",))
    furious, grateful, plain = served.read(["I am furious about the door", "thank you so much", "when does the door ship"])
    assert furious.emotions["anger"] > 0.5 > furious.emotions["gratitude"]
    assert grateful.emotions["gratitude"] > 0.5 > grateful.emotions["anger"]
    assert max(plain.emotions.values()) < 0.5


def test_rows_that_name_no_emotions_teach_none(encoder: Encoder, tmp_path: Path) -> None:
    silent = [Labelled(row.text, row.label) for row in TRAINING]
    made = train(encoder, tmp_path / "v1", silent, VALIDATION)
    assert "emotions" not in made.manifest.head
    served = Understander(encoder, {"sentiment": read_version(tmp_path / "v1", encoder.sha256)}, languages=("en",))
    assert served.read(["I am furious"])[0].emotions == {}


def test_each_language_calls_as_many_messages_negative_as_are() -> None:
    rng = np.random.default_rng(3)
    english = [
        Labelled(f"the parcel number {at} has not come and nobody writes", "negative" if at < 30 else "neutral")
        for at in range(100)
    ]
    chinese = [Labelled(f"第{at}个包裹还没有到", "negative" if at < 50 else "neutral") for at in range(100)]
    sure = np.where([row.label == "negative" for row in english + chinese], 0.7, 0.3) + rng.normal(0, 0.15, 200)
    sure[100:] += 0.2  # in Chinese the model sounds surer than it is
    chances = sure.clip(0.01, 0.99).astype(np.float32)
    found = negative_thresholds(chances, english + chinese)
    assert (chances[:100] >= found["negative_en"]).sum() == 30
    assert (chances[100:] >= found["negative_zh"]).sum() == 50
    assert found["negative_zh"] > found["negative_en"]


def test_a_language_with_few_rows_gets_no_threshold_of_its_own() -> None:
    few = [Labelled(f"第{at}个包裹还没有到", "negative" if at % 2 else "neutral") for at in range(30)]
    assert negative_thresholds(np.linspace(0, 1, 30, dtype=np.float32), few) == {}


def test_an_unknown_emotion_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "moods.jsonl"
    file.write_text(
        '{"text": "hm", "label": "neutral", "emotions": []}\n{"text": "oh", "label": "negative", "emotions": ["rage"]}\n'
    )
    with pytest.raises(TrainingError, match=r"moods\.jsonl:2: 'emotions' must be a list of anger"):
        read_labelled(file, sentiment=True)
    assert [row.emotions for row in read_labelled(file)] == [None, None]
