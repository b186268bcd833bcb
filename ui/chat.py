"""The chat page: a Gradio app whose parts are drawn by ``chat_html.py`` and ``chat_panel.py`` and styled by ``chat.css``.

Holds one ``Chat`` per browser tab and turns clicks into calls of the assistant. Knows the assistant's ``turn`` and
``feedback`` and nothing of how they work. This is one of the few files that import gradio; import it only to serve.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from assistant.feedback import Learned
from assistant.store import Store
from ui.api import is_staff
from ui.chat_html import Chat, Company, Exchange, composer, conversation, header, live
from ui.chat_panel import panel
from ui.chat_text import LANGUAGES, page_language, starters
from ui.plain_text import mend, pieces
from ui.wiring import Wired

PACE_S = 0.016
MAX_WRITING_S = 0.9
KEPT_CHARS = 4_000
_HERE = Path(__file__).parent
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class View:
    """What to draw anew; ``None`` leaves a part as it is."""

    header: str | None = None
    conversation: str | None = None
    live: str | None = None
    composer: str | None = None
    panel: str | None = None


class ChatDoor:
    """What the page does when something is said or clicked; knows no Gradio, so that it can be tried without a browser."""

    def __init__(self, assistant: Any, company: Company, pace_s: float = PACE_S) -> None:
        """Serve one assistant.

        Args:
            assistant: Answers by ``turn`` and keeps judgements by ``feedback``.
            company: Whose page it is.
            pace_s: Seconds between two words of a reply; 0 shows it at once.
        """
        self._assistant = assistant
        self._company = company
        self._pace_s = pace_s

    def open(self, chat: Chat, accept_language: str | None) -> View:
        """Draw the page for a new tab.

        Args:
            chat: A fresh chat; its language is set.
            accept_language: The browser's ``Accept-Language`` header.

        Returns:
            Every part.
        """
        chat.lang = page_language(accept_language, self._company.languages)
        return self._everything(chat)

    def say(self, chat: Chat, text: str) -> Iterator[View]:
        """Answer a message, first with signs of writing, then word by word, then whole with its evidence.

        Args:
            chat: The tab's chat, changed in place.
            text: What was written, of any length and content.

        Yields:
            What to draw; nothing for a blank message.
        """
        text = mend(text)
        if not text.strip():
            return
        shown = text if len(text) <= KEPT_CHARS else text[:KEPT_CHARS] + " " * (len(text) - KEPT_CHARS)
        exchange = Exchange(question=shown)
        chat.exchanges.append(exchange)
        yield View(live=live(self._company, chat, ""), conversation=self._conversation(chat))
        try:
            reply = self._assistant.turn(text, conversation_id=chat.conversation_id, channel="chat", lang=chat.lang)
        except Exception:  # the edge: the customer reads a sentence, the log keeps the trace
            _LOG.exception("a chat message could not be answered")
            exchange.failed = True
            yield replace(self._answered(chat), live=live(self._company, chat, None))
            return
        chat.conversation_id = reply.conversation_id
        exchange.reply = reply
        yield from self._write(chat, reply.text)
        chat.selected = reply.message_id
        yield replace(self._answered(chat), live=live(self._company, chat, None))

    def act(self, chat: Chat, what: str, id: str = "", rating: int = 0, text: str = "", intent: str = "") -> View:
        """Do what a button asks for.

        Args:
            chat: The tab's chat, changed in place.
            what: ``lang``, ``new``, ``why``, ``vote``, ``correct`` or ``skip``; anything else does nothing.
            id: A language code for ``lang``, else a reply's id; ids of other conversations do nothing.
            rating: 1 or -1, for ``vote``.
            text: The right answer, for ``correct``; a comment where the chat is not staff's.
            intent: The right topic, for ``correct``; counts for staff only.

        Returns:
            What to draw.
        """
        if what == "lang" and id in LANGUAGES:
            chat.lang = id
            return self._everything(chat)
        if what == "new":
            chat.conversation_id, chat.exchanges, chat.selected = None, [], ""
            return self._everything(chat)
        exchange = chat.find(id)
        if exchange is None:
            return View()
        if what == "why":
            chat.selected = id
            return self._answered(chat)
        if what == "vote" and rating in (1, -1):
            self._vote(chat, exchange, id, rating)
        elif what == "correct" and (text.strip() or (intent and chat.staff)):
            self._correct(chat, exchange, id, mend(text).strip(), mend(intent))
        elif what == "skip":
            exchange.asks_correction, exchange.note = False, "thanks"
        return View(conversation=self._conversation(chat))

    def _write(self, chat: Chat, text: str) -> Iterator[View]:
        parts = pieces(text)
        pause = min(self._pace_s, MAX_WRITING_S / max(1, len(parts)))
        step = max(1, len(parts) // 60)
        for end in range(step, len(parts), step):
            yield View(live=live(self._company, chat, "".join(parts[:end])))
            time.sleep(pause * step)

    def _vote(self, chat: Chat, exchange: Exchange, id: str, rating: int) -> None:
        if self._keep(exchange, id, rating) is None:
            return
        exchange.vote = rating
        exchange.asks_correction = rating < 0
        exchange.note = "thanks" if rating > 0 else ("sorry" if chat.staff else "comment_sorry")

    def _correct(self, chat: Chat, exchange: Exchange, id: str, text: str, intent: str) -> None:
        """Keep what staff puts right; from anyone else, who might be a customer, the same words are a comment."""
        if chat.staff:
            learned = self._keep(exchange, id, -1, correction=text, intent=intent or None)
            note = "correction_kept" if learned and learned.serves else "correction_stored"
        else:
            learned, note = self._keep(exchange, id, -1, comment=text), "comment_kept"
        if learned is not None:
            exchange.vote, exchange.asks_correction, exchange.note = -1, False, note

    def _keep(self, exchange: Exchange, id: str, rating: int, **more: Any) -> Learned | None:
        try:
            learned: Learned = self._assistant.feedback(id, rating, **more)
        except Exception:  # the edge, as above
            _LOG.exception("a judgement could not be stored")
            exchange.note = "not_stored"
            return None
        return learned

    def _conversation(self, chat: Chat) -> str:
        begin = starters(self._company.titles.get(chat.lang, {}), chat.lang)
        return conversation(self._company, chat, begin)

    def _answered(self, chat: Chat) -> View:
        return View(conversation=self._conversation(chat), panel=panel(self._company, chat))

    def _everything(self, chat: Chat) -> View:
        return View(
            header=header(self._company, chat),
            conversation=self._conversation(chat),
            live=live(self._company, chat, None),
            composer=composer(chat),
            panel=panel(self._company, chat),
        )


def company_of(name: str, languages: tuple[str, ...], store: Store) -> Company:
    """Read what the page needs to know of the company.

    Args:
        name: The company's name.
        languages: The languages it answers in.
        store: Where its templates and articles are.

    Returns:
        The company with its topics' titles and its articles' addresses.
    """
    titles: dict[str, dict[str, str]] = {}
    for template in store.iter_templates():
        if template.title:
            titles.setdefault(template.lang, {}).setdefault(template.intent, template.title)
    urls = {article.id: article.url for article in store.iter_articles() if article.url}
    return Company(name, languages, titles, urls)


def build(wired: Wired, pace_s: float = PACE_S) -> gr.Blocks:
    """Build the page.

    Args:
        wired: The assistant with its store and settings.
        pace_s: Seconds between two words of a streamed reply.

    Returns:
        The app, to be mounted by ``server.py``.
    """
    facts = wired.settings.company
    company = company_of(facts.name, facts.languages, wired.store)
    door = ChatDoor(wired.assistant, company, pace_s)
    script = (_HERE / "chat.js").read_text(encoding="utf-8")
    with gr.Blocks(analytics_enabled=False, title=company.name, fill_width=True) as page:
        chat = gr.State(Chat())
        with gr.Column(elem_id="dh-app"):
            head = _part("dh-head-part", script)
            with gr.Column(elem_id="dh-talk"):
                with gr.Column(elem_id="dh-scroll"):
                    log = _part("dh-log-part", script)
                    now = _part("dh-live", script)
                compose = _part("dh-compose", script)
            side = _part("dh-side", script)
        drawn = [chat, head, log, now, compose, side]

        def opened(tab: Chat, request: gr.Request) -> list[Any]:
            # A proxy that lets only staff through may add a token for them; visitors of the page have none.
            scheme, _, token = request.headers.get("authorization", "").partition(" ")
            staff = is_staff(wired.settings.serve.tokens, token if scheme.lower() == "bearer" else "")
            fresh = replace(tab, exchanges=[], staff=staff)
            return _updates(fresh, door.open(fresh, request.headers.get("accept-language")))

        def said(tab: Chat, event: gr.EventData) -> Iterator[list[Any]]:
            for view in door.say(tab, _field(event, "text")):
                yield _updates(tab, view)

        def acted(tab: Chat, event: gr.EventData) -> list[Any]:
            rating = 1 if _field(event, "rating") == "1" else -1
            said_of_it = _field(event, "text"), _field(event, "intent")
            view = door.act(tab, _field(event, "what"), _field(event, "id"), rating, *said_of_it)
            return _updates(tab, view)

        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        page.load(opened, [chat], drawn, **quiet)
        for part in (log, compose):
            part.say(said, [chat], drawn, concurrency_limit=32, **quiet)
        for part in (head, log):
            part.act(acted, [chat], drawn, concurrency_limit=32, trigger_mode="multiple", **quiet)
    return page


def theme() -> gr.themes.Base:
    """Return a theme that uses the system's fonts, so that nothing is fetched from elsewhere.

    Returns:
        The theme.
    """
    sans = ["system-ui", "-apple-system", "Segoe UI", "Noto Sans", "PingFang SC", "Noto Sans CJK SC", "sans-serif"]
    return gr.themes.Base(font=[gr.themes.Font(each) for each in sans], font_mono=[gr.themes.Font("monospace")])


def style() -> str:
    """Return the page's style sheet.

    Returns:
        CSS.
    """
    return (_HERE / "chat.css").read_text(encoding="utf-8")


def _part(elem_id: str, script: str) -> gr.HTML:
    return gr.HTML("", elem_id=elem_id, js_on_load=script, apply_default_css=False, container=False, padding=False)


def _updates(chat: Chat, view: View) -> list[Any]:
    parts = (view.header, view.conversation, view.live, view.composer, view.panel)
    return [chat, *(gr.skip() if part is None else part for part in parts)]


def _field(event: gr.EventData, key: str) -> str:
    """Read one field of what the browser sent, which may be anything."""
    data = event._data if isinstance(event._data, dict) else {}
    value = data.get(key, "")
    return value if isinstance(value, str) else ""
