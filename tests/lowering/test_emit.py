"""Emitted code runs without specdsl and computes what the attached module computes, in value and in every gradient."""

from __future__ import annotations

import ast
import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import specdsl
from specdsl.elaborate.start_check import example_sizes
from specdsl.errors import SpecNotBuiltError, SpecSettingError
from specdsl.lowering.emit import AdaptedKind, emit_torch, emit_torch_file
from specdsl.operators import operator, remove_operator
from specdsl.runtime.adapter import Adapter
from specdsl.spec import Spec, parse
from tests.lowering.emitted_layers import attached, built, check, copy_factors, imported, linear, same, source_of
from tests.lowering.library_methods import FOR_LINEAR
from tests.lowering.literal import LAYERS, METHODS, make, move

SPECS = {
    "lora": "r = 2 | alpha = 4 | W + alpha/r * A@B",
    "flora": "r = 2 | W + A@G@B | orth(A)",
    "dora": "r = 2\nV = W + alpha/r * A@B\ng ~ colnorm(V)\nW' = V@diag(g ./ stop(colnorm(V)))",
    "sam_parser": "U, S, V = svd(W)\ns ~ S\nW' = U@diag(s)@V",
    "svdiff": "U, S, V = svd(W)\nd ~ zeros\nW' = U@diag(relu(S + d))@V",
    "pissa": "r = 2 | alpha = 6\ns = alpha/r\nU, S, V = svd(W)\nA : n x r ~ U[:, :r]@diag(sqrt(S[:r]/s))\n"
    "B : r x m ~ diag(sqrt(S[:r]/s))@V[:r, :]\nW' = W + s*(A@B - init(A@B))",
    "vera": "r = 3\nfrozen shared A : max(layers(n)) x r ~ kaiming(seed=0)\n"
    "frozen shared B : r x max(layers(m)) ~ kaiming(seed=1)\nd : r ~ 0.1\nW' = W + A[:n, :]@diag(d)@B[:, :m]@diag(e)",
    "shared_trained": "r = 2 | shared(n) A : n x r | W + A@B",
    "ia3": "y .* l",
    "ssb": "diag(l)@W@diag(k)",
    "bitfit": "b + d",
    "hiwi": "r = 2 | W' = W + relu(W@A)@B | b' = b + relu(b@A)@B",
    "hydra": "r = 2 | s = alpha/r | y' = y + s*x@A@B + s*y@C@D",
    "parallel": "r = 2 | y + relu(x@A + a)@B + c",
    "loha": "r = 2 | W + alpha/r * (A@B) .* (C@D)",
    "dropout": "r = 2 | alpha = 4 | y + alpha/r * dropout(x, 0.3)@A@B",
    "hadamard": "r = 2 | W .* (1 + A@B)",
    "tile": "r = 2 | B : r x m ~ zeros | W + tile(B, n)",
    "householder": "r = 2 | U : n x r ~ pairs(kaiming) | W' = householder(U)@W",
    "cayley": "q : n x n ~ zeros | W' = cayley(skew(q))@W",
    "cayley_series": "q : n x n ~ zeros | W' = cayley(skew(q), terms=4)@W",
    "packed": "c, k : r*(r + 1)/2 ~ zeros | W' = W + A@(lower_from(c) + lower_from(k).T)@B | A, B ~ normal(0.02)",
    "packed_symmetric": "q : r*(r + 1)/2 ~ zeros | A, B ~ normal(0.02) | W' = W + A@sym_from(q)@B",
    "oft": "k = 3 | q : n/k x k*(k - 1)/2 ~ zeros | W' = blockdiag(cayley(skew_from(q)))@W",
    "orthonormal": "r = 2 | A : n x r ~ orthogonal, orthonormal | W + A@B",
    "attend": "r = 2 | attend(Z) = softmax(Z@Z.T / sqrt(r))@Z | y' = y + attend(x@A)@B",
    "keep": "r = 4 | y + softmax(keep(x@A, 2))@B",
    "lokr": "p = near_root(n) | q = near_root(m) | C : p x q ~ zeros | D : n/p x m/q ~ kaiming | W + kron(C, D)",
    "fourierft": "k = 5 | index I : k ~ choice(n*m, seed=777) | c : k ~ normal(1) | starts: elsewhere\n"
    "W' = W + real(ifft2(scatter(c, I, m, n))).T",
    "rearranged": 'p = 3 | C : n/p x p*m ~ zeros | W + rearrange(C, "a (p m) -> (a p) m", p=p)',
    "sizes": "W + (A@B if n > m else C@D) | A : n x r | C : n x r | B, D ~ zeros | r = 2",
    "rotated": "r = 2 | frozen Q : n x n ~ orthogonal(seed=3) | A : n x r ~ Q[:, :r] | W + Q@A@B - init(Q@A@B)",
    "olora": "r = 2\nQ, R = qr(W.T)\nA : n x r ~ R[:r, :].T\nB : r x m ~ Q[:, :r].T\nW' = W + A@B - init(A@B)",
    "loldu": "r = 2\nP, L, D, U = ldu(W.T)\nz ~ D[:r]\nM = P@L[:, :r]@diag(z)@U[:r, :]\nW' = W + (M - init(M)).T",
    "spectral": "r = 2\nU, S, V = svd(W)\nA : n x r ~ zeros\nB : r x m ~ zeros\n"
    "W' = [U[:, :r] + A, U[:, r:]]@diag(S)@[V[:r, :] + B; V[r:, :]]",
    "penalties": "r = 2 | W + A@B | penalty 0.1*norm(A.T@A - eye)^2 | penalty norm(B@B.T .* (1 - eye))",
    "over_layers": "r = 2 | A, B ~ normal(0.02) | e : r ~ zeros | W' = W + A@diag(e)@B\n"
    "penalty 0.1 * mean(layers([norm(A.T@A - eye), norm(B@B.T - eye)]))",
    "mask": "frozen M : n x m ~ top(abs(W), 0.3) | W + M .* D",
    "input": "x' = x .* k",
    "number": "r = 2 | g : 1 ~ 0.5 | W' = W + sigmoid(g) * A@B",
    "rows": "r = 2 | index I : r ~ choice(n) | A : n x r ~ zeros | W + A@W[I, :]",
    "taken_names": "r = 2 | forward : n x r | lambda : r x m | torch : m ~ zeros | y' = y + x@forward@lambda + torch",
    "many_terms": "r = 2 | W + A@B + C@D + E@F + G@H + J@K + L@M + P@Q",
    "nested": "r = 2 | d : m ~ zeros | W + sqrt(exp(tanh(A@B)) + 1)@diag(d)",
}
"""Specs of every form. The library's and the literal methods come in addition."""

