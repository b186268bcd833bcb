"""The frozen base with one trainable adapter, by peft: LoRA, AdaLoRA, IA3, prefix or prompt tuning.

Hidden states come out the same for every method, so tasks and loop do not know which one is trained. What is saved is peft's
own format; AdaLoRA is saved as the LoRA it ends up as. Serving reads it without peft (``assistant/bert.py``).
Sources: LoRA (Hu et al. 2021, arXiv:2106.09685); AdaLoRA (Zhang et al. 2023, arXiv:2303.10512); IA3 (Liu et al. 2022,
arXiv:2205.05638); prefix tuning (Li & Liang 2021, arXiv:2101.00190); prompt tuning (Lester et al. 2021, arXiv:2104.08691).
"""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.adapter_files import CONFIG, WEIGHTS
from assistant.bert import LINEARS, AdapterWeights
from assistant.encoder import Encoder, bfloat16_pays
from assistant.errors import TrainingError
from finetune.recipe import Steps, TrainSettings

if TYPE_CHECKING:
    from torch import Tensor

#: AdaLoRA starts with so many times the rank and prunes down to it.
_ADALORA_START = 1.5
#: Where peft's rank allocator keeps the importance of every weight, and our name for which ranks are left.
_IMPORTANCE = ("ipt", "exp_avg_ipt", "exp_avg_unc")
_PATTERN = "rank_pattern"


@dataclass(frozen=True, slots=True)
class Prepared:
    """One text ready for training: hidden states ``(T, D)`` below the adapter, or token ids ``(T,)``; and token offsets."""

    input: Tensor
    offsets: list[tuple[int, int]]

    def __len__(self) -> int:
        return len(self.offsets)


