"""Replies are ranked among unique others, ties count against, and a short training lifts the recall that is served."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.adapter_files import read_version
from assistant.encoder import Encoder
from assistant.errors import TrainingError
from assistant.sides import context_text
from finetune.dialog import Ranking, choice_sets, predict_ranking, rank, ranking_figures, train_dialog, varied
from finetune.harvested import Pair
from finetune.recipe import Run, TrainSettings
from tests.finetune.tiny_training import tiny_encoder

THINGS = ("hoover", "doorbell", "lamp", "kettle", "radio", "phone", "fan", "toaster", "mixer", "clock", "drill", "scale")
#: What is asked, and an answer in words that have nothing to do with it.
TOPICS = (
    ("can I get my money back for the {}", "Fernwick sends the label for the {} by post"),
    ("when does the {} arrive", "Our carrier lists the {} under its own number"),
    ("the {} stopped working", "Hold the button of the {} for ten seconds"),
)


@pytest.fixture(scope="module")
def tiny(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """An encoder small enough to train with in a test."""
    return tiny_encoder(encoder, tmp_path_factory.mktemp("tiny") / "tiny-bert")


def pair(context: str, reply: str, ref: str = "t") -> Pair:
    return Pair((("customer", context),), reply, ref, None, "en")


PAIRS = [pair(ask.format(thing), answer.format(thing)) for thing in THINGS for ask, answer in TOPICS]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=20), st.integers(2, 6), st.integers(0, 9))
def test_a_set_holds_the_own_reply_first_and_unique_others(letters: list[str], choices: int, seed: int) -> None:
    replies = [letter.upper() if at % 2 else f" {letter} " for at, letter in enumerate(letters)]
    clean = [reply.strip().lower() for reply in replies]
    sets = choice_sets(replies, seed, choices)
    assert sets == choice_sets(replies, seed, choices)
    for row, rows in enumerate(sets):
        assert clean[rows[0]] == clean[row]
        assert len({clean[one] for one in rows}) == len(rows) == min(choices, len(set(clean)))


def test_a_tie_counts_against_the_right_reply() -> None:
    replies = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    contexts = np.array([[1, 0], [1, 0.5], [0, 1]], dtype=np.float32)
    found = rank(contexts, replies, [[0, 1, 2], [1, 2], [2, 0, 1]])
    assert found.ranks.tolist() == [2, 1, 1] and found.chosen.tolist() == [0, 1, 2]
    assert ranking_figures(found.ranks) == {"recall_at_1_of_100": 0.6667, "mrr": 0.8333}
    assert ranking_figures(np.zeros(0, dtype=np.int64)) == {"recall_at_1_of_100": 0.0, "mrr": 0.0}


def test_the_last_turn_of_a_context_comes_first_and_old_ones_are_left_out() -> None:
    turns = tuple(("customer", f"turn {number} " + "x" * 300) for number in range(6))
    text = context_text(Pair(turns, "r", "t", None, "en").context)
    assert text.startswith("turn 5 ") and "turn 1" not in text and text.count(" | ") == 3 and len(text) < 1000


def dialog_run(folder: Path, **changes: object) -> Run:
    folder.mkdir(exist_ok=True)
    values = {"rank": 4, "layers_from": 4, "epochs": 3, "batch_size": 12, **changes}
    chosen = TrainSettings(**values)  # type: ignore[arg-type]
    return Run("dialog", "v1", folder, datetime(2026, 1, 2, tzinfo=UTC), "0", ("a.jsonl",), chosen)


def served_ranking(encoder: Encoder, folder: Path, pairs: list[Pair]) -> Ranking:
    """Rank as a server does that reads the version's files."""
    version = read_version(folder, encoder.sha256)
    encoder.set_adapters({"dialog": version.weights})
    try:
        return predict_ranking(encoder, "dialog", dict(version.head), pairs, 7)
    finally:
        encoder.set_adapters({})


