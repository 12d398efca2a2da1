"""Where rows that `y' = [P; y]` adds to the tokens go in a model, and the hooks that see to it.

Outside of transformers' models a module's output simply has the rows in front. Inside, prompts go to the token
embedding of a stack, prefixes to the keys and values of self-attention; every other place is refused by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from specdsl.errors import SpecNotBuiltError, SpecTargetError
from specdsl.ir import Apply, SpecIR, topological
from specdsl.lowering.module_adapters import ModuleAdapters
from specdsl.role_names import split_tower
from specdsl.runtime.member import Member
from specdsl.runtime.prefixed_attention import PrefixedConfig
from specdsl.runtime.roles import model_type_of
from specdsl.runtime.stack_passes import check_room, enter, enter_pooler, leave
from specdsl.runtime.surveyed_modules import SurveyedModule

PREFIXED = frozenset({
    "bert", "roberta", "xlm-roberta", "camembert", "electra", "distilbert", "gpt2", "llama", "mistral", "qwen2",
    "qwen3", "gemma", "gemma2", "gemma3_text", "smollm3", "olmo2", "phi3", "t5", "mt5",
})  # fmt: skip
"""Model types whose keys and values may have rows that the tokens have not."""

PROMPTED = PREFIXED | {"deberta-v2"}
"""Model types whose token embedding may have rows in front of the tokens."""


_BY_DISTANCE = (
    "its attention scores every key by its distance from the query too, and computes this from the tokens alone"
)
NO_PREFIXES = {"deberta": _BY_DISTANCE, "deberta-v2": _BY_DISTANCE}
"""Why a type of models can have no rows beside its keys and values."""


@dataclass(frozen=True)
class Place:
    """Where one module's rows go.

    Attributes:
        stacks: whose token embedding the module is; empty for keys and values.
        attention: the self-attention that the module is a projection of.
        projection: its name there.
    """

    stacks: tuple[nn.Module, ...] = ()
    attention: nn.Module | None = None
    projection: str = ""


def check_rows(model: nn.Module, modules: Sequence[SurveyedModule]) -> None:
    """Raise unless all rows that a spec adds have a place in the model.

    Raises:
        SpecTargetError: a module of a transformers' model cannot have them, or keys would have other rows than values.
        SpecNotBuiltError: the rows do not come first.
        SpecSettingError: they take all positions that the model has.
    """
    growing = [module for module in modules if module.lowered.added_rows]
    for module in growing:
        _check_rows_come_first(module.lowered.ir)
    if growing and _is_of_transformers(model):
        places = [(place_of(model, module), module) for module in growing]
        attentions: dict[int, list[SurveyedModule]] = {}
        for place, module in places:
            if place.attention is not None:
                attentions.setdefault(id(place.attention), []).append(module)
        for projections in attentions.values():
            _check_together(projections)
        for stack in stacks(model):
            _check_room(stack, places)


def serve(model: nn.Module, members: Sequence[Member]) -> None:
    """See to it that passes through the model have the rows of these members, and know their padding."""
    inside = _is_of_transformers(model)
    for member in members:
        if not inside:
            break
        if member.layer.lowered.added_rows:
            _serve_rows(model, place_of(model, member.surveyed), member)
        if member.layer.lowered.output.reads_across_tokens:
            role = split_tower(member.surveyed.target.role or "")[1]
            of_encoder = role in ("cross_attention.key", "cross_attention.value", "cross_attention.qkv")
            member.layer.mask = "encoder_attention_mask" if of_encoder else "attention_mask"
    if inside and _is_needed(model):
        for stack in stacks(model):
            _hook(stack)


def let_go(model: nn.Module) -> None:
    """Take away what no adapter needs any more."""
    for part in model.modules():
        config = getattr(part, "config", None)
        if isinstance(config, PrefixedConfig) and not any(_adds_rows(state) for state in config.states):
            part.config = config.config
    if not _is_needed(model):
        for stack in stacks(model):
            for handle in stack.__dict__.pop(_HANDLES, ()):
                handle.remove()


def stacks(model: nn.Module) -> Iterator[PreTrainedModel]:
    """The models inside a model that hold no further one: what turns ids into hidden states."""
    for part in model.modules():
        inner = (child for child in part.modules() if child is not part)
        if isinstance(part, PreTrainedModel) and not any(isinstance(child, PreTrainedModel) for child in inner):
            yield part


def place_of(model: nn.Module, module: SurveyedModule) -> Place:
    """Where the rows of a module of a transformers' model go.

    Raises:
        SpecTargetError: nowhere.
    """
    target = module.target
    modules = (target.module, *target.tied_modules)
    embedded = tuple(stack for stack in stacks(model) if stack.get_input_embeddings() in modules)
    kind = model_type_of(model)
    if embedded:
        _check_type(kind, PROMPTED, f"the token embedding `{target.name}`")
        return Place(stacks=embedded)
    role = split_tower(target.role or "")[1]
    if role in ("attention.key", "attention.value", "attention.qkv"):
        _check_type(kind, PREFIXED, f"`{target.name}`", NO_PREFIXES.get(kind or ""))
        attention, _, projection = target.name.rpartition(".")
        return Place(attention=model.get_submodule(attention), projection=projection)
    raise SpecTargetError(
        f"`{target.name}` cannot have rows beside those of the tokens",
        hint="they go to the token embedding (a prompt), or to attention.key and attention.value together (a prefix)",
    )


def _check_type(kind: str | None, known: frozenset[str], what: str, reason: str | None = None) -> None:
    if kind not in known:
        because = f": {reason}" if reason else ""
        raise SpecTargetError(
            f"rows cannot be added to {what} of a {kind} model{because}", hint=f"they can in {', '.join(sorted(known))}"
        )


def _check_room(stack: PreTrainedModel, places: Sequence[tuple[Place, SurveyedModule]]) -> None:
    parts = set(stack.modules())
    prompts = [module.lowered.added_rows for place, module in places if stack in place.stacks]
    prefixes = [module.lowered.added_rows for place, module in places if place.attention in parts]
    check_room(stack, sum(prompts), max(prefixes, default=0))


def _check_together(projections: Sequence[SurveyedModule]) -> None:
    roles = {split_tower(module.target.role or "")[1]: module for module in projections}
    first = projections[0]
    if "attention.qkv" in roles:
        return
    for role in ("attention.key", "attention.value"):
        if role not in roles:
            raise SpecTargetError(
                f"`{first.target.name}` would have {first.lowered.added_rows} rows more than the {role} beside it",
                hint="keys and values come in pairs: `on attention.key, attention.value`",
            )
    key, value = (roles[role].lowered.added_rows for role in ("attention.key", "attention.value"))
    if key != value:
        raise SpecTargetError(f"`{first.target.name}` would have {key} rows more, but the values beside it {value}")


def _check_rows_come_first(ir: SpecIR) -> None:
    for node in topological(ir.targets.values()):
        if not (isinstance(node, Apply) and node.operator == "vcat" and "tokens" in node.shape[0].symbols):
            continue
        if any("tokens" in part.shape[0].symbols for part in node.arguments[:-1]):
            raise SpecNotBuiltError("rows can be added in front of those of the tokens, `[P; y]`, not behind them")


def _serve_rows(model: nn.Module, place: Place, member: Member) -> None:
    for state in member.states:
        state.keeps_rows = True
    attention: Any = place.attention
    if attention is None:
        return
    before = attention.config
    if isinstance(before, PrefixedConfig):
        names = [*dict.fromkeys((*before.projections, place.projection))]
        attention.config = PrefixedConfig(before.config, attention, _ordered(names, attention), before.biased)
    else:
        attention.config = PrefixedConfig(before, attention, [place.projection], _biased(model, attention))


def _biased(model: nn.Module, attention: nn.Module) -> nn.Module | None:
    """The attention whose bias of relative positions all blocks of the same stack add to their scores."""
    parts = next((list(stack.modules()) for stack in stacks(model) if attention in stack.modules()), [])
    return next((part for part in parts if getattr(part, "has_relative_attention_bias", False)), None)


def _ordered(names: Sequence[str], attention: nn.Module) -> list[str]:
    """Key before value, as they stand in the attention."""
    return [name for name, _ in attention.named_children() if name in names]


def _is_of_transformers(model: nn.Module) -> bool:
    return any(isinstance(part, PreTrainedModel) for part in model.modules())


def _adds_rows(state: ModuleAdapters | None) -> bool:
    return state is not None and any(adapter.lowered.added_rows for adapter in state.adapters.values())


def _is_needed(model: nn.Module) -> bool:
    """Whether an adapter in the model adds rows or reads a mask."""
    states = [part for part in model.modules() if isinstance(part, ModuleAdapters)]
    return any(_adds_rows(state) or any(one.mask for one in state.adapters.values()) for state in states)


def _hook(stack: Any) -> None:
    if _HANDLES in stack.__dict__:
        return
    handles = [
        stack.register_forward_pre_hook(enter, with_kwargs=True),
        stack.register_forward_hook(leave, with_kwargs=True),
    ]
    pooler = getattr(stack, "pooler", None)
    if isinstance(pooler, nn.Module):
        handles.append(pooler.register_forward_pre_hook(partial(enter_pooler, stack)))
    setattr(stack, _HANDLES, handles)


_HANDLES = "specdsl_hooks"
"""The attribute of a stack that holds the handles of its hooks."""
