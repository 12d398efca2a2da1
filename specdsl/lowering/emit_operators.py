"""How each operator is written in PyTorch: by the form of its registration, or by a writer of this table.

Writers are for what no form can say: the language's own signs, whose brackets depend on their neighbours, and operators
whose code depends on shapes, on the kind of value, or on which options are given.
"""

from __future__ import annotations

from specdsl.errors import SpecNotBuiltError
from specdsl.ir import Apply, Node, Scalar
from specdsl.lowering.emit_call import Call, Emission, full, template
from specdsl.lowering.emit_code import PRODUCT, SUM, UNARY, Code, power
from specdsl.lowering.emit_draws import DRAWS
from specdsl.lowering.emit_entries import ENTRIES
from specdsl.operators.registry import find_operator
from specdsl.sizes import Size


def emission_of(node: Apply) -> Emission:
    """How an operator is written.

    Raises:
        SpecNotBuiltError: nothing says how.
    """
    writer, registered = _WRITERS.get(node.operator), find_operator(node.operator)
    if writer is not None:
        return writer
    if registered is None or registered.torch is None:
        raise SpecNotBuiltError(
            f"the operator `{node.operator}` has no form in plain PyTorch, so this spec cannot be emitted",
            hint=f'give it one where it is registered: `operator("{node.operator}", ..., torch="torch.f({{0}})")`',
        )
    return template(registered.torch)


# ---------------------------------------------------------------------------------------- arithmetic


def _add(call: Call) -> Code:
    text = call.arguments[0].text
    for term, negated in zip(call.arguments[1:], call.negated[1:], strict=True):
        if negated is not None:
            text += f" - {negated:product}"
        elif term.text.startswith("-") and term.level > SUM:
            text += f" - {term.text[1:]}"
        else:
            text += f" + {term:product}"
    return Code(text)


def _chain(sign: str, *same: str) -> Emission:
    """A product from left to right; the first operand goes without brackets where it is such a product itself."""

    def write(call: Call) -> Code:
        first, left = call.arguments[0], call.node.arguments[0]
        is_product = isinstance(left, Apply) and left.operator in (call.node.operator, *same)
        is_plain = isinstance(left, Scalar) or (sign == " @ " and not isinstance(left, Apply))
        parts = [first.at(PRODUCT if is_product or is_plain else UNARY)]
        return Code(sign.join([*parts, *(code.at(UNARY) for code in call.arguments[1:])]))

    return write


def _transpose(call: Call) -> Code:
    is_matrix = call.axes(0) == 2 and not call.in_tokens[0]
    return Code(f"{call.arguments[0]:atom}.{'T' if is_matrix else 'mT'}")


def _fill(call: Call) -> Code:
    number = call.node.arguments[0]
    if isinstance(number, Scalar):
        return full(call.like, call.sizes, call.node.shape, number)
    return Code(f"{call.arguments[0]:atom}.expand({call.shape})")


# ---------------------------------------------------------------------------------- norms and extremes


def _along(method: str) -> Emission:
    def write(call: Call) -> Code:
        axis = call.options.get("axis")
        return Code(f"{call.arguments[0]:atom}.{method}({'' if axis is None else axis})")

    return write


def _extreme(of_one: str, of_two: str) -> Emission:
    def write(call: Call) -> Code:
        code = call.arguments[0]
        if len(call.arguments) == 1:
            return Code(f"{code:atom}.{of_one}()")
        for other in call.arguments[1:]:
            code = Code(f"torch.{of_two}({code}, {other})")
        return code

    return write


def _orth(call: Call) -> Code:
    arguments = [call.arguments[0].text]
    if call.options.get("squared") is False:
        arguments.append("squared=False")
    if call.options.get("tol", Size.of(0)) != Size.of(0):
        arguments.append(f"tolerance={call.option('tol')}")
    return Code(f"orth({', '.join(arguments)})")


# --------------------------------------------------------------------------------- structure and the rest


def _diag(call: Call) -> Code:
    is_vector = call.axes(0) == 1 and not call.in_tokens[0]
    return Code(f"torch.{'diag' if is_vector else 'diag_embed'}({call.arguments[0]})")


def _cayley(call: Call) -> Code:
    terms = call.options.get("terms")
    if terms is None:
        return Code(f"cayley({call.arguments[0]})")
    return Code(f"cayley_series({call.arguments[0]}, {call.option('terms')})")


def _real(call: Call) -> Code:
    return Code(f"{call.arguments[0]:atom}.real") if is_complex(call.node.arguments[0]) else call.arguments[0]


def is_complex(root: Node) -> bool:
    """Whether a value has an imaginary part."""
    if not isinstance(root, Apply):
        return any(is_complex(child) for child in root.children)
    if root.operator in ("fft2", "ifft2"):
        return True
    return root.operator not in ("real", "abs", "norm") and any(is_complex(child) for child in root.arguments)


_WRITERS: dict[str, Emission] = {
    # signs
    "add": _add,
    "matmul": _chain(" @ "),
    "scale": _chain(" * "),
    "times": _chain(" * ", "scale"),
    "divide": _chain(" / ", "times", "scale"),
    "elpower": lambda call: power(call.arguments[0], call.option("exponent")),
    "transpose": _transpose,
    "fill": _fill,
    # along an axis, of one array or of several
    "sum": _along("sum"),
    "mean": _along("mean"),
    "max": _extreme("amax", "maximum"),
    "min": _extreme("amin", "minimum"),
    "orth": _orth,
    # by shape, options or kind of value
    "diag": _diag,
    "ones": lambda call: Code(f"{call.like}.new_ones({call.shape or '()'})"),
    "zeros": lambda call: Code(f"{call.like}.new_zeros({call.shape or '()'})"),
    "cayley": _cayley,
    "real": _real,
    **ENTRIES,
    **DRAWS,
}
