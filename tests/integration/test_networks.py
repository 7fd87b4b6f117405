"""Networks that fail: lost, late and reordered packets, cut links, peers without power.

Server and client are both the library's, on two hosts of a virtual network: see
`tests.support.network`.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.event
import gevent.socket
import gevent.ssl
import pytest
from gevent.pywsgi import WSGIServer

from faye_websocket import Client, EventSource, PermessageDeflate, broadcast
from tests.support import local
from tests.support.inside import stream_of
from tests.support.local import Record, Setup, hub_errors, reset, settle, wait_until
from tests.support.network import Network
from tests.support.processes import ROOT, environment

both_transports = pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])

PING, PING_TIMEOUT = 0.4, 0.3
CLOSE_TIMEOUT = 0.6

EVENT_STREAM = (('Accept', 'text/event-stream'),)


def cut(network: Network) -> None:
    """Cut the wire without a notice to either host."""
    network.is_cut = True


def link_down(network: Network) -> None:
    """Disable the network device of the client's host."""
    network.there.set_link('down')


either_way = pytest.mark.parametrize('fail', [cut, link_down], ids=['cut', 'link down'])


class FarServer(local.LocalServer):
    """A server on one host, with clients on the other host or on its own."""

    def __init__(self, network: Network, setup: Setup, tls: bool, options: dict[str, Any]) -> None:
        super().__init__(setup, tls, options)
        self.network = network
        with network.here:
            listener = gevent.socket.socket()
        listener.bind((network.here.address, 0))
        listener.listen(256)
        self.wsgi = WSGIServer(listener, self.app, log=self.access_log, error_log=self.errors, **self._ssl_options())
        self.is_near = False

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Serve WebSockets and event sources."""
        if not EventSource.is_eventsource(environ):
            return super().app(environ, start_response)
        es = EventSource(environ, **self.options)
        self.records.append(Record(es))
        self.setup(es)  # type: ignore[arg-type]
        return es(environ, start_response)

    def connect(self, timeout: float = 10) -> Any:
        """Return a connected gevent socket."""
        with self.network.here if self.is_near else self.network.there:
            sock = gevent.socket.socket()
        sock.settimeout(timeout)
        sock.connect((self.network.here.address, self.wsgi.server_port))
        if self.certificate is None:
            return sock
        context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certificate.authority)
        return context.wrap_socket(sock, server_hostname='127.0.0.1')

    def far_client(self, **options: Any) -> Record:
        """Return an open client on the other host, and the record of its events."""
        sock = self.connect()
        sock.settimeout(None)
        scheme = 'ws' if self.certificate is None else 'wss'
        record = Record(Client(f'{scheme}://{self.network.here.address}/', socket=sock, **options))  # type: ignore[arg-type]
        record.wait('open')
        return record


@pytest.fixture
def network() -> Iterator[Network]:
    """Two hosts and a wire."""
    with Network() as made:
        yield made


@contextmanager
def serve(network: Network, setup: Setup = lambda ws: None, *, tls: bool = False, **options: Any) -> Iterator[FarServer]:
    """Serve for this block, and check that no error is logged."""
    server = FarServer(network, setup, tls, options)
    server.wsgi.start()
    try:
        with hub_errors() as errors:
            yield server
            assert server.errors.getvalue() + errors.getvalue() == ''
    finally:
        for client in server.clients:
            client.close()
        settle()
        server.wsgi.stop(timeout=1)


def ended_within(record: Record, seconds: float, began: float) -> Any:
    """Check that the close event came in time, and return it."""
    event = record.the_close()
    assert time.monotonic() - began < seconds, event
    return event


class TestSilentPeer:
    """A peer that no longer sends anything."""

    @pytest.mark.proves('L1')
    @both_transports
    @either_way
    def test_is_given_up_by_both_sides_in_time(
            self, network: Network, tls: bool, fail: Callable[[Network], None]) -> None:
        keepalive: Any = {'ping': PING, 'ping_timeout': PING_TIMEOUT}
        with serve(network, tls=tls, **keepalive) as server:
            client = server.far_client(**keepalive)
            wait_until(lambda: server.records and server.record.types == ['open'])
            began = time.monotonic()
            fail(network)
            for record in (server.record, client):
                event = ended_within(record, PING + PING_TIMEOUT + 1, began)
                assert (event.code, event.reason) == (1006, 'ping timeout')

    @pytest.mark.proves('L1', 'O7')
    @both_transports
    @either_way
    def test_is_given_up_although_we_do_not_read(
            self, network: Network, tls: bool, fail: Callable[[Network], None]) -> None:
        keepalive: Any = {'ping': PING, 'ping_timeout': PING_TIMEOUT}
        release = gevent.event.Event()
        with serve(network, lambda ws: ws.on('message', lambda event: release.wait()), tls=tls, **keepalive) as server:
            client = server.far_client()
            for _ in range(1000):
                client.ws.send('hello')
            wait_until(lambda: server.records and stream_of(server.ws).is_paused)
            # The kernel of the peer acknowledges the pings, which is all that can be
            # known of it.
            gevent.sleep(2 * (PING + PING_TIMEOUT))
            assert server.ws.ready_state == server.ws.OPEN
            began = time.monotonic()
            fail(network)
            wait_until(lambda: server.ws.ready_state == server.ws.CLOSED)
            assert time.monotonic() - began < PING + PING_TIMEOUT + 1
            release.set()
            event = server.record.the_close()
            assert (event.code, event.reason) == (1006, 'ping timeout')

    @pytest.mark.proves('L1')
    def test_is_given_up_when_it_has_lost_its_power(self, network: Network) -> None:
        with serve(network, ping=PING, ping_timeout=PING_TIMEOUT) as server:
            url = f'ws://{network.here.address}:{server.wsgi.server_port}/'
            command = network.there.command(sys.executable, '-m', 'faye_websocket', 'connect', url)
            with subprocess.Popen(command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL) as peer:
                server.record.wait('open')
                network.is_cut = True
                peer.kill()
                began = time.monotonic()
                event = ended_within(server.record, PING + PING_TIMEOUT + 1, began)
            assert (event.code, event.reason) == (1006, 'ping timeout')

    @pytest.mark.proves('L1')
    def test_is_not_given_up_when_the_network_is_only_bad(self, network: Network) -> None:
        with serve(network, ping=0.1, ping_timeout=3) as server:
            client = server.far_client(ping=0.1, ping_timeout=3)
            network.loss, network.delay, network.jitter = 0.1, 0.02, 0.04
            pongs: list[int] = []
            for number in range(20):
                server.ws.ping(str(number), lambda: pongs.append(1))
                wait_until(lambda expected=number + 1: len(pongs) == expected)
            assert network.lost
            assert (server.record.types, client.types) == (['open'], ['open'])

    @pytest.mark.proves('L2', 'L4')
    @both_transports
    def test_without_pings_is_given_up_by_the_kernel(self, network: Network, tls: bool) -> None:
        # The kernel would repeat a segment for a quarter of an hour.
        network.here.set_option('ipv4/tcp_retries2', 2)
        with serve(network, tls=tls) as server:
            server.far_client()
            network.is_cut = True
            server.ws.send('is anybody there?')
            event = server.record.the_close()
            assert (event.code, event.was_clean) == (1006, False)
            # Older patches of Python turn every error below TLS into an EOF (CPython's
            # issue 115627).
            assert 'timed out' in event.reason or tls


class TestClosing:
    """The method close() while no packet arrives."""

    @pytest.mark.proves('L3', 'L5')
    @both_transports
    @either_way
    @pytest.mark.parametrize('waiting', [0, 4_000_000], ids=['nothing waits', 'much waits'])
    def test_ends_within_the_close_timeout_on_both_sides(
            self, network: Network, tls: bool, fail: Callable[[Network], None], waiting: int) -> None:
        with serve(network, tls=tls, close_timeout=CLOSE_TIMEOUT) as server:
            client = server.far_client(close_timeout=CLOSE_TIMEOUT)
            records = (server.record, client)
            server.record.wait('open')
            fail(network)
            for record in records:
                record.ws.send(bytes(waiting))
                record.ws.close(3000)
            began = time.monotonic()
            for record in records:
                event = ended_within(record, CLOSE_TIMEOUT + 1, began)
                assert (event.code, event.reason) == (1006, 'close timeout')
                assert record.ws.buffered_amount == 0

    @pytest.mark.proves('L3')
    @both_transports
    def test_loses_nothing_when_the_network_comes_back_in_time(self, network: Network, tls: bool) -> None:
        with serve(network, tls=tls) as server:
            client = server.far_client()
            server.record.wait('open')
            network.is_cut = True
            server.ws.send(bytes(1_000_000))
            server.ws.close(3000, 'done')
            gevent.spawn_later(0.3, setattr, network, 'is_cut', False)
            for record in (client, server.record):
                event = record.the_close()
                assert (event.code, event.reason, event.was_clean) == (3000, 'done', True)
            assert client.messages == [bytes(1_000_000)]


class TestBadNetwork:
    """Lost, late and reordered packets between two active peers."""

    @both_transports
    @pytest.mark.parametrize('extensions', [(), (PermessageDeflate(),)], ids=['as it is', 'deflated'])
    def test_every_message_arrives_whole_and_in_order(self, network: Network, tls: bool, extensions: Any) -> None:
        chance = random.Random(0)
        messages = [chance.randbytes(chance.choice([0, 10, 125, 126, 1000, 30_000])) for _ in range(100)]
        echo = lambda ws: ws.on('message', lambda event: ws.send(event.data))
        with serve(network, echo, tls=tls, extensions=extensions) as server:
            client = server.far_client(extensions=extensions)
            network.loss, network.delay, network.jitter = 0.02, 0.001, 0.003
            for message in messages:
                assert client.ws.send(message)
            wait_until(lambda: len(client.messages) == len(messages), 'the echoes', 30)
            assert client.messages == messages
            client.ws.close()
            assert client.the_close().was_clean
            assert server.record.the_close().was_clean
            assert network.lost
            assert network.overtaken

    @pytest.mark.proves('K2', 'K3')
    def test_connecting_over_a_cut_wire_ends_in_time_and_names_its_stage(self, network: Network) -> None:
        with serve(network) as server, network.there:
            network.is_cut = True
            url, began = f'ws://10.203.0.1:{server.wsgi.server_port}/', time.monotonic()
            record = Record(Client(url, timeout=0.5))  # type: ignore[arg-type]
            assert ended_within(record, 1.5, began).code == 1006
            assert record.of('error')[0].message == f'connecting to 10.203.0.1:{server.wsgi.server_port} timed out'

    @pytest.mark.proves('K3')
    def test_a_handshake_over_a_cut_wire_ends_in_time(self, network: Network) -> None:
        with serve(network) as server:
            sock = server.connect()
            network.is_cut = True
            began = time.monotonic()
            record = Record(Client('ws://10.203.0.1/', socket=sock, timeout=0.5))  # type: ignore[arg-type]
            assert ended_within(record, 1.5, began).code == 1006
            assert 'handshake timeout' in record.of('error')[0].message


class TestStalledReader:
    """One of 101 readers behind a cut wire."""

    @pytest.mark.proves('B3')
    def test_delays_no_other_reader_and_is_closed_with_1013(self, network: Network) -> None:
        messages = [bytes([number]) * 50_000 for number in range(60)]
        with serve(network, max_buffered=2**19, close_timeout=CLOSE_TIMEOUT) as server:
            server.client('/stalled').open()
            server.is_near = True
            readers = [server.open(f'/{number}') for number in range(100)]
            received = [gevent.spawn(client.receive_messages, len(messages)) for client in readers]
            sockets = [record.ws for record in server.records]
            network.is_cut = True
            for message in messages:
                broadcast(sockets, message)
                wait_until(lambda: max(ws.buffered_amount for ws in sockets[1:]) < 2**18, 'the others read')
            for greenlet in received:
                assert greenlet.get(timeout=20) == messages
            event = server.records[0].the_close()
            assert (event.code, event.reason) == (1013, 'slow consumer')
            assert all(record.types == ['open'] for record in server.records[1:])
            wait_until(lambda: sockets[0].buffered_amount == 0, 'nothing is kept for it', CLOSE_TIMEOUT + 1)


class TestEventSource:
    """An event source on a failing network, while the application is silent."""

    @pytest.mark.proves('E4')
    @both_transports
    @pytest.mark.parametrize('leave', [lambda client: client.close(), reset], ids=['FIN', 'RST'])
    def test_a_client_that_leaves_is_noticed_within_a_second(
            self, network: Network, tls: bool, leave: Callable[[Any], None]) -> None:
        with serve(network, tls=tls) as server:
            client = server.client('/', EVENT_STREAM)
            assert client.handshake().status == 200
            server.record.wait('open')
            network.delay, network.jitter = 0.05, 0.05
            began = time.monotonic()
            leave(client)
            assert ended_within(server.record, 1, began).code == 1006

    def test_a_client_without_power_is_noticed_by_pings_when_the_kernel_gives_up(self, network: Network) -> None:
        network.here.set_option('ipv4/tcp_retries2', 2)
        with serve(network, ping=0.1) as server:
            client = server.client('/', EVENT_STREAM)
            assert client.handshake().status == 200
            network.is_cut = True
            event = server.record.the_close()
            assert event.code == 1006
            assert 'timed out' in event.reason

    @pytest.mark.proves('B3')
    @either_way
    def test_a_client_that_cannot_read_is_closed_with_1013(
            self, network: Network, fail: Callable[[Network], None]) -> None:
        with serve(network, max_buffered=100_000) as server:
            client = server.client('/', EVENT_STREAM)
            assert client.handshake().status == 200
            server.record.wait('open')
            fail(network)
            while server.ws.send('x' * 10_000):
                gevent.sleep(0)
            event = server.record.the_close()
            assert (event.code, event.reason) == (1013, 'slow consumer')


