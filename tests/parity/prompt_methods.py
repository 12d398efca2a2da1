"""What is compared with PEFT of prompts and prefixes: their specs, settings and models, and PEFT's factors as ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from tests.runtime.growing import FUSED, SEQ2SEQ

Factors = dict[tuple[int, str], Tensor]
"""Tensors by the number of the adapted module and the name of the factor."""

AsOurs = Callable[[Mapping[str, Tensor], str, int, int], Factors]
"""PEFT's parameters, the type of the model, k and the number of adapted modules; to ours."""


@dataclass(frozen=True)
class PromptSetting:
    """One setting of a method in a model.

    Attributes:
        what: what differs from the default, for the table.
        model: a type of `tests.runtime.growing.MODELS`.
        options: fields of PEFT's configuration besides the number of rows.
        settings: hyper-parameters of the spec, and its indices.
        inputs: what is given to both: `task` to ours, and as `task_ids` to PEFT's.
        rows: how many are added.
        sizes: fields of the model's configuration.
    """

    what: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    rows: int = 3
    sizes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PromptMethod:
    """A method of the library and its reference.

    Attributes:
        spec: its name in the library.
        config: PEFT's configuration class.
        as_ours: what PEFT's parameters are in the spec.
        settings: the first is PEFT's default.
        options: fields that all of them share.
        double: the tolerance in float64, wider than 1e-10 only where PEFT rounds to float32.
        start: `same`, or where PEFT's is another one.
        spread: for a factor drawn at random, PEFT's standard deviation over ours; None where it begins elsewhere.
        deviation: where PEFT is not the paper, or the spec is not PEFT's.
    """

    spec: str
    config: str
    as_ours: AsOurs
    settings: tuple[PromptSetting, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    double: float = 1e-10
    start: str = "same"
    spread: Mapping[str, float | None] = field(default_factory=dict)
    deviation: str = ""


def prompt(own: Mapping[str, Tensor], model: str, k: int, modules: int) -> Factors:
    return {(0, "P"): own["embedding.weight"][:k]}


def network(own: Mapping[str, Tensor], model: str, k: int, modules: int) -> Factors:
    names = zip((0, 2, 4), ("C", "D", "E"), ("c", "d", "e"), strict=True)
    found = prompt(own, model, k, modules)
    for place, matrix, vector in names:
        found[0, matrix] = own[f"mlp_head.{place}.weight"].T
        found[0, vector] = own[f"mlp_head.{place}.bias"]
    return found


def tasks(own: Mapping[str, Tensor], model: str, k: int, modules: int) -> Factors:
    columns, rows = own["prefix_task_cols"], own["prefix_task_rows"]
    return {**prompt(own, model, k, modules), (0, "C"): columns[:, :k], (0, "R"): rows}


def moved(own: Mapping[str, Tensor], model: str, k: int, modules: int) -> Factors:
    return {(0, "D"): own["delta_embedding.weight"]}


def _part(table: Tensor, model: str, module: int, modules: int) -> Tensor:
    """What PEFT gives to one projection, of a table over the keys and values of all layers on its last axis."""
    layers = modules if model in FUSED else modules // 2
    halves = table.unflatten(-1, (2 * layers, -1))
    if model in FUSED:
        return halves[..., 2 * module : 2 * module + 2, :].flatten(-2)
    if model in SEQ2SEQ:  # it is cut into keys and values of two attentions for each layer
        return halves[..., 4 * (module // 2) % (2 * layers) + module % 2, :]
    return halves[..., module, :]


def prefix(own: Mapping[str, Tensor], model: str, k: int, modules: int) -> Factors:
    return {(i, "P"): _part(own["embedding.weight"], model, i, modules) for i in range(modules)}


def projected(own: Mapping[str, Tensor], model: str, k: int, modules: int) -> Factors:
    found = prompt(own, model, k, modules)
    found |= {(0, "C"): own["transform.0.weight"].T, (0, "c"): own["transform.0.bias"]}
    weight, bias = own["transform.2.weight"].T, own["transform.2.bias"]
    for i in range(modules):
        found |= {(i, "D"): _part(weight, model, i, modules), (i, "d"): _part(bias, model, i, modules)}
    return found


S = PromptSetting
TWICE = "in an encoder-decoder PEFT cuts its table for two attentions of a layer and takes that of one"
IDS = [5, 8, 3]
EVEN = {"num_key_value_heads": 4}
NETWORK = {"encoder_hidden_size": 7}


def words(ids: list[int], kinds: list[int], **more: Any) -> dict[str, Any]:
    return {"cpt_token_ids": ids, "cpt_tokens_type_mask": kinds, **more}


PROMPTS: tuple[PromptMethod, ...] = (
    PromptMethod("prompt_tuning", "PromptTuningConfig", prompt, (
        S("default, 20 rows", "gpt2", rows=20), S("BERT", "bert"), S("Llama", "llama"), S("DeBERTa", "deberta-v2"),
        S("encoder of T5", "t5"),
    ), start="PEFT starts P normal unless it is asked for words", spread={"P": None}),
    PromptMethod("p_tuning", "PromptEncoderConfig", network, (
        S("default, 20 rows", "gpt2", settings={"h": 32}, rows=20),
        S("7 hidden, BERT", "bert", NETWORK, {"h": 7}), S("7 hidden, Llama", "llama", NETWORK, {"h": 7}),
        S("7 hidden, encoder of T5", "t5", NETWORK, {"h": 7}),
    ), start="the same but for biases, which PEFT starts at random", spread={"c": None, "d": None, "e": None},
        deviation="the network is PEFT's `MLP`; its `LSTM` is no spec"),
    PromptMethod("multitask_prompt_tuning", "MultitaskPromptTuningConfig", tasks, (
        S("default, 20 rows", "gpt2", settings={"tasks": 1}, inputs={"task": 0}, rows=20),
        S("third of 4 tasks, BERT", "bert", {"num_tasks": 4}, {"tasks": 4}, {"task": 2}),
        S("rank 2, Llama", "llama", {"num_tasks": 2, "num_ranks": 2}, {"tasks": 2, "q": 2}, {"task": 1}),
        S("second of 2, ELECTRA", "electra", {"num_tasks": 2}, {"tasks": 2}, {"task": 1}),
    ), spread={"P": 50.0}, start="PEFT starts P wider, by a factor of 50",
        deviation="the task is that of all sequences of a pass, in PEFT each has its own"),
    PromptMethod("cpt", "CPTConfig", moved, (
        S("default, of format", "gpt2", words(IDS, [1, 1, 1]), {"I": IDS}),
        S("wider ball, of input, Llama", "llama", words(IDS, [2, 2, 2], opt_projection_epsilon=9.0), {"I": IDS}),
        S("rows of labels stay", "gpt2", words([*IDS, 9], [1, 2, 3, 4]), {"I": [*IDS, 9]}, {"moves": [1, 1, 1, 0]}, 4),
        S("a row twice, Mistral", "mistral", words([7, 7, 1, 4], [1, 1, 2, 3]), {"I": [7, 7, 1, 4]}, rows=4),
    ), double=1e-5,
        deviation="PEFT rounds the words and the radius to float32; the ball is kept at a step of training, in PEFT at "
        "every pass, and its radius is eps*sqrt(m/2048) there; PEFT's loss, which decays by label, is no part of the "
        "spec"),
    PromptMethod("prefix_tuning", "PrefixTuningConfig", prefix, (
        S("default, 20 rows", "llama", rows=20), S("BERT", "bert"), S("RoBERTa", "roberta"), S("Qwen3", "qwen3"),
        S("decoder of T5", "t5"),
    ), deviation=TWICE),
    PromptMethod("prefix_tuning_fused", "PrefixTuningConfig", prefix, (
        S("default, 20 rows", "gpt2", rows=20), S("one row", "gpt2", rows=1),
        S("Phi-3", "phi3", sizes=EVEN), S("5 rows, Phi-3", "phi3", rows=5, sizes=EVEN),
    )),
    PromptMethod("prefix_tuning_mlp", "PrefixTuningConfig", projected, (
        S("default, 20 rows", "llama", settings={"h": 16}, rows=20),
        S("7 hidden, BERT", "bert", NETWORK, {"h": 7}), S("7 hidden, Qwen3", "qwen3", NETWORK, {"h": 7}),
        S("7 hidden, decoder of T5", "t5", NETWORK, {"h": 7}),
    ), {"prefix_projection": True}, start="the same but for biases, which PEFT starts at random",
        spread={"c": None, "d": None}, deviation=TWICE),
)  # fmt: skip
