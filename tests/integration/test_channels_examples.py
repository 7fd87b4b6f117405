"""The examples that publish on channels what a database has committed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from faye_websocket import Client
from tests.integration.test_examples import command_of, free_port, running
from tests.support.channels import running_redis
from tests.support.eventstream import EventClient
from tests.support.processes import Endpoint
from tests.support.programs import require_module
from tests.support.wire import RawClient


def start(example: str, tmp_path: Path, url: str) -> Iterator[Endpoint]:
    port = free_port()
    command = command_of(example, '--bind', f'127.0.0.1:{port}')
    env = {'FEED_URL': url, 'FEED_DATABASE': str(tmp_path / 'db')}
    with running(command, port, tmp_path / 'run', env=env) as endpoint:
        yield endpoint


@pytest.fixture(params=['memory', 'redis'])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == 'memory':
        yield 'memory://'
    else:
        with running_redis() as server:
            yield server.url


@pytest.fixture
def django(tmp_path: Path, url: str) -> Iterator[Endpoint]:
    require_module('django', 'pip install Django')
    yield from start('django_feed.py', tmp_path, url)


@pytest.fixture
def flask(tmp_path: Path, url: str) -> Iterator[Endpoint]:
    for module in 'flask', 'sqlalchemy':
        require_module(module, f'pip install {module}')
    yield from start('flask_feed.py', tmp_path, url)


def post(endpoint: Endpoint, text: str) -> int:
    body = text.encode()
    with RawClient(endpoint) as client:
        client.send(b'POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n' % len(body) + body)
        return client.receive_head().status


@pytest.mark.proves('R14')
def test_django_publishes_committed_rows_only(django: Endpoint) -> None:
    assert post(django, 'water') == 201
    with Client(django.ws_url('/orders')) as client:
        first = json.loads(str(client.receive(10)))
        assert first['data'] == 'water'
        assert post(django, 'tea') == 201
        # The second one violates a constraint of the database, and is rolled back.
        assert post(django, 'tea') == 409
        assert post(django, 'coffee') == 201
        assert [json.loads(str(client.receive(10)))['data'] for _ in range(2)] == ['tea', 'coffee']
    with Client(django.ws_url(f'/orders?since={first["id"]}')) as client:
        assert [json.loads(str(client.receive(10)))['data'] for _ in range(2)] == ['tea', 'coffee']


@pytest.mark.proves('R14')
def test_flask_publishes_committed_rows_only(flask: Endpoint) -> None:
    assert post(flask, 'water') == 201
    with EventClient(flask, '/orders') as client:
        assert client.open().receive_event().data == 'water'
        assert post(flask, 'tea') == 201
        assert post(flask, 'tea') == 409
        assert post(flask, 'coffee') == 201
        events = [client.receive_event() for _ in range(2)]
        assert [event.data for event in events] == ['tea', 'coffee']
    with EventClient(flask, '/orders', [('Last-Event-ID', events[0].last_event_id)]) as client:
        assert client.open().receive_event().data == 'coffee'
