"""Random specs of weights, rich in what the checker has rules for: products, diagonals, stretches, blocks, functions.

Every spec is made of text pieces with known shapes; `Maker` draws them from a seeded generator, so that one number
is one spec. Factors start at random, so that nothing is said of starts and nothing is dead by its start.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

Shape = tuple[str, str]


@dataclass
class Maker:
    """Draws expressions.

    Attributes:
        seed: one seed is one spec.
        is_plain: only what forms write out, no functions of entries.
        factors: declared so far, with kind, shape and what follows it.
    """

    seed: int
    is_plain: bool = False
    factors: dict[str, tuple[str, tuple[str, ...], str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def pick(self, *options: str) -> str:
        return self.random.choice(options)

    def spec(self, terms: int = 2, depth: int = 2) -> str:
        """A spec of a weight in one line."""
        added = [self.matrix("n", "m", depth) for _ in range(self.random.randint(1, terms))]
        carrier = self.pick("W", "W", "W", "2*W", f"diag({self.vector('n')})@W", f"W@diag({self.vector('m')})")
        return self.line(" + ".join([carrier, *added]))

    def line(self, target: str) -> str:
        """A target with the factors that it reads."""
        clauses = [f"W' = {target}"]
        for name, (kind, shape, rest) in self.factors.items():
            if not re.search(rf"\b{name}\b", target):
                continue
            clauses.append(f"{kind} {name} : {' x '.join(shape)} {rest}".strip())
        return " | ".join([*clauses, "starts: elsewhere"])

    def factor(self, *shape: str) -> str:
        """A factor, new or an old one of this shape."""
        old = [name for name, (_, axes, _) in self.factors.items() if axes == shape]
        if old and self.random.random() < 0.25:
            return self.random.choice(old)
        number = len(self.factors) + 1
        name = f"{'v' if len(shape) == 1 else 'F'}{number}"
        roll = self.random.random()
        if roll < 0.12:
            self.factors[name] = ("frozen", shape, f"~ normal(seed={self.random.randint(1, 2)})")
        elif roll < 0.2:
            self.factors[name] = ("frozen", shape, "~ normal")
        elif roll < 0.28 and shape in (("n", "r"), ("r", "m"), ("n", "n")):
            self.factors[name] = ("", shape, "~ orthogonal, orthonormal")
        else:
            self.factors[name] = ("", shape, "~ normal")
        return name

    def vector(self, size: str, depth: int = 0) -> str:
        roll = self.random.randint(0, 9 if depth and not self.is_plain else 4 if depth else 1)
        match roll:
            case 2:
                return f"({self.vector(size)} .* {self.vector(size)})"
            case 3:
                return f"({self.vector(size)}@{self.leaf(size, size)})"
            case 4:
                return f"({self.vector(size)} + {self.vector(size)})"
            case 5:
                return f"colnorm({self.matrix(self.pick('n', 'm', 'r'), size, depth - 1)})"
            case 6:
                return f"relu({self.vector(size)})"
            case 7:
                return f"exp({self.vector(size)})"
            case 8:
                return f"({self.vector(size)} ./ colnorm({self.matrix(self.pick('n', 'm', 'r'), size, depth - 1)}))"
        return self.factor(size)

    def leaf(self, rows: str, columns: str) -> str:
        if (rows, columns) == ("n", "m") and self.random.random() < 0.3:
            return "W"
        if (rows, columns) == ("m", "n") and self.random.random() < 0.3:
            return "W.T"
        if rows == columns and self.random.random() < 0.3:
            return self.pick(f"diag({self.factor(rows)})", f"eye({rows})")
        roll = self.random.random()
        if roll < 0.15:
            return f"{self.factor(columns, rows)}.T"
        if roll < 0.22:
            return f"outer({self.factor(rows)}, {self.factor(columns)})"
        if roll < 0.26:
            return f"ones({rows}, {columns})"
        return self.factor(rows, columns)

    def matrix(self, rows: str, columns: str, depth: int) -> str:
        if depth <= 0:
            return self.leaf(rows, columns)
        inside = self.pick("r", "r", "n", "m")
        match self.random.randint(0, 15 if self.is_plain else 18):
            case 0 | 1 | 2 | 3:
                return f"({self.matrix(rows, inside, depth - 1)}@{self.matrix(inside, columns, depth - 1)})"
            case 4:
                return f"({self.matrix(rows, columns, depth - 1)} .* {self.matrix(rows, columns, depth - 1)})"
            case 5:
                sign = self.pick("+", "-")
                return f"({self.matrix(rows, columns, depth - 1)} {sign} {self.matrix(rows, columns, depth - 1)})"
            case 6:
                return f"({self.pick('2', '0.5', 'alpha/r', 'r')}*{self.matrix(rows, columns, depth - 1)})"
            case 7:
                return f"({self.matrix(rows, columns, depth - 1)}@diag({self.vector(columns, depth - 1)}))"
            case 8:
                return f"(diag({self.vector(rows, depth - 1)})@{self.matrix(rows, columns, depth - 1)})"
            case 9:
                return f"({self.matrix(rows, columns, depth - 1)} .* {self.vector(columns, depth - 1)})"
            case 10 if rows in "nm" and columns in "nm":
                left, right = self.matrix(rows, f"{columns}/2", depth - 1), f"zeros({rows}, {columns}/2)"
                parts = [left, self.pick(right, right, self.matrix(rows, f"{columns}/2", 0))]
                self.random.shuffle(parts)
                return f"[{', '.join(parts)}]"
            case 11 if rows in "nm" and columns in "nm":
                parts = [self.matrix(f"{rows}/2", columns, depth - 1), self.pick(
                    f"zeros({rows}/2, {columns})", self.matrix(f"{rows}/2", columns, 0))]  # fmt: skip
                self.random.shuffle(parts)
                return f"[{'; '.join(parts)}]"
            case 12 if rows in ("r", "n/2") or columns in ("r", "m/2"):
                return f"{self.matrix('n', 'm', depth - 1)}[:{rows}, :{columns}]"
            case 13 if rows in "nm" and columns in "nm":
                return f"kron({self.leaf(f'{rows}/2', '2')}, {self.leaf('2', f'{columns}/2')})"
            case 14 if rows == columns and rows in "nm":
                return f"blockdiag({self.factor(f'{rows}/2', '2', '2')})"
            case 15 if rows == columns:
                return f"{self.pick('lower', 'sym', 'skew')}({self.matrix(rows, columns, depth - 1)})"
            case 16:
                return f"relu({self.matrix(rows, columns, depth - 1)})"
            case 17:
                return f"exp({self.leaf(rows, columns)})"
            case 18 if rows == columns:
                return f"inverse(eye({rows}) + {self.leaf(rows, columns)})"
        return self.matrix(rows, columns, depth - 1)
