"""Changes of parametrisation that keep the reachable set: each merges, absorbs or replaces factors.

Every rule proposes old factors by new ones (`down`) and new by old (`up`). What is accepted is checked exactly: the new
forms are the old ones with `down` put in, so they reach nothing more; and with `up` put in they are the old forms
again, so they reach nothing less. Where `down` needs a theorem (a matrix of rank r is a product), the rule names it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction

from specdsl.equivalence.forms.canonical import canonical
from specdsl.equivalence.forms.form import Atom, Form, Key, Term, World, atom_form
from specdsl.equivalence.forms.index import ONE, ZERO, NoForm, Slot, Var
from specdsl.equivalence.forms.text import form_text
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.image import Image, Space, Step, Use, keys_of
from specdsl.sizes import Size

MOST_STEPS = 40
Rule = Callable[[Image], Iterator["Proposal"]]


class Proposal:
    """A change that a rule proposes.

    Attributes:
        rule: its name.
        down: old factors over new ones; those that stay are left out. None where a theorem says that they exist, and
            then `forms` are the new forms.
        up: new factors over old ones.
        spaces: of the new factors.
        gone: names of the old factors that are replaced.
    """

    def __init__(
        self, rule: str, gone: tuple[str, ...], spaces: Mapping[str, Space], down: Mapping[str, Form] | None,
        up: Mapping[str, Form], forms: Mapping[str, Form] | None = None, condition: str = "",
        down_text: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.rule = rule
        self.gone = gone
        self.spaces = dict(spaces)
        self.down = down
        self.up = up
        self.forms = forms
        self.condition = condition
        self.down_text = down_text


def reduced(image: Image) -> Image:
    """The parametrisation that no rule makes simpler."""
    for _ in range(MOST_STEPS):
        for rule in RULES:
            after = _first(image, rule)
            if after is not None:
                image = after
                break
        else:
            return image
    return image


def _first(image: Image, rule: Rule) -> Image | None:
    for proposal in rule(image):
        try:
            after = accepted(image, proposal)
        except NoForm:
            continue
        if after is not None:
            return after
    return None


def accepted(image: Image, proposal: Proposal) -> Image | None:
    """The image after a proposal, if the exact check says that it is the same and simpler."""
    forms = proposal.forms if proposal.down is None else image.put(proposal.down)
    assert forms is not None
    factors = {name: space for name, space in image.factors.items() if name not in proposal.gone} | proposal.spaces
    down = proposal.down_text or {name: form_text(form) for name, form in (proposal.down or {}).items()}
    step = Step(proposal.rule, down, {name: form_text(form) for name, form in proposal.up.items()}, proposal.condition)
    after = image.over(forms, factors, step)
    if after.complexity >= image.complexity:
        return None
    return after if all(form.put(proposal.up) == image.forms[name] for name, form in forms.items()) else None


# ------------------------------------------------------------------------------------------ helpers of the rules


def _free(image: Image) -> Iterator[tuple[str, Space, list[Use]]]:
    """Free factors that every term reads once at most, and never inside an operator."""
    for name, space in image.factors.items():
        uses = image.uses(name)
        if space.is_free and uses and all(use.atom is not None for use in uses):
            yield name, space, uses


def _linear(image: Image) -> Iterator[tuple[str, Space, list[Use]]]:
    """Factors, free or of bounded rank, that every term reads once at most, and never inside an operator."""
    for name, space in image.factors.items():
        uses = image.uses(name)
        if space.range == "real" and not space.orthonormal and uses and all(use.atom is not None for use in uses):
            yield name, space, uses


Pattern = tuple[Key, tuple[tuple[int, ...], ...], Fraction]


def _slot_numbers(slots: tuple[Slot, ...], of: Mapping[Var, int]) -> tuple[tuple[int, ...], ...] | None:
    """Slots in terms of numbered variables; None where one is not numbered or moved."""
    result = []
    for slot in slots:
        if any(place.var not in of or place.offset != ZERO for place in slot):
            return None
        result.append(tuple(of[place.var] for place in slot))
    return tuple(result)


def _numbered(atom: Atom) -> dict[Var, int] | None:
    """The variables of an atom by axis; None unless every axis is one whole variable of its own."""
    numbers: dict[Var, int] = {}
    for axis, slot in enumerate(atom.slots):
        if (
            len(slot) != 1
            or slot[0].offset != ZERO
            or slot[0].var in numbers
            or slot[0].var.size != atom.key.axes[axis]
        ):
            return None
        numbers[slot[0].var] = axis
    return numbers


def _companions(use: Use) -> dict[Pattern, Atom]:
    """Atoms of a term whose indices are all among those of the factor's atom."""
    assert use.atom is not None
    numbers = _numbered(use.atom)
    if numbers is None:
        return {}
    found: dict[Pattern, Atom] = {}
    for atom in use.rest:
        slots = _slot_numbers(atom.slots, numbers)
        if slots is not None:
            found[(atom.key, slots, atom.power)] = atom
    return found


