"""A night's conversations, corrections and decisions -> examples to learn from, pairs, and a queue for people.

Pure functions over plain values: knows no store and no encoder; champion, evidence, vectors and redaction are passed in. Read
by the nightly retraining, which splits the examples by time (``time_split.py``) and trains on them.

Only what people did makes a label: corrections and decisions first, then agents' labels and templates, and last the agreement
of a confident champion with the evidence on a question that a person went on to resolve. All else waits in the queue.
"""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from assistant.records import Language
from finetune.contradictions import Sifted, Vectors, doubt, settle, settle_near
from finetune.dialog_pairs import distinct, pairs_from, pairs_from_corrections
from finetune.examples import Labelled, digest
from finetune.harvested import (
    LEVELS,
    Conversation,
    Corrected,
    Decided,
    Example,
    Harvest,
    Pair,
    Queued,
    QueueReason,
    Rules,
    SetAside,
    moment,
)
from finetune.openings import Opening, cleaned, from_conversations, from_people, is_resolved, known_as
from finetune.opinions import Evidence, Opinion, Predict, ask
from finetune.wording import compile_templates, normalise

__all__ = [
    "Conversation",
    "Corrected",
    "Decided",
    "Example",
    "Harvest",
    "Pair",
    "Queued",
    "Rules",
    "SetAside",
    "harvest",
    "is_resolved",
]

_RULES = Rules()


def harvest(
    conversations: Iterable[Conversation],
    corrections: Sequence[Corrected] = (),
    labelled: Sequence[Decided] = (),
    *,
    predict: Predict | None,
    evidence: Evidence | None,
    templates: Mapping[str, str],
    known: Collection[str],
    redact: Callable[[str], str],
    rules: Rules = _RULES,
    vectors: Vectors | None = None,
    detect: Callable[[str], Language] | None = None,
    ask_about: Callable[[Queued], bool] = lambda row: True,
) -> Harvest:
    """Turn what people wrote into examples; the same input in any order gives the same harvest.

    Args:
        conversations: Past conversations; only resolved ones with a person's reply are learned from.
        corrections: Explicit corrections; they count whatever became of their conversation.
        labelled: Decisions of people in the review queue.
        predict: The champion; ``None`` before there is one.
        evidence: What the best retrieved passage speaks of; ``None`` where nothing can be retrieved.
        templates: Text of the company's templates -> intent.
        known: The champion's labels; an agent's tag that differs only in case, spaces and hyphens is one of them.
        redact: Applied to every text once more; must leave redacted text as it is.
        rules: Thresholds and limits.
        vectors: Texts to unit vectors ``(n, d)``, to find contradictions between nearly equal texts.
        detect: Names the language of a text where nothing else does.
        ask_about: Whether a text may stand in the queue; asked before the queue is cut to its length.

    Returns:
        The harvest; examples and pairs oldest first, the queue most uncertain first.

    Raises:
        TrainingError: If ``predict``, ``evidence`` or ``vectors`` give another number of rows than they were asked for.
    """
    canon = known_as(known)
    macros = compile_templates(templates)
    dropped: Counter[str] = Counter()
    read = [cleaned(one, redact, detect) for one in sorted(conversations, key=_conversation_order)]
    resolved = [one for one in read if is_resolved(one.transcript)]
    explicit, unlabelled = from_people(corrections, labelled, canon, macros, redact, dropped)
    actions, openings = from_conversations(read, canon, macros, dropped)
    openings += unlabelled

    opinions = ask(sorted({*(one.text for one in actions), *(one.example.text for one in openings)}), predict, evidence)
    checks = [opinions.get(one.text) if one.label in known else None for one in actions]
    believed = doubt(actions, checks, rules.suspicion, rules.least)
    settled = settle([*explicit, *believed.kept, *_agreed(openings, believed.set_aside, opinions, rules)])
    distant = settle_near(settled.kept, vectors, rules.near) if vectors is not None else Sifted(settled.kept, [])
    enough = _with_enough(distant.kept, known, rules.least)
    set_aside = [*believed.set_aside, *settled.set_aside, *distant.set_aside, *enough.set_aside]
    done = _done(enough.kept, explicit, set_aside)
    queue = [row for row in _queue(openings, set_aside, opinions, done) if ask_about(row)]
    examples = _without_flood(enough.kept, rules)
    if detect is not None:
        examples = [replace(one, lang=detect(one.text)) if one.lang == "und" else one for one in examples]

    wished = sorted(pairs_from_corrections(corrections, redact), key=lambda pair: (moment(pair.at), pair.ref, pair.text))
    pairs = distinct([*wished, *(pair for one in resolved for pair in pairs_from(one, rules, dropped))], rules, dropped)
    dropped["duplicate"] += settled.duplicates
    dropped["flood"] += len(enough.kept) - len(examples)
    dropped["queue_beyond_limit"] += max(0, len(queue) - rules.most_queued)
    queue = queue[: rules.most_queued]
    counts = Counter(
        {
            "read.conversations": len(read),
            "read.resolved": len(resolved),
            "read.corrections": len(corrections),
            "read.decisions": len(labelled),
            "checked": sum(check is not None for check in checks),
            "contradicted": sum(c is not None and c.label != one.label for one, c in zip(actions, checks, strict=True)),
            "examples": len(examples),
            "pairs": len(pairs),
            **{f"dropped.{reason}": count for reason, count in dropped.items() if count},
        }
    )
    counts.update(f"trust.{one.trust}" for one in examples)
    counts.update(f"set_aside.{one.reason}" for one in set_aside)
    counts.update(f"queued.{row.reason}" for row in queue)
    return Harvest(
        examples=tuple(sorted(examples, key=lambda one: (moment(one.at), one.ref, one.text, one.label))),
        pairs=pairs,
        queue=tuple(queue),
        set_aside=tuple(sorted(set_aside, key=lambda one: (one.reason, normalise(one.example.text), repr(one)))),
        counts=dict(sorted(counts.items())),
        sha256=digest([Labelled(one.text, one.label) for one in examples]),
    )


