"""Alerts over REST: ``GET /v1/alerts``, ``GET /v1/alerts/{id}``, and a person's two moves, ``acknowledge`` and ``resolve``.

Knows HTTP and ``alerts.py``. Errors are raised as HTTP exceptions, which the handlers of ``api.py`` turn into problem
objects. Mounted by ``server.py``, before ``api.py`` answers every other path under ``/v1``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from assistant.errors import StoreError, UsageError
from assistant.monitor.events import Alert, AlertState, SignalKind
from ui.alerts import LONGEST_NAME, Move, change, shown
from ui.api import Problem, guard
from ui.monitoring import rules
from ui.plain_text import mend
from ui.quiet import Quiet
from ui.wiring import Wired

MOST = 1_000


class Who(BaseModel):
    """Who makes the move."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(min_length=1, max_length=LONGEST_NAME, description="Name of the person")


class AlertOut(BaseModel):
    """An alert, in the form that ``deskhand monitor alerts --json`` prints too."""

    id: str
    topic: str
    locale: str
    state: AlertState
    kind: SignalKind
    since: datetime = Field(description="When the change most likely began")
    at: datetime = Field(description="When it was noticed")
    observed: int = Field(description="Unhappy conversations since then")
    expected: float | None = Field(description="How many were expected")
    messages: int
    ratio: float | None
    false_alarms_per_28_days: float | None = Field(
        description="How often chance alone would raise one as strong, over all topics"
    )
    also: list[str] = Field(description="Further streams of the same cause, as topic/locale")
    words: list[dict[str, Any]]
    articles: list[dict[str, Any]]
    versions: dict[str, Any]
    opened_at: datetime
    acknowledged_at: datetime | None
    acknowledged_by: str
    resolved_at: datetime | None
    resolved_by: str = Field(description="A person, or `recovery`")
    quiet_since: datetime | None = Field(
        description="When the last unhappy message of an open alert came, if that is a day ago or longer"
    )
    details: dict[str, Any]


class Quoted(BaseModel):
    """A typical message, redacted as it is stored."""

    id: str
    text: str


class AlertWithTexts(AlertOut):
    """An alert with its typical messages; one whose customer was forgotten is left out."""

    typical: list[Quoted]


class AlertList(BaseModel):
    """Alerts, newest first."""

    alerts: list[AlertOut]


class AlertMoved(AlertOut):
    """An alert after a move; ``changed`` is false where it stood so already."""

    changed: bool


def add_alerts(app: FastAPI, wired: Wired, now: Callable[[], datetime]) -> None:
    """Add the paths of alerts to an app, behind the same Bearer tokens as the rest.

    Args:
        app: The app.
        wired: The assistant with its store and settings.
        now: The clock, timezone-aware.
    """
    app.include_router(_router(wired, now), prefix="/v1", dependencies=[Depends(guard(wired.settings.serve.tokens))])


def _router(wired: Wired, now: Callable[[], datetime]) -> APIRouter:
    refusals: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (401, 404, 422)}
    router = APIRouter(responses=refusals)
    ledger, quiet = wired.store.monitor, Quiet(wired.store.monitor, now)

    def told(alert: Alert) -> dict[str, Any]:
        return shown(alert, silent())

    def silent() -> Mapping[str, datetime]:
        return quiet.since(rules(wired.settings, wired.serving().understander.mood_thresholds))

    @router.get("/alerts", summary="List alerts, newest first", response_model=AlertList)
    def alerts(
        state: Annotated[AlertState | None, Query(description="Only in this state")] = None,
        topic: Annotated[str | None, Query(max_length=200, description="Only of this topic")] = None,
        since: Annotated[
            AwareDatetime | None,
            Query(description="Only opened at this time or later; with a zone, such as 2026-03-01T00:00:00Z"),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = 100,
    ) -> Any:
        found = ledger.alerts(state=state, since=since, topic=None if topic is None else mend(topic))
        since_when = silent()
        return {"alerts": [shown(one, since_when) for one in found[:limit]]}

    @router.get("/alerts/{id}", summary="One alert, with its typical messages", response_model=AlertWithTexts)
    def alert(id: str) -> Any:
        found = ledger.alert(mend(id))
        if found is None:
            raise _unknown(id)
        texts = ledger.texts(found.quoted)
        return {**told(found), "typical": [{"id": one, "text": text} for one, text in texts.items()]}

    refused: dict[int | str, dict[str, Any]] = {409: {"model": Problem}}

    @router.post("/alerts/{id}/acknowledge", summary="Take an alert", response_model=AlertMoved, responses=refused)
    def acknowledge(id: str, body: Who) -> Any:
        return move(id, "acknowledged", body)

    @router.post("/alerts/{id}/resolve", summary="Say that an alert is over", response_model=AlertMoved, responses=refused)
    def resolve(id: str, body: Who) -> Any:
        return move(id, "resolved", body)

    def move(id: str, what: Move, who: Who) -> dict[str, Any]:
        if ledger.alert(mend(id)) is None:
            raise _unknown(id)
        try:
            done = change(ledger, wired.settings, mend(id), what, mend(who.by), now())
        except UsageError as error:
            raise HTTPException(422, str(error)) from error
        except StoreError as error:
            left = ledger.alert(mend(id))
            if left is None or left.state != "resolved":
                raise  # the database's own trouble
            raise HTTPException(409, str(error)) from error
        return {**told(done.alert), "changed": done.changed}

    return router


def _unknown(id: str) -> HTTPException:
    return HTTPException(404, f"there is no alert {id[:80]!r}: GET /v1/alerts lists them")
