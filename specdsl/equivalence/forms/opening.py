"""Operators that algebra does not open stay atoms of their own; some open once their arguments are known."""

from __future__ import annotations

from specdsl.equivalence.forms.form import Form, Key, Term, World, atom_form
from specdsl.equivalence.forms.index import ONE


def opened(key: Key, world: World) -> Form:
    """The form of an operator over arguments that may have become simpler."""
    argument = key.arguments[0] if key.arguments else None
    if argument is not None and len(key.arguments) == 1:
        if key.name == "entries":
            full = argument if len(argument.axes) == len(key.axes) else _squeezed(argument)
            return full
        if key.name == "inverse" and _is_identity(argument):
            return argument
        if argument.is_zero and key.name in KEEPS_ZERO:
            return Form(key.axes, {}, world)
    return atom_form(key, key.axes, world)


KEEPS_ZERO = frozenset({"relu", "abs", "tanh", "sin", "gelu", "silu"})


def _is_identity(form: Form) -> bool:
    if len(form.terms) != 1 or len(form.axes) != 2:
        return False
    (term,) = form.terms.values()
    return not term.atoms and term.coefficient == ONE and term.out[0] == term.out[1]


def _squeezed(form: Form) -> Form:
    """Without axes of size 1."""
    kept = [axis for axis, size in enumerate(form.axes) if size != ONE]
    terms = [Term(t.coefficient, t.atoms, tuple(t.out[axis] for axis in kept)) for t in form.terms.values()]
    return Form.of([form.axes[axis] for axis in kept], terms, form.world)
