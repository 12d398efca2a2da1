"""`specdsl ls`: the methods that come with specdsl."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import click

from specdsl import tree
from specdsl.cli.columns import columns
from specdsl.cli.json_option import json_option
from specdsl.cli.reporting import print_json
from specdsl.errors import did_you_mean
from specdsl.library_specs import library_groups, library_names
from specdsl.parser import parse_tree
from specdsl.printing.clause_order import TARGET, clause_groups
from specdsl.printing.syntax_text import SyntaxText
from specdsl.spec import read_spec_file

NOTHING_FOUND = 1


@dataclass(frozen=True)
class Entry:
    """What the list says of one method."""

    name: str
    group: str
    title: str
    cite: str
    formula: str
    note: str

    @staticmethod
    def of(path: Path) -> Entry:
        syntax = parse_tree(read_spec_file(path), path.name)
        headers = {clause.key: clause.text for clause in syntax.clauses if isinstance(clause, tree.Header)}
        return Entry(
            path.stem, path.parent.name, headers.get("title", ""), headers.get("cite", ""), _formula(syntax),
            headers.get("note", ""),
        )  # fmt: skip

    def answers(self, word: str) -> bool:
        """Whether the word is in any text of the entry, whatever its case, `-` and `_`."""
        return any(_plain(word) in _plain(text) for text in asdict(self).values())


@click.command("ls")
@click.argument("word", required=False)
@json_option
def command(word: str | None, as_json: bool) -> int:
    """List the methods of the library with their formulas.

    With WORD only those that it occurs in: in the name, the title, the source, the formula or the notes.

    \b
    specdsl ls
    specdsl ls svd
    """
    entries = [Entry.of(path) for _, paths in library_groups() for path in sorted(paths)]
    found = [entry for entry in entries if word is None or entry.answers(word)]
    if as_json:
        print_json([asdict(entry) for entry in found])
    elif found:
        click.echo("\n\n".join(_lines(found)))
    else:
        hint = did_you_mean(word or "", library_names())
        click.echo(f"no method of the library mentions `{word}`" + (f"\n  hint: {hint}" if hint else ""), err=True)
    return 0 if found else NOTHING_FOUND


def _lines(entries: list[Entry]) -> list[str]:
    """A block of text for every group, their columns aligned with each other."""
    rows = columns([(entry.name, entry.title, entry.cite, entry.formula) for entry in entries])
    groups: dict[str, list[str]] = {}
    for entry, row in zip(entries, rows, strict=True):
        groups.setdefault(entry.group, [entry.group]).append(row)
    return ["\n".join(lines) for lines in groups.values()]


def _formula(syntax: tree.SpecTree) -> str:
    printer = SyntaxText()
    groups = zip(syntax.clauses, clause_groups(syntax), strict=True)
    return ", ".join(printer.clause(clause) for clause, group in groups if group == TARGET)


def _plain(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")
