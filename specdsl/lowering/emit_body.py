"""The statements of one emitted function: expressions of a spec, step by step, with a name for what is used twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from specdsl.affine import W as BASE_WEIGHT
from specdsl.affine import Y
from specdsl.interpret import TAKES_NUMBERS, Sizes, chosen
from specdsl.ir import Apply, Choice, Factor, Initial, Node, Part, Scalar, Site
from specdsl.lowering.emit_call import Call
from specdsl.lowering.emit_code import Code, Names
from specdsl.lowering.emit_layers import LayerCode, filled, through_code
from specdsl.lowering.emit_operators import emission_of
from specdsl.lowering.emit_sizes import SizeWriter
from specdsl.lowering.emit_words import PART_NAMES, word_for
from specdsl.plan import Project, Through

LONGEST = 64
"""The longest expression that is not taken apart: with a name and an indentation it fits in a line."""

RESERVED = ("self", "base", "x", "torch", "nn", "F", "math", "Tensor")
"""Names that mean something in every function."""


@dataclass
class Context:
    """What the functions of one class share.

    Attributes:
        layer: the type of the adapted layer.
        sizes: its numbers.
        named: names that the spec gives to values.
        has_bias: whether the layer has one.
        taken: names of functions and sizes, which no other variable may have.
    """

    layer: LayerCode
    sizes: Sizes
    named: Mapping[Node, str]
    has_bias: bool
    taken: frozenset[str]


class Body:
    """Collects the lines of a function.

    Args:
        context: what its class shares.
        writer: writes sizes.
        leaf: code of stored values; None for what is computed here.
        base: code of the adapted layer.
    """

    def __init__(
        self, context: Context, writer: SizeWriter, leaf: Callable[[Node], Code | None], base: str = "self.base"
    ) -> None:
        self.context = context
        self.writer = writer
        self.leaf = leaf
        self.base = base
        self.like = f"{base}.weight"
        self.names = Names({*RESERVED, *context.taken})
        self.lines: list[str] = []
        self.codes: dict[Node, Code] = {}
        self.uses: Counter[Node] = Counter()
        self._image: Code | None = None
        self._in_tokens: dict[Node, bool] = {}

    def announce(self, roots: Sequence[Node]) -> None:
        """Say what will be written, so that a value with several uses gets a name."""
        for node in self._order(roots):
            self.uses.update(self._inputs(node))
        self.uses.update(roots)

    def write(self, root: Node) -> Code:
        """The code of `root`, after the lines it needs."""
        if root not in self.uses:
            self.announce([root])
        for node in self._order([root]):
            self._write_node(node)
            is_shared = self.uses[node] > 1 and not _is_filling(node)
            if is_shared or node in self.context.named:
                self.hoist(node)
        return self.codes[root]

    def output(self, root: Node) -> Code:
        """The code of the layer's output in the layer's own form."""
        if not self.context.layer.images:
            return self.write(root)
        if isinstance(root, Through):
            self.announce([root])
            for part in self._inputs(root):
                self.write(part)
            return self._code(root)
        self.write(root)
        code = self.hoist(root, "rows")
        image = self._image or self.assigned("image", Code(f"{self.base}(x)"))
        return Code(f"as_image({code}, {image})")

    # -------------------------------------------------------------------------------------------- names

    def hoist(self, node: Node, name: str | None = None) -> Code:
        """A name for the value of `node`, if it has none."""
        code = self.codes[node]
        if isinstance(node, Apply) and node.operator == "negative" and code.text.startswith("-"):
            self.codes[node] = Code(f"-{self.hoist(node.arguments[0]):unary}")
        elif not (code.is_name or isinstance(node, Scalar) or _has_parts(node)):
            self.codes[node] = self.assigned(self.context.named.get(node) or name or word_for(node), code)
        return self.codes[node]

    def assigned(self, wanted: str, code: Code) -> Code:
        """A new variable that holds `code`."""
        name = self.names.fresh(wanted)
        self.lines.append(f"{name} = {code.alone}")
        return Code(name)

    def _hoistable(self, node: Node) -> int:
        """How many characters a name for a value could save."""
        code = self.codes[node]
        return 0 if code.is_name or isinstance(node, Scalar) else len(code.text)

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
        if self.leaf(node) is not None:
            return ()
        if isinstance(node, Choice):
            return (chosen(node, self.context.sizes),)
        if isinstance(node, Project | Through):
            return tuple(child for child in node.children if child != BASE_WEIGHT)
        return node.children

    # -------------------------------------------------------------------------------------------- nodes

    def _write_node(self, node: Node) -> None:
        if node in self.codes:
            return
        inputs = self._inputs(node)
        self._in_tokens[node] = _brings_tokens(node) or any(self._in_tokens.get(child, False) for child in inputs)
        if _has_parts(node) and isinstance(node, Apply):
            self._unpack(node)
            return
        if isinstance(node, Apply) and node.operator in ("add", "matmul") and len(inputs) > 3:
            self.codes[node] = self._folded(node)
            return
        code = self._code(node)
        while len(code.text) > LONGEST:
            longest = max(inputs, key=self._hoistable, default=None)
            if longest is None or not self._hoistable(longest):
                break
            self.hoist(longest)
            code = self._code(node)
        self.codes[node] = self._settled(node, code)

    def _folded(self, node: Apply) -> Code:
        """A long sum or product from left to right, a line at a time."""

        def first(*terms: Node) -> Code:
            return self._applied(Apply(node.shape, node.operator, terms))

        begun = node.arguments[:1]
        for term in node.arguments[1:]:
            if len(first(*begun, term).text) > LONGEST and len(begun) > 1:
                done = self.assigned(word_for(node), first(*begun))
                begun = (Factor(node.shape, done.text),)
                self.codes[begun[0]] = done
            if len(first(*begun, term).text) > LONGEST:
                self.hoist(max(begun[0], term, key=self._hoistable))
            begun = (*begun, term)
        return first(*begun)

    def _unpack(self, node: Apply) -> None:
        value = self._applied(node)
        default = PART_NAMES.get(node.operator, "")
        names = ["_"] * len(node.definition.outputs)
        for part in [part for part in self.uses if isinstance(part, Part) and part.of == node]:
            wanted = self.context.named.get(part) or default[part.index : part.index + 1] or "part"
            names[part.index] = self.names.fresh(wanted)
            self.codes[part] = Code(names[part.index])
        self.lines.append(f"{', '.join(names)} = {value}")
        self.codes[node] = value

    def _code(self, node: Node) -> Code:
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
                weight = None if node.weight == BASE_WEIGHT else self.hoist(node.weight, "weight")
                bias = None if node.bias is None else self.hoist(node.bias, "bias")
                return through_code(self.context.layer, weight, bias, self.base)
            case Apply():
                return self._applied(node)
            case Initial() | Choice():
                return self.codes[self._inputs(node)[0]]
        raise AssertionError(node)

    def _applied(self, node: Apply) -> Code:
        arguments, negated = [], []
        for child in node.arguments:
            code = self.codes[child]
            if isinstance(child, Scalar) and node.operator not in TAKES_NUMBERS:
                code = Code(f"{self.like}.new_tensor({code})")  # functions want tensors
            is_negative = isinstance(child, Apply) and child.operator == "negative" and code.text.startswith("-")
            arguments.append(code)
            negated.append(self.codes[child.children[0]] if is_negative else None)
        in_tokens = tuple(self._in_tokens.get(child, False) for child in node.arguments)
        return emission_of(node)(Call(node, tuple(arguments), tuple(negated), in_tokens, self.writer, self.like))

    # -------------------------------------------------------------------------------------------- layer

    def _site(self, node: Site) -> Code:
        layer = self.context.layer
        match node.name:
            case "x":
                assert layer.tokens is not None
                return filled(layer.tokens, self.base)
            case "y":
                return Code(f"{self.base}(x)")
            case "b":
                if self.context.has_bias:
                    return Code(f"{self.base}.bias")
                return Code(f"{self.like}.new_zeros({self.writer.shape(node.shape)})")
            case "w":
                return Code(f"{self.base}.weight")
            case _:
                return filled(layer.matrix, self.base)

    def _project(self, node: Project) -> Code:
        layer = self.context.layer
        if node.matrix == BASE_WEIGHT:
            return filled(layer.project_base, self.base)
        return filled(layer.project, self.base, M=self.codes[node.matrix])

    def _settled(self, node: Node, code: Code) -> Code:
        """What needs a variable at once: the base's output and weight; an image is read as rows."""
        if isinstance(node, Site) and node.name in ("W", "y") and not code.is_name:
            code = self.assigned(node.name, code)
        if self.context.layer.images and (isinstance(node, Project | Through) or node == Y):
            image = code if code.is_name else self.assigned("image", code)
            self._image = self._image or image
            code = Code(f"as_rows({self.base}, {image})")
        return code


def _is_filling(node: Node) -> bool:
    """Whether a value is one number everywhere, which is made again wherever it is wanted."""
    return isinstance(node, Apply) and node.operator in ("zeros", "ones", "fill")


def _has_parts(node: Node) -> bool:
    return isinstance(node, Apply) and len(node.definition.outputs) > 1


def _brings_tokens(node: Node) -> bool:
    return isinstance(node, Project | Through) or (isinstance(node, Site) and node.name in ("x", "y"))
