"""Sockets in the test's own process: a server and its clients on one hub.

    def echo(ws):
        ws.onmessage = lambda event: ws.send(event.data)

    with serve(echo) as server:
        client = server.open()
        client.send_frame(TEXT, b'hello')
        assert client.receive_frame() == Frame(TEXT, b'hello')
        server.record.wait('open')

Every event is recorded. The clients are those of ``wire``, on gevent's sockets: while
one waits, the hub serves.
"""

from __future__ import annotations

import io
import socket as std_socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import gevent
import gevent.ssl
from gevent import socket, subprocess
from gevent.pywsgi import WSGIServer

from faye_websocket import EventSource, WebSocket
from tests.support.certificates import session_certificate
from tests.support.processes import ROOT
from tests.support.waiting import DEADLINE
from tests.support.wire import RFC_6455, Frame, Headers, RawClient

T = TypeVar('T')
Setup = Callable[[WebSocket], object]

TYPES = ('open', 'message', 'error', 'close', 'drain')


def wait_until(condition: Callable[[], T], what: str = 'the condition', deadline: float = DEADLINE) -> T:
    """Return the first true value of ``condition()``, while the hub runs.

    Raise AssertionError if there is none in time.
    """
    end = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > end:
            raise AssertionError(f'not within {deadline} s: {what}')
        gevent.sleep(0.001)
    return value


def settle() -> None:
    """Let the hub do everything that it can do now."""
    for _ in range(5):
        gevent.idle()


class Record:
    """The events of one socket, in the order in which its handlers got them."""

    def __init__(self, ws: WebSocket | EventSource, types: tuple[str, ...] = TYPES) -> None:
        self.ws: Any = ws
        self.events: list[Any] = []
        for type in types:
            ws.on(type, self.events.append)

    def __repr__(self) -> str:
        return f'<Record {self.events}>'

    @property
    def types(self) -> list[str]:
        """The types of the events."""
        return [event.type for event in self.events]

    def of(self, type: str) -> list[Any]:
        """Return the events of one type."""
        return [event for event in self.events if event.type == type]

    @property
    def messages(self) -> list[str | bytes]:
        """The data of the messages."""
        return [event.data for event in self.of('message')]

    def wait(self, type: str, count: int = 1) -> Any:
        """Wait for ``count`` events of a type, and return the last of them."""
        wait_until(lambda: len(self.of(type)) >= count, f'{count} x {type} in {self!r}')
        return self.of(type)[count - 1]

    def the_close(self) -> Any:
        """Return the close event, which must be the only one, and the last of all
        events.
        """
        self.wait('close')
        settle()
        assert self.types.index('close') == len(self.events) - 1, self
        return self.events[-1]


class Client(RawClient):
    """A client of ``wire`` on one of gevent's sockets."""

    def finish_sending(self) -> None:
        """Send FIN, and keep on reading."""
        self.socket._sock.shutdown(std_socket.SHUT_WR)  # type: ignore[attr-defined]

    def open(self, extra_bytes: bytes = b'') -> Client:
        """Make the handshake, which must succeed."""
        assert self.handshake(extra_bytes).status == 101
        return self

    def receive_frames(self) -> list[Frame]:
        """Return all frames up to the end of the connection.

        No other bytes may follow them.
        """
        frames, rest = read_frames(self.read_to_eof())
        assert rest == b''
        return frames

    def receive_messages(self, count: int) -> list[bytes]:
        """Return the payloads of the next ``count`` frames, which may be many or large.
        """
        data = bytearray(self._unread)
        frames: list[Frame] = []
        self._unread = b''
        while len(frames) < count:
            data += wait_for_data(self.socket)
            new, rest = read_frames(data)
            frames += new
            del data[:len(data) - len(rest)]
        assert (len(frames), bytes(data)) == (count, b'')
        return [frame.payload for frame in frames]


def wait_for_data(sock: Any) -> bytes:
    """Return the next bytes of a socket, before its deadline."""
    data = sock.recv(2**20)
    assert data, 'the connection ended'
    return bytes(data)


def read_frames(data: bytes | bytearray) -> tuple[list[Frame], bytes]:
    """Return all complete frames from a server, and the bytes after them, in linear
    time.
    """
    frames, position = [], 0
    while position + 2 <= len(data):
        first, length = data[position], data[position + 1]
        size = {126: 2, 127: 8}.get(length, 0)
        start = position + 2 + size
        if size:
            length = int.from_bytes(data[position + 2:start], 'big')
        if start + length > len(data):
            break
        frames.append(Frame(first & 0x0F, bytes(data[start:start + length]), bool(first & 0x80), first >> 4 & 7))
        position = start + length
    return frames, bytes(data[position:])


