"""What a forward pass brings: noise, drawn anew or at its mean, and inputs from outside or at their default."""

from __future__ import annotations

import torch
from torch import Tensor

from specdsl.errors import SpecSettingError
from specdsl.interpret import Sizes, concrete_options
from specdsl.ir import Apply, GivenIR, Scalar


def drawn(given: GivenIR, sizes: Sizes, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """A noise for one training forward, from torch's generator: gradient checkpointing draws it again alike."""
    assert isinstance(given.start, Apply)
    options = concrete_options(_without_shape(given.start), sizes)
    if given.start.operator == "uniform":
        low, high = options["low"], options["high"]
        wide = torch.promote_types(dtype, torch.float32)  # in half precision a uniform draw would often be an end
        uniform: Tensor = low + (high - low) * torch.rand(shape, dtype=wide, device=device)
        return uniform.to(dtype)
    normal: Tensor = options["std"] * torch.randn(shape, dtype=dtype, device=device)
    return normal


def at_rest(given: GivenIR, sizes: Sizes, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The mean of a noise, the default of an input.

    Raises:
        SpecSettingError: the input has no default.
    """
    rest = given.rest
    if rest is None:
        raise SpecSettingError(
            f"the input `{given.name}` is not given", given.span, f"set it: `adapter.set_inputs({given.name}=...)`"
        )
    number = rest.arguments[0] if isinstance(rest, Apply) and rest.operator == "fill" else rest
    assert isinstance(number, Scalar)
    return torch.full(shape, float(sizes.number(number.size)), dtype=dtype, device=device)


def brought(
    given: GivenIR, value: Tensor, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device
) -> Tensor:  # fmt: skip
    """An input as it was set, spread to the shape that it has in this pass.

    Raises:
        SpecSettingError: its shape does not fit.
    """
    try:
        return value.to(device=device, dtype=dtype).expand(shape)
    except RuntimeError:
        raise SpecSettingError(
            f"the input `{given.name}` is {_by(tuple(value.shape))}, but here it has to be {_by(shape)}", given.span,
            "a number, or one entry for every token of every sequence",
        ) from None  # fmt: skip


def _without_shape(node: Apply) -> Apply:
    options = tuple((name, value) for name, value in node.options if name != "shape")
    return Apply(node.shape, node.operator, node.arguments, options)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a number"
