"""`weight`: the adapted weight as a pure function, in float64 on numpy. The one definition that all else is held to."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from specdsl.affine import NotAffine, adapted_weight
from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.errors import SpecMergeError, SpecSettingError, SpecShapeError, did_you_mean
from specdsl.interpret import Sizes, evaluate
from specdsl.ir import Factor, Node, Site
from specdsl.spec import Spec, parse
from specdsl.starting import Starting, draw_numpy


def weight(
    spec: Spec | str | Path,
    W: Any,
    b: Any = None,
    factors: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    module: str = "",
    layer: int = 0,
    kernel: tuple[int, int] | None = None,
    **hyperparameters: Any,
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]:
    """The adapted weight and bias of a spec, computed literally from its formula.

    Args:
        spec: a spec, or what `specdsl.parse` takes.
        W: the weight, `n x m` (the transpose of `nn.Linear.weight`).
        b: the bias, `m`, or None.
        factors: values of factors; those not given take their start.
        seed, module: key of the random starts, as attaching uses them.
        layer: the module's number among the adapted ones.
        kernel: height and width of a convolution's kernel, whose W is `c*kh*kw x m`.
        hyperparameters: values for the spec's hyper-parameters.

    Returns:
        `W'` (`n x m`) and `b'` (`m`, or None where there is none), in float64.

    Raises:
        SpecMergeError: the spec is no weight.
        SpecShapeError: a factor or b has another shape than the spec says, or a size condition fails.
        SpecSettingError: `factors` names something that is no factor.

    >>> import numpy, specdsl
    >>> A, B = numpy.ones((3, 1)), numpy.ones((1, 2))
    >>> specdsl.weight("W + A@B", numpy.zeros((3, 2)), factors={"A": A, "B": B}, r=1)[0]
    array([[1., 1.],
           [1., 1.],
           [1., 1.]])
    """
    checked = (spec if isinstance(spec, Spec) else parse(spec)).set(**hyperparameters)
    matrix = _float64(W)
    if matrix.ndim != 2:
        raise SpecShapeError(f"W has {matrix.ndim} axes; it is n x m")
    n, m = matrix.shape
    bias = np.zeros(m) if b is None else _float64(b)
    if bias.shape != (m,):
        raise SpecShapeError(f"b has the shape {bias.shape}, but W is {n} x {m}")
    ir = checked.ir
    numbers = {**ir.hyper_values(), "n": n, "m": m, "layer": layer, "layers": 1, "tokens": 1}
    if kernel is not None:
        kh, kw = kernel
        numbers.update(c=n // (kh * kw), kh=kh, kw=kw)
    sizes = Sizes(numbers)
    for condition in ir.conditions:
        if kernel is None and {"c", "kh", "kw"} & (condition.left.symbols | condition.right.symbols):
            raise SpecShapeError("the spec reads a convolution's kernel", condition.span, "give it: `kernel=(3, 3)`")
        if not condition.holds(sizes.values):
            raise SpecShapeError(f"a {n} x {m} weight does not meet the size condition {condition}", condition.span)
    given = _given(checked, factors or {}, sizes)
    starting = Starting(
        ir, NUMPY, sizes, {"W": matrix, "b": bias}, partial(_draw, seed, module), _frozen(checked, given)
    )

    def leaf(node: Node) -> Any:
        if isinstance(node, Site):
            return {"W": matrix, "b": bias}[node.name]
        if isinstance(node, Factor):
            return given[node.name] if node.name in given else starting.factor(node.name)
        return starting.constant(node)

    try:
        targets = adapted_weight(ir)
    except NotAffine as reason:
        raise SpecMergeError(f"{checked.label} is not a weight: {reason}") from None
    values = evaluate(targets.values(), NUMPY, sizes, leaf)
    found = {name: values[node] for name, node in targets.items()}
    adapted = np.array(found.get("W", matrix))
    return adapted, None if b is None and not checked.facts.creates_bias else np.array(found.get("b", bias))


def _float64(value: Any) -> np.ndarray[Any, Any]:
    """Numbers, an array or a tensor of any framework that can be detached, in float64."""
    if hasattr(value, "detach"):
        value = value.detach().cpu().double().numpy()
    return np.asarray(value, dtype=np.float64)


def _given(spec: Spec, factors: Mapping[str, Any], sizes: Sizes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in factors.items():
        if name not in spec.ir.factors:
            raise SpecSettingError(f"the spec has no factor `{name}`", hint=did_you_mean(name, list(spec.ir.factors)))
        factor = spec.ir.factors[name]
        array = np.asarray(value).astype(np.int64) if factor.kind == "index" else _float64(value)
        wanted = sizes.shape(factor.shape)
        if array.shape != wanted:
            raise SpecShapeError(f"the factor `{name}` is {array.shape}, but the spec says {wanted}", factor.span)
        found[name] = array
    return found


def _frozen(spec: Spec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Frozen factors that are given hold in starts too; trained ones mean their start there."""
    return {name: value for name, value in given.items() if not spec.ir.factors[name].is_trained}


def _draw(seed: int, module: str, node: Any, shape: tuple[int, ...], options: dict[str, Any]) -> Any:
    return draw_numpy(node, shape, options, seed, module)
