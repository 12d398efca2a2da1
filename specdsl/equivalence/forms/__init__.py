"""The index normal form: expressions as sums of tensor networks, equal for all sizes exactly if their forms are."""

from specdsl.equivalence.forms.form import Atom, Form, Key, Term, World
from specdsl.equivalence.forms.index import NoForm

__all__ = ["Atom", "Form", "Key", "NoForm", "Term", "World"]
