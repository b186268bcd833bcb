"""Numbers of one training run -> small pictures, each an SVG that stands inside a page.

Holds no text of customers and no label, so nothing here needs escaping. Letters stay letters (``svg.fonttype`` none), set in
the page's own font; the same numbers give the same bytes. Before: ``evaluate``. After: ``run_page``.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

INK, QUIET, LINE, ACCENT, WARM = "#1b2033", "#5c647a", "#e2e5ee", "#3949c6", "#a15c00"
BINS = 15
_WIDTH, _HEIGHT = 4.3, 3.0
_MOST_POINTS = 400
_LAST_RANK = 10
_UNSIGNED = {"Date": None, "Creator": None, "Format": None, "Type": None}


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture as inline SVG, and what it shows in words."""

    svg: str
    alt: str


def loss_curve(epochs: Sequence[int], losses: Sequence[float]) -> Plot:
    """Draw the loss of every epoch.

    Args:
        epochs: Epoch numbers, from 1; where a number does not rise, another run (seed) begins.
        losses: Mean training loss of each epoch.

    Returns:
        The picture.
    """
    figure, axes = _blank("epoch", "loss")
    _epoch_lines(axes, epochs, losses)
    axes.set_ylim(bottom=0.0)
    return _plot(figure, "loss", f"Loss over {len(epochs)} epochs, from {losses[0]:.3g} to {losses[-1]:.3g}.")


def score_curve(epochs: Sequence[int], scores: Sequence[float]) -> Plot:
    """Draw the validation score of every epoch with the best one marked.

    Args:
        epochs: Epoch numbers, from 1; where a number does not rise, another run (seed) begins.
        scores: Scores in [0, 1].

    Returns:
        The picture.
    """
    figure, axes = _blank("epoch", "score on validation")
    _epoch_lines(axes, epochs, scores)
    if np.isnan(scores).all():
        return _plot(figure, "score", "No epoch has a score.")
    best = int(np.nanargmax(scores))
    axes.plot([epochs[best]], [scores[best]], marker="o", markersize=9, markerfacecolor="none", markeredgecolor=WARM)
    axes.set_title(f"best {scores[best]:.3f} in epoch {epochs[best]} (circled)", color=INK, loc="left", fontsize=10)
    return _plot(figure, "score", f"Score over {len(epochs)} epochs; the best is {scores[best]:.3f} in epoch {epochs[best]}.")


def reliability(confidence: NDArray[np.float32], right: NDArray[np.bool_], error: float) -> Plot:
    """Draw accuracy against confidence (Niculescu-Mizil & Caruana 2005) over a histogram of confidences.

    Args:
        confidence: Highest chance of each row ``(n,)``, in [0, 1].
        right: Whether it was the true class ``(n,)``.
        error: Expected calibration error, written above.

    Returns:
        The picture; bars are 95 % Wilson intervals (1927).
    """
    figure, axes = _blank("confidence", "share that was right")
    axes.remove()
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    for part in (axes, below):
        _calm(part)
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    counts = np.bincount(place, minlength=BINS)
    filled = np.flatnonzero(counts)
    said = np.bincount(place, weights=confidence, minlength=BINS)[filled] / counts[filled]
    was = np.bincount(place, weights=right, minlength=BINS)[filled] / counts[filled]
    middle, half = _wilson(was, counts[filled])
    axes.plot([0, 1], [0, 1], color=QUIET, linestyle="--", linewidth=1, label="perfectly calibrated")
    axes.vlines(said, middle - half, middle + half, color=ACCENT, linewidth=1.2, alpha=0.55)
    axes.plot(said, was, color=ACCENT, marker="o", markersize=4, linewidth=1.2, label="this version")
    axes.legend(frameon=False, labelcolor=INK, loc="upper left")
    axes.set_ylabel("share right")
    axes.set_ylim(-0.02, 1.04)
    axes.set_title(f"expected calibration error {error:.3f}", color=INK, loc="left", fontsize=10)
    below.bar((np.arange(BINS) + 0.5) / BINS, counts, width=0.9 / BINS, color=ACCENT, alpha=0.75)
    below.set_xlabel("confidence")
    below.set_ylabel("messages")
    below.set_xlim(0, 1.01)
    _as_percent(axes, "xy")
    alt = f"Confidence against accuracy in {len(filled)} bins; expected calibration error {error:.3f}."
    return _plot(figure, "reliability", alt)


