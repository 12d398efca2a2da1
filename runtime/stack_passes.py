"""What a pass through a stack of blocks needs besides its modules: rows in front of the tokens, and which are padding.

A stack is the model that turns token ids into hidden states: `BertModel`, `LlamaModel`, one of T5's two. Rows added to
its token embedding go in front of the tokens, with the mask, the positions and the token types extended by them, and
leave again at its end: heads, pooling and labels see the tokens alone. Positions count all added rows, also those of
keys and values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from specdsl.errors import SpecSettingError
from specdsl.lowering.adapted import ModuleAdapters, adapters_of
from specdsl.lowering.layer_adapter import LayerAdapter
from specdsl.runtime.cached_rows import AddedRows, check_cache, note_rows, rows_of
from specdsl.runtime.prefixed_attention import SEEN, PrefixedConfig

Arguments = dict[str, Any]


def enter(stack: nn.Module, args: tuple[Any, ...], kwargs: Arguments) -> tuple[tuple[Any, ...], Arguments] | None:
    """A forward pre-hook of a stack: the arguments with the added rows in them; every adapter gets its mask."""
    prompt, prefix, readers = _prompt_rows(stack), _prefix_rows(stack), _readers(stack)
    call = {**dict(zip(_parameters(stack), args, strict=False)), **kwargs}
    of_encoder = _cross_mask(call)
    check_cache(call.get("past_key_values"), _added_rows(stack))
    if not (prompt or prefix or readers or of_encoder):
        return None
    call |= of_encoder
    seen = _seen(call)
    if prompt:
        _refuse_fixed_cache(call, prompt)
    if any(config.biased is not None and config.added_rows for config in _prefixed(stack)):
        call[SEEN] = seen
    if readers or prompt:
        _check_mask(call, "attention_mask")
    if readers:
        _check_mask(call, "encoder_attention_mask")
        _check_sequences(call, seen)
        _tell(readers, call)
    if prompt or prefix:
        _extend(stack, call, prompt, prefix, seen)
    if readers and prompt:
        embedding = set(_adapters(_embedding(stack)))
        _tell([reader for reader in readers if reader not in embedding], call)
    return (), call


def leave(stack: nn.Module, args: tuple[Any, ...], kwargs: Arguments, output: Any) -> Any:
    """A forward hook of a stack: the output without the added rows, unless a decoder is to attend to them."""
    rows = _prompt_rows(stack)
    if added := _added_rows(stack):
        note_rows(output, added)
    for prefixed in _prefixed(stack):
        if any(state.take_rows() is not None for state in prefixed.states):
            raise SpecSettingError(
                f"the attention of this {type(stack).__name__} has not taken the rows added to its keys and values",
                hint="the release of transformers may compute it in another way",
            )
    if not getattr(stack, "is_gradient_checkpointing", False):  # which computes the blocks once more in backward
        for reader in _readers(stack):
            reader.is_token.take()
    embedded = kwargs.get("inputs_embeds")
    config: Any = stack.config
    feeds_decoder = config.is_encoder_decoder and not getattr(config, "is_decoder", False)
    if not rows or embedded is None or feeds_decoder:
        return None
    return _without(output, rows, embedded.shape[1])


def check_room(stack: nn.Module, prompt: int, prefix: int) -> None:
    """Raise unless the positions of a stack have room for a token beside the rows that are to be added.

    Args:
        stack: the model.
        prompt, prefix: how many rows an adapter is going to add to the tokens, and to keys and values.

    Raises:
        SpecSettingError: there is none, so that every pass would fail.
    """
    added = prompt + prefix + _prompt_rows(stack) + _prefix_rows(stack)
    table, first = _position_table(stack), _first_position(stack)
    if table is not None and first + added + 1 > table.num_embeddings:
        room = table.num_embeddings - first
        raise SpecSettingError(
            f"{added} rows in front of the tokens leave no place for a token: the {type(stack).__name__} has {room} "
            "positions",
            hint=f"at most {room - 1} rows, and every one of them shortens the longest text",
        )


def enter_pooler(stack: nn.Module, pooler: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """What a pooler inside a stack sees: the tokens alone."""
    return (args[0][:, _prompt_rows(stack) :], *args[1:])


def _cross_mask(call: Arguments) -> Arguments:
    """The mask of what an encoder gives to a decoder, where rows in front of it are missing there."""
    states, mask = call.get("encoder_hidden_states"), call.get("encoder_attention_mask")
    if states is None or mask is None or mask.dim() != 2 or mask.shape[1] >= states.shape[1]:
        return {}
    return {"encoder_attention_mask": _in_front(mask, states.shape[1] - mask.shape[1], 1)}


def _extend(stack: nn.Module, call: Arguments, prompt: int, prefix: int, seen: int) -> None:
    """Put the rows of a prompt in front of the tokens; count all added rows in the positions."""
    ids = call.get("input_ids")
    if prompt and ids is None:
        raise SpecSettingError(
            "a prompt goes in front of token ids, but the model is given something else (`inputs_embeds`)"
        )
    given = ids if ids is not None else call["inputs_embeds"]
    tokens_seen, length = max(seen - prompt, 0), given.shape[1]
    mask = call.get("attention_mask")
    if prompt and mask is not None and mask.shape[1] != tokens_seen + length:
        raise SpecSettingError(
            f"the attention mask is for {mask.shape[1]} tokens, but there are {tokens_seen + length}; a prompt extends "
            "it by itself",
        )
    positions = _positions(stack, call, given, prompt, prefix, tokens_seen)
    if positions is not None:
        call["position_ids"] = positions
    if not prompt:
        return
    if mask is not None:
        call["attention_mask"] = _in_front(mask, prompt, 1)
    if seen:
        return
    embedding = _embedding(stack)
    state = adapters_of(embedding)
    tokens = embedding(call.pop("input_ids"))
    rows = None if state is None else state.take_rows()
    if rows is None:
        raise SpecSettingError(
            f"the token embedding of this {type(stack).__name__} has given no rows in this pass",
            hint="was the adapter switched on or off while the pass was under way?",
        )
    call["inputs_embeds"] = torch.cat([rows.expand(tokens.shape[0], *rows.shape[-2:]), tokens], 1)
    if call.get("token_type_ids") is not None:
        call["token_type_ids"] = _in_front(call["token_type_ids"], prompt, 0)


def _positions(
    stack: nn.Module, call: Arguments, given: Tensor, prompt: int, prefix: int, seen: int
) -> Tensor | None:  # fmt: skip
    """The positions of a pass; None where the stack counts them rightly by itself, or has none."""
    if "position_ids" not in _parameters(stack):
        return None
    added, length, first = prompt + prefix, given.shape[1], _first_position(stack)
    _check_positions(stack, first + added + seen + length)
    positions = call.get("position_ids")
    if positions is None:
        if first == 0 and not prefix:
            return None
        positions = _own_positions(stack, given, first, seen)
    if positions.dim() != 2:
        raise SpecSettingError(f"rows can be added to positions of 2 axes, and these have {positions.dim()}")
    positions = positions + added
    if prompt and not seen:
        front = torch.arange(prompt, device=positions.device) + first + prefix
        positions = torch.cat([front.to(positions.dtype).expand(positions.shape[0], -1), positions], 1)
    return positions


def _own_positions(stack: Any, given: Tensor, first: int, seen: int) -> Tensor:
    """The positions that the stack would give to the tokens."""
    if first and given.dim() == 2:
        found: Tensor = stack.embeddings.create_position_ids_from_input_ids(given, first - 1, seen)
        return found
    return (torch.arange(given.shape[1], device=given.device) + first + seen)[None]


def _first_position(stack: nn.Module) -> int:
    """RoBERTa and its kin count from the place after that of padding."""
    embeddings: Any = getattr(stack, "embeddings", None)
    return embeddings.padding_idx + 1 if hasattr(embeddings, "create_position_ids_from_input_ids") else 0


def _check_positions(stack: nn.Module, wanted: int) -> None:
    table = _position_table(stack)
    if table is not None and wanted > table.num_embeddings:
        raise SpecSettingError(
            f"the tokens and the rows added to them take {wanted} positions, but the model has {table.num_embeddings}",
            hint="shorten the texts, or add fewer rows",
        )


def _position_table(stack: nn.Module) -> nn.Embedding | None:
    table = getattr(getattr(stack, "embeddings", stack), "position_embeddings", None) or getattr(stack, "wpe", None)
    return table if isinstance(table, nn.Embedding) else None


def _refuse_fixed_cache(call: Arguments, prompt: int) -> None:
    past = call.get("past_key_values")
    if getattr(past, "is_compileable", False):
        raise SpecSettingError(
            f"a {type(past).__name__} has no place for the {prompt} rows of a prompt", hint="use the default cache"
        )


def _check_mask(call: Arguments, name: str) -> None:
    mask = call.get(name)
    if mask is not None and (not isinstance(mask, Tensor) or mask.dim() != 2):
        axes = f"of {mask.dim()} axes" if isinstance(mask, Tensor) else f"as a {type(mask).__name__}"
        raise SpecSettingError(
            f"a spec that adds rows or reads across tokens takes `{name}` as `batch x tokens`, not {axes}"
        )


def _check_sequences(call: Arguments, seen: int) -> None:
    """What reads across the tokens of a sequence has to see all of it, and nothing else."""
    if seen:
        raise SpecSettingError(
            "a spec that reads across the tokens of a sequence cannot go on from a cache, which has them no more",
            hint="`use_cache=False`",
        )
    positions = call.get("position_ids")
    jumps = positions is not None and bool((positions.diff(dim=-1) != 1).any())
    if call.get("cu_seq_lens_q") is not None or (jumps and call.get("attention_mask") is None):
        raise SpecSettingError("a spec that reads across the tokens of a sequence cannot tell packed sequences apart")


def _tell(readers: list[LayerAdapter], call: Arguments) -> None:
    """Give every adapter the mask of the tokens that come into it."""
    for reader in readers:
        mask = call.get(reader.mask)
        reader.is_token.put(None if mask is None else mask != 0)


def _readers(stack: nn.Module) -> list[LayerAdapter]:
    states = (part for part in stack.modules() if isinstance(part, ModuleAdapters))
    running = (state.running_adapter(name) for state in states for name in state.running)
    return [adapter for adapter in running if adapter.mask]


def _prompt_rows(stack: nn.Module) -> int:
    state = adapters_of(_embedding(stack))
    return state.added_rows if state is not None and state.keeps_rows else 0


def _prefix_rows(stack: nn.Module) -> int:
    return max((config.added_rows for config in _prefixed(stack)), default=0)


def _added_rows(stack: nn.Module) -> AddedRows:
    """All rows of a stack, as they are noted on a cache."""
    embedded = adapters_of(_embedding(stack))
    prompts = [embedded] if embedded is not None and embedded.keeps_rows else []
    prefixes = (state for config in _prefixed(stack) for state in config.states)
    return tuple(sorted({*rows_of("prompt", prompts), *rows_of("prefix", prefixes)}))


def _prefixed(stack: nn.Module) -> list[PrefixedConfig]:
    configs = (getattr(part, "config", None) for part in stack.modules())
    return [config for config in configs if isinstance(config, PrefixedConfig)]


def _adapters(module: nn.Module) -> Iterator[LayerAdapter]:
    state: ModuleAdapters | None = adapters_of(module)
    yield from () if state is None else state.adapters.values()


def _embedding(stack: Any) -> nn.Module:
    found: nn.Module = stack.get_input_embeddings()
    return found


def _seen(call: Arguments) -> int:
    """How many rows a cache holds already."""
    past = call.get("past_key_values")
    return 0 if past is None else int(past.get_seq_length())


def _in_front(values: Tensor, rows: int, value: int) -> Tensor:
    return torch.cat([values.new_full((values.shape[0], rows), value), values], 1)


def _without(value: Any, rows: int, length: int) -> Any:
    """All hidden states in an output without their first rows."""
    if isinstance(value, Tensor):
        return value[:, rows:] if value.dim() == 3 and value.shape[1] == length else value
    if isinstance(value, dict):
        for name in list(value):
            value[name] = _without(value[name], rows, length)
        return value
    return type(value)(_without(one, rows, length) for one in value) if isinstance(value, tuple | list) else value


@cache
def _parameters_of(forward: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(forward).parameters)[1:]


def _parameters(stack: nn.Module) -> tuple[str, ...]:
    return _parameters_of(type(stack).forward)
