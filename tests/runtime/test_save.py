"""Saving leaves a folder that is whole, or what was there before."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from safetensors.torch import load_file

import specdsl
from specdsl.errors import SpecCheckpointError, SpecFileError
from specdsl.runtime.adapter_record import RECORD, TENSORS
from tests.runtime.saved_adapters import (
    LORA,
    contents,
    mlp,
    saved,
)


def test_the_folder_holds_two_files(tmp_path: Path) -> None:
    folder = saved(tmp_path / "made" / "adapter")
    assert sorted(entry.name for entry in folder.iterdir()) == [RECORD, TENSORS]
    assert sorted(load_file(folder / TENSORS)) == [f"factors/{place}/{name}" for place in "02" for name in "AB"]
    assert [entry.name for entry in folder.parent.iterdir()] == ["adapter"]


def test_saving_again_replaces_the_adapter_and_keeps_other_files(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "notes").mkdir()
    (folder / "notes" / "one.txt").write_text("kept")
    saved(folder, "W + D")
    assert [entry.name for entry in tmp_path.iterdir()] == ["adapter"]
    assert sorted(load_file(folder / TENSORS)) == ["factors/0/D", "factors/2/D"]
    assert (folder / "tokenizer.json").read_text() == "{}"
    assert (folder / "notes" / "one.txt").read_text() == "kept"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Within it the system refuses to write larger files, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("file", [TENSORS, RECORD])
def test_a_disk_that_is_full_leaves_the_old_adapter(file: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    size = 64 if file == TENSORS else (folder / RECORD).stat().st_size - 1
    assert file == TENSORS or (folder / TENSORS).stat().st_size <= size
    before, adapter = contents(tmp_path), specdsl.attach(mlp(), LORA)
    with files_of_at_most(size), pytest.raises(SpecFileError) as caught:
        adapter.save(folder)
    assert caught.value.message.startswith(f"the adapter cannot be written to `{folder}`: ")
    assert "File too large" in caught.value.message
    assert contents(tmp_path) == before


def test_a_file_that_cannot_be_kept_leaves_the_old_adapter(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    (folder / "tokenizer.json").symlink_to(tmp_path / "nowhere")
    before = contents(tmp_path)
    message = f"the adapter cannot be written to `{folder}`: No such file or directory"
    with pytest.raises(SpecFileError, match=f"^{re.escape(message)}$"):
        saved(folder, "W + D")
    assert contents(tmp_path) == before


def test_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(SpecFileError, match="the adapter cannot be written to"):
        saved(tmp_path / "file" / "adapter")
    assert contents(tmp_path) == {"file": b"text"}


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(SpecFileError) as caught:
        saved(tmp_path / "file")
    assert caught.value.message == f"`{tmp_path / 'file'}` is a file"
    assert contents(tmp_path) == {"file": b"text"}


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("text")
    with pytest.raises(SpecFileError) as caught:
        saved(tmp_path)
    assert caught.value.message == f"the folder `{tmp_path}` holds other things"
    assert contents(tmp_path) == {"thesis.tex": b"text"}


def test_a_detached_or_disabled_adapter_cannot_be_saved(tmp_path: Path) -> None:
    adapter = specdsl.attach(mlp(), LORA, train="re:2", on="re:0")
    with adapter.disabled(), pytest.raises(SpecCheckpointError, match="the adapter `default` is disabled"):
        adapter.save(tmp_path / "adapter")
    adapter.detach()
    with pytest.raises(SpecCheckpointError) as caught:
        adapter.save(tmp_path / "adapter")
    assert caught.value.message == "the adapter `default` is not attached any more"
    assert contents(tmp_path) == {}
