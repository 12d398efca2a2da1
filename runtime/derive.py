"""The values adapters begin with: random draws, what is derived from loaded weights, what `init(...)` keeps.

Runs after all modules and sizes are known and before anything of the model changes, so a mistake leaves it untouched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from specdsl.arrays.torch_arrays import TorchArrays
from specdsl.errors import SpecNotBuiltError, SpecSettingError, SpecStartError
from specdsl.ir import Apply, Node, Ranked, SpecIR
from specdsl.lowering.finite import is_finite
from specdsl.lowering.layer_adapter import LayerAdapter, Values
from specdsl.lowering.sites import LayerSite
from specdsl.operators.indexing import amount_of
from specdsl.runtime.indices import check_places, index_ranges
from specdsl.runtime.survey import Survey
from specdsl.runtime.surveyed_modules import SurveyedModule
from specdsl.starting import Starting, draw_numpy

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}


def derive(survey: Survey, seed: int, dtype: torch.dtype | None) -> list[LayerAdapter]:
    """An adapter for every surveyed module, with its starting values; modules that share a weight share one.

    Args:
        survey: the spec over the model.
        seed: of all random draws that state no seed of their own.
        dtype: of the factors; float32 by default.

    Raises:
        SpecStartError: a value at the start is not finite.
        SpecSettingError: a random start is impossible for these sizes.
    """
    deriver = _Deriver(survey, seed, dtype)
    return [deriver.adapter(module) for module in survey.modules]


class _Deriver:
    def __init__(self, survey: Survey, seed: int, dtype: torch.dtype | None) -> None:
        self.survey = survey
        self.ir: SpecIR = survey.spec.ir
        self.seed = seed
        self.dtype = dtype
        self.owners: dict[tuple[str, str], LayerAdapter] = {}
        self.startings: dict[str, tuple[Starting, ...]] = {}
        self.rankings: dict[Ranked, dict[str, Tensor]] = {}
        scopes = {module.target.name: module.scopes for module in survey.modules}
        self.brought = {(name, scopes[place][name]): value for (place, name), value in survey.given.items()}

    def adapter(self, module: SurveyedModule) -> LayerAdapter:
        with torch.no_grad():
            values = self._values(module)
        adapter = LayerAdapter(module.lowered, values, self.survey.spec.label)
        for name in values.factors:
            self.owners[name, module.scopes[name]] = adapter
        return adapter

    def _values(self, module: SurveyedModule) -> Values:
        layers = self._layers(module)
        values = Values()
        for name in module.lowered.factors_in_use:
            owner = self.owners.get((name, module.scopes[name]))
            if owner is not None:
                values.owners[name] = owner
            else:
                values.factors[name] = self._factor(layers, name, module)
        values.constants = [
            self._finite(
                _computed(partial(_stacked, module, layers, node), "a derived value", module).clone(),
                "a derived value",
                module,
            )
            for node in module.lowered.constants
        ]
        for node in module.lowered.initials:
            values.initials[node] = _stacked(module, layers, node).clone()
        return values

    def _factor(self, layers: tuple[Starting, ...], name: str, module: SurveyedModule) -> Tensor:
        factor = self.ir.factors[name]
        if factor.shared is None:
            value = _computed(lambda: _together(module, [layer.factor(name) for layer in layers]), f"`{name}`", module)
        else:
            value = _computed(lambda: layers[0].factor(name), f"`{name}`", module)
        if factor.kind == "index":
            return value.long()
        wanted = DTYPES[factor.dtype] if factor.dtype else self.dtype or torch.float32
        value = value.detach().to(wanted)
        return self._finite(value.clone(memory_format=torch.contiguous_format), f"`{name}`", module)

    def _finite(self, value: Tensor, what: str, module: SurveyedModule) -> Tensor:
        if not is_finite(value):
            raise SpecStartError(
                f"{what} starts with values that are not finite in `{module.target.name}`",
                hint="is the weight loaded and finite?",
            )
        return value

    def _starting(self, module: SurveyedModule) -> Starting:
        """What is derived in a module that is no stack."""
        (starting,) = self._layers(module)
        return starting

    def _layers(self, module: SurveyedModule) -> tuple[Starting, ...]:
        """What is derived in every layer of a module: one, unless it is a stack."""
        name = module.target.name
        if name not in self.startings:
            site = module.site
            work = torch.promote_types(site.weight.dtype, self.dtype or torch.float32)
            device = site.weight.device
            known = {
                factor: self.owners[factor, scope].factor(factor).detach().to(work)
                if self.ir.factors[factor].kind != "index"
                else self.owners[factor, scope].factor(factor)
                for factor, scope in module.scopes.items()
                if (factor, scope) in self.owners
            }
            given = known | self._given_indices(module, device) | self._brought(module, device, work)
            self.startings[name] = tuple(
                Starting(
                    module.lowered.ir,
                    TorchArrays(device, work),
                    module.sizes,
                    _SiteValues(place, site, work),
                    partial(self._draw, module, place, device, work),
                    given,
                    self._over_layers,
                    partial(self._ranked, module),
                )
                for place, site in _layer_sites(module)
            )
        return self.startings[name]

    def _given_indices(self, module: SurveyedModule, device: torch.device) -> dict[str, Tensor]:
        found = {}
        for name, places in self.survey.indices.items():
            if name not in module.lowered.ir.factors:
                continue
            index = torch.as_tensor(places, dtype=torch.long, device=device)
            shape = module.sizes.shape(self.ir.factors[name].shape)
            if tuple(index.shape) != shape:
                raise SpecSettingError(f"the index `{name}` has {tuple(index.shape)} entries, but {shape} are wanted")
            check_places(name, places, [module.sizes.integer(size) for size in index_ranges(self.ir, name)])
            found[name] = index
        return found

    def _brought(self, module: SurveyedModule, device: torch.device, work: torch.dtype) -> dict[str, Tensor]:
        """Values that an adapter brings with it, in the place of what the spec would make."""
        found = {}
        for name, scope in module.scopes.items():
            value = self.brought.get((name, scope))
            if value is None or name not in module.lowered.ir.factors:
                continue
            if self.ir.factors[name].kind == "index":
                self._check_brought(module, name, value)
                found[name] = value.to(device)
            else:
                found[name] = value.to(device, work)
        return found

    def _check_brought(self, module: SurveyedModule, name: str, places: Tensor) -> None:
        """Places that come with an adapter stay within what they pick from."""
        flat = places.detach().flatten()
        if (
            flat.is_complex()
            or flat.dtype == torch.bool
            or not bool(flat.isfinite().all() and (flat == flat.floor()).all())
        ):
            raise SpecSettingError(f"the index `{name}` has places that are no whole numbers")
        ranges = [module.sizes.integer(size) for size in index_ranges(self.ir, name)]
        check_places(name, [int(place) for place in flat.tolist()], ranges)

    def _over_layers(self, node: Node) -> Tensor:
        """The value of an expression in every adapted module, one after the other."""
        values = [self._starting(module).constant(node) for module in self.survey.modules]
        shapes = {tuple(value.shape) for value in values}
        if len(shapes) > 1:
            raise SpecNotBuiltError("a list over modules of different sizes is not built yet")
        return torch.stack([value.to(values[0].device) for value in values])

    def _ranked(self, module: SurveyedModule, node: Ranked) -> Tensor:
        """This module's part of a ranking of the entries of all modules."""
        if node not in self.rankings:
            self.rankings[node] = self._ranking(node)
        return self.rankings[node][module.target.name]

    def _ranking(self, node: Ranked) -> dict[str, Tensor]:
        values = {one.target.name: self._starting(one).constant(node.of.of) for one in self.survey.modules}
        arrays = {name: torch.as_tensor(value) for name, value in values.items()}
        amount = float(self._starting(self.survey.modules[0]).constant(node.amount))
        together = torch.cat([array.reshape(-1).to("cpu", torch.float64) for array in arrays.values()])
        mask = TorchArrays("cpu", torch.float64).top_mask(together, amount_of(amount, together.numel()))
        parts = mask.split([array.numel() for array in arrays.values()])
        return {
            name: part.reshape(array.shape).to(array.device, array.dtype)
            for (name, array), part in zip(arrays.items(), parts, strict=True)
        }

    def _draw(
        self, module: SurveyedModule, place: str, device: torch.device, dtype: torch.dtype, node: Apply,
        shape: tuple[int, ...], options: dict[str, Any],
    ) -> Tensor:  # fmt: skip
        scope = self._draw_scope(module, place, node)
        array = draw_numpy(node, shape, options, self.seed, scope)
        tensor = torch.from_numpy(array)
        return tensor.to(device) if array.dtype.kind in "iu" else tensor.to(dtype).to(device)

    def _draw_scope(self, module: SurveyedModule, place: str, node: Apply) -> str:
        """A shared factor's draw belongs to what shares it, not to the module that happens to come first."""
        owner = str(node.option("label")).rsplit(".", 1)[0]
        scope = module.scopes.get(owner, module.target.name)
        return place if scope == module.target.name else scope


