"""Helpers for tests of channels: a Redis server, a proxy that can cut connections, and
sockets with clients.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent
from gevent import socket
from gevent.server import StreamServer

from faye_websocket import EventSource, WebSocket
from tests.support.eventstream import ACCEPT, EventParser
from tests.support.local import Response, make_environ, read_frames, settle, tcp_pair, wait_until
from tests.support.programs import require_module, require_program
from tests.support.wire import RFC_6455


class RedisServer:
    """A redis-server on its own port, which stores its data on disk."""

    def __init__(self, directory: Path, *options: Any) -> None:
        self.options = [str(option) for option in options]
        self._program = require_program('redis-server', 'apt-get install redis-server')
        require_module('redis', 'pip install redis')
        self.directory = directory
        self.port = free_port()
        self.process: Any = None

    @property
    def url(self) -> str:
        """The URL of the server."""
        return f'redis://127.0.0.1:{self.port}'

    @property
    def path(self) -> str:
        """The path of the server's Unix socket."""
        return str(self.directory / 'redis.sock')

    @property
    def arguments(self) -> list[str]:
        """The arguments of this kind of server."""
        return ['--unixsocket', self.path, '--save', '', '--appendonly', 'yes', '--appendfsync', 'always']

    def start(self) -> None:
        """Start the server with the data that it has stored.

        It loses nothing when it is killed. By default it may lose the last two seconds.
        """
        command = [self._program, *self.arguments, '--port', str(self.port), '--bind', '127.0.0.1',
                   '--dir', str(self.directory), '--loglevel', 'warning', *self.options]
        with (self.directory / 'log').open('ab') as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(self.is_ready, 'redis-server', 30)

    def is_ready(self) -> bool:
        """Return whether the server responds."""
        try:
            return bool(self.command('PING'))
        except Exception:
            return False

    def command(self, *command: Any) -> Any:
        """Return the reply of the server to a command."""
        from redis import Redis

        with Redis(port=self.port, decode_responses=True, protocol=2) as client:
            return client.execute_command(*command)

    def end(self, how: int = signal.SIGTERM) -> None:
        """End the server with a signal."""
        os.kill(self.process.pid, how)
        self.process.wait(10)

    def pause(self) -> None:
        """Stop the server from responding, as if its network were cut."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the server respond again."""
        os.kill(self.process.pid, signal.SIGCONT)


