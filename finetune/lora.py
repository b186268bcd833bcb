"""LoRA adapters on the frozen encoder: the model that is trained and the one plain loop that trains it.

Task files give a head and a loss; this file knows batches, the optimiser, early stopping and how peft saves. Training
uses transformers and peft; serving reads the same safetensors without them (``assistant/bert.py``).
Method: LoRA (Hu et al. 2021, arXiv:2106.09685), AdamW with linear warm-up and decay (Loshchilov & Hutter 2019).
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.bert import LINEARS
from assistant.encoder import Encoder, has_matrix_tiles
from assistant.errors import TrainingError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class LoraSettings:
    """How an adapter is trained; written whole into its manifest."""

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.1
    layers_from: int = 3
    linears: tuple[str, ...] = LINEARS
    epochs: int = 6
    batch_size: int = 32
    learning_rate: float = 6e-4
    head_learning_rate: float = 5e-3
    wide_learning_rate: float = 2e-2
    weight_decay: float = 0.01
    warmup: float = 0.1
    label_smoothing: float = 0.05
    patience: int = 3
    max_tokens: int = 96
    seed: int = 7

    def as_dict(self) -> dict[str, Any]:
        """Return the settings as the manifest stores them."""
        return {"name": "lora", **asdict(self), "linears": list(self.linears)}


@dataclass(frozen=True, slots=True)
class Progress:
    """One finished epoch: mean loss and validation score in [0, 1]."""

    epoch: int
    epochs: int
    loss: float
    score: float


class AdaptedEncoder:
    """The base with one trainable LoRA adapter, by transformers and peft.

    Layers below the adapter are frozen, so their output is computed once per text by the serving encoder and training
    runs the upper layers only: half the work at ``layers_from = 3``.
    """

    def __init__(self, encoder: Encoder, settings: LoraSettings) -> None:
        """Load the same folder the serving encoder uses and wrap it.

        Raises:
            TrainingError: If the settings name layers or linears that the base does not have.
        """
        import torch
        from peft import LoraConfig, get_peft_model
        from transformers import AutoModel

        torch.manual_seed(settings.seed)
        # Dropout inside the encoder took two thirds of an epoch on this kind of CPU (random numbers are drawn by one
        # thread); it stays on the pooled vector, where it costs nothing.
        base = AutoModel.from_pretrained(
            encoder.folder, local_files_only=True, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
        )
        count = int(base.config.num_hidden_layers)
        if not 0 <= settings.layers_from < count or set(settings.linears) - set(LINEARS):
            raise TrainingError(f"layers_from must be in 0..{count - 1} and linears among {', '.join(LINEARS)}")
        layers = "|".join(str(number) for number in range(settings.layers_from, count))
        linears = "|".join(re.escape(name) for name in settings.linears)
        config = LoraConfig(
            r=settings.rank,
            lora_alpha=settings.alpha,
            # A pattern, because "output.dense" as a suffix would also match "attention.output.dense".
            target_modules=rf".*encoder\.layer\.({layers})\.({linears})",
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model: Any = get_peft_model(base, config)
        self.dim = int(base.config.hidden_size)
        self._encoder = encoder
        self._from = settings.layers_from
        self._max_tokens = min(settings.max_tokens, encoder.max_tokens)
        self._upper = base.encoder.layer[settings.layers_from :]

    def prepare(self, texts: Sequence[str]) -> list[tuple[Tensor, list[tuple[int, int]]]]:
        """Run the frozen lower layers once; each result is ``(T, D)`` and the tokens' character offsets."""
        return self._encoder.lower_states(texts, self._from, self._max_tokens)

    def hidden(self, states: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Run the adapted layers on a batch; return hidden states ``(B, T, D)`` float32 and the mask ``(B, T)``."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        h = pad_sequence(list(states), batch_first=True)
        lengths = torch.tensor([len(row) for row in states])
        mask = torch.arange(h.shape[1])[None, :] < lengths[:, None]
        attend = None if bool(mask.all()) else mask[:, None, None, :]
        with autocast():
            for layer in self._upper:
                found = layer(h, attend)
                h = found[0] if isinstance(found, tuple) else found
        return h.float(), mask

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Pool as the serving encoder does: unit vectors ``(B, D)``."""
        return self._encoder.pool(hidden, mask)

    def parameters(self) -> list[Any]:
        """Return the trainable parameters of the adapter."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def save(self, folder: Path) -> None:
        """Write ``adapter_model.safetensors`` and ``adapter_config.json``."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.save_pretrained(folder, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)
        config = folder / "adapter_config.json"
        values = json.loads(config.read_text(encoding="utf-8"))
        values["base_model_name_or_path"] = self._encoder.name  # never a path of the machine that trained
        config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def autocast() -> contextlib.AbstractContextManager[Any]:
    """Return bfloat16 autocast where the processor has matrix tiles, else nothing."""
    import torch

    if not has_matrix_tiles():
        return contextlib.nullcontext()
    return torch.autocast("cpu", dtype=torch.bfloat16)


def batches(count: int, size: int, lengths: Sequence[int], rng: random.Random) -> Iterator[list[int]]:
    """Yield shuffled batches of row numbers whose texts have like lengths, which saves padding."""
    order = list(range(count))
    rng.shuffle(order)
    span = size * 16
    grouped = []
    for start in range(0, count, span):
        chunk = sorted(order[start : start + span], key=lambda row: lengths[row])
        grouped += [chunk[at : at + size] for at in range(0, len(chunk), size)]
    rng.shuffle(grouped)
    yield from grouped


def train(
    adapted: AdaptedEncoder,
    head: torch.nn.Module,
    lengths: Sequence[int],
    loss: Callable[[list[int]], Tensor],
    judge: Callable[[], float],
    settings: LoraSettings,
    progress: Callable[[Progress], None] | None = None,
) -> list[Progress]:
    """Train adapter and head together, keep the epoch that scored best on validation.

    Args:
        adapted: The base with its adapter.
        head: The task's head; parameters whose name starts with ``wide`` get their own learning rate.
        lengths: Token count of each training example.
        loss: Row numbers -> mean loss of that batch.
        judge: Score on validation in [0, 1]; called in eval mode after each epoch.
        settings: Epochs, rates, patience, seed.
        progress: Called after each epoch.

    Returns:
        The epochs that were run; adapter and head hold the best one.
    """
    import torch

    rng = random.Random(settings.seed)
    torch.manual_seed(settings.seed)
    steps = settings.epochs * -(-len(lengths) // settings.batch_size)
    named = list(head.named_parameters())
    wide = [p for n, p in named if n.startswith("wide")]
    groups: list[dict[str, Any]] = [
        {"params": adapted.parameters(), "lr": settings.learning_rate, "weight_decay": settings.weight_decay},
        {"params": [p for n, p in named if not n.startswith("wide")], "lr": settings.head_learning_rate},
    ]
    if wide:
        groups.append({"params": wide, "lr": settings.wide_learning_rate, "weight_decay": 0.0})
    optimiser = torch.optim.AdamW(groups)
    ramp = max(1, int(steps * settings.warmup))

    def rate(step: int) -> float:
        return min((step + 1) / ramp, max(0.0, (steps - step) / max(1, steps - ramp)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, rate)
    history: list[Progress] = []
    best, kept = -1.0, None
    for epoch in range(1, settings.epochs + 1):
        adapted.model.train()
        head.train()
        total = 0.0
        for rows in batches(len(lengths), settings.batch_size, lengths, rng):
            value = loss(rows)
            optimiser.zero_grad(set_to_none=True)
            value.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(adapted.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            total += float(value.detach()) * len(rows)
        adapted.model.eval()
        head.eval()
        with torch.inference_mode():
            score = judge()
        history.append(Progress(epoch, settings.epochs, total / len(lengths), score))
        if progress:
            progress(history[-1])
        if score > best:
            best = score
            kept = ([p.detach().clone() for p in adapted.parameters()], {k: v.clone() for k, v in head.state_dict().items()})
        elif epoch - max(history, key=lambda h: h.score).epoch >= settings.patience:
            break
    if kept is not None:
        with torch.no_grad():
            for parameter, value in zip(adapted.parameters(), kept[0], strict=True):
                parameter.copy_(value)
        head.load_state_dict(kept[1])
    return history
