"""`specdsl check`: whether specs are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from specdsl.cli.import_option import import_option
from specdsl.cli.json_option import json_option
from specdsl.cli.reporting import print_json, report_error
from specdsl.cli.set_option import Settings, set_option
from specdsl.cli.spec_argument import read_spec, shown_name, spec_files
from specdsl.errors import SpecError, SpecFileError, SpecSettingError

WRONG = 1
UNREADABLE = 2


@click.command("check")
@click.argument("specs", nargs=-1, required=True, metavar="SPEC...")
@set_option
@import_option
@json_option
def command(specs: tuple[str, ...], set_texts: tuple[str, ...], as_json: bool) -> int:
    """Check specs: files, folders, library names or lines of text.

    Prints `ok` and the name of each right spec, and what is wrong with each other one. The exit code is 0 if
    all are right, 1 if one is wrong, 2 if one cannot be read.

    \b
    specdsl check "W + A@B | orth(A)"
    specdsl check my_method.spec specs/ lora --set r=4
    """
    settings = Settings.of(set_texts)
    code = 0
    results: list[dict[str, Any]] = []
    for argument in specs:
        for spec, error in _checked(argument, settings):
            code = max(code, _code(error))
            if as_json:
                results.append({"spec": shown_name(spec), "ok": error is None, **(error.as_dict() if error else {})})
            elif error is None:
                click.echo(f"ok {shown_name(spec)}")
            else:
                report_error(error, as_json=False)
    if as_json:
        print_json(results)
    return code


def _checked(argument: str, settings: Settings) -> list[tuple[str | Path, SpecError | None]]:
    try:
        return [(spec, _mistake(spec, settings)) for spec in spec_files(argument)]
    except SpecFileError as error:
        return [(argument, error)]


def _mistake(spec: str | Path, settings: Settings) -> SpecError | None:
    try:
        read_spec(spec, settings)
    except SpecError as error:
        return error
    return None


def _code(error: SpecError | None) -> int:
    """A spec that cannot be read, and a setting that does not fit, are no answers to what was asked."""
    if error is None:
        return 0
    is_answer = not isinstance(error, SpecFileError) and not (isinstance(error, SpecSettingError) and not error.span)
    return WRONG if is_answer else UNREADABLE
