"""The command line's ``adapters`` group: names and options. What a command does is in the file named after it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

adapters_app = typer.Typer(help="Train, list and choose adapters.", no_args_is_help=True, rich_markup_mode=None)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value for a machine.")]
Task = Annotated[str, typer.Argument(help="intent, sentiment, slots or dialog.")]
Version = Annotated[str, typer.Argument(help="Name of a version, as `deskhand adapters list` shows it.")]


@adapters_app.command("list")
def adapters_list(as_json: Json = False) -> None:
    """List every version of every task; the champion serves."""
    from ui import adapters

    adapters.run_list(as_json=as_json)


@adapters_app.command("show")
def adapters_show(
    task: Task,
    version: Version,
    as_json: Json = False,
) -> None:
    """Show what a version was made from and how good it is."""
    from ui import adapters

    adapters.run_show(task, version, as_json=as_json)


@adapters_app.command("train")
def adapters_train(
    task: Task,
    data: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Labelled rows, or conversations for dialog; the demo has its own.")
    ] = None,
    validation: Annotated[Path | None, typer.Option(metavar="FILE", help="Rows to choose by; else a tenth is held out.")] = None,
    promote: Annotated[bool, typer.Option("--promote", help="Make the new version the champion.")] = False,
    method: Annotated[str | None, typer.Option(help="lora, adalora, ia3, prefix or prompt.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=1000, help="Most passes over the rows.")] = None,
    rank: Annotated[int | None, typer.Option(min=1, max=256, help="Rank of the adapter.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed; the same seed and rows give the same adapter.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other training setting; may be repeated.")
    ] = None,
    search: Annotated[int, typer.Option(min=0, max=1000, help="Try so many settings on the validation rows first.")] = 0,
    as_json: Json = False,
) -> None:
    """Train a new version on labelled rows; a run that was killed goes on where it stopped."""
    from ui import training

    wishes = training.Wishes(promote, tuple(set_ or ()), search, method, epochs, rank, seed)
    training.run_train(task, data, validation, wishes, as_json=as_json)


@adapters_app.command("promote")
def adapters_promote(task: Task, version: Version, as_json: Json = False) -> None:
    """Make a version the champion of its task."""
    from ui import adapters

    adapters.run_promote(task, version, as_json=as_json)


@adapters_app.command("rollback")
def adapters_rollback(task: Task, as_json: Json = False) -> None:
    """Make the champion before this one the champion again."""
    from ui import adapters

    adapters.run_rollback(task, as_json=as_json)


@adapters_app.command("discover")
def adapters_discover(
    data: Annotated[Path | None, typer.Option(metavar="FILE", help="Texts or logs; else the conversations in the store.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Where the proposal goes; else in the home folder.")] = None,
    least: Annotated[int, typer.Option(min=2, help="Fewest messages of a proposed intent.")] = 8,
    as_json: Json = False,
) -> None:
    """Propose intents from conversations without labels, as a file to edit and train from."""
    from ui import discovery

    discovery.run_discover(out=out, data=data, least=least, as_json=as_json)


@adapters_app.command("try")
def adapters_try(
    task: Task,
    version: Version,
    share: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of conversations, each kept on its side.")] = 0.1,
    as_json: Json = False,
) -> None:
    """Serve a version to a share of conversations; it is withdrawn by itself when they go worse."""
    from ui import rollouts

    rollouts.run_try(task, version, share=share, as_json=as_json)


@adapters_app.command("withdraw")
def adapters_withdraw(task: Task, as_json: Json = False) -> None:
    """Stop trying a candidate; all conversations go to the champion."""
    from ui import rollouts

    rollouts.run_withdraw(task, as_json=as_json)


@adapters_app.command("trial")
def adapters_trial(
    task: Annotated[str | None, typer.Argument(help="One task; else all.")] = None,
    as_json: Json = False,
) -> None:
    """Show how conversations go with the candidate beside the champion."""
    from ui import rollouts

    rollouts.run_status(task, as_json=as_json)