KINDS = ("linear_without_bias", "gpt2_conv1d", "embedding", "conv", "layer_norm", "rms_norm")
PAIRS = [
    (layer, method)
    for layer, method in product(LAYERS, METHODS)
    if (layer in KINDS or method in ("lora", "hydra", "ssb"))
    and not (method == "attention" and "embedding" in layer)  # which an embedding refuses
]


def tokens(n: int) -> torch.Tensor:
    return torch.randn(2, 5, n, dtype=torch.float64)


# --------------------------------------------------------------------------------------------- the same values


@pytest.mark.parametrize(("n", "m", "bias"), [(6, 9, True), (9, 6, False), (36, 30, True)])
@pytest.mark.parametrize("name", SPECS)
def test_a_linear_layer_computes_the_same(name: str, n: int, m: int, bias: bool, tmp_path: Path) -> None:
    check(linear(n, m, bias), SPECS[name], tokens(n), tmp_path)


@pytest.mark.parametrize(("layer", "method"), PAIRS)
def test_every_layer_type_computes_the_same(layer: str, method: str, tmp_path: Path) -> None:
    check(make(layer), METHODS[method][0], LAYERS[layer].sample(), tmp_path)


def small(name: str) -> list[tuple[Spec, int, int]]:
    """A library method with small hyper-parameters, and sizes of layers that it fits."""
    spec = parse(name)
    found = []
    for sizes in example_sizes(spec.ir):
        own = {key: sizes[key] for key, value in spec.hyperparameters.items() if sizes[key] != value}
        own.pop("alpha", None)  # by default it is r
        found.append((parse(name, **own), int(sizes["n"]), int(sizes["m"])))
    return found


