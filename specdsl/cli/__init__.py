"""The command line, one sub-command per file; `specdsl --help` lists them."""

from specdsl.cli.root import main

__all__ = ["main"]
