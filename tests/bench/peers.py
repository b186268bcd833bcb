"""Peers of the adapters on the same examples: what one would train with scikit-learn, setfit, transformers or peft instead.

Every peer gets the sides the adapter gets and returns its predictions for the test with the seconds of its training, measured
on whatever threads the caller allows. ``model`` is always the folder of the same base, ``resolve("all-MiniLM-L6-v2")``. Knows
no adapter of ours and prints nothing; figures are the caller's. Peers that tune with labels or find slots stand in
``peers_tuned``, those for dialog in ``peers_dialog``.
"""

from __future__ import annotations

import importlib.util
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finetune.examples import Labelled
from finetune.slots import Spans

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
_STRENGTHS = (1.0, 10.0, 30.0, 100.0)
DEFAULT_STRENGTH = 10.0
MOST_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Epoch:
    """After an epoch: seconds of training so far, judging not counted, and the validation accuracy (slots: span F1)."""

    number: int
    seconds: float
    score: float


@dataclass(frozen=True, slots=True)
class Predicted:
    """Scores ``(n, C)`` of the test rows, higher is likelier, over the sorted ``classes``.

    ``seconds`` is the whole training, the encoding of its texts included; ``note`` says what was cut short or chosen. The
    scores are log-probabilities, but for the support vector machine, where they are distances from the planes.
    """

    name: str
    classes: tuple[str, ...]
    scores: NDArray[np.float32]
    seconds: float
    epochs: tuple[Epoch, ...] = ()
    note: str = ""

    @property
    def labels(self) -> tuple[str, ...]:
        """The class of the highest score for each test row."""
        return tuple(self.classes[row] for row in self.scores.argmax(axis=1))

    def accuracy(self, test: Sequence[Labelled]) -> float:
        """Return the share of test rows whose label is right."""
        return float(np.mean([label == one.label for label, one in zip(self.labels, test, strict=True)]))


@dataclass(frozen=True, slots=True)
class Found:
    """Spans found in the test texts, and the seconds of the whole training."""

    name: str
    spans: Spans
    seconds: float
    epochs: tuple[Epoch, ...] = ()


def seconds_to_within(epochs: Sequence[Epoch], points: float = 0.3) -> float:
    """Return the seconds after which validation first came within ``points`` hundredths of its best; infinity without epochs."""
    best = max((one.score for one in epochs), default=0.0)
    return next((one.seconds for one in epochs if one.score >= best - points / 100), float("inf"))


