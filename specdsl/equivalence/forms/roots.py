"""Norms in forms: the form of a sum of squares, read back as the matrix whose rows or columns are measured."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

from specdsl.equivalence.forms.canonical import canonical
from specdsl.equivalence.forms.form import Atom, Form, Term
from specdsl.equivalence.forms.index import ONE, NoForm, Slot, Var
from specdsl.sizes import Size

MOST_ATOMS = 10
MOST_SQUARES = 5
_NAMES = {1: ("colnorm", "rownorm"), 0: ("norm", "norm")}


@lru_cache(maxsize=500)
def norm_text(squares: Form) -> tuple[Size, str] | None:
    """`colnorm(W + A@B)` for the form of what stands under its root, and what that is multiplied by under the root.

    Checked exactly: the squares of what is named add up to the form. None where no norm was found.
    """
    from specdsl.equivalence.forms.text import form_text

    found = []
    for measured, scale in _measured(squares):
        for order in ((0, 1), (1, 0)) if len(measured.axes) == 2 else ((0,),):
            inner = form_text(measured.transposed(order))
            name = _NAMES[len(squares.axes)][order[0]]
            found.append((scale, f"{name}({inner})"))
        break
    return min(found, key=lambda one: (one[1].count(".T"), len(one[1])), default=None)


def nonzero_text(squares: Form) -> str:
    """What has to hold so that no root of a form is zero: `no column of W + A@B is zero`."""
    from specdsl.equivalence.forms.text import form_text

    found = norm_text(squares)
    if found is None:
        return f"no entry of {form_text(squares)} is zero"
    name, _, inner = found[1].partition("(")
    inner = inner.removesuffix(")")
    lines = {"colnorm": f"no column of {inner} is zero", "rownorm": f"no row of {inner} is zero"}
    return lines.get(name, f"{inner} is not zero")


def _measured(squares: Form) -> Iterator[tuple[Form, Size]]:
    """Forms over the summed axes and then the open ones, with `scale * sum of squares = squares`."""
    if len(squares.axes) > 1 or any(size == ONE for size in squares.axes):
        return
    terms = list(squares.terms.values())
    halves = [list(_halves(term)) for term in terms]
    for shape in dict.fromkeys(axes for several in halves for axes, _ in several):
        own = [(term, half) for term, several in zip(terms, halves, strict=True)
               for axes, half in several[:1] if axes == shape]  # fmt: skip
        if not own or len(own) > MOST_SQUARES:
            continue
        scale = own[0][0].coefficient
        roots = [_root(term.coefficient / scale) for term, _ in own]
        for signs in itertools.product((1, -1), repeat=len(own) - 1):
            pieces = []
            for root, (_, half), sign in zip(roots, own, (1, *signs), strict=True):
                if root is None:
                    break
                pieces.append(Term(root * sign, half.atoms, half.out).fresh())
            else:
                measured = Form.of(shape, pieces, squares.world)
                if _adds_up(measured, squares, scale):
                    yield _whole(measured, scale)


def _whole(measured: Form, scale: Size) -> tuple[Form, Size]:
    """A square in front goes inside."""
    root = _root(scale)
    return (measured, scale) if root is None else (measured.scaled(root), ONE)


def _adds_up(measured: Form, squares: Form, scale: Size) -> bool:
    try:
        total = measured * measured
        while len(total.axes) > len(squares.axes):
            total = total.summed(0)
    except NoForm:
        return False
    return total.scaled(scale) == squares


def _root(number: Size) -> Size | None:
    if len(number.terms) != 1 or number.terms[0][1] <= 0:
        return None
    root = number.power(Fraction(1, 2))
    return root if root * root == number and "power" not in str(root) else None


def _halves(term: Term) -> Iterator[tuple[tuple[Size, ...], Term]]:
    """A term as the square of a network over a summed axis (two for a lone number) and the open one."""
    atoms = [Atom(atom.key, atom.slots) for atom in term.atoms for _ in range(_count(atom))]
    if not atoms or any(atom.power.denominator != 1 or atom.power < 1 for atom in term.atoms):
        return
    if len(atoms) % 2 or len(atoms) > MOST_ATOMS or any(len(slot) != 1 for slot in term.out):
        return
    open_slots = tuple(term.out)
    for chosen in itertools.combinations(range(1, len(atoms)), len(atoms) // 2 - 1):
        one = [atoms[place] for place in (0, *chosen)]
        other = [atom for place, atom in enumerate(atoms) if place not in (0, *chosen)]
        shared = [slot for slot in _slots(one) if slot in _slots(other) and slot not in open_slots]
        if not shared or len(shared) + len(open_slots) > 2 or _mixed(one, other, (*shared, *open_slots)):
            continue
        for order in itertools.permutations(shared):
            axes = (*order, *open_slots)
            texts = [canonical(Term(ONE, tuple(half), axes))[0] for half in (one, other)]
            if texts[0] == texts[1]:
                yield tuple(slot[0].var.size for slot in axes), Term(ONE, tuple(one), axes)


def _count(atom: Atom) -> int:
    return int(atom.power) if atom.power.denominator == 1 and 0 < atom.power <= MOST_ATOMS else 1


def _slots(atoms: list[Atom]) -> list[Slot]:
    return list(dict.fromkeys(slot for atom in atoms for slot in atom.slots))


def _mixed(one: list[Atom], other: list[Atom], axes: tuple[Slot, ...]) -> bool:
    """Whether the halves meet elsewhere than at these axes."""
    seen: list[set[Var]] = [{var for atom in half for var in atom.vars} for half in (one, other)]
    return bool((seen[0] & seen[1]) - {place.var for slot in axes for place in slot})
