"""JSON rows of plain chat formats -> transcripts: our own, OpenAI-style messages, and Bitext pairs.

Knows the keys of these three formats. Comes after `rows`, before `assistant.transcripts`. Helpdesk exports are in `vendors`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assistant.formats.fields import ROLES, items, label, language, moment, rating_of, text_of, transcript, truth
from assistant.formats.rows import Broken
from assistant.records import Role, Transcript, TranscriptTurn

#: In training files the assistant's lines are what a person should have said.
_OPENAI_ROLES: Mapping[str, Role] = {**ROLES, "assistant": "agent"}


def read_chat(row: Mapping[str, Any], where: str, limit: int) -> Transcript:
    """Read one conversation in Deskhand's own form.

    Args:
        row: ``turns`` of ``role``, ``text``, ``at``; ``id lang contact resolved rating intent started_at channel`` may be there.
        where: ``file:line``.
        limit: Texts are cut to this many characters.

    Returns:
        The conversation without turns of unknown roles and without empty ones.

    Raises:
        Broken: If a field cannot be read.
    """
    turns = []
    for number, turn in enumerate(items(row.get("turns"), "turns"), 1):
        role = ROLES.get(str(turn.get("role")).lower())
        if role is None:
            continue
        text = text_of(turn.get("text"), f"turn {number}: text", limit)
        if text.strip():
            turns.append(TranscriptTurn(role, text, moment(turn.get("at"), f"turn {number}: at")))
    return _whole(row, where, turns)


def read_openai(row: Mapping[str, Any], where: str, limit: int) -> Transcript:
    """Read one conversation of ``messages`` with ``role`` and ``content`` (a text or a list of parts).

    Args:
        row: The object; keys of our own form beside ``messages`` are used too.
        where: ``file:line``.
        limit: Texts are cut to this many characters.

    Returns:
        The conversation; ``assistant`` is the agent, ``system`` and ``tool`` are left out.

    Raises:
        Broken: If a field cannot be read.
    """
    turns = []
    for number, message in enumerate(items(row.get("messages"), "messages"), 1):
        role = _OPENAI_ROLES.get(str(message.get("role")).lower())
        content = message.get("content")
        if role is None or (content is None and (message.get("tool_calls") or message.get("function_call"))):
            continue
        if isinstance(content, list):
            content = "\n".join(_part(part, number) for part in content)
        text = text_of(content, f"message {number}: content", limit)
        if text.strip():
            turns.append(TranscriptTurn(role, text))
    return _whole(row, where, turns)


def read_bitext(row: Mapping[str, Any], where: str, limit: int) -> Transcript:
    """Read one Bitext pair as a conversation of two turns.

    Args:
        row: ``instruction``, ``response`` and, if known, ``intent``.
        where: ``file:line``.
        limit: Texts are cut to this many characters.

    Returns:
        The customer's instruction with the agent's response.

    Raises:
        Broken: If one of the two is missing or empty.
    """
    turns: list[TranscriptTurn] = []
    names: tuple[tuple[str, Role], ...] = (("instruction", "customer"), ("response", "agent"))
    for name, role in names:
        text = text_of(row.get(name), name, limit).replace("\r\n", "\n").strip()
        if not text:
            raise Broken(f"{name} is empty")
        turns.append(TranscriptTurn(role, text))
    id = label(row.get("id"), "id")
    return transcript(where, turns, id=id, intent=label(row.get("intent"), "intent"), lang=language(row.get("lang")))


def _part(part: object, number: int) -> str:
    if isinstance(part, str):
        return part
    if not isinstance(part, dict):
        raise Broken(f"message {number}: a part of content is neither a text nor an object")
    text = part.get("text", "") if part.get("type") in (None, "text", "input_text", "output_text") else ""
    return text_of(text, f"message {number}: text of a part", 1 << 30)


def _whole(row: Mapping[str, Any], where: str, turns: list[TranscriptTurn]) -> Transcript:
    return transcript(
        where,
        turns,
        id=label(row.get("id"), "id"),
        lang=language(row.get("lang")),
        contact=label(row.get("contact"), "contact"),
        resolved=truth(row.get("resolved"), "resolved"),
        rating=rating_of(row.get("rating")),
        intent=label(row.get("intent"), "intent"),
        started_at=moment(row.get("started_at"), "started_at"),
        channel=label(row.get("channel"), "channel"),
    )
