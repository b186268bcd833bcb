"""The console at ``/console``: staff see alerts and trends live, drill down to messages, acknowledge and resolve.

Knows HTTP, who may look, and what to read from the store; counting is in ``console_counts.py``, drawing in
``console_html.py``. Plain pages that work without a script; ``console.js`` only keeps them up to date. Mounted by
``server.py``.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from importlib import resources
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit
from zoneinfo import ZoneInfo

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool

from assistant import provenance
from assistant.errors import DeskhandError, StoreError, UsageError
from assistant.monitor.events import Alert
from assistant.monitor.ledger import Place
from assistant.monitor.readings import turn_keys
from assistant.monitor.watching import Rules
from ui.alerts import Move, change
from ui.api import is_staff
from ui.chat_text import page_language
from ui.console_counts import Counted, count, start_reading
from ui.console_figures import Plots, plots
from ui.console_filters import Filters, read_filters
from ui.console_html import (
    MOST_QUOTED,
    AlertCard,
    Frame,
    alert_cards,
    conversation_page,
    notice,
    overview,
    quotes,
    topic_page,
)
from ui.console_text import console_words
from ui.monitoring import LEASE, READING, lease_seconds, rules
from ui.plain_text import mend
from ui.quiet import Quiet, kept_until
from ui.wiring import Wired

MOST_ALERTS, MOST_OVER = 30, 10
_OVER_FOR = timedelta(days=28)
_KEPT_COUNTS = 8
_COOKIE = "deskhand_by"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}
_ASSETS = {"console.css": "text/css", "console.js": "text/javascript"}
_PROXY = """Authorization: Bearer TOKEN

