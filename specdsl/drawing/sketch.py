"""Pictures of a spec, drawn from its typed representation: each target and each definition that it reads is one."""

from __future__ import annotations

from dataclasses import replace

from specdsl.drawing.compose import at_start, diagonal, option_label, product, raised
from specdsl.drawing.picture import (
    COMPUTED,
    FROZEN,
    GIVEN,
    TOKENS,
    TRAINED,
    Equation,
    Frame,
    Grid,
    Matrix,
    Picture,
    Repeated,
    Row,
    Sketch,
    Word,
)
from specdsl.drawing.symbols import name_text, size_text
from specdsl.facts import TOKENS as TOKEN_COUNT
from specdsl.ir import (
    Apply,
    Choice,
    Factor,
    Fold,
    Given,
    Initial,
    Layers,
    Measured,
    Node,
    Part,
    Ranked,
    Scalar,
    Site,
    SpecIR,
    interned,
    reads,
    rebuilt,
)
from specdsl.printing.explain import limit_text
from specdsl.printing.expression_text import expression_text, option_texts
from specdsl.spec import Spec

_FOLDS = {"sum": "∑", "prod": "∏", "stack": "stack"}
_INFIX = {"times": "⊙", "divide": "⊘", "kron": "⊗"}
MOST_PARTS = 1_000
"""A picture of more is cut short: functions of functions share what they hold, a drawing of them cannot."""
_CUT = ("slice", "take", "gather")


def sketches(spec: Spec) -> tuple[Sketch, ...]:
    """The pictures of a spec, one sketch for each place where other clauses hold.

    >>> import specdsl
    >>> (one,) = sketches(specdsl.parse("W + A@B"))
    >>> [len(equation.right.parts) for equation in one.equations]
    [2]
    """
    return tuple(_sketch(part) for part in spec.parts or (spec,))


def _sketch(spec: Spec) -> Sketch:
    ir = spec.ir
    named = _Named.of(ir)
    waiting = [named.adapted(name, node) for name, node in ir.targets.items()]
    drawn: list[Equation] = []
    while waiting:
        drawn += waiting
        waiting = named.newly_read()
    remarks = [f"+ penalty {penalty.text}" for penalty in ir.penalties] + [event.text for event in ir.events]
    return Sketch(limit_text(spec) if spec.limit else "", tuple(drawn), tuple(remarks))


