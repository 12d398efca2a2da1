"""Generated specs: `spec_trees` are any in the language, `well_typed_specs` pass every check.

`meaning` is what two IRs share when they say the same: everything but places, reasons and texts.
"""

from __future__ import annotations

import re
import string
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from specdsl import tree
from specdsl.ir import SpecIR
from specdsl.source import Source, Span

NOWHERE = Span(Source(""), 0, 0)
KEYWORDS = frozenset({
    "on", "except", "layers", "train", "penalty", "at", "frozen", "index", "noise", "input", "shared", "for", "if",
    "else",
})  # fmt: skip

# ------------------------------------------------------------------------------------------------ syntax

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,6}", fullmatch=True).filter(lambda name: name not in KEYWORDS)
words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)
strings = st.text(string.ascii_letters + " |#.*:()[]+-=\\", max_size=12)
numbers = st.from_regex(r"[0-9]{1,4}(\.[0-9]{1,3})?(e[+-]?[0-9])?", fullmatch=True).map(
    lambda text: tree.Number(NOWHERE, Fraction(text), text)
)
variables = names.map(lambda name: tree.Name(NOWHERE, name))


def _bracketed(node: tree.Expr, *looser: type[tree.Syntax]) -> tree.Expr:
    """`node` as the parser would see it where nodes of the classes `looser` need brackets."""
    return tree.Group(NOWHERE, node) if isinstance(node, looser) else node


_CHOICE = (tree.Choose,)
_TEST = (*_CHOICE, tree.Compare)
_SUM = (*_TEST, tree.Sum)
_PRODUCT = (*_SUM, tree.Product)
_UNARY = (*_PRODUCT, tree.Negative, tree.Power)


@st.composite
def sums(draw: st.DrawFn, parts: st.SearchStrategy[tree.Expr]) -> tree.Sum:
    terms = [_bracketed(term, *_SUM) for term in draw(st.lists(parts, min_size=2, max_size=4))]
    signs = draw(st.lists(st.sampled_from("+-"), min_size=len(terms) - 1, max_size=len(terms) - 1))
    return tree.Sum(NOWHERE, tuple(terms), tuple(signs))


@st.composite
def products(draw: st.DrawFn, parts: st.SearchStrategy[tree.Expr]) -> tree.Product:
    operands = [_bracketed(operand, *_PRODUCT) for operand in draw(st.lists(parts, min_size=2, max_size=4))]
    sign = st.sampled_from(["@", "*", ".*", "./", "/", "//", "%"])
    signs = draw(st.lists(sign, min_size=len(operands) - 1, max_size=len(operands) - 1))
    return tree.Product(NOWHERE, tuple(operands), tuple(signs))


def _eaches(parts: st.SearchStrategy[tree.Expr]) -> st.SearchStrategy[tuple[tree.Each, ...]]:
    each = st.builds(tree.Each, st.just(NOWHERE), names, parts)
    return st.lists(each, min_size=1, max_size=2).map(tuple)


def _subscripts(parts: st.SearchStrategy[tree.Expr]) -> st.SearchStrategy[tree.Subscript]:
    bound = st.none() | parts
    item = parts | st.builds(tree.Range, st.just(NOWHERE), bound, bound, bound)
    body = parts.map(lambda node: _bracketed(node, *_UNARY))
    return st.builds(tree.Subscript, st.just(NOWHERE), body, st.lists(item, min_size=1, max_size=3).map(tuple))


def _calls(parts: st.SearchStrategy[tree.Expr]) -> st.SearchStrategy[tree.Call]:
    arguments = st.lists(parts, max_size=3).map(tuple)
    keywords = st.lists(st.tuples(names, parts), max_size=2).map(tuple)
    plain = st.builds(tree.Call, st.just(NOWHERE), names, arguments, keywords)
    return plain | st.builds(tree.Call, st.just(NOWHERE), names, st.tuples(parts), st.just(()), _eaches(parts))