class AdaptedEncoder:
    """The base with one trainable adapter.

    Layers below the adapter are frozen, so their output is computed once per text by the serving encoder and training
    runs the upper layers only: half the work at ``layers_from = 3``.
    """

    def __init__(self, encoder: Encoder, settings: TrainSettings, steps: int = 1000, told: Steps | None = None) -> None:
        """Load the same folder the serving encoder uses and wrap it.

        Args:
            encoder: The serving encoder.
            settings: The adapter's method and size.
            steps: Optimiser steps that will be made; AdaLoRA plans its pruning by them.
            told: Called as texts are prepared.

        Raises:
            TrainingError: If the settings name layers that the base does not have.
        """
        import torch
        from peft import get_peft_model
        from transformers import AutoModel

        torch.manual_seed(settings.seed)
        with warnings.catch_warnings(), _quiet_loading():
            warnings.simplefilter("ignore")
            # Dropout inside the encoder took two thirds of an epoch on a CPU (random numbers are drawn by one thread);
            # it stays on the pooled vector, where it costs nothing.
            base = AutoModel.from_pretrained(
                encoder.folder, local_files_only=True, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0
            )
            count = int(base.config.num_hidden_layers)
            if not 0 <= settings.layers_from < count:
                raise TrainingError(f"layers_from = {settings.layers_from} must be in 0..{count - 1} for this base")
            self.model: Any = get_peft_model(base, _config(settings, count, steps))
        self.dim = int(base.config.hidden_size)
        self._encoder = encoder
        self._settings = settings
        self._layers = count
        self._max_tokens = min(settings.max_tokens, encoder.max_tokens)
        self._frozen = encoder.trainable(bfloat16=False)
        self._fast = encoder.trainable(bfloat16=True) if bfloat16_pays() else self._frozen
        self._modules = _adapted_linears(self.model)
        self._virtual = settings.method in ("prefix", "prompt")
        self.exact = False
        self._watching = False
        self._seen: list[Tensor] = []
        self._shifts: list[Tensor] = []
        self._told = told

    def prepare(self, texts: Sequence[str]) -> list[Prepared]:
        """Tokenise texts and run the frozen lower layers once."""
        import torch

        if self._virtual:
            rows = self._encoder.tokens(texts, self._max_tokens)
            return [Prepared(torch.tensor(ids), offsets) for ids, offsets in rows]
        told = self._told
        progress = (lambda done: told("reading texts", done, len(texts))) if told else None
        states = self._encoder.lower_states(texts, self._settings.layers_from, self._max_tokens, progress)
        return [Prepared(state, offsets) for state, offsets in states]

    def pack(self, batch: Sequence[Prepared]) -> tuple[Tensor, Tensor]:
        """Pad the inputs of a batch: ``(B, T, D)`` or ``(B, T)``, and the mask ``(B, T)``."""
        import torch
        from torch.nn.utils.rnn import pad_sequence

        h = pad_sequence([row.input for row in batch], batch_first=True)
        lengths = torch.tensor([len(row.input) for row in batch])
        return h, torch.arange(h.shape[1])[None, :] < lengths[:, None]

    def hidden(self, batch: Sequence[Prepared]) -> tuple[Tensor, Tensor]:
        """Run the adapted layers on a batch; return hidden states ``(B, T, D)`` float32 and the mask ``(B, T)``."""
        if self._virtual:
            ids, mask = self.pack(batch)
            return self._encoder.forward_with(ids, mask, self._weights()), mask
        h, mask = self.pack(batch)
        if self._shifts:
            h = h + self._shifts.pop(0)
        elif self._watching:
            h = h.requires_grad_()
            self._seen.append(h)
        return self.run(h, mask), mask

    def watch(self, on: bool) -> None:
        """Keep the inputs of the next calls of ``hidden``, so that their gradients can be read; or stop doing so."""
        self._watching = on
        self._seen, self._shifts = [], []

    def perturb(self, size: float) -> None:
        """Shift the inputs of the next calls, in the same order, up their gradients by ``size`` times their own length.

        The fast gradient method of Miyato et al. 2017 (arXiv:1605.07725), on the states below the adapter.
        """
        for seen in self._seen:
            grad = seen.grad if seen.grad is not None else seen.detach() * 0
            length = grad.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None]
            own = seen.detach().flatten(1).norm(dim=1)[:, None, None]
            self._shifts.append(size * own * grad / length)
        self._watching, self._seen = False, []

    def run(self, h: Tensor, mask: Tensor) -> Tensor:
        """Run the adapted layers on padded states ``(B, T, D)``: the serving encoder's own forward pass, with gradients.

        It runs in bfloat16 where that is faster, until ``exact`` is set: final figures are float32, as it is served.
        """
        base = self._frozen if self.exact else self._fast
        return base.run(h.to(base.dtype), mask, self._weights(), self._settings.layers_from).float()

    def pool(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Pool as the serving encoder does: unit vectors ``(B, D)``."""
        return self._encoder.pool(hidden, mask)

    def parameters(self) -> list[Any]:
        """Return the trainable parameters of the adapter."""
        return [parameter for parameter in self.model.parameters() if parameter.requires_grad]

    def penalty(self) -> Tensor | float:
        """Return AdaLoRA's penalty that keeps its factors orthogonal; 0 for other methods."""
        if self._settings.method != "adalora":
            return 0.0
        import torch

        total: Any = 0.0
        count = 0
        for name, factor in self.model.named_parameters():
            if "lora_A" in name or "lora_B" in name:
                gram = factor @ factor.T if "lora_A" in name else factor.T @ factor
                total = total + torch.linalg.norm(gram - torch.eye(len(gram)))
                count += 1
        penalty: Tensor = 0.5 * total / max(1, count)
        return penalty

    def after_step(self, step: int) -> None:
        """Let AdaLoRA move its rank to where it counts; gradients must still be there."""
        if self._settings.method == "adalora":
            self.model.base_model.update_and_allocate(step)

    def state(self) -> dict[str, Tensor]:
        """Return what a resumed training needs besides the parameters: what AdaLoRA has learned of each rank's importance."""
        import torch

        if self._settings.method != "adalora":
            return {}
        allocator = self.model.base_model.rankallocator
        found = {f"{kind}.{name}": part for kind in _IMPORTANCE for name, part in getattr(allocator, kind).items()}
        pattern = self.model.peft_config["default"].rank_pattern or {}
        return found | {f"{_PATTERN}.{name}": torch.tensor(kept) for name, kept in pattern.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Go on from what ``state`` returned."""
        if self._settings.method != "adalora":
            return
        parts: dict[str, dict[str, Tensor]] = {kind: {} for kind in (*_IMPORTANCE, _PATTERN)}
        for name, tensor in state.items():
            kind, _, parameter = name.partition(".")
            parts[kind][parameter] = tensor.clone()
        for kind in _IMPORTANCE:
            setattr(self.model.base_model.rankallocator, kind, parts[kind])
        pattern = {name: tensor.tolist() for name, tensor in parts[_PATTERN].items()}
        self.model.peft_config["default"].rank_pattern = pattern or None

    def save(self, folder: Path) -> None:
        """Write ``adapter_model.safetensors`` and ``adapter_config.json``."""
        if self._settings.method == "adalora":
            save_factors(folder, self._adalora_factors(), self._encoder.name)
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model.save_pretrained(folder, safe_serialization=True)
        (folder / "README.md").unlink(missing_ok=True)
        config = folder / CONFIG
        values = json.loads(config.read_text(encoding="utf-8"))
        values["base_model_name_or_path"] = self._encoder.name  # never a path of the machine that trained
        values.setdefault("num_layers", self._layers)
        config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")

    def _weights(self) -> AdapterWeights:
        """Return the adapter as the serving encoder takes it, still trainable."""
        method = self._settings.method
        if self._virtual:
            virtual = self.model.prompt_encoder["default"].embedding.weight
            if method == "prompt":
                return AdapterWeights(prompt=virtual)
            stacked = virtual.view(virtual.shape[0], 2 * self._layers, self.dim)
            return AdapterWeights(prefix={n: (stacked[:, 2 * n], stacked[:, 2 * n + 1]) for n in range(self._layers)})
        if method == "ia3":
            # In the base's format: a float32 gain would make float32 of the states, which bfloat16 weights cannot take.
            form = self._frozen.dtype if self.exact else self._fast.dtype
            return AdapterWeights(
                gains={key: module.ia3_l["default"].flatten().to(form) for key, module in self._modules.items()}
            )
        factors = {}
        for key, module in self._modules.items():
            if method == "adalora":
                a = module.lora_A["default"] * module.lora_E["default"]
                scale = module.scaling["default"] / (module.ranknum["default"] + 1e-5)
                factors[key] = (a.T, module.lora_B["default"].T * scale)
            else:
                factors[key] = (module.lora_A["default"].weight.T, module.lora_B["default"].weight.T * module.scaling["default"])
        return AdapterWeights(factors)

    def _adalora_factors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Fold AdaLoRA's singular values into its factors and leave out what it pruned."""
        found = {}
        for name, module in self.model.named_modules():
            if not hasattr(module, "lora_E") or "default" not in module.lora_E:
                continue
            gain = module.lora_E["default"].detach().flatten() * module.scaling["default"] / (module.ranknum["default"] + 1e-5)
            a, b = module.lora_A["default"].detach(), module.lora_B["default"].detach()
            keep = gain.abs() > 0
            found[name] = (a[keep] * gain[keep, None], b[:, keep])
        return found


def save_factors(folder: Path, factors: dict[str, tuple[Tensor, Tensor]], base: str) -> None:
    """Write LoRA factors in peft's format, as a LoRA whose scale is 1; smaller ranks are padded with zeros.

    Args:
        folder: Where both files go.
        factors: By module name as peft spells it: ``A (r, in)`` and ``B (out, r)``.
        base: Name of the base model.
    """
    import torch
    from safetensors.torch import save_file

    rank = max((a.shape[0] for a, _ in factors.values()), default=0) or 1
    tensors = {}
    for name, (a, b) in factors.items():
        down, up = torch.zeros(rank, a.shape[1]), torch.zeros(b.shape[0], rank)
        down[: a.shape[0]], up[:, : b.shape[1]] = a, b
        stem = name.removeprefix("base_model.model.")
        tensors[f"base_model.model.{stem}.lora_A.weight"] = down
        tensors[f"base_model.model.{stem}.lora_B.weight"] = up
    save_file(tensors, folder / WEIGHTS)
    modules = sorted(name.removeprefix("base_model.model.") for name in factors)
    values = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": modules, "base_model_name_or_path": base}
    (folder / CONFIG).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _adapted_linears(model: Any) -> dict[tuple[int, str], Any]:
    """Return peft's modules by layer and linear."""
    found = {}
    for name, module in model.named_modules():
        match = re.search(r"encoder\.layer\.(\d+)\.(.+)$", name)
        if match and match[2] in LINEARS and (hasattr(module, "lora_A") or hasattr(module, "ia3_l")):
            found[int(match[1]), match[2]] = module
    return found


def _config(settings: TrainSettings, count: int, steps: int) -> Any:
    """Return peft's configuration of the method."""
    import peft

    layers = "|".join(str(number) for number in range(settings.layers_from, count))

    def pattern(names: Sequence[str]) -> str:
        # A pattern, because "output.dense" as a suffix would also match "attention.output.dense".
        return rf".*encoder\.layer\.({layers})\.({'|'.join(re.escape(name) for name in names)})"

    if settings.method == "lora":
        return peft.LoraConfig(r=settings.rank, lora_alpha=settings.alpha, target_modules=pattern(settings.linears))
    if settings.method == "adalora":
        return peft.AdaLoraConfig(
            init_r=max(settings.rank + 1, int(settings.rank * _ADALORA_START)),
            target_r=settings.rank,
            lora_alpha=settings.alpha,
            target_modules=pattern(settings.linears),
            total_step=max(steps, 10),
            tinit=max(1, steps // 10),
            tfinal=max(1, steps // 4),
            deltaT=max(1, steps // 50),
        )
    if settings.method == "ia3":
        scaled = ("attention.self.key", "attention.self.value", "output.dense")
        return peft.IA3Config(target_modules=pattern(scaled), feedforward_modules=pattern(scaled[2:]))
    kind = peft.PrefixTuningConfig if settings.method == "prefix" else peft.PromptTuningConfig
    return kind(task_type="FEATURE_EXTRACTION", num_virtual_tokens=settings.virtual_tokens)


@contextlib.contextmanager
def _quiet_loading() -> Any:
    """Keep transformers' own progress bar off a terminal that shows ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    yield
