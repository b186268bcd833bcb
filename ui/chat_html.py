"""What the chat page shows, as HTML strings: header, conversation, composer, and the panel behind the answer.

Pure functions of a ``Chat``; nothing is asked or stored here. Everything that was not written in this file goes through
``esc``, so that a customer's text is shown as text whatever it holds. Comes after the assistant, before ``chat.py``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from assistant.records import Hit, Reply
from ui.chat_text import LANGUAGES, Words, name, words

SHOWN_CHARS = 1_500
_EXCERPT_CHARS = 420
_LINK = re.compile(r"https?://[^\s<>\"'，。；！？、（）]+[^\s<>\"'，。；！？、（）.,;:!?)]")
_PLACE = re.compile(r"\{(\w+)\}")
_BOLD = re.compile(r"\*\*(?=\S)(.+?)(?<=\S)\*\*")
_TEMPLATE_SIGNS = {ord("$"): "&#36;", ord("{"): "&#123;", ord("}"): "&#125;", ord("`"): "&#96;"}

_ICONS = {
    "up": "M7 11v9H4v-9zM7 11l4-8c1.6 0 2.6 1.2 2.2 2.8L12.4 9H18c1.3 0 2.2 1.2 1.9 2.4l-1.6 7c-.2.9-1 1.6-2 1.6H7",
    "down": "M7 13V4H4v9zM7 13l4 8c1.6 0 2.6-1.2 2.2-2.8L12.4 15H18c1.3 0 2.2-1.2 1.9-2.4l-1.6-7c-.2-.9-1-1.6-2-1.6H7",
    "send": "M12 20V5M5.5 11.5 12 5l6.5 6.5",
    "new": "M12 5v14M5 12h14",
    "why": "M12 16.5v-5M12 8h.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
    "person": "M12 12a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM4.5 20c.8-3.6 3.8-5.5 7.5-5.5s6.700 1.900 7.500 5.500",
    "question": "M9 9.500a3 3 0 1 1 4.300 2.700c-.9.5-1.300 1-1.300 2M12 17.500h.01M12 21a9 9 0 1 0 0-18 9 9 0 0 0 0 18z",
    "chevron": "m9 6 6 6-6 6",
    "trend": "M4 17.500l5-6 4 3.500 7-9",
}


@dataclass(slots=True)
class Exchange:
    """One message and what came of it; ``reply`` is ``None`` while it is awaited, and for good when ``failed``."""

    question: str
    reply: Reply | None = None
    failed: bool = False
    vote: int = 0
    asks_correction: bool = False
    note: str = ""  # name of a ``Words`` field, so that it follows the language


@dataclass(slots=True)
class Chat:
    """One browser tab's conversation; changed in place by ``chat.py``. Only ``staff`` may correct answers."""

    lang: str = "en"
    staff: bool = False
    conversation_id: str | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    selected: str = ""

    def find(self, message_id: str) -> Exchange | None:
        """Return the exchange whose reply has this id, if it is of this conversation."""
        return next((each for each in self.exchanges if each.reply and each.reply.message_id == message_id), None)


@dataclass(frozen=True, slots=True)
class Company:
    """What the page knows of the company: names of topics and addresses of articles by passage source."""

    name: str
    languages: tuple[str, ...] = ("en",)
    titles: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # language -> topic -> title
    urls: Mapping[str, str] = field(default_factory=dict)  # article id -> http(s) address

    @property
    def initial(self) -> str:
        """Return the first letter of the name, as HTML."""
        return esc(self.name[:1].upper())

    @property
    def topics(self) -> frozenset[str]:
        """Return the topics that have an approved answer, in whatever language."""
        return frozenset(intent for titles in self.titles.values() for intent in titles)

    def topic(self, intent: str, lang: str) -> str:
        """Return a topic's title in this language, or its code in words."""
        return self.titles.get(lang, {}).get(intent) or intent.replace("_", " ").capitalize()


