"""The atlas as files: a page with the picture and a table that can be filtered, the picture alone, and rows of text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape

from specdsl.equivalence.atlas.cell import Cell
from specdsl.equivalence.atlas.containment import Cells, Containment
from specdsl.equivalence.atlas.method import Method
from specdsl.equivalence.atlas.svg import containment_svg
from specdsl.printing.counted import counted

SIGNS = {"=": "=", "<": "⊊", ">": "⊋", "x": "·", "?": "?"}
COLUMNS = (
    "a", "b", "set", "set_status", "closure", "translate", "by_shape", "pointwise", "pointwise_status", "kernel",
    "start_status", "direction", "ratio", "dimension_a", "dimension_b", "shape", "reason", "seconds",
)  # fmt: skip


def rows_text(cells: Cells) -> str:
    """Every pair as a row of tab-separated values."""
    lines = ["\t".join(COLUMNS)]
    for (a, b), cell in cells.items():
        values = {"a": a, "b": b, **cell.as_dict()}
        values["by_shape"] = ", ".join(f"{shape}: {one}" for shape, one in cell.by_shape.items())
        lines.append("\t".join(_plain(values[name]) for name in COLUMNS))
    return "\n".join(lines) + "\n"


def atlas_page(methods: Sequence[Method], cells: Cells, graph: Containment, lines: Mapping[str, str]) -> str:
    """The page: picture, filter, table and cards; it loads nothing from elsewhere.

    Args:
        methods: in the order of the table.
        cells: what is known of pairs, in either order.
        graph: the picture.
        lines: each method's formula, for its card.
    """
    groups = {method.name: method.group for method in methods}
    counts = {sign: sum(cell.set == sign for cell in cells.values()) for sign in SIGNS}
    said = (
        f"{counted(len(methods), 'method')}, {counted(len(cells), 'pair')}: {counts['=']:,} equal, "
        f"{counts['<'] + counts['>']:,} contained, {counts['x']:,} incomparable, {counts['?']:,} undecided. "
        f"{counted(len(graph.classes), 'distinct set')}."
    )
    data = {
        "methods": [
            {
                "name": method.name, "group": method.group, "title": method.spec.label,
                "line": lines[method.name], "trained": str(method.spec.facts.trained),
            }
            for method in methods
        ],
        "classes": graph.classes,
        "dimensions": {str(number): value for number, value in graph.dimensions.items()},
    }  # fmt: skip
    conflicts = "".join(f"<p class=conflict>{escape(one)}</p>" for one in graph.conflicts)
    return _PAGE.format(
        said=escape(said), conflicts=conflicts, picture=containment_svg(graph, groups), table=_table(methods, cells),
        data=_inert(data), style=_STYLE, script=_SCRIPT,
    )  # fmt: skip


def _inert(value: object) -> str:
    """JSON inside a `script` element, which no text in it can end."""
    return json.dumps(value, ensure_ascii=False).replace("</", "<\\/").replace("<!--", "<\\!--")


def _table(methods: Sequence[Method], cells: Cells) -> str:
    names = [method.name for method in methods]
    head = "".join(f"<th data-b='{escape(name)}'><span>{escape(name)}</span></th>" for name in names)
    rows = []
    for a in names:
        entries = "".join(_entry(a, b, _find(cells, a, b)) for b in names)
        rows.append(f"<tr data-a='{escape(a)}'><th>{escape(a)}</th>{entries}</tr>")
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _find(cells: Cells, a: str, b: str) -> Cell | None:
    found = cells.get((a, b))
    if found is None and (b, a) in cells:
        found = cells[b, a].mirrored()
    return found


def _entry(a: str, b: str, cell: Cell | None) -> str:
    if cell is None:
        return f"<td class='{'self' if a == b else 'none'}' data-b='{escape(b)}'></td>"
    kind = {"=": "same", "<": "less", ">": "more", "x": "other", "?": "open"}[cell.set]
    sign = "≅" if cell.translate and cell.set == "x" else SIGNS[cell.set]
    said = [f"{a} {SIGNS[cell.set] if cell.set != 'x' else 'incomparable with'} {b} ({cell.set_status})"]
    said += ["one is the other moved by a fixed matrix"] if cell.translate else []
    said += [f"{shape}: {SIGNS[one]}" for shape, one in cell.by_shape.items()]
    said += [f"start: kernel {cell.kernel} ({cell.start_status})", cell.reason]
    return f"<td class={kind} data-b='{escape(b)}' title='{escape(chr(10).join(filter(None, said)))}'>{sign}</td>"


def _plain(value: object) -> str:
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return " ".join(text.split())


_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;margin:1.5rem;color:#1f2328}
h1{font-size:1.4rem;margin:0}p{margin:.3rem 0}.conflict{color:#b42318}
#picture{overflow:auto;border:1px solid #d0d7de;border-radius:6px;margin:.8rem 0;max-height:85vh}
#filter{font:inherit;padding:.3rem .5rem;width:22rem;border:1px solid #8c959f;border-radius:6px}
#card{position:fixed;display:none;max-width:36rem;background:#fff;border:1px solid #8c959f;border-radius:6px;
padding:.6rem .8rem;box-shadow:0 4px 16px #0003;pointer-events:none;z-index:9;font-size:14px}
#card code{display:block;white-space:pre-wrap;margin:.15rem 0 .4rem}
.faint{opacity:.13}.edge.near{stroke:#0550ae;stroke-opacity:1;stroke-width:2}
.box{cursor:default}.box.near rect{stroke:#0550ae;stroke-width:2}
#table{overflow:auto;max-height:85vh;border:1px solid #d0d7de;border-radius:6px}
table{border-collapse:collapse;font:12px ui-monospace,monospace}
td,tbody th{height:17px;min-width:17px;text-align:center;border:1px solid #eaeef2;padding:0}
tbody th{text-align:left;position:sticky;left:0;background:#fff;padding:0 .4rem;font-weight:400}
thead th{position:sticky;top:0;background:#fff;vertical-align:bottom;font-weight:400;z-index:1}
thead span{writing-mode:vertical-rl;transform:rotate(180deg);padding:.3rem 0}
.same{background:#1a7f37;color:#fff}.less{background:#b6e3ff}.more{background:#fbe3b0}.other{color:#afb8c1}
.open{background:#f6f8fa;color:#8c959f}.self{background:#57606a}.out{display:none}
"""

