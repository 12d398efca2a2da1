"""The verdict card: what is known of two specs and why, on one page, to be read or pasted into an appendix."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING

from specdsl.equivalence.matrices import named_blocks, side_by_side

if TYPE_CHECKING:
    from specdsl.equivalence.verdict import Dimension, Verdict, Witness

WIDTH = 100
"""Of a card that no terminal limits."""
SENSES = ("pointwise", "reachable set", "closure", "start")
"""The first words of the lines that give a relation."""
_RELATIONS = {"=": "a = b", "!=": "a ≠ b", "<": "a ⊊ b", ">": "a ⊋ b", "x": "a ⊄ b, b ⊄ a", "?": "a ? b"}
_SAID = {"refuted": "equality refuted"}
"""How a status reads beside a relation."""
_LONGEST_NAME = 40
_CLOSURES = {
    "=": "the smallest algebraic sets that hold the two are equal",
    "<": "the smallest algebraic set that holds a's values is a proper part of that of b's",
    ">": "the smallest algebraic set that holds b's values is a proper part of that of a's",
    "x": "neither of the smallest algebraic sets that hold the two contains the other",
    "?": "how the smallest algebraic sets that hold the two relate is not known",
}
_NAMES = {"pointwise": "pointwise", "set": "reachable set", "start": "start"}


@dataclass(frozen=True)
class SenseLine:
    """One sense in a line: its name, the relation as a symbol, how it is known (empty: as above), and why."""

    name: str
    symbol: str
    status: str
    reason: str

    @property
    def known(self) -> str:
        """The status as it reads beside the relation."""
        return _SAID.get(self.status, self.status)


@dataclass(frozen=True)
class Section:
    """A part of the card under a heading.

    Attributes:
        lines: formulas and sentences, which may be wrapped.
        witness: exact values, laid out as matrices.
    """

    heading: str
    lines: tuple[str, ...] = ()
    witness: Witness | None = None


def title(verdict: Verdict) -> str:
    """The specs by their names; one that is a long line is called by its letter alone."""
    named = [f"{name} ({letter})" if len(name) <= _LONGEST_NAME and "\n" not in name else letter
             for letter, name in (("a", verdict.a), ("b", verdict.b))]  # fmt: skip
    return f"Equivalence of {' and '.join(named)}"


def sense_lines(verdict: Verdict) -> list[SenseLine]:
    """The three senses, and the closure of the reachable sets."""
    pointwise, sets, start = verdict.pointwise, verdict.set, verdict.start
    lines = [SenseLine("pointwise", _RELATIONS[pointwise.relation], pointwise.status, _joined(pointwise.reason))]
    moved = "each is the other moved by a fixed matrix" if sets.translate else ""
    cells = ", ".join(f"{cell}: {_RELATIONS[one]}" for cell, one in sets.by_shape.items())
    why = _joined(sets.reason, moved, cells)
    lines.append(SenseLine("reachable set", _RELATIONS[sets.relation], sets.status, why))
    lines.append(SenseLine("closure", _RELATIONS[sets.closure], "", _closure(verdict)))
    why = _joined(start.reason, _at_base(verdict))
    lines.append(SenseLine("start", _kernel(verdict), start.status, why))
    return lines


def sections(verdict: Verdict) -> Iterator[Section]:
    """Everything below the senses, in the order of the card."""
    results = {"pointwise": verdict.pointwise, "set": verdict.set, "start": verdict.start}
    for sense, result in results.items():
        if result.certificate:
            yield Section(f"certificate, {_NAMES[sense]}", result.certificate)
    for sense, result in results.items():
        if result.witness is not None:
            yield _of_witness(_NAMES[sense], result.witness)
    if verdict.set.other_witness is not None:
        yield _of_witness("reachable set", verdict.set.other_witness)
    yield Section("dimension", _dimension(verdict.dimension))
    yield Section("parameters", (f"a: {verdict.parameters_a}", f"b: {verdict.parameters_b}"))
    for heading, lines in (("penalties", verdict.penalties), ("other differences", verdict.differences)):
        if lines:
            yield Section(heading, lines)
    assumed = dict.fromkeys([*verdict.assumptions, *(one for r in results.values() for one in r.assumptions)])
    yield Section("assumptions", tuple(assumed) or ("none",))
    yield Section("time", (f"{verdict.seconds:.2f} s",))


def _of_witness(sense: str, witness: Witness) -> Section:
    heading = f"witness, {sense}: {_sizes(witness)}"
    return Section(heading, (witness.says,) if witness.says else (), witness)


def witness_lines(witness: Witness, width: int) -> list[str]:
    """The values of a witness in bands: the site, the factors of each spec, and what they give."""
    lines: list[str] = []
    parts = [
        ("", named_blocks(witness.site)),
        ("a: ", named_blocks({**witness.factors_a, **witness.value_a})),
        ("b: ", named_blocks({**witness.factors_b, **witness.value_b})),
    ]
    for head, blocks in parts:
        if blocks:
            band = side_by_side(blocks, width - len(head))
            lines += [f"{head if not place else ' ' * len(head)}{line}".rstrip() for place, line in enumerate(band)]
    return lines


def card_text(verdict: Verdict, width: int = WIDTH) -> str:
    """The card as plain text, at most `width` wide but for matrices and names that are wider."""
    width = max(width, 40)
    lines = [*wrap(title(verdict), width), "─" * min(width, len(title(verdict)))]
    for name, text in (("a", verdict.text_a), ("b", verdict.text_b)):
        lines += _wrapped(text, width, f"{name}  ", "   ")
    lines += ["", *_sense_texts(sense_lines(verdict), width), ""]
    was_short = True
    for section in sections(verdict):
        short = _short(section, width)
        lines += [] if was_short and short else [""] if lines[-1] else []
        lines += [short] if short else _long(section, width)
        was_short = bool(short)
    return "\n".join(lines)


def _short(section: Section, width: int) -> str:
    """A section of one line, if it fits into one."""
    if section.witness is not None or len(section.lines) != 1 or section.heading.startswith("certificate"):
        return ""
    line = f"{section.heading}: {section.lines[0]}"
    return line if len(line) <= width else ""


def _long(section: Section, width: int) -> list[str]:
    lines = [section.heading]
    for line in section.lines:
        lines += _wrapped(line, width, "  ", "    ")
    if section.witness is not None:
        lines += [f"  {line}".rstrip() for line in witness_lines(section.witness, width - 2)]
    return lines


def _sense_texts(senses: Sequence[SenseLine], width: int) -> Iterator[str]:
    widths = [max(_width(getattr(line, name)) for line in senses) for name in ("name", "symbol", "known")]
    for line in senses:
        cells = zip((line.name, line.symbol, line.known), widths, strict=True)
        head = "   ".join(cell + " " * (wide - _width(cell)) for cell, wide in cells) + "   "
        if width - len(head) >= 30:
            yield from _wrapped(line.reason, width, head, " " * len(head))
        else:
            narrow = "   ".join(filter(None, (line.name, line.symbol, line.known)))
            yield from [head.rstrip()] if len(head.rstrip()) <= width else _wrapped(narrow, width, "", "    ")
            yield from _wrapped(line.reason, width, "    ", "    ") if line.reason else ()


def _width(text: str) -> int:
    return len(text) + sum(unicodedata.east_asian_width(character) in "WF" for character in text)


def _wrapped(text: str, width: int, first: str, later: str) -> list[str]:
    found = wrap(
        text, width, initial_indent=first, subsequent_indent=later, break_long_words=False, break_on_hyphens=False
    )
    return found or [first.rstrip()]


def _joined(*reasons: str) -> str:
    return "; ".join(reason.strip().rstrip(".") for reason in reasons if reason.strip())


def _closure(verdict: Verdict) -> str:
    said = _CLOSURES[verdict.set.closure]
    if verdict.set.closure == "=" and verdict.set.relation in ("<", ">", "x"):
        return f"{said}: only inequalities tell them apart"
    return said


def _sizes(witness: Witness) -> str:
    """The sizes, and the hyper-parameters of each spec."""
    hidden = {*witness.hyper_a, *witness.hyper_b} | (set() if "x" in witness.site else {"tokens"})
    parts = [f"{name} = {value}" for name, value in witness.sizes.items() if name not in hidden]
    for name in dict.fromkeys([*witness.hyper_a, *witness.hyper_b]):
        one, other = witness.hyper_a.get(name), witness.hyper_b.get(name)
        if one == other:
            parts.append(f"{name} = {one}")
        else:
            said = [f"{value} in {spec}" for spec, value in (("a", one), ("b", other)) if value is not None]
            parts.append(f"{name} = {' and '.join(said)}")
    return ", ".join(parts)


def _kernel(verdict: Verdict) -> str:
    start = verdict.start
    ratio = f"{start.ratio} : 1" if start.ratio and start.kernel == "proportional" else ""
    detail = start.direction or ratio
    kernel = "kernel ?" if start.kernel == "?" else f"kernel {start.kernel}"
    return f"{kernel} ({detail})" if detail else kernel


def _at_base(verdict: Verdict) -> str:
    a, b = verdict.start.identity_a, verdict.start.identity_b
    if a and b:
        return "both start at the base"
    if a != b:
        return f"only {'a' if a else 'b'} starts at the base"
    same = {True: "both at the same value", False: "and they start apart", None: ""}[verdict.start.same_value]
    return ", ".join(filter(None, ("neither starts at the base", same)))


def _dimension(dimension: Dimension) -> tuple[str, ...]:
    said = [
        f"{name} {'' if is_proved else '>= '}{value}"
        for name, value, is_proved in (
            ("a", dimension.a, dimension.proved_a),
            ("b", dimension.b, dimension.proved_b),
        )
        if value is not None
    ]
    if not said:
        return ("not computed",)
    return (f"{', '.join(said)}" + (f" at {dimension.shape}" if dimension.shape else ""),)
