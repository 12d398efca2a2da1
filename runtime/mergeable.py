"""Whether the adapted weights of an adapter can take the place of the base's, and what is lost by that."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from specdsl.errors import SpecMergeError, SpecWarning
from specdsl.lowering.finite import is_finite
from specdsl.runtime.member import Member

if TYPE_CHECKING:
    from specdsl.runtime.adapter import Adapter


def check_mergeable(adapter: Adapter) -> None:
    """Raise SpecMergeError unless the adapter is a weight, finite, and its modules can hold it."""
    facts = adapter.spec.facts
    if not facts.mergeable:
        raise SpecMergeError(
            f"{adapter.spec.label} is not a weight and cannot be merged: {facts.why_not}",
            hint="keep it attached, or save it as an adapter",
        )
    for place, name, value in adapter.factors():
        if not is_finite(value):
            raise SpecMergeError(f"the factor `{name}` of `{place}` has values that are not finite")
    for member in adapter.members:
        _check_member(member)


def _check_member(member: Member) -> None:
    lowered, site, target = member.layer.lowered, member.surveyed.site, member.surveyed.target
    if site.weight_is_diagonal and "W" in lowered.weight and not lowered.weight_is_diagonal:
        raise SpecMergeError(
            f"W' of `{target.name}` is not diagonal, as a norm's weight has to be",
            hint="adapt norms with diag(...)",
        )
    if site.kind == "Embedding" and "b" in lowered.weight:
        raise SpecMergeError(f"`{target.name}` is an embedding and has no bias to merge into")
    if site.kind == "RMSNorm" and "b" in lowered.weight:
        raise SpecMergeError(f"`{target.name}` is an RMS norm and has no bias to merge into")
    if target.shares:
        raise SpecMergeError(
            f"the weight of `{target.name}` is also that of `{target.shares[0]}`: merging would change both",
            hint="untie the weights first",
        )


def new_biases(members: Sequence[Member]) -> list[str]:
    """The modules that get a bias by merging and had none."""
    return [member.name for member in members if "b" in member.layer.lowered.weight and not member.state.had_bias]


def warn_of_new_biases(names: Sequence[str]) -> None:
    """Warn the caller of `Adapter.merge_and_unload`."""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    warnings.warn(
        f"`{names[0]}`{more} had no bias and has one now: a model that is built anew from its configuration leaves it "
        "out; keep the adapter attached there, or save it", SpecWarning, stacklevel=3,
    )  # fmt: skip
