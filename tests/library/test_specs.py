"""What holds of every spec in the library."""

from __future__ import annotations

import re
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import specdsl
from specdsl import tree
from specdsl.errors import SpecMergeError
from specdsl.library_specs import library_groups
from specdsl.runtime.adapter import Adapter
from tests.library.small_layers import attached, checked, randomise
from tests.ordinary_methods import ORDINARY

FILES = {path.stem: path for _, paths in library_groups() for path in paths}
CITES = r"arXiv:\d{4}\.\d{5}"
OTHER_CITES = {
    "peft_with_controls": "https://proceedings.mlr.press/v235/zhang24y.html",
    "orthogonal_init": "https://datta0.github.io/posts/rethink-lora-init",
}
NO_PAPER = {"full", "trainable_tokens"}
VARIANTS = {
    "ia3_original", "lora_bias", "lora_dropout", "lora_embedding", "lora_fused", "loha_conv", "lokr_conv",
    "lokr_lowrank", "flora_conv", "bone_affine", "bone", "miss_mini", "oft_shared", "hra_gs", "nystromlora_released",
    "spectral_adapter_r", "prefix_tuning_mlp", "prefix_tuning_fused", "symmetric_attention",
}  # fmt: skip
"""Specs of a method that another spec has already: other starts, scales, layers or shapes of the same idea."""
NOT_A_WEIGHT = {"houlsby", "mpc_n", "parallel_adapter", "pfeiffer"}
RECONSTRUCTED = {
    "block_lora",
    "diffora",
    "lambda_orthogonality",
    "lora_ggpo",
    "lotr",
    "mps",
    "peft_with_controls",
    "s_bitfit",
    "tera",
    "tied_lora",
}  # fmt: skip
"""Methods of which a part is not published, or not in what could be read."""
ATTACHED = [*ORDINARY, "adalora"]
"""Methods that are attached here; all others are held to the same by the conformance suite."""


def two_layers() -> nn.Sequential:
    """A model of two layers that starts as the same one every time, whatever the global seed."""
    model = nn.Sequential(nn.Linear(7, 5), nn.Linear(5, 6, bias=False)).double()
    draw = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=draw)
    return model


