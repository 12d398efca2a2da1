"""Values of a pass: one for every thread."""

from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable

import pytest

from specdsl.errors import SpecSettingError
from specdsl.lowering.pass_value import PassValue


def in_a_thread(run: Callable[[], object]) -> None:
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def test_a_thread_takes_its_own_value() -> None:
    value = PassValue[int]()
    value.put(1)
    in_a_thread(lambda: value.put(2))
    found: list[int | None] = []
    in_a_thread(lambda: found.append(value.take()))
    assert found == [None]
    assert (value.take(), value.take()) == (1, None)


def test_a_thread_without_one_reads_the_only_one_there_is() -> None:
    value, found = PassValue[int](), list[int | None]()
    in_a_thread(lambda: found.append(value.get()))
    value.put(1)
    in_a_thread(lambda: found.append(value.get()))
    assert found == [None, 1]


def test_a_thread_without_one_is_told_that_there_are_several() -> None:
    value, have_put, may_end = PassValue[int](), threading.Barrier(3, timeout=60), threading.Event()

    def put(number: int) -> None:
        value.put(number)
        have_put.wait()
        may_end.wait(60)

    threads = [threading.Thread(target=put, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    have_put.wait()
    with pytest.raises(SpecSettingError, match="2 threads run this model at once"):
        value.get()
    may_end.set()
    for thread in threads:
        thread.join()
    value.put(3)
    found: list[int | None] = []
    in_a_thread(lambda: found.append(value.get()))
    assert found == [3]  # those of the ended threads are forgotten


def test_copies_begin_empty() -> None:
    value = PassValue[int]()
    value.put(1)
    assert (copy.deepcopy(value).get(), pickle.loads(pickle.dumps(value)).get()) == (None, None)
