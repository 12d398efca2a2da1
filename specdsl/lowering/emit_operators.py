"""How each operator is written in PyTorch: a template, or a function where a template cannot say it.

In a template `{0}` is the first argument as it stands inside the brackets of a call, `{0:atom}` the same as the owner of
a method, `{k}` an option and `{like}` a tensor of the right dtype and device. Functions of `emit_functions` may be
called by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from specdsl.errors import SpecNotBuiltError
from specdsl.ir import Apply, Node, Scalar
from specdsl.lowering.emit_code import Code, power, slice_text
from specdsl.lowering.emit_sizes import SizeWriter
from specdsl.operators.axis_patterns import Rearrangement, einsum_axes, einsum_letters
from specdsl.sizes import Size


@dataclass(frozen=True)
class Call:
    """One operator about to be written.

    Attributes:
        node: the operator with its arguments and options.
        arguments: its arrays as code.
        negated: for each array that is written as `-E`, the code of E.
        in_tokens: whether each array is an activation, which may have more leading axes than its shape says.
        sizes: writes sizes.
        like: code of a tensor with the dtype and device of the layer.
    """

    node: Apply
    arguments: tuple[Code, ...]
    negated: tuple[Code | None, ...]
    in_tokens: tuple[bool, ...]
    sizes: SizeWriter
    like: str
    options: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", dict(self.node.options))

    def option(self, name: str) -> Code:
        """An option as code; sizes as whole numbers."""
        value = self.options[name]
        kind = next((option.kind for option in self.node.definition.options if option.name == name), "number")
        if isinstance(value, Size):
            return self.sizes.whole(value) if kind == "size" or name == "seed" else self.sizes.number(value)
        return Code(self.sizes.shape(value) if isinstance(value, tuple) else repr(value))

    @property
    def shape(self) -> str:
        """The shape of the value, its sizes with commas."""
        return self.sizes.shape(self.node.shape)

    def axes(self, position: int) -> int:
        return self.node.arguments[position].ndim


Emission = Callable[[Call], Code]


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


def add_emission(name: str, template: str) -> None:
    """Say how an operator of your own is written in PyTorch.

    Args:
        name: of the operator, as registered.
        template: an expression over torch, `F` and `math`, with `{0}`, `{1}` for its arrays and `{name}` for options.

    >>> add_emission("twice", "2 * {0}")
    >>> has_emission("twice")
    True
    """
    _EMISSIONS[name] = _template(template, bracketed=True)


def _template(template: str, bracketed: bool = False) -> Emission:
    def write(call: Call) -> Code:
        arguments = [Code(code.at(5)) for code in call.arguments] if bracketed else call.arguments
        options = {name: call.option(name) for name in call.options if name not in ("label", "shape", "items")}
        return Code(template.format(*arguments, **options, like=call.like))

    return write


# ---------------------------------------------------------------------------------------- arithmetic


def _add(call: Call) -> Code:
    text = call.arguments[0].text
    for term, negated in zip(call.arguments[1:], call.negated[1:], strict=True):
        if negated is not None:
            text += f" - {negated:product}"
        elif term.text.startswith("-") and term.level > 1:
            text += f" - {term.text[1:]}"
        else:
            text += f" + {term:product}"
    return Code(text)


def _chain(sign: str, *same: str) -> Emission:
    """A product from left to right; the first operand goes without brackets where it is such a product itself."""

    def write(call: Call) -> Code:
        first, left = call.arguments[0], call.node.arguments[0]
        is_same = not isinstance(left, Apply) or left.operator in (call.node.operator, *same)
        parts = [first.at(2) if is_same else first.at(3)]
        return Code(sign.join([*parts, *(code.at(3) for code in call.arguments[1:])]))

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


def full(like: str, sizes: SizeWriter, shape: tuple[Size, ...], number: Scalar) -> Code:
    """An array with a number at every entry."""
    value = sizes.number(number.size)
    if not shape:
        return Code(f"{like}.new_tensor({value})")
    return Code(f"{like}.new_full(({sizes.shape(shape)}{',' * (len(shape) == 1)}), {value})")


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


# ------------------------------------------------------------------------------------------- entries


def _slice(call: Call) -> Code:
    whole = (Size.of(0), None, Size.of(1))
    shape = call.node.arguments[0].shape
    texts = [_item(call, item, size) for item, size in zip(call.options["items"], shape, strict=False)]
    while len(texts) > 1 and texts[-1] == ":":
        texts.pop()
    if call.in_tokens[0] and call.options["items"][0] == (whole[0], shape[0], whole[2]):
        texts[0] = "..."  # activations have any number of leading axes
    code = call.arguments[0]
    return code if texts in ([":"], ["..."]) else Code(f"{code:atom}[{', '.join(texts)}]")


def _item(call: Call, item: Any, size: Size) -> str:
    if isinstance(item, Size):
        return call.sizes.whole(item).text
    start, stop, step = (Size.of(bound) for bound in item)
    return slice_text(
        "" if start == Size.of(0) else call.sizes.whole(start).text,
        "" if stop == size else call.sizes.whole(stop).text,
        "" if step == Size.of(1) else call.sizes.whole(step).text,
    )


def _permute(call: Call) -> Code:
    matrix, places = call.arguments
    return Code(f"{matrix:atom}[{places}]" + (f"[:, {places}]" if call.options.get("both") else ""))


def _tile(call: Call) -> Code:
    return Code(f"tile({call.arguments[0]}, {call.shape})")


def _reshape(call: Call) -> Code:
    return Code(f"{call.arguments[0]:atom}.reshape({call.shape})")


def _block_diagonal(call: Call) -> Code:
    if len(call.arguments) == 1 and call.axes(0) == 3:
        return Code(f"torch.block_diag(*{call.arguments[0]:atom})")
    return Code(f"torch.block_diag({', '.join(code.text for code in call.arguments)})")


def _rearrange(call: Call) -> Code:
    plan = Rearrangement.read(call.options["pattern"])
    source = call.node.arguments[0].shape
    sizes = plan.sizes(source, dict(call.options.get("sizes", ())), lambda left, right, why: None)
    before = [name for axis in plan.left for name in axis]
    order = [before.index(name) for axis in plan.right for name in axis]
    apart = tuple(sizes[name] for name in before)
    moved = tuple(apart[place] for place in order)
    text = f"{call.arguments[0]:atom}"
    if apart != source:
        text += f".reshape({call.sizes.shape(apart)})"
    if order != sorted(order):
        text += f".permute({', '.join(map(str, order))})"
    if moved != call.node.shape:
        text += f".reshape({call.shape})"
    return Code(text)


def _einsum(call: Call) -> Code:
    pattern = call.options["pattern"]
    inputs, output = einsum_axes(pattern)
    short = all(len(name) == 1 for axes in (*inputs, output) for name in axes)
    letters = "->".join([",".join(map("".join, inputs)), "".join(output)]) if short else einsum_letters(pattern)
    arrays = ", ".join(code.text for code in call.arguments)
    return Code(f'torch.einsum("{letters}", {arrays})')


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


# ---------------------------------------------------------------------------------------- random starts


def _drawn(method: str, of_seed: str = "") -> Emission:
    """A tensor filled at random; with a seed, always alike."""

    def write(call: Call) -> Code:
        values = {name: call.option(name) for name in ("std", "low", "high") if name in call.options}
        if call.options.get("seed") is None:
            return Code(f"{call.like}.new_empty({call.shape}).{method.format(**values)}")
        return Code(f"{of_seed.format(seed=call.option('seed'), **values)}, {call.shape}).to({call.like})")

    return write


_between_ones = _drawn("uniform_(-1, 1)", "seeded_uniform({seed}, -1, 1")


def _kaiming(call: Call) -> Code:
    shape = call.node.shape
    fan = call.options.get("fan")
    if fan is None:
        fan = shape[-2] if len(shape) > 1 else shape[0] if shape else Size.of(1)
    return Code(f"{_between_ones(call)} / math.sqrt({call.sizes.whole(fan)})")


def _xavier(call: Call) -> Code:
    one = Size.of(1)
    rows, columns = (one, one, *call.node.shape)[-2:]
    return Code(f"{_between_ones(call)} * math.sqrt(6 / ({call.sizes.number(rows + columns)}))")


def _normal(call: Call) -> Code:
    std = call.options.get("std", Size.of(1))
    if call.options.get("seed") is None and std == Size.of(1):
        return Code(f"{call.like}.new_empty({call.shape}).normal_()")
    return _drawn("normal_(0, {std})", "seeded_normal({seed}, {std}")(call)


def _orthogonal(call: Call) -> Code:
    if call.options.get("seed") is not None:
        return Code(f"random_orthonormal({call.shape}, seed={call.option('seed')}).to({call.like})")
    if call.node.ndim == 2:
        return Code(f"nn.init.orthogonal_({call.like}.new_empty({call.shape}))")
    return Code(f"random_orthonormal({call.shape}).to({call.like})")


def _places(of_all: bool) -> Emission:
    """Random places: some of n, or all of them dealt out equally often."""

    def write(call: Call) -> Code:
        shape, n = call.node.shape, call.option("n")
        count = Size.of(1)
        for size in shape:
            count = count * size
        seed = "" if call.options.get("seed") is None else f", generator=seeded({call.option('seed')})"
        if of_all:
            text = f"(torch.randperm({call.sizes.whole(count)}{seed}) % {n:unary})"
        else:
            text = f"torch.randperm({n}{seed})[{slice_text('', call.sizes.whole(count).text)}]"
        if len(shape) != 1:
            text += f".reshape({call.shape})"
        return Code(f"{text}.to({call.like}.device)")

    return write


_EMISSIONS: dict[str, Emission] = {
    # signs
    "add": _add,
    "negative": _template("-{0:unary}"),
    "matmul": _chain(" @ "),
    "scale": _chain(" * "),
    "times": _chain(" * ", "scale"),
    "divide": _chain(" / ", "times", "scale"),
    "elpower": lambda call: power(call.arguments[0], call.option("exponent")),
    "matpower": _template("torch.linalg.matrix_power({0}, {exponent})"),
    "transpose": _transpose,
    "hcat": _joined(-1),
    "vcat": _joined(-2),
    "stop": _template("{0:atom}.detach()"),
    "numbers": _stacked,
    "fill": _fill,
    # every entry
    **{name: _template(f"torch.{name}({{0}})") for name in (
        "relu", "tanh", "sigmoid", "exp", "log", "sin", "cos", "sqrt", "abs", "sign", "floor", "ceil",
    )},
    "gelu": _template("F.gelu({0})"),
    "silu": _template("F.silu({0})"),
    "softmax": _template("torch.softmax({0}, dim=-1)"),
    "clamp": _template("clamp({0}, {low}, {high})"),
    "dropout": _template("F.dropout({0}, {p}, training=self.training)"),
    # norms, sums, extremes
    "norm": _template("torch.linalg.vector_norm({0})"),
    "rownorm": _template("torch.linalg.vector_norm({0}, dim=-1)"),
    "colnorm": _template("torch.linalg.vector_norm({0}, dim=-2)"),
    "trace": _template("torch.trace({0})"),
    "sum": _along("sum"),
    "mean": _along("mean"),
    "rowmean": _template("{0:atom}.mean(-1)"),
    "colmean": _template("{0:atom}.mean(-2)"),
    "max": _extreme("amax", "maximum"),
    "min": _extreme("amin", "minimum"),
    "orth": _orth,
    "layernorm": _template("F.layer_norm({0}, {0:atom}.shape[-1:], eps={eps})"),
    # structure
    "diag": _diag,
    "eye": _template("eye({size}, {like})"),
    "ones": lambda call: Code(f"{call.like}.new_ones({call.shape or '()'})"),
    "zeros": lambda call: Code(f"{call.like}.new_zeros({call.shape or '()'})"),
    "outer": _template("torch.outer({0}, {1})"),
    "kron": _template("torch.kron({0}, {1})"),
    "circulant": _template("circulant({0})"),
    "lower": _template("torch.tril({0})"),
    "upper": _template("torch.triu({0})"),
    "sym": _template("sym({0})"),
    "skew": _template("skew({0})"),
    "skew_from": _template("skew_from({0})"),
    "cayley": _cayley,
    "householder": _template("householder({0})"),
    # decompositions
    "svd": _template("svd({0})"),
    "qr": _template("qr({0})"),
    "lu": _template("torch.linalg.lu({0})"),
    "ldu": _template("ldu({0})"),
    "eigh": _template("eigh({0})"),
    "inverse": _template("torch.linalg.inv({0})"),
    "pinv": _template("torch.linalg.pinv({0})"),
    # entries laid out anew, and chosen
    "tile": _tile,
    "blocks": _template("blocks({0}, {p}, {q})"),
    "unblocks": _template("unblocks({0})"),
    "blockdiag": _block_diagonal,
    "reshape": _reshape,
    "rearrange": _rearrange,
    "einsum": _einsum,
    "take": _template("{0:atom}[{1}]"),
    "slice": _slice,
    "scatter": _template("scatter({0}, {1}, {n}, {m})"),
    "permute": _permute,
    "butterfly": _template("butterfly({n}, {k}, {i}).to({like}.device)"),
    "pairs": _template("{0:atom}[..., ::2].repeat_interleave(2, dim=-1)"),
    "top": _template("top({0}, {k})"),
    "bottom": _template("top(-{0:unary}, {k})"),
    "keep": _template("keep({0}, {k})"),
    "count": _template("{0:atom}.sign().abs().sum()"),
    # Fourier transforms
    "fft2": _template("torch.fft.fft2({0})"),
    "ifft2": _template("torch.fft.ifft2({0})"),
    "real": _real,
    # random starts
    "kaiming": _kaiming,
    "xavier": _xavier,
    "normal": _normal,
    "uniform": _drawn("uniform_({low}, {high})", "seeded_uniform({seed}, {low}, {high}"),
    "orthogonal": _orthogonal,
    "choice": _places(of_all=False),
    "balanced": _places(of_all=True),
}  # fmt: skip
