"""Derivatives of forms along directions of their factors."""

from __future__ import annotations

from specdsl.equivalence.forms.form import Atom, Form, Key, Term
from specdsl.equivalence.forms.index import NoForm
from specdsl.equivalence.sets.image import Space
from specdsl.sizes import Size


def direction(space: Space) -> Key:
    """The atom that stands for a direction in which a factor moves."""
    return Key("trained", "\0direction", space.axes)


def derived(form: Form, name: str, space: Space) -> Form:
    """The derivative of a form along `direction(space)` of a factor, by the rule for products.

    Raises:
        NoForm: the factor stands inside an operator.
    """
    along = direction(space)
    terms: list[Term] = []
    for term in form.terms.values():
        for place, atom in enumerate(term.atoms):
            if name not in atom.key.trained:
                continue
            if atom.key.kind != "trained":
                raise NoForm(f"`{name}` inside `{atom.key.name}`")
            rest = [*term.atoms[:place], Atom(along, atom.slots), *term.atoms[place + 1 :]]
            if atom.power != 1:
                rest.append(Atom(atom.key, atom.slots, atom.power - 1))
            terms.append(Term(term.coefficient * Size.of(atom.power), tuple(rest), term.out))
    return Form.of(form.axes, terms, form.world)
