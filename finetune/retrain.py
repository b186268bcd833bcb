"""One night's learning for one task: what is new, examples, training, the gate, and the verdict that is kept.

Knows store, registry and encoder; what needs retrieval or settings is passed in. A run that was killed is taken up again: its
row in the store says what it had begun, the same examples find the same checkpoint, a finished version is only judged, and a
verdict that stands is only acted on. What a night is given and comes to is in ``night.py``, its end in ``verdicts.py``.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.errors import TrainingError
from assistant.learning import ReviewItem, RunState, TrainingRun
from assistant.registry import AdapterVersion
from finetune.comparing import class_chances
from finetune.erasure import erase_learned
from finetune.examples import Labelled
from finetune.gathering import Gathered, Window, gather, read_seen, write_seen
from finetune.harvest import Harvest, harvest
from finetune.harvested import Example
from finetune.holdout import Holdout, Row, calibrating, held_again, hold_out, key_of, prune_holdout, read_holdout
from finetune.night import TASKS as TASKS
from finetune.night import Begun as Begun
from finetune.night import Means as Means
from finetune.night import Night as Night
from finetune.night import NightState as NightState
from finetune.night import Overtaken as Overtaken
from finetune.night import Place as Place
from finetune.night import Plan as Plan
from finetune.recipe import Run
from finetune.session import Split, train_into
from finetune.training_rows import given_rows, new_rows, split_for_training, too_little, training_rows
from finetune.verdicts import act, judge_night, read_outcome
from finetune.wording import normalise

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

#: File of the book of seen conversations, and of what a night holds out.
SEEN, HELD = "seen.json", "held.json"
_NIGHTS = 1_000_000


def retrain(task: str, place: Place, means: Means, plan: Plan, *, force: bool = False) -> Night:
    """Learn from what people wrote since the last run, and promote what is not worse.

    Args:
        task: ``intent`` or ``dialog``.
        place: Store, registry, encoder, folders.
        means: Clock, redaction, retrieval.
        plan: Settings and bounds.
        force: Train even if little is new, and on nights that were refused too.

    Returns:
        What came of it; the same stands in the store.

    Raises:
        TrainingError: If the task cannot be retrained, or training fails; the run is then kept as failed.
        Overtaken: If another process has taken the run up; then its row is left to that one.
    """
    if task not in TASKS:
        raise TrainingError(f"{task!r} is not retrained from conversations; {', '.join(TASKS)} are")
    plan.settings.check(task)
    night = _begin(task, place, means, force=force)
    try:
        done = _finished(night, place) or _Night(night, place, means, plan).run()
        means.check()
    except Overtaken:
        raise
    except Exception as error:
        place.store.learning.finish_run(night.id, "failed", means.now(), night.version, {"why": str(error)}, {})
        raise
    _finish(night, done, place, means)
    return done


def _begin(task: str, place: Place, means: Means, *, force: bool) -> Begun:
    """Take up the task's unfinished run, or begin one."""
    learning, now = place.store.learning, means.now()
    # By force the nights that were refused are learned from too, as new as they were then. What serves has been learned,
    # whatever its run came to.
    states, champion = ("promoted",) if force else ("promoted", "refused"), place.registry.champion(task)
    ended = (one for one in learning.runs(task, limit=_NIGHTS) if one.state in states or _serves(one, champion))
    since = next((one.until for one in ended if one.until), None)
    due = {one.version for one in learning.due() if one.task == task}
    for run in learning.unfinished_runs():
        if run.task != task or not run.version or not run.until:
            continue
        if run.version in due and run.version != champion and _trained(place, task, run.version):
            why = "a conversation it had learned from was erased before it was judged"
            learning.finish_run(run.id, "failed", now, run.version, {"why": why}, {})
            continue
        attempts = learning.add_attempt(run.id)
        means.tell(f"{task}: the run of {run.started_at:%Y-%m-%d %H:%M} was cut off; it goes on as attempt {attempts}")
        asked = run.verdict  # what it was asked for when it began
        if "since" in asked:
            since, force = _moment(asked["since"]), bool(asked.get("force"))
        return Begun(run.id, task, run.version, since, run.until, force, resumed=True)
    version = _free_name(place, task, now)
    night = Begun(means.new_id(), task, version, since, now, force)
    learning.begin_run(TrainingRun(night.id, task, "running", now, None, now, version, _asked(night)))
    return night


