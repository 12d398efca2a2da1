"""The methods of the library that a linear layer takes as they are."""

from __future__ import annotations

from specdsl.library_specs import library_names
from specdsl.spec import Spec, parse


def fits_any_layer(spec: Spec) -> bool:
    """Whether a spec is for all modules alike, trains none beside them, names no kernel and wants no index."""
    needs_index = any(factor.start is None for factor in spec.ir.factors.values())
    return not (spec.parts or spec.clauses.train or spec.clauses.view or needs_index)


FOR_LINEAR = [name for name in library_names() if fits_any_layer(parse(name))]
