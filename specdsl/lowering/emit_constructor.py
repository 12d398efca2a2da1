"""The constructor of emitted code: what the layer holds, and where each of it begins.

What a random draw or another layer decides is a parameter of the constructor, so that a layer can be made with given
values, and a shared factor is one tensor that is passed to all layers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from specdsl.affine import W as BASE_WEIGHT
from specdsl.interpret import Sizes, chosen
from specdsl.ir import Apply, Choice, Factor, FactorIR, Layers, Node, Scalar, SpecIR, reads, topological, transform
from specdsl.lowering.emit_body import Body, Context
from specdsl.lowering.emit_call import full
from specdsl.lowering.emit_checks import checks
from specdsl.lowering.emit_code import WIDTH, Code, assignment, fitted, in_two_steps, indented, remark
from specdsl.lowering.emit_holdings import Held, shape_text
from specdsl.lowering.emit_layers import filled
from specdsl.lowering.emit_sizes import SizeNames, SizeWriter

_DECOMPOSITIONS = frozenset({"svd", "qr", "lu", "ldu", "eigh", "inverse", "pinv", "cayley", "orthogonal"})
_VIEWS = frozenset({"slice", "transpose", "reshape", "rearrange", "fill", "stop", "real", "blocks", "unblocks"})


@dataclass(frozen=True)
class Parameter:
    """A value that the constructor takes.

    Attributes:
        name: of the parameter.
        required: whether the layer cannot make it itself.
        doc: what it is.
    """

    name: str
    required: bool
    doc: str


class Constructor:
    """Writes the constructor of one class.

    Args:
        ir: the spec.
        context: what the class shares.
        sizes: its names for sizes.
        held: what the layer holds, factors first.
        stored: the sizes that its methods read.
    """

    def __init__(self, ir: SpecIR, context: Context, sizes: SizeNames, held: list[Held], stored: Iterable[str]) -> None:
        self.ir = ir
        starts = {name: factor.start for name, factor in ir.factors.items() if factor.start is not None}
        self.starts = {name: settled(start, context.sizes) for name, start in starts.items()}
        self.context = context
        self.held = held
        self.sizes = sizes
        fixed = {name for name, _ in sizes.settings(context.layer.sizes)}
        self.stored = [name for name in context.layer.ordered(stored) if name not in fixed]
        self.writer = SizeWriter(sizes)
        self.body = Body(context, self.writer, self._local, base="base")
        self.locals: dict[str, Code] = {}
        self.parameters: dict[Node, Parameter] = {}
        for node in (*map(self._factor, self._factors_read()), *(one.node for one in held if not _is_factor(one.node))):
            parameter = self._parameter(node)
            if parameter is not None:
                self.parameters[node] = parameter

    # ------------------------------------------------------------------------------------------ parameters

    def _factor(self, name: str) -> Node:
        return Factor(self.ir.factors[name].shape, name)

    def _factors_read(self) -> list[str]:
        """The factors that the layer holds, and those their starts read."""
        found: dict[str, None] = {}
        pending = [name for one in self.held for name in sorted(reads(one.node)) if name in self.ir.factors]
        while pending:
            name = pending.pop(0)
            if name not in found:
                found[name] = None
                pending += sorted(reads(self.starts[name]) & self.ir.factors.keys()) if name in self.starts else []
        return [name for name in self.ir.factors if name in found]

    def _parameter(self, node: Node) -> Parameter | None:
        factor = self.ir.factors[node.name] if isinstance(node, Factor) else None
        start = node if factor is None else self.starts.get(factor.name)
        parts = [] if start is None else topological([start])
        is_random = any(isinstance(part, Apply) and part.definition.draw is not None for part in parts)
        required = start is None or any(isinstance(part, Layers) for part in parts)
        is_shared = factor is not None and factor.shared is not None
        if not (required or is_random or is_shared):
            return None
        attribute = next((one.attribute for one in self.held if one.node == node), "value")
        name = self.body.names.fresh(factor.name if factor is not None else attribute)
        if required:
            why = "given from outside"
        elif is_shared:
            why = "shared: pass the same tensor to all layers; made here if not given"
        else:
            why = "drawn at random if not given"
        return Parameter(name, required, f"{shape_text(node)}, {why}.")

    # ---------------------------------------------------------------------------------------------- lines

    def lines(self) -> list[str]:
        """The source of the constructor."""
        self._announce()
        is_wide = any(isinstance(node, Apply) and node.operator in _DECOMPOSITIONS for node in self.body.uses)
        if is_wide:
            self._widen()
        for one in self.held:
            self._hold(one)
        checked = checks(self.ir, self.context.layer, self.context.sizes, self.writer)
        ends = assignment([f"self.{name}" for name in self.stored], self.stored)
        ends += ["self.to(base.weight.dtype)"] if is_wide else []
        begin = ["super().__init__()", "self.base = base.requires_grad_(False)"]
        inside = [*begin, *self._sizes(), *checked, *self.body.lines, *ends]
        return [*self._head(), *indented(fitted(inside))]

    def _head(self) -> list[str]:
        parameters = sorted(self.parameters.values(), key=lambda parameter: not parameter.required)
        texts = ["self", f"base: {self.context.layer.base}"]
        texts += [f"{one.name}: Tensor" + ("" if one.required else " | None = None") for one in parameters]
        line = f"def __init__({', '.join(texts)}) -> None:"
        if len(line) <= WIDTH - 4:
            return [line]
        return ["def __init__(", *(f"    {text}," for text in texts), ") -> None:"]

    def _sizes(self) -> list[str]:
        """Local names for sizes: read off the layer or the class, or defined by others."""
        definitions = self.sizes.named_definitions()
        defined = [name for _, name in definitions if name in self.writer.used or name in self.stored]
        later = [f"{name} = {self.writer.definition(size)}" for size, name in definitions if name in defined]
        names = self.context.layer.ordered([*self.writer.used, *self.stored])
        given = [name for name in names if name not in defined]
        return [*assignment(given, [self.context.layer.sizes.get(name, f"self.{name}") for name in given]), *later]

    def _widen(self) -> None:
        weight = filled(self.context.layer.matrix, "base")
        self.body.codes[BASE_WEIGHT] = self.body.assigned("W", Code(f"at_least_float32({weight})"))
        self.body.like = "W"

    # --------------------------------------------------------------------------------------------- values

    def _announce(self) -> None:
        starts = [self.starts[name] for name in self._factors_read() if self._is_made(self._factor(name))]
        constants = [one.node for one in self.held if not _is_factor(one.node) and self._is_made(one.node)]
        self.body.announce([*starts, *constants])

    def _is_made(self, node: Node) -> bool:
        return node not in self.parameters or not self.parameters[node].required

    def _local(self, node: Node) -> Code | None:
        return self.locals.get(node.name, Code(node.name)) if isinstance(node, Factor) else None

    def _start(self, name: str) -> Code:
        """The code of a factor's initial value."""
        if name not in self.locals:
            factor = self.ir.factors[name]
            node = self._factor(name)
            parameter = self.parameters.get(node)
            if parameter is not None and parameter.required:
                self.locals[name] = Code(parameter.name)
            else:
                start = self.starts[name]
                code = self._owned(start, self._made(factor, start))
                self.locals[name] = self._chosen(parameter, code, name if self.body.uses[node] else None)
        return self.locals[name]

    def _chosen(self, parameter: Parameter | None, code: Code, name: str | None) -> Code:
        """What is given, or else what is made; with a name if others read it."""
        if parameter is not None:
            self.body.lines += [f"if {parameter.name} is None:", *indented(in_two_steps(parameter.name, code))]
            return Code(parameter.name)
        return code if name is None else self.body.assigned(name, code)

    def _made(self, factor: FactorIR, start: Node) -> Code:
        if isinstance(start, Scalar):
            return full(self.body.like, self.writer, factor.shape, start)
        code = self._written(start)
        return code if start.shape == factor.shape else Code(f"{code:atom}.expand({self.writer.shape(factor.shape)})")

    def _written(self, node: Node) -> Code:
        for name in sorted(reads(node) & self.ir.factors.keys()):
            self._start(name)
        return self.body.write(node)

    def _owned(self, node: Node, code: Code) -> Code:
        """A value that shares no memory with the layer or another value."""
        is_new = isinstance(node, Scalar) or (isinstance(node, Apply) and node.operator not in _VIEWS)
        if isinstance(node, Apply) and node.operator == "fill" and isinstance(node.arguments[0], Scalar):
            is_new = True
        return code if is_new and not code.is_name else Code(f"{code:atom}.clone()")

    # ------------------------------------------------------------------------------------------- registering

    def _hold(self, one: Held) -> None:
        if isinstance(one.node, Factor):
            factor = self.ir.factors[one.node.name]
            code = self._start(factor.name)
            make = ("as_parameter" if factor.shared is not None else "nn.Parameter") if factor.is_trained else None
            self._register(one.attribute, code, make, factor_comment(factor))
            return
        parameter = self.parameters.get(one.node)
        if parameter is not None and parameter.required:
            code = Code(parameter.name)
        else:
            code = self._chosen(parameter, self._constant(one.node), None)
        self._register(one.attribute, code, None, shape_text(one.node))

    def _constant(self, node: Node) -> Code:
        code = self._written(node)
        is_view = isinstance(node, Apply) and node.operator in _VIEWS
        is_factor = any(code == value for value in self.locals.values())
        if any(self.ir.factors[name].shared is not None for name in reads(node) & self.ir.factors.keys()):
            code = Code(f"{code:atom}.detach()")  # a shared factor may be a parameter already
        return Code(f"{code:atom}.clone()") if is_view or is_factor else code

    def _register(self, attribute: str, code: Code, make: str | None, about: str) -> None:
        line = _registration(attribute, code, make)
        if len(line) > WIDTH - 8:
            line = _registration(attribute, self.body.assigned(attribute, code), make)
        with_remark = f"{line}  # {about}"
        self.body.lines += [with_remark] if len(with_remark) <= WIDTH - 8 else [*remark(about), line]


def settled(root: Node, sizes: Sizes) -> Node:
    """A start with its choices made and factors of 1 left out, as a plan has them."""

    def change(node: Node) -> Node:
        if isinstance(node, Choice):
            return chosen(node, sizes)
        if isinstance(node, Apply) and node.operator == "scale" and isinstance(node.arguments[0], Scalar):
            return node.arguments[1] if sizes.number(node.arguments[0].size) == 1 else node
        return node

    return transform([root], change)[root]


def factor_comment(factor: FactorIR) -> str:
    """`n x r, learning rate x 16`."""
    parts = [shape_text(factor)]
    if factor.orthonormal:
        parts.append("kept orthonormal")
    if factor.shared is not None:
        parts.append("shared")
    if factor.lr is not None:
        parts.append(f"learning rate x {factor.lr:g}")
    if factor.decay is not None:
        parts.append(f"weight decay x {factor.decay:g}")
    return ", ".join(parts)


def _registration(attribute: str, code: Code, make: str | None) -> str:
    return f'self.register_buffer("{attribute}", {code})' if make is None else f"self.{attribute} = {make}({code})"


def _is_factor(node: Node) -> bool:
    return isinstance(node, Factor)