def _asked(night: Begun) -> dict[str, Any]:
    return {"since": night.since.isoformat() if night.since else None, "force": night.force}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _serves(run: TrainingRun, champion: str | None) -> bool:
    return run.state != "running" and run.version is not None and run.version == champion


def _free_name(place: Place, task: str, now: datetime) -> str:
    while True:
        version = now.strftime("%Y%m%d-%H%M%S-%f")[:-3]
        if not _trained(place, task, version) and not place.folder(task, version).exists():
            return version
        now += timedelta(milliseconds=1)


def _trained(place: Place, task: str, version: str) -> bool:
    return any(one.version == version for one in place.registry.versions(task))


def _finished(night: Begun, place: Place) -> Night | None:
    """Return what a run came to that was killed after it had promoted its version: its row alone is missing."""
    outcome = read_outcome(place.folder(night.task, night.version)) if night.resumed else None
    if outcome is None or outcome.state != "promoted" or place.registry.champion(night.task) != night.version:
        return None
    book = place.runs / night.task / SEEN
    write_seen(book, gather(place.store, night.task, night.since, night.until, read_seen(book)), night.since, night.until)
    return outcome.as_night(night.task, night.version)


@dataclass(frozen=True, slots=True)
class _Night:
    """One run from the store's rows to the verdict."""

    night: Begun
    place: Place
    means: Means
    plan: Plan

    def run(self) -> Night:
        night, place, plan, task = self.night, self.place, self.plan, self.night.task
        served = place.registry.load_serving(task, place.encoder.sha256)
        champion, fault = (served.adapter, served.fault) if served else (None, "")
        if fault:
            self.means.tell(f"{task}: {fault}")
        everything = gather(place.store, task, night.since, night.until, read_seen(self.book))
        fresh = everything.within(Window(night.since, night.until))
        if not night.resumed:  # one that goes on does not see what came in meanwhile
            prune_holdout(place.holdout / f"{task}.jsonl", everything.finder())
        # What has to be trained anew is trained on all that is left, as is a night that was asked for without anything new.
        due = champion is not None and (task, champion.manifest.version) in {
            (one.task, one.version) for one in place.store.learning.due()
        }
        if fresh.empty and not due and not night.force:
            return self.nothing("no new conversations, corrections or decisions since the last run")
        aside = [] if night.force else _refused(task, place)
        usable = everything.within(Window(None, night.until), aside)
        self.means.check()
        found = self.harvest(usable, champion, fresh.refs)
        rows: Sequence[Row] = found.pairs if task == "dialog" else found.examples
        by_hand = {normalise(one.text) for one in fresh.decided if not one.ref}
        new = new_rows(rows, fresh.refs, by_hand)
        self.queue(found)
        counts = {**found.counts, "new": len(new)}
        if not rows or (len(new) < plan.min_examples and not due and not night.force):
            why = f"{len(new)} new examples, {plan.min_examples} are needed; they wait for the next run"
            return self.nothing(why, counts)
        given = given_rows(task, place.base)
        holdout = self.holdout(everything, rows, new, given)
        counts |= {"holdout": len(holdout.frozen), "holdout_new": len(holdout.fresh)}
        if len(holdout.judged) < plan.bounds.least_rows:
            need = f"{plan.bounds.least_rows} are needed: wait for more conversations, or label some in {holdout.path}"
            return self.nothing(f"{len(holdout.judged)} rows to judge a candidate by, {need}", counts)
        # The wide half of dialog lives on many pairs, and they cost it little.
        replay = plan.settings.replay if new and not due and task != "dialog" else 1.0
        training = training_rows(
            new, rows, given, holdout.all, corrected=everything.corrected, replay=replay, seed=plan.settings.seed
        )
        examples = split_for_training(task, training, plan.settings.seed)
        if why := too_little(task, examples):
            return self.nothing(why, counts)
        counts |= {"training": len(examples.training), "validation": len(examples.validation)}
        candidate = self.train(training, examples, everything, found, counts, calibrating(holdout.judged))
        messages = [row.text for row in new] if task != "dialog" else []
        return self.conclude(everything, candidate, champion, fault, holdout, counts, messages)

    @property
    def book(self) -> Path:
        return self.place.runs / self.night.task / SEEN

    @property
    def folder(self) -> Path:
        return self.place.folder(self.night.task, self.night.version)

    def nothing(self, why: str, counts: Mapping[str, int] | None = None) -> Night:
        """End without a candidate; what is new stays new."""
        if not _trained(self.place, self.night.task, self.night.version):
            shutil.rmtree(self.folder, ignore_errors=True)
        return Night(self.night.task, "nothing", why, None, counts or {})

    def harvest(self, usable: Gathered, champion: AdapterVersion | None, fresh: frozenset[str]) -> Harvest:
        place, means, dialog = self.place, self.means, self.night.task == "dialog"
        asked = place.store.learning.asked(self.night.task)
        known = champion.manifest.labels if champion else tuple({one.label for one in given_rows(self.night.task, place.base)})

        def predict(texts: Sequence[str]) -> tuple[NDArray[np.float32], Sequence[str]]:
            if champion is None:
                raise TrainingError("there is no champion to ask")
            place.encoder.set_adapters({champion.manifest.task: champion.weights})
            return class_chances(champion, place.encoder, texts), champion.manifest.labels

        return harvest(
            usable.conversations,
            usable.corrections,
            usable.decided,
            predict=predict if champion is not None and not dialog else None,
            evidence=means.evidence,
            templates=means.templates,
            known=known,
            redact=means.redact,
            rules=self.plan.rules,
            vectors=None if dialog else place.encoder.encode,  # pairs have no labels that could contradict each other
            detect=means.detect,
            # What was asked about before, and what came before, would keep the new out of a queue that is full.
            ask_about=lambda row: row.ref in fresh and row.text not in asked,
        )

    def queue(self, found: Harvest) -> None:
        """Put what only a person can label into the review queue."""
        if self.night.task != "intent":
            return
        items = [
            ReviewItem(
                id=self.means.new_id(),
                task=self.night.task,
                text=one.text,
                lang=one.lang,
                proposed=one.label or (one.given[0] if one.given else ""),
                confidence=one.confidence,
                uncertainty=one.uncertainty,
                ref=one.ref,
                at=one.at or self.night.until,
            )
            for one in found.queue
        ]
        if added := self.place.store.learning.queue(items):
            self.means.tell(f"{self.night.task}: {added} messages wait for a person's label")

    def holdout(self, everything: Gathered, rows: Sequence[Row], new: Sequence[Row], given: Sequence[Example]) -> Holdout:
        """Read the frozen rows, and choose or find again those that this night holds out."""
        task, since, place = self.night.task, self.night.since, self.place
        path, least = place.holdout / f"{task}.jsonl", self.plan.bounds.least_rows
        frozen = read_holdout(path, everything.finder())

        def choose() -> Sequence[Row]:
            before = everything.within(Window(None, since)) if since is not None else Gathered((), (), ())
            taught = before.keys(task) | {key_of(one) for one in given}
            excluded = before.refs | everything.corrected
            return hold_out(new, frozen, taught, excluded, self.plan.holdout_share, least)

        fresh = held_again(rows, self.folder / HELD, choose)
        # A night that was killed after it had frozen its rows is judged by those before it all the same.
        own = {key_of(row) for row in fresh}
        earlier = tuple(row for row in frozen if key_of(row) not in own)
        return Holdout(path, earlier, tuple(fresh), least)

    def train(
        self,
        rows: Sequence[Row],
        examples: Split,
        everything: Gathered,
        found: Harvest,
        counts: Mapping[str, int],
        sent: Sequence[Example],
    ) -> AdapterVersion:
        """Train the candidate, unless a process before this one had finished it."""
        night, place, task, version = self.night, self.place, self.night.task, self.night.version
        if _trained(place, task, version):
            return place.registry.load(task, version, place.encoder.sha256)
        for left in (place.registry.root / task).glob(f".staging-{version}-*"):  # of a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        refs = sorted({row.ref for row in rows if row.ref})
        own = [f"{task}.jsonl"] if any(not row.ref for row in rows) else []
        run = Run(
            task=task,
            version=version,
            staged=Path(),
            created_at=night.until,
            code_version=self.means.code_version,
            sources=(*everything.source_names(refs), *own),
            settings=self.plan.settings,
            facts={"counts": dict(counts), "conversations": len(refs), "harvest_sha256": found.sha256},
            progress=self.means.progress,
            steps=self.means.steps,
            calibrate=[Labelled(one.text, one.label) for one in sent],
        )
        # Noted before anything is learned: who is erased from here on finds the version. What was erased from a run that was
        # cut off is not in this training any more.
        place.store.learning.clear_due(task, version)
        place.store.learning.record_uses(task, version, refs)
        self.means.check()
        train_into(place.registry, run, examples, place.encoder, runs=place.runs)
        return place.registry.load(task, version, place.encoder.sha256)

    def conclude(
        self,
        everything: Gathered,
        candidate: AdapterVersion,
        champion: AdapterVersion | None,
        fault: str,
        holdout: Holdout,
        counts: Mapping[str, int],
        messages: Sequence[str],
    ) -> Night:
        """Judge the candidate, or find the verdict again, and act on it."""
        night, place = self.night, self.place
        outcome = read_outcome(self.folder) if night.resumed else None
        against = champion.manifest.version if champion else None
        if outcome is None or outcome.against != against:  # somebody promoted another one meanwhile
            if against == night.version:
                champion = None
            outcome = judge_night(night, place, self.plan, candidate, champion, holdout, counts, fault, messages)
        self.means.check()
        act(night, place, self.means, self.plan, outcome, holdout)
        write_seen(self.book, everything, night.since, night.until)
        # Whoever was erased while this night went on: its page and its holdout were written after that.
        erase_learned(place.store, place.holdout, place.runs, night.task)
        return outcome.as_night(night.task, night.version)


def _refused(task: str, place: Place) -> list[Window]:
    """Return when what was refused had come in; a bad night would spoil all later ones.

    A night that serves all the same is none of them, nor is any before a night by force that passed.
    """
    champion = place.registry.champion(task)
    found = []
    for run in place.store.learning.runs(task, limit=_NIGHTS):  # newest first
        if run.state == "promoted" and run.verdict.get("force"):
            break
        if run.state == "refused" and run.until and not _serves(run, champion):
            found.append(Window(_moment(run.verdict.get("since")), run.until))
    return found


def _finish(night: Begun, done: Night, place: Place, means: Means) -> None:
    """Enter the night's end; what passed the gate counts as promoted, whoever lets it serve."""
    states: Mapping[NightState, RunState] = {"refused": "refused", "nothing": "nothing"}
    verdict = {"why": done.why, "outcome": done.state, **_asked(night), **(done.verdict.as_json() if done.verdict else {})}
    place.store.learning.finish_run(
        night.id, states.get(done.state, "promoted"), means.now(), done.version, verdict, dict(done.counts)
    )
