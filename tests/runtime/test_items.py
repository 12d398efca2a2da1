"""An item is a role or a bounded regular expression that matches whole names."""

from __future__ import annotations

import time

import pytest

from specdsl.errors import SpecTargetError
from specdsl.runtime.items import Item, matches
from specdsl.runtime.roles import locate
from specdsl.source import Source, Span
from tests.runtime.tiny_models import bert


def names(text: str) -> list[str]:
    return [row.name for row in matches(Item(text), bert(), locate(bert()))]


def error(item: Item) -> SpecTargetError:
    with pytest.raises(SpecTargetError) as raised:
        matches(item, bert(), locate(bert()))
    return raised.value


def test_a_role_names_its_modules() -> None:
    assert names("mlp.up") == ["encoder.layer.0.intermediate.dense", "encoder.layer.1.intermediate.dense"]


def test_a_group_names_all_its_roles() -> None:
    assert set(names("mlp")) == set(names("mlp.up")) | set(names("mlp.down"))


def test_a_pattern_names_what_it_matches() -> None:
    assert names(r"re:.*\.(query|key)") == [
        f"encoder.layer.{layer}.attention.self.{part}" for layer in (0, 1) for part in ("query", "key")
    ]


def test_a_pattern_may_name_a_container() -> None:
    assert names("re:encoder") == ["encoder"]


def test_a_pattern_never_names_the_model_itself() -> None:
    assert "" not in names("re:.*")


@pytest.mark.parametrize(
    ("pattern", "message", "hint"),
    [
        (
            "query",
            "`re:query` matches the name of no module",
            "it must match a whole name, such as `encoder.layer.0.attention.self.query`",
        ),
        (
            r".*\.querry",
            r"`re:.*\.querry` matches the name of no module",
            "did you mean a name that ends in `query`?",
        ),
        ("zzz", "`re:zzz` matches the name of no module", None),
        ("(", "`re:(` is not a regular expression: missing ) at position 1", None),
        ("*", "`re:*` is not a regular expression: nothing to repeat at position 0", None),
        ("a" * 501, "a regular expression of 501 characters is too long: 500 are allowed", None),
        ("(a{99}){99}", "`re:(a{99}){99}` asks for more than 1000 repeats", None),
        ("a{2,99999999999}", "`re:a{2,99999999999}` asks for more than 1000 repeats", None),
        (
            r"(\w|\w\w|\.)*[!?]",
            r"`re:(\w|\w\w|\.)*[!?]` takes more than a second to match",
            "a repeat inside a repeat is the usual cause",
        ),
    ],
)
def test_a_pattern_that_names_nothing_says_why(pattern: str, message: str, hint: str | None) -> None:
    found = error(Item(f"re:{pattern}"))
    assert (found.message, found.hint) == (message, hint)


def test_no_pattern_takes_long() -> None:
    began = time.monotonic()
    error(Item(r"re:(\w|\w\w|\.)*[!?]"))
    assert time.monotonic() - began < 3


def test_an_error_points_into_the_spec() -> None:
    text = 'W + A@B | on "query"'
    item = Item("re:query", Span(Source(text), text.index('"'), len(text)))
    assert str(error(item)) == (
        '<spec>:1:14: `"query"` matches the name of no module\n'
        '  W + A@B | on "query"\n'
        "               ^^^^^^^\n"
        "  hint: it must match a whole name, such as `encoder.layer.0.attention.self.query`"
    )


def test_an_item_is_written_as_where_it_stands() -> None:
    span = Span(Source("x"), 0, 1)
    assert str(Item("re:a.*")) == "`re:a.*`"
    assert str(Item("re:a.*", span)) == '`"a.*"`'
    assert str(Item("mlp", span)) == "`mlp`"


def test_plain_text_becomes_an_item() -> None:
    assert Item.of("mlp") == Item("mlp")
    assert Item.of(item := Item("mlp")) is item
