"""One case of the suite: a spec on two equal small layers, with every value drawn from fixed seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import cached

from specdsl.errors import SpecMergeError
from specdsl.interpret import Sizes
from specdsl.ir import Apply, reads, topological
from specdsl.runtime.adapter import Adapter
from specdsl.runtime.attach import attach
from specdsl.runtime.conform.axes import Axes
from specdsl.runtime.conform.layer_type import LayerType
from specdsl.runtime.conform.literal import Literal, Place, of_sequence
from specdsl.runtime.indices import index_ranges
from specdsl.spec import Spec

SEED = 5
STEPS = (0.3, 0.1, 0.03)
"""How far trained factors are moved from their start: the first that leaves all outputs finite."""


class Layers(nn.Module):
    """Equal layers beside each other: one input, the outputs of all."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([layer(x) for layer in self.layers])


@dataclass(frozen=True)
class Case:
    """A spec with small hyper-parameters, a layer type, the layers' sizes, and the other axes."""

    spec: Spec
    layer: LayerType
    sizes: Mapping[str, int]
    axes: Axes

    @property
    def has_bias(self) -> bool:
        """Whether the layers have a bias: as the axes say, if layers of the type may be so."""
        return self.axes.has_bias if self.axes.has_bias in self.layer.biases else not self.axes.has_bias

    # -------------------------------------------------------------------------------------- what is drawn

    def base(self) -> Layers:
        """The model without an adapter, the same every time."""
        model = Layers([self.layer.make(self.sizes, self.has_bias) for _ in range(2)]).to(self.axes.torch_dtype)
        draw = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in model.parameters():
                drawn = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
                parameter.copy_(1 + 0.3 * drawn if parameter.dim() == 1 else drawn)
        return model.requires_grad_(True).eval()

    @cached_property
    def x(self) -> Tensor:
        """An input of the layers."""
        draw = torch.Generator().manual_seed(2)
        x = self.layer.sample(self.sizes, self.axes.batch, self.sizes["tokens"], draw)
        return x.to(self.axes.torch_dtype) if x.is_floating_point() else x

    @cached_property
    def weights(self) -> Tensor:
        """Weights of a sum over the outputs, whose gradients are compared."""
        shape = self.moved.model(self.x).shape
        draw = torch.Generator().manual_seed(3)
        return torch.randn(shape, generator=draw, dtype=torch.float64).to(self.axes.torch_dtype)

    @cached_property
    def inputs(self) -> dict[str, Tensor]:
        """Values of the spec's inputs: numbers for every token, or a place where the input picks one."""
        draw = torch.Generator().manual_seed(4)
        found = {}
        for name in self.spec.facts.inputs:
            shape = self.spec.ir.given[name].shape
            over_tokens = bool(shape) and shape[0].as_symbol == "tokens"
            leading = (*self._batch, self.sizes["tokens"]) if over_tokens else ()
            own = self.numbers(0).shape(shape[1:] if over_tokens else shape)
            drawn = torch.randn((*leading, *own), generator=draw, dtype=torch.float64)
            found[name] = torch.ones_like(drawn) if self._picks(name) else drawn
        return found

    @property
    def exact_x(self) -> Tensor:
        """The input in float64, or the places it picks."""
        return self.x.double() if self.x.is_floating_point() else self.x

    @property
    def exact_inputs(self) -> dict[str, Tensor]:
        """The spec's inputs in float64."""
        return {name: value.double() for name, value in self.inputs.items()}

    def inputs_of(self, sequence: int) -> dict[str, Tensor]:
        """The inputs of a batch that holds one sequence of `x`."""
        ir = self.spec.ir
        parts = {name: of_sequence(ir, name, value, sequence) for name, value in self.inputs.items()}
        return {name: part if part is self.inputs[name] else part.unsqueeze(0) for name, part in parts.items()}

    @property
    def _batch(self) -> tuple[int, ...]:
        return tuple(self.x.shape[: -self.layer.sequence_axes])

    def _picks(self, name: str) -> bool:
        """Whether an input is the place of an entry, as in `C[task]`."""
        nodes = topological(self.spec.ir.roots())
        return any(
            isinstance(node, Apply) and node.operator == "take" and name in reads(node.arguments[1]) for node in nodes
        )

    @cached_property
    def indices(self) -> dict[str, list[int]]:
        """Indices that are given when attaching: the last places, backwards."""
        ir = self.spec.ir
        found = {}
        for name, factor in ir.factors.items():
            if factor.kind == "index" and factor.start is None:
                numbers = self.numbers(0)
                count = numbers.integer(factor.shape[0])
                length = min([numbers.integer(size) for size in index_ranges(ir, name)], default=count)
                found[name] = [(length - 1 - place) % length for place in range(count)]
        return found

    def numbers(self, layer: int) -> Sizes:
        """The numbers behind the spec's sizes in one of the layers."""
        hyper = self.spec.ir.hyper_values()
        each = [{**hyper, **self.sizes, "layer": number, "layers": 2} for number in range(2)]
        return Sizes(each[layer], each)

    # ------------------------------------------------------------------------------------------ attaching

    def attached(self, moved: bool = False, name: str = "default", seed: int = SEED, model: Layers | None = None
                 ) -> Attached:  # fmt: skip
        """The spec on a fresh model (or on `model`), with every trained factor away from its start if `moved`."""
        model = self.base() if model is None else model
        given: dict[str, Any] = {**self.indices}
        adapter = attach(
            model, self.spec, on=rf"re:layers\.\d+{self.layer.part}", name=name, seed=seed,
            dtype=self.axes.factor_dtype, events=False, **given,
        )  # fmt: skip
        made = Attached(self, model, adapter)
        if self.inputs:
            adapter.set_inputs(**self.inputs)
        if moved:
            made.move(self.step, seed)
        return made

    @cached_property
    def moved(self) -> Attached:
        """An adapter away from its start, for properties that only look."""
        return self.attached(moved=True)

    @cached_property
    def fresh(self) -> Attached:
        """An adapter at its start, for properties that only look."""
        return self.attached()

    @cached_property
    def merge_refusal(self) -> str | None:
        """Why an adapter refuses to merge, or None."""
        try:
            self.attached(moved=True).adapter.merge()
        except SpecMergeError as error:
            return error.message
        return None

    @cached_property
    def each_alone(self) -> tuple[Attached, Attached]:
        """Two adapters of other seeds, each in a model of its own, for properties that only look."""
        return self.moved, self.attached(moved=True, seed=SEED + 1)

    @cached_property
    def merged_alone(self) -> tuple[Layers, Layers]:
        """The models of adapters as in `each_alone`, merged."""
        made = self.attached(moved=True), self.attached(moved=True, seed=SEED + 1)
        for one in made:
            one.adapter.merge()
        return made[0].model, made[1].model

    @cached_property
    def step(self) -> float:
        """How far factors are moved."""
        made = self.attached()
        start = [parameter.detach().clone() for parameter in made.adapter.parameters()]
        for step in STEPS:
            made.move(step, SEED)
            with torch.no_grad():
                if torch.isfinite(made.model(self.x)).all():
                    return step
                for parameter, value in zip(made.adapter.parameters(), start, strict=True):
                    parameter.copy_(value)
        return STEPS[-1]


