"""What a comparison takes for granted: relations of sizes, fixed sizes, and what is known of W and of the starts.

`--assume`, `--where` and `--shape` say it in words and in the language's own sizes:

    generic W, n, m >= 5        r <= min(n, m)        n = m = 4        W full row rank        same A0
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

from specdsl import limits, tree
from specdsl.elaborate.expressions import Expressions
from specdsl.elaborate.solver import ShapeSolver
from specdsl.equivalence.relations import Relation, are_possible, fixed_sizes
from specdsl.errors import SpecError, SpecNameError, SpecSettingError, did_you_mean
from specdsl.ir import Node
from specdsl.nodes import scalar
from specdsl.parser import parse_tree
from specdsl.sizes import Environment, Size
from specdsl.source import Source, Span


class Statement(Enum):
    """What may be said of W and of the starts, beside sizes."""

    GENERIC = "generic W"
    NOT_ZERO = "W != 0"
    NO_ZERO_COLUMN = "no zero column in W"
    FULL_ROW_RANK = "W full row rank"
    FULL_COLUMN_RANK = "W full column rank"
    INVERTIBLE = "W invertible"
    SAME_DRAWS = "same A0"
    """Random starts of factors of equal names are the same draw."""


_PATTERNS = {
    Statement.GENERIC: r"generic W|W (is )?generic",
    Statement.NOT_ZERO: r"W ?!= ?0|W (is )?(not zero|nonzero)",
    Statement.NO_ZERO_COLUMN: r"no zero columns?( in W)?|W has no zero columns?",
    Statement.FULL_ROW_RANK: r"W (has |of )?full row rank",
    Statement.FULL_COLUMN_RANK: r"W (has |of )?full column rank",
    Statement.INVERTIBLE: r"W (is )?invertible|invertible W",
    Statement.SAME_DRAWS: r"same (\w+0|draws|starts?)",
}
_SHAPE_OF = {
    Statement.FULL_ROW_RANK: ("n", "<=", "m"),
    Statement.FULL_COLUMN_RANK: ("m", "<=", "n"),
    Statement.INVERTIBLE: ("n", "=", "m"),
}
_COMPARISON = re.compile(r"<=|>=|!=|==|<|>|=")
_SIZE_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NO_SIZES = ("x", "y", "b")
_UNDERSTOOD = "understood are {}, and relations of sizes such as `r <= min(n, m)`".format(
    ", ".join(f"`{one.value}`" for one in Statement)
)


@dataclass(frozen=True)
class Conditions:
    """What a comparison takes for granted. Make it with `Conditions.of`.

    Attributes:
        relations: between sizes; those that statements imply (`W invertible`: n = m) among them.
        statements: what is known of W and of the starts.
        texts: what was said, for printing.

    >>> said = Conditions.of(assume=["generic W, n, m >= 2"], where=["r < min(n, m)"])
    >>> said.holds({"n": 4, "m": 3, "r": 2}), said.holds({"n": 4, "m": 3, "r": 3})
    (True, False)
    >>> Conditions.of(assume=["W invertible"]).allows_cell("n<m")
    False
    """

    relations: tuple[Relation, ...] = ()
    statements: frozenset[Statement] = frozenset()
    texts: tuple[str, ...] = ()

    @staticmethod
    def of(assume: Sequence[str] = (), where: Sequence[str] = (), shape: Mapping[str, int] | None = None) -> Conditions:
        """Read the texts of `--assume` and `--where`, and the sizes of `--shape`.

        Raises:
            SpecSettingError: a text is not understood, a size is impossible, or no sizes satisfy all of it.
        """
        if not isinstance(shape or {}, Mapping):
            raise SpecSettingError(
                f"a shape gives a number for each size, not {shape!r}", hint='`shape={"n": 6, "m": 5}`'
            )
        assume, where = ([one] if isinstance(one, str) else one for one in (assume, where))
        said = [*(("assume", text) for text in assume), *(("where", text) for text in where)]
        found = [part for option, text in said for part in _parts(option, text)]
        parts = [part for _, several in found for part in several]
        statements = frozenset(part for part in parts if isinstance(part, Statement))
        relations = [part for part in parts if isinstance(part, Relation)]
        for name, value in (shape or {}).items():
            relations.append(Relation(Size.symbol(name), "=", Size.of(_checked_size(name, value))))
        texts = [text for text, _ in found] + [f"{name} = {value}" for name, value in (shape or {}).items()]
        for statement in sorted(statements, key=lambda one: one.value):
            if statement in _SHAPE_OF:
                left, sign, right = _SHAPE_OF[statement]
                relations.append(Relation(Size.symbol(left), sign, Size.symbol(right)))
        if not are_possible(relations):
            shown = ", ".join(dict.fromkeys(texts))
            raise SpecSettingError(f"no sizes satisfy all of: {shown}", hint=_shape_hint(statements))
        return Conditions(tuple(dict.fromkeys(relations)), statements, tuple(dict.fromkeys(texts)))

    def __bool__(self) -> bool:
        """Whether anything was said."""
        return bool(self.texts)

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Every size that is fixed, outright or by relations (`n = m = 4`)."""
        return fixed_sizes(self.relations)

    @cached_property
    def symbols(self) -> frozenset[str]:
        """The sizes that the relations read."""
        return frozenset[str]().union(*(relation.symbols for relation in self.relations))

    def holds(self, environment: Environment) -> bool:
        """Whether sizes satisfy every relation; one that reads a size without a value there does not count."""
        return all(relation.holds(environment) is not False for relation in self.relations)

    def allows_cell(self, cell: str) -> bool:
        """Whether sizes of a relation such as `n<m` may satisfy the conditions; False is proved, True need not be."""
        return are_possible([*self.relations, *_relations("cell", cell)])

    def implies(self, text: str) -> bool:
        """Whether a relation follows from the conditions for all sizes; True is proved, False need not be.

        >>> Conditions.of(where=["r < min(n, m)"]).implies("r <= n")
        True
        """
        wanted = _relations("implies", text)
        return all(not are_possible([*self.relations, relation.negated()]) for relation in wanted)


