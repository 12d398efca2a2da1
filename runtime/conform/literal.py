"""The formula of a spec, evaluated as it is written in float64: no plan, no lowering, one sequence after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from specdsl.arrays.torch_arrays import TorchArrays
from specdsl.interpret import Sizes, evaluate
from specdsl.ir import Apply, Factor, Given, Layers, Node, PenaltyIR, Ranked, Site, SpecIR, reads
from specdsl.operators.registry import find_operator
from specdsl.runtime.conform.layer_types import LayerType, bias_of
from specdsl.starting import Starting, draw_numpy


@dataclass
class Place:
    """One adapted layer, as the formula sees it.

    Attributes:
        name: of the module, which random starts depend on.
        module: the bare layer.
        sizes: the numbers behind the spec's sizes.
        scopes: for every factor what it is shared in, or the module's name.
        factors: the values of factors; those that are absent have their value at the start.
    """

    name: str
    module: nn.Module
    sizes: Sizes
    scopes: Mapping[str, str]
    factors: Mapping[str, Tensor] = field(default_factory=dict)


class Literal:
    """A spec in the layers of a model, evaluated literally.

    Args:
        ir: the spec.
        layer: the type of the layers.
        places: the layers, in model order.
        seed: of the random starts.
        indices: indices that are given when attaching.
    """

    def __init__(
        self, ir: SpecIR, layer: LayerType, places: Sequence[Place], seed: int, indices: Mapping[str, Tensor]
    ) -> None:
        self.ir = ir
        self.layer = layer
        self.places = list(places)
        self.seed = seed
        self.xp = TorchArrays("cpu", torch.float64)
        self.startings = [self._starting(place, indices) for place in self.places]

    # ------------------------------------------------------------------------------------------- outputs

    def output(self, x: Tensor, inputs: Mapping[str, Tensor] | None = None) -> Tensor:
        """The adapted output of every layer for the same input, as `layers x sequences x tokens x m`."""
        return torch.stack([self._rows(number, x, inputs or {}) for number in range(len(self.places))])

    def _rows(self, number: int, x: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        tokens = self.layer.tokens(self.places[number].module, x)
        sequences = tokens.reshape(-1, *tokens.shape[-2:])
        given = [{name: of_sequence(self.ir, name, value, i) for name, value in inputs.items()}
                 for i in range(len(sequences))]  # fmt: skip
        return torch.stack([self._sequence(number, *pair) for pair in zip(sequences, given, strict=True)])

    def _sequence(self, number: int, x: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        W, b = self._base(number)
        targets = self.ir.targets
        values = self._evaluated(list(targets.values()), number, {"x": x, "y": x @ W + b}, inputs)
        if "y" in targets:
            output: Tensor = values[targets["y"]]
            return output
        new = {name: values[node] for name, node in targets.items()}
        result: Tensor = new.get("x", x) @ new.get("W", W) + new.get("b", b)
        return result

    # ----------------------------------------------------------------------------------------- penalties

    def penalties(self, inputs: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Every penalty under its text, summed over the layers; tensors that layers share count once."""
        return {penalty.text: self._penalty(penalty, inputs or {}) for penalty in self.ir.penalties}

    def _penalty(self, penalty: PenaltyIR, inputs: Mapping[str, Tensor]) -> Tensor:
        terms: dict[Any, Tensor] = {}
        for number, place in enumerate(self.places[:1] if penalty.once else self.places):
            names = reads(penalty.value)
            own = bool(names & {"W", "b"}) or any(place.scopes[name] == place.name for name in names & self._names)
            key = place.name if own else tuple(sorted(place.scopes[name] for name in names & self._names))
            if key not in terms:
                terms[key] = torch.as_tensor(self._now(penalty.value, number, inputs))
        return torch.stack(list(terms.values())).sum()

    def _now(self, node: Node, number: int, inputs: Mapping[str, Tensor]) -> Any:
        return self._evaluated([node], number, {}, inputs)[node]

    # ---------------------------------------------------------------------------------------- evaluation

    @property
    def _names(self) -> frozenset[str]:
        return frozenset(self.ir.factors)

    def _base(self, number: int) -> tuple[Tensor, Tensor]:
        module = self.places[number].module
        W = self.layer.matrix(module)
        return W, bias_of(module, W.shape[1])

    def _evaluated(
        self, nodes: list[Node], number: int, tokens: Mapping[str, Tensor], inputs: Mapping[str, Tensor]
    ) -> dict[Node, Any]:
        place, starting = self.places[number], self.startings[number]
        W, b = self._base(number)
        site = {"W": W, "b": b, **tokens}

        def leaf(node: Node) -> Any:
            match node:
                case Site():
                    return site[node.name]
                case Factor():
                    return place.factors[node.name] if node.name in place.factors else starting.factor(node.name)
                case Given():
                    return self._given(node.name, starting, inputs)
                case Layers() if not tokens:
                    values = [self._now(node.of, i, inputs) for i in range(len(self.places))]
                    return torch.stack([torch.as_tensor(value) for value in values])
                case _:
                    return starting.constant(node)

        return evaluate(nodes, self.xp, place.sizes, leaf)

    def _given(self, name: str, starting: Starting, inputs: Mapping[str, Tensor]) -> Any:
        if name not in inputs:
            return starting.given_value(name)
        return inputs[name].expand(starting.sizes.shape(self.ir.given[name].shape))

    # -------------------------------------------------------------------------------------------- starts

    def start(self, number: int, name: str) -> Tensor:
        """The value of a factor at the start."""
        value: Tensor = self.startings[number].factor(name)
        return value

    def _starting(self, place: Place, indices: Mapping[str, Tensor]) -> Starting:
        W = self.layer.matrix(place.module)
        return Starting(
            self.ir, self.xp, place.sizes, {"W": W, "b": bias_of(place.module, W.shape[1])},
            partial(self._draw, place), indices, self._list, partial(self._ranked, place),
        )  # fmt: skip

    def _draw(self, place: Place, node: Apply, shape: tuple[int, ...], options: dict[str, Any]) -> Tensor:
        owner = str(node.option("label")).rsplit(".", 1)[0]
        return torch.from_numpy(draw_numpy(node, shape, options, self.seed, place.scopes.get(owner, place.name)))

    def _list(self, node: Node) -> Tensor:
        return torch.stack([torch.as_tensor(starting.constant(node)) for starting in self.startings])

    def _ranked(self, place: Place, node: Ranked) -> Tensor:
        values = self._list(node.of.of)
        top = find_operator("top")
        assert top is not None
        mask = top.value(self.xp, values, k=float(self.startings[0].constant(node.amount)))
        own: Tensor = mask[self.places.index(place)]
        return own


def of_sequence(ir: SpecIR, name: str, value: Tensor, sequence: int) -> Tensor:
    """The part of an input that belongs to one sequence: inputs over tokens have an entry for every token."""
    shape = ir.given[name].shape
    if not shape or shape[0].as_symbol != "tokens" or value.dim() < len(shape) + 1:
        return value
    return value.reshape(-1, *value.shape[-len(shape) :])[sequence]
