"""What a backtest of the monitor found: frozen records with their figures, nothing else.

Before: ``backtest.py`` fills them. After: ``backtest_page.py`` shows them.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from assistant.monitor.comparison import Interval, wilson
from assistant.monitor.limits import Limits


@dataclass(frozen=True, slots=True)
class Surge:
    """One surge that was put in, and what became of it.

    Attributes:
        topic: Of the stream.
        locale: Of the stream.
        begin: Its first moment.
        end: Its last.
        usual: Unhappy conversations that the stream usually has in these hours.
        extra: How many were added.
        found_at: When the monitor named the stream; ``None`` if it did not until a day after the end.
        delay_minutes: From the beginning to then.
        delay_messages: The stream's unhappy conversations from the beginning to then, the one that raised the alert included.
    """

    topic: str
    locale: str
    begin: datetime
    end: datetime
    usual: float
    extra: int
    found_at: datetime | None = None
    delay_minutes: float | None = None
    delay_messages: int | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """Unhappy conversations of one stream in one step of time: those of the history, and those that were added."""

    start: datetime
    usual: int
    extra: int


@dataclass(frozen=True, slots=True)
class Example:
    """One surge with the days around it; every bar is ``step_hours`` long."""

    surge: Surge
    bars: tuple[Bar, ...]
    step_hours: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """What a backtest found.

    Attributes:
        since: Time of the history's first message.
        until: Of its last.
        messages: How many there are.
        negative: Unhappy conversations among them: negative messages, those of one conversation in one topic counted once.
        times: How many times as many unhappy conversations as usual a surge has.
        hours: How long each is.
        asked: How many surges were wanted.
        seed: Of where and when.
        limits: The detector's settings.
        surges: In the order in which they were drawn; fewer than ``asked`` where there was no room.
        streams: How many streams were drawn from.
        left_out: How many have too few unhappy conversations, or are too young.
        left_out_negative: Unhappy conversations in those.
        alerts: Streams that the history as it was raised an alert for, one of several that had a common cause counted singly.
        false_alarms: Alerts in the shuffled histories.
        false_weeks: Length of those, without the time in which the monitor learns, in weeks.
        example: One surge to look at; ``None`` without surges.
    """

    since: datetime
    until: datetime
    messages: int
    negative: int
    times: float
    hours: float
    asked: int
    seed: int
    limits: Limits
    surges: tuple[Surge, ...]
    streams: int
    left_out: int
    left_out_negative: int
    alerts: int
    false_alarms: int
    false_weeks: float
    example: Example | None

    @property
    def found(self) -> int:
        """How many surges were found."""
        return sum(one.found_at is not None for one in self.surges)

    @property
    def share(self) -> Interval:
        """The 95 % Wilson interval of the share of surges found."""
        return wilson(self.found, len(self.surges))

    @property
    def median_minutes(self) -> float | None:
        """Median delay of the surges found, in minutes; None without any."""
        return _median(one.delay_minutes for one in self.surges)

    @property
    def median_messages(self) -> float | None:
        """The same in unhappy conversations."""
        return _median(one.delay_messages for one in self.surges)

    @property
    def mean_extra(self) -> float:
        """How many unhappy conversations a surge added on average."""
        return sum(one.extra for one in self.surges) / len(self.surges) if self.surges else 0.0

    @property
    def false_a_week(self) -> float:
        """False alarms a week over all streams."""
        return self.false_alarms / self.false_weeks

    @property
    def false_interval(self) -> Interval:
        """Its exact 95 % Poisson interval (Garwood, Biometrika 28, 1936)."""
        from scipy.special import gammaincinv

        count = self.false_alarms
        low = float(gammaincinv(count, 0.025)) if count else 0.0
        return Interval(low / self.false_weeks, float(gammaincinv(count + 1, 0.975)) / self.false_weeks)

    @property
    def allowed_a_week(self) -> float:
        """False alarms a week that the settings allow."""
        return 7.0 / self.limits.days_between


def _median(values: Iterable[float | None]) -> float | None:
    known = [one for one in values if one is not None]
    return statistics.median(known) if known else None
