from __future__ import annotations

import json

import pytest

import specdsl
from specdsl.cli.ls import FACTS
from specdsl.library_specs import library_groups, library_names
from tests.cli.conftest import Run


def names(listed: str) -> list[str]:
    return [entry["name"] for entry in json.loads(listed)]


def test_every_method_is_listed_under_its_group(run: Run) -> None:
    blocks = run("ls").stdout.rstrip("\n").split("\n\n")
    listed = {block.split(":")[0]: [line.split()[0] for line in block.splitlines()[1:]] for block in blocks}
    assert listed == {group: sorted(path.stem for path in paths) for group, paths in library_groups()}
    assert list(listed) == ["reconstruction", "extension", "combination", "activation", "prompt"]


def test_a_line_has_title_source_and_formula(run: Run) -> None:
    found = next(line for line in run("ls").stdout.splitlines() if line.startswith("  pissa "))
    assert found.split(maxsplit=3) == ["pissa", "PiSSA", "arXiv:2404.02948", "W' = W + s * (A@B - init(A@B))"]


@pytest.mark.parametrize("word", ["2402.09353", "colnorm", "DORA", "do-ra"])
def test_a_word_is_looked_for_everywhere(word: str, run: Run) -> None:
    lines = run("ls", word).stdout.splitlines()
    assert "dora" in [line.split()[0] for line in lines if line.startswith("  ")]
    assert len(lines) < len(library_names())


def test_nothing_found_is_an_answer(run: Run) -> None:
    result = run("ls", "lorra")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("no method of the library mentions `lorra`\n  hint: did you mean `lora` or `")


def test_words_of_titles_are_near_misses_too(run: Run) -> None:
    assert "`adapter`" in run("ls", "adaptor").stderr


def test_all_words_must_occur(run: Run) -> None:
    found = names(run("ls", "--json", "svd", "alpha").stdout)
    assert set(found) < set(names(run("ls", "--json", "svd").stdout))
    assert "pissa" in found
    assert run("ls", "svd", "butterfly").stderr == "no method of the library mentions `svd` and `butterfly`\n"


def test_methods_are_found_by_facts(run: Run) -> None:
    lora = names(run("ls", "--json", "--fact", "exactly_lora", "--without", "needs").stdout)
    assert {"lora", "rslora"} <= set(lora)
    assert not {"eva", "dora", "lora_fa"} & set(lora)
    assert "lotr" in names(run("ls", "--json", "--fact", "shared_parameters").stdout)
    assert run("ls", "lora", "--fact", "added_rows").stderr == (
        "no method of the library that mentions `lora` has added_rows\n"
    )


def test_facts_to_ask_for_are_those_that_specs_have() -> None:
    assert set(FACTS) < specdsl.parse("lora").facts.as_dict().keys()


def test_json_lists_the_same(run: Run) -> None:
    entries = json.loads(run("ls", "--json").stdout)
    assert sorted(entry["name"] for entry in entries) == library_names()
    assert entries[0].keys() == {"name", "group", "title", "cite", "formula", "note"}