def esc(value: object) -> str:
    """Escape a text for HTML.

    Args:
        value: Anything; its ``str`` is shown.

    Returns:
        HTML that reads exactly as the text. The signs of template languages are escaped too, since the page's framework
        evaluates templates in the browser.
    """
    return html.escape(str(value)).translate(_TEMPLATE_SIGNS)


def header(company: Company, chat: Chat) -> str:
    """Render the company's name, the language switch, staff's way to the console and the button for a new conversation.

    Args:
        company: Whose page it is.
        chat: The conversation.

    Returns:
        HTML.
    """
    says = words(chat.lang)
    switch = "".join(
        f'<button type="button" data-do="lang" data-id="{code}" lang="{code}" '
        f'aria-pressed="{_flag(code == chat.lang)}">{label}</button>'
        for code, label in LANGUAGES.items()
    )
    new, console = esc(says.new_chat), "控制台" if chat.lang == "zh" else "Console"
    # Where alerts and trends are; a customer could not open it.
    link = (
        f'<a class="dh-new" href="/console" aria-label="{console}">{_icon("trend")}<span>{console}</span></a>'
        if chat.staff
        else ""
    )
    return (
        f'<header class="dh-head"><span class="dh-logo" aria-hidden="true">{company.initial}</span>'
        f'<div class="dh-who"><h1>{esc(company.name)}</h1><p><span class="dh-dot"></span>{esc(says.subtitle)}</p></div>'
        f'<div class="dh-switch" role="group" aria-label="{esc(says.language_switch)}">{switch}</div>{link}'
        f'<button type="button" class="dh-new" data-do="new" aria-label="{new}" title="{new}">'
        f"{_icon('new')}<span>{new}</span></button></header>"
    )


def conversation(company: Company, chat: Chat, starters: Sequence[str]) -> str:
    """Render everything said so far, or the welcome.

    Args:
        company: Whose page it is.
        chat: The conversation; an exchange that is still awaited is left to ``live``.
        starters: Suggestions for the welcome.

    Returns:
        HTML.
    """
    says = words(chat.lang)
    done = [each for each in chat.exchanges if each.reply or each.failed]
    inner = "".join(_exchange(company, chat, each, says) for each in done)
    if not chat.exchanges:
        inner = _welcome(company, says, starters)
    return (
        f'<div class="dh-log" role="log" aria-live="polite" aria-label="{esc(says.conversation)}" lang="{chat.lang}" '
        f'data-count="{len(done)}">{inner}</div>'
    )


def live(company: Company, chat: Chat, so_far: str | None) -> str:
    """Render the exchange under way.

    Args:
        company: Whose page it is.
        chat: The conversation; its last exchange is the one under way.
        so_far: The reply as far as it is written; ``None`` when nothing is under way.

    Returns:
        HTML, with ``data-busy`` telling the page's script whether it may send.
    """
    if so_far is None or not chat.exchanges:
        return '<div class="dh-live" data-busy="0"></div>'
    says, last = words(chat.lang), chat.exchanges[-1]
    if so_far:
        inner = f'<div class="dh-bubble" dir="auto">{_rich(so_far)}</div>'
    else:
        inner = f'<div class="dh-bubble dh-typing" role="status" aria-label="{esc(says.typing)}"><i></i><i></i><i></i></div>'
    action = last.reply.action if last.reply and so_far else "send"
    return (
        f'<div class="dh-live" data-busy="1" aria-busy="true">{_question(last, says)}'
        f"{_bot_open(company, action, says)}{_badge(last.reply, chat.lang) if so_far else ''}{inner}</div></div></div>"
    )


