"""Sums of tensor networks: the index normal form of an expression, exact for all sizes at once.

A term is `coefficient * prod atom[index, ...]`, summed over every index that is not one of the output. Products of
matrices, Hadamard and Kronecker products, transposition, diagonals, slices and blocks all become networks; two
expressions of this kind are equal for all sizes exactly if their networks are, up to names of indices.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from typing import Any

from specdsl.equivalence.forms.index import ONE, ZERO, AtMost, NoForm, Place, Replacement, Slot, Var, replaced, unified
from specdsl.equivalence.forms.index import slot_of as slot_of
from specdsl.sizes import Size

MOST_TERMS = 3000


@dataclass(frozen=True)
class Key:
    """What an atom is: a value of the module, a factor, a constant, or an operator that algebra does not open.

    Attributes:
        kind: `site`, `trained`, `frozen`, `start` (of a factor), `draw`, `part` (of a decomposition), `mask`, `select`
            or `operator`.
        name: of the value, factor or operator.
        axes: sizes of its axes, without those of size 1.
        options: settings of an operator, as text.
        arguments: of an operator.
        orthonormal: axes over which two of it contract to the identity.
        range: of a trained factor, the numbers its entries run over; see `ranges`.
    """

    kind: str
    name: str
    axes: tuple[Size, ...]
    options: tuple[str, ...] = ()
    arguments: tuple[Form, ...] = ()
    orthonormal: frozenset[int] = frozenset()
    range: str = "real"

    @cached_property
    def token(self) -> str:
        inner = ",".join(argument.token for argument in self.arguments)
        axes = "x".join(map(str, self.axes))
        marks = "".join(f"!{axis}" for axis in sorted(self.orthonormal))
        return f"{self.kind}:{self.name}[{axes}]{marks}{self.range}({';'.join(self.options)})({inner})"

    @cached_property
    def _hash(self) -> int:
        return hash(self.token)

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Key) and self.token == other.token)

    @cached_property
    def trained(self) -> frozenset[str]:
        """Names of the trained factors it depends on."""
        own = {self.name} if self.kind == "trained" else set()
        return frozenset(own.union(*(argument.trained for argument in self.arguments)))

    @cached_property
    def reads(self) -> frozenset[str]:
        """Names of all sites and factors it depends on."""
        own = {self.name} if self.kind in ("site", "trained", "frozen", "start") else set()
        if self.kind == "part":
            own = {"W"}
        return frozenset(own.union(*(argument.reads for argument in self.arguments)))


@dataclass(frozen=True)
class Atom:
    """A tensor at an index, to a power (entry by entry)."""

    key: Key
    slots: tuple[Slot, ...]
    power: Fraction = Fraction(1)

    def replaced(self, by: Replacement) -> Atom:
        return Atom(self.key, tuple(replaced(slot, by) for slot in self.slots), self.power)

    @property
    def vars(self) -> list[Var]:
        return [place.var for slot in self.slots for place in slot]


@dataclass(frozen=True)
class Term:
    """A number times a network; `out` are the indices of the value's axes."""

    coefficient: Size
    atoms: tuple[Atom, ...]
    out: tuple[Slot, ...]

    def replaced(self, by: Replacement) -> Term:
        if not by:
            return self
        return Term(
            self.coefficient,
            tuple(atom.replaced(by) for atom in self.atoms),
            tuple(replaced(slot, by) for slot in self.out),
        )

    def fresh(self) -> Term:
        """The same term over new variables."""
        names = {var: (Place(Var(var.size)),) for var in self.vars}
        return self.replaced(names)

    @property
    def vars(self) -> set[Var]:
        found = {var for atom in self.atoms for var in atom.vars}
        return found | {place.var for slot in self.out for place in slot}

    @property
    def open_vars(self) -> set[Var]:
        return {place.var for slot in self.out for place in slot}

    @cached_property
    def trained(self) -> frozenset[str]:
        return frozenset().union(*(atom.key.trained for atom in self.atoms))


Simplify = Callable[[Term], Iterable[Term]]
"""Rewrites a term into terms that are simpler, or gives it back alone."""


