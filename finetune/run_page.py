"""One training run -> one HTML file that a person reads before promoting: figures, curves, calibration, mistakes, settings.

The file stands alone: no network, pictures inline, readable on a phone and on paper. Customers wrote the texts and staff the
labels, so all of it is escaped, cut and kept apart in direction, and the page's own policy lets no other script run. The same
record gives the same bytes. Knows no model and no registry. Before: ``evaluate`` and a task's training. After: a reader.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from assistant.adapter_files import Manifest, replace_text
from assistant.errors import TrainingError
from finetune import run_figures
from finetune.bootstrap import interval
from finetune.evaluate import classification_figures
from finetune.examples import OUT_OF_SCOPE
from finetune.recipe import Progress
from finetune.run_figures import Plot
from finetune.run_tables import Judged, class_rows, confusions, slot_faults, worst_mistakes

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_MISTAKES, MOST_CONFUSIONS, MOST_CHARACTERS = 50, 30, 320
_TEMPLATE = "run_page.html.j2"
_RECALL_RANKS = (1, 5, 10)
# Figure -> what it is called on the page, and how it is read. Shares are printed in percent, the others as they are.
_NAMES = {
    "accuracy": ("Accuracy", "messages in scope that were labelled right"),
    "macro_f1": ("Macro-F1", "mean over labels; 1 is best"),
    "ece": ("Calibration error", "gap between confidence and truth; 0 is best"),
    "coverage_at_95": ("Coverage at 95%", "answerable with 95% right, by confidence alone"),
    "oos_recall": ("Out-of-scope recall", "of such messages, whose likeliest label is oos"),
    "oos_auroc": ("Out-of-scope AUROC", "1 tells them apart, 0.5 does not"),
    "precision": ("Precision", "found values that were right"),
    "recall": ("Recall", "wanted values that were found"),
    "f1": ("F1", "1 is best"),
    "recall_at_1": ("Recall@1", "wanted reply came first"),
    "recall_at_5": ("Recall@5", "wanted reply among five"),
    "recall_at_10": ("Recall@10", "wanted reply among ten"),
    "recall_at_1_of_100": ("Recall@1 of 100", "wanted reply first among 100"),
    "mrr": ("MRR", "mean of 1 / rank; 1 is best"),
}
_SHARES = ("accuracy", "coverage", "recall_at", "oos_recall", "precision", "recall")


@dataclass(frozen=True, slots=True)
class SpanMistake:
    """A text whose slots were not found exactly; spans are ``(start, end, slot)`` in characters."""

    text: str
    wanted: tuple[tuple[int, int, str], ...]
    found: tuple[tuple[int, int, str], ...]


@dataclass(frozen=True, slots=True)
class RankedReply:
    """What was said before a reply, the reply a person gave, the one chosen, and the rank (from 1) of the wanted one."""

    context: str
    wanted: str
    chosen: str
    rank: int


@dataclass(frozen=True, slots=True)
class RunRecord:
    """All that is known of a finished training run.

    Attributes:
        manifest: Of the version that it made.
        history: Epochs in order; with several seeds their numbers begin anew.
        texts: The n judged texts; for slots all judged texts, or none if they were not kept.
        truth: Class rows ``(n,)`` of the judged texts; -1 for a label the version does not know. None without classes.
        chances: Calibrated chances ``(n, C)``.
        spans: For slots, the texts with mistakes.
        ranks: For dialog, all judged contexts.
    """

    manifest: Manifest
    history: tuple[Progress, ...]
    texts: tuple[str, ...]
    truth: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    chances: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    spans: tuple[SpanMistake, ...] | None = None
    ranks: tuple[RankedReply, ...] | None = None


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure as it is shown: its name, the value in print, and how to read it."""

    name: str
    value: str
    reading: str


@dataclass(frozen=True, slots=True)
class Answering:
    """What the thresholds do: the picture, how many messages are out of scope, and how many of those would be answered."""

    plot: Plot
    outside: int
    outside_answered: int


