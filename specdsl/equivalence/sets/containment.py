"""Containment by certificate: values of b's factors, over those of a, that give a's value back exactly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from specdsl.equivalence.forms.canonical import canonical
from specdsl.equivalence.forms.form import Form, Key, Term
from specdsl.equivalence.forms.index import ONE, ZERO, NoForm, length
from specdsl.equivalence.forms.text import form_text
from specdsl.equivalence.sets.absorbing import MOST_PARTS, is_never_zero, parts_in_place
from specdsl.equivalence.sets.image import Image, Use, keys_of
from specdsl.equivalence.sets.matching import candidates
from specdsl.equivalence.sets.patterns import with_renamed
from specdsl.equivalence.sets.rank import rank_bound
from specdsl.sizes import Size

MOST_TRIED = 250
"""Values that are put in; pairs of published methods take fewer than 50."""
_MOST_KNOWN = 200


@dataclass(frozen=True)
class Certificate:
    """`b(values(a)) = a`, checked exactly.

    Attributes:
        values: every factor of b over the factors of a.
        reason: what else was used (a bound of a rank).
    """

    values: Mapping[str, Form]
    reason: str = ""

    def lines(self) -> tuple[str, ...]:
        return tuple(f"{name} := {form_text(form)}" for name, form in self.values.items()) + (
            (self.reason,) if self.reason else ()
        )


@dataclass(frozen=True)
class KnownRank:
    """What the expression of a says beside its form: the rank of `value - base` is at most `bound`."""

    target: str
    base: Form
    bound: Size


def contained(a: Image, b: Image, known: KnownRank | None = None) -> Certificate | None:
    """A certificate that every value of a is one of b, or None if none was found."""
    said = known and (known.target, known.base.token, known.bound)
    place = ("contained", a.token, b.token, said)
    if len(a.world.known) > _MOST_KNOWN:  # the world of a remembered image outlives a comparison
        a.world.known.clear()
    if place not in a.world.known:
        a.world.known[place] = _first(a, b, known)
    found: Certificate | None = a.world.known[place]
    return found


def _first(a: Image, b: Image, known: KnownRank | None) -> Certificate | None:
    for tried, certificate in enumerate(_certificates(a, b, known)):
        if certificate is not None:
            return certificate
        if tried > MOST_TRIED:
            return None
    return None


def _certificates(a: Image, b: Image, known: KnownRank | None) -> Iterator[Certificate | None]:
    """Certificates, and None for everything that was tried in vain."""
    addends: dict[str, list[str]] = {}
    for name in b.factors:
        if _is_addend(b, name):
            addends.setdefault(b.uses(name)[0].target, []).append(name)
    for several in itertools.product(*addends.values()):
        if several:
            others = [other for other in b.factors if other not in several]
            for chosen in _assignments(a, b, others):
                yield _solved(a, b, several, chosen.values, known) if chosen else None
    for chosen in _assignments(a, b, list(b.factors)):
        yield _checked(a, b, chosen.values) if chosen else None


@dataclass(frozen=True)
class _Chosen:
    values: dict[str, Form]


def _assignments(a: Image, b: Image, names: list[str]) -> Iterator[_Chosen | None]:
    """All ways to give the factors values, and None for every step on the way.

    Where a value makes other factors idle, there is one way for all of theirs.
    """
    options = {
        name: [form for _, form in (*candidates(a, b.factors[name]), *_remainders(a, b, name), *_in_places(a, b, name))]
        for name in names
    }
    if not all(options.values()):
        return
    forms = b.forms
    for name in names:  # the names of a's factors come in
        forms = {target: with_renamed(form, name, _own(name), b.factors[name]) for target, form in forms.items()}
    outermost = sorted(names, key=lambda name: all(use.atom is None for use in b.uses(name)))
    functions = frozenset(key.token for key in keys_of(a.forms) if key.kind == "operator")
    for chosen in _branches(forms, outermost, options, functions):
        yield chosen and _Chosen({name: chosen.values.get(name, options[name][0]) for name in names})


def _branches(
    forms: Mapping[str, Form], names: Sequence[str], options: Mapping[str, Sequence[Form]], functions: frozenset[str]
) -> Iterator[_Chosen | None]:
    """Values for the names, one after the other; not where a function has come about that a has not."""
    if any(_is_strange(atom.key, names, functions) for form in forms.values() for term in form.terms.values()
           for atom in term.atoms):  # fmt: skip
        return
    read = frozenset().union(*(form.trained for form in forms.values()))
    name = next((one for one in names if _own(one) in read), None)
    if name is None:
        yield _Chosen({})
        return
    rest = [one for one in names if one != name]
    for value in options[name]:
        try:
            there = {target: form.put({_own(name): value}) for target, form in forms.items()}
        except NoForm:
            continue
        yield None
        for chosen in _branches(there, rest, options, functions):
            yield chosen and _Chosen({name: value, **chosen.values})


def _is_strange(key: Key, names: Sequence[str], functions: frozenset[str]) -> bool:
    """Whether a function's arguments are settled, and a has none such."""
    is_settled = key.kind == "operator" and not any(_own(name) in key.trained for name in names)
    return is_settled and key.token not in functions


