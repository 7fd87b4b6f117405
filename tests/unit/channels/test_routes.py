"""Channels on Redis with TLS, with Sentinels, and as a cluster, with real servers."""

from __future__ import annotations

import select
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import gevent
import gevent.subprocess
import pytest

from faye_websocket.channels import Channels
from faye_websocket.channels.listener import _TlsReader
from faye_websocket.channels.routes import find_route
from tests.support.certificates import session_certificate
from tests.support.channels import RedisServer, SentinelServer, Visitor, free_port, running_redis
from tests.support.local import run_threads, settle, wait_until
from tests.support.processes import ROOT, environment
from tests.unit.channels.conftest import patch

redis = pytest.importorskip('redis')

Visit = Callable[..., Visitor]

#: Channels whose keys are in different halves of a cluster's slots.
ROOMS = [f'room/{number}' for number in range(12)]


@pytest.fixture(params=[pytest.param('threads', marks=pytest.mark.threads), 'greenlets'])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The way in which calls run: in native threads, or in patched greenlets."""
    if request.param == 'greenlets':
        patch(monkeypatch)


@contextmanager
def open_channels(url: str, **options: Any) -> Iterator[Channels]:
    """Open channels for the time of the block."""
    channels = Channels(url, **{'timeout': 20, **options})
    try:
        yield channels
    finally:
        channels.close()


def refuses_at_once(channels: Channels, visit: Visit, error: Any, match: str) -> bool:
    """Return whether calls raise an error long before their timeout."""
    began = time.monotonic()
    for call in (lambda: channels.publish('room', 'x'), lambda: channels.join(visit().open().socket, 'room'),
                 lambda: channels.join(visit().open().socket, 'room')):
        with pytest.raises(error, match=match):
            call()
    return time.monotonic() - began < channels.timeout


class TestTls:
    """The scheme rediss."""

    @pytest.fixture
    def url(self) -> Iterator[str]:
        """The URL of a server with a certificate."""
        certificate, port = session_certificate(), free_port()
        with running_redis(
                '--tls-port', port, '--tls-auth-clients', 'no', '--tls-cert-file', certificate.certfile,
                '--tls-key-file', certificate.keyfile, '--tls-ca-cert-file', certificate.authority):
            yield f'rediss://localhost:{port}'

    @pytest.mark.threads
    @pytest.mark.proves('R15')
    def test_messages_are_encrypted(self, url: str, visit: Visit) -> None:
        with open_channels(f'{url}?ssl_ca_certs={session_certificate().authority}') as channels:
            visitor = visit().open()
            channels.join(visitor.socket, 'room', name='anna')
            channels.publish('room', 'x' * 100_000)
            visitor.wait('x' * 100_000)
            assert channels.members('room') == ['anna']

    @pytest.mark.proves('R15')
    def test_messages_are_encrypted_in_a_patched_process(self, url: str) -> None:
        program = """
import sys
from gevent import monkey; monkey.patch_all()
import gevent
from faye_websocket.channels import Channels
channels, got = Channels(sys.argv[1]), []
subscription = channels.subscribe('room', lambda *arguments: got.append(arguments[2]))
channels.publish('room', 'x' * 100_000)
while not got:
    gevent.sleep(0.01)
