"""The REST door under ``/v1``: conversations, messages (JSON or server-sent events), feedback; and health.

Knows HTTP and the assistant's ``turn`` and ``feedback``. Every error leaves as a JSON problem object (RFC 9457) whose ``detail``
a person can read; no trace ever does. Mounted by ``server.py``.
"""

from __future__ import annotations

import hmac
import json
import logging
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, FastAPI, Header, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from assistant.errors import DeskhandError
from assistant.records import Reply
from ui.plain_text import mend, pieces
from ui.wiring import Wired

EVENT_STREAM = "text/event-stream"
_BEARER = HTTPBearer(auto_error=False, description="One of the tokens in the settings, serve.tokens")
_LOG = logging.getLogger(__name__)
_TITLES = {
    400: "Bad request",
    401: "Token needed",
    404: "Not found",
    405: "Method not allowed",
    409: "Not possible now",
    413: "Too large",
    422: "Cannot be read",
}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", str_max_length=200_000)


class NewConversation(_Body):
    """What may be known when a conversation begins."""

    contact: str | None = Field(default=None, max_length=200, description="Who the customer is to you")
    language: str | None = Field(default=None, max_length=10, description="ISO 639-1, where known")
    channel: str = Field(default="api", max_length=40)


class ConversationStarted(BaseModel):
    """The new conversation."""

    conversation_id: str


class NewMessage(_Body):
    """What the customer wrote."""

    text: str = Field(description="Any text; an empty one gets a decent answer too")


class Judgement(_Body):
    """What a person thinks of a reply."""

    rating: Literal[-1, 1] = Field(description="Thumbs down or up")
    comment: str = Field(default="", max_length=10_000)
    correction: str = Field(
        default="",
        max_length=10_000,
        description="What the answer should have been, in staff's words: it is said to the next customer who asks the same",
    )
    intent: str | None = Field(default=None, max_length=200, description="What the customer really wanted, where staff says so")


class Problem(BaseModel):
    """An error, after RFC 9457."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Guess(BaseModel):
    """A topic with its calibrated probability."""

    name: str | None
    confidence: float


class Intent(Guess):
    """The topic understood, with the next likely ones."""

    alternatives: list[Guess]


class Mood(BaseModel):
    """The customer's mood; ``score`` in [-1, 1]."""

    label: Literal["negative", "neutral", "positive"]
    score: float


class Evidence(BaseModel):
    """A passage the reply stands on."""

    id: str
    kind: Literal["article", "reply", "template"]
    title: str
    text: str
    score: float


class Answer(BaseModel):
    """The reply, in the form that ``deskhand ask --json`` prints too."""

    conversation_id: str
    message_id: str
    action: Literal["send", "clarify", "handoff"]
    reason: str
    reply: str
    intent: Intent
    sentiment: Mood
    slots: dict[str, str]
    language: str
    evidence: list[Evidence]
    versions: dict[str, str]
    latency_ms: float


def problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Make an error response.

    Args:
        status: HTTP status.
        detail: What went wrong and the mend, for a person.
        headers: Further headers.

    Returns:
        An ``application/problem+json`` response.
    """
    body = Problem(title=_TITLES.get(status, "Error"), status=status, detail=detail)
    return JSONResponse(body.model_dump(), status, headers, media_type="application/problem+json")


def add_api(app: FastAPI, wired: Wired) -> None:
    """Add the REST paths and the error handlers to an app.

    Args:
        app: The app.
        wired: The assistant with its store and settings.
    """
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _failed)
    guarded = _v1(wired)
    app.include_router(guarded, prefix="/v1", dependencies=[Depends(guard(wired.settings.serve.tokens))])
    app.include_router(_health(wired))

    @app.api_route("/v1/{path:path}", methods=["GET", "POST", "PUT", "PATCH", "DELETE"], include_in_schema=False)
    def unknown(path: str) -> JSONResponse:
        return problem(404, f"there is no such path or method under /v1/: {path[:80]!r}; /openapi.json lists them")


def _v1(wired: Wired) -> APIRouter:
    refusals: dict[int | str, dict[str, Any]] = {status: {"model": Problem} for status in (401, 404, 413, 422)}
    router = APIRouter(responses=refusals)

    @router.post("/conversations", status_code=201, summary="Begin a conversation")
    def begin(body: NewConversation | None = None) -> ConversationStarted:
        facts = body or NewConversation()
        id = uuid.uuid4().hex
        contact = mend(facts.contact) if facts.contact else None
        wired.store.start_conversation(id, datetime.now(UTC), facts.language, contact, mend(facts.channel))
        return ConversationStarted(conversation_id=id)

    @router.post(
        "/conversations/{id}/messages",
        summary="Say something and get the reply",
        response_model=Answer,
        responses={200: {"content": {EVENT_STREAM: {}}, "description": "The reply; with `Accept: text/event-stream` in pieces"}},
    )
    def say(id: str, body: NewMessage, accept: Annotated[str, Header()] = "") -> Any:
        if wired.store.conversation(id) is None:
            raise HTTPException(404, f"there is no conversation {id[:80]!r}: begin one with POST /v1/conversations")
        reply = wired.assistant.turn(mend(body.text), conversation_id=id, channel="api")
        if EVENT_STREAM in accept.lower():
            return StreamingResponse(_events(reply), media_type=EVENT_STREAM, headers={"Cache-Control": "no-store"})
        return reply.as_json()

    @router.post("/messages/{id}/feedback", status_code=204, summary="Judge a reply, or correct it")
    def judge(id: str, body: Judgement) -> None:
        # Whoever comes this far is staff (see is_staff), so corrections need no further question.
        if wired.store.message_detail(id) is None:
            raise HTTPException(404, f"there is no message {id[:80]!r}: use the message_id of a reply")
        try:
            intent = mend(body.intent) if body.intent else None
            wired.assistant.feedback(id, body.rating, mend(body.comment), mend(body.correction), intent)
        except DeskhandError as error:  # such as the id of the customer's own message, or an intent nobody knows
            raise HTTPException(400, str(error)) from error

    return router


def _health(wired: Wired) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", summary="Is the process alive?")
    def alive() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="Can it answer?", responses={503: {"model": Problem}})
    def ready() -> Any:
        try:
            wired.store.conversation("readyz")
            return {"status": "ready", "versions": wired.assistant.versions}
        except DeskhandError as error:
            return problem(503, str(error))

    return router


def _events(reply: Reply) -> Iterator[str]:
    """Stream a reply: ``delta`` events whose texts join to it, then the whole as a ``reply`` event."""
    for number, piece in enumerate(pieces(reply.text)):
        yield _event("delta", f"{reply.message_id}-{number}", {"text": piece})
    yield _event("reply", reply.message_id, reply.as_json())


def _event(name: str, id: str, data: dict[str, Any]) -> str:
    return f"id: {id}\nevent: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n"


def is_staff(tokens: tuple[str, ...], sent: str) -> bool:
    """Say whether somebody counts as staff, who may correct answers; everyone else may send thumbs and comments.

    Without tokens in the settings Deskhand is used locally, and whoever reaches it is staff.

    Args:
        tokens: Those of the settings, ``serve.tokens``.
        sent: The Bearer token that came with the request; empty without one.

    Returns:
        Whether there are no tokens, or this is one of them.
    """
    return not tokens or any(hmac.compare_digest(sent.encode(), token.encode()) for token in tokens)


def guard(tokens: tuple[str, ...]) -> Any:
    """Make the check of the Bearer token; without tokens in the settings, everyone may.

    Args:
        tokens: Those of the settings, ``serve.tokens``.

    Returns:
        What ``fastapi.Depends`` takes; it refuses with 401.
    """

    def check(given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)]) -> None:
        if not is_staff(tokens, given.credentials if given else ""):
            what = "the token is not one of this server's" if given else "this server wants a token"
            raise HTTPException(401, f"{what}: send 'Authorization: Bearer TOKEN'", {"WWW-Authenticate": "Bearer"})

    return check


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    told = "; ".join(f"{_place(fault['loc'])}: {fault['msg']}" for fault in faults[:10])
    return problem(422, mend(told) or "the request cannot be read")


def _place(loc: tuple[int | str, ...]) -> str:
    inner = [str(part) for part in loc if part != "body" and not isinstance(part, int)]
    return ".".join(inner)[:80] or "the body"


async def _refused(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        return await _failed(request, error)
    return problem(error.status_code, str(error.detail), dict(error.headers or {}))


async def _failed(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("a request failed: %s %s", request.method, request.url.path, exc_info=error)
    return problem(500, "something went wrong on our side; the server's log says what")
