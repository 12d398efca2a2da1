"""How each operator is written in PyTorch: a template, or a function where a template cannot say it."""

from __future__ import annotations

from specdsl.errors import SpecNotBuiltError
from specdsl.ir import Apply, Node, Scalar
from specdsl.lowering.emit_call import Call, Emission, full, template
from specdsl.lowering.emit_code import PRODUCT, SUM, UNARY, Code, power
from specdsl.lowering.emit_draws import DRAWS
from specdsl.lowering.emit_entries import ENTRIES
from specdsl.sizes import Size


def emission_of(node: Apply) -> Emission:
    """How an operator is written.

    Raises:
        SpecNotBuiltError: nothing says how.
    """
    emission = _EMISSIONS.get(node.operator)
    if emission is None:
        raise SpecNotBuiltError(
            f"the operator `{node.operator}` has no form in plain PyTorch, so this spec cannot be emitted",
            hint=f'give it one: `specdsl.lowering.emit_operators.add_emission("{node.operator}", "torch.f({{0}})")`',
        )
    return emission


def has_emission(name: str) -> bool:
    """Whether an operator can be written in PyTorch."""
    return name in _EMISSIONS


def add_emission(name: str, form: str) -> None:
    """Say how an operator of your own is written in PyTorch.

    Args:
        name: of the operator, as registered.
        form: an expression over torch, `F` and `math`, with `{0}`, `{1}` for its arrays and `{name}` for options.

    >>> add_emission("twice", "2 * {0}")
    >>> has_emission("twice")
    True
    """
    _EMISSIONS[name] = template(form, bracketed=True)


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


def _joined(axis: int) -> Emission:
    return lambda call: Code(f"torch.cat([{', '.join(code.text for code in call.arguments)}], dim={axis})")


def _stacked(call: Call) -> Code:
    return Code(f"torch.stack([{', '.join(code.text for code in call.arguments)}])")


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


_EMISSIONS: dict[str, Emission] = {
    # signs
    "add": _add,
    "negative": template("-{0:unary}"),
    "matmul": _chain(" @ "),
    "scale": _chain(" * "),
    "times": _chain(" * ", "scale"),
    "divide": _chain(" / ", "times", "scale"),
    "elpower": lambda call: power(call.arguments[0], call.option("exponent")),
    "matpower": template("torch.linalg.matrix_power({0}, {exponent})"),
    "transpose": _transpose,
    "hcat": _joined(-1),
    "vcat": _joined(-2),
    "stop": template("{0:atom}.detach()"),
    "numbers": _stacked,
    "fill": _fill,
    # every entry
    **{name: template(f"torch.{name}({{0}})") for name in (
        "relu", "tanh", "sigmoid", "exp", "log", "sin", "cos", "sqrt", "abs", "sign", "floor", "ceil",
    )},
    "gelu": template("F.gelu({0})"),
    "silu": template("F.silu({0})"),
    "softmax": template("torch.softmax({0}, dim=-1)"),
    "clamp": template("clamp({0}, {low}, {high})"),
    "dropout": template("F.dropout({0}, {p}, training=self.training)"),
    # norms, sums, extremes
    "norm": template("torch.linalg.vector_norm({0})"),
    "rownorm": template("torch.linalg.vector_norm({0}, dim=-1)"),
    "colnorm": template("torch.linalg.vector_norm({0}, dim=-2)"),
    "trace": template("torch.trace({0})"),
    "sum": _along("sum"),
    "mean": _along("mean"),
    "rowmean": template("{0:atom}.mean(-1)"),
    "colmean": template("{0:atom}.mean(-2)"),
    "max": _extreme("amax", "maximum"),
    "min": _extreme("amin", "minimum"),
    "orth": _orth,
    "layernorm": template("F.layer_norm({0}, {0:atom}.shape[-1:], eps={eps})"),
    # structure
    "diag": _diag,
    "eye": template("eye({size}, {like})"),
    "ones": lambda call: Code(f"{call.like}.new_ones({call.shape or '()'})"),
    "zeros": lambda call: Code(f"{call.like}.new_zeros({call.shape or '()'})"),
    "outer": template("torch.outer({0}, {1})"),
    "kron": template("torch.kron({0}, {1})"),
    "circulant": template("circulant({0})"),
    "lower": template("torch.tril({0})"),
    "upper": template("torch.triu({0})"),
    "sym": template("sym({0})"),
    "skew": template("skew({0})"),
    "skew_from": template("skew_from({0})"),
    "cayley": _cayley,
    "householder": template("householder({0})"),
    # decompositions
    "svd": template("svd({0})"),
    "qr": template("qr({0})"),
    "lu": template("torch.linalg.lu({0})"),
    "ldu": template("ldu({0})"),
    "eigh": template("eigh({0})"),
    "inverse": template("torch.linalg.inv({0})"),
    "pinv": template("torch.linalg.pinv({0})"),
    # Fourier transforms
    "fft2": template("torch.fft.fft2({0})"),
    "ifft2": template("torch.fft.ifft2({0})"),
    "real": _real,
    **ENTRIES,
    **DRAWS,
}  # fmt: skip
