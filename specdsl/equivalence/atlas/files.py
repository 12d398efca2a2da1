"""The folder of an atlas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from specdsl.equivalence.atlas.cache import write_whole
from specdsl.equivalence.atlas.containment import Cells, Containment
from specdsl.equivalence.atlas.method import Method
from specdsl.equivalence.atlas.page import atlas_page, rows_text
from specdsl.equivalence.atlas.svg import containment_svg
from specdsl.printing.text import spec_line


def write_atlas(folder: Path, methods: Sequence[Method], cells: Cells, graph: Containment) -> list[Path]:
    """Write the page, the picture and the pairs; an earlier atlas there is replaced.

    Raises:
        SpecFileError: the folder cannot be written.
    """
    groups = {method.name: method.group for method in methods}
    lines = {method.name: spec_line(method.spec.tree) for method in methods}
    contents = {
        "index.html": atlas_page(methods, cells, graph, lines),
        "containment.svg": containment_svg(graph, groups),
        "pairs.tsv": rows_text(cells),
    }
    for name, content in contents.items():
        write_whole(folder / name, content)
    return [folder / name for name in contents]