def run_threads(*functions: Callable[[], object]) -> None:
    """Run each function in an OS thread, while this hub goes on; raise their exceptions
    here.
    """
    errors: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    wait_until(lambda: not any(thread.is_alive() for thread in threads), 'the threads')
    if errors:
        raise errors[0]


def run_beside(command: list[str]) -> Any:
    """Run a program while the hub goes on, and return the result of ``subprocess.run``.

    It uses gevent's subprocess: a hub that watches child processes takes the exit
    status from anything else that waits for it.
    """
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)


class Connected:
    """A connected socket in place of a server's address."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock

    def connect(self, timeout: float) -> Any:
        """Return the socket."""
        return self.sock


class LocalServer:
    """gevent.pywsgi in this process.

    ``setup`` is called with each of its sockets; a request for no WebSocket gets
    ``Hello``. ``paths`` are those of all requests that have reached the application.
    ``errors`` holds the log of the server and the hub.
    """

    def __init__(self, setup: Setup, tls: bool, options: dict[str, Any]) -> None:
        self.setup = setup
        self.options = options
        self.paths: list[str] = []
        self.records: list[Record] = []
        self.clients: list[Client] = []
        self.errors = io.StringIO()
        self.certificate = session_certificate() if tls else None
        self.access_log = io.StringIO()
        self.wsgi = WSGIServer(('127.0.0.1', 0), self.app, log=self.access_log, error_log=self.errors, **self._ssl_options())

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Serve a request, as the WSGI application."""
        self.paths.append(environ['PATH_INFO'])
        if 'HTTP_UPGRADE' not in environ:
            start_response('200 OK', [('Content-Length', '5')])
            return [b'Hello']
        ws = WebSocket(environ, **self.options)
        self.records.append(Record(ws))
        self.setup(ws)
        return ws(environ, start_response)

    def _ssl_options(self) -> dict[str, Any]:
        if self.certificate is None:
            return {}
        context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.certfile, self.certificate.keyfile)
        return {'ssl_context': context}

    @property
    def record(self) -> Record:
        """The record of the last socket, once there is one."""
        return wait_until(lambda: self.records, 'a socket')[-1]

    @property
    def ws(self) -> WebSocket:
        """The last socket."""
        return self.record.ws

    def connect(self, timeout: float = DEADLINE) -> Any:
        """Return a connected gevent socket."""
        connected = socket.create_connection(('127.0.0.1', self.wsgi.server_port), timeout)
        if self.certificate is None:
            return connected
        context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.certificate.authority)
        return context.wrap_socket(connected, server_hostname='127.0.0.1')

    def client(self, path: str = '/', headers: Headers = RFC_6455) -> Client:
        """Return a client that has sent nothing yet."""
        self.clients.append(Client(self, path, headers))  # type: ignore[arg-type]
        return self.clients[-1]

    def open(self, path: str = '/', headers: Headers = RFC_6455, extra_bytes: bytes = b'') -> Client:
        """Return a client that has made its handshake."""
        return self.client(path, headers).open(extra_bytes)


@contextmanager
def serve(setup: Setup = lambda ws: None, *, tls: bool = False, **options: Any) -> Iterator[LocalServer]:
    """Run a server for this block, with options of WebSocket. No error may be logged.
    """
    server = LocalServer(setup, tls, options)
    server.wsgi.start()
    try:
        with hub_errors() as errors:
            yield server
            logged = server.errors.getvalue() + errors.getvalue()
            assert logged == '', logged
    finally:
        for client in server.clients:
            client.close()
        settle()
        server.wsgi.stop(timeout=1)


@contextmanager
def hub_errors() -> Iterator[io.StringIO]:
    """Yield the errors of greenlets and callbacks that the hub prints."""
    attributes, errors = vars(gevent.get_hub()), io.StringIO()
    before = attributes.get('exception_stream')
    attributes['exception_stream'] = errors
    try:
        yield errors
    finally:
        del attributes['exception_stream']
        if before is not None:
            attributes['exception_stream'] = before


