"""A night of learning: what it takes, what it leaves out, and what it promotes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from assistant.adapter_files import replace_text
from assistant.errors import TrainingError
from assistant.learning import RegressionCase, transcript_ref
from finetune import pages
from finetune import retrain as module
from finetune.examples import Labelled
from finetune.harvested import Pair
from finetune.recipe import Progress
from finetune.session import PAGE, Split
from tests.finetune.night_fixtures import first_night as first_night
from tests.finetune.night_fixtures import quick as quick
from tests.finetune.night_fixtures import second_day as second_day
from tests.finetune.night_fixtures import start as start
from tests.finetune.nights import LABELS, PLAN, QUESTIONS, SETTINGS, Company, talks

Spy = Callable[[], list[list[str]]]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The texts of every training, validation included."""
    seen: list[list[str]] = []
    real = module.train_into

    def spy(registry: Any, run: Any, examples: Split, *rest: Any, **more: Any) -> Any:
        seen.append([one.text for one in (*examples.training, *examples.validation) if isinstance(one, Labelled | Pair)])
        return real(registry, run, examples, *rest, **more)

    monkeypatch.setattr(module, "train_into", spy)
    return seen


def forbid_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train_into", lambda *_, **__: pytest.fail("trained for nothing"))


def runs(company: Company, task: str = "intent") -> list[str]:
    return [run.state for run in company.store.learning.runs(task)]


# One night after the other


def test_the_first_night_needs_no_champion_and_says_what_it_learned_from(start: Company) -> None:
    start.place.base.mkdir()
    (start.place.base / "intent.jsonl").write_text('{"text": "my own words for a gift card", "label": "gift_card"}\n')
    start.ingest("log.jsonl", talks(0, 14))
    night = start.night()
    assert night.state == "promoted" and start.champion() == night.version
    manifest = start.place.registry.load("intent", str(night.version), start.place.encoder.sha256).manifest
    made = manifest.training_set
    assert len(made["sha256"]) == 64 and made["sources"] == ["log.jsonl", "intent.jsonl"]
    assert made["counts"]["training"] == made["examples"] and made["counts"]["trust.action"] == night.counts["examples"]
    assert set(manifest.labels) == set(LABELS)
    held = start.held()
    assert len(held) == night.counts["holdout_new"] >= 20
    page = (start.place.folder("intent", str(night.version)) / "verdict.md").read_text()
    assert "against no champion" in page and "promoted: passed every check" in page
    run = start.store.learning.last_run("intent")
    assert run is not None and (run.state, run.version, run.verdict["outcome"]) == ("promoted", night.version, "promoted")
    assert run.counts["new"] == night.counts["new"] and len(run.verdict["checks"]) > 5


