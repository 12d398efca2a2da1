"""Linear maps: `nn.Linear` and GPT-2's `Conv1D`."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from specdsl.lowering.sites.layer_site import LayerSite, own_class, runs_as


class LinearSite(LayerSite):
    """`nn.Linear`: `weight` is `W.T`."""

    kind = "Linear"

    @property
    def sizes(self) -> dict[str, int]:
        m, n = self.weight.shape
        return {"n": n, "m": m}

    def matrix(self, weight: Tensor) -> Tensor:
        return weight.T

    def layout(self, matrix: Tensor) -> Tensor:
        return matrix.T

    def project(self, x: Tensor, matrix: Tensor) -> Tensor:
        return x @ matrix

    def through(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)


class TransposedLinearSite(LayerSite):
    """GPT-2's `Conv1D`: `weight` is `W`."""

    kind = "Conv1D"

    @property
    def sizes(self) -> dict[str, int]:
        n, m = self.weight.shape
        return {"n": n, "m": m}

    def matrix(self, weight: Tensor) -> Tensor:
        return weight

    def layout(self, matrix: Tensor) -> Tensor:
        return matrix

    def project(self, x: Tensor, matrix: Tensor) -> Tensor:
        return x @ matrix

    def through(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight.T, bias)


def is_linear(module: nn.Module) -> bool:
    # The output map of nn.MultiheadAttention never runs: its weight is read by the attention.
    return runs_as(module, nn.Linear) and not isinstance(module, NonDynamicallyQuantizableLinear)


def is_transposed_linear(module: nn.Module) -> bool:
    return own_class(module).__name__ == "Conv1D" and hasattr(module, "nf")
