"""One class of emitted code: the adapted layer, its constructor and what it computes."""

from __future__ import annotations

from specdsl.ir import Node, Scalar
from specdsl.lowering.emit_body import LONGEST, RESERVED, Body, Context
from specdsl.lowering.emit_code import WIDTH, Code, Names, assignment, escaped, fitted, indented, remark, wrapped
from specdsl.lowering.emit_constructor import Constructor, Parameter
from specdsl.lowering.emit_holdings import AdaptedKind, Holdings
from specdsl.lowering.emit_layers import LayerCode, filled, layer_code
from specdsl.lowering.emit_penalties import Penalties
from specdsl.lowering.emit_sizes import SizeNames, SizeWriter
from specdsl.lowering.emit_source import FUNCTION_NAMES
from specdsl.plan import Through, plan_text, with_names
from specdsl.printing.expression_text import expression_text
from specdsl.spec import Spec


class ClassWriter:
    """Writes the class of one kind of adapted layer.

    Args:
        spec: the spec.
        kind: what is adapted.
        name: of the class.
    """

    def __init__(self, spec: Spec, kind: AdaptedKind, name: str) -> None:
        self.spec = spec
        self.ir = kind.lowered.ir
        self.lowered = kind.lowered
        self.name = name
        self.layer: LayerCode = layer_code(kind.traits)
        self.holdings = Holdings(kind)
        scalars = {one: node.size for one, node in self.ir.definitions.items() if isinstance(node, Scalar)}
        values = self.ir.definitions.keys() - scalars.keys()
        self.sizes = SizeNames(
            kind.sizes, Names({*self.holdings.names.taken, *RESERVED, *values, *FUNCTION_NAMES}), scalars
        )
        taken = {*FUNCTION_NAMES, *self.ir.hyper, *self.layer.sizes, *scalars, "layer", "layers"}
        self.context = Context(self.layer, kind.sizes, self.holdings.named, kind.traits.has_bias, frozenset(taken))
        self.used: dict[str, None] = {}

    def text(self) -> str:
        """The source of the class."""
        penalties = Penalties(self.ir, self.lowered, self._body, self._method)
        methods = [self._forward(), *penalties.methods(), *self._merged()]
        constructor = Constructor(self.ir, self.context, self.sizes, self.holdings.held(), self.used)
        created = constructor.lines()
        lines = [f"class {self.name}(nn.Module):", *self._docstring(list(constructor.parameters.values()))]
        for section in [self._settings(), created, *methods]:
            lines += ["", *indented(section)] if section else []
        return "\n".join(lines) + "\n"

    # ------------------------------------------------------------------------------------------- methods

    def _body(self) -> Body:
        return Body(self.context, SizeWriter(self.sizes), self.holdings.stored)

    def _method(self, head: str, body: Body, result: Code, doc: str = "", about: str = "") -> list[str]:
        """The lines of a method: local names for the sizes it uses, then its body."""
        self.used.update(dict.fromkeys(body.writer.used))
        sizes = self.layer.ordered(body.writer.used)
        lines = [f'"""{doc}"""'] if doc else []
        lines += remark(about) if about else []
        lines += [*assignment(sizes, [f"self.{name}" for name in sizes]), *body.lines]
        return [f"def {head}:", *indented(fitted([*lines, f"return {result.alone}"]))]

    def _forward(self) -> list[str]:
        body, output, named = self._body(), self.lowered.plan.output, self.holdings.named
        about = f"y' = {plan_text(output, named)}"
        return self._method("forward(self, x: Tensor) -> Tensor", body, body.output(output), about=about)

    def _merged(self) -> list[list[str]]:
        """The methods for the adapted weight and bias, where the layer can hold them."""
        weight = {name: program.output for name, program in self.lowered.weight.items()}
        off_diagonal = self.layer.is_diagonal and "W" in weight and not self.lowered.weight_is_diagonal
        if off_diagonal or ("b" in weight and not self.layer.has_merged_bias):
            return []
        methods = []
        if "W" in weight:
            output = self.lowered.plan.output
            if self.layer.is_diagonal and isinstance(output, Through):
                methods.append(self._merging("merged_weight", "W'", output.weight, "{M}"))
            else:
                methods.append(self._merging("merged_weight", "W'", weight["W"], self.layer.layout))
        if "b" in weight:
            methods.append(self._merging("merged_bias", "b'", weight["b"], "{M}"))
        return methods

    def _merging(self, name: str, what: str, node: Node, layout: str) -> list[str]:
        body = self._body()
        value = body.write(node)
        result = filled(layout, M=value)
        if len(result.text) > LONGEST:
            result = filled(layout, M=body.assigned("weight", value))
        result = Code(result.text.replace(".T.T", ""))
        result = Code(f"{result}.clone()") if result.is_name else result
        about = f"{what} = {expression_text(with_names(node, self.holdings.named))}"
        return ["@torch.no_grad()", *self._method(f"{name}(self) -> Tensor", body, result, about=about)]

    # -------------------------------------------------------------------------------------------- frame

    def _settings(self) -> list[str]:
        """The hyper-parameters in use, as class attributes."""
        lines = []
        for name, size in self.sizes.settings(self.layer.sizes):
            number = self.sizes.number(size)
            value = repr(int(number)) if float(number).is_integer() else repr(float(number))
            lines.append(f"{name} = {value}" + ("" if size.as_symbol == name else f"  # {size}"))
        return lines

    def _docstring(self, parameters: list[Parameter]) -> list[str]:
        about = escaped(f"{self.spec.title or 'An adapted layer'}: {self.layer.weight_is}.")
        lines = wrapped(f'"""{about}', WIDTH, "    ", hang="")
        lines += ["", "    Args:", "        base: the layer to adapt; its parameters are frozen."]
        for parameter in parameters:
            lines += wrapped(f"{parameter.name}: {parameter.doc}", WIDTH, "        ")
        return [*lines, '    """']
