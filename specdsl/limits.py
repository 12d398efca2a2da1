"""The bounds on a spec, in one place. A spec is untrusted input: what is past a bound is refused by name."""

from __future__ import annotations

TEXT_BYTES = 64 * 1024
"""The longest text of a spec."""
NODES = 5_000
"""The most syntax nodes of a spec, and the most that are read when its functions are written out."""
WRITTEN = 20_000
"""The most nodes of one value when the definitions that it reads are written out."""
FACTORS = 64
"""The most factors: each is moved on its own when the start is checked."""
AXES = 8
"""The most axes of a factor."""
UNROLLED = 20_000
"""The most nodes that a fold (`sum(E for i < k)`) may become when it is written out for a module."""
SERIES = 64
"""The most terms of a truncated series."""
NESTING = 100
"""The deepest nesting of an expression."""
EXPONENT = 16
"""The largest whole exponent."""
SIZE = 2**31
"""The largest product of sizes: the entries of one factor or value."""
TERMS = 200
"""The most terms of one size or number, and the most bits of a coefficient are twenty times as many."""
CHECKED = 2**23
"""The most entries that the check of the start computes, for small example sizes, over all values together."""
DIGITS = 40
"""The longest number."""
