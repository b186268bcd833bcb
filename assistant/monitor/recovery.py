"""The alert that is open on a stream, and the reversed CUSUM that waits for its end.

It compares "still high" with "back to normal" (Page 1954, with the two turned round): time without negative messages, or calm
messages where it was the share that rose, speak for the end, negative messages against it. Where a topic is so rare that this
takes months, a set time without a negative message ends it too. Nothing is learned meanwhile.
Knows no stream and no time of day. Before it: a signal. After it: ``stream.py`` closes the alert.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from assistant.monitor.charts import Mark
from assistant.monitor.events import SignalKind

# Log-likelihood ratio at which "back to normal" is believed: 100 to 1. It is asked all the while, so one in ten surges of two
# weeks is told to be over too early; what more would cost, DECISIONS.md says.
BELIEVED = math.log(100.0)


@dataclass(slots=True)
class OpenAlert:
    """What is known of an open alert.

    Attributes:
        start: Where the change began.
        kind: Of the signal that opened it.
        false_alarms: As told when it opened, per 28 days.
        level: Normal rate of negative messages, per day of season time.
        share: Normal share of negative messages.
        pace: What the log-likelihood ratio for "normal" rises in a day of season time.
        rest: What it rises at each calm message.
        gain: What it falls at each negative message.
        heard: Season time of the last negative message, in days.
        quiet_days: After so many days of season time without a negative message it ends, whatever the CUSUM says.
        until: Seconds since 1970 when a new topic counts as known; infinite for all other kinds, which wait for the CUSUM.
        fallen: The CUSUM, not below 0.
    """

    start: Mark
    kind: SignalKind
    false_alarms: float
    level: float
    share: float
    pace: float
    rest: float
    gain: float
    heard: float
    quiet_days: float
    until: float
    fallen: float = 0.0

    @property
    def frozen(self) -> bool:
        """Whether the stream must not learn: only a new topic goes on, for it has no normal level yet."""
        return self.kind != "new"

    @property
    def by_share(self) -> bool:
        """Whether the share must come back, and not the number: calm customers who stay away are no recovery."""
        return self.kind == "share"

    def days_left(self) -> float:
        """Tell after how many days of season time without a negative message it ends; infinite if time cannot end it."""
        return math.inf if self.pace == 0.0 else max(0.0, BELIEVED - self.fallen) / self.pace

    def expected(self, gap: float, counted: int) -> float:
        """Tell how many negative messages would have been normal; for a risen share, among those that came if they are fewer.

        Args:
            gap: Days of season time.
            counted: Messages in that time, without repeated negative ones.
        """
        return min(self.share * counted, self.level * gap) if self.by_share else self.level * gap

    def state(self) -> dict[str, Any]:
        """Give everything as JSON values."""
        plain = {field.name: getattr(self, field.name) for field in fields(self)}
        return plain | {"start": list(self.start), "until": None if math.isinf(self.until) else self.until}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> OpenAlert:
        """Take up ``state`` again, to the last bit."""
        until = math.inf if state["until"] is None else state["until"]
        return cls(**(state | {"start": Mark(*state["start"]), "until": until}))


def opened(
    start: Mark,
    kind: SignalKind,
    false_alarms: float,
    level: float,
    share: float,
    ratio: float,
    scale: float,
    heard: float,
    quiet_days: float,
    until: float,
) -> OpenAlert:
    """Open an alert, and choose what "still high" shall mean: less than was seen, so that a partial recovery is none.

    Args:
        start: Where the change began.
        kind: Of the signal.
        false_alarms: Per 28 days.
        level: Normal rate, per day of season time.
        share: Normal share.
        ratio: Estimated size of the change in number.
        scale: 1 / dispersion.
        heard: Season time now, in days.
        quiet_days: After so many days without a negative message it ends.
        until: When a new topic counts as known; infinite for other kinds.

    Returns:
        The open alert.
    """
    # Half of what was seen: a rare topic that rose tenfold would otherwise be held against twice its rate for many months.
    against = max(2.0 if ratio >= 2.5 else 1.5, ratio / 2.0)
    if kind == "share":
        against = min(against, max(1.5, 0.9 / share)) if share > 0.0 else against
    pace, rest, gain = (against - 1.0) * level * scale, 0.0, math.log(against) * scale
    if kind == "share":
        pace, rest = 0.0, math.log1p((against - 1.0) * share) * scale
        gain -= rest
    return OpenAlert(start, kind, false_alarms, level, share, pace, rest, gain, heard, quiet_days, until)
