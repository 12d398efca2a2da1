"""The tables of docs/reference.md say what the code says: nothing is missing, and nothing is left over."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import specdsl
from specdsl.arrays import Arrays
from specdsl.cli.root import COMMANDS
from specdsl.equivalence.conditions import Conditions, Statement
from specdsl.library_specs import library_names
from specdsl.measures import EVENTS, MEASURES
from specdsl.operators import all_operators, remove_operator
from specdsl.operators.registry import Operator, OptionKind
from specdsl.role_names import GROUPS, ROLES, TOWERS
from specdsl.runtime import tasks
from specdsl.runtime.architectures import ARCHITECTURES
from specdsl.runtime.derive import DTYPES
from specdsl.runtime.interchange.correspondence import Correspondence
from specdsl.runtime.interchange.peft_methods import METHODS

PAGE = (Path(__file__).parents[1] / "docs" / "reference.md").read_text(encoding="utf-8")
SECTIONS = {part.split("\n", 1)[0]: part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]}


def table(section: str, number: int | None = None) -> list[list[str]]:
    """The rows of a section's tables, or of one of them, without heads."""
    found = re.findall(r"^\|.*\|\n\|[-|]+\|\n((?:\|.*\|\n)*)", SECTIONS[section] + "\n", re.MULTILINE)
    chosen = found if number is None else [found[number]]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for part in chosen for line in part.splitlines()]
    return [[cell.strip().replace(r"\|", "|") for cell in row] for row in rows]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def row(operator: Operator) -> list[str]:
    first = " ".join(operator.doc.split("\n\n")[0].split())
    return [f"`{operator.name}`", ", ".join(f"`{option.name}`" for option in operator.options), first]


def test_every_operator_is_in_its_table() -> None:
    assert sorted(table("Operators")) == sorted(row(one) for one in all_operators() if not one.is_start)


def test_every_start_is_in_its_table() -> None:
    assert sorted(table("Starts")) == sorted(row(one) for one in all_operators() if one.is_start)


@pytest.mark.parametrize("word", [quoted(row[0])[0] for row in table("Factor lines")])
def test_every_word_of_a_factor_line_is_shown_in_a_spec_that_is_right(word: str) -> None:
    (example,) = (quoted(row[2])[0] for row in table("Factor lines") if quoted(row[0])[0] == word)
    assert word.split("(")[0] in example
    assert specdsl.parse(example).ir.factors


def test_the_words_of_factor_lines_are_those_of_the_language() -> None:
    grammar = (Path(__file__).parents[1] / "grammar" / "specdsl.lark").read_text(encoding="utf-8")
    kinds = re.search(r"^kind:(.*?)\n\n", grammar, re.DOTALL | re.MULTILINE)
    assert kinds is not None
    words = {quoted(row[0])[0].split("(")[0] for row in table("Factor lines")}
    assert words == {*re.findall(r'"(\w{3,})"', kinds[1]), "lr", "decay", "orthonormal", "float32"}
    assert set(quoted(table("Factor lines")[-1][1])) == {"attach(dtype=...)", *DTYPES} - {"float32"}


@pytest.mark.parametrize("form", [quoted(row[0])[0] for row in table("Larger forms")])
def test_every_larger_form_is_shown_in_a_spec_that_is_right(form: str) -> None:
    (example,) = (quoted(row[2])[0] for row in table("Larger forms") if quoted(row[0])[0] == form)
    assert specdsl.parse(example).ir.targets


def test_every_measure_is_in_its_table() -> None:
    written = {"average": "mean"}  # `mean(x)` of data, which is an operator of matrices
    rows = [[f"`{written.get(name, name)}`", one.when, one.doc] for name, one in MEASURES.items()]
    assert table("Measures and events", 0) == rows
    assert all(f"`{one.when}`" in SECTIONS["Measures and events"] for one in MEASURES.values())


def test_every_assumption_is_in_its_table_and_understood() -> None:
    texts = [quoted(row[0])[0] for row in table("Assumptions")]
    assert [text for text in texts if Conditions.of([text]).statements] == [one.value for one in Statement]
    assert all(Conditions.of([text]) for text in texts)