# nginx
location /console {
    # … let only staff through here …
    proxy_set_header Authorization "Bearer TOKEN";
    proxy_pass http://127.0.0.1:8000;
}"""
_LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Kept:
    """A count, until when it is good enough, and the plots made of it."""

    counted: Counted
    until: datetime
    empty: bool
    plots: dict[tuple[object, ...], Plots | None] = field(default_factory=dict)


class Console:
    """Reads what the pages show; keeps counts for some seconds, so that many viewers cost as much as one."""

    def __init__(self, wired: Wired, now: Callable[[], datetime]) -> None:
        """Keep what to read from.

        Args:
            wired: The assistant with its store and settings.
            now: The clock, timezone-aware.
        """
        self._wired = wired
        self._ledger = wired.store.monitor
        self._now = now
        self._quiet = Quiet(self._ledger, now)
        self._zone = ZoneInfo(wired.settings.schedule.timezone)
        self._kept: dict[tuple[object, ...], _Kept] = {}
        self._lock = threading.Lock()

    def frame(self, request: Request, path: str = "/console") -> Frame:
        """Say what a request wants to see.

        Args:
            request: The request.
            path: The page's path.

        Returns:
            What every page has.
        """
        filters = read_filters(request.query_params)
        company = self._wired.settings.company
        lang = filters.lang or page_language(request.headers.get("accept-language"), company.languages)
        return Frame(company.name, lang, self._zone, self._now(), filters, path, mend(request.query_params.get("message", "")))

    def overview(self, frame: Frame, by: str) -> str:
        """Render alerts and trends.

        Args:
            frame: What every page has.
            by: The name that was given last.

        Returns:
            HTML.
        """
        kept = self._count(frame.filters)
        open_ = [*self._ledger.alerts(state="open"), *self._ledger.alerts(state="acknowledged")]
        over = [one for one in self._ledger.alerts(state="resolved") if self._lately(one)][:MOST_OVER]
        shown = open_[:MOST_ALERTS]
        return overview(
            frame,
            kept.counted,
            self._plots(frame, kept, [*open_, *over]),
            self._cards(frame, shown),
            alert_cards(frame, over, {}),
            looked=self._looked(frame),
            by=by,
            more_alerts=len(open_) - len(shown),
            empty=kept.empty,
        )

    def topic(self, frame: Frame) -> str:
        """Render the topic that the filters name."""
        kept = self._count(frame.filters)
        events = kept.counted.newest(frame.filters.pick)
        said = quotes(events, self._ledger.texts(one.id for one in events))
        alerts = self._ledger.alerts(topic=frame.filters.topic)
        return topic_page(frame, kept.counted, self._plots(frame, kept, alerts), said, self._looked(frame))

    def conversation(self, frame: Frame) -> str | None:
        """Render the conversation that holds the message of the address; None where there is none."""
        ref = self._conversation_of(frame.message)
        said = self._ledger.conversation(ref) if ref else []
        if not ref or not said:
            return None
        judged = self._rules()
        threshold = lambda locale: judged.above.get(locale, judged.otherwise)  # noqa: E731
        return conversation_page(frame, ref, said, frame.message, threshold, self._looked(frame))

    def move(self, id: str, what: Move, by: str) -> None:
        """Acknowledge or resolve an alert.

        Raises:
            UsageError: If nobody is named.
            StoreError: If there is no such alert, or it is acknowledged too late.
        """
        change(self._ledger, self._wired.settings, id, what, by, self._now())

    def _rules(self) -> Rules:
        return rules(self._wired.settings, self._wired.serving().understander.mood_thresholds)

    def _count(self, filters: Filters) -> _Kept:
        """Count what the filters' range holds, or give the count that was made a moment ago."""
        judged, started = self._rules(), self._now()
        key = (filters.range, filters.step, filters.until, judged.mark())
        with self._lock:  # viewers that wait for the same count get it from the one who counts
            known = self._kept.get(key)
            if known is not None and started < known.until:
                return known
            end = filters.end(started, self._zone)
            since = start_reading(filters.length, filters.step, end, self._zone)
            events = self._ledger.stream(Place(since, ""), end)
            counted = count(events, filters.length, filters.step, end, self._zone, judged.negative)
            empty = not counted.moves and not self._ledger.events(None, None, 1)
            done = self._now()
            kept = _Kept(counted, kept_until(started, done), empty)
            self._kept = {name: one for name, one in self._kept.items() if one.until > done and name != key}
            while len(self._kept) >= _KEPT_COUNTS:
                self._kept.pop(next(iter(self._kept)))
            self._kept[key] = kept
        return kept

    def _plots(self, frame: Frame, kept: _Kept, alerts: list[Alert]) -> Plots | None:
        pick = frame.filters.pick
        own = [one for one in alerts if any(pick(*stream) for stream in one.streams)]
        key = (frame.filters.topic, frame.filters.locale, frame.lang, *((one.id, one.resolved_at) for one in own))
        with self._lock:  # the drawing library keeps its settings in one place for all threads
            if key not in kept.plots:
                counted = kept.counted
                points, before = counted.points(pick), counted.points_before(pick)
                kept.plots[key] = plots(frame.lang, frame.zone, points, before, own, counted.versions)
            return kept.plots[key]

    def _cards(self, frame: Frame, alerts: list[Alert]) -> tuple[AlertCard, ...]:
        judged = self._rules()
        texts = self._ledger.texts(id for one in alerts for id in one.quoted[:MOST_QUOTED])
        return alert_cards(frame, alerts, texts, self._quiet.since(judged), judged.limits.quiet_days)

    def _lately(self, alert: Alert) -> bool:
        return alert.resolved_at is not None and alert.resolved_at >= self._now() - _OVER_FOR

    def _looked(self, frame: Frame) -> str:
        """Say when a monitor last looked: whoever looks renews its lease, by hand it leaves a snapshot."""
        words = console_words(frame.lang)
        reading = self._wired.store.learning.lease(READING)
        if reading is not None and reading.until > frame.made_at:
            return words["last_look_reads"]
        lease = self._wired.store.learning.lease(LEASE)
        if lease is not None and lease.until > frame.made_at:
            held = timedelta(seconds=lease_seconds(self._wired.settings))
            return words["last_look"].format(at=f"{(lease.until - held).astimezone(self._zone):%Y-%m-%d %H:%M}")
        found = self._ledger.load_state("monitor")
        if found is None or not found.value.get("stands"):
            return words["last_look_never"]
        return words["last_read"].format(at=f"{found.at.astimezone(self._zone):%Y-%m-%d %H:%M}")

    def _conversation_of(self, message: str) -> str:
        try:
            past = list(turn_keys([message]))
        except StoreError:  # looks like one of a past turn, and is none
            return ""
        if past:
            return provenance.transcript_ref(past[0][0], past[0][1])
        detail = self._wired.store.message_detail(message) if message else None
        return provenance.conversation_ref(detail["conversation"]["id"]) if detail else ""