def composer(chat: Chat) -> str:
    """Render the place to write.

    Args:
        chat: The conversation, for its language.

    Returns:
        HTML.
    """
    says = words(chat.lang)
    write, send = esc(says.write), esc(says.send)
    return (
        '<form class="dh-form" data-form="say" autocomplete="off"><textarea id="dh-input" rows="1" enterkeyhint="send" '
        f'aria-label="{write}" placeholder="{write}" aria-describedby="dh-hint"></textarea>'
        f'<button type="submit" aria-label="{send}" title="{send}">{_icon("send")}</button></form>'
        f'<p class="dh-hint" id="dh-hint">{esc(says.hint)}</p>'
    )


def _welcome(company: Company, says: Words, starters: Sequence[str]) -> str:
    offered = "".join(
        f'<li><button type="button" data-say="{esc(each)}">{esc(each)}{_icon("chevron")}</button></li>' for each in starters
    )
    return (
        f'<div class="dh-welcome"><span class="dh-logo" aria-hidden="true">{company.initial}</span>'
        f"<h2>{esc(says.welcome)}</h2><p>{esc(says.welcome_more)}</p>"
        f'<h3 id="dh-starters">{esc(says.suggestions)}</h3><ul aria-labelledby="dh-starters">{offered}</ul></div>'
    )


def _exchange(company: Company, chat: Chat, exchange: Exchange, says: Words) -> str:
    reply = exchange.reply
    if reply is None:
        body = f'<div class="dh-bubble dh-trouble" role="alert">{esc(says.trouble)}</div>'
        return f'<div class="dh-turn">{_question(exchange, says)}{_bot_open(company, "send", says)}{body}</div></div></div>'
    chosen = " dh-chosen" if chat.selected == reply.message_id else ""
    return (
        f'<div class="dh-turn{chosen}">{_question(exchange, says)}{_bot_open(company, reply.action, says)}'
        f'{_badge(reply, chat.lang)}<div class="dh-bubble" dir="auto">{_rich(reply.text)}</div>'
        f"{_buttons(exchange, reply, says)}{_feedback(company, chat, exchange, reply)}{_sources(company, reply, chat.lang, says)}"
        "</div></div></div>"
    )


def _question(exchange: Exchange, says: Words) -> str:
    shown, left = exchange.question[:SHOWN_CHARS], len(exchange.question) - SHOWN_CHARS
    more = f'<span class="dh-more">{esc(says.shortened.format(count=f"{left:,}"))}</span>' if left > 0 else ""
    return (
        f'<div class="dh-msg dh-you"><span class="dh-sr">{esc(says.you)}: </span>'
        f'<div class="dh-bubble" dir="auto">{esc(shown)}{more}</div></div>'
    )


def _bot_open(company: Company, action: str, says: Words) -> str:
    return (
        f'<div class="dh-msg dh-bot dh-{esc(action)}"><span class="dh-avatar" aria-hidden="true">{company.initial}</span>'
        f'<span class="dh-sr">{esc(says.assistant)}: </span><div class="dh-body">'
    )


def _badge(reply: Reply | None, lang: str) -> str:
    if reply is None or reply.action == "send":
        return ""
    reason = name("reason", reply.reason, lang)
    return (
        f'<div class="dh-badge">{_icon("person" if reply.action == "handoff" else "question")}'
        f"<strong>{esc(name('badge', reply.action, lang))}</strong>"
        f"{f'<span>{esc(reason)}</span>' if reason else ''}</div>"
    )


def _buttons(exchange: Exchange, reply: Reply, says: Words) -> str:
    id = esc(reply.message_id)
    thumbs = "".join(
        f'<button type="button" class="dh-thumb" data-do="vote" data-id="{id}" data-rating="{rating}" aria-label="{esc(label)}" '
        f'title="{esc(label)}" aria-pressed="{_flag(exchange.vote == rating)}">{_icon(icon)}</button>'
        for rating, icon, label in ((1, "up", says.useful), (-1, "down", says.not_useful))
    )
    return (
        f'<div class="dh-buttons">{thumbs}<button type="button" class="dh-why" data-do="why" data-id="{id}">'
        f"{_icon('why')}{esc(says.why)}</button></div>"
    )


