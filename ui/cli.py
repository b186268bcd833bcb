"""The command line: names, options and exit codes. What a command does is in the file named after it.

Exit code 0 for success, 1 for a failure that the message explains, 2 for wrong usage. Nothing heavy is imported before a
command runs, so that ``deskhand --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from assistant.errors import DeskhandError, UsageError
from ui.cli_adapters import adapters_app
from ui.cli_learning import learning_app
from ui.cli_monitor import monitor_app

app = typer.Typer(
    name="deskhand",
    help="Answers customers from your past conversations and help articles, with evidence, and knows when not to.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(adapters_app, name="adapters")
app.add_typer(monitor_app, name="monitor")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value for a machine.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and leave with its exit code.

    Args:
        arguments: Words after ``deskhand``; those of the process by default.

    Raises:
        SystemExit: Always; 0, 1 or 2.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")  # a reply may hold letters that the terminal's encoding lacks
    try:
        app(words, prog_name="deskhand")
    except Exception as error:  # the edge: people get a message, not a stack trace
        if "--debug" in words:
            raise
        from ui.terminal import complain

        known = isinstance(error, DeskhandError)
        unforeseen = f"{type(error).__name__}: {error} (not foreseen: `deskhand --debug ...` shows where; please report it)"
        complain(str(error) if known else unforeseen, as_json="--json" in words)
        raise SystemExit(2 if isinstance(error, UsageError) else 1) from error


def _show_version(wanted: bool) -> None:
    if wanted:
        from ui.version import code_version

        typer.echo(f"deskhand {code_version()}")
        raise typer.Exit


@app.callback()
def deskhand(
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole trace of an error.")] = False,
) -> None:
    """Options that stand before a command."""


@app.command()
def demo(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)] = None,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="Set up only, or serve as well.")] = True,
    as_json: Json = False,
) -> None:
    """Serve the sample company, everything on, nothing to configure."""
    from ui import demo as demo_command

    demo_command.run(host=host, port=port, serve=serve, as_json=as_json)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where deskhand.toml is written.")] = Path(),
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Write a commented deskhand.toml with every setting."""
    from ui.settings_file import write_settings
    from ui.terminal import say, say_json

    path = write_settings(folder, force=force)
    if as_json:
        say_json({"path": str(path)})
    else:
        say(f"{path} is written; next: deskhand ingest PATH...")


@app.command()
def ingest(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH...", help="Files and folders: logs, articles.")] = None,
    format: Annotated[
        str,
        typer.Option(
            help="auto, jsonl, openai, csv, bitext, zendesk, intercom, chatwoot, articles or templates.", metavar="FORMAT"
        ),
    ] = "auto",
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave broken rows out and list them.")] = False,
    remove: Annotated[str | None, typer.Option(metavar="SOURCE", help="Take a source out again.")] = None,
    list_sources: Annotated[bool, typer.Option("--list", help="List what was ingested.")] = False,
    as_json: Json = False,
) -> None:
    """Read logs and articles into the store and a new index version."""
    from ui import intake

    if sum((bool(paths), remove is not None, list_sources)) != 1:
        raise UsageError("give either PATH..., or --remove SOURCE, or --list")
    if list_sources:
        intake.run_list(as_json=as_json)
    elif remove is not None:
        intake.run_remove(remove, as_json=as_json)
    else:
        intake.run(paths or [], format=format, skip_bad=skip_bad, as_json=as_json)


@app.command()
def ask(
    text: Annotated[str, typer.Argument(help="The customer's message; '-' reads it from stdin.")],
    conversation: Annotated[str | None, typer.Option(metavar="ID", help="Go on with this conversation.")] = None,
    as_json: Json = False,
) -> None:
    """Answer one message."""
    from ui import talk

    talk.run_ask(talk.read_message(text), conversation=conversation, as_json=as_json)


@app.command()
def chat(as_json: Json = False) -> None:
    """Hold a conversation in the terminal; /why shows the evidence of the last reply, /quit leaves."""
    from ui import talk

    talk.run_chat(as_json=as_json)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; serve.host by default.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; serve.port by default.", min=0, max=65535)] = None,
    as_json: Json = False,
) -> None:
    """Serve chat, REST and widget."""
    from assistant.settings import home
    from ui.demo import serve_home
    from ui.wiring import read_settings

    serve_home(read_settings(home()), home(), host=host, port=port, as_json=as_json)


@app.command()
def evaluate(
    task: Annotated[str, typer.Argument(help="intent, sentiment, slots or dialog.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="Labelled rows, JSONL or CSV; conversations for dialog. The frozen holdout by default."
        ),
    ] = None,
    train: Annotated[Path | None, typer.Option(metavar="FILE", help="Train on this file first, in a scratch registry.")] = None,
    version: Annotated[str | None, typer.Option(help="Another version than the champion, refused ones too.")] = None,
    as_json: Json = False,
) -> None:
    """Judge the champion, another version, or an adapter trained for it, on the frozen holdout or your own labelled file."""
    from ui import judging

    judging.run(task, file, train=train, version=version, as_json=as_json)


@app.command()
def explain(
    message_id: Annotated[str, typer.Argument(metavar="ID", help="Id of a message or reply.")],
    as_json: Json = False,
) -> None:
    """Show what a reply stood on: evidence, scores, thresholds, versions."""
    from ui import talk

    talk.run_explain(message_id, as_json=as_json)


@app.command()
def forget(
    contact: Annotated[str, typer.Argument(help="The contact, exactly as the store knows it.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Delete everything that is kept of a contact."""
    from ui import intake

    intake.run_forget(contact, yes=yes, as_json=as_json)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is here and what is missing, with the mend."""
    from assistant.settings import home
    from ui import doctor as examination
    from ui.terminal import say, say_json
    from ui.wiring import read_settings

    checks = examination.examine(read_settings(home()), home())
    if as_json:
        say_json({"ok": examination.healthy(checks), "checks": [check.as_json() for check in checks]})
    else:
        for check in checks:
            say(f"{check.state:<8}{check.name:<18}{check.detail}")
            if check.mend:
                say(f"{'':<26}-> {check.mend}")
    if not examination.healthy(checks):
        raise typer.Exit(1)


app.registered_commands += learning_app.registered_commands

if __name__ == "__main__":
    main()