def _common(uses: list[Use]) -> dict[Pattern, Atom]:
    shared = _companions(uses[0])
    for use in uses[1:]:
        other = _companions(use)
        shared = {pattern: atom for pattern, atom in shared.items() if pattern in other}
    return shared


def _over_axes(pattern: Pattern, space: Space, world: World, power: Fraction) -> Form:
    """A companion as a value with the factor's axes."""
    key, slots, own = pattern
    from specdsl.equivalence.forms.index import slot_of

    whole = [slot_of(size) for size in space.axes]
    atom = Atom(key, tuple(tuple(place for axis in slot for place in whole[axis]) for slot in slots), own * power)
    return Form.of(space.axes, [Term(ONE, (atom,), tuple(whole))], world)


# --------------------------------------------------------------------------------------------------------- rules


def unit_coefficient(image: Image) -> Iterator[Proposal]:
    """`c*A@B` is `A@B`: a number beside a free factor goes into it."""
    for name, space, uses in _linear(image):
        numbers = {use.term.coefficient for use in uses}
        if len(numbers) == 1 and numbers != {ONE}:
            (number,) = numbers
            if not is_never_zero(number, image.world):
                continue
            new = image.fresh_name(name)
            own, old = (values.factor(one, space, image.world) for one in (new, name))
            yield Proposal(
                "a number goes into a free factor", (name,), {new: space},
                {name: own.scaled(ONE / number)}, {new: old.scaled(number)},
            )  # fmt: skip


def is_never_zero(number: Size, world: World) -> bool:
    """Whether a number made of sizes is not zero for any of them: a product of sizes is not, a difference may be."""
    return len(number.terms) == 1 or world.at_most(ONE, number) or world.at_most(number, -ONE)


def companion(image: Image) -> Iterator[Proposal]:
    """`d .* S` is `t` where no entry of S is zero: what always stands beside a free factor goes into it."""
    for name, space, uses in _linear(image):
        for pattern in _common(uses):
            key, _, power = pattern
            if space.rank is not None and len(key.axes) > 1:
                continue
            condition = never_zero(key, power)
            if condition is None or name in key.trained or "x" in key.reads:
                continue
            new = image.fresh_name(name)
            own, old = (values.factor(one, space, image.world) for one in (new, name))
            beside = _over_axes(pattern, space, image.world, Fraction(1))
            against = _over_axes(pattern, space, image.world, Fraction(-1))
            yield Proposal(
                "what stands beside a free factor goes into it", (name,), {new: space},
                {name: own * against}, {new: old * beside}, condition=condition,
            )  # fmt: skip


CONTINUOUS = ("kaiming", "xavier", "normal", "uniform", "orthogonal")


def is_continuous(key: Key) -> bool:
    """Whether it is a random value that hits no given number, and no given rank."""
    return key.kind in ("frozen", "start", "draw") and key.options[:1] != () and key.options[0] in CONTINUOUS


