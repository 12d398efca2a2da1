"""Why a value of one spec is none of another: a rank that is too large, a linear space that it is not in, a sign.

Each says of b what holds of all its values (read off its form), and shows a value of a for which it does not hold.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from specdsl.equivalence.exact import elimination
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.forms.form import Atom, Form, Term
from specdsl.equivalence.forms.index import ZERO, NoForm, Var
from specdsl.equivalence.forms.text import form_text
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.containment import contained
from specdsl.equivalence.sets.evaluate import PRIME, FieldPoint
from specdsl.equivalence.sets.image import RANGES, Image
from specdsl.equivalence.sets.patterns import with_renamed
from specdsl.equivalence.sets.rank import cut, opened_reflections
from specdsl.sizes import Environment

SEEDS = (0, 1)
MOST_ROWS = 400


@dataclass(frozen=True)
class Separation:
    """Why a has a value that b has not.

    Attributes:
        says: one sentence, with `(one)` for the spec that has the value and `(other)` for the one that has not.
        is_algebraic: whether b's closure lacks it too.
        sizes: where.
    """

    says: str
    is_algebraic: bool
    sizes: Environment

    def between(self, one: str, other: str) -> Separation:
        """The same with the specs by their names."""
        return Separation(self.says.replace("(one)", one).replace("(other)", other), self.is_algebraic, self.sizes)


def separated(a: Image, b: Image, sizes: Environment, larger: Sequence[Environment] = ()) -> Separation | None:
    """A reason why some value of a is none of b, at these sizes and at larger ones; None where none was found."""
    found = _separated_at(a, b, sizes)
    return found if found is None or all(_separated_at(a, b, one) is not None for one in larger) else None


def _separated_at(a: Image, b: Image, sizes: Environment) -> Separation | None:
    for reason in (_outside_span, _moved_gram, _too_large_rank, _wrong_sign):
        try:
            found = reason(a, b, sizes)
        except (NotExact, NoPoint, NoForm):
            continue
        if found is not None:
            return found
    return None


def shown(sizes: Environment) -> str:
    return ", ".join(f"{name} = {sizes[name]}" for name in ("n", "m", "r") if name in sizes)


# -------------------------------------------------------------------------------------------- linear spaces


def is_affine(image: Image) -> bool:
    """Whether the value is affine in all factors together, and these are whole linear spaces."""
    if not all(space.is_free for space in image.factors.values()):
        return False
    for _, term in image.terms():
        own = [atom for atom in term.atoms if atom.key.trained]
        if len(own) > 1 or any(atom.key.kind != "trained" or atom.power != 1 for atom in own):
            return False
    return True


def _outside_span(a: Image, b: Image, sizes: Environment) -> Separation | None:
    """All values together, and each of them alone, may be affine."""
    for targets in dict.fromkeys([tuple(b.forms), *((target,) for target in b.forms)]):
        one, other = _only(a, targets), _only(b, targets)
        found = _outside_affine(one, other, sizes) if is_affine(other) else None
        if found is not None:
            return found
    return None


def _only(image: Image, targets: tuple[str, ...]) -> Image:
    forms = {target: image.forms[target] for target in targets}
    read = frozenset().union(*(form.trained for form in forms.values()))
    return Image(forms, {name: space for name, space in image.factors.items() if name in read}, image.world)


def _outside_affine(a: Image, b: Image, sizes: Environment) -> Separation | None:
    for seed in SEEDS:
        point = FieldPoint(sizes, seed).over(a)
        wanted = _stacked(a, point) - _stacked(_constant(b), point)
        span = _span(b, point)
        if len(span) > MOST_ROWS:
            return None
        before = elimination.rank(span, PRIME) if len(span) else 0
        with_value = np.vstack([span, (wanted % PRIME).astype(np.int64)[None]])
        if elimination.rank(with_value, PRIME) > before:
            what = "the values" if len(b.forms) > 1 or "b'" not in b.forms else "the biases"
            says = f"{what} of (other) are an affine space of dimension {before} ({shown(sizes)}), and (one) leaves it"
            return Separation(says, True, sizes)
    return None


def _stacked(image: Image, point: FieldPoint) -> Any:
    return np.concatenate([point.value(form).ravel() for form in image.forms.values()])


def _constant(image: Image) -> Image:
    """What is left of the values with every factor at zero."""
    forms = {
        target: Form.of(form.axes, [term for term in form.terms.values() if not term.trained], form.world)
        for target, form in image.forms.items()
    }
    return Image(forms, {}, image.world)


def _span(image: Image, point: FieldPoint) -> Any:
    """A row for every entry of a factor: what it adds to the values."""
    rows = []
    zero = {name: values.zeros(space.axes, image.world) for name, space in image.factors.items()}
    for name, space in image.factors.items():
        others = {other: form for other, form in zero.items() if other != name}
        alone = Image(image.put(others), {name: space}, image.world)
        linear = Image(
            {target: Form.of(f.axes, [t for t in f.terms.values() if t.trained], f.world)
             for target, f in alone.forms.items()}, {name: space}, image.world)  # fmt: skip
        shape = point.shape(space.axes)
        token = space.key(name).token
        kept = point.known.pop(token, None)
        for place in np.ndindex(*shape):
            one = np.zeros(shape, dtype=object)
            one[place] = 1
            point.known[token] = one
            rows.append(_stacked(linear, point).astype(np.int64))
            if len(rows) > MOST_ROWS:
                raise NotExact("span", "too many factors for an exact evaluation")
        point.known.pop(token, None)
        if kept is not None:
            point.known[token] = kept
    return np.array(rows, dtype=np.int64).reshape(len(rows), len(_stacked(image, point)))


# ------------------------------------------------------------------------------------------------------ Gram


def _moved_gram(a: Image, b: Image, sizes: Environment) -> Separation | None:
    """`M.T@M` or `M@M.T` is the same for every value M of b, as for rotations of W, and not for one of a."""
    for target, form in b.forms.items():
        if len(form.axes) != 2:
            continue
        turned = form.transposed((1, 0))
        for text, own in ((f"{target}.T @ {target}", turned @ form), (f"{target} @ {target}.T", form @ turned)):
            if own.trained:
                continue
            point = FieldPoint(sizes, 0).over(a)
            value = point.value(a.forms[target])
            product = value.T.dot(value) if text.startswith(f"{target}.T") else value.dot(value.T)
            if ((product - point.value(own)) % PRIME).any():
                return Separation(f"{text} is {form_text(own)} for every value of (other), and not for one of (one) "
                                  f"({shown(sizes)})", True, sizes)  # fmt: skip
    return None


# ------------------------------------------------------------------------------------------------------ ranks


def _too_large_rank(a: Image, b: Image, sizes: Environment) -> Separation | None:
    for target, written in b.forms.items():
        form = opened_reflections(written)
        constant = Form.of(form.axes, [term for term in form.terms.values() if not term.trained], form.world)
        for quotient in (None, *_common_atoms(form)):
            for flattening, bound, text in _flattenings(form, quotient, sizes):
                for seed in SEEDS:
                    point = FieldPoint(sizes, seed).over(a).over(b)
                    found = _rank_of(a.forms[target], constant, quotient, flattening, point)
                    if found > bound:
                        what = text if quotient is None else f"{text}, entries divided by {quotient.key.name}"
                        return Separation(
                            f"{what} has rank at most {bound} for every value of (other), and {found} for one of (one) "
                            f"({shown(sizes)})", True, sizes,
                        )  # fmt: skip
    return None


def _common_atoms(form: Form) -> Iterator[Atom]:
    """Fixed atoms that multiply every term that is trained, entry by entry."""
    terms = [term for term in form.terms.values() if term.trained]
    if not terms:
        return
    first = terms[0]
    for atom in first.atoms:
        is_fixed = atom.key.kind in ("site", "frozen", "start", "draw") and atom.slots == first.out
        if is_fixed and all(
            any(o.key == atom.key and o.slots == t.out and o.power == 1 for o in t.atoms) for t in terms
        ):
            yield atom


Flattening = tuple[tuple[tuple[int, ...], ...], tuple[int, ...], tuple[int, ...]]
"""Sizes of the blocks of every axis, and which blocks, counted through, are the rows and which the columns."""


def _flattenings(form: Form, quotient: Atom | None, sizes: Environment) -> Iterator[tuple[Flattening, int, str]]:
    """Ways to read the value as a matrix, each with a bound of its rank over all factors."""
    terms = [_divided(term, quotient) for term in form.terms.values() if term.trained]
    if not terms:
        return
    blocks = {tuple(tuple(place.var.size.integer(sizes) for place in slot) for slot in term.out) for term in terms}
    if len(blocks) != 1 or any(place.offset != ZERO for term in terms for slot in term.out for place in slot):
        return
    (cut_into,) = blocks
    if any(math.prod(cut) != size.integer(sizes) for cut, size in zip(cut_into, form.axes, strict=True)):
        return  # what is added stands in a part of the value only
    count = sum(len(axis) for axis in cut_into)
    if not 2 <= count <= 6:
        return
    for size in range(1, count // 2 + 1):
        for rows in itertools.combinations(range(count), size):
            columns = tuple(place for place in range(count) if place not in rows)
            if 2 * size == count and 0 not in rows:
                continue
            bound = _bound(terms, rows, columns, form, sizes)
            flat = [length for axis in cut_into for length in axis]
            largest = min(int(np.prod([flat[p] for p in rows])), int(np.prod([flat[p] for p in columns])))
            if bound is not None and bound < largest:
                text = "what is added to the fixed part" if len(terms) < len(form.terms) else "the value"
                text += "" if count == 2 else f", flattened to {tuple(flat[p] for p in rows)} by the rest"
                yield (cut_into, rows, columns), bound, text


def _divided(term: Term, quotient: Atom | None) -> Term:
    if quotient is None:
        return term
    rest = list(term.atoms)
    rest.remove(next(a for a in rest if a.key == quotient.key and a.slots == term.out and a.power == 1))
    return Term(term.coefficient, tuple(rest), term.out)


def _bound(
    terms: list[Term], rows: tuple[int, ...], columns: tuple[int, ...], form: Form, sizes: Environment
) -> int | None:
    total = 0
    for term in terms:
        places = [place.var for slot in term.out for place in slot]
        left: set[Var] = {places[at] for at in rows}
        right: set[Var] = {places[at] for at in columns}
        found = cut(term, left, right, form)
        if found is None:
            return None
        total += found.integer(sizes)
    return total


def _rank_of(form: Form, constant: Form, quotient: Atom | None, flattening: Flattening, point: FieldPoint) -> int:
    value = (point.value(form) - point.value(constant)) % PRIME
    if quotient is not None:
        below = point.of_key(quotient.key)
        divided = [int(v) * pow(int(w), -1, PRIME) % PRIME for v, w in zip(value.ravel(), below.ravel(), strict=True)]
        value = np.array(divided, dtype=object).reshape(value.shape)
    cut_into, rows, columns = flattening
    split = value.reshape([length for axis in cut_into for length in axis])
    shape = split.shape
    matrix = np.transpose(split, (*rows, *columns)).reshape(int(np.prod([shape[p] for p in rows])), -1)
    return elimination.rank(matrix.astype(np.int64), PRIME)


# ------------------------------------------------------------------------------------------------------ signs


def _wrong_sign(a: Image, b: Image, sizes: Environment) -> Separation | None:
    """b is `L f R + C` with f in a range and nothing lost between L and R; a reaches it with f in a larger one."""
    for name, space in b.factors.items():
        if space.range not in _RANGE_TEXTS or len(b.factors) != 1 or not _is_linear_alone(b, name):
            continue
        for wider in ("real", *_RANGE_TEXTS):
            if space.range in RANGES[wider]:
                continue
            made = replace(space, range=wider)
            more = Image({t: with_renamed(f, name, name, made) for t, f in b.forms.items()}, {name: made}, b.world)
            if contained(more, a) is None or _lost(b, name, sizes):
                continue
            return Separation(
                f"(other) is a linear map, one to one, of a factor that is {_RANGE_TEXTS[space.range]}; (one) has its "
                f"value where that factor is {_RANGE_TEXTS.get(wider, 'any number')}", False, sizes,
            )  # fmt: skip
    return None


_RANGE_TEXTS = {"nonnegative": "not negative", "nonzero": "not zero", "positive": "positive", "unit": "between 0 and 1",
                "within one": "between -1 and 1", "at most one": "from -1 to 1"}  # fmt: skip


def _is_linear_alone(image: Image, name: str) -> bool:
    return all(use.atom is not None for use in image.uses(name)) and all(
        sum(1 for atom in term.atoms if atom.key.trained) <= 1 for _, term in image.terms()
    )


def _lost(b: Image, name: str, sizes: Environment) -> bool:
    """Whether two values of the factor give one value of the spec."""
    made = replace(b.factors[name], range="real")
    free = Image({t: with_renamed(f, name, name, made) for t, f in b.forms.items()}, {name: made}, b.world)
    span = _span(free, FieldPoint(sizes).over(free))
    return elimination.rank(span, PRIME) < len(span)


__all__ = ["Separation", "is_affine", "separated", "shown"]