class _Named:
    """Draws expressions; a definition is a matrix with its name wherever it is read."""

    def __init__(self, ir: SpecIR, names: dict[Node, str]) -> None:
        self.ir = ir
        self.names = names
        self.read: dict[Node, None] = {}
        self.known: set[Node] = set()
        self.drawn = 0

    @staticmethod
    def of(ir: SpecIR) -> _Named:
        values = {node: name for name, node in reversed(ir.definitions.items())}
        return _Named(ir, {node: name for node, name in values.items() if not isinstance(node, Scalar | Factor | Site)})

    def adapted(self, name: str, node: Node) -> Equation:
        """The equation of a target."""
        role = self.role(node)
        return Equation((Matrix(f"{name}′", node.shape, COMPUTED if role == TRAINED else role),), self.inside(node))

    def newly_read(self) -> list[Equation]:
        """The equations of definitions that were read since this was asked last."""
        equations = []
        for node in [one for one in self.read if one not in self.known]:
            if node in self.known:
                continue  # one of several values of a function, drawn with another of them
            self.known.add(node)
            if isinstance(node, Part):
                together = [one for one in self.names if isinstance(one, Part) and one.of == node.of]
                self.known.update(together)
                together.sort(key=lambda one: one.index)
                equations.append(Equation(tuple(self._matrix(one) for one in together), self.draw(node.of)))
            else:
                equations.append(Equation((self._matrix(node),), self.inside(node)))
        return equations

    def role(self, node: Node) -> str:
        """Whose entries a value holds."""
        if isinstance(node, Factor):
            return TRAINED if self.ir.factors[node.name].is_trained else FROZEN
        names = reads(node)
        if any(name in self.ir.factors and self.ir.factors[name].is_trained for name in names):
            return COMPUTED
        if node.shape and any(size == TOKEN_COUNT for size in node.shape):
            return TOKENS
        return GIVEN if names & self.ir.given.keys() else FROZEN

    def _matrix(self, node: Node) -> Matrix:
        return Matrix(name_text(self.names[node]), node.shape, self.role(node))

    def draw(self, node: Node) -> Picture:
        """The picture of a value: its name where it has one."""
        if node in self.names:
            self.read[node] = None
            return self._matrix(node)
        self.drawn += 1
        return self.inside(node) if self.drawn <= MOST_PARTS else Matrix("…", node.shape, self.role(node))

    def inside(self, node: Node) -> Picture:
        """The picture of how a value is made."""
        shape = node.shape
        match node:
            case Site(name=name):
                return Matrix(name, shape, TOKENS if name in "xy" else FROZEN)
            case Factor(name=name):
                return Matrix(name_text(name), shape, self.role(node))
            case Given(name=name):
                return Matrix(name_text(name), shape, GIVEN)
            case Scalar(size=size):
                return Word(size_text(size))
            case Part(of=of, index=index):
                return Frame(f"value {index + 1} of", (self.draw(of),), shape)
            case Initial(of=of):
                return at_start(self.draw(of))
            case Layers(of=of):
                return Frame("of every module", (self.draw(of),), shape)
            case Ranked(of=of, amount=amount):
                return Frame("largest of all modules", (self.draw(of.of), self.draw(amount)), shape)
            case Choice(condition=condition, yes=yes, no=no):
                return Frame(f"first if {size_text(condition)}", (self.draw(yes), self.draw(no)), shape)
            case Fold(kind=kind, index=index, count=count, body=body):
                return Repeated(_FOLDS[kind], f"{name_text(index)} < {size_text(count)}", self.draw(body), shape)
            case Measured(name=name, arguments=arguments):
                texts = [str(value) if key == "text" else f"{key} = {value}" for key, value in node.options]
                return Frame(" ".join([name, *texts]), tuple(map(self.draw, arguments)), shape)
            case Apply():
                return self._apply(node)
        raise AssertionError(node)

    def _apply(self, node: Apply) -> Picture:
        shape, arguments = node.shape, node.arguments
        match node.operator:
            case "add":
                return self._sum(node)
            case "negative":
                return Row("+", ("−",), (self.draw(arguments[0]),), shape)
            case "scale":
                return product([self.draw(argument) for argument in arguments], shape)
            case "matmul":
                return product([self.draw(argument) for argument in arguments], shape)
            case "times" | "divide" | "kron":
                pictures = tuple(self.draw(argument) for argument in arguments)
                sign = _INFIX[node.operator]
                return Row(sign, ("", *[sign] * (len(pictures) - 1)), pictures, shape)
            case "transpose":
                return raised(self.draw(arguments[0]), "ᵀ", shape)
            case "inverse" | "pinv":
                return raised(self.draw(arguments[0]), "⁻¹" if node.operator == "inverse" else "⁺", shape)
            case "matpower" | "elpower":
                mark = size_text(node.option("exponent"))
                return raised(self.draw(arguments[0]), mark if node.operator == "matpower" else f"∘{mark}", shape)
            case "diag":
                return diagonal(self.draw(arguments[0]), shape)
            case "eye":
                return Matrix("I", shape, FROZEN, is_diagonal=True)
            case "hcat":
                return Grid((tuple(map(self.draw, arguments)),), shape)
            case "vcat":
                return Grid(tuple((self.draw(argument),) for argument in arguments), shape)
            case "fill" if arguments:
                return Word(expression_text(arguments[0])) if not shape else self._function(node)
            case "numbers":
                return Grid((tuple(map(self.draw, arguments)),), shape)
            case operator if operator in _CUT:
                return self._cut(node)
        return self._function(node)

    def _sum(self, node: Apply) -> Picture:
        signs, parts = [], []
        for place, term in enumerate(node.arguments):
            is_minus = isinstance(term, Apply) and term.operator == "negative" and term not in self.names
            picture = self.draw(term.children[0] if is_minus else term)
            if isinstance(picture, Word) and picture.text.startswith("−"):
                picture, is_minus = replace(picture, text=picture.text[1:]), not is_minus
            parts.append(picture)
            signs.append("−" if is_minus else "" if place == 0 else "+")
        return Row("+", tuple(signs), tuple(parts), node.shape)

    def _cut(self, node: Apply) -> Picture:
        """Rows, columns or entries of a value: of a matrix a matrix, `U[:, :r]`."""
        first = self.draw(node.arguments[0])
        if not isinstance(first, Matrix):
            return self._function(node)
        of = interned(Factor(node.arguments[0].shape, first.label))
        for argument in node.arguments[1:]:
            self.draw(argument)
        rest = tuple(interned(Factor(one.shape, self._label(one))) for one in node.arguments[1:])
        label = expression_text(rebuilt(node, (of, *rest)))
        return Matrix(label, node.shape, COMPUTED if first.role == TRAINED else first.role)

    def _label(self, node: Node) -> str:
        return name_text(self.names[node]) if node in self.names else expression_text(node)

    def _function(self, node: Apply) -> Picture:
        label = " ".join([node.operator, *(option_label(text) for text in option_texts(node))])
        if not node.arguments:
            return Matrix(label, node.shape, FROZEN)
        return Frame(label, tuple(self.draw(argument) for argument in node.arguments), node.shape)
