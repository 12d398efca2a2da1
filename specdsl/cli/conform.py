"""`specdsl conform`: whether what specdsl makes of a spec is that spec, in every layer type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from time import process_time
from typing import TYPE_CHECKING

import click

from specdsl.cli.import_option import import_option
from specdsl.cli.json_option import json_option
from specdsl.cli.progress import counting
from specdsl.cli.reporting import print_json
from specdsl.cli.set_option import Settings, set_option
from specdsl.cli.spec_argument import read_spec, spec_files
from specdsl.errors import SpecSettingError
from specdsl.library_specs import library_names
from specdsl.spec import Spec

if TYPE_CHECKING:
    from specdsl.runtime.conform.report import SpecReport

FAILED = 1


@click.command("conform")
@click.argument("specs", nargs=-1, metavar="SPEC...")
@click.option("--all", "whole_library", is_flag=True, help="Every method of the library.")
@click.option("--full", is_flag=True, help="More layer types, and every one in another dtype as well.")
@click.option(
    "--matrix", is_flag=True, help="Only where each spec trains and merges, and why not elsewhere, as markdown."
)
@click.option("--page", is_flag=True, help="The findings as a page of markdown.")
@set_option
@import_option
@json_option
def command(
    specs: tuple[str, ...], whole_library: bool, full: bool, matrix: bool, page: bool, set_texts: tuple[str, ...],
    as_json: bool,
) -> int:  # fmt: skip
    """Test specs: outputs, gradients, merging, saving and facts against the formula as it is written.

    Attaches each spec to small layers of every type with small hyper-parameters. A tick: the property holds; a
    cross: the measured number and its tolerance; a dot: it does not apply. Layers that cannot carry the spec are
    listed with the reason. The exit code is 0 if all held, 1 if something failed, 2 if a spec cannot be read.

    \b
    specdsl conform dora
    specdsl conform my_method.spec "W + A@G@B | orth(A)" --full
    specdsl conform --all --json
    specdsl conform --all --matrix
    """
    if matrix + page + as_json > 1:
        raise SpecSettingError("`--matrix`, `--page` and `--json` are three ways to print: name one")
    read = _read(specs, whole_library, Settings.of(set_texts))
    reports = list(_conformed(read, full, matrix))
    if as_json:
        print_json([report.as_dict() for report in reports])
    elif matrix:
        _print_matrix(reports)
    elif page:
        _print_page(reports, full)
    else:
        from specdsl.cli.conform_table import print_reports

        print_reports(reports)
    return FAILED if any(report.failed for report in reports) else 0


def _print_matrix(reports: Sequence[SpecReport]) -> None:
    from specdsl.runtime.conform.matrix import page

    click.echo(page(reports), nl=False)


def _print_page(reports: Sequence[SpecReport], full: bool) -> None:
    from specdsl.runtime.conform.page import page

    command = "specdsl conform" + (" --full" if full else "")
    click.echo(page([report.as_dict() for report in reports], command, process_time()), nl=False)


def _read(arguments: tuple[str, ...], whole_library: bool, settings: Settings) -> list[Spec]:
    """The specs, all of them read before any is tried."""
    if not arguments and not whole_library:
        raise SpecSettingError("no spec is named", hint="name some, or take the whole library with `--all`")
    if settings.indices:
        name = next(iter(settings.indices))
        raise SpecSettingError(f"`{name}`: places of an index are chosen to fit the small layers")
    named = [spec for argument in arguments for spec in spec_files(argument)]
    return [read_spec(spec, settings) for spec in [*named, *(library_names() if whole_library else ())]]


def _conformed(specs: list[Spec], full: bool, matrix: bool) -> Iterator[SpecReport]:
    from specdsl.runtime.conform.merging import merges_to_the_same_output
    from specdsl.runtime.conform.suite import PROPERTIES, case_count, conform

    properties = (merges_to_the_same_output,) if matrix else PROPERTIES
    with counting(sum(case_count(spec, full) for spec in specs)) as advance:
        for spec in specs:
            yield conform(spec, full, advance, properties)
