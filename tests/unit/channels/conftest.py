"""Fixtures that run each test of channels in memory and on Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gevent.socket
import pytest

from faye_websocket.channels import Channels
from tests.support.channels import RedisServer, Visitor, running_redis

Make = Callable[..., Channels]


@pytest.fixture(scope='session')
def redis_server() -> Iterator[RedisServer]:
    """A Redis server for all tests of this run."""
    with running_redis() as server:
        yield server


def patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch channels and redis-py as in a monkey-patched process with greenlets."""
    monkeypatch.setattr('redis.connection.socket', gevent.socket)
    for module in 'channels', 'runner':
        monkeypatch.setattr(f'faye_websocket.channels.{module}.is_module_patched', lambda name: True)


@pytest.fixture(params=['memory', pytest.param('redis', marks=pytest.mark.threads), 'patched'])
def url(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a backend."""
    if request.param == 'memory':
        return 'memory://'
    server: RedisServer = request.getfixturevalue('redis_server')
    if request.param == 'patched':
        patch(monkeypatch)
    server.command('FLUSHALL')
    return server.url


@pytest.fixture
def make(url: str) -> Iterator[Make]:
    """A function that creates channels of either kind, which are closed at the end."""
    made: list[Channels] = []

    def make(**options: Any) -> Channels:
        made.append(Channels(url, **{'timeout': 5, **options}))
        return made[-1]

    yield make
    for channels in made:
        channels.close()


@pytest.fixture
def channels(make: Make) -> Channels:
    """Channels with the default options."""
    return make()


@pytest.fixture
def visit() -> Iterator[Callable[..., Visitor]]:
    """A function that creates visitors, who leave at the end."""
    visitors: list[Visitor] = []

    def visit(*arguments: Any, **options: Any) -> Visitor:
        visitors.append(Visitor(*arguments, **options))
        return visitors[-1]

    yield visit
    for visitor in visitors:
        visitor.leave()
