"""Transcripts, articles and templates -> passages, and near-duplicates folded into one.

Comes after redaction and before the index. Knows nothing of encoders (vectors are passed in) or of files: what counts as
a useful reply is judged by a few plain rules for English and Chinese, kept in view at the top.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from assistant.records import Article, Passage, Template, Transcript, TranscriptTurn
from retrieval.nearest import load_faiss

if TYPE_CHECKING:
    from numpy.typing import NDArray

SECTION_WORDS = 120
CONTEXT_WORDS = 60
_TITLE_WORDS = 12
_SUBSTANCE_WORDS = 6.0  # a reply needs this many words besides greetings, questions and requests to wait
_FILLER_WORDS = 12.0  # a longer sentence that opens with thanks usually goes on to say something
_APPROXIMATE_ABOVE = 20_000
_NEIGHBOURS = 16

_HAN = "\u3400-\u9fff\uf900-\ufaff"
_TOKENS = re.compile(rf"[{_HAN}]|[^\W_]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？!?…])|\n+")
_HEADING = re.compile(r"^(#{1,6})\s+(.*?)\s*#*\s*$")
_FILLER = re.compile(
    r"(?:hi|hello|hey|dear|good (?:morning|afternoon|evening|day)|thanks|thank you|welcome|you(?:'|’)?re welcome"
    r"|(?:i am|i['’]m|we are|we['’]re|so|very|really)? ?(?:so |very |really |truly )?sorry|(?:i |we )?(?:sincerely )?apologi[sz]e"
    r"|my apologies|(?:just )?(?:one|a) (?:moment|minute|second|sec)|please (?:hold|wait|bear|allow me)|bear with|hold on"
    r"|(?:please )?let me (?:check|look|see|pull|take)|(?:i will|i['’]ll|i am|i['’]m) (?:check|look|get back|just)"
    r"|(?:i|we) (?:completely |fully |do )?understand|understood|ok(?:ay)?|sure|certainly|of course|got it|no problem|great"
    r"|have a (?:nice|great|good|lovely)|(?:is there )?anything else|my name is|this is \w+|bye|goodbye|take care|glad|happy to"
    r"|您好|你好|亲|早上好|上午好|下午好|晚上好|感谢|谢谢|抱歉|对不起|不好意思|非常抱歉|很抱歉|十分抱歉|请?您?稍等|请问|好的|收到|明白"
    r"|理解|不客气|祝您|还有(?:什么|其他|别的)|欢迎|很高兴|再见|(?:我)?(?:来|先|马上|这就)?(?:帮|为|给)?(?:您|你)?(?:查|看|核实)(?:询|看)?一下)",
    re.IGNORECASE,
)
_ASK = re.compile(
    r"(?:(?:please|kindly) (?:provide|share|confirm|send me|send us|give me|tell me|let me know|specify|state)"
    r"|(?:could|can|may|would) (?:you|i|we)\b.*\b(?:provide|share|confirm|have|tell|give|send|describe|specify)"
    r"|(?:请|麻烦)(?:您|你)?(?:先)?(?:提供|告诉|告知|发(?:送|给|一下)|说明|描述|确认一下))",
    re.IGNORECASE,
)
_THANKS = re.compile(r"\b(?:thanks|thank you|thx|cheers|great|perfect)\b|谢谢|感谢|多谢|辛苦了|太好了", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Folded:
    """What ``fold`` kept: passages with their counts, and the row each had among those given (same order)."""

    passages: list[Passage]
    rows: NDArray[np.int64]  # (kept,)


def from_transcript(transcript: Transcript, detect: Callable[[str], str] | None = None) -> list[Passage]:
    """Take the customer's problems and the replies that resolved them out of one conversation.

    Args:
        transcript: A redacted conversation.
        detect: Names the language of a text; asked only when the transcript does not say.

    Returns:
        One passage for each substantive block of a person's turns; none for an unresolved thread. Bot lines, greetings,
        requests to wait and questions back to the customer are no evidence.
    """
    if _is_unresolved(transcript):
        return []
    passages: list[Passage] = []
    opening, last = "", ""
    block: list[TranscriptTurn] = []
    for turn in (*transcript.turns, None):
        if turn is not None and turn.role == "agent":
            if opening and _is_substantive(turn.text):
                block.append(turn)
            continue
        if block:
            passages.append(_reply(transcript, opening, last, block, detect))
            block = []
        if turn is not None and turn.role == "customer" and turn.text.strip():
            last = turn.text.strip()
            opening = opening if _words(opening) >= 3 else f"{opening} {last}".strip()
    return passages


def from_article(article: Article, detect: Callable[[str], str] | None = None) -> list[Passage]:
    """Cut an article into passages at its headings, and long sections near 120 words.

    Args:
        article: A help article in Markdown.
        detect: Names the language of a text; asked only when the article does not say.

    Returns:
        Passages in reading order. The article's title is part of ``search_text`` unless the heading stands by itself:
        generic page titles in front of question-like headings cost 0.03 MRR on feedbackqa.
    """
    lang = article.lang or (detect(f"{article.title}\n{article.body}") if detect else "und")
    passages = []
    for path, body in _sections(article.body, article.title):
        heading = " › ".join(path)
        context = heading if path and _stands_alone(path[-1]) else ". ".join((article.title, *path))
        for text in _pieces(body, SECTION_WORDS):
            passages.append(
                Passage(
                    id=_identify(article.id, "article", heading, text),
                    kind="article",
                    title=f"{article.title} › {heading}" if heading else article.title,
                    text=text,
                    search_text=f"{context}. {text}",
                    source=article.id,
                    lang=lang,
                    intent=article.intent,
                )
            )
    return passages


def from_template(template: Template, source: str) -> Passage:
    """Make a passage of one approved answer.

    Args:
        template: The answer with its ``{slot}`` places.
        source: The id of what it was read from, by which it can be removed again.

    Returns:
        A passage found by its title and its text.
    """
    title = template.title or template.intent.replace("_", " ")
    return Passage(
        id=_identify(source, "template", template.intent, template.lang, title, template.text),
        kind="template",
        title=title,
        text=template.text,
        search_text=f"{title}. {template.text}",
        source=source,
        lang=template.lang,
        intent=template.intent,
        required_slots=template.required_slots,
        ask=template.ask,
    )


def fold(passages: Sequence[Passage], vectors: NDArray[np.float32], threshold: float) -> Folded:
    """Fold near-duplicates of one kind and language into the oldest, most complete of them.

    Two passages are near-duplicates when the cosine of their search texts reaches the threshold, their texts share nine
    tenths of their words, and every number in both texts is the same: 5 days and 14 days are different answers.
    Groups above 20,000 rows are searched through inverted lists, so that 100,000 passages take seconds.

    Args:
        passages: ``n`` passages.
        vectors: ``(n, d)`` float32 unit vectors of their search texts.
        threshold: Least cosine in (0, 1].

    Returns:
        The kept passages, in the order given, with counts added up, and their rows.
    """
    order = sorted(range(len(passages)), key=lambda row: _seniority(passages[row]))
    into = np.arange(len(passages))
    exact: dict[tuple[str, str, str, str, str], int] = {}
    groups: dict[tuple[str, str, str], list[int]] = {}
    for row in order:
        one = passages[row]
        # a template's intent is part of what it is; equal words for two intents are two templates
        label = one.intent or "" if one.kind == "template" else ""
        first = exact.setdefault((one.kind, one.lang, label, _plain(one.search_text), _plain(one.text)), row)
        into[row] = first
        if first == row:
            groups.setdefault((one.kind, one.lang, label), []).append(row)
    for rows in groups.values():
        _fold_group(rows, passages, vectors, threshold, into)
    into = into[into]  # exact duplicates of a row that was folded later follow it
    counts: dict[int, int] = {}
    for row, kept in enumerate(into.tolist()):
        counts[kept] = counts.get(kept, 0) + passages[row].count
    rows = sorted(counts)
    return Folded([replace(passages[row], count=counts[row]) for row in rows], np.array(rows, dtype=np.int64))


def _fold_group(
    rows: list[int], passages: Sequence[Passage], vectors: NDArray[np.float32], threshold: float, into: NDArray[np.int64]
) -> None:
    if len(rows) < 2:
        return
    faiss = load_faiss()
    block = np.ascontiguousarray(vectors[rows], dtype=np.float32)
    near = faiss.IndexFlatIP(block.shape[1])
    if len(rows) > _APPROXIMATE_ABOVE:
        lists = int(4 * len(rows) ** 0.5)
        near = faiss.IndexIVFFlat(near, block.shape[1], lists, faiss.METRIC_INNER_PRODUCT)
        near.cp.min_points_per_centroid, near.cp.max_points_per_centroid, near.cp.niter = 1, 16, 4
        near.train(block)
        near.nprobe = 2
    near.add(block)
    bags: dict[int, frozenset[str]] = {}
    for start in range(0, len(rows), 4096):
        scores, found = near.search(block[start : start + 4096], min(_NEIGHBOURS, len(rows)))
        close = (scores >= threshold) & (found >= 0) & (found < np.arange(start, start + len(scores))[:, None])
        for offset in np.flatnonzero(close.any(1)).tolist():
            row = rows[start + offset]
            for place in sorted(found[offset][close[offset]].tolist()):
                older = rows[place]
                if into[older] == older and _same_text(row, older, passages, bags):
                    into[row] = older
                    break


def _same_text(one: int, other: int, passages: Sequence[Passage], bags: dict[int, frozenset[str]]) -> bool:
    for row in (one, other):
        if row not in bags:
            bags[row] = frozenset(_TOKENS.findall(passages[row].text.casefold()))
    a, b = bags[one], bags[other]
    if {word for word in a ^ b if any(sign.isdigit() for sign in word)}:
        return False
    return len(a & b) >= 0.9 * len(a | b)


def _seniority(one: Passage) -> tuple[float, int, str]:
    return (one.at.timestamp() if one.at else float("inf"), -len(one.text), one.id)


def _plain(text: str) -> str:
    return " ".join(_TOKENS.findall(text.casefold()))


def _identify(*parts: str) -> str:
    return hashlib.sha1("\x1f".join(parts).encode(), usedforsecurity=False).hexdigest()[:20]


def _words(text: str) -> float:
    """Count words, with a Chinese character as six tenths of one."""
    tokens = _TOKENS.findall(text)
    han = sum(1 for token in tokens if "\u3400" <= token[0] <= "\ufaff" and len(token) == 1)
    return len(tokens) - 0.4 * han


def _clip(text: str, words: int) -> str:
    """Cut after so many words, at a word's end."""
    budget = float(words)
    for match in _TOKENS.finditer(text):
        budget -= _words(match.group())
        if budget < 0:
            return text[: match.start()].rstrip()
    return text


