"""The gate: how a candidate and the champion did on the same holdout -> promote or refuse, with every reason.

Pure numbers in, a verdict out; knows no model, no file and no registry. Before: ``judge`` measures both versions. After: the
caller moves the champion pointer and keeps ``GateVerdict.render`` beside the version.

Every check always runs, so that one refusal names all faults. A figure that is not a number fails: the gate is shut unless
shown otherwise. A bound that the champion itself breaks falls back to its figure, or refusing would keep the worse version.
Simulated at 0.9 accuracy with the default bounds, a fifth of the answers drawn anew: an equal candidate is refused in 10, 3
and 3 of 100 nights on 100, 400 and 1,000 rows, one that is five points worse in 80, 98 and 100 (tests/finetune/test_promote.py).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from assistant.errors import TrainingError
from finetune.bootstrap import calibration_noise, paired
from finetune.gate import COLUMNS as COLUMNS
from finetune.gate import Bounds as Bounds
from finetune.gate import Check as Check
from finetune.gate import GateVerdict as GateVerdict
from finetune.gate import Judged as Judged
from finetune.gate import listed, scores_of, signed, within_one
from finetune.small_holdout import Readings, check_readings, unseen_share

if TYPE_CHECKING:
    from numpy.typing import NDArray

RARE = "(rare labels together)"
_ABSENT = "no champion to compare with"

# A drop of exactly the bound is allowed, although 0.9 - 0.88 is a hair above 0.02 in floating point.
_HAIR = 1e-9


def judge_candidate(
    candidate: Judged, champion: Judged | None, bounds: Bounds, seed: int, readings: Readings | None = None
) -> GateVerdict:
    """Decide whether a candidate may replace the champion.

    Args:
        candidate: The new version's behaviour.
        champion: The serving version's, on the same rows and cases; None if the task has none yet, in which case only the
            absolute checks can fail.
        bounds: What the candidate may do at worst.
        seed: Of the bootstrap; the same seed gives the same verdict.
        readings: How both read the night's messages; ``None`` for a task without classes.

    Returns:
        The verdict with every check, passed or not.

    Raises:
        TrainingError: If the two were not judged on the same rows and cases, or the champion's figures are damaged.
    """
    _comparable(candidate, champion)
    checks = (
        _rows(candidate, champion, bounds),
        _numbers(candidate),
        _worse(candidate, champion, bounds, seed),
        _drop(candidate, champion, bounds),
        _baseline(candidate, champion, bounds),
        _label_recall(candidate, champion, bounds, seed),
        _floors(candidate, champion, bounds),
        check_readings(readings if champion is not None else None, candidate.labels, bounds, seed),
        _collapse(candidate, champion, bounds),
        _forgotten(candidate, champion, bounds),
        _calibration(candidate, champion, bounds, seed),
        _latency(candidate, champion, bounds),
    )
    return GateVerdict(all(check.passed for check in checks), checks)


def _comparable(candidate: Judged, champion: Judged | None) -> None:
    for name, side in (("candidate", candidate), ("champion", champion or candidate)):
        for what, found in (("labels", len(side.labels)), ("confidences", len(side.confidence))):
            if found not in (0, side.n):
                raise TrainingError(f"the {name} has {found} {what} for {side.n} holdout rows; give one for each row or none")
    if champion is None:
        return
    if candidate.n != champion.n or candidate.labels != champion.labels or len(candidate.regression) != len(champion.regression):
        raise TrainingError(
            f"candidate and champion were judged on different cases ({candidate.n} and {champion.n} holdout rows, with other "
            f"labels, or {len(candidate.regression)} and {len(champion.regression)} regression cases); judge both on the same"
        )
    if not (within_one(champion.right).all() and np.isfinite([champion.ece, champion.latency_ms]).all()):
        raise TrainingError("the champion's own scores, calibration error or latency are no numbers; judge it again or roll back")


def _rows(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    asked, before = max(bounds.least_rows, 1), champion.n if champion else None
    if candidate.n >= asked:
        detail = f"a new fault in {unseen_share(candidate.n):.1%} of the messages may show on none of them"
        return Check("holdout rows", True, before, candidate.n, f">= {asked}", detail)
    mend = "too few to tell a good version from a bad one; label more conversations for the holdout"
    return Check("holdout rows", False, before, candidate.n, f">= {asked}", mend)


def _numbers(candidate: Judged) -> Check:
    faults = []
    for name, values in (("scores", candidate.right), ("confidences", candidate.confidence)):
        if bad := int((~within_one(values)).sum()):
            faults.append(f"{bad} of {len(values)} {name}")
    if not 0 <= candidate.ece <= 1:
        faults.append(f"calibration error {candidate.ece}")
    if not 0 <= candidate.latency_ms < np.inf:
        faults.append(f"latency {candidate.latency_ms} ms")
    detail = f"{', '.join(faults)} not so; the training or the measuring broke" if faults else ""
    return Check("sound numbers", not faults, None, None, "finite and in range", detail)


def _worse(candidate: Judged, champion: Judged | None, bounds: Bounds, seed: int) -> Check:
    bound = f"95 % interval of the difference reaches {signed(-bounds.worse_by)}"
    if champion is None or not candidate.n:
        return Check("score difference", champion is None, None, candidate.score, bound, "no rows" if champion else _ABSENT)
    found = paired(scores_of(candidate), scores_of(champion), seed)
    detail = f"{signed(found.difference)} [{signed(found.low)}, {signed(found.high)}], worse with chance {found.p_worse:.2f}"
    passed = found.high >= -bounds.worse_by - _HAIR
    return Check("score difference", passed, champion.score, candidate.score, bound, detail)


def _drop(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    bound = f"falls by {bounds.max_drop:.3g} at most"
    after = candidate.score
    if champion is None or after is None:
        return Check("score drop", champion is None, None, after, bound, "no rows" if champion else _ABSENT)
    before = float(scores_of(champion).mean())
    return Check("score drop", before - after <= bounds.max_drop + _HAIR, before, after, bound, signed(after - before))


def _baseline(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    asked, detail, after = bounds.least_score, "", candidate.score
    if candidate.labels:
        label, rows = Counter(candidate.labels).most_common(1)[0]
        share = rows / candidate.n
        asked = max(asked, share + min(bounds.over_majority, (1 - share) / 2))
        detail = f"always {label!r} scores {share:.3f}"
    if champion is not None:
        detail = "asked of a first version only"
    passed = champion is not None or (after is not None and after >= asked - _HAIR)
    before = champion.score if champion else None
    return Check("majority baseline", passed, before, after, f">= {asked:.3f}", detail)


def _label_recall(candidate: Judged, champion: Judged | None, bounds: Bounds, seed: int) -> Check:
    bound = f"no label falls by more than {bounds.floor_drop:.3g} beyond noise"
    groups = _groups(candidate, bounds)
    if champion is None or not groups:
        return Check("label recall", True, None, None, bound, "no classes" if champion else _ABSENT)
    ours, theirs = scores_of(candidate), scores_of(champion)
    falls = {label: float(theirs[rows].mean() - ours[rows].mean()) for label, rows in groups.items()}
    worst = max(falls, key=lambda label: falls[label])
    lost = [  # only the few that fell far need the interval
        f"{label} {theirs[rows].mean():.2f} -> {ours[rows].mean():.2f} of {len(rows)}"
        for label, rows in groups.items()
        if not falls[label] <= bounds.floor_drop + _HAIR and not paired(ours[rows], theirs[rows], seed).high >= -_HAIR
    ]
    rows = groups[worst]
    detail = listed(lost) or f"{len(groups)} judged; largest change down: {worst} {signed(-falls[worst])}"
    return Check("label recall", not lost, float(theirs[rows].mean()), float(ours[rows].mean()), bound, detail)


def _floors(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    groups, faults = _groups(candidate, bounds), []
    for label, floor in sorted(bounds.floors.items()):
        rows = groups.get(label)
        if rows is None:  # refused, or a typing error would switch a floor off
            held = candidate.labels.count(label)
            faults.append(f"{label}: {held} of the {bounds.least_label_rows} holdout rows needed; label more or drop the floor")
            continue
        recall = float(scores_of(candidate)[rows].mean())
        asked = floor if champion is None else min(floor, float(scores_of(champion)[rows].mean()))
        if not recall >= asked - _HAIR:
            faults.append(f"{label} {recall:.2f} < {asked:.2f}")
    bound = f"{len(bounds.floors)} floors held" if bounds.floors else "no floors set"
    return Check("recall floors", not faults, None, None, bound, listed(faults))


def _collapse(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    groups = _groups(candidate, bounds)
    if not groups:
        return Check("labels recognised", True, None, None, "-", "no classes")
    dead = [label for label, rows in groups.items() if not scores_of(candidate)[rows].any()]
    before, after = None, len(dead) / len(groups)
    if champion is not None:
        before = sum(not scores_of(champion)[rows].any() for rows in groups.values()) / len(groups)
    asked = max(bounds.unrecognised, before or 0.0)
    bound = f"<= {asked:.2f} of labels never recognised"
    return Check("labels recognised", after <= asked + _HAIR, before, after, bound, listed(dead))


def _forgotten(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    cases = len(candidate.regression)
    allowed = max(bounds.forgotten, int(bounds.forgotten_share * cases + _HAIR))
    ours = np.asarray(candidate.regression, dtype=bool)
    bound = f"{allowed} of {cases} cases forgotten at most"
    after = float(ours.mean()) if cases else None
    if champion is None or not cases:
        return Check("regression cases", True, None, after, bound, "no cases yet" if champion else _ABSENT)
    theirs = np.asarray(champion.regression, dtype=bool)
    lost = np.flatnonzero(theirs & ~ours)
    detail = f"forgotten {len(lost)}, newly right {int((ours & ~theirs).sum())}"
    if len(lost):
        detail += f"; cases {listed([str(case) for case in lost])}"
    return Check("regression cases", len(lost) <= allowed, float(theirs.mean()), after, bound, detail)


def _calibration(candidate: Judged, champion: Judged | None, bounds: Bounds, seed: int) -> Check:
    """Hold the calibration error, but ask for no less than a perfectly calibrated version shows on so few rows."""
    asked = bounds.max_ece
    if champion is not None:
        asked = min(max(asked, champion.ece), champion.ece + bounds.max_ece_rise)
    detail, sure = "", np.asarray(candidate.confidence, dtype=np.float64)
    if candidate.unfitted is not None:
        sure, detail = sure[candidate.unfitted], f"on the {int(candidate.unfitted.sum())} rows that no temperature was fitted on"
    noise = calibration_noise(sure, seed) if within_one(sure).all() else 0.0
    if noise > asked:
        asked, detail = noise, f"a perfectly calibrated version shows up to {noise:.3f} on {len(sure)} rows"
    passed = bool(candidate.ece <= asked + _HAIR)
    return Check("calibration error", passed, champion.ece if champion else None, candidate.ece, f"<= {asked:.3f}", detail)


def _latency(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    after = candidate.latency_ms
    if champion is None:
        return Check("latency ms", bool(0 <= after < np.inf), None, after, "a number", _ABSENT)
    before = champion.latency_ms
    asked = max(before * bounds.max_latency_ratio, before + bounds.latency_allowance_ms)
    return Check("latency ms", bool(after <= asked + _HAIR), before, after, f"<= {asked:.1f}")


def _groups(judged: Judged, bounds: Bounds) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each label that has enough of them, and of the others together if those are enough."""
    names, places = np.unique(np.asarray(judged.labels, dtype=str), return_inverse=True)
    rows = {str(name): np.flatnonzero(places == place) for place, name in enumerate(names)}
    least = max(bounds.least_label_rows, 1)
    groups = {label: found for label, found in rows.items() if len(found) >= least}
    rare = [found for found in rows.values() if len(found) < least]
    if sum(map(len, rare)) >= least:
        groups[RARE] = np.concatenate(rare)
    return groups
