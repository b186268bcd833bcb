"""Two counts -> how much they differ, with an interval, and whether chance alone may have done it.

Numbers in, numbers out; knows no event and no period. A shop with thirty messages a week must not read noise as news, so
every share here has its interval and every change its p-value. Before: ``trend`` counts. After: ``report_tables`` sorts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_Z95 = 1.959963984540054
_HALVINGS = 60


@dataclass(frozen=True, slots=True)
class Interval:
    """A 95 % interval; ``high`` may be infinite."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Change:
    """How one count stands to the one before.

    Attributes:
        ratio: Now as a multiple of before; infinite where there was none before, 1 where there is none in either.
        interval: Of the ratio, 95 %.
        p_value: Chance of a difference as large as this one, either way, if nothing had changed; 1 where nothing can be said.
    """

    ratio: float
    interval: Interval
    p_value: float


def wilson(count: int, total: int) -> Interval:
    """Return the score interval of a share (Wilson, Journal of the American Statistical Association 22, 1927).

    Args:
        count: How many of them, from 0 to ``total``.
        total: How many there are; 0 says nothing, so that the interval is all of [0, 1].

    Returns:
        The 95 % interval in [0, 1].

    Raises:
        UsageError: If ``count`` is not from 0 to ``total``.
    """
    _check("share", count, total)
    if not total:
        return Interval(0.0, 1.0)
    share, z2 = count / total, _Z95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z95 * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2)) / (1 + z2 / total)
    return Interval(0.0 if not count else max(0.0, middle - half), 1.0 if count == total else min(1.0, middle + half))


def compare_numbers(now: int, before: int, time_now: float = 1.0, time_before: float = 1.0) -> Change:
    """Compare how often something happened in two stretches of time.

    Given their sum, the first of two Poisson counts is binomial (Przyborowski & Wilenski, Biometrika 31, 1940). Half of the
    observed case's chance counts on either side (mid-P, Lancaster, JASA 56, 1961), else small counts would never be news.

    Args:
        now: Number in the later stretch.
        before: Number in the earlier one.
        time_now: Length of the later stretch, any unit.
        time_before: Length of the earlier one, same unit.

    Returns:
        Ratio of the two rates with its 95 % mid-P interval, and the two-sided mid-P value.

    Raises:
        UsageError: If a count is negative or a time is not positive.
    """
    if min(now, before) < 0 or not (time_now > 0 and time_before > 0):
        raise UsageError(f"cannot compare {now} in {time_now} with {before} in {time_before}: give counts >= 0 and times > 0")
    total = now + before
    if not total:
        return Change(1.0, Interval(0.0, math.inf), 1.0)
    scale = time_before / time_now
    part = time_now / (time_now + time_before)
    p_value = min(1.0, 2 * min(_mid_p_above(now, total, part), 1 - _mid_p_above(now, total, part)))
    tail = 0.025
    low = 0.0 if not now else _root(lambda share: _mid_p_above(now, total, share) - tail, 0.0, 1.0)
    high = 1.0 if not before else _root(lambda share: _mid_p_above(now, total, share) - (1 - tail), 0.0, 1.0)
    ratio = now / before * scale if before else math.inf
    return Change(ratio, Interval(_odds(low) * scale, _odds(high) * scale), p_value)


def compare_shares(count: int, total: int, count_before: int, total_before: int) -> Change:
    """Compare two shares.

    The p-value is Fisher's exact test with mid-P; the interval of the ratio is the score interval of Koopman (Biometrics 40,
    1984), which both Fagerland, Lydersen & Laake (Statistical Methods in Medical Research 24, 2015) recommend.

    Args:
        count: How many of the later ones, from 0 to ``total``.
        total: How many later ones there are.
        count_before: How many of the earlier ones.
        total_before: How many earlier ones there are.

    Returns:
        Ratio of the shares, its 95 % interval and the two-sided p-value; 1, everything and 1 where one side is empty.

    Raises:
        UsageError: If a count is not from 0 to its total.
    """
    _check("later share", count, total)
    _check("earlier share", count_before, total_before)
    if not (total and total_before) or not count + count_before:
        return Change(1.0, Interval(0.0, math.inf), 1.0)
    above = _fisher_above(count, total, count_before, total_before)
    ratio = (count / total) / (count_before / total_before) if count_before else math.inf

    def score(log_ratio: float) -> float:
        return _score(math.exp(log_ratio), count, total, count_before, total_before)

    ends = (-30.0, 30.0)
    low = 0.0 if not count else math.exp(_root(lambda at: score(at) - _Z95, *ends))
    high = math.inf if not count_before else math.exp(_root(lambda at: score(at) + _Z95, *ends))
    return Change(ratio, Interval(low, high), min(1.0, 2 * min(above, 1 - above)))


def clear_of_noise(p_values: Sequence[float], false_share: float = 0.05) -> tuple[bool, ...]:
    """Say which of many changes are news (Benjamini & Hochberg, Journal of the Royal Statistical Society B 57, 1995).

    Two hundred topics looked at together give ten "significant" ones by chance; here at most ``false_share`` of those that
    are called clear are expected to be chance.

    Args:
        p_values: Of all changes looked at.
        false_share: Expected share of false ones among those named, in (0, 1).

    Returns:
        One verdict for each, in order.
    """
    ranked = sorted(p_values)
    limit = -1.0
    for rank, value in enumerate(ranked, start=1):
        if value <= false_share * rank / len(ranked):
            limit = value
    return tuple(value <= limit for value in p_values)


def _check(what: str, count: int, total: int) -> None:
    if not 0 <= count <= total:
        raise UsageError(f"{what}: {count} of {total} is no share; give a count from 0 to the total")


def _odds(share: float) -> float:
    return math.inf if share >= 1 else share / (1 - share)


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Find where a monotone function crosses zero; the end it tends to where it does not."""
    rising = function(low) < function(high)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if (function(middle) < 0) == rising:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _mid_p_above(count: int, total: int, share: float) -> float:
    """Return P(X > count) + P(X = count) / 2 for a binomial X."""
    from scipy.special import bdtr

    at_most, below = float(bdtr(count, total, share)), float(bdtr(count - 1, total, share)) if count else 0.0
    return 1.0 - (at_most + below) / 2


def _fisher_above(count: int, total: int, count_before: int, total_before: int) -> float:
    """Return the mid-P chance of a later count as large as this one, all margins given (hypergeometric)."""
    import numpy as np
    from scipy.special import gammaln

    both = count + count_before
    values: NDArray[np.float64] = np.arange(max(0, both - total_before), min(both, total) + 1, dtype=np.float64)
    logs = -(gammaln(values + 1) + gammaln(total - values + 1))
    logs -= gammaln(both - values + 1) + gammaln(total_before - both + values + 1)
    chances = np.exp(logs - logs.max())
    chances /= chances.sum()
    return float(chances[values > count].sum() + chances[values == count].sum() / 2)


def _score(ratio: float, count: int, total: int, count_before: int, total_before: int) -> float:
    """Return the score statistic of a ratio of shares, at the likeliest shares that have this ratio; falls with the ratio."""
    everything = total + total_before
    middle = ratio * (total + count_before) + count + total_before
    root = math.sqrt(max(0.0, middle**2 - 4 * ratio * everything * (count + count_before)))
    # The smaller root, in the form that loses no digits where the ratio is small or large.
    later = 2 * ratio * (count + count_before) / (middle + root)
    earlier = later / ratio
    spread = later * max(0.0, 1 - later) / total + ratio**2 * earlier * max(0.0, 1 - earlier) / total_before
    gap = count / total - ratio * count_before / total_before
    if spread <= 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(spread)
