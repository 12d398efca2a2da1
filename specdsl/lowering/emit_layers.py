"""Layer types in emitted code: how each reads as `y = x W + b`. The counterpart of `sites`, in text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from specdsl.errors import SpecNotBuiltError
from specdsl.lowering.emit_code import Code
from specdsl.plan import LayerTraits


@dataclass(frozen=True)
class LayerCode:
    """A layer type, as templates over `base` (code of the layer), `M` (a matrix or weight) and `bias`.

    Attributes:
        kind: as in reports.
        base: the type of the layer in the constructor.
        weight_is: how its `weight` relates to W.
        sizes: each size as code.
        weight: W as `through` takes it: `n x m`, of a norm its diagonal.
        layout: W' as a weight of the layer.
        tokens: x as rows; None where it is never built.
        project: `x @ M`.
        project_base: `x @ W`.
        through: the layer with another weight (`n x m`; for a norm its diagonal) and bias.
        is_diagonal: whether W is diagonal.
        images: whether `y`, `project` and `through` give images, which the plan reads as rows.
        has_merged_bias: whether a new bias can be put into the layer.
    """

    kind: str
    base: str
    weight_is: str
    sizes: Mapping[str, str]
    weight: str
    layout: str
    tokens: str | None
    project: str
    project_base: str
    through: str
    images: bool = False
    is_diagonal: bool = False
    has_merged_bias: bool = True

    @property
    def has_optional_bias(self) -> bool:
        """Whether `through` may end without the bias."""
        return not self.images and "{bias}" in self.through

    @property
    def matrix(self) -> str:
        """W, `n x m`."""
        return f"torch.diag({self.weight})" if self.is_diagonal else self.weight

    def ordered(self, names: Iterable[str]) -> list[str]:
        """Names of sizes, those of the layer first."""
        given = list(dict.fromkeys(names))
        return [*(name for name in self.sizes if name in given), *(name for name in given if name not in self.sizes)]


_ROWS = {"n": "base.weight.shape[0]", "m": "base.weight.shape[1]"}
_NORM = {"n": "len(base.weight)", "m": "len(base.weight)"}


def _convolution(axes: int, **kernel: str) -> LayerCode:
    """A convolution over that many axes; `kernel` has the sizes that the language has names for."""
    return LayerCode(
        f"Conv{axes}d",
        f"nn.Conv{axes}d",
        f"W is n x m with n = {'*'.join(('c', *kernel)) if kernel else 'c times the places of a kernel'}, its kernels "
        "as columns; x @ W is the convolution",
        {"n": "base.weight[0].numel()", "m": "base.out_channels", "c": "base.in_channels", **kernel},
        weight="{base}.weight.flatten(1).T",
        layout="{M:atom}.T.reshape({base}.weight.shape)",
        tokens="unfolded({base}, x)",
        project="convolve({base}, x, {M}, None)",
        project_base="{base}._conv_forward(x, {base}.weight, None)",
        through="convolve({base}, x, {M}, {bias})",
        images=True,
    )


_LAYERS = {
    "Linear": LayerCode(
        "Linear",
        "nn.Linear",
        "W is n x m, the transpose of its weight",
        {"n": "base.in_features", "m": "base.out_features"},
        weight="{base}.weight.T",
        layout="{M:atom}.T",
        tokens="x",
        project="x @ {M:unary}",
        project_base="F.linear(x, {base}.weight)",
        through="F.linear(x, {M:atom}.T, {bias})",
    ),
    "Conv1D": LayerCode(
        "Conv1D",
        "nn.Module",
        "a Conv1D as in GPT-2, whose weight is W : n x m",
        _ROWS,
        weight="{base}.weight",
        layout="{M}",
        tokens="x",
        project="x @ {M:unary}",
        project_base="x @ {base}.weight",
        through="F.linear(x, {M:atom}.T, {bias})",
    ),
    "Embedding": LayerCode(
        "Embedding",
        "nn.Embedding",
        "W is n x m, its weight, and x @ W takes rows of it",
        {"n": "base.num_embeddings", "m": "base.embedding_dim"},
        weight="{base}.weight",
        layout="{M}",
        tokens=None,
        project="embed({base}, x, {M})",
        project_base="embed({base}, x, {base}.weight)",
        through="embed({base}, x, {M})",
        has_merged_bias=False,
    ),
    "Conv1d": _convolution(1),
    "Conv2d": _convolution(2, kh="base.kernel_size[0]", kw="base.kernel_size[1]"),
    "Conv3d": _convolution(3),
    "LayerNorm": LayerCode(
        "LayerNorm",
        "nn.LayerNorm",
        "x is the normalised input and W = diag(weight)",
        _NORM,
        weight="{base}.weight",
        layout="{M:atom}.diagonal()",
        tokens="layer_norm({base}, x)",
        project="layer_norm({base}, x) @ {M:unary}",
        project_base="layer_norm({base}, x, {base}.weight)",
        through="layer_norm({base}, x, {M}, {bias})",
        is_diagonal=True,
    ),
    "RMSNorm": LayerCode(
        "RMSNorm",
        "nn.Module",
        "an RMS norm; x is the normalised input and W = diag(weight)",
        _NORM,
        weight="{base}.weight",
        layout="{M:atom}.diagonal()",
        tokens="rms_norm({base}, x)",
        project="rms_norm({base}, x) @ {M:unary}",
        project_base="rms_norm({base}, x, {base}.weight)",
        through="rms_norm({base}, x, {M}, {bias})",
        is_diagonal=True,
        has_merged_bias=False,
    ),
}


def layer_code(traits: LayerTraits) -> LayerCode:
    """How a layer type is written.

    Raises:
        SpecNotBuiltError: nothing says how.
    """
    if traits.kind not in _LAYERS:
        grouped = traits.kind.startswith("grouped")
        why = "each group has factors of its own" if grouped else f"only {', '.join(_LAYERS)} can"
        raise SpecNotBuiltError(f"a layer of type {traits.kind} cannot be emitted as plain PyTorch code: {why}")
    return _LAYERS[traits.kind]


def filled(template: str, base: str = "self.base", **parts: Code) -> Code:
    """A template with code in its places."""
    return Code(template.format(base=base, **parts))


def through_code(layer: LayerCode, weight: Code | None, bias: Code | None, base: str = "self.base") -> Code:
    """The layer with another weight and bias; None is its own weight, or no bias."""
    M = filled(layer.weight, base) if weight is None else weight
    code = filled(layer.through, base, M=M, bias=bias or Code("None"))
    if "{bias}" not in layer.through and bias is not None:
        return Code(f"{code} + {bias:product}")
    text = code.text.replace(".T.T", "")
    return Code(text.replace(", None)", ")") if layer.has_optional_bias else text)