def tcp_pair(buffer_size: int = 0) -> tuple[Any, Any]:
    """Return two gevent sockets connected by TCP.

    With a ``buffer_size``, the kernel holds little data between them.
    """
    listener = socket.socket()
    for level, name in [(socket.SOL_SOCKET, socket.SO_SNDBUF), (socket.SOL_SOCKET, socket.SO_RCVBUF)] if buffer_size else ():
        listener.setsockopt(level, name, buffer_size)
    with listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        client = socket.socket()
        if buffer_size:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_size)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_size)
        client.connect(listener.getsockname())
        return listener.accept()[0], client


@contextmanager
def full_listener(host: str = '127.0.0.1', port: int = 0) -> Iterator[int]:
    """Yield the port of a listener that accepts no more connections, so that connecting
    hangs.
    """
    with std_socket.socket() as listener:
        listener.bind((host, port))
        listener.listen(0)
        waiting = []
        for _ in range(3):
            waiting.append(std_socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        try:
            yield listener.getsockname()[1]
        finally:
            for sock in waiting:
                sock.close()


def make_environ(sock: Any = None, headers: Headers = RFC_6455, **others: Any) -> dict[str, Any]:
    """Return the environ that gunicorn's gevent worker would make of a request on
    ``sock``.
    """
    environ = {
        'REQUEST_METHOD': 'GET', 'SERVER_PROTOCOL': 'HTTP/1.1', 'SCRIPT_NAME': '', 'PATH_INFO': '/', 'QUERY_STRING': '',
        'HTTP_HOST': 'example.com', 'wsgi.url_scheme': 'http', **others}
    if sock is not None:
        environ['gunicorn.socket'] = sock
    for name, value in headers:
        environ['HTTP_' + name.upper().replace('-', '_')] = value
    return environ


class Response:
    """A ``start_response`` that keeps its arguments."""

    def __init__(self) -> None:
        self.status = ''
        self.headers: list[tuple[str, str]] = []

    def __call__(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
        self.status, self.headers = status, headers
        return lambda data: None


class Pair:
    """A server's socket that is not started yet, and a raw client at the other end."""

    def __init__(self, sock: Any, client_sock: Any, headers: Headers, options: dict[str, Any]) -> None:
        self.sock = sock
        self.environ = make_environ(sock, headers)
        self.ws = WebSocket(self.environ, **options)
        self.client = Client(Connected(client_sock), headers=headers)  # type: ignore[arg-type]
        self.response = Response()

    def start(self) -> WebSocket:
        """Make the handshake, as if a view returned the socket and its server wrote the
        response.
        """
        assert list(self.ws(self.environ, self.response)) == []
        self.respond(f'HTTP/1.1 {self.response.status}\r\n\r\n')
        return self.ws

    def respond(self, text: str, encoding: str = 'utf-8') -> None:
        """Write what a server writes, which has the stub of a socket."""
        self.sock.sendall(text.encode(encoding))

    def start_refused(self) -> WebSocket:
        """Make a handshake that is refused, and write the response."""
        body = b''.join(self.ws(self.environ, self.response))
        assert body
        self.respond(f'HTTP/1.1 {self.response.status}\r\nContent-Length: {len(body)}\r\n\r\n{body.decode()}')
        self.sock.close()
        return self.ws

    def open(self) -> tuple[WebSocket, Client]:
        """Make the handshake, and read the response."""
        self.start()
        assert self.client.receive_head().status == 101
        return self.ws, self.client


@contextmanager
def joined(
        headers: Headers = RFC_6455, *, family: int = socket.AF_INET, buffer_size: int = 0, options_headers: Any = None,
        **options: Any) -> Iterator[Pair]:
    """Yield a pair for this block, during which the hub may report no errors.

    It is connected by TCP, unless ``family`` is another one. ``headers`` are those of
    the client. The options are those of WebSocket, with ``options_headers`` for its
    ``headers``.
    """
    options['headers'] = options_headers
    ours, theirs = tcp_pair(buffer_size) if family == socket.AF_INET else socket.socketpair()
    pair = Pair(ours, theirs, headers, options)
    try:
        with hub_errors() as errors:
            yield pair
            assert errors.getvalue() == '', errors.getvalue()
    finally:
        pair.client.close()
        pair.sock.close()
        settle()


def reset(client: Client) -> None:
    """End the client's connection with RST."""
    reset_socket(client.socket)


def reset_socket(sock: Any) -> None:
    """End a connection with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    sock.close()