@dataclass(frozen=True)
class World:
    """What is known while forms are built.

    Attributes:
        at_most: whether one size is never above another.
        assumed: what was used that is not always so, collected for the verdict.
        known: what was found out in it, by what was asked.
    """

    at_most: AtMost
    assumed: set[str] = field(default_factory=set, compare=False)
    known: dict[Hashable, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, eq=False)
class Form:
    """A sum of terms in normal form; `terms` maps a canonical term's text to the term.

    Attributes:
        axes: the sizes of the value's axes.
        terms: by canonical text, in sorted order.
        world: see `World`.
    """

    axes: tuple[Size, ...]
    terms: Mapping[str, Term]
    world: World

    @staticmethod
    def of(axes: Sequence[Size], terms: Iterable[Term], world: World) -> Form:
        """The normal form of a sum of terms."""
        from specdsl.equivalence.forms.canonical import canonical
        from specdsl.equivalence.forms.rewriting import rewritten

        total: dict[str, Term] = {}
        for term in terms:
            for simple in rewritten(term, world):
                text, found = canonical(simple)
                if text in total:
                    found = Term(total[text].coefficient + found.coefficient, found.atoms, found.out)
                total[text] = found
                if len(total) > MOST_TERMS:
                    raise NoForm(f"a sum of more than {MOST_TERMS} networks")
        kept = {text: term for text, term in sorted(total.items()) if term.coefficient.terms}
        return Form(tuple(axes), kept, world)

    @cached_property
    def token(self) -> str:
        """Equal texts are equal forms."""
        axes = "x".join(map(str, self.axes))
        return f"<{axes}|{' + '.join(f'{term.coefficient}*{text}' for text, term in self.terms.items())}>"

    def __hash__(self) -> int:
        return hash(self.token)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Form) and self.token == other.token

    @cached_property
    def trained(self) -> frozenset[str]:
        return frozenset().union(*(term.trained for term in self.terms.values()))

    @cached_property
    def reads(self) -> frozenset[str]:
        return frozenset().union(*(atom.key.reads for term in self.terms.values() for atom in term.atoms))

    @property
    def shape(self) -> tuple[Size, ...]:
        return self.axes

    @property
    def ndim(self) -> int:
        return len(self.axes)

    @property
    def is_zero(self) -> bool:
        return not self.terms

    @property
    def number(self) -> Size | None:
        """The number this is, if it is one for all values of everything."""
        if self.axes:
            return None
        if not self.terms:
            return ZERO
        if len(self.terms) == 1:
            (term,) = self.terms.values()
            return None if term.atoms else term.coefficient
        return None

    def fresh(self) -> Iterator[Term]:
        for term in self.terms.values():
            yield term.fresh()

    def fresh_copy(self) -> Form:
        """The form over new variables."""
        return Form.of(self.axes, self.fresh(), self.world)

    # arithmetic

    def _like(self, terms: Iterable[Term], axes: Sequence[Size] | None = None) -> Form:
        return Form.of(self.axes if axes is None else axes, terms, self.world)

    def constant(self, value: Size) -> Form:
        """A number, as a form without axes."""
        return Form.of((), [Term(value, (), ())], self.world)

    def lifted(self, other: object) -> Form:
        if isinstance(other, Form):
            return other
        if isinstance(other, Size):
            return self.constant(other)
        if isinstance(other, bool) or not isinstance(other, int | float | Fraction):
            raise NoForm(f"`{other}` in a form")
        return self.constant(Size.of(Fraction(other)))

    def __neg__(self) -> Form:
        return self.scaled(Size.of(-1))

    def scaled(self, number: Size) -> Form:
        if not number.terms:
            return Form(self.axes, {}, self.world)
        kept = {text: Term(term.coefficient * number, term.atoms, term.out) for text, term in self.terms.items()}
        return Form(self.axes, kept, self.world)

    def __add__(self, other: object) -> Form:
        right = self.lifted(other)
        axes = _broadcast_axes(self.axes, right.axes)
        return Form.of(axes, [*_aligned(self, axes), *_aligned(right, axes)], self.world)

    __radd__ = __add__

    def __sub__(self, other: object) -> Form:
        return self + -self.lifted(other)

    def __rsub__(self, other: object) -> Form:
        return self.lifted(other) + -self

    def __mul__(self, other: object) -> Form:
        right = self.lifted(other)
        if right.number is not None:
            return self.scaled(right.number)
        if self.number is not None:
            return right.scaled(self.number)
        axes = _broadcast_axes(self.axes, right.axes)
        left_terms, right_terms = list(_aligned(self, axes)), list(_aligned(right, axes))
        _bound(len(left_terms) * len(right_terms))
        made = [
            joined(left, right.fresh(), list(zip(left.out, range(len(axes)), strict=True)), self.world)
            for left in left_terms
            for right in right_terms
        ]
        return Form.of(axes, [term for term in made if term is not None], self.world)

    __rmul__ = __mul__

    def __truediv__(self, other: object) -> Form:
        return self * self.lifted(other).power(Fraction(-1))

    def __rtruediv__(self, other: object) -> Form:
        return self.lifted(other) * self.power(Fraction(-1))

    def __pow__(self, exponent: object) -> Form:
        if not isinstance(exponent, int | float):
            raise NoForm("a power that is no number")
        return self.power(Fraction(exponent))

    def power(self, exponent: Fraction) -> Form:
        """Every entry to a power."""
        if self.number is not None:
            return self.constant(self.number.power(exponent))
        if exponent.denominator == 1 and 0 < exponent <= 8:
            product = self
            for _ in range(int(exponent) - 1):
                product = product * self
            return product
        if exponent == 0:
            return self._like([Term(ONE, (), tuple(slot_of(size) for size in self.axes))])
        return _opened_power(self, exponent)

    def __matmul__(self, other: object) -> Form:
        right = self.lifted(other)
        if not self.axes or not right.axes:
            raise NoForm("a product with a number")
        if len(self.axes) > 2 or len(right.axes) > 2:
            return _stacked_product(self, right)
        inner = 0
        _bound(len(self.terms) * len(right.terms))
        terms = []
        for left in self.fresh():
            for other_term in right.fresh():
                term = contracted(left, other_term, len(self.axes) - 1, inner, self.world)
                if term is not None:
                    terms.append(term)
        return Form.of((*self.axes[:-1], *right.axes[1:]), terms, self.world)

    def outer(self, other: Form) -> Form:
        """All products of an entry of this and one of the other; the axes of this come first."""
        terms = [
            Term(left.coefficient * right.coefficient, left.atoms + right.atoms, left.out + right.out)
            for left in self.terms.values()
            for right in other.terms.values()
            for left, right in [(left.fresh(), right.fresh())]
        ]
        return self._like(terms, (*self.axes, *other.axes))

    def transposed(self, order: Sequence[int]) -> Form:
        terms = [Term(t.coefficient, t.atoms, tuple(t.out[axis] for axis in order)) for t in self.terms.values()]
        return self._like(terms, [self.axes[axis] for axis in order])

    def summed(self, axis: int) -> Form:
        """Summed over one axis."""
        axis %= len(self.axes)
        terms = [Term(t.coefficient, t.atoms, t.out[:axis] + t.out[axis + 1 :]) for t in self.terms.values()]
        counted = []
        for term, whole in zip(terms, self.terms.values(), strict=True):
            lost = {place.var for place in whole.out[axis]} - {v for a in term.atoms for v in a.vars} - term.open_vars
            coefficient = term.coefficient
            for var in lost:
                coefficient = coefficient * var.size
            counted.append(Term(coefficient, term.atoms, term.out))
        return self._like(counted, self.axes[:axis] + self.axes[axis + 1 :])

    def mapped(self, change: Callable[[Key], Key]) -> Form:
        """The form with every atom's key changed, those inside operators first."""

        def key(old: Key) -> Key:
            arguments = tuple(argument.mapped(change) for argument in old.arguments)
            if any(new is not was for new, was in zip(arguments, old.arguments, strict=True)):
                old = Key(old.kind, old.name, old.axes, old.options, arguments, old.orthonormal, old.range)
            return change(old)

        terms, same = [], True
        for term in self.terms.values():
            atoms = []
            for atom in term.atoms:
                new = key(atom.key)
                same = same and new is atom.key
                atoms.append(Atom(new, atom.slots, atom.power))
            terms.append(Term(term.coefficient, tuple(atoms), term.out))
        return self if same else Form.of(self.axes, terms, self.world)

    def put(self, values: Mapping[str, Form]) -> Form:
        """The form with trained factors replaced by forms of the same axes (those of size 1 left out)."""
        if not values or not (self.trained & values.keys()):
            return self
        result: list[Term] = []
        for term in self.terms.values():
            result.extend(_put(term.fresh(), values, self.world))
            _bound(len(result))
        return Form.of(self.axes, result, self.world)


