"""Formatting keeps every comment, with the clause it belongs to."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from specdsl.parser import parse_tree
from specdsl.printing.clause_order import in_order
from specdsl.printing.text import spec_text
from tests.spec_strategies import well_typed_specs


@st.composite
def commented_specs(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A spec with comments between, behind and inside its clauses, and the comments."""
    comments: list[str] = []

    def comment() -> str:
        comments.append(f'#{draw(st.sampled_from(["", " "]))}comment {len(comments)}. | " #')
        return comments[-1]

    lines: list[str] = []
    for clause in draw(well_typed_specs()).replace(" | ", "\n").replace("  # a comment", "").split("\n"):
        is_header = clause.startswith(("title:", "note:", "cite:", " "))
        if draw(st.booleans()) and not clause.startswith(" "):
            lines.append(comment())
        if not is_header and " ~ " in clause and draw(st.booleans()):
            before, _, after = clause.partition(" ~ ")
            lines += [f"{before} {comment()}", f"  {comment()}", f"\t~ {after}"]
        else:
            lines.append(clause)
        if not is_header and draw(st.booleans()):
            lines[-1] += comment()
    lines += [comment()] if draw(st.booleans()) else []
    return "\n".join(lines), comments


@settings(derandomize=True, deadline=None, max_examples=60)
@given(commented_specs())
def test_no_comment_is_lost(case: tuple[str, list[str]]) -> None:
    text, comments = case
    formatted = spec_text(parse_tree(text))
    assert parse_tree(formatted) == in_order(parse_tree(text))
    assert [formatted.count(comment) for comment in comments] == [1] * len(comments)
    assert spec_text(parse_tree(formatted)) == formatted


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("W + A@B # why\n", "W + A@B  # why"),
        ("# why\nW + A@B", "# why\nW + A@B"),
        ("W + A@B\n# end", "W + A@B\n# end"),
        ("r = 4 | W + A@B # both", "r = 4 | W + A@B  # both"),
        ("W + A@B # target\nr = 4 # rank", "r = 4  # rank\nW + A@B  # target"),
        ("A : n x r # shape\n  ~ zeros\nW + A@B", "A : n x r ~ zeros  # shape\nW + A@B"),
        ("A : n x r # 1\n  # 2\n  ~ zeros # 3\nW + A@B", "# 1\n# 2\nA : n x r ~ zeros  # 3\nW + A@B"),
        ("title: C # 7\n# own\nb + d", "title: C # 7\n\n# own\nb + d"),
        ('on "a#b" # c\nb + d', 'b + d\non "a#b"  # c'),
        ("# on top\nW + A@B\n# rank\nr = 4", "# on top\n# rank\nr = 4\nW + A@B"),
        ("# on top\n# too\n\n\nW + A@B\ntitle: C", "# on top\n# too\n\ntitle: C\n\nW + A@B"),
        ("# nothing else", "# nothing else"),
    ],
)
def test_comments_stay_where_they_belong(text: str, formatted: str) -> None:
    assert spec_text(parse_tree(text)) == formatted
