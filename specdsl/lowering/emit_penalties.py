"""The penalties of an emitted class: its own, and those that run over all adapted layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from specdsl.ir import Node, PenaltyIR, SpecIR
from specdsl.lowering.emit_body import Body
from specdsl.lowering.emit_code import Code, remark
from specdsl.lowering.layer_adapter import Lowered
from specdsl.plan import layer_lists

Method = Callable[[str, Body, Code, str], list[str]]
"""Makes the lines of a method: its head, body, result, and what it is."""


class Penalties:
    """Writes the methods for a spec's penalties.

    Args:
        ir: the spec.
        lowered: what was made of it.
        body: begins the body of a method.
        method: ends one.
    """

    def __init__(self, ir: SpecIR, lowered: Lowered, body: Callable[[], Body], method: Method) -> None:
        self.values = {text: program.output for text, program in lowered.penalties.items()}
        self.body = body
        self.method = method
        unique = {penalty.text: penalty for penalty in ir.penalties}.values()
        self.over_model = [penalty for penalty in unique if layer_lists(penalty.value)]
        self.own = [penalty.text for penalty in unique if penalty not in self.over_model]

    def methods(self) -> list[list[str]]:
        """`penalty`, and for penalties over the model `layer_value` and `model_penalty`."""
        found = [self._own()] if self.own else []
        return [*found, *self._over_model()] if self.over_model else found

    def _own(self) -> list[str]:
        body = self.body()
        body.announce([self.values[text] for text in self.own])
        result = _sum(body, self.own, lambda text: self.values[text])
        return self.method("penalty(self) -> Tensor", body, result, "")

    def _over_model(self) -> list[list[str]]:
        methods: list[list[str]] = []
        names: dict[Node, str] = {}
        for penalty in self.over_model:
            for position, node in enumerate(layer_lists(penalty.value)):
                if node not in names:
                    names[node] = "layer_value" + (f"_{len(names) + 1}" if names else "")
                    body = self.body()
                    code = body.write(self.values[f"{penalty.text} [{position}]"])
                    doc = "What this layer brings to `model_penalty`."
                    methods.append(self.method(f"{names[node]}(self) -> Tensor", body, code, doc))
        return [*methods, self._model_penalty(self.over_model, names)]

    def _model_penalty(self, penalties: Sequence[PenaltyIR], names: dict[Node, str]) -> list[str]:
        body = self.body()
        lists = {
            node: body.assigned("values", Code(f"torch.stack([layer.{name}() for layer in layers])"))
            for node, name in names.items()
        }
        own = body.leaf
        body.leaf = lambda node: lists[node] if node in lists else own(node)
        values = {penalty.text: penalty.value for penalty in penalties}
        result = _sum(body, list(values), lambda text: values[text])
        head = "model_penalty(self, layers: list[nn.Module]) -> Tensor"
        return self.method(head, body, result, "The penalty over all adapted layers, of which this is one.")


def _sum(body: Body, texts: Sequence[str], value: Callable[[str], Node]) -> Code:
    """Every penalty under a comment with its text, and their sum."""
    terms = []
    for text in texts:
        body.lines += remark(text)
        code = body.write(value(text))
        terms.append(code if len(texts) == 1 else body.assigned("term", code))
    return Code(" + ".join(term.text for term in terms))
