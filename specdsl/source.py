"""A spec's text and places in it, so that every error can point at what was written."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field


@dataclass(frozen=True, eq=False)
class Source:
    """The text of one spec.

    Attributes:
        text: the whole text.
        name: what errors call it: the path of a file, or `<spec>` for a line typed somewhere.
    """

    text: str
    name: str = "<spec>"
    _starts: list[int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        starts = [0] + [i + 1 for i, character in enumerate(self.text) if character == "\n"]
        object.__setattr__(self, "_starts", starts)

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of a character, both from 1."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line_text(self, line: int) -> str:
        start = self._starts[line - 1]
        end = self._starts[line] - 1 if line < len(self._starts) else len(self.text)
        return self.text[start:end].rstrip("\r")


@dataclass(frozen=True, eq=False)
class Span:
    """A stretch of a source, from `start` up to but without `end` (character offsets)."""

    source: Source
    start: int
    end: int

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    @property
    def location(self) -> str:
        return f"{self.source.name}:{self.line}:{self.column}"

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    def to(self, other: Span) -> Span:
        """The span from the beginning of this one to the end of `other`."""
        return Span(self.source, self.start, max(self.end, other.end))

    def excerpt(self, width: int = 100) -> list[str]:
        """The line of the span and carets under it, cut to `width` around the span.

        >>> Span(Source("W + alhpa * A@B"), 4, 9).excerpt()
        ['  W + alhpa * A@B', '      ^^^^^']
        """
        line, column = self.source.position(self.start)
        text = "".join(c if c.isprintable() else " " for c in self.source.line_text(line))
        if not text.strip():
            return []
        first = column - 1
        last = min(max(first + self.end - self.start, first + 1), max(len(text), first + 1))
        if len(text) > width:
            left = max(0, min(first - width // 3, len(text) - width))
            text = text[left : left + width]
            first, last = first - left, min(last - left, width)
        return [f"  {text}", f"  {' ' * first}{'^' * max(1, last - first)}"]
