"""A candidate on trial: offered, withdrawn or promoted, its pointer and the record of withdrawals survive crashes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from assistant.adapter_files import HEAD
from assistant.errors import RegistryError
from assistant.registry import Registry
from assistant.rollout import Bounds, Candidate
from tests.assistant.test_registry import BASE, add, flip
from tests.assistant.test_registry import registry as registry

AT = datetime(2026, 2, 1, 3, 0, tzinfo=UTC)


@pytest.fixture
def trial(registry: Registry) -> Registry:
    """A registry with champion v1 and candidate v2 on a tenth of the conversations."""
    for version in ("v1", "v2", "v3"):
        add(registry, version)
    registry.promote("intent", "v1", BASE)
    registry.offer("intent", "v2", 0.1, AT, BASE, Bounds(least=20))
    return registry


def test_a_candidate_comes_back_as_it_was_offered_and_the_champion_stays(trial: Registry) -> None:
    again = Registry(trial.root)
    assert again.candidate("intent") == Candidate("v2", 0.1, AT, Bounds(least=20))
    assert again.champion("intent") == "v1" and again.candidate("sentiment") is None
    assert [one.version for one in again.versions("intent")] == ["v1", "v2", "v3"]


def test_a_candidate_offered_again_keeps_its_start(trial: Registry) -> None:
    later = AT + timedelta(days=1)
    assert trial.offer("intent", "v2", 0.5, later, BASE, Bounds()) == Candidate("v2", 0.5, AT, Bounds())


@pytest.mark.parametrize(
    ("version", "share", "message"),
    [
        ("v1", 0.1, "is the champion"),
        ("v3", 0.1, "'v2' is on trial since 2026-02-01.*adapters withdraw intent"),
        ("v9", 0.1, "no version"),
        ("v2", 0.0, "share 0.0"),
        ("v2", 1.01, "share 1.01"),
        ("v2", float("nan"), "share nan"),
    ],
)
def test_an_offer_that_cannot_work_changes_nothing(trial: Registry, version: str, share: float, message: str) -> None:
    before = trial.candidate("intent")
    with pytest.raises(RegistryError, match=message):
        trial.offer("intent", version, share, AT, BASE, Bounds())
    assert trial.candidate("intent") == before


def test_a_damaged_version_is_never_tried(registry: Registry) -> None:
    add(registry, "v1")
    with pytest.raises(RegistryError, match="no champion"):
        registry.offer("intent", "v1", 0.1, AT, BASE, Bounds())
    registry.promote("intent", "v1", BASE)
    flip(add(registry, "v2") / HEAD)
    with pytest.raises(RegistryError, match="checksum"):
        registry.offer("intent", "v2", 0.1, AT, BASE, Bounds())
    assert registry.candidate("intent") is None


def test_a_withdrawn_candidate_is_gone_and_the_reason_is_kept(trial: Registry) -> None:
    told = trial.withdraw("intent", "hands over too often", AT + timedelta(hours=1), figures={"n": 3})
    assert told is not None and (told.version, told.started_at) == ("v2", AT.isoformat())
    assert trial.candidate("intent") is None
    assert trial.withdraw("intent", "again", AT) is None
    trial.offer("intent", "v3", 0.2, AT + timedelta(hours=2), BASE, Bounds())
    trial.withdraw("intent", "別の理由\n二", AT + timedelta(hours=3))
    assert [(one.version, one.reason) for one in trial.withdrawals("intent")] == [
        ("v2", "hands over too often"),
        ("v3", "別の理由\n二"),
    ]
    assert trial.withdrawals("intent")[0].figures == {"n": 3}


def test_a_judge_that_was_overtaken_withdraws_nothing(trial: Registry) -> None:
    assert trial.withdraw("intent", "too late", AT, version="v1") is None
    assert trial.candidate("intent") is not None and trial.withdrawals("intent") == []


def test_a_crash_between_record_and_pointer_is_noted_once(trial: Registry) -> None:
    pointer = trial.root / "intent" / "candidate"
    content = pointer.read_text()
    trial.withdraw("intent", "worse", AT)
    pointer.write_text(content)  # as if the process had died before it removed the pointer
    assert trial.withdraw("intent", "worse", AT) is not None
    assert len(trial.withdrawals("intent")) == 1 and trial.candidate("intent") is None


def test_a_line_torn_by_a_crash_spoils_no_other(trial: Registry) -> None:
    (trial.root / "intent" / "withdrawn.jsonl").write_text('{"version": "v0", "rea')
    trial.withdraw("intent", "worse", AT)
    assert [one.version for one in trial.withdrawals("intent")] == ["v2"]


def test_promoting_the_candidate_ends_its_trial_and_another_promotion_does_not(trial: Registry) -> None:
    trial.promote("intent", "v3", BASE)
    assert trial.candidate("intent") is not None
    trial.promote("intent", "v2", BASE)
    assert trial.candidate("intent") is None and trial.withdrawals("intent") == []
    assert trial.rollback("intent", BASE) == "v3" and trial.candidate("intent") is None


def test_a_pointer_to_the_champion_itself_never_comes_back_to_life(trial: Registry) -> None:
    pointer = trial.root / "intent" / "candidate"
    content = pointer.read_text()
    trial.promote("intent", "v2", BASE)
    pointer.write_text(content)  # as if the process had died between the two pointers
    assert trial.candidate("intent") is None
    trial.promote("intent", "v3", BASE)
    assert trial.candidate("intent") is None


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"version": 1, "share": 1, "started_at": "2026-01-01"}'])
def test_a_damaged_candidate_pointer_is_named_with_its_mend(trial: Registry, content: str) -> None:
    (trial.root / "intent" / "candidate").write_text(content)
    with pytest.raises(RegistryError, match="adapters withdraw intent"):
        trial.candidate("intent")
    trial.promote("intent", "v3", BASE)  # it stands in nobody's way
    assert trial.withdraw("intent", "damaged", AT) is not None
    assert trial.candidate("intent") is None
