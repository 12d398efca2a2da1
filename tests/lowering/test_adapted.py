"""A module that carries adapters is the same object with another forward pass, and runs compiled too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import specdsl
from specdsl.errors import SpecSettingError
from specdsl.lowering.adapted import adapters_of, check_adapter_name
from specdsl.lowering.sites import own_class
from tests.lowering.literal import METHODS, move, parsed

LORA = "W + A@B | r = 2"


def linear() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5))


def test_the_class_is_a_subclass_of_the_same_name() -> None:
    model = linear()
    specdsl.attach(model, LORA, on="re:0")
    kind = type(model[0])
    assert kind is not nn.Linear
    assert issubclass(kind, nn.Linear)
    assert (kind.__name__, kind.__module__) == ("Linear", nn.Linear.__module__)
    assert own_class(model[0]) is nn.Linear


def test_modules_of_one_class_share_the_subclass() -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    specdsl.attach(model, LORA, on="re:.*")
    assert type(model[0]) is type(model[1])


def test_the_class_comes_back_with_the_last_adapter() -> None:
    model = linear()
    first, second = specdsl.attach(model, LORA, name="first", on="re:0"), specdsl.attach(model, LORA, on="re:0")
    first.detach()
    assert type(model[0]) is not nn.Linear
    second.detach()
    assert type(model[0]) is nn.Linear
    assert adapters_of(model[0]) is None


def test_hooks_of_the_module_see_the_adapted_output() -> None:
    model = linear()
    move(specdsl.attach(model, LORA, on="re:0"))
    seen: list[Tensor] = []
    model[0].register_forward_hook(lambda module, arguments, output: seen.append(output))
    found = model(torch.ones(6))
    assert seen[0] is found


@pytest.mark.parametrize("spec", ["y + relu(x@A)@B | r = 2", LORA, "W .* (1 + A@B) | r = 2", "y .* l", "b + d"])
def test_the_base_runs_once(spec: str) -> None:
    class Counted(nn.Linear):
        calls = 0

    def counted(module: nn.Module, x: Tensor) -> Tensor:
        Counted.calls += 1
        return own(module, x)

    own, Counted.forward = nn.Linear.forward, nn.Linear.forward  # type: ignore[method-assign]
    model = nn.Sequential(Counted(6, 5))
    specdsl.attach(model, spec, on="re:0", name="one")
    specdsl.attach(model, spec, on="re:0", name="two")
    Counted.forward = counted  # type: ignore[assignment,method-assign]
    model(torch.ones(2, 6))
    assert Counted.calls == 1


def test_an_encoder_layer_of_torch_runs_its_adapters_in_eval_too() -> None:
    """Without gradients it would else read the weights of its linear maps and never run them."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True))
    bare, x = model(torch.ones(1, 3, 8)), torch.ones(1, 3, 8)
    move(specdsl.attach(model, LORA))
    trained = model(x)
    model.eval()
    with torch.no_grad():
        assert_close(model(x), trained)
    assert not torch.allclose(trained, bare)


@pytest.mark.parametrize("name", ["default", "adapter_2", "Ä"])
def test_a_word_can_be_a_name(name: str) -> None:
    check_adapter_name(name)


@pytest.mark.parametrize("name", ["merged", "running", "eval", "_buffers", "two words", "a.b", "1st", ""])
def test_what_a_module_has_already_cannot(name: str) -> None:
    with pytest.raises(SpecSettingError, match="cannot be an adapter's name"):
        check_adapter_name(name)


@pytest.mark.parametrize("method", ["lora", "dora", "parallel", "ssb", "orth"])
def test_compiled_modules_are_one_graph_and_compute_the_same(method: str) -> None:
    model = linear()
    spec = f"{LORA} | orth(A)" if method == "orth" else METHODS[method][0]
    adapter = specdsl.attach(model, parsed(spec), on="re:0")
    move(adapter)
    x = torch.randn(3, 6)
    torch._dynamo.reset()
    found = torch.compile(model, backend="aot_eager", fullgraph=True)(x)
    assert_close(found, model(x))
    found.sum().backward()
    gradients = [parameter.grad for parameter in adapter.parameters()]
    for parameter in adapter.parameters():
        parameter.grad = None
    model(x).sum().backward()
    assert_close([parameter.grad for parameter in adapter.parameters()], gradients)
