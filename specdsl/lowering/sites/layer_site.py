"""What every layer type answers: how it reads as `y = x W + b`, and how it runs with another weight."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor, nn

from specdsl.plan import LayerTraits


class LayerSite(ABC):
    """One module seen as `y = x W + b`.

    Attributes:
        module: the adapted module; its parameters are read at every call, so moving or casting it is harmless.
    """

    input_is_tokens: ClassVar[bool] = True
    free_projection: ClassVar[bool] = False
    weight_is_diagonal: ClassVar[bool] = False
    unfolds: ClassVar[bool] = False
    only_weight: ClassVar[bool] = False

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.other: tuple[Tensor, Tensor | None] | None = None

    @property
    @abstractmethod
    def kind(self) -> str:
        """The layer type, as reports name it."""

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
            self.unfolds, self.only_weight,
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

    def set_bias(self, bias: Tensor | None) -> None:
        """Let the module hold another bias; None takes one away that it had not from the first."""
        module: Any = self.module
        if self.bias is not None and bias is not None:
            self.bias.data = bias
        elif bias is not None:
            module.bias = nn.Parameter(bias, requires_grad=False)
        elif "bias" in module._parameters:
            module._parameters["bias"] = None

    # ------------------------------------------------------------------------------------------- stacks

    @property
    def stack(self) -> int | None:
        """How many matrices stand side by side in the module, each adapted for itself; None for the usual one."""
        return None

    def member(self, weight: Tensor, bias: Tensor | None) -> LayerSite:
        """One layer of the stack, with its weight and bias."""
        raise AssertionError(f"{self.kind} is no stack")

    def member_weights(self, weight: Tensor) -> Tensor:
        """The weight with the stack as its first axis, every matrix in the layout of a member."""
        return weight

    def biases(self, bias: Tensor) -> Tensor:
        """The bias as the spec reads it, `m`, or `stack x m`."""
        return bias

    def bias_layout(self, biases: Tensor) -> Tensor:
        """The inverse of `biases`."""
        return biases

    def member_inputs(self, x: Tensor) -> Tensor:
        """The module's input as those of the members, with the stack as its first axis."""
        return x

    def member_outputs(self, y: Tensor) -> Tensor:
        """The module's output as those of the members, with the stack as its first axis."""
        return y

    # ------------------------------------------------------------------------------------- as y = x W + b

    @property
    @abstractmethod
    def sizes(self) -> dict[str, int]:
        """The sizes of one matrix: `n`, `m`, for a convolution `c`, and of an image `kh`, `kw`."""

    @abstractmethod
    def matrix(self, weight: Tensor) -> Tensor:
        """A weight in the module's layout as `n x m` (for a norm, its `n` diagonal entries; `stack x n x m`)."""

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


def own_class(module: nn.Module) -> type[nn.Module]:
    """The module's class, as it was before an adapter was attached."""
    found: type[nn.Module] = getattr(type(module), "specdsl_base_class", type(module))
    return found


def runs_as(module: nn.Module, layer: type[nn.Module]) -> bool:
    """Whether the module is a `layer` and runs as one on a weight that it holds.

    A subclass with a forward of its own may do anything, and a weight that is computed, as by a parametrisation,
    cannot be set.
    """
    return isinstance(module, layer) and own_class(module).forward is layer.forward and "weight" in module._parameters