def _own(name: str) -> str:
    return f"{name} of b"


def _remainders(a: Image, b: Image, name: str) -> Iterator[tuple[str, Form]]:
    """What a value of a has beside the fixed part of b, for a factor of its shape, as the X of `W + X + X.T`."""
    space = b.factors[name]
    for target, form in b.forms.items():
        if name not in form.trained or space.axes != form.axes or not space.is_free:
            continue
        fixed = Form.of(form.axes, [term for term in form.terms.values() if not term.trained], form.world)
        try:
            value = a.forms[target] - fixed
            made = form.put({name: value}) - fixed
        except NoForm:
            continue
        number = _multiple(made, value)
        if number is not None and "x" not in value.reads:
            yield "the remainder", value.scaled(ONE / number)


def _in_places(a: Image, b: Image, name: str) -> Iterator[tuple[str, Form]]:
    """What stands in a where the factor stands in b, beside the same rest: `R@V` for `U@R@V` and `U@B`."""
    space, uses = b.factors[name], b.uses(name)
    if len(uses) != 1 or uses[0].atom is None or not uses[0].rest or not space.is_free:
        return
    (use,) = uses
    assert use.atom is not None
    rest = Term(ONE, tuple(use.rest), (*use.term.out, *use.atom.slots))
    for term in a.forms[use.target].terms.values():
        if term.trained and len(use.rest) < len(term.atoms) <= MOST_PARTS:
            for value in parts_in_place(term, len(use.rest), canonical(rest)[0], space, a.world):
                if "x" not in value.reads:
                    yield "what stands there", value.scaled(term.coefficient / use.term.coefficient)


def _multiple(one: Form, other: Form) -> Size | None:
    """The number by which one form is the other."""
    shared = next((text for text in one.terms if text in other.terms), None)
    if shared is None:
        return None
    number = one.terms[shared].coefficient / other.terms[shared].coefficient
    return number if number.constant is not None and one == other.scaled(number) else None


def _checked(a: Image, b: Image, chosen: Mapping[str, Form]) -> Certificate | None:
    try:
        made = b.put(chosen)
    except NoForm:
        return None
    if any(made[target] != a.forms[target] for target in made):
        return None
    return Certificate(dict(chosen))


def _is_addend(b: Image, name: str) -> bool:
    """Whether the factor stands alone as a summand of the only value that reads it."""
    uses = b.uses(name)
    if len(uses) != 1 or uses[0].atom is None or b.factors[name].orthonormal:
        return False
    use = uses[0]
    assert use.atom is not None
    if not is_never_zero(use.term.coefficient, b.world):
        return False
    slots = tuple(slot for slot in use.term.out if slot)
    if b.factors[name].axes not in (
        kept := tuple(size for size in b.forms[use.target].axes if size != ONE),
        kept[::-1],
    ):
        return False  # it fills a part of the value only
    plain = use.atom.slots == slots or use.atom.slots == slots[::-1]
    flat = all(len(slot) == 1 and slot[0].offset == ZERO for slot in slots)
    return not use.rest and plain and flat and len({slot[0].var for slot in slots}) == len(slots)


