"""Text to syntax tree: Lark does the parsing, this file builds the nodes and words the errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from specdsl import limits, tree
from specdsl.errors import SpecLimitError, SpecSyntaxError, nearest
from specdsl.grammar.mistakes import MISTAKES, Mistake
from specdsl.grammar.tables import parser
from specdsl.source import Source, Span

_OPERANDS = {"NAME", "NUMBER", "STRING", "PRIMED"}
_ENDINGS = {"$END", "_SEPARATOR"}
_CLAUSE_END = re.compile(r"\||\n(?![ \t])")
_LOOKALIKES = {
    "·": "*", "×": "x", "−": "-", "–": "-", "—": "-", "’": "'", "′": "'", "⊙": ".*", "∘": ".*", "⊗": "kron",
    "≤": "<=", "≥": ">=", "“": '"', "”": '"', "α": "alpha", "&": "|", ";": "|", "$": "", "!": "",
}  # fmt: skip


@cache
def _lark() -> Lark:
    return parser()


def parse_tree(text: str, name: str = "<spec>") -> tree.SpecTree:
    """The syntax tree of a spec's text.

    Args:
        text: one line or a whole file.
        name: what errors call the text.

    Raises:
        SpecSyntaxError: the text is not in the language; it names the place and what is missing.
        SpecLimitError: the text is longer or deeper than `specdsl.limits` allows.

    >>> [type(clause).__name__ for clause in parse_tree("W + A@B | orth(A)").clauses]
    ['Bare', 'Bare']
    """
    source = Source(text, name)
    _refuse_unreadable(source)
    try:
        parsed = _lark().parse(text)
    except UnexpectedInput as error:
        raise _syntax_error(source, error) from None
    return _Builder(source).build(parsed)


def _refuse_unreadable(source: Source) -> None:
    size = len(source.text.encode("utf-8", "surrogatepass"))
    if size > limits.TEXT_BYTES:
        raise SpecLimitError(f"the text has {size:,} bytes; a spec has at most {limits.TEXT_BYTES:,}")
    for offset, character in enumerate(source.text):
        if not character.isprintable() and character not in "\n\r\t":
            raise SpecSyntaxError(
                f"a control or invisible character (U+{ord(character):04X}) stands here",
                Span(source, offset, offset + 1),
                "delete it",
            )
    nesting = 0
    for offset, character in enumerate(source.text):
        nesting += (character in "([") - (character in ")]")
        if nesting > limits.NESTING:
            raise SpecLimitError(
                f"brackets are nested more than {limits.NESTING} deep", Span(source, offset, offset + 1)
            )


# ---------------------------------------------------------------------------------------------- errors


def _syntax_error(source: Source, error: UnexpectedInput) -> SpecSyntaxError:
    if isinstance(error, UnexpectedCharacters):
        return _bad_character(source, error)
    assert isinstance(error, UnexpectedToken)
    token: Token = error.token
    start = token.start_pos if token.start_pos is not None and token.type != "$END" else len(source.text)
    span = Span(source, start, max(start + len(token), start + 1))
    before = source.text[:start].rstrip(" \t")
    bracket = _unbalanced(source, token, start)
    if bracket is not None:
        return bracket
    if token.type in {"NAME", "NUMBER"} and _is_item_list(source, start):
        wrong = _wrong_item(source, before, span, token)
        if wrong is not None:
            return wrong
    slip = _operator_slip(source, before, start, span)
    if slip is not None:
        return slip
    if token.type in _OPERANDS | {"LPAR", "LSQB"} and _ends_operand(before):
        return _missing_operator(source, before, span, token)
    if token.type in _ENDINGS and before and before[-1] in "+-*/@%^=,<>." and not _is_item_list(source, start):
        at = Span(source, len(before) - 1, len(before))
        if before[-1] != "=" or before[-2:-1] in "<>=!":
            return SpecSyntaxError(f"an operand is missing after `{before[-1]}`", at)
    mistake = _known_mistake(error)
    if mistake is not None:
        in_event = before.endswith(":") and re.search(r"(?:^|[|\n])\s*at\s[^|\n]*$", before) is not None
        hint = "for example `at every(10): e = e .* top(e, 4)`" if in_event else mistake.hint
        return SpecSyntaxError(mistake.message, span, hint)
    if re.match(r"\.t\b", source.text[start:]):
        return SpecSyntaxError("`.t` cannot stand here", span, "a transpose is written `A.T`")
    shown = "the end of the clause" if token.type in _ENDINGS else f"`{token}`"
    return SpecSyntaxError(f"{shown} cannot stand here", span, _expectation(error))


def _bad_character(source: Source, error: UnexpectedCharacters) -> SpecSyntaxError:
    offset = error.pos_in_stream or 0
    character = source.text[offset]
    span = Span(source, offset, offset + 1)
    if character == '"':
        return SpecSyntaxError("a string is never closed", span, 'add the missing `"` on the same line')
    if character == "'":
        return SpecSyntaxError(
            "a prime belongs right after a name", span, "write `W'` for the adapted weight, `A.T` for a transpose"
        )
    if character == "." and source.text[offset : offset + 2] == ".T":
        return SpecSyntaxError("`.T` follows nothing that can be transposed", span)
    if character == "=":
        return SpecSyntaxError("`=` cannot stand here", span, "a clause has one equation; `==` compares sizes")
    replacement = _LOOKALIKES.get(character)
    hint = f"did you mean `{replacement}`?" if replacement else None
    return SpecSyntaxError(f"the character `{character}` is not in the language", span, hint)


def _unbalanced(source: Source, token: Token, stop: int) -> SpecSyntaxError | None:
    """The error for a bracket without its partner, if that is why the parser stopped at `stop`."""
    begin = max((found.end() for found in _CLAUSE_END.finditer(source.text, 0, stop)), default=0)
    opened: list[int] = []
    for place in range(begin, stop):
        if source.text[place] in "([":
            opened.append(place)
        elif source.text[place] in ")]" and opened:
            opened.pop()
    if token.type in _ENDINGS and opened:
        bracket, partner = source.text[opened[-1]], {"(": ")", "[": "]"}[source.text[opened[-1]]]
        here = Span(source, opened[-1], opened[-1] + 1)
        return SpecSyntaxError(f"a bracket `{bracket}` is never closed", here, f"add the missing `{partner}`")
    if token.type in {"RPAR", "RSQB"} and not opened:
        return SpecSyntaxError("a closing bracket has no opening one", Span(source, stop, stop + 1))
    return None


def _is_item_list(source: Source, stop: int) -> bool:
    """Whether the clause before `stop` names targets, in which a comma joins no operands."""
    begin = max((found.end() for found in _CLAUSE_END.finditer(source.text, 0, stop)), default=0)
    return re.match(r"\s*(on|train)\s[^:]*$", source.text[begin:stop]) is not None


def _wrong_item(source: Source, before: str, span: Span, token: Token) -> SpecSyntaxError | None:
    """A word too many where targets are named: a slip for `layers`, a missing comma, a module's name without quotes."""
    dotted = re.search(r"[A-Za-z_][A-Za-z0-9_.]*\.$", before)
    if dotted is not None:
        rest = re.match(r"[A-Za-z0-9_.]*", source.text[span.start :])
        name = Span(source, dotted.start(), span.start + (rest.end() if rest else 0))
        hint = f'a module is named by a pattern in double quotes, as in `"(.*\\.)?{re.escape(name.text)}"`'
        return SpecSyntaxError(f"`{name.text}` is no role", name, hint)
    if not _ends_operand(before):
        return None
    message, last = f"`{token}` cannot stand here", re.split(r"[\s,]", before)[-1]
    slip = nearest(str(token), ("layers", "except")) or (nearest(last, ("layers",)) if token.isdigit() else None)
    if slip is not None:
        return SpecSyntaxError(message, span, f"did you mean `{slip}`?")
    return SpecSyntaxError(message, span, f"{'layers' if last.isdigit() else 'targets'} are separated by commas")


