"""An adapted layer as PyTorch code that stands alone: readable, and nothing of specdsl in it.

One class per kind of layer, whose constructor takes the layer to adapt. Sizes are read off that layer, hyper-parameters
are attributes of the class; the order of computation is the plan's. Functions that torch does not have (a Cayley
transform, an SVD with settled signs) stand at the top, those that are used.

Factors have the dtype of the layer's weight. Random starts are torch's own draws; to begin where an attached adapter
begins, its factors are passed to the constructor by name.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Sequence

from specdsl.errors import SpecNotBuiltError, SpecSettingError
from specdsl.interpret import Sizes
from specdsl.lowering.emit_class import ClassWriter
from specdsl.lowering.emit_code import WIDTH, escaped, wrapped
from specdsl.lowering.emit_holdings import AdaptedKind
from specdsl.lowering.emit_source import FUNCTION_NAMES, functions_for, imports_for
from specdsl.lowering.layer_adapter import Lowered
from specdsl.plan import LayerTraits
from specdsl.spec import Spec

__all__ = ["AdaptedKind", "emit_torch", "emit_torch_file"]


def emit_torch(spec: Spec, lowered: Lowered, sizes: Sizes, traits: LayerTraits, class_name: str | None = None) -> str:
    """The source of one adapted layer.

    Args:
        spec: the spec.
        lowered: what `lower` made of it for this kind of layer.
        sizes: the layer's sizes.
        traits: the layer's type.
        class_name: by default made of the spec's title and the layer's type, `FloraLinear`.

    Returns:
        Python source that `ruff check` and `ruff format` leave as it is.

    Raises:
        SpecNotBuiltError: an operator or the layer's type has no form in plain PyTorch.
        SpecSettingError: `class_name` is no name for a class.
    """
    return emit_torch_file(spec, [AdaptedKind(lowered, sizes, traits)], class_name)


def emit_torch_file(spec: Spec, kinds: Sequence[AdaptedKind], class_name: str | None = None) -> str:
    """The source of all kinds of layer that a spec adapts in a model, in one file; kinds with equal code share a class.

    Args:
        spec: the spec.
        kinds: what it adapts.
        class_name: of the first class; more get a number.

    Raises:
        SpecNotBuiltError, SpecSettingError: as `emit_torch`.
    """
    _refuse_unwritten(spec)
    classes: dict[str, str] = {}
    for kind in kinds:
        name = _class_name(spec, kind, class_name)
        text, number = ClassWriter(spec, kind, name).text(), 2
        while name in classes and classes[name] != text:
            name = f"{_class_name(spec, kind, class_name)}{number}"
            text, number = ClassWriter(spec, kind, name).text(), number + 1
        classes[name] = text
    body = "\n\n".join(classes.values())
    functions = functions_for(body)
    code = "\n\n\n".join([*functions, body])
    return "\n".join([*_header(spec), "", *imports_for(code), "", "", code])


def _header(spec: Spec) -> list[str]:
    about = escaped(f"{spec.title or 'An adapted layer'} in plain PyTorch, written by specdsl.")
    cited = [f"Source: {escaped(spec.cite)}"] if spec.cite else []
    lines = [*wrapped(f'"""{about}', WIDTH, "", hang=""), *([""] if cited else []), *cited, "", "The spec::", ""]
    lines += [line for text in str(spec).splitlines() for line in wrapped(escaped(text), WIDTH, "    ")]
    return [*lines, '"""']


def _refuse_unwritten(spec: Spec) -> None:
    for given in spec.ir.given.values():
        raise SpecNotBuiltError(f"the {given.kind} `{given.name}` has no form in emitted code yet", given.span)
    if spec.facts.added_rows is not None:
        span = spec.clauses.targets["y"][0].span
        raise SpecNotBuiltError("rows added to those of the tokens have no form in emitted code yet", span)
    if spec.parts:
        place = spec.limits[0][0].span
        raise SpecNotBuiltError("clauses limited to some modules have no form in emitted code yet", place)


def _class_name(spec: Spec, kind: AdaptedKind, given: str | None) -> str:
    if given is None:
        words = re.findall(r"[A-Za-z0-9]+", re.split(r"[(:,]", spec.title or "")[0])
        stem = "".join(word.capitalize() for word in words)
        return (stem if stem[:1].isalpha() else f"Adapted{stem}") + kind.traits.kind
    if not given.isidentifier() or keyword.iskeyword(given) or given in FUNCTION_NAMES:
        raise SpecSettingError(f"`{given}` cannot be the name of a class", hint="use letters, digits and `_`")
    return given
