"""Openings without labels become the intents that were planted, with names from their words, and files to train from."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from assistant.errors import TrainingError
from finetune.discover import Proposal, propose
from finetune.discover_clusters import map_equation, silhouette
from finetune.discover_files import check_folder, write_proposal
from finetune.discover_names import name_clusters, words_of
from finetune.examples import read_labelled

PLANTED = {
    "refund": "my refund has not arrived on the account",
    "parcel": "where is my parcel today",
    "password": "I forgot my password and cannot log in",
    "invoice": "please send the invoice for the tax office",
}
ENDINGS = [
    " ".join(pair) for pair in itertools.product(("please", "hello", "thanks", "now", "soon"), ("a", "b", "c", "d", "e", "f"))
]


def planted(dims: int = 32, noise: float = 0.05, strangers: int = 0) -> tuple[list[str], NDArray[np.float32], list[str]]:
    """30 openings of each kind around orthogonal centres, then openings that point anywhere."""
    rng = np.random.default_rng(7)
    texts, vectors, kinds = [], [], []
    for at, (kind, saying) in enumerate(PLANTED.items()):
        for ending in ENDINGS:
            texts.append(f"{saying} {ending}")
            vectors.append(np.eye(dims)[at] + noise * rng.normal(size=dims))
            kinds.append(kind)
    for at in range(strangers):
        texts.append(f"zz{at} qq{at}")
        vectors.append(rng.normal(size=dims))
        kinds.append("none")
    made = np.array(vectors)
    return texts, (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32), kinds


def kinds_of(proposal: Proposal, kinds: list[str]) -> list[set[str]]:
    return [{kinds[member.row] for member in intent.members} for intent in proposal.intents]


def test_the_planted_groups_are_found_without_being_told_how_many() -> None:
    texts, vectors, kinds = planted()
    found = propose(texts, vectors)
    held = kinds_of(found, kinds)
    assert all(len(group) == 1 for group in held) and set().union(*held) == set(PLANTED)
    assert len(PLANTED) <= len(found.intents) <= 2 * len(PLANTED)


def test_a_number_that_is_given_is_kept() -> None:
    texts, vectors, kinds = planted()
    found = propose(texts, vectors, intents=4)
    assert sorted(map(sorted, kinds_of(found, kinds))) == [[kind] for kind in sorted(PLANTED)]


def test_names_come_from_the_words_and_are_unique() -> None:
    texts, vectors, kinds = planted()
    found = propose(texts, vectors, intents=4)
    for intent, group in zip(found.intents, kinds_of(found, kinds), strict=True):
        said = set(words_of(PLANTED[next(iter(group))]))
        assert intent.words and set(intent.words[:2]) <= said
        assert set(intent.name.split("_")) <= said and re.fullmatch(r"\w+", intent.name)
    assert len({intent.name for intent in found.intents}) == 4


def test_openings_unlike_all_others_are_not_forced_into_an_intent() -> None:
    texts, vectors, kinds = planted(dims=128, strangers=12)
    found = propose(texts, vectors)
    aside = [kinds[one.row] for one in found.outsiders]
    assert aside.count("none") >= 10
    assert len(aside) - aside.count("none") <= 12  # a clean group always loses its far tail of some per cent
    assert found.none_share == pytest.approx(len(aside) / len(texts))


def test_every_opening_is_in_one_place() -> None:
    texts, vectors, _ = planted(strangers=10)
    found = propose(texts, vectors)
    rows = [one.row for intent in found.intents for one in intent.members] + [one.row for one in found.outsiders]
    assert sorted(rows) == list(range(len(texts)))


def test_groups_below_the_least_size_are_no_intents() -> None:
    texts, vectors, _ = planted()
    found = propose(texts, vectors, least=31, intents=4)
    assert found.intents == () and found.none_share == 1 and {one.nearest for one in found.outsiders} == {""}


def test_the_same_seed_gives_the_same_proposal_also_when_sampled() -> None:
    texts, vectors, _ = planted(strangers=10)
    assert propose(texts, vectors, seed=3, fit_rows=80) == propose(texts, vectors, seed=3, fit_rows=80)


def test_what_was_not_sampled_joins_its_neighbours() -> None:
    texts, vectors, kinds = planted()
    found = propose(texts, vectors, fit_rows=60, intents=4)
    assert all(len(group) == 1 for group in kinds_of(found, kinds))
    assert sum(intent.size for intent in found.intents) > 100


def test_repeats_count_for_the_size_but_are_grouped_and_written_once(tmp_path: Path) -> None:
    texts, vectors, _ = planted()
    again = [*texts, *(f"  {text.upper()} " for text in texts[:30])]
    found = propose(again, np.vstack([vectors, vectors[:30]]), intents=4)
    assert found.intents[0].size > len(found.intents[0].members) == len({one.row for one in found.intents[0].members})
    assert all(one.row < len(texts) for intent in found.intents for one in intent.members)
    assert found.n == 150
    files = write_proposal(tmp_path / "out", found, again)
    assert len(read_labelled(files.intents)) == sum(len(intent.members) for intent in found.intents)


def test_empty_openings_belong_to_no_intent() -> None:
    texts, vectors, _ = planted()
    found = propose([*texts, "", "  \n"], np.vstack([vectors, vectors[:2]]))
    assert not {120, 121} & {one.row for intent in found.intents for one in intent.members}
    assert found.none_share >= 2 / 122


@pytest.mark.parametrize("count", [0, 1, 49])
def test_too_few_openings_are_refused_with_the_mend(count: int) -> None:
    texts, vectors, _ = planted()
    with pytest.raises(TrainingError, match=f"{count} different openings.*at least 50.*ingest"):
        propose(texts[:count], vectors[:count])


def test_one_opening_said_many_times_is_too_few() -> None:
    texts, vectors, _ = planted()
    with pytest.raises(TrainingError, match="1 different"):
        propose(texts[:1] * 100, np.repeat(vectors[:1], 100, axis=0))


def test_options_out_of_range_are_refused() -> None:
    texts, vectors, _ = planted()
    with pytest.raises(TrainingError, match="least = 1"):
        propose(texts, vectors, least=1)
    with pytest.raises(TrainingError, match="intents = 1"):
        propose(texts, vectors, intents=1)
    with pytest.raises(TrainingError, match="120 openings came with 119 vectors"):
        propose(texts, vectors[:-1])


def test_vectors_that_are_all_alike_still_give_a_proposal() -> None:
    texts, vectors, _ = planted()
    assert propose(texts, np.repeat(vectors[:1], len(texts), axis=0)).n == 120


def test_openings_without_common_words_are_grouped_by_their_vectors() -> None:
    texts, vectors, kinds = planted()
    alone = [f"{chr(97 + at // 26)}x{chr(97 + at % 26)}" for at in range(len(texts))]
    assert all(len(group) == 1 for group in kinds_of(propose(alone, vectors, intents=4), kinds))


def test_chinese_words_name_intents_as_they_are() -> None:
    named = name_clusters(
        [["请问发票怎么开", "我要开发票", "发票抬头写错了"], ["退款什么时候到", "我的退款没到账", "退款怎么还没到"]]
    )
    assert "发票" in named[0].name and "退款" in named[1].name
    assert named[0].words[0] == "发票" and "怎么" not in named[0].words


def test_words_of_all_clusters_name_none_of_them() -> None:
    named = name_clusters(
        [["the card was lost", "lost card"], ["the card was late", "late card"], ["new card limit", "card limit"]]
    )
    assert [one.words[0] for one in named] == ["lost", "late", "limit"]


def test_names_stay_unique_where_words_are_alike_or_missing() -> None:
    named = name_clusters([["late parcel"] * 3, ["late parcel"] * 2, ["12 34"], [], ["the of"]])
    assert len({one.name for one in named}) == 5 and named[0].name == "late_parcel"
    assert {named[2].name, named[3].name, named[4].name} == {"intent", "intent_2", "intent_3"}


def test_forms_of_one_word_and_placeholders_name_nothing_twice() -> None:
    named = name_clusters(
        [["refund for [ORDER_1] doesn't", "refunded [EMAIL_1]", "refunds https://x.example/orders"], ["late parcel"]]
    )
    assert named[0].words == ("refund",)


def test_no_intent_is_named_like_the_label_of_what_is_outside() -> None:
    assert name_clusters([["oos"], ["late parcel"]])[0].name != "oos"


def test_the_file_is_read_back_as_labelled_rows_by_intent_and_centrality(tmp_path: Path) -> None:
    texts, vectors, _ = planted(dims=128, strangers=10)
    found = propose(texts, vectors)
    files = write_proposal(tmp_path / "new" / "folder", found, texts)
    rows = read_labelled(files.intents)
    assert [(row.text, row.label) for row in rows] == [
        (texts[one.row], intent.name) for intent in found.intents for one in intent.members
    ]
    assert all(0 <= one.confidence <= 1 for intent in found.intents for one in intent.members)
    assert sorted(path.name for path in files.intents.parent.iterdir()) == ["intents.csv", "intents.md", "unclustered.csv"]
    assert files.intents.stat().st_mode & 0o077 == 0


def test_what_belongs_to_none_cannot_be_trained_by_accident(tmp_path: Path) -> None:
    texts, vectors, _ = planted(dims=128, strangers=10)
    files = write_proposal(tmp_path, propose(texts, vectors), texts)
    assert "zz" in files.unclustered.read_text()
    with pytest.raises(TrainingError, match="label"):
        read_labelled(files.unclustered)


def test_hostile_openings_stay_text_in_every_file(tmp_path: Path) -> None:
    texts, vectors, _ = planted()
    texts[0] = '=HYPERLINK("http://x")\nrefund, "quoted" `code` <script>\ud800\0'
    found = propose(texts, vectors, intents=4)
    kept = [replace(intent, examples=(texts[0],)) for intent in found.intents]
    files = write_proposal(tmp_path, replace(found, intents=tuple(kept)), texts)
    assert all(not row.text.startswith("=") and "\n" not in row.text for row in read_labelled(files.intents))
    assert any("'code' <script>" in line and line.startswith("- `") for line in files.overview.read_text().splitlines())


def test_an_earlier_proposal_is_not_written_over(tmp_path: Path) -> None:
    texts, vectors, _ = planted()
    found = propose(texts, vectors)
    files = write_proposal(tmp_path, found, texts)
    files.intents.write_text("edited")
    with pytest.raises(TrainingError, match=r"intents\.csv is there already.*--out"):
        write_proposal(tmp_path, found, texts)
    assert files.intents.read_text() == "edited"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match=r"file.*cannot be made.*--out"):
        check_folder(tmp_path / "file" / "out")


def test_the_silhouette_is_the_textbook_one() -> None:
    from sklearn.metrics import silhouette_score

    _, vectors, _ = planted(noise=0.3)
    labels = np.random.default_rng(1).integers(0, 5, len(vectors))
    assert silhouette(vectors, labels) == pytest.approx(float(silhouette_score(vectors, labels, metric="cosine")), abs=1e-5)


def test_the_map_equation_prefers_the_communities_of_a_graph() -> None:
    from scipy.sparse import csr_matrix

    graph = np.kron(np.eye(3), np.ones((4, 4)) - np.eye(4))
    graph[3, 4] = graph[4, 3] = graph[7, 8] = graph[8, 7] = 1
    lengths = [map_equation(csr_matrix(graph), np.arange(12) // size) for size in (2, 4, 12)]
    assert lengths[1] < lengths[2] < lengths[0]
    # One cluster takes the entropy of the visits and nothing else.
    visits = graph.sum(1) / graph.sum()
    assert lengths[2] == pytest.approx(float(-(visits * np.log2(visits)).sum()))
