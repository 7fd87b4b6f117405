"""A plugin of pytest, which has to be named to be loaded.

    pytest_plugins = ['faye_websocket.pytest']

    def test_echo(websocket_connect):
        ws = websocket_connect(app, '/echo')
        ws.send('hello')
        assert ws.receive(timeout=1) == 'hello'

It may be imported, too, for its type (PYTEST_DONT_REWRITE: without a warning).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
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
def websocket_connect() -> Iterator[Connect]:
    """Return ``testing.connect``, whose sockets are closed at the test's end.

    What a handler has raised is then raised as an error of the test.
    """
    with ExitStack() as sockets:

        def connect(app: testing.Application, path: str = '/', **options: Any) -> Any:
            return sockets.enter_context(testing.connect(app, path, **options))

        yield connect
