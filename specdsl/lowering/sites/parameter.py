"""Parameters that a forward reads by name: experts, the projections of `nn.MultiheadAttention`, and others.

Their input and output never meet the layer, so a spec is run here as its `W'` (and `b'`), which whoever reads the
parameter gets. A parameter of two axes is a matrix, one of three a stack of matrices, each adapted for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

from specdsl.errors import SpecTargetError
from specdsl.lowering.sites.layer_site import LayerSite, own_class


class HeldParameter(nn.Module):
    """A parameter seen as a module, so that a spec can name and adapt it; it is no part of the model's tree.

    Args:
        owner: the module that holds it.
        attribute: its name there.
        is_transposed: whether it is held as `m x n`, as `nn.Linear` does, and not as `n x m`.
        orientation_is_known: whether the owner's class says so.
        bias: the name of the bias in the owner, if the two belong together.
        rows: the part of that bias, if it serves several matrices.
        role: what it is in an attention.
    """

    def __init__(
        self, owner: nn.Module, attribute: str, *, is_transposed: bool, orientation_is_known: bool = True,
        bias: str | None = None, rows: slice | None = None, role: str | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self._owner = (owner,)  # in a tuple, for a module in an attribute would be a part of this one
        self.attribute = attribute
        self.is_transposed = is_transposed
        self.orientation_is_known = orientation_is_known
        self.bias_attribute = bias
        self.rows = rows
        self.role = role

    @property
    def owner(self) -> nn.Module:
        return self._owner[0]

    def held_by(self, owner: nn.Module) -> HeldParameter:
        """The same parameter of another module of the owner's class, such as a replica."""
        return HeldParameter(
            owner, self.attribute, is_transposed=self.is_transposed, orientation_is_known=self.orientation_is_known,
            bias=self.bias_attribute, rows=self.rows, role=self.role,
        )  # fmt: skip

    @property
    def weight(self) -> Tensor:
        """The parameter itself, also where the owner shows an adapted one under its name."""
        weight = stored(self.owner, self.attribute)
        assert weight is not None
        return weight

    @property
    def bias(self) -> Tensor | None:
        whole = stored(self.owner, self.bias_attribute) if self.bias_attribute else None
        return whole if whole is None or self.rows is None else whole[self.rows]

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, nn.Parameter]]:
        for name in (self.attribute, self.bias_attribute):
            value = stored(self.owner, name) if name else None
            if name is not None and isinstance(value, nn.Parameter):
                yield name, value


def stored(owner: nn.Module, attribute: str) -> Tensor | None:
    """What a module holds under the name of a parameter; a replica holds plain tensors."""
    value: Any = owner._parameters.get(attribute)
    return owner.__dict__.get(attribute) if value is None else value


class ParameterSite(LayerSite):
    """A held parameter as `W`, or as a stack of them: `stack x n x m`, with one set of factors for each matrix."""

    only_weight = True
    module: HeldParameter

    @property
    def kind(self) -> str:
        return "transposed parameter" if self.module.is_transposed else "parameter"

    @property
    def refusal(self) -> str | None:
        if not self.weight.is_floating_point():
            return f"it holds {str(self.weight.dtype).removeprefix('torch.')} values"
        return None

    @property
    def can_have_bias(self) -> bool:
        """Whether the owner reads a bias, which may be absent now."""
        return self.bias is not None or (self.module.bias_attribute is not None and self.module.rows is None)

    @property
    def stack(self) -> int | None:
        return len(self.weight) if self.weight.dim() == 3 else None

    @property
    def sizes(self) -> dict[str, int]:
        n, m = self.matrix(self.weight).shape[-2:]
        return {"n": n, "m": m}

    def member(self, weight: Tensor, bias: Tensor | None) -> LayerSite:
        return self.with_weight(weight, bias)

    def matrix(self, weight: Tensor) -> Tensor:
        return weight.mT if self.module.is_transposed else weight

    def layout(self, matrix: Tensor) -> Tensor:
        return matrix.mT if self.module.is_transposed else matrix

    def set_bias(self, bias: Tensor | None) -> None:
        name, owner = self.module.bias_attribute, self.module.owner
        if name is None:
            return
        whole, rows = stored(owner, name), self.module.rows
        if whole is None or bias is None:
            owner._parameters[name] = None if bias is None else nn.Parameter(bias, requires_grad=False)
        elif rows is None:
            whole.data = bias
        else:  # in memory of its own: what was there before may be kept as the base's
            changed = whole.data.clone()
            changed[rows] = bias
            whole.data = changed

    def project(self, x: Tensor, matrix: Tensor) -> Tensor:
        raise SpecTargetError(NO_ACTIVATIONS)

    def through(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise SpecTargetError(NO_ACTIVATIONS)


NO_ACTIVATIONS = "its owner reads the parameter itself, so that its input and output are not at hand"


def held_parameters(module: nn.Module) -> Iterator[HeldParameter]:
    """The parameters of a module that specs reach by name: of two or three axes, and read by name in each pass."""
    if isinstance(module, nn.RNNBase):  # reads a list of its parameters that it made before
        return
    if isinstance(module, nn.MultiheadAttention):
        yield from _of_attention(module)
    for name, value in module._parameters.items():
        is_matrix = value is not None and value.dim() in (2, 3) and value.is_floating_point()
        if is_matrix and not (isinstance(module, nn.MultiheadAttention) and name in _ATTENTION):
            yield _of_unknown(module, name)


_ATTENTION = {
    "in_proj_weight": ("attention.qkv", None),
    "q_proj_weight": ("attention.query", 0),
    "k_proj_weight": ("attention.key", 1),
    "v_proj_weight": ("attention.value", 2),
}


def _of_attention(attention: nn.MultiheadAttention) -> Iterator[HeldParameter]:
    width = attention.embed_dim
    for name, (role, part) in _ATTENTION.items():
        if attention._parameters.get(name) is not None:
            rows = None if part is None else slice(part * width, (part + 1) * width)
            yield HeldParameter(attention, name, is_transposed=True, bias="in_proj_bias", rows=rows, role=role)


def attention_output(module: nn.Module) -> HeldParameter | None:
    """The output projection of `nn.MultiheadAttention`, which is a module that never runs."""
    if not isinstance(module, NonDynamicallyQuantizableLinear):
        return None
    return HeldParameter(module, "weight", is_transposed=True, bias="bias", role="attention.output")


def _of_unknown(module: nn.Module, name: str) -> HeldParameter:
    """As the class says: transformers marks experts; a subclass keeps the layout of what it is a subclass of."""
    bias = name.removesuffix("weight") + "bias" if name.endswith("weight") else f"{name}_bias"
    value = module._parameters[name]
    assert value is not None
    if own_class(module).__name__ == "Conv1D" or isinstance(module, nn.Embedding):
        transposed, known = False, True
    elif isinstance(module, nn.Linear):
        transposed, known = True, True
    elif value.dim() == 3 and isinstance(marked := getattr(module, "is_transposed", None), bool):
        transposed, known = not marked, True
    else:
        transposed, known = name == "weight", False
    columns = value.shape[-2] if transposed else value.shape[-1]
    other = module._parameters.get(bias)
    fits = other is not None and tuple(other.shape) == (*value.shape[:-2], columns)
    return HeldParameter(
        module, name, is_transposed=transposed, orientation_is_known=known, bias=bias if fits else None
    )  # fmt: skip