def write_run_page(record: RunRecord, path: Path) -> None:
    """Write the page, whole or not at all.

    Args:
        record: The run.
        path: The HTML file; folders are made.

    Raises:
        TrainingError: If the record's rows do not fit each other.
    """
    replace_text(path, run_page(record))


def run_page(record: RunRecord) -> str:
    """Render the page.

    Args:
        record: The run.

    Returns:
        A whole HTML document.

    Raises:
        TrainingError: If the record's rows do not fit each other.
    """
    from jinja2 import Environment, StrictUndefined

    check(record)
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined)
    environment.filters |= {
        "clean": _clean,
        "digest": _script_digest,
        "percent": _percent,
        "figure": _figure,
        "split": str.split,
        "moment": _moment,
    }
    template = environment.from_string(resources.files("finetune").joinpath(_TEMPLATE).read_text(encoding="utf-8"))
    judged = len(record.truth)
    rows = Judged(record.manifest.labels, record.truth, record.chances, record.texts)
    mistakes = worst_mistakes(rows) if judged else []
    return template.render(
        record=record,
        headlines=headlines(record),
        curves=_curves(record.history),
        judged=judged,
        unknown=int((record.truth < 0).sum()),
        reliability=_reliability(record),
        answering=_answering(record),
        scope=_scope(record),
        classes=class_rows(rows) if judged else [],
        mistakes=mistakes,
        confusions=confusions(rows, mistakes)[:MOST_CONFUSIONS],
        slots=slot_faults((one.wanted, one.found) for one in record.spans or ()),
        spans=sorted(record.spans or (), key=lambda one: -len(set(one.wanted) ^ set(one.found))),
        rank_plot=run_figures.rank_histogram(_ranks(record)) if record.ranks else None,
        misranked=sorted((one for one in record.ranks or () if one.rank > 1), key=lambda one: -one.rank),
        most=MOST_MISTAKES,
        cut=MOST_CHARACTERS,
        settings=_facts(record.manifest.method),
        training_set=_facts(record.manifest.training_set),
        scores=_facts(record.manifest.scores),
        thresholds=_facts({**record.manifest.thresholds, "temperature": record.manifest.temperature}),
    )


def check(record: RunRecord) -> None:
    """Refuse a record whose rows do not fit each other.

    Raises:
        TrainingError: Naming the sizes that differ.
    """
    rows, labels = len(record.truth), len(record.manifest.labels)
    where = f"record of {record.manifest.task} {record.manifest.version}"
    if rows and record.chances.shape != (rows, labels):
        shape = record.chances.shape
        raise TrainingError(f"{where}: chances {shape} for {rows} rows of {labels} labels; give one chance for each")
    if rows and len(record.texts) != rows:
        raise TrainingError(f"{where}: {len(record.texts)} texts for {rows} rows; give one text for each")
    if rows and not (record.truth.min() >= -1 and record.truth.max() < labels):
        raise TrainingError(f"{where}: truth beyond the {labels} labels; use -1 for a label that is not known")
    if record.ranks and min(one.rank for one in record.ranks) < 1:
        raise TrainingError(f"{where}: a rank below 1; the first reply has rank 1")


def headlines(record: RunRecord) -> list[Headline]:
    """Return the figures at the top: of the judged rows or ranks if there are any, of the manifest else."""
    figures: Mapping[str, float] = record.manifest.scores
    if len(record.truth):
        figures = classification_figures(record.chances, record.truth, record.manifest.labels)
        inside = _inside(record)
        if not inside.any():
            figures = {name: value for name, value in figures.items() if name.startswith("oos")}
    elif record.ranks:
        ranks = _ranks(record)
        figures = {f"recall_at_{rank}": float((ranks <= rank).mean()) for rank in _RECALL_RANKS}
        figures["mrr"] = float((1 / ranks).mean())
    shown = []
    for name in sorted(figures, key=lambda name: list(_NAMES).index(name) if name in _NAMES else len(_NAMES)):
        title, reading = _NAMES.get(name.removeprefix("validation_"), (name, ""))
        if name.startswith("validation_") and title != name:
            reading += ", on validation"
        if name == "accuracy" and len(record.truth):
            ends = interval(record.chances[inside].argmax(1) == record.truth[inside], seed=0)
            reading += f"; 95% interval {_percent(ends.low)} to {_percent(ends.high)}"
        shown.append(Headline(title, _figure(figures[name], name), reading))
    return shown