@pytest.mark.parametrize("name", FOR_LINEAR)
def test_a_library_method_computes_the_same(name: str, tmp_path: Path) -> None:
    for spec, n, m in small(name):
        try:
            check(linear(n, m), spec, tokens(n), tmp_path)
        except SpecNotBuiltError:
            assert spec.facts.needs or spec.ir.given or spec.facts.added_rows is not None


def test_a_penalty_over_all_layers_is_a_method_of_one(tmp_path: Path) -> None:
    model = nn.Sequential(linear(6, 6), linear(6, 6))
    bases = copy.deepcopy(model)
    adapter = specdsl.attach(model, SPECS["over_layers"], on="re:[01]", dtype="float64")
    move(adapter)
    code = imported(source_of(adapter), tmp_path)
    layers = [built(code, base, adapter, place) for place, base in enumerate(bases)]
    for place, layer in enumerate(layers):
        copy_factors(adapter, layer, place)
    same(layers[0].model_penalty(layers), adapter.penalty())


def test_an_index_given_from_outside_is_a_parameter_of_the_constructor(tmp_path: Path) -> None:
    spec = "index I : k | A : n x k ~ zeros | k = 3 | W + A@W[I, :]"
    layer = check(linear(6, 4), spec, tokens(6), tmp_path, I=[0, 2, 5])
    with pytest.raises(TypeError, match="I_"):
        type(layer)(linear(6, 4))


def test_a_value_of_all_layers_is_a_parameter_of_the_constructor(tmp_path: Path) -> None:
    adapter = attached(linear(6, 4), "r = 2 | A : n x r ~ kaiming | W + A@B / mean(layers(norm(W)))")
    layer = imported(source_of(adapter), tmp_path).Layer
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        layer(linear(6, 4))


# ----------------------------------------------------------------------------------------------- starts


def test_random_starts_are_drawn_where_none_are_given(tmp_path: Path) -> None:
    layer = imported(source_of(attached(linear(300, 40), "r = 20 | W + A@B")), tmp_path).Layer(linear(300, 40))
    bound = 300**-0.5
    assert layer.A.abs().max() <= bound
    assert layer.A.abs().max() > 0.99 * bound
    assert layer.B.count_nonzero() == 0


def test_equal_seeds_give_equal_values_in_every_layer(tmp_path: Path) -> None:
    make_layer = imported(source_of(attached(linear(6, 9), SPECS["vera"])), tmp_path).Layer
    first, second = make_layer(linear(6, 9)), make_layer(linear(6, 9))
    same(first.A, second.A)
    assert not torch.equal(first.A[:3], first.B.T[:3])


def test_layers_share_a_factor_that_is_passed_on(tmp_path: Path) -> None:
    make_layer = imported(source_of(attached(linear(6, 9), SPECS["shared_trained"])), tmp_path).Layer
    first = make_layer(linear(6, 9))
    assert make_layer(linear(6, 9), A=first.A).A is first.A


def test_a_start_that_is_kept_does_not_train_with_the_factor_passed_on(tmp_path: Path) -> None:
    spec = "r = 2 | shared(n) A : n x r | B ~ normal(1) | W' = W + A@B - init(A@B)"
    make_layer = imported(source_of(attached(linear(6, 9), spec)), tmp_path).Layer
    layer = make_layer(linear(6, 9), A=make_layer(linear(6, 9)).A)
    kept = dict(layer.named_buffers())
    assert kept
    assert not any(value.requires_grad for value in kept.values())


def test_only_factors_are_trained_and_the_base_keeps_its_weight(tmp_path: Path) -> None:
    base = linear(6, 9)
    weight = base.weight.clone()
    layer = imported(source_of(attached(linear(6, 9), SPECS["pissa"])), tmp_path).Layer(base)
    assert [name for name, value in layer.named_parameters() if value.requires_grad] == ["A", "B"]
    with torch.no_grad():
        layer.A += 1
    assert torch.equal(base.weight, weight)


