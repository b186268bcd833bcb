"""Texts -> words, and clusters of texts -> the words that set each apart, and a name made of them.

Class-based TF-IDF as in BERTopic (Grootendorst 2022, arXiv:2203.05794): all texts of a cluster count as one document. Knows
nothing of vectors or how clusters came about; ``discover`` calls it after clustering.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log

WORDS = 8
_PLACEHOLDER = re.compile(r"\[[A-Z]+_\d+\]|\{\{[^}]{1,40}\}\}|https?://\S+")
_RUNS = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+|[^\W_\u3400-\u9fff\uf900-\ufaff]+(?:['’][^\W_]+)?")
_STOP = frozenset(
    re.findall(
        r"\S+",
        """a about after again all already also always am an and another any anyone are as at back be because been before
        being both but by can could did do does doing done don else even ever every few for from get gets getting give
        go goes going gone got had has have having he hello help her here hey hi him his how i if in into is isn it
        its just keep know let like look make many maybe me mine more most much must my need never no not nothing now
        of off ok okay on one only or other our out over own please pls put really right said same say see seem seems
        shall she should since so some something soon still such sure take tell than thank thanks that the their them
        then there these they thing things think this those though thx to too try trying up us use very want wanted
        was way we well were what when where which while who whose why will wish with without won wonder wondering
        would yes yet you your yours 的 了 吗 呢 吧 啊 呀 哦 哈 哈哈 哈哈哈 我 你 您 他 她 它 是 在 和 与 就 都 也 还
        很 这 那 有 个 没 不 要 想 说 到 给 把 被 让 又 才 请 请问 一下 一个 我们 你们 咱们 他们 怎么 什么 怎么办 怎样
        如何 可以 能 能不能 可不可以 是不是 有没有 这个 那个 现在 已经 还是 但是 因为 所以 如果 为什么 多少 您好 你好
        谢谢 麻烦 亲 在线 今天 昨天 刚刚 知道 没有 时候 一直 一点 自己 不能 不是 还有 这样 那么 这么""",
    )
)


@dataclass(frozen=True, slots=True)
class Naming:
    """A cluster's name, unique among its peers, and its distinguishing words, strongest first."""

    name: str
    words: tuple[str, ...]


def words_of(text: str, *, signs: bool = False) -> list[str]:
    """Split a text into lower-case words; placeholders of personal data and addresses of pages are left out.

    Args:
        text: Any text; runs of Chinese characters are cut into words by ``rjieba``.
        signs: Whether the single Chinese characters follow each Chinese run, which helps where it was cut badly.

    Returns:
        The words in reading order, with repeats.
    """
    found: list[str] = []
    for run in _RUNS.findall(_PLACEHOLDER.sub(" ", text).lower().replace("’", "'")):
        if _is_han(run):
            import rjieba

            found += rjieba.cut(run)
            found += run if signs and len(run) > 1 else ""
        else:
            found.append(run.removesuffix("'s"))
    return found


def name_clusters(clusters: Sequence[Sequence[str]], most_words: int = WORDS) -> tuple[Naming, ...]:
    """Name clusters of texts by the words that set each apart from all the others.

    A word ``w`` weighs ``tf(w, c) * log(1 + A / tf(w))``: the share of texts in cluster ``c`` that hold it, times how rare it is
    over all clusters, ``A`` being the mean number of words to a cluster. A text counts once for a word, so that one long
    message does not name its cluster.

    Args:
        clusters: The texts of each cluster; a cluster may be empty or hold no words.
        most_words: How many words are returned for each.

    Returns:
        One naming for each cluster, in order. Names are snake_case, Chinese words stay Chinese; a cluster without words is
        ``intent``. Where two would be alike the smaller cluster takes a further word, or a number.
    """
    counts = [_counted(texts) for texts in clusters]
    total = Counter[str]()
    for count in counts:
        total.update(count)
    mean = sum(total.values()) / max(1, len(counts))
    words: list[tuple[str, ...]] = []
    for count, texts in zip(counts, clusters, strict=True):
        weight = {word: seen / max(1, len(texts)) * log(1 + mean / total[word]) for word, seen in count.items()}
        ranked = sorted(weight, key=lambda word: (-weight[word], word))
        words.append(tuple(_unlike(ranked, most_words)))
    order = sorted(range(len(clusters)), key=lambda row: (-len(clusters[row]), row))
    names: dict[int, str] = {}
    for row in order:
        names[row] = _unique(words[row], clusters[row], set(names.values()))
    return tuple(Naming(names[row], words[row]) for row in range(len(clusters)))


def _counted(texts: Iterable[str]) -> Counter[str]:
    counts = Counter[str]()
    for text in texts:
        counts.update({word for word in words_of(text) if _telling(word)})
    return counts


def _telling(word: str) -> bool:
    if word in _STOP or word.split("'")[0] in _STOP or word.endswith("n't") or any(sign.isdigit() for sign in word):
        return False
    return len(word) > (1 if _is_han(word) else 2)


def _unlike(ranked: Sequence[str], most: int) -> list[str]:
    """Keep the strongest of words that are forms of one another, such as ``refund`` and ``refunded``."""
    kept: list[str] = []
    for word in ranked:
        if not any(_alike(word, one) for one in kept):
            kept.append(word)
        if len(kept) == most:
            break
    return kept


def _alike(one: str, other: str) -> bool:
    if _is_han(one) or _is_han(other):
        return one in other or other in one
    short, long = sorted((one, other), key=len)
    shared = max(4, len(short) - 1)  # "arrive" and "arriving" share all but one letter of the shorter
    return short[:shared] == long[:shared] and len(long) - len(short) <= 4


def _unique(words: Sequence[str], texts: Sequence[str], taken: set[str]) -> str:
    for length in range(min(2, len(words)), len(words) + 1):
        name = "_".join(_in_reading_order(words[:length], texts)) or "intent"
        name = re.sub(r"[^\w]+", "_", name)
        if name not in taken and name != "oos":
            return name
    stem = "_".join(_in_reading_order(words[:2], texts)) or "intent"
    number = 2
    while f"{stem}_{number}" in taken:
        number += 1
    return f"{stem}_{number}"


def _in_reading_order(words: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Order words as the texts mostly say them: ``change_pin`` rather than ``pin_change``."""
    places: dict[str, list[int]] = {word: [] for word in words}
    for text in texts:
        said = words_of(text)
        present = [word for word in words if word in said]
        for rank, word in enumerate(sorted(present, key=said.index)):
            if len(present) > 1:
                places[word].append(rank)
    mean = {word: sum(found) / len(found) if found else 0.5 for word, found in places.items()}
    return sorted(words, key=lambda word: mean[word])  # a stable sort: the stronger word first where nothing decides


def _is_han(word: str) -> bool:
    return "\u3400" <= word[0] <= "\u9fff" or "\uf900" <= word[0] <= "\ufaff"
