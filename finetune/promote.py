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
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.errors import SettingsError, TrainingError
from finetune.bootstrap import calibration_noise, paired

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("check", "champion", "candidate", "bound", "result", "detail")
RARE = "(rare labels together)"
_ABSENT = "no champion to compare with"

# A drop of exactly the bound is allowed, although 0.9 - 0.88 is a hair above 0.02 in floating point.
_HAIR = 1e-9
# Labels named in one line of detail; the rest is counted.
_NAMED = 6


@dataclass(frozen=True, slots=True)
class Judged:
    """How one version did on the holdout and on the regression cases.

    Attributes:
        right: Whether each holdout row was right ``(n,)``, or its score in [0, 1] (reciprocal rank, F1 of the text).
        labels: The true label of each row; empty for a task without classes.
        confidence: In the answer given, per row ``(n,)`` in [0, 1]; empty if the task has none.
        regression: Whether each regression case was right ``(m,)``; the same cases in the same order for both versions.
        latency_ms: Median time of one message alone.
        ece: Expected calibration error in [0, 1]; 0.0 if the task has no confidence.
    """

    right: NDArray[Any]
    labels: tuple[str, ...]
    confidence: NDArray[np.floating[Any]]
    regression: NDArray[np.bool_]
    latency_ms: float
    ece: float

    @property
    def n(self) -> int:
        """Return the number of holdout rows."""
        return len(self.right)

    @property
    def score(self) -> float | None:
        """Return the mean score over the holdout, None without rows; a row that is not a number counts as wrong."""
        return float(_scores(self).mean()) if self.n else None


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a candidate may do at worst. Shares and scores are in [0, 1].

    Attributes:
        least_rows: Holdout rows without which nothing is promoted.
        worse_by: Refused if the whole 95 % interval of the paired difference lies below minus this: worse beyond noise.
        max_drop: Refused if the score itself falls by more, whatever the noise; a small holdout cannot wave poison through.
        over_majority: Without a champion the score must lie this far above always answering the commonest label (half of
            what is left to 1, where that is less).
        least_score: Without a champion the score must reach this; the only such bound of a task without classes.
        least_label_rows: Rows a label needs to be judged alone; labels with fewer are judged together as one.
        floor_drop: Refused if the recall of a label falls by more, and beyond noise.
        floors: Least recall by label, for those that matter most; refused, too, if a label has too few rows to show it.
        unrecognised: Share of judged labels that may never be recognised; stops a first version collapsed to few classes.
        forgotten: Regression cases right under the champion that may be wrong under the candidate.
        forgotten_share: The same as a share of the set; the larger of the two holds. Under 200 cases 0.5 % allows none, and
            a large set does not block every night for one borderline case.
        max_ece: Largest calibration error, because the thresholds of the check rely on it.
        max_ece_rise: Largest rise of it over the champion's.
        max_latency_ratio: Largest latency over the champion's.
        latency_allowance_ms: Rise of latency that is always allowed, for the clock's own noise.
    """

    least_rows: int = 30
    worse_by: float = 0.0
    max_drop: float = 0.02
    over_majority: float = 0.05
    least_score: float = 0.1
    least_label_rows: int = 5
    floor_drop: float = 0.25
    floors: Mapping[str, float] = field(default_factory=dict)
    unrecognised: float = 0.2
    forgotten: int = 0
    forgotten_share: float = 0.005
    max_ece: float = 0.10
    max_ece_rise: float = 0.03
    max_latency_ratio: float = 1.25
    latency_allowance_ms: float = 2.0

    def __post_init__(self) -> None:
        """Refuse a bound that is not a number, for nothing is ever beyond it; raises SettingsError with all of them."""
        values = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "floors"}
        values |= {f"floors.{label}": floor for label, floor in self.floors.items()}
        faults = [
            f"{name} = {value}: a bound must be a finite number" for name, value in values.items() if not np.isfinite(value)
        ]
        if faults:
            raise SettingsError(faults, "bounds of the gate")


@dataclass(frozen=True, slots=True)
class Check:
    """One condition of the gate, with both sides' figures where they exist and what was asked for in words."""

    name: str
    passed: bool
    champion: float | None
    candidate: float | None
    bound: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """Whether the candidate may become the champion, and every check behind it."""

    promote: bool
    checks: tuple[Check, ...]

    @property
    def refusals(self) -> tuple[Check, ...]:
        """Return the checks that failed."""
        return tuple(check for check in self.checks if not check.passed)

    def as_json(self) -> dict[str, Any]:
        """Return the verdict for a manifest or ``--json``; a figure that is not a number becomes null."""
        sides = [{"champion": _figure(check.champion), "candidate": _figure(check.candidate)} for check in self.checks]
        return {"promote": self.promote, "checks": [asdict(c) | side for c, side in zip(self.checks, sides, strict=True)]}

    def as_table(self) -> list[list[str]]:
        """Return a line of cells for each check, under ``COLUMNS``."""
        words = {True: "passed", False: "REFUSED"}
        return [[c.name, _cell(c.champion), _cell(c.candidate), c.bound, words[c.passed], c.detail] for c in self.checks]

    def render(self, title: str) -> str:
        """Return the verdict as a Markdown page that also reads as plain text.

        Args:
            title: Its heading, such as the task and the version.

        Returns:
            The page, ending in a newline; line breaks and bars of label names cannot break its table.
        """
        failed = ", ".join(check.name for check in self.refusals)
        decision = "Promoted: every check passed." if self.promote else f"Refused: {failed}."
        rows = [[_plain(cell) for cell in line] for line in (COLUMNS, *self.as_table())]
        widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join([f"# {_plain(title)}", "", decision, "", *lines, ""])


