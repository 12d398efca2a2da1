"""Every example in a docstring runs."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import specdsl


def modules() -> list[str]:
    found = [specdsl.__name__]
    for info in pkgutil.walk_packages(specdsl.__path__, "specdsl."):
        if not info.name.endswith("__main__"):
            found.append(info.name)
    return found


def examples(module: ModuleType) -> list[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    return [test for test in finder.find(module) if test.examples]


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_run(name: str) -> None:
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for test in examples(module):
        runner.run(test)
    assert runner.failures == 0


def test_the_public_names_have_docstrings() -> None:
    for name in specdsl.__all__:
        assert (getattr(specdsl, name).__doc__ or "").strip(), name
