"""Bounds of ranks by cuts: how large a matrix's rank can be is read off the indices that join its two sides."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from specdsl.equivalence.forms.form import Atom, Form, Key, Term
from specdsl.equivalence.forms.index import ONE, ZERO, Var, slot_of
from specdsl.sizes import Size

MOST_ATOMS = 10


def opened_reflections(form: Form) -> Form:
    """Every product of reflections H written as `eye + D`, where the rank of D is at most their number."""
    keys = {atom.key for term in form.terms.values() for atom in term.atoms if atom.key.range.startswith("reflections")}
    for key in sorted(keys, key=lambda one: one.token):
        count = key.range.removeprefix("reflections")
        moved = Key("trained", f"{key.name} - eye", key.axes, range=f"rank{count}")
        _RANKS[moved.range] = _RANKS[key.range]
        slots = tuple(slot_of(size) for size in key.axes)
        unit = slot_of(key.axes[0])
        value = Form.of(key.axes, [Term(ONE, (Atom(moved, slots),), slots), Term(ONE, (), (unit, unit))], form.world)
        form = form.put({key.name: value})
    return form


def rank_bound(form: Form) -> Size | None:
    """A bound of the rank of a matrix for all values of its factors; None where no cut says less than its sizes."""
    if len(form.axes) != 2:
        return None
    form = opened_reflections(form)
    total = ZERO
    for term in form.terms.values():
        rows = {place.var for place in term.out[0]}
        columns = {place.var for place in term.out[1]}
        bound = cut(term, rows, columns, form)
        if bound is None:
            return None
        total = total + bound
    return total


def cut(term: Term, left: set[Var], right: set[Var], form: Form) -> Size | None:
    """The smallest product of sizes of indices that separate two groups of a term's open indices."""
    if len(term.atoms) > MOST_ATOMS:
        return None
    pieces = [piece for atom in term.atoms for piece in _pieces(atom)]
    inner = dict(edge for edge in map(_rank_of, term.atoms) if edge is not None)
    cuts = {_separated(pieces, sides, left, right, inner): None
            for sides in itertools.product((False, True), repeat=len(pieces))}  # fmt: skip
    least: Size | None = None
    for separated in _smallest(cuts):
        price = math.prod((inner[one] if isinstance(one, int) else one.size for one in separated), start=ONE)
        if least is None or form.world.at_most(price, least):
            least = price
    return least


def _smallest(cuts: Iterable[frozenset[Var | int]]) -> list[frozenset[Var | int]]:
    """Those that hold no other; what holds more costs more."""
    kept: list[frozenset[Var | int]] = []
    for one in sorted(cuts, key=len):
        if not any(other <= one for other in kept):
            kept.append(one)
    return kept


Piece = tuple[int, frozenset[Var]]


def _pieces(atom: Atom) -> list[Piece]:
    """An atom as one node, or as two where its rank is bounded and it stands unpowered."""
    if _rank_of(atom) is not None:
        return [(id(atom), frozenset(place.var for place in slot)) for slot in atom.slots]
    return [(id(atom), frozenset(atom.vars))]


def _rank_of(atom: Atom) -> tuple[int, Size] | None:
    found = re.fullmatch(r"rank<=(.+)", atom.key.range)
    if found is None or len(atom.slots) != 2 or atom.power != 1:
        return None
    return id(atom), _RANKS[atom.key.range]


_RANKS: dict[str, Size] = {}


def remember(text: str, size: Size) -> None:
    """Make the rank that a factor's range names known to the cuts."""
    _RANKS[text] = size


def _separated(
    pieces: Sequence[Piece], sides: Sequence[bool], left: set[Var], right: set[Var], inner: Mapping[int, Size]
) -> frozenset[Var | int]:
    """The indices that both sides read, and the atoms of bounded rank with a piece on each."""
    read: tuple[set[Var], set[Var]] = (set(left), set(right))
    owners: tuple[set[int], set[int]] = (set(), set())
    for (owner, variables), side in zip(pieces, sides, strict=True):
        read[side].update(variables)
        owners[side].add(owner)
    return frozenset({*(read[0] & read[1]), *(owners[0] & owners[1] & inner.keys())})
