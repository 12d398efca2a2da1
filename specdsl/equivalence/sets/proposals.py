"""Proposed changes of a parametrisation, and the exact check that accepts them.

Every rule proposes old factors by new ones (`down`) and new by old (`up`). What is accepted is checked exactly: the new
forms are the old ones with `down` put in, so they reach nothing more; and with `up` put in they are the old forms
again, so they reach nothing less. Where `down` needs a theorem (a matrix of rank r is a product), the rule names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from specdsl.equivalence.forms.form import Form
from specdsl.equivalence.sets.image import Image, Space, Step

Rule = Callable[[Image], Iterator["Proposal"]]


class Proposal:
    """A change that a rule proposes.

    Attributes:
        rule: its name.
        down: old factors over new ones; those that stay are left out. None where a theorem says that they exist, and
            then `forms` are the new forms.
        up: new factors over old ones.
        spaces: of the new factors.
        gone: names of the old factors that are replaced.
    """

    def __init__(
        self, rule: str, gone: tuple[str, ...], spaces: Mapping[str, Space], down: Mapping[str, Form] | None,
        up: Mapping[str, Form], forms: Mapping[str, Form] | None = None, condition: str = "",
        down_text: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.rule = rule
        self.gone = gone
        self.spaces = dict(spaces)
        self.down = down
        self.up = up
        self.forms = forms
        self.condition = condition
        self.down_text = down_text


def accepted(image: Image, proposal: Proposal) -> Image | None:
    """The image after a proposal, if the exact check says that it is the same and simpler."""
    forms = proposal.forms if proposal.down is None else image.put(proposal.down)
    assert forms is not None
    factors = {name: space for name, space in image.factors.items() if name not in proposal.gone} | proposal.spaces
    gone = {name: image.factors[name] for name in proposal.gone}
    said = proposal.down_text or {}
    step = Step(proposal.rule, gone, proposal.up, proposal.down or {}, said, proposal.condition)
    after = image.over(forms, factors, step)
    if after.complexity >= image.complexity:
        return None
    return after if all(form.put(proposal.up) == image.forms[name] for name, form in forms.items()) else None
