"""Attaching changes no parameter, no class and no name of the model, and nothing at all where it fails."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecError, SpecNotBuiltError, SpecSettingError, SpecStartError, SpecTargetError
from tests.runtime.small_models import CLASSES, base_state, batch, logits, move, same, small

LORA = "W + A@B | r = 2"
DORA = "r = 2\nV = W + A@B\ng ~ colnorm(V)\nW' = V @ diag(g ./ stop(colnorm(V)))"
PISSA = (
    "r = 2\nU, S, V = svd(W)\nA ~ U[:, :r] @ diag(sqrt(S[:r]))\nB ~ diag(sqrt(S[:r])) @ V[:r, :]\n"
    "W' = W + A@B - init(A@B)"
)
SPECS = [LORA, DORA, PISSA, "y .* l", "b + d", "y + relu(x@A)@B | r = 2"]


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4, bias=False))


# ------------------------------------------------------------------------------- what stays as it was


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", CLASSES)
def test_names_identities_and_values_of_the_base_stay(name: str, spec: str) -> None:
    model = small(name)
    parameters, state = dict(model.named_parameters()), base_state(model)
    classes = {place: type(module) for place, module in model.named_modules()}
    adapter = specdsl.attach(model, spec)
    after = {key: value for key, value in model.named_parameters() if ".specdsl." not in key}
    assert after.keys() == parameters.keys()
    assert all(after[key] is parameters[key] for key in after)
    assert same(base_state(model), state)
    for place, kind in classes.items():
        assert isinstance(model.get_submodule(place), kind)
        assert type(model.get_submodule(place)).__name__ == kind.__name__
    assert_close(logits(model, name), logits(small(name), name), rtol=1e-4, atol=1e-5)
    assert len(adapter.members) > 0


@pytest.mark.parametrize("name", CLASSES)
def test_only_factors_are_trained(name: str) -> None:
    model = small(name)
    adapter = specdsl.attach(model, LORA)
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    assert trained == {key for key, _ in model.named_parameters() if ".specdsl.default." in key}
    assert sum(value.numel() for value in adapter.parameters()) == adapter.trainable_parameters


@pytest.mark.parametrize("name", CLASSES)
def test_the_state_without_factors_loads_into_the_bare_model(name: str) -> None:
    model = small(name)
    specdsl.attach(model, DORA)
    state = base_state(model)
    other = small(name, seed=1)
    other.load_state_dict(state, strict=True)
    assert same(base_state(other), state)


def test_sizes_weight_and_bias_stay_readable() -> None:
    model = mlp()
    specdsl.attach(model, LORA)
    assert (model[0].in_features, model[0].out_features) == (6, 5)
    assert model[0].weight.shape == (5, 6)
    assert model[0].bias is not None
    assert model[2].bias is None


def test_repr_names_the_method() -> None:
    model = mlp()
    specdsl.attach(model, f"title: LoRA\n{LORA.replace(' | ', chr(10))}", on="re:0", name="mine")
    assert "Linear(\n    in_features=6, out_features=5, bias=True, specdsl: mine=LoRA" in repr(model)
    assert "LayerAdapter(LoRA, A: 6 x 2, B: 2 x 5)" in repr(model)


def test_factors_are_parameters_under_their_own_names() -> None:
    model = mlp()
    specdsl.attach(model, "label : n x m ~ zeros | W' = W + label", on="re:0", name="mine")
    assert [key for key in model.state_dict() if "specdsl" in key] == ["0.specdsl.mine.label_"]


def test_frozen_parts_are_buffers_outside_of_the_state() -> None:
    model = mlp()
    adapter = specdsl.attach(model, "frozen A : n x r ~ kaiming\nr = 2\nW' = W + A@B", on="re:0")
    assert [key for key in model.state_dict() if "specdsl" in key] == ["0.specdsl.default.B"]
    assert [key for key, _ in model.named_buffers() if "specdsl" in key] == ["0.specdsl.default.A"]
    assert adapter.trainable_parameters == 10


def test_training_mode_stays() -> None:
    model = mlp()
    model[0].eval()
    adapter = specdsl.attach(model, LORA)
    assert [member.layer.training for member in adapter.members] == [False, True]
    model.eval()
    assert not any(member.layer.training for member in adapter.members)


# -------------------------------------------------------------------------------------- numbers


def states_of(adapter: specdsl.Adapter) -> dict[str, Tensor]:
    return {f"{place}.{name}": value.detach() for place, name, value in adapter.factors()}


@pytest.mark.parametrize("name", ["adapter", "other_name"])
def test_the_name_of_an_adapter_changes_no_number(name: str) -> None:
    one, other = small("bert"), small("bert")
    first = specdsl.attach(one, LORA)
    second = specdsl.attach(other, LORA, name=name)
    assert same(states_of(first), states_of(second))
    assert torch.equal(logits(one, "bert"), logits(other, "bert"))


def test_starts_depend_on_seed_and_module_alone() -> None:
    torch.manual_seed(3)
    first = states_of(specdsl.attach(small("bert"), LORA))
    torch.manual_seed(4)
    model = small("bert")
    specdsl.attach(model, "W + D", name="before")
    after = states_of(specdsl.attach(model, LORA))
    assert same(first, after)
    narrow = states_of(specdsl.attach(small("bert"), LORA, on="attention.value"))
    assert all(torch.equal(first[key], value) for key, value in narrow.items())
    others = states_of(specdsl.attach(small("bert"), LORA, seed=1))
    assert not any(torch.equal(first[key], value) for key, value in others.items() if key.endswith(".A"))


def test_attaching_uses_no_global_random_number() -> None:
    model = small("bert")
    state = torch.random.get_rng_state()
    specdsl.attach(model, LORA)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_starts_are_kaiming_as_the_formula_has_it() -> None:
    adapter = specdsl.attach(nn.Sequential(nn.Linear(400, 300)), "W + A@B | r = 8", on="re:0")
    A, B = (value.detach() for _, _, value in adapter.factors())
    assert float(A.abs().max()) <= 400**-0.5
    assert float(A.std()) == pytest.approx(400**-0.5 / 3**0.5, rel=0.05)
    assert not B.any()


def test_the_same_spec_serves_every_size() -> None:
    adapter = specdsl.attach(mlp(), LORA)
    shapes = {place + name: tuple(value.shape) for place, name, value in adapter.factors()}
    assert shapes == {"0A": (6, 2), "0B": (2, 5), "2A": (5, 2), "2B": (2, 4)}


def test_pieces_of_a_shared_vector_lie_one_behind_the_other() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3), nn.Linear(3, 5)).double()
    before = copy.deepcopy(model)
    text = "shared v ~ ones | W' = W @ diag(split(v, layers(m))[layer])"
    adapter = specdsl.attach(model, text, on=["re:0", "re:1", "re:2"], dtype="float64")
    ((_, _, v),) = adapter.trained_factors()
    assert (v.shape, adapter.trainable_parameters) == ((12,), 12)
    with torch.no_grad():
        v.copy_(torch.randn(12))
    x = expected = torch.randn(2, 6, dtype=torch.float64)
    for layer, piece in zip(before, v.split([4, 3, 5]), strict=True):
        expected = (expected @ layer.weight.T) * piece + layer.bias
    assert_close(model(x), expected)
    adapter.merge()
    assert_close(model(x), expected)


def test_a_shared_factor_is_one_tensor() -> None:
    model = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 4))
    spec = "shared(n) A : n x r ~ normal(1)\nr = 2\nW' = W + A@B"
    adapter = specdsl.attach(model, spec)
    held = [member.layer.factor("A") for member in adapter.members]
    assert held[0] is held[1] is held[2]
    assert adapter.trainable_parameters == 12 + 12 + 12 + 8
    assert len(list(adapter.parameters())) == 4


def test_factors_follow_the_formula_of_the_model_as_a_list() -> None:
    model = mlp()
    adapter = specdsl.attach(
        model, "r = 2\nA ~ normal(1)\nfrozen g : 1 ~ norm(W) / max(layers(norm(W)))\nW' = W + g * (A@B)"
    )
    norms = [float(torch.linalg.norm(module.weight.detach())) for module in (model[0], model[2])]
    found = [float(member.layer.factor("g")) for member in adapter.members]
    assert found == pytest.approx([norm / max(norms) for norm in norms])


# --------------------------------------------------------------------------------------- refusals

INDEXED = "index I : r\nr = 2\nfrozen P ~ W[I, :]\nW' = W + A@P"
BAD: dict[str, tuple[type[SpecError], str, dict[str, Any]]] = {
    "a size that does not fit the last module": (
        SpecTargetError,
        "`2` does not meet the size condition n/3 is a whole number (n = 5)",
        {"spec": "A : n/3 x 2\nW' = W + tile(A, n, m)"},
    ),
    "an index outside of the last module": (
        SpecSettingError, "the index `I` has a place outside 0..4", {"spec": INDEXED, "I": [0, 5]},
    ),
    "an index without a value": (SpecSettingError, "the index `I` has no value", {"spec": INDEXED}),
    "an item that matches nothing": (SpecTargetError, "nothing", {"spec": LORA, "on": ["re:0", "re:nothing"]}),
    "a name that is taken": (
        SpecSettingError, "the model has an adapter `first` already (on `0`)", {"spec": LORA, "name": "first"},
    ),
    "a hyper-parameter that nothing uses": (
        SpecSettingError, "no hyper-parameter `rank` is used by the spec", {"spec": LORA, "rank": 3},
    ),
    "a module adapted and trained whole": (
        SpecTargetError, "`0` would be adapted and trained whole (`train` names `0`)", {"spec": LORA, "train": "re:0"},
    ),
    "a module trained whole that another adapts": (
        SpecSettingError,
        "`0` would be trained whole, but carries another adapter",
        {"spec": LORA, "on": "re:2", "train": "re:0"},
    ),
    "an unknown dtype": (SpecSettingError, "`float8` is no dtype of factors", {"spec": LORA, "dtype": "float8"}),
    "a random start that is impossible": (
        SpecSettingError,
        "`choice(5)` has 5 different places, but 6 are wanted",
        {"spec": "index I : 6 ~ choice(n)\nfrozen P ~ W[I, :]\nW' = W + A@P"},
    ),
}  # fmt: skip
TAKEN = ["running", "disabled", "merged", "site", "kept_weight", "training", "train", "_modules", "a.b", "a b", ""]


def everything(model: nn.Module) -> list[Any]:
    """All that attaching may change."""
    return [
        [(name, id(value), value.requires_grad, value._version) for name, value in model.named_parameters()],
        [(name, id(value)) for name, value in model.named_buffers()],
        [(name, type(module), id(module), module.training) for name, module in model.named_modules()],
        [sorted(vars(module)) for module in model.modules()],
    ]


def assert_nothing_changes(model: nn.Module, kind: type[SpecError], message: str, **options: Any) -> None:
    before, state = everything(model), {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(kind) as caught:
        specdsl.attach(model, **options)
    assert message in str(caught.value)
    assert everything(model) == before
    assert_close(dict(model.state_dict()), state, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("case", BAD)
def test_a_mistake_leaves_the_model_as_it_was(case: str) -> None:
    kind, message, options = BAD[case]
    model = mlp()
    specdsl.attach(model, "W + A@B | r = 1", on="re:0", name="first")
    assert_nothing_changes(model, kind, message, **options)


@pytest.mark.parametrize("name", TAKEN)
def test_a_name_that_modules_use_is_refused(name: str) -> None:
    message = f"`{name}` cannot be an adapter's name"
    assert_nothing_changes(mlp(), SpecSettingError, message, spec=LORA, name=name)


def test_a_meta_weight_in_the_last_module_is_refused() -> None:
    model = mlp()
    model[2] = nn.Linear(5, 4, device="meta")
    before = everything(model)
    with pytest.raises(SpecTargetError, match="`2` is on the meta device: its weights are not loaded"):
        specdsl.attach(model, LORA)
    assert everything(model) == before


def test_an_empty_weight_in_the_last_module_is_refused() -> None:
    model = mlp()
    model[2].weight.data = torch.empty(0)
    before = everything(model)
    with pytest.raises(SpecTargetError, match="`2` has an empty weight"):
        specdsl.attach(model, LORA)
    assert everything(model) == before


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("spec", [DORA, PISSA])
def test_a_start_that_is_not_finite_is_refused(spec: str, value: float) -> None:
    model = mlp()
    with torch.no_grad():
        model[2].weight[1, 2] = value
    assert_nothing_changes(model, SpecStartError, "the weight of `2` has values that are not finite", spec=spec)


def test_a_forward_pass_replaced_on_the_module_is_refused() -> None:
    """Device maps of accelerate do that, and an adapter in front of the class would never run."""
    model = mlp()
    own: Callable[..., Any] = model[2].forward
    model[2].forward = lambda x: own(x)
    message = "the forward pass of `2` is replaced on the module itself"
    assert_nothing_changes(model, SpecTargetError, message, spec=LORA)


def test_a_list_over_trained_factors_in_the_weight_is_refused() -> None:
    """Its value would be that of the start for ever."""
    model = mlp()
    spec = "W + mean(layers(norm(A))) * A@B | r = 2"
    assert_nothing_changes(model, SpecNotBuiltError, "`layers(norm(A))`", spec=spec)


# ---------------------------------------------------------------------------------------- training


def loss_of(model: nn.Module, name: str) -> Tensor:
    found: Tensor = model(**batch(name)).loss
    return found


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("name", ["bert", "t5"])
def test_training_moves_every_factor_and_nothing_else(name: str, spec: str) -> None:
    model = small(name).train()
    state = base_state(model)
    adapter = specdsl.attach(model, spec)
    before = {key: value.clone() for key, value in states_of(adapter).items()}
    optimizer = torch.optim.Adam(adapter.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        loss_of(model, name).backward()
        optimizer.step()
    after = states_of(adapter)
    still = {key for key in after if (after[key] - before[key]).abs().max() < 1e-4}
    # Softmax takes no notice of a bias of the keys.
    assert still <= {key for key in after if spec == "b + d" and ".key." in key}
    assert same(base_state(model), state)
    assert all(value.grad is None for key, value in model.named_parameters() if ".specdsl." not in key)


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad=True:UserWarning")
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_changes_no_gradient(reentrant: bool) -> None:
    gradients = []
    for checkpointing in (False, True):
        model = small("llama").train()
        adapter = specdsl.attach(model, f"{DORA}\npenalty orth(A)")
        move(adapter)
        if checkpointing:
            model.enable_input_require_grads()
            model.gradient_checkpointing_enable({"use_reentrant": reentrant})
        loss_of(model, "llama").backward()
        gradients.append([parameter.grad for parameter in adapter.parameters()])
    assert all(gradient is not None and gradient.any() for gradient in gradients[0])
    assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("layers", [1, "1", "1..1", range(1, 2), [1], ["1"]])
def test_layers_may_be_given_in_any_form(layers: Any) -> None:
    adapter = specdsl.attach(small("bert"), LORA, on="attention.query", layers=layers)
    assert [member.name for member in adapter.members] == ["bert.encoder.layer.1.attention.self.query"]


@pytest.mark.parametrize("layers", ["first", 1.5, None, []])
def test_layers_in_another_form_are_refused(layers: Any) -> None:
    with pytest.raises(SpecError, match="layer"):
        specdsl.attach(small("bert"), LORA, on="attention.query", layers=[layers] if layers is None else layers)


def test_a_name_is_no_model() -> None:
    with pytest.raises(SpecSettingError) as caught:
        specdsl.attach("bert", "W + A@B")  # type: ignore[arg-type]
    assert caught.value.message == "the model is 'bert', but `attach` takes a PyTorch model"
    assert caught.value.hint == "load it first, for example with `transformers.AutoModel.from_pretrained(...)`"
