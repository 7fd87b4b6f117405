"""Servers for the whole test run, and a unique path for each test's socket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.support.servers import SERVERS, Server, serve

#: Wrappings of the application by their names in `tests.support.apps`.
WRAPPINGS = {'bare': 'control', 'generator': 'wrapped_by_generator', 'iterator': 'wrapped_by_iterator'}

#: Files that take seconds, with servers that pip installs. The other files take
#: minutes, or need programs of the system.
QUICK = {
    'test_client_peers.py', 'test_deflate_bomb.py', 'test_examples.py', 'test_handover.py',
    'test_metrics.py', 'test_odd_handover.py'}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests here that the conftest.py above treats as slow."""
    for item in items:
        if item.path.parent == Path(__file__).parent and item.path.name not in QUICK:
            item.add_marker('slow')


class Setting(NamedTuple):
    """One way to run an application."""

    kind: str
    tls: bool = False
    app: str = 'control'


class ServerPool:
    """A pool that starts the server for a setting at its first use, and keeps it."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.stack = stack
        self.servers: dict[Setting, Server] = {}

    def get(self, setting: Setting) -> Server:
        """Return the running server for this setting."""
        if setting not in self.servers:
            app = f'tests.support.apps:{setting.app}'
            running = serve(setting.kind, app, tls=setting.tls, tmp_path=self.directory)
            self.servers[setting] = self.stack.enter_context(running)
        return self.servers[setting]

    def begin_to_stop(self) -> None:
        """Signal all servers at once, because each takes a second to stop."""
        for server in self.servers.values():
            server.process.terminate()


def settings(*, tls: tuple[bool, ...] = (False, True), wrappings: tuple[str, ...] = tuple(WRAPPINGS)) -> list[Any]:
    """Return each server with each transport and wrapping as a parameter with an id."""
    return [pytest.param(Setting(kind, secure, WRAPPINGS[wrapping]), id=f'{kind}-{"tls" if secure else "plain"}-{wrapping}')
            for kind in SERVERS for secure in tls for wrapping in wrappings]


@pytest.fixture(scope='session')
def server_pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerPool]:
    """The servers of this run, which are stopped at its end."""
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
    """Numbers that are unique in this run."""
    return count()


@pytest.fixture
def path(numbers: Iterator[int]) -> str:
    """A request path that no other test uses, which identifies its lines and events."""
    return f'/socket-{next(numbers)}'
