"""The parametrisation of a reachable set that no rule makes simpler."""

from __future__ import annotations

from specdsl.equivalence.forms.index import NoForm
from specdsl.equivalence.sets.absorbing import (
    companion,
    merged_beside,
    merged_product,
    shift,
    surjective,
    unit_coefficient,
)
from specdsl.equivalence.sets.image import Image
from specdsl.equivalence.sets.parts import apart
from specdsl.equivalence.sets.proposals import Rule, accepted
from specdsl.equivalence.sets.ranges import entrywise, powers, reflections, rotations
from specdsl.equivalence.sets.ranks import full_rank, low_rank, summed, unconstrained

MOST_STEPS = 40


def reduced(image: Image) -> Image:
    """The parametrisation that no rule makes simpler."""
    for _ in range(MOST_STEPS):
        for rule in RULES:
            after = _first(image, rule)
            if after is not None:
                image = after
                break
        else:
            return image
    return image


def _first(image: Image, rule: Rule) -> Image | None:
    proposals = rule(image)
    while True:
        try:
            proposal = next(proposals, None)
            after = None if proposal is None else accepted(image, proposal)
        except NoForm:
            continue
        if proposal is None or after is not None:
            return after


RULES: tuple[Rule, ...] = (
    apart, shift, unit_coefficient, companion, merged_beside, merged_product, entrywise, powers, rotations, reflections,
    unconstrained, surjective, low_rank, full_rank, summed,
)  # fmt: skip
