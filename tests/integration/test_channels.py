"""Channels under faults: four gunicorn workers, HAProxy, Redis and 200 clients.

Whatever fails, each client receives each message once and in order.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.event import AsyncResult

from faye_websocket import Client
from faye_websocket.channels import Channels
from tests.support.channels import RedisServer, Wire, running_redis
from tests.support.local import wait_until
from tests.support.processes import Endpoint, Process, own_directory, read_text
from tests.support.proxies import haproxy
from tests.support.servers import BOOTING, LISTENING
from tests.support.wire import http_get

CLIENTS = 200
WORKERS = 4
#: Seconds for two hundred clients of one process, even on a slow machine.
SLOW = 90.0
#: Seconds for which the network is cut, longer than any timeout of a reply.
CUT = float(os.environ.get('FAYE_TEST_CUT', '12'))
#: Messages that are sent before a fault, and again after it.
BEFORE = int(os.environ.get('FAYE_TEST_MESSAGES', '20'))


class Listener:
    """A client that connects again after each loss, with the id of its last message."""

    def __init__(self, proxy: Endpoint) -> None:
        self.proxy = proxy
        self.texts: list[str] = []
        self.last = ''
        self.connections = 0
        self._greenlet = gevent.spawn(self._stay)

    def leave(self) -> None:
        self._greenlet.kill()

    def _stay(self) -> None:
        while True:
            with suppress(OSError):
                self._connect()
            gevent.sleep(0.1)

    def _connect(self) -> None:
        raise NotImplementedError

    def take(self, id: str, text: str) -> None:
        self.last = id
        # Without the padding, of which 200 clients would keep three gigabytes.
        self.texts.append(text.rstrip())


class SocketListener(Listener):
    """A listener with a WebSocket."""

    gate: Any = None

    def _connect(self) -> None:
        closed: Any = AsyncResult()
        # A slow listener must fall behind, not collect the messages in its own queue.
        ws = Client(self.proxy.ws_url(f'/?since={self.last}'), max_queue=1)
        ws.onopen = lambda event: setattr(self, 'connections', self.connections + 1)
        ws.onmessage = self._received
        ws.onclose = closed.set
        try:
            closed.get()
        finally:
            ws.close()

    def _received(self, event: Any) -> None:
        if self.gate is not None:
            self.gate.wait()
        message = json.loads(event.data)
        self.take(message['id'], message['data'])


class SourceListener(Listener):
    """A listener with an event source, as a browser has it."""

    def _connect(self) -> None:
        head = f'GET / HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: {self.last}\r\n\r\n'
        with socket.create_connection(self.proxy.address) as sock:
            sock.sendall(head.encode())
            with sock.makefile('rb') as stream:
                if b' 200 ' in stream.readline():
                    self.connections += 1
                    self._read(stream)

    def _read(self, stream: Any) -> None:
        id = ''
        for line in stream:
            field, _, value = line.decode().rstrip('\r\n').partition(': ')
            if field == 'id':
                id = value
            elif field == 'data':
                self.take(id, value)


class Place:
    """The servers, the clients, and a publisher."""

    def __init__(self, redis: RedisServer, wire: Wire, server: Process, proxy: Endpoint) -> None:
        self.redis, self.wire, self.server = redis, wire, server
        self.listeners: list[Listener] = [
            (SourceListener if number % 2 else SocketListener)(proxy) for number in range(CLIENTS)]
        self.channels = Channels(wire.url, history=5000, timeout=120)
        self.sent: list[str] = []
        self._is_over = False
        wait_until(lambda: all(listener.connections for listener in self.listeners), deadline=SLOW)

    def publish(self, count: int = 1) -> None:
        """Publish this many messages, one after the other."""
        for _ in range(count):
            text = f'{len(self.sent)}'
            self.channels.publish('room', text, key=text if len(self.sent) % 2 else None)
            self.sent.append(text)

    def publish_meanwhile(self) -> Any:
        """Publish until ``finish`` is called."""
        def work() -> None:
            while not self._is_over:
                self.publish()
                gevent.sleep(0.02)
        return gevent.spawn(work)

    def finish(self, publisher: Any) -> None:
        """Publish the last messages, and check what each client received."""
        seen = len(self.sent)
        wait_until(lambda: len(self.sent) > seen + BEFORE, deadline=SLOW)
        self._is_over = True
        publisher.get(timeout=SLOW)
        self.publish(5)
        wait_until(lambda: all(len(each.texts) >= len(self.sent) for each in self.listeners), deadline=SLOW)
        lost = sum(len(set(self.sent) - set(each.texts)) for each in self.listeners)
        repeated = sum(len(each.texts) - len(set(each.texts)) for each in self.listeners)
        disordered = sum(each.texts != sorted(each.texts, key=int) for each in self.listeners)
        received = sum(len(each.texts) for each in self.listeners)
        print(f'sent {len(self.sent)} to {CLIENTS}, received {received}, lost {lost}, repeated {repeated}, '
              f'out of order {disordered}, connections {sum(each.connections for each in self.listeners)}')
        assert (lost, repeated, disordered) == (0, 0, 0)

    def close(self) -> None:
        for listener in self.listeners:
            listener.leave()
        self.channels.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """The running servers with all clients connected."""
    with running_redis() as redis:
        wire = Wire(redis.port)
        process = Process(
            [sys.executable, '-m', 'gunicorn', 'tests.support.channels_app:app', '-k', 'gevent', '-w', str(WORKERS),
             '--bind', '127.0.0.1:0', '--no-control-socket', '--graceful-timeout', '5'],
            own_directory(tmp_path, 'g'), {'CHANNELS_URL': wire.url})
        try:
            # Each worker imports all modules anew. One that still does so at the end is
            # killed after gunicorn's timeout.
            process.wait_for_start(lambda: LISTENING.search(read_text(process.stderr)))
            listening = LISTENING.search(read_text(process.stderr))
            assert listening is not None
            server = Endpoint(('127.0.0.1', int(listening['port'])))
            wait_until(lambda: has_answered(server), deadline=SLOW)
            with haproxy(server, tmp_path) as proxy:
                place = Place(redis, wire, process, proxy)
                try:
                    yield place
                finally:
                    place.close()
        finally:
            process.stop()
            wire.close()


def has_answered(server: Endpoint) -> bool:
    """Return whether a worker is ready."""
    try:
        return http_get(server)[0].status == 200
    except (OSError, EOFError, AssertionError):
        return False


class TestFaults:
    """Faults after which no message is lost, repeated or out of order."""

    @pytest.mark.proves('R13')
    @pytest.mark.parametrize('how', [signal.SIGTERM, signal.SIGKILL], ids=['restarted', 'killed'])
    def test_no_message_is_lost_when_redis_restarts(self, place: Place, how: int) -> None:
        publisher = place.publish_meanwhile()
        wait_until(lambda: len(place.sent) > BEFORE, deadline=SLOW)
        place.redis.end(how)
        gevent.sleep(0.5)
        place.redis.start()
        place.finish(publisher)
        assert all(listener.connections == 1 for listener in place.listeners)

    @pytest.mark.proves('R13')
    def test_no_message_is_lost_when_a_worker_is_killed(self, place: Place) -> None:
        publisher = place.publish_meanwhile()
        wait_until(lambda: len(place.sent) > BEFORE, deadline=SLOW)
        os.kill(int(BOOTING.findall(place.server.output())[0]), signal.SIGKILL)
        wait_until(lambda: any(listener.connections == 2 for listener in place.listeners), deadline=SLOW)
        place.finish(publisher)

    @pytest.mark.proves('R13')
    @pytest.mark.parametrize('late', [True, False], ids=['what-was-under-way-comes-late', 'never-comes'])
    def test_no_message_is_lost_when_the_network_is_cut(self, place: Place, late: bool) -> None:
        publisher = place.publish_meanwhile()
        wait_until(lambda: len(place.sent) > BEFORE, deadline=SLOW)
        place.wire.is_cut = True
        before = len(place.sent)
        gevent.sleep(CUT)
        assert len(place.sent) <= before + 1
        place.wire.is_cut = False if late else place.wire.heal() is not None
        place.finish(publisher)

    @pytest.mark.proves('R13')
    def test_no_message_is_lost_when_a_slow_client_is_closed_and_reconnects(self, place: Place) -> None:
        slow = place.listeners[0]
        assert isinstance(slow, SocketListener)
        slow.gate = gevent.event.Event()
        place.publish()
        for _ in range(150):
            text = f'{len(place.sent)}'
            place.channels.publish('room', text.ljust(100_000))
            place.sent.append(text)
        wait_until(lambda: all(len(each.texts) > 150 for each in place.listeners[1:]), deadline=SLOW)
        slow.gate.set()
        place.finish(place.publish_meanwhile())
        assert slow.connections > 1
        assert all(listener.connections == 1 for listener in place.listeners[2::2])
