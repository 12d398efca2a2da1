"""Where a model is looked for, in which order, and what is not looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from specdsl.errors import SpecFileError
from specdsl.runtime.architectures import find
from specdsl.runtime.model_places import Place, is_folder, places


def found(text: str) -> tuple[list[tuple[str, str]], list[str]]:
    tried: list[str] = []
    return [(place.source, place.path) for place in places(text, find(text), tried)], tried


@pytest.mark.parametrize("text", [".", "./gpt2", "../gpt2", "/models/gpt2", "~/gpt2", "a/b/c", "a\\b"])
def test_a_path_is_a_folder_whether_it_is_there_or_not(text: str) -> None:
    assert is_folder(text)


@pytest.mark.parametrize("text", ["gpt2", "someone/tiny", "", "two words"])
def test_a_name_is_none(text: str) -> None:
    assert not is_folder(text)


def test_a_name_is_a_folder_where_a_model_lies_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gpt2").mkdir()
    assert not is_folder("gpt2")
    (tmp_path / "gpt2" / "config.json").touch()
    assert is_folder("gpt2")


def test_a_folder_is_the_only_place(tmp_path: Path) -> None:
    (tmp_path / "config.json").touch()
    assert found(str(tmp_path)) == ([("folder", str(tmp_path))], [])


def test_a_well_known_name_is_looked_for_on_the_hub() -> None:
    assert found("roberta-base") == ([("hub", "FacebookAI/roberta-base")], [])


def test_minilm_is_looked_for_in_its_package_first(minilm_folder: Path) -> None:
    hub = ("hub", "sentence-transformers/all-MiniLM-L6-v2")
    assert found("minilm") == ([("package", str(minilm_folder)), hub], [])


@pytest.mark.parametrize("text", ["two words", "", "-x", "a/", "name?"])
def test_what_the_hub_cannot_know_is_not_asked_for(text: str) -> None:
    assert found(text) == ([], ["it is neither a folder nor a name that the hub could know"])


def test_whatever_a_reader_raises_names_the_place() -> None:
    class Reader:
        @staticmethod
        def from_pretrained(path: str, **options: object) -> None:
            raise KeyError("hidden_size.\nmore")

    with pytest.raises(SpecFileError, match=r"^/a: 'hidden_size\."):
        Place("folder", "/a").read(Reader)


def test_a_reader_may_run_no_code_and_reads_what_is_here() -> None:
    class Reader:
        @staticmethod
        def from_pretrained(path: str, **options: object) -> dict[str, object]:
            return options

    assert Place("folder", "/a").read(Reader) == {"local_files_only": True, "trust_remote_code": False}
