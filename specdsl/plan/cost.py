"""What an expression costs in a training step, counted by running it over arrays without values.

Products of matrices, and the memory kept for backward, are counted as torch itself counts them.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from specdsl.affine import W as BASE_WEIGHT
from specdsl.affine import X
from specdsl.arrays.counted import Counted, Kind, Ledger, Memory
from specdsl.arrays.counted_arrays import CountedArrays
from specdsl.interpret import TAKES_NUMBERS, concrete_options
from specdsl.ir import Apply, Factor, Given, Node, Part, Scalar, Site, SpecIR
from specdsl.plan.constants import ConstantParts
from specdsl.plan.diagonals import without_diagonals
from specdsl.plan.forms import Project, Through
from specdsl.plan.preparation import Preparation
from specdsl.plan.program_order import gradient_wanted, inputs_of, program_order


@dataclass(frozen=True)
class Cost:
    """Operations forward and backward, and memory.

    Attributes:
        products: operations of matrix products and convolutions.
        others: all others: one per entry forward and one backward.
        saved: bytes that backward keeps, in float32, without weights, factors and constants.
    """

    products: int
    others: int
    saved: int

    @property
    def flops(self) -> int:
        return self.products + self.others


class CostModel:
    """Costs in one kind of module whose input's gradient is wanted, as it is in all layers but the first."""

    def __init__(self, ir: SpecIR, preparation: Preparation, constants: ConstantParts) -> None:
        self.ir = ir
        self.preparation = preparation
        self.constants = constants
        self._known: dict[Node, Cost] = {}

    def of(self, root: Node) -> Cost:
        """The cost of an adapted output, or of a part of one."""
        if root not in self._known:
            self._known[root] = _Count(self, without_diagonals(root)).cost
        return self._known[root]

    @property
    def frozen(self) -> Cost:
        """The cost of the layer without an adapter, with the gradient flowing to its input."""
        n, m = self.preparation.sizes.shape(BASE_WEIGHT.shape)
        tokens, traits = self.preparation.tokens, self.preparation.traits
        if traits.free_projection:
            return Cost(0, 0, 0)
        return Cost(0, 2 * tokens * n, 0) if traits.weight_is_diagonal else Cost(4 * tokens * n * m, 0, 0)


