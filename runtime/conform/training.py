"""Properties of training: what moves, what stays, what penalties add, which constraints are kept."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from specdsl.runtime.conform.case import Attached, Case
from specdsl.runtime.conform.outcome import Outcome, distance, does_not_apply, holds, is_same, within, worst
from specdsl.runtime.conform.property import states

RATE = 0.01
STEPS = 3


@states
def moves_the_factors_and_nothing_else(case: Case) -> Outcome:
    """Exactly the declared factors move in a step of an optimiser, and all of them do within three."""
    made = case.attached()
    trained = {id(parameter) for parameter in made.adapter.parameters()}
    if not trained:
        return does_not_apply("the spec trains nothing")
    required = {id(value) for value in made.model.parameters() if value.requires_grad}
    before = {name: value.detach().clone() for name, value in _all(made).items()}
    _train(made)
    after = _all(made)
    names = {name for name, value in made.model.named_parameters() if id(value) in trained}
    still = [name for name in names if is_same(after[name], before[name])]
    if still and case.layer.is_diagonal and not _has_gradients(case):
        return does_not_apply("with a diagonal weight the formula's own gradients are zero at the start")
    parameters = dict(made.model.named_parameters())
    if still and case.axes.dtype != "float64" and all(parameters[name].grad is not None for name in still):
        return does_not_apply("a step is less than this dtype tells from none")
    moved = [name for name in before.keys() - names if not is_same(after[name], before[name])]
    graded = [name for name, value in made.model.named_parameters() if name not in names and value.grad is not None]
    return worst([
        holds(required == trained, "what requires a gradient is not what the spec trains"),
        holds(not still, f"{', '.join(sorted(still))} did not move in {STEPS} steps"),
        holds(not moved, f"{', '.join(sorted(moved))} moved"),
        holds(not graded, f"{', '.join(sorted(graded))} has a gradient"),
    ])  # fmt: skip


def _all(made: Attached) -> dict[str, Tensor]:
    return {**dict(made.model.named_parameters()), **dict(made.model.named_buffers())}


def _has_gradients(case: Case) -> bool:
    """Whether the literal formula has a gradient at the start."""
    made = case.fresh
    leaves = made.leaves()
    output = made.literal(leaves).output(case.exact_x, case.exact_inputs)
    loss = (output * made.rows(case.weights)).sum() + output.square().mean()
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return any(bool(gradient.any()) for gradient in found)


def _train(made: Attached) -> None:
    made.model.train()
    optimizer = torch.optim.SGD(made.adapter.parameter_groups(RATE), lr=RATE)
    for _ in range(STEPS):
        optimizer.zero_grad()
        output = made.model(made.case.x)
        ((output * made.case.weights).sum() + output.square().mean()).backward()
        optimizer.step()
    made.model.eval()


@states
def keeps_its_constraints(case: Case) -> Outcome:
    """Orthonormal factors are orthonormal at the start and after steps of an optimiser."""
    names = [name for name, factor in case.spec.ir.factors.items() if factor.orthonormal]
    if not names:
        return does_not_apply("the spec has no constraint")
    made = case.attached()
    tolerance = 1e-9 if case.axes.factor_dtype == torch.float64 else 1e-4
    outcomes = [within(_defect(made, name), tolerance, f"`{name}` at the start") for name in names]
    _train(made)
    return worst([*outcomes, *(within(_defect(made, name), tolerance, f"`{name}` after steps") for name in names)])


def _defect(made: Attached, name: str) -> float:
    found = [value.detach().double() for (other, _), value in made.trained() if other == name]
    narrow = [value if value.shape[-2] >= value.shape[-1] else value.mT for value in found]
    return max(distance(Q.mT @ Q, _eye_like(Q.mT @ Q)) for Q in narrow)


def _eye_like(product: Tensor) -> Tensor:
    return torch.eye(product.shape[-1], dtype=product.dtype).expand(product.shape)


@states
def penalises_by_the_formula(case: Case) -> Outcome:
    """Every penalty has the value of its literal formula."""
    if not case.spec.ir.penalties:
        return does_not_apply("the spec has no penalty")
    made = case.moved
    found = made.adapter.penalties()
    with torch.no_grad():
        expected = made.literal(made.leaves()).penalties(case.exact_inputs)
    tolerance = case.axes.tolerance
    return worst([
        holds(list(found) == list(expected), "it has other penalties"),
        *(within(distance(found[text], value), tolerance, f"`{text}`") for text, value in expected.items()),
    ])  # fmt: skip


@states
def penalties_enter_a_step_once(case: Case) -> Outcome:
    """The gradients that an optimiser sees are those of loss and penalties together, each penalty once."""
    if not case.spec.ir.penalties:
        return does_not_apply("the spec has no penalty")
    if any(factor.orthonormal for factor in case.spec.ir.factors.values()):
        return does_not_apply("its parameters are not its factors")
    if case.spec.facts.noise:
        return does_not_apply("its outputs in training are drawn")
    made = case.attached(moved=True)
    made.model.train()
    optimizer = torch.optim.SGD(made.adapter.parameters(), lr=0.0)
    (made.model(case.x) * case.weights).sum().backward()
    optimizer.step()
    expected = _together(case, made)
    tolerance = 10 * case.axes.tolerance
    return worst(
        within(distance(_gradient(value), expected[key]), tolerance, f"`{key[0]}` of {key[1]}")
        for key, value in made.trained()
    )


def _together(case: Case, made: Attached) -> Mapping[tuple[str, str], Tensor]:
    """The gradients of the literal formula's loss and penalties."""
    leaves = made.leaves()
    literal = made.literal(leaves)
    output = literal.output(case.exact_x, case.exact_inputs)
    penalties = list(literal.penalties(case.exact_inputs).values())
    total = (output * made.rows(case.weights)).sum() + torch.stack(penalties).sum()
    found = torch.autograd.grad(total, list(leaves.values()), allow_unused=True, materialize_grads=True)
    return dict(zip(leaves, found, strict=True))


def _gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad


PROPERTIES = (
    moves_the_factors_and_nothing_else,
    keeps_its_constraints,
    penalises_by_the_formula,
    penalties_enter_a_step_once,
)
