"""Words: text -> tokens by script, and BM25 over them.

The index is built by ``bm25s``, kept in its file layout (plain ``.npy`` and JSON, never pickle) and read with numpy alone, so
that one question does not pay for importing the builder. Knows nothing of vectors, passages or versions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILES = ("data.csc.index.npy", "indices.csc.index.npy", "indptr.csc.index.npy", "vocab.index.json", "params.index.json")
_METHOD, _K1, _B = "lucene", 1.5, 0.75
_MAX_QUERY_TERMS = 64
_MAX_QUERY_CHARS = 4_000
_RUNS = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]+|[^\W_\u3400-\u9fff\uf900-\ufaff]+(?:['’][^\W_]+)?")
_ENGLISH_STOP = frozenset(
    re.findall(
        r"\S+",
        """a about am an and any are as at be been but by can could did do does for from had has have he her his how i if in into
        is it its me my of on or our please shall she should so than that the their them then there these they this those to us
        was we were what when where which who will with would you your i'm i've i'd i'll it's don't can't""",
    )
)
_CHINESE_STOP = frozenset(
    re.findall(
        r"\S+",
        "的 了 吗 呢 吧 啊 呀 我 你 您 是 在 和 与 就 都 也 还 很 这 那 有 个 请 请问 一下 一个 我们 你们 怎么 什么 可以",
    )
)


def tokenise(text: str) -> list[str]:
    """Split a text into index terms.

    The script decides, not a language label, because customers mix languages in one message: Chinese runs become words
    (``rjieba``'s search mode) and single characters, other runs become lower-case words without English stop words and
    with light suffixes removed (on feedbackqa's validation queries: BM25 MRR 0.664 against 0.632 without).

    Args:
        text: Any text.

    Returns:
        Terms in reading order, with repeats.
    """
    terms: list[str] = []
    for run in _RUNS.findall(text.lower().replace("’", "'")):
        if _is_han(run[0]):
            import rjieba

            words = [word for word in rjieba.cut_for_search(run) if word not in _CHINESE_STOP]
            terms += [word for word in words if len(word) > 1]
            terms += [sign for sign in run if sign not in _CHINESE_STOP]
        elif run not in _ENGLISH_STOP:
            terms.append(_stem(run.removesuffix("'s")))
    return terms


def is_chinese(text: str) -> bool:
    """Say whether most letters of a text are Chinese characters."""
    runs = _RUNS.findall(text[:_MAX_QUERY_CHARS])
    han = sum(len(run) for run in runs if _is_han(run[0]))
    return 2 * han > sum(len(run) for run in runs)


def _is_han(sign: str) -> bool:
    return "\u3400" <= sign <= "\u9fff" or "\uf900" <= sign <= "\ufaff"


def _stem(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        word = word[:-3] + "y"
    elif len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 3 and word.endswith(ending):
            word = word[: -len(ending)]
            if word[-1] == word[-2] and word[-1] not in "ls":
                word = word[:-1]
            break
    return word[:-1] if len(word) > 4 and word.endswith("e") else word


@dataclass(frozen=True, slots=True)
class Lexical:
    """A loaded BM25 index of ``n`` texts: one posting list of (row, weight) for each term."""

    n: int
    weights: NDArray[np.float32]  # (postings,)
    rows: NDArray[np.int32]  # (postings,)
    starts: NDArray[np.int64]  # (terms + 1,)
    vocabulary: dict[str, int]

    def coverage(self, text: str) -> NDArray[np.float32]:
        """Score every text by the share of the question's BM25 weight that it covers.

        The BM25 sum is divided by the sum of the idf of the question's terms, which Lucene's variant cannot reach; a
        term that no text holds counts with the greatest idf. Order within one question is BM25's own, and the values of
        two questions can be compared, which a per-question maximum would not allow.

        Args:
            text: The question; words after the first 4,000 characters or 64 different terms are not looked at.

        Returns:
            Shares ``(n,)`` float32 in [0, 1).
        """
        scores = np.zeros(self.n, dtype=np.float32)
        total = 0.0
        for term in list(dict.fromkeys(tokenise(text[:_MAX_QUERY_CHARS])))[:_MAX_QUERY_TERMS]:
            place = self.vocabulary.get(term)
            start, stop = (0, 0) if place is None else (int(self.starts[place]), int(self.starts[place + 1]))
            found = stop - start
            total += float(np.log1p((self.n - found + 0.5) / (found + 0.5)))
            scores[self.rows[start:stop]] += self.weights[start:stop]  # a row stands once in a list
        return scores / total if total else scores


def build(texts: Sequence[str]) -> Lexical:
    """Build BM25 (Lucene's variant, k1 1.5, b 0.75) over texts.

    Args:
        texts: ``n`` search texts.

    Returns:
        The index; empty posting lists where no text holds a term.
    """
    vocabulary: dict[str, int] = {}
    rows = [[vocabulary.setdefault(term, len(vocabulary)) for term in tokenise(text)] for text in texts]
    if not vocabulary:
        return Lexical(len(texts), np.zeros(0, np.float32), np.zeros(0, np.int32), np.zeros(1, np.int64), {})
    import bm25s

    model = bm25s.BM25(method=_METHOD, k1=_K1, b=_B)
    model.index((rows, vocabulary), create_empty_token=False, show_progress=False)
    parts: dict[str, NDArray[Any]] = model.scores
    return Lexical(len(texts), parts["data"], parts["indices"], parts["indptr"], vocabulary)


def save(index: Lexical, folder: Path) -> None:
    """Write the index in ``bm25s``'s own file layout, so that ``bm25s.BM25.load`` reads it too.

    Args:
        index: What ``build`` returned.
        folder: An existing folder.
    """
    arrays: tuple[NDArray[Any], ...] = (index.weights, index.rows, index.starts)
    for name, values in zip(FILES, arrays, strict=False):
        np.save(folder / name, values, allow_pickle=False)
    params = {
        "k1": _K1, "b": _B, "delta": 0.5, "method": _METHOD, "idf_method": _METHOD,
        "dtype": "float32", "int_dtype": "int32", "num_docs": index.n, "backend": "numpy",
    }  # fmt: skip
    (folder / FILES[3]).write_text(json.dumps(index.vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / FILES[4]).write_text(json.dumps(params), encoding="utf-8")


def load(folder: Path) -> Lexical:
    """Read what ``save`` wrote; the caller has verified the checksums.

    Args:
        folder: The folder with the five files.

    Returns:
        The index, held in memory.
    """
    data, indices, indptr = (np.load(folder / name, allow_pickle=False) for name in FILES[:3])
    vocabulary: dict[str, int] = json.loads((folder / FILES[3]).read_text(encoding="utf-8"))
    params = json.loads((folder / FILES[4]).read_text(encoding="utf-8"))
    return Lexical(int(params["num_docs"]), data, indices, indptr, vocabulary)