@dataclass(frozen=True)
class Attached:
    """A model and the adapter in it."""

    case: Case
    model: Layers
    adapter: Adapter

    def move(self, step: float, seed: int) -> None:
        """Change every trained parameter at random."""
        draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.adapter.parameters():
                noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
                parameter.add_((step * noise).to(parameter.dtype))

    def output(self) -> Tensor:
        """The output for the case's input, without gradients."""
        with torch.no_grad():
            output: Tensor = self.model(self.case.x)
        return output

    def rows(self, output: Tensor) -> Tensor:
        """The model's output as `layers x copies x sequences x tokens x m`, in float64."""
        layer = self.case.layer
        each = [layer.rows(module, y) for module, y in zip(self.model.layers, output, strict=True)]
        return torch.stack([layer.sequences(rows.double()) for rows in each])

    def scopes(self) -> list[Mapping[str, str]]:
        """For every layer and factor what it is shared in."""
        return [member.surveyed.scopes for member in self.adapter.members]

    def names(self) -> list[list[str]]:
        """For every layer the names of its matrices, which their random starts depend on."""
        layer, found = self.case.layer, []
        for member, module in zip(self.adapter.members, self.model.layers, strict=True):
            count = range(len(layer.matrices(module)))
            found.append([f"{member.name}[{place}]" for place in count] if layer.is_stack(module) else [member.name])
        return found

    def own(self, number: int, name: str, value: Tensor) -> list[Tensor]:
        """A factor of a layer as each of its matrices has it."""
        is_shared = self.scopes()[number][name] != self.adapter.members[number].name
        is_stack = self.case.layer.is_stack(self.model.layers[number])
        count = len(self.names()[number])
        return list(value) if is_stack and not is_shared else [value] * count

    def trained(self) -> Iterator[tuple[tuple[str, str], Tensor]]:
        """The value of every trained factor, by name and scope; constraints applied."""
        for member in self.adapter.members:
            for name, value in member.layer.own_factors():
                if self.adapter.spec.ir.factors[name].is_trained:
                    yield (name, member.surveyed.scopes[name]), value

    def leaves(self) -> dict[tuple[str, str], Tensor]:
        """Copies of the trained factors in float64 that gradients can be taken of."""
        with cached():
            return {key: value.detach().double().clone().requires_grad_() for key, value in self.trained()}

    def literal(self, leaves: Mapping[tuple[str, str], Tensor]) -> Literal:
        """The formula with these values of the trained factors, over a bare model of its own."""
        case, bare = self.case, self.case.base()
        layers = []
        for number, (names, scopes) in enumerate(zip(self.names(), self.scopes(), strict=True)):
            module = bare.layers[number]
            values = {
                name: self.own(number, name, leaves[name, scope])
                for name, scope in scopes.items() if (name, scope) in leaves
            }  # fmt: skip
            layers.append([
                Place(
                    name, module, W, b, case.numbers(number), self.adapter.members[number].name, scopes,
                    {factor: each[place] for factor, each in values.items()},
                )
                for place, (name, W, b) in enumerate(
                    zip(names, case.layer.matrices(module), case.layer.all_biases(module), strict=True)
                )
            ])  # fmt: skip
        indices = {name: torch.tensor(places) for name, places in case.indices.items()}
        return Literal(case.spec.ir, case.layer, layers, self.adapter.seed, indices)


def state(model: nn.Module) -> dict[str, Any]:
    """Copies of everything a model holds, by name."""
    return {name: value.detach().clone() for name, value in model.state_dict().items()}