def never_zero(key: Key, power: Fraction) -> str | None:
    """What has to hold so that an atom has no entry zero or infinite; None where that is not to be expected."""
    from specdsl.equivalence.forms.text import key_text

    if key.kind == "part" and key.name == "S":
        return "no singular value of W is zero"
    if key.kind == "site" and key.name in ("W", "b"):
        return f"no entry of {key.name} is zero"
    if is_continuous(key):
        return f"no entry of {key_text(key)} is zero"
    if key.name == "entries" and power.denominator == 2 and (power < 0 or not key.trained):
        inner = key_text(key).removeprefix("(").removesuffix(")")
        return f"the norms in {inner} are not zero"
    if key.kind == "operator" and key.name == "exp":
        return ""
    return None


def shift(image: Image) -> Iterator[Proposal]:
    """`S + d` is `s`: what is added to a free factor goes into it."""
    for name, space in image.factors.items():
        if not space.is_free:
            continue
        for constant in itertools.chain(_addends(image, name, space), _networks(image, name, space)):
            new = image.fresh_name(name)
            own, old = (values.factor(one, space, image.world) for one in (new, name))
            yield Proposal(
                "what is added to a free factor goes into it", (name,), {new: space},
                {name: own - constant}, {new: old + constant},
            )  # fmt: skip


def _addends(image: Image, name: str, space: Space) -> Iterator[Form]:
    numbers = _coefficients(image, name)
    seen: set[str] = set()
    for key in keys_of(image.forms):
        if key.token in seen or key.axes != space.axes or name in key.trained or "x" in key.reads:
            continue
        seen.add(key.token)
        orders = [(0, 1), (1, 0)] if len(space.axes) == 2 and space.axes[0] == space.axes[1] else [None]
        for order in orders:
            value = atom_form(key, space.axes, image.world)
            value = value if order in (None, (0, 1)) else value.transposed(order)
            for number in numbers:
                yield value.scaled(number)
    for number in numbers:
        yield values.ones(space.axes, image.world).scaled(number)
        if len(space.axes) == 2 and space.axes[0] == space.axes[1]:
            yield values.eye(*space.axes, image.world).scaled(number)


MOST_PARTS = 6


def _networks(image: Image, name: str, space: Space) -> Iterator[Form]:
    """What stands in another term in the factor's place, beside the same rest: `C` for `A@X + C@X`."""
    for use in image.uses(name):
        numbers = None if use.atom is None else _numbered(use.atom)
        if use.atom is None or numbers is None:
            continue
        rest = Term(ONE, tuple(use.rest), (*use.term.out, *use.atom.slots))
        wanted = canonical(rest)[0]
        for target, term in image.terms():
            if target != use.target or name in term.trained or not len(use.rest) < len(term.atoms) <= MOST_PARTS:
                continue
            for value in _parts_in_place(term, len(use.rest), wanted, space, image.world):
                yield value.scaled(term.coefficient / use.term.coefficient)


def _parts_in_place(term: Term, beside: int, wanted: str, space: Space, world: World) -> Iterator[Form]:
    """Parts of a term that leave a rest with the wanted text, with their open indices as axes."""
    for kept in itertools.combinations(range(len(term.atoms)), beside):
        rest = [term.atoms[place] for place in kept]
        part = [atom for place, atom in enumerate(term.atoms) if place not in kept]
        outside = {var for atom in rest for var in atom.vars} | term.open_vars
        open_slots = list(dict.fromkeys(
            slot for atom in part for slot in atom.slots if any(place.var in outside for place in slot)))  # fmt: skip
        if len(open_slots) != len(space.axes) or any(len(slot) != 1 or slot[0].offset != ZERO for slot in open_slots):
            continue
        for slots in itertools.permutations(open_slots):
            if tuple(slot[0].var.size for slot in slots) != space.axes:
                continue
            if canonical(Term(ONE, tuple(rest), (*term.out, *slots)))[0] == wanted:
                yield Form.of(space.axes, [Term(ONE, tuple(part), slots)], world).fresh_copy()


