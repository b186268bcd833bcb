"""What the gate is given and what it answers: how a version did, bounds, checks and the verdict; frozen values and their table.

Pure numbers; knows no model, no file and no registry. ``promote.py`` and ``small_holdout.py`` make the checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from assistant.errors import SettingsError

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = ("check", "champion", "candidate", "bound", "result", "detail")
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
        unfitted: Which rows it was found on ``(n,)``: those no temperature was fitted on. ``None`` for all.
    """

    right: NDArray[Any]
    labels: tuple[str, ...]
    confidence: NDArray[np.floating[Any]]
    regression: NDArray[np.bool_]
    latency_ms: float
    ece: float
    unfitted: NDArray[np.bool_] | None = None

    @property
    def n(self) -> int:
        """Return the number of holdout rows."""
        return len(self.right)

    @property
    def score(self) -> float | None:
        """Return the mean score over the holdout, None without rows; a row that is not a number counts as wrong."""
        return float(scores_of(self).mean()) if self.n else None


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
        kept: Share of the messages that the champion's confidence vouches for which the candidate must read as the champion does,
            for labels with too few holdout rows to show a fall of ``floor_drop``.
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
    kept: float = 0.5
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


def scores_of(judged: Judged) -> NDArray[np.float64]:
    """Return the scores with what is not a number as wrong, so that the other checks still run."""
    scores = np.asarray(judged.right, dtype=np.float64)
    return np.where(within_one(scores), scores, 0.0)


def within_one(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Say of each value whether it is a share; a float32 softmax may end a hair above 1."""
    wide = np.asarray(values, dtype=np.float64)
    return np.logical_and(wide >= 0, wide <= 1 + 1e-6)


def signed(value: float) -> str:
    """Return a difference with its sign."""
    return f"{value + 0.0:+.3f}"


def listed(items: list[str]) -> str:
    """Return the first items, and how many more there are."""
    return ", ".join(items[:_NAMED]) + (f" and {len(items) - _NAMED} more" if len(items) > _NAMED else "")


def _figure(value: float | None) -> float | None:
    return round(float(value), 4) if value is not None and np.isfinite(value) else None


def _cell(value: float | None) -> str:
    return "-" if value is None else str(value) if isinstance(value, int) else f"{value:.3f}"


def _plain(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
