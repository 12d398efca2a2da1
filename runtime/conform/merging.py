"""Properties of merging, disabling and detaching: the weight is the reference's, and the base comes back."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from specdsl.errors import SpecMergeError
from specdsl.ir import Layers, Ranked, topological
from specdsl.node_sizes import node_sizes
from specdsl.reference import weight
from specdsl.runtime.conform.case import SEED, Attached, Case, state
from specdsl.runtime.conform.outcome import Outcome, distance, does_not_apply, holds, within, worst
from specdsl.runtime.conform.property import states


@states
def merges_to_the_same_output(case: Case) -> Outcome:
    """Merging changes no output, a second time neither; what is no weight refuses to merge."""
    made = case.attached(moved=True)
    before = made.output()
    refusal = _refusal(made)
    if refusal is not None:
        same = torch.equal(made.output(), before) and not made.adapter.is_merged
        return does_not_apply(refusal) if same else holds(False, "a refused merge changed the model")
    once = made.output()
    made.adapter.merge()
    return worst([
        within(distance(once, before), case.axes.tolerance, "the merged output"),
        holds(torch.equal(made.output(), once), "merging twice is not merging once"),
        holds(made.adapter.is_merged, "the adapter does not know that it is merged"),
    ])  # fmt: skip


@states
def merges_to_the_reference(case: Case) -> Outcome:
    """The merged weight and bias are those of the reference interpreter, `specdsl.weight`, in numpy."""
    expected = _references(case, case.moved, case.base())
    refusal = case.merge_refusal if expected else "the spec is not a weight"
    if refusal is not None:
        return does_not_apply(refusal)
    outcomes = []
    for module, matrices in zip(case.merged_alone[0].layers, expected, strict=True):
        merged = zip(case.layer.matrices(module), case.layer.all_biases(module), strict=True)
        for found, reference in zip(merged, matrices, strict=True):
            outcomes += [
                within(distance(one, other), case.axes.tolerance, "the merged weight")
                for one, other in zip(found, reference, strict=True)
            ]
    return worst(outcomes)


def _references(case: Case, made: Attached, bare: Any) -> list[list[tuple[Tensor, Tensor]]]:
    """`W'` and `b'` of every matrix of every layer in numpy; none where the spec is no weight."""
    if not case.spec.facts.mergeable or _knows_other_layers(case):
        return []
    return [_reference(case, made, module, number) for number, module in enumerate(bare.layers)]


def _reference(case: Case, made: Attached, bare: nn.Module, number: int) -> list[tuple[Tensor, Tensor]]:
    adapter = made.adapter.members[number].layer
    factors = {
        name: made.own(number, name, adapter.factor(name).detach()) for name in adapter.lowered.factors_in_use
    }  # fmt: skip
    kernel = (case.sizes["kh"], case.sizes["kw"]) if "kh" in case.sizes else None
    matrices = zip(made.names()[number], case.layer.matrices(bare), case.layer.all_biases(bare), strict=True)
    found = []
    for place, (name, W, b) in enumerate(matrices):
        new_W, new_b = weight(
            case.spec, W.numpy(), b.numpy(), {name: _plain(values[place]) for name, values in factors.items()},
            seed=SEED, module=name, layer=number, kernel=kernel,
        )  # fmt: skip
        found.append((torch.from_numpy(np.asarray(new_W)), torch.from_numpy(np.asarray(new_b))))
    return found


def _plain(value: Tensor) -> Any:
    return value.double().numpy() if value.is_floating_point() else value.numpy()


def _knows_other_layers(case: Case) -> bool:
    """Whether a value depends on all layers, which the reference of one layer does not see."""
    roots = case.spec.ir.roots()
    if any(size.has_layers("sum") for root in roots for size in node_sizes(root)):
        return True
    return any(isinstance(node, Layers | Ranked) for node in topological(roots))


@states
def unmerging_restores_the_base(case: Case) -> Outcome:
    """After `unmerge` the base's tensors are what they were, bit for bit, and the output is the adapted one."""
    if case.merge_refusal is not None:
        return does_not_apply(case.merge_refusal)
    made = case.attached(moved=True)
    before, output = state(made.model), made.output()
    made.adapter.merge()
    made.adapter.unmerge()
    return worst([_is_the_same(made.model, before), holds(torch.equal(made.output(), output), "the output differs")])


