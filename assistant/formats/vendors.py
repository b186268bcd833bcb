"""JSON exports of helpdesks -> transcripts: Zendesk tickets, Intercom and Chatwoot conversations.

Knows the objects of their public APIs (Zendesk Support API v2, Intercom API 1.x and 2.x, Chatwoot's message model). Private
notes, deleted messages and activity lines never leave this file, because what they say was never said to a customer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assistant.formats.fields import child, in_order, items, label, language, moment, rating_of, text_of, transcript
from assistant.formats.markup import plain
from assistant.formats.rows import Broken
from assistant.records import Role, Transcript, TranscriptTurn

_ZENDESK_STAFF = frozenset({"agent", "admin"})
#: Parts that a customer sees. Assignments and notes may carry a body too, but an internal one.
_INTERCOM_SAID = frozenset({"comment", "open", "close", "message", "quick_reply"})
_INTERCOM_ROLES: Mapping[str, Role] = {
    "user": "customer",
    "lead": "customer",
    "contact": "customer",
    "admin": "agent",
    "bot": "bot",
}
_INTERCOM_AUTOMATED = frozenset({"automated", "campaign_initiated", "operator_initiated"})
_CHATWOOT_ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("0", "incoming"), "customer"),
    **dict.fromkeys(("1", "outgoing"), "agent"),
    **dict.fromkeys(("3", "template"), "bot"),
}


def read_zendesk(row: Mapping[str, Any], where: str, limit: int) -> Transcript:
    """Read one Zendesk ticket with its comments.

    Args:
        row: The ticket, or an object with the key ``ticket``; without comments its description is the only turn.
        where: ``file:line``.
        limit: Texts are cut to this many characters.

    Returns:
        The conversation: the requester is the customer, and so is anyone copied in who is not the assignee.

    Raises:
        Broken: If a field cannot be read.
    """
    row = row["ticket"] if isinstance(row.get("ticket"), dict) else row
    requester = row.get("requester_id", child(row.get("requester")).get("id"))
    copied = {id for name in ("email_cc_ids", "collaborator_ids") for id in row.get(name) or () if isinstance(id, (int, str))}
    customers = (copied | {requester}) - {row.get("assignee_id"), None}
    turns = []
    comments = row.get("comments")
    if not comments and isinstance(row.get("description"), str):
        opening = {"author_id": requester, "body": row["description"], "created_at": row.get("created_at")}
        comments = [opening]
    for number, comment in enumerate(items(comments, "comments"), 1):
        if comment.get("public") is False or comment.get("type", "Comment") != "Comment":
            continue
        said = comment.get("plain_body") or comment.get("body") or comment.get("html_body") or ""
        text = plain(text_of(said, f"comment {number}: body", limit))
        if text:
            author = comment.get("author_id", child(comment.get("author")).get("id"))
            role = _zendesk_role(author, str(child(comment.get("author")).get("role", "")), customers)
            turns.append(TranscriptTurn(role, text, moment(comment.get("created_at"), f"comment {number}: created_at")))
    person = child(row.get("requester"))
    return transcript(
        where,
        in_order(turns),
        id=label(row.get("id"), "id"),
        lang=language(person.get("locale")),
        contact=label(person.get("email") or requester, "requester_id"),
        resolved=_state(row.get("status"), ("solved", "closed")),
        rating=_score(child(row.get("satisfaction_rating")).get("score")),
        started_at=moment(row.get("created_at"), "created_at"),
        channel=label(child(row.get("via")).get("channel"), "via.channel"),
    )


def _zendesk_role(author: object, role: str, customers: set[object]) -> Role:
    if role == "end-user" or (role not in _ZENDESK_STAFF and author in customers):
        return "customer"
    return "bot" if author == -1 or author is None else "agent"  # -1 is Zendesk itself: triggers and automations


def read_intercom(row: Mapping[str, Any], where: str, limit: int) -> Transcript:
    """Read one Intercom conversation with its parts.

    Args:
        row: The conversation; the opening stands in ``source`` (``conversation_message`` in API 1.x), the rest in parts.
        where: ``file:line``.
        limit: Texts are cut to this many characters.

    Returns:
        The conversation with HTML turned into text.

    Raises:
        Broken: If a field cannot be read.
    """
    opening = child(row.get("source")) or child(row.get("conversation_message"))
    listed = row.get("conversation_parts")
    parts = listed.get("conversation_parts") if isinstance(listed, dict) else listed
    said = [{**opening, "part_type": "comment", "created_at": row.get("created_at")}] if opening else []
    said += items(parts, "conversation_parts") if parts else []
    turns = []
    for number, part in enumerate(items(said, "conversation_parts")):
        author = child(part.get("author"))
        role = _INTERCOM_ROLES.get(str(author.get("type")))
        if role is None or part.get("part_type") not in _INTERCOM_SAID or part.get("redacted") is True or not part.get("body"):
            continue
        if author.get("from_ai_agent") is True or (role == "agent" and part.get("delivered_as") in _INTERCOM_AUTOMATED):
            role = "bot"
        text = plain(text_of(part["body"], f"part {number}: body", limit))
        if text:
            turns.append(TranscriptTurn(role, text, moment(part.get("created_at"), f"part {number}: created_at")))
    people = child(row.get("contacts")).get("contacts") or row.get("customers") or [row.get("user")]
    person = child(people[0]) if isinstance(people, list) and people else {}
    return transcript(
        where,
        in_order(turns),
        id=label(row.get("id"), "id"),
        lang=language(child(row.get("custom_attributes")).get("Language")),
        contact=label(person.get("email") or person.get("external_id") or person.get("id"), "contact"),
        resolved=_state(row.get("state"), ("closed",)),
        rating=_score(child(row.get("conversation_rating")).get("rating")),
        started_at=moment(row.get("created_at"), "created_at"),
        channel=label(opening.get("type"), "source.type"),
    )


def read_chatwoot(row: Mapping[str, Any], where: str, limit: int) -> Transcript:
    """Read one Chatwoot conversation with its messages.

    Args:
        row: The conversation with ``messages``, ``status`` and ``meta``.
        where: ``file:line``.
        limit: Texts are cut to this many characters.

    Returns:
        The conversation; template messages, automation rules and agent bots speak as the bot.

    Raises:
        Broken: If a field cannot be read.
    """
    turns = []
    rating = _score(child(row.get("csat_survey_response")).get("rating"))
    for number, message in enumerate(items(row.get("messages"), "messages"), 1):
        extra = child(message.get("content_attributes"))
        answer = child(child(extra.get("submitted_values")).get("csat_survey_response"))
        rating = _score(answer.get("rating")) or rating
        role = _CHATWOOT_ROLES.get(str(message.get("message_type")))
        if role is None or message.get("private") or extra.get("deleted") or not message.get("content"):
            continue
        sender = str(message.get("sender_type") or child(message.get("sender")).get("type") or "").lower()
        if role == "agent" and (extra.get("automation_rule_id") or "bot" in sender or sender.startswith("captain")):
            role = "bot"
        text = plain(text_of(message["content"], f"message {number}: content", limit))
        if text:
            turns.append(TranscriptTurn(role, text, moment(message.get("created_at"), f"message {number}: created_at")))
    meta, extra = child(row.get("meta")), child(row.get("additional_attributes"))
    person = child(meta.get("sender"))
    contact = person.get("email") or person.get("identifier") or person.get("phone_number") or person.get("id")
    return transcript(
        where,
        in_order(turns),
        id=label(row.get("id"), "id"),
        lang=language(extra.get("conversation_language") or child(extra.get("browser")).get("browser_language")),
        contact=label(contact, "meta.sender"),
        resolved=_state(row.get("status"), ("resolved", "1")),
        rating=rating,
        started_at=moment(row.get("created_at"), "created_at"),
        channel=label(meta.get("channel") or row.get("channel"), "channel"),
    )


def _state(value: object, done: tuple[str, ...]) -> bool | None:
    return None if value is None else str(value).lower() in done


def _score(value: object) -> int | None:
    """Read a rating; surveys that were only offered have none."""
    word = str(value).lower()
    try:
        return rating_of("good" if word.startswith("good") else "bad" if word.startswith("bad") else value)
    except Broken:
        return None