def _feedback(company: Company, chat: Chat, exchange: Exchange, reply: Reply) -> str:
    says = words(chat.lang)
    note = f'<p class="dh-note" role="status">{esc(getattr(says, exchange.note))}</p>' if exchange.note else ""
    if not exchange.asks_correction:
        return note
    id = esc(reply.message_id)
    label, hint, send = says.comment_label, says.comment_hint, says.comment_send
    if chat.staff:
        label, hint, send = says.correction_label, says.correction_hint, says.correction_send
    topics = _topics(company, chat.lang, says) if chat.staff else ""
    return (
        f'{note}<form class="dh-correct" data-form="correct" data-id="{id}"><textarea rows="2" '
        f'aria-label="{esc(label)}" placeholder="{esc(hint)}"></textarea>{topics}'
        f'<div><button type="submit" class="dh-strong">{esc(send)}</button>'
        f'<button type="button" data-do="skip" data-id="{id}">{esc(says.correction_skip)}</button></div></form>'
    )


def _topics(company: Company, lang: str, says: Words) -> str:
    titles = sorted(((intent, company.topic(intent, lang)) for intent in company.topics), key=lambda each: each[1].casefold())
    offered = "".join(f'<option value="{esc(intent)}">{esc(title)}</option>' for intent, title in titles)
    first = f'<option value="">{esc(says.correction_as_understood)}</option>'
    return f'<select aria-label="{esc(says.correction_topic)}">{first}{offered}</select>' if titles else ""


def _sources(company: Company, reply: Reply, lang: str, says: Words) -> str:
    if not reply.evidence:
        return ""
    items = "".join(_source(company, hit, reply.slots, lang, says) for hit in reply.evidence)
    count = len(reply.evidence)
    label = says.source if count == 1 else says.sources.format(count=count)
    return (
        f'<details class="dh-sources" data-key="sources-{esc(reply.message_id)}"><summary>{_icon("chevron")}'
        f"{esc(label)}</summary><ol>{items}</ol></details>"
    )


def _source(company: Company, hit: Hit, slots: Mapping[str, str], lang: str, says: Words) -> str:
    passage = hit.passage
    # An approved answer is shown as it reads here, not with its ``{slot}`` places.
    text = _PLACE.sub(lambda found: slots.get(found[1]) or f"[{name('slot', found[1], lang)}]", passage.text)
    excerpt = text if len(text) <= _EXCERPT_CHARS else text[:_EXCERPT_CHARS].rstrip() + "…"
    url = company.urls.get(passage.source, "") if passage.kind == "article" else ""
    link = (
        f'<a href="{esc(url)}" target="_blank" rel="noopener noreferrer">{esc(says.open_link)}</a>'
        if re.match(r"https?://", url)
        else ""
    )
    return (
        f'<li><div class="dh-source-head"><span class="dh-kind">{esc(name("kind", passage.kind, lang))}</span>'
        f'<strong dir="auto">{esc(passage.title)}</strong><span class="dh-score">{hit.score:.0%} {esc(says.score)}</span></div>'
        f'<p dir="auto">{esc(excerpt)}</p>{link}</li>'
    )


def _rich(text: str) -> str:
    """Escape the assistant's text, then make its links and its **bold** words real."""
    parts, at = [], 0
    for found in _LINK.finditer(text):
        address = esc(found.group())
        parts += [_BOLD.sub(r"<strong>\1</strong>", esc(text[at : found.start()]))]
        parts += [f'<a href="{address}" target="_blank" rel="noopener noreferrer">{address}</a>']
        at = found.end()
    return "".join([*parts, _BOLD.sub(r"<strong>\1</strong>", esc(text[at:]))])


def _icon(which: str) -> str:
    return f'<svg class="dh-icon dh-icon-{which}" viewBox="0 0 24 24" aria-hidden="true"><path d="{_ICONS[which]}"/></svg>'


def _flag(value: bool) -> str:
    return "true" if value else "false"
