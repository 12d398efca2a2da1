"""A spec as an SVG drawing: no fonts, links or scripts from elsewhere; readable on light and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from specdsl.drawing.boxes import SMALL, Box, number, side_by_side, stacked, text_code, text_width, word
from specdsl.drawing.layout import WIDEST, Layout
from specdsl.drawing.lengths import Lengths
from specdsl.drawing.picture import COMPUTED, FROZEN, GIVEN, ROLES, TOKENS, TRAINED, Sketch, roles_in
from specdsl.drawing.sketch import sketches
from specdsl.printing.formula import plain_formula
from specdsl.spec import Spec

_LIGHT = {
    "page": "#ffffff", "ink": "#1b2430", "dim": "#566272", "line": "#8a94a3",
    TRAINED: "#f7b267", TRAINED + "-edge": "#b3540a", COMPUTED: "#fde7cc", COMPUTED + "-edge": "#cf8d4c",
    FROZEN: "#dfe7f0", FROZEN + "-edge": "#6c7f96", TOKENS: "#d8efe3", TOKENS + "-edge": "#4d8f72",
    GIVEN: "#eadff5", GIVEN + "-edge": "#8560ad",
}  # fmt: skip
_DARK = {
    "page": "#171d25", "ink": "#e8edf4", "dim": "#a3afbf", "line": "#75818f",
    TRAINED: "#b35c12", TRAINED + "-edge": "#f5a95b", COMPUTED: "#54381c", COMPUTED + "-edge": "#c98a4b",
    FROZEN: "#2b3644", FROZEN + "-edge": "#8496ad", TOKENS: "#1f4636", TOKENS + "-edge": "#6db893",
    GIVEN: "#43305a", GIVEN + "-edge": "#b48fdd",
}  # fmt: skip
_LEGEND = {
    TRAINED: "trained", COMPUTED: "moves with what is trained", FROZEN: "frozen", TOKENS: "tokens",
    GIVEN: "given or drawn in each pass",
}  # fmt: skip
_MARGIN = 10
_LEAST = 0.75


def style(scope: str = ".specdsl", roles: Sequence[str] = ROLES) -> str:
    """The rules of drawings with these roles; a page that holds several drawings needs them once."""
    filled = "".join(
        f"{scope} .{role}{{fill:var(--sd-{role});stroke:var(--sd-{role}-edge)}}"
        f"{scope} .diagonal.{role}{{fill:none;stroke:var(--sd-{role}-edge)}}"
        for role in roles
    )
    return (
        f"{scope}{{{_variables(_LIGHT, roles)}}}"
        f"@media (prefers-color-scheme:dark){{{scope}{{{_variables(_DARK, roles)}}}}}"
        f"{scope} text{{fill:var(--sd-ink);text-anchor:middle;font:14px Georgia,'Times New Roman',serif}}"
        f"{scope} .label{{font-style:italic}}"
        f"{scope} .shape,{scope} .function,{scope} .remark{{font:10.5px system-ui,sans-serif;fill:var(--sd-dim)}}"
        f"{scope} .function{{font-size:12px;fill:var(--sd-ink)}}"
        f"{scope} .remark{{text-anchor:start}}{scope} .place{{font:bold 12px system-ui,sans-serif;text-anchor:start}}"
        f"{scope} .sign{{font-size:17px}}{scope} .big{{font-size:27px}}"
        f"{scope} rect,{scope} path{{stroke-width:1.2}}"
        f"{scope} .frame,{scope} .empty,{scope} .bracket{{fill:none;stroke:var(--sd-line)}}"
        f"{scope} .page{{fill:var(--sd-page);stroke:none}}"
        f"{scope} .hatch{{fill:none;stroke:var(--sd-{FROZEN}-edge);stroke-width:.7;opacity:.55}}"
        f"{scope} .diagonal{{stroke-width:4}}{scope} .given{{stroke-dasharray:4 3}}"
        f"{scope} .plate{{fill:var(--sd-{FROZEN});stroke:none}}{filled}"
    )


def _variables(colours: dict[str, str], roles: Sequence[str]) -> str:
    wanted = {"page", "ink", "dim", "line", *roles, *(f"{role}-edge" for role in roles)}
    return "".join(f"--sd-{name}:{colour};" for name, colour in colours.items() if name in wanted)


def drawing(spec: Spec, *, identity: str = "specdsl", is_alone: bool = True) -> str:
    """The drawing of a spec.

    Args:
        spec: any checked spec.
        identity: begins the ids of its title and description, which have to differ within a page.
        is_alone: whether it is a file of its own, with rules for its colours and a legend.

    >>> import specdsl
    >>> drawing(specdsl.parse("W + A@B")).startswith("<svg ")
    True
    """
    found = sketches(spec)
    layout = Layout(Lengths(spec.hyperparameters))
    boxes = [box for sketch in found for box in _lines(sketch, layout)]
    boxes += [_legend(found)] if is_alone else []
    whole = stacked(boxes, 16)
    width, height = whole.width + 2 * _MARGIN, whole.above + whole.below + 2 * _MARGIN
    page = '<rect class="page" width="100%" height="100%" rx="8"/>'
    rules = f"<style>{style(roles=roles_in(found))}</style>{page}" if is_alone else ""
    # Within a page it shrinks with a narrow screen, but not until its letters cannot be read.
    least = "" if is_alone else f' style="min-width:{number(width * _LEAST)}px"'
    names = f'aria-labelledby="{identity}-title {identity}-desc"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="specdsl" role="img" {names} '
        f'viewBox="0 0 {number(width)} {number(height)}" width="{number(width)}" height="{number(height)}"{least}>'
        f'<title id="{identity}-title">{escape(spec.label)}</title>'
        f'<desc id="{identity}-desc">{escape("; ".join(plain_formula(spec)))}</desc>'
        f"{rules}{whole.moved(_MARGIN, whole.above + _MARGIN)}</svg>\n"
    )


def _lines(sketch: Sketch, layout: Layout) -> list[Box]:
    place = [_text(f"{sketch.place}:", "place", 12)] if sketch.place else []
    remarks = [_text(remark, "remark", SMALL) for remark in sketch.remarks]
    below = [stacked(remarks, 3)] if remarks else []
    return [*place, *_packed([layout.equation(one) for one in sketch.equations]), *below]


def _packed(boxes: list[Box]) -> list[Box]:
    """The equations, several on a line where they are short."""
    lines: list[list[Box]] = []
    for box in boxes:
        if lines and sum(one.width + 36 for one in lines[-1]) + box.width <= WIDEST:
            lines[-1].append(box)
        else:
            lines.append([box])
    return [side_by_side(line, 36) for line in lines]


def _text(text: str, kind: str, height: float) -> Box:
    return Box(text_width(text, height), height, height / 2, text_code(text, 0, height * 0.35, kind))


def _legend(found: tuple[Sketch, ...]) -> Box:
    entries: list[Box] = []
    for role in roles_in(found):
        swatch = f'<rect class="{role}" x="0" y="-6" width="16" height="12"/>'
        if role == FROZEN:
            swatch += '<path class="hatch" d="M4 6L16 -6M0 2L8 -6M12 6L16 2"/>'
        entries += [Box(16, 8, 8, swatch), word(_LEGEND[role], "shape", SMALL), Box(8, 0, 0, "")]
    return side_by_side(entries, 6)