@pytest.mark.parametrize("name", ["pissa", "dora", "svdiff", "orthonormal", "cayley"])
def test_a_base_in_half_precision_begins_as_it_is(name: str, tmp_path: Path) -> None:
    code = imported(source_of(attached(linear(6, 9), SPECS[name])), tmp_path)
    base = nn.Linear(6, 9).bfloat16()
    layer = code.Layer(base)
    assert {value.dtype for value in layer.state_dict().values()} == {torch.bfloat16}
    torch.testing.assert_close(layer.merged_weight(), base.weight, rtol=0.03, atol=0.03)


# ------------------------------------------------------------------------------------------------ sizes


def test_one_class_serves_layers_of_other_sizes(tmp_path: Path) -> None:
    make_layer = imported(source_of(attached(linear(6, 9), SPECS["lora"])), tmp_path).Layer
    layer = make_layer(linear(12, 5))
    assert layer.A.shape == (12, 2)
    assert layer(torch.ones(3, 12, dtype=torch.float64)).shape == (3, 5)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (SPECS["oft"], "n/k is a whole number"),
        (SPECS["sizes"], "not n > m"),
        (SPECS["spectral"], "r <= min(m, n)"),
        ("W + n/m * A@B | r = 2", "n/m == 1"),
    ],
)
def test_sizes_that_the_form_does_not_fit_are_refused(spec: str, message: str, tmp_path: Path) -> None:
    make_layer = imported(source_of(attached(linear(6, 6), spec)), tmp_path).Layer
    small_layer = nn.Linear(7, 1).double()
    with pytest.raises(ValueError, match=re.escape(f"the layer does not meet: {message}")):
        make_layer(small_layer)


def test_choices_and_size_conditions_hold_for_the_layer_itself(tmp_path: Path) -> None:
    for spec in (SPECS["oft"], SPECS["sizes"], SPECS["spectral"], "W + n/m * A@B | r = 2"):
        imported(source_of(attached(linear(6, 6), spec)), tmp_path).Layer(linear(6, 6))


# ------------------------------------------------------------------------------------------------- text


def test_it_reads_as_one_would_write_it() -> None:
    lines = source_of(attached(linear(36, 30), "title: FLoRA\nr = 2\nW' = W + A@G@B\npenalty orth(A)")).splitlines()
    assert lines[0] == '"""FLoRA in plain PyTorch, written by specdsl.'
    for line in (
        "class Layer(nn.Module):",
        "    r = 2",
        "        n, m, r = base.in_features, base.out_features, self.r",
        "            A = base.weight.new_empty(n, r).uniform_(-1, 1) / math.sqrt(n)",
        "        self.A = nn.Parameter(A)  # n x r",
        "        self.B = nn.Parameter(base.weight.new_zeros(r, m))  # r x m",
        "        # y' = y + x@A@G@B",
        "        y = self.base(x)",
        "        return y + x @ self.A @ self.G @ self.B",
        "        return orth(self.A)",
    ):
        assert line in lines


def test_values_have_the_names_that_the_spec_gives_them() -> None:
    code = source_of(attached(linear(6, 9), SPECS["dora"]))
    assert "        V = self.base.weight.T + self.A @ self.B\n" in code
    assert "y' = layer(W' = V .* (g ./ stop(colnorm(V))))" in code


def test_a_new_bias_is_told_beside_the_output() -> None:
    assert "        # y' = layer(b' = b + d)\n" in source_of(attached(linear(6, 9), "b + d"))


def test_products_of_different_kinds_stand_in_brackets() -> None:
    assert "(x @ self.A) * self.s) @ self.B" in source_of(
        attached(linear(36, 30), "r = 2 | s : r ~ ones | W + A@diag(s)@B")
    )


def sources() -> Iterator[tuple[str, str]]:
    for name, spec in SPECS.items():
        for n, m in ((6, 9), (36, 30)):
            yield f"{name}_{n}", source_of(attached(linear(n, m), spec))
    for layer in ("gpt2_conv1d", "embedding", "conv", "conv1d", "conv3d", "layer_norm", "rms_norm"):
        for method in ("lora", "dora", "hydra", "ssb", "bitfit", "vera"):
            yield f"{method}_{layer}", source_of(attached(make(layer), METHODS[method][0]))
    for name in FOR_LINEAR:
        spec, n, m = small(name)[0]
        with suppress(SpecNotBuiltError):
            yield f"library_{name}", source_of(attached(linear(n, m), spec))


