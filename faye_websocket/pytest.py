"""A plugin of pytest, which has to be named to be loaded.

    pytest_plugins = ['faye_websocket.pytest']

    def test_echo(websocket_connect):
        ws = websocket_connect(app, '/echo')
        ws.send('hello')
        assert ws.receive(timeout=1) == 'hello'

It may be imported, too, for its type (PYTEST_DONT_REWRITE: without a warning).
"""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

import pytest

from faye_websocket import testing

__all__ = ['Connect', 'websocket_connect']


class Connect(Protocol):
    """The type of the fixture ``websocket_connect``."""

    def __call__(
        self, app: testing.Application, path: str = '/', **options: Any
    ) -> testing.JoinedClient: ...


@pytest.fixture
def websocket_connect(request: pytest.FixtureRequest) -> Connect:
    """Return ``testing.connect``, whose sockets are closed at the test's end.

    What a handler has raised is then raised as an error of the test; if handlers of
    several sockets have, pytest shows all of it.
    """

    def connect(app: testing.Application, path: str = '/', **options: Any) -> Any:
        client = testing.connect(app, path, **options)
        request.addfinalizer(partial(client.__exit__, None, None, None))
        return client

    return connect