def coverage_curve(confidence: NDArray[np.float32], right: NDArray[np.bool_], total: int, threshold: float | None) -> Plot:
    """Draw how often answers are right when only the surest are given (risk-coverage, El-Yaniv & Wiener 2010).

    Args:
        confidence: Of each row that may be answered ``(n,)``, n at least 1.
        right: Whether its label is the true one ``(n,)``.
        total: Messages that shares are taken of, at least n.
        threshold: Confidence from which on answers are sent; marked if given.

    Returns:
        The picture.
    """
    figure, axes = _blank("share of messages answered", "share of answers right")
    order = np.argsort(-confidence, kind="stable")
    accuracy = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    share = np.arange(1, len(order) + 1) / total
    kept = np.unique(np.linspace(0, len(order) - 1, _MOST_POINTS).astype(int))
    axes.plot(share[kept], accuracy[kept], color=ACCENT, linewidth=1.8)
    alt = f"Answering all {share[-1]:.0%}, {accuracy[-1]:.1%} are right."
    answered = 0 if threshold is None else int((confidence >= threshold).sum())
    if threshold is not None and answered:
        at, good = float(share[answered - 1]), float(accuracy[answered - 1])
        axes.axvline(at, color=WARM, linestyle="--", linewidth=1.2)
        axes.plot([at], [good], marker="D", markersize=6, color=WARM)
        said = f"threshold {threshold:.2f}: {at:.0%} answered, {good:.1%} right"
        axes.set_title(f"◆ {said}", color=INK, loc="left", fontsize=10)
        alt = f"{said[0].upper()}{said[1:]}. {alt}"
    # The first few answers alone swing between 0 and 1; they shall not set the scale.
    floor = float(accuracy[min(len(accuracy) - 1, len(accuracy) // 20) :].min())
    axes.set_ylim(max(0.0, np.floor(floor * 20 - 0.4) / 20), 1.005)
    axes.set_xlim(0, 1.01)
    _as_percent(axes, "xy")
    return _plot(figure, "coverage", alt)


def scope_histogram(scores: NDArray[np.float32], outside: NDArray[np.bool_], threshold: float | None) -> Plot:
    """Draw how out-of-scope scores of messages inside and outside the scope lie apart.

    Args:
        scores: Chance of the out-of-scope class ``(n,)``.
        outside: Whether that is the truth ``(n,)``.
        threshold: Score above which a message is refused; marked if given.

    Returns:
        The picture; shares are of each side, so that a small side can be seen.
    """
    figure, axes = _blank("out-of-scope score", "share of messages")
    edges = np.linspace(0, 1, 21)
    for side, name, color, hatch in ((~outside, "in scope", ACCENT, ""), (outside, "out of scope", WARM, "////")):
        count = int(side.sum())
        if count:
            shares = np.histogram(scores[side], edges)[0] / count
            face = "none" if hatch else f"{color}40"
            look: dict[str, Any] = {"facecolor": face, "edgecolor": color, "hatch": hatch, "linewidth": 1.2}
            axes.stairs(shares, edges, fill=True, label=f"{name} ({count})", **look)
    if threshold is not None:
        axes.axvline(threshold, color=INK, linestyle="--", linewidth=1.2, label=f"refused above {threshold:.2f}")
    axes.legend(frameon=False, labelcolor=INK, loc="upper center")
    axes.set_xlim(0, 1)
    _as_percent(axes, "y")
    alt = f"Out-of-scope scores of {int((~outside).sum())} messages in scope and {int(outside.sum())} out of scope."
    return _plot(figure, "scope", alt)


def rank_histogram(ranks: NDArray[np.int64]) -> Plot:
    """Draw on which rank the wanted reply stood.

    Args:
        ranks: From 1 ``(n,)``, n at least 1.

    Returns:
        The picture; ranks past ten share one bar.
    """
    figure, axes = _blank("rank of the wanted reply", "contexts")
    counts = np.bincount(np.minimum(ranks, _LAST_RANK + 1), minlength=_LAST_RANK + 2)[1:]
    names = [*(str(rank) for rank in range(1, _LAST_RANK + 1)), f">{_LAST_RANK}"]
    axes.grid(visible=False, axis="x")
    bars = axes.bar(names, counts, color=ACCENT, alpha=0.75)
    axes.bar_label(bars, color=INK, fontsize=9)
    return _plot(figure, "ranks", f"The wanted reply stood first for {counts[0]} of {len(ranks)} contexts.")


def _wilson(share: NDArray[np.float64], count: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return middle and half width of the 95 % score interval of shares."""
    z2 = 1.96**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = np.sqrt(z2 * (share * (1 - share) / count + z2 / (4 * count**2))) / (1 + z2 / count)
    return middle, half


def _blank(across: str, up: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    _calm(axes)
    return figure, axes


def _calm(axes: Axes) -> None:
    """Leave only what carries meaning: light grid, two spines, dark small letters."""
    axes.grid(color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=QUIET, labelsize=9.5, length=0, pad=5)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set_color(QUIET)
        label.set_fontsize(10)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color("#b9bfce")


def _as_percent(axes: Axes, which: str) -> None:
    from matplotlib.ticker import PercentFormatter

    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name in which:
            axis.set_major_formatter(PercentFormatter(1.0))


def _epoch_lines(axes: Axes, epochs: Sequence[int], values: Sequence[float]) -> None:
    from matplotlib.ticker import MaxNLocator

    begins = [0, *(at for at in range(1, len(epochs)) if epochs[at] <= epochs[at - 1]), len(epochs)]
    fade = 1.0 if len(begins) == 2 else 0.65
    for start, end in pairwise(begins):
        axes.plot(epochs[start:end], values[start:end], color=ACCENT, marker="o", markersize=3, alpha=fade)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def _plot(figure: Figure, name: str, alt: str) -> Plot:
    """Write the figure as an SVG that may stand in a page beside others: no header, no ids in common, described."""
    import matplotlib

    for axes in figure.axes:
        legend = axes.get_legend()
        for text in legend.get_texts() if legend else ():
            text.set_fontsize(9.5)
    written = io.StringIO()
    # The SVG writer takes these two from the global settings only; the context puts the former ones back.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(written, format="svg", transparent=True, metadata=_UNSIGNED)
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>|<!--.*?-->|<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{name}-", svg)
    size = re.search(r'viewBox="[^"]*"', svg)
    opening = f'<svg class="plot" role="img" aria-label="{html.escape(alt)}" {size.group() if size else ""}'
    opening += ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    body = svg[svg.index(">") + 1 :]
    return Plot("\n".join(line.rstrip() for line in (opening + body).splitlines() if line.strip()), alt)
