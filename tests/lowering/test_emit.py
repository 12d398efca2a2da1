"""Emitted code runs without specdsl and computes what the attached module computes, in value and in every gradient."""

from __future__ import annotations

import copy
import importlib.util
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import specdsl
from specdsl.elaborate.start_check import example_sizes
from specdsl.errors import SpecNotBuiltError, SpecSettingError
from specdsl.library_specs import library_names
from specdsl.lowering.emit import AdaptedKind, emit_torch, emit_torch_file
from specdsl.runtime.adapter import Adapter
from specdsl.spec import Spec, parse
from tests.lowering.literal import LAYERS, METHODS, make, move

LIBRARY = library_names()

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
    "oft": "k = 3 | q : n/k x k*(k - 1)/2 ~ zeros | W' = blockdiag(cayley(skew_from(q)))@W",
    "orthonormal": "r = 2 | A : n x r ~ orthogonal, orthonormal | W + A@B",
    "attend": "r = 2 | attend(Z) = softmax(Z@Z.T / sqrt(r))@Z | y' = y + attend(x@A)@B",
    "keep": "r = 4 | y + softmax(keep(x@A, 2))@B",
    "lokr": "p = near_root(n) | q = near_root(m) | C : p x q ~ zeros | D : n/p x m/q ~ kaiming | W + alpha/r * kron(C, D)",
    "fourierft": "k = 5 | index I : k ~ choice(n*m, seed=777) | c : k ~ normal(1) | starts: elsewhere\n"
    "W' = W + real(ifft2(scatter(c, I, m, n))).T",
    "rearranged": 'p = 3 | C : n/p x p*m ~ zeros | W + rearrange(C, "a (p m) -> (a p) m", p=p)',
    "sizes": "W + (A@B if n > m else C@D) | A : n x r | C : n x r | B, D ~ zeros | r = 2",
    "tied": "r = 2 | frozen Q : n x n ~ orthogonal(seed=3) | A : n x r ~ Q[:, :r] | W + Q@A@B - init(Q@A@B)",
    "olora": "r = 2\nQ, R = qr(W.T)\nA : n x r ~ R[:r, :].T\nB : r x m ~ Q[:, :r].T\nW' = W + A@B - init(A@B)",
    "loldu": "r = 2\nP, L, D, U = ldu(W.T)\nz ~ D[:r]\nM = P@L[:, :r]@diag(z)@U[:r, :]\nW' = W + (M - init(M)).T",
    "spectral": "r = 2\nU, S, V = svd(W)\nA : n x r ~ zeros\nB : r x m ~ zeros\n"
    "W' = [U[:, :r] + A, U[:, r:]]@diag(S)@[V[:r, :] + B; V[r:, :]]",
    "penalties": "r = 2 | W + A@B | penalty 0.1*norm(A.T@A - eye)^2 | penalty norm(B@B.T .* (1 - eye))",
    "mask": "frozen M : n x m ~ top(abs(W), 0.3) | W + M .* D",
    "input": "x' = x .* k",
    "number": "r = 2 | g : 1 ~ 0.5 | W' = W + sigmoid(g) * A@B",
    "rows": "r = 2 | index I : r ~ choice(n) | A : n x r ~ zeros | W + A@W[I, :]",
}
"""Specs of every shape; those of the library and the literal methods come in addition."""


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], ModuleType]:
    """Imports emitted source from a file of its own."""

    def imported(source: str) -> ModuleType:
        path = tmp_path / f"emitted_{len(list(tmp_path.iterdir()))}.py"
        path.write_text(source, encoding="utf-8")
        found = importlib.util.spec_from_file_location(path.stem, path)
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        return module

    return imported


def source_of(adapter: Adapter, place: int = 0) -> str:
    surveyed = adapter.members[place].surveyed
    return emit_torch(adapter.spec, surveyed.lowered, surveyed.sizes, surveyed.site.traits, "Layer")


def attached(module: nn.Module, spec: str | Spec) -> Adapter:
    return specdsl.attach(nn.Sequential(module), spec, on="re:0", dtype="float64")


def built(code: ModuleType, base: nn.Module, adapter: Adapter, place: int = 0) -> Any:
    """The emitted layer over `base`, with the adapter's own values where they are drawn at random."""
    layer = adapter.members[place].layer
    stored = {name: layer.factor(name) for name in layer.lowered.ir.factors if name in (layer.attributes | layer.owners)}
    wanted = inspect.signature(code.Layer).parameters
    given = {name.rstrip("_"): name for name in wanted if name.rstrip("_") in stored}
    return code.Layer(base, **{own: stored[name].detach().clone() for name, own in given.items()})