def _coefficients(image: Image, name: str) -> list[Size]:
    """Ratios of the coefficients that occur, for what is added to a factor."""
    own = {term.coefficient for _, term in image.terms() if name in term.trained}
    others = {term.coefficient for _, term in image.terms()}
    for key in keys_of(image.forms):
        for argument in key.arguments:
            own |= {term.coefficient for term in argument.terms.values() if name in term.trained}
            others |= {term.coefficient for term in argument.terms.values()}
    found = {ONE, -ONE}
    for a in own:
        for b in others:
            if len(a.terms) == 1:
                found.add(b / a)
    return sorted(found, key=str)[:12]


def merged_beside(image: Image) -> Iterator[Proposal]:
    """`A@diag(d)` is `A`: a free factor whose indices all belong to another one goes into it."""
    for name, space, uses in _linear(image):
        for pattern in _common(uses):
            key, _, power = pattern
            other = key.name
            if space.rank is not None and len(key.axes) > 1:
                continue
            if key.kind != "trained" or power != 1 or other == name or other not in image.factors:
                continue
            theirs = image.uses(other)
            if not image.factors[other].is_free or any(use.atom is None for use in theirs) or len(theirs) != len(uses):
                continue
            new = image.fresh_name(name)
            own, old = (values.factor(one, space, image.world) for one in (new, name))
            beside = _over_axes(pattern, space, image.world, Fraction(1))
            one = values.ones(image.factors[other].axes, image.world)
            yield Proposal(
                "two free factors that stand side by side are one", (name, other), {new: space},
                {name: own, other: one}, {new: old * beside},
            )  # fmt: skip


def merged_product(image: Image) -> Iterator[Proposal]:
    """`A@G` is `A` where the inner size is no bottleneck: one of two free factors becomes an identity."""
    free = list(_free(image))
    for name, space, uses in free:
        for other, their_space, theirs in free:
            if other == name or len(uses) != len(theirs):
                continue
            axes = _inner_axes(uses, theirs)
            if axes is None:
                continue
            mine, their = axes
            inner, outer = space.axes[mine], their_space.axes[1 - their]
            if len(their_space.axes) != 2 or not image.world.at_most(outer, inner):
                continue
            new = image.fresh_name(name)
            made = Space(tuple(outer if axis == mine else size for axis, size in enumerate(space.axes)))
            own = values.factor(new, made, image.world)
            own = own if inner == outer else values.padded(new, made, mine, inner, image.world)
            sizes = (inner, outer) if their == 0 else (outer, inner)
            unit = values.eye(*sizes, image.world)
            up = _multiplied(name, space, mine, other, their_space, their, image.world)
            yield Proposal(
                "a product of free factors with room inside is free", (name, other), {new: made},
                {name: own, other: unit}, {new: up},
                condition="" if inner == outer else f"{outer} <= {inner}",
            )  # fmt: skip


def _multiplied(name: str, space: Space, mine: int, other: str, their_space: Space, their: int, world: World) -> Form:
    """The factor with one axis multiplied by a matrix."""
    from specdsl.equivalence.forms.arrays import FormArrays

    letters = "abcdefg"[: len(space.axes)]
    matrix = letters[mine] + "z" if their == 0 else "z" + letters[mine]
    out = letters.replace(letters[mine], "z")
    return FormArrays(world).einsum(
        f"{letters},{matrix}->{out}", values.factor(name, space, world), values.factor(other, their_space, world)
    )


