"""Forms as text: products of matrices where they are chains, else sums over indices."""

from __future__ import annotations

from specdsl.equivalence.forms.form import Atom, Form, Key, Term
from specdsl.equivalence.forms.index import ONE, ZERO, Slot, Var
from specdsl.sizes import Size

_NAMES = "ijklpqstuv"


def form_text(form: Form) -> str:
    """A form as a user would write it, `A@G + 2*W`; with indices where matrices do not say it.

    Every factor keeps its name; constants are named as in `svd(W) = U, S, V`.
    """
    if form.is_zero:
        return "0"
    parts = []
    for term in form.terms.values():
        number, text = _coefficient(term.coefficient), _chain(term) or _indexed(term)
        parts.append(text if number == "1" else f"-{text}" if number == "-1" else f"{number}*{text}")
    parts.sort(key=lambda part: part.startswith("-"))
    joined = " + ".join(parts)
    return joined.replace("+ -", "- ")


def _coefficient(size: Size) -> str:
    return str(size) if len(size.terms) == 1 else f"({size})"


def key_text(key: Key) -> str:
    if not key.arguments:
        return f"{key.name}0" if key.kind == "start" else key.name
    inner = ", ".join(form_text(argument) for argument in key.arguments)
    if key.name == "entries":
        return f"({inner})"
    settings = "".join(f", {option}" for option in key.options)
    return f"{key.name}({inner}{settings})"


def _chain(term: Term) -> str | None:
    """`A@diag(d)@B`, if the atoms lie on a path from the first axis to the second."""
    if len(term.out) != 2 or any(len(slot) != 1 or slot[0].offset != ZERO for slot in term.out):
        return _vector(term)
    left, right = term.out[0][0].var, term.out[1][0].var
    if left is right and not term.atoms:
        return f"eye({left.size})"
    rest, here, parts = list(term.atoms), left, []
    if any(len(atom.slots) > 2 or atom.power != 1 for atom in rest):
        return None
    uses: dict[Var, int] = {}
    for atom in rest:
        for var in atom.vars:
            uses[var] = uses.get(var, 0) + 1
    while True:
        for vector in [atom for atom in rest if _is_vector_at(atom, here)]:
            parts.append(f"diag({key_text(vector.key)})")
            rest.remove(vector)
        if here is right:
            return "@".join(parts) if parts and not rest else None
        step = next((atom for atom in rest if len(atom.slots) == 2 and _var(atom.slots[0]) is here), None)
        flipped = next((atom for atom in rest if len(atom.slots) == 2 and _var(atom.slots[1]) is here), None)
        chosen = step or flipped
        if chosen is None or _var(chosen.slots[0]) is _var(chosen.slots[1]):
            return None
        rest.remove(chosen)
        parts.append(_bracketed(chosen.key) + ("" if step is not None else ".T"))
        after = _var(chosen.slots[1] if step is not None else chosen.slots[0])
        if after is None:
            return None
        here = after


def _bracketed(key: Key) -> str:
    return key_text(key)


def _var(slot: Slot) -> Var | None:
    return slot[0].var if len(slot) == 1 and slot[0].offset == ZERO else None


def _is_vector_at(atom: Atom, var: Var) -> bool:
    return len(atom.slots) == 1 and _var(atom.slots[0]) is var


def _vector(term: Term) -> str | None:
    """Vectors and numbers: `g .* c`."""
    if len(term.out) == 0 and not term.atoms:
        return "1"
    if len(term.out) == 1 and all(atom.slots == term.out for atom in term.atoms):
        parts = [key_text(atom.key) + ("" if atom.power == 1 else f".^({atom.power})") for atom in term.atoms]
        return " .* ".join(parts) if parts else f"ones({term.out[0][0].var.size})" if term.out[0] else "1"
    return None


def _indexed(term: Term) -> str:
    names: dict[Var, str] = {}

    def shown(slot: Slot) -> str:
        found = []
        for place in slot:
            names.setdefault(place.var, _NAMES[len(names)] if len(names) < len(_NAMES) else f"i{len(names)}")
            found.append(names[place.var] + ("" if place.offset == ZERO else f"+{place.offset}"))
        return ".".join(found) if found else "0"

    out = ",".join(shown(slot) for slot in term.out)
    atoms = "*".join(
        f"{key_text(atom.key)}[{','.join(shown(slot) for slot in atom.slots)}]"
        + ("" if atom.power == 1 else f"^({atom.power})")
        for atom in term.atoms
    )
    bound = [names[var] for var in names if var not in term.open_vars and var.size != ONE]
    inner = atoms or "1"
    summed = f"sum_{{{','.join(bound)}}} {inner}" if bound else inner
    return f"[{summed}]_({out})"
