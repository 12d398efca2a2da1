"""The array namespace over forms: an operator's own value, run on it, gives the operator's normal form.

What it lacks (comparisons, decompositions, functions of entries) raises `NoForm`, and the operator becomes an atom.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from specdsl.equivalence.forms.form import Atom, Form, Key, Term, World, _counted, atom_form
from specdsl.equivalence.forms.index import ONE, ZERO, NoForm, Place, Slot, Var, length, replaced, slot_of, unified
from specdsl.sizes import Size


def _size(value: Any) -> Size:
    return value if isinstance(value, Size) else Size.of(Fraction(value))


class FormArrays:
    """The namespace `specdsl.arrays.Arrays`, as far as sums of networks go."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __getattr__(self, name: str) -> Any:
        raise NoForm(f"`{name}` has no form")

    def number(self, value: Any) -> Form:
        return Form.of((), [Term(_size(value), (), ())], self.world)

    # making

    def full(self, shape: Sequence[Any], value: Any, like: Any = None) -> Form:
        axes = tuple(map(_size, shape))
        return Form.of(axes, [Term(_size(value), (), tuple(map(slot_of, axes)))], self.world)

    def eye(self, size: Any, like: Any = None) -> Form:
        slot = slot_of(_size(size))
        return Form.of((_size(size),) * 2, [Term(ONE, (), (slot, slot))], self.world)

    # shape

    def reshape(self, array: Form, shape: Sequence[Any]) -> Form:
        """Axes merged and cut where the sizes say so: as blocks of one another."""
        axes = tuple(map(_size, shape))
        if axes == array.axes:
            return array
        groups = _groups(array.axes, axes)
        return Form.of(axes, [_reshaped(term, groups, array.axes, self.world) for term in array.fresh()], self.world)

    def permute(self, array: Form, axes: Sequence[int]) -> Form:
        return array.transposed(axes)

    def concat(self, arrays: Sequence[Any], axis: int) -> Form:
        forms = [self._form(array) for array in arrays]
        axis %= len(forms[0].axes)
        total, terms = ZERO, []
        for form in forms:
            for term in form.fresh():
                terms.append(_moved(term, axis, total))
            total = total + form.axes[axis]
        axes = (*forms[0].axes[:axis], total, *forms[0].axes[axis + 1 :])
        if len(forms) == 1:
            return forms[0]
        return Form.of(axes, terms, self.world)

    def broadcast(self, array: Any, shape: Sequence[Any]) -> Form:
        form = self._form(array)
        return form * self.full(shape, 1)

    def einsum(self, pattern: str, *arrays: Form) -> Form:
        left, right = pattern.replace(" ", "").split("->")
        return self.contract([list(one) for one in left.split(",")], list(right), *arrays)

    def contract(self, inputs: Sequence[Sequence[str]], output: Sequence[str], *arrays: Form) -> Form:
        """The sum over all names that are not in the output, as einsum has it."""
        total: list[tuple[Term, dict[str, int]]] = [(Term(ONE, (), ()), {})]
        sizes: dict[str, Size] = {}
        for names, array in zip(inputs, arrays, strict=True):
            if len(names) != len(array.axes):
                raise NoForm("a pattern for another number of axes")
            for name, size in zip(names, array.axes, strict=True):
                sizes.setdefault(name, size)
            new = []
            for term, _ in total:
                for piece in array.fresh():
                    start = term.fresh()
                    merged: Term | None = Term(
                        start.coefficient * piece.coefficient, start.atoms + piece.atoms, start.out + piece.out
                    )
                    known = list(_)
                    for at, name in enumerate(names):
                        assert merged is not None
                        place = len(start.out) + at
                        if name in known:
                            by = unified(merged.out[known.index(name)], merged.out[place], self.world.at_most)
                            if by is None:
                                merged = None
                                break
                            merged = merged.replaced(by)
                        known.append(name if name not in known else f"{name}'{at}{place}")
                    if merged is not None:
                        new.append((merged, dict.fromkeys(known, 0)))
            total = new
        terms = []
        for term, known_names in total:
            order = list(known_names)
            kept = tuple(term.out[order.index(name)] for name in output)
            terms.append(_counted(term, Term(term.coefficient, term.atoms, kept)))
        return Form.of([sizes[name] for name in output], terms, self.world)

    # reductions

    def sum(self, array: Form, axis: Any = None, keep: bool = False) -> Form:
        count = len(array.axes)
        axes = range(count) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        result = array
        for one in sorted((a % count for a in axes), reverse=True):
            result = result.summed(one)
        if keep:
            reduced = {a % count for a in axes}
            return self.reshape(result, [ONE if a in reduced else size for a, size in enumerate(array.axes)])
        return result

    def norm(self, array: Form, axis: Any = None, keep: bool = False) -> Form:
        return self.sum(array * array, axis, keep).power(Fraction(1, 2))

    # functions

    def sqrt(self, array: Form) -> Form:
        return array.power(Fraction(1, 2))

    def stop(self, array: Form) -> Form:
        return array

    def dropout(self, array: Form, share: float) -> Form:
        return array

    def inverse(self, array: Form) -> Form:
        from specdsl.equivalence.forms.opening import opened

        if array.axes[-1] == ONE:
            return array.power(Fraction(-1))
        kept = [size for size in array.axes if size != ONE]
        if len(kept) < len(array.axes):
            return self.reshape(self.inverse(self.reshape(array, kept)), array.axes)
        return opened(Key("operator", "inverse", array.axes, (), (array,)), self.world)

    # what operators' own rules use

    def diagonal(self, v: Form) -> Form:
        """The square matrix with v on its diagonal; of a stack of vectors a stack of matrices."""
        terms = [Term(t.coefficient, t.atoms, (*t.out, t.out[-1])) for t in v.terms.values()]
        return Form.of((*v.axes, v.axes[-1]), terms, self.world)

    def stretch(self, array: Form, axis: int, start: Size, stop: Size) -> Form:
        """Places `start` to `stop` of an axis."""
        size = array.axes[axis]
        if start == ZERO and stop == size:
            return array
        length = stop - start
        wanted: Slot = (Place(Var(length), start),)
        terms = []
        for term in array.fresh():
            by = unified(wanted, term.out[axis] or (Place(Var(ONE)),), self.world.at_most)
            if by is None:
                continue
            cut = term.replaced(by)
            slot = replaced(wanted, by)
            if len(slot) == 1:
                slot = (Place(slot[0].var, slot[0].offset - start),)
            elif start != ZERO:
                raise NoForm("a stretch of blocks")
            terms.append(Term(cut.coefficient, cut.atoms, (*cut.out[:axis], slot, *cut.out[axis + 1 :])))
        return Form.of((*array.axes[:axis], length, *array.axes[axis + 1 :]), terms, self.world)

    def dropped(self, array: Form, axis: int) -> Form:
        """Without an axis of size 1."""
        terms = [Term(t.coefficient, t.atoms, t.out[:axis] + t.out[axis + 1 :]) for t in array.terms.values()]
        return Form.of(array.axes[:axis] + array.axes[axis + 1 :], terms, self.world)

    def constant(self, kind: str, name: str, axes: Sequence[Size], orthonormal: Sequence[int] = (),
                 arguments: Sequence[Form] = ()) -> Form:  # fmt: skip
        """A tensor of fixed numbers: a mask, or the choice of entries by an index."""
        kept = tuple(size for size in axes if size != ONE)
        marks = frozenset(orthonormal) if len(kept) == len(axes) else frozenset()
        return atom_form(Key(kind, name, kept, (), tuple(arguments), marks), tuple(axes), self.world)

    def chosen(self, index: Form, length: Size) -> Form:
        """`S : k x length` with a single one per row, at the place that an index says."""
        marks = (1,) if places_differ(index) else ()
        return self.constant("select", "place", (index.axes[0], length), marks, (index,))

    def _form(self, array: Any) -> Form:
        return array if isinstance(array, Form) else self.number(array)


