"""Control charts of one stream: a mixture of Shiryaev-Roberts statistics, with CUSUMs beside them for the start of a change.

Each component ``k`` compares "nothing happened" with "from some moment on, the rate is rho_k times as high", and keeps

    R_k = integral over all moments s in the past of  likelihood ratio(change at s)  d budget_k(s)

which a jump by ``rho`` at each negative message and a decay between them keep up to date (Shiryaev 1963, Roberts 1966). The
alarm is on the sum over the components. Two things speak for it against a set of CUSUMs with a limit each:

- As long as nothing happens, ``sum R - budget spent`` is a martingale whatever the rates, the season or the volume do, even
  where the rates are themselves estimated on the way (as posterior means from all that came before): so the mean budget spent
  until a false alarm is the mean of R at the alarm, which is the limit times a small overshoot. The budget is spent in days:
  each stream gets its part of each day, the parts add up to one, and a limit of 28 days over the overshoot is one false alarm
  in 28 days over all streams. No table, no chart-by-chart limits, no Bonferroni.
- For change points far in the past of a long watch it is the optimal rule (Pollak & Tartakovsky 2009), and measured on ideal
  streams at one false alarm in 2,000 expected events, rho 1.5, 2, 3 and 5, it needs 50 instead of 67 events for a rate 1.5
  times as high, 23 instead of 27 for 2, and 12 instead of 13 for 3.

A CUSUM (Page 1954) of the same likelihood ratio runs with each component: its last zero is the most likely start.
Knows nothing of levels, seasons or locales: it is fed with what was expected and what came. Before it: ``stream.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Watch = Literal["number", "share", "drift"]


@dataclass(frozen=True, slots=True)
class Component:
    """One alternative.

    Attributes:
        watch: Number of negative messages, their share among the stream's messages, or their number against the slow level.
        ratio: How many times the rate (for ``share``: the odds) is as high.
        weight: Its part of the budget; all add up to 1.
    """

    watch: Watch
    ratio: float
    weight: float


# Weights lean to surges of three times, the size the monitor is judged by; chosen on simulated surges, and it matters little.
COMPONENTS = (
    Component("number", 1.5, 0.08),
    Component("number", 2.0, 0.16),
    Component("number", 3.0, 0.36),
    Component("number", 5.0, 0.12),
    Component("share", 2.0, 0.10),
    Component("share", 3.5, 0.12),
    Component("drift", 1.5, 0.06),
)
SIZE = len(COMPONENTS)
# The slow level must be left by so much before it counts as a drift: levels wander a little without a cause.
DRIFT_MARGIN = 1.15
# Mean of R at a false alarm as a multiple of the limit: 1.35 on ideal streams (simulated: unit-rate Poisson, these components).
OVERSHOOT = 1.35


class Mark(NamedTuple):
    """A moment of a stream, to count from.

    Attributes:
        at: Seconds since 1970.
        clock: The stream's season time in days.
        negatives: Counted negative messages before it.
        counted: Messages before it without the repeated negative ones.
        messages: All messages before it.
    """

    at: float
    clock: float
    negatives: int
    counted: int
    messages: int


class Charts:
    """The components' state for one stream."""

    __slots__ = ("cusums", "evidence", "starts")

    def __init__(self, mark: Mark) -> None:
        """Begin with no evidence at ``mark``."""
        self.reset(mark)

    def reset(self, mark: Mark) -> None:
        """Forget all evidence; nothing before ``mark`` can be the start of a change any more."""
        self.evidence = [0.0] * SIZE
        self.cusums = [0.0] * SIZE
        self.starts = [mark] * SIZE

    def wait(self, costs: list[float], budget: float, mark: Mark) -> float:
        """Let time and other messages pass.

        Args:
            costs: By component, how much the log-likelihood ratio fell meanwhile; not negative.
            budget: Days of the false-alarm budget that the stream was given for this time.
            mark: Now.

        Returns:
            The sum of R, in days.
        """
        evidence, cusums, starts = self.evidence, self.cusums, self.starts
        total = 0.0
        for k in range(SIZE):
            cost = costs[k]
            new = budget * _WEIGHTS[k]
            if cost > 1e-9:
                kept = math.exp(-cost)
                evidence[k] = evidence[k] * kept + new * (1.0 - kept) / cost
            else:
                evidence[k] += new
            total += evidence[k]
            left = cusums[k] - cost
            if left > 0.0:
                cusums[k] = left
            else:
                cusums[k] = 0.0
                starts[k] = mark
        return total

    def strike(self, gains: list[float]) -> float:
        """Count one negative message.

        Args:
            gains: By component, by how much it raises the log-likelihood ratio.

        Returns:
            The sum of R, in days.
        """
        evidence, cusums = self.evidence, self.cusums
        total = 0.0
        for k in range(SIZE):
            gain = gains[k]
            evidence[k] *= math.exp(gain)
            total += evidence[k]
            cusums[k] += gain
        return total

    def strongest(self) -> int:
        """Tell which component has most evidence."""
        return max(range(SIZE), key=self.evidence.__getitem__)

    def state(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        return {"evidence": list(self.evidence), "cusums": list(self.cusums), "starts": [list(mark) for mark in self.starts]}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Charts:
        """Take up ``state`` again, to the last bit."""
        charts = cls(Mark(*state["starts"][0]))
        charts.evidence, charts.cusums = list(state["evidence"]), list(state["cusums"])
        charts.starts = [Mark(*mark) for mark in state["starts"]]
        return charts


_WEIGHTS = tuple(one.weight for one in COMPONENTS)
