"""A folder that was changed is refused with a reason, and nothing in it runs."""

from __future__ import annotations

import ast
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import specdsl
from specdsl.errors import SpecCheckpointError, SpecFileError
from specdsl.runtime.adapter_record import RECORD, TENSORS
from tests.runtime.refusals import assert_refused
from tests.runtime.saved_adapters import (
    edited,
    mlp,
    saved,
    tensors_edited,
)


def flip_last_byte(folder: Path) -> None:
    content = bytearray((folder / TENSORS).read_bytes())
    content[-1] ^= 1
    (folder / TENSORS).write_bytes(content)


def add_a_known_tensor(folder: Path) -> None:
    tensors_edited(lambda tensors: tensors.update(other=tensors["factors/0/A"].clone()))(folder)
    edited(lambda record: record["tensors"].update(other=record["tensors"]["factors/0/A"]))(folder)


DIFFERS = "the tensor `factors/{}` in `{{folder}}` is not the one that was saved (hash differs)"
OTHER_SPEC = "the spec in `{folder}` does not have the hash that was saved with it"
UNREADABLE = f"`{{folder}}/{TENSORS}` cannot be read: ..."
TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped byte": (flip_last_byte, DIFFERS.format("2/B")),
    "a cut file": (lambda at: (at / TENSORS).write_bytes((at / TENSORS).read_bytes()[:-1]), UNREADABLE),
    "another hash": (
        edited(lambda record: record["tensors"].update({"factors/0/A": "0" * 64})), DIFFERS.format("0/A"),
    ),
    "another dtype of a tensor": (
        tensors_edited(lambda tensors: tensors.update({"factors/0/A": tensors["factors/0/A"].double()})),
        DIFFERS.format("0/A"),
    ),
    "another spec": (edited(lambda record: record.update(spec="W - A@B | r = 2")), OTHER_SPEC),
    "another setting": (edited(lambda record: record.update(settings={"r": "3"})), OTHER_SPEC),
    "a setting that is no number": (
        edited(lambda record: record.update(settings={"r": "two"})),
        "the spec in `{folder}` is not one that was saved: ...",
    ),
    "an operator that is not registered here": (
        edited(lambda record: record.update(spec="W + quantised(A)@B | r = 2")),
        "the spec in `{folder}` needs the operator `quantised`",
    ),
    "a spec that is none": (
        edited(lambda record: record.update(spec="W + (A@B")), "the spec in `{folder}` is not one that was saved: ...",
    ),
    "an unknown field": (
        edited(lambda record: record.update(run="rm -r")),
        f"`{{folder}}/{RECORD}` is damaged: run: Extra inputs are not permitted",
    ),
    "a missing field": (
        edited(lambda record: record.pop("seed")), f"`{{folder}}/{RECORD}` is damaged: seed: Field required",
    ),
    "a later format": (
        edited(lambda record: record.update(format=2)), f"`{{folder}}/{RECORD}` is damaged: format: Input should be 1",
    ),
    "a record that is no JSON": (
        lambda at: (at / RECORD).write_text("{"), f"`{{folder}}/{RECORD}` is damaged: the file: Invalid JSON: ...",
    ),
    "a missing tensor": (
        tensors_edited(lambda tensors: tensors.pop("factors/0/A")), f"`{{folder}}/{TENSORS}` lacks factors/0/A",
    ),
    "a missing tensor in both files": (
        lambda at: (
            tensors_edited(lambda tensors: tensors.pop("factors/0/A"))(at),
            edited(lambda record: record["tensors"].pop("factors/0/A"))(at),
        ),
        "the factor `A` of `0` is not in the folder",
    ),
    "a tensor too many": (
        tensors_edited(lambda tensors: tensors.update(other=torch.ones(2))),
        f"`{{folder}}/{TENSORS}` holds other, which nothing asks for",
    ),
    "a tensor too many in both files": (
        add_a_known_tensor, "the folder holds a tensor `other`, which nothing asks for",
    ),
    "no tensors": (lambda at: (at / TENSORS).unlink(), UNREADABLE),
    "another module": (
        edited(lambda record: record["targets"][0].update(name="7")),
        "the adapter belongs to a Sequential with a module `7`, which this Sequential does not have",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERED)
def test_a_folder_that_was_changed_is_refused(case: str, tmp_path: Path) -> None:
    tamper, message = TAMPERED[case]
    folder = saved(tmp_path / "adapter")
    tamper(folder)
    assert_refused(mlp(), folder, SpecCheckpointError, message)


def test_a_folder_without_a_record_is_no_adapter(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    (folder / RECORD).unlink()
    assert_refused(mlp(), folder, SpecFileError, "there is no adapter in `{folder}`")
    shutil.rmtree(folder)
    assert_refused(mlp(), folder, SpecFileError, "there is no adapter in `{folder}`")


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", [lambda trap, file: pickle.dump(trap, file), torch.save], ids=["pickle", "torch"])
def test_a_pickle_in_place_of_the_tensors_is_refused_unread(write: Callable[..., None], tmp_path: Path) -> None:
    folder, trap = saved(tmp_path / "adapter"), Trap(tmp_path / "sprung")
    with (folder / TENSORS).open("wb") as file:
        write(trap, file)
    assert_refused(mlp(), folder, SpecCheckpointError, UNREADABLE)
    assert not trap.path.exists()


def unsafe(source: Path) -> list[str]:
    """What in a file could run code that it reads."""
    found = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found.append(f"{ast.unparse(node.func)}()")
    return [name for name in found if name.partition(".")[0] in UNSAFE or name in UNSAFE]


UNSAFE = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch.load()", "eval()", "exec()"}
SOURCES = sorted(Path(specdsl.runtime.__path__[0]).glob("*.py"))


def test_nothing_in_the_runtime_unpickles(tmp_path: Path) -> None:
    assert "load.py" in [source.name for source in SOURCES]
    assert {source.name: unsafe(source) for source in SOURCES if unsafe(source)} == {}
    (tmp_path / "bad.py").write_text("import pickle\nmodel = torch.load(path)\nmodel.eval()\neval(text)\n")
    assert unsafe(tmp_path / "bad.py") == ["pickle", "torch.load()", "eval()"]
