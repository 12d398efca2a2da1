"""`specdsl fmt`: spec files in the standard style."""

from __future__ import annotations

import difflib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import click

from specdsl.cli.import_option import import_option
from specdsl.cli.reporting import report_error
from specdsl.cli.spec_argument import STDIN, STDIN_NAME, existing_path, read_stdin, shown_name, spec_files
from specdsl.errors import SpecError, SpecFileError
from specdsl.spec import parse, parse_text, read_spec_file

WOULD_CHANGE = 1
FAILED = 2


@dataclass(frozen=True)
class Formatted:
    """A text before and after, with its line ends as they were."""

    name: str
    before: str
    after: str

    @property
    def is_changed(self) -> bool:
        return self.before != self.after

    def diff(self) -> str:
        before, after = (text.splitlines(keepends=True) for text in (self.before, self.after))
        return "".join(_ended(line) for line in difflib.unified_diff(before, after, self.name, self.name))


@click.command("fmt")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@import_option
@click.option("--check", is_flag=True, help="Change nothing; exit with 1 if a file is not in the standard style.")
@click.option("--diff", is_flag=True, help="Change nothing; print what would change.")
def command(files: tuple[str, ...], check: bool, diff: bool) -> int:
    """Write spec files in the standard style, in place.

    FILE is a file, a folder (every .spec file below it), or - to read standard input and print the result. The
    meaning and every comment stay; a wrong spec is refused.

    \b
    specdsl fmt my_method.spec specs/
    specdsl fmt --check --diff specs/
    """
    places = [place for file in files for place in ([STDIN] if file == STDIN else spec_files(file))]
    code = 0
    for place in places:
        try:
            code = max(code, _finish(_formatted(place), place == STDIN, check, diff))
        except SpecError as error:
            report_error(error, as_json=False)
            code = FAILED
    return code


def _finish(formatted: Formatted, to_stdout: bool, check: bool, diff: bool) -> int:
    if diff and formatted.is_changed:
        click.echo(formatted.diff(), nl=False)
    if check:
        if formatted.is_changed:
            click.echo(f"{formatted.name} is not in the standard style", err=True)
        return WOULD_CHANGE if formatted.is_changed else 0
    if diff:
        return 0
    if to_stdout:
        click.echo(formatted.after, nl=False)
    elif formatted.is_changed:
        _write(Path(formatted.name), formatted.after)
        click.echo(f"formatted {formatted.name}")
    return 0


def _formatted(place: str | Path) -> Formatted:
    """The text of a file, or of standard input, before and after.

    Raises:
        SpecError: it cannot be read, or is no right spec.
    """
    if place == STDIN:
        text = read_stdin()
        return Formatted(STDIN_NAME, text, _standard(text, str(parse_text(text, STDIN_NAME))))
    path = existing_path(str(place))
    if path is None or not path.is_file():
        raise SpecFileError(f"there is no file `{shown_name(place)}`")
    text = read_spec_file(path)
    return Formatted(str(path), text, _standard(text, str(parse(path))))


def _standard(before: str, text: str) -> str:
    ends = "\r\n" if "\r\n" in before else "\n"
    return text.replace("\n", ends) + ends


def _write(path: Path, text: str) -> None:
    """Replace a file as a whole, so that no half-written one is ever left; a link stays a link."""
    target = path.resolve()
    try:
        mode = target.stat().st_mode
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(text.encode("utf-8"))
            os.chmod(name, mode & 0o7777)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise SpecFileError(f"`{path}` cannot be written: {error.strerror}") from None


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
