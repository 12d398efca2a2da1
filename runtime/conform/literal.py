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
from specdsl.runtime.conform.layer_type import LayerType
from specdsl.starting import Starting, draw_numpy


@dataclass
class Place:
    """One adapted matrix, as the formula sees it.

    Attributes:
        name: that random starts depend on: of the module, and the matrix's number where it holds several.
        module: the bare layer.
        W, b: the matrix and its bias in float64.
        sizes: the numbers behind the spec's sizes.
        owner: the name of the module; what is shared in that is not shared.
        scopes: for every factor what it is shared in, or the module's name.
        factors: the values of factors; those that are absent have their value at the start.
    """

    name: str
    module: nn.Module
    W: Tensor
    b: Tensor
    sizes: Sizes
    owner: str
    scopes: Mapping[str, str]
    factors: Mapping[str, Tensor] = field(default_factory=dict)


class Literal:
    """A spec in the layers of a model, evaluated literally.

    Args:
        ir: the spec.
        layer: the type of the layers.
        layers: the matrices of every layer, in model order.
        seed: of the random starts.
        indices: indices that are given when attaching.
    """

    def __init__(
        self, ir: SpecIR, layer: LayerType, layers: Sequence[Sequence[Place]], seed: int, indices: Mapping[str, Tensor]
    ) -> None:
        self.ir = ir
        self.layer = layer
        self.layers = [list(places) for places in layers]
        self.places = [place for places in layers for place in places]
        self.seed = seed
        self.xp = TorchArrays("cpu", torch.float64)
        self.startings = {place.name: self._starting(place, indices) for place in self.places}

    # ------------------------------------------------------------------------------------------- outputs

    def output(self, x: Tensor, inputs: Mapping[str, Tensor] | None = None) -> Tensor:
        """The adapted output of every layer for one input, as `layers x copies x sequences x tokens x m`."""
        return torch.stack([self._rows(places, x, inputs or {}) for places in self.layers])

    def _rows(self, places: list[Place], x: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        if self.layer.through is not None:
            return self.layer.sequences(self._through(places, x))
        copies = self.layer.sequences(self.layer.tokens(places[0].module, x))
        found = []
        for number, sequences in enumerate(copies):
            place = places[number % len(places)]
            given = [{name: of_sequence(self.ir, name, value, i) for name, value in inputs.items()}
                     for i in range(len(sequences))]  # fmt: skip
            rows = [self._sequence(place, *pair) for pair in zip(sequences, given, strict=True)]
            found.append(torch.stack(rows))
        return torch.stack(found)

    def _through(self, places: list[Place], x: Tensor) -> Tensor:
        """The rows of a layer whose matrices meet no input: each is what the formula does to the unit vectors."""
        found = []
        for place in places:
            n = len(place.W)
            probes = torch.cat([torch.zeros(1, n, dtype=torch.float64), torch.eye(n, dtype=torch.float64)])
            b, *_ = rows = self._sequence(place, probes, {})
            found.append((rows[1:] - b, b))
        W, b = (torch.stack(values) if len(values) > 1 else values[0] for values in zip(*found, strict=True))
        assert self.layer.through is not None
        return self.layer.through(places[0].module, x, W, b)

    def _sequence(self, place: Place, x: Tensor, inputs: Mapping[str, Tensor]) -> Tensor:
        W, b = place.W, place.b
        targets = self.ir.targets
        values = self._evaluated(list(targets.values()), place, {"x": x, "y": x @ W + b}, inputs)
        if "y" in targets:
            output: Tensor = values[targets["y"]]
            return output
        new = {name: values[node] for name, node in targets.items()}
        result: Tensor = new.get("x", x) @ new.get("W", W) + new.get("b", b)
        return result

    # ----------------------------------------------------------------------------------------- penalties

    def penalties(self, inputs: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Every penalty under its text, summed over the matrices; what reads only shared tensors counts once."""
        return {penalty.text: self._penalty(penalty, inputs or {}) for penalty in self.ir.penalties}

    def _penalty(self, penalty: PenaltyIR, inputs: Mapping[str, Tensor]) -> Tensor:
        terms: dict[Any, Tensor] = {}
        for place in self.places[:1] if penalty.once else self.places:
            names = reads(penalty.value)
            own = bool(names & {"W", "b"}) or any(place.scopes[name] == place.owner for name in names & self._names)
            key = place.name if own else tuple(sorted(place.scopes[name] for name in names & self._names))
            if key not in terms:
                terms[key] = torch.as_tensor(self._now(penalty.value, place, inputs))
        return torch.stack(list(terms.values())).sum()

    def _now(self, node: Node, place: Place, inputs: Mapping[str, Tensor]) -> Any:
        return self._evaluated([node], place, {}, inputs)[node]

    # ---------------------------------------------------------------------------------------- evaluation

    @property
    def _names(self) -> frozenset[str]:
        return frozenset(self.ir.factors)

    def _evaluated(
        self, nodes: list[Node], place: Place, tokens: Mapping[str, Tensor], inputs: Mapping[str, Tensor]
    ) -> dict[Node, Any]:
        starting = self.startings[place.name]
        site = {"W": place.W, "b": place.b, **tokens}

        def leaf(node: Node) -> Any:
            match node:
                case Site():
                    return site[node.name]
                case Factor():
                    return place.factors[node.name] if node.name in place.factors else starting.factor(node.name)
                case Given():
                    return self._given(node.name, starting, inputs)
                case Layers() if not tokens:
                    values = [self._now(node.of, one, inputs) for one in self.places]
                    return torch.stack([torch.as_tensor(value) for value in values])
                case _:
                    return starting.constant(node)

        return evaluate(nodes, self.xp, place.sizes, leaf)

    def _given(self, name: str, starting: Starting, inputs: Mapping[str, Tensor]) -> Any:
        if name not in inputs:
            return starting.given_value(name)
        return inputs[name].expand(starting.sizes.shape(self.ir.given[name].shape))

    # -------------------------------------------------------------------------------------------- starts

    def starts(self, number: int, name: str) -> list[Tensor]:
        """The value of a factor at the start, for every matrix of a layer."""
        return [self.startings[place.name].factor(name) for place in self.layers[number]]

    def _starting(self, place: Place, indices: Mapping[str, Tensor]) -> Starting:
        return Starting(
            self.ir, self.xp, place.sizes, {"W": place.W, "b": place.b},
            partial(self._draw, place), indices, self._list, partial(self._ranked, place),
        )  # fmt: skip

    def _draw(self, place: Place, node: Apply, shape: tuple[int, ...], options: dict[str, Any]) -> Tensor:
        owner = str(node.option("label")).rsplit(".", 1)[0]
        scope = place.scopes.get(owner, place.owner)
        return torch.from_numpy(
            draw_numpy(node, shape, options, self.seed, place.name if scope == place.owner else scope)
        )

    def _list(self, node: Node) -> Tensor:
        return torch.stack([torch.as_tensor(starting.constant(node)) for starting in self.startings.values()])

    def _ranked(self, place: Place, node: Ranked) -> Tensor:
        values = self._list(node.of.of)
        top = find_operator("top")
        assert top is not None
        mask = top.value(self.xp, values, k=float(self.startings[self.places[0].name].constant(node.amount)))
        own: Tensor = mask[self.places.index(place)]
        return own


def of_sequence(ir: SpecIR, name: str, value: Tensor, sequence: int) -> Tensor:
    """The part of an input that belongs to one sequence: inputs over tokens have an entry for every token."""
    shape = ir.given[name].shape
    if not shape or shape[0].as_symbol != "tokens" or value.dim() < len(shape) + 1:
        return value
    return value.reshape(-1, *value.shape[-len(shape) :])[sequence]
