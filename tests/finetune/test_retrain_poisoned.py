"""Poisoned nights end to end, with and without evidence to doubt them by: whatever is filed, no worse version serves."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from assistant.records import Transcript
from finetune.comparing import judge_version
from finetune.harvested import Example
from finetune.holdout import read_holdout, write_holdout
from finetune.promote import Bounds
from tests.finetune.night_fixtures import first_night as first_night
from tests.finetune.night_fixtures import quick as quick
from tests.finetune.night_fixtures import second_day as second_day
from tests.finetune.nights import LABELS, PLAN, QUESTIONS, SETTINGS, Company, talks, whole

#: Older rows are a small share beside a large night, and the gate's own bounds hold.
BAD_NIGHT = replace(PLAN, settings=replace(SETTINGS, replay=0.2), bounds=Bounds(least_rows=20))


def shuffled() -> list[Transcript]:
    rng = random.Random(0)
    return talks(14, 32, lambda *_: rng.choice(LABELS))


def relabelled() -> list[Transcript]:
    """Every question on damage or passwords is filed as one on gift cards."""
    return talks(14, 50, lambda *_: "gift_card", labels=("damaged_on_arrival", "login_password"))


def flood() -> list[Transcript]:
    """Hundreds of questions on everything else are filed as gift cards."""
    return talks(14, 36, lambda *_: "gift_card", labels=[label for label in LABELS if label != "gift_card"])


def accuracy(company: Company, rows: range = range(66, 78)) -> float:
    """How the champion does on questions that no night held."""
    version = company.place.registry.load("intent", str(company.champion()), company.place.encoder.sha256)
    cases = [(QUESTIONS[label][row][0], label) for label in LABELS for row in rows]
    return float(judge_version(version, company.place.encoder, [], cases, 0).regression.mean())


def give_holdout(company: Company, numbers: range) -> None:
    """Ten rows of each intent that the company's people labelled; the three or so of one night cannot show a label's fall."""
    path = company.place.holdout / "intent.jsonl"
    own = [Example(QUESTIONS[label][row][0], label, "", "und", None, "person") for label in LABELS for row in numbers]
    write_holdout(path, [*read_holdout(path, lambda row: row.ref), *own])


@pytest.mark.parametrize("night", [shuffled, relabelled, flood])
def test_the_gate_alone_keeps_a_poisoned_version_from_serving(second_day: Company, night: Callable[[], list[Transcript]]) -> None:
    give_holdout(second_day, range(50, 60))
    champion, held, before = second_day.champion(), second_day.held(), accuracy(second_day)
    second_day.ingest("bad.jsonl", night())
    done = second_day.night(plan=BAD_NIGHT)
    assert done.state == "refused", done.why
    assert second_day.champion() == champion and second_day.held() == held
    assert second_day.place.registry.folder("intent", str(done.version)).is_dir()
    # The next good night learns nothing of it, whole labels of older rows included.
    second_day.ingest("good.jsonl", talks(60, 64))
    assert second_day.night().state == "promoted"
    assert accuracy(second_day) >= before - 0.05


@pytest.mark.parametrize("night", [shuffled, relabelled, flood])
def test_what_champion_and_evidence_contradict_is_not_learned_at_all(
    second_day: Company, night: Callable[[], list[Transcript]]
) -> None:
    before = accuracy(second_day)
    second_day.ingest("bad.jsonl", night())
    # A champion of fourteen examples each is not sure of much; it may doubt from 0.5.
    done = second_day.night(plan=replace(BAD_NIGHT, rules=replace(PLAN.rules, suspicion=0.5)), evidence=whole)
    assert done.counts["set_aside.suspicious"] > 20
    assert accuracy(second_day) >= before - 0.02
    assert done.state in ("refused", "nothing") or accuracy(second_day) >= before
    truth = {text: label for label, rows in QUESTIONS.items() for text, _ in rows}
    wrong = read_holdout(second_day.place.holdout / "intent.jsonl", lambda row: row.ref)
    assert sum(truth[row.text] != getattr(row, "label", "") for row in wrong) <= 0.1 * len(wrong)


@pytest.mark.parametrize("night", [relabelled, flood])
def test_twenty_holdout_rows_suffice_to_refuse_intents_that_change_their_meaning(
    second_day: Company, night: Callable[[], list[Transcript]]
) -> None:
    assert len(second_day.held()) < 40
    second_day.ingest("bad.jsonl", night())
    done = second_day.night(plan=BAD_NIGHT)
    assert done.state == "refused" and done.verdict is not None
    check = next(check for check in done.verdict.checks if check.name == "night's readings")
    assert not check.passed and "damaged_on_arrival" in check.detail and "label holdout rows" in check.detail


def test_an_honest_night_as_large_passes_with_twenty_holdout_rows(second_day: Company) -> None:
    second_day.ingest("good.jsonl", talks(14, 50))
    done = second_day.night(plan=replace(BAD_NIGHT, bounds=replace(PLAN.bounds, kept=Bounds().kept)))
    assert done.state == "promoted" and done.verdict is not None
    check = next(check for check in done.verdict.checks if check.name == "night's readings")
    assert check.passed and "labels compared" in check.detail
