"""Servers that fork while their sockets are in use.

The process forks by itself, for a program, or because the application does.
"""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest

from tests.support.holdings import Census, difference
from tests.support.programs import require_module
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until
from tests.support.wire import TEXT, RawClient, http_get

APP = 'tests.support.fork_app:app'
EVENT_STREAM = (('Accept', 'text/event-stream'),)
#: Seconds in which a peer sees the end, while a child holds its copies for a minute.
SOON = 6.0
#: The number of sockets of each kind.
SOCKETS = 4


class Setting(NamedTuple):
    """A server, the form of the library in it, and gevent's loop."""

    kind: str
    tls: bool
    form: str = 'default'
    loop: str = 'libev'

    def __str__(self) -> str:
        return '-'.join((self.kind, 'tls' if self.tls else 'plain', self.form, self.loop))


SETTINGS = [
    *(Setting(kind, tls) for kind in SERVERS for tls in (False, True)),
    Setting('pywsgi', False, 'pure'), Setting('pywsgi', True, 'pure'),
    Setting('pywsgi', False, loop='libuv')]


@pytest.fixture(scope='module')
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Setting], Server]]:
    """The running servers by setting, each started at its first use."""
    started: dict[Setting, Server] = {}
    with ExitStack() as stack:
        def get(setting: Setting) -> Server:
            if setting not in started:
                env = {'FAYE_WEBSOCKET_PURE': '1' if setting.form == 'pure' else ''}
                if setting.loop == 'libuv':
                    require_module('_cffi_backend', 'pip install cffi')
                    env['GEVENT_LOOP'] = 'libuv-cffi'
                started[setting] = stack.enter_context(
                    serve(setting.kind, APP, tls=setting.tls, env=env, tmp_path=tmp_path_factory.mktemp('forks')))
            return started[setting]

        yield get


class Users:
    """Users of a server's sockets in threads, who check all that they receive."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.pid = server.worker_pid()
        self.answers = 0
        self.faults: list[str] = []
        self._is_over = threading.Event()
        self._all_are_open = threading.Barrier(2 * SOCKETS + 1, timeout=20)
        self._threads = [
            threading.Thread(target=self._use, args=(use, number))
            for use in (self._echo, self._read) for number in range(SOCKETS)]

    def __enter__(self) -> Users:
        for thread in self._threads:
            thread.start()
        # Sockets that are not open yet are handled by gevent, which may continue in a
        # child.
        self._all_are_open.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _use(self, use: Callable[[int], None], number: int) -> None:
        try:
            use(number)
        except (AssertionError, EOFError, OSError, ValueError) as error:
            self.faults.append(f'{use.__name__}: {error!r}')

    def _echo(self, number: int) -> None:
        with RawClient(self.server, f'/echo-{number}') as client:
            assert client.handshake().status == 101
            self._all_are_open.wait()
            for sent in range(1_000_000):
                if self._is_over.wait(0.002):
                    break
                client.send_frame(TEXT, b'%d' % sent)
                self._check(client.receive_frame().payload, sent)

    def _read(self, number: int) -> None:
        with RawClient(self.server, f'/events-{number}', EVENT_STREAM) as client:
            assert client.handshake().status == 200
            client.receive(len(b'retry: 5000\r\n'))
            self._all_are_open.wait()
            for sent in range(1_000_000):
                if self._is_over.is_set():
                    break
                event = client.receive(len(f'data: {sent} {self.pid}\r\n\r\n'))
                assert event.endswith(b'\r\n\r\n'), event
                self._check(event[len('data: '):-4], sent)

    def _check(self, answer: bytes, sent: int) -> None:
        """Check that the server's own process sent the expected answer."""
        assert answer == b'%d %d' % (sent, self.pid)
        self.answers += 1


def census(server: Server) -> Census:
    """Return the numbers of objects that the server's process holds."""
    return json.loads(http_get(server, '/-/census')[1])


@pytest.mark.proves('O1', 'O6')
@pytest.mark.parametrize(('setting', 'way'), [
    # On libuv a child that yields before it runs another program aborts in libuv, in
    # programs without this library, too.
    (setting, way) for setting in SETTINGS for way in ('/run', '/fork')
    if (setting.loop, way) != ('libuv', '/run')], ids=str)
def test_every_answer_is_from_the_servers_own_process(
        running: Callable[[Setting], Server], setting: Setting, way: str) -> None:
    server = running(setting)
    with Users(server):
        # The objects that remain after a first use.
        pass
    wait_until(lambda: census(server)['Stream'] == 0, 'the first ones are gone')
    before, log_end = census(server), len(server.error_log())
    with Users(server) as users:
        assert int(http_get(server, way)[1]) == users.pid
    assert users.faults == []
    assert users.answers > 100
    wait_until(
        lambda: not [what for what, more in difference(before, census(server)).items() if more > 0],
        f'no more than {before}')
    # In a child, gunicorn's worker notices that its parent has changed, and logs it.
    assert [line for line in server.error_log()[log_end:].splitlines() if '[INFO]' not in line] == []


class Held(NamedTuple):
    """A peer of a server whose child has a copy of its socket."""

    peer: RawClient
    child: int


@pytest.fixture
def held(running: Callable[[Setting], Server], path: str) -> Iterator[Callable[..., Held]]:
    """A socket whose server has forked a child that holds a copy of it."""
    children: list[int] = []
    with ExitStack() as stack:
        def open_socket(setting: Setting, query: str = '', **headers: Any) -> Held:
            server = running(setting)
            peer = stack.enter_context(RawClient(server, path + query, deadline=SOON, **headers))
            assert peer.handshake().status in (101, 200)
            asking = stack.enter_context(RawClient(server, '/hold', [('Connection', 'close')]))
            # The child has a copy of this connection as well, so the stream does not
            # end.
            length = asking.handshake().get('Content-Length')
            children.append(int(asking.receive(int(length or 0))))
            return Held(peer, children[-1])

        yield open_socket
        for child in children:
            # The connection has not ended yet.
            os.kill(child, signal.SIGKILL)


OWN_SETTINGS = pytest.mark.parametrize('setting', [each for each in SETTINGS if each.loop == 'libev'], ids=str)


@pytest.mark.proves('O2')
@OWN_SETTINGS
def test_a_silent_peer_sees_the_end_though_a_child_has_a_copy(
        running: Callable[[Setting], Server], held: Callable[..., Held], setting: Setting, path: str) -> None:
    peer, _ = held(setting, '?ping=0.3&ping_timeout=0.3')
    peer.read_to_eof()
    assert running(setting).wait_for_event(path, 'close')['reason'] == 'ping timeout'


@pytest.mark.proves('O2')
@OWN_SETTINGS
@pytest.mark.parametrize('headers', [{}, {'headers': EVENT_STREAM}], ids=['websocket', 'eventsource'])
def test_a_peer_that_ends_sees_the_end_though_a_child_has_a_copy(
        running: Callable[[Setting], Server], held: Callable[..., Held], setting: Setting, headers: dict[str, Any],
        path: str) -> None:
    peer, _ = held(setting, **headers)
    peer.finish_sending()
    peer.read_to_eof()
    assert running(setting).wait_for_event(path, 'close')['code'] == 1006


@pytest.mark.proves('O2', 'H1')
@OWN_SETTINGS
def test_a_clean_end_is_no_reset_though_a_child_has_a_copy(
        held: Callable[..., Held], setting: Setting) -> None:
    peer, _ = held(setting)
    peer.send_close(1000)
    assert peer.receive_frame().code == 1000
    assert peer.read_to_eof() == b''
    assert not peer.was_reset
