"""The hub is asked for once, quickly, through a proxy where there is one."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import huggingface_hub
import pytest

from specdsl.runtime.hub import hub_is_reachable


@pytest.fixture
def port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    return monkeypatch


def test_a_hub_that_takes_connections_is_reachable(online: pytest.MonkeyPatch, port: int) -> None:
    online.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    assert hub_is_reachable()


def test_a_closed_port_is_not(online: pytest.MonkeyPatch) -> None:
    online.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    assert not hub_is_reachable()


def test_a_hub_behind_a_proxy_is_reached_through_it(online: pytest.MonkeyPatch, port: int) -> None:
    online.setattr(huggingface_hub.constants, "ENDPOINT", "https://hub.invalid")
    online.setenv("https_proxy", f"http://127.0.0.1:{port}")
    assert hub_is_reachable()


def test_a_proxy_is_passed_by_where_it_should_be(online: pytest.MonkeyPatch, port: int) -> None:
    online.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    online.setenv("http_proxy", "http://127.0.0.1:2")
    online.setenv("no_proxy", "127.0.0.1")
    assert hub_is_reachable()


def test_a_hub_that_is_switched_off_is_not_asked(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")
    assert not hub_is_reachable()
