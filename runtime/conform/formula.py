"""Properties of the computation: outputs and gradients are those of the formula."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError, gradcheck
from torch.nn.utils.parametrize import cached
from torch.utils.checkpoint import checkpoint

from specdsl.ir import Apply, topological
from specdsl.runtime.conform.case import Attached, Case
from specdsl.runtime.conform.outcome import Outcome, distance, does_not_apply, holds, within, worst
from specdsl.runtime.conform.property import states


@states
def computes_the_formula(case: Case) -> Outcome:
    """The output is the formula's, evaluated literally in float64 for one sequence after the other."""
    made = case.moved
    found = made.rows(made.output())
    if not bool(torch.isfinite(found).all()):
        return holds(False, "the output is not finite")
    with torch.no_grad():
        expected = made.literal(made.leaves()).output(case.exact_x, case.exact_inputs)
    return within(distance(found, expected), case.axes.tolerance, "the output is not the formula's")


@states
def has_the_formulas_gradients(case: Case) -> Outcome:
    """The gradients of factors and of the input are autograd's of the literal formula."""
    found = _gradients(case, lambda model, x: model(x))
    expected = _literal_gradients(case)
    tolerance = 10 * case.axes.tolerance
    return worst(within(distance(found[key], expected[key]), tolerance, f"of {key}") for key in expected)


@states
def recomputes_to_the_same_gradients(case: Case) -> Outcome:
    """Under gradient checkpointing the gradients stay what they are."""
    plain = _gradients(case, lambda model, x: model(x))
    again = _gradients(case, lambda model, x: checkpoint(model, x, use_reentrant=False))
    return worst(within(distance(again[key], plain[key]), case.axes.tolerance, f"of {key}") for key in plain)


@states
def agrees_with_differences(case: Case) -> Outcome:
    """Gradients agree with differences of outputs (`torch.autograd.gradcheck`)."""
    if case.axes.dtype != "float64":
        return does_not_apply("differences need float64")
    stopped = _stops(case)
    if stopped:
        return does_not_apply(f"`{stopped}` has a gradient that is not its derivative")
    made = case.attached(moved=True)
    own = [parameter for parameter in made.adapter.parameters() if parameter.requires_grad]
    point = [parameter.detach().clone().requires_grad_() for parameter in own]
    x = case.x.clone().requires_grad_() if case.layer.reads_numbers else case.x
    names = {id(value): name for name, value in made.model.named_parameters()}

    def output(x: Tensor, *values: Tensor) -> Tensor:
        given = {names[id(parameter)]: value for parameter, value in zip(own, values, strict=True)}
        result: Tensor = torch.func.functional_call(made.model, given, (x,))
        return result

    try:
        gradcheck(output, (x, *point), fast_mode=True, eps=1e-6, atol=1e-4, rtol=1e-3)
    except GradcheckError as error:
        place = re.search(r"with respect to input (\d+)", str(error))
        which = ["the input", *(_factor_of(names[id(parameter)]) for parameter in own)]
        said = f"the gradient of {which[int(place[1])]} is not the slope of the outputs" if place else str(error)
        return holds(False, said.strip().splitlines()[0])
    return holds(True, "")


def _factor_of(name: str) -> str:
    """The factor behind the name of a parameter."""
    return f"`{name.removesuffix('.original').rsplit('.', 1)[-1]}`"


@states
def sequences_do_not_meet(case: Case) -> Outcome:
    """A sequence has the same output alone as in a batch."""
    if not case.axes.batch:
        return does_not_apply("there is one sequence")
    made = case.attached(moved=True)
    together = made.rows(made.output())
    sequences = case.x.reshape(-1, *case.x.shape[-case.layer.sequence_axes :])
    outcomes = []
    for place, x in enumerate(sequences):
        made.adapter.set_inputs(**case.inputs_of(place))
        with torch.no_grad():
            alone = made.rows(made.model(x.unsqueeze(0)))
        outcomes.append(
            within(distance(alone[:, :, 0], together[:, :, place]), case.axes.tolerance, "alone and in a batch")
        )
    return worst(outcomes)