def test_every_event_is_in_its_table() -> None:
    assert table("Measures and events", 1) == [[f"`{name}`", when] for name, when in EVENTS.items()]
    (example,) = re.findall(r"`([^`]+ \| at [^`]+)`", SECTIONS["Measures and events"])
    assert specdsl.parse(example).facts.needs


def test_every_role_has_its_place() -> None:
    rows = table("Roles")
    assert [quoted(name) for name, _ in rows] == [[group] for group in GROUPS] + [[]]
    assert [role for _, roles in rows for role in quoted(roles)] == list(ROLES)
    assert all(f"`{tower}.`" in SECTIONS["Roles"] for tower in TOWERS)


def test_every_well_known_model_is_listed() -> None:
    found = [(*quoted(name), *quoted(others), hub) for name, others, hub in table("Well-known models")]
    assert found == [(*one.names, one.hub) for one in ARCHITECTURES]


def test_the_columns_are_those_that_tasks_are_found_by() -> None:
    names = {what: tuple(quoted(cell)) for what, cell in table("Tasks by columns", 1)}
    assert names.pop("two texts") == tuple(name for pair in tasks.TEXT_PAIRS for name in pair)
    assert names == {
        "text": tasks.TEXTS, "label": tasks.LABELS, "number": tasks.NUMBERS, "words": tasks.TOKENS, "tags": tasks.TAGS,
    }  # fmt: skip


def test_the_tasks_are_those_that_can_be_trained() -> None:
    kinds = tasks.Task.model_fields["kind"].annotation
    assert [task for _, task in table("Tasks by columns", 0)] == list(getattr(kinds, "__args__", ()))


def test_every_command_is_in_its_table() -> None:
    commands = [(name, import_module(f"specdsl.cli.{name}").command.help or "") for name in COMMANDS]
    assert table("Commands") == [[f"`{name}`", text.strip().split("\n")[0]] for name, text in commands]


def peft_row(row: Correspondence) -> list[str]:
    """A method of PEFT as the table shows it; conditions that are off everywhere are left out."""
    conditions = [f"`{name}`" for name, values in row.when.items() if values[:1] == (True,) and len(values) == 1]
    set_to = {name: values[0] for name, values in row.when.items() if len(values) == 1 and values[0] is not True}
    conditions += [f"`{name}={value}`" for name, value in set_to.items()]
    fields = [f"`{name}`: `{field}`" for name, field in {**row.settings, **row.indices}.items()]
    return [f"`{row.peft_type}`", ", ".join(conditions), f"`{row.spec}`", ", ".join(fields)]


def test_every_method_of_peft_that_is_read_is_in_its_table() -> None:
    assert table("Adapters of PEFT") == [peft_row(row) for row in METHODS]


def test_xp_offers_what_the_namespace_has() -> None:
    listed = [name for _, names in table("What `xp` offers a new operator") for name in quoted(names)]
    assert sorted(listed) == sorted(name for name in vars(Arrays) if not name.startswith("_"))


def test_the_kinds_of_options_are_named() -> None:
    text = SECTIONS["What `xp` offers a new operator"]
    assert all(f'`"{kind}"`' in text for kind in getattr(OptionKind, "__args__", ()))


def test_the_example_of_an_operator_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    try:
        exec(compile(block, "docs/reference.md", "exec"), {})
    finally:
        remove_operator("leaky")
    assert capsys.readouterr().out == "False\n"


def test_what_is_out_of_scope_names_specs_that_are_there() -> None:
    text = (Path(__file__).parents[1] / "docs" / "scope.md").read_text(encoding="utf-8")
    rows = [line.split("|")[2] for line in text.splitlines() if line.startswith("| ") and "`" in line.split("|")[2]]
    assert {name for row in rows for name in quoted(row)} <= set(library_names())
    assert all((Path(__file__).parents[1] / "docs" / link).exists() for link in re.findall(r"\]\(([^)]+)\)", text))
    (block,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    assert [specdsl.parse(line).facts.mergeable for line in block.splitlines()] == [False, False]


def test_every_link_leads_somewhere() -> None:
    headings = {re.sub(r"[^\w -]", "", name.lower()).replace(" ", "-") for name in SECTIONS}
    for target in re.findall(r"\]\(([^)]+)\)", PAGE):
        if target.startswith("#"):
            assert target[1:] in headings
        else:
            assert (Path(__file__).parents[1] / "docs" / target).exists()
