"""Servers that live as long as the test run, and a path of its own for each test's socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.servers import SERVERS, Server, serve

#: How the application is wrapped, and its name in `tests.support.apps`.
WRAPPINGS = {'bare': 'control', 'generator': 'wrapped_by_generator', 'iterator': 'wrapped_by_iterator'}

#: Files that take seconds, and the servers that pip installs; those of the others are
#: started and stopped for minutes, or are programs of the system.
QUICK = {
    'test_client_peers.py', 'test_deflate_bomb.py', 'test_examples.py', 'test_handover.py',
    'test_metrics.py', 'test_odd_handover.py'}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what takes long here, for the conftest.py above."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name not in QUICK:
            item.add_marker('slow')


class Setting(NamedTuple):
    """One way to run an application."""

    kind: str
    tls: bool = False
    app: str = 'control'


class ServerPool:
    """Starts the server for a setting when the first test asks for it, and keeps it."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.servers: dict[Setting, Server] = {}

    def get(self, setting: Setting) -> Server:
        """The running server for this setting."""
        if setting not in self.servers:
            app = f'tests.support.apps:{setting.app}'
            running = serve(setting.kind, app, tls=setting.tls, tmp_path=self.directory)
            self.servers[setting] = self.stack.enter_context(running)
        return self.servers[setting]

    def begin_to_stop(self) -> None:
        """Tells all of them at once: each takes a second, and the stack waits for one after the other."""
        for server in self.servers.values():
            server.process.terminate()


def settings(*, tls: tuple[bool, ...] = (False, True), wrappings: tuple[str, ...] = tuple(WRAPPINGS)) -> list[Any]:
    """Every server with every one of these transports and wrappings, as parameters with readable ids."""
    return [pytest.param(Setting(kind, secure, WRAPPINGS[wrapping]), id=f'{kind}-{"tls" if secure else "plain"}-{wrapping}')
            for kind in SERVERS for secure in tls for wrapping in wrappings]


@pytest.fixture(scope='session')
def server_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPool]:
    """The servers of this run; they end with it."""
    with ExitStack() as stack:
        pool = ServerPool(tmp_path_factory.mktemp('servers'), stack)
        yield pool
        pool.begin_to_stop()


@pytest.fixture
def server(server_pool: ServerPool, request: pytest.FixtureRequest) -> Server:
    """The server for this test's setting (an indirect parameter)."""
    return server_pool.get(request.param)


@pytest.fixture(scope='session')
def numbers() -> Iterator[int]:
    """Numbers that are used once in this run."""
    return count()


@pytest.fixture
def path(numbers: Iterator[int]) -> str:
    """A request path that no other test uses: it tells this test's lines and events from all others."""
    return f'/socket-{next(numbers)}'
