"""The forward pass of BERT-shaped encoders over plain weight tensors, with several adapters in one batch.

Why not transformers at serving time: importing it with peft costs 2.7 s of a cold start, and peft's mixed-adapter batch
took 30 ms a message where this takes 14 (see DECISIONS.md). Training uses transformers and peft; a test holds both to
the same numbers. Knows tensors only: no files, no tokenizer, no tasks.

Shapes: B rows, T tokens, D width, H heads, K adapters, R rank.
Methods: BERT (Devlin et al. 2019, arXiv:1810.04805); LoRA (Hu et al. 2021, arXiv:2106.09685); IA3 (Liu et al. 2022,
arXiv:2205.05638); prefix tuning (Li & Liang 2021, arXiv:2101.00190); prompt tuning (Lester et al. 2021, arXiv:2104.08691).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from assistant.errors import EncoderError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

#: Linear layers an adapter may change, by their name inside one encoder layer.
LINEARS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "intermediate.dense",
    "output.dense",
)


@dataclass(frozen=True, slots=True)
class BertShape:
    """What the forward pass needs to know of ``config.json``."""

    layers: int
    width: int
    heads: int
    eps: float
    position_offset: int  # 0 for BERT, padding index + 1 for RoBERTa and XLM-RoBERTa
    max_tokens: int


@dataclass(frozen=True, slots=True)
class AdapterWeights:
    """One adapter as it is served; which parts are filled depends on the method it was trained by.

    Attributes:
        factors: LoRA and AdaLoRA: per ``(layer, linear)`` the transposed, scaled factors ``down (in, R)`` and ``up (R, out)``.
        gains: IA3: per ``(layer, linear)`` a vector that multiplies the linear's output, or the input of ``output.dense``.
        prefix: Prefix tuning: per layer keys and values ``(P, D)`` that every token attends to.
        prompt: Prompt tuning: virtual token embeddings ``(P, D)`` in front of the text.
    """

    factors: Mapping[tuple[int, str], tuple[Tensor, Tensor]] = field(default_factory=dict)
    gains: Mapping[tuple[int, str], Tensor] = field(default_factory=dict)
    prefix: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    prompt: Tensor | None = None

    @property
    def low_rank(self) -> bool:
        """Say whether LoRA factors are all there is, so that the adapter can share a batch with others."""
        return not self.gains and not self.prefix and self.prompt is None


class LoraBank:
    """Several adapters stacked so that one batch holds a block of rows for each of them.

    Block 0 of a batch belongs to the bare base; block k to adapter k. Adapters of smaller rank are padded with zeros.
    """

    def __init__(self, adapters: Sequence[AdapterWeights]) -> None:
        """Stack the factors of each linear over the adapters."""
        import torch

        self.size = len(adapters)
        self._stacked: dict[tuple[int, str], tuple[Tensor, Tensor]] = {}
        for key in {key for adapter in adapters for key in adapter.factors}:
            present = [adapter.factors.get(key) for adapter in adapters]
            known = next(pair for pair in present if pair is not None)
            rank = max(pair[0].shape[1] for pair in present if pair is not None)
            down = torch.zeros(len(adapters), known[0].shape[0], rank)
            up = torch.zeros(len(adapters), rank, known[1].shape[1])
            for row, pair in enumerate(present):
                if pair is not None:
                    down[row, :, : pair[0].shape[1]] = pair[0]
                    up[row, : pair[1].shape[0]] = pair[1]
            self._stacked[key] = (down, up)
        self.first_layer = min((layer for layer, _ in self._stacked), default=0)

    def add(self, layer: int, linear: str, x: Tensor, y: Tensor) -> Tensor:
        """Add each adapter's change to its own block of ``y``.

        Args:
            layer: Index of the encoder layer.
            linear: One of ``LINEARS``.
            x: Input of the linear, ``((K + 1) * B, T, in)``.
            y: Output of the frozen linear, ``((K + 1) * B, T, out)``; changed in place.

        Returns:
            ``y``.
        """
        import torch

        pair = self._stacked.get((layer, linear))
        if pair is None:
            return y
        rows = x.shape[0] // (self.size + 1)
        changed = x[rows:].reshape(self.size, rows * x.shape[1], x.shape[2])
        delta = torch.bmm(torch.bmm(changed, pair[0]), pair[1])
        y[rows:] += delta.view(self.size * rows, x.shape[1], -1)
        return y


class Bert:
    """A frozen BERT-shaped encoder."""

    def __init__(self, weights: Mapping[str, Tensor], shape: BertShape) -> None:
        """Fuse query, key and value of every layer into one matrix; keep the rest as it is.

        Raises:
            EncoderError: If a tensor of the architecture is missing.
        """
        import torch

        self.shape = shape
        clean = {name.removeprefix("bert.").removeprefix("roberta."): tensor for name, tensor in weights.items()}
        try:
            self._embed = {
                part: clean[f"embeddings.{part}.weight"]
                for part in ("word_embeddings", "position_embeddings", "token_type_embeddings")
            }
            self._embed_norm = (clean["embeddings.LayerNorm.weight"], clean["embeddings.LayerNorm.bias"])
            self._layers: list[dict[str, tuple[Tensor, Tensor]]] = []
            for layer in range(shape.layers):
                name = f"encoder.layer.{layer}."
                parts = {
                    linear: (clean[f"{name}{linear}.weight"], clean[f"{name}{linear}.bias"])
                    for linear in (*LINEARS, "attention.output.LayerNorm", "output.LayerNorm")
                }
                qkv = [parts.pop(linear) for linear in LINEARS[:3]]
                parts["qkv"] = (torch.cat([w for w, _ in qkv]), torch.cat([b for _, b in qkv]))
                self._layers.append(parts)
        except KeyError as error:
            raise EncoderError(f"the encoder's weights lack {error}; is it a BERT-shaped model?") from error

    def check(self, name: str, adapter: AdapterWeights) -> None:
        """Check that an adapter's tensors fit this encoder.

        Raises:
            EncoderError: If a layer is not there or a tensor has another size.
        """
        width, inner, layers = self.shape.width, self._layers[0]["intermediate.dense"][0].shape[0], self.shape.layers
        for (layer, linear), (down, up) in adapter.factors.items():
            wanted = (inner if linear == "output.dense" else width, inner if linear == "intermediate.dense" else width)
            if layer >= layers or (down.shape[0], up.shape[1]) != wanted or down.shape[1] != up.shape[0]:
                raise EncoderError(
                    f"adapter {name!r} does not fit the encoder: layer {layer} {linear} has factors {tuple(down.shape)} and "
                    f"{tuple(up.shape)}, the encoder has {layers} layers with {wanted} there; train it on this base"
                )
        wrong = [
            f"layer {layer} {linear}"
            for (layer, linear), gain in adapter.gains.items()
            if layer >= layers or gain.shape != (inner if linear in ("output.dense", "intermediate.dense") else width,)
        ]
        for layer, (keys, values) in adapter.prefix.items():
            if layer >= layers or keys.shape != values.shape or keys.shape[1:] != (width,):
                wrong.append(f"the prefix of layer {layer}")
        if adapter.prompt is not None:
            room = len(self._embed["position_embeddings"]) - self.shape.position_offset - self.shape.max_tokens
            if adapter.prompt.shape[1:] != (width,) or len(adapter.prompt) > room:
                wrong.append(f"the prompt of {tuple(adapter.prompt.shape)}, for which {room} positions are free")
        if wrong:
            raise EncoderError(
                f"adapter {name!r} does not fit the encoder of {layers} layers and width {width}: "
                f"{', '.join(wrong)}; train it on this base"
            )

    @property
    def dtype(self) -> torch.dtype:
        """Return the number format of the weights."""
        return self._embed_norm[0].dtype

    def to_bfloat16(self) -> Bert:
        """Return a copy with bfloat16 weights, for processors with matrix tiles (AMX)."""
        import torch

        copy = object.__new__(Bert)
        copy.shape = self.shape
        copy._embed = {name: tensor.to(torch.bfloat16) for name, tensor in self._embed.items()}
        copy._embed_norm = (self._embed_norm[0].to(torch.bfloat16), self._embed_norm[1].to(torch.bfloat16))
        copy._layers = [
            {name: (w.to(torch.bfloat16), b.to(torch.bfloat16)) for name, (w, b) in layer.items()} for layer in self._layers
        ]
        return copy

    def forward(self, ids: Tensor, mask: Tensor | None, bank: LoraBank | None = None, layers: int | None = None) -> Tensor:
        """Run the encoder.

        Rows stay shared between the base and all adapters up to the first layer that an adapter changes.

        Args:
            ids: Token ids ``(B, T)`` int64.
            mask: True at real tokens ``(B, T)``; ``None`` if there is no padding.
            bank: Adapters to run beside the base.
            layers: Stop after so many layers; ``None`` runs all.

        Returns:
            Hidden states ``((K + 1) * B, T, D)``; rows ``k * B`` to ``(k + 1) * B`` belong to block k.
        """
        h = self.embed(ids)
        attend = None if mask is None else mask[:, None, None, :]
        adapting = False
        for index in range(self.shape.layers if layers is None else layers):
            if bank is not None and bank.size and not adapting and index >= bank.first_layer:
                adapting = True
                h = h.repeat(bank.size + 1, 1, 1)
                attend = None if attend is None else attend.repeat(bank.size + 1, 1, 1, 1)
            h = self._layer(index, h, attend, bank if adapting else None)
        if bank is not None and bank.size and not adapting:
            h = h.repeat(bank.size + 1, 1, 1)
        return h

    def forward_with(self, ids: Tensor, mask: Tensor | None, weights: AdapterWeights) -> Tensor:
        """Run the encoder with one adapter of any method; gradients flow into its tensors if they ask for them.

        Args:
            ids: Token ids ``(B, T)`` int64.
            mask: True at real tokens ``(B, T)``; ``None`` if there is no padding.
            weights: The adapter.

        Returns:
            Hidden states ``(B, T, D)`` of the text's own tokens.
        """
        import torch

        h = self.embed(ids, weights.prompt)
        virtual = 0 if weights.prompt is None else weights.prompt.shape[0]
        if mask is not None and virtual:
            mask = torch.cat([mask.new_ones(mask.shape[0], virtual), mask], dim=1)
        return self.run(h, mask, weights)[:, virtual:]

    def run(self, h: Tensor, mask: Tensor | None, weights: AdapterWeights, first: int = 0) -> Tensor:
        """Run layers ``first`` and above with one adapter on hidden states ``(B, T, D)``; gradients flow into the adapter."""
        attend = None if mask is None or bool(mask.all()) else mask[:, None, None, :]
        for index in range(first, self.shape.layers):
            h = self._layer(index, h, attend, None, weights)
        return h

    def embed(self, ids: Tensor, prompt: Tensor | None = None) -> Tensor:
        """Embed tokens, behind a prompt's virtual ones if there is one: ``(B, P + T, D)``."""
        import torch
        from torch.nn import functional as fn

        h = fn.embedding(ids, self._embed["word_embeddings"])
        if prompt is not None:
            h = torch.cat([prompt.to(h.dtype).expand(h.shape[0], -1, -1), h], dim=1)
        offset = self.shape.position_offset
        positions = self._embed["position_embeddings"][offset : offset + h.shape[1]]
        h = h + positions + self._embed["token_type_embeddings"][0]
        return fn.layer_norm(h, (self.shape.width,), *self._embed_norm, self.shape.eps)

    def _layer(
        self, index: int, h: Tensor, attend: Tensor | None, bank: LoraBank | None, weights: AdapterWeights | None = None
    ) -> Tensor:
        from torch.nn import functional as fn

        width, heads, eps = self.shape.width, self.shape.heads, self.shape.eps
        layer = self._layers[index]
        rows, tokens = h.shape[:2]
        qkv = fn.linear(h, *layer["qkv"])
        if bank is not None:
            for part, linear in enumerate(LINEARS[:3]):
                bank.add(index, linear, h, qkv[:, :, part * width : (part + 1) * width])
        if weights is not None and weights.factors:
            qkv = qkv + _joint_change(weights, index, h)
        if weights is not None and weights.gains:
            qkv = qkv * _gains_of(weights, index, qkv)
        q, k, v = qkv.view(rows, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        if weights is not None and index in weights.prefix:
            k, v, attend = _with_prefix(weights.prefix[index], k, v, attend)
        a = _attention(q, k, v, attend).transpose(1, 2).reshape(rows, tokens, width)
        a = self._linear(a, index, "attention.output.dense", bank, weights)
        h = fn.layer_norm(h + a, (width,), *layer["attention.output.LayerNorm"], eps)
        f = fn.gelu(self._linear(h, index, "intermediate.dense", bank, weights))
        f = self._linear(f, index, "output.dense", bank, weights)
        return fn.layer_norm(h + f, (width,), *layer["output.LayerNorm"], eps)

    def _linear(self, x: Tensor, index: int, linear: str, bank: LoraBank | None, weights: AdapterWeights | None) -> Tensor:
        from torch.nn import functional as fn

        gain = None if weights is None else weights.gains.get((index, linear))
        if gain is not None and linear == "output.dense":
            x = x * gain
        y = fn.linear(x, *self._layers[index][linear])
        if bank is not None:
            y = bank.add(index, linear, x, y)
        pair = None if weights is None else weights.factors.get((index, linear))
        if pair is not None:
            y = y + (x @ pair[0].to(x.dtype)) @ pair[1].to(x.dtype)
        return y if gain is None or linear == "output.dense" else y * gain


def _attention(q: Tensor, k: Tensor, v: Tensor, attend: Tensor | None) -> Tensor:
    """Attend; written out while training, because the fused kernel's backward pass on a CPU is ten times slower."""
    import torch
    from torch.nn import functional as fn

    if not torch.is_grad_enabled():
        return fn.scaled_dot_product_attention(q, k, v, attn_mask=attend)
    scores = (q @ k.transpose(2, 3)) * q.shape[-1] ** -0.5
    if attend is not None:
        scores = scores.masked_fill(~attend, float("-inf"))
    return torch.softmax(scores, dim=3) @ v


def _joint_change(weights: AdapterWeights, layer: int, h: Tensor) -> Tensor:
    """Return what LoRA adds to query, key and value side by side ``(B, T, 3 D)``, in two matrix products instead of six."""
    import torch

    width = h.shape[-1]
    pairs = [weights.factors.get((layer, linear)) for linear in LINEARS[:3]]
    downs = [pair[0] for pair in pairs if pair is not None]
    if not downs:
        return h.new_zeros(3 * width)
    ups = [h.new_zeros(0, width) if pair is None else pair[1].to(h.dtype) for pair in pairs]
    joint: Tensor = (h @ torch.cat(downs, dim=1).to(h.dtype)) @ torch.block_diag(*ups)  # type: ignore[no-untyped-call]
    return joint


def _gains_of(weights: AdapterWeights, layer: int, qkv: Tensor) -> Tensor:
    """Return the factors of query, key and value side by side ``(3 D,)``; one where IA3 does not touch them."""
    import torch

    width = qkv.shape[-1] // 3
    parts = [weights.gains.get((layer, linear)) for linear in LINEARS[:3]]
    return torch.cat([qkv.new_ones(width) if part is None else part for part in parts])


def _with_prefix(
    prefix: tuple[Tensor, Tensor], k: Tensor, v: Tensor, attend: Tensor | None
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Put a prefix's keys and values ``(P, D)`` before those of the text ``(B, H, T, d)``."""
    import torch

    rows, heads, _, size = k.shape
    extra = [part.to(k.dtype).view(-1, heads, size).transpose(0, 1).expand(rows, -1, -1, -1) for part in prefix]
    if attend is not None:
        attend = torch.cat([attend.new_ones(rows, 1, 1, extra[0].shape[2]), attend], dim=3)
    return torch.cat([extra[0], k], dim=2), torch.cat([extra[1], v], dim=2), attend