def add_console(app: FastAPI, wired: Wired, now: Callable[[], datetime]) -> None:
    """Add the console's pages to an app.

    Args:
        app: The app.
        wired: The assistant with its store and settings.
        now: The clock, timezone-aware.
    """
    console, tokens = Console(wired, now), wired.settings.serve.tokens

    def guarded(request: Request, draw: Callable[[Frame], Response], path: str = "/console") -> Response:
        """Let staff in, and tell in a plain page what went wrong."""
        frame = console.frame(request, path)
        words = console_words(frame.lang)
        # A proxy that lets only staff through may add a token for them, as for the chat page.
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if not is_staff(tokens, token if scheme.lower() == "bearer" else ""):
            said = notice(frame, "denied", (words["denied_why"],), _PROXY, back=False)
            return _html(said, 401, {"WWW-Authenticate": "Bearer"})
        try:
            return draw(frame)
        except DeskhandError as error:
            _LOG.error("the console could not show %s: %s", request.url.path, error)
            return _html(notice(frame, "failed", (str(error),)), 503)

    @app.get("/console", include_in_schema=False)
    def first(request: Request) -> Response:
        by = unquote(request.cookies.get(_COOKIE, ""))[:200]
        return guarded(request, lambda frame: _html(console.overview(frame, mend(by))))

    @app.get("/console/topic", include_in_schema=False)
    def topic(request: Request) -> Response:
        return guarded(request, lambda frame: _html(console.topic(frame)), "/console/topic")

    @app.get("/console/conversation", include_in_schema=False)
    def conversation(request: Request) -> Response:
        def draw(frame: Frame) -> Response:
            page = console.conversation(frame)
            return _html(page) if page else _html(notice(frame, "gone", (console_words(frame.lang)["gone_why"],)), 404)

        return guarded(request, draw, "/console/conversation")

    @app.post("/console/alerts/{id}/acknowledge", include_in_schema=False)
    async def acknowledge(id: str, request: Request) -> Response:
        return await moved(id, "acknowledged", request)

    @app.post("/console/alerts/{id}/resolve", include_in_schema=False)
    async def resolve(id: str, request: Request) -> Response:
        return await moved(id, "resolved", request)

    async def moved(id: str, what: Move, request: Request) -> Response:
        body = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
        by = mend(body.get("by", [""])[0])

        def draw(frame: Frame) -> Response:
            words = console_words(frame.lang)
            if not from_here(request.headers):
                return _html(notice(frame, "foreign", (words["foreign_why"],)), 403)
            if console._ledger.alert(mend(id)) is None:
                return _html(notice(frame, "not_done", (words["unknown_alert"].format(id=mend(id)[:80]),)), 404)
            try:
                console.move(mend(id), what, by)
            except UsageError as error:
                return _html(notice(frame, "not_done", (str(error),)), 400)
            except StoreError as error:
                return _html(notice(frame, "not_done", (str(error),)), 409)
            answer = RedirectResponse(f"/console{frame.filters.query()}#alerts", 303, _HEADERS)
            kept = quote(by.strip(), safe="")
            answer.set_cookie(_COOKIE, kept, max_age=31_536_000, path="/console", httponly=True, samesite="strict")
            return answer

        return await run_in_threadpool(guarded, request, draw)

    @app.get("/console/{name}", include_in_schema=False)
    def asset(name: str, request: Request) -> Response:
        if name not in _ASSETS:
            return guarded(request, lambda frame: _html(notice(frame, "gone", ()), 404))
        text = resources.files("ui").joinpath(name).read_text(encoding="utf-8")
        return Response(text, media_type=_ASSETS[name], headers={"Cache-Control": "no-cache"})


def from_here(headers: Mapping[str, str]) -> bool:
    """Say whether a browser was sent by a page of this server, and not by another website that uses its user's rights.

    Args:
        headers: Of the request, names in any case.

    Returns:
        What ``Sec-Fetch-Site`` says where the browser sends it; else whether ``Origin`` names the host that was asked. A
        request with neither is refused.
    """
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = urlsplit(headers.get("origin", "")).netloc
    return bool(origin) and origin == headers.get("host")


def _html(page: str, status: int = 200, headers: dict[str, Any] | None = None) -> Response:
    return HTMLResponse(page.encode("utf-8", "replace"), status, {**_HEADERS, **(headers or {})})
