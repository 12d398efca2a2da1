"""Random starts in PyTorch.

The numbers are torch's own, not those that specdsl draws: only the distribution is the same. A draw with a seed gives
the same numbers in every layer.
"""

from __future__ import annotations

from specdsl.lowering.emit_call import Call, Emission
from specdsl.lowering.emit_code import Code, slice_text
from specdsl.sizes import Size


def _drawn(method: str, of_seed: str = "") -> Emission:
    """A tensor filled at random; with a seed, always alike."""

    def write(call: Call) -> Code:
        declared = {option.name for option in call.node.definition.options}
        values = {name: call.option(name) for name in declared & {"std", "low", "high"}}
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


DRAWS: dict[str, Emission] = {
    "kaiming": _kaiming,
    "xavier": _xavier,
    "normal": _normal,
    "uniform": _drawn("uniform_({low}, {high})", "seeded_uniform({seed}, {low}, {high}"),
    "orthogonal": _orthogonal,
    "choice": _places(of_all=False),
    "balanced": _places(of_all=True),
}
