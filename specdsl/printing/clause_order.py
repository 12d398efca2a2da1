"""The order in which a spec's clauses print: what they say decides their group, the author their order in it."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from specdsl import tree
from specdsl.sizes import SIZE_FUNCTIONS

HEADER, NUMBER, DEFINITION, FACTOR, TARGET, PENALTY, EVENT, ON, TRAIN, NOTE = range(10)
"""The groups of clauses in the order of the style standard."""

_SIZES = frozenset({"r", "alpha", "n", "m", "c", "kh", "kw", "tokens", "layer"})
_NUMBER_FUNCTIONS = frozenset({*SIZE_FUNCTIONS, "layers", "sum", "mean"})


def clause_order(spec: tree.SpecTree) -> list[int]:
    """The positions of the clauses in printing order.

    Clauses are a set, so the order says nothing; but among bare expressions the first is the target, and notes and
    penalties follow each other, so clauses of one group never change places.
    """
    groups = clause_groups(spec)
    return sorted(range(len(groups)), key=lambda position: groups[position])


def in_order(spec: tree.SpecTree) -> tree.SpecTree:
    """The spec with its clauses in printing order."""
    return tree.SpecTree(spec.span, tuple(spec.clauses[position] for position in clause_order(spec)))


def clause_groups(spec: tree.SpecTree) -> list[int]:
    """The group of every clause."""
    clauses = _Names(spec)
    groups: list[int] = []
    has_target = any(_is_target(clause) for clause in spec.clauses)
    for clause in spec.clauses:
        if isinstance(_inner(clause), tree.Bare):
            groups.append(PENALTY if has_target else TARGET)
            has_target = True
        else:
            groups.append(clauses.group(clause))
    return groups


class _Names:
    """Which clause introduces which name, and who reads it."""

    def __init__(self, spec: tree.SpecTree) -> None:
        definitions = [clause for clause in spec.clauses if is_definition(clause)]
        self.definitions = {name: clause for clause in definitions for name in names_introduced(clause)}
        self.numbers: dict[str, bool] = {}
        self.factors = {name for clause in spec.clauses if _is_factor(clause) for name in names_introduced(clause)}
        others = [clause for clause in spec.clauses if not is_definition(clause)]
        self.read_by_model = self._closure(clause for clause in others if not isinstance(clause, tree.At))
        self.read_by_events = self._closure(clause for clause in others if isinstance(clause, tree.At))

    def group(self, clause: tree.Clause) -> int:
        match _inner(clause):
            case tree.Header(key=key):
                return NOTE if key == "note" else HEADER
            case tree.On():
                return ON
            case tree.Train():
                return TRAIN
            case tree.Penalty():
                return PENALTY
            case tree.At():
                return EVENT
            case tree.FactorLine() as line:
                return FACTOR if _is_factor(line) else NUMBER
            case other if _is_target(other):
                return TARGET
        return self._definition_group(clause)

    def _definition_group(self, clause: tree.Clause) -> int:
        names = names_introduced(clause)
        if self._is_number(clause, set()):
            return NUMBER
        if not names & self.read_by_model and names & self.read_by_events:
            return EVENT
        return FACTOR if self._closure([clause]) & self.factors else DEFINITION

    def _closure(self, clauses: Collection[tree.Clause] | Iterator[tree.Clause]) -> set[str]:
        """Every name that `clauses` read, directly or through definitions."""
        found: set[str] = set()
        pending = [name for clause in clauses for name in names_read(clause)]
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending += names_read(self.definitions[name]) if name in self.definitions else ()
        return found

    def _is_number(self, clause: tree.Clause, open_names: set[str]) -> bool:
        """Whether a definition is made of numbers and sizes alone."""
        if not (isinstance(clause, tree.Equation) and all(isinstance(name, tree.Name) for name in clause.left)):
            return False
        if len(clause.left) != len(clause.right):
            return False
        open_names = open_names | names_introduced(clause)
        return all(self._is_size(part, open_names) for value in clause.right for part in parts(value))

    def _is_size(self, part: tree.Syntax, open_names: set[str]) -> bool:
        match part:
            case tree.Name(name=name) if name in self.numbers:
                return self.numbers[name]
            case tree.Name(name=name) if name in self.definitions and name not in open_names:
                self.numbers[name] = self._is_number(self.definitions[name], open_names)
                return self.numbers[name]
            case tree.Name(name=name):
                return name in _SIZES
            case tree.Call(function=function):
                return function in _NUMBER_FUNCTIONS
        return not isinstance(part, tree.Primed | tree.Text | tree.Block | tree.Stack | tree.Transpose)


def _inner(clause: tree.Clause) -> tree.Clause:
    """What a clause says, without the modules it is limited to."""
    return clause.clause if isinstance(clause, tree.OnClause) else clause


def _is_target(clause: tree.Clause) -> bool:
    inner = _inner(clause)
    left = inner.left if isinstance(inner, tree.Equation) else ()
    return any(isinstance(part, tree.Primed) for value in left for part in parts(value))


def is_definition(clause: tree.Clause) -> bool:
    """Whether a clause names a value: an equation that assigns no target."""
    return isinstance(_inner(clause), tree.Equation) and not _is_target(clause)


def _is_factor(clause: tree.Clause) -> bool:
    """Whether a clause declares factors; `W : c x m x kh x kw` declares a view of W."""
    inner = _inner(clause)
    return isinstance(inner, tree.FactorLine) and names_introduced(clause) != {"W"}


def names_introduced(clause: tree.Clause) -> set[str]:
    """The names that a definition or a factor line introduces."""
    inner = _inner(clause)
    left = inner.left if isinstance(inner, tree.Equation) else ()
    left = inner.names if isinstance(inner, tree.FactorLine) else left
    plain = {part.name for part in left if isinstance(part, tree.Name)}
    return plain | {part.function for part in left if isinstance(part, tree.Call)}


def names_read(clause: tree.Clause) -> set[str]:
    """The names in a clause, those it introduces apart."""
    inside = parts(clause)
    names = {part.name for part in inside if isinstance(part, tree.Name)}
    return (names | {part.function for part in inside if isinstance(part, tree.Call)}) - names_introduced(clause)


def parts(root: tree.Syntax) -> list[tree.Syntax]:
    """All syntax nodes under `root`, itself included."""
    found: list[tree.Syntax] = []
    pending = [root]
    while pending:
        node = pending.pop()
        found.append(node)
        pending += tree.children(node)
    return found
