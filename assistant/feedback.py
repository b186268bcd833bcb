"""One judgement, three effects: a corrected answer serves at once, becomes a regression case, and becomes an example.

Stores what a person thought of a reply and tells what came of it. Personal data is taken out before it; what serves reads it
back in ``corrections.py``, what is trained in ``judgements.py``. Does not know who may judge: the doors decide that.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from assistant.corrections import sayable
from assistant.errors import StoreError
from assistant.learning import RegressionCase, conversation_ref
from assistant.records import Feedback
from assistant.redact import SLOT_NAMES
from assistant.same_question import question
from assistant.store import Store

#: The regression cases' tasks: what is asked, and what is answered.
INTENT_TASK, ANSWER_TASK = "intent", "answers"


@dataclass(frozen=True, slots=True)
class Learned:
    """What came of a judgement.

    ``serves`` says whether the correction is used from the next message on, and ``says`` whether that is the answer itself
    and not the intent alone; ``regression`` for which tasks it became a case that later versions must get right, ``trains``
    whether it is an example for the next training; ``notes`` say, for people, why one of them is not so. Empty for a mere
    thumb or comment.
    """

    message_id: str
    question: str = ""
    serves: bool = False
    regression: tuple[str, ...] = ()
    trains: bool = False
    notes: tuple[str, ...] = ()
    says: bool = False


def keep_feedback(
    store: Store, feedback: Feedback, at: datetime, intents: Callable[[], Sequence[str]], new_id: Callable[[], str]
) -> Learned:
    """Store a judgement and let it take effect.

    What an earlier judgement put right stays unless this one says otherwise: a customer's thumb takes no correction back.

    Args:
        store: Where the reply is.
        feedback: The judgement, free of personal data.
        at: When it was made, timezone-aware.
        intents: Gives the intents that may be named; asked only where one is named.
        new_id: Gives ids for regression cases.

    Returns:
        What came of it.

    Raises:
        StoreError: If the reply or the intent is not known, the rating is neither -1 nor 1, or the database fails.
    """
    if feedback.rating not in (-1, 1):
        raise StoreError(f"rating {feedback.rating!r} is neither -1 (down) nor 1 (up)")
    if feedback.intent:
        _check_intent(feedback.intent, intents())
    corrects = bool(feedback.correction or feedback.intent)
    before = store.feedback(feedback.message_id)
    if before is None:
        kept = replace(feedback, at=at)
    else:
        answer, intent = feedback.correction or before.correction, feedback.intent or before.intent
        kept = replace(feedback, correction=answer, intent=intent, at=at if corrects else before.at)
    store.add_feedback(kept)
    detail = store.message_detail(feedback.message_id)
    if not corrects or detail is None or detail["message"] is None:  # nothing corrected, or erased meanwhile
        return Learned(feedback.message_id)
    return _effects(store, feedback, at, detail, new_id)


def _check_intent(intent: str, known: Sequence[str]) -> None:
    if intent in known:
        return
    near = difflib.get_close_matches(intent, known, n=1, cutoff=0.0)
    mend = f"the nearest is {near[0]!r}" if near else "there are none yet: ingest templates, or train an intent adapter"
    raise StoreError(f"intent {intent[:80]!r} is none that the adapter or a template knows; {mend}")


def _effects(store: Store, feedback: Feedback, at: datetime, detail: dict[str, Any], new_id: Callable[[], str]) -> Learned:
    text = str(detail["message"]["text"])
    asked = question(text)
    notes = []
    # Order numbers may be filled in for the next customer; a name is nobody's but this one's.
    answers = sayable(feedback.correction, dict.fromkeys(SLOT_NAMES.values(), "1")) is not None
    if feedback.correction and not answers:
        notes.append(
            "the answer holds personal data that no other conversation can fill in, so it is said to nobody; "
            "what is the company's own belongs into a template or an article"
        )
    if not asked.key:
        notes.append("the question has no words to find it by")
    cases: list[str] = []
    if asked.alone:
        spoken = (detail["message"]["understanding"] or {}).get("language", "und")
        lang = spoken if spoken != "und" else detail["conversation"]["lang"] or "und"
        ref = conversation_ref(detail["conversation"]["id"])
        for task, expected in ((INTENT_TASK, feedback.intent), (ANSWER_TASK, feedback.correction)):
            case = RegressionCase(new_id(), task, text, expected or "", lang, ref, at)
            if expected and store.learning.add_regression_case(case):
                cases.append(task)
    else:
        notes.append("the question leans on what was said before it, so by itself it is no regression case")
    says = bool(asked.key) and answers
    serves = says or (bool(asked.key) and feedback.intent is not None)
    return Learned(feedback.message_id, text, serves, tuple(cases), True, tuple(notes), says)