def places_differ(index: Form) -> bool:
    """Whether an index is known to name no place twice: one that is drawn by `choice`."""
    if len(index.terms) != 1:
        return False
    (term,) = index.terms.values()
    return len(term.atoms) == 1 and term.atoms[0].key.options[:1] == ("choice",)


def _moved(term: Term, axis: int, offset: Size) -> Term:
    """The term as a stretch of a longer axis."""
    slot = term.out[axis]
    if len(slot) > 1:
        raise NoForm("blocks side by side with something else")
    place = slot[0] if slot else Place(Var(ONE))  # without an index: the first place
    moved: Slot = (Place(place.var, place.offset + offset),)
    return Term(term.coefficient, term.atoms, (*term.out[:axis], moved, *term.out[axis + 1 :]))


Group = tuple[tuple[int, ...], tuple[Size, ...]]
"""Old axes that together become new axes of these sizes."""


def _groups(old: Sequence[Size], new: Sequence[Size]) -> list[Group]:
    groups: list[Group] = []
    before, after = list(enumerate(old)), list(new)
    while before or after:
        axes: list[int] = []
        sizes: list[Size] = []
        left, right = ONE, ONE
        if before and before[0][1] == ONE and not (after and after[0] == ONE):
            groups.append(((before.pop(0)[0],), ()))
            continue
        if after and after[0] == ONE and not (before and before[0][1] == ONE):
            groups.append(((), (after.pop(0),)))
            continue
        for _ in range(len(old) + len(new) + 1):
            if axes and sizes and left == right:
                break
            take_old = before and (not axes or (sizes and _is_smaller(left, right)) or not after)
            if take_old:
                axis, size = before.pop(0)
                axes.append(axis)
                left = left * size
            elif after:
                size = after.pop(0)
                sizes.append(size)
                right = right * size
            else:
                raise NoForm("a reshaping that cuts across axes")
        if left != right:
            raise NoForm("a reshaping that cuts across axes")
        groups.append((tuple(axes), tuple(sizes)))
    return groups