def test_ruff_leaves_it_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("ruff")
    for name, code in sources():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "--select", "E,F,I"], ["format", "--check", "--diff"]):
        run = subprocess.run(
            [*ruff, *command, "--isolated", "--no-cache", "."], cwd=tmp_path, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("name", SPECS)
def test_it_imports_nothing_but_torch(name: str) -> None:
    nodes = list(ast.walk(ast.parse(source_of(attached(linear(6, 9), SPECS[name])))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert names <= {"math", "torch", "torch.nn.functional"}


def test_headers_cannot_break_out_of_the_text(tmp_path: Path) -> None:
    spec = 'title: a """ quote \\ and \\n """\ncite: "\nW + A@B'
    assert imported(source_of(attached(linear(6, 9), spec)), tmp_path).__doc__


# ------------------------------------------------------------------------------------------ names and files


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("FLoRA", "FloraLinear"),
        ("IA3 (the original placement)", "Ia3Linear"),
        ("full fine-tuning", "FullFineTuningLinear"),
        ("4-bit", "Adapted4BitLinear"),
        (None, "AdaptedLinear"),
    ],
)
def test_a_class_is_named_after_the_method_and_the_layer(title: str | None, name: str) -> None:
    adapter = attached(linear(6, 9), ("" if title is None else f"title: {title}\n") + "W + A@B")
    assert f"class {name}(nn.Module):" in emit_torch_file(adapter.spec, [kind_of(adapter)])


def kind_of(adapter: Adapter) -> AdaptedKind:
    surveyed = adapter.members[0].surveyed
    return AdaptedKind(surveyed.lowered, surveyed.sizes, surveyed.site.traits)


@pytest.mark.parametrize("name", ["class", "1st", "a b", "orth"])
def test_a_name_that_no_class_can_have_is_refused(name: str) -> None:
    adapter = attached(linear(6, 9), "W + A@B")
    with pytest.raises(SpecSettingError, match="cannot be the name of a class"):
        emit_torch_file(adapter.spec, [kind_of(adapter)], name)


def test_kinds_of_equal_code_share_a_class(tmp_path: Path) -> None:
    small_one, large_one, long_one = (attached(linear(n, m), SPECS["lora"]) for n, m in ((6, 9), (36, 30), (30, 36)))
    code = emit_torch_file(small_one.spec, [kind_of(one) for one in (small_one, large_one, long_one)], "Lora")
    module = imported(code, tmp_path)
    assert code.count("class ") == 2
    torch.testing.assert_close(module.Lora(linear(6, 9))(tokens(6)).shape, (2, 5, 9))
    torch.testing.assert_close(module.Lora2(linear(6, 9))(tokens(6)).shape, (2, 5, 9))


# ----------------------------------------------------------------------------------------------- refusals


def test_an_operator_without_a_form_in_torch_is_named() -> None:
    @operator("thrice", "... -> ...", facts=["elementwise", "linear", "keeps_zero"])
    def thrice(xp: Any, A: Any) -> Any:
        """`3 * A`."""
        return 3 * A

    try:
        adapter = attached(linear(6, 9), "W + thrice(A@B)")
        with pytest.raises(SpecNotBuiltError, match="the operator `thrice` has no form in plain PyTorch"):
            source_of(adapter)
    finally:
        remove_operator("thrice")


def test_an_operator_of_the_users_own_is_written_as_they_say(tmp_path: Path) -> None:
    @operator("doubled", "... -> ...", facts=["elementwise", "linear", "keeps_zero"], torch="2 * {0}")
    def doubled(xp: Any, A: Any) -> Any:
        """`2 * A`."""
        return 2 * A

    try:
        check(linear(6, 9), "r = 2 | W + doubled(A@B + C@D).*(A@B)", tokens(6), tmp_path)
    finally:
        remove_operator("doubled")


def test_a_layer_type_without_a_form_in_torch_is_named() -> None:
    adapter = attached(linear(6, 9), "W + A@B")
    kind = kind_of(adapter)
    with pytest.raises(SpecNotBuiltError, match="a layer of type Fancy cannot be emitted"):
        emit_torch(adapter.spec, kind.lowered, kind.sizes, replace(kind.traits, kind="Fancy"))