@states
def tokens_meet_only_if_said(case: Case) -> Outcome:
    """A token has the same output alone as in its sequence, unless the spec reads tokens across."""
    if case.inputs or not case.layer.tokens_are_apart:
        return does_not_apply("tokens are not given one by one")
    if not case.spec.facts.mergeable:
        return does_not_apply("the spec may read tokens across")
    made = case.moved
    together = made.output()
    with torch.no_grad():
        axis = len(case.axes.batch) - case.x.dim()
        alone = torch.cat([made.rows(made.model(x)) for x in torch.split(case.x, 1, axis)], dim=-2)
    return within(distance(alone, made.rows(together)), case.axes.tolerance, "alone and in a sequence")


@states
def noise_is_drawn_in_training_only(case: Case) -> Outcome:
    """Outputs vary with torch's seed in training, and not at all in evaluation."""
    if not case.spec.facts.noise and not _drops(case):
        return does_not_apply("the spec has no noise")
    if not _drops(case) and not _noise_matters(case):
        return does_not_apply("the noise is multiplied by zero")
    made = case.attached(moved=True)
    still = [_seeded(made, seed) for seed in (1, 2)]
    made.model.train()
    first, again, other = (_seeded(made, seed) for seed in (1, 1, 2))
    return worst([
        holds(torch.equal(*still), "outputs in evaluation differ"),
        holds(torch.equal(first, again), "the same seed draws different noise"),
        holds(not torch.equal(first, other), "training draws no noise"),
    ])  # fmt: skip


def _noise_matters(case: Case) -> bool:
    """Whether the literal formula varies with its noise."""
    made = case.moved
    ones = {name: torch.ones((), dtype=torch.float64) for name in case.spec.facts.noise}
    literal = made.literal(made.leaves())
    with torch.no_grad():
        outputs = [literal.output(case.exact_x, case.exact_inputs | noise) for noise in ({}, ones)]
    return not torch.equal(*outputs)


def _seeded(made: Attached, seed: int) -> Tensor:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return made.output()


# ---------------------------------------------------------------------------------------------- gradients


def _gradients(case: Case, run: Callable[[Any, Tensor], Tensor]) -> dict[str, Tensor]:
    """The gradients of every trained factor and of the input, under names."""
    made = case.moved
    with cached():
        wanted = {_key(name, scope): value for (name, scope), value in made.trained()}
        x = case.x.clone().requires_grad_() if case.layer.reads_numbers else case.x
        loss = (run(made.model, x) * case.weights).sum()
        if case.layer.reads_numbers:
            wanted["the input"] = x
        return _filled(wanted, loss)


def _literal_gradients(case: Case) -> dict[str, Tensor]:
    made = case.moved
    leaves = made.leaves()
    x = case.exact_x.clone()
    wanted = {_key(*key): value for key, value in leaves.items()}
    if case.layer.reads_numbers:
        wanted["the input"] = x.requires_grad_()
    output = made.literal(leaves).output(x, case.exact_inputs)
    return _filled(wanted, (output * made.rows(case.weights)).sum())


def _filled(wanted: Mapping[str, Tensor], loss: Tensor) -> dict[str, Tensor]:
    """The gradients of a loss, zeros where it does not depend on a value."""
    if not loss.requires_grad:
        return {key: torch.zeros_like(value) for key, value in wanted.items()}
    found = torch.autograd.grad(loss, list(wanted.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(wanted, found, strict=True))


def _key(name: str, scope: str) -> str:
    return f"`{name}` of {scope}"


def _operators(case: Case) -> set[str]:
    return {node.operator for node in topological(case.spec.ir.targets.values()) if isinstance(node, Apply)}


def _drops(case: Case) -> bool:
    return "dropout" in _operators(case)


def _stops(case: Case) -> str | None:
    return next((name for name in ("stop",) if name in _operators(case)), None)


PROPERTIES = (
    computes_the_formula,
    has_the_formulas_gradients,
    agrees_with_differences,
    recomputes_to_the_same_gradients,
    sequences_do_not_meet,
    tokens_meet_only_if_said,
    noise_is_drawn_in_training_only,
)
