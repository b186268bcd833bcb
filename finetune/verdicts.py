"""The end of a night: candidate and champion are compared, the verdict is kept, and then acted on.

First the verdict is written into the run's folder, then the holdout grows, then the champion pointer moves. Each step may be
repeated, so that a night that was killed between any two of them ends the same. Knows versions and the registry; what a
version is judged on, ``comparing.py`` knows, and by which bounds, ``promote.py``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast, get_args

from assistant.adapter_files import replace_text
from assistant.errors import TrainingError
from assistant.feedback import ANSWER_TASK
from assistant.registry import AdapterVersion
from finetune.comparing import judge_version, latencies, read_both
from finetune.holdout import Holdout
from finetune.night import Begun, Means, Night, NightState, Place, Plan
from finetune.promote import Check, GateVerdict, judge_candidate

OUTCOME, PAGE = "outcome.json", "verdict.md"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a night's verdict was, and which champion (``None``: there was none) it was found against."""

    state: NightState
    why: str
    against: str | None
    counts: Mapping[str, int]
    verdict: GateVerdict

    def as_night(self, task: str, version: str) -> Night:
        """Return it as what the night came to."""
        return Night(task, self.state, self.why, version, self.counts, self.verdict)


def judge_night(
    night: Begun,
    place: Place,
    plan: Plan,
    candidate: AdapterVersion,
    champion: AdapterVersion | None,
    holdout: Holdout,
    counts: Mapping[str, int],
    fault: str = "",
    messages: Sequence[str] = (),
) -> Outcome:
    """Compare candidate and champion on the holdout and the regression cases, and keep the verdict.

    Args:
        night: The run.
        place: Encoder, registry, store, and where the verdict goes.
        plan: The gate's bounds, and what is done with what passes.
        candidate: The night's version.
        champion: The version that serves; ``None`` for the first.
        holdout: What they are judged on.
        counts: Of the night so far.
        fault: Why ``champion`` is not the one that the registry names, where it stands in for it; the verdict says so.
        messages: The night's own, which both versions read; empty for a task without classes.

    Returns:
        The verdict; nothing was done about it yet.
    """
    task, seed = night.task, plan.settings.seed
    kept = place.store.learning.regression_cases(ANSWER_TASK if task == "dialog" else task)
    cases = [(case.text, case.expected) for case in kept]
    rows = holdout.judged
    versions = [candidate, champion] if champion is not None else [candidate]
    spent = latencies(place.encoder, versions, [row.text for row in rows])
    judged = [judge_version(one, place.encoder, rows, cases, seed, took) for one, took in zip(versions, spent, strict=True)]
    readings = read_both(champion, candidate, place.encoder, messages) if champion is not None and messages else None
    verdict = judge_candidate(judged[0], judged[1] if champion is not None else None, plan.bounds, seed, readings)
    against = champion.manifest.version if champion is not None else None
    state, why = _settle(night, place, plan, verdict, against)
    if fault:
        why = f"{why}; {fault}"
    outcome = Outcome(state, why, against, {**counts, "judged": len(rows), "regression": len(cases)}, verdict)
    _write(place.folder(task, night.version), night, outcome)
    return outcome


def read_outcome(folder: Path) -> Outcome | None:
    """Read the verdict that a night before this process came to.

    Returns:
        The verdict; ``None`` if it was not reached.

    Raises:
        TrainingError: If it cannot be read.
    """
    path = folder / OUTCOME
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        verdict = GateVerdict(bool(value["verdict"]["promote"]), tuple(Check(**one) for one in value["verdict"]["checks"]))
        state = value["state"]
        if state not in get_args(NightState):
            raise ValueError(f"state {state!r}")
        against = value["against"]
        return Outcome(cast(NightState, state), str(value["why"]), against, dict(value["counts"]), verdict)
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: cannot be read as a verdict ({error}); delete it, and the night is judged again") from error


def act(night: Begun, place: Place, means: Means, plan: Plan, outcome: Outcome, holdout: Holdout) -> None:
    """Do what the verdict says; whatever was done already is not done twice.

    Args:
        night: The run.
        place: Registry and store.
        means: The clock.
        plan: Share and bounds of a trial.
        outcome: The verdict.
        holdout: Grows by the night's rows, unless it was refused.

    Raises:
        RegistryError: If the version cannot be promoted or offered.
    """
    task, base = night.task, place.encoder.sha256
    if outcome.state == "refused":
        return
    # The holdout grows first: were the pointer moved first and the process killed, a champion would serve whose holdout is lost.
    holdout.freeze()
    if outcome.state == "offered":
        place.registry.offer(task, night.version, plan.try_share, means.now(), base, plan.rollout)
    elif outcome.state == "promoted" and place.registry.champion(task) != night.version:
        place.registry.promote(task, night.version, base)


def _settle(night: Begun, place: Place, plan: Plan, verdict: GateVerdict, against: str | None) -> tuple[NightState, str]:
    """Say what the verdict leads to, and why."""
    if not verdict.promote:
        why = "; ".join(f"{check.name}: {_shown(check)}" for check in verdict.refusals)
        mend = f"`deskhand retrain {night.task} --force` learns from it all the same"
        return "refused", f"{why}; what came in is left aside: {mend}"
    if not plan.auto_promote:
        mend = f"`deskhand adapters promote {night.task} {night.version}`"
        return "kept", f"passed every check, and retrain.auto_promote is off: {mend}"
    if plan.try_share > 0 and against is not None:
        running = place.registry.candidate(night.task)
        if running is not None and running.version != night.version:
            return "kept", f"passed every check, but {running.version} is on trial: promote or withdraw that first"
        return "offered", f"passed every check and answers {plan.try_share:.0%} of the conversations from now on"
    return "promoted", "passed every check"


def _shown(check: Check) -> str:
    if check.candidate is None or check.detail:
        return check.detail or f"asked for {check.bound}"
    return f"{check.candidate:.3f}, asked for {check.bound}"


def _write(folder: Path, night: Begun, outcome: Outcome) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    title = f"{night.task}/{night.version} against {outcome.against or 'no champion'}"
    lines = [f"- {name}: {count}" for name, count in sorted(outcome.counts.items())]
    page = [outcome.verdict.render(title), f"{outcome.state}: {outcome.why}", "", *lines, ""]
    replace_text(folder / PAGE, "\n".join(page))
    value: dict[str, Any] = {
        "state": outcome.state,
        "why": outcome.why,
        "against": outcome.against,
        "counts": dict(outcome.counts),
        "verdict": outcome.verdict.as_json(),
    }
    replace_text(folder / OUTCOME, json.dumps(value, ensure_ascii=False, indent=1) + "\n")