def _ends_operand(before: str) -> bool:
    if not before or before[-1] in "|\n":
        return False
    word = before.split()[-1] if before.split() else ""
    keywords = {"on", "except", "layers", "train", "penalty", "at", "for", "if", "else", "frozen", "index",
                "noise", "input", "shared"}  # fmt: skip
    return (before[-1].isalnum() or before[-1] in "_)]'\"") and word not in keywords


_ATTRIBUTE = re.compile(r"(lr|decay)\s*=|(orthonormal|float32|bfloat16|float16|float64)\b")


def _operator_slip(source: Source, before: str, start: int, span: Span) -> SpecSyntaxError | None:
    """A power of Python's, an attribute without its comma, `layers` without `on`, bars around a matrix."""
    rest = source.text[start:]
    if rest.startswith("*") and before.endswith("*"):
        return SpecSyntaxError("`**` is no operator", span, "`.^` raises every entry to a power, `^` a square matrix")
    if _ATTRIBUTE.match(rest) and _ends_operand(before):
        word = re.split(r"[\s=|,]", rest)[0]
        line = re.split(r"[|\n]", before)[-1]
        join = ", " if "~" in line or ":" in line else " : n x r, "
        return SpecSyntaxError(
            f"a comma is missing before `{word}`", span, f"for example `{before.split()[-1]}{join}{word}`"
        )
    if re.search(r"(?:^|[|\n])\s*layers$", before) and rest[:1].isdigit():
        return SpecSyntaxError(f"`{span.text}` cannot stand here", span, "for example `on attention layers 0..5`")
    bars = re.match(r"\|\s*([A-Z]\w*)\s*\|", rest)
    if bars and before.endswith(("*", "+", "-")):
        hint = f"`norm({bars[1]})` is the length, `abs({bars[1]})` goes entry by entry"
        return SpecSyntaxError("`|` separates clauses and makes no bars", span, hint)
    return None


