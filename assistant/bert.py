"""The forward pass of BERT-shaped encoders over plain weight tensors, with several LoRA adapters in one batch.

Why not transformers at serving time: importing it with peft costs 2.7 s of a cold start, and peft's mixed-adapter batch
took 30 ms a message where this takes 14 (see DECISIONS.md). Training uses transformers and peft; a test holds both to
the same numbers. Knows tensors only: no files, no tokenizer, no tasks.

Shapes: B rows, T tokens, D width, H heads, K adapters, R rank.
Method: BERT (Devlin et al. 2019, arXiv:1810.04805); LoRA (Hu et al. 2021, arXiv:2106.09685).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from assistant.errors import EncoderError

if TYPE_CHECKING:
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
class LoraWeights:
    """One adapter: per ``layer.linear`` the transposed, scaled factors ``down (in, R)`` and ``up (R, out)``."""

    factors: Mapping[tuple[int, str], tuple[Tensor, Tensor]]


class LoraBank:
    """Several adapters stacked so that one batch holds a block of rows for each of them.

    Block 0 of a batch belongs to the bare base; block k to adapter k. Adapters of smaller rank are padded with zeros.
    """

    def __init__(self, adapters: Sequence[LoraWeights]) -> None:
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

    def check(self, name: str, adapter: LoraWeights) -> None:
        """Check that an adapter's factors fit this encoder's linears.

        Raises:
            EncoderError: If a layer is not there or a factor has another size.
        """
        width, inner = self.shape.width, self._layers[0]["intermediate.dense"][0].shape[0]
        for (layer, linear), (down, up) in adapter.factors.items():
            wanted = (inner if linear == "output.dense" else width, inner if linear == "intermediate.dense" else width)
            if layer >= self.shape.layers or (down.shape[0], up.shape[1]) != wanted or down.shape[1] != up.shape[0]:
                raise EncoderError(
                    f"adapter {name!r} does not fit the encoder: layer {layer} {linear} has factors {tuple(down.shape)} and "
                    f"{tuple(up.shape)}, the encoder has {self.shape.layers} layers with {wanted} there; train it on this base"
                )

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
        from torch.nn import functional as fn

        width, heads, eps = self.shape.width, self.shape.heads, self.shape.eps
        tokens = ids.shape[1]
        offset = self.shape.position_offset
        positions = self._embed["position_embeddings"][offset : offset + tokens]
        h = fn.embedding(ids, self._embed["word_embeddings"]) + positions + self._embed["token_type_embeddings"][0]
        h = fn.layer_norm(h, (width,), *self._embed_norm, eps)
        attend = None if mask is None else mask[:, None, None, :]
        adapting = False
        for index, layer in enumerate(self._layers[:layers]):
            if bank is not None and bank.size and not adapting and index >= bank.first_layer:
                adapting = True
                h = h.repeat(bank.size + 1, 1, 1)
                attend = None if attend is None else attend.repeat(bank.size + 1, 1, 1, 1)
            rows = h.shape[0]
            qkv = fn.linear(h, *layer["qkv"])
            if adapting and bank is not None:
                for part, linear in enumerate(LINEARS[:3]):
                    bank.add(index, linear, h, qkv[:, :, part * width : (part + 1) * width])
            q, k, v = qkv.view(rows, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
            a = fn.scaled_dot_product_attention(q, k, v, attn_mask=attend).transpose(1, 2).reshape(rows, tokens, width)
            h = fn.layer_norm(
                h + self._linear(a, index, "attention.output.dense", bank if adapting else None),
                (width,),
                *layer["attention.output.LayerNorm"],
                eps,
            )
            f = fn.gelu(self._linear(h, index, "intermediate.dense", bank if adapting else None))
            f = self._linear(f, index, "output.dense", bank if adapting else None)
            h = fn.layer_norm(h + f, (width,), *layer["output.LayerNorm"], eps)
        if bank is not None and bank.size and not adapting:
            h = h.repeat(bank.size + 1, 1, 1)
        return h

    def _linear(self, x: Tensor, index: int, linear: str, bank: LoraBank | None) -> Tensor:
        from torch.nn import functional as fn

        y = fn.linear(x, *self._layers[index][linear])
        return y if bank is None else bank.add(index, linear, x, y)
