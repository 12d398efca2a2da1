"""`--import MODULE`: Python modules that register operators, imported before a spec is read."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from specdsl.errors import SpecError, SpecFileError

F = TypeVar("F", bound=Callable[..., Any])


def import_option(command: F) -> F:
    """Add `--import`. The modules are imported while options are read; the command itself does not see them."""
    help_text = "Run this Python module or .py file first, for the operators that it registers; may be repeated."
    return click.option(
        "--import", "modules", multiple=True, metavar="MODULE", help=help_text, callback=_import_all,
        expose_value=False, is_eager=True,
    )(command)  # fmt: skip


def _import_all(context: click.Context, parameter: click.Parameter, names: Sequence[str]) -> None:
    if not context.resilient_parsing:
        for name in names:
            import_operators(name)


def import_operators(name: str) -> None:
    """Import a module by its name, or run a `.py` file by its path; what was imported before is not run again.

    Raises:
        SpecFileError: there is no such module or file, or it fails.
        SpecError: it registers a malformed operator.
    """
    try:
        if name.endswith(".py"):
            _run_file(name)
        else:
            importlib.import_module(name)
    except SpecError:
        raise
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise SpecFileError(f"importing `{name}` fails: {error}") from error
        hint = f"a file is named by its path: `--import {name}.py`" if Path(f"{name}.py").is_file() else None
        raise SpecFileError(f"there is no Python module `{name}`", hint=hint) from error
    except Exception as error:
        raise SpecFileError(f"importing `{name}` fails: {type(error).__name__}: {error}") from error


def _run_file(name: str) -> None:
    path = Path(name).resolve()
    if not path.is_file():
        raise SpecFileError(f"there is no file `{name}`")
    if any(getattr(module, "__file__", None) == str(path) for module in list(sys.modules.values())):
        return
    spec = importlib.util.spec_from_file_location(f"{path.stem} in {path.parent}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[spec.name]
        raise
