"""The learning loop's books: what people put right, what training was made from, and what goes when a person does."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from assistant.errors import StoreError
from assistant.learning import Due, Lease, RegressionCase, ReviewItem, TrainingRun, conversation_ref, transcript_ref
from assistant.records import Feedback, IntentGuess, Message, Reply, Sentiment, Transcript, TranscriptTurn, Understanding
from assistant.sources import SourceRecord
from assistant.store import Store, open_store

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOG = SourceRecord("s1", "logs.jsonl", "logs", "aa", "jsonl", NOON)
SAID = (TranscriptTurn("customer", "hello"),)
CASE = RegressionCase("k1", "intent", "where is it", "where_is_order", "en", "", NOON)
ITEM = ReviewItem("q1", "intent", "hm", "en", "refund", 0.4, 0.6, "", NOON)
RUN = TrainingRun("run1", "intent", "running", NOON, until=NOON, counts={"corrections": 3})


def talk(store: Store, id: str, *, contact: str | None = None, at: datetime = NOON, lang: str = "en", **reply: object) -> None:
    """Hold a conversation of one turn: ``ID-m`` asks, ``ID-r`` answers."""
    store.start_conversation(id, at, "zh", contact)
    understanding = Understanding(lang, (IntentGuess("refund", 0.9),), sentiment=Sentiment("negative", 0.8, -0.7))
    values = {"understanding": understanding, "versions": {"intent": "v3"}, **reply}
    answered = Reply(id, f"{id}-r", "send", "sure", "answer", evidence=(), latency_ms=0.0, **values)  # type: ignore[arg-type]
    store.record_turn(Message(f"{id}-m", id, f"question of {id}", at), answered)


def judge(store: Store, id: str, correction: str = "", intent: str | None = None, at: datetime | None = NOON) -> None:
    store.add_feedback(Feedback(f"{id}-r", -1, "", correction, at, intent))


# What people put right


def test_correction_tells_question_answer_and_intent(store: Store) -> None:
    for id in ("c1", "c2", "c3", "c4"):
        talk(store, id, lang="und" if id == "c2" else "en")
    judge(store, "c1", "It is on its way.", at=NOON + 2 * HOUR)
    judge(store, "c2", intent="cancel_order", at=NOON + HOUR)
    judge(store, "c3")
    first, second = store.learning.corrections()
    assert (first.message_id, first.question, first.answer, first.intent) == ("c2-r", "question of c2", "", "cancel_order")
    assert (second.conversation_id, second.answer, second.intent) == ("c1", "It is on its way.", None)
    assert (first.lang, second.lang) == ("zh", "en")
    assert (first.at, second.at) == (NOON + HOUR, NOON + 2 * HOUR)
    assert store.learning.corrections(NOON + HOUR) == [second]
    assert store.learning.corrections(NOON + 2 * HOUR) == []


def test_correction_without_a_time_counts_from_its_reply(store: Store) -> None:
    talk(store, "c1")
    judge(store, "c1", "right", at=None)
    assert [c.at for c in store.learning.corrections(NOON - HOUR)] == [NOON]


def test_stamp_changes_with_the_corrections_and_with_nothing_else(store: Store) -> None:
    stamps = [store.learning.corrections_stamp()]
    for id in ("c1", "c2"):
        talk(store, id, contact=id)
    judge(store, "c1")
    assert store.learning.corrections_stamp() == stamps[0]
    for change in (
        lambda: judge(store, "c1", "right"),
        lambda: judge(store, "c1", "righter"),
        lambda: judge(store, "c1", "bighter", at=NOON + HOUR),
        lambda: judge(store, "c2", intent="refund"),
        lambda: judge(store, "c2"),
        lambda: judge(store, "c2", intent="refund", at=NOON + 2 * HOUR),
        lambda: store.forget_contact("c2"),
    ):
        change()
        stamps.append(store.learning.corrections_stamp())
    assert all(one != next for one, next in pairwise(stamps))


def test_outcomes_name_the_version_and_the_customers_sentiment(store: Store) -> None:
    talk(store, "c0", at=NOON - HOUR)
    talk(store, "c1")
    talk(store, "c2", at=NOON + HOUR, understanding=Understanding("en"), versions={})
    first, second = store.learning.outcomes("intent", NOON)
    assert (first.conversation_id, first.version, first.action, first.reason) == ("c1", "v3", "send", "sure")
    assert (first.sentiment, first.score, first.at) == ("negative", -0.7, NOON)
    assert (second.conversation_id, second.version, second.sentiment, second.score) == ("c2", None, None, None)
    assert store.learning.outcomes("slots", NOON + HOUR)[0].version is None


def test_new_sources_are_found_by_time(store: Store) -> None:
    later = SourceRecord("s2", "b", "logs", "bb", "jsonl", NOON + HOUR)
    store.add_source(later)
    store.add_source(LOG)
    assert [s.id for s in store.learning.sources_since(None)] == ["s1", "s2"]
    assert [s.id for s in store.learning.sources_since(NOON)] == ["s2"]
    assert store.learning.sources_since(NOON + HOUR) == []


# Regression cases and the review queue


def test_case_replaces_the_older_one_of_the_same_text(store: Store) -> None:
    other = replace(CASE, id="k2", task="sentiment", expected="negative", at=NOON + HOUR)
    newer = replace(CASE, id="k3", expected="refund", at=NOON + 2 * HOUR)
    for case in (CASE, other, newer, newer):
        assert store.learning.add_regression_case(case)
    assert store.learning.regression_cases() == [other, newer]
    assert store.learning.regression_cases("intent") == [newer]


def test_text_is_asked_about_once_whatever_became_of_it(store: Store) -> None:
    items = [
        ITEM,
        replace(ITEM, id="q2"),
        replace(ITEM, id="q3", task="sentiment"),
        replace(ITEM, id="q4", text="hey", uncertainty=0.9),
    ]
    assert store.learning.queue(items) == 3
    assert [item.id for item in store.learning.review()] == ["q4", "q1", "q3"]
    assert store.learning.review("intent", limit=1) == [items[3]]
    store.learning.decide("q1", "refund", NOON + HOUR)
    store.learning.decide("q4", None, NOON + HOUR)
    assert store.learning.queue([replace(item, id=f"again {item.id}") for item in items]) == 0
    assert [item.id for item in store.learning.review()] == ["q3"]


def test_labels_are_read_by_the_time_of_the_decision(store: Store) -> None:
    store.learning.queue([ITEM, replace(ITEM, id="q2", text="ho"), replace(ITEM, id="q3", text="hi")])
    store.learning.decide("q2", "cancel_order", NOON + HOUR)
    store.learning.decide("q1", "refund", NOON + 2 * HOUR)
    store.learning.decide("q3", None, NOON + 2 * HOUR)
    labelled = store.learning.labelled("intent")
    assert [(item.id, item.label, item.state) for item in labelled] == [
        ("q2", "cancel_order", "labelled"),
        ("q1", "refund", "labelled"),
    ]
    assert [item.id for item in store.learning.labelled("intent", NOON + HOUR)] == ["q1"]
    assert store.learning.labelled("sentiment") == []
    store.learning.decide("q1", None, NOON + 3 * HOUR)
    assert [item.id for item in store.learning.labelled("intent")] == ["q2"]


def test_decision_that_cannot_be_is_refused_with_the_mend(store: Store) -> None:
    store.learning.queue([ITEM])
    with pytest.raises(StoreError, match=r"no review item 'nobody'.*list the open ones"):
        store.learning.decide("nobody", "refund", NOON)
    with pytest.raises(StoreError, match="drop the item"):
        store.learning.decide("q1", " ", NOON)
    assert store.learning.review() == [ITEM]


def test_long_hostile_texts_are_kept_once(store: Store) -> None:
    # Too long and too random for an index over the text itself.
    text = "".join(chr(0x4E00 + (i * 7919) % 20_000) for i in range(20_000)) + "\x00 half \ud83d"
    for _ in range(2):
        assert store.learning.add_regression_case(replace(CASE, text=text))
    assert store.learning.queue([replace(ITEM, text=text)]) == 1
    assert store.learning.queue([replace(ITEM, id="q2", text=text.replace("\x00", ""))]) == 0
    assert len(store.learning.regression_cases()) == 1


def test_nothing_is_queued_when_one_item_cannot_be(store: Store) -> None:
    with pytest.raises(StoreError, match="names no conversation"):
        store.learning.queue([ITEM, replace(ITEM, id="q2", text="ho", ref="message:m1")])
    with pytest.raises(StoreError):
        store.learning.queue([ITEM, replace(ITEM, text="same id")])
    with pytest.raises(StoreError, match="names no conversation"):
        store.learning.add_regression_case(replace(CASE, ref="transcript:"))
    assert store.learning.review() == []


# Training runs


def test_run_is_begun_tried_again_and_finished(store: Store) -> None:
    store.learning.begin_run(RUN)
    assert store.learning.unfinished_runs() == store.learning.runs() == [RUN]
    assert store.learning.add_attempt("run1") == 2
    verdict = {"promote": True, "macro_f1": [0.8, 0.9], "why": "明らか"}
    store.learning.finish_run("run1", "promoted", NOON + HOUR, "v4", verdict, {"corrections": 4})
    done = TrainingRun("run1", "intent", "promoted", NOON, NOON + HOUR, NOON, "v4", verdict, {"corrections": 4}, 2)
    assert store.learning.runs("intent") == [done]
    assert store.learning.unfinished_runs() == store.learning.runs("slots") == []
    with pytest.raises(StoreError, match="is promoted already"):
        store.learning.finish_run("run1", "failed", NOON, None, {}, {})
    with pytest.raises(StoreError, match="is promoted already"):
        store.learning.add_attempt("run1")
    assert store.learning.runs() == [done]


def test_runs_come_newest_first_and_the_last_is_found_by_state(store: Store) -> None:
    for number, state in enumerate(("promoted", "refused", "running")):
        store.learning.begin_run(replace(RUN, id=f"run{number}", state=state, started_at=NOON + number * HOUR))  # type: ignore[arg-type]
    assert [run.id for run in store.learning.runs()] == ["run2", "run1", "run0"]
    assert [run.id for run in store.learning.runs(limit=2)] == ["run2", "run1"]
    last = [store.learning.last_run("intent"), store.learning.last_run("intent", ("promoted", "refused"))]
    assert [run.id for run in last if run is not None] == ["run2", "run1"]
    assert store.learning.last_run("intent", ("nothing",)) is None
    assert store.learning.last_run("slots") is None


def test_run_that_cannot_be_entered_is_refused(store: Store) -> None:
    store.learning.begin_run(RUN)
    for fault in (
        lambda: store.learning.begin_run(RUN),
        lambda: store.learning.begin_run(replace(RUN, id="r", state="won")),  # type: ignore[arg-type]
        lambda: store.learning.begin_run(replace(RUN, id="r", started_at=datetime(2025, 3, 1))),
        lambda: store.learning.finish_run("nobody", "failed", NOON, None, {}, {}),
        lambda: store.learning.add_attempt("nobody"),
        lambda: store.learning.last_run("intent", ("won",)),  # type: ignore[arg-type]
    ):
        with pytest.raises(StoreError):
            fault()
    assert store.learning.runs() == [RUN]


# What goes when a person does


def fill(store: Store) -> None:
    """Two people, each with a live and a past conversation, and a version of two tasks made from them."""
    past = [Transcript(f"t/{name}", SAID, "a:1", contact=name) for name in ("anna", "ben")]
    store.add_source(LOG, past)
    for name in ("anna", "ben"):
        talk(store, f"c-{name}", contact=name)
        refs = {"live": conversation_ref(f"c-{name}"), "past": transcript_ref("s1", f"t/{name}")}
        for kind, ref in refs.items():
            text = f"{kind} of {name}"
            assert store.learning.add_regression_case(replace(CASE, id=f"k {text}", text=text, ref=ref))
            assert store.learning.queue([replace(ITEM, id=f"q {text}", text=text, ref=ref)]) == 1
            store.learning.record_uses("intent", "v3", [ref, ref])
        store.learning.record_uses("slots", f"of {name}", list(refs.values()))


BEN = ["conversation:c-ben", "transcript:s1/t/ben"]


def test_forgotten_person_leaves_no_text_and_marks_what_was_trained_on_them(store: Store) -> None:
    fill(store)
    assert store.learning.uses("intent", "v3") == ["conversation:c-anna", BEN[0], "transcript:s1/t/anna", BEN[1]]
    assert store.forget_contact("anna", at=NOON) == 2
    assert [case.text for case in store.learning.regression_cases()] == ["live of ben", "past of ben"]
    assert [item.text for item in store.learning.review()] == ["live of ben", "past of ben"]
    assert store.learning.uses("intent", "v3") == store.learning.uses("slots", "of ben") == BEN
    assert store.learning.uses("slots", "of anna") == []
    assert store.learning.due() == [Due("intent", "v3", "erased", NOON), Due("slots", "of anna", "erased", NOON)]
    assert store.forget_contact("nobody") == 0
    assert store.forget_contact("ben") == 2
    store.learning.clear_due("intent")
    assert store.learning.due() == [Due("slots", "of ben", "erased", None), Due("slots", "of anna", "erased", NOON)]
    store.learning.clear_due("slots", "of ben")
    assert store.learning.due() == [Due("slots", "of anna", "erased", NOON)]


def test_person_forgotten_while_training_is_not_learned_again(store: Store) -> None:
    fill(store)
    store.forget_contact("anna")
    store.learning.clear_due("intent")
    store.learning.clear_due("slots")
    gone = transcript_ref("s1", "t/anna")
    assert not store.learning.add_regression_case(replace(CASE, ref=gone))
    assert store.learning.queue([replace(ITEM, text="late", ref=gone)]) == 0
    store.learning.record_uses("intent", "v4", [gone, *BEN])
    assert store.learning.uses("intent", "v4") == BEN
    assert store.learning.due() == [Due("intent", "v4", "erased", None)]
    store.learning.record_uses("intent", "v5", [])
    with pytest.raises(StoreError, match="transcript_ref or conversation_ref"):
        store.learning.record_uses("intent", "v5", ["t/ben"])


def test_removed_source_marks_what_was_trained_on_it(store: Store) -> None:
    fill(store)
    assert store.remove_source("logs.jsonl", at=NOON)
    assert store.learning.uses("intent", "v3") == ["conversation:c-anna", "conversation:c-ben"]
    assert [case.text for case in store.learning.regression_cases()] == ["live of anna", "live of ben"]
    assert [item.text for item in store.learning.review()] == ["live of anna", "live of ben"]
    assert {(due.task, due.version, due.reason) for due in store.learning.due()} == {
        ("intent", "v3", "source removed"),
        ("slots", "of anna", "source removed"),
        ("slots", "of ben", "source removed"),
    }


def test_person_can_be_forgotten_after_their_log_was_replaced(store: Store) -> None:
    fill(store)
    newer = replace(LOG, id="a longer id", sha256="bb", ingested_at=NOON + HOUR)
    store.add_source(newer, [Transcript("t/ben", SAID, "a:1", contact="ben")], replaces="logs.jsonl")
    assert store.learning.uses("slots", "of ben") == ["conversation:c-ben", "transcript:a longer id/t/ben"]
    assert [due.version for due in store.learning.due()] == ["v3", "of anna"]
    assert {(due.reason, due.at) for due in store.learning.due()} == {("source replaced", NOON + HOUR)}
    assert sorted(case.text for case in store.learning.regression_cases()) == ["live of anna", "live of ben", "past of ben"]
    store.learning.clear_due("slots")
    store.forget_contact("ben")
    assert store.learning.uses("slots", "of ben") == []
    assert [due.version for due in store.learning.due() if due.task == "slots"] == ["of ben"]
    assert [item.text for item in store.learning.review()] == ["live of anna"]


def test_large_training_sets_are_recorded_and_let_go(store: Store) -> None:
    store.add_source(LOG, (Transcript(f"t{n}", SAID, "a:1", contact="anna") for n in range(2_500)))
    refs = [transcript_ref("s1", f"t{n}") for n in range(2_500)]
    store.learning.record_uses("intent", "v3", refs)
    assert store.learning.uses("intent", "v3") == sorted(refs)
    assert store.learning.due() == []
    assert store.forget_contact("anna") == 2_500
    assert store.learning.uses("intent", "v3") == []


# Leases


def test_lease_is_one_holders_until_it_runs_out_or_is_given_back(store: Store) -> None:
    learning = store.learning
    assert learning.lease("retrain") is None
    assert learning.take_lease("retrain", "a", NOON, 60)
    assert not learning.take_lease("retrain", "b", NOON + timedelta(seconds=59), 60)
    assert learning.take_lease("other", "b", NOON, 60)
    assert learning.take_lease("retrain", "a", NOON + timedelta(seconds=30), 60)
    assert learning.lease("retrain") == Lease("retrain", "a", NOON + timedelta(seconds=90))
    assert learning.take_lease("retrain", "b", NOON + timedelta(seconds=90), 60)
    assert not learning.release_lease("retrain", "a")
    assert not learning.take_lease("retrain", "a", NOON + timedelta(seconds=91), 60)
    assert learning.release_lease("retrain", "b")
    assert learning.lease("retrain") is None
    with pytest.raises(StoreError, match="more than 0 seconds"):
        learning.take_lease("retrain", "a", NOON, 0)


@pytest.mark.parametrize("before", ["free", "run out"])
def test_of_many_who_want_a_lease_one_gets_it(store_url: str, before: str) -> None:
    # Half of them share a store, the others are like processes of their own.
    with ExitStack() as stack:
        stores = [stack.enter_context(open_store(store_url)) for _ in range(5)]
        won: list[str] = []
        faults: list[BaseException] = []
        start = threading.Barrier(8)
        if before == "run out":
            assert stores[0].learning.take_lease("retrain", "dead", NOON - HOUR, 60)

        def work(store: Store, holder: str) -> None:
            try:
                start.wait(30)
                if store.learning.take_lease("retrain", holder, NOON, 60):
                    won.append(holder)
            except BaseException as fault:
                faults.append(fault)

        threads = [threading.Thread(target=work, args=(stores[max(0, n - 3)], f"holder {n}")) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        lease = stores[0].learning.lease("retrain")
        assert faults == []
        assert lease is not None
        assert won == [lease.holder]