def _stacked_product(left: Form, right: Form) -> Form:
    """The product of two stacks of matrices, matrix by matrix."""
    from specdsl.equivalence.forms.arrays import FormArrays

    if len(left.axes) != len(right.axes) or left.axes[:-2] != right.axes[:-2]:
        raise NoForm("a product of stacks of different shapes")
    stack = "abcdef"[: len(left.axes) - 2]
    return FormArrays(left.world).einsum(f"{stack}xy,{stack}yz->{stack}xz", left, right)


def _bound(count: int) -> None:
    if count > MOST_TERMS:
        raise NoForm(f"a sum of more than {MOST_TERMS} networks")


def _put(term: Term, values: Mapping[str, Form], world: World, done: int = 0) -> Iterator[Term]:
    """The term with factors replaced, from its atom number `done` on; what was put in stays as it is."""
    for place, atom in enumerate(term.atoms[done:], done):
        if not (atom.key.trained & values.keys()):
            continue
        value = _value_of(atom, values, world)
        before, after = term.atoms[:place], term.atoms[place + 1 :]
        for piece in value.fresh():
            slots = tuple(slot for slot, size in zip(piece.out, value.axes, strict=True) if size != ONE)
            if len(slots) != len(atom.slots):
                raise NoForm(f"a value of {len(slots)} axes for `{atom.key.name}` of {len(atom.slots)}")
            atoms = before + piece.atoms + after
            merged = Term(term.coefficient * piece.coefficient, atoms, (*term.out, *slots, *atom.slots))
            met = _met(merged, len(term.out), len(slots), world)
            if met is not None:
                closed = Term(met.coefficient, met.atoms, met.out[: len(term.out)])
                yield from _put(_counted(met, closed), values, world, place + len(piece.atoms))
        return
    yield term


