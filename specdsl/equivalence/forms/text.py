"""Forms as text, in the language: products, entrywise products, diagonals, blocks, stretches and norms.

What the language has no word for is a sum over indices, `[sum_{k} A[i,k]*B[j,k]]_(i,j)`. Axes of size 1 are left out,
so an `n x 1` matrix is written as the vector that it is.
"""

from __future__ import annotations

from collections.abc import Mapping

from specdsl.equivalence.forms.form import Form, Key, Term
from specdsl.equivalence.forms.index import ONE, ZERO, Place, Slot, Var, length
from specdsl.equivalence.forms.networks import network_text
from specdsl.sizes import Size

_NAMES = "ijklpqstuv"


def form_text(form: Form) -> str:
    """A form as a user would write it, `A@G + 2*W`; with indices where the language does not say it.

    Every factor keeps its name; constants are named as in `svd(W) = U, S, V`.
    """
    form = _squeezed(form)
    if form.is_zero:
        return _zeros(form.axes) if form.axes else "0"
    turned = _cayley(form)
    if turned is not None:
        return turned
    terms = dict(sorted(form.terms.items(), key=lambda entry: sorted(entry[1].trained)))  # what is fixed comes first
    whole = {text: term for text, term in terms.items() if _is_whole(term, form.axes)}
    parts = [_term_text(term) for term in whole.values()]
    if len(whole) < len(terms):
        parts += _blocks({text: term for text, term in terms.items() if text not in whole}, form)
    parts.sort(key=lambda part: part.startswith("-"))
    return " + ".join(parts).replace("+ -", "- ")


def _cayley(form: Form) -> str | None:
    """`cayley(S)` for `2*inverse(eye + S) - eye`."""
    terms = sorted(form.terms.values(), key=lambda term: len(term.atoms))
    if [(len(term.atoms), term.coefficient) for term in terms] != [(0, -ONE), (1, ONE + ONE)]:
        return None
    ((inverse,), out) = terms[1].atoms, terms[1].out
    if inverse.key.name != "inverse" or inverse.slots != out or terms[0].out[-1] != terms[0].out[-2]:
        return None
    (argument,) = inverse.key.arguments
    skew = {text: term for text, term in argument.terms.items() if term.atoms}
    units = [term for term in argument.terms.values() if not term.atoms and term.out[-1] == term.out[-2]]
    if len(units) != 1 or units[0].coefficient != ONE or len(skew) + 1 != len(argument.terms):
        return None
    return f"cayley({form_text(Form(argument.axes, skew, form.world))})"


def _is_whole(term: Term, axes: tuple[Size, ...]) -> bool:
    return all(_stretch(slot) == (ZERO, size) for slot, size in zip(term.out, axes, strict=True))


def _term_text(term: Term, with_indices: bool = False) -> str:
    scale, text = (None if with_indices else network_text(term, key_text)) or (ONE, _indexed(term))
    coefficient = term.coefficient * scale
    number = str(coefficient) if len(coefficient.terms) == 1 else f"({coefficient})"
    if number == "1":
        return text
    return number if text == "1" else f"-{text}" if number == "-1" else f"{number}*{text}"


def _squeezed(form: Form) -> Form:
    """Without axes of size 1."""
    kept = [axis for axis, size in enumerate(form.axes) if size != ONE]
    if len(kept) == len(form.axes):
        return form
    terms = {text: Term(t.coefficient, t.atoms, tuple(t.out[axis] for axis in kept)) for text, t in form.terms.items()}
    return Form(tuple(form.axes[axis] for axis in kept), terms, form.world)


def key_text(key: Key) -> str:
    """An atom's name; of an operator with what it is applied to."""
    match key.kind, key.name:
        case "start", name:
            return f"init({name})"
        case "draw", name:
            return name.replace("(", "(seed=")
        case "mask", name:
            return f"{name}(ones({key.axes[0]}, {key.axes[1]}))"
        case "wrap", _:
            return f"tile(eye({key.axes[1]}), {key.axes[0]})"
        case "select", _ if len(key.axes) == 2:
            return f"eye({key.axes[1]})[{form_text(key.arguments[0])}, :]"
    if not key.arguments:
        return key.name.removesuffix(" (given)")
    inner = ", ".join(form_text(argument) for argument in key.arguments)
    if key.name == "entries":
        return f"({inner})"
    name = key.name.removeprefix("full-rank ")
    settings = "".join(f", {option}" for option in key.options)
    return f"{name}({inner}{settings})"


# ------------------------------------------------------------------------------------------------ blocks


def _blocks(terms: Mapping[str, Term], form: Form) -> list[str]:
    """`[A, B]` or `[A; B]` for terms that fill stretches of an axis that follow each other; else one by one."""
    together = _row(Form(form.axes, terms, form.world))
    if together is not None:
        return [together]
    alone = (Form(form.axes, {text: term}, form.world) for text, term in terms.items())
    return [_row(one) or _term_text(next(iter(one.terms.values())), True) for one in alone]


def _row(form: Form) -> str | None:
    if len(form.axes) not in (1, 2):
        return None
    for axis, size in enumerate(form.axes):
        stretches: dict[tuple[Size, Size], dict[str, Term]] = {}
        for text, term in form.terms.items():
            stretches.setdefault(_stretch(term.out[axis]), {})[text] = term
        if set(stretches) != {(ZERO, size)}:
            return _in_a_row(form, axis, stretches)
    return None


def _stretch(slot: Slot) -> tuple[Size, Size]:
    """Where a slot starts, and how long it is; an empty one is the first place."""
    return (slot[0].offset, slot[0].var.size) if len(slot) == 1 else (ZERO, length(slot) if slot else ONE)


def _in_a_row(form: Form, axis: int, stretches: Mapping[tuple[Size, Size], Mapping[str, Term]]) -> str | None:
    here, parts = ZERO, []
    left = dict(stretches)
    while left:
        following = next((place for place in left if place[0] == here), None)
        if following is None:
            starts = [place for place in left if form.world.at_most(here, place[0])]
            if len(starts) != 1:
                return None
            parts.append(_zeros(_with_axis(form, axis, starts[0][0] - here)))
            here = starts[0][0]
            continue
        part = Form(_with_axis(form, axis, following[1]), _moved(left.pop(following), axis), form.world)
        parts.append(form_text(part))
        here = here + following[1]
    if here != form.axes[axis]:
        parts.append(_zeros(_with_axis(form, axis, form.axes[axis] - here)))
    return f"[{('; ' if axis == 0 and len(form.axes) == 2 else ', ').join(parts)}]"


def _with_axis(form: Form, axis: int, size: Size) -> tuple[Size, ...]:
    return tuple(size if place == axis else one for place, one in enumerate(form.axes))


def _moved(terms: Mapping[str, Term], axis: int) -> dict[str, Term]:
    """The terms with a stretch of an axis as the whole of it."""
    return {
        text: Term(
            term.coefficient,
            term.atoms,
            tuple(tuple(Place(p.var) for p in slot) if at == axis else slot for at, slot in enumerate(term.out)),
        )
        for text, term in terms.items()
    }


def _zeros(axes: tuple[Size, ...]) -> str:
    return f"zeros({', '.join(map(str, axes))})"


# ------------------------------------------------------------------------------------------------ indices


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
