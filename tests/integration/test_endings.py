"""The matrix of endings: every way in which a connection can end, under every server.

It covers WebSocket, with handlers and in greenlet style, Client and EventSource. The
sockets live in the process of a real server, and the test is their peer, on bytes.
After each ending there was exactly one close event, the last event, with the expected
code and reason; nothing unexpected was logged; and the process holds no more
descriptors, greenlets, watchers, timers or objects of the library than before. `python
-m tools.endings` prints the matrix.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from hashlib import sha1
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from tests.support.certificates import session_certificate
from tests.support.holdings import Census, difference
from tests.support.servers import SERVERS, Server, serve
from tests.support.waiting import wait_until
from tests.support.wire import (
    CLOSE,
    TEXT,
    Frame,
    RawClient,
    close_payload,
    http_get,
    parse_head,
    serialize_frame,
)

GUID = b'258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
EVENT_STREAM = (('Accept', 'text/event-stream'),)


#: Seconds until nothing may be left: longer than a connection lingers after its end,
#: and shorter than any of its timers.
SETTLED = 6.0


class Peer(RawClient):
    """The other end of a socket, as bytes.

    It is a client of a server's socket, or a server of the library's client.
    """

    is_server = False

    def open(self) -> None:
        """Perform a client's handshake."""
        head = self.handshake()
        assert head.status in (101, 200), head

    def say(self, opcode: int, payload: bytes) -> None:
        """Send a frame, masked as its role requires."""
        self.send(serialize_frame(opcode, payload, masked=not self.is_server))

    def say_wrongly(self) -> None:
        """Send a frame whose masking violates the protocol."""
        self.send(serialize_frame(TEXT, b'wrong', masked=self.is_server))

    def answer_close(self) -> None:
        """Reply to the next close frame."""
        frame = self.receive_frame()
        assert frame.opcode == CLOSE
        self.say(CLOSE, frame.payload)


class ServerPeer(Peer):
    """The server of a client."""

    is_server = True

    def __init__(self, connected: socket.socket, path: str) -> None:
        self.path = path
        self.deadline = 10.0
        self.was_reset = False
        self.transcript = self._unread = b''
        self.socket = connected

    def open(self) -> None:
        """Perform a server's handshake."""
        self._read_until(lambda: b'\r\n\r\n' in self._unread)
        request, _, self._unread = self._unread.partition(b'\r\n\r\n')
        _, _, lines = request.partition(b'\r\n')
        key = parse_head(b'HTTP/1.1 0\r\n' + lines).get('Sec-WebSocket-Key')
        assert key is not None
        accept = b64encode(sha1(key.encode() + GUID).digest()).decode()
        head = ['HTTP/1.1 101 x', 'Upgrade: websocket', 'Connection: Upgrade', f'Sec-WebSocket-Accept: {accept}']
        self.send('\r\n'.join([*head, '', '']).encode())

    def receive_frame(self) -> Frame:
        """Read a short frame that a client has masked."""
        first, second = self.receive(2)
        assert second & 0x80
        key, payload = self.receive(4), self.receive(second & 0x7F)
        return Frame(first & 0x0F, bytes(byte ^ key[index % 4] for index, byte in enumerate(payload)))


class Same:
    """A placeholder for the expectation of another kind of socket."""


SAME = Same()


class Told(NamedTuple):
    """The expected close event; a reason of None stands for any."""

    code: int
    reason: str | None = ''
    was_clean: bool = False


class Ending(NamedTuple):
    """An action of the peer, and the expected event of each kind of socket, if any."""

    act: Callable[[Peer], object]
    websocket: Told | None
    client: Told | None
    eventsource: Told | None
    logs: str = ''
    # The expectation, where it differs from that of a WebSocket with handlers.
    other_greenlet: Told | None | Same = SAME

    @property
    def greenlet(self) -> Told | None:
        """Return the expectation for a WebSocket in greenlet style."""
        return self.websocket if isinstance(self.other_greenlet, Same) else self.other_greenlet


def nothing(peer: Peer) -> None:
    """Do nothing."""


def end_and_see_the_end(peer: Peer) -> None:
    """Close the sending half, and check that the other half ends.

    A child of the socket's process that holds a copy does not prevent it.
    """
    ask(peer)
    peer.deadline = SETTLED
    peer.receive(1)
    peer.finish_sending()
    peer.read_to_eof()


def leave_much_unread(peer: Peer) -> None:
    """Ask for much data, check that it begins to arrive, and reset the connection."""
    ask(peer)
    peer.receive(1)
    peer.reset()


def ask(peer: Peer) -> None:
    """Ask the message handler to act; an event source acts by itself."""
    if '/eventsource/' not in peer.path:
        peer.say(TEXT, b'go')


def then(*acts: Callable[[Peer], object]) -> Callable[[Peer], None]:
    """Return an action that performs these in turn."""
    def act(peer: Peer) -> None:
        for each in acts:
            each(peer)
    return act


def answer(peer: Peer) -> None:
    """Reply to a close frame, if the protocol has one."""
    if '/eventsource/' not in peer.path:
        peer.answer_close()


