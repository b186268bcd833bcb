"""What people did becomes examples; what nobody vouches for, or somebody disputes, does not."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assistant.errors import TrainingError
from assistant.records import Transcript, TranscriptTurn
from finetune.harvest import Conversation, Decided, Harvest, Rules, harvest, is_resolved
from finetune.opinions import Predict

START = datetime(2026, 5, 1, tzinfo=UTC)
LABELS = ("cancel", "invoice", "late", "login", "refund", "warranty")
TEMPLATES = {"You can return anything within 30 days, order {order_number} too.": "refund"}


@dataclass(frozen=True)
class Correction:
    """As the store gives it."""

    question: str
    answer: str = ""
    intent: str | None = None
    ref: str = "message:1"
    lang: str = "en"
    at: datetime | None = START


def talk(
    number: int, question: str, intent: str | None = None, *, reply: str = "Your parcel is on its way now.", **more: Any
) -> Conversation:
    at = START + timedelta(hours=number)
    turns: Sequence[tuple[Any, str]] = more.pop("turns", None) or (("customer", question), (more.pop("by", "agent"), reply))
    return Conversation(
        f"transcript:log/{number}",
        Transcript(
            str(number),
            tuple(TranscriptTurn(role, text, at) for role, text in turns),
            f"log:{number}",
            lang="en",
            intent=intent,
            started_at=at,
            **{"resolved": True, **more},
        ),
    )


def says(label: str, confidence: float = 0.97) -> Predict:
    """A champion that is always of one opinion."""
    return knows({}, label, confidence)


def knows(truth: dict[str, str], otherwise: str = "late", confidence: float = 0.97) -> Predict:
    """A champion that knows the truth about some texts."""

    def predict(texts: Sequence[str]) -> tuple[np.ndarray[Any, np.dtype[np.float32]], Sequence[str]]:
        chances = np.full((len(texts), len(LABELS)), (1 - confidence) / (len(LABELS) - 1), dtype=np.float32)
        for row, text in enumerate(texts):
            chances[row, LABELS.index(truth.get(text, otherwise))] = confidence
        return chances, LABELS

    return predict


def finds(intent: str | None) -> Callable[[Sequence[str]], list[str | None]]:
    return lambda texts: [intent for _ in texts]


def gather(conversations: Sequence[Conversation] = (), corrections: Sequence[Correction] = (), **more: Any) -> Harvest:
    given = {"predict": says("late", 0.5), "evidence": finds(None), "templates": TEMPLATES, "known": LABELS}
    return harvest(conversations, corrections, more.pop("labelled", ()), **{**given, "redact": str, **more})


def learned(result: Harvest) -> list[tuple[str, str, str]]:
    return [(one.text, one.label, one.trust) for one in result.examples]


# Where a label comes from


def test_an_agents_tag_makes_an_example() -> None:
    result = gather([talk(1, "my parcel never came", "late")])
    assert learned(result) == [("my parcel never came", "late", "action")]
    assert result.examples[0].ref == "transcript:log/1" and result.counts["trust.action"] == 1


def test_a_tag_in_another_spelling_is_the_known_label() -> None:
    result = gather([talk(1, "my parcel never came", "order-Late")], known=("order_late",))
    assert result.examples[0].label == "order_late"


def test_a_template_an_agent_sent_makes_an_example() -> None:
    reply = "Hi Anna! You can return anything within 30 days, order [ORDER_2] too."
    assert learned(gather([talk(1, "it does not fit me", reply=reply)])) == [("it does not fit me", "refund", "action")]


def test_tag_and_template_of_different_things_contradict_each_other() -> None:
    reply = "You can return anything within 30 days, order [ORDER_2] too."
    result = gather([talk(1, "it does not fit me", "warranty", reply=reply)])
    assert not result.examples
    assert sorted(one.example.label for one in result.set_aside) == ["refund", "warranty"]


@pytest.mark.parametrize(
    ("confidence", "found", "made"), [(0.95, "late", 1), (0.85, "late", 0), (0.95, None, 0), (0.95, "login", 0)]
)
def test_only_a_confident_champion_with_agreeing_evidence_makes_a_label(confidence: float, found: str | None, made: int) -> None:
    result = gather([talk(1, "my parcel never came")], predict=says("late", confidence), evidence=finds(found))
    assert result.counts.get("trust.agreement", 0) == made
    assert len(result.queue) == 1 - made


@pytest.mark.parametrize("more", [{"resolved": False}, {"resolved": None}, {"resolved": None, "rating": 3}, {"by": "bot"}])
def test_unresolved_and_bots_conversations_make_no_examples(more: dict[str, Any]) -> None:
    result = gather([talk(1, "my parcel never came", "late", **more)], predict=says("late"), evidence=finds("late"))
    assert not result.examples and not result.pairs
    assert [row.text for row in result.queue] == ["my parcel never came"]


def test_a_good_rating_stands_for_a_missing_mark() -> None:
    assert is_resolved(talk(1, "x", resolved=None, rating=4).transcript)
    assert not is_resolved(talk(1, "x", resolved=False, rating=5).transcript)


def test_corrections_count_whatever_became_of_the_conversation() -> None:
    result = gather(
        [talk(1, "my parcel never came", "late", resolved=False)], [Correction("My parcel never came!", intent="refund")]
    )
    assert learned(result) == [("My parcel never came!", "refund", "correction")]
    assert not result.queue


def test_a_correction_by_a_template_names_the_intent_and_any_other_asks_for_it() -> None:
    sent = Correction("shoes too small", "You can return anything within 30 days, order [ORDER_1] too.")
    assert learned(gather(corrections=[sent])) == [("shoes too small", "refund", "correction")]
    result = gather(corrections=[Correction("shoes too small", "Just send them back to us.")])
    assert not result.examples and result.queue[0].text == "shoes too small"
    assert result.pairs[0].reply == "Just send them back to us."


def test_a_persons_decision_counts_even_for_one_word() -> None:
    assert learned(gather(labelled=[Decided("Refund", "refund", "queue:1")])) == [("Refund", "refund", "person")]


# What is dropped


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Hello there!", "small_talk"),
        ("refund", "too_short"),
        ("[ORDER_1] [DATE_1]", "only_placeholders"),
        ("  ", "no_customer"),
    ],
)
def test_texts_that_say_too_little_are_dropped_and_counted(text: str, reason: str) -> None:
    result = gather([talk(1, text, "late")])
    assert not result.examples and not result.queue and result.counts[f"dropped.{reason}"] == 1


def test_a_greeting_before_the_question_is_passed_over() -> None:
    turns = (
        ("customer", "Hi!"),
        ("agent", "Hello, how can I help?"),
        ("customer", "my parcel never came"),
        ("agent", "Sent it."),
    )
    assert learned(gather([talk(1, "", "late", turns=turns)])) == [("my parcel never came", "late", "action")]


def test_every_text_is_redacted_once_more() -> None:
    def redact(text: str) -> str:
        return text.replace("ann@example.com", "[EMAIL_1]")

    dirty = "write to ann@example.com please, she waits"
    result = gather(
        [talk(1, f"one {dirty}", "late", reply=f"I will {dirty}"), talk(2, f"two {dirty}")],
        [Correction(f"three {dirty}", f"You {dirty}", "late")],
        labelled=[Decided(f"four {dirty}", "late", "q")],
        redact=redact,
    )
    assert result.counts["examples"] == 3 and result.queue and len(result.pairs) == 3
    assert "ann@example.com" not in repr(result)


# Repeats and contradictions


def test_a_repeated_text_is_learned_once_from_the_most_trusted() -> None:
    talks = [
        talk(n, text, "late") for n, text in enumerate(["where is [ORDER_1]?", "Where is [ORDER_2]", "WHERE IS [ORDER_9]!!"])
    ]
    result = gather(talks, [Correction("where is [ORDER_4]", intent="refund")])
    assert learned(result) == [("where is [ORDER_4]", "refund", "correction")]
    assert {one.reason for one in result.set_aside} == {"outranked"} and len(result.set_aside) == 3
    assert result.examples[0].at == START
    assert gather(talks).counts["dropped.duplicate"] == 2


def test_equal_texts_with_different_labels_are_set_aside_and_asked_about() -> None:
    result = gather([talk(1, "it is gone now", "late"), talk(2, "It is gone now!", "refund")])
    assert not result.examples
    assert [one.reason for one in result.set_aside] == ["contradiction"] * 2
    assert "'late' (1), 'refund' (1)" in result.set_aside[0].because
    assert [(row.reason, row.given, row.uncertainty) for row in result.queue] == [("contradiction", ("late", "refund"), 1.0)]


def test_a_decision_settles_corrections_that_contradict_each_other() -> None:
    disputed = [Correction("it is gone", intent="late", ref="m1"), Correction("it is gone", intent="refund", ref="m2")]
    assert gather(corrections=disputed).queue[0].reason == "contradiction"
    result = gather(corrections=disputed, labelled=[Decided("it is gone", "refund", "q1")])
    assert learned(result) == [("it is gone", "refund", "person")]


def test_decisions_that_contradict_each_other_are_listed_and_not_asked_again() -> None:
    result = gather(labelled=[Decided("it is gone", "refund", "q1"), Decided("it is gone", "late", "q2")])
    assert not result.examples and len(result.set_aside) == 2 and not result.queue


def _vectors(texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.ones((len(texts), 1), dtype=np.float32)


def test_nearly_equal_texts_are_compared_where_vectors_are_given() -> None:
    talks = [talk(1, "my red parcel never came", "late"), talk(2, "my blue parcel never came", "refund")]
    assert len(gather(talks).examples) == 2
    assert gather(talks, vectors=_vectors).counts["set_aside.contradiction"] == 2


# Doubt


def test_a_tag_that_champion_and_evidence_both_contradict_is_asked_about() -> None:
    odd = talk(1, "my parcel never came", "login")
    result = gather([odd], predict=says("late"), evidence=finds("late"))
    assert not result.examples and result.set_aside[0].reason == "suspicious"
    assert (result.queue[0].label, result.queue[0].given, result.queue[0].reason) == ("late", ("login",), "suspicious")
    doubts: list[dict[str, Any]] = [{"evidence": finds("login")}, {"evidence": finds(None)}, {"predict": says("late", 0.9)}]
    for more in doubts:
        assert len(gather([odd], **{"predict": says("late"), "evidence": finds("late"), **more}).examples) == 1


def test_a_doubted_text_is_not_learned_by_agreement_instead() -> None:
    talks = [talk(1, "my parcel never came", "login"), talk(2, "my parcel never came")]
    assert not gather(talks, predict=says("late"), evidence=finds("late")).examples


def test_corrections_are_never_doubted() -> None:
    result = gather(
        corrections=[Correction("my parcel never came", intent="login")], predict=says("late"), evidence=finds("late")
    )
    assert result.examples[0].label == "login"


def test_a_new_label_is_learned_once_there_is_enough_of_it() -> None:
    talks = [talk(n, f"question number {n} on gift cards", "gift_card") for n in range(8)]
    result = gather(talks[:7], predict=says("late"), evidence=finds("late"))
    assert not result.examples and {row.reason for row in result.queue} == {"new_label"} and result.queue[0].label == "gift_card"
    assert "7 of 8" in result.set_aside[0].because
    assert len(gather(talks, predict=says("late"), evidence=finds("late")).examples) == 8


def test_a_new_label_a_person_gave_waits_without_being_asked_again() -> None:
    result = gather(labelled=[Decided("do you sell gift cards", "gift_card", "q1")])
    assert not result.examples and result.set_aside[0].reason == "new_label" and not result.queue


# The queue


def test_the_most_uncertain_text_is_asked_about_first() -> None:
    def predict(texts: Sequence[str]) -> tuple[np.ndarray[Any, np.dtype[np.float32]], Sequence[str]]:
        chances = {"quite sure here": [0.8, 0.1, 0.1], "torn between two": [0.5, 0.49, 0.01], "rather sure here": [0.6, 0.2, 0.2]}
        return np.array([chances[text] for text in texts], dtype=np.float32), LABELS[:3]

    talks = [talk(1, "quite sure here"), talk(2, "torn between two"), talk(3, "rather sure here")]
    result = gather(talks, predict=predict)
    assert [row.text for row in result.queue] == ["torn between two", "rather sure here", "quite sure here"]
    assert result.queue[0].label == "cancel" and result.queue[0].confidence == pytest.approx(0.5)
    assert result.queue[0].uncertainty == pytest.approx(0.99)
    short = gather(talks, predict=predict, rules=Rules(most_queued=1))
    assert len(short.queue) == 1 and short.counts["dropped.queue_beyond_limit"] == 2
    new = gather(talks, predict=predict, rules=Rules(most_queued=1), ask_about=lambda row: row.text != "torn between two")
    assert [row.text for row in new.queue] == ["rather sure here"]


def test_without_a_champion_people_are_asked_about_everything_untagged() -> None:
    talks = [talk(n, f"late question {n}", "late") for n in range(8)] + [talk(9, "what is this about")]
    result = gather(talks, predict=None, evidence=None, known=())
    assert len(result.examples) == 8 and [(row.text, row.label) for row in result.queue] == [("what is this about", None)]


# The whole


def test_faulty_helpers_are_named() -> None:
    talks = [talk(1, "my parcel never came"), talk(2, "my refund never came", "refund"), talk(3, "my tax invoice", "invoice")]
    with pytest.raises(TrainingError, match=r"shape \(1, 6\) for 3 texts"):
        gather(talks, predict=lambda texts: (np.zeros((1, 6), dtype=np.float32), LABELS))
    with pytest.raises(TrainingError, match="2 intents for 3 texts"):
        gather(talks, evidence=lambda texts: ["late", None])
    with pytest.raises(TrainingError, match="2 texts"):
        gather(talks, vectors=lambda texts: np.zeros((1, 4), dtype=np.float32))


def test_nothing_gives_nothing() -> None:
    result = gather()
    assert (result.examples, result.pairs, result.queue, result.set_aside) == ((), (), (), ())


TEXTS = st.sampled_from(
    [
        "where is it now",
        "Where is it, now?",
        "refund me please now",
        "hi",
        "[ORDER_1]",
        "发票怎么开",
        "cannot log in",
        "I waited long",
        "",
    ]
)
TAGS = st.sampled_from([None, *LABELS, "Late", "gift"])
TALKS = st.lists(
    st.builds(
        lambda number, text, tag, resolved, by: talk(number, text, tag, resolved=resolved, by=by),
        st.integers(0, 9),
        TEXTS,
        TAGS,
        st.sampled_from([True, False, None]),
        st.sampled_from(["agent", "bot"]),
    ),
    max_size=14,
)
CORRECTIONS = st.lists(st.builds(Correction, TEXTS, st.just("Look at the page again."), TAGS, st.sampled_from("ab")), max_size=4)
DECISIONS = st.lists(st.builds(Decided, TEXTS, st.sampled_from(LABELS), st.sampled_from("ab")), max_size=4)


@settings(max_examples=150, deadline=None)
@given(TALKS, CORRECTIONS, DECISIONS, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_nothing_is_made_up(
    talks: list[Conversation], corrections: list[Correction], decisions: list[Decided], rng: random.Random
) -> None:
    rules = Rules(least=2)
    more: dict[str, Any] = {"predict": says("late"), "evidence": finds("late"), "vectors": _vectors, "rules": rules}
    result = gather(talks, corrections, labelled=decisions, **more)
    said = {turn.text for one in talks for turn in one.transcript.turns} | {one.question for one in corrections}
    said |= {one.text for one in decisions}
    assert {one.text for one in result.examples} | {row.text for row in result.queue} <= said
    texts = [one.text.lower().replace("?", "").replace(",", "") for one in result.examples]
    assert len(texts) == len(set(texts))
    for one in (talks, corrections, decisions):
        rng.shuffle(one)
    assert gather(talks, corrections, labelled=decisions, **more) == result
