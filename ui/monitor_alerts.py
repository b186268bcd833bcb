"""``monitor alerts|ack|resolve|look``: what was raised, who took it, and one look by hand."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, get_args
from zoneinfo import ZoneInfo

from assistant.errors import UsageError
from assistant.monitor.events import AlertState
from assistant.monitor.quiet import quiet_since
from assistant.monitor.telling import how_sure, name_of
from assistant.settings import home
from ui import terminal
from ui.alerts import Move, change, shown
from ui.monitoring import rules, trained_thresholds
from ui.wiring import connect, read_settings

if TYPE_CHECKING:
    from assistant.monitor.events import Alert
    from assistant.settings import Settings
    from assistant.store import Store


def run_alerts(*, state: str | None, as_json: bool) -> None:
    """List alerts, those that began last first: one look over a long history opens them all at one moment.

    Args:
        state: Only in this state.
        as_json: Whether to print a list of objects.

    Raises:
        UsageError: If there is no such state.
    """
    if state is not None and state not in get_args(AlertState):
        raise UsageError(f"--state {state!r} is none of {', '.join(get_args(AlertState))}")
    settings = read_settings(home())
    store = connect(settings, home())
    try:
        found = sorted(store.monitor.alerts(state=state), key=lambda one: one.signal.since, reverse=True)  # type: ignore[arg-type]
        quiet = _quiet(store, settings, found)
    finally:
        store.close()
    if as_json:
        terminal.say_json([shown(one, quiet) for one in found])
        return
    if not found:
        terminal.say("no alerts; `deskhand monitor look` looks now")
    zone = ZoneInfo(settings.schedule.timezone)
    for one in found:
        words = ", ".join(str(word["text"]) for word in one.words[:5])
        since = f"{one.signal.since.astimezone(zone):%Y-%m-%d %H:%M}"
        terminal.say(f"{one.id}  {one.state:12}  {since}  {name_of(one.topic)} ({one.locale})")
        terminal.say(f"    {one.signal.observed} against {one.signal.expected:.3g} expected. {how_sure(one.signal)}")
        if words:
            terminal.say(f"    words: {words}")
        if one.id in quiet:
            ends = f"it ends by itself after {settings.monitor.quiet_days:g} days without an unhappy message while others write"
            terminal.say(f"    quiet since {quiet[one.id].astimezone(zone):%Y-%m-%d %H:%M}; {ends}")


def run_ack(id: str, *, by: str, as_json: bool) -> None:
    """Note that somebody takes an alert; a second time changes nothing.

    Args:
        id: The alert.
        by: Who.
        as_json: Whether to print the alert.

    Raises:
        UsageError: If nobody is named.
        StoreError: If there is no such alert, or it is resolved.
    """
    _change(id, "acknowledged", by, as_json=as_json)


def run_resolve(id: str, *, by: str, as_json: bool) -> None:
    """Note that an alert is over; receivers are told.

    Args:
        id: The alert.
        by: Who.
        as_json: Whether to print the alert.

    Raises:
        UsageError: If nobody is named.
        StoreError: If there is no such alert.
    """
    _change(id, "resolved", by, as_json=as_json)


def run_look(*, as_json: bool) -> None:
    """Look once: past conversations are read first, then everything new is judged and what waits is delivered.

    Args:
        as_json: Whether to print one object.
    """
    from ui.monitoring import Watcher, make_senders
    from ui.wiring import build

    place = home()
    wired = build(read_settings(place), place)
    try:
        serving = wired.serving()
        thresholds = serving.understander.mood_thresholds
        watcher = Watcher(wired.settings, wired.store, make_senders(wired.settings), thresholds=thresholds)
        with terminal.Steps(quiet=as_json) as steps:
            steps.line("reading what is new; past conversations are read once")
            waiting = wired.store.monitor.count_unread(serving.understander.versions.get("sentiment", ""))
            done = 0

            def progress(count: int) -> None:
                nonlocal done
                done += count
                steps("reading past messages", done, max(done, waiting))  # more may come in meanwhile

            look = watcher.look(lambda: datetime.now(UTC), serving.understander, progress=progress)
        watcher.close()
    finally:
        wired.close()
    caught, sent, read = look.caught, look.delivered, look.read
    if as_json:
        figures: dict[str, Any] = {"read": read, "sent": sent.sent, "failed": sent.failed, "dead": sent.dead}
        figures["watched"] = caught is not None
        if caught is not None:
            figures |= {"messages": caught.events, "raised": [one.id for one in caught.raised]}
            figures |= {"joined": [one.id for one in caught.joined], "resolved": [one.id for one in caught.resolved]}
        terminal.say_json(figures)
        return
    if caught is None:
        terminal.say(f"{read} past messages read; another process watches this store: `deskhand monitor alerts` shows its alerts")
    else:
        counts = f"{len(caught.raised)} alerts raised, {len(caught.resolved)} resolved"
        terminal.say(f"{read} past messages read, {caught.events} messages judged, {counts}")
        for one in caught.raised:
            terminal.say(f"  {one.id}  {name_of(one.topic)} ({one.locale}) since {one.signal.since:%Y-%m-%d %H:%M %Z}")
    if sent.sent or sent.failed or sent.dead:
        terminal.say(f"{sent.sent} notices sent, {sent.failed} to be tried again, {sent.dead} given up")


def _change(id: str, move: Move, by: str, *, as_json: bool) -> None:
    settings = read_settings(home())
    store = connect(settings, home())
    try:
        done = change(store.monitor, settings, id, move, by, datetime.now(UTC))
        quiet = _quiet(store, settings, [done.alert]) if as_json else {}
    finally:
        store.close()
    if as_json:
        terminal.say_json({**shown(done.alert, quiet), "changed": done.changed})
    else:
        terminal.say(f"{id} is {move} by {by}" if done.changed else f"{id} was {done.alert.state} already")


def _quiet(store: Store, settings: Settings, alerts: Sequence[Alert]) -> dict[str, datetime]:
    judged = rules(settings, trained_thresholds(home()))
    return quiet_since(store.monitor, alerts, judged.negative, datetime.now(UTC))
