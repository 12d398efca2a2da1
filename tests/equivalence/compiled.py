"""The values of a spec at a witness, by a module of torch that carries it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import specdsl
from specdsl.equivalence.exact.replay import numbers
from specdsl.equivalence.exact.shapes import has_open_rank
from specdsl.equivalence.subject import Subject
from specdsl.equivalence.verdict import Witness


def rank_of(subject: Subject, witness: Witness) -> dict[str, int]:
    return {"r": int(witness.sizes["r"])} if has_open_rank(subject.ir) else {}


def compiled(subject: Subject, witness: Witness, factors: Any) -> dict[str, Any]:
    """The compared values by a module of torch that carries the spec."""
    W = numbers(witness.site["W"])
    bias = numbers(witness.site["b"]) if "b" in witness.site else np.zeros(W.shape[1])
    layer = nn.Linear(*W.shape).double()
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(W.T))
        layer.bias.copy_(torch.from_numpy(bias))
    rank = rank_of(subject, witness)
    model = nn.Sequential(layer).eval()
    adapter = specdsl.attach(model, subject.spec, on="re:0", dtype="float64", **rank)
    with torch.no_grad():
        for _, name, value in adapter.factors():
            value.copy_(torch.from_numpy(numbers(factors[name])))
    model.eval()
    x = numbers(witness.site["x"]) if "x" in witness.site else np.eye(len(W))
    with torch.no_grad():
        output, at_zero = (model(torch.from_numpy(tokens)).numpy() for tokens in (x, np.zeros_like(x)))
    if subject.level == "tokens":
        return {"y'": output}
    found = {"W'": output - at_zero, "b'": at_zero[0]}
    return {name: found[name] for name in subject.values}
