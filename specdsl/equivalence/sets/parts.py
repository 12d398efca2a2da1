"""A rule for factors of which every term reads a part: each part becomes a factor."""

from __future__ import annotations

from collections.abc import Iterator

from specdsl.equivalence.forms.form import Atom, Form, Term
from specdsl.equivalence.forms.index import ONE, ZERO, Place, Slot, Var, slot_of
from specdsl.equivalence.sets import values
from specdsl.equivalence.sets.image import Image, Space
from specdsl.equivalence.sets.proposals import Proposal
from specdsl.sizes import Size

MOST_PARTS = 16
Part = tuple[Size, Size]
"""Where it begins, and how long it is."""


def apart(image: Image) -> Iterator[Proposal]:
    """`A[0]@B[0] + A[1]@B[1]`: what is never read together is several factors."""
    for name, space in image.factors.items():
        if not space.is_free:
            continue
        for axis in range(len(space.axes)):
            found = _parts(image, name, space, axis)
            if found is None:
                continue
            names = _names(image, name, len(found))
            spaces = {new: _space(space, axis, part) for new, part in zip(names, found, strict=True)}
            down = Form.of(space.axes, [_placed(new, spaces[new], space, axis, part)
                                        for new, part in zip(names, found, strict=True)], image.world)  # fmt: skip
            up = {new: values.stretch(name, space, axis, *part, image.world)
                  for new, part in zip(names, found, strict=True)}  # fmt: skip
            yield Proposal("parts of a free factor that are never read together are several", (name,), spaces,
                           {name: down}, up)  # fmt: skip


def _parts(image: Image, name: str, space: Space, axis: int) -> list[Part] | None:
    """The parts that are read along an axis, if they do not overlap and none is the whole."""
    found: dict[Part, None] = {}
    for _, term in image.terms():
        for atom in term.atoms:
            if name not in atom.key.trained:
                continue
            slot = atom.slots[axis] if atom.key.kind == "trained" else ()
            if atom.key.kind != "trained" or len(slot) > 1:
                return None
            found[(slot[0].offset, slot[0].var.size) if slot else (ZERO, ONE)] = None
    parts = list(found)
    if len(parts) > MOST_PARTS or (ZERO, space.axes[axis]) in found:
        return None
    for place, (start, length) in enumerate(parts):
        for other, more in parts[place + 1 :]:
            if not (image.world.at_most(start + length, other) or image.world.at_most(other + more, start)):
                return None
    return parts


def _names(image: Image, name: str, count: int) -> list[str]:
    taken = {*image.factors, *(used for step in image.steps for used in (*step.down, *step.up))}
    names: list[str] = []
    number = 0
    while len(names) < count:
        number += 1
        if f"{name}{number}" not in taken:
            names.append(f"{name}{number}")
    return names


def _space(space: Space, axis: int, part: Part) -> Space:
    _, length = part
    middle = () if length == ONE else (length,)
    return Space((*space.axes[:axis], *middle, *space.axes[axis + 1 :]))


def _placed(new: str, own: Space, space: Space, axis: int, part: Part) -> Term:
    """A part where it stands in the whole."""
    start, length = part
    slots: list[Slot] = [slot_of(size) for size in own.axes]
    if length == ONE:
        at: Slot = () if start == ZERO else (Place(Var(ONE), start),)
        out = (*slots[:axis], at, *slots[axis:])
    else:
        at = tuple(Place(place.var, start) for place in slots[axis])
        out = (*slots[:axis], at, *slots[axis + 1 :])
    return Term(ONE, (Atom(own.key(new), tuple(slots)),), tuple(out))