def _larger(parts: st.SearchStrategy[tree.Expr]) -> st.SearchStrategy[tree.Expr]:
    here = st.just(NOWHERE)
    postfix = parts.map(lambda node: _bracketed(node, *_UNARY))
    unary = parts.map(lambda node: _bracketed(node, *_PRODUCT))
    test = parts.map(lambda node: _bracketed(node, *_CHOICE))
    side = parts.map(lambda node: _bracketed(node, *_TEST))
    return st.one_of(
        sums(parts),
        products(parts),
        st.builds(tree.Negative, here, unary),
        st.builds(tree.Power, here, postfix, st.sampled_from(["^", ".^"]), unary),
        st.builds(tree.Transpose, here, postfix),
        _subscripts(parts),
        _calls(parts),
        st.builds(tree.Block, here, st.lists(st.lists(parts, min_size=1, max_size=2).map(tuple), min_size=1,
                                             max_size=2).map(tuple)),
        st.builds(tree.Stack, here, parts, _eaches(parts)),
        st.builds(tree.Compare, here, side, st.sampled_from(["<", ">", "<=", ">=", "==", "!="]), side),
        st.builds(tree.Choose, here, test, test, parts),
        st.builds(tree.Group, here, parts),
    )  # fmt: skip


expressions: st.SearchStrategy[tree.Expr] = st.recursive(
    variables | numbers | st.builds(tree.Primed, st.just(NOWHERE), names)
    | st.builds(tree.Text, st.just(NOWHERE), strings),
    _larger, max_leaves=12,
)  # fmt: skip
_several = st.lists(expressions, min_size=1, max_size=3).map(tuple)
_items = st.lists(
    st.builds(tree.Item, st.just(NOWHERE), strings, st.just(True))
    | st.builds(tree.Item, st.just(NOWHERE), st.lists(names, min_size=1, max_size=3).map(".".join), st.just(False)),
    min_size=1, max_size=3,
).map(tuple)  # fmt: skip


@st.composite
def headers(draw: st.DrawFn) -> tree.Header:
    key = draw(st.sampled_from(["title", "cite", "note", "starts"]))
    return tree.Header(NOWHERE, key, " ".join(draw(st.lists(words, max_size=20))))


@st.composite
def factor_lines(draw: st.DrawFn) -> tree.FactorLine:
    plain = st.sampled_from(["frozen", "index", "noise", "input", "shared"]).map(lambda w: tree.Kind(NOWHERE, w))
    shared = st.builds(tree.Kind, st.just(NOWHERE), st.just("shared"), _several)
    kinds = tuple(draw(st.lists(plain | shared, max_size=2)))
    size = expressions.map(lambda node: _bracketed(node, *_TEST))
    shape = draw(st.none() | st.lists(size, min_size=1, max_size=4).map(tuple))
    each = draw(st.none() | st.builds(tree.Each, st.just(NOWHERE), names, expressions)) if shape else None
    start = draw(expressions if not kinds and shape is None else st.none() | expressions)
    attribute = st.builds(tree.Attribute, st.just(NOWHERE), names, st.none() | expressions)
    attributes = draw(st.lists(attribute, max_size=2)) if shape is not None or start is not None else []
    named = draw(st.lists(variables, min_size=1, max_size=3).map(tuple) if kinds else _several)
    return tree.FactorLine(NOWHERE, named, kinds, shape, each, start, tuple(attributes))


@st.composite
def placements(draw: st.DrawFn) -> tree.On:
    layers = st.tuples(st.integers(0, 99), st.integers(0, 99)).map(lambda span: (min(span), max(span)))
    excluded = draw(st.just(()) | _items)
    return tree.On(NOWHERE, draw(_items), excluded, tuple(draw(st.lists(layers, max_size=3))))


_here = st.just(NOWHERE)
sentences: st.SearchStrategy[Any] = st.one_of(
    st.builds(tree.Penalty, _here, expressions),
    st.builds(tree.Bare, _here, _several),
    st.builds(tree.Equation, _here, _several, _several),
    factor_lines(),
)  # fmt: skip
clauses: st.SearchStrategy[Any] = st.one_of(
    sentences,
    headers(),
    placements(),
    st.builds(tree.Train, _here, _items),
    st.builds(tree.OnClause, _here, _items, sentences),
    st.builds(tree.At, _here, st.builds(tree.Event, _here, names, st.just(()) | _several), sentences),
)  # fmt: skip