def _is_smaller(left: Size, right: Size) -> bool:
    """Whether more old axes are wanted before another new one: the one so far divides the other."""
    quotient = right / left
    if quotient.constant is not None:
        return quotient.constant > 1
    return all(exponent > 0 for monomial, _ in quotient.terms for _, exponent in monomial)


def _reshaped(term: Term, groups: Sequence[Group], old: Sequence[Size], world: World) -> Term:
    """The term over new axes; each group of old ones is read as one index and cut anew."""
    count = len(term.out)
    at = 0
    for axes, sizes in groups:
        if len(axes) > 1:
            _refuse_stretches(term.out[at : at + len(axes)], [old[axis] for axis in axes])
        slot: Slot = tuple(one for axis in range(at, at + len(axes)) for one in term.out[axis])
        at += len(axes)
        wanted = tuple(slot_of(size) for size in sizes)
        if len(sizes) <= 1:
            term = Term(term.coefficient, term.atoms, (*term.out, *((slot,) if sizes else ())))
            continue
        whole: Slot = tuple(one for part in wanted for one in part)
        by = unified(whole, slot, world.at_most)
        if by is None:
            raise NoForm("a reshaping of nothing")
        term = Term(term.coefficient, term.atoms, (*term.out, *wanted)).replaced(by)
    return Term(term.coefficient, term.atoms, term.out[count:])


def _refuse_stretches(slots: Sequence[Slot], sizes: Sequence[Size]) -> None:
    """Axes are counted together only where all but the first are whole: a digit's weight is the size of those after."""
    if any(place.offset != ZERO for place in slots[0]) or any(
        length(slot) != size or any(place.offset != ZERO for place in slot)
        for slot, size in zip(slots[1:], sizes[1:], strict=True)
    ):
        raise NoForm("axes are joined of which one is only a stretch")


def with_options(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Settings of an operator as text, without the label of a draw."""
    return tuple(f"{name}={value}" for name, value in sorted(options.items()) if name != "label")


__all__ = ["Atom", "FormArrays", "with_options"]
