"""What a spec asks of a module that its type cannot give: activations, one value for each layer of a stack, a bias."""

from __future__ import annotations

from specdsl.affine import NotAffine, adapted_weight
from specdsl.errors import SpecTargetError
from specdsl.facts import added_rows, is_zero
from specdsl.ir import Apply, Layers, Ranked, SpecIR, topological
from specdsl.lowering.adapted import ATTRIBUTE, ModuleAdapters
from specdsl.lowering.sites import HeldParameter, LayerSite, ParameterSite
from specdsl.lowering.sites.parameter import NO_ACTIVATIONS
from specdsl.printing.expression_text import expression_text
from specdsl.runtime.targets import Target


def check_site(ir: SpecIR, target: Target, site: LayerSite) -> None:
    """Raise SpecTargetError unless the type of a module can carry the spec."""
    reason = why_not(ir, site)
    if reason is not None:
        raise SpecTargetError(f"`{target.name}` cannot carry this spec: {reason}", hint=_HINT)


def check_tied(ir: SpecIR, target: Target) -> None:
    """Raise SpecTargetError unless the modules that hold the weight of a target can take its factors.

    Where they read the weight as another matrix, only `W'` reaches them, and a bias would be another one.
    """
    for name, module in zip(target.tied, target.tied_modules, strict=True):
        if not isinstance(module, HeldParameter) or isinstance(target.module, HeldParameter):
            continue
        reason = _why_not_as_parameter(ir)
        if reason is None and "b" in adapted_weight(ir) and not is_zero(adapted_weight(ir)["b"]):
            reason = "it makes a bias, which the two do not share"
        if reason is None and isinstance(module.owner._modules.get(ATTRIBUTE), ModuleAdapters):
            reason = "it carries an adapter of its own"
        if reason is not None:
            raise SpecTargetError(
                f"`{name}` holds the weight of `{target.name}` and cannot take the same factors: {reason}", hint=_HINT
            )


_HINT = "leave it out with `except`, or name other modules with `on`"


def why_not(ir: SpecIR, site: LayerSite) -> str | None:
    """Why a module of this type cannot carry the spec, or None."""
    if site.stack is not None:
        for node in topological(ir.roots()):
            if isinstance(node, Layers | Ranked):
                return f"it is a stack of {site.stack} matrices, and `{expression_text(node)}` wants one value of each"
    if isinstance(site, ParameterSite):
        return _why_not_as_parameter(ir)
    if site.unfolds and added_rows(ir) is not None:
        return "y' has rows beside those of the tokens, which in a convolution are the places of an image"
    return None


def _why_not_as_parameter(ir: SpecIR) -> str | None:
    """Only W' and b' reach a parameter that its owner reads."""
    if ir.given:
        name, given = next(iter(ir.given.items()))
        return f"{NO_ACTIVATIONS}, but the spec has the {given.kind} `{name}`"
    dropout = [
        node for node in topological(ir.targets.values()) if isinstance(node, Apply) and node.operator == "dropout"
    ]
    if dropout:
        return f"{NO_ACTIVATIONS}, but the spec has `{expression_text(dropout[0])}`"
    try:
        adapted_weight(ir)
    except NotAffine as error:
        return f"{NO_ACTIVATIONS}, and the spec is no weight: {error.args[0]}"
    return None
