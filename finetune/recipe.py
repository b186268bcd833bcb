"""How an adapter is trained: one frozen record of settings, and one of what a run is given besides its examples.

Knows names, ranges and which method can do what; nothing of tensors. ``adapted.py`` builds the adapter from it and ``loop.py``
trains it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.bert import LINEARS
from assistant.errors import TrainingError

if TYPE_CHECKING:
    from finetune.examples import Labelled

#: Method -> learning rate where the settings name none; chosen on validation data (see DECISIONS.md).
METHODS = {"lora": 6e-4, "adalora": 2e-3, "ia3": 2e-2, "prefix": 1e-2, "prompt": 2e-2}
TASKS = ("intent", "sentiment", "slots", "dialog")
CLASS_WEIGHTS = ("none", "sqrt", "balanced")
HEAD_STARTS = ("means", "probe")
#: What copies of a text are made with; each is a share of words or texts.
_NOISES = ("typing_noise", "casing", "token_dropout", "synonyms")
_TEXTS_ONLY = ("typing_noise", "token_dropout", "synonyms", "contrast", "class_weights", "head_start", "refit")
#: Settings that a task or a method does not look at.
_DEAF: Mapping[str, tuple[str, ...]] = {
    "slots": _TEXTS_ONLY,
    "dialog": (*_TEXTS_ONLY, "casing", "label_smoothing", "dropout"),
    "lora": ("virtual_tokens",),
    "adalora": ("virtual_tokens",),
    "ia3": ("virtual_tokens", "linears"),
    "prefix": ("linears",),
    "prompt": ("linears",),
}


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """How an adapter is trained; written whole into its manifest.

    Attributes:
        method: ``lora``, ``adalora``, ``ia3``, ``prefix`` or ``prompt``.
        rank: Rank of LoRA, and the final mean rank of AdaLoRA.
        alpha: LoRA's scale; the change is multiplied by ``alpha / rank``.
        layers_from: First layer that is adapted; those below run once per text. Prefix and prompt tuning start at 0.
        linears: Which linear layers LoRA and AdaLoRA change.
        virtual_tokens: Length of a prefix or prompt.
        dropout: On the pooled vector.
        epochs: Most passes over the examples, or over so many as ``epoch_examples`` says.
        epoch_examples: Examples of one epoch in whole batches, drawn anew for each; 0 takes all. The n-gram half of dialog learns
            from all anyway.
        batch_size: Examples of one optimiser step on each process.
        accumulate: Batches whose gradients are added before a step.
        learning_rate: Of the adapter; 0 takes the method's own.
        head_learning_rate: Of the head; its n-gram half has ``wide_learning_rate``. That of dialog has a rate of its own, but 0
            leaves it out too.
        warmup: Share of the steps in which the rate rises.
        label_smoothing: Share of probability given to the other classes.
        class_weights: ``none``, ``sqrt`` (rare classes weigh more by the root of their rarity) or ``balanced``.
        patience: Epochs without a better validation score before training stops.
        average: Decay of the moving average of all weights that is judged and kept; 0 keeps the last weights themselves.
        contrast: Weight of the supervised contrastive loss beside cross-entropy.
        typing_noise: Share of words with a typing error in an augmented copy; ``casing``, ``token_dropout`` and ``synonyms``
            are shares of texts, words and words likewise. All zero: no copies are made.
        adversarial: Length of the FGM step against the embeddings, relative to theirs; 0 for none.
        replay: Share of older examples mixed into a training on new ones; counts for ``deskhand retrain`` only.
        seeds: Trainings with different data order, folded into one adapter.
        head_start: How a classifier's head begins: ``means`` (of the classes' vectors) or ``probe``, logistic regression on the
            frozen encoder, which wants lower rates after it.
        refit: A classifier is trained anew on training and validation rows together, for as many epochs as validation chose.
            Scores, temperature and thresholds are those of the training that validation judged.
    """

    method: str = "lora"
    rank: int = 16
    alpha: int = 32
    layers_from: int = 3
    linears: tuple[str, ...] = LINEARS
    virtual_tokens: int = 16
    dropout: float = 0.1
    epochs: int = 6
    epoch_examples: int = 0
    batch_size: int = 32
    accumulate: int = 1
    learning_rate: float = 0.0
    head_learning_rate: float = 5e-3
    wide_learning_rate: float = 2e-2
    weight_decay: float = 0.01
    warmup: float = 0.1
    label_smoothing: float = 0.05
    class_weights: str = "sqrt"
    patience: int = 3
    max_tokens: int = 96
    average: float = 0.0
    contrast: float = 0.0
    typing_noise: float = 0.0
    casing: float = 0.0
    token_dropout: float = 0.0
    synonyms: float = 0.0
    adversarial: float = 0.0
    replay: float = 0.3
    seeds: int = 1
    head_start: str = "means"
    refit: bool = False
    seed: int = 7

    @property
    def adapter_rate(self) -> float:
        """Return the adapter's learning rate, the method's own where none is set."""
        return self.learning_rate or METHODS[self.method]

    @property
    def first_layer(self) -> int:
        """Return the first layer that training runs: prefix and prompt change what the lowest layer sees."""
        return 0 if self.method in ("prefix", "prompt") else self.layers_from

    @property
    def augments(self) -> bool:
        """Say whether augmented copies are made."""
        return any(getattr(self, name) for name in _NOISES)

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as the manifest stores them."""
        return {"name": self.method, **asdict(self), "linears": list(self.linears), "learning_rate": self.adapter_rate}

    def check(self, task: str) -> None:
        """Refuse settings that cannot work, all faults at once.

        Raises:
            TrainingError: Naming every fault and its mend.
        """
        faults = []
        if task not in TASKS:
            faults.append(f"{task!r} cannot be trained; {', '.join(TASKS)} can")
        if self.method not in METHODS:
            faults.append(f"method {self.method!r} is none of {', '.join(METHODS)}")
        if task == "dialog" and self.method == "prompt":
            faults.append(
                "prompt tuning cannot learn dialog: its virtual tokens would stand in every reply; choose lora or prefix"
            )
        if self.method in ("prefix", "prompt") and self.seeds > 1:
            faults.append(
                f"seeds = {self.seeds}: virtual tokens of several trainings cannot be folded into one; choose lora or ia3"
            )
        if self.method in ("prefix", "prompt") and self.adversarial:
            faults.append(
                "adversarial training perturbs the adapted layers' input, which virtual tokens share; choose lora or ia3"
            )
        for what in (task, self.method):
            for name in _DEAF.get(what, ()):
                if getattr(self, name) != (usual := getattr(TrainSettings(), name)):
                    faults.append(f"{name} = {getattr(self, name)} does nothing for {what}; leave it at {usual}")
        if self.head_start not in HEAD_STARTS:
            faults.append(f"head_start {self.head_start!r} is none of {', '.join(HEAD_STARTS)}")
        if self.class_weights not in CLASS_WEIGHTS:
            faults.append(f"class_weights {self.class_weights!r} is none of {', '.join(CLASS_WEIGHTS)}")
        if set(self.linears) - set(LINEARS) or not self.linears:
            faults.append(f"linears {', '.join(self.linears) or '(none)'} must be among {', '.join(LINEARS)}")
        for name in (*_NOISES, "dropout", "label_smoothing", "warmup", "average"):
            if not 0 <= getattr(self, name) < 1:
                faults.append(f"{name} = {getattr(self, name)} must be in [0, 1)")
        for name in ("rank", "alpha", "virtual_tokens", "epochs", "batch_size", "accumulate", "patience", "max_tokens", "seeds"):
            if getattr(self, name) < 1:
                faults.append(f"{name} = {getattr(self, name)} must be at least 1")
        for name in ("learning_rate", "head_learning_rate", "wide_learning_rate", "weight_decay", "contrast", "adversarial"):
            if not 0 <= getattr(self, name) < 100:
                faults.append(f"{name} = {getattr(self, name)} must not be negative, nor 100 or more")
        if self.epoch_examples < 0:
            faults.append(f"epoch_examples = {self.epoch_examples} must not be negative; 0 takes all")
        if not 0 <= self.replay <= 1:
            faults.append(f"replay = {self.replay} must be in [0, 1]")
        if faults:
            raise TrainingError("; ".join(faults))


