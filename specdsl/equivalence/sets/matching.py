"""Renamings: the ways in which the factors of one spec can stand for those of another."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from specdsl.equivalence.forms.arrays import FormArrays
from specdsl.equivalence.forms.form import Atom, Form, Key, Term, World
from specdsl.equivalence.forms.index import ONE, slot_of
from specdsl.equivalence.sets.image import RANGES, Image, Space
from specdsl.equivalence.sets.patterns import unit_matrices
from specdsl.sizes import Size

MOST_RENAMINGS = 2000


@dataclass(frozen=True)
class Renaming:
    """A factor of b for each of a: its name, and whether it stands there transposed.

    Attributes:
        names: from factors of b to `(factor of a, is transposed)`.
    """

    names: Mapping[str, tuple[str, bool]]

    def inverse(self) -> Renaming:
        """The factors of a by those of b."""
        return Renaming({a: (b, flipped) for b, (a, flipped) in self.names.items()})

    def text(self) -> str:
        moved = [f"{b} = {a}{'.T' if flipped else ''}" for b, (a, flipped) in self.names.items() if b != a or flipped]
        return ", ".join(moved) if moved else "the same factors"


def _orders(of: Space, wanted: Space) -> Iterator[bool]:
    if (
        (of.range, of.count) != (wanted.range, wanted.count)
        or (of.rank is None) != (wanted.rank is None)
        or of.rank != wanted.rank
    ):
        return
    if of.axes == wanted.axes and of.orthonormal == wanted.orthonormal:
        yield False
    flipped = frozenset(1 - axis for axis in of.orthonormal)
    if len(of.axes) == 2 and of.axes[::-1] == wanted.axes and flipped == wanted.orthonormal:
        yield True


def renamings(a: Mapping[str, Space], b: Mapping[str, Space]) -> Iterator[Renaming]:
    """Every way to name the factors of b after those of a, one by one; equal names first."""
    if len(a) != len(b):
        return
    count = 0
    names = sorted(b)
    options = [
        [(name, flipped) for name in sorted(a, key=wanted.__ne__) for flipped in _orders(a[name], b[wanted])]
        for wanted in names
    ]

    def extended(place: int, used: frozenset[str], chosen: list[tuple[str, bool]]) -> Iterator[Renaming]:
        nonlocal count
        if place == len(names):
            count += 1
            yield Renaming(dict(zip(names, chosen, strict=True)))
            return
        for name, flipped in options[place]:
            if name not in used and count < MOST_RENAMINGS:
                yield from extended(place + 1, used | {name}, [*chosen, (name, flipped)])

    yield from extended(0, frozenset(), [])


def renamed(forms: Mapping[str, Form], renaming: Renaming, spaces: Mapping[str, Space]) -> dict[str, Form]:
    """Forms of b over the factors of a."""
    return {target: _renamed(form, renaming, spaces) for target, form in forms.items()}


def _renamed(form: Form, renaming: Renaming, spaces: Mapping[str, Space]) -> Form:
    terms = []
    for term in form.terms.values():
        atoms = []
        for atom in term.atoms:
            atoms.append(_renamed_atom(atom, renaming, spaces))
        terms.append(Term(term.coefficient, tuple(atoms), term.out))
    return Form.of(form.axes, terms, form.world)


def _renamed_atom(atom: Atom, renaming: Renaming, spaces: Mapping[str, Space]) -> Atom:
    key = atom.key
    if key.kind == "trained" and key.name in renaming.names:
        name, flipped = renaming.names[key.name]
        return Atom(spaces[name].key(name), atom.slots[::-1] if flipped else atom.slots, atom.power)
    if key.kind == "start" and key.name in renaming.names:
        name, flipped = renaming.names[key.name]
        axes = key.axes[::-1] if flipped else key.axes
        return Atom(Key("start", name, axes, key.options), atom.slots[::-1] if flipped else atom.slots, atom.power)
    if not key.arguments:
        return atom
    arguments = tuple(_renamed(argument, renaming, spaces) for argument in key.arguments)
    return Atom(
        Key(key.kind, key.name, key.axes, key.options, arguments, key.orthonormal, key.range), atom.slots, atom.power
    )


def frozen_renamings(a: Image, b: Image, kind: str = "frozen") -> Iterator[Image]:
    """The image of b with its frozen random factors named as those of a, in every way that fits.

    Frozen draws of equal shape and law are taken as equal draws, as `same A0` says.

    Args:
        kind: `start` for the random starts that `init(A)` reads.
    """
    theirs, ours = _drawn(b.forms, kind), _drawn(a.forms, kind)
    yield b
    if not theirs or not ours or len(theirs) > 4 or len(ours) > 6:
        return
    names = sorted(theirs)
    fits = [[(owner, flipped) for owner in sorted(ours) for flipped in (False, True)
             if _same_law(theirs[name], ours[owner], flipped)] for name in names]  # fmt: skip
    every = itertools.islice(itertools.product(*([*one, None] for one in fits)), MOST_RENAMINGS)
    injective = [chosen for chosen in every if _are_different(chosen)]
    most = max(sum(one is not None for one in chosen) for chosen in injective)
    for chosen in injective:
        keys: dict[str, tuple[Key, bool]] = {}
        for name, one in zip(names, chosen, strict=True):
            if one is not None:
                keys[name] = ours[one[0]], one[1]
            elif name in ours:  # it is none of a's draws, not the one of this name either
                keys[name] = dataclasses.replace(theirs[name], name=f"{name} of b"), False
        is_new = any(theirs[name] != key or flipped for name, (key, flipped) in keys.items())
        if sum(one is not None for one in chosen) == most and is_new:
            said = [(name, *one) for name, one in zip(names, chosen, strict=True)
                    if one is not None and one != (name, False)]  # fmt: skip
            forms = {target: _with_keys(form, keys, kind) for target, form in b.forms.items()}
            yield dataclasses.replace(b, forms=forms, paired=(*b.paired, *said))


def _same_law(one: Key, other: Key, flipped: bool) -> bool:
    """Whether a draw, or its transpose, has the law of another."""
    if one.options != other.options:
        return False
    if not flipped:
        return one.axes == other.axes
    is_scaled = one.options[0] == "kaiming" and not any(option.startswith("fan=") for option in one.options)
    return len(one.axes) == 2 and one.axes == other.axes[::-1] and (not is_scaled or one.axes[0] == one.axes[1])


def _are_different(owners: Sequence[tuple[str, bool] | None]) -> bool:
    chosen = [one[0] for one in owners if one is not None]
    return len(set(chosen)) == len(chosen)


def _with_keys(form: Form, keys: Mapping[str, tuple[Key, bool]], kind: str) -> Form:
    terms = []
    for term in form.terms.values():
        atoms = []
        for atom in term.atoms:
            key, slots = atom.key, atom.slots
            if key.kind == kind and key.name in keys:
                key, flipped = keys[key.name]
                slots = slots[::-1] if flipped else slots
            elif key.arguments:
                key = dataclasses.replace(key, arguments=tuple(_with_keys(one, keys, kind) for one in key.arguments))
            atoms.append(Atom(key, slots, atom.power))
        terms.append(Term(term.coefficient, tuple(atoms), term.out))
    return Form.of(form.axes, terms, form.world)


def _drawn(forms: Mapping[str, Form], kind: str) -> dict[str, Key]:
    from specdsl.equivalence.sets.image import keys_of

    return {key.name: key for key in keys_of(forms) if key.kind == kind and key.options}


def equal_up_to_names(a: Image, b: Image) -> Renaming | None:
    """A renaming under which both are the same map, or None."""
    for renaming in renamings(a.factors, b.factors):
        if renamed(b.forms, renaming, a.factors) == dict(a.forms):
            return renaming
    return None


def fits(value: Space, wanted: Space, world: World) -> bool:
    """Whether every value of one space is one of another, as far as range, rank and orthonormality go."""
    if wanted.range == "reflections" and value.range in ("rotations", "reflections"):
        assert wanted.count is not None
        most = value.count or _whole(value.axes)
        return world.at_most(most, wanted.count)
    if wanted.range == value.range == "rotations":
        return True
    if wanted.range not in RANGES.get(value.range, frozenset()) or wanted.orthonormal - value.orthonormal:
        return False
    if wanted.rank is None:
        return True
    if value.rank is not None:
        return world.at_most(value.rank, wanted.rank)
    return any(world.at_most(size, wanted.rank) for size in value.axes)


def _whole(axes: tuple[Size, ...]) -> Size:
    """The number of rows of the block diagonal matrix of a stack."""
    return axes[0] if len(axes) == 2 else axes[0] * axes[1]


def _blocks(name: str, space: Space, wanted: Space, world: World) -> Iterator[Form]:
    """A rotation, or a stack of rotations as the blocks of larger ones."""
    if space.range not in ("rotations", "reflections") or _whole(space.axes) != _whole(wanted.axes):
        return
    if not fits(space, wanted, world):
        return
    small, large = space.axes[-1], wanted.axes[-1]
    if small == large and len(space.axes) == len(wanted.axes):
        yield Form.of(wanted.axes, _plain(name, space), world)
        return
    inside = large / small
    if len(space.axes) != 3 or not world.at_most(ONE, inside) or not world.at_most.is_whole(inside):
        return
    outer, inner, row, column = (slot_of(size) for size in (
        ONE if len(wanted.axes) == 2 else wanted.axes[0], inside, small, small))  # fmt: skip
    atom = Atom(space.key(name), ((*outer, *inner), row, column))
    out = ((*inner, *row), (*inner, *column))
    yield Form.of(wanted.axes, [Term(ONE, (atom,), out if len(wanted.axes) == 2 else (outer, *out))], world)


def _plain(name: str, space: Space) -> list[Term]:
    slots = tuple(slot_of(size) for size in space.axes)
    return [Term(ONE, (Atom(space.key(name), slots),), slots)]


def _is_ordered(wanted: Space, world: World) -> bool:
    rows, columns = wanted.axes
    return world.at_most(rows, columns) or world.at_most(columns, rows)


def _holds_zeros(wanted: Space) -> bool:
    """Whether a value of the space may be continued by zeros."""
    return wanted.rank is None and not wanted.orthonormal and wanted.range in (
        "real", "nonnegative", "within one", "at most one")  # fmt: skip


def _spread(name: str, space: Space, wanted: Space, world: World) -> Iterator[tuple[str, Form]]:
    """A number or a vector, repeated along the axes that it lacks; or a vector on the diagonal."""
    from specdsl.equivalence.sets import values

    if wanted.rank is not None or wanted.orthonormal or len(space.axes) >= len(wanted.axes):
        return
    value = values.factor(name, space, world)
    arrays = FormArrays(world)
    letters = "abcdefg"[: len(wanted.axes)]
    for axes in itertools.combinations(range(len(wanted.axes)), len(space.axes)):
        if tuple(wanted.axes[axis] for axis in axes) == space.axes:
            own = "".join(letters[axis] for axis in axes)
            yield f"{name}*1", arrays.einsum(f"{own},{letters}->{letters}", value, values.ones(wanted.axes, world))
    if len(wanted.axes) == 2 and wanted.axes[0] == wanted.axes[1] and wanted.range == "real":
        own = "" if not space.axes else "a"
        if space.axes in ((), wanted.axes[:1]):
            yield f"diag({name})", arrays.einsum(f"{own},ab->ab", value, values.eye(*wanted.axes, world))


def _cut(name: str, space: Space, wanted: Space, world: World) -> Iterator[tuple[str, Form]]:
    """A factor with one axis cut into blocks, as `B : r x m` for `3 x r x m/3`."""
    if wanted.rank is not None or wanted.orthonormal or len(space.axes) != len(wanted.axes) - 1:
        return
    for outer, inner in itertools.permutations(range(len(wanted.axes)), 2):
        rest = [axis for axis in range(len(wanted.axes)) if axis not in (outer, inner)]
        for order in itertools.permutations([*rest, inner]):
            joined = wanted.axes[outer] * wanted.axes[inner]
            if tuple(joined if axis == inner else wanted.axes[axis] for axis in order) != space.axes:
                continue
            slots = [slot_of(size) for size in wanted.axes]
            own = tuple((*slots[outer], *slots[inner]) if axis == inner else slots[axis] for axis in order)
            term = Term(ONE, (Atom(space.key(name), own),), tuple(slots))
            yield f"blocks of {name}", Form.of(wanted.axes, [term], world)


def candidates(a: Image, wanted: Space) -> Sequence[tuple[str, Form]]:
    """Values over the factors of a that a factor of b may take: factors of its shape, ones, the identity, zeros."""
    from specdsl.equivalence.sets import values

    found: list[tuple[str, Form]] = []
    if wanted.range in ("rotations", "reflections"):
        for name, space in a.factors.items():
            found += [(name, form) for form in _blocks(name, space, wanted, a.world)]
        if wanted.rank is None:
            found.append(("eye", unit_matrices(wanted.axes, a.world)))
        return found
    for name, space in a.factors.items():
        if not fits(space, wanted, a.world):
            continue
        if space.axes == wanted.axes:
            found.append((name, values.factor(name, space, a.world)))
        if len(space.axes) == 2 and space.axes[::-1] == wanted.axes:
            found.append((f"{name}.T", values.factor(name, space, a.world, (1, 0))))
        found += _spread(name, space, wanted, a.world)
        found += _cut(name, space, wanted, a.world)
        if len(space.axes) == len(wanted.axes) and space.axes != wanted.axes and _holds_zeros(wanted):
            short = [axis for axis in range(len(space.axes)) if space.axes[axis] != wanted.axes[axis]]
            if len(short) == 1 and a.world.at_most(space.axes[short[0]], wanted.axes[short[0]]):
                found.append((f"[{name}, 0]", values.padded(name, space, short[0], wanted.axes[short[0]], a.world)))
    if not wanted.orthonormal:
        if wanted.range in ("real", "nonnegative", "positive", "at most one") and (
            wanted.rank is None or a.world.at_most(ONE, wanted.rank)
        ):
            found.append(("1", values.ones(wanted.axes, a.world)))
        if wanted.range in ("real", "nonnegative", "within one", "at most one"):
            found.append(("0", values.zeros(wanted.axes, a.world)))
        if len(wanted.axes) == 2 and wanted.range == "real" and wanted.rank is None and _is_ordered(wanted, a.world):
            found.append(("eye", values.eye(*wanted.axes, a.world)))
        frozen = {atom.key for form in a.forms.values() for term in form.terms.values() for atom in term.atoms
                  if atom.key.kind in ("site", "frozen", "draw", "part", "start") and "x" not in atom.key.reads
                  and wanted.range == "real"}  # fmt: skip
        for key in sorted(frozen, key=lambda one: one.token):
            if key.axes == wanted.axes and (wanted.rank is None or any(
                    a.world.at_most(size, wanted.rank) for size in key.axes)):  # fmt: skip
                slots = tuple(slot_of(size) for size in key.axes)
                found.append((key.name, Form.of(key.axes, [Term(ONE, (Atom(key, slots),), slots)], a.world)))
    return found
