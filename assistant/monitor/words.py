"""Which words set some messages apart from the others, which messages stand for them, and which belong together.

Texts are redacted already; placeholders such as ``[ORDER_1]`` are no words here. English is cut at spaces, Chinese by
``rjieba``: the script decides, not a label, for customers mix them. Knows no event, topic or store. After: alerts, the report.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

LONGEST = 3  # words in a phrase
#: A phrase below this z-score is not told apart from the background.
LEAST_Z = 1.96
#: So likely may chance alone give a few messages a phrase of their own. Hundreds of phrases stand in them: by the z-score only, a
#: third of 480 draws of 5 to 20 messages from one topic had one; with this none.
BY_CHANCE = 0.05
#: From this cosine on two messages are copies of each other, and one is enough.
COPY = 0.85
#: From this cosine of words on two questions ask for the same thing, near enough to be counted together.
NEAR = 0.35
_LEAST_PRIOR, _MOST_PRIOR = 10.0, 500.0
MOST_GROUPED = 3_000
_MOST_CHARS = 2_000

_HAN = "\u3400-\u9fff\uf900-\ufaff"
_PIECE = re.compile(rf"(\[[A-Za-z]+(?:_[A-Za-z]+)*_?\d*\])|([{_HAN}]+)|([^\W_{_HAN}]+(?:['’-][^\W_{_HAN}]+)*)|([^\w\s'’-])")
# No phrase begins or ends with one of these, and none is one. Negations and "still" are kept: they are what anger is made of.
_SMALL_WORDS = (
    "a an the and or but so if then than as at by for from in into of on to up with about over under out off again this that "
    "these those there here it its i'm i've i'd i'll im ive i me my mine we us our you your yours he she they them their his "
    "her is am are was were be been being do does did doing have has had having can could will would shall should may might "
    "must what which who whom whose when where how all any some each both very too just also only own same other such please "
    "hi hello hey dear thanks thank ok okay yes s t re ve ll d m "
    "的 地 得 了 着 过 吗 呢 吧 啊 呀 嘛 哦 嗯 我 你 您 他 她 它 我们 你们 他们 咱们 自己 是 在 和 与 跟 及 或 就 都 也 把 被 "
    "给 对 向 从 到 这 那 这个 那个 这些 那些 这里 那里 有 要 会 能 可以 一 一个 一下 个 些 请 请问 怎么 什么 为什么 哪 哪里 "
    "多少 几 谁 很 太 最 更 还是 因为 所以 但是 如果 然后 你好 您好 谢谢 好的"
)
_SMALL = frozenset(_SMALL_WORDS.split())


@dataclass(frozen=True, slots=True)
class Phrase:
    """A word or phrase that some messages have more than others do.

    Attributes:
        text: As it is read, in lower case.
        z: Log-odds over its standard deviation; above ``LEAST_Z``.
        count: Messages of the set that have it.
        share: Of the set's messages, in [0, 1].
        background_share: Of the background's messages.
    """

    text: str
    z: float
    count: int
    share: float
    background_share: float


@dataclass(frozen=True, slots=True)
class Typical:
    """A message near the middle of its set: its place in the set, its text, and its cosine to the middle."""

    place: int
    text: str
    nearness: float


@dataclass(frozen=True, slots=True)
class Group:
    """Messages that are near each other: their places in the set, and the place of the one that stands for them."""

    members: tuple[int, ...]
    middle: int


def cut(text: str) -> list[list[str]]:
    """Cut a text into runs of words, lower case; signs and placeholders end a run.

    Args:
        text: A redacted message; what lies after 2,000 characters is not looked at.

    Returns:
        Runs in reading order, each of at least one word.
    """
    runs: list[list[str]] = [[]]
    for mark, han, word, sign in _PIECE.findall(text[:_MOST_CHARS]):
        if mark or sign:
            runs.append([])
        elif han:
            import rjieba

            runs[-1] += rjieba.cut(han)
        else:
            runs[-1].append(word.lower().replace("’", "'"))
    return [run for run in runs if run]


def phrases(text: str) -> set[tuple[str, ...]]:
    """List the phrases of one to three words in a text, each once; none begins or ends with a small word.

    Args:
        text: A redacted message.

    Returns:
        Tuples of words.
    """
    found: set[tuple[str, ...]] = set()
    for run in cut(text):
        for length in range(1, LONGEST + 1):
            for at in range(len(run) - length + 1):
                phrase = tuple(run[at : at + length])
                if _says_something(phrase[0]) and _says_something(phrase[-1]):
                    found.add(phrase)
    return found


class Contrast:
    """Messages beside others, their phrases counted once.

    Messages are counted, not repeats inside one: a single customer cannot write a phrase into a list.
    """

    def __init__(self, texts: Sequence[str], background: Sequence[str]) -> None:
        """Count.

        Args:
            texts: The messages of interest.
            background: The others, such as the same stream's before; none gives nothing to be set apart from.
        """
        self._size, self._others = len(texts), len(background)
        self._ours, self._theirs = (Counter(phrase for text in side for phrase in phrases(text)) for side in (texts, background))

    def phrases(self, most: int = 10, by_chance: float = BY_CHANCE) -> tuple[Phrase, ...]:
        """Find the phrases that set the messages apart from the others.

        Log-odds ratio with an informative Dirichlet prior (Monroe, Colaresi & Quinn, Political Analysis 16, 2008), each length of
        phrase for itself.

        Args:
            most: How many phrases at most.
            by_chance: So likely may chance alone give such messages a phrase; infinity leaves the test out.

        Returns:
            Phrases with a z-score above ``LEAST_Z`` that at least two messages have and that chance hardly gives (Fisher's exact
            test, Bonferroni over the phrases of the messages), highest first; of phrases that contain or overlap one another only
            the one that says most. None where nothing is sure.
        """
        if not self._size or not self._others:
            return ()
        ours, theirs = self._ours, self._theirs
        sure = _beyond_chance(ours, theirs, self._size, self._others, by_chance)
        scored: list[tuple[float, tuple[str, ...]]] = []
        for length in range(1, LONGEST + 1):
            size, others = (sum(n for phrase, n in side.items() if len(phrase) == length) for side in (ours, theirs))
            if not size or not others:
                continue
            for phrase in ours:
                if len(phrase) == length and phrase in sure:
                    scored.append((_z_score(ours[phrase], size, theirs[phrase], others), phrase))
        scored = sorted((one for one in scored if one[0] >= LEAST_Z), key=lambda one: (-one[0], -len(one[1]), one[1]))
        return tuple(
            Phrase(_join(phrase), z, ours[phrase], ours[phrase] / self._size, theirs[phrase] / self._others)
            for z, phrase in _fold(scored, ours)[:most]
        )


def distinctive(texts: Sequence[str], background: Sequence[str], most: int = 10) -> tuple[Phrase, ...]:
    """Find the phrases that set messages apart from others; see ``Contrast``."""
    return Contrast(texts, background).phrases(most)


def typical(texts: Sequence[str], k: int = 5, vectors: NDArray[np.float32] | None = None) -> tuple[Typical, ...]:
    """Choose the messages nearest the middle of their set, without copies.

    Args:
        texts: The messages.
        k: How many at most.
        vectors: Their embeddings ``(n, d)``, if there are any; words are compared without them.

    Returns:
        The nearest first; fewer than ``k`` if the set is small or much of it is alike. Empty texts are never chosen.
    """
    rows = [at for at, text in enumerate(texts) if text.strip()]
    if not rows:
        return ()
    matrix = _unit(vectors[rows]) if vectors is not None else _weighed([texts[at] for at in rows])
    middle = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()
    length = float(np.linalg.norm(middle))
    nearness = np.asarray(matrix @ (middle / length if length else middle)).ravel()
    chosen: list[int] = []
    for at in np.argsort(-nearness, kind="stable").tolist():
        if len(chosen) == k:
            break
        if not any(_alike(matrix, at, other) >= COPY or _same(texts[rows[at]], texts[rows[other]]) for other in chosen):
            chosen.append(at)
    return tuple(Typical(rows[at], texts[rows[at]], float(nearness[at])) for at in chosen)


def group(texts: Sequence[str], near: float = NEAR, vectors: NDArray[np.float32] | None = None) -> tuple[Group, ...]:
    """Put messages that are near each other together: the one with most neighbours takes them, then the next of the rest.

    Args:
        texts: The messages; of more than 3,000 the last are grouped.
        near: Cosine from which on two are neighbours.
        vectors: Their embeddings ``(n, d)``, if there are any; words are compared without them.

    Returns:
        Groups, the largest first; a message without neighbours is a group of one, and one without words in none.
    """
    rows = [at for at, text in enumerate(texts) if text.strip()][-MOST_GROUPED:]
    if not rows:
        return ()
    matrix = _unit(vectors[rows]) if vectors is not None else _weighed([texts[at] for at in rows])
    cosines = matrix @ matrix.T
    cosines = cosines.toarray() if hasattr(cosines, "toarray") else cosines
    close: NDArray[np.bool_] = np.asarray(cosines) >= near
    np.fill_diagonal(close, val=True)
    free = np.ones(len(rows), dtype=bool)
    degrees = close.sum(axis=1)  # neighbours that are still free
    groups = []
    while free.any():
        leader = int(degrees.argmax())
        members = np.flatnonzero(close[leader] & free)
        free[members] = False
        degrees -= close[:, members].sum(axis=1)
        degrees[members] = -len(rows)
        groups.append(Group(tuple(rows[at] for at in members.tolist()), rows[leader]))
    return tuple(sorted(groups, key=lambda one: -len(one.members)))


def _says_something(word: str) -> bool:
    return word not in _SMALL and not word.isdigit() and (len(word) > 1 or bool(re.match(f"[{_HAN}]", word)))


def _beyond_chance(
    ours: Counter[tuple[str, ...]], theirs: Counter[tuple[str, ...]], size: int, others: int, by_chance: float
) -> set[tuple[str, ...]]:
    """Return the phrases of two messages or more that more have than drawing them at random would give."""
    from scipy.stats import hypergeom

    found = [phrase for phrase, count in ours.items() if count >= 2]
    counts = np.array([ours[phrase] for phrase in found])
    both = counts + np.array([theirs[phrase] for phrase in found], dtype=np.int64)
    chance = hypergeom.sf(counts - 1, size + others, both, size)
    return {phrase for phrase, one in zip(found, chance, strict=True) if one * len(ours) <= by_chance}


def _z_score(count: int, size: int, other: int, others: int) -> float:
    """Return the z-score of a phrase's log-odds.

    The prior is what both sides say together. It weighs as much as the set itself: a fixed weight either drowns an alert of
    ten messages or, in one of a thousand, leaves phrases that the background never uses without a finite spread.
    """
    weight = min(_MOST_PRIOR, max(_LEAST_PRIOR, float(size)))
    prior = weight * (count + other) / (size + others)
    # A phrase that is the only one of its length has no others to be set against; half a phrase stands for them.
    mine = math.log((count + prior) / max(0.5, size + weight - count - prior))
    theirs = math.log((other + prior) / max(0.5, others + weight - other - prior))
    return (mine - theirs) / math.sqrt(1 / (count + prior) + 1 / (other + prior))


def _fold(
    scored: Iterable[tuple[float, tuple[str, ...]]], counts: Counter[tuple[str, ...]]
) -> list[tuple[float, tuple[str, ...]]]:
    """Keep one of phrases that say the same: the longer if most messages with the shorter have it, the shorter else."""
    kept: list[tuple[float, tuple[str, ...]]] = []
    for z, phrase in scored:
        rivals = [at for at, (_, other) in enumerate(kept) if _overlap(phrase, other)]
        if not rivals:
            kept.append((z, phrase))
            continue
        first = rivals[0]
        shorter = kept[first][1]
        if len(rivals) == 1 and _within(shorter, phrase) and counts[phrase] >= 0.6 * counts[shorter]:
            kept[first] = (kept[first][0], phrase)
    return kept


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Say whether one phrase is inside the other, or ends with the two words that the other begins with."""
    if _within(one, other) or _within(other, one):
        return True
    return one[-2:] == other[:2] or other[-2:] == one[:2]