@dataclass(frozen=True, slots=True)
class Progress:
    """One finished epoch: mean loss, validation score in [0, 1], seconds it took.

    In a ``refit`` the validation rows are trained on, and the score says nothing.
    """

    epoch: int
    epochs: int
    loss: float
    score: float
    seconds: float = 0.0
    seed: int = 0
    refit: bool = False


#: Told (what is done, how much of it, of how much), for a progress bar.
Steps = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Run:
    """What a training run is given besides its examples.

    Attributes:
        task: One of ``TASKS``.
        version: Name of the new version.
        staged: Empty folder on the registry's file system, where the version is written.
        created_at: Time for the manifest.
        code_version: Deskhand's version.
        sources: Names of the files or tables the examples came from.
        settings: How to train.
        facts: More facts of the training set for the manifest, such as counts by origin.
        work: Folder for checkpoints, by which a killed run goes on, and for TensorBoard; ``None`` for neither.
        progress: Called after every epoch.
        steps: Called with (what is done, how much of it, of how much) ever so often, for a progress bar.
        calibrate: Rows as customers send them, that nothing is trained on: a classifier's temperature and thresholds are
            chosen on these instead of on the validation rows.
    """

    task: str
    version: str
    staged: Path
    created_at: datetime
    code_version: str
    sources: tuple[str, ...] = ()
    settings: TrainSettings = field(default_factory=TrainSettings)
    facts: Mapping[str, Any] = field(default_factory=dict)
    work: Path | None = None
    progress: Callable[[Progress], None] | None = None
    steps: Steps | None = None
    calibrate: Sequence[Labelled] = ()