def _inner_axes(uses: list[Use], theirs: list[Use]) -> tuple[int, int] | None:
    """The axes over which two factors are always multiplied, and over which nothing else runs."""
    found: set[tuple[int, int]] = set()
    by_term = {id(use.term): use for use in theirs}
    for use in uses:
        partner = by_term.get(id(use.term))
        if partner is None or use.atom is None or partner.atom is None:
            return None
        mine, their = _numbered(use.atom), _numbered(partner.atom)
        if mine is None or their is None:
            return None
        shared = [var for var in mine if var in their]
        if len(shared) != 1 or _count(use.term, shared[0]) != 2:
            return None
        found.add((mine[shared[0]], their[shared[0]]))
    return found.pop() if len(found) == 1 else None


def _count(term: Term, var: Var) -> int:
    slots = (*term.out, *(slot for atom in term.atoms for slot in atom.slots))
    return sum(place.var is var for slot in slots for place in slot)


def low_rank(image: Image) -> Iterator[Proposal]:
    """`A@B` runs over all matrices of rank at most r, and over nothing else."""
    free = [entry for entry in _free(image) if len(entry[1].axes) == 2]
    for place, (name, space, uses) in enumerate(free):
        for other, their_space, theirs in free[place + 1 :]:
            axes = _inner_axes(uses, theirs) if len(uses) == len(theirs) else None
            if axes is None:
                continue
            mine, their = axes
            rows, columns, inner = space.axes[1 - mine], their_space.axes[1 - their], space.axes[mine]
            new = image.fresh_name("T")
            made = Space((rows, columns), rank=inner)
            up = _multiplied(name, space, mine, other, their_space, their, image.world)
            up = up if mine == 1 else up.transposed((1, 0))
            forms = {target: _with_product(form, name, mine, other, their, new, made)
                     for target, form in image.forms.items()}  # fmt: skip
            text = {name: f"the left factor of {new}", other: f"the right factor of {new}"}
            yield Proposal(
                f"every matrix of rank at most {inner} is a product of {rows} x {inner} and {inner} x {columns}",
                (name, other), {new: made}, None, {new: up}, forms, down_text=text,
            )  # fmt: skip


def _with_product(form: Form, name: str, mine: int, other: str, their: int, new: str, space: Space) -> Form:
    """Every product of two factors replaced by one factor with the axes that stay open."""
    terms = []
    for term in form.terms.values():
        first = next((a for a in term.atoms if a.key.kind == "trained" and a.key.name == name), None)
        second = next((a for a in term.atoms if a.key.kind == "trained" and a.key.name == other), None)
        if first is None or second is None:
            terms.append(term)
            continue
        atom = Atom(space.key(new), (first.slots[1 - mine], second.slots[1 - their]))
        rest = tuple(a for a in term.atoms if a is not first and a is not second)
        terms.append(Term(term.coefficient, (*rest, atom), term.out))
    return Form.of(form.axes, terms, form.world)


def full_rank(image: Image) -> Iterator[Proposal]:
    """A rank that is no bound: all matrices."""
    for name, space in image.factors.items():
        if space.rank is None or not any(image.world.at_most(size, space.rank) for size in space.axes):
            continue
        new, made = image.fresh_name(name), Space(space.axes)
        forms = {target: _renamed(form, name, new, made) for target, form in image.forms.items()}
        yield Proposal(
            f"a rank of at most {space.rank} is no bound", (name,), {new: made}, None,
            {new: values.factor(name, space, image.world)}, forms,
            condition=f"{space.rank} >= {min(space.axes, key=str)}" if space.rank not in space.axes else "",
            down_text={name: new},
        )  # fmt: skip


def _renamed(form: Form, name: str, new: str, space: Space) -> Form:
    return form.mapped(lambda key: space.key(new) if key.kind == "trained" and key.name == name else key)


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
                    target: _renamed(form.put({other: values.zeros(their_space.axes, image.world)}), name, new, made)
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


