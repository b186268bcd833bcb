"""What the doors share about alerts: how one is shown to machines, and how a person acknowledges or resolves it.

Knows the ledger and who is told; knows no command, request or page. Before: ``assistant/monitor``. After:
``monitor_alerts.py`` (command line), ``alerts_api.py`` (REST) and ``console.py``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from assistant.errors import UsageError
from assistant.monitor.telling import data, notices

if TYPE_CHECKING:
    from assistant.monitor.events import Alert
    from assistant.monitor.ledger import Ledger, Notice
    from assistant.settings import Settings

Move = Literal["acknowledged", "resolved"]
LONGEST_NAME = 200
#: The monitor writes this where a topic recovered; read as a person's name, a rebuild would take their word for its own.
_NOT_A_NAME = "recovery"


@dataclass(frozen=True, slots=True)
class Changed:
    """An alert after a person's move, and whether the move changed anything."""

    alert: Alert
    changed: bool


def change(ledger: Ledger, settings: Settings, id: str, move: Move, by: str, now: datetime) -> Changed:
    """Acknowledge or resolve an alert; a second time changes nothing, and of a resolved one the receivers are told.

    Args:
        ledger: The store's side.
        settings: Sections ``notify`` and ``schedule`` count.
        id: The alert.
        move: What becomes of it.
        by: Who does it.
        now: When, timezone-aware.

    Returns:
        The alert as it is then.

    Raises:
        UsageError: If nobody is named, or a name that the monitor keeps for itself.
        StoreError: If there is no such alert, or it is to be acknowledged and resolved already.
    """
    name = by.strip()
    if not name or len(name) > LONGEST_NAME or name.casefold() == _NOT_A_NAME:
        raise UsageError(
            f"{by[:40]!r} is nobody's name here: say who it is, in at most {LONGEST_NAME} characters and not {_NOT_A_NAME!r}"
        )
    known = ledger.alert(id)
    if move == "acknowledged":
        changed = ledger.acknowledge(id, name, now)
    else:
        changed = ledger.resolve(id, name, now, told(known.ended(now, name), settings, now) if known else ())
    found = ledger.alert(id)
    if found is None:
        raise UsageError(f"alert {id[:80]!r} was removed meanwhile: list the alerts again")
    return Changed(found, changed)


def told(alert: Alert, settings: Settings, now: datetime) -> tuple[Notice, ...]:
    """Make what every receiver of the settings is told when an alert is over.

    Args:
        alert: The alert.
        settings: Sections ``notify`` and ``schedule`` count.
        now: When it ended, timezone-aware.

    Returns:
        One notice for each receiver.
    """
    own = settings.notify
    receivers = [*(one.name for one in own.webhooks), *(one.name for one in own.apprise)]
    return notices(alert, "resolved", now, receivers, ZoneInfo(settings.schedule.timezone))


def shown(alert: Alert, quiet: Mapping[str, datetime]) -> dict[str, Any]:
    """Show an alert to a machine.

    Args:
        alert: The alert.
        quiet: Since when the customers of open alerts are quiet, by the alert's id; see ``assistant/monitor/quiet.py``.

    Returns:
        Its figures, states and details, ready for JSON, times in ISO 8601; a number that JSON cannot say is ``None``.
    """
    moments = {"opened_at": alert.opened_at, "acknowledged_at": alert.acknowledged_at, "resolved_at": alert.resolved_at}
    moments["quiet_since"] = quiet.get(alert.id) if alert.state != "resolved" else None
    whole: dict[str, Any] = _finite(
        {
            **data(alert),
            **{name: at.isoformat() if at else None for name, at in moments.items()},
            "acknowledged_by": alert.acknowledged_by,
            "resolved_by": alert.resolved_by,
            "details": alert.details,
        }
    )
    return whole


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
