"""What pip installs is what the repository holds, and only under the name `specdsl`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
from pathlib import Path
from zipfile import ZipFile

import pytest

REPOSITORY = Path(__file__).parents[1]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
SETUPTOOLS = PROJECT["tool"]["setuptools"]

# Where the files of the top package and of its linked parts stand; the links themselves are walked past.
FOLDERS = {"specdsl": "specdsl"} | SETUPTOOLS["package-dir"]


def files_on_disk(*suffixes: str) -> set[str]:
    """Every file that belongs into the wheel, by its name there (`specdsl/runtime/attach.py`)."""
    names = set()
    for package, folder in FOLDERS.items():
        for place, _, files in os.walk(REPOSITORY / folder):
            inside = Path(package.replace(".", "/")) / Path(place).relative_to(REPOSITORY / folder)
            names |= {str(inside / file) for file in files if file.endswith(suffixes or "")}
    return {name for name in names if "__pycache__" not in name}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what pip needs of the repository, so that building leaves nothing behind in it."""
    copy = tmp_path_factory.mktemp("checkout") / "repository"
    copy.mkdir()
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for folder in FOLDERS.values():
        shutil.copytree(REPOSITORY / folder, copy / folder, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, copy)
    return copy


def build(kind: str, source: Path, target: Path) -> Path:
    """Build a `wheel`, an `editable` wheel or an `sdist` from `source` into `target`."""
    code = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", checkout, tmp_path_factory.mktemp("wheel"))


def environment(folder: Path, wheel: Path) -> Path:
    """A virtual environment with this wheel, and with the other packages that are installed here.

    Folders that a `.pth` file names are searched, but `.pth` files in them are not read, so that an editable
    install of specdsl does not come along.
    """
    venv.create(folder, with_pip=False)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "lib" / version / "site-packages" / "others.pth").write_text(sysconfig.get_path("purelib"))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python")]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", str(wheel)], check=True)
    return folder


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment after `pip install .`"""
    return environment(tmp_path_factory.mktemp("installed"), wheel)


@pytest.fixture(scope="module")
def editable(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment after `pip install --editable .`"""
    return environment(
        tmp_path_factory.mktemp("editable"), build("editable", checkout, tmp_path_factory.mktemp("link"))
    )


def installed_files(wheel: Path) -> set[str]:
    names = ZipFile(wheel).namelist()
    return {name for name in names if not name.split("/")[0].endswith(".dist-info")}


def run(command: str, *arguments: str, installed: Path, cwd: Path) -> str:
    """What a command of a virtual environment prints when it is run in `cwd`."""
    program = [str(installed / "bin" / command), *arguments]
    variables = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(program, cwd=cwd, env=variables, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else done.stderr


WHERE = "import specdsl.grammar, specdsl.runtime; print(specdsl.runtime.__file__)"


def test_the_package_list_is_the_folders_on_disk() -> None:
    folders = {name.rpartition("/")[0].replace("/", ".") for name in files_on_disk("__init__.py")}
    assert set(SETUPTOOLS["packages"]) == folders


def test_every_folder_with_code_is_a_package() -> None:
    code = {name.rpartition("/")[0] for name in files_on_disk(".py")}
    assert code == {name.rpartition("/")[0] for name in files_on_disk("__init__.py")}


@pytest.mark.parametrize(("package", "folder"), SETUPTOOLS["package-dir"].items())
def test_a_relative_link_leads_into_each_top_folder(package: str, folder: str) -> None:
    assert (REPOSITORY / package.replace(".", "/")).readlink() == Path("..") / folder


def test_the_wheel_holds_exactly_the_files_on_disk(wheel: Path) -> None:
    assert installed_files(wheel) == files_on_disk()


def test_nothing_but_specdsl_is_installed(wheel: Path) -> None:
    assert {name.split("/")[0] for name in installed_files(wheel)} == {"specdsl"}


def test_a_source_distribution_builds_the_same_wheel(checkout: Path, wheel: Path, tmp_path: Path) -> None:
    with tarfile.open(build("sdist", checkout, tmp_path)) as files:
        files.extractall(tmp_path, filter="data")
    again = build("wheel", tmp_path / f"specdsl-{PROJECT['project']['version']}", tmp_path)
    assert installed_files(again) == installed_files(wheel)


def test_the_installed_package_works_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    where = Path(run("python", "-c", WHERE, installed=installed, cwd=tmp_path))
    assert where.is_relative_to(installed)


def test_it_also_works_where_the_source_folder_comes_first(installed: Path, checkout: Path) -> None:
    where = Path(run("python", "-c", WHERE, installed=installed, cwd=checkout))
    assert where == checkout / "specdsl" / "runtime" / "__init__.py"


def test_an_editable_install_leads_to_the_repository(editable: Path, checkout: Path, tmp_path: Path) -> None:
    where = Path(run("python", "-c", WHERE, installed=editable, cwd=tmp_path))
    assert where.resolve() == checkout / "runtime" / "__init__.py"


@pytest.mark.parametrize("kind", ["installed", "editable"])
def test_grammar_and_library_specs_are_readable_as_resources(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    code = (
        "from importlib.resources import files\n"
        "for part in ('grammar', 'library_specs'):\n"
        "    print(*(file.name for file in files('specdsl.' + part).rglob('*')), sep='\\n')"
    )
    shown = run("python", "-c", code, installed=request.getfixturevalue(kind), cwd=tmp_path).splitlines()
    assert {Path(name).name for name in files_on_disk(".lark", ".spec")} <= set(shown)


@pytest.mark.parametrize("kind", ["installed", "editable"])
def test_the_command_is_installed(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    shown = run("specdsl", "--version", installed=request.getfixturevalue(kind), cwd=tmp_path)
    assert PROJECT["project"]["version"] in shown


def test_the_types_are_marked_as_ours(wheel: Path) -> None:
    assert "specdsl/py.typed" in installed_files(wheel)


def test_the_pinned_setup_names_everything_that_is_asked_for() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    extras = PROJECT["project"]["optional-dependencies"].values()
    asked = [*PROJECT["project"]["dependencies"], *(need for extra in extras for need in extra)]
    assert {need.partition(">=")[0].partition("[")[0] for need in asked} <= pinned


def test_the_licence_is_apache_2(wheel: Path) -> None:
    name = f"specdsl-{PROJECT['project']['version']}.dist-info"
    with ZipFile(wheel) as files:
        assert "License-Expression: Apache-2.0" in files.read(f"{name}/METADATA").decode()
        assert files.read(f"{name}/licenses/LICENSE") == (REPOSITORY / "LICENSE").read_bytes()
