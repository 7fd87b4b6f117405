"""Settings of gunicorn, and their effect on open sockets.

SIGHUP and --max-requests are in test_shutdown.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.servers import Server, serve
from tests.support.waiting import wait_until
from tests.support.wire import TEXT, Frame, RawClient, http_get, parse_frames

WORKERS = ['gevent', 'gevent_pywsgi']

#: Three times the number that --worker-connections allows in these tests.
MANY = 60
FEW = MANY // 3

#: Seconds without a byte: more than twice the timeouts.
IDLE = 5.0

each_worker = pytest.mark.parametrize('kind', WORKERS)


@contextmanager
def connected(server: Server, count: int = 1) -> Iterator[list[RawClient]]:
    """Return this many open sockets."""
    with ExitStack() as stack:
        clients = [stack.enter_context(RawClient(server, f'/{number}')) for number in range(count)]
        for client in clients:
            assert client.handshake().status == 101
        yield clients


def assert_echoes(client: RawClient) -> None:
    """Check that the socket echoes a message."""
    client.send_frame(TEXT, b'there?')
    assert client.receive_frame() == Frame(TEXT, b'there?')


@pytest.mark.proves('H9')
@each_worker
def test_worker_connections_does_not_count_sockets(kind: str, tmp_path: Path) -> None:
    options = ('--worker-connections', str(FEW))
    with serve(kind, 'tests.support.apps:control', options=options, tmp_path=tmp_path) as server, \
            connected(server, MANY) as clients:
        assert http_get(server)[0].status == 200
        for client in clients:
            assert_echoes(client)


@each_worker
def test_sockets_live_longer_than_the_timeouts(kind: str, tmp_path: Path) -> None:
    options = ('--timeout', '2', '--keep-alive', '1', '--graceful-timeout', '1')
    with serve(kind, 'tests.support.apps:control', options=options, tmp_path=tmp_path) as server, \
            connected(server) as (client,):
        worker = server.worker_pid()
        client.socket.settimeout(IDLE)
        with pytest.raises(TimeoutError):
            client.socket.recv(1)
        assert_echoes(client)
        assert server.worker_pid() == worker
        assert 'TIMEOUT' not in server.error_log()


@pytest.mark.proves('H11')
@each_worker
def test_a_preloaded_application_works(kind: str, tmp_path: Path) -> None:
    with serve(kind, 'tests.support.apps:control', options=('--preload',), tmp_path=tmp_path) as server:
        with connected(server, 3) as clients:
            for client in clients:
                assert_echoes(client)
            os.kill(server.pid, signal.SIGTERM)
            for client in clients:
                frames, rest = parse_frames(client.read_to_eof())
                assert ([frame.code for frame in frames], rest) == ([1001], b'')
        assert server.process.wait() == 0
        assert 'Traceback' not in server.error_log()


@pytest.mark.proves('H10')
@each_worker
def test_reload_closes_the_sockets_with_1001(kind: str, tmp_path: Path) -> None:
    module = tmp_path / 'reloaded.py'
    module.write_text('from tests.support.apps import control\n')
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get('PYTHONPATH')]))
    options = ('--reload', '--reload-engine', 'poll', '--pythonpath', path)
    with serve(kind, 'reloaded:control', options=options, tmp_path=tmp_path) as server, connected(server) as (client,):
        worker = server.worker_pid()
        module.write_text('from tests.support.apps import control\n\n')
        frames, rest = parse_frames(client.read_to_eof())
        assert ([frame.code for frame in frames], rest) == ([1001], b'')
        wait_until(lambda: server.worker_pid() != worker, 'a new worker')
        with connected(server) as (again,):
            assert_echoes(again)


@each_worker
def test_a_worker_that_is_killed_ends_only_its_own_sockets(kind: str, tmp_path: Path) -> None:
    with serve(kind, 'tests.support.apps:control', tmp_path=tmp_path) as server, connected(server) as (client,):
        worker = server.worker_pid()
        os.kill(worker, signal.SIGKILL)
        assert client.read_to_eof() == b''
        wait_until(lambda: server.worker_pid() != worker, 'a new worker')
        with connected(server) as (again,):
            assert_echoes(again)


@pytest.mark.proves('H8', 'H10')
@each_worker
@pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
def test_a_unix_socket_outlives_its_worker(kind: str, tls: bool, tmp_path: Path) -> None:
    with serve(kind, 'tests.support.apps:control', unix_socket=tmp_path / 's', tls=tls, tmp_path=tmp_path) as server:
        with connected(server) as (client,):
            assert_echoes(client)
            worker = server.worker_pid()
            os.kill(server.pid, signal.SIGHUP)
            frames, rest = parse_frames(client.read_to_eof())
            assert ([frame.code for frame in frames], rest) == ([1001], b'')
        wait_until(lambda: server.worker_pid() != worker, 'a new worker')
        with connected(server) as (again,):
            assert_echoes(again)
