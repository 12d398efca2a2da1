"""What an adapter consists of, as data, as a table for terminals, and as plain text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from specdsl.printing.counted import counted
from specdsl.quantities import bytes_text, percent_text
from specdsl.runtime.folded_names import folded_names, pattern_of
from specdsl.runtime.survey import Survey
from specdsl.runtime.surveyed_modules import SurveyedModule


@dataclass(frozen=True)
class ModuleRow:
    """One adapted module; a shared factor is counted in its first module.

    Attributes:
        n, m: of one matrix.
        stack: how many matrices the module holds, each adapted for itself; None where there is one.
        trainable, stored, flops, floor, saved: of all of them.
    """

    name: str
    role: str | None
    kind: str
    n: int
    m: int
    factors: str
    trainable: int
    stored: int
    plan: str
    flops: int
    floor: int
    saved: int
    stack: int | None = None

    @property
    def size(self) -> str:
        """`n x m`, with the number of matrices in front where there are several."""
        return f"{self.n} x {self.m}" if self.stack is None else f"{self.stack} x {self.n} x {self.m}"

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name, "role": self.role, "kind": self.kind, "n": self.n, "m": self.m, "stack": self.stack,
            "trainable": self.trainable, "stored_bytes": self.stored,
            "plan": {"order": self.plan, "flops": self.flops, "frozen_flops": self.floor, "saved_bytes": self.saved},
        }  # fmt: skip


@dataclass(frozen=True)
class FoldedRow:
    """Equal rows of repeated blocks as one: `layer.{0..11}.query`, 12 times."""

    pattern: str
    count: int
    row: ModuleRow
    trainable: int
    stored: int


@dataclass(frozen=True)
class AdapterReport:
    """The adapted modules of a survey, totals, penalties and facts.

    Attributes:
        trainable_parameters: trained factor entries.
        head_parameters: parameters of modules trained whole.
        base_parameters: the model's own.
        stored_bytes: memory of frozen factors and of values computed once.
        penalties: (text, number of modules it is summed over).
        notes: what the user should know; `skipped`: what is not adapted, and why.
    """

    label: str
    modules: tuple[ModuleRow, ...]
    trainable_parameters: int
    head_parameters: int
    base_parameters: int
    stored_bytes: int
    penalties: tuple[tuple[str, int], ...]
    facts: dict[str, Any]
    conditions: tuple[str, ...]
    notes: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]

    @property
    def percentage(self) -> float:
        """Trained factor entries in percent of the model's own parameters."""
        return 100.0 * self.trainable_parameters / max(1, self.base_parameters)

    def as_dict(self) -> dict[str, Any]:
        """The report as `specdsl compile --json` prints it."""
        return {
            "spec": self.label,
            "trainable_parameters": self.trainable_parameters,
            "head_parameters": self.head_parameters,
            "base_parameters": self.base_parameters,
            "stored_bytes": self.stored_bytes,
            "percentage": self.percentage,
            "modules": [row.as_dict() for row in self.modules],
            "penalties": [{"text": text, "modules": count} for text, count in self.penalties],
            "facts": self.facts,
            "conditions": list(self.conditions),
            "notes": list(self.notes),
            "not_adapted": [{"name": name, "why": why} for name, why in self.skipped],
        }

    def folded(self) -> list[FoldedRow]:
        """The rows with repeated blocks folded, in model order."""
        groups: dict[tuple[Any, ...], list[ModuleRow]] = {}
        for row in self.modules:
            key = (pattern_of(row.name), row.role, row.kind, row.size, row.factors, row.plan)
            groups.setdefault(key, []).append(row)
        return [
            FoldedRow(
                folded_names(row.name for row in rows)[0],
                len(rows),
                rows[0],
                sum(row.trainable for row in rows),
                sum(row.stored for row in rows),
            )
            for rows in groups.values()
        ]

    def __str__(self) -> str:
        lines = [f"{self.label} on {counted(len(self.modules), 'module')}"]
        for folded in self.folded():
            row = folded.row
            lines.append(
                f"  {folded.pattern}  {row.size}  {row.factors}  {folded.trainable:,} trained  y' = {row.plan}"
            )
        for text, count in self.penalties:
            lines.append(f"  penalty {text} (over {counted(count, 'module')})")
        lines += [f"  note: {note}" for note in self.notes]
        lines += [line for line in (self.stored_line(),) if line]
        lines.append(self.total_line())
        return "\n".join(lines)

    def stored_line(self) -> str | None:
        """What frozen factors and values computed once take, in words; None where there are none."""
        if not self.stored_bytes:
            return None
        return f"{bytes_text(self.stored_bytes)} of memory for frozen factors and values computed once"

    def total_line(self) -> str:
        head = f", and {self.head_parameters:,} in modules trained whole" if self.head_parameters else ""
        return (
            f"{self.trainable_parameters:,} trainable parameters, {percent_text(self.percentage / 100)} of "
            f"{self.base_parameters:,}{head}"
        )