def _is_unresolved(transcript: Transcript) -> bool:
    if transcript.resolved is False:
        return True
    if transcript.rating is None or transcript.rating > 2 or not transcript.turns:
        return False
    last = transcript.turns[-1]
    return last.role == "customer" and not _THANKS.search(last.text)


def _is_substantive(text: str) -> bool:
    substance = 0.0
    for sentence in filter(None, (part.strip() for part in _SENTENCE_END.split(text))):
        words = _words(sentence)
        is_filler = _FILLER.match(sentence) is not None and words <= _FILLER_WORDS
        if not (is_filler or sentence.endswith(("?", "？")) or _ASK.search(sentence)):
            substance += words
    return substance >= _SUBSTANCE_WORDS


def _reply(
    transcript: Transcript, opening: str, last: str, block: list[TranscriptTurn], detect: Callable[[str], str] | None
) -> Passage:
    text = "\n".join(turn.text.strip() for turn in block)
    half = CONTEXT_WORDS // 2
    problem = _clip(opening, CONTEXT_WORDS) if last in opening else f"{_clip(opening, half)} {_clip(last, half)}"
    return Passage(
        id=_identify(transcript.id, "reply", problem, text),
        kind="reply",
        title=_clip(opening, _TITLE_WORDS),
        text=text,
        search_text=problem,
        source=transcript.id,
        lang=transcript.lang or (detect(f"{problem}\n{text}") if detect else "und"),
        intent=transcript.intent,
        at=block[-1].at or transcript.started_at,
    )