def test_a_second_run_right_after_finds_nothing_and_says_so(second_day: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_training(monkeypatch)
    night = second_day.night()
    assert (night.state, night.version) == ("nothing", None) and "no new conversations" in night.why
    assert runs(second_day) == ["nothing", "promoted"]


def test_too_few_examples_wait_and_count_with_the_next_ones(second_day: Company, trained: list[list[str]]) -> None:
    second_day.ingest("few.jsonl", talks(14, 16))
    night = second_day.night()
    assert night.state == "nothing" and "12 new examples, 20 are needed" in night.why and not trained
    second_day.ingest("more.jsonl", talks(16, 18))
    assert second_day.night().counts["new"] == 24


def test_without_enough_to_judge_by_nothing_is_trained_and_nothing_is_lost(
    start: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_training(monkeypatch)
    start.ingest("log.jsonl", talks(0, 8))
    night = start.night()
    assert night.state == "nothing" and "rows to judge a candidate by, 20 are needed" in night.why
    start.ingest("more.jsonl", talks(8, 14))
    with monkeypatch.context() as patch:
        patch.setattr(module, "too_little", lambda *_: "enough for this test")
        assert start.night().counts["new"] > 80


def test_nothing_that_judges_was_ever_trained_on(start: Company, trained: list[list[str]]) -> None:
    judged: list[set[str]] = []
    for name, first, last in (("a", 0, 14), ("b", 14, 20), ("c", 20, 26)):
        # Every log holds some of the questions of the one before, in other conversations.
        again = [replace(one, id=f"again-{one.id}") for one in talks(max(0, first - 3), first)]
        start.ingest(name, [*again, *talks(first, last)])
        before = {row["text"] for row in start.held()}
        night = start.night()
        assert night.state == "promoted", night.why
        judged.append(before or {row["text"] for row in start.held()})
    assert len(trained) == 3
    for night_number, texts in enumerate(judged):
        for champion_or_candidate in trained[max(0, night_number - 1) : night_number + 1]:
            assert not texts & set(champion_or_candidate)
    everything = {row["text"] for row in start.held()}
    assert not everything & {text for texts in trained for text in texts} and len(everything) > len(judged[1])


def test_a_log_that_is_exported_anew_every_night_brings_only_what_is_new(second_day: Company, trained: list[list[str]]) -> None:
    held = {row["text"] for row in second_day.held()}
    second_day.ingest("log.jsonl", talks(0, 14), replaces="log.jsonl")
    assert second_day.night().state == "nothing"
    second_day.ingest("log.jsonl", talks(0, 18), replaces="log.jsonl")
    night = second_day.night()
    assert (night.counts["new"], night.counts["holdout"]) == (24, len(held))
    assert not held & set(trained[0])


def test_a_conversation_that_is_resolved_at_last_is_new(second_day: Company) -> None:
    opened = [replace(one, resolved=None) for one in talks(14, 18)]
    second_day.ingest("day.jsonl", opened)
    assert second_day.night().counts["new"] == 0
    second_day.ingest("day.jsonl", talks(14, 18), replaces="day.jsonl")
    assert second_day.night().counts["new"] == 24


def test_a_log_that_took_long_to_ingest_is_not_missed(second_day: Company) -> None:
    begun = second_day.at
    second_day.ingest("quick.jsonl", talks(14, 18))
    second_day.night()
    second_day.at, now = begun, second_day.at
    second_day.ingest("slow.jsonl", talks(18, 22))  # begun before that night, finished after it
    second_day.at = now
    assert second_day.night().counts["new"] == 24


# People's words


def test_a_correction_trains_is_never_held_out_and_stays_a_case(second_day: Company, trained: list[list[str]]) -> None:
    text, _ = QUESTIONS["gift_card"][40]
    ref = second_day.correct("c1", text, intent="gift_card")
    second_day.store.learning.add_regression_case(RegressionCase("k1", "intent", text, "gift_card", "en", ref, second_day.now()))
    second_day.ingest("day.jsonl", talks(14, 18))
    night = second_day.night()
    assert text in trained[0] and text not in {row["text"] for row in second_day.held()}
    assert night.counts["trust.correction"] == 1 and night.counts["regression"] == 1
    assert ref in second_day.store.learning.uses("intent", str(night.version))
    second_day.ingest("next.jsonl", talks(18, 22))
    second_day.night(plan=replace(PLAN, settings=replace(SETTINGS, replay=0.0, epochs=1)))
    assert text in trained[1]


def test_what_nobody_labelled_is_asked_and_the_answer_is_learned(second_day: Company, trained: list[list[str]]) -> None:
    second_day.ingest("day.jsonl", talks(14, 18, lambda label, number: None if number == 17 else label))
    night = second_day.night(plan=replace(PLAN, min_examples=100))
    assert night.state == "nothing" and any("wait for a person's label" in line for line in second_day.told)
    waiting = second_day.store.learning.review("intent")
    assert len(waiting) == 6 and [one.uncertainty for one in waiting] == sorted((o.uncertainty for o in waiting), reverse=True)
    for one in waiting:
        label = next(name for name in LABELS if one.text == QUESTIONS[name][17][0])
        second_day.store.learning.decide(one.id, label, second_day.now())
    assert second_day.night().counts["trust.person"] == 6
    assert waiting[0].text in trained[0]


def test_who_is_erased_is_in_no_later_set_and_brings_a_night_of_its_own(second_day: Company, trained: list[list[str]]) -> None:
    before = str(second_day.champion())
    used = second_day.store.learning.uses("intent", before)[0]
    gone = used.rpartition("/")[2]
    judged = second_day.held()[0]
    for id in (gone, judged["ref"].rpartition("/")[2]):
        assert second_day.store.forget_contact(f"c-{id}", at=second_day.now()) == 1
    assert [(one.version, one.reason) for one in second_day.store.learning.due()] == [(before, "erased")]
    plan = replace(PLAN, bounds=replace(PLAN.bounds, least_rows=15))
    night = second_day.night(plan=plan)
    assert night.version is not None and night.state == "promoted", night.why
    label, _, number = gone.rpartition("-")
    assert QUESTIONS[label][int(number)][0] not in trained[0] and len(trained[0]) > 50
    assert used not in second_day.store.learning.uses("intent", night.version)
    assert judged["text"] not in {row["text"] for row in second_day.held()}
    # Nothing more is due, but the old version still holds what was erased, and is known by it if it should serve again.
    assert second_day.night().state == "nothing"
    assert [one.version for one in second_day.store.learning.due()] == [before]
    second_day.place.registry.rollback("intent", second_day.place.encoder.sha256)
    assert second_day.champion() == before and second_day.night(plan=plan).version


def test_who_is_erased_while_a_night_trains_leaves_no_words_in_its_page_and_holdout(
    second_day: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "write_classifier", lambda trained, held, page: replace_text(page, "their words"))
    second_day.ingest("b.jsonl", talks(14, 18))
    judged = second_day.held()[0]

    def forget(epoch: Progress) -> None:
        version = str(second_day.store.learning.unfinished_runs()[0].version)
        learned = second_day.store.learning.uses("intent", version)[-1]
        for ref in (learned, judged["ref"]):
            second_day.store.forget_contact(f"c-{ref.rpartition('/')[2]}", at=second_day.now())

    night = second_day.night(progress=forget)
    assert night.state == "promoted" and (second_day.place.folder("intent", str(night.version)) / "verdict.md").is_file()
    assert not (second_day.place.folder("intent", str(night.version)) / PAGE).exists()
    assert judged["text"] not in {row["text"] for row in second_day.held()}


# Refusals, trials, and what a person decides


def test_beside_a_damaged_champion_a_night_is_judged_against_the_version_that_serves_and_says_so(second_day: Company) -> None:
    first = second_day.champion()
    second_day.ingest("b.jsonl", talks(14, 18))
    damaged = str(second_day.night().version)
    head = second_day.place.registry.folder("intent", damaged) / "head.safetensors"
    head.write_bytes(head.read_bytes()[:-1] + b"!")
    second_day.ingest("c.jsonl", talks(18, 22))
    night = second_day.night()
    said = f"champion {damaged} cannot serve, {first} before it stands in"
    assert night.state == "promoted" and night.why.startswith("passed every check; ") and said in night.why
    page = (second_day.place.folder("intent", str(night.version)) / "verdict.md").read_text()
    assert f"intent/{night.version} against {first}" in page and said in page
    assert any(said in line for line in second_day.told)
    registry = second_day.place.registry
    assert second_day.champion() == night.version and registry.previous("intent") == first


def test_what_a_refused_night_brought_is_left_out_until_it_is_asked_for(second_day: Company, trained: list[list[str]]) -> None:
    champion, held = second_day.champion(), second_day.held()
    second_day.ingest("bad.jsonl", talks(14, 20))
    hard = replace(PLAN, bounds=replace(PLAN.bounds, floors={"gift_card": 1.1}))
    night = second_day.night(plan=hard)
    assert night.state == "refused" and "recall floors: gift_card" in night.why
    assert second_day.champion() == champion and second_day.held() == held
    assert second_day.place.registry.load("intent", str(night.version), second_day.place.encoder.sha256)
    page = (second_day.place.folder("intent", str(night.version)) / "verdict.md").read_text()
    assert "Refused: recall floors." in page and f"against {champion}" in page
    bad = {one.turns[0].text for one in talks(14, 20)}
    second_day.ingest("good.jsonl", talks(20, 24))
    assert second_day.night().counts["new"] == 24 and not bad & set(trained[1])
    assert second_day.night(force=True).state == "promoted" and bad & set(trained[2])
    second_day.ingest("next.jsonl", talks(24, 28))
    second_day.night()
    assert bad & set(trained[3])


def test_what_passes_may_be_tried_first_or_wait_for_a_person(second_day: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    champion = second_day.champion()
    second_day.ingest("b.jsonl", talks(14, 18))
    offered = second_day.night(plan=replace(PLAN, try_share=0.2))
    tried = second_day.place.registry.candidate("intent")
    assert offered.state == "offered" and tried is not None and (tried.version, tried.share) == (offered.version, 0.2)
    assert second_day.champion() == champion and runs(second_day)[0] == "promoted"
    second_day.ingest("c.jsonl", talks(18, 22))
    kept = second_day.night(plan=replace(PLAN, try_share=0.2))
    assert kept.state == "kept" and f"{tried.version} is on trial" in kept.why
    second_day.ingest("d.jsonl", talks(22, 26))
    kept = second_day.night(plan=replace(PLAN, auto_promote=False))
    assert kept.state == "kept" and f"adapters promote intent {kept.version}" in kept.why and second_day.champion() == champion


def test_what_a_person_promoted_after_all_is_not_left_out(second_day: Company, trained: list[list[str]]) -> None:
    second_day.ingest("b.jsonl", talks(14, 20))
    refused = second_day.night(plan=replace(PLAN, bounds=replace(PLAN.bounds, floors={"gift_card": 1.1})))
    second_day.place.registry.promote("intent", str(refused.version), second_day.place.encoder.sha256)
    second_day.ingest("c.jsonl", talks(20, 24))
    second_day.night()
    assert {one.turns[0].text for one in talks(14, 20)} & set(trained[1])


def test_a_training_that_fails_is_entered_and_the_next_run_begins_anew(second_day: Company) -> None:
    second_day.ingest("b.jsonl", talks(14, 18))

    def burst(epoch: Progress) -> None:
        raise TrainingError("the disk is full")

    with pytest.raises(TrainingError, match="disk"):
        second_day.night(progress=burst)
    run = second_day.store.learning.last_run("intent")
    assert run is not None and (run.state, run.verdict["why"]) == ("failed", "the disk is full")
    assert second_day.night().counts["new"] == 24


def test_only_tasks_that_conversations_teach_are_retrained(start: Company) -> None:
    with pytest.raises(TrainingError, match="'slots' is not retrained"):
        start.night("slots")


def test_replies_are_learned_from_people_who_resolved(start: Company, trained: list[list[str]]) -> None:
    start.ingest("log.jsonl", talks(0, 14))
    plan = replace(PLAN, bounds=replace(PLAN.bounds, least_rows=8, least_score=0.0))
    night = start.night("dialog", plan)
    assert night.state == "promoted" and start.champion("dialog") == night.version
    assert night.counts["pairs"] == 84 and len(start.held("dialog")) == night.counts["holdout_new"]
    held = {row["reply"] for row in start.held("dialog")}
    assert not any(reply in text for reply in held for text in trained[0])
    assert start.night("dialog", plan).state == "nothing"
    ref = start.correct("c1", "Do you mend bicycles?", "We mend bicycles in the workshop behind the station.")
    start.ingest("next.jsonl", talks(14, 18))
    second = start.night("dialog", plan)
    assert ref in start.store.learning.uses("dialog", str(second.version))


# Kills


def test_a_ref_of_the_training_is_a_conversation_of_the_store(second_day: Company) -> None:
    source = second_day.store.learning.sources_since(None)[0]
    uses = second_day.store.learning.uses("intent", str(second_day.champion()))
    assert uses and set(uses) <= {transcript_ref(source.id, one.id) for one in talks(0, 14)}