def surjective(image: Image) -> Iterator[Proposal]:
    """`W@C` is free where W has full row rank: a fixed matrix in front of a free one goes into it."""
    for name, space in image.factors.items():
        uses = image.uses(name)
        if space.range != "real" or space.orthonormal or any(use.atom is None for use in uses):
            continue
        if space.rank is not None and len(space.axes) != 2:
            continue
        for axis in range(len(space.axes)):
            found = _matrix_at(uses, axis, image)
            if found is None:
                continue
            key, open_axis, condition = found
            size = key.axes[open_axis]
            new = image.fresh_name(name)
            made = Space(tuple(size if a == axis else s for a, s in enumerate(space.axes)), rank=space.rank)
            forms = {target: _absorbed(form, name, axis, key, open_axis, new, made)
                     for target, form in image.forms.items()}  # fmt: skip
            letters = "abcdefg"[: len(space.axes)]
            matrix = "z" + letters[axis] if open_axis == 0 else letters[axis] + "z"
            from specdsl.equivalence.forms.arrays import FormArrays
            from specdsl.equivalence.forms.text import key_text

            up = FormArrays(image.world).einsum(
                f"{matrix},{letters}->{letters.replace(letters[axis], 'z')}",
                atom_form(key, key.axes, image.world), values.factor(name, space, image.world),
            )  # fmt: skip
            yield Proposal(
                "a fixed matrix of full rank in front of a factor goes into it", (name,), {new: made}, None, {new: up},
                forms, condition=condition, down_text={name: f"pinv({key_text(key)}) times {new}"},
            )  # fmt: skip


def _matrix_at(uses: list[Use], axis: int, image: Image) -> tuple[Key, int, str] | None:
    """The fixed matrix that always multiplies an axis of a factor and can be undone, and its other axis."""
    found: set[tuple[Key, int]] = set()
    for use in uses:
        assert use.atom is not None
        numbers = _numbered(use.atom)
        if numbers is None:
            return None
        var = next(var for var, place in numbers.items() if place == axis)
        if _count(use.term, var) != 2:
            return None
        partner = next((a for a in use.rest if any(p.var is var for s in a.slots for p in s)), None)
        if partner is None or partner.power != 1 or len(partner.slots) != 2 or partner.key.trained:
            return None
        both = _numbered(partner)
        if both is None:
            return None
        found.add((partner.key, 1 - both[var]))
    if len(found) != 1:
        return None
    key, open_axis = found.pop()
    condition = full_rank_over(key, open_axis, image.world)
    return None if condition is None else (key, open_axis, condition)


def full_rank_over(key: Key, open_axis: int, world: World) -> str | None:
    """What has to hold so that a fixed matrix reaches everything along an axis; None where it does not."""
    from specdsl.equivalence.forms.text import key_text

    size, inner = key.axes[open_axis], key.axes[1 - open_axis]
    if "x" in key.reads or key.trained or not world.at_most(size, inner):
        return None
    if key.orthonormal or key.name == "inverse":
        return "" if (1 - open_axis) in key.orthonormal or key.name == "inverse" or size == inner else None
    if key.kind == "site" or is_continuous(key):
        return f"{key_text(key)} has full {'row' if open_axis == 0 else 'column'} rank"
    return None


def _absorbed(form: Form, name: str, axis: int, key: Key, open_axis: int, new: str, space: Space) -> Form:
    terms = []
    for term in form.terms.values():
        own = next((a for a in term.atoms if a.key.kind == "trained" and a.key.name == name), None)
        if own is None:
            terms.append(term)
            continue
        var = own.slots[axis][0].var
        partner = next(a for a in term.atoms if a is not own and a.key == key and any(
            place.var is var for slot in a.slots for place in slot))  # fmt: skip
        slots = tuple(partner.slots[open_axis] if place == axis else slot for place, slot in enumerate(own.slots))
        rest = tuple(a for a in term.atoms if a is not own and a is not partner)
        terms.append(Term(term.coefficient, (*rest, Atom(space.key(new), slots)), term.out))
    return Form.of(form.axes, terms, form.world)


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
            forms = {target: _renamed(form, name, new, made) for target, form in image.forms.items()}
            yield Proposal(
                partner, (name,), {new: made}, None, {new: values.factor(name, space, image.world)}, forms,
                condition=f"{space.axes[inner]} <= {space.axes[1 - inner]}",
                down_text={name: f"the orthonormal part of {new}"},
            )  # fmt: skip


