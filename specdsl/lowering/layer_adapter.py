"""One spec in one module: its factors as parameters, frozen values as buffers, its programs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor, nn

from specdsl.errors import SpecSettingError
from specdsl.facts import added_rows, is_diagonal
from specdsl.interpret import Sizes
from specdsl.ir import Factor, Given, Initial, Node, SpecIR
from specdsl.lowering.given import at_rest, brought, drawn
from specdsl.lowering.pass_value import PassValue
from specdsl.lowering.program import Program, ReadGiven
from specdsl.lowering.sites import LayerSite
from specdsl.lowering.stacked import reads_members, run_stacked
from specdsl.plan import LayerTraits, Plan, layer_lists, make_plan, prepared_penalties, prepared_weight, stored_bytes


@dataclass(frozen=True)
class Lowered:
    """A spec for modules of one size and type: everything that is equal among them.

    Attributes:
        plan: how the output is computed.
        output: its program.
        weight: programs of `W'` and `b'`, absent where unchanged or not mergeable.
        penalties: a program for each penalty that belongs to a single module, under its text.
        constants: expressions whose values a module stores.
        initials: the starts that `init(...)` reads when the adapter is merged, stored too.
        stored: bytes of constants and initials, in float32.
        weight_is_diagonal: whether `W'` is zero off the diagonal, as a norm's has to be.
        added_rows: how many rows `y' = [P; y]` puts in front of those of the tokens.
    """

    ir: SpecIR
    plan: Plan
    output: Program
    weight: Mapping[str, Program]
    penalties: Mapping[str, Program]
    constants: tuple[Node, ...]
    initials: tuple[Node, ...]
    stored: int
    weight_is_diagonal: bool
    added_rows: int

    @cached_property
    def factors_in_use(self) -> tuple[str, ...]:
        """The factors that a module has to hold: the trained ones, and the frozen ones that its programs read."""
        programs = (self.output, *self.weight.values(), *self.penalties.values())
        read = {step.node.name for program in programs for step in program.steps if isinstance(step.node, Factor)}
        factors = self.ir.factors.items()
        return tuple(name for name, factor in factors if factor.is_trained or factor.kind == "index" or name in read)

    def __deepcopy__(self, memo: dict[int, object]) -> Lowered:
        return self  # nothing in it changes, and copies of a model share it


def lower(ir: SpecIR, sizes: Sizes, traits: LayerTraits) -> Lowered:
    """Plan a spec for a module and compile the plan."""
    plan = make_plan(ir, sizes, traits)
    penalties, penalty_constants = prepared_penalties(ir, sizes, traits)
    constants = tuple(dict.fromkeys((*plan.constants, *penalty_constants)))
    weight = prepared_weight(ir, sizes, traits)
    initials = tuple(node for node in initial_nodes(list(weight.values())) if node not in constants)
    added = added_rows(ir)
    return Lowered(
        ir,
        plan,
        Program(plan.output, constants, sizes),
        {name: Program(node, (*constants, *initials), sizes) for name, node in weight.items()},
        {text: Program(node, (*constants, *layer_lists(node)), sizes) for text, node in penalties.items()},
        constants,
        initials,
        sum(stored_bytes(node, sizes) for node in (*constants, *initials)),
        "W" in weight and is_diagonal(weight["W"], traits.weight_is_diagonal),
        0 if added is None else sizes.integer(added),
    )


@dataclass
class Values:
    """The values a module's adapter begins with.

    Attributes:
        factors: by name; those another module owns are absent.
        owners: for a shared factor, the adapter that holds it.
        constants: in the order of `Lowered.constants`.
        initials: the starts that `init(...)` reads when the adapter is merged.
    """

    factors: dict[str, Tensor] = field(default_factory=dict)
    owners: dict[str, LayerAdapter] = field(default_factory=dict)
    constants: list[Tensor] = field(default_factory=list)
    initials: dict[Node, Tensor] = field(default_factory=dict)


class ForwardWatcher(Protocol):
    """Told of every output that an adapter computes."""

    def passed_forward(self, y: Tensor) -> None: ...


class LayerAdapter(nn.Module):
    """The factors of one spec in one module.

    Trained factors are `nn.Parameter`s under their own names, so a state dict says `...query.specdsl.default.A`;
    frozen factors and constants are buffers that a state dict leaves out, since they come back from the spec.
    """

    def __init__(self, lowered: Lowered, values: Values, label: str) -> None:
        super().__init__()
        self.lowered = lowered
        self.label = label
        self.owners = dict(values.owners)
        self.watcher: ForwardWatcher | None = None
        self.attributes: dict[str, str] = {}
        self.inputs: dict[str, Tensor] = {}
        self.mask = ""  # the argument of the model that tells tokens from padding
        self.is_token = PassValue[Tensor | None]()
        for name, value in values.factors.items():
            self._hold(name, value)
        self.constant_names: dict[Node, str] = {}
        stored = dict(zip(lowered.constants, values.constants, strict=True)) | values.initials
        for position, (node, constant) in enumerate(stored.items()):
            self.constant_names[node] = self._free(f"constant_{position}")
            self.register_buffer(self.constant_names[node], constant, persistent=False)

    def _free(self, attribute: str) -> str:
        """The attribute, with a `_` for every time it is taken."""
        while hasattr(self, attribute):
            attribute += "_"
        return attribute

    def _hold(self, name: str, value: Tensor) -> None:
        factor = self.lowered.ir.factors[name]
        attribute = self.attributes[name] = self._free(name)
        if not factor.is_trained:
            self.register_buffer(attribute, value, persistent=False)
            return
        self.register_parameter(attribute, nn.Parameter(value))
        if factor.orthonormal:
            nn.utils.parametrize.register_parametrization(self, attribute, Orthonormal())

    def factor(self, name: str) -> Tensor:
        """The current value of a factor, its own or a shared one."""
        if name in self.owners:
            return self.owners[name].factor(name)
        value = getattr(self, self.attributes[name])
        assert isinstance(value, Tensor)
        return value

    def stored(self, name: str) -> Tensor:
        """The parameter (or buffer) behind one of the module's own factors; a saved adapter holds it."""
        if self.lowered.ir.factors[name].is_trained:
            return self.own_parameters(name)[0]
        return self.factor(name)

    def own_factors(self) -> Iterator[tuple[str, Tensor]]:
        """The factors this module holds, in the order of the formula."""
        for name in self.lowered.ir.factors:
            if name in self.attributes:
                yield name, self.factor(name)

    def own_parameters(self, name: str) -> list[nn.Parameter]:
        """The parameters behind a trained factor (more than its value where a constraint holds it)."""
        attribute = self.attributes[name]
        if attribute in self._parameters:
            parameter = self._parameters[attribute]
            return [parameter] if parameter is not None else []
        return list(self.parametrizations[attribute].parameters())  # type: ignore[index,union-attr]

    def read(self, node: Node) -> Tensor:
        """The stored tensor of a factor, a constant or a start."""
        if isinstance(node, Factor):
            return self.factor(node.name)
        constant = getattr(self, self.constant_names[node])
        assert isinstance(constant, Tensor)
        return constant

    def output(self, site: LayerSite, x: Tensor, base: Callable[[], Tensor]) -> Tensor:
        """The adapted output, as `tokens x m`; for a stack one of each layer, `stack x tokens x m`."""
        read, given = self._reader(x), self.given_value(x if x.is_floating_point() else site.weight)
        if site.stack is None:
            is_token = self._is_token(site, x)
            y = self.lowered.output.run(site, read, x, base, self.training, given=given, is_token=is_token)
        else:
            y = run_stacked(self.lowered.output, site, read, self.is_shared, x, base, self.training, given)
        self.tell(y)
        return y

    def cut(self, y: Tensor) -> tuple[Tensor | None, Tensor]:
        """An output as the rows that the spec puts in front, None if it adds none, and those of the tokens."""
        rows = self.lowered.added_rows
        return (y[..., :rows, :], y[..., rows:, :]) if rows else (None, y)

    def _is_token(self, site: LayerSite, x: Tensor) -> Tensor | None:
        """Which rows of the input are no padding, where that matters."""
        is_token = self.is_token.get() if self.lowered.output.reads_across_tokens else None
        if is_token is None:
            return None
        shape = site.token_shape(x)
        if shape != is_token.shape:
            raise SpecSettingError(
                f"{self.label} reads across the tokens of a sequence, but the mask of padding is for "
                f"{' x '.join(map(str, is_token.shape))} tokens and the input has {' x '.join(map(str, shape))}",
            )
        return is_token

    def _replicate_for_data_parallel(self) -> LayerAdapter:
        replica: LayerAdapter = super()._replicate_for_data_parallel()  # type: ignore[no-untyped-call]
        replica.is_token = PassValue()  # its forward pass has one thread, its backward pass another
        return replica

    def tell(self, value: Tensor) -> None:
        """Tell whoever watches that a forward pass has come by here."""
        if self.watcher is not None:
            self.watcher.passed_forward(value)

    def _reader(self, x: Tensor) -> Callable[[Node], Tensor]:
        if not (self.owners and getattr(self, "_is_replica", False)):
            return self.read
        # Replicas on other devices read shared factors where these are held, and gradients flow back there.
        return lambda node: self.read(node).to(x.device)

    def given_value(self, like: Tensor) -> ReadGiven | None:
        """What a forward pass brings, in the dtype of `like`: noise, drawn anew in training, and inputs."""
        if not self.lowered.ir.given:
            return None

        def value(node: Given, shape: tuple[int, ...]) -> Tensor:
            given = self.lowered.ir.given[node.name]
            if given.kind == "noise" and self.training:
                return drawn(given, self.lowered.output.sizes, shape, like.dtype, like.device)
            put = self.inputs.get(node.name)
            if put is None:
                return at_rest(given, self.lowered.output.sizes, shape, like.dtype, like.device)
            return brought(given, put, shape, like.dtype, like.device)

        return value

    def is_shared(self, node: Node) -> bool:
        """Whether a factor is one tensor for all layers of a stack."""
        return isinstance(node, Factor) and self.lowered.ir.factors[node.name].shared is not None

    def adapted(self, what: str, site: LayerSite) -> Tensor | None:
        """`W'` as `n x m` (`stack x n x m`) or `b'`, in the widest dtype involved; None where it is unchanged."""
        program = self.lowered.weight.get(what)
        if program is None:
            return None
        if site.stack is None:
            return program.run(site, self.read, like=site.weight)
        return run_stacked(program, site, self.read, self.is_shared)

    def penalty(self, text: str, site: LayerSite, lists: Sequence[Tensor] = ()) -> Tensor:
        """The value of a penalty, or of one of its lists; `lists` are those it reads, over all modules.

        In a stack it is summed over the layers, unless it reads nothing but what they share.
        """
        program = self.lowered.penalties[text]
        read_lists = dict(zip(layer_lists(program.output), lists, strict=False))

        def read(node: Node) -> Tensor:
            return read_lists[node] if node in read_lists else self.read(node)

        given_value = self.given_value(site.weight)
        if site.stack is None or not reads_members(program, self.is_shared):
            return program.run(site, read, training=self.training, like=site.weight, given=given_value)
        return run_stacked(program, site, read, self.is_shared, training=self.training, given=given_value).sum()

    def extra_repr(self) -> str:
        shapes = [f"{name}: {' x '.join(map(str, value.shape)) or 'number'}" for name, value in self.own_factors()]
        return ", ".join([self.label, *shapes])


class Orthonormal(nn.Module):
    """Keeps a factor's columns (rows, if wide) orthonormal: the Q of its QR, with R's diagonal positive."""

    def forward(self, free: Tensor) -> Tensor:
        tall = free if free.shape[-2] >= free.shape[-1] else free.mT
        Q, R = torch.linalg.qr(tall.to(torch.promote_types(tall.dtype, torch.float32)))
        signs = torch.sign(R.detach().diagonal(dim1=-2, dim2=-1))
        Q = (Q * torch.where(signs == 0, torch.ones_like(signs), signs).unsqueeze(-2)).to(free.dtype)
        kept: Tensor = Q if free.shape[-2] >= free.shape[-1] else Q.mT
        return kept

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def initial_nodes(nodes: list[Node]) -> list[Initial]:
    """The `init(...)` parts that a list of expressions reads."""
    found: dict[Initial, None] = {}
    stack: list[Node] = list(nodes)
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, Initial):
            found[node] = None
        else:
            stack += node.children
    return list(found)