def judge_candidate(candidate: Judged, champion: Judged | None, bounds: Bounds, seed: int) -> GateVerdict:
    """Decide whether a candidate may replace the champion.

    Args:
        candidate: The new version's behaviour.
        champion: The serving version's, on the same rows and cases; None if the task has none yet, in which case only the
            absolute checks can fail.
        bounds: What the candidate may do at worst.
        seed: Of the bootstrap; the same seed gives the same verdict.

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
    if not (_within_one(champion.right).all() and np.isfinite([champion.ece, champion.latency_ms]).all()):
        raise TrainingError("the champion's own scores, calibration error or latency are no numbers; judge it again or roll back")


def _rows(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    asked, before = max(bounds.least_rows, 1), champion.n if champion else None
    if candidate.n >= asked:
        return Check("holdout rows", True, before, candidate.n, f">= {asked}")
    mend = "too few to tell a good version from a bad one; label more conversations for the holdout"
    return Check("holdout rows", False, before, candidate.n, f">= {asked}", mend)


def _numbers(candidate: Judged) -> Check:
    faults = []
    for name, values in (("scores", candidate.right), ("confidences", candidate.confidence)):
        if bad := int((~_within_one(values)).sum()):
            faults.append(f"{bad} of {len(values)} {name}")
    if not 0 <= candidate.ece <= 1:
        faults.append(f"calibration error {candidate.ece}")
    if not 0 <= candidate.latency_ms < np.inf:
        faults.append(f"latency {candidate.latency_ms} ms")
    detail = f"{', '.join(faults)} not so; the training or the measuring broke" if faults else ""
    return Check("sound numbers", not faults, None, None, "finite and in range", detail)


def _worse(candidate: Judged, champion: Judged | None, bounds: Bounds, seed: int) -> Check:
    bound = f"95 % interval of the difference reaches {_signed(-bounds.worse_by)}"
    if champion is None or not candidate.n:
        return Check("score difference", champion is None, None, candidate.score, bound, "no rows" if champion else _ABSENT)
    found = paired(_scores(candidate), _scores(champion), seed)
    detail = f"{_signed(found.difference)} [{_signed(found.low)}, {_signed(found.high)}], worse with chance {found.p_worse:.2f}"
    passed = found.high >= -bounds.worse_by - _HAIR
    return Check("score difference", passed, champion.score, candidate.score, bound, detail)


def _drop(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    bound = f"falls by {bounds.max_drop:.3g} at most"
    after = candidate.score
    if champion is None or after is None:
        return Check("score drop", champion is None, None, after, bound, "no rows" if champion else _ABSENT)
    before = float(_scores(champion).mean())
    return Check("score drop", before - after <= bounds.max_drop + _HAIR, before, after, bound, _signed(after - before))


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
    ours, theirs = _scores(candidate), _scores(champion)
    falls = {label: float(theirs[rows].mean() - ours[rows].mean()) for label, rows in groups.items()}
    worst = max(falls, key=lambda label: falls[label])
    lost = [  # only the few that fell far need the interval
        f"{label} {theirs[rows].mean():.2f} -> {ours[rows].mean():.2f} of {len(rows)}"
        for label, rows in groups.items()
        if not falls[label] <= bounds.floor_drop + _HAIR and not paired(ours[rows], theirs[rows], seed).high >= -_HAIR
    ]
    rows = groups[worst]
    detail = _listed(lost) or f"{len(groups)} judged; largest change down: {worst} {_signed(-falls[worst])}"
    return Check("label recall", not lost, float(theirs[rows].mean()), float(ours[rows].mean()), bound, detail)


def _floors(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    groups, faults = _groups(candidate, bounds), []
    for label, floor in sorted(bounds.floors.items()):
        rows = groups.get(label)
        if rows is None:  # refused, or a typing error would switch a floor off
            held = candidate.labels.count(label)
            faults.append(f"{label}: {held} of the {bounds.least_label_rows} holdout rows needed; label more or drop the floor")
            continue
        recall = float(_scores(candidate)[rows].mean())
        asked = floor if champion is None else min(floor, float(_scores(champion)[rows].mean()))
        if not recall >= asked - _HAIR:
            faults.append(f"{label} {recall:.2f} < {asked:.2f}")
    bound = f"{len(bounds.floors)} floors held" if bounds.floors else "no floors set"
    return Check("recall floors", not faults, None, None, bound, _listed(faults))


def _collapse(candidate: Judged, champion: Judged | None, bounds: Bounds) -> Check:
    groups = _groups(candidate, bounds)
    if not groups:
        return Check("labels recognised", True, None, None, "-", "no classes")
    dead = [label for label, rows in groups.items() if not _scores(candidate)[rows].any()]
    before, after = None, len(dead) / len(groups)
    if champion is not None:
        before = sum(not _scores(champion)[rows].any() for rows in groups.values()) / len(groups)
    asked = max(bounds.unrecognised, before or 0.0)
    bound = f"<= {asked:.2f} of labels never recognised"
    return Check("labels recognised", after <= asked + _HAIR, before, after, bound, _listed(dead))


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
        detail += f"; cases {_listed([str(case) for case in lost])}"
    return Check("regression cases", len(lost) <= allowed, float(theirs.mean()), after, bound, detail)


def _calibration(candidate: Judged, champion: Judged | None, bounds: Bounds, seed: int) -> Check:
    """Hold the calibration error, but ask for no less than a perfectly calibrated version shows on so few rows."""
    asked = bounds.max_ece
    if champion is not None:
        asked = min(max(asked, champion.ece), champion.ece + bounds.max_ece_rise)
    detail, sure = "", np.asarray(candidate.confidence, dtype=np.float64)
    noise = calibration_noise(sure, seed) if _within_one(sure).all() else 0.0
    if noise > asked:
        asked, detail = noise, f"a perfectly calibrated version shows up to {noise:.3f} on {candidate.n} rows"
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


def _scores(judged: Judged) -> NDArray[np.float64]:
    """Return the scores with what is not a number as wrong, so that the other checks still run."""
    scores = np.asarray(judged.right, dtype=np.float64)
    return np.where(_within_one(scores), scores, 0.0)


def _within_one(values: NDArray[Any]) -> NDArray[np.bool_]:
    wide = np.asarray(values, dtype=np.float64)
    return np.logical_and(wide >= 0, wide <= 1 + 1e-6)  # a float32 softmax may end a hair above 1


def _signed(value: float) -> str:
    return f"{value + 0.0:+.3f}"


def _figure(value: float | None) -> float | None:
    return round(float(value), 4) if value is not None and np.isfinite(value) else None


def _cell(value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _listed(items: list[str]) -> str:
    return ", ".join(items[:_NAMED]) + (f" and {len(items) - _NAMED} more" if len(items) > _NAMED else "")


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
