from __future__ import annotations

from pathlib import Path

import pytest

import specdsl
from specdsl.runtime.output_folder import check_output


def test_a_new_or_empty_folder_is_free(tmp_path: Path) -> None:
    check_output(tmp_path, overwrite=False)
    check_output(tmp_path / "new", overwrite=False)


def test_an_adapter_is_replaced_only_where_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "adapter.json").write_text("{}")
    with pytest.raises(specdsl.SpecFileError, match="holds an adapter already"):
        check_output(tmp_path, overwrite=False)
    check_output(tmp_path, overwrite=True)


@pytest.mark.parametrize("name", ["other.txt", "folder"])
def test_what_is_no_adapter_is_never_replaced(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "other.txt").write_text("mine")
    with pytest.raises(specdsl.SpecFileError, match="is there already and is no adapter"):
        check_output(tmp_path / "folder" / name if name != "folder" else tmp_path / name, overwrite=True)