_SCRIPT = """
const data = JSON.parse(document.getElementById('data').textContent);
const methods = new Map(data.methods.map(one => [one.name, one]));
const card = document.getElementById('card');
const boxes = [...document.querySelectorAll('.box')], edges = [...document.querySelectorAll('.edge')];
function line(tag, text) { const part = document.createElement(tag); part.textContent = text; card.append(part); }
function show(box, event) {
  card.replaceChildren();
  const number = box.dataset.number, names = data.classes[number];
  for (const name of names) {
    const one = methods.get(name);
    line('b', one.title === name ? name : `${name}: ${one.title}`);
    line('code', one.line);
    line('div', `trained: ${one.trained}`);
  }
  if (number in data.dimensions) line('div', `dimension of the set: ${data.dimensions[number]}`);
  for (const edge of edges) edge.classList.toggle('near', edge.dataset.low === number || edge.dataset.high === number);
  box.classList.add('near');
  card.style.display = 'block';
  const x = Math.min(event.clientX + 14, innerWidth - card.offsetWidth - 8);
  const y = Math.min(event.clientY + 14, innerHeight - card.offsetHeight - 8);
  card.style.left = `${Math.max(8, x)}px`;
  card.style.top = `${Math.max(8, y)}px`;
}
function hide(box) {
  card.style.display = 'none';
  box.classList.remove('near');
  for (const edge of edges) edge.classList.remove('near');
}
for (const box of boxes) {
  box.addEventListener('mousemove', event => show(box, event));
  box.addEventListener('mouseleave', () => hide(box));
}
const plain = text => text.toLowerCase().replace(/[-_]/g, '');
document.getElementById('filter').addEventListener('input', event => {
  const words = plain(event.target.value).split(/\\s+/).filter(Boolean);
  const fits = name => {
    const one = methods.get(name), text = plain(`${name} ${one.title} ${one.group} ${one.line}`);
    return words.some(word => text.includes(word));
  };
  const chosen = words.length ? new Set(data.methods.map(one => one.name).filter(fits)) : null;
  for (const box of boxes) {
    box.classList.toggle('faint', chosen !== null && !box.dataset.names.split(' ').some(name => chosen.has(name)));
  }
  for (const row of document.querySelectorAll('tr[data-a]')) {
    row.classList.toggle('out', chosen !== null && !chosen.has(row.dataset.a));
  }
});
"""

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Atlas of fine-tuning methods</title>
<meta name="viewport" content="width=device-width"><style>{style}</style></head><body>
<h1>Atlas of fine-tuning methods</h1>
<p>{said}</p>
<p>A box is a set of reachable weights; methods with the same set share one. A line leads up to a set that contains
the one below. Boxes with broken lines contain and are contained in no other, as far as is known.</p>
{conflicts}
<p><input id="filter" type="search" placeholder="filter by name, title or formula" aria-label="filter"></p>
<div id="picture">{picture}</div>
<p>The row's method is equal to (=), strictly contained in (⊊), strictly contains (⊋), a translate of (≅),
incomparable with (·) the column's, or that is undecided (?).</p>
<div id="table">{table}</div>
<div id="card"></div>
<script id="data" type="application/json">{data}</script>
<script>{script}</script>
</body></html>
"""
