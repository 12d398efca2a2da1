"""A plan as a list of steps over tensors: what an adapted module runs in every forward pass.

Values made of weights and factors alone are computed in the widest dtype among them (float32 factors keep a bfloat16
base exact) and cast once where they meet activations; activations are never widened.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from specdsl.affine import W as BASE_WEIGHT
from specdsl.affine import X
from specdsl.arrays.torch_arrays import TorchArrays
from specdsl.interpret import TAKES_NUMBERS, Sizes, concrete_options
from specdsl.ir import Apply, Factor, Given, Node, Part, Scalar, Site, reads
from specdsl.lowering.padding import reads_across, without_padding, without_padding_counted
from specdsl.lowering.sequences import by_sequence, counts_axes
from specdsl.lowering.sites import LayerSite
from specdsl.node_sizes import settings_sizes
from specdsl.plan import Project, Through, gradient_wanted, inputs_of, program_order

ReadLeaf = Callable[[Node], Tensor]
"""The stored tensor of a factor or constant."""


ReadGiven = Callable[[Given, tuple[int, ...]], Tensor]
"""The value of a noise or input in one forward pass."""


@dataclass(frozen=True)
class Step:
    """One computation: `values[result] = compute(...)`."""

    result: int
    node: Node
    inputs: tuple[int, ...]
    options: Mapping[str, Any]
    in_tokens: bool
    across_tokens: bool
    tokens_among_inputs: tuple[bool, ...]
    needs_gradient: bool


class Program:
    """The steps of one expression for concrete sizes.

    Args:
        output: the expression, over `Project`, `Through`, site values, factors and constants.
        constants: expressions whose values are stored.
        sizes: numbers for the symbols.
    """

    def __init__(self, output: Node, constants: tuple[Node, ...], sizes: Sizes) -> None:
        self.output = output
        self.sizes = sizes
        self.constants = frozenset(constants)
        order = program_order(output, self.constants)
        self.slots = {node: position for position, node in enumerate(order)}
        wanted = gradient_wanted(order, self.constants)
        self.steps = tuple(
            Step(
                self.slots[node],
                node,
                tuple(self.slots[child] for child in inputs_of(node, self.constants)),
                self._options(node),
                is_in_tokens(node),
                is_in_tokens(node) and reads_across(node),
                tuple(is_in_tokens(child) for child in inputs_of(node, self.constants)),
                node in wanted,
            )
            for node in order
        )
        self.reads_input = any(step.node == X for step in self.steps)
        self.reads_across_tokens = any(step.across_tokens for step in self.steps)

    def is_stored(self, node: Node) -> bool:
        """Whether a value is not computed but read: a factor, or what was computed once."""
        return isinstance(node, Factor) or node in self.constants

    def _options(self, node: Node) -> dict[str, Any]:
        if isinstance(node, Scalar):
            return {"number": float(self.sizes.number(node.size))}
        return concrete_options(node, self.sizes) if isinstance(node, Apply) and not _reads_tokens(node) else {}

    def run(
        self,
        site: LayerSite | None,
        leaf: ReadLeaf,
        x: Tensor | None = None,
        base: Callable[[], Tensor] | None = None,
        training: bool = False,
        like: Tensor | None = None,
        given: ReadGiven | None = None,
        is_token: Tensor | None = None,
    ) -> Tensor:
        """The value of the output.

        Args:
            site: the module, for `W`, `b` and products with x.
            leaf: gives stored factors and constants.
            x: the module's input, where the expression reads it.
            base: runs the bare module.
            training: whether dropout drops.
            like: a tensor whose device new arrays take; by default x.
            given: the noise and inputs of this pass, in the shape they have in it.
            is_token: False where a row of x is padding; None where no row is, or none is known to be.
        """
        model = like if like is not None else x
        assert model is not None
        run = _Run(site, leaf, x, base, model.device, training, self.sizes, given, is_token)
        values: list[Any] = [None] * len(self.steps)
        device_type = model.device.type
        autocast = torch.is_autocast_enabled(device_type)
        for step in self.steps:
            if step.needs_gradient and (step.in_tokens or not autocast):
                values[step.result] = run.value(step, values, self.constants)
                continue
            plain = torch.autocast(device_type, enabled=False) if autocast and not step.in_tokens else nullcontext()
            recording = nullcontext() if step.needs_gradient else torch.no_grad()
            with plain, recording:
                values[step.result] = run.value(step, values, self.constants)
        return values[self.slots[self.output]]  # type: ignore[no-any-return]


class _Run:
    """One pass through a program."""

    def __init__(
        self, site: LayerSite | None, leaf: ReadLeaf, x: Tensor | None, base: Callable[[], Tensor] | None,
        device: torch.device, training: bool, sizes: Sizes, given: ReadGiven | None,
        is_token: Tensor | None,
    ) -> None:  # fmt: skip
        self.site = site
        self.sizes = sizes
        self.given = given
        self.is_token = is_token
        self.leaf = leaf
        self.x = x
        self.base = base
        self.device = device
        own = site.weight.dtype if site is not None and site.weight.is_floating_point() else torch.float32
        self.plain = torch.promote_types(own, torch.float32)  # of arrays made from nothing, such as `eye`
        self.training = training

    def value(self, step: Step, values: list[Any], constants: frozenset[Node]) -> Any:
        node = step.node
        if node in constants or isinstance(node, Factor):
            return self.leaf(node)
        match node:
            case Scalar():
                return step.options["number"]
            case Given():
                assert self.given is not None
                return self.given(node, self._given_shape(node))
            case Site():
                return self._site_value(node)
            case Project():
                return self._project(node, [values[slot] for slot in step.inputs])
            case Through():
                return self._through(node, [values[slot] for slot in step.inputs])
            case Part():
                return values[step.inputs[0]][node.index]
            case Apply():
                return self._apply(step, node, values)
        raise AssertionError(node)

    def _given_shape(self, node: Given) -> tuple[int, ...]:
        """The shape of a noise or input in this pass; tokens have the axes that the input has."""
        leading = () if self.x is None or self.site is None else self.site.token_shape(self.x)
        axes = [leading if size.as_symbol == "tokens" else (self.sizes.integer(size),) for size in node.shape]
        return tuple(length for axis in axes for length in axis)

    def _site_value(self, node: Site) -> Tensor:
        site = self.site
        assert site is not None
        match node.name:
            case "x":
                assert self.x is not None
                return site.tokens(self.x)
            case "y":
                assert self.base is not None
                return site.from_output(self.base())
            case "b":
                assert site.bias is not None
                return site.bias
            case "w":
                return site.weight
            case _:
                matrix = site.matrix(site.weight)
                return torch.diag(matrix) if site.weight_is_diagonal else matrix

    def _project(self, node: Project, inputs: list[Tensor]) -> Tensor:
        site, x = self.site, self.x
        assert site is not None
        assert x is not None
        if not inputs:
            if site.weight_is_diagonal:
                return site.tokens(x) * site.weight
            return site.from_output(site.through(x, site.weight, None))
        return site.project(x, _as(inputs[0], self._activation_dtype(x, site)))

    def _through(self, node: Through, inputs: list[Tensor]) -> Tensor:
        site, x = self.site, self.x
        assert site is not None
        assert x is not None
        dtype = self._activation_dtype(x, site)
        built = node.weight != BASE_WEIGHT
        weight = _as(site.layout(inputs[0]), dtype) if built else site.weight
        bias = _as(inputs[-1], dtype) if node.bias is not None else None
        return site.from_output(site.through(x, weight, bias))

    def _activation_dtype(self, x: Tensor, site: LayerSite) -> torch.dtype:
        return x.dtype if x.is_floating_point() else site.weight.dtype

    def _options_here(self, node: Apply, step: Step) -> Mapping[str, Any]:
        """Options that name the number of tokens have it from the input."""
        if not _reads_tokens(node) or self.x is None or self.site is None:
            return step.options
        tokens = self.site.token_shape(self.x)[-1]
        return concrete_options(node, Sizes({**self.sizes.values, "tokens": tokens}, self.sizes.layers))

    def _apply(self, step: Step, node: Apply, values: list[Any]) -> Any:
        arguments = [values[slot] for slot in step.inputs]
        if self.is_token is None or not step.across_tokens:
            return self._applied(step, node, arguments)
        value = self._applied(step, node, without_padding(node, arguments, self.is_token))
        return without_padding_counted(node, value, self.is_token)

    def _applied(self, step: Step, node: Apply, arguments: list[Any]) -> Any:
        arguments = _cast_to_tokens(step, arguments) if step.in_tokens else _widened(arguments)
        dtype = next((a.dtype for a in arguments if isinstance(a, Tensor) and a.is_floating_point()), self.plain)
        arrays = TorchArrays(self.device, dtype)
        arrays.training = self.training
        if node.operator not in TAKES_NUMBERS:
            arguments = [arrays.full((), value) if isinstance(value, float) else value for value in arguments]
        if step.in_tokens and counts_axes(node):
            options = self._options_here(node, step)
            return by_sequence(lambda *own: node.definition.value(arrays, *own, **options), node, arguments)
        arguments = _numbers_of_sequences(node, _rows_of_tokens(node, arguments))
        options = _from_the_end(node, step.options) if step.in_tokens else step.options
        value = node.definition.value(arrays, *arguments, **options)
        return value.unsqueeze(-2) if _reduces_tokens(node) else value


def _reads_tokens(node: Node) -> bool:
    return any("tokens" in size.symbols for size in settings_sizes(node))


def _rows_of_tokens(node: Apply, arguments: list[Any]) -> list[Any]:
    """Vectors over the tokens meet matrices as rows: the axes of a batch stay in front of them."""
    if not any(child.ndim > 1 for child in node.arguments) or node.operator == "scale_rows":
        return arguments
    return [
        value.unsqueeze(-2)
        if isinstance(value, Tensor) and value.dim() > 1 and child.ndim == 1 and child.shape[0].as_symbol == "tokens"
        else value
        for child, value in zip(node.arguments, arguments, strict=True)
    ]


def _numbers_of_sequences(node: Apply, arguments: list[Any]) -> list[Any]:
    """A number that every sequence has for itself meets the axes of its own sequence alone."""
    widest = max([0, *(child.ndim for child in node.arguments)])
    return [
        value.reshape(*value.shape, *(1 for _ in range(widest)))
        if isinstance(value, Tensor) and value.dim() and not child.ndim
        else value
        for child, value in zip(node.arguments, arguments, strict=True)
    ]


def _reduces_tokens(node: Apply) -> bool:
    """Whether the tokens of every sequence are reduced to one row, which then meets all of them."""
    if len(node.arguments) != 1 or node.arguments[0].ndim != 2 or node.ndim != 1:
        return False
    tokens = [size.as_symbol == "tokens" for size in node.arguments[0].shape]
    return any(tokens) and node.shape[0].as_symbol != "tokens"


def _from_the_end(node: Apply, options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Options with an axis of tokens counted from the end: in front of it stand those of the batch."""
    axis = options.get("axis")
    if axis is None or axis < 0 or not is_in_tokens(node.arguments[0]):
        return options
    return {**options, "axis": axis - node.arguments[0].ndim}


