"""A network as an expression of the language: chains of matrices with diagonals between them.

Where an axis of the value is, a walk begins; it ends at the other axis or where nothing more hangs on. Several walks
between the same two axes are an entrywise product.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

from specdsl.equivalence.forms.form import Atom, Key, Term
from specdsl.equivalence.forms.index import ONE, ZERO, Slot, Var
from specdsl.equivalence.forms.roots import norm_text
from specdsl.sizes import Size

KeyText = Callable[[Key], str]


class _NoWords(Exception):
    """The language has no words for a network."""


@dataclass(frozen=True)
class Piece:
    """An expression of two axes, one or none; `is_chain`: whether it has to be bracketed beside an entrywise sign."""

    text: str
    is_chain: bool = False

    @property
    def bracketed(self) -> str:
        return f"({self.text})" if self.is_chain else self.text


def network_text(term: Term, key_text: KeyText) -> tuple[Size, str] | None:
    """A network without its coefficient, and a number that belongs in front; None where indices are needed."""
    try:
        if len(term.out) == 2 and {len(slot) for slot in term.out} == {2}:
            return _kronecker(term, key_text)
        writer = _Writer(term, key_text)
        return writer.scale, _with_base(writer.text(), term)
    except _NoWords:
        return None


def _kronecker(term: Term, key_text: KeyText) -> tuple[Size, str]:
    """`kron(A, B)`: one network over the outer places of both axes, another over the inner ones."""
    if term.out[0][0] == term.out[1][0] and len(term.atoms) == 1:
        return ONE, _blocks_of(term, key_text)
    levels = [{slot[level].var for slot in term.out} for level in (0, 1)]
    scale = ONE
    words: list[str] = []
    groups = _components(term.atoms, levels[0] | levels[1])
    if any(not set(_vars(group)) & (levels[0] | levels[1]) for group in groups):
        raise _NoWords
    for level, own in enumerate(levels):
        atoms = tuple(atom for group in groups for atom in group if set(_vars(group)) & own)
        if any(set(_vars([atom])) & levels[1 - level] for atom in atoms):
            raise _NoWords
        found = network_text(Term(ONE, atoms, tuple((slot[level],) for slot in term.out)), key_text)
        if found is None or any(slot[level].offset != ZERO for slot in term.out):
            raise _NoWords
        scale, words = scale * found[0], [*words, found[1]]
    return scale, f"kron({', '.join(words)})"


def _blocks_of(term: Term, key_text: KeyText) -> str:
    """`blockdiag(Q)` for a stack of matrices."""
    (atom,) = term.atoms
    outer, row, column = term.out[0][0], term.out[0][1], term.out[1][1]
    stacks = {((outer,), (row,), (column,)): "blockdiag({})", ((outer,), (column,), (row,)): "blockdiag({}.T)"}
    if atom.power != 1 or atom.slots not in stacks:
        raise _NoWords
    return stacks[atom.slots].format(key_text(atom.key))


def _with_base(text: str, term: Term) -> str:
    """W where its parts stand side by side."""
    if any(atom.key.name in ("U", "S", "V") and atom.key.kind != "part" for atom in term.atoms):
        return text
    text = re.sub(r"\bU@diag\(S\)@V\b(?!\.T)", "W", text)
    return re.sub(r"\bV\.T@diag\(S\)@U\.T", "W.T", text)


class _Writer:
    def __init__(self, term: Term, key_text: KeyText) -> None:
        self.key_text = key_text
        self.scale = ONE
        self.out = [_lone(slot) for slot in term.out]
        self.groups = _components(term.atoms, set(self.out))

    def text(self) -> str:
        if len(self.out) == 2 and self.out[0] is self.out[1]:
            own = self._vector(self.out[0], self._groups_of({self.out[0]}))
            return f"diag({own})" if own else f"eye({self.out[0].size})"
        if len(self.out) == 2:
            return self._matrix(*self.out)
        if len(self.out) == 1:
            return self._vector(self.out[0], self._groups_of({self.out[0]})) or f"ones({self.out[0].size})"
        if not self.out:
            return self._beside("")
        return self._stack()

    def _stack(self) -> str:
        if not self.groups and len(self.out) == 3 and self.out[1] is self.out[2]:
            return f"eye({self.out[1].size})"  # the same for the whole stack
        if len(self.groups) == 1 and len(self.groups[0]) == 1:
            (atom,) = self.groups[0]
            if [_lone(slot) for slot in atom.slots] == self.out and atom.power == 1:
                return self._named(atom)
        raise _NoWords

    def _groups_of(self, axes: set[Var]) -> list[list[Atom]]:
        """The parts that hang on just these axes."""
        return [group for group in self.groups if set(_vars(group)) & set(self.out) == axes]

    def _beside(self, text: str) -> str:
        """An expression with the numbers that multiply it, before it and below it."""
        numbers = self._groups_of(set())
        lone = [group[0] for group in numbers if len(group) == 1 and not atom_vars(group[0])]
        raised = [(self._named(atom), atom.power) for atom in lone]
        above = [_raised(Piece(name), power, "^") for name, power in raised if power > 0]
        above += [self._sum(group) for group in numbers if not (len(group) == 1 and group[0] in lone)]
        below = [_raised(Piece(name), -power, "^") for name, power in raised if power < 0]
        return " / ".join(["*".join([*above, *([text] if text else [])]) or "1", *below])

    # matrices

    def _matrix(self, left: Var, right: Var) -> str:
        rows, columns = (self._vector(axis, self._groups_of({axis}), with_scalars=False) for axis in (left, right))
        between: list[tuple[Piece, Fraction]] = []
        for group in self._groups_of({left, right}):
            between += self._walk(group, left, right)
        if not between:
            return self._beside(f"outer({rows or f'ones({left.size})'}, {columns or f'ones({right.size})'})")
        if len(between) == 1 and between[0][1] == 1:
            parts = [f"diag({rows})" if rows else "", between[0][0].text, f"diag({columns})" if columns else ""]
            return self._beside("@".join(filter(None, parts)))
        both = f"outer({rows or f'ones({left.size})'}, {columns or f'ones({right.size})'})"
        sides = [(Piece(both), Fraction(1))] if rows or columns else []
        return self._beside(self._entrywise([*between, *sides]))

    def _walk(self, group: Sequence[Atom], left: Var, right: Var) -> list[tuple[Piece, Fraction]]:
        """From axis to axis, each with its power."""
        if len(group) == 1:
            return [(Piece(self._oriented(group[0], left)), group[0].power)]
        rest, here, parts = list(group), left, []
        while here is not right:
            step = [atom for atom in rest if here in atom_vars(atom) and len(atom_vars(atom)) == 2]
            ends = {var for atom in step for var in atom_vars(atom)} - {here}
            if len(ends) != 1:
                raise _NoWords
            (after,) = ends
            rest = [atom for atom in rest if atom not in step]
            pieces = [(Piece(self._oriented(atom, here)), atom.power) for atom in step]
            parts.append(self._entrywise(pieces) if len(pieces) > 1 or pieces[0][1] != 1 else pieces[0][0].text)
            if len(pieces) > 1 or pieces[0][1] != 1:
                parts[-1] = f"({parts[-1]})"
            here = after
            if here is not right:
                hanging = [atom for atom in rest if atom_vars(atom) == [here]]
                rest = [atom for atom in rest if atom not in hanging]
                parts += [f"diag({self._powers(hanging)})"] if hanging else []
        if rest:
            raise _NoWords
        return [(Piece("@".join(parts), True), Fraction(1))]

    def _oriented(self, atom: Atom, here: Var) -> str:
        """A matrix with the axis `here` first."""
        if len(atom_vars(atom)) != 2:
            raise _NoWords
        first, second = atom_vars(atom)
        if first is second:
            raise _NoWords
        return self._named(atom) + ("" if first is here else ".T")

    # vectors and numbers

    def _vector(self, axis: Var, groups: list[list[Atom]], *, with_scalars: bool = True) -> str:
        """All that hangs on one axis; empty if nothing does."""
        lone = [group[0] for group in groups if len(group) == 1 and atom_vars(group[0]) == [axis]]
        plain = self._powers(lone)
        products = [self._tail(group, axis) for group in groups if not (len(group) == 1 and group[0] in lone)]
        pieces = [Piece(plain)] if plain else []
        pieces += [Piece(text, True) for text in products]
        text = pieces[0].text if len(pieces) == 1 else " .* ".join(piece.bracketed for piece in pieces)
        if not with_scalars or not (text or self._groups_of(set())):
            return text
        return self._beside(text or f"ones({axis.size})")

    def _tail(self, group: list[Atom], axis: Var) -> str:
        """`v@M`: matrices that lead away from an axis, with a vector or ones at their end."""
        rest, here, parts = list(group), axis, []
        while True:
            step = [atom for atom in rest if here in atom_vars(atom) and len(atom_vars(atom)) == 2]
            if not step:
                break
            if len(step) > 1 or step[0].power != 1:
                raise _NoWords
            (atom,) = step
            rest.remove(atom)
            parts.append(atom)
            others = [var for var in atom_vars(atom) if var is not here]
            if len(others) != 1:
                raise _NoWords
            here = others[0]
            if any(atom_vars(one) == [here] for one in rest) and any(
                here in atom_vars(one) and len(atom_vars(one)) == 2 for one in rest
            ):
                raise _NoWords
        hanging = [atom for atom in rest if atom_vars(atom) == [here]]
        if len(hanging) != len(rest) or not parts:
            raise _NoWords
        end = self._powers(hanging) or f"ones({here.size})"
        words = [f"({end})" if " " in end else end]
        for atom in reversed(parts):
            words.append(self._oriented(atom, here))
            here = next(var for var in atom_vars(atom) if var is not here)
        return "@".join(words)

    def _sum(self, group: list[Atom]) -> str:
        if len(set(_vars(group))) == 1:
            return f"sum({self._powers(group)})"
        raise _NoWords

    # entries

    def _powers(self, atoms: Sequence[Atom]) -> str:
        """Vectors (numbers) entry by entry."""
        return self._entrywise([(Piece(self._named(atom)), atom.power) for atom in atoms])

    def _entrywise(self, factors: Sequence[tuple[Piece, Fraction]]) -> str:
        above = [_raised(piece, power) for piece, power in factors if power > 0]
        below = [_raised(piece, -power) for piece, power in factors if power < 0]
        if not above and not below:
            return ""
        return " .* ".join(above or ["1"]) + "".join(f" ./ {text}" for text in below)

    def _named(self, atom: Atom) -> str:
        """An atom by its name, with the stretch that is read; a norm as one."""
        key = atom.key
        if key.name == "entries" and atom.power.denominator == 2:
            found = norm_text(key.arguments[0])
            if found is not None:
                self.scale = self.scale * found[0].power(atom.power)
                return f"\0{found[1]}"
        text = self.key_text(key)
        stretches = [_stretch(slot, size) for slot, size in zip(atom.slots, key.axes, strict=True)]
        return text if all(one == ":" for one in stretches) else f"{text}[{', '.join(stretches)}]"


def _raised(piece: Piece, power: Fraction, sign: str = ".^") -> str:
    """An expression to a positive power; what begins with a mark is the root already."""
    if piece.text.startswith("\0"):
        return _raised(Piece(piece.text[1:], piece.is_chain), power * 2, sign)
    if power == 1:
        return piece.bracketed
    if power == Fraction(1, 2):
        return f"sqrt({piece.text.removeprefix('(').removesuffix(')') if piece.text.startswith('(') else piece.text})"
    return f"{piece.bracketed}{sign}{power if power.denominator == 1 else f'({power})'}"


def _components(atoms: Sequence[Atom], out: set[Var]) -> list[list[Atom]]:
    """Atoms joined by indices that are summed over."""
    groups: list[tuple[set[Var], list[Atom]]] = []
    for atom in atoms:
        inner = set(atom_vars(atom)) - out
        joined = [group for group in groups if group[0] & inner]
        groups = [group for group in groups if group not in joined]
        groups.append((inner.union(*(g[0] for g in joined)), [*(a for g in joined for a in g[1]), atom]))
    return [group[1] for group in groups]


def _vars(atoms: Sequence[Atom]) -> Iterator[Var]:
    for atom in atoms:
        yield from atom_vars(atom)


def atom_vars(atom: Atom) -> list[Var]:
    """The indices that an atom runs over; an entry that is picked runs over none."""
    return [_lone_place(slot) for slot in atom.slots if not _is_picked(slot)]


def _is_picked(slot: Slot) -> bool:
    return not slot or (len(slot) == 1 and slot[0].var.size == ONE)


def _lone(slot: Slot) -> Var:
    """The index of an axis that is read whole."""
    if len(slot) != 1 or slot[0].offset != ZERO:
        raise _NoWords
    return slot[0].var


def _lone_place(slot: Slot) -> Var:
    if len(slot) != 1:
        raise _NoWords
    return slot[0].var


def _stretch(slot: Slot, size: Size) -> str:
    if _is_picked(slot):
        return str(slot[0].offset) if slot else "0"
    place = slot[0]
    if place.offset == ZERO and place.var.size == size:
        return ":"
    stop = place.offset + place.var.size
    start = "" if place.offset == ZERO else str(place.offset)
    return f"{start}:{'' if stop == size else stop}"
