"""Data flows one way: text -> tree -> IR -> passes -> plan -> modules -> training. Imports follow it.

The tables are the rule. A name in them stands for everything under it, and the longest name that fits a
module counts: `specdsl` is the front end, which is whatever has no entry of its own.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]

# A module imports from its own row and from the rows above it.
ORDER = (
    ("specdsl.errors", "specdsl.source", "specdsl.limits"),  # what everything reports with
    ("specdsl.grammar", "specdsl.library_specs"),  # data, with a thin accessor
    ("specdsl",),  # the front end: text to checked algebra
    ("specdsl.lowering",),  # algebra to modules and penalties
    ("specdsl.runtime",),  # modules into models, training, checkpoints
    ("specdsl.__init__", "specdsl.cli", "specdsl.__main__"),  # what users touch
)

TORCH = ("torch", "safetensors", "accelerate")
MODELS = ("transformers", "datasets", "peft", "huggingface_hub", "tokenizers")
BACK_END = ("specdsl.lowering", "specdsl.runtime", "specdsl.arrays.torch_arrays")

# What a part never imports ...
NEVER = {
    "specdsl": (*TORCH, *MODELS, *BACK_END),
    "specdsl.arrays.torch_arrays": MODELS,
    "specdsl.lowering": MODELS,
    "specdsl.runtime": (),
    "specdsl.cli": (),
    "specdsl.__init__": (),
}
# ... and what it imports only inside functions, once it is needed.
ONLY_WHEN_NEEDED = {
    "specdsl": (),
    "specdsl.cli": (*TORCH, *MODELS, *BACK_END),
    "specdsl.__init__": (*TORCH, *MODELS, *BACK_END),
}


@dataclass
class Imports(ast.NodeVisitor):
    """The names that one source file imports, without those for type checkers alone.

    Attributes:
        modules: all modules of specdsl, to tell `from specdsl import errors` (a module) from a name in one.
        at_once: what is imported together with the file.
        when_needed: what its functions import when they run.
    """

    modules: Collection[str]
    at_once: set[str] = field(default_factory=set)
    when_needed: set[str] = field(default_factory=set)
    _functions: int = 0

    def visit_Import(self, node: ast.Import) -> None:
        self._add(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        origin = node.module or ""
        names = (f"{origin}.{alias.name}" for alias in node.names)
        self._add(name if name in self.modules else origin for name in names)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._functions += 1
        self.generic_visit(node)
        self._functions -= 1

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_If(self, node: ast.If) -> None:
        for child in node.orelse if "TYPE_CHECKING" in ast.unparse(node.test) else [*node.body, *node.orelse]:
            self.visit(child)

    def _add(self, names: Iterable[str]) -> None:
        found = {"specdsl.__init__" if name == "specdsl" else name for name in names}
        (self.when_needed if self._functions else self.at_once).update(found)


def source_files() -> dict[str, Path]:
    """Every module of specdsl and its file."""
    files = {}
    for place, _, names in os.walk(REPOSITORY / "specdsl", followlinks=True):
        for path in (Path(place) / name for name in names if name.endswith(".py")):
            name = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            files[name if name == "specdsl.__init__" else name.removesuffix(".__init__")] = path
    return files


def imports_of(text: str, modules: Collection[str]) -> Imports:
    imports = Imports(modules)
    imports.visit(ast.parse(text))
    return imports


FILES = source_files()
IMPORTS = {module: imports_of(path.read_text(), FILES) for module, path in FILES.items()}


def entry(name: str, names: Iterable[str]) -> str | None:
    """The longest of `names` that `name` is or stands under."""
    return max((n for n in names if name == n or name.startswith(f"{n}.")), key=len, default=None)


def row(module: str) -> int:
    rows = {name: i for i, names in enumerate(ORDER) for name in names}
    return rows[entry(module, rows) or "specdsl"]


def against_the_rules(module: str, imports: Imports) -> set[str]:
    """The names that `module` must not import, or not yet when it is imported itself."""
    never = NEVER[entry(module, NEVER) or "specdsl"]
    only_when_needed = ONLY_WHEN_NEEDED.get(entry(module, NEVER) or "specdsl", ())
    everything = imports.at_once | imports.when_needed
    wrong = {name for name in everything if name.startswith("specdsl") and row(name) > row(module)}
    wrong |= {name for name in everything if entry(name, never)}
    return wrong | {name for name in imports.at_once if entry(name, only_when_needed)}


@pytest.mark.parametrize("module", sorted(IMPORTS))
def test_imports_follow_the_data(module: str) -> None:
    assert against_the_rules(module, IMPORTS[module]) == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    try:
        TopologicalSorter({m: imports.at_once & FILES.keys() for m, imports in IMPORTS.items()}).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_the_top_folders_are_imported_as_parts_of_specdsl() -> None:
    stray = {"grammar", "library_specs", "runtime"}
    names = {m: {name.partition(".")[0] for name in i.at_once | i.when_needed} for m, i in IMPORTS.items()}
    assert {module for module, tops in names.items() if tops & stray} == set()


@pytest.mark.parametrize("name", [name for names in ORDER for name in names if name != "specdsl.__main__"])
def test_every_name_in_the_table_exists(name: str) -> None:
    assert name == "specdsl" or name in FILES


@pytest.mark.parametrize(
    ("module", "text", "wrong"),
    [
        ("specdsl.parser", "import torch.nn", {"torch.nn"}),
        ("specdsl.parser", "def late():\n    from transformers import Trainer", {"transformers"}),
        ("specdsl.parser", "if TYPE_CHECKING:\n    import torch", set()),
        ("specdsl.errors", "from specdsl import parser", {"specdsl.parser"}),
        ("specdsl.lowering.plan", "import specdsl.runtime", {"specdsl.runtime"}),
        ("specdsl.lowering.plan", "import torch", set()),
        ("specdsl.runtime.data", "from specdsl import attach", {"specdsl.__init__"}),
        ("specdsl.cli.train", "import transformers", {"transformers"}),
        ("specdsl.cli.train", "class C:\n    def late(self):\n        import transformers", set()),
    ],
)
def test_the_rules_tell_wrong_imports_from_right_ones(module: str, text: str, wrong: set[str]) -> None:
    assert against_the_rules(module, imports_of(text, FILES)) == wrong
