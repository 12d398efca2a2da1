"""A saved adapter comes back bit for bit, or is refused with a reason and leaves the model as it was."""

from __future__ import annotations

import ast
import json
import pickle
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import specdsl
import specdsl.runtime
from specdsl.errors import SpecCheckpointError, SpecError, SpecFileError
from specdsl.runtime.checkpoint import RECORD, TENSORS
from tests.runtime.small_models import logits, move, same, small

LORA = "W + A@B | r = 2"
PISSA = (
    "r = 2\nU, S, V = svd(W)\nA ~ U[:, :r] @ diag(sqrt(S[:r]))\nB ~ diag(sqrt(S[:r])) @ V[:r, :]\n"
    "W' = W + A@B - init(A@B)"
)
SPECS = {
    "random": LORA,
    "frozen at random": "frozen A : n x r ~ kaiming\nr = 2\nW' = W + A@B",
    "frozen with a seed": "frozen A : n x r ~ normal(1, seed=5)\nr = 2\nW' = W + A@B",
    "a random index": "index I : 2 ~ choice(n)\nfrozen P ~ W[I, :]\nW' = W + A@P",
    "derived": PISSA,
    "derived and frozen": "r = 2\nU, S, V = svd(W)\nfrozen A ~ U[:, :r]\nW' = W + A@B",
    "a constant of the base": "r = 2\nU, S, V = svd(W)\nW' = W + U[:, :r] @ B",
    "shared": "shared(n) A : n x r ~ normal(1)\nr = 2\nW' = W + A@B",
    "shared and frozen": "shared(n) frozen A : n x r ~ normal(1)\nr = 2\nW' = W + A@B",
    "orthonormal": "A : n x r ~ orthogonal, orthonormal\nr = 2\nW' = W + A@B",
    "another constant of the base": "W + inverse(eye(n) + W@W.T) @ D",
    "complex": "W + real(ifft2(F)) | F : n x m ~ zeros",
}
DERIVED = ["a random index", "derived", "derived and frozen", "a constant of the base", "another constant of the base"]


def mlp(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 4))


def outputs(model: nn.Module) -> Tensor:
    with torch.no_grad():
        found: Tensor = model(torch.linspace(-1, 1, 18).reshape(3, 6))
    return found


def saved(folder: Path, spec: str = LORA, **options: Any) -> Path:
    """The folder of a trained adapter of `mlp()`."""
    adapter = specdsl.attach(mlp(), spec, **options)
    move(adapter)
    return adapter.save(folder)


def values(adapter: specdsl.Adapter) -> dict[str, Tensor]:
    """Factors, frozen ones and constants included."""
    factors = {f"{place}.{name}": value.detach() for place, name, value in adapter.factors()}
    buffers = {
        f"{member.name}.{name}": value for member in adapter.members for name, value in member.layer.named_buffers()
    }
    return factors | buffers


