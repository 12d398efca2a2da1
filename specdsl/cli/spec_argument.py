"""SPEC on the command line: a file, a library name, a line of text, or `-` for standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from specdsl import limits
from specdsl.cli.set_option import Settings
from specdsl.errors import SpecFileError, SpecSettingError, did_you_mean
from specdsl.library_specs import library_path
from specdsl.spec import Spec, parse, parse_text

STDIN = "-"
STDIN_NAME = "<stdin>"
_LONGEST_PATH = 4096


def read_spec(argument: str | Path, settings: Settings | None = None) -> Spec:
    """The checked spec that an argument names.

    Raises:
        SpecFileError: there is no such file or library method.
        SpecError: the spec is wrong, or a setting does not fit it.
    """
    settings = settings or Settings()
    if argument == STDIN:
        spec = parse_text(read_stdin(), STDIN_NAME, **settings.numbers)
    else:
        spec = parse(_source(argument), **settings.numbers)
    indices = [name for name, factor in spec.ir.factors.items() if factor.kind == "index"]
    for name in settings.indices:
        if name not in indices:
            hint = did_you_mean(name, indices) or "only an `index` factor is given as a list"
            raise SpecSettingError(f"the spec has no index `{name}`", hint=hint)
    return spec


def spec_files(argument: str) -> Iterator[str | Path]:
    """The specs of one argument: every `.spec` file below a folder, else the argument itself.

    Raises:
        SpecFileError: there is no `.spec` file in the folder.
    """
    folder = None if _is_method(argument) else existing_path(argument)
    if folder is None or not folder.is_dir():
        yield argument
        return
    files = sorted(path for path in folder.rglob("*.spec") if path.is_file())
    if not files:
        raise SpecFileError(f"there is no .spec file in the folder `{argument}`")
    yield from files


def existing_path(argument: str) -> Path | None:
    """The file or folder of that name, if there is one; a text of any kind may be asked for."""
    if len(argument) > _LONGEST_PATH or "\n" in argument or "\0" in argument or not argument.strip():
        return None
    try:
        path = Path(argument)
        return path if path.exists() else None
    except OSError:
        return None


def shown_name(argument: str | Path) -> str:
    """What messages call an argument: itself, on one line and not too long."""
    text = " ".join(str(argument).split())
    return text if len(text) <= 100 else f"{text[:99]}…"


def read_stdin() -> str:
    """The text on standard input.

    Raises:
        SpecFileError: it is larger than a spec may be, or is not UTF-8.
    """
    content = sys.stdin.buffer.read(limits.TEXT_BYTES + 1)
    if len(content) > limits.TEXT_BYTES:
        raise SpecFileError(f"standard input is larger than a spec may be ({limits.TEXT_BYTES:,} bytes)")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise SpecFileError("standard input is not UTF-8 text") from None


def _source(argument: str | Path) -> str | Path:
    """What `specdsl.parse` reads an argument from."""
    if isinstance(argument, Path) or _is_method(argument):
        return argument
    path = existing_path(argument)
    if path is not None and path.is_dir():
        raise SpecFileError(f"`{argument}` is a folder", hint="name one of its files; `check` takes folders")
    if path is None and _is_written_as_path(argument):
        raise SpecFileError(f"there is no file `{shown_name(argument)}`")
    return argument if path is None else path


def _is_method(argument: str) -> bool:
    """Whether the argument is a bare name of the library, which no file of that name hides."""
    return argument.isidentifier() and library_path(argument) is not None


def _is_written_as_path(argument: str) -> bool:
    return argument.startswith(("./", "../", "/", "~")) and " " not in argument
