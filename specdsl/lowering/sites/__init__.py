"""Layer types: how each reads as `y = x W + b`, and how it runs with another weight.

`W : n x m` is the matrix view of the row convention: `nn.Linear.weight.T`, GPT-2's `Conv1D.weight`, a convolution's
kernels as columns (`n = c*kh*kw`), an embedding's table, the diagonal of a norm's weight. `tokens` stands for any
leading axes. A module that holds several such matrices (a convolution in groups, experts) is a stack of layers: the
spec describes one of them, and every factor that is not shared exists once for each.
"""

from specdsl.lowering.sites.convolution import ConvolutionSite, GroupedConvolutionSite
from specdsl.lowering.sites.embedding import EmbeddingSite
from specdsl.lowering.sites.known_types import SiteType, add_layer_type, site_of
from specdsl.lowering.sites.layer_site import LayerSite, own_class
from specdsl.lowering.sites.linear import LinearSite, TransposedLinearSite
from specdsl.lowering.sites.norm import NormSite, RootMeanSquareSite
from specdsl.lowering.sites.parameter import HeldParameter, ParameterSite, attention_output, held_parameters

__all__ = [
    "ConvolutionSite", "EmbeddingSite", "GroupedConvolutionSite", "HeldParameter", "LayerSite", "LinearSite",
    "NormSite", "ParameterSite", "RootMeanSquareSite", "SiteType", "TransposedLinearSite", "add_layer_type",
    "attention_output", "held_parameters", "own_class", "site_of",
]  # fmt: skip
