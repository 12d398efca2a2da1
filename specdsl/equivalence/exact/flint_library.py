"""FLINT, where it is installed. It is faster, and has the functions of balls; nothing else depends on it."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

flint: Any = import_module("flint") if find_spec("flint") is not None else None
