"""What differs beside the adapted value: penalties, hard constraints, and what happens while training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from specdsl import tree
from specdsl.equivalence.forms.build import Builder
from specdsl.equivalence.forms.index import NoForm
from specdsl.equivalence.reach import Reach
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.sets.matching import renamed
from specdsl.equivalence.subject import Subject, decomposes_base
from specdsl.ir import Apply, topological
from specdsl.printing.expression_text import expression_text
from specdsl.printing.syntax_text import SyntaxText


def penalties(a: Subject, b: Subject, reaches: Sequence[Reach]) -> tuple[str, ...]:
    """`same`, or one line for each penalty that the other spec has not."""
    ours, theirs = ({penalty.text: penalty.value for penalty in subject.ir.penalties} for subject in (a, b))
    if not ours and not theirs:
        return ("same",)
    first = reaches[0] if reaches else None
    if first is not None and first.pointwise is not None and first.a is not None and first.b is not None:
        try:
            if _same_forms(a, b, first):
                return ("same",)
        except NoForm:
            pass
    if {expression_text(value) for value in ours.values()} == {expression_text(value) for value in theirs.values()}:
        return ("same",)
    shared = ours.keys() & theirs.keys()
    found = [f"only in a: {text}" for text in ours if text not in shared]
    return tuple(found + [f"only in b: {text}" for text in theirs if text not in shared])


def _same_forms(a: Subject, b: Subject, reach: Reach) -> bool:
    """Whether the penalties are equal under the renaming that makes the values equal."""
    assert reach.a is not None
    assert reach.b is not None
    assert reach.pointwise is not None
    decompose = decomposes_base(a) or decomposes_base(b)
    world = reach.a.world
    sums = []
    for subject in (a, b):
        builder = Builder(subject, world, decompose, reach.cell.resolved)
        sums.append({str(place): builder.form(penalty.value) for place, penalty in enumerate(subject.ir.penalties)})
    spaces = {**Image.of(sums[0], world).factors, **reach.a.factors}
    theirs = renamed(sums[1], reach.pointwise, spaces)
    return sorted(form.token for form in sums[0].values()) == sorted(form.token for form in theirs.values())


def drops_out(subject: Subject) -> bool:
    """Whether a spec has dropout."""
    return any(True for _ in _dropout(subject))


def differences(a: Subject, b: Subject) -> tuple[str, ...]:
    """What else differs, one line each."""
    found: list[str] = []
    for what, of in (
        ("kept orthonormal", _orthonormal), ("dropout", _dropout), ("noise", _noise), ("events", _events),
        ("learning rates", _rates), ("shared factors", _shared), ("placement", _placement),
    ):  # fmt: skip
        ours, theirs = (sorted(of(subject)) for subject in (a, b))
        if ours != theirs:
            found.append(f"{what}: {', '.join(ours) or 'none'} in a, {', '.join(theirs) or 'none'} in b")
    return tuple(found)


def _orthonormal(subject: Subject) -> Iterator[str]:
    return (name for name, factor in subject.ir.factors.items() if factor.orthonormal and factor.is_trained)


def _dropout(subject: Subject) -> Iterator[str]:
    for node in topological(subject.ir.targets.values()):
        if isinstance(node, Apply) and node.operator == "dropout":
            yield expression_text(node)


def _noise(subject: Subject) -> Iterator[str]:
    return (name for name, given in subject.ir.given.items() if given.kind == "noise")


def _events(subject: Subject) -> Iterator[str]:
    return (event.text for event in subject.ir.events)


def _rates(subject: Subject) -> Iterator[str]:
    return (f"{factor.lr:g} for {name}" for name, factor in subject.ir.factors.items() if factor.lr not in (None, 1))


def _shared(subject: Subject) -> Iterator[str]:
    return (name for name, factor in subject.ir.factors.items() if factor.shared is not None)


def _placement(subject: Subject) -> Iterator[str]:
    return (SyntaxText().clause(clause) for clause in subject.spec.tree.clauses if isinstance(clause, tree.On))