def is_in_tokens(node: Node) -> bool:
    """Whether a value is an activation."""
    return (
        isinstance(node, Project | Through)
        or bool(reads(node) & {"x", "y"})
        or (isinstance(node, Given) and any(size.as_symbol == "tokens" for size in node.shape))
        or any(is_in_tokens(child) for child in node.children)
    )


def _as(value: Any, dtype: torch.dtype) -> Any:
    return (
        value.to(dtype) if isinstance(value, Tensor) and value.dtype != dtype and value.is_floating_point() else value
    )


def _cast_to_tokens(step: Step, arguments: list[Any]) -> list[Any]:
    """Weights and factors take the dtype of the activations they meet."""
    dtype: torch.dtype | None = None
    for argument, in_tokens in zip(arguments, step.tokens_among_inputs, strict=True):
        if in_tokens and isinstance(argument, Tensor):
            dtype = argument.dtype if dtype is None else torch.promote_types(dtype, argument.dtype)
    return arguments if dtype is None else [_as(argument, dtype) for argument in arguments]


def _widened(arguments: list[Any]) -> list[Any]:
    """Weights and factors meet in the widest of their dtypes."""
    dtypes = [a.dtype for a in arguments if isinstance(a, Tensor) and a.is_floating_point()]
    if len(set(dtypes)) < 2:
        return arguments
    widest = dtypes[0]
    for dtype in dtypes[1:]:
        widest = torch.promote_types(widest, dtype)
    return [_as(argument, widest) for argument in arguments]
