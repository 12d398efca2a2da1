from __future__ import annotations

from pathlib import Path

import pytest

from specdsl.equivalence.atlas.cache import PairCache, checker_version, user_cache, write_whole
from specdsl.equivalence.atlas.cell import Cell
from specdsl.errors import SpecFileError

PROVED = Cell(set="<", set_status="proved", dimension_a=2, dimension_b=3)


def test_a_pair_is_found_again_in_either_order(tmp_path: Path) -> None:
    cache = PairCache(tmp_path, 1.0)
    cache.put("aa", "bb", PROVED)
    cache.save()
    again = PairCache(tmp_path, 1.0)
    assert again.get("aa", "bb") == PROVED
    assert again.get("bb", "aa") == PROVED.mirrored()
    assert again.get("aa", "cc") is None


def test_what_was_undecided_is_asked_again_with_another_budget(tmp_path: Path) -> None:
    cache = PairCache(tmp_path, 1.0)
    cache.put("aa", "bb", Cell(reason="no time"))
    cache.put("aa", "cc", PROVED)
    cache.save()
    assert PairCache(tmp_path, 1.0).get("aa", "bb") == Cell(reason="no time")
    assert PairCache(tmp_path, 9.0).get("aa", "bb") is None
    assert PairCache(tmp_path, 9.0).get("aa", "cc") == PROVED


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pairs": []}', '{"pairs": {"bb": {"cell": {"set": "="}}}}'])
def test_a_damaged_file_holds_nothing(content: str, tmp_path: Path) -> None:
    path = tmp_path / checker_version() / "aa.json"
    path.parent.mkdir()
    path.write_text(content)
    cache = PairCache(tmp_path, 1.0)
    assert cache.get("aa", "bb") is None
    cache.put("aa", "bb", PROVED)
    cache.save()
    assert PairCache(tmp_path, 1.0).get("aa", "bb") == PROVED


def test_files_are_written_whole_and_nothing_is_left_beside_them(tmp_path: Path) -> None:
    write_whole(tmp_path / "new" / "file.txt", "first")
    write_whole(tmp_path / "new" / "file.txt", "second")
    assert [(path.name, path.read_text()) for path in (tmp_path / "new").iterdir()] == [("file.txt", "second")]
    (tmp_path / "taken").write_text("")
    with pytest.raises(SpecFileError, match="cannot be written"):
        write_whole(tmp_path / "taken" / "file.txt", "")


def test_the_cache_is_where_the_user_has_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "specdsl" / "equivalence"
