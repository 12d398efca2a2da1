"""What the checker says of two specs: a relation per sense, how it is known, and the evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from specdsl.errors import SpecSettingError

Status = Literal["proved", "refuted", "supported", "unknown"]
"""How a relation is known.

`proved`: the specs are equal in the asked sense (for containments: the containment holds and is strict), by an exact
check. `refuted`: they differ, by an exact witness or a rule. `supported`: by exact evaluation at random points, with
an error probability. `unknown`: neither; the reason says why.
"""

Sense = Literal["pointwise", "set", "start"]
SENSES: tuple[Sense, ...] = ("pointwise", "set", "start")


def refuse_unknown_sense(sense: object) -> None:
    """Raise for a sense that there is not; None stands for all."""
    if sense is not None and sense not in SENSES:
        raise SpecSettingError(f"there is no sense `{sense}`", hint=f"senses are {', '.join(SENSES)}")


@dataclass(frozen=True)
class Witness:
    """Values that show a difference; the float64 interpreter replays them.

    Attributes:
        sizes: the value of every size symbol; of `r` that of a spec that leaves it open.
        site: `W`, `b` and `x` as nested tuples of exact numbers in text (`"2"`, `"-3/5"`).
        factors_a, factors_b: the factors of each spec; of the one that cannot reach the value only its constants.
        value_a, value_b: the values of both, or of the one that reaches it; those of the other are empty.
        says: one sentence: what the values show.
        hyper_a, hyper_b: the value of every hyper-parameter of each spec.
    """

    sizes: Mapping[str, str]
    site: Mapping[str, Any]
    factors_a: Mapping[str, Any]
    factors_b: Mapping[str, Any]
    value_a: Mapping[str, Any]
    value_b: Mapping[str, Any]
    says: str
    hyper_a: Mapping[str, str] = field(default_factory=dict)
    hyper_b: Mapping[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "sizes": dict(self.sizes),
            "site": dict(self.site),
            "factors_a": dict(self.factors_a),
            "factors_b": dict(self.factors_b),
            "value_a": dict(self.value_a),
            "value_b": dict(self.value_b),
            "says": self.says,
            "hyper_a": dict(self.hyper_a),
            "hyper_b": dict(self.hyper_b),
        }


@dataclass(frozen=True)
class Result:
    """One relation and how it is known.

    Attributes:
        relation: pointwise `=`, `!=`, `?`; of sets `=`, `<`, `>`, `x` (incomparable), `?`.
        status: see `Status`.
        certificate: substitutions and lemmas, one line each.
        witness: exact values that show a difference, where there are any.
        assumptions: what was taken for granted.
        reason: one sentence for a reader: why, or why it is unknown.
    """

    relation: str
    status: Status
    certificate: tuple[str, ...] = ()
    witness: Witness | None = None
    assumptions: tuple[str, ...] = ()
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        return {
            "relation": self.relation,
            "verdict": self.status,
            "certificate": list(self.certificate),
            "witness": None if self.witness is None else self.witness.as_dict(),
            "assumptions": list(self.assumptions),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class SetResult(Result):
    """The relation of the reachable sets.

    Attributes:
        closure: the relation of their Zariski closures.
        translate: whether one set is the other moved by a fixed matrix that is not zero.
        by_shape: the relation for `n < m`, `n = m`, `n > m`, where they differ.
        other_witness: where neither contains the other, a value of b that a has not; `witness` is the other way round.
    """

    closure: str = "?"
    translate: bool = False
    by_shape: Mapping[str, str] = field(default_factory=dict)
    other_witness: Witness | None = None

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {
            "closure": self.closure,
            "translate": self.translate,
            "by_shape": dict(self.by_shape),
            "other_witness": None if self.other_witness is None else self.other_witness.as_dict(),
        }


@dataclass(frozen=True)
class StartResult(Result):
    """The relation of the starts; `relation` is that of the tangent kernels.

    Attributes:
        identity_a, identity_b: whether the spec starts at the base.
        kernel: `same`, `proportional`, `contained`, `different` or `?`.
        ratio: of the kernels, where they are proportional: that of a over that of b.
        direction: `a in b` or `b in a`, where one tangent space is contained in the other.
        same_value: whether both start at the same value, at the base or elsewhere; None where that is unknown.
    """

    identity_a: bool = False
    identity_b: bool = False
    kernel: str = "?"
    ratio: str | None = None
    direction: str | None = None
    same_value: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        return super().as_dict() | {
            "identity_a": self.identity_a,
            "identity_b": self.identity_b,
            "kernel": self.kernel,
            "ratio": self.ratio,
            "direction": self.direction,
            "same_value": self.same_value,
        }


@dataclass(frozen=True)
class Dimension:
    """The dimensions of the reachable sets at one shape; None where not computed.

    Attributes:
        shape: the sizes, as `n=6, m=5, r=2`.
        proved_a, proved_b: whether the number is the dimension; else it is a rigorous lower bound of it.
    """

    a: int | None
    b: int | None
    shape: str
    proved_a: bool = False
    proved_b: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {
            "a": self.a, "b": self.b, "shape": self.shape, "proved_a": self.proved_a, "proved_b": self.proved_b,
        }  # fmt: skip


@dataclass(frozen=True)
class Verdict:
    """All that is known of how two specs relate; see `specdsl.equivalent`.

    Attributes:
        a, b: the specs, as the user gave them (names or texts).
        text_a, text_b: the specs in one line each.
        pointwise, set, start: the three senses.
        dimension: of the reachable sets.
        parameters_a, parameters_b: trained parameters per module, as formulas.
        penalties: `same` or what differs, one line each.
        differences: what differs beside the value: hard constraints, dropout, events, placement, sharing.
        assumptions: what was taken for granted, said or by default.
        seconds: the time it took.
    """

    a: str
    b: str
    text_a: str
    text_b: str
    pointwise: Result
    set: SetResult
    start: StartResult
    dimension: Dimension
    parameters_a: str
    parameters_b: str
    penalties: tuple[str, ...]
    differences: tuple[str, ...]
    assumptions: tuple[str, ...]
    seconds: float

    def __bool__(self) -> bool:
        raise SpecSettingError(
            "a verdict is not true or false: it has three senses",
            hint="ask `verdict.is_equal('set')`, or `verdict.set`",
        )

    def result(self, sense: Sense) -> Result:
        refuse_unknown_sense(sense)
        found: Result = {"pointwise": self.pointwise, "set": self.set, "start": self.start}[sense]
        return found

    def is_equal(self, sense: Sense = "set") -> bool | None:
        """Whether the specs are equal in a sense; None where it is unknown."""
        refuse_unknown_sense(sense)
        if sense == "start":
            return is_same_start(self.start.kernel, self.start.same_value)
        relation = self.result(sense).relation
        return None if relation == "?" else relation == "="

    def as_dict(self) -> dict[str, Any]:
        """The verdict as plain values, as `--json` prints it."""
        return {
            "a": self.a,
            "b": self.b,
            "text_a": self.text_a,
            "text_b": self.text_b,
            "pointwise": self.pointwise.as_dict(),
            "set": self.set.as_dict(),
            "start": self.start.as_dict(),
            "dimension": self.dimension.as_dict(),
            "parameters": {"a": self.parameters_a, "b": self.parameters_b},
            "penalties": list(self.penalties),
            "differences": list(self.differences),
            "assumptions": list(self.assumptions),
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        """The verdict card."""
        from specdsl.equivalence.card import card_text

        return card_text(self)

    def _repr_html_(self) -> str:
        from specdsl.equivalence.notebook import card_html

        return card_html(self)

    def _repr_markdown_(self) -> str:
        from specdsl.equivalence.notebook import card_markdown

        return card_markdown(self)


def is_same_start(kernel: str, same_value: bool | None) -> bool | None:
    """Whether two specs start alike: at the same value, with the same tangent kernel; None where it is unknown."""
    if same_value is False or kernel not in ("same", "?"):
        return False
    return None if kernel == "?" else same_value
