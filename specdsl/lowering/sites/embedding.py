"""Embeddings, with the scaled ones of some models."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from specdsl.errors import SpecTargetError
from specdsl.lowering.sites.layer_site import LayerSite, runs_as


class EmbeddingSite(LayerSite):
    """`nn.Embedding`: x is one-hot over the n = vocabulary rows, so `x @ M` gathers rows of M.

    Gradients are those of `y = x @ W'`, at `padding_idx` too, in whatever order a plan computes it: that index keeps
    torch from training a row, but `W'[padding_idx]` changes with the factors of all rows.
    """

    kind = "Embedding"
    input_is_tokens = False
    free_projection = True

    @property
    def sizes(self) -> dict[str, int]:
        n, m = self.weight.shape
        return {"n": n, "m": m}

    @property
    def bias(self) -> Tensor | None:
        return None

    def matrix(self, weight: Tensor) -> Tensor:
        return weight

    def layout(self, matrix: Tensor) -> Tensor:
        return matrix

    @property
    def refusal(self) -> str | None:
        module: Any = self.module
        if module.max_norm is not None:
            return "its `max_norm` changes its weight in every pass"
        if module.scale_grad_by_freq:
            return "its `scale_grad_by_freq` makes its gradients others than those of `x@W`"
        return None

    @property
    def scale(self) -> Any:
        """Some models multiply their embeddings by a constant; the added rows are scaled alike."""
        return getattr(self.module, "embed_scale", None)

    def project(self, x: Tensor, matrix: Tensor) -> Tensor:
        rows = F.embedding(x, matrix)
        return rows if self.scale is None else rows * _as_factor(self.scale, rows)

    def through(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        module: Any = self.module
        rows = F.embedding(x, weight, sparse=module.sparse)
        if self.scale is not None:
            rows = rows * _as_factor(self.scale, rows)
        return rows if bias is None else rows + bias

    def token_shape(self, x: Tensor) -> tuple[int, ...]:
        return tuple(x.shape)

    def tokens(self, x: Tensor) -> Tensor:
        raise SpecTargetError("an embedding's input is one-hot over the vocabulary and never built as an array")


def is_embedding(module: nn.Module) -> bool:
    return runs_as(module, nn.Embedding) or (isinstance(module, nn.Embedding) and hasattr(module, "embed_scale"))


def _as_factor(scale: Any, rows: Tensor) -> Any:
    return scale.to(rows.dtype) if isinstance(scale, Tensor) else scale
