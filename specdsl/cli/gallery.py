"""`specdsl gallery`: many specs on one page."""

from __future__ import annotations

from pathlib import Path

import click

from specdsl.cli.import_option import import_option
from specdsl.errors import SpecFileError
from specdsl.printing.counted import counted


@click.command("gallery")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for index.html, README.md and the drawings.",
)
@click.option("--title", default=None, help="The heading of the pages.")
@import_option
def command(folder: Path, output: Path, title: str | None) -> None:
    """Write a page with a card for every spec of a folder.

    A card has the formula, a drawing, the parameters of an n x m module, facts and the source. index.html is for
    browsers and needs nothing from elsewhere; README.md is for repositories.

    \b
    specdsl gallery my_specs -o pages
    """
    from specdsl.gallery.cards import folder_cards
    from specdsl.gallery.write import write_gallery

    cards = folder_cards(_files(folder), folder, output)
    write_gallery(cards, title or folder.resolve().name, output)
    click.echo(f"{counted(len(cards), 'spec')} in {output / 'index.html'}")


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        if folder.exists():
            raise SpecFileError(f"`{folder}` is a file", hint="a gallery is of all .spec files of a folder")
        raise SpecFileError(f"there is no folder `{folder}`")
    files = sorted(path for path in folder.rglob("*.spec") if path.is_file())
    if not files:
        raise SpecFileError(f"there is no .spec file in the folder `{folder}`")
    names = [path.stem for path in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise SpecFileError(f"two files are called `{twice}.spec`", hint="a gallery needs a name for each")
    return files
