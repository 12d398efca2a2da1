"""`specdsl ls`: the methods that come with specdsl."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path

import click

from specdsl import tree
from specdsl.cli.columns import columns
from specdsl.cli.json_option import json_option
from specdsl.cli.reporting import print_json
from specdsl.library_specs import TAXONOMY, library_groups, library_names
from specdsl.parser import parse_tree
from specdsl.printing.clause_order import TARGET, clause_groups
from specdsl.printing.syntax_text import SyntaxText
from specdsl.spec import parse, read_spec_file

NOTHING_FOUND = 1
NEAR_MISSES = 4
FACTS = (
    "mergeable", "exactly_lora", "starts_at_base", "rank_bound", "creates_bias", "shared_parameters",
    "derived_from_base", "regenerated_from_seed", "added_rows", "inputs", "noise", "needs",
)  # fmt: skip
"""Facts that hold or do not, as `specdsl.facts.Facts` has them."""
_WORD = re.compile(r"\w{4,}")


@dataclass(frozen=True)
class Entry:
    """What the list says of one method."""

    name: str
    group: str
    title: str
    cite: str
    formula: str
    note: str
    text: str

    @staticmethod
    def of(path: Path) -> Entry:
        text = read_spec_file(path)
        syntax = parse_tree(text, path.name)
        headers = {clause.key: clause.text for clause in syntax.clauses if isinstance(clause, tree.Header)}
        return Entry(
            path.stem, path.parent.name, headers.get("title", ""), headers.get("cite", ""), _formula(syntax),
            headers.get("note", ""), text,
        )  # fmt: skip

    def as_dict(self) -> dict[str, str]:
        """What `--json` prints: all but the whole text."""
        return {name: value for name, value in asdict(self).items() if name != "text"}

    def answers(self, word: str) -> bool:
        """Whether the word is in the name, the group or the spec, whatever its case, `-` and `_`."""
        return any(_plain(word) in _plain(text) for text in asdict(self).values())

    def has(self, facts: Iterable[str], without: Iterable[str]) -> bool:
        """Whether all of `facts` hold of the method, and none of `without`."""
        known = parse(self.name).facts.as_dict()
        return all(map(_holds, map(known.get, facts))) and not any(map(_holds, map(known.get, without)))


def _holds(value: object) -> bool:
    """Whether a fact says something: `0` shared parameters are none."""
    return bool(value) and value != "0"


@click.command("ls")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option(
    "--fact",
    "facts",
    multiple=True,
    type=click.Choice(FACTS),
    metavar="FACT",
    help=f"Only methods of which this holds; one of {', '.join(FACTS)}.",
)
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(FACTS),
    metavar="FACT",
    help="Only methods of which this does not hold.",
)
@json_option
def command(words: tuple[str, ...], facts: tuple[str, ...], without: tuple[str, ...], as_json: bool) -> int:
    """List the methods of the library by group, with their formulas.

    With WORDs only those that all of them occur in: in the name, the group or anywhere in the spec.

    \b
    specdsl ls
    specdsl ls rotation
    specdsl ls svd --fact exactly_lora
    specdsl ls --fact mergeable --without needs
    """
    said = [entry for entry in _entries() if all(entry.answers(word) for word in words)]
    found = [entry for entry in said if entry.has(facts, without)] if facts or without else said
    if as_json:
        print_json([entry.as_dict() for entry in found])
    elif found:
        click.echo("\n\n".join(_lines(found)))
    else:
        click.echo(_nothing(words, (*facts, *(f"no {name}" for name in without)) if said else ()), err=True)
    return 0 if found else NOTHING_FOUND


def _entries() -> list[Entry]:
    return [Entry.of(path) for _, paths in library_groups() for path in paths]


def _nothing(words: tuple[str, ...], facts: tuple[str, ...]) -> str:
    """That nothing was found, and the names and words of the library that are near what was looked for."""
    asked = " and ".join(f"`{word}`" for word in words)
    if facts:
        whose = f" that mentions {asked}" if asked else ""
        return f"no method of the library{whose} has {', '.join(facts)}"
    known: dict[str, None] = dict.fromkeys(library_names())
    known.update(dict.fromkeys(word.lower() for entry in _entries() for word in _WORD.findall(entry.title)))
    unknown = [word for word in words if not any(entry.answers(word) for entry in _entries())]
    near = [one for word in unknown for one in get_close_matches(word.lower(), known, n=NEAR_MISSES, cutoff=0.7)]
    hint = f"\n  hint: did you mean {' or '.join(f'`{one}`' for one in dict.fromkeys(near))}?" if near else ""
    return f"no method of the library mentions {asked}{hint}"


def _lines(entries: list[Entry]) -> list[str]:
    """A block of text for every group, their columns aligned with each other."""
    rows = columns([(entry.name, entry.title, entry.cite, entry.formula) for entry in entries])
    groups: dict[str, list[str]] = {}
    for entry, row in zip(entries, rows, strict=True):
        groups.setdefault(entry.group, [f"{entry.group}: {TAXONOMY[entry.group]}"]).append(row)
    return ["\n".join(lines) for lines in groups.values()]


def _formula(syntax: tree.SpecTree) -> str:
    printer = SyntaxText()
    groups = zip(syntax.clauses, clause_groups(syntax), strict=True)
    return ", ".join(printer.clause(clause) for clause, group in groups if group == TARGET)


def _plain(text: str) -> str:
    return text.lower().replace("-", "").replace("_", "")
