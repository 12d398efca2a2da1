"""Reads what only the runtime knows: statistics of data, ranks over all modules, values of events."""

from __future__ import annotations

from specdsl import tree
from specdsl.elaborate.folding import Folds
from specdsl.errors import SpecNameError, SpecShapeError, SpecSyntaxError, did_you_mean
from specdsl.ir import Factor, Layers, Measured, Node, Part, Ranked, Scalar, Site, interned
from specdsl.measures import MEASURES, Measure
from specdsl.nodes import apply, scalar
from specdsl.sizes import Size


class Measuring(Folds):
    """Reads measures (`cov(x)`, `ema(e, 0.9)`) and ranking (`top(layers(E), k)[layer]`)."""

    in_event: str | None = None
    """The event whose assignment is read, or None."""

    def _reads_measure(self, syntax: tree.Call) -> Measure | None:
        """The measure that a call names; `mean(x)` and `mean(workers(B))` are measures too."""
        name, arguments = syntax.function, syntax.arguments
        first = arguments[0] if len(arguments) == 1 else None
        if name == "mean" and isinstance(first, tree.Name) and first.name in ("x", "y") and not syntax.keywords:
            return MEASURES["average"]
        if name == "mean" and isinstance(first, tree.Call) and first.function == "workers":
            return MEASURES["workers"]
        return MEASURES.get(name) if name != "average" else None

    def _read_measure(self, found: Measure, syntax: tree.Call) -> Node:
        self._check_place(found, syntax)
        if found.name == "workers":
            return self._workers(syntax)
        arguments = [argument for argument in syntax.arguments if not isinstance(argument, tree.Text)]
        texts = [argument.value for argument in syntax.arguments if isinstance(argument, tree.Text)]
        if len(arguments) != found.takes:
            plural = "s" * (found.takes > 1)
            raise SpecSyntaxError(f"`{syntax.function}` takes {found.takes} argument{plural}", syntax.span, found.doc)
        nodes = [self._measured_argument(found, argument) for argument in arguments]
        if found.name in ("grad", "fisher"):
            self._check_has_gradient(found, nodes[0], arguments[0])
        options: list[tuple[str, Size | str]] = [("text", text) for text in texts]
        for name, value in syntax.keywords:
            if name not in found.options:
                raise SpecNameError(
                    f"`{syntax.function}` has no option `{name}`", value.span, did_you_mean(name, found.options)
                )
            options.append((name, self._samples(value)))
        shapes = found.shapes([self.solver.shape(node.shape) for node in nodes])
        if found.name == "prefill" and self.expected is not None:
            shapes = (self.expected,)
        node = interned(Measured(shapes[0] if len(shapes) == 1 else (), found.name, tuple(nodes), tuple(options)))
        if len(shapes) == 1:
            return node
        if syntax is not self.unpacked:
            raise SpecShapeError(f"`{found.name}` gives {len(shapes)} values", syntax.span, found.doc)
        return interned(Part(shapes[0], node, 0))

    def _check_place(self, found: Measure, syntax: tree.Call) -> None:
        if found.when == "event" and self.in_event is None:
            raise SpecNameError(
                f"`{found.name}` is known while training", syntax.span,
                f"it stands in an event: `at step: e = {found.name}(...)`",
            )  # fmt: skip
        if found.when == "round" and self.in_event != "round":
            raise SpecNameError("the workers of a federation are known `at round`", syntax.span)

    def _check_has_gradient(self, found: Measure, node: Node, syntax: tree.Expr) -> None:
        has_it = isinstance(node, Factor | Site) or isinstance(syntax, tree.Primed)
        if not has_it or (isinstance(node, Site) and node.name in ("x", "y")):
            raise SpecNameError(f"`{found.name}` takes a factor, W or b, not `{syntax.span.text}`", syntax.span)

    def _workers(self, syntax: tree.Call) -> Node:
        call = syntax.arguments[0] if syntax.function == "mean" else syntax
        if syntax.function != "mean" or not isinstance(call, tree.Call) or len(call.arguments) != 1:
            raise SpecSyntaxError("the workers are averaged: `mean(workers(B))`", syntax.span)
        node = self._operand(call.arguments[0])
        return interned(Measured(node.shape, "workers", (node,), ()))

    def _measured_argument(self, found: Measure, syntax: tree.Expr) -> Node:
        if isinstance(syntax, tree.Call) and syntax.function == "layers":
            if found.when != "allocation":
                raise SpecSyntaxError(f"`{found.name}` is of one module and takes no list", syntax.span)
            return self._layers_list(syntax)
        return self._operand(syntax)

    def _samples(self, syntax: tree.Expr) -> Size | str:
        """`samples=256`, or `samples=hardest(128)`: those of the highest loss."""
        if isinstance(syntax, tree.Call) and syntax.function == "hardest" and len(syntax.arguments) == 1:
            return f"hardest({self.size(syntax.arguments[0], '`hardest`')})"
        return self.size(syntax, "`samples`")

    # ------------------------------------------------------------------------------------------ lists

    def _layers_list(self, syntax: tree.Call) -> Node:
        if len(syntax.arguments) != 1 or syntax.keywords:
            raise SpecSyntaxError("`layers` takes one expression", syntax.span)
        node = self._operand(syntax.arguments[0])
        return interned(Layers((Size.symbol("layers"), *node.shape), node))

    def _read_of_this_layer(self, syntax: tree.Subscript) -> Node | None:
        """`top(layers(E), k)[layer]`, `split(v, layers(m))[layer]` and `allocate(layers(s), r)[layer]`; None if it is
        an ordinary subscript."""
        body = syntax.body
        items = [item.name for item in syntax.items if isinstance(item, tree.Name)]
        if not isinstance(body, tree.Call) or items != ["layer"] or len(syntax.items) != 1:
            return None
        if body.function == "allocate":
            return self.read(body)
        if body.function == "split":
            return self._piece(body)
        if body.function != "top" or not body.arguments or not is_layers(body.arguments[0]):
            return None
        if len(body.arguments) != 2 or body.keywords:
            raise SpecSyntaxError("`top` takes a list and how many of its entries", body.span)
        listed = body.arguments[0]
        assert isinstance(listed, tree.Call)
        of = self._layers_list(listed)
        amount = self._operand(body.arguments[1])
        if amount.ndim or not isinstance(amount, Scalar | Measured):
            raise SpecShapeError("how many entries are kept is a number", body.arguments[1].span)
        assert isinstance(of, Layers)
        return interned(Ranked(of.of.shape, of, amount))

    def _piece(self, syntax: tree.Call) -> Node:
        """This module's piece of what the modules share: `size` entries of v, or rows, behind those of the others."""
        if len(syntax.arguments) != 2 or syntax.keywords or not is_layers(syntax.arguments[1]):
            raise SpecSyntaxError(
                "`split` takes a value and the sizes of its pieces", syntax.span, "for example `split(v, layers(m))`"
            )
        whole, listed = self._operand(syntax.arguments[0]), syntax.arguments[1]
        assert isinstance(listed, tree.Call)
        of = self._layers_list(listed)
        assert isinstance(of, Layers)
        if not isinstance(of.of, Scalar) or not whole.ndim:
            raise SpecShapeError("`split` cuts rows or entries into pieces of a size each", syntax.span)
        size = of.of.size
        self.solver.span = syntax.span
        self.solver.same(whole.shape[0], Size.opaque("layers.sum", size), f"`{syntax.span.text}`: the pieces together")
        before = Size.opaque("layers.before", size, Size.symbol("layer"))
        items = ((before, before + size, Size.of(1)),)
        return apply("slice", (whole,), (size, *whole.shape[1:]), items=items)

    def _refuse_whole_list(self, syntax: tree.Call) -> None:
        if syntax.function == "split" and len(syntax.arguments) == 2 and is_layers(syntax.arguments[1]):
            raise SpecSyntaxError(
                "`split(v, layers(...))` has a piece for every module", syntax.span,
                f"that of this module is `{syntax.span.text}[layer]`",
            )  # fmt: skip
        if syntax.function == "top" and syntax.arguments and is_layers(syntax.arguments[0]):
            raise SpecSyntaxError(
                "`top(layers(...), k)` ranks the entries of all modules", syntax.span,
                f"those of this module are `{syntax.span.text}[layer]`",
            )  # fmt: skip


def is_layers(syntax: tree.Expr) -> bool:
    return isinstance(syntax, tree.Call) and syntax.function == "layers"


def allocated(node: Node) -> Node | None:
    """The number that a size given by the runtime has until then: `8` of `allocate(layers(s), 8)`."""
    if isinstance(node, Measured) and node.name == "allocate" and isinstance(node.arguments[1], Scalar):
        return scalar(node.arguments[1].size)
    return None
