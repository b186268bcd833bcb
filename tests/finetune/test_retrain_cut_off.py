"""A night that was cut off, at any step: it goes on to the same result, is finished only, or is left to whoever took it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from safetensors.torch import load_file

from assistant.errors import TrainingError
from assistant.registry import Registry
from finetune import retrain as module
from finetune import verdicts
from finetune.recipe import Progress
from finetune.retrain import Overtaken
from tests.finetune.night_fixtures import first_night as first_night
from tests.finetune.night_fixtures import quick as quick
from tests.finetune.night_fixtures import second_day as second_day
from tests.finetune.night_fixtures import start as start
from tests.finetune.nights import Company, talks
from tests.finetune.test_retrain import forbid_training, runs


def killed_night(company: Company, monkeypatch: pytest.MonkeyPatch, where: Any, name: str) -> str:
    """Hold a night whose process dies where something is called; return the version it had begun."""

    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(where, name, die)
        with pytest.raises(KeyboardInterrupt):
            company.night()
    return str(company.store.learning.unfinished_runs()[0].version)


def weights(registry: Registry, version: str | None) -> list[Any]:
    folder = registry.folder("intent", str(version))
    return [load_file(folder / name) for name in ("adapter_model.safetensors", "head.safetensors")]


def test_a_run_cut_off_in_training_goes_on_with_the_same_version_to_the_same_result(
    second_day: Company, first_night: Any, tmp_path: Any, encoder: Any
) -> None:
    import shutil

    from tests.finetune.nights import company

    second_day.ingest("b.jsonl", talks(14, 18))

    def cut(epoch: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        second_day.night(progress=cut)
    begun = second_day.store.learning.unfinished_runs()[0]
    seen: list[int] = []
    night = second_day.night(progress=lambda epoch: seen.append(epoch.epoch))
    assert night.version == begun.version and seen == [2] and "goes on as attempt 2" in second_day.told[-1]
    assert runs(second_day) == [night.state if night.state == "refused" else "promoted", "promoted"]
    with company(shutil.copytree(first_night, tmp_path / "whole"), encoder, day=1) as other:
        other.ingest("b.jsonl", talks(14, 18))
        whole = other.night()
        for mine, theirs in zip(
            weights(second_day.place.registry, night.version), weights(other.place.registry, whole.version), strict=True
        ):
            assert mine.keys() == theirs.keys() and all(mine[name].equal(theirs[name]) for name in mine)
        assert [row["text"] for row in second_day.held()] == [row["text"] for row in other.held()]


@pytest.mark.parametrize("step", ["judge", "freeze", "promote", "book", "finish"])
def test_a_run_cut_off_after_its_training_is_only_finished(
    second_day: Company, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    second_day.ingest("b.jsonl", talks(14, 18))
    places: dict[str, Sequence[Any]] = {
        "judge": (module, "judge_night"),
        "freeze": (verdicts.Holdout, "freeze"),
        "promote": (Registry, "promote"),
        "book": (module, "write_seen"),
        "finish": (module, "_finish"),
    }
    begun = killed_night(second_day, monkeypatch, *places[step])
    forbid_training(monkeypatch)
    held = len(second_day.held())
    night = second_day.night()
    assert (night.state, night.version) == ("promoted", begun) and second_day.champion() == begun
    assert night.counts["training"] and night.verdict is not None and night.verdict.promote
    texts = [row["text"] for row in second_day.held()]
    assert len(texts) == len(set(texts)) == 24 and held in (20, 24)
    assert runs(second_day) == ["promoted", "promoted"] and second_day.night().state == "nothing"


def test_a_version_that_learned_from_someone_erased_meanwhile_is_not_taken_up(
    second_day: Company, monkeypatch: pytest.MonkeyPatch
) -> None:
    second_day.ingest("b.jsonl", talks(14, 18))
    begun = killed_night(second_day, monkeypatch, module, "judge_night")
    used = second_day.store.learning.uses("intent", begun)[-1]
    second_day.store.forget_contact(f"c-{used.rpartition('/')[2]}", at=second_day.now())
    night = second_day.night()
    assert night.version not in (None, begun)
    assert used not in second_day.store.learning.uses("intent", str(night.version))
    assert "failed" in runs(second_day) and second_day.champion() != begun


def test_who_was_overtaken_leaves_the_run_to_the_other(second_day: Company) -> None:
    second_day.ingest("b.jsonl", talks(14, 18))

    def lost() -> None:
        raise Overtaken("another process took this training over")

    with pytest.raises(Overtaken):
        second_day.night(check=lost)
    assert [run.state for run in second_day.store.learning.unfinished_runs()] == ["running"]


def test_a_damaged_verdict_of_a_cut_off_run_names_the_mend(second_day: Company, monkeypatch: pytest.MonkeyPatch) -> None:
    second_day.ingest("b.jsonl", talks(14, 18))
    version = killed_night(second_day, monkeypatch, verdicts.Holdout, "freeze")
    path = second_day.place.folder("intent", version) / verdicts.OUTCOME
    path.write_text(json.dumps({"state": "sure"}))
    with pytest.raises(TrainingError, match="delete it, and the night is judged again"):
        second_day.night()