def _solved(
    a: Image, b: Image, names: Sequence[str], chosen: Mapping[str, Form], known: KnownRank | None
) -> Certificate | None:
    """The factors that remain, one for each value, are what is missing; whether they may be is asked of each."""
    try:
        rest = {target: form.put({**chosen}) for target, form in b.forms.items()}
        for name in names:
            rest = {target: _without(form, name) for target, form in rest.items()}
    except NoForm:
        return None
    found = dict(chosen)
    reasons = []
    solved = set()
    for name in names:
        (use,) = b.uses(name)
        solved.add(use.target)
        try:
            value = (a.forms[use.target] - rest[use.target]).scaled(ONE / use.term.coefficient)
        except NoForm:
            return None
        value = _in_place(value, use)
        reason = _why_allowed(a, b, name, use.target, value, rest[use.target], known)
        if reason is None:
            return None
        found[name] = value
        reasons += [reason] if reason else []
    if any(form != a.forms[target] for target, form in rest.items() if target not in solved):
        return None
    return Certificate(found, "; ".join(reasons))


def _in_place(value: Form, use: Use) -> Form:
    """The value with the factor's axes."""
    assert use.atom is not None
    kept = [axis for axis, size in enumerate(value.axes) if size != ONE]
    if len(kept) != len(value.axes):
        terms = [Term(t.coefficient, t.atoms, tuple(t.out[axis] for axis in kept)) for t in value.terms.values()]
        value = Form.of([value.axes[axis] for axis in kept], terms, value.world)
    if use.atom.slots != tuple(slot for slot in use.term.out if slot):
        value = value.transposed((1, 0))
    return value


def _why_allowed(
    a: Image, b: Image, name: str, target: str, value: Form, rest: Form, known: KnownRank | None
) -> str | None:
    """What else has to be said so that a factor may have a value; None where it may not."""
    space = b.factors[name]
    if "x" in value.reads:
        return None
    if space.range != "real" and not _is_within(value, space.range, a):
        return None
    if space.rank is None:
        return ""
    bound = rank_bound(value)
    if known is not None and known.target == target and rest == known.base:
        bound = known.bound if bound is None or b.world.at_most(known.bound, bound) else bound
    if bound is None or not b.world.at_most(bound, space.rank):
        return None
    return f"the rank of {name} is at most {bound}"


def _without(form: Form, name: str) -> Form:
    return Form.of(form.axes, [term for term in form.terms.values() if name not in term.trained], form.world)


def _is_whole(value: Form) -> bool:
    """Whether the only term of a value fills it: no entry is zero because nothing stands there."""
    (term,) = value.terms.values()
    places = [place for slot in term.out for place in slot]
    return len({place.var for place in places}) == len(places) and all(
        length(slot) == size and all(place.offset == ZERO for place in slot)
        for slot, size in zip(term.out, value.axes, strict=True)
    )


def _is_within(value: Form, wanted: str, a: Image) -> bool:
    """Whether a value is a factor of a (or a product of such) whose entries are in range."""
    from specdsl.equivalence.sets.image import RANGES

    if len(value.terms) != 1:
        return False
    (term,) = value.terms.values()
    number = term.coefficient.constant
    if number is None or number <= 0 or len(term.atoms) != 1 or term.atoms[0].key.kind != "trained":
        return False
    if term.atoms[0].power != 1 or not (_is_whole(value) or wanted in ("nonnegative", "within one", "at most one")):
        return False
    return wanted in RANGES.get(a.factors[term.atoms[0].key.name].range, frozenset()) and (
        number == 1 or wanted in ("nonnegative", "positive")
    )
