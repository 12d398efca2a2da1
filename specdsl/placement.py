"""Clauses limited to some modules (`on mlp.down: x' = x .* k`): the spec that holds where certain items apply.

A spec with such clauses is several ordinary ones, one for each set of modules; each is checked on its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from specdsl import tree
from specdsl.elaborate.walks import all_syntax
from specdsl.printing.clause_order import in_order

Items = tuple[tree.Item, ...]


def limits_of(spec: tree.SpecTree) -> list[Items]:
    """The distinct items that clauses are limited to, in the order in which the clauses print.

    Clauses are a set: where two parts adapt the same value, which of them is the first must not hang on the text.
    """
    clauses = in_order(spec).clauses
    return list(dict.fromkeys(clause.items for clause in clauses if isinstance(clause, tree.OnClause)))


def covers(wide: Items, narrow: Items) -> bool:
    """Whether every item of `narrow` is one of `wide`, or a role of a group in it."""
    return all(any(_covers(one, item) for one in wide) for item in narrow)


def _covers(wide: tree.Item, narrow: tree.Item) -> bool:
    if wide == narrow:
        return True
    return not (wide.is_pattern or narrow.is_pattern) and narrow.text.startswith(f"{wide.text}.")


def part_of(spec: tree.SpecTree, applying: Iterable[Items]) -> tree.SpecTree:
    """The spec in the modules where the clauses limited to `applying` hold, and no other limited ones."""
    holding = set(applying)
    has_equation = any(_is_target(clause) and isinstance(clause, tree.Equation) for clause in spec.clauses)
    bare = next((one for one in spec.clauses if isinstance(one, tree.Bare) and not has_equation), None)
    clauses: list[tree.Clause] = []
    for clause in spec.clauses:
        if clause is bare and len(bare.values) == 1:
            name = _bare_target(spec, bare.values[0])
            clauses.append(tree.Equation(bare.span, (tree.Primed(bare.span, name),), bare.values))
        elif not isinstance(clause, tree.OnClause):
            clauses.append(clause)
        elif clause.items in holding:
            clauses.append(clause.clause)
    return replace(spec, clauses=tuple(clauses))


def _bare_target(spec: tree.SpecTree, value: tree.Expr) -> str:
    """What a bare expression adapts: y if it reads x or y, through definitions too, b if b and not W, else W."""
    definitions = {name: clause for clause in spec.clauses for name in introduces(clause)}
    read, pending = set(), _read([tree.Bare(value.span, (value,))])
    while pending:
        name = pending.pop()
        if name not in read:
            read.add(name)
            pending |= _read([definitions[name]]) if isinstance(definitions.get(name), tree.Equation) else set()
    if read & {"x", "y"}:
        return "y"
    return "b" if "b" in read and "W" not in read else "W"


def parts_of(spec: tree.SpecTree) -> list[tuple[Items, tree.SpecTree]]:
    """For every limit, the spec in its modules: the clauses of it and of all limits that cover it.

    With `on` for the whole spec beside it, or a target that holds everywhere, the modules that no limit reaches come
    last, with no items.
    """
    limits = limits_of(spec)
    parts = [(items, part_needed(spec, [other for other in limits if covers(other, items)])) for items in limits]
    if limits and has_target(spec):
        parts.append(((), part_needed(spec, ())))
    return parts


def part_needed(spec: tree.SpecTree, applying: Iterable[Items]) -> tree.SpecTree:
    """The spec where certain limits hold, without the definitions and factors that only other
    parts read."""
    part = part_of(spec, applying)
    elsewhere = _read(clause.clause if isinstance(clause, tree.OnClause) else clause for clause in spec.clauses)
    kept = list(part.clauses)
    while True:
        read = _read(kept)
        spare = [c for c in kept if introduces(c) and not introduces(c) & read and introduces(c) & elsewhere]
        if not spare:
            return replace(part, clauses=tuple(kept))
        kept = [clause for clause in kept if clause not in spare]


def introduces(clause: tree.Clause) -> set[str]:
    """The names that a factor line or a definition introduces."""
    if isinstance(clause, tree.FactorLine):
        return {name.name for name in clause.names if isinstance(name, tree.Name) and name.name != "W"}
    if isinstance(clause, tree.Equation):
        names = {left.name for left in clause.left if isinstance(left, tree.Name)}
        return names | {left.function for left in clause.left if isinstance(left, tree.Call)}
    return set()


def _read(clauses: Iterable[tree.Clause]) -> set[str]:
    """The names that clauses read: those of a line's own left side do not count."""
    found: set[str] = set()
    for clause in clauses:
        match clause:
            case tree.Equation(left=left, right=right):
                parts: list[tree.Syntax] = [*right, *(one for one in left if isinstance(one, tree.Subscript))]
            case tree.FactorLine(shape=shape, start=start, attributes=attributes, kinds=kinds):
                parts = [*(shape or ()), *([start] if start else []), *attributes, *kinds]
            case _:
                parts = [clause]
        for part in parts:
            for one in all_syntax(part):
                if isinstance(one, tree.Name | tree.Primed):
                    found.add(one.name)
                elif isinstance(one, tree.Call):
                    found.add(one.function)
    return found


def has_target(spec: tree.SpecTree) -> bool:
    """Whether some target is not limited."""
    return any(_is_target(clause) for clause in spec.clauses)


def _is_target(clause: tree.Clause) -> bool:
    if isinstance(clause, tree.Bare):
        return True
    if not isinstance(clause, tree.Equation):
        return False
    return any(_holds_target(left) for left in clause.left)


def _holds_target(left: tree.Expr) -> bool:
    match left:
        case tree.Primed():
            return True
        case tree.Subscript(body=tree.Primed()):
            return True
        case tree.Block(rows=rows):
            return any(_holds_target(entry) for row in rows for entry in row)
    return False