def _missing_operator(source: Source, before: str, span: Span, token: Token) -> SpecSyntaxError:
    start = len(before)
    while start > 0 and (before[start - 1].isalnum() or before[start - 1] in "_'"):
        start -= 1
    number = re.search(r"[0-9]+\.[0-9]+$", before)
    start = number.start() if number is not None else start
    left = before[start:] or before[-1]
    choice = f"`{left}*{token}`" if left[0].isdigit() else f"`{left}@{token}` or `{left}*{token}`"
    hint = f"did you mean {choice}?" if token.type == "NAME" else None
    return SpecSyntaxError(f"an operator is missing between `{left}` and `{token}`", span, hint)


def _known_mistake(error: UnexpectedToken) -> Mistake | None:
    examples = {index: list(mistake.examples) for index, mistake in enumerate(MISTAKES)}
    found = error.match_examples(_lark().parse, examples)
    return None if found is None else MISTAKES[int(found)]


def _expectation(error: UnexpectedToken) -> str | None:
    words = {
        "EQUAL": "`=`", "COLON": "`:`", "TILDE": "`~`", "COMMA": "`,`", "RPAR": "`)`", "RSQB": "`]`", "ELSE": "`else`",
        "NAME": "a name", "NUMBER": "a number",
    }  # fmt: skip
    expected = [words[name] for name in words if name in (error.accepts or error.expected)]
    return f"here can stand {' or '.join(expected[:4])}" if expected else None


# ---------------------------------------------------------------------------------------------- nodes


