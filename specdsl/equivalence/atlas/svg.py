"""The containment graph as SVG: a box for each class of equal methods, a line to what contains it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from specdsl.equivalence.atlas.containment import Containment
from specdsl.equivalence.atlas.layout import LETTER, LINE, PADDING, Box, Layout, layout_of

STYLE = (
    "text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#1f2328}"
    ".box rect{stroke:#57606a;stroke-width:1;rx:5}.edge{fill:none;stroke:#57606a;stroke-opacity:.45;stroke-width:1.2}"
    ".alone rect{stroke-dasharray:3 3}"
)
_COLOURS = ("#dbeafe", "#dcfce7", "#fef3c7", "#fce7f3", "#ede9fe", "#e2e8f0")


def containment_svg(graph: Containment, groups: Mapping[str, str]) -> str:
    """The picture as one SVG document.

    Args:
        graph: what is drawn.
        groups: the group of each method, for the colours.
    """
    layout = layout_of(graph)
    colours = {group: _COLOURS[place % len(_COLOURS)] for place, group in enumerate(sorted(set(groups.values())))}
    width, height = f"{layout.width:.0f}", f"{layout.height + 30:.0f}"
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>Containments of reachable sets</title><style>{STYLE}</style>",
        *(_edge(layout, low, high) for low, high in sorted(graph.edges)),
        *(_box(box, graph, colours[groups[graph.classes[number][0]]]) for number, box in sorted(layout.boxes.items())),
        *_legend(colours, layout),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _edge(layout: Layout, low: int, high: int) -> str:
    """A line from the middle of the smaller set's upper side to the larger one's lower side."""
    below, above = layout.boxes[low], layout.boxes[high]
    x, y = below.x + below.width / 2, below.y
    u, v = above.x + above.width / 2, above.y + above.height
    bend = max(18.0, (y - v) / 2)
    path = f"M{x:.1f} {y:.1f}C{x:.1f} {y - bend:.1f} {u:.1f} {v + bend:.1f} {u:.1f} {v:.1f}"
    return f'<path class="edge" data-low="{low}" data-high="{high}" d="{path}"/>'


def _box(box: Box, graph: Containment, colour: str) -> str:
    lines = "".join(
        f'<text x="{box.x + PADDING:.1f}" y="{box.y + PADDING / 2 + (place + 0.75) * LINE:.1f}">{escape(line)}</text>'
        for place, line in enumerate(box.lines)
    )
    names = " ".join(graph.classes[box.number])
    return (
        f'<g class="box{" alone" if box.layer < 0 else ""}" data-number="{box.number}" data-names="{escape(names)}">'
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" fill="{colour}"/>'
        f"{lines}</g>"
    )


def _legend(colours: Mapping[str, str], layout: Layout) -> list[str]:
    parts, x = [], 16.0
    for group, colour in colours.items():
        parts.append(
            f'<rect x="{x:.0f}" y="{layout.height + 6:.0f}" width="12" height="12" fill="{colour}" stroke="#57606a"/>'
            f'<text x="{x + 18:.0f}" y="{layout.height + 16:.0f}">{escape(group)}</text>'
        )
        x += 40 + LETTER * len(group)
    return parts