# ----------------------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("case", SPECS)
def test_an_adapter_comes_back_under_another_global_seed(case: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    model = mlp()
    adapter = specdsl.attach(model, SPECS[case], seed=7)
    move(adapter)
    adapter.save(tmp_path / "adapter")
    other = mlp()
    torch.manual_seed(2)
    np.random.seed(2)
    loaded = specdsl.load(other, tmp_path / "adapter")
    assert same(values(loaded), values(adapter))
    assert torch.equal(outputs(other), outputs(model))
    assert not torch.equal(outputs(other), outputs(mlp()))
    assert loaded.seed == 7


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_a_language_model_computes_the_same_after_loading(name: str, tmp_path: Path) -> None:
    model, other = small(name), small(name)
    adapter = specdsl.attach(model, PISSA)
    move(adapter)
    adapter.save(tmp_path / "adapter")
    specdsl.load(other, tmp_path / "adapter")
    assert torch.equal(logits(other, name), logits(model, name))


def test_a_head_trained_whole_comes_back(tmp_path: Path) -> None:
    model, other = small("bert"), small("bert")
    adapter = specdsl.attach(model, LORA, train="head")
    move(adapter)
    adapter.save(tmp_path / "adapter")
    bare = {key: value.clone() for key, value in other.state_dict().items()}
    loaded = specdsl.load(other, tmp_path / "adapter")
    state = other.state_dict()
    assert torch.equal(state["classifier.weight"], model.state_dict()["classifier.weight"])
    assert not torch.equal(state["classifier.weight"], bare["classifier.weight"])
    assert torch.equal(logits(other, "bert"), logits(model, "bert"))
    assert all(parameter.requires_grad for parameter in other.get_submodule("classifier").parameters())
    loaded.detach()
    assert same(dict(other.state_dict()), bare)


def test_settings_and_placement_come_back(tmp_path: Path) -> None:
    loaded = specdsl.load(mlp(), saved(tmp_path / "adapter", "W + A@B", r=4, on="re:2", name="mine", dtype="float64"))
    assert loaded.spec.hyperparameters["r"] == 4
    assert [member.name for member in loaded.members] == ["2"]
    assert (loaded.name, loaded.dtype) == ("mine", torch.float64)
    assert loaded.members[0].layer.factor("A").shape == (6, 4)
    assert loaded.members[0].layer.factor("A").dtype == torch.float64


def test_a_fraction_as_a_setting_comes_back(tmp_path: Path) -> None:
    model, other = mlp(), mlp()
    adapter = specdsl.attach(model, "c = 1\nr = 2\nW' = W + c * (A@B)", c=0.3)
    move(adapter)
    loaded = specdsl.load(other, adapter.save(tmp_path / "adapter"))
    assert loaded.spec.hyperparameters == adapter.spec.hyperparameters
    assert loaded.spec.hyperparameters["c"] == Fraction(3, 10)
    assert loaded.spec.hash == adapter.spec.hash
    assert torch.equal(outputs(other), outputs(model))


def test_indices_given_at_attach_come_back(tmp_path: Path) -> None:
    spec = "index I : r\nr = 2\nfrozen P ~ W[I, :]\nW' = W + A@P"
    model = mlp()
    adapter = specdsl.attach(model, spec, I=[4, 1])
    move(adapter)
    other = mlp()
    loaded = specdsl.load(other, adapter.save(tmp_path / "adapter"))
    assert loaded.members[0].layer.factor("I").tolist() == [4, 1]
    assert torch.equal(outputs(other), outputs(model))


def test_an_adapter_loads_under_another_name(tmp_path: Path) -> None:
    folder, model = saved(tmp_path / "adapter"), mlp()
    specdsl.load(model, folder)
    specdsl.load(model, folder, name="second")
    assert "0.specdsl.second.A" in model.state_dict()


def test_module_names_are_taken_literally(tmp_path: Path) -> None:
    def model() -> nn.Module:
        torch.manual_seed(0)
        return nn.ModuleDict({"a+b": nn.Linear(6, 4), "aab": nn.Linear(6, 4)})

    folder = specdsl.attach(model(), LORA, on=r"re:a\+b").save(tmp_path / "adapter")
    assert [member.name for member in specdsl.load(model(), folder).members] == ["a+b"]


def test_a_merged_adapter_is_saved_with_its_base(tmp_path: Path) -> None:
    model, other = mlp(), mlp()
    adapter = specdsl.attach(model, PISSA)
    move(adapter)
    before = outputs(model)
    adapter.merge()
    specdsl.load(other, adapter.save(tmp_path / "adapter"))
    assert torch.equal(outputs(other), before)


def test_the_base_matters_only_where_values_come_from_it(tmp_path: Path) -> None:
    folder, other = saved(tmp_path / "adapter", SPECS["frozen at random"]), mlp(seed=3)
    bare = outputs(other)
    specdsl.load(other, folder)
    assert not torch.equal(outputs(other), bare)


@pytest.mark.parametrize("case", SPECS)
def test_a_weight_hash_is_kept_where_values_come_from_the_base(case: str, tmp_path: Path) -> None:
    record = json.loads((saved(tmp_path / "adapter", SPECS[case]) / RECORD).read_text())
    hashes = {target["weight_hash"] is not None for target in record["targets"]}
    assert hashes == {case in DERIVED}


# ------------------------------------------------------------------------------------------- the folder


def test_the_folder_holds_two_files(tmp_path: Path) -> None:
    folder = saved(tmp_path / "made" / "adapter")
    assert sorted(entry.name for entry in folder.iterdir()) == [RECORD, TENSORS]
    assert sorted(load_file(folder / TENSORS)) == [f"factors/{place}/{name}" for place in "02" for name in "AB"]
    assert [entry.name for entry in folder.parent.iterdir()] == ["adapter"]


def test_saving_again_replaces_the_adapter_and_keeps_other_files(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "notes").mkdir()
    (folder / "notes" / "one.txt").write_text("kept")
    saved(folder, "W + D")
    assert [entry.name for entry in tmp_path.iterdir()] == ["adapter"]
    assert sorted(load_file(folder / TENSORS)) == ["factors/0/D", "factors/2/D"]
    assert (folder / "tokenizer.json").read_text() == "{}"
    assert (folder / "notes" / "one.txt").read_text() == "kept"


def contents(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Within it the system refuses to write larger files, as a full disk does."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("file", [TENSORS, RECORD])
def test_a_disk_that_is_full_leaves_the_old_adapter(file: str, tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    size = 64 if file == TENSORS else (folder / RECORD).stat().st_size - 1
    assert file == TENSORS or (folder / TENSORS).stat().st_size <= size
    before, adapter = contents(tmp_path), specdsl.attach(mlp(), LORA)
    with files_of_at_most(size), pytest.raises(SpecFileError) as caught:
        adapter.save(folder)
    assert caught.value.message.startswith(f"the adapter cannot be written to `{folder}`: ")
    assert "File too large" in caught.value.message
    assert contents(tmp_path) == before


def test_a_file_that_cannot_be_kept_leaves_the_old_adapter(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    (folder / "tokenizer.json").symlink_to(tmp_path / "nowhere")
    before = contents(tmp_path)
    message = f"the adapter cannot be written to `{folder}`: No such file or directory"
    with pytest.raises(SpecFileError, match=f"^{re.escape(message)}$"):
        saved(folder, "W + D")
    assert contents(tmp_path) == before


def test_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(SpecFileError, match="the adapter cannot be written to"):
        saved(tmp_path / "file" / "adapter")
    assert contents(tmp_path) == {"file": b"text"}


def test_a_target_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text")
    with pytest.raises(SpecFileError) as caught:
        saved(tmp_path / "file")
    assert caught.value.message == f"`{tmp_path / 'file'}` is a file"
    assert contents(tmp_path) == {"file": b"text"}


def test_a_folder_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("text")
    with pytest.raises(SpecFileError) as caught:
        saved(tmp_path)
    assert caught.value.message == f"the folder `{tmp_path}` holds other things"
    assert contents(tmp_path) == {"thesis.tex": b"text"}


def test_a_detached_or_disabled_adapter_cannot_be_saved(tmp_path: Path) -> None:
    adapter = specdsl.attach(mlp(), LORA, train="re:2", on="re:0")
    with adapter.disabled(), pytest.raises(SpecCheckpointError, match="the adapter `default` is disabled"):
        adapter.save(tmp_path / "adapter")
    adapter.detach()
    with pytest.raises(SpecCheckpointError) as caught:
        adapter.save(tmp_path / "adapter")
    assert caught.value.message == "the adapter `default` is not attached any more"
    assert contents(tmp_path) == {}


# ------------------------------------------------------------------------------------------- refusals


def assert_refused(model: nn.Module, folder: Path, kind: type[SpecError], message: str) -> None:
    """Loading raises with `message` (`...` stands for anything), and the model is as it was."""
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.dim() > 1)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    grads = {key: (id(value), value.requires_grad) for key, value in model.named_parameters()}
    modules = {key: (type(module), sorted(vars(module))) for key, module in model.named_modules()}
    with pytest.raises(SpecError) as caught:
        specdsl.load(model, folder)
    pattern = re.escape(message.format(folder=folder)).replace(r"\.\.\.", ".+")
    assert re.fullmatch(pattern, caught.value.message), caught.value.message
    assert type(caught.value) is kind
    assert same(dict(model.state_dict()), state)
    assert {key: (id(value), value.requires_grad) for key, value in model.named_parameters()} == grads
    assert {key: (type(module), sorted(vars(module))) for key, module in model.named_modules()} == modules


def edited(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        record = json.loads((folder / RECORD).read_text())
        change(record)
        (folder / RECORD).write_text(json.dumps(record))

    return edit


def tensors_edited(change: Callable[[dict[str, Tensor]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        tensors = load_file(folder / TENSORS)
        change(tensors)
        save_file(tensors, folder / TENSORS)

    return edit


def flip_last_byte(folder: Path) -> None:
    content = bytearray((folder / TENSORS).read_bytes())
    content[-1] ^= 1
    (folder / TENSORS).write_bytes(content)


def add_a_known_tensor(folder: Path) -> None:
    tensors_edited(lambda tensors: tensors.update(other=tensors["factors/0/A"].clone()))(folder)
    edited(lambda record: record["tensors"].update(other=record["tensors"]["factors/0/A"]))(folder)


DIFFERS = "the tensor `factors/{}` in `{{folder}}` is not the one that was saved (hash differs)"
OTHER_SPEC = "the spec in `{folder}` does not have the hash that was saved with it"
UNREADABLE = f"`{{folder}}/{TENSORS}` cannot be read: ..."
TAMPERED: dict[str, tuple[Callable[[Path], object], str]] = {
    "a flipped byte": (flip_last_byte, DIFFERS.format("2/B")),
    "a cut file": (lambda at: (at / TENSORS).write_bytes((at / TENSORS).read_bytes()[:-1]), UNREADABLE),
    "another hash": (
        edited(lambda record: record["tensors"].update({"factors/0/A": "0" * 64})), DIFFERS.format("0/A"),
    ),
    "another dtype of a tensor": (
        tensors_edited(lambda tensors: tensors.update({"factors/0/A": tensors["factors/0/A"].double()})),
        DIFFERS.format("0/A"),
    ),
    "another spec": (edited(lambda record: record.update(spec="W - A@B | r = 2")), OTHER_SPEC),
    "another setting": (edited(lambda record: record.update(settings={"r": "3"})), OTHER_SPEC),
    "a setting that is no number": (
        edited(lambda record: record.update(settings={"r": "two"})),
        "the spec in `{folder}` is not one that was saved: ...",
    ),
    "a spec that is none": (
        edited(lambda record: record.update(spec="W + (A@B")), "the spec in `{folder}` is not one that was saved: ...",
    ),
    "an operator that is not registered here": (
        edited(lambda record: record.update(spec="W + quantised(A)@B | r = 2")),
        "the spec in `{folder}` needs the operator `quantised`",
    ),
    "an unknown field": (
        edited(lambda record: record.update(run="rm -r")),
        f"`{{folder}}/{RECORD}` is damaged: run: Extra inputs are not permitted",
    ),
    "a missing field": (
        edited(lambda record: record.pop("seed")), f"`{{folder}}/{RECORD}` is damaged: seed: Field required",
    ),
    "a later format": (
        edited(lambda record: record.update(format=2)), f"`{{folder}}/{RECORD}` is damaged: format: Input should be 1",
    ),
    "a record that is no JSON": (
        lambda at: (at / RECORD).write_text("{"), f"`{{folder}}/{RECORD}` is damaged: the file: Invalid JSON: ...",
    ),
    "a missing tensor": (
        tensors_edited(lambda tensors: tensors.pop("factors/0/A")), f"`{{folder}}/{TENSORS}` lacks factors/0/A",
    ),
    "a missing tensor in both files": (
        lambda at: (
            tensors_edited(lambda tensors: tensors.pop("factors/0/A"))(at),
            edited(lambda record: record["tensors"].pop("factors/0/A"))(at),
        ),
        "the factor `A` of `0` is not in the folder",
    ),
    "a tensor too many": (
        tensors_edited(lambda tensors: tensors.update(other=torch.ones(2))),
        f"`{{folder}}/{TENSORS}` holds other, which nothing asks for",
    ),
    "a tensor too many in both files": (
        add_a_known_tensor, "the folder holds a tensor `other`, which nothing asks for",
    ),
    "no tensors": (lambda at: (at / TENSORS).unlink(), UNREADABLE),
    "another module": (
        edited(lambda record: record["targets"][0].update(name="7")),
        "the adapter belongs to a Sequential with a module `7`, which this Sequential does not have",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TAMPERED)
def test_a_folder_that_was_changed_is_refused(case: str, tmp_path: Path) -> None:
    tamper, message = TAMPERED[case]
    folder = saved(tmp_path / "adapter")
    tamper(folder)
    assert_refused(mlp(), folder, SpecCheckpointError, message)


def test_another_seed_gives_other_frozen_values_and_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter", SPECS["frozen at random"])
    edited(lambda record: record.update(seed=1))(folder)
    message = "`0/A`, recomputed from the base, is not what the adapter was trained with"
    assert_refused(mlp(), folder, SpecCheckpointError, message)


def test_a_folder_without_a_record_is_no_adapter(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter")
    (folder / RECORD).unlink()
    assert_refused(mlp(), folder, SpecFileError, "there is no adapter in `{folder}`")
    shutil.rmtree(folder)
    assert_refused(mlp(), folder, SpecFileError, "there is no adapter in `{folder}`")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    adapter = specdsl.attach(small("bert"), LORA, on="attention.query")
    folder = adapter.save(tmp_path / "adapter")
    message = (
        "the adapter belongs to a BertForSequenceClassification with a module "
        "`bert.encoder.layer.0.attention.self.query` and 1 more, which this LlamaForCausalLM does not have"
    )
    assert_refused(small("llama"), folder, SpecCheckpointError, message)


def test_a_missing_head_is_refused(tmp_path: Path) -> None:
    model = nn.Sequential(*mlp(), nn.Linear(4, 2))
    folder = specdsl.attach(model, LORA, on="re:0", train="re:3").save(tmp_path / "adapter")
    message = "the adapter belongs to a Sequential with a module `3`, which this Sequential does not have"
    assert_refused(mlp(), folder, SpecCheckpointError, message)


def test_other_sizes_are_refused(tmp_path: Path) -> None:
    other = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 5))
    assert_refused(other, saved(tmp_path / "adapter"), SpecCheckpointError, "`2` was 6 x 4 and is 6 x 5")


def test_a_head_of_another_size_is_refused(tmp_path: Path) -> None:
    folder = saved(tmp_path / "adapter", on="re:0", train="re:2")
    other = nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 5))
    assert_refused(other, folder, SpecCheckpointError, "`2`, trained whole, does not fit: weight is (5, 6), not (4, 6)")


def test_a_module_of_another_type_is_refused(tmp_path: Path) -> None:
    other = nn.Sequential(nn.Embedding(6, 6), nn.Tanh(), nn.Linear(6, 4))
    assert_refused(other, saved(tmp_path / "adapter"), SpecCheckpointError, "`0` is of type Embedding, not Linear")


@pytest.mark.parametrize("case", DERIVED)
def test_other_base_weights_are_refused_where_values_were_derived(case: str, tmp_path: Path) -> None:
    folder, other = saved(tmp_path / "adapter", SPECS[case]), mlp()
    with torch.no_grad():
        other.get_parameter("2.weight")[0, 0] += 1e-3
    message = "the weight of `2` is not the one that the adapter's values were derived from"
    assert_refused(other, folder, SpecCheckpointError, message)


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    folder, model = saved(tmp_path / "adapter"), mlp()
    specdsl.load(model, folder)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(SpecError, match="the model has an adapter `default` already"):
        specdsl.load(model, folder)
    assert same(dict(model.state_dict()), state)


# ------------------------------------------------------------------------------------------- no code


class Trap:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", [lambda trap, file: pickle.dump(trap, file), torch.save], ids=["pickle", "torch"])
def test_a_pickle_in_place_of_the_tensors_is_refused_unread(write: Callable[..., None], tmp_path: Path) -> None:
    folder, trap = saved(tmp_path / "adapter"), Trap(tmp_path / "sprung")
    with (folder / TENSORS).open("wb") as file:
        write(trap, file)
    assert_refused(mlp(), folder, SpecCheckpointError, UNREADABLE)
    assert not trap.path.exists()


def unsafe(source: Path) -> list[str]:
    """What in a file could run code that it reads."""
    found = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(str(node.module))
        elif isinstance(node, ast.Call):
            found.append(f"{ast.unparse(node.func)}()")
    return [name for name in found if name.partition(".")[0] in UNSAFE or name in UNSAFE]


UNSAFE = {"pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch.load()", "eval()", "exec()"}
SOURCES = sorted(Path(specdsl.runtime.__path__[0]).glob("*.py"))


def test_nothing_in_the_runtime_unpickles(tmp_path: Path) -> None:
    assert "checkpoint.py" in [source.name for source in SOURCES]
    assert {source.name: unsafe(source) for source in SOURCES if unsafe(source)} == {}
    (tmp_path / "bad.py").write_text("import pickle\nmodel = torch.load(path)\nmodel.eval()\neval(text)\n")
    assert unsafe(tmp_path / "bad.py") == ["pickle", "torch.load()", "eval()"]
