"""Layer types: how each reads as `y = x W + b`, and how it runs with another weight.

`W : n x m` is the matrix view of the row convention: `nn.Linear.weight.T`, GPT-2's `Conv1D.weight`, a convolution's
kernels as columns (`n = c*kh*kw`), an embedding's table, the diagonal of a norm's weight. `tokens` below stands for
any leading axes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import copy
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import unset_fake_temporarily
from torch.nn import functional as F
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from specdsl.errors import SpecTargetError
from specdsl.plan import LayerTraits


class LayerSite(ABC):
    """One module seen as `y = x W + b`.

    Attributes:
        module: the adapted module; its parameters are read at every call, so moving or casting it is harmless.
    """

    kind: ClassVar[str]
    input_is_tokens: ClassVar[bool] = True
    free_projection: ClassVar[bool] = False
    weight_is_diagonal: ClassVar[bool] = False
    unfolds: ClassVar[bool] = False

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.other: tuple[Tensor, Tensor | None] | None = None

    @property
    def refusal(self) -> str | None:
        """Why this module is not `y = x W + b` although its type is, or None."""
        return None

    def with_weight(self, weight: Tensor, bias: Tensor | None) -> LayerSite:
        """The same module, read with another weight and bias."""
        site = type(self)(self.module)
        site.other = (weight, bias)
        return site

    @property
    def traits(self) -> LayerTraits:
        return LayerTraits(
            self.kind, self.bias is not None, self.input_is_tokens, self.free_projection, self.weight_is_diagonal,
            self.unfolds,
        )  # fmt: skip

    @property
    def weight(self) -> Tensor:
        """The module's own weight parameter, in its own layout."""
        weight = self.other[0] if self.other else self.module.weight
        assert isinstance(weight, Tensor)
        return weight

    @property
    def bias(self) -> Tensor | None:
        bias = self.other[1] if self.other else getattr(self.module, "bias", None)
        assert bias is None or isinstance(bias, Tensor)
        return bias

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """The sizes the module brings: `n`, `m`, and `c`, `kh`, `kw` for a convolution."""

    @abstractmethod
    def matrix(self, weight: Tensor) -> Tensor:
        """A weight in the module's layout as `n x m` (for a norm, its `n` diagonal entries)."""

    @abstractmethod
    def layout(self, matrix: Tensor) -> Tensor:
        """`n x m` as a weight in the module's layout; the inverse of `matrix`."""

    @abstractmethod
    def project(self, x: Tensor, matrix: Tensor) -> Tensor:
        """`x @ matrix` for the module's own input: `tokens x k` for `matrix : n x k`."""

    @abstractmethod
    def through(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The module's operation with another weight (in its layout) and bias."""

    def tokens(self, x: Tensor) -> Tensor:
        """The module's input as `tokens x n`."""
        return x

    def token_shape(self, x: Tensor) -> tuple[int, ...]:
        """The axes that stand for the tokens of the input `x`: batch and sequence."""
        return tuple(x.shape[:-1])

    def from_output(self, y: Tensor) -> Tensor:
        """The module's output as `tokens x m`."""
        return y

    def to_output(self, y: Tensor, x: Tensor) -> Tensor:
        """`tokens x m` as the module's output for the input `x`."""
        return y


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


class ConvolutionSite(LayerSite):
    """`nn.Conv2d` without groups: `y = unfold(x) @ W` with `n = c*kh*kw`."""

    kind = "Conv2d"
    unfolds = True

    @property
    def sizes(self) -> dict[str, int]:
        m, c, kh, kw = self.weight.shape
        return {"n": c * kh * kw, "m": m, "c": c, "kh": kh, "kw": kw}

    def matrix(self, weight: Tensor) -> Tensor:
        return weight.reshape(weight.shape[0], -1).T

    def layout(self, matrix: Tensor) -> Tensor:
        return matrix.T.reshape(-1, *self.weight.shape[1:])

    def project(self, x: Tensor, matrix: Tensor) -> Tensor:
        return self.from_output(self.through(x, self.layout(matrix), None))

    def through(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        module: Any = self.module
        return module._conv_forward(x, weight, bias)  # type: ignore[no-any-return]

    def tokens(self, x: Tensor) -> Tensor:
        module: Any = self.module
        if module.padding_mode != "zeros":
            x = F.pad(x, module._reversed_padding_repeated_twice, mode=module.padding_mode)
            padding: Any = 0
        else:
            padding = module.padding
        if isinstance(padding, str):
            pads = module._reversed_padding_repeated_twice
            x, padding = F.pad(x, pads), 0
        columns = F.unfold(x, module.kernel_size, module.dilation, padding, module.stride)
        return columns.transpose(-1, -2)

    def from_output(self, y: Tensor) -> Tensor:
        return y.flatten(-2).transpose(-1, -2)

    def token_shape(self, x: Tensor) -> tuple[int, ...]:
        return (*x.shape[:-3], math.prod(self._places(x)))

    def to_output(self, y: Tensor, x: Tensor) -> Tensor:
        output: Tensor = torch.unflatten(y.transpose(-1, -2), -1, self._places(x))
        return output

    def _places(self, x: Tensor) -> list[int]:
        """Height and width of the output for the input `x`."""
        module: Any = self.module
        sizes = []
        for axis in range(2):
            pads = module._reversed_padding_repeated_twice[2 * (1 - axis) : 2 * (1 - axis) + 2]
            extent = x.shape[-2 + axis] + sum(pads) - module.dilation[axis] * (module.kernel_size[axis] - 1) - 1
            sizes.append(extent // module.stride[axis] + 1)
        return sizes


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


SiteType = Callable[[nn.Module], LayerSite]
_BY_CLASS: list[tuple[Callable[[nn.Module], bool], SiteType]] = []


def add_layer_type(matches: Callable[[nn.Module], bool], site: SiteType) -> None:
    """Teach specdsl a layer type; later additions are asked first."""
    _BY_CLASS.insert(0, (matches, site))


def site_of(module: nn.Module) -> LayerSite | None:
    """The module as `y = x W + b`, or None if its type is unknown."""
    for matches, site in _BY_CLASS:
        if matches(module):
            return site(module)
    return None


def own_class(module: nn.Module) -> type[nn.Module]:
    """The module's class, as it was before an adapter was attached."""
    found: type[nn.Module] = getattr(type(module), "specdsl_base_class", type(module))
    return found


def _as_factor(scale: Any, rows: Tensor) -> Any:
    return scale.to(rows.dtype) if isinstance(scale, Tensor) else scale


def _runs_as(module: nn.Module, layer: type[nn.Module]) -> bool:
    """Whether the module is a `layer` and runs as one on a weight that it holds.

    A subclass with a forward of its own may do anything, and a weight that is computed, as by a parametrisation,
    cannot be set.
    """
    return isinstance(module, layer) and own_class(module).forward is layer.forward and "weight" in module._parameters


def _is_embedding(module: nn.Module) -> bool:
    return _runs_as(module, nn.Embedding) or (isinstance(module, nn.Embedding) and hasattr(module, "embed_scale"))


def _is_plain_convolution(module: nn.Module) -> bool:
    return _runs_as(module, nn.Conv2d) and getattr(module, "groups", None) == 1


def _is_root_mean_square(module: nn.Module) -> bool:
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


def _is_layer_norm(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return _runs_as(module, nn.LayerNorm) and isinstance(weight, Tensor) and weight.dim() == 1


def _is_transposed_linear(module: nn.Module) -> bool:
    return own_class(module).__name__ == "Conv1D" and hasattr(module, "nf")


def _is_linear(module: nn.Module) -> bool:
    # The output map of nn.MultiheadAttention never runs: its weight is read by the attention.
    return _runs_as(module, nn.Linear) and not isinstance(module, NonDynamicallyQuantizableLinear)


add_layer_type(_is_linear, LinearSite)
add_layer_type(_is_transposed_linear, TransposedLinearSite)
add_layer_type(_is_embedding, EmbeddingSite)
add_layer_type(_is_plain_convolution, ConvolutionSite)
add_layer_type(_is_layer_norm, NormSite)
add_layer_type(_is_root_mean_square, RootMeanSquareSite)
