"""The layer types that specs can be attached to; users add theirs with `add_layer_type`."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from specdsl.lowering.sites.convolution import (
    ConvolutionSite,
    GroupedConvolutionSite,
    is_convolution,
    is_grouped_convolution,
)
from specdsl.lowering.sites.embedding import EmbeddingSite, is_embedding
from specdsl.lowering.sites.layer_site import LayerSite
from specdsl.lowering.sites.linear import LinearSite, TransposedLinearSite, is_linear, is_transposed_linear
from specdsl.lowering.sites.norm import NormSite, RootMeanSquareSite, is_layer_norm, is_root_mean_square
from specdsl.lowering.sites.parameter import HeldParameter, ParameterSite

SiteType = Callable[[nn.Module], LayerSite]
_BY_CLASS: list[tuple[Callable[[nn.Module], bool], SiteType]] = []


def add_layer_type(matches: Callable[[nn.Module], bool], site: SiteType) -> None:
    """Teach specdsl a layer type; later additions are asked first."""
    _BY_CLASS.insert(0, (matches, site))


def site_of(module: nn.Module) -> LayerSite | None:
    """The module as `y = x W + b`, or None if its type is unknown."""
    for matches, site in _BY_CLASS:
        if matches(module):
            return site(module)
    return None


add_layer_type(is_linear, LinearSite)
add_layer_type(is_transposed_linear, TransposedLinearSite)
add_layer_type(is_embedding, EmbeddingSite)
add_layer_type(is_convolution, ConvolutionSite)
add_layer_type(is_grouped_convolution, GroupedConvolutionSite)
add_layer_type(is_layer_norm, NormSite)
add_layer_type(is_root_mean_square, RootMeanSquareSite)
add_layer_type(lambda module: isinstance(module, HeldParameter), ParameterSite)