def _agreed(
    openings: Sequence[Opening], doubted: Sequence[SetAside], opinions: Mapping[str, Opinion], rules: Rules
) -> list[Example]:
    """Label the questions people resolved where a confident champion and the evidence agree, and no agent said otherwise."""
    disputed = {normalise(one.example.text) for one in doubted}
    agreed = []
    for one in openings:
        opinion = opinions.get(one.example.text)
        if opinion is None or not one.counts or normalise(one.example.text) in disputed:
            continue
        if opinion.confidence >= rules.min_confidence and opinion.evidence == opinion.label:
            agreed.append(replace(one.example, label=opinion.label, trust="agreement"))
    return agreed


def _with_enough(examples: Sequence[Example], known: Collection[str], least: int) -> Sifted:
    """Keep a label that is new to the champion only where there is enough of it to be learned."""
    new = Counter(one.label for one in examples if one.label not in known)
    waiting = [one for one in examples if 0 < new[one.label] < least]
    because = "the label is new and has {} of {} examples"
    return Sifted(
        [one for one in examples if not 0 < new[one.label] < least],
        [SetAside(one, "new_label", because.format(new[one.label], least)) for one in waiting],
    )


def _without_flood(examples: Sequence[Example], rules: Rules) -> list[Example]:
    """Cap what one label gives: the most trusted stay, among equals a seeded sample.

    Nobody's word is exempt: whoever can file one correction can file a thousand. The share binds only where there are more
    labels than it has room for (with 0.3 at least four), and ``least`` examples are always allowed.
    """
    sizes = Counter(one.label for one in examples)
    if len(sizes) < 2:
        return list(examples)
    limit = int(rules.flood_times * statistics.median_low(sizes.values()))
    if len(sizes) * rules.flood_share > 1:
        # The cap counts towards the total it is a share of, hence the search: the largest cap that keeps its own promise.
        fits = (c for c in range(max(sizes.values()), 0, -1) if c <= rules.flood_share * sum(min(n, c) for n in sizes.values()))
        limit = min(limit, next(fits, 0))
    limit = max(limit, rules.least)
    groups: dict[str, list[Example]] = defaultdict(list)
    for one in examples:
        groups[one.label].append(one)
    return [one for group in groups.values() for one in sorted(group, key=lambda one: _draw(one, rules.seed))[:limit]]


def _draw(one: Example, seed: int) -> tuple[int, str]:
    # A hash draws the same sample whatever order the examples come in.
    return LEVELS[one.trust], hashlib.sha256(f"{seed}\n{normalise(one.text)}".encode("utf-8", "surrogatepass")).hexdigest()


def _done(examples: Sequence[Example], explicit: Sequence[Example], set_aside: Sequence[SetAside]) -> set[str]:
    """Return the texts nobody needs to be asked about: learned, or decided, or waiting with a person's word for company.

    Corrections that contradict each other are asked about, since a decision settles them; decisions that do are only listed.
    """
    waiting = [one.example for one in set_aside if one.reason == "new_label" and LEVELS[one.example.trust] == 0]
    outranked = [one.example for one in set_aside if one.reason == "outranked"]
    decided = [one for one in explicit if one.trust == "person"]
    return {normalise(one.text) for one in (*examples, *decided, *waiting, *outranked)}


def _queue(
    openings: Sequence[Opening], set_aside: Sequence[SetAside], opinions: Mapping[str, Opinion], done: Collection[str]
) -> list[Queued]:
    """List the texts a person should label, each once, most uncertain first.

    Where a person gave a label that is not believed, uncertainty is 1. Elsewhere it is one minus the champion's lead of its
    best label over the second (margin sampling; Scheffer, Decomain and Wrobel 2001), and 1 without a champion.
    """
    given: dict[str, set[str]] = defaultdict(set)
    rows: dict[str, tuple[Example, QueueReason]] = {}
    newest_first = sorted(set_aside, key=lambda one: (-moment(one.example.at), one.example.ref, one.example.text, one.reason))
    for one in newest_first:
        if one.reason != "outranked" and (key := normalise(one.example.text)) not in done:
            given[key].add(one.example.label)
            rows.setdefault(key, (one.example, one.reason))
    for example in sorted((one.example for one in openings), key=lambda one: (-moment(one.at), one.ref, one.text)):
        if (key := normalise(example.text)) not in done:
            rows.setdefault(key, (example, "unsure"))
    queue = []
    for key, (example, reason) in rows.items():
        opinion = opinions.get(example.text)
        uncertainty = 1.0 if given[key] or opinion is None else 1.0 - opinion.margin
        proposed = opinion.label if opinion is not None else None
        confidence = opinion.confidence if opinion is not None else 0.0
        if reason == "new_label":
            proposed, confidence = example.label, 0.0  # the champion has no such label to propose
        labels = tuple(sorted(given[key]))
        queue.append(
            Queued(example.text, proposed, confidence, uncertainty, example.ref, example.lang, example.at, reason, labels)
        )
    return sorted(queue, key=lambda row: (-row.uncertainty, -moment(row.at), row.ref, row.text))


def _conversation_order(one: Conversation) -> tuple[float, str, str]:
    return moment(one.transcript.started_at), one.ref, repr(one.transcript)