def _value_of(atom: Atom, values: Mapping[str, Form], world: World) -> Form:
    if atom.key.kind == "trained":
        value = values[atom.key.name]
    else:
        value = operator_form(atom.key, tuple(argument.put(values) for argument in atom.key.arguments), world)
    return value if atom.power == 1 else value.power(atom.power)


def _met(term: Term, start: int, count: int, world: World) -> Term | None:
    """A term with `count` axes from `start` on made one with as many after them; None where they never meet."""
    for axis in range(start, start + count):
        by = unified(term.out[axis], term.out[axis + count], world.at_most)
        if by is None:
            return None
        term = term.replaced(by)
    return term


def _counted(before: Term, after: Term) -> Term:
    """`after`, an axis of `before` less, with indices that nothing reads any more summed over."""
    coefficient = after.coefficient
    for var in before.vars - after.vars:
        coefficient = coefficient * var.size
    return Term(coefficient, after.atoms, after.out)


def operator_form(key: Key, arguments: tuple[Form, ...], world: World) -> Form:
    """The form of an operator over other arguments, opened where algebra can now."""
    from specdsl.equivalence.forms.opening import opened

    return opened(Key(key.kind, key.name, key.axes, key.options, arguments, key.orthonormal, key.range), world)


def atom_form(key: Key, axes: Sequence[Size], world: World, power: Fraction = Fraction(1)) -> Form:
    """A single atom as a form with these axes; those of size 1 are none of the atom's."""
    out = tuple(slot_of(size) for size in axes)
    return Form.of(axes, [Term(ONE, (Atom(key, tuple(slot for slot in out if slot), power),), out)], world)


