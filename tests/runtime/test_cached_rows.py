"""A cache goes on only with the rows that it was made with."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from transformers import DynamicCache, StaticCache

import specdsl
from specdsl.errors import SpecSettingError
from specdsl.runtime.adapter import Adapter
from tests.runtime.growing import IDS, SPEC, model_of, prefixed, prompted

WAYS = {"prompt": prompted, "prefix": prefixed}
each = pytest.mark.parametrize("name", ["gpt2", "llama"])
both = pytest.mark.parametrize("way", WAYS)
NEXT = torch.tensor([[7], [9]])


@torch.no_grad()
def made(model: Any) -> Any:
    return model(input_ids=IDS, use_cache=True).past_key_values


@each
@both
def test_a_cache_made_while_an_adapter_was_disabled_is_refused(name: str, way: str) -> None:
    model = model_of(name)
    adapter = WAYS[way](model, name)
    with adapter.disabled():
        cache = made(model)
    with pytest.raises(SpecSettingError, match=f"made with no added rows .* this pass has the 3 rows of the {way}"):
        model(input_ids=NEXT, past_key_values=cache)


@each
@both
def test_a_cache_made_with_an_adapter_is_refused_while_it_is_disabled(name: str, way: str) -> None:
    model = model_of(name)
    adapter = WAYS[way](model, name)
    given = DynamicCache(config=model.config)
    with torch.no_grad():
        model(input_ids=IDS, past_key_values=given)
        as_tuple = model(input_ids=IDS, use_cache=True, return_dict=False)[1]
    for cache in (made(model), as_tuple, given):
        with adapter.disabled(), pytest.raises(SpecSettingError, match="but this pass has no added rows"):
            model(input_ids=NEXT, past_key_values=copy.deepcopy(cache))


@both
def test_a_cache_made_before_the_adapter_was_attached_is_refused(way: str) -> None:
    model = model_of("llama")
    cache = made(model)
    WAYS[way](model, "llama")
    with pytest.raises(SpecSettingError, match="made with no added rows"):
        model(input_ids=NEXT, past_key_values=cache)


def test_a_cache_made_with_another_adapter_is_refused() -> None:
    model = model_of("gpt2")
    first = prompted(model, "gpt2")
    cache = made(model)
    first.detach()
    specdsl.attach(model, SPEC, on="embedding", name="second", dtype="float64")
    with pytest.raises(SpecSettingError, match=r"the 3 rows of the prompt `default` .* of the prompt `second`"):
        model(input_ids=NEXT, past_key_values=cache)


def test_a_cache_that_was_emptied_takes_the_rows_of_its_next_pass() -> None:
    model = model_of("llama")
    adapter: Adapter = prefixed(model, "llama")
    cache = StaticCache(model.config, max_cache_len=9)
    with torch.no_grad():
        with adapter.disabled():
            model(input_ids=IDS, past_key_values=cache)
        cache.reset()
        model(input_ids=IDS, past_key_values=cache)
        found = model(input_ids=NEXT, past_key_values=cache).logits
        expected = model(input_ids=torch.cat([IDS, NEXT], 1)).logits
    torch.testing.assert_close(found[:, -1], expected[:, -1])