def test_training_lifts_recall_and_serves_what_it_was_judged_by(
    encoder: Encoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finetune.adapted.bfloat16_pays", lambda: False)
    training, held = PAIRS[:27], PAIRS[27:]
    replies = [one.reply for one in held]
    untuned = rank(
        encoder.encode([context_text(one.context) for one in held]), encoder.encode(replies), choice_sets(replies, 7)
    )  # fmt: skip
    deep = train_dialog(dialog_run(tmp_path / "v0", wide_learning_rate=0.0), training, held, encoder)
    before, after = ranking_figures(untuned.ranks), ranking_figures(deep.ranking.ranks)
    assert after["mrr"] > before["mrr"] + 0.05 and after["recall_at_1_of_100"] > before["recall_at_1_of_100"]
    made = train_dialog(dialog_run(tmp_path / "v1"), training, held, encoder)
    after = ranking_figures(made.ranking.ranks)
    assert made.history[-1].loss < made.history[0].loss
    assert made.manifest.scores["validation_mrr"] == after["mrr"] and made.manifest.labels == ()
    served = served_ranking(encoder, tmp_path / "v1", held)
    assert served.ranks.tolist() == made.ranking.ranks.tolist() and served.chosen.tolist() == made.ranking.chosen.tolist()


@pytest.mark.parametrize("changes", [{"method": "prefix"}, {"adversarial": 0.05}])
def test_a_dialog_is_learned_by_other_methods_and_with_adversarial_steps(
    tiny: Encoder, tmp_path: Path, changes: dict[str, object]
) -> None:
    made = train_dialog(dialog_run(tmp_path / "v1", layers_from=1, **changes), PAIRS[:24], PAIRS[24:], tiny)
    assert made.history[-1].loss < made.history[0].loss
    assert read_version(tmp_path / "v1", tiny.sha256).manifest.head["kind"] == "dual-encoder"


def test_words_that_the_encoder_cannot_relate_are_learned_by_the_wide_half(tiny: Encoder, tmp_path: Path) -> None:
    words = [f"{first}{second}" for first in ("zor", "bli", "quam", "tef") for second in ("ka", "mund", "spil", "drox", "ven")]
    others = [f"{first}{second}" for first in ("gho", "wex", "ulp", "raj") for second in ("fy", "bonk", "stae", "lim", "cuz")]
    answers = dict(zip(words, others, strict=True))
    pairs = [pair(f"{one} {how}", f"{answers[one]} {so}") for one in words for how, so in (("a", "x"), ("b", "y"), ("c", "z"))]
    training, held = [one for at, one in enumerate(pairs) if at % 3], pairs[::3]
    made = train_dialog(dialog_run(tmp_path / "v1", epochs=1, layers_from=1), training * 4, held, tiny)
    without = train_dialog(dialog_run(tmp_path / "v2", epochs=1, layers_from=1, wide_learning_rate=0.0), training * 4, held, tiny)
    figures, plain = ranking_figures(made.ranking.ranks), ranking_figures(without.ranking.ranks)
    assert figures["recall_at_1_of_100"] > plain["recall_at_1_of_100"] + 0.3
    assert made.manifest.head["wide_share"] > 0 == without.manifest.head["wide_share"]
    assert "wide.share" not in read_version(tmp_path / "v2", tiny.sha256).head
    assert served_ranking(tiny, tmp_path / "v1", held).ranks.tolist() == made.ranking.ranks.tolist()


def test_a_training_tells_how_far_it_is(tiny: Encoder, tmp_path: Path) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    run = dialog_run(tmp_path / "v1", layers_from=1)
    train_dialog(
        replace(run, steps=lambda what, done, of: told.setdefault(what, []).append((done, of))), PAIRS[:24], PAIRS[24:], tiny
    )
    assert set(told) == {"reading texts", "training steps", "epochs of n-grams"}
    assert all(steps[-1][0] == steps[-1][1] for steps in told.values())
    assert [done for done, _ in told["training steps"]] == list(range(1, 7))


def test_a_reply_given_ever_so_often_leaves_the_encoder_time_for_the_others() -> None:
    often = [pair(f"bye {number}", "Goodbye.") for number in range(50)]
    mixed = [*often[:30], *PAIRS, *often[30:]]
    kept = varied(mixed, 7)
    assert [one for one in kept if one.reply != "Goodbye."] == PAIRS
    assert sum(one.reply == "Goodbye." for one in kept) == 8 and kept == varied(mixed, 7) != varied(mixed, 8)


@pytest.mark.parametrize(("training", "validation"), [(PAIRS[:15], PAIRS), (PAIRS, PAIRS[:1]), (PAIRS, [PAIRS[0]] * 3)])
def test_too_few_pairs_are_refused(tiny: Encoder, tmp_path: Path, training: list[Pair], validation: list[Pair]) -> None:
    with pytest.raises(TrainingError, match="at least 16 and 2 are needed"):
        train_dialog(dialog_run(tmp_path / "v1"), training, validation, tiny)


def test_nothing_to_rank_is_ranked_as_nothing(tiny: Encoder) -> None:
    found = predict_ranking(tiny, "dialog", {}, [], 7)
    assert len(found.ranks) == len(found.chosen) == 0 and ranking_figures(found.ranks)["mrr"] == 0.0


def test_a_prompt_cannot_learn_dialog(tiny: Encoder, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="prompt tuning cannot learn dialog"):
        train_dialog(dialog_run(tmp_path / "v1", method="prompt"), PAIRS, PAIRS, tiny)
