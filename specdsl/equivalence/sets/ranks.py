"""Rules of products and ranks: what a product of free factors runs over, by QR and SVD for orthonormal ones too."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from specdsl.equivalence.forms.arrays import FormArrays
from specdsl.equivalence.forms.form import Atom, Form, Term
from specdsl.equivalence.forms.index import ONE
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.image import Image, Space, Use
from specdsl.equivalence.sets.patterns import free_factors, numbered, shared_axes, with_renamed
from specdsl.equivalence.sets.proposals import Proposal


def low_rank(image: Image) -> Iterator[Proposal]:
    """`A@B`, or `sum(A[i]@B[i] for i < k)`, runs over all matrices up to a rank, and over nothing else."""
    free = [entry for entry in free_factors(image) if len(entry[1].axes) >= 2]
    for place, (name, space, uses) in enumerate(free):
        for other, their_space, theirs in free[place + 1 :]:
            axes = shared_axes(uses, theirs) if len(uses) == len(theirs) else None
            if axes is None or not len(axes[0]) + 1 == len(space.axes) == len(their_space.axes):
                continue
            mine, their = (_open_axis(one) for one in axes)
            inner = reduce(lambda total, axis: total * space.axes[axis], axes[0], ONE)
            rows, columns = space.axes[mine], their_space.axes[their]
            new = image.fresh_name("T")
            made = Space((rows, columns), rank=inner)
            up = _product(image, name, axes[0], other, axes[1])
            forms = {target: _with_product(form, name, mine, other, their, new, made)
                     for target, form in image.forms.items()}  # fmt: skip
            text = {name: f"the left factor of {new}", other: f"the right factor of {new}"}
            yield Proposal(
                f"every matrix of rank at most {inner} is a product of {rows} x {inner} and {inner} x {columns}",
                (name, other), {new: made}, None, {new: up}, forms, down_text=text,
            )  # fmt: skip


def _open_axis(inner: tuple[int, ...]) -> int:
    """The one axis that is not among the inner ones."""
    return next(axis for axis in range(len(inner) + 1) if axis not in inner)


def _product(image: Image, name: str, inner: tuple[int, ...], other: str, their_inner: tuple[int, ...]) -> Form:
    """The product of two factors over all their inner axes."""
    left = list("abcdefg"[: len(inner) + 1])
    right = ["z"] * len(left)
    for mine, theirs in zip(inner, their_inner, strict=True):
        right[theirs] = left[mine]
    pattern = f"{''.join(left)},{''.join(right)}->{left[_open_axis(inner)]}z"
    one, two = (values.factor(each, image.factors[each], image.world) for each in (name, other))
    return FormArrays(image.world).einsum(pattern, one, two)


def _with_product(form: Form, name: str, mine: int, other: str, their: int, new: str, space: Space) -> Form:
    """Every product of two factors replaced by one factor with the axes that stay open."""
    terms = []
    for term in form.terms.values():
        first = next((a for a in term.atoms if a.key.kind == "trained" and a.key.name == name), None)
        second = next((a for a in term.atoms if a.key.kind == "trained" and a.key.name == other), None)
        if first is None or second is None:
            terms.append(term)
            continue
        atom = Atom(space.key(new), (first.slots[mine], second.slots[their]))
        rest = tuple(a for a in term.atoms if a is not first and a is not second)
        terms.append(Term(term.coefficient, (*rest, atom), term.out))
    return Form.of(form.axes, terms, form.world)


def full_rank(image: Image) -> Iterator[Proposal]:
    """A rank that is no bound: all matrices."""
    for name, space in image.factors.items():
        if space.rank is None or not any(image.world.at_most(size, space.rank) for size in space.axes):
            continue
        new, made = image.fresh_name(name), Space(space.axes)
        forms = {target: with_renamed(form, name, new, made) for target, form in image.forms.items()}
        yield Proposal(
            f"a rank of at most {space.rank} is no bound", (name,), {new: made}, None,
            {new: values.factor(name, space, image.world)}, forms,
            condition=f"{space.rank} >= {min(space.axes, key=str)}" if space.rank not in space.axes else "",
            down_text={name: new},
        )  # fmt: skip


def summed(image: Image) -> Iterator[Proposal]:
    """`S + T` of ranks k and l is one matrix of rank k + l: `[A, C]@[B; D]`."""
    bounded = [(name, space) for name, space in image.factors.items() if space.rank is not None]
    for place, (name, space) in enumerate(bounded):
        for other, their_space in bounded[place + 1 :]:
            if their_space.axes not in (space.axes, space.axes[::-1]):
                continue
            orders = [order for order in ((0, 1), (1, 0)) if tuple(space.axes[a] for a in order) == their_space.axes]
            new = image.fresh_name("T")
            assert space.rank is not None
            assert their_space.rank is not None
            made = Space(space.axes, rank=space.rank + their_space.rank)
            for order in orders:
                # with the other one at zero, the new one stands where the first stood
                forms = {
                    target: with_renamed(
                        form.put({other: values.zeros(their_space.axes, image.world)}), name, new, made
                    )
                    for target, form in image.forms.items()
                }
                theirs = values.factor(other, their_space, image.world)
                theirs = theirs if order == (0, 1) else theirs.transposed((1, 0))
                yield Proposal(
                    f"a sum of ranks {space.rank} and {their_space.rank} has rank at most {made.rank}",
                    (name, other), {new: made}, None,
                    {new: values.factor(name, space, image.world) + theirs}, forms,
                    down_text={name: f"a part of {new}", other: f"the rest of {new}"},
                )  # fmt: skip


def unconstrained(image: Image) -> Iterator[Proposal]:
    """`A@B` with A orthonormal is any product `A@B` (QR); `A@diag(d)@B` with A and B orthonormal too (SVD)."""
    for name, space in image.factors.items():
        if not space.orthonormal or len(space.axes) != 2:
            continue
        inner = 1 if 0 in space.orthonormal else 0
        uses = image.uses(name)
        if any(use.atom is None for use in uses):
            continue
        for partner in _free_beside(image, name, uses, inner):
            new = image.fresh_name(name)
            made = Space(space.axes)
            forms = {target: with_renamed(form, name, new, made) for target, form in image.forms.items()}
            yield Proposal(
                partner, (name,), {new: made}, None, {new: values.factor(name, space, image.world)}, forms,
                condition=f"{space.axes[inner]} <= {space.axes[1 - inner]}",
                down_text={name: f"the orthonormal part of {new}"},
            )  # fmt: skip


def _free_beside(image: Image, name: str, uses: list[Use], inner: int) -> Iterator[str]:
    """The theorems by which an orthonormal factor may as well be free, because of what it multiplies."""
    atoms = [use.atom for use in uses if use.atom is not None]
    numbers = [numbered(atom) for atom in atoms]
    if any(one is None for one in numbers):
        return
    inner_vars = [next(v for v, a in (one or {}).items() if a == inner) for one in numbers]
    beside: list[set[str]] = []
    axes: set[tuple[tuple[str, int], ...]] = set()
    for use, var in zip(uses, inner_vars, strict=True):
        if any(place.var is var for slot in use.term.out for place in slot):
            return
        others = [a for a in use.rest if any(place.var is var for slot in a.slots for place in slot)]
        if not others or any(a.key.kind != "trained" or a.power != 1 or numbered(a) is None for a in others):
            return
        beside.append({a.key.name for a in others})
        axes.add(tuple(sorted((a.key.name, axis) for a in others for axis, slot in enumerate(a.slots)
                              if any(place.var is var for place in slot))))  # fmt: skip
    if len({frozenset(one) for one in beside}) != 1 or len(axes) != 1:
        return
    partners = beside[0]
    if any(len(image.uses(p)) != len(uses) or any(u.atom is None for u in image.uses(p)) for p in partners):
        return
    spaces = {p: image.factors[p] for p in partners}
    free = [p for p, s in spaces.items() if s.is_free and len(s.axes) == 2]
    if len(partners) == 1 and free:
        yield f"QR: every product with a free `{free[0]}` is one with orthonormal `{name}`"
    diagonal = [p for p, s in spaces.items() if len(s.axes) == 1 and s.range in ("real", "nonnegative")
                and s.rank is None]  # fmt: skip
    sides = [p for p, s in spaces.items() if len(s.axes) == 2 and s.orthonormal]
    if len(partners) == 2 and diagonal and sides:
        yield f"SVD: every product of that size is `{name}@diag({diagonal[0]})@{sides[0]}`"