ENOUGH = Told(3000, 'enough', True)
NO_STREAM_CODE = Told(1000, '', True)
FAULT = Told(1011, 'internal error', True)
AWAY = Told(1001, '', True)
LOST = Told(1006)
LOST_SOMEHOW = Told(1006, None)

ENDINGS = {
    'close by the peer': Ending(lambda peer: peer.say(CLOSE, close_payload(3333, 'bye')), Told(3333, 'bye', True),
                                Told(3333, 'bye', True), None),
    'close() by us': Ending(answer, ENOUGH, ENOUGH, NO_STREAM_CODE),
    'EOF': Ending(lambda peer: peer.close(), LOST, LOST, LOST),
    'EOF, with a fork': Ending(end_and_see_the_end, LOST_SOMEHOW, LOST_SOMEHOW, LOST_SOMEHOW),
    'RST': Ending(lambda peer: peer.reset(), LOST_SOMEHOW, LOST_SOMEHOW, LOST_SOMEHOW),
    'ping timeout': Ending(nothing, Told(1006, 'ping timeout'), Told(1006, 'ping timeout'), None),
    'protocol error': Ending(lambda peer: peer.say_wrongly(), Told(1002, None), Told(1002, None), None),
    'handler exception': Ending(then(ask, answer), FAULT, FAULT, FAULT, 'RuntimeError: on purpose'),
    'killed greenlet': Ending(then(ask, answer), FAULT, FAULT, FAULT),
    'write failure': Ending(leave_much_unread, LOST_SOMEHOW, LOST_SOMEHOW, LOST_SOMEHOW),
    'close() in onopen': Ending(answer, ENOUGH, ENOUGH, NO_STREAM_CODE, other_greenlet=None),
    'close() in onmessage': Ending(then(ask, answer), ENOUGH, ENOUGH, None, other_greenlet=None),
    'close() twice': Ending(answer, ENOUGH, ENOUGH, NO_STREAM_CODE),
    'close() before open': Ending(answer, ENOUGH, LOST_SOMEHOW, NO_STREAM_CODE),
    # These three end the process of the server; see test_the_end_of_a_worker.
    'SIGTERM': Ending(answer, AWAY, AWAY, AWAY),
    'SIGHUP': Ending(answer, AWAY, AWAY, AWAY),
    'max_requests': Ending(answer, AWAY, AWAY, AWAY),
    'wait_closed()': Ending(lambda peer: peer.say(CLOSE, close_payload(3333, 'bye')), Told(3333, 'bye', True),
                            Told(3333, 'bye', True), None),
}

KINDS = ('websocket', 'greenlet', 'client', 'eventsource')


class Setting(NamedTuple):
    """A server, and the form of the codec in it."""

    kind: str
    tls: bool
    is_pure: bool = False

    def __str__(self) -> str:
        return f'{self.kind}-{"tls" if self.tls else "plain"}-{"pure" if self.is_pure else "default"}'


SETTINGS = [*(Setting(kind, tls) for kind in SERVERS for tls in (False, True)), Setting('pywsgi', False, True)]

#: The endings by the end of a worker, and the servers to which they apply.
STOPS = {'SIGTERM': SERVERS, 'SIGHUP': ('gevent', 'gevent_pywsgi'), 'max_requests': ('gevent',)}

CELLS = [(setting, kind, name) for setting in SETTINGS for kind in KINDS for name, ending in ENDINGS.items()
         if getattr(ending, kind) is not None and setting.kind in STOPS.get(name, SERVERS)]


class Running(NamedTuple):
    """A server, and its census after its first socket."""

    server: Server
    before: Census


@pytest.fixture(scope='module')
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Setting], Running]]:
    """The running servers by setting, each started at its first use."""
    started: dict[Setting, Running] = {}
    with ExitStack() as stack:
        def get(setting: Setting) -> Running:
            if setting not in started:
                env = {'FAYE_WEBSOCKET_PURE': '1' if setting.is_pure else ''}
                server = stack.enter_context(serve(setting.kind, 'tests.support.ending_app:app', tls=setting.tls, env=env,
                                                   tmp_path=tmp_path_factory.mktemp('endings')))
                # The first socket imports modules and creates a reactor and a worker,
                # which remain.
                for kind in KINDS:
                    end(server, kind, 'close() by us', f'/{kind}/close()-by-us/first')
                wait_until(lambda: not census(server)['Stream'], 'the first ones are gone', SETTLED)
                started[setting] = Running(server, census(server))
            return started[setting]

        yield get


def census(server: Server) -> Census:
    """Return the numbers of objects that the server's process holds."""
    return json.loads(http_get(server, '/-/census')[1])


def find_rest(server: Server, before: Census) -> Census:
    """Return the objects that the server holds in addition to those before."""
    return {what: count for what, count in difference(before, census(server)).items() if count > 0}


def meet(server: Server, kind: str, path: str) -> Iterator[Peer]:
    """Yield the peer of a new socket of this kind, before its handshake."""
    if kind == 'client':
        yield from meet_client(server, path)
    else:
        headers: Any = {'headers': EVENT_STREAM} if kind == 'eventsource' else {}
        with Peer(server, path, **headers) as peer:
            yield peer