def _inside(record: RunRecord) -> NDArray[np.bool_]:
    """Say which rows are in scope."""
    if OUT_OF_SCOPE not in record.manifest.labels:
        return np.ones(len(record.truth), dtype=bool)
    inside: NDArray[np.bool_] = record.truth != record.manifest.labels.index(OUT_OF_SCOPE)
    return inside


def _curves(history: Sequence[Progress]) -> list[Plot]:
    if not history:
        return []
    epochs, losses = [one.epoch for one in history], [one.loss for one in history]
    return [run_figures.loss_curve(epochs, losses), run_figures.score_curve(epochs, [one.score for one in history])]


def _reliability(record: RunRecord) -> Plot | None:
    """Draw the same rows and bins that the calibration error is counted over."""
    inside = _inside(record)
    if not inside.any():
        return None
    chances, truth = record.chances[inside], record.truth[inside]
    error = classification_figures(record.chances, record.truth, record.manifest.labels)["ece"]
    return run_figures.reliability(chances.max(axis=1), chances.argmax(axis=1) == truth, error)


def _answering(record: RunRecord) -> Answering | None:
    """Answer as the check does: refuse what looks out of scope, then take the best label beside ``oos`` if it is sure enough."""
    inside = _inside(record)
    open_for_answer = np.ones(len(inside), dtype=bool)
    business = record.chances
    labels, thresholds = record.manifest.labels, record.manifest.thresholds
    if OUT_OF_SCOPE in labels and len(inside):
        oos = labels.index(OUT_OF_SCOPE)
        open_for_answer = record.chances[:, oos] <= thresholds.get("max_out_of_scope", 1.0)
        business = record.chances.copy()
        business[:, oos] = 0.0
    rows = inside & open_for_answer
    if not rows.any():
        return None
    least, total = thresholds.get("min_confidence"), int(inside.sum())
    chances, truth = business[rows], record.truth[rows]
    plot = run_figures.coverage_curve(chances.max(axis=1), chances.argmax(axis=1) == truth, total, least)
    slipped = ~inside & open_for_answer & (business.max(axis=1) >= (least or 0.0))
    return Answering(plot, int((~inside).sum()), int(slipped.sum()))


def _scope(record: RunRecord) -> Plot | None:
    outside = ~_inside(record)
    if not outside.any():
        return None
    scores = record.chances[:, record.manifest.labels.index(OUT_OF_SCOPE)]
    return run_figures.scope_histogram(scores, outside, record.manifest.thresholds.get("max_out_of_scope"))


def _ranks(record: RunRecord) -> NDArray[np.int64]:
    return np.array([one.rank for one in record.ranks or ()], dtype=np.int64)


def _percent(value: float | None, digits: int = 1) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value * 100:.{digits}f}%"


def _figure(value: float | None, name: str = "") -> str:
    """Print a share in percent, another figure with three digits."""
    if value is None or not math.isfinite(value):
        return "–"
    if name.removeprefix("validation_").startswith(_SHARES) and 0 <= value <= 1:
        return _percent(value)
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _moment(text: str) -> str:
    """Print an ISO time in UTC; anything else as it is."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if when.tzinfo else text


def _facts(values: Mapping[str, object]) -> list[tuple[str, str]]:
    """Print settings: plain values as they are, nested ones as JSON."""
    return [(name, _plain(value)) for name, value in values.items()]


def _plain(value: object) -> str:
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _clean(text: str) -> str:
    """Put a mark where a character can neither be printed nor written: controls, and halves of surrogate pairs."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text)


def _script_digest(script: str) -> str:
    """Return the hash by which the page's policy knows its only script (Content Security Policy 3)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(str(script).encode()).digest()).decode()
