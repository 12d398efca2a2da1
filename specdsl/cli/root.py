"""`specdsl`: finds the sub-command, and turns every way it can end into an exit code and text.

Exit codes: 0 done, 1 a check answers no, 2 anything else that went wrong, 130 Ctrl-C, 141 a closed pipe.
Answers go to stdout and errors to stderr; with `--json` stdout holds one JSON document, be it an error.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

import specdsl
from specdsl.cli.reporting import discard_output, readable_streams, report_error, warnings_as_lines
from specdsl.cli.spec_argument import shown_name
from specdsl.errors import SpecError, SpecSettingError, did_you_mean

NO = 1
FAILED = 2
INTERRUPTED = 130
PIPE_CLOSED = 141

COMMANDS = (
    "check", "show", "explain", "fmt", "latex", "ls", "conform", "compile", "train", "eval", "merge", "import",
    "export",
)  # fmt: skip
"""Each is the `command` of the module of that name, in the order of `--help`."""


class Commands(click.Group):
    """The group of all sub-commands; each module is imported when its command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"specdsl.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], COMMANDS) or f"the commands are {', '.join(COMMANDS)}"
            raise SpecSettingError(f"there is no command `{shown_name(args[0])}`", hint=hint)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except BrokenPipeError:
            discard_output()
            raise SystemExit(PIPE_CLOSED) from None

    def main(self, args: Sequence[str] | None = None, *positional: Any, **settings: Any) -> NoReturn:
        given = list(sys.argv[1:] if args is None else args)
        settings["standalone_mode"] = False
        raise SystemExit(self._run(given, "--json" in given, *positional, **settings))

    def _run(self, args: list[str], as_json: bool, *positional: Any, **settings: Any) -> int:
        readable_streams()
        try:
            with warnings_as_lines():
                code = super().main(args, *positional, **settings)
            return code if isinstance(code, int) else 0
        except SpecError as error:
            report_error(error, as_json)
        except click.exceptions.NoArgsIsHelpError as error:
            click.echo(error.format_message(), err=True)
        except click.ClickException as error:
            report_error(_as_spec_error(error), as_json)
        except (click.Abort, KeyboardInterrupt):
            return INTERRUPTED
        except Exception:
            # A mistake of ours, not the user's: the trace is what we need to mend it.
            with suppress(BrokenPipeError):
                traceback.print_exc()
        return FAILED


def _as_spec_error(error: click.ClickException) -> SpecError:
    """A mistake in the options, as all others are shown."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    hint = f"`{context.command_path} --help` shows how it is used" if context else None
    return SpecSettingError(error.format_message().rstrip("."), hint=hint)


@click.group(
    "specdsl", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(specdsl.__version__, prog_name="specdsl", message="%(prog)s %(version)s")
def main() -> None:
    """Fine-tuning methods as one line of matrix algebra.

    SPEC is always one of: a file, the name of a library method, a line of text, or - for standard input.

    \b
    specdsl check "W + A@G@B | orth(A)"
    specdsl compile lora --model deberta-v3-base --set r=16
    specdsl train flora --model minilm --data reviews.csv
    """