def report_of(survey: Survey) -> AdapterReport:
    """The report of a survey."""
    return AdapterReport(
        label=survey.spec.label,
        modules=tuple(_row(module) for module in survey.modules),
        trainable_parameters=survey.trainable_parameters,
        head_parameters=survey.head_parameters,
        base_parameters=survey.base_parameters,
        stored_bytes=survey.stored_bytes,
        penalties=tuple((penalty.text, _carriers(survey, penalty.text)) for penalty in survey.spec.ir.penalties),
        facts=survey.spec.facts.as_dict(),
        conditions=tuple(str(condition) for condition in survey.spec.ir.conditions),
        notes=(*survey.selection.notes, *_wide_factors(survey)),
        skipped=survey.selection.skipped,
    )


def _wide_factors(survey: Survey) -> tuple[str, ...]:
    """A note on the first factor of a low rank that is higher than any rank its module's weight can have."""
    found: dict[str, list[tuple[int, ...]]] = {}
    for module in survey.modules:
        sizes = module.site.sizes
        ir = module.lowered.ir
        for name, factor in ir.factors.items():
            if survey.spec.facts.rank_bound is None or not factor.is_trained or len(factor.shape) != 2:
                continue
            free = [size for size in factor.shape if size.symbols and not size.symbols - ir.hyper_values().keys()]
            if any(module.sizes.integer(size) > min(sizes["n"], sizes["m"]) for size in free):
                found.setdefault(name, []).append(module.sizes.shape(factor.shape))
    for name, shapes in found.items():
        where = counted(len(shapes), "module")
        shown = " x ".join(map(str, shapes[0]))
        return (f"`{name}`, {shown}, is wider than min(n, m) in {where}: that adds parameters and no rank",)
    return ()


def _carriers(survey: Survey, text: str) -> int:
    """In how many modules a penalty stands."""
    return sum(text in module.lowered.penalties for module in survey.modules)


def _row(module: SurveyedModule) -> ModuleRow:
    sizes, stack = module.site.sizes, module.site.stack
    shapes = []
    for name, factor in module.lowered.ir.factors.items():
        if factor.is_trained or factor.shared is not None:
            many = (stack,) if stack is not None and factor.shared is None else ()
            shape = " x ".join(map(str, (*many, *module.sizes.shape(factor.shape)))) or "number"
            kind = "" if factor.is_trained else "frozen "
            shared = "shared " if factor.shared is not None else ""
            shapes.append(f"{kind}{shared}{name} {shape}")
    plan, layers = module.lowered.plan, stack or 1
    return ModuleRow(
        module.target.name, module.target.role, module.site.kind, sizes["n"], sizes["m"], ", ".join(shapes),
        module.trainable, module.stored, plan.order, layers * plan.flops, layers * plan.floor, layers * plan.saved,
        stack,
    )  # fmt: skip
