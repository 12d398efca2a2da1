"""One class of emitted code: the adapted layer, its constructor and what it computes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from torch import nn

from specdsl.interpret import Sizes
from specdsl.ir import Apply, Factor, FactorIR, Initial, Layers, Node, Scalar, topological
from specdsl.lowering.emit_body import LONGEST, RESERVED, Body, Context
from specdsl.lowering.emit_code import WIDTH, Code, Names, comment, escaped, indented
from specdsl.lowering.emit_constructor import Constructor, Held, Parameter, assignment
from specdsl.lowering.emit_layers import LayerCode, filled, layer_code
from specdsl.lowering.emit_sizes import SizeNames, SizeWriter
from specdsl.lowering.emit_source import FUNCTION_NAMES
from specdsl.lowering.layer_adapter import Lowered, initial_nodes
from specdsl.plan import LayerTraits, Through, layer_lists, plan_text, prepared_weight
from specdsl.printing.expression_text import expression_text
from specdsl.spec import Spec

_METHODS = ("base", "forward", "penalty", "model_penalty", "layer_value", "merged_weight", "merged_bias")
_PLAIN = ("eye", "zeros", "ones", "fill", "negative", "scale", "transpose")


@dataclass(frozen=True)
class AdaptedKind:
    """Modules that are computed alike: what `lower` made of a spec for one size and type of layer."""

    lowered: Lowered
    sizes: Sizes
    traits: LayerTraits


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
        self.kind = kind
        self.name = name
        self.layer: LayerCode = layer_code(kind.traits)
        self.names = Names({*dir(nn.Module()), *RESERVED, *_METHODS}, are_attributes=True)
        self.named = self._named()
        self.factors = {factor: self.names.fresh(factor) for factor in self._factors_in_use()}
        self.constants = self._constants()
        self.size_names = SizeNames(kind.sizes, Names({*self.names.taken, *self.ir.definitions, *FUNCTION_NAMES}))
        symbols = {*self.ir.hyper, *self.layer.sizes, "layer", "layers"}
        self.context = Context(
            self.layer, kind.sizes, self.named, kind.traits.has_bias, frozenset({*FUNCTION_NAMES, *symbols})
        )
        self.used: dict[str, None] = {}
        self.read: dict[Node, None] = {}

    # ------------------------------------------------------------------------------------- what it holds

    def _factors_in_use(self) -> list[str]:
        lowered = self.lowered
        programs = (lowered.output, *lowered.weight.values(), *lowered.penalties.values())
        read = {step.node.name for program in programs for step in program.steps if isinstance(step.node, Factor)}
        return [name for name, factor in self.ir.factors.items() if factor.is_trained or name in read]

    def _constants(self) -> dict[Node, str]:
        """What is computed once, and the attribute that holds it."""
        starts = initial_nodes([program.output for program in self.lowered.weight.values()])
        constants = map(_without_minus, (*self.lowered.constants, *starts))
        found = dict.fromkeys(node for node in constants if not _is_plain(node))
        return {node: self.names.fresh(self.named.get(node) or _constant_name(node, self.named)) for node in found}

    def _named(self) -> dict[Node, str]:
        """The values that the spec's definitions name, as written and as planned."""
        named: dict[Node, str] = {}
        for name, node in self.ir.definitions.items():
            prepared = prepared_weight(replace(self.ir, targets={"W": node}), self.kind.sizes, self.kind.traits)
            for form in (node, prepared.get("W", node)):
                if not isinstance(form, Factor | Scalar):
                    named.setdefault(form, name)
        return named

    def stored(self, node: Node) -> Code | None:
        """The attribute that holds a factor or constant."""
        if node in self.constants:
            self.read[node] = None
            return Code(f"self.{self.constants[node]}")
        if isinstance(node, Factor):
            attribute = f"self.{self.factors[node.name]}"
            return Code(f"orthonormal({attribute})" if self.ir.factors[node.name].orthonormal else attribute)
        return None

    # ------------------------------------------------------------------------------------------- methods

    def text(self) -> str:
        """The source of the class."""
        methods = [self._forward(), *self._penalties(), self._merged_weight(), self._merged_bias()]
        constructor = Constructor(self.ir, self.context, self.size_names, self._held(), self.used)
        created = constructor.lines()
        lines = [f"class {self.name}(nn.Module):", *self._docstring(list(constructor.parameters.values()))]
        for section in [self._settings(), created, *methods]:
            lines += ["", *indented(section)] if section else []
        return "\n".join(lines) + "\n"

    def _held(self) -> list[Held]:
        factors = [Held(attribute, Factor(self.ir.factors[name].shape, name)) for name, attribute in self.factors.items()]
        return [*factors, *(Held(attribute, node) for node, attribute in self.constants.items() if node in self.read)]

    def _method(self, head: str, remarks: Iterable[str], body: Body, result: str) -> list[str]:
        lines = [line for remark in remarks for line in comment(remark, "")]
        lines += [*self._prologue(body.writer), *body.lines, f"return {result}"]
        return [f"def {head}:", *indented(lines)]

    def _prologue(self, writer: SizeWriter) -> list[str]:
        """Local names for the sizes that a method uses."""
        self.used.update(dict.fromkeys(writer.used))
        names = self.layer.ordered(writer.used)
        return assignment(names, [f"self.{name}" for name in names])

    def _body(self, base: str = "self.base") -> Body:
        return Body(self.context, SizeWriter(self.size_names), self.stored, base)

    def _forward(self) -> list[str]:
        body = self._body()
        result = body.output(self.lowered.plan.output)
        return self._method("forward(self, x: Tensor) -> Tensor", [f"y' = {self.lowered.plan.order}"], body, result.text)

    def _penalties(self) -> list[list[str]]:
        own = {text: program.output for text, program in self.lowered.penalties.items()}
        whole = [penalty for penalty in self.ir.penalties if layer_lists(penalty.value)]
        methods = []
        per_layer = list(dict.fromkeys(penalty.text for penalty in self.ir.penalties if penalty not in whole))
        if per_layer:
            body = self._body()
            body.announce([own[text] for text in per_layer])
            codes = []
            for text in per_layer:
                body.lines += comment(text, "")
                code = body.write(own[text])
                codes.append(code if len(per_layer) == 1 else body.assigned("term", code))
            methods.append(self._method("penalty(self) -> Tensor", [], body, " + ".join(code.text for code in codes)))
        values: dict[Node, str] = {}
        for penalty in whole:
            for position, node in enumerate(layer_lists(penalty.value)):
                if node not in values:
                    values[node] = "layer_value" if not values else f"layer_value_{len(values) + 1}"
                    body = self._body()
                    code = body.write(own[f"{penalty.text} [{position}]"])
                    remark = f"of this layer: {expression_text(node.of)}"
                    methods.append(self._method(f"{values[node]}(self) -> Tensor", [remark], body, code.text))
        if whole:
            methods.append(self._model_penalty([penalty.text for penalty in whole], whole, values))
        return methods

    def _model_penalty(self, texts: list[str], whole: list, values: Mapping[Node, str]) -> list[str]:
        body = self._body()
        lists: dict[Node, Code] = {}
        for node, method in values.items():
            lists[node] = body.assigned("values", Code(f"torch.stack([layer.{method}() for layer in layers])"))
        own = body.leaf
        body.leaf = lambda node: lists[node] if node in lists else own(node)
        codes = []
        for text, penalty in zip(texts, whole, strict=True):
            body.lines += comment(text, "")
            codes.append(body.write(penalty.value))
        head = "model_penalty(self, layers: list[nn.Module]) -> Tensor"
        doc = '"""The penalties over all adapted layers, of which this is one."""'
        lines = self._method(head, [], body, " + ".join(code.text for code in codes))
        return [lines[0], "    " + doc, *lines[1:]]

    # ------------------------------------------------------------------------------------------- merging

    @property
    def _is_mergeable(self) -> bool:
        weight = self.lowered.weight
        off_diagonal = self.layer.is_diagonal and "W" in weight and not self.lowered.weight_is_diagonal
        return bool(weight) and not off_diagonal and not ("b" in weight and not self.layer.has_merged_bias)

    def _merged_weight(self) -> list[str]:
        program = self.lowered.weight.get("W")
        if program is None or not self._is_mergeable:
            return []
        body = self._body()
        output = self.lowered.plan.output
        if self.layer.is_diagonal and isinstance(output, Through):
            node, layout = output.weight, "{M}"
        else:
            node, layout = program.output, self.layer.layout
        weight = body.write(node)
        result = filled(layout, M=weight)
        if len(result.text) > LONGEST:
            result = filled(layout, M=body.assigned("weight", weight))
        result = Code(result.text.replace(".T.T", ""))
        return self._merging("merged_weight", f"W' = {expression_text(node)}", body, result.alone)

    def _merged_bias(self) -> list[str]:
        program = self.lowered.weight.get("b")
        if program is None or not self._is_mergeable:
            return []
        body = self._body()
        return self._merging("merged_bias", f"b' = {expression_text(program.output)}", body, body.write(program.output).text)

    def _merging(self, name: str, remark: str, body: Body, result: str) -> list[str]:
        return ["@torch.no_grad()", *self._method(f"{name}(self) -> Tensor", [remark], body, result)]

    # -------------------------------------------------------------------------------------------- frame

    def _settings(self) -> list[str]:
        """The hyper-parameters in use, as class attributes."""
        lines = []
        for size, name in self.size_names.items():
            if size.as_symbol not in self.layer.sizes:
                number = self.size_names.number(size)
                value = repr(int(number)) if float(number).is_integer() else repr(float(number))
                shown = "" if size.as_symbol == name else f"  # {size}"
                lines.append(f"{name} = {value}{shown}")
        return lines

    def _docstring(self, parameters: list[Parameter]) -> list[str]:
        about = f"{self.spec.title or 'An adapted layer'}: {self.layer.weight_is}."
        lines = [*comment('"""' + escaped(about), "    ", "", hang=""), "", "    Args:", "        base: the layer to adapt."]
        for parameter in parameters:
            lines += comment(f"{parameter.name}: {parameter.doc}", "        ", "")
        return [*lines, '    """']


def _is_plain(node: Node) -> bool:
    """Whether a constant is made of zeros and ones alone, and cheaper to make than to store."""
    return all(isinstance(part, Scalar) or (isinstance(part, Apply) and part.operator in _PLAIN) for part in topological([node]))


def _without_minus(node: Node) -> Node:
    """A constant `-E` is held as E."""
    while isinstance(node, Apply) and node.operator == "negative":
        node = node.arguments[0]
    return node


def _constant_name(node: Node, named: Mapping[Node, str]) -> str:
    match node:
        case Initial(of=Factor() as factor):
            return f"{factor.name}_start"
        case Initial(of=inner) if inner in named:
            return f"{named[inner]}_start"
        case Layers():
            return "over_layers"
        case Apply(arguments=(Factor() as factor, *_)):
            return f"{node.operator}_{factor.name}"
    is_start = any(isinstance(part, Initial) for part in topological([node]))
    return "start" if is_start else "constant"