class _Builder:
    """Builds nodes bottom-up over Lark's tree, without recursion, so that no text exhausts the stack."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.built: dict[int, Any] = {}
        self.depth: dict[int, int] = {}
        self.count = 0

    def build(self, root: Tree[Token]) -> tree.SpecTree:
        for branch in root.iter_subtrees():
            parts = [self._part(child) for child in branch.children]
            node = self._node(branch, parts)
            self._bound(branch, node)
            self.built[id(branch)] = node
        result = self.built[id(root)]
        assert isinstance(result, tree.SpecTree)
        return result

    def _part(self, child: Any) -> Any:
        return self.built[id(child)] if isinstance(child, Tree) else child

    def _bound(self, branch: Tree[Token], node: Any) -> None:
        self.count += 1
        if self.count > limits.NODES:
            raise SpecLimitError(f"the spec has more than {limits.NODES:,} parts", self._span(branch))
        flat = isinstance(node, tree.Sum | tree.Product)
        deepest = 0
        for position, child in enumerate(branch.children):
            if isinstance(child, Tree):
                same_chain = flat and position == 0 and type(self.built[id(child)]) is type(node)
                deepest = max(deepest, self.depth[id(child)] + (0 if same_chain else 1))
        self.depth[id(branch)] = deepest
        if deepest > 2 * limits.NESTING:
            raise SpecLimitError(f"the expression is nested more than {limits.NESTING} deep", self._span(branch))

    def _span(self, branch: Tree[Token]) -> Span:
        meta = branch.meta
        if meta.empty:
            return Span(self.source, 0, 0)
        return Span(self.source, meta.start_pos, meta.end_pos)

    def _node(self, branch: Tree[Token], parts: list[Any]) -> Any:
        build: Callable[..., Any] = getattr(self, f"_{branch.data}")
        return build(self._span(branch), *parts)

    # clauses

    def _start(self, span: Span, *clauses: Any) -> tree.SpecTree:
        whole = Span(self.source, 0, len(self.source.text))
        return tree.SpecTree(whole, tuple(clause for clause in clauses if clause is not None))

    def _header(self, span: Span, token: Token) -> tree.Header:
        key, _, rest = str(token).partition(":")
        return tree.Header(span, key, " ".join(rest.split()))

    def _on(self, span: Span, items: Any, excluded: Any, *layers: Any) -> tree.On:
        spans = tuple(layer for layer in layers if layer is not None)
        return tree.On(span, items, excluded or (), spans)

    def _on_clause(self, span: Span, items: Any, clause: Any) -> tree.OnClause:
        return tree.OnClause(span, items, clause)

    def _train(self, span: Span, items: Any) -> tree.Train:
        return tree.Train(span, items)

    def _at_clause(self, span: Span, event: Any, clause: Any) -> tree.At:
        return tree.At(span, event, clause)

    def _penalty(self, span: Span, value: Any) -> tree.Penalty:
        return tree.Penalty(span, value)

    def _bare(self, span: Span, values: Any) -> tree.Bare:
        return tree.Bare(span, values)

    def _equation(self, span: Span, left: Any, right: Any) -> tree.Equation:
        return tree.Equation(span, left, right)

    def _factor(self, span: Span, names: Any, shape: Any, start: Any, attributes: Any) -> tree.FactorLine:
        sizes, each = shape
        return tree.FactorLine(span, names, (), sizes, each, start, attributes)

    def _factor_start(self, span: Span, names: Any, start: Any, attributes: Any) -> tree.FactorLine:
        return tree.FactorLine(span, names, (), None, None, start, attributes)

    def _factor_kind(self, span: Span, *parts: Any) -> tree.FactorLine:
        kinds = tuple(part for part in parts if isinstance(part, tree.Kind))
        names, *rest = parts[len(kinds) :]
        if not rest:
            return tree.FactorLine(span, names, kinds)
        *before, attributes = rest
        shape = before[0] if before else None
        start = before[1] if len(before) > 1 else None
        sizes, each = shape if shape is not None else (None, None)
        return tree.FactorLine(span, names, kinds, sizes, each, start, attributes)

    def _exprs(self, span: Span, *values: Any) -> tuple[Any, ...]:
        return values

    def _names(self, span: Span, *tokens: Token) -> tuple[tree.Name, ...]:
        return tuple(
            tree.Name(Span(self.source, token.start_pos or 0, token.end_pos or 0), str(token)) for token in tokens
        )

    def _frozen(self, span: Span) -> tree.Kind:
        return tree.Kind(span, "frozen")

    def _index(self, span: Span) -> tree.Kind:
        return tree.Kind(span, "index")

    def _noise(self, span: Span) -> tree.Kind:
        return tree.Kind(span, "noise")

    def _input(self, span: Span) -> tree.Kind:
        return tree.Kind(span, "input")

    def _shared(self, span: Span, *keys: Any) -> tree.Kind:
        return tree.Kind(span, "shared", tuple(key for key in keys if key is not None))

    def _shape(self, span: Span, *parts: Any) -> tuple[tuple[Any, ...], tree.Each | None]:
        sizes = tuple(part for part in parts if part is not None and not isinstance(part, tree.Each))
        each = next((part for part in parts if isinstance(part, tree.Each)), None)
        return sizes, each

    def _attributes(self, span: Span, *attributes: Any) -> tuple[tree.Attribute, ...]:
        return attributes

    def _attribute(self, span: Span, name: Token, value: Any) -> tree.Attribute:
        return tree.Attribute(span, str(name), value)

    def _items(self, span: Span, *items: Any) -> tuple[tree.Item, ...]:
        return items

    def _item(self, span: Span, *tokens: Token) -> tree.Item:
        if tokens[0].type == "STRING":
            return tree.Item(span, str(tokens[0])[1:-1], True)
        return tree.Item(span, ".".join(tokens), False)

    def _layer_span(self, span: Span, first: Token, last: Token | None) -> tuple[int, int]:
        numbers = []
        for token in (first, last or first):
            if not token.isdigit() or len(token) > 4:
                raise SpecSyntaxError(f"`{token}` is not a layer's number", span, "layers are counted 0, 1, 2, ...")
            numbers.append(int(token))
        if numbers[1] < numbers[0]:
            raise SpecSyntaxError(f"the layers {first}..{last} run backwards", span)
        return numbers[0], numbers[1]

    def _event(self, span: Span, name: Token, arguments: Any) -> tree.Event:
        if isinstance(arguments, tree.Stack) or any(isinstance(value, tuple) for value in arguments or ()):
            raise SpecSyntaxError(f"the event `{name}` takes plain numbers", span, f"as in `at {name}(10): ...`")
        return tree.Event(span, str(name), tuple(arguments or ()))

    # expressions

    def _choose(self, span: Span, yes: Any, condition: Any, no: Any) -> tree.Choose:
        return tree.Choose(span, yes, condition, no)

    def _compare(self, span: Span, left: Any, operator: Token, right: Any) -> tree.Compare:
        return tree.Compare(span, left, str(operator), right)

    def _add(self, span: Span, left: Any, right: Any) -> tree.Sum:
        return self._sum(span, left, "+", right)

    def _subtract(self, span: Span, left: Any, right: Any) -> tree.Sum:
        return self._sum(span, left, "-", right)

    def _sum(self, span: Span, left: Any, sign: str, right: Any) -> tree.Sum:
        if isinstance(left, tree.Sum):
            return tree.Sum(span, (*left.terms, right), (*left.signs, sign))
        return tree.Sum(span, (left, right), (sign,))

    def _product(self, span: Span, left: Any, operator: Token, right: Any) -> tree.Product:
        if isinstance(left, tree.Product):
            return tree.Product(span, (*left.operands, right), (*left.operators, str(operator)))
        return tree.Product(span, (left, right), (str(operator),))

    def _negative(self, span: Span, body: Any) -> tree.Negative:
        return tree.Negative(span, body)

    def _power(self, span: Span, base: Any, operator: Token, exponent: Any) -> tree.Power:
        return tree.Power(span, base, str(operator), exponent)

    def _transpose(self, span: Span, body: Any) -> tree.Transpose:
        return tree.Transpose(span, body)

    def _subscript(self, span: Span, body: Any, *items: Any) -> tree.Subscript:
        return tree.Subscript(span, body, items)

    def _range(self, span: Span, start: Any, stop: Any, step: Any) -> tree.Range:
        return tree.Range(span, start, stop, step)

    def _number(self, span: Span, token: Token) -> tree.Number:
        digits, _, exponent = token.lower().partition("e")
        if len(digits) > limits.DIGITS or (exponent and abs(int(exponent)) > limits.DIGITS):
            raise SpecLimitError(f"a number has at most {limits.DIGITS} digits", span)
        return tree.Number(span, Fraction(str(token)), str(token))

    def _string(self, span: Span, token: Token) -> tree.Text:
        return tree.Text(span, str(token)[1:-1])

    def _name(self, span: Span, token: Token) -> tree.Name:
        return tree.Name(span, str(token))

    def _primed(self, span: Span, token: Token) -> tree.Primed:
        return tree.Primed(span, str(token)[:-1])

    def _group(self, span: Span, body: Any) -> tree.Group:
        return tree.Group(span, body)

    def _call(self, span: Span, name: Token, arguments: Any) -> tree.Call:
        if isinstance(arguments, tree.Stack):
            return tree.Call(span, str(name), (arguments.body,), (), arguments.eaches)
        given: tuple[Any, ...] = arguments or ()
        keywords = tuple(argument for argument in given if isinstance(argument, tuple))
        plain = tuple(argument for argument in given if not isinstance(argument, tuple))
        if keywords and plain and given[-1] is plain[-1]:
            raise SpecSyntaxError(f"`{name}`: an argument without a name follows `{keywords[-1][0]}=`", span)
        return tree.Call(span, str(name), plain, keywords)

    def _arguments(self, span: Span, *arguments: Any) -> tuple[Any, ...]:
        return arguments

    def _keyword(self, span: Span, name: Token, value: Any) -> tuple[str, Any]:
        return str(name), value

    def _fold(self, span: Span, body: Any, *eaches: Any) -> tree.Stack:
        return tree.Stack(span, body, eaches)

    _stack = _fold

    def _block(self, span: Span, *rows: Any) -> tree.Block:
        return tree.Block(span, rows)

    def _row(self, span: Span, *entries: Any) -> tuple[Any, ...]:
        return entries

    def _each(self, span: Span, name: Token, count: Any) -> tree.Each:
        return tree.Each(span, str(name), count)