def free_port() -> int:
    """Return a port that is not in use.

    It is below those that the system gives to connections, one of which might take it
    before the server does.
    """
    while True:
        port = 10_000 + secrets.randbelow(20_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(('127.0.0.1', port))
            return port


class SentinelServer(RedisServer):
    """A redis-server that is a Sentinel, and watches the master ``mine``."""

    @property
    def arguments(self) -> list[str]:
        """The arguments of this kind of server."""
        file = self.directory / 'sentinel.conf'
        file.touch()
        return [str(file), '--sentinel']

    def watch(self, master: RedisServer) -> None:
        """Watch a master, and replace it soon after it is gone."""
        self.command('SENTINEL', 'MONITOR', 'mine', '127.0.0.1', master.port, 1)
        self.command('SENTINEL', 'SET', 'mine', 'down-after-milliseconds', 500, 'failover-timeout', 3000)


@contextmanager
def running_redis(*options: Any, kind: type[RedisServer] = RedisServer) -> Iterator[RedisServer]:
    """Run a redis-server for the duration of a block."""
    directory = Path(tempfile.mkdtemp(prefix='redis-'))
    server = kind(directory, *options)
    try:
        server.start()
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait(10)
        shutil.rmtree(directory, ignore_errors=True)


class Wire:
    """A TCP proxy in front of a port.

    When it is cut, it forwards no data and closes no connection.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.is_cut = False
        self.drops_answers = False
        self.bytes_back = 0
        self._socks: set[Any] = set()
        self._server: Any = None
        self.listen_port = 0
        self.begin()

    @property
    def url(self) -> str:
        """The URL at which the proxy serves Redis."""
        return f'redis://127.0.0.1:{self.listen_port}'

    def begin(self) -> None:
        """Accept connections."""
        self._server = StreamServer(('127.0.0.1', self.listen_port), self._serve)
        self._server.start()
        self.listen_port = self._server.server_port

    def end(self) -> None:
        """Close all connections, and accept no more."""
        self._server.stop()
        for sock in tuple(self._socks):
            sock.close()

    def heal(self) -> None:
        """Forward new connections; old ones remain cut."""
        self.is_cut = False
        for sock in tuple(self._socks):
            sock.was_cut = True

    def close(self) -> None:
        """Stop the proxy."""
        self.end()

    def _serve(self, sock: Any, address: Any) -> None:
        try:
            there = socket.create_connection(('127.0.0.1', self._port))
        except OSError:
            sock.close()
            return
        ends = [_End(sock), _End(there)]
        self._socks.update(ends)
        gevent.joinall([gevent.spawn(self._pump, *ends), gevent.spawn(self._pump, *reversed(ends), True)])
        self._socks.difference_update(ends)
        for end in ends:
            end.close()

    def _pump(self, source: _End, sink: _End, is_back: bool = False) -> None:
        try:
            while data := source.sock.recv(65536):
                while self.is_cut or source.was_cut:
                    gevent.sleep(0.01)
                if is_back:
                    self.bytes_back += len(data)
                if not (is_back and self.drops_answers):
                    sink.sock.sendall(data)
            sink.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class _End:
    """One side of a proxied connection."""

    def __init__(self, sock: Any) -> None:
        self.sock = sock
        self.was_cut = False

    def close(self) -> None:
        self.was_cut = False
        self.sock.close()


class Visitor:
    """A socket on the server, and the data that its client has received."""

    def __init__(
            self, since: str = '', *, source: bool = False, buffer_size: int = 0, reads: bool = True,
            **options: Any) -> None:
        self._sock, self.client = tcp_pair(buffer_size)
        self.is_source = source
        headers = [*ACCEPT, ('Last-Event-ID', since)] if source else options.pop('wire', RFC_6455)
        self.environ = make_environ(self._sock, headers)
        self.socket: Any = (EventSource if source else WebSocket)(self.environ, **options)
        self.closes: list[Any] = []
        self.socket.on('close', self.closes.append)
        self.received = b''
        self._reader: Any = None
        if reads:
            self.read()

    def read(self) -> None:
        """Start reading."""
        self._reader = gevent.spawn(self._read)

    def _read(self) -> None:
        try:
            while data := self.client.recv(2**20):
                self.received += data
        except OSError:
            pass

    def open(self) -> Visitor:
        """Open the socket, as a server does for a view that returns it."""
        response = Response()
        assert list(self.socket(self.environ, response)) == []
        lines = [f'{name}: {value}' for name, value in response.headers]
        self._sock.sendall('\r\n'.join([f'HTTP/1.1 {response.status}', *lines, '', '']).encode())
        self._sock.close()
        return self

    @property
    def events(self) -> list[Any]:
        """The events that the client of an event source has received."""
        return EventParser().parse(self.received.partition(b'\r\n\r\n')[2]).events

    @property
    def messages(self) -> list[Any]:
        """The messages that the client has received, for a socket of either kind."""
        if self.is_source:
            return [event.data for event in self.events]
        frames, _ = read_frames(self.received.partition(b'\r\n\r\n')[2])
        return [frame.payload.decode() if frame.opcode == 1 else frame.payload
                for frame in frames if frame.opcode in (1, 2)]

    def wait(self, *messages: Any) -> None:
        """Wait until exactly these messages have been received."""
        wait_until(lambda: len(self.messages) >= len(messages), f'{messages!r:.200}')
        settle()
        got = self.messages
        assert got == list(messages), got

    def leave(self) -> None:
        """Close the client's connection."""
        if self._reader is not None:
            self._reader.kill()
        self.client.close()
        self._sock.close()
        wait_until(lambda: self.closes or self.socket.ready_state == 0, 'the close')
