"""Everything a user can get wrong, as exceptions.

::

    SpecError                       any mistake of the user's; `except specdsl.SpecError` is enough
    ├── SpecSyntaxError             the text is not in the language
    │   └── SpecLimitError          the text is larger or deeper than the language allows
    ├── SpecNameError               a name is unknown, unused, or assigned twice
    ├── SpecShapeError              sizes do not fit, or a size cannot be found
    ├── SpecStartError              the adapted module would not start where it should, or a factor never trains
    ├── SpecNotBuiltError           understood, but this version cannot do it
    ├── SpecTargetError             `on` or `train` matches nothing, or a module cannot carry the spec
    ├── SpecSettingError            a hyper-parameter or option is unknown or has an impossible value
    ├── SpecOperatorError           an operator registered from Python is malformed, or its function fails
    ├── SpecMergeError              the update is no weight, or merging would damage the model
    ├── SpecCheckpointError         a saved adapter and the model do not belong together
    ├── SpecDataError               the data do not fit the task
    ├── SpecFileError               a file, name or folder cannot be read or written
    └── SpecErrors                  several independent mistakes of one spec, reported together

An error is raised short where the rule lives; `render` adds the place and the excerpt from the
`Source` that the span points into.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Iterable, Sequence

from specdsl.source import Span

LONGEST_NAME = 60


class SpecError(Exception):
    """A mistake in a spec, or in how it is used.

    Attributes:
        message: what is wrong, in the user's own names and sizes, without a final full stop.
        span: the place in the spec's text, where there is one.
        hint: one suggestion, or None.
        value: the node whose value fails, for errors of numbers; who knows the text can say where it is written.
    """

    def __init__(self, message: str, span: Span | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.span = span
        self.hint = hint
        self.value: Hashable = None

    @property
    def path(self) -> str | None:
        """The file (or `<spec>` for a line of text) that the error points into."""
        return self.span.source.name if self.span else None

    @property
    def line(self) -> int | None:
        return self.span.line if self.span else None

    @property
    def column(self) -> int | None:
        return self.span.column if self.span else None

    def render(self) -> str:
        """The error as it is shown: `file:line:col: message`, the excerpt with a caret, the hint."""
        message = _shortened(self.message) if self.span else self.message
        lines = [f"{self.span.location}: {message}" if self.span else message]
        if self.span:
            lines += self.span.excerpt()
        if self.hint:
            lines.append(f"  hint: {_shortened(self.hint) if self.span else self.hint}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """The error as the command line's `--json` prints it."""
        return {
            "error": _shortened(self.message) if self.span else self.message,
            "kind": type(self).__name__,
            "path": self.path,
            "line": self.line,
            "column": self.column,
            "hint": _shortened(self.hint) if self.hint and self.span else self.hint,
        }

    def __str__(self) -> str:
        return self.render()


def _shortened(text: str) -> str:
    """Names of a spec are cut after `LONGEST_NAME` characters, so that what is wrong stays readable."""
    return re.sub(rf"\w{{{LONGEST_NAME + 1},}}", lambda name: f"{name.group()[: LONGEST_NAME - 1]}…", text)


class SpecSyntaxError(SpecError):
    """The text is not in the language."""


class SpecLimitError(SpecSyntaxError):
    """The text is larger, deeper or asks for more than `specdsl.limits` allows."""


class SpecNameError(SpecError):
    """A name is unknown, unused, or assigned twice."""


class SpecShapeError(SpecError):
    """Sizes do not fit, or a size cannot be found."""


class SpecStartError(SpecError):
    """The adapted module would not start where it should, or a factor would never train."""


class SpecNotBuiltError(SpecError):
    """The clause belongs to the language, but this version cannot carry it out."""


class SpecTargetError(SpecError):
    """`on` or `train` matches nothing, or a module cannot carry the spec."""


class SpecSettingError(SpecError):
    """A hyper-parameter or an option is unknown or has an impossible value."""


class SpecOperatorError(SpecError):
    """An operator registered from Python is malformed, or its function fails or gives a wrong shape."""


class SpecMergeError(SpecError):
    """The update is not a weight, or merging it would damage the model."""


class SpecCheckpointError(SpecError):
    """A saved adapter and the model do not belong together."""


class SpecDataError(SpecError):
    """The data do not fit the task."""


class SpecFileError(SpecError):
    """A file, a library name or a folder cannot be read or written."""


class SpecErrors(SpecError):
    """Several independent mistakes, in the order of the text."""

    def __init__(self, errors: Sequence[SpecError]) -> None:
        first = errors[0]
        super().__init__(first.message, first.span, first.hint)
        self.errors = tuple(errors)

    def render(self) -> str:
        return "\n".join(error.render() for error in self.errors)

    def as_dict(self) -> dict[str, object]:
        return super().as_dict() | {"errors": [error.as_dict() for error in self.errors]}


class SpecWarning(UserWarning):
    """Something legal that is probably not what was meant."""


def raise_all(errors: Sequence[SpecError]) -> None:
    """Raise `errors`: nothing if there are none, the error itself if there is one, else all together."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise SpecErrors(errors)


def nearest(name: str, known: Iterable[str], cutoff: float = 0.7) -> str | None:
    """The known name that `name` is probably a slip for.

    >>> nearest("alhpa", ["alpha", "r"])
    'alpha'
    >>> nearest("lroa", ["rosa", "lora"])
    'lora'
    """
    candidates = list(known)
    lowered = {candidate.lower(): candidate for candidate in reversed(candidates)}
    close = difflib.get_close_matches(name.lower(), lowered, n=5, cutoff=cutoff)
    swapped = [one for one in close if sorted(one) == sorted(name.lower())]
    return lowered[(swapped or close)[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The hint for an unknown name, or None where nothing is near."""
    near = nearest(name, known)
    return f"did you mean `{near}`?" if near else None
