"""`--json`: one JSON document on stdout in place of text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def json_option(command: F) -> F:
    """Add `--json` as the argument `as_json`; `specdsl.cli.root` makes errors JSON too where it is given."""
    help_text = "Print JSON, errors too (error, path, line, column, hint)."
    return click.option("--json", "as_json", is_flag=True, help=help_text)(command)
