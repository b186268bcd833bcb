"""Asks for a person in a conversation that is going wrong: by its course over several messages, not by one rude word.

The rule stands in ``monitor/trajectory.py``; here it meets the turns of a conversation and the verdict on the message. What
could be answered still is. Comes after ``check.py``, before the turn is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from assistant.monitor.trajectory import going_wrong
from assistant.phrases import say
from assistant.records import Sentiment, Turn, Verdict

#: Turns by which the course of a conversation is judged; steady displeasure takes more than the few that a message is read by.
COURSE = 50
REASONS = ("turned_sour", "sour_from_start")


def escalate(verdict: Verdict, turns: Sequence[Turn], felt: Sentiment | None, lang: str, hours: str) -> Verdict:
    """Hand a conversation over whose mood has become bad and stays so.

    Args:
        verdict: On this message.
        turns: Those before it that are looked back at, oldest first.
        felt: The message's sentiment; ``None`` without an adapter.
        lang: Language of the reply.
        hours: When people are there; may be empty.

    Returns:
        The verdict, or a handoff with reason ``turned_sour`` or ``sour_from_start`` whose text begins with what could be
        answered. A person is asked for once: where an earlier turn handed over, the verdict stands.
    """
    if felt is None or verdict.action == "handoff" or any(turn.reply.action == "handoff" for turn in turns):
        return verdict
    moods = [turn.reply.understanding.sentiment for turn in turns]
    going = going_wrong([mood.score if mood else 0.0 for mood in moods] + [felt.score])
    if not going.wrong:
        return verdict
    handover = say("handoff_upset", lang, hours=say("hours", lang, hours=hours) if hours else "")
    text = f"{verdict.text}\n\n{handover}" if verdict.action == "send" else handover
    return replace(
        verdict, action="handoff", reason=going.reason, text=text, checks={**verdict.checks, "mood": round(going.evidence, 4)}
    )
