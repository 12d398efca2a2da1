"""The options of `train` and `eval`: one for every field of `TrainSettings`, with its name, type and description."""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import click

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from specdsl.runtime.settings import TrainSettings

F = TypeVar("F", bound=Callable[..., Any])


def settings_options(only: Collection[str] | None = None) -> Callable[[F], F]:
    """Add an option for every field of `TrainSettings`, or only for some; all default to None, "not given"."""
    from specdsl.runtime.settings import TrainSettings

    fields = {name: field for name, field in TrainSettings.model_fields.items() if only is None or name in only}

    def add(command: F) -> F:
        for name, field in reversed(fields.items()):
            command = _option(name, field)(command)
        return command

    return add


def settings_of(config: Path | None, given: dict[str, Any]) -> TrainSettings:
    """The settings of a file with those options over it that are given.

    Raises:
        SpecFileError: the file cannot be read.
        SpecSettingError: a name is unknown or a value impossible.
    """
    from specdsl.runtime.settings import TrainSettings

    values = {name: _listed(value) if name == "text_columns" else value for name, value in given.items()}
    return TrainSettings.of(values) if config is None else TrainSettings.from_file(config, **values)


def _option(name: str, field: FieldInfo) -> Callable[[F], F]:
    flag = f"--{name.replace('_', '-')}"
    kind = _plain_type(field.annotation)
    text = _sentence(field)
    if field.default is True:  # on already, so that there is only one thing to say
        return click.option(f"--no-{flag.removeprefix('--')}", name, flag_value=False, default=None, help=text)
    if kind is bool:
        return click.option(f"{flag}/--no-{flag.removeprefix('--')}", name, default=None, help=text)
    if get_origin(kind) is Literal:
        return click.option(flag, name, type=click.Choice(get_args(kind)), help=text)
    if kind in (int, float):
        return click.option(flag, name, type=kind, help=text)
    metavar = "A,B" if get_origin(kind) is tuple else "TEXT"
    return click.option(flag, name, metavar=metavar, help=text)


def _plain_type(annotation: Any) -> Any:
    """`int` of `Annotated[int, ...] | None`."""
    if get_origin(annotation) is Annotated:
        return _plain_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _plain_type(next(part for part in get_args(annotation) if part is not NoneType))
    return annotation


def _sentence(field: FieldInfo) -> str:
    text = field.description or ""
    default = "" if field.default is None or isinstance(field.default, bool) else f"  [default: {field.default}]"
    return f"{text[0].upper()}{text[1:]}.{default}"


def _listed(value: str | None) -> tuple[str, ...] | None:
    return None if value is None else tuple(part.strip() for part in value.split(","))