def inputs() -> Tensor:
    return torch.randn(11, 7, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def settings(method: str) -> dict[str, Any]:
    """A rank that fits small layers, for the methods that have one."""
    return {"r": 3} if re.search(r"\br\b", str(checked(method).facts.trained)) else {}


def trained(adapter: Adapter) -> dict[str, Tensor]:
    """The trained factors by place and name."""
    return {f"{place}.{name}": value for place, name, value in adapter.factors() if value.requires_grad}


def clauses(method: str) -> int:
    """The number of clauses, headers apart."""
    return sum(not isinstance(clause, tree.Header) for clause in checked(method).tree.clauses)


def test_specs_are_short() -> None:
    lengths = [clauses(method) for method in FILES]
    assert median(lengths) <= 4
    assert max(lengths) <= 12


def test_there_are_at_least_ninety_methods() -> None:
    assert FILES.keys() > VARIANTS
    assert len(FILES.keys() - VARIANTS) >= 90


def test_the_folders_are_the_taxonomy() -> None:
    assert [group for group, _ in library_groups()] == [
        "reconstruction", "extension", "combination", "activation", "prompt",
    ]  # fmt: skip


@pytest.mark.parametrize("page", ["README.md", "CHANGELOG.md"])
def test_the_totals_are_those_of_the_folder(page: str) -> None:
    text = (Path(__file__).parents[2] / page).read_text(encoding="utf-8")
    methods, specs = len(FILES.keys() - VARIANTS), len(FILES)
    assert re.search(rf"\b{methods} (published )?methods .*\b{specs} (\[?specs\b)", text)


@pytest.mark.parametrize("method", FILES)
def test_a_note_is_short(method: str) -> None:
    assert len(specdsl.parse(method).note or "") <= 220


@pytest.mark.parametrize("method", FILES)
def test_a_reconstruction_says_so_in_its_note(method: str) -> None:
    assert ("reconstruction" in (specdsl.parse(method).note or "")) == (method in RECONSTRUCTED)


@pytest.mark.parametrize("method", FILES)
def test_a_file_is_as_fmt_writes_it(method: str) -> None:
    text = FILES[method].read_text(encoding="utf-8")
    assert text == f"{specdsl.parse(text)}\n"


@pytest.mark.parametrize("method", FILES)
def test_a_method_is_found_in_any_spelling(method: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]*", method)
    assert specdsl.parse(method.upper().replace("_", "-")) == specdsl.parse(FILES[method])


@pytest.mark.parametrize("method", FILES)
def test_a_method_has_a_title_and_its_paper(method: str) -> None:
    spec = specdsl.parse(method)
    assert spec.title
    if method not in NO_PAPER:
        assert re.fullmatch(re.escape(OTHER_CITES.get(method, "")) or CITES, spec.cite or "")


def test_titles_differ() -> None:
    titles = [checked(method).title for method in FILES]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("method", FILES)
def test_no_spec_gives_a_warning(method: str) -> None:
    assert checked(method).warnings == ()


@pytest.mark.parametrize("method", ATTACHED)
def test_training_starts_at_the_base(method: str) -> None:
    model, x = two_layers(), inputs()
    bare = model(x)
    attached(model, method, **settings(method))
    torch.testing.assert_close(model(x), bare, rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", ATTACHED)
def test_after_one_step_every_factor_has_a_gradient(method: str) -> None:
    model, x = two_layers(), inputs()
    factors = trained(attached(model, method, **settings(method)))
    assert factors
    first = torch.autograd.grad(model(x).square().mean(), list(factors.values()))
    with torch.no_grad():
        for value, gradient in zip(factors.values(), first, strict=True):
            value -= 0.1 * gradient
    second = torch.autograd.grad(model(x).square().mean(), list(factors.values()))
    still = [name for name, gradient in zip(factors, second, strict=True) if gradient.norm() < 1e-6]
    assert not still


@pytest.mark.parametrize("method", ATTACHED)
def test_only_trained_factors_are_parameters(method: str) -> None:
    model = two_layers()
    adapter = attached(model, method, **settings(method))
    required = {id(value) for value in model.parameters() if value.requires_grad}
    assert required == {id(value) for value in trained(adapter).values()}
    assert sum(value.numel() for value in trained(adapter).values()) == adapter.trainable_parameters


@pytest.mark.parametrize("method", sorted({*ATTACHED} - NOT_A_WEIGHT))
def test_merging_changes_no_output_and_is_undone_exactly(method: str) -> None:
    model, x = two_layers(), inputs()
    base = {name: value.clone() for name, value in model.state_dict().items()}
    adapter = attached(model, method, **settings(method))
    randomise(adapter)
    unmerged = model(x)
    adapter.merge()
    torch.testing.assert_close(model(x), unmerged, rtol=0, atol=1e-10)
    adapter.unmerge()
    adapter.detach()
    assert model.state_dict().keys() == base.keys()
    assert all(torch.equal(value, base[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("method", sorted(NOT_A_WEIGHT))
def test_what_is_no_weight_says_why_it_does_not_merge(method: str) -> None:
    adapter = attached(two_layers(), method, r=3)
    with pytest.raises(SpecMergeError, match=re.escape(str(adapter.spec.facts.why_not))):
        adapter.merge()
    assert "is not linear in the input" in str(adapter.spec.facts.why_not)


@pytest.mark.parametrize("method", ATTACHED)
def test_a_saved_adapter_comes_back_under_another_global_seed(method: str, tmp_path: Path) -> None:
    model, x = two_layers(), inputs()
    adapter = attached(model, method, seed=6, **settings(method))
    randomise(adapter)
    adapter.save(tmp_path / method)
    fresh = two_layers()
    with torch.random.fork_rng():
        torch.manual_seed(7)
        loaded = specdsl.load(fresh, tmp_path / method)
    assert loaded.spec == adapter.spec
    torch.testing.assert_close(fresh(x), model(x), rtol=0, atol=0)