class _Count:
    """One count."""

    def __init__(self, model: CostModel, root: Node) -> None:
        self.model = model
        self.sizes = model.preparation.sizes
        self.traits = model.preparation.traits
        self.ledger = Ledger()
        self.arrays = CountedArrays(self.ledger)
        self.constants = set(model.constants.find([root]))
        self.values: dict[Node, Any] = {}
        self.input = self._module_input()
        order = program_order(root, self.constants)
        wanted = gradient_wanted(order, self.constants)
        for node in order:
            with nullcontext() if node in wanted else self.ledger.without_gradients():
                self.values[node] = self._value(node)
        self.cost = Cost(self.ledger.products, self.ledger.others, self.ledger.saved)

    def _value(self, node: Node) -> Any:
        if node in self.constants:
            return self._held(node)
        match node:
            case Scalar():
                return float(self.sizes.number(node.size))
            case Factor():
                kind: Kind = "int" if self.model.ir.factors[node.name].kind == "index" else "float"
                return self._held(node, node.name in self.model.preparation.trained, kind)
            case Given():
                return self._held(node)
            case Site():
                return self._site(node)
            case Project():
                return self._project(node)
            case Through():
                return self._through(node)
            case Part():
                return self._part(node)
            case Apply():
                return self._applied(node)
        raise AssertionError(node)

    def _held(self, node: Node, learns: bool = False, kind: Kind = "float") -> Counted:
        return Counted(self.ledger, self.sizes.shape(node.shape), learns, Memory(0, is_held=True), kind)

    # ----------------------------------------------------------------------------------------- the layer

    def _module_input(self) -> Counted:
        """The module's input as it arrives: places, an image, or tokens."""
        tokens, n = self.sizes.shape(X.shape)
        if self.traits.free_projection:
            return Counted(self.ledger, (tokens,), kind="int")
        if self.traits.unfolds:
            n = int(self.sizes.values.get("c", n))  # a convolution with stride 1 has as many places as its input
        # What a norm keeps of its input it keeps without an adapter too.
        memory = Memory(0, is_held=True) if self.traits.weight_is_diagonal else None
        return Counted(self.ledger, (tokens, n), True, memory)

    def _site(self, node: Site) -> Counted:
        match node.name:
            case "x":
                return self._tokens()
            case "y":
                frozen = self.model.frozen
                self.ledger.products += frozen.products
                self.ledger.others += frozen.others
                return self._output(node, self.input.learns)
            case "W" if self.traits.weight_is_diagonal:
                return self._output(node, False)  # the square matrix is made from the vector
        return self._held(node)

    def _output(self, node: Node, learns: bool) -> Counted:
        return Counted(self.ledger, self.sizes.shape(node.shape), learns)

    def _tokens(self) -> Counted:
        """`x`: the input itself, columns of an image, a normalised input."""
        if not self.traits.unfolds and not self.traits.weight_is_diagonal:
            return self.input
        tokens = self._output(X, True)
        self.ledger.others += 2 * tokens.entries
        return tokens

    def _project(self, node: Project) -> Counted:
        if node.matrix == BASE_WEIGHT:
            return self._site(Site(node.shape, "y"))
        matrix: Counted = self.values[node.matrix]
        if self.traits.weight_is_diagonal:
            return self._tokens() @ matrix
        return self._multiplied(node, matrix)

    def _through(self, node: Through) -> Counted:
        built = [self.values[child] for child in inputs_of(node, self.constants)]
        bias = built[-1] if node.bias is not None else None
        weight = built[0] if node.weight != BASE_WEIGHT else self._held(BASE_WEIGHT)
        if self.traits.weight_is_diagonal:
            self.ledger.others += self.model.frozen.others
            result = self._output(node, True)
            self.ledger.others += result.entries * weight.learns
        else:
            result = self._multiplied(node, weight)
        return result if bias is None or not bias.learns else self._output(node, True)

    def _multiplied(self, node: Node, matrix: Counted) -> Counted:
        """The input times a matrix, in the layer's way; a convolution costs what its unfolded product costs."""
        if matrix.flows:
            self.input.keep()
        learns = self.input.flows + matrix.flows
        result = self._output(node, learns > 0)
        if self.traits.free_projection:
            self.ledger.others += result.entries * (1 + result.learns)
            return result
        if self.input.flows:
            matrix.keep()
        self.ledger.products += 2 * result.entries * self.sizes.integer(X.shape[1]) * (1 + learns)
        return result

    # ----------------------------------------------------------------------------------------- operators

    def _applied(self, node: Apply) -> Any:
        arguments = [self.values[argument] for argument in node.arguments]
        if node.operator not in TAKES_NUMBERS:
            arguments = [self.arrays.full((), one) if isinstance(one, float) else one for one in arguments]
        elif all(isinstance(argument, float) for argument in arguments):
            return arguments[0]
        try:
            return node.definition.value(self.arrays, *arguments, **concrete_options(node, self.sizes))
        except Exception:  # an operator of a user's may ask for what only arrays with values have
            return self._estimated(node, arguments)

    def _estimated(self, node: Apply, arguments: list[Any]) -> Any:
        """One operation per entry, and all arguments kept."""
        arrays = [argument for argument in arguments if isinstance(argument, Counted)]
        learns = any(array.flows for array in arrays)
        for array in arrays if learns else []:
            array.keep()
        self.ledger.others += sum(array.entries for array in arrays) * (1 + learns)
        return learns if len(node.definition.outputs) > 1 else self._output(node, learns)

    def _part(self, node: Part) -> Counted:
        value = self.values[node.of]
        if isinstance(value, bool):  # estimated as a whole
            return self._output(node, value)
        part: Counted = value[node.index]
        return part
