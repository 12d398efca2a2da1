"""Whether the model hub can be reached, asked once and quickly.

Without this, each file that a model is loaded from would be asked for again and again, half a minute in all.
"""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from urllib.parse import urlsplit

import datasets
import huggingface_hub

SECONDS = 3.0


def hub_is_reachable() -> bool:
    """Whether files can be downloaded: the hub is not switched off, and it or the proxy takes connections."""
    if huggingface_hub.constants.is_offline_mode():
        return False
    endpoint = urlsplit(huggingface_hub.constants.ENDPOINT)
    proxy = urllib.request.getproxies().get(endpoint.scheme)
    if proxy and not urllib.request.proxy_bypass(endpoint.hostname or ""):
        endpoint = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    port = endpoint.port or (80 if endpoint.scheme == "http" else 443)
    return _answers(endpoint.hostname or "", port)


@contextmanager
def hub_or_cache() -> Iterator[bool]:
    """Whether the hub is reachable; where it is not, its clients look into their caches only, and at once."""
    reachable = hub_is_reachable()
    before = huggingface_hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE
    if not reachable:
        huggingface_hub.constants.HF_HUB_OFFLINE = datasets.config.HF_HUB_OFFLINE = True
    try:
        yield reachable
    finally:
        huggingface_hub.constants.HF_HUB_OFFLINE, datasets.config.HF_HUB_OFFLINE = before


@cache
def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError:
        return False
    return True
