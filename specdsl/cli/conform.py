"""`specdsl conform`: whether what specdsl makes of a spec is that spec, in every layer type."""

from __future__ import annotations

from collections.abc import Iterator
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
@click.option("--full", is_flag=True, help="Also other dtypes, sizes and batches, and layers without bias.")
@set_option
@import_option
@json_option
def command(
    specs: tuple[str, ...], whole_library: bool, full: bool, set_texts: tuple[str, ...], as_json: bool
) -> int:  # fmt: skip
    """Test specs: outputs, gradients, merging, saving and facts against the formula as it is written.

    Attaches each spec to small layers of every type with small hyper-parameters. A tick: the property holds; a
    cross: the measured number and its tolerance; a dot: it does not apply. Layers that cannot carry the spec are
    listed with the reason. The exit code is 0 if all held, 1 if something failed, 2 if a spec cannot be read.

    \b
    specdsl conform dora
    specdsl conform my_method.spec "W + A@G@B | orth(A)" --full
    specdsl conform --all --json
    """
    read = _read(specs, whole_library, Settings.of(set_texts))
    reports = _reports(read, full)
    if as_json:
        print_json([report.as_dict() for report in reports])
    else:
        from specdsl.cli.conform_table import print_reports

        print_reports(reports)
    return FAILED if any(report.failed for report in reports) else 0


def _read(arguments: tuple[str, ...], whole_library: bool, settings: Settings) -> list[Spec]:
    """The specs, all of them read before any is tried."""
    if not arguments and not whole_library:
        raise SpecSettingError("no spec is named", hint="name some, or take the whole library with `--all`")
    if settings.indices:
        name = next(iter(settings.indices))
        raise SpecSettingError(f"`{name}`: places of an index are chosen to fit the small layers")
    named = [spec for argument in arguments for spec in spec_files(argument)]
    return [read_spec(spec, settings) for spec in [*named, *(library_names() if whole_library else ())]]


def _reports(specs: list[Spec], full: bool) -> list[SpecReport]:
    return list(_conformed(specs, full))


def _conformed(specs: list[Spec], full: bool) -> Iterator[SpecReport]:
    from specdsl.runtime.conform.suite import case_count, conform

    with counting(sum(case_count(spec, full) for spec in specs)) as advance:
        for spec in specs:
            yield conform(spec, full, advance)
