"""`on`, `except` and `layers` choose modules; `train` takes whole ones."""

from __future__ import annotations

from collections import Counter

import pytest
from torch import nn

from specdsl.errors import SpecErrors, SpecTargetError
from specdsl.runtime.architectures import build
from specdsl.runtime.targets import Item, Selection, select, select_modules
from specdsl.source import Source, Span
from tests.runtime.tiny_models import CLIP, LLAMA, SIZES, WHISPER, bert, gpt2, t5, tiny


class Net(nn.Module):
    """A model of no family."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))
        self.attention = nn.MultiheadAttention(4, 2)
        self.patches = nn.ModuleList([nn.Conv1d(4, 4, 1), nn.Conv2d(4, 4, 1)])
        self.classifier = nn.Linear(4, 2)


def names(selection: Selection) -> list[str]:
    return [target.name for target in selection.targets]


def failure(model: nn.Module, **how: object) -> SpecTargetError | SpecErrors:
    with pytest.raises((SpecTargetError, SpecErrors)) as raised:
        select(model, **how)  # type: ignore[arg-type]
    return raised.value


@pytest.mark.parametrize(
    ("name", "targets"),
    [
        ("deberta-v3-base", 72),
        ("roberta-base", 72),
        ("llama-2-7b", 224),
        ("clip-vit-base", 144),
        ("gpt2", 48),
    ],
)
def test_the_default_of_a_published_model(name: str, targets: int) -> None:
    assert len(select(build(name)).targets) == targets


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification", "MaskedLM"])
def test_a_head_does_not_change_the_default_of_deberta(head: str) -> None:
    model = build("deberta-v3-base", auto_class=f"AutoModelFor{head}")
    assert [name.removeprefix("deberta.") for name in names(select(model))] == names(select(build("deberta-v3-base")))


def test_targets_are_in_model_order_whatever_the_order_of_items() -> None:
    chosen = names(select(bert(), ["mlp.down", "attention.query"], layers=[1]))
    assert chosen == ["encoder.layer.1.attention.self.query", "encoder.layer.1.output.dense"]


def test_a_target_tells_its_role_and_layer() -> None:
    target = select(t5(), ["decoder.cross_attention.key"]).targets[1]
    assert (target.name, target.role, target.layer) == (
        "decoder.block.1.layer.1.EncDecAttention.k",
        "decoder.cross_attention.key",
        1,
    )
    assert target.module is t5().get_submodule(target.name)


def test_overlapping_items_name_a_module_once() -> None:
    assert names(select(bert(), ["mlp", "mlp.up", r"re:.*\.intermediate\.dense"])) == names(select(bert(), ["mlp"]))


def test_except_takes_away_from_what_is_named() -> None:
    chosen = select(bert(), ["attention"], ["attention.output", r"re:.*\.0\..*key"])
    assert Counter(target.role for target in chosen.targets) == {
        "attention.query": 2,
        "attention.key": 1,
        "attention.value": 2,
    }


def test_except_takes_away_from_the_default() -> None:
    chosen = select(bert(), exclude=["mlp"])
    assert names(chosen) == names(select(bert(), ["attention"]))
    assert chosen.default


def test_layers_are_counted_in_each_tower() -> None:
    model = tiny("WhisperForConditionalGeneration", "whisper", **WHISPER)
    assert names(select(model, ["mlp.up"], layers=[1])) == [
        "model.encoder.layers.1.fc1",
        "model.decoder.layers.1.fc1",
    ]


def test_a_tower_role_stays_in_its_tower() -> None:
    chosen = select(tiny("CLIPModel", "clip", **CLIP), ["vision.attention", "text.mlp"])
    assert Counter((target.role or "").partition(".")[0] for target in chosen.targets) == {
        "vision": 8,
        "text": 4,
    }


def test_roles_outside_the_blocks_can_be_named() -> None:
    assert names(select(bert(), ["embedding"])) == ["embeddings.word_embeddings"]
    assert len(select(bert(), ["norm"]).targets) == 5


def test_a_pattern_reaches_what_has_no_role() -> None:
    assert names(select(bert(), [r"re:pooler\.dense"])) == ["pooler.dense"]


def test_a_pattern_leaves_out_the_containers_it_matches() -> None:
    chosen = select(bert(), [r"re:encoder\.layer\.0.*"])
    assert len(chosen.targets) == 8
    assert not any("BertLayer" in why for _, why in chosen.skipped)


def test_another_predicate_decides_what_can_be_adapted() -> None:
    def only_linear(module: nn.Module) -> bool:
        return isinstance(module, nn.Linear)

    assert str(failure(bert(), on=["norm"], adaptable=only_linear)) == (
        "`norm` names only modules that cannot carry a spec: LayerNorm"
    )


# What is skipped and what is noted


def test_every_module_that_could_be_adapted_is_a_target_or_has_a_reason() -> None:
    chosen = select(bert(), ["attention"], ["attention.key"], [0])
    assert dict(chosen.skipped) == {
        "embeddings.word_embeddings": "not named by `on`",
        "embeddings.position_embeddings": "not named by `on`",
        "embeddings.token_type_embeddings": "not named by `on`",
        "embeddings.LayerNorm": "not named by `on`",
        "encoder.layer.0.attention.self.key": "excepted by `attention.key`",
        "encoder.layer.0.attention.output.LayerNorm": "not named by `on`",
        "encoder.layer.0.intermediate.dense": "not named by `on`",
        "encoder.layer.0.output.dense": "not named by `on`",
        "encoder.layer.0.output.LayerNorm": "not named by `on`",
        "encoder.layer.1.attention.self.query": "not in layers 0",
        "encoder.layer.1.attention.self.key": "excepted by `attention.key`",
        "encoder.layer.1.attention.self.value": "not in layers 0",
        "encoder.layer.1.attention.output.dense": "not in layers 0",
        "encoder.layer.1.attention.output.LayerNorm": "not named by `on`",
        "encoder.layer.1.intermediate.dense": "not named by `on`",
        "encoder.layer.1.output.dense": "not named by `on`",
        "encoder.layer.1.output.LayerNorm": "not named by `on`",
        "pooler.dense": "not named by `on`",
    }


def test_by_default_the_reason_is_the_role() -> None:
    skipped = dict(select(tiny("BertForSequenceClassification", "bert", **SIZES)).skipped)
    assert skipped["classifier"] == "head, not adapted by default"
    assert skipped["bert.embeddings.word_embeddings"] == "embedding, not adapted by default"
    assert skipped["bert.pooler.dense"] == "no role, not adapted by default"


def test_a_usual_selection_needs_no_notes() -> None:
    assert select(bert()).notes == ()


def test_an_exception_that_takes_nothing_is_noted() -> None:
    assert select(bert(), ["mlp"], ["norm"]).notes == ("`except` `norm` takes nothing away",)


def test_gate_and_up_in_one_matrix_are_noted() -> None:
    notes = select(tiny("Phi3ForCausalLM", "phi3", **LLAMA)).notes
    assert notes == ("`mlp.up` holds `mlp.gate` too in this model, and both are adapted as one matrix",)


def test_named_modules_that_cannot_be_adapted_are_skipped() -> None:
    chosen = select(Net(), ["conv"], adaptable=lambda module: isinstance(module, nn.Conv2d))
    assert names(chosen) == ["patches.1"]
    assert dict(chosen.skipped)["patches.0"] == "a Conv1d cannot carry a spec"


# Models of no family


def test_an_unknown_model_is_adapted_everywhere_but_at_its_output() -> None:
    chosen = select(Net())
    attention = ["attention.in_proj_weight", "attention.out_proj"]
    assert names(chosen) == ["layers.0", "layers.1", "layers.2", *attention]
    assert chosen.notes == ("the roles of this model are not known: every linear map but the output head is adapted",)
    assert dict(chosen.skipped)["classifier"] == "head, not adapted by default"


def test_an_unknown_type_is_named_in_the_note() -> None:
    chosen = select(tiny("PhiForCausalLM", "phi", **LLAMA))
    assert len(chosen.targets) == 12
    assert chosen.notes == (
        "the roles of model type `phi` are not known: every linear map but the output head is adapted",
    )


def test_a_model_without_linear_maps_needs_on() -> None:
    error = failure(nn.Sequential(nn.Embedding(3, 4)))
    assert str(error) == "this model has no linear map to adapt\n  hint: `on` can name other modules"


# Tied weights


def test_one_weight_is_one_target() -> None:
    (target,) = select(t5(), ["embedding"]).targets
    assert (target.name, target.tied, target.shares) == (
        "shared",
        ("encoder.embed_tokens", "decoder.embed_tokens"),
        ("lm_head",),
    )


def test_tied_weights_are_noted() -> None:
    names = "`shared`, `encoder.embed_tokens` and `decoder.embed_tokens`"
    assert select(t5(), ["embedding"]).notes == (
        f"{names} hold one weight and take the same factors",
        "`lm_head` holds the weight of `shared` and stays as it is",
    )


def test_an_output_layer_that_is_named_too_takes_the_factors_of_its_embedding() -> None:
    chosen = select(gpt2(), ["embedding", "head"])
    assert [(t.name, t.tied, t.shares) for t in chosen.targets] == [("transformer.wte", ("lm_head",), ())]
    assert chosen.notes == ("`transformer.wte` and `lm_head` hold one weight and take the same factors",)


def test_an_output_layer_that_is_not_named_stays_as_it_is() -> None:
    chosen = select(gpt2(), ["embedding"])
    assert [(target.name, target.shares) for target in chosen.targets] == [("transformer.wte", ("lm_head",))]
    assert dict(chosen.skipped)["lm_head"] == "holds the weight of `transformer.wte`"


def test_what_is_not_selected_only_shares() -> None:
    (target,) = select(t5(), ["decoder.embedding"]).targets
    assert (target.name, target.tied) == ("decoder.embed_tokens", ())
    assert target.shares == ("shared", "encoder.embed_tokens", "lm_head")


def test_a_sharer_that_cannot_be_adapted_is_still_told() -> None:
    (target,) = select(gpt2(), ["embedding"], adaptable=lambda module: isinstance(module, nn.Embedding)).targets
    assert target.shares == ("lm_head",)


# Errors


def test_several_mistakes_are_reported_together() -> None:
    error = failure(bert(), on=["atention", "re:encoder"], exclude=["re:("], layers=[5])
    assert str(error) == (
        "`atention` is no role\n"
        "  hint: did you mean `attention`?\n"
        "`re:encoder` names only modules that cannot carry a spec: BertEncoder\n"
        "`re:(` is not a regular expression: missing ) at position 1\n"
        "this model has no layer 5\n"
        "  hint: its layers are 0..1"
    )


def test_only_modules_of_other_types_are_an_error_with_the_types() -> None:
    assert str(failure(bert(), on=[r"re:encoder\.layer\.0|.*\.dropout"])) == (
        r"`re:encoder\.layer\.0|.*\.dropout` names only modules that cannot carry a spec: Dropout, BertLayer"
    )


def test_an_exception_must_name_something_too() -> None:
    assert str(failure(bert(), exclude=["conv"])).startswith("this `bert` model has no `conv`\n")


def test_nothing_left_is_an_error() -> None:
    source = Source("W + A@B | on mlp except mlp.up, mlp.down")
    items = [Item(text, Span(source, at, at + len(text))) for text, at in (("mlp.up", 24), ("mlp.down", 32))]
    assert str(failure(bert(), on=["mlp"], exclude=items)) == (
        "<spec>:1:25: nothing is left to adapt: `except` takes all of it, `mlp.up`, `mlp.down`\n"
        "  W + A@B | on mlp except mlp.up, mlp.down\n"
        "                          ^^^^^^"
    )


def test_nothing_left_in_the_layers_is_an_error() -> None:
    error = failure(bert(), on=["mlp"], exclude=[r"re:.*\.1\..*"], layers=[1])
    assert str(error) == r"nothing is left to adapt in layers 1: `except` takes all of it, `re:.*\.1\..*`"


def test_a_default_outside_the_layers_is_an_error() -> None:
    model = nn.ModuleDict({"map": nn.Linear(4, 4), "norms": nn.ModuleList([nn.LayerNorm(4)])})
    assert str(failure(model, layers=[0])) == "nothing is left to adapt in layers 0"


# train


def test_a_head_is_trained_whole() -> None:
    model = tiny("RobertaForSequenceClassification", "roberta", **SIZES)
    assert select_modules(model, ["head"]) == [("classifier", model.classifier)]


def test_modules_are_trained_in_model_order_and_once() -> None:
    chosen = select_modules(bert(), [r"re:pooler\.dense", "re:pooler", "norm", r"re:embeddings\..*"])
    assert [name for name, _ in chosen] == [
        "embeddings.word_embeddings",
        "embeddings.position_embeddings",
        "embeddings.token_type_embeddings",
        "embeddings.LayerNorm",
        *[f"encoder.layer.{n}.{part}.LayerNorm" for n in (0, 1) for part in ("attention.output", "output")],
        "pooler",
    ]


def test_a_tower_head_can_be_trained() -> None:
    model = tiny("CLIPModel", "clip", **CLIP)
    assert [name for name, _ in select_modules(model, ["text.head"])] == ["text_projection"]


def test_norms_that_cannot_carry_a_spec_can_be_trained() -> None:
    model = tiny("DebertaModel", "deberta", **SIZES)
    assert len(select_modules(model, ["norm"])) == 5


def test_what_has_no_parameters_cannot_be_trained() -> None:
    with pytest.raises(SpecTargetError) as raised:
        select_modules(bert(), [r"re:.*\.dropout"])
    assert str(raised.value) == r"`re:.*\.dropout` names only modules without parameters: Dropout"


def test_mistakes_of_train_are_reported_together() -> None:
    with pytest.raises(SpecErrors) as raised:
        select_modules(bert(), ["head", "classifer"])
    assert [error.message for error in raised.value.errors] == [
        "this `bert` model has no `head`",
        "`classifer` is no role",
    ]


def test_train_without_items_is_nothing() -> None:
    assert select_modules(bert(), []) == []
