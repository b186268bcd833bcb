"""Resolved conversations and corrections -> what was said before a person's reply, and that reply.

Knows nothing of labels or models. Bots' lines may stand in the context but are never learned as replies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from finetune.harvested import Conversation, Corrected, Pair, Rules, moment
from finetune.wording import is_small_talk, normalise, overlap, weigh, words

_LEAST_REPLY_WORDS = 3.0
_NEAR_REPLY = 0.9


def pairs_from(conversation: Conversation, rules: Rules, dropped: Counter[str]) -> list[Pair]:
    """Take the pairs out of one resolved conversation.

    Args:
        conversation: A redacted conversation.
        rules: ``context_turns`` and ``pairs_each``.
        dropped: Counts what was left out and why.

    Returns:
        At most ``pairs_each``, in order: of more, the first, for it is the opening question they answer.
    """
    turns = conversation.transcript.turns
    pairs: list[Pair] = []
    taken: list[frozenset[str]] = []
    for place, turn in enumerate(turns):
        context = tuple((t.role, t.text) for t in turns[max(0, place - rules.context_turns) : place] if t.text.strip())
        if turn.role != "agent" or not any(role == "customer" for role, _ in context):
            continue
        if is_small_talk(turn.text, agent=True):
            dropped["reply_greeting"] += 1
            continue
        if weigh(turn.text) < _LEAST_REPLY_WORDS:
            dropped["reply_too_short"] += 1
            continue
        bag = words(turn.text)
        if any(overlap(bag, other) >= _NEAR_REPLY for other in taken):
            dropped["reply_duplicate"] += 1
            continue
        if len(pairs) == rules.pairs_each:
            dropped["reply_beyond_limit"] += 1
            continue
        taken.append(bag)
        at = turn.at or conversation.transcript.started_at
        pairs.append(Pair(context, turn.text.strip(), conversation.ref, at, conversation.transcript.lang or "und"))
    return pairs


def pairs_from_corrections(corrections: Sequence[Corrected], redact: Callable[[str], str]) -> list[Pair]:
    """Make one pair of each correction that says something: the question, and the answer that was wished for."""
    pairs = []
    for one in corrections:
        question, answer = redact(one.question).strip(), redact(one.answer).strip()
        if question and weigh(answer) >= _LEAST_REPLY_WORDS and not is_small_talk(answer, agent=True):
            pairs.append(Pair((("customer", question),), answer, one.ref, one.at, one.lang))
    return pairs


def distinct(pairs: Iterable[Pair], rules: Rules, dropped: Counter[str]) -> tuple[Pair, ...]:
    """Leave out repeated pairs, and replies that would drown the others.

    Args:
        pairs: Any order, most trusted sources first where it matters which of two equal ones stays.
        rules: ``same_reply`` is how often replies with the same words may stand behind different questions.
        dropped: Counts what was left out.

    Returns:
        The pairs, oldest first.
    """
    asked: set[str] = set()
    replies: Counter[frozenset[str]] = Counter()
    kept = []
    for pair in pairs:
        question = next((text for role, text in reversed(pair.context) if role == "customer"), "")
        key, bag = f"{normalise(question)}\n{normalise(pair.reply)}", words(pair.reply)
        if key in asked or replies[bag] >= rules.same_reply:
            dropped["reply_duplicate"] += 1
            continue
        asked.add(key)
        replies[bag] += 1
        kept.append(pair)
    return tuple(sorted(kept, key=lambda pair: (moment(pair.at), pair.ref, pair.text)))
