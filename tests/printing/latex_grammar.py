"""A checker of formulas for tests: the rules that LaTeX, MathJax and KaTeX share."""

from __future__ import annotations

import re

COMMANDS = frozenset({
    "alpha", "beta", "gamma", "epsilon", "lambda", "sigma", "tau", "frac", "sqrt", "sum", "prod", "max", "min",
    "log", "exp", "sin", "cos", "tanh", "operatorname", "mathrm", "mathbb", "mathcal", "mathbf", "text", "left",
    "right", "begin", "end", "odot", "oslash", "otimes", "cdot", "times", "top", "circ", "in", "sim", "le",
    "ge", "ne", "quad", "lVert", "rVert", "lfloor", "rfloor", "lceil", "rceil", "bmod",
})  # fmt: skip
SIGNS = frozenset({"\\_", "\\,", "\\\\", "\\ "})
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\s+|.", re.DOTALL)
_TEXT = re.compile(r"\\text\{((?:\\[A-Za-z]+\{\}|\\.|[^\\{}])*)\}")
_ENVIRONMENT = re.compile(r"\\(begin|end)\{([a-z]+)\}")
_NAMED = re.compile(r"\\(operatorname|mathrm)\{((?:\\_|[A-Za-z0-9])*)\}")


def assert_is_latex(formula: str) -> None:
    """Demand that brackets, `\\left`, `\\right` and environments pair up and no symbol has two indices."""
    plain = _NAMED.sub("N", _TEXT.sub("T", formula))
    plain = _ENVIRONMENT.sub(lambda found: f"\\{found[1]} {found[2]} ", plain)
    tokens = [token for token in _TOKEN.findall(plain) if token.strip() or token == r"\ "]
    _Reader(tokens).read()


class _Reader:
    def __init__(self, tokens: list[str]) -> None:
        self.tokens = tokens
        self.place = 0
        self.open: list[str] = []
        self.scripts: list[set[str]] = [set()]

    def read(self) -> None:
        while self.place < len(self.tokens):
            self.step(self.next())
        assert not self.open, f"never closed: {self.open}"

    def next(self) -> str:
        self.place += 1
        return self.tokens[self.place - 1]

    def step(self, token: str) -> None:
        if token.startswith("\\") and len(token) > 1:
            assert token[1:] in COMMANDS or token in SIGNS, token
        match token:
            case "^" | "_" | "'":
                self.script(token)
            case "{":
                self.enter("}")
            case r"\left":
                self.next()
                self.enter(r"\right")
            case r"\begin":
                self.enter(rf"\end {self.word()}")
            case r"\end":
                self.leave(rf"\end {self.word()}")
            case "}" | r"\right":
                self.leave(token)
                self.place += token == r"\right"
            case "&" | r"\\":
                assert "".join(self.open[-1:]).startswith(r"\end"), f"{token} outside a table"
                self.scripts[-1] = set()
            case _:
                self.scripts[-1] = set()

    def word(self) -> str:
        """The name of the environment that begins or ends here."""
        rest = "".join(self.tokens[self.place : self.place + 7])
        name = next(name for name in ("aligned", "bmatrix", "cases") if rest.startswith(name))
        self.place += len(name)
        return name

    def script(self, sign: str) -> None:
        assert sign not in self.scripts[-1], f"double {sign} before {self.tokens[self.place : self.place + 9]}"
        assert not (sign == "^" and "'" in self.scripts[-1]), "an exponent after a prime"
        self.scripts[-1] = self.scripts[-1] | {sign}
        if sign != "'":
            kept, depth = self.scripts[-1], len(self.open)
            self.step(self.next())
            while len(self.open) > depth:
                self.step(self.next())
            self.scripts[-1] = kept

    def enter(self, closing: str) -> None:
        self.open.append(closing)
        self.scripts.append(set())

    def leave(self, closing: str) -> None:
        assert self.open[-1:] == [closing], f"{closing} closes nothing"
        self.open.pop()
        self.scripts.pop()
        self.scripts[-1] = set()
