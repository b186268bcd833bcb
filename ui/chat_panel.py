"""The panel behind the answer, as HTML: decision, topic, mood, details, scores beside thresholds, versions, milliseconds.

Pure functions of one ``Reply``. Comes after ``chat_html.py``, whose escaping it uses; asks and stores nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from assistant.records import Reply
from ui.chat_html import Chat, Company, esc
from ui.chat_text import Words, has_name, name, words

_NEGLIGIBLE = 0.005  # would be shown as 0 %


def panel(company: Company, chat: Chat) -> str:
    """Render how the chosen reply, or else the last one, was made.

    Args:
        company: Whose page it is; names the topics.
        chat: The conversation.

    Returns:
        HTML that folds; the page's script opens it on wide screens.
    """
    says = words(chat.lang)
    replies = [each.reply for each in chat.exchanges if each.reply]
    chosen = chat.find(chat.selected)
    reply = chosen.reply if chosen else (replies[-1] if replies else None)
    inner = _body(company, reply, chat.lang, says) if reply else f'<p class="dh-empty">{esc(says.behind_empty)}</p>'
    return (
        f'<details class="dh-behind" data-key="behind" lang="{chat.lang}"><summary><h2>{esc(says.behind)}</h2></summary>'
        f'<div class="dh-panel">{inner}</div></details>'
    )


def _body(company: Company, reply: Reply, lang: str, says: Words) -> str:
    return "".join(
        (
            _section(says.decision, _decision(reply, lang, says)),
            _section(says.intent, _intent(company, reply, lang, says)),
            _section(says.sentiment, _sentiment(reply, lang, says)),
            _section(says.language, f"<p>{esc(name('language', reply.understanding.language, lang))}</p>"),
            _section(says.slots, _pairs(((name("slot", key, lang), value) for key, value in reply.slots.items()), says)),
            _section(says.scores, _scores(reply, lang, says)),
            _section(says.timing, _timing(reply, lang, says)),
            _section(says.versions, _pairs(reply.versions.items(), says)),
        )
    )


def _section(title: str, inner: str) -> str:
    return f"<section><h3>{esc(title)}</h3>{inner}</section>"


def _decision(reply: Reply, lang: str, says: Words) -> str:
    made_from = name("origin", reply.origin, lang) if has_name("origin", reply.origin) else ""
    origin = f'<p class="dh-quiet">{esc(says.origin)}: {esc(made_from)}</p>' if made_from else ""
    reason = name("reason", reply.reason, lang)
    return (
        f'<p><span class="dh-chip dh-chip-{esc(reply.action)}">{esc(name("action", reply.action, lang))}</span></p>'
        f"{f'<p>{esc(reason)}</p>' if reason else ''}{origin}"
    )


def _intent(company: Company, reply: Reply, lang: str, says: Words) -> str:
    guesses = reply.understanding.intents
    if not guesses:
        return f'<p class="dh-quiet">{esc(says.no_intent)}</p>'
    best, others = guesses[0], [each for each in guesses[1:4] if each.confidence >= _NEGLIGIBLE]
    rows = "".join(_bar(company.topic(each.name, lang), each.confidence, small=True) for each in others)
    more = f'<p class="dh-quiet">{esc(says.alternatives)}</p>{rows}' if others else ""
    return _bar(company.topic(best.name, lang), best.confidence) + more


def _sentiment(reply: Reply, lang: str, says: Words) -> str:
    mood = reply.understanding.sentiment
    if mood is None:
        return f'<p class="dh-quiet">{esc(says.none)}</p>'
    label = name("sentiment", mood.label, lang)
    at = round(50 + 50 * max(-1.0, min(1.0, mood.score)))
    return (
        f'<p class="dh-mood dh-mood-{esc(mood.label)}"><span>{esc(label)}</span><span>{mood.score:+.2f}</span></p>'
        f'<div class="dh-scale" role="img" aria-label="{esc(label)} {mood.score:+.2f}"><i style="left:{at}%"></i></div>'
    )


def _scores(reply: Reply, lang: str, says: Words) -> str:
    guesses, evidence, known = reply.understanding.intents, reply.evidence, reply.thresholds
    lead = guesses[0].confidence - guesses[1].confidence if len(guesses) > 1 else None
    # What the check measured stands beside the thresholds; else what was understood and found.
    measured: tuple[tuple[str, float | None, str, str], ...] = (
        ("confidence", known.get("confidence", guesses[0].confidence if guesses else None), "≥", "min_confidence"),
        ("evidence", known.get("evidence", evidence[0].score if evidence else None), "≥", "min_evidence"),
        ("out_of_scope", reply.understanding.out_of_scope, "≤", "max_out_of_scope"),
        ("margin", lead, "≥", "choice_margin"),
    )
    rows = []
    for code, value, sign, bound in measured:
        if value is None:
            continue
        needed = f' <small title="{esc(says.threshold)}">{sign} {known[bound]:.2f}</small>' if bound in known else ""
        rows.append(f"<div><dt>{esc(name('score', code, lang))}</dt><dd>{value:.2f}{needed}</dd></div>")
    return f"<dl>{''.join(rows)}</dl>"


def _timing(reply: Reply, lang: str, says: Words) -> str:
    longest = max([*reply.stages_ms.values(), 0.001])
    rows = "".join(
        f'<div class="dh-stage"><span>{esc(name("stage", stage, lang))}</span>'
        f'<span class="dh-line"><i style="width:{max(2, round(100 * spent / longest))}%"></i></span>'
        f"<span>{spent:.1f} ms</span></div>"
        for stage, spent in reply.stages_ms.items()
    )
    total = f"<span>{esc(says.total)}</span><span></span><span>{reply.latency_ms:.1f} ms</span>"
    return f'{rows}<div class="dh-stage dh-total">{total}</div>'


def _bar(label: str, share: float, small: bool = False) -> str:
    percent = round(100 * max(0.0, min(1.0, share)))
    size = " dh-small" if small else ""
    return (
        f'<div class="dh-guess{size}"><span>{esc(label)}</span><span>{percent} %</span></div>'
        f'<div class="dh-bar{size}" role="meter" aria-valuemin="0" aria-valuemax="100" aria-valuenow="{percent}" '
        f'aria-label="{esc(label)}"><i style="width:{percent}%"></i></div>'
    )


def _pairs(items: Iterable[tuple[str, object]], says: Words) -> str:
    rows = "".join(f"<div><dt>{esc(key)}</dt><dd>{esc(value)}</dd></div>" for key, value in items)
    return f"<dl>{rows}</dl>" if rows else f'<p class="dh-quiet">{esc(says.none)}</p>'