def spec_trees() -> st.SearchStrategy[tree.SpecTree]:
    """Any tree that the parser could have made; most of them mean nothing."""
    return st.lists(clauses, max_size=6).map(lambda found: tree.SpecTree(NOWHERE, tuple(found)))


# ------------------------------------------------------------------------------------ specs that check

_SCALE = "s = alpha/r"
ADDED = (
    ("{A}@{B}", ()),
    ("s * {A}@{B}", (_SCALE,)),
    ("alpha/sqrt(r) * {A}*{B}", ()),
    ("{A}@{B}@{C}", ("{B} : r x r",)),
    ("{A}@diag({v})@{B}@diag({u})", ("{v} ~ 0.1",)),
    ("W .* ({A}@{B})", ()),
    ("({A}@{B}) .* ({C}@{D})", ()),
    ("{A}@lower({B})@{C}", ("{B} : r x r",)),
    ("kron({A}, {B})", ("{A} : near_root(n) x near_root(m)",)),
    ("outer({v}, {u})", ()),
    ("tile({A}, n)", ("{A} : r x m",)),
    ("{A}[:n, :]@{B}", ("frozen shared {A} : max(layers(n)) x r ~ kaiming(seed=0)",)),
    ("alpha*{A}*{B}/r", ()),
    ("{A}.T*{B}", ("{A} : r x n",)),
    ("{A}*diag({v})*{B}*diag({u})", ("{v} ~ 0.1",)),
    ("sum({A}[i]*{B}[i] for i < 3)", ("{A} : 3 x n x r", "{B} : 3 x r x m")),
    ("blockdiag({C})*{A}*{B}", ("{C} : 2 x n/2 x n/2 ~ normal(1)",)),
    ("[{A}@{B}, {C}*{D}]", ("{B} : r x m/2 ~ zeros", "{D} : r x m/2 ~ zeros")),
    ("rearrange({A}, \"a b c -> a (b c)\")", ("{A} : n x 2 x m/2 ~ zeros",)),
    ("times{A}({A}, {B})", ("times{A}(X, Y) = alpha/r * X*Y",)),
    ("{A}@{B}", ("{A} ~ orthogonal, orthonormal", "{B} ~ zeros, lr = 2*8, decay = 0")),
    ("scatter({v}, I{v}, n, m)", ("index I{v} : 5 ~ choice(n*m, seed=layer)", "{v} : 5 ~ zeros")),
    ("s * ({A}@{B} - init({A}@{B}))", (
        _SCALE, "U, S, V = svd(W)", "{A} ~ U[:, :r]@diag(sqrt(S[:r]/s))", "{B} ~ diag(sqrt(S[:r]/s))@V[:r, :]",
    )),
)  # fmt: skip
AROUND = ("W", "diag({v})@W", "W@diag({v})", "W .* {v}", "W@{C}", "cayley(skew({C}))@W", "W .* (1 + {C}@{D})")
OUTPUTS = (
    ("y + relu(x@{A})@{B}", ()),
    ("y + s * x@{A}@{B}", (_SCALE,)),
    ("y .* {v}", ()),
    ("y + silu(y@{A} + {v})@{B} + {u}", ()),
    ("y + (x*{A} .* {u})*{B}", ("noise {u} : tokens x r ~ normal(1)", "{A} : n x r")),
    ("y + diag({u})*x*{A}*{B}", ("input {u} : tokens ~ 1",)),
    ("y + attend(x*{A})*{B}", ("attend(Z) = softmax(Z*Z.T / sqrt(r)) * Z",)),
)
PENALTIES = (
    "orth({0})", "penalty 0.1 * norm({0})^2", "penalty sum(abs({0}))", "sum(abs({0}.T*{0}))",
    "penalty 2*norm({0}*{0}.T)^2", "mean(layers([norm({0}), norm({0}.T*{0})]))",
)  # fmt: skip
EVENTS = (
    "at every(10): {0} = {0} .* 0.5", "at step: {0} = 2*{0}", "at round: {0} = mean(workers({0}))",
    "at backward: grad({0}) = grad({0}) .* 0.5", "at step: {0} = {0}*eye",
)  # fmt: skip
LIMITS = ("", "", "", "on attention: ", "on attention.query, mlp: ")
NUMBERS = ("", "r = 4", "r = 2*2")
PLACES = ("", "on attention", "on attention.query, mlp except mlp.gate layers 0..3, 7", 'on "encoder.*dense"')
_READS_RANK = re.compile(r"\br\b|[A-Dv]\d+\)*[@*][A-D]")
"""A size r, or a product of two factors, whose inner size is r."""
HEADS = ("", "title: A method # 1", "note: about\n  it", "cite: arXiv:0000.00000")