@states
def disabling_restores_the_base(case: Case) -> Outcome:
    """Within `disabled()` the output is the base's bit for bit, and after it the adapted one again."""
    made = case.attached(moved=True)
    base, adapted = _base_output(case), made.output()
    with made.adapter.disabled():
        outcomes = [holds(torch.equal(made.output(), base), "the disabled output is not the base's")]
    outcomes.append(holds(torch.equal(made.output(), adapted), "the output after it is another one"))
    if _refusal(made) is None:
        merged = made.output()
        with made.adapter.disabled():
            outcomes.append(holds(torch.equal(made.output(), base), "while merged, it is not the base's"))
        outcomes.append(holds(torch.equal(made.output(), merged), "it is not merged again"))
    return worst(outcomes)


@states
def detaching_restores_the_base(case: Case) -> Outcome:
    """After `detach` nothing of the adapter is left, and the base is what it was, bit for bit."""
    bare = case.base()
    made = case.attached(moved=True)
    with suppress(SpecMergeError):
        made.adapter.merge()
    made.adapter.detach()
    return worst([_is_the_same(made.model, state(bare)), _is_plain(made.model, bare)])


@states
def unloads_as_a_plain_model(case: Case) -> Outcome:
    """`merge_and_unload` leaves layers of their own class that compute the adapted output."""
    if case.merge_refusal is not None:
        return does_not_apply(case.merge_refusal)
    made = case.attached(moved=True)
    before = made.output()
    made.adapter.merge_and_unload()
    return worst([
        _is_plain(made.model, case.base()),
        within(distance(made.output(), before), case.axes.tolerance, "the unloaded output"),
    ])  # fmt: skip


@states
def refuses_to_merge_what_is_not_finite(case: Case) -> Outcome:
    """With a factor that is not finite `merge` is an error, and the base stays what it was, bit for bit."""
    if case.merge_refusal is not None:
        return does_not_apply(case.merge_refusal)
    if not list(case.moved.adapter.parameters()):
        return does_not_apply("the spec trains nothing")
    outcomes = []
    for bad in (float("nan"), float("inf")):
        made = case.attached(moved=True)
        _spoil(made, bad)
        before = state(made.model)
        try:
            made.adapter.merge()
            outcomes.append(holds(False, f"merged a factor with {bad}"))
        except SpecMergeError:
            outcomes.append(_is_the_same(made.model, before))
    return worst(outcomes)


def _spoil(made: Attached, bad: float) -> None:
    """Put a number into the last trained factor of the last layer."""
    with torch.no_grad():
        list(made.adapter.parameters())[-1].view(-1)[-1] = bad


# ------------------------------------------------------------------------------------------------- states


def _refusal(made: Attached) -> str | None:
    """Merge; why that is refused, or None."""
    try:
        made.adapter.merge()
    except SpecMergeError as error:
        return error.message
    return None


def _base_output(case: Case) -> Tensor:
    """The output of the bare model, frozen as under an adapter: torch computes attention by that in another order."""
    with torch.no_grad():
        output: Tensor = case.base().requires_grad_(False)(case.x)
    return output


def _is_the_same(model: nn.Module, before: dict[str, Any]) -> Outcome:
    after = state(model)
    if after.keys() != before.keys():
        return holds(False, f"it holds other tensors: {sorted(after.keys() ^ before.keys())}")
    wrong = [name for name, value in before.items() if not _equal(after[name], value)]
    return holds(not wrong, f"{', '.join(wrong)} changed")


def _equal(left: Tensor, right: Tensor) -> bool:
    return left.dtype == right.dtype and torch.equal(left.nan_to_num(7e5), right.nan_to_num(7e5))


def _is_plain(model: nn.Module, bare: nn.Module) -> Outcome:
    """Whether the modules, their classes and `requires_grad` are those of a model without adapters."""
    kinds = [(name, type(module)) for name, module in model.named_modules()]
    learning = {name: value.requires_grad for name, value in model.named_parameters()}
    expected = {name: value.requires_grad for name, value in bare.named_parameters()}
    return worst([
        holds(kinds == [(name, type(module)) for name, module in bare.named_modules()], "modules of it are left"),
        holds(all(learning[name] == needs for name, needs in expected.items()), "`requires_grad` changed"),
    ])  # fmt: skip


PROPERTIES = (
    merges_to_the_same_output,
    merges_to_the_reference,
    unmerging_restores_the_base,
    disabling_restores_the_base,
    detaching_restores_the_base,
    unloads_as_a_plain_model,
    refuses_to_merge_what_is_not_finite,
)