def _stands_alone(heading: str) -> bool:
    return heading.endswith(("?", "？")) or _words(heading) >= 5


def _sections(body: str, title: str) -> list[tuple[tuple[str, ...], str]]:
    """Return (heading path, text) for each section that has text; the article's own title is no heading."""
    sections: list[tuple[tuple[str, ...], list[str]]] = [((), [])]
    path: list[tuple[int, str]] = []
    fenced = False
    for line in body.splitlines():
        fenced ^= line.lstrip().startswith("```")
        heading = None if fenced else _HEADING.match(line)
        if heading is None:
            sections[-1][1].append(line)
            continue
        level, name = len(heading[1]), heading[2]
        path = [step for step in path if step[0] < level]
        if not (level == 1 and _plain(name) == _plain(title)):
            path.append((level, name))
        sections.append((tuple(name for _, name in path), []))
    texts = [(names, "\n".join(lines).strip()) for names, lines in sections]
    return [(names, text) for names, text in texts if text]


def _pieces(text: str, words: int) -> list[str]:
    """Split a long text at paragraph ends, then at line and sentence ends, near the number of words."""
    if _words(text) <= 1.25 * words:
        return [text]
    units: list[tuple[str, str]] = []  # (what joins it to the text before, unit)
    for paragraph in re.split(r"\n\s*\n", text):
        if _words(paragraph) <= words:
            units.append(("\n\n", paragraph.strip()))
            continue
        joint = "\n\n"
        for line in paragraph.splitlines():
            for sentence in re.split(r"(?<=[.!?])\s+|(?<=[。！？])", line.strip()):
                if sentence:
                    units.append((joint, sentence))
                    joint = "" if sentence[-1] in "。！？" else " "
            joint = "\n"
    pieces: list[str] = []
    current, size = "", 0.0
    for joint, unit in units:
        length = _words(unit)
        if current and size + length > words:
            pieces.append(current)
            current, size = "", 0.0
        current, size = (f"{current}{joint}{unit}" if current else unit), size + length
    return [*pieces, current] if current else pieces