def tfidf_svm(train: Sequence[Labelled], test: Sequence[Labelled]) -> Predicted:
    """Train a linear support vector machine on TF-IDF of word 1-2-grams and character 2-5-grams within words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    started = time.perf_counter()
    weigh = make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
    )
    model = make_pipeline(weigh, LinearSVC(random_state=0))
    model.fit([one.text for one in train], [one.label for one in train])
    seconds = time.perf_counter() - started
    scores = model.decision_function([one.text for one in test])
    scores = np.stack([-scores, scores], axis=1) if scores.ndim == 1 else scores
    return Predicted("TF-IDF + linear SVM", tuple(map(str, model.classes_)), scores.astype(np.float32), seconds)


def frozen_logreg(
    encode: Encode, train: Sequence[Labelled], validation: Sequence[Labelled], test: Sequence[Labelled]
) -> Predicted:
    """Train logistic regression on the frozen encoder's vectors.

    Args:
        encode: Texts -> unit vectors ``(n, d)``, as ``Encoder.encode``.
        train: Examples.
        validation: Chooses C; then both are trained on, since nothing else is left to choose. Empty: C = 10.
        test: Examples to predict.

    Returns:
        The predictions; ``note`` names C.
    """
    from sklearn.linear_model import LogisticRegression

    started = time.perf_counter()
    vectors, labels = encode([one.text for one in train]), [one.label for one in train]
    chosen = DEFAULT_STRENGTH
    if validation:
        judged, truth = encode([one.text for one in validation]), [one.label for one in validation]
        tried = {c: LogisticRegression(C=c, max_iter=1000).fit(vectors, labels).score(judged, truth) for c in _STRENGTHS}
        chosen = max(_STRENGTHS, key=lambda c: tried[c])
        vectors, labels = np.concatenate([vectors, judged]), labels + truth
    model = LogisticRegression(C=chosen, max_iter=1000).fit(vectors, labels)
    seconds = time.perf_counter() - started
    scores = model.predict_log_proba(encode([one.text for one in test])).astype(np.float32)
    classes = tuple(map(str, model.classes_))
    return Predicted("frozen encoder + logistic regression", classes, scores, seconds, note=f"C = {chosen:g}")


def setfit(
    train: Sequence[Labelled], test: Sequence[Labelled], model: Path, *, seed: int = 0, rounds: int = 20, most_steps: int = 1000
) -> Predicted:
    """Train SetFit (Tunstall et al. 2022, arXiv:2209.11055): pairs of like and unlike texts, then logistic regression.

    The package ``setfit`` is used where it is installed (1.2 works with transformers 5, datasets 4.4 and dill 0.3.9; datasets
    5.2 with dill 0.4 cannot pickle pyarrow's table; it is none of the project's requirements); elsewhere the paper's procedure
    in a loop of ours, and the name says so.

    Args:
        train: A few examples of every label.
        test: Examples to predict.
        model: Folder of the base encoder.
        seed: Of pairs and order.
        rounds: Like and unlike pairs per example, the paper's R.
        most_steps: Steps of 16 pairs at most; the paper's count is ``2 * rounds * len(train) / 16``, hours for thousands.

    Returns:
        The predictions; ``note`` says how many of the steps were made.
    """
    wanted = max(1, 2 * rounds * len(train) // 16)
    steps = min(wanted, most_steps)
    note = f"{steps} of {wanted} steps"
    if importlib.util.find_spec("setfit") is not None:
        return _setfit_package(train, test, model, seed, rounds, steps, note)
    return _setfit_loop(train, test, model, seed, steps, note)


def _setfit_package(
    train: Sequence[Labelled], test: Sequence[Labelled], model: Path, seed: int, rounds: int, steps: int, note: str
) -> Predicted:
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    classes = tuple(sorted({one.label for one in train}))
    rows = Dataset.from_dict({"text": [one.text for one in train], "label": [classes.index(one.label) for one in train]})
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            batch_size=16,
            num_iterations=rounds,
            max_steps=steps,
            seed=seed,
            save_strategy="no",
            report_to="none",
            show_progress_bar=False,
        )
        tuned = SetFitModel.from_pretrained(str(model))
        started = time.perf_counter()
        Trainer(model=tuned, args=arguments, train_dataset=rows).train()
        seconds = time.perf_counter() - started
    chances = np.asarray(tuned.predict_proba([one.text for one in test], as_numpy=True), dtype=np.float32)
    return Predicted("SetFit", classes, np.log(chances + 1e-12), seconds, note=note)


def _setfit_loop(train: Sequence[Labelled], test: Sequence[Labelled], model: Path, seed: int, steps: int, note: str) -> Predicted:
    import torch
    from sklearn.linear_model import LogisticRegression
    from torch.nn import functional as fn

    started = time.perf_counter()
    torch.manual_seed(seed)
    rng = random.Random(seed)
    body = Body(model)
    by_label: dict[str, list[str]] = {}
    for one in train:
        by_label.setdefault(one.label, []).append(one.text)
    labels = sorted(by_label)

    def draw(like: bool) -> tuple[str, str]:
        own = rng.choice(train)
        return own.text, rng.choice(by_label[own.label if like else rng.choice([one for one in labels if one != own.label])])

    optimiser = torch.optim.AdamW(body.model.parameters(), lr=2e-5, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, linear(steps))
    body.model.train()
    for _ in range(steps):
        pairs = [draw(like=row % 2 == 0) for row in range(16)]
        vectors = body.pooled([text for pair in pairs for text in pair])
        cosines = fn.cosine_similarity(vectors[::2], vectors[1::2])
        step(optimiser, schedule, fn.mse_loss(cosines, torch.tensor([1.0, 0.0] * 8)), body.model.parameters())
    head = LogisticRegression(max_iter=1000).fit(body.encode([one.text for one in train]), [one.label for one in train])
    seconds = time.perf_counter() - started
    scores = head.predict_log_proba(body.encode([one.text for one in test])).astype(np.float32)
    return Predicted("SetFit (own loop)", tuple(map(str, head.classes_)), scores, seconds, note=note)


@dataclass(frozen=True, slots=True)
class Block:
    """Hidden states ``(B, T, D)``, ``mask (B, T)`` and the character range of every token."""

    hidden: Any
    mask: Any
    offsets: list[list[tuple[int, int]]]


class Body:
    """The base encoder as transformers loads it, with its tokenizer and mean pooling."""

    def __init__(self, model: Path) -> None:
        from transformers import AutoModel, AutoTokenizer

        hush()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(str(model))
        self.model: Any = AutoModel.from_pretrained(str(model), add_pooling_layer=False).float()
        self.dim = int(self.model.config.hidden_size)

    def hidden(self, texts: Sequence[str], *, bfloat16: bool = False) -> Block:
        import torch

        packed = self.tokenizer(
            list(texts), truncation=True, max_length=MOST_TOKENS, padding=True, return_offsets_mapping=True, return_tensors="pt"
        )
        offsets = [[(int(left), int(right)) for left, right in row] for row in packed.pop("offset_mapping").tolist()]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bfloat16):
            states = self.model(**packed).last_hidden_state
        return Block(states.float(), packed["attention_mask"], offsets)

    def pooled(self, texts: Sequence[str], *, bfloat16: bool = False) -> Any:
        block = self.hidden(texts, bfloat16=bfloat16)
        weight = block.mask[..., None].float()
        return (block.hidden * weight).sum(1) / weight.sum(1)

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return mean-pooled states ``(n, d)``, in the order of ``texts``."""
        import torch

        self.model.eval()
        found = np.zeros((len(texts), self.dim), dtype=np.float32)
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        with torch.inference_mode():
            for start in range(0, len(order), 64):
                rows = order[start : start + 64]
                found[rows] = self.pooled([texts[row] for row in rows]).numpy()
        return found

    def tokens(self, texts: Sequence[str]) -> list[tuple[NDArray[np.float32], list[tuple[int, int]]]]:
        """Return each text's token states ``(T, D)`` and the character ranges of its tokens."""
        import torch

        self.model.eval()
        found: dict[int, tuple[NDArray[np.float32], list[tuple[int, int]]]] = {}
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        with torch.inference_mode():
            for start in range(0, len(order), 64):
                rows = order[start : start + 64]
                block = self.hidden([texts[row] for row in rows])
                for at, row in enumerate(rows):
                    count = int(block.mask[at].sum())
                    found[row] = (block.hidden[at, :count].numpy().copy(), block.offsets[at][:count])
        return [found[row] for row in range(len(texts))]


def hush() -> None:
    """Keep transformers from printing bars, and a report of the pooler that nothing here uses."""
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()


def step(optimiser: Any, schedule: Any, loss: Any, weights: Any) -> None:
    import torch

    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    optimiser.step()
    schedule.step()


def linear(steps: int) -> Callable[[int], float]:
    """Return the share of the peak rate: up over the first tenth of the steps, then straight down to nothing."""
    warm = max(1, steps // 10)
    return lambda step: min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))
