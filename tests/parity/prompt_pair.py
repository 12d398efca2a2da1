"""A model with PEFT's prompt or prefix and its double with ours, of the same factors, and how far they are apart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import peft
import torch
from torch import Tensor

import specdsl
from specdsl.runtime.adapter import Adapter
from tests.parity.deviations import FACTORS, FORWARD, relative
from tests.parity.prompt_methods import Factors, PromptMethod, PromptSetting
from tests.runtime.growing import DECODERS, FUSED, RIGHT, SEQ2SEQ, inputs, model_of


@dataclass(frozen=True)
class PromptPair:
    """Two models as functions of nothing that give the logits of the tokens, and their parameters.

    Attributes:
        ours, theirs: run each model on the same two sequences, one of them padded.
        adapter: ours.
        parameters: PEFT's, by name.
        as_ours: the same as our factors; gradients flow back through it.
    """

    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]
    adapter: Adapter
    parameters: Mapping[str, Tensor]
    as_ours: Callable[[Mapping[str, Tensor]], Factors]


def pair_at_start(method: PromptMethod, one: PromptSetting, dtype: torch.dtype, seed: int = 0) -> PromptPair:
    """Both as they begin."""
    model = model_of(one.model, **one.sizes).to(dtype)
    theirs = _peft_model(method, one, copy.deepcopy(model), seed).to(dtype).eval()
    adapter = _attached(method, one, model, dtype, seed)
    given = {name: torch.tensor(value) for name, value in one.inputs.items()}
    adapter.set_inputs(**given)
    task = {"task_ids": given["task"].expand(2)} if "task" in given else {}
    parameters = dict(theirs.prompt_encoder["default"].named_parameters())
    batch = inputs(one.model)
    return PromptPair(
        lambda: _of_tokens(one, model(**batch).logits),
        lambda: _of_tokens(one, theirs(**batch, **task).logits),
        adapter,
        {name: value for name, value in parameters.items() if value.requires_grad},
        lambda own: method.as_ours(own, one.model, one.rows, len(adapter.members)),
    )


def trained_pair(method: PromptMethod, one: PromptSetting, dtype: torch.dtype) -> PromptPair:
    """Both with the same factors, drawn as if after training."""
    pair = pair_at_start(method, one, dtype)
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in pair.parameters.values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64))
        pair.theirs()  # CPT projects its factor while it runs
        values = pair.as_ours(pair.parameters)
        for key, own in own_factors(pair.adapter).items():
            own.copy_(values[key])
    return pair


def deviations(pair: PromptPair) -> dict[str, float]:
    """The deviation of the logits, and of the gradients carried back to PEFT's parameters by the chain rule."""
    ours, theirs = pair.ours(), pair.theirs()
    weights = torch.randn(ours.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64).to(ours.dtype)
    factors = own_factors(pair.adapter)
    gradients = torch.autograd.grad((ours * weights).sum(), list(factors.values()))
    # Of copies, since PEFT changes gradients by hooks on its parameters.
    copies = {name: value.detach().clone().requires_grad_() for name, value in pair.parameters.items()}
    values = pair.as_ours(copies)
    carried = torch.autograd.grad(
        [values[key] for key in factors], list(copies.values()), gradients, materialize_grads=True
    )
    expected = torch.autograd.grad((theirs * weights).sum(), list(pair.parameters.values()), materialize_grads=True)
    return {FORWARD: relative(ours, theirs), FACTORS: max(map(relative, carried, expected))}


def effect(pair: PromptPair) -> float:
    """How much the rows change the logits, to know that something was compared."""
    with pair.adapter.disabled(), torch.no_grad():
        bare = pair.ours()
    return float((pair.ours() - bare).abs().max())


def own_factors(adapter: Adapter) -> Factors:
    """The trained factors of an adapter."""
    places = {member.name: place for place, member in enumerate(adapter.members)}
    return {(places[name], factor): value for name, factor, value in adapter.trained_factors()}


def _of_tokens(one: PromptSetting, logits: Tensor) -> Tensor:
    """Those of the tokens that are no padding: PEFT's have the rows of a prompt in front."""
    if one.model in SEQ2SEQ:
        return logits
    return logits[:, -RIGHT.shape[1] :][RIGHT.bool()]


def _peft_model(method: PromptMethod, one: PromptSetting, model: Any, seed: int) -> Any:
    kind = "SEQ_2_SEQ_LM" if one.model in SEQ2SEQ else "CAUSAL_LM" if one.model in DECODERS else "TOKEN_CLS"
    rows = {} if "cpt_token_ids" in one.options else {"num_virtual_tokens": one.rows}
    config = getattr(peft, method.config)(**{"task_type": kind, **rows, **method.options, **one.options})
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return peft.get_peft_model(model, config)


def _attached(method: PromptMethod, one: PromptSetting, model: Any, dtype: torch.dtype, seed: int) -> Adapter:
    tower = "" if one.model not in SEQ2SEQ else "decoder." if "prefix" in method.spec else "encoder."
    places = ["embedding"] if "prefix" not in method.spec else ["attention.key", "attention.value"]
    roles = ["attention.qkv"] if one.model in FUSED and "prefix" in method.spec else [tower + one for one in places]
    return specdsl.attach(
        model, method.spec, on=roles, dtype=dtype, seed=seed, events=False, k=one.rows, **one.settings
    )  # fmt: skip