def _opened_power(form: Form, exponent: Fraction) -> Form:
    """A power of a form: of a single product without sums the product of powers, else an atom of its own."""
    if len(form.terms) == 1:
        (term,) = form.terms.values()
        if term.vars == term.open_vars and all(len({*slot}) == len(slot) for slot in term.out):
            distinct = [var for slot in term.out for var in {place.var for place in slot}]
            if len(distinct) == len(set(distinct)) and (exponent.denominator == 1):
                number = term.coefficient.power(exponent)
                atoms = tuple(Atom(atom.key, atom.slots, atom.power * exponent) for atom in term.atoms)
                return Form.of(form.axes, [Term(number, atoms, term.out)], form.world)
            if len(distinct) == len(set(distinct)) and len(term.atoms) == 1 and term.atoms[0].power == 1:
                constant = term.coefficient.constant
                if constant is not None and constant > 0:
                    scale = term.coefficient.power(exponent)
                    atoms = (Atom(term.atoms[0].key, term.atoms[0].slots, exponent),)
                    return Form.of(form.axes, [Term(scale, atoms, term.out)], form.world)
    scale, inner = _without_content(form)
    axes = tuple(size for size in form.axes if size != ONE)
    key = Key("operator", "entries", axes, (), (inner,))
    return atom_form(key, form.axes, form.world, exponent).scaled(scale.power(exponent))


def _without_content(form: Form) -> tuple[Size, Form]:
    """A positive number and the form without it, so that multiples share one atom."""
    first = next(iter(form.terms.values()), None)
    number = None if first is None else first.coefficient.constant
    if number is None or abs(number) == 1:
        return ONE, form
    return Size.of(abs(number)), form.scaled(Size.of(1 / abs(number)))


def _broadcast_axes(left: tuple[Size, ...], right: tuple[Size, ...]) -> tuple[Size, ...]:
    longer, shorter = (left, right) if len(left) >= len(right) else (right, left)
    axes = list(longer)
    for back in range(1, len(shorter) + 1):
        a, b = longer[-back], shorter[-back]
        if a != b and ONE not in (a, b):
            raise NoForm(f"axes of {a} and {b} meet")
        axes[-back] = b if a == ONE else a
    return tuple(axes)


def _aligned(form: Form, axes: tuple[Size, ...]) -> Iterator[Term]:
    """The terms over more axes: the value repeats along those that it lacks."""
    missing = len(axes) - len(form.axes)
    for term in form.fresh():
        out = [slot_of(size) for size in axes[:missing]]
        for slot, own, wanted in zip(term.out, form.axes, axes[missing:], strict=True):
            out.append(slot if own == wanted else slot_of(wanted))
        yield Term(term.coefficient, term.atoms, tuple(out))


def joined(left: Term, right: Term, pairs: Sequence[tuple[Slot, int]], world: World) -> Term | None:
    """The product of two terms with all axes of both made one; None if they have no entry in common."""
    count = len(left.out)
    term = Term(left.coefficient * right.coefficient, left.atoms + right.atoms, left.out + right.out)
    for axis in range(count):
        by = unified(term.out[axis], term.out[count + axis], world.at_most)
        if by is None:
            return None
        term = term.replaced(by)
    return Term(term.coefficient, term.atoms, term.out[:count])


def contracted(left: Term, right: Term, axis: int, other: int, world: World) -> Term | None:
    """The product of two terms, summed over one axis of each."""
    count = len(left.out)
    term = Term(left.coefficient * right.coefficient, left.atoms + right.atoms, left.out + right.out)
    by = unified(term.out[axis], term.out[count + other], world.at_most)
    if by is None:
        return None
    term = term.replaced(by)
    kept = tuple(slot for place, slot in enumerate(term.out) if place not in (axis, count + other))
    return _counted(term, Term(term.coefficient, term.atoms, kept))
