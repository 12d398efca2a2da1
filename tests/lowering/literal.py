"""Methods written out by hand in float64, beside the spec that says the same; layers as `y = x W + b`.

The formulas compute the output from the module's own values, with nothing of specdsl: what a spec lowers to is
held to them, in value and in every gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.bart.modeling_bart import BartScaledWordEmbedding
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.pytorch_utils import Conv1D

import specdsl
from specdsl.runtime.adapter import Adapter

Values = Any
"""`v.W`, `v.b`, `v.x`, `v.y` of a module, its factors by name, and their starts as `v.A0`."""

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

Formula = Callable[[Values], Tensor]


def columns(M: Tensor) -> Tensor:
    """The norm of every column."""
    return (M * M).sum(0).sqrt()


def cayley(q: Tensor) -> Tensor:
    Q = (q - q.T) / 2
    eye = torch.eye(len(q), dtype=q.dtype)
    return (eye - Q) @ torch.linalg.inv(eye + Q)


def dora(v: Values) -> Tensor:
    V = v.W + 2 * v.A @ v.B
    return v.x @ (V * (v.g / columns(V).detach())) + v.b


def svdiff(v: Values) -> Tensor:
    U, S, V = torch.linalg.svd(v.W.detach(), full_matrices=False)
    return v.x @ (U @ torch.diag(S + v.d) @ V) + v.b


def attended(v: Values) -> Tensor:
    Z = v.x @ v.A
    return v.y + torch.softmax(Z @ Z.mT / 2**0.5, -1) @ Z @ v.B


WEIGHTS: dict[str, tuple[str, Formula]] = {
    "lora": ("W + alpha/r * A@B | r = 2 | alpha = 4", lambda v: v.x @ (v.W + 2 * v.A @ v.B) + v.b),
    "flora": ("W + A@G@B | r = 2", lambda v: v.x @ (v.W + v.A @ v.G @ v.B) + v.b),
    "card": ("U*diag(s)*W*diag(t)", lambda v: v.x @ (v.U @ torch.diag(v.s) @ v.W @ torch.diag(v.t)) + v.b),
    "scaled_lora": (
        "W@diag(t) + A@B@diag(t) | r = 2",
        lambda v: v.x @ (v.W @ torch.diag(v.t) + v.A @ v.B @ torch.diag(v.t)) + v.b,
    ),
    "dora": (
        "r = 2\nV = W + 2 * A@B\ng ~ colnorm(V)\nW' = V @ diag(g ./ stop(colnorm(V)))",
        dora,
    ),
    "pissa": (
        (
            "r = 2\nU, S, V = svd(W)\nA ~ U[:, :r] @ diag(sqrt(S[:r]))\nB ~ diag(sqrt(S[:r])) @ V[:r, :]\n"
            "W' = W + A@B - init(A@B)"
        ),
        lambda v: v.x @ (v.W + v.A @ v.B - v.A0 @ v.B0) + v.b,
    ),
    "vera": (
        (
            "r = 3\nfrozen shared A : max(layers(n)) x r ~ kaiming(seed=0)\n"
            "frozen shared B : r x max(layers(m)) ~ kaiming(seed=1)\nd ~ 0.1\n"
            "W' = W + A[:n, :]@diag(d)@B[:, :m]@diag(e)"
        ),
        lambda v: v.x @ (v.W + v.A @ torch.diag(v.d) @ v.B @ torch.diag(v.e)) + v.b,
    ),
    "svdiff": ("U, S, V = svd(W)\nW' = U@diag(S + d)@V", svdiff),
    "hadamard": ("W .* (1 + A@B) | r = 2", lambda v: v.x @ (v.W * (1 + v.A @ v.B)) + v.b),
    "rotation": ("q : n x n ~ zeros\nW' = cayley(skew(q)) @ W", lambda v: v.x @ (cayley(v.q) @ v.W) + v.b),
    "full": ("W + D", lambda v: v.x @ (v.W + v.D) + v.b),
    "input_scale": ("x' = x .* k", lambda v: (v.x * v.k) @ v.W + v.b),
}
"""Methods that are a weight `W'`."""

OUTPUTS: dict[str, tuple[str, Formula]] = {
    "ia3": ("y' = y .* l", lambda v: v.y * v.l),
    "hydra": ("y' = y + x@A@B + y@C@D | r = 2", lambda v: v.y + v.x @ v.A @ v.B + v.y @ v.C @ v.D),
    "parallel": ("y + relu(x@A)@B | r = 2", lambda v: v.y + torch.relu(v.x @ v.A) @ v.B),
    "houlsby": ("y + gelu(y@A)@B | r = 2", lambda v: v.y + F.gelu(v.y @ v.A) @ v.B),
    "attention": (
        "r = 2\nattend(Z) = softmax(Z@Z.T / sqrt(r)) @ Z\ny' = y + attend(x@A)@B",
        attended,
    ),
}
"""Methods that change the output."""

BIASES: dict[str, tuple[str, Formula]] = {
    "bitfit": ("b + d", lambda v: v.x @ v.W + v.b + v.d),
    "ssb": ("W' = W@diag(s)\nb' = b .* s + d", lambda v: v.x @ (v.W * v.s) + v.b * v.s + v.d),
}
"""Methods that assign `b'`."""

METHODS = WEIGHTS | OUTPUTS | BIASES


@dataclass(frozen=True)
class Layer:
    """A layer type: how one is made, an input for it, and that input as `tokens x n`."""

    make: Callable[[], nn.Module]
    sample: Callable[[], Tensor]
    tokens: Callable[[nn.Module, Tensor], Tensor] = lambda module, x: x


def one_hot(module: nn.Module, x: Tensor) -> Tensor:
    scale = getattr(module, "embed_scale", 1.0)
    return scale * F.one_hot(x, module.num_embeddings).double()


def unfolded(module: nn.Module, x: Tensor) -> Tensor:
    """The patches that the convolution sees, padded as it pads: each entry by a kernel of one 1."""
    modes = {"zeros": "constant"}
    pads = [pad for axis in reversed(_padding(module)) for pad in axis]
    x = F.pad(x, pads, mode=modes.get(module.padding_mode, module.padding_mode))
    places = module.weight[0].numel()
    kernels = torch.eye(places, dtype=x.dtype).reshape(places, *module.weight.shape[1:])
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[len(module.kernel_size)]
    return convolve(x, kernels, None, module.stride, 0, module.dilation).flatten(2).mT


def _padding(module: nn.Module) -> list[tuple[int, int]]:
    if module.padding == "same":
        totals = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(p, p) for p in ([0] * len(module.kernel_size) if module.padding == "valid" else module.padding)]


def centred(module: nn.Module, x: Tensor) -> Tensor:
    difference = x - x.mean(-1, keepdim=True)
    return difference / torch.sqrt((difference**2).mean(-1, keepdim=True) + module.eps)


def unit_square(module: nn.Module, x: Tensor) -> Tensor:
    eps = getattr(module, "variance_epsilon", None) or getattr(module, "eps", None) or torch.finfo(x.dtype).eps
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + eps)


def _normal(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(shape, dtype=torch.float64)


def _places(vocabulary: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(vocabulary, (2, 5))


def _conv(**options: Any) -> Layer:
    return Layer(lambda: nn.Conv2d(2, 5, **{"kernel_size": 3, **options}), _normal(2, 2, 7, 6), unfolded)


LAYERS: dict[str, Layer] = {
    "linear": Layer(lambda: nn.Linear(7, 5), _normal(2, 3, 7)),
    "linear_without_bias": Layer(lambda: nn.Linear(5, 7, bias=False), _normal(4, 5)),
    "linear_of_one_token": Layer(lambda: nn.Linear(7, 5), _normal(1, 7)),
    "square_linear": Layer(lambda: nn.Linear(6, 6), _normal(3, 6)),
    "gpt2_conv1d": Layer(lambda: Conv1D(5, 7), _normal(2, 3, 7)),
    "embedding": Layer(lambda: nn.Embedding(11, 5), _places(11), one_hot),
    "embedding_with_padding": Layer(lambda: nn.Embedding(11, 5, padding_idx=3), _places(11), one_hot),
    "scaled_embedding": Layer(lambda: BartScaledWordEmbedding(11, 5, 1, embed_scale=3.0), _places(11), one_hot),
    "conv": _conv(),
    "conv_of_one_pixel": _conv(kernel_size=1, bias=False),
    "strided_conv": _conv(stride=(2, 1), padding=(1, 2), kernel_size=(3, 2)),
    "dilated_conv": _conv(dilation=(2, 1), padding="same", kernel_size=(3, 3)),
    "circular_conv": _conv(padding=(2, 1), padding_mode="circular"),
    "reflecting_conv": _conv(padding=1, padding_mode="reflect", stride=2),
    "valid_conv": _conv(padding="valid", kernel_size=(1, 4)),
    "conv1d": Layer(lambda: nn.Conv1d(2, 5, 3, stride=2, dilation=2, padding=1), _normal(2, 2, 9), unfolded),
    "conv1d_of_one_place": Layer(lambda: nn.Conv1d(3, 5, 1, bias=False), _normal(2, 3, 4), unfolded),
    "conv3d": Layer(lambda: nn.Conv3d(2, 5, (2, 1, 3), padding=(1, 0, 1)), _normal(2, 2, 3, 2, 4), unfolded),
    "circular_conv3d": Layer(
        lambda: nn.Conv3d(1, 3, 2, stride=(1, 2, 1), padding=1, padding_mode="circular"),
        _normal(2, 1, 3, 4, 2),
        unfolded,
    ),
    "layer_norm": Layer(lambda: nn.LayerNorm(6), _normal(2, 3, 6), centred),
    "layer_norm_without_bias": Layer(lambda: nn.LayerNorm(6, bias=False), _normal(4, 6), centred),
    "rms_norm": Layer(lambda: nn.RMSNorm(6, eps=1e-3), _normal(2, 3, 6), unit_square),
    "rms_norm_without_eps": Layer(lambda: nn.RMSNorm(6), _normal(2, 3, 6), unit_square),
    "llama_norm": Layer(lambda: LlamaRMSNorm(6, 1e-3), _normal(2, 3, 6), unit_square),
    "t5_norm": Layer(lambda: T5LayerNorm(6, 1e-3), _normal(2, 3, 6), unit_square),
}


LOPSIDED = _conv(padding="same", kernel_size=(2, 4))
"""A convolution that pads more after than before, of which torch warns."""


def make(layer: str) -> nn.Module:
    """A float64 layer with random values, norms included."""
    torch.manual_seed(0)
    module = LAYERS[layer].make().double()
    with torch.no_grad():
        for parameter in module.parameters():
            if parameter.dim() == 1:
                parameter.copy_(1.0 + 0.3 * torch.randn_like(parameter))
    return module


def matrix_of(module: nn.Module) -> Tensor:
    """W, `n x m`, as the row convention has it."""
    weight = module.weight.detach().double()
    if isinstance(module, CONVOLUTIONS):
        return weight.reshape(len(weight), -1).T
    if weight.dim() == 1:
        return torch.diag(weight)
    return weight if isinstance(module, Conv1D | nn.Embedding) else weight.T


def as_tokens(module: nn.Module, y: Tensor) -> Tensor:
    return y.flatten(2).mT if isinstance(module, CONVOLUTIONS) else y


@cache
def parsed(spec: str) -> specdsl.Spec:
    return specdsl.parse(spec)


def attach_moved(module: nn.Module, spec: str, **options: Any) -> tuple[Adapter, dict[str, Tensor]]:
    """Attach the spec to the one module and move its factors; the second value holds their starts."""
    adapter = specdsl.attach(nn.Sequential(module), parsed(spec), on="re:0", **{"dtype": "float64", **options})
    starts = {name: value.detach().clone() for _, name, value in adapter.factors()}
    move(adapter)
    return adapter, starts


def move(adapter: Adapter, seed: int = 1) -> None:
    """Change every trained factor at random."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapter.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.add_(0.3 * noise.to(parameter.dtype))


def values_of(
    layer: str, module: nn.Module, x: Tensor, adapter: Adapter, starts: Mapping[str, Tensor]
) -> tuple[Values, dict[str, Tensor]]:
    """The formula's values in float64, and its trained factors as leaves of their own."""
    W = matrix_of(module)
    bias = getattr(module, "bias", None)
    b = torch.zeros(W.shape[1], dtype=torch.float64) if bias is None else bias.detach().double()
    tokens = LAYERS[layer].tokens(module, x)
    factors = {name: value.detach().double() for _, name, value in adapter.factors()}
    for name, factor in factors.items():
        factor.requires_grad_(adapter.spec.ir.factors[name].is_trained)
    initial = {f"{name}0": value.double() for name, value in starts.items()}
    return SimpleNamespace(W=W, b=b, x=tokens, y=tokens @ W + b, **factors, **initial), factors
