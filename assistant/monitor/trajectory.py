"""How the mood of one conversation ran: where it began, its low, where it ended, and whether it is going wrong now.

Plain numbers in, a record out: the customer's messages' scores, P(positive) - P(negative), oldest first. Knows no text and no
conversation. Before: the sentiment adapter. After: the handoff, which may ask for a person, and the report.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Course = Literal["came_angry_left_content", "came_content_left_angry", "angry_throughout", "mixed", "calm"]
Reason = Literal["", "turned_sour", "sour_from_start"]

#: A smoothed score at or below this is angry: on balance the message is negative, and not by a hair.
ANGRY = -0.25
#: One at or above this leaves content. Hardly anyone arrives with praise, so that arriving content means arriving not angry.
CONTENT = 0.1

#: Evidence of a single message, in log-odds of negative to positive, is cut to this: no word is worth more than one message.
MOST_PER_MESSAGE = 2.0
#: What each message pays back. Neutral messages let old trouble be forgotten, and mild displeasure alone never adds up.
PAID_BACK = 0.5
#: Where the sum calls for a person: log(1 / 0.03), Wald's limit for at most about 3 false calls in 100 if messages were
#: independent. More than twice what one message can add (1.5), so that it takes at least three of them.
LIMIT = 3.5


@dataclass(frozen=True, slots=True)
class Trajectory:
    """How a conversation's mood ran.

    Attributes:
        course: The label.
        began: Smoothed score of the first message, in [-1, 1].
        low: The lowest smoothed score.
        ended: Smoothed score of the last message.
        messages: How many messages it was read from; 0 gives a calm course of zeros.
    """

    course: Course
    began: float
    low: float
    ended: float
    messages: int


@dataclass(frozen=True, slots=True)
class Going:
    """Whether a running conversation should have a person.

    Attributes:
        wrong: Whether to ask for one.
        reason: ``turned_sour`` if it began well enough, ``sour_from_start`` if not, empty if it goes well.
        evidence: The sum that is held against ``LIMIT``, at the last message.
        since: Place of the message with which the trouble began; None without any evidence.
    """

    wrong: bool
    reason: Reason
    evidence: float
    since: int | None


def trajectory(scores: Sequence[float]) -> Trajectory:
    """Say how a conversation's mood ran.

    Args:
        scores: One for each of the customer's messages, oldest first, in [-1, 1]; what is not finite counts as neutral.

    Returns:
        The trajectory.
    """
    smooth = smoothed(scores)
    if not smooth:
        return Trajectory("calm", 0.0, 0.0, 0.0, 0)
    began, low, ended = smooth[0], min(smooth), smooth[-1]
    course: Course = "mixed"
    if low > ANGRY:
        course = "calm"
    elif began <= ANGRY and ended >= CONTENT:
        course = "came_angry_left_content"
    elif began > ANGRY and ended <= ANGRY:
        course = "came_content_left_angry"
    elif began <= ANGRY and ended <= ANGRY and max(smooth) < CONTENT:
        course = "angry_throughout"
    return Trajectory(course, began, low, ended, len(smooth))


def smoothed(scores: Sequence[float]) -> tuple[float, ...]:
    """Weigh each score 2 to 1 with each of its neighbours, so that one message alone does not make a low.

    Args:
        scores: Oldest first, in [-1, 1].

    Returns:
        As many scores, in [-1, 1].
    """
    clean = [_plain(score) for score in scores]
    result = []
    for at, score in enumerate(clean):
        beside = clean[max(0, at - 1) : at] + clean[at + 1 : at + 2]
        result.append((2 * score + sum(beside)) / (2 + len(beside)))
    return tuple(result)


def going_wrong(scores: Sequence[float]) -> Going:
    """Say whether a conversation that is still running needs a person, by its course and not by one rude word.

    A one-sided CUSUM (Page, Biometrika 41, 1954) over the log-odds of negative: each message adds its evidence less
    ``PAID_BACK``, the sum never falls below zero, and ``LIMIT`` is one that no two messages reach. Three plainly negative
    messages in a row do; so do more of them with neutral ones between; thanks wipe the slate nearly clean.

    Args:
        scores: Of the customer's messages so far, oldest first, in [-1, 1]; what is not finite counts as neutral.

    Returns:
        The verdict after the last message. Once wrong it stays so until enough good messages follow: ask once.
    """
    total, since = 0.0, None
    for at, score in enumerate(scores):
        # log(P(negative) / P(positive)) where the rest of the mass is shared evenly by the two.
        odds = -2 * math.atanh(max(-0.999, min(0.999, _plain(score))))
        total = max(0.0, total + max(-MOST_PER_MESSAGE, min(MOST_PER_MESSAGE, odds)) - PAID_BACK)
        # What lies above the limit is not kept: else a long quarrel could not be made good again.
        total = min(total, LIMIT + MOST_PER_MESSAGE)
        since = None if total == 0 else at if since is None else since
    if total < LIMIT:
        return Going(False, "", total, since)
    return Going(True, "turned_sour" if since else "sour_from_start", total, since)


def _plain(score: float) -> float:
    return max(-1.0, min(1.0, float(score))) if math.isfinite(score) else 0.0
