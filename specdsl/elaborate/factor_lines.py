"""Factor lines: kinds, sharing and attributes of factors."""

from __future__ import annotations

from dataclasses import dataclass, replace

from specdsl import tree
from specdsl.elaborate.expressions import Expressions
from specdsl.elaborate.hyperparameters import HyperParameters
from specdsl.elaborate.solver import MODULE_SIZES, ShapeSolver
from specdsl.elaborate.walks import own_symbols
from specdsl.errors import (
    SpecNameError,
    SpecSettingError,
    SpecShapeError,
    SpecSyntaxError,
)
from specdsl.ir import Apply, FactorIR, GivenIR, Node, Scalar
from specdsl.operators.registry import Shape
from specdsl.sizes import Size
from specdsl.source import Span


@dataclass
class Draft:
    """A factor while its shape and start are being found."""

    name: str
    shape: Shape
    span: Span
    line: tree.FactorLine | None
    shape_reason: str
    start: Node | None = None

    @property
    def is_given(self) -> bool:
        """Whether it is noise or an input, which every forward pass brings."""
        return self.line is not None and any(kind.word in ("noise", "input") for kind in self.line.kinds)


class FactorLines:
    """Makes factors of what their lines say."""

    def __init__(self, expressions: Expressions, solver: ShapeSolver, hyper: HyperParameters) -> None:
        self.expressions = expressions
        self.solver = solver
        self.hyper = hyper

    def factor(self, draft: Draft, start: Node | None) -> FactorIR:
        shape = self.solver.shape(draft.shape)
        line = draft.line
        if line is None:
            return _own(FactorIR(draft.name, shape, "trained", draft.span, shape_reason=draft.shape_reason))
        words = {kind.word: kind for kind in line.kinds}
        kind = "index" if "index" in words else "frozen" if "frozen" in words else "trained"
        reason = "as written" if start is not None else ""
        factor = FactorIR(
            draft.name, shape, kind, draft.span, start, reason, draft.shape_reason,
            shared=self._sharing(words["shared"]) if "shared" in words else None,
        )  # fmt: skip
        for attribute in line.attributes:
            factor = self._with_attribute(factor, attribute)
        if kind == "frozen" and start is None:
            raise SpecNameError(
                f"the frozen factor `{draft.name}` has no value", draft.span,
                f"state it: `frozen {draft.name} ~ kaiming(seed=0)`",
            )  # fmt: skip
        if factor.shared is None:
            return _own(factor)
        self._check_sharing(factor)
        return factor

    def given(self, draft: Draft, start: Node | None) -> GivenIR:
        """A noise or an input."""
        assert draft.line is not None
        kind = draft.line.kinds[0].word
        if kind == "noise" and not (isinstance(start, Apply) and start.operator in ("normal", "uniform")):
            place = draft.span if draft.line.start is None else draft.line.start.span
            raise SpecSettingError(
                f"the noise `{draft.name}` says how it is drawn: `normal(sd)` or `uniform(low, high)`", place
            )
        if kind == "noise" and isinstance(start, Apply) and start.option("seed") is not None:
            raise SpecSettingError(f"the noise `{draft.name}` is drawn anew and has no seed", draft.span)
        if kind == "input" and start is not None and not _is_one_number(start):
            raise SpecSettingError(
                f"the default of the input `{draft.name}` is a number, the same for every entry", draft.span
            )
        shape = self.solver.shape(draft.shape)
        return GivenIR(draft.name, shape, kind, draft.span, start, draft.shape_reason)

    def _sharing(self, kind: tree.Kind) -> tuple[str | Size, ...]:
        keys: list[str | Size] = []
        for key in kind.keys:
            if isinstance(key, tree.Name) and key.name == "role":
                keys.append("role")
                continue
            size = self.expressions.size(key, "a key of `shared`")
            if not size.symbols & {"layer", *MODULE_SIZES}:
                raise SpecSyntaxError(
                    f"`{key.span.text}` is the same in every module", key.span,
                    "keys are role, layer, n, m or made of them; `shared` alone is one tensor for the model",
                )  # fmt: skip
            keys.append(size)
        return tuple(keys)

    def _check_sharing(self, factor: FactorIR) -> None:
        assert factor.shared is not None
        if "role" in factor.shared:
            return
        allowed = {name for key in factor.shared if isinstance(key, Size) for name in key.symbols & MODULE_SIZES}
        for size in factor.shape:
            outside = {name for name in own_symbols(size) if name in MODULE_SIZES} - allowed
            if outside:
                name = min(outside)
                raise SpecShapeError(
                    f"the shared factor `{factor.name}` has the size `{size}`, but modules that share it may differ "
                    f"in `{name}`", factor.span,
                    f"`max(layers({name}))` is the same everywhere, or share per size: `shared({name})`",
                )  # fmt: skip

    def _with_attribute(self, factor: FactorIR, attribute: tree.Attribute) -> FactorIR:
        if attribute.value is None:
            if attribute.name == "orthonormal":
                return replace(factor, orthonormal=True)
            return replace(factor, dtype=attribute.name)
        size = self.expressions.size(attribute.value, f"`{attribute.name}`")
        value = self.hyper.number(size)
        if value is None or value < 0:
            raise SpecSettingError(f"`{attribute.name}` is a number from 0 on", attribute.value.span)
        if not factor.is_trained:
            raise SpecSettingError(f"`{factor.name}` is not trained and has no `{attribute.name}`", attribute.span)
        return replace(factor, lr=float(value)) if attribute.name == "lr" else replace(factor, decay=float(value))


def _own(factor: FactorIR) -> FactorIR:
    """A factor of which every module has one."""
    if factor.is_trained and any(size.has_layers("sum") for size in factor.shape):
        raise SpecShapeError(
            f"the factor `{factor.name}` is as large as all modules together, and every module has one", factor.span,
            f"one for the model is `shared {factor.name}`",
        )  # fmt: skip
    return factor


def _is_one_number(start: Node) -> bool:
    """Whether a value is one number at every entry."""
    if isinstance(start, Apply) and start.operator == "fill":
        return isinstance(start.arguments[0], Scalar)
    return isinstance(start, Scalar) or (isinstance(start, Apply) and start.operator in ("ones", "zeros"))