def _free_beside(image: Image, name: str, uses: list[Use], inner: int) -> Iterator[str]:
    """The theorems by which an orthonormal factor may as well be free, because of what it multiplies."""
    atoms = [use.atom for use in uses if use.atom is not None]
    numbers = [_numbered(atom) for atom in atoms]
    if any(one is None for one in numbers):
        return
    inner_vars = [next(v for v, a in (one or {}).items() if a == inner) for one in numbers]
    beside: list[set[str]] = []
    axes: set[tuple[tuple[str, int], ...]] = set()
    for use, var in zip(uses, inner_vars, strict=True):
        if any(place.var is var for slot in use.term.out for place in slot):
            return
        others = [a for a in use.rest if any(place.var is var for slot in a.slots for place in slot)]
        if not others or any(a.key.kind != "trained" or a.power != 1 for a in others):
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


SURJECTIONS = {"relu": "nonnegative", "abs": "nonnegative", "exp": "positive", "sigmoid": "unit",
               "tanh": "within one", "sin": "at most one", "cos": "at most one"}  # fmt: skip


def entrywise(image: Image) -> Iterator[Proposal]:
    """`relu(d)` is any number from 0 on: a function of a free factor runs over the function's range."""
    for key in set(keys_of(image.forms)):
        if key.name not in SURJECTIONS or key.kind != "operator" or len(key.arguments) != 1 or key.options:
            continue
        (argument,) = key.arguments
        if len(argument.terms) != 1:
            continue
        (term,) = argument.terms.values()
        if len(term.atoms) != 1 or term.coefficient != ONE or term.atoms[0].power != 1:
            continue
        atom = term.atoms[0]
        if (
            atom.key.kind != "trained"
            or atom.slots != tuple(s for s in term.out if s)
            or len(set(atom.slots)) < len(atom.slots)
        ):
            continue
        name = atom.key.name
        if not image.factors[name].is_free:
            continue
        new = image.fresh_name(name)
        made = Space(key.axes, SURJECTIONS[key.name])
        forms = _substituted(image, key, values.factor(new, made, image.world))
        if any(name in form.trained for form in forms.values()):
            continue
        up = atom_form(key, key.axes, image.world)
        yield Proposal(
            f"{key.name} of a free factor runs over all {made.range} numbers", (name,), {new: made}, None, {new: up},
            forms, down_text={name: f"a value with {key.name}({name}) = {new}"},
        )  # fmt: skip


def rotations(image: Image) -> Iterator[Proposal]:
    """`inverse(eye + S)` for any skew S is `(eye + Q)/2` for any Cayley transform Q."""
    for key in _keys(image, "inverse"):
        (argument,) = key.arguments
        name = _any_skew(image, argument)
        if name is None or len(key.axes) not in (2, 3):
            continue
        new = image.fresh_name("Q")
        made = Space(key.axes, "rotations", orthonormal=frozenset({0, 1}) if len(key.axes) == 2 else frozenset())
        one = values.factor(new, made, image.world)
        half = (one + _unit(key.axes, image.world)).scaled(ONE / 2)
        forms = _substituted(image, key, half)
        if any(name in form.trained for form in forms.values()):
            continue
        inverse = atom_form(key, key.axes, image.world)
        yield Proposal(
            "Cayley transforms of all skew matrices are the rotations without the eigenvalue -1", (name,), {new: made},
            None, {new: inverse.scaled(ONE * 2) - _unit(key.axes, image.world)}, forms,
            down_text={name: f"(eye - {new})@inverse(eye + {new})"},
        )  # fmt: skip


