"""Commands of the monitor: names and options. What they do is in ``monitor_reports.py`` and ``monitor_alerts.py``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

monitor_app = typer.Typer(help="Sentiment by topic: reports, alerts, backtest.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON value for a machine.")]


@monitor_app.command("report")
def monitor_report(
    since: Annotated[str | None, typer.Option(help="First day or moment, such as 2026-03-01; else the last whole week.")] = None,
    until: Annotated[str | None, typer.Option(help="End; not part of it. Else a week after --since, at most now.")] = None,
    format: Annotated[str, typer.Option(help="html, pdf, json or csv.")] = "html",
    lang: Annotated[str, typer.Option(help="en or zh.")] = "en",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where; else reports/ of the home; - for stdout.")] = None,
    as_json: Json = False,
) -> None:
    """Write a report a manager would read: what got worse and better, why, and what nobody could answer."""
    from ui import monitor_reports

    monitor_reports.run_report(since=since, until=until, format=format, lang=lang, out=out, as_json=as_json)


@monitor_app.command("alerts")
def monitor_alerts(
    state: Annotated[str | None, typer.Option(help="open, acknowledged or resolved; else all.")] = None,
    as_json: Json = False,
) -> None:
    """List the alerts, newest first."""
    from ui import monitor_alerts as alerts

    alerts.run_alerts(state=state, as_json=as_json)


@monitor_app.command("ack")
def monitor_ack(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="The alert's id.")],
    by: Annotated[str, typer.Option(help="Who takes it.")],
    as_json: Json = False,
) -> None:
    """Note that somebody takes an alert."""
    from ui import monitor_alerts as alerts

    alerts.run_ack(alert, by=by, as_json=as_json)


@monitor_app.command("resolve")
def monitor_resolve(
    alert: Annotated[str, typer.Argument(metavar="ALERT", help="The alert's id.")],
    by: Annotated[str, typer.Option(help="Who resolved it.")],
    as_json: Json = False,
) -> None:
    """Note that an alert is over; a stream that is still high raises another."""
    from ui import monitor_alerts as alerts

    alerts.run_resolve(alert, by=by, as_json=as_json)


@monitor_app.command("look")
def monitor_look(as_json: Json = False) -> None:
    """Look once, now: read past conversations, raise and resolve alerts, deliver what waits."""
    from ui import monitor_alerts as alerts

    alerts.run_look(as_json=as_json)


@monitor_app.command("backtest")
def monitor_backtest(
    times: Annotated[float, typer.Option(min=1.1, max=100.0, help="How many times as many unhappy customers.")] = 3.0,
    hours: Annotated[float, typer.Option(min=1.0, max=24 * 60, help="How long each surge lasts.")] = 24.0,
    surges: Annotated[int, typer.Option(min=1, max=1000, help="How many surges are injected, one at a time.")] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Of where and when.")] = 7,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Where the page goes; else reports/ of the home.")] = None,
    as_json: Json = False,
) -> None:
    """Inject surges into the company's own history: how many are found, how late, and how many alerts are false."""
    from ui import monitor_reports

    monitor_reports.run_backtest(times=times, hours=hours, surges=surges, seed=seed, out=out, as_json=as_json)
