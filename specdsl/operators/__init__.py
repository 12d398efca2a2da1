"""The operators of the language, a file per family; `registry` says what an operator is."""

from specdsl.operators import (
    decompositions,
    elementwise,
    indexing,
    layouts,
    noise,
    norms,
    packed,
    products,
    quantising,
    random_starts,
    rotations,
    spectral,
    structure,
)
from specdsl.operators.registry import (
    Operator,
    Option,
    add_operator,
    all_operators,
    find_operator,
    operator,
    operator_names,
    remove_operator,
    seal_built_in,
)

seal_built_in()

__all__ = [
    "Operator", "Option", "add_operator", "all_operators", "decompositions", "elementwise", "find_operator",
    "indexing", "layouts", "noise", "norms", "operator", "operator_names", "packed", "products", "quantising",
    "random_starts", "remove_operator", "rotations", "spectral", "structure",
]  # fmt: skip