def reflections(image: Image) -> Iterator[Proposal]:
    """Products of r reflections (a zero column is none) are all orthogonal H with `rank(H - eye) <= r`."""
    for key in _keys(image, "householder"):
        (argument,) = key.arguments
        name = _lone_factor(image, argument)
        if name is None or len(key.axes) != 2 or len(argument.axes) != 2:
            continue
        count = argument.axes[1]
        count = key.axes[0] if image.world.at_most(key.axes[0], count) else count
        new = image.fresh_name("H")
        made = Space(key.axes, "reflections", orthonormal=frozenset({0, 1}), count=count)
        forms = _substituted(image, key, values.factor(new, made, image.world))
        if any(name in form.trained for form in forms.values()):
            continue
        yield Proposal(
            f"Cartan-Dieudonne: products of at most {argument.axes[1]} reflections are all orthogonal H with "
            f"rank(H - eye) <= {count}", (name,), {new: made}, None,
            {new: atom_form(key, key.axes, image.world)}, forms,
            down_text={name: f"reflections whose product is {new}"},
        )  # fmt: skip


def _keys(image: Image, operator: str) -> list[Key]:
    found = {key for key in keys_of(image.forms) if key.kind == "operator" and key.name == operator}
    return sorted((key for key in found if len(key.arguments) == 1), key=lambda key: key.token)


def _lone_factor(image: Image, form: Form) -> str | None:
    """The free factor that a form is, each entry once and with any number in front."""
    if len(form.terms) != 1:
        return None
    (term,) = form.terms.values()
    if len(term.atoms) != 1 or term.atoms[0].power != 1 or term.coefficient.constant is None:
        return None
    atom = term.atoms[0]
    slots = tuple(slot for slot in term.out if slot)
    if atom.key.kind != "trained" or sorted(map(repr, atom.slots)) != sorted(map(repr, slots)):
        return None
    return atom.key.name if image.factors[atom.key.name].is_free and len(set(slots)) == len(slots) else None


def _any_skew(image: Image, form: Form) -> str | None:
    """The factor S of a form `eye + S` in which S is any skew matrix (of a stack: any of every matrix)."""
    skew = form - _unit(form.axes, form.world)
    if skew.is_zero:
        return None
    if len(skew.terms) == 1:
        (term,) = skew.terms.values()
        if len(term.atoms) == 1 and term.atoms[0].key.name == "skew_from" and term.atoms[0].power == 1:
            return _lone_factor(image, term.atoms[0].key.arguments[0])
        return None
    order = (*range(len(form.axes) - 2), len(form.axes) - 1, len(form.axes) - 2)
    names = sorted(skew.trained)
    if (
        len(names) != 1
        or len(skew.terms) != 2
        or skew.transposed(order) != -skew
        or not image.factors[names[0]].is_free
    ):
        return None
    is_plain = all(len(t.atoms) == 1 and t.atoms[0].key.kind == "trained" for t in skew.terms.values())
    return names[0] if is_plain and image.factors[names[0]].axes == form.axes else None


def _unit(axes: tuple[Size, ...], world: World) -> Form:
    """The identity; for a stack one for every matrix."""
    unit = values.eye(axes[-1], axes[-1], world)
    return unit if len(axes) == 2 else values.ones(axes[:-2], world).outer(unit)


def _substituted(image: Image, key: Key, value: Form) -> dict[str, Form]:
    """Every form with an operator's atom replaced by a value with the same axes."""
    stand_in = "\0"
    plain = Key("trained", stand_in, key.axes)
    found = {}
    for target, form in image.forms.items():
        marked = form.mapped(lambda one: plain if one == key else one)
        found[target] = marked.put({stand_in: value})
    return found


RULES: tuple[Rule, ...] = (
    shift, unit_coefficient, companion, merged_beside, merged_product, entrywise, rotations, reflections,
    unconstrained, surjective, low_rank, full_rank, summed,
)  # fmt: skip
