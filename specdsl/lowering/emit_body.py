"""The statements of one emitted function: expressions of a spec, step by step, with a name for what is used twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from specdsl.affine import W as BASE_WEIGHT
from specdsl.interpret import TAKES_NUMBERS, Sizes, chosen
from specdsl.ir import Apply, Choice, Factor, Initial, Node, Part, Scalar, Site
from specdsl.lowering.emit_code import WIDTH, Code, Names
from specdsl.lowering.emit_layers import LayerCode, filled, through_code
from specdsl.lowering.emit_operators import Call, emission_of
from specdsl.lowering.emit_sizes import SizeWriter
from specdsl.plan import Project, Through

LONGEST = 58
"""The longest expression that is not taken apart: with a name and an indentation it fits in a line."""

_PARTS = {"svd": "USV", "qr": "QR", "lu": "PLU", "ldu": "PLDU", "eigh": "EV"}
_WORDS = {
    "matmul": "product", "add": "total", "times": "scaled", "divide": "scaled", "scale": "scaled", "negative": "minus",
    "transpose": "turned", "norm": "length", "rownorm": "lengths", "colnorm": "lengths", "relu": "active",
    "softmax": "shares", "slice": "part", "take": "rows", "dropout": "dropped", "householder": "reflections",
    "cayley": "rotation", "skew": "skewed", "diag": "diagonal", "inverse": "inverted", "sqrt": "root",
}  # fmt: skip


@dataclass
class Context:
    """What the functions of one class share.

    Attributes:
        layer: the type of the adapted layer.
        sizes: its numbers.
        named: names that the spec gives to values.
        functions: names of functions that no local variable may have.
    """

    layer: LayerCode
    sizes: Sizes
    named: Mapping[Node, str]
    functions: frozenset[str] = field(default_factory=frozenset)


class Body:
    """Collects the lines of a function.

    Args:
        context: what its class shares.
        writer: writes sizes.
        leaf: code of stored values; None for what is computed here.
        base: code of the adapted layer.
        taken: names in use already.
        x: whether the function has the layer's input x.
    """

    def __init__(
        self, context: Context, writer: SizeWriter, leaf: Callable[[Node], Code | None], base: str = "self.base",
        taken: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.context = context
        self.writer = writer
        self.leaf = leaf
        self.base = base
        self.like = f"{base}.weight"
        self.names = Names({"self", "x", "base", "torch", "nn", "F", "math", "Tensor", *context.functions, *taken})
        self.lines: list[str] = []
        self.codes: dict[Node, Code] = {}
        self.image: Code | None = None
        self._tokens: dict[Node, bool] = {}
        self._fresh: set[Node] = set()

    # -------------------------------------------------------------------------------------------- entry

    def write(self, roots: Sequence[Node]) -> list[Code]:
        """The code of `roots`, after the lines it needs."""
        order = self._order(roots)
        uses = Counter(child for node in order for child in self._inputs(node))
        uses.update(roots)
        for node in order:
            self._write_node(node, order)
            if uses[node] > 1 or node in self.context.named:
                self.hoist(node)
        return [self.codes[root] for root in roots]

    def hoist(self, node: Node, name: str | None = None) -> Code:
        """A name for the value of `node`."""
        code = self.codes.get(node)
        if code is None or code.is_name or isinstance(node, Scalar):
            return code or Code("")
        wanted = self.context.named.get(node) or name or self._word(node)
        self.codes[node] = self.assigned(wanted, code)
        return self.codes[node]

    def assigned(self, wanted: str, code: Code) -> Code:
        """A new variable that holds `code`."""
        name = self.names.fresh(wanted)
        self.lines.append(f"{name} = {code}")
        return Code(name)

    def _word(self, node: Node) -> str:
        match node:
            case Project():
                return "hidden"
            case Through():
                return "output"
            case Apply():
                return _WORDS.get(node.operator, "value")
        return "value"

    # -------------------------------------------------------------------------------------------- order

    def _order(self, roots: Sequence[Node]) -> list[Node]:
        order: list[Node] = []
        seen = set(self.codes)
        stack = [(root, False) for root in reversed(roots)]
        while stack:
            node, ready = stack.pop()
            if ready:
                order.append(node)
            elif node not in seen:
                seen.add(node)
                stack.append((node, True))
                stack.extend((child, False) for child in reversed(self._inputs(node)))
        return order

    def _inputs(self, node: Node) -> tuple[Node, ...]:
        if node in self.codes or self.leaf(node) is not None:
            return ()
        if isinstance(node, Choice):
            return (chosen(node, self.context.sizes),)
        if isinstance(node, Project | Through):
            return tuple(child for child in node.children if child != BASE_WEIGHT)
        return node.children

    # -------------------------------------------------------------------------------------------- nodes

    def _write_node(self, node: Node, order: list[Node]) -> None:
        if isinstance(node, Apply) and len(node.definition.outputs) > 1 and self.leaf(node) is None:
            self._unpack(node, [part for part in order if isinstance(part, Part) and part.of == node])
            return
        if node in self.codes:
            return
        inputs = self._inputs(node)
        self._tokens[node] = isinstance(node, Project | Through) or any(self._tokens.get(child, False) for child in inputs)
        code = self._code(node, inputs)
        while len(code.text) > LONGEST:
            longest = max(inputs, key=lambda child: self._hoistable(child), default=None)
            if longest is None or not self._hoistable(longest):
                break
            self.hoist(longest)
            code = self._code(node, inputs)
        self.codes[node] = code

    def _hoistable(self, node: Node) -> int:
        """How many characters a name for a value would save."""
        code = self.codes[node]
        return 0 if code.is_name or isinstance(node, Scalar) else len(code.text)

    def _unpack(self, node: Apply, parts: list[Part]) -> None:
        arguments = self._arguments(node)
        default = _PARTS.get(node.operator, "")
        names = ["_"] * len(node.definition.outputs)
        for part in parts:
            wanted = self.context.named.get(part) or default[part.index : part.index + 1] or "part"
            names[part.index] = self.names.fresh(wanted)
            self.codes[part] = Code(names[part.index])
        value = emission_of(node)(self._call(node, arguments))
        self.lines.append(f"{', '.join(names)} = {value}")
        self.codes[node] = value

    def _code(self, node: Node, inputs: tuple[Node, ...]) -> Code:
        stored = self.leaf(node)
        if stored is not None:
            return stored
        match node:
            case Scalar():
                return self.writer.number(node.size)
            case Site():
                return self._site(node)
            case Project():
                return self._project(node)
            case Through():
                return self._through(node)
            case Apply():
                return emission_of(node)(self._call(node, self._arguments(node)))
            case Initial() | Choice():
                return self.codes[inputs[0]]
        raise AssertionError(node)

    def _arguments(self, node: Apply) -> list[Code]:
        arguments = []
        for child in node.arguments:
            code = self.codes[child]
            if isinstance(child, Scalar):
                code = self._scalar(node, code)
            arguments.append(code)
        return arguments

    def _scalar(self, node: Apply, number: Code) -> Code:
        """Numbers stay Python's for arithmetic; functions want tensors."""
        if node.operator in TAKES_NUMBERS:
            return number
        return Code(f"{self.like}.new_tensor({number})")

    def _call(self, node: Apply, arguments: list[Code]) -> Call:
        inner = []
        for child, code in zip(node.arguments, arguments, strict=True):
            is_minus = isinstance(child, Apply) and child.operator == "negative" and not code.is_name
            inner.append(self.codes.get(child.children[0]) if is_minus else None)
        tokens = tuple(self._tokens.get(child, False) for child in node.arguments)
        return Call(node, tuple(arguments), tuple(inner), tokens, self.writer, self.like)

    # -------------------------------------------------------------------------------------------- layer

    def _site(self, node: Site) -> Code:
        layer = self.context.layer
        match node.name:
            case "x":
                assert layer.tokens is not None
                self._tokens[node] = True
                return filled(layer.tokens, self.base)
            case "y":
                self._tokens[node] = True
                y = self.assigned("y", Code(f"{self.base}(x)"))
                return self._rows(y)
            case "b":
                return Code(f"{self.base}.bias")
            case "w":
                return Code(f"{self.base}.weight")
            case _:
                return self.assigned("W", filled(layer.matrix, self.base))

    def _rows(self, image: Code) -> Code:
        if not self.context.layer.images:
            return image
        image = image if image.is_name else self.assigned("image", image)
        self.image = self.image or image
        return Code(f"as_rows({image})")

    def _project(self, node: Project) -> Code:
        layer = self.context.layer
        if node.matrix == BASE_WEIGHT:
            return self._rows(filled(layer.project_base, self.base))
        return self._rows(filled(layer.project, self.base, M=self.codes[node.matrix]))

    def _through(self, node: Through) -> Code:
        weight = None if node.weight == BASE_WEIGHT else self.hoist(node.weight, "weight")
        bias = None if node.bias is None else self.hoist(node.bias, "bias")
        return through_code(self.context.layer, weight, bias, self.base)

    def output(self, root: Node) -> Code:
        """The code of a layer's output in its own form."""
        (code,) = self.write([root])
        if not self.context.layer.images or isinstance(root, Through):
            return code
        image = self.image or self.assigned("image", Code(f"{self.base}(x)"))
        return Code(f"as_image({code}, {image})")


def fits(line: str, indent: int) -> bool:
    return len(line) + indent <= WIDTH
