"""How errors and warnings look on the terminal."""

from __future__ import annotations

import io
import json
import os
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

import click

from specdsl.errors import SpecError, SpecErrors, SpecWarning

_ARGUMENT = re.compile(r"`(overwrite|resume|text_columns|label_column|on|train|layers)=(?:True)?`")


def report_error(error: SpecError, as_json: bool) -> None:
    """Print an error: its text on stderr, or as a JSON document on stdout; its hint names flags, not arguments."""
    for one in (error, *(error.errors if isinstance(error, SpecErrors) else ())):
        one.hint = one.hint and with_flags(one.hint)
    if as_json:
        print_json(error.as_dict())
    else:
        click.echo(error.render(), err=True)


def with_flags(hint: str) -> str:
    """A hint as it is for the command line.

    >>> with_flags("name the column with `label_column=`, or say `overwrite=True`")
    'name the column with `--label-column`, or say `--overwrite`'
    """
    return _ARGUMENT.sub(lambda found: f"`--{found[1].replace('_', '-')}`", hint)


def print_json(value: object) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """Within it a `SpecWarning` is a line on stderr, once however often it is raised; others stay as they are."""
    seen: set[str] = set()

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int,
        file: TextIO | None = None, line: str | None = None,
    ) -> None:  # fmt: skip
        if not issubclass(category, SpecWarning):
            others(message, category, filename, lineno, file, line)
        elif str(message) not in seen:
            seen.add(str(message))
            click.echo(f"warning: {message}", err=True)

    with warnings.catch_warnings():
        others = warnings.showwarning
        warnings.simplefilter("always", SpecWarning)
        warnings.showwarning = show
        yield


def readable_streams() -> None:
    """Let a character that the terminal cannot show be printed as its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """Nobody reads stdout any more: what is still buffered must not raise when Python ends."""
    try:
        descriptor: Any = sys.stdout.fileno()
    except (OSError, ValueError):
        return
    os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
