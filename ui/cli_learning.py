"""The command line of the learning loop: corrections, review, retraining, its schedule, replay. Names and options only."""

from __future__ import annotations

from typing import Annotated

import typer

learning_app = typer.Typer()

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value for a machine.")]


@learning_app.command()
def correct(
    message_id: Annotated[str, typer.Argument(metavar="ID", help="Id of the reply.")],
    answer: Annotated[str | None, typer.Option(help="What should have been answered.")] = None,
    intent: Annotated[str | None, typer.Option(help="What the customer wanted.")] = None,
    as_json: Json = False,
) -> None:
    """Correct a reply: serves at once, becomes a regression case and a training example."""
    from ui import talk

    talk.run_correct(message_id, answer=answer, intent=intent, as_json=as_json)


@learning_app.command()
def review(
    task: Annotated[str, typer.Option(help="Task whose messages are shown.")] = "intent",
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    as_json: Json = False,
) -> None:
    """List messages that wait for a person's label, most uncertain first."""
    from ui import reviewing

    reviewing.run_review(task, limit=limit, as_json=as_json)


@learning_app.command()
def label(
    item_id: Annotated[str, typer.Argument(metavar="ID", help="Id that `deskhand review` shows, or its beginning.")],
    name: Annotated[str | None, typer.Argument(metavar="LABEL", help="The right label.")] = None,
    drop: Annotated[bool, typer.Option("--drop", help="The message teaches nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Give a waiting message its label, or drop it."""
    from ui import reviewing

    reviewing.run_label(item_id, name, drop=drop, as_json=as_json)


@learning_app.command()
def retrain(
    task: Annotated[str | None, typer.Argument(help="intent or dialog; else those of the settings.")] = None,
    if_due: Annotated[bool, typer.Option("--if-due", help="Leave quietly where another process is at it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Train on little, and on nights that were refused too.")] = False,
    as_json: Json = False,
) -> None:
    """Learn from what people wrote since the last run; promote what is not worse, keep the verdict."""
    from ui import retraining

    retraining.run_retrain(task=task, if_due=if_due, force=force, as_json=as_json)


@learning_app.command()
def schedule(
    once: Annotated[bool, typer.Option("--once", help="Do what is due now and leave.")] = False,
    as_json: Json = False,
) -> None:
    """Retrain by the clock; of several schedulers on one store, one runs."""
    from ui import scheduling

    scheduling.run_schedule(once=once, as_json=as_json)


@learning_app.command()
def replay(
    message_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="One message; else all of the last days.")] = None,
    task: Annotated[str, typer.Option(help="Task whose candidate is tried.")] = "intent",
    version: Annotated[str | None, typer.Option(help="The candidate; else the newest that does not serve.")] = None,
    days: Annotated[int, typer.Option(min=1, help="How far back.")] = 30,
    limit: Annotated[int, typer.Option(min=1, help="Most messages.")] = 2000,
    as_json: Json = False,
) -> None:
    """Decide last month's messages again with a candidate and show what would change."""
    from ui import replaying

    if message_id is not None:
        replaying.run_replay_message(message_id, as_json=as_json)
        return
    replaying.run_replay(task=task, version=version, days=days, limit=limit, as_json=as_json)
