"""The web server: the REST door, the chat page at ``/``, and the guards around both.

Knows ASGI, nothing of conversations. The guards: a limit on what a request may carry, security headers (a content policy
that lets the page talk to this server alone), and only those paths of the page's framework that the page uses.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
from contextlib import suppress
from datetime import UTC, datetime

import uvicorn
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.alerts_api import add_alerts
from ui.api import add_api, problem
from ui.console import add_console
from ui.monitoring import Background
from ui.version import code_version
from ui.wiring import Wired

MAX_BODY_BYTES = 2 << 20
#: What the chat page needs of Gradio; uploads, files, its proxy and its own API stay shut.
_PAGE_PATHS = re.compile(r"/gradio_api/(?:queue/(?:join|data)|heartbeat/\w+|cancel|reset|startup-events|app_id|info)/?$")
_SHUT = re.compile(r"/(?:gradio_api|monitoring|proxy|file|upload|run|api|call|login|logout|pwa_icon|svelte)(?:[/=]|$)")
_CONTENT_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_FOREIGN_META = re.compile(rb"<meta\s+(?:property|name)=\"(?:og|twitter):[^>]*>\s*")
_LOG = logging.getLogger(__name__)


def create_app(wired: Wired) -> FastAPI:
    """Build the web application.

    Args:
        wired: The assistant with its store and settings.

    Returns:
        The app: ``/v1``, ``/healthz``, ``/readyz``, ``/openapi.json``, and the chat page at ``/``.
    """
    # FastAPI's own pages of documentation load their scripts from other hosts.
    app = FastAPI(title="Deskhand", version=code_version(), docs_url=None, redoc_url=None)
    add_alerts(app, wired, _now)  # before the REST door, which answers every other path under /v1
    add_console(app, wired, _now)
    add_api(app, wired)
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        # Outside a running loop, Gradio opens one for each of its locks and leaves it open.
        asyncio.run(_mounted(app, wired))
    else:
        _mount(app, wired)
    app.add_middleware(Guard)
    return app


async def _mounted(app: FastAPI, wired: Wired) -> None:
    _mount(app, wired)


def _mount(app: FastAPI, wired: Wired) -> None:
    import gradio as gr

    from ui import chat

    gr.mount_gradio_app(
        app,
        chat.build(wired),
        path="/",
        theme=chat.theme(),
        css=chat.style(),
        footer_links=[],
        show_error=False,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
    )


def serve(wired: Wired, host: str, port: int) -> None:
    """Serve until interrupted; meanwhile judge the candidates on trial and watch what customers write.

    Args:
        wired: The assistant with its store and settings.
        host: The address to listen on.
        port: The port.
    """
    if not wired.settings.serve.tokens and not _is_local(host):
        _LOG.warning("listening on %s without tokens: anyone who reaches it may use it; set [serve] tokens", host)
    background = Background(wired, _now)
    background.start()
    if wired.watch is not None:
        wired.watch.start()
    try:
        uvicorn.run(create_app(wired), host=host, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=5)
    finally:
        background.stop()
        if wired.watch is not None:
            wired.watch.stop()


class Guard:
    """ASGI middleware: limits bodies, shuts unused paths, sets security headers, keeps foreign addresses off the page."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before another app."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        if _SHUT.match(path) and not _PAGE_PATHS.match(path):
            await problem(404, "there is nothing here")(scope, receive, send)
            return
        too_large = problem(413, f"the body is larger than {MAX_BODY_BYTES >> 20} MiB: send less")
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
            await too_large(scope, receive, send)
            return
        body = _Body(receive)
        answer = _Answer(send, body, page=path == "/")
        if answer.page:  # an encoded page could not be read below
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"accept-encoding"]}
        with suppress(_TooLargeError):
            await self._app(scope, body.receive, answer.send)
        if body.over and not answer.started:
            await too_large(scope, receive, send)


class _TooLargeError(Exception):
    pass


class _Body:
    """Counts what a request really carries, for clients that do not declare it."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._taken = 0
        self.over = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        if self._taken > MAX_BODY_BYTES:
            self.over = True
            raise _TooLargeError
        return message


class _Answer:
    """Adds the headers; holds a page back until it is whole, and takes the framework's links to other hosts out of it."""

    def __init__(self, send: Send, body: _Body, page: bool) -> None:
        self._send = send
        self._body = body
        self._start: Message | None = None
        self._held = b""
        self.page = page
        self.started = False

    async def send(self, message: Message) -> None:
        if self._body.over and not self.started:
            return  # the app's own words for a body that broke off are not the reason
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            self.page = self.page and headers.get("content-type", "").startswith("text/html")
            if self.page:
                self._start = message
                return
        elif self.page and self._start is not None:
            self._held += message.get("body", b"")
            if message.get("more_body"):
                return
            body = _FOREIGN_META.sub(b"", self._held)
            MutableHeaders(scope=self._start)["content-length"] = str(len(body))
            await self._send(self._start)
            message = {"type": "http.response.body", "body": body}
        await self._send(message)


def _now() -> datetime:
    return datetime.now(UTC)


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
