"""One text for every network, whatever its indices are called and in whatever order its atoms stand.

Indices are told apart by where they occur, refined by what stands at the other indices of the same atoms (colour
refinement); where that leaves ties, every choice is tried and the smallest text wins.
"""

from __future__ import annotations

from collections.abc import Mapping

from specdsl.equivalence.forms.form import Atom, Term
from specdsl.equivalence.forms.index import ZERO, NoForm, Slot, Var

MOST_CHOICES = 5000
Colours = dict[Var, int]


def canonical(term: Term) -> tuple[str, Term]:
    """The text of a term without its coefficient, and the term with its atoms in order."""
    variables = _in_order(term)
    colours = _ranked({var: (str(var.size),) for var in variables})
    text, names = _best(term, _refined(term, colours), [MOST_CHOICES])
    atoms = tuple(sorted(term.atoms, key=lambda atom: _atom_text(atom, names)))
    return text, Term(term.coefficient, atoms, term.out)


def _in_order(term: Term) -> list[Var]:
    found: dict[Var, None] = {}
    for slot in term.out:
        found.update(dict.fromkeys(place.var for place in slot))
    for atom in term.atoms:
        found.update(dict.fromkeys(atom.vars))
    return list(found)


def _ranked(signatures: Mapping[Var, tuple[object, ...]]) -> Colours:
    order = {signature: rank for rank, signature in enumerate(sorted(set(signatures.values()), key=repr))}
    return {var: order[signature] for var, signature in signatures.items()}


def _refined(term: Term, colours: Colours) -> Colours:
    while True:
        seen: dict[Var, list[object]] = {var: [] for var in colours}
        for axis, slot in enumerate(term.out):
            shown = _slot_text(slot, colours)
            for position, place in enumerate(slot):
                seen[place.var].append(("out", axis, position, shown))
        for atom in term.atoms:
            shown = _atom_text(atom, colours)
            for axis, slot in enumerate(atom.slots):
                for position, place in enumerate(slot):
                    seen[place.var].append((shown, axis, position))
        finer = _ranked({var: (colours[var], tuple(sorted(map(repr, places)))) for var, places in seen.items()})
        if len(set(finer.values())) == len(set(colours.values())):
            return finer
        colours = finer


def _best(term: Term, colours: Colours, left: list[int]) -> tuple[str, Colours]:
    groups: dict[int, list[Var]] = {}
    for var, colour in colours.items():
        groups.setdefault(colour, []).append(var)
    tied = next((groups[colour] for colour in sorted(groups) if len(groups[colour]) > 1), None)
    if tied is None:
        return _text(term, colours), colours
    best: tuple[str, Colours] | None = None
    for chosen in tied:
        left[0] -= 1
        if left[0] < 0:
            raise NoForm("a network with too many equal parts")
        split = {var: 2 * colour + (colour == colours[chosen] and var is not chosen) for var, colour in colours.items()}
        found = _best(term, _refined(term, split), left)
        if best is None or found[0] < best[0]:
            best = found
    assert best is not None
    return best


def _text(term: Term, names: Colours) -> str:
    sizes = ",".join(str(var.size) for var in sorted(names, key=lambda var: names[var]))
    atoms = "*".join(sorted(_atom_text(atom, names) for atom in term.atoms))
    out = ",".join(_slot_text(slot, names) for slot in term.out)
    return f"({out})({sizes}){atoms}"


def _atom_text(atom: Atom, names: Colours) -> str:
    slots = ",".join(_slot_text(slot, names) for slot in atom.slots)
    power = "" if atom.power == 1 else f"^{atom.power}"
    return f"{atom.key.token}[{slots}]{power}"


def _slot_text(slot: Slot, names: Colours) -> str:
    return ".".join(f"{names[place.var]}" + ("" if place.offset == ZERO else f"+{place.offset}") for place in slot)
