"""What emitted code calls a value that the spec does not name."""

from __future__ import annotations

from specdsl.ir import Apply, Factor, Node, Site
from specdsl.plan import Project, Through

PART_NAMES = {"svd": "USV", "qr": "QR", "lu": "PLU", "ldu": "PLDU", "eigh": "EV"}
"""What the values of a decomposition are called."""

_WORDS = {
    "matmul": "product", "add": "total", "times": "scaled", "divide": "scaled", "scale": "scaled",
    "transpose": "turned", "norm": "length", "rownorm": "lengths", "colnorm": "lengths", "relu": "active",
    "softmax": "shares", "slice": "part", "take": "rows", "dropout": "dropped", "householder": "reflections",
    "cayley": "rotation", "skew": "skewed", "diag": "diagonal", "inverse": "inverted", "sqrt": "root", "eye": "one",
}  # fmt: skip


def word_for(node: Node) -> str:
    """What a value is called that the spec does not name."""
    match node:
        case Project():
            return "hidden"
        case Through():
            return "output"
        case Factor():
            return node.name
        case Site():
            return "rows"
        case Apply():
            return _WORDS.get(node.operator, "value")
    return "value"
