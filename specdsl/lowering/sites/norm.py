"""LayerNorm and the RMS norms that scale by their weight."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn import functional as F

from specdsl.lowering.sites.layer_site import LayerSite, own_class, runs_as


class NormSite(LayerSite):
    """`nn.LayerNorm` and RMS norms: x is the normalised input, W is diagonal."""

    kind = "LayerNorm"
    weight_is_diagonal = True

    @property
    def sizes(self) -> dict[str, int]:
        (n,) = self.weight.shape
        return {"n": n, "m": n}

    def matrix(self, weight: Tensor) -> Tensor:
        return weight

    def layout(self, matrix: Tensor) -> Tensor:
        return matrix

    def project(self, x: Tensor, matrix: Tensor) -> Tensor:
        return self.tokens(x) @ matrix

    def tokens(self, x: Tensor) -> Tensor:
        return self.normalised(x, None, None)

    def through(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self.normalised(x, weight, bias)

    def normalised(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        module: Any = self.module
        return F.layer_norm(x, tuple(module.normalized_shape), weight, bias, module.eps)


class RootMeanSquareSite(NormSite):
    """RMS norms, `x / sqrt(mean(x^2) + eps) * w`, computed in float32 as the models do."""

    kind = "RMSNorm"

    def eps(self, dtype: torch.dtype) -> float:
        """The module's own, else the precision of the dtype that is computed in."""
        module: Any = self.module
        for name in ("variance_epsilon", "eps"):
            value = getattr(module, name, None)
            if value is not None:
                return float(value)
        return float(torch.finfo(dtype).eps)

    def normalised(self, x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        scaled = (wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps(wide.dtype))).to(x.dtype)
        if weight is not None:
            scaled = weight * scaled
        return scaled if bias is None else scaled + bias


def is_layer_norm(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return runs_as(module, nn.LayerNorm) and isinstance(weight, Tensor) and weight.dim() == 1


def is_root_mean_square(module: nn.Module) -> bool:
    name = own_class(module).__name__
    is_named_so = name.endswith("RMSNorm") or name == "T5LayerNorm"
    weight = getattr(module, "weight", None)
    return is_named_so and isinstance(weight, Tensor) and weight.dim() == 1 and _scales_by_weight(module, len(weight))


def _scales_by_weight(norm: nn.Module, width: int) -> bool:
    """Whether the norm is `x / rms(x) * w`: many of that name scale by `1 + w`, or by something else as well."""
    stand_in: Any = copy(norm)
    stand_in.__class__ = own_class(norm)
    forward: Any = own_class(norm).forward
    # Values are compared, so this runs on the CPU and outside of a mode that gives fake ones.
    with unset_fake_temporarily(), torch.no_grad():
        weight = torch.linspace(0.5, 2.0, width, device="cpu")
        x = torch.linspace(-1.0, 2.0, width, device="cpu")
        stand_in.__dict__["_parameters"] = {"weight": nn.Parameter(weight)}
        try:
            found: Any = forward(stand_in, x.unsqueeze(0))
        except Exception:  # a forward of its own that wants other inputs, or other parameters
            return False
        wanted = RootMeanSquareSite(stand_in).through(x.unsqueeze(0), weight, None)
        return isinstance(found, Tensor) and torch.allclose(found, wanted, rtol=1e-3)