print(len(got[0]))
"""
        url = f'{url}?ssl_ca_certs={session_certificate().authority}'
        done = gevent.subprocess.run(
            [sys.executable, '-c', program, url], cwd=ROOT, env=environment(), timeout=60,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert (done.stdout, done.stderr) == ('100000\n', '')

    @pytest.mark.threads
    @pytest.mark.proves('R15')
    def test_one_connection_may_be_read_and_written_by_several_threads(self, url: str, visit: Visit) -> None:
        with open_channels(f'{url}?ssl_ca_certs={session_certificate().authority}') as channels:
            visitors = [visit().open() for _ in range(4)]

            def come_and_go(visitor: Visitor) -> None:
                for number in range(40):
                    channels.join(visitor.socket, f'{id(visitor)}/{number}')
                    channels.publish(f'{id(visitor)}/{number}', f'{number}')

            run_threads(*(lambda visitor=visitor: come_and_go(visitor) for visitor in visitors))  # type: ignore[misc]
            for visitor in visitors:
                visitor.wait(*map(str, range(40)))

    @pytest.mark.threads
    @pytest.mark.proves('R12')
    def test_an_unknown_certificate_is_refused(self, url: str, visit: Visit) -> None:
        with open_channels(url) as channels:
            assert refuses_at_once(channels, visit, redis.ConnectionError, 'certificate verify failed')


class TestReader:
    """The reading side of a connection with TLS that several threads use."""

    @pytest.mark.proves('R15')
    def test_a_thread_waits_without_the_mutex(self) -> None:
        here, there = socket.socketpair()
        mutex = threading.Lock()
        connection: Any = SimpleNamespace(
            _sock=here, can_read=lambda timeout: mutex.locked() and bool(select.select([here], [], [], timeout)[0]),
            read_response=lambda: mutex.locked() and here.recv(99))
        reader = _TlsReader(connection, mutex)
        there.sendall(b'at once')
        assert reader.read(9) == b'at once'
        assert reader.read(0) is None

        def send() -> None:
            with mutex:
                there.sendall(b'later')

        thread = threading.Timer(0.05, send)
        thread.start()
        assert reader.read(30) == b'later'
        thread.join()
        here.close()
        there.close()

    @pytest.mark.proves('R15')
    def test_only_threads_with_tls_need_it(self, redis_server: RedisServer) -> None:
        with open_channels(redis_server.url) as channels:
            listener: Any = channels.backend._listener  # type: ignore[attr-defined]
            here, there = socket.socketpair()
            context = ssl.create_default_context()
            with context.wrap_socket(here, do_handshake_on_connect=False, server_hostname='x') as tls:
                assert isinstance(listener._make_reader(SimpleNamespace(_sock=tls)), _TlsReader)
            assert not isinstance(listener._make_reader(SimpleNamespace(_sock=there)), _TlsReader)
            there.close()


class TestRefusals:
    """Refusals of Redis that no retry can change."""

    @pytest.mark.proves('R12')
    def test_a_user_without_the_permission_to_subscribe(self, way: None, redis_server: RedisServer, visit: Visit) -> None:
        redis_server.command('ACL', 'SETUSER', 'mute', 'on', '>x', '~*', '+@all', 'resetchannels')
        with open_channels(f'redis://mute:x@127.0.0.1:{redis_server.port}') as channels:
            assert refuses_at_once(channels, visit, Exception, 'permission|publish to the channel')

    @pytest.mark.proves('R12')
    def test_a_wrong_password(self, way: None, redis_server: RedisServer, visit: Visit) -> None:
        with open_channels(f'redis://user:wrong@127.0.0.1:{redis_server.port}') as channels:
            assert refuses_at_once(channels, visit, redis.AuthenticationError, 'password')


class TestSentinel:
    """The scheme redis+sentinel."""

    @pytest.fixture
    def master(self) -> Iterator[RedisServer]:
        """A master."""
        with running_redis('--repl-diskless-sync-delay', 0) as server:
            yield server

    @pytest.fixture
    def replica(self, master: RedisServer) -> Iterator[RedisServer]:
        """A replica of the master."""
        with running_redis('--replicaof', f'127.0.0.1 {master.port}') as server:
            wait_until(lambda: server.command('ROLE')[3] == 'connected', 'the replica', 30)
            yield server

    @pytest.fixture
    def sentinel(self, master: RedisServer, replica: RedisServer) -> Iterator[RedisServer]:
        """A Sentinel that knows both."""
        with running_redis(kind=SentinelServer) as server:
            assert isinstance(server, SentinelServer)
            server.watch(master)
            wait_until(lambda: server.command('SENTINEL', 'REPLICAS', 'mine'), 'the Sentinel', 30)
            yield server

    @pytest.mark.proves('R15')
    def test_another_master_loses_and_repeats_nothing_that_it_has(
            self, way: None, master: RedisServer, replica: RedisServer, sentinel: RedisServer, visit: Visit) -> None:
        lost: list[Any] = []
        # The first address is of a Sentinel that is gone.
        with open_channels(f'redis+sentinel://127.0.0.1:1,127.0.0.1:{sentinel.port}/mine', timeout=60) as channels:
            channels.onlost = lambda *arguments: lost.append(arguments)
            visitor = visit().open()
            channels.join(visitor.socket, 'room', name='anna')
            ids = [channels.publish('room', text) for text in 'ab']
            wait_until(lambda: replica.command('GET', 'faye:{room}:last') == ids[1])
            master.end(signal.SIGKILL)
            channels.publish('room', 'c')
            visitor.wait('a', 'b', 'c')
            assert replica.command('XLEN', 'faye:{room}:log') == 3
            wait_until(lambda: channels.members('room') == ['anna'])
            assert lost == []

    @pytest.mark.proves('R15')
    def test_a_server_that_is_no_master_is_refused(self, replica: RedisServer, sentinel: RedisServer) -> None:
        route = find_route(f'redis+sentinel://127.0.0.1:{sentinel.port}/mine')
        connection = find_route(replica.url).open(None)
        with pytest.raises(redis.ConnectionError, match='not the master of mine'):
            route.check(connection)
        connection.disconnect()

    @pytest.mark.proves('R15')
    def test_an_unknown_master_is_reported(self, sentinel: RedisServer) -> None:
        url, expected = f'redis+sentinel://127.0.0.1:{sentinel.port}/theirs', 'GET-MASTER-ADDR-BY-NAME theirs: no reply'
        with open_channels(url, timeout=0.3) as channels, pytest.raises(TimeoutError, match=expected):
            channels.publish('room', 'x')
        with pytest.raises(redis.ConnectionError, match=expected):
            find_route(url).open(None)

    @pytest.mark.proves('R12')
    def test_a_server_that_became_a_replica_is_tried_again(self, way: None, replica: RedisServer) -> None:
        with open_channels(replica.url, timeout=0.5) as channels, pytest.raises(TimeoutError, match='read only'):
            channels.publish('room', 'x')

    @pytest.mark.proves('R15')
    def test_passwords_are_those_of_the_url(self) -> None:
        route: Any = find_route('rediss+sentinel://anna:a%2Fb@one:1,[::1]/mine/3?sentinel_password=s&socket_timeout=9')
        assert route._sentinels == [('one', 1), ('::1', 26379)]
        assert route._login == {'db': 0, 'username': None, 'password': 's'}
        options = {name: route._options[name] for name in ('username', 'password', 'db', 'socket_timeout')}
        assert options == {'username': 'anna', 'password': 'a/b', 'db': 3, 'socket_timeout': 9}
        assert 'SSL' in route._class.__name__


class TestCluster:
    """The scheme redis+cluster."""

    @pytest.fixture
    def nodes(self) -> Iterator[list[RedisServer]]:
        """Two masters, and a replica of the first."""
        with ExitStack() as stack:
            nodes = [stack.enter_context(running_redis(
                '--cluster-enabled', 'yes', '--cluster-port', free_port(), '--cluster-node-timeout', 1000,
                '--repl-diskless-sync-delay', 0)) for _ in range(3)]
            nodes[0].command('CLUSTER', 'ADDSLOTSRANGE', 0, 8191)
            nodes[1].command('CLUSTER', 'ADDSLOTSRANGE', 8192, 16383)
            for node in nodes[1:]:
                node.command('CLUSTER', 'MEET', '127.0.0.1', nodes[0].port, nodes[0].options[3])
            first = nodes[0].command('CLUSTER', 'MYID')
            wait_until(lambda: all(len(ask(node, 'NODES').splitlines()) == 3 for node in nodes), 'the nodes', 30)
            wait_until(lambda: 'cluster_state:ok' in ask(nodes[2], 'INFO'), 'the slots', 30)
            nodes[2].command('CLUSTER', 'REPLICATE', first)
            wait_until(lambda: nodes[2].command('ROLE')[3] == 'connected', 'the replica', 30)
            wait_until(lambda: all('cluster_state:ok' in ask(node, 'INFO') for node in nodes), 'the cluster', 30)
            yield nodes

    @pytest.mark.proves('R15')
    def test_channels_are_on_all_nodes_and_survive_the_loss_of_one(
            self, way: None, nodes: list[RedisServer], visit: Visit) -> None:
        first, second, replica = nodes
        lost: list[Any] = []
        url = f'redis+cluster://127.0.0.1:{first.port},127.0.0.1:{replica.port}'
        with open_channels(url, timeout=60) as channels:
            channels.onlost = lambda *arguments: lost.append(arguments)
            visitors = {room: visit().open() for room in ROOMS}
            for room, visitor in visitors.items():
                channels.join(visitor.socket, room, name='anna')
                ids = [channels.publish(room, f'{room} {text}') for text in 'ab']
                visitor.wait(f'{room} a', f'{room} b')
                back = visit().open()
                channels.join(back.socket, room, since=ids[0])
                back.wait(f'{room} b')
                assert channels.members(room) == ['anna']
            assert min(node.command('DBSIZE') for node in (first, second)) > 0
            wait_until(lambda: replica.command('DBSIZE') == first.command('DBSIZE'))
            first.end(signal.SIGKILL)
            replica.command('CLUSTER', 'FAILOVER', 'TAKEOVER')
            for room, visitor in visitors.items():
                channels.publish(room, f'{room} c')
                visitor.wait(*(f'{room} {text}' for text in 'abc'))
            assert lost == []

    @pytest.mark.proves('R15')
    def test_a_channel_may_be_moved_to_another_node(self, way: None, nodes: list[RedisServer], visit: Visit) -> None:
        first, second = nodes[:2]
        slot = first.command('CLUSTER', 'KEYSLOT', 'faye:{room}:log')
        if slot > 8191:
            first, second = second, first
        ids = [node.command('CLUSTER', 'MYID') for node in (first, second)]
        with open_channels(f'redis+cluster://127.0.0.1:{first.port}') as channels:
            visitor = visit().open()
            channels.join(visitor.socket, 'room')
            second.command('CLUSTER', 'SETSLOT', slot, 'IMPORTING', ids[0])
            first.command('CLUSTER', 'SETSLOT', slot, 'MIGRATING', ids[1])
            writer = gevent.spawn(channels.publish, 'room', 'while it moves')
            settle()
            for node in (second, first):
                node.command('CLUSTER', 'SETSLOT', slot, 'NODE', ids[1])
            writer.get(timeout=30)
            channels.publish('room', 'after it has moved')
            visitor.wait('while it moves', 'after it has moved')

    @pytest.mark.proves('R12')
    def test_a_url_of_one_server_is_refused_at_once(self, way: None, nodes: list[RedisServer], visit: Visit) -> None:
        with open_channels(nodes[0].url) as first, open_channels(nodes[1].url) as second:
            slot = nodes[0].command('CLUSTER', 'KEYSLOT', 'faye:{room}:log')
            channels = second if slot <= 8191 else first
            assert refuses_at_once(channels, visit, ValueError, 'expected redis\\+cluster://')

    @pytest.mark.proves('R15')
    def test_a_slot_without_a_node_is_reported(self, nodes: list[RedisServer]) -> None:
        route: Any = find_route(f'redis+cluster://127.0.0.1:{nodes[0].port}')
        route._ranges = [(1, 1, ('127.0.0.1', 1))]
        with pytest.raises(redis.ConnectionError, match='no node of the cluster has the slot'):
            route.find(('SMEMBERS', 'room'))
        assert route.find(('SMEMBERS', 'room'))[1] in [node.port for node in nodes[:2]]


@pytest.mark.parametrize('url', [
    'redis+sentinel://', 'redis+sentinel:///mine', 'redis+sentinel://one', 'redis+sentinel://one,,two/mine',
    'redis+cluster://', 'redis+cluster://one:x', 'redis+other://one', 'redis+cluster://one:99999'])
def test_an_invalid_url_raises(url: str) -> None:
    with pytest.raises(ValueError, match=r'url|[Pp]ort'):
        Channels(url)


def ask(node: RedisServer, what: str) -> str:
    """Return the text that a node has of its cluster."""
    with redis.Redis(port=node.port) as client:
        client.response_callbacks.clear()
        return bytes(client.execute_command('CLUSTER', what)).decode()