def meet_client(server: Server, path: str) -> Iterator[Peer]:
    """Yield the peer of a new client of the library, whose server is this test."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        listener.settimeout(10)
        make_client(server, path, listener.getsockname()[1])
        connected: Any = listener.accept()[0]
    with connected:
        connected.settimeout(10)
        if server.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(session_certificate().certfile, session_certificate().keyfile)
            connected = context.wrap_socket(connected, server_side=True)
        with ServerPeer(connected, path) as peer:
            yield peer


def make_client(server: Server, path: str, port: int) -> None:
    """Make the server's process create a client of the server on this port."""
    query = {'url': f'{"wss" if server.certificate else "ws"}://127.0.0.1:{port}/'}
    if server.certificate:
        query['authority'] = server.certificate.authority
    assert http_get(server, f'{path}?{urlencode(query)}')[0].status == 200


def end(server: Server, kind: str, name: str, path: str) -> list[dict[str, Any]]:
    """End a new socket in this way, and return its events."""
    if (kind, name) == ('client', 'close() before open'):
        # A client that is closed at once does not even connect.
        make_client(server, path, server.port)
        server.wait_for_event(path, 'close')
    else:
        for peer in meet(server, kind, path):
            peer.open()
            ENDINGS[name].act(peer)
            server.wait_for_event(path, 'close')
    return server.events(path)


def as_parameters(cells: list[tuple[Setting, str, str]]) -> pytest.MarkDecorator:
    """Return each of these cells as a parameter with a readable id."""
    return pytest.mark.parametrize(
        ('setting', 'kind', 'name'), [pytest.param(*cell, id='-'.join(map(str, cell))) for cell in cells])


@pytest.mark.proves('L2', 'L4', 'L5')
@as_parameters([cell for cell in CELLS if cell[2] not in STOPS])
def test_every_ending_is_one_close_event_and_leaves_nothing(
        running: Callable[[Setting], Running], numbers: Iterator[int], setting: Setting, kind: str,
        name: str) -> None:
    server, before = running(setting)
    ending, log_end = ENDINGS[name], len(server.error_log())
    told: Told = getattr(ending, kind)
    events = end(server, kind, name, f'/{kind}/{name.replace(" ", "-")}/{next(numbers)}')
    wait_until(lambda: not find_rest(server, before), f'no more than {before}', SETTLED)
    assert [event['type'] for event in events].index('close') == len(events) - 1
    assert (events[-1]['code'], events[-1]['was_clean']) == (told.code, told.was_clean)
    assert told.reason is None or events[-1]['reason'] == told.reason
    logged = server.error_log()[log_end:]
    if ending.logs:
        assert [line for line in logged.splitlines() if line == ending.logs] == [ending.logs]
        assert logged.count('Traceback') == 1
    else:
        assert logged == ''


class Stopped(NamedTuple):
    """The end of a worker, and the events of one socket of each kind."""

    events: dict[str, list[dict[str, Any]]]
    log: str


@pytest.fixture(scope='module')
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Setting, str], Stopped]:
    """A worker that was ended in this way, once for a socket of each kind."""
    @cache
    def stop(setting: Setting, name: str) -> Stopped:
        env = {'FAYE_WEBSOCKET_PURE': '1' if setting.is_pure else ''}
        options = ('--max-requests', '20') if name == 'max_requests' else ()
        with serve(setting.kind, 'tests.support.ending_app:app', tls=setting.tls, env=env, options=options,
                   tmp_path=tmp_path_factory.mktemp('stopped')) as server, ExitStack() as stack:
            paths = {kind: f'/{kind}/{name}/0' for kind in KINDS}
            peers = [stack.enter_context(contextmanager(meet)(server, kind, path)) for kind, path in paths.items()]
            for peer in peers:
                peer.open()
                server.wait_for_event(peer.path, 'open')
            end_worker(server, name)
            for peer in peers:
                answer(peer)
            return Stopped({kind: events_to_the_end(server, path) for kind, path in paths.items()}, server.error_log())

    return stop


def end_worker(server: Server, name: str) -> None:
    """Begin the end of the current worker."""
    if name == 'max_requests':
        while 'Autorestarting worker' not in server.error_log():
            http_get(server)
    else:
        os.kill(server.pid, getattr(signal, name))


def events_to_the_end(server: Server, path: str) -> list[dict[str, Any]]:
    """Return the events of a socket once it is closed."""
    server.wait_for_event(path, 'close')
    return server.events(path)


@pytest.mark.proves('L2', 'H10', 'G5')
@as_parameters([cell for cell in CELLS if cell[2] in STOPS])
def test_the_end_of_a_worker_is_one_close_event(
        stopped: Callable[[Setting, str], Stopped], setting: Setting, kind: str, name: str) -> None:
    events, log = stopped(setting, name)
    assert [event['type'] for event in events[kind]] == ['open', 'close']
    close = events[kind][-1]
    assert (close['code'], close['reason'], close['was_clean']) == getattr(ENDINGS[name], kind)
    assert 'Traceback' not in log
