"""A spec by its text, so that it can be sent to another process and parsed there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from specdsl.library_specs import library_groups
from specdsl.spec import Spec, parse_text, read_spec_file


@dataclass(frozen=True)
class Method:
    """One method.

    Attributes:
        name: as users name it.
        group: the folder of the library that it is in.
        text: of the spec.
    """

    name: str
    group: str
    text: str

    @property
    def spec(self) -> Spec:
        return _parsed(self.text, self.name)


@cache
def _parsed(text: str, name: str) -> Spec:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return parse_text(text, f"{name}.spec")


def library_methods() -> Iterator[Method]:
    """Every method of the library, by group and name."""
    for group, paths in library_groups():
        for path in sorted(paths):
            yield Method(path.stem, group, read_spec_file(path))