def _within(short: tuple[str, ...], long: tuple[str, ...]) -> bool:
    return any(long[at : at + len(short)] == short for at in range(len(long) - len(short) + 1))


def _join(phrase: Sequence[str]) -> str:
    """Write a phrase as it is read: Chinese words stand together, others apart."""
    written = phrase[0]
    for word in phrase[1:]:
        together = re.match(f"[{_HAN}]", word) and re.match(f"[{_HAN}]", written[-1])
        written += word if together else f" {word}"
    return written


def _weighed(texts: Sequence[str]) -> Any:
    """Return unit rows ``(n, phrases)`` of words weighed by rarity (smoothed tf-idf), as a sparse matrix."""
    from scipy.sparse import csr_matrix

    found = [sorted({_stems(phrase) for phrase in phrases(text)}) or [(text.strip().lower(),)] for text in texts]
    # Single words alone: longer phrases are too rare to bring two messages together.
    found = [[one for one in row if len(one) == 1] or row for row in found]
    frequency = Counter(phrase for row in found for phrase in row)
    columns = {phrase: at for at, phrase in enumerate(frequency)}
    weights = {phrase: 1 + math.log((1 + len(texts)) / (1 + count)) for phrase, count in frequency.items()}
    data, places, starts = [], [], [0]
    for row in found:
        length = math.sqrt(sum(weights[phrase] ** 2 for phrase in row))
        data += [weights[phrase] / length for phrase in row]
        places += [columns[phrase] for phrase in row]
        starts.append(len(data))
    return csr_matrix((data, places, starts), shape=(len(texts), len(columns)))


def _stems(phrase: tuple[str, ...]) -> tuple[str, ...]:
    """Cut the commonest English endings, so that "schools" and "school" are one word."""
    return tuple(word if len(word) < 5 else re.sub(r"(?:([a-z])\1?(?:ing|ed)|es|s|e)$", r"\1", word) for word in phrase)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    rows = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit


def _alike(matrix: Any, one: int, other: int) -> float:
    value = matrix[one] @ matrix[other].T
    return float(value.sum()) if hasattr(value, "sum") else float(value)


def _same(one: str, other: str) -> bool:
    return [word for run in cut(one) for word in run] == [word for run in cut(other) for word in run]
