"""The source of the functions that emitted code brings along, and the imports it needs."""

from __future__ import annotations

import ast
import inspect
from types import FunctionType

from specdsl.lowering import emit_functions

_FUNCTIONS = {
    name: value
    for name, value in vars(emit_functions).items()
    if isinstance(value, FunctionType) and value.__module__ == emit_functions.__name__
}
FUNCTION_NAMES = frozenset(_FUNCTIONS)
"""The functions that emitted code may call."""


def functions_for(source: str) -> list[str]:
    """The source of all functions that `source` calls, directly or through others, in the order of their file."""
    wanted: set[str] = set()
    pending = _called(source)
    while pending:
        name = pending.pop()
        if name not in wanted:
            wanted.add(name)
            pending |= _called(inspect.getsource(_FUNCTIONS[name]))
    return [inspect.getsource(function).rstrip() for name, function in _FUNCTIONS.items() if name in wanted]


def _called(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)} & FUNCTION_NAMES


def imports_for(source: str) -> list[str]:
    """The import lines of `source`, sorted as ruff sorts them."""
    names = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    lines = ["import math", ""] if "math" in names else []
    lines += ["import torch"] if "torch" in names else []
    lines += ["import torch.nn.functional as F"] if "F" in names else []
    return [*lines, f"from torch import {', '.join(name for name in ('Tensor', 'nn') if name in names)}"]
