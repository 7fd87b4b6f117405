"""Fixtures of the unit tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from faye_websocket.io.shutdown import Registry


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry of open sockets, without those of earlier tests."""
    # The tests of the protocol do without gevent.
    from faye_websocket.io.shutdown import Registry, open_sockets

    for name, value in vars(Registry()).items():
        monkeypatch.setattr(open_sockets, name, value)
    return open_sockets