def copy_factors(adapter: Adapter, layer: nn.Module, place: int = 0) -> dict[str, tuple[nn.Parameter, nn.Parameter]]:
    """Put the adapter's factors into the emitted layer; the parameters of both, by name."""
    own = adapter.members[place].layer
    pairs = {}
    for name in [*own.attributes, *own.owners]:
        if own.lowered.ir.factors[name].is_trained:
            holder = own.owners.get(name, own)
            pairs[name] = (holder.own_parameters(name)[0], getattr(layer, name))
            with torch.no_grad():
                pairs[name][1].copy_(pairs[name][0])
    return pairs


def same(left: Tensor, right: Tensor) -> None:
    torch.testing.assert_close(left, right, rtol=1e-12, atol=1e-12)


def gradients(total: Tensor, tensors: list[Tensor]) -> Iterator[Tensor]:
    found = torch.autograd.grad(total, tensors, allow_unused=True)
    for gradient, tensor in zip(found, tensors, strict=True):
        yield torch.zeros_like(tensor) if gradient is None else gradient


def compare(adapter: Adapter, layer: Any, x: Tensor) -> None:
    """Forward, input and factor gradients, penalty and merged weight agree to 1e-12."""
    attached_layer = adapter.model[0]
    pairs = copy_factors(adapter, layer)
    theirs, ours = [pair[0] for pair in pairs.values()], [pair[1] for pair in pairs.values()]
    if x.is_floating_point():
        x = x.requires_grad_()
        theirs, ours = [*theirs, x], [*ours, x]
    torch.manual_seed(0)
    expected = attached_layer(x)
    torch.manual_seed(0)
    found = layer(x)
    same(found, expected)
    weights = torch.randn_like(expected)
    for one, other in zip(gradients((found * weights).sum(), ours), gradients((expected * weights).sum(), theirs), strict=True):
        same(one, other)
    if adapter.spec.ir.penalties and hasattr(layer, "penalty"):
        same(layer.penalty(), adapter.penalty())
        for one, other in zip(
            gradients(layer.penalty(), ours), gradients(adapter.penalty(), theirs), strict=True
        ):
            same(one, other)
    compare_merged(adapter, layer)


def compare_merged(adapter: Adapter, layer: Any) -> None:
    try:
        adapter.merge()
    except specdsl.SpecMergeError:
        assert not hasattr(layer, "merged_weight")
        return
    module = adapter.model[0]
    changed = adapter.members[0].layer.lowered.weight
    assert hasattr(layer, "merged_weight") == ("W" in changed)
    assert hasattr(layer, "merged_bias") == ("b" in changed)
    if "W" in changed:
        same(layer.merged_weight(), module.weight)
    if "b" in changed:
        same(layer.merged_bias(), module.bias)


def check(module: nn.Module, spec: str | Spec, x: Tensor, load: Callable[[str], ModuleType]) -> None:
    base = copy.deepcopy(module)
    adapter = attached(module, spec)
    code = load(source_of(adapter))
    layer = built(code, base, adapter)
    for name, (start, own) in copy_factors_without(adapter, layer).items():
        torch.testing.assert_close(own, start, rtol=1e-12, atol=1e-12, msg=lambda text, name=name: f"start of {name}: {text}")
    move(adapter)
    compare(adapter, layer, x)


def copy_factors_without(adapter: Adapter, layer: nn.Module) -> dict[str, tuple[Tensor, Tensor]]:
    own = adapter.members[0].layer
    trained = [name for name in own.attributes if own.lowered.ir.factors[name].is_trained]
    return {name: (own.own_parameters(name)[0], getattr(layer, name)) for name in trained}


def linear(n: int, m: int, bias: bool = True) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(n, m, bias=bias).double()


@pytest.mark.parametrize(("n", "m", "bias"), [(6, 9, True), (9, 6, False), (36, 30, True)])
@pytest.mark.parametrize("name", SPECS)
def test_a_linear_layer_computes_the_same(
    name: str, n: int, m: int, bias: bool, load: Callable[[str], ModuleType]
) -> None:
    check(linear(n, m, bias), SPECS[name], torch.randn(2, 5, n, dtype=torch.float64), load)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("method", METHODS)
def test_every_layer_type_computes_the_same(layer: str, method: str, load: Callable[[str], ModuleType]) -> None:
    try:
        check(make(layer), METHODS[method][0], LAYERS[layer].sample(), load)
    except specdsl.SpecTargetError as error:
        assert "embedding" in error.message


@pytest.mark.parametrize("name", LIBRARY)
def test_a_library_method_computes_the_same(name: str, load: Callable[[str], ModuleType]) -> None:
    for sizes in example_sizes(parse(name).ir):
        spec = parse(name)
        changed = {key: sizes[key] for key, value in spec.hyperparameters.items() if sizes[key] != value and key != "alpha"}
        n, m = int(sizes["n"]), int(sizes["m"])
        check(linear(n, m), parse(name, **changed), torch.randn(2, 5, n, dtype=torch.float64), load)