@st.composite
def _parts(draw: st.DrawFn) -> list[tuple[str, tuple[str, ...]]]:
    """The terms of a target, each with the clauses it needs."""
    if not draw(st.integers(0, 3)):
        return [draw(st.sampled_from(OUTPUTS))]
    terms = draw(st.lists(st.sampled_from(ADDED), min_size=1, max_size=3))
    starts_from_base = any("svd" in line for _, lines in terms for line in lines)
    return [("W" if starts_from_base else draw(st.sampled_from(AROUND)), ()), *terms]


@st.composite
def well_typed_specs(draw: st.DrawFn) -> str:
    """The text of a spec that checks, its clauses in any order, on one line or several."""
    terms: list[str] = []
    clauses: list[str] = []
    free: list[str] = []  # matrices that are trained and start at their default
    for number, (pattern, lines) in enumerate(draw(_parts())):
        names = {letter: f"{letter}{number}" for letter in "ABCDuv"}
        terms.append(pattern.format(**names))
        clauses += [line.format(**names) for line in lines]
        started = "".join(line.partition("~")[0] for line in lines if "~" in line)
        free += [names[one] for one in "ABCD" if f"{{{one}}}" in pattern and f"{{{one}}}" not in started]
    written = " ".join([*terms, *clauses])
    limit = draw(st.sampled_from(LIMITS))
    for penalty in draw(st.lists(st.sampled_from(PENALTIES), max_size=2)) if free else []:
        said = penalty.format(draw(st.sampled_from(free)))
        clauses.append(f"{limit}penalty {said.removeprefix('penalty ')}" if limit else said)
    for event in draw(st.lists(st.sampled_from(EVENTS), max_size=1)) if free and not limit else []:
        clauses.append(event.format(draw(st.sampled_from(free))))
    extras = (NUMBERS if _READS_RANK.search(written) else (), () if limit else PLACES, HEADS)
    clauses += [draw(st.sampled_from(extra)) for extra in extras if extra]
    target, prime = " + ".join(terms), "y'" if terms[0].startswith("y") else "W'"
    form = draw(st.sampled_from(["{0}", "{1} = {0}", "whole = {0} | {1} = whole"]))
    if limit:
        clauses.append(f"on norm: {prime} = {prime[0]} .* k")
        form = f"whole = {{0}} | {limit}{{1}} = whole" if "whole" in form else f"{limit}{{1}} = {{0}}"
    rest = [*clauses, *([] if form == "{0}" else [form.format(target, prime)])]
    ordered = draw(st.permutations([clause for clause in dict.fromkeys(rest) if clause]))
    separators = [" | ", "\n", "  # a comment\n"]
    is_headed = any(clause.startswith(("title:", "note:", "cite:")) for clause in ordered)
    separator = "\n" if is_headed else draw(st.sampled_from(separators))
    return separator.join([target, *ordered] if form == "{0}" else ordered)


# ----------------------------------------------------------------------------------------------- meaning


def meaning(ir: SpecIR) -> dict[str, Any]:
    """What a spec says, without places, reasons and texts."""
    fields = ("shape", "kind", "start", "shared", "orthonormal", "lr", "decay", "dtype")
    return {
        "targets": ir.targets,
        "factors": {name: [getattr(factor, field) for field in fields] for name, factor in ir.factors.items()},
        "penalties": [(penalty.value, penalty.once) for penalty in ir.penalties],
        "conditions": {str(condition) for condition in ir.conditions},
        "hyper": {name: parameter.value for name, parameter in ir.hyper.items()},
        "definitions": ir.definitions,
        "starts_elsewhere": ir.starts_elsewhere,
    }