def _layer_sites(module: SurveyedModule) -> Iterator[tuple[str, LayerSite]]:
    """The layers of a module under the names that their random draws have: `experts.down_proj[3]`."""
    site, name = module.site, module.target.name
    if site.stack is None:
        yield name, site
        return
    weights = site.member_weights(site.weight)
    biases = None if site.bias is None else site.biases(site.bias)
    for place in range(site.stack):
        yield f"{name}[{place}]", site.member(weights[place], None if biases is None else biases[place])


def _stacked(module: SurveyedModule, layers: tuple[Starting, ...], node: Node) -> Tensor:
    """A derived value, with the stack as its first axis where the module is one."""
    return _together(module, [layer.constant(node) for layer in layers])


def _together(module: SurveyedModule, values: list[Tensor]) -> Tensor:
    return values[0] if module.site.stack is None else torch.stack(values)


def _computed(value: Callable[[], Tensor], what: str, module: SurveyedModule) -> Tensor:
    try:
        return value()
    except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
        raise SpecStartError(f"{what} cannot be computed in `{module.target.name}`: {error}") from None


class _SiteValues(Mapping[str, Tensor]):
    """`W` and `b` of a module in the working dtype, made when first read."""

    def __init__(self, place: str, site: LayerSite, dtype: torch.dtype) -> None:
        self.place = place
        self.site = site
        self.dtype = dtype
        self.made: dict[str, Tensor] = {}

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.made:
            self.made[name] = self._make(name)
            if not is_finite(self.made[name]):
                raise SpecStartError(
                    f"the {'bias' if name == 'b' else 'weight'} of `{self.place}` has values that are not finite",
                    hint="is it loaded?",
                )
        return self.made[name]

    def _make(self, name: str) -> Tensor:
        site = self.site
        if name == "w":
            return site.weight.detach().to(self.dtype)
        if name == "W":
            matrix = site.matrix(site.weight.detach()).to(self.dtype)
            return torch.diag(matrix) if site.weight_is_diagonal else matrix
        if name == "b":
            if site.bias is not None:
                return site.bias.detach().to(self.dtype)
            return torch.zeros(site.sizes["m"], dtype=self.dtype, device=site.weight.device)
        raise KeyError(name)

    def __iter__(self) -> Any:
        return iter(("W", "b"))

    def __len__(self) -> int:
        return 2