def shape_of(texts: Sequence[str]) -> dict[str, int]:
    """The sizes of `--shape n=6,m=5` texts.

    Raises:
        SpecSettingError: a part is no `name=number`, or a size is set twice.

    >>> shape_of(["n=6,m=5", "r=2"])
    {'n': 6, 'm': 5, 'r': 2}
    """
    sizes: dict[str, int] = {}
    for text in texts:
        for start, piece in _pieces(text):
            name, equals, value = (part.strip() for part in piece.partition("="))
            span = Span(Source(text, "<shape>"), start, start + max(len(piece), 1))
            if not equals or not _is_size(name) or not value.isdecimal():
                raise SpecSettingError(f"`{piece}` sets no size", span, "write `--shape n=6,m=5`")
            if name in sizes:
                raise SpecSettingError(f"`{name}` is set twice", span)
            sizes[name] = _checked_size(name, int(value[:12]))
    return sizes


def _checked_size(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= limits.SIZE:
        raise SpecSettingError(f"`{name}` is a whole number from 1 to 2^31, not {value}")
    return value


def _shape_hint(statements: Iterable[Statement]) -> str | None:
    said = sorted(f"`{one.value}` means {' '.join(_SHAPE_OF[one])}" for one in statements if one in _SHAPE_OF)
    return said[0] if said else None


# ------------------------------------------------------------------------------------------------ texts


def _parts(option: str, text: str) -> Iterator[tuple[str, list[Statement | Relation]]]:
    """What one text says, each part as it reads; names before a relation share it, as in `n, m >= 5`."""
    source = Source(text, f"<{option}>")
    waiting: list[tuple[Size, Span]] = []
    for start, piece in _pieces(text):
        span = Span(source, start, start + max(len(piece), 1))
        statement = _statement(piece)
        if statement is not None:
            yield statement.value, [statement]
        elif not _COMPARISON.search(piece):
            waiting.append((_lone_size(piece, span), span))
        else:
            chain = _chain(piece, span)
            shared = [Relation(size, chain[0].sign, chain[0].right) for size, _ in waiting]
            yield ", ".join([*(str(size) for size, _ in waiting), " ".join(piece.split())]), [*shared, *chain]
            waiting.clear()
    for size, span in waiting:
        raise SpecSettingError(f"`{size}` alone says nothing", span, _UNDERSTOOD)


def _relations(option: str, text: str) -> list[Relation]:
    return [part for _, parts in _parts(option, text) for part in parts if isinstance(part, Relation)]


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """What stands between the commas that are not inside brackets, each with its place."""
    start = depth = 0
    for place, character in enumerate(f"{text},"):
        depth += (character in "([") - (character in ")]")
        if character == "," and (depth <= 0 or place == len(text)):
            piece = text[start:place]
            if piece.strip():
                yield start + len(piece) - len(piece.lstrip()), piece.strip()
            elif text.strip():
                raise SpecSettingError(f"a part of `{text.strip()}` is empty", hint="parts are separated by one comma")
            start = place + 1


def _statement(piece: str) -> Statement | None:
    plain = " ".join(piece.split())
    return next((one for one, pattern in _PATTERNS.items() if re.fullmatch(pattern, plain)), None)


def _lone_size(piece: str, span: Span) -> Size:
    if not _is_size(piece):
        known = [one.value for one in Statement]
        raise SpecSettingError(f"`{piece}` is not understood", span, did_you_mean(piece, known) or _UNDERSTOOD)
    return Size.symbol(piece)


def _chain(piece: str, span: Span) -> list[Relation]:
    """`2 <= r < n` as the relations between neighbours."""
    sizes, signs, start = [], [], 0
    for found in [*_COMPARISON.finditer(piece), None]:
        stop = len(piece) if found is None else found.start()
        sizes.append(_size(piece[start:stop], Span(span.source, span.start + start, span.start + stop)))
        if found is not None:
            signs.append("=" if found.group() == "==" else found.group())
            start = found.end()
    return [Relation(left, sign, right) for left, sign, right in zip(sizes, signs, sizes[1:], strict=False)]


def _size(text: str, span: Span) -> Size:
    """A size as the language reads it; its mistakes are told at their place in the whole text."""
    if not text.strip():
        raise SpecSettingError("a side of the relation is missing", span, "for example `r <= min(n, m)`")
    try:
        clauses = parse_tree(text, span.source.name).clauses
        if len(clauses) != 1 or not isinstance(clauses[0], tree.Bare) or len(clauses[0].values) != 1:
            raise SpecSettingError(f"`{text.strip()}` is no size", span, _UNDERSTOOD)
        names = _SizeNames()
        return Expressions(names, ShapeSolver(lambda size: None)).size(clauses[0].values[0], "a relation")
    except ZeroDivisionError:
        raise SpecSettingError(f"`{text.strip()}` divides by zero", span) from None
    except SpecError as error:
        inner = error.span
        if inner is not None and inner.source is not span.source:
            inner = Span(span.source, span.start + inner.start, span.start + inner.end)
        raise SpecSettingError(error.message, inner or span, error.hint or _UNDERSTOOD) from None


def _is_size(name: str) -> bool:
    return _SIZE_NAME.fullmatch(name) is not None and name not in _NO_SIZES


class _SizeNames:
    """Every small name is a size or a hyper-parameter; nothing else has a name here."""

    def look_up(self, name: str, span: Span) -> Node:
        if not _is_size(name):
            raise SpecNameError(f"`{name}` is no size", span)
        return scalar(Size.symbol(name))

    def primed(self, name: str, span: Span) -> Node:
        raise SpecNameError(f"`{name}'` is no size", span)

    def function(self, name: str) -> tuple[tuple[str, ...], tree.Expr] | None:
        return None

    def known(self) -> list[str]:
        return []

    def warn(self, message: str, span: Span) -> None:
        return None

    def undefined(self, size: Size) -> str | None:
        return None
