"""Measure how many bytes a peer can make a process hold for each byte that it sends.

    python tools/amplification.py

For every way in which a peer can make the library keep data, a process is started, a
server or a client. This program is the peer: it sends a little, some and much data,
keeps the connections open, and measures the growth of the process. The worst of the
three is reported. Memory of the kernel is not counted; it is equal for all programs.
The handshake is counted on both sides, except for a client's own objects, which no peer
can make it create.

``--most 20`` fails if more than twenty times the bytes are held. It does not apply to
compressed messages, which have limits of their own, nor to idle connections, which
``benchmarks/memory.py`` measures.
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import gc
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
MIB = 2**20

# The seconds without progress after which a peer decides that the process has stopped
# reading.
STALL = 0.3


# ---- the process that is measured


class Keep:
    """The objects that an application may hold: sockets, and handlers that never
    return.
    """

    def __init__(self) -> None:
        import gevent.event

        self.sockets: list[Any] = []
        self.never = gevent.event.Event()

    def add(self, ws: Any, style: str) -> None:
        """Use a socket in one of the styles that the ways name."""
        import gevent

        self.sockets.append(ws)
        if style == 'blocked':
            ws.onmessage = lambda event: self.never.wait()
        elif style == 'receive':
            gevent.spawn(lambda: (ws.receive(), self.never.wait()))
        elif style == 'echo':
            ws.onmessage = lambda event: ws.send(event.data)


def run_server() -> None:
    """Serve sockets whose style is their path; print the port."""
    from gevent.pywsgi import WSGIServer

    from faye_websocket import EventSource, PermessageDeflate, WebSocket

    keep = Keep()

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        style = environ['PATH_INFO'].strip('/')
        if EventSource.is_eventsource(environ):
            es = EventSource(environ)
            keep.sockets.append(es)
            return es(environ, start_response)
        ws = WebSocket(environ, extensions=[PermessageDeflate()], close_timeout=0.2)
        keep.add(ws, style)
        return ws(environ, start_response)

    server = WSGIServer(('127.0.0.1', 0), app, log=None, error_log=None)
    server.start()
    answer_questions(server.server_port)


def run_client(url: str, options: dict[str, Any]) -> None:
    """Connect clients as the lines of stdin ask for."""
    from faye_websocket import Client, PermessageDeflate

    keep = Keep()

    def connect(style: str) -> None:
        ws = Client(url, extensions=[PermessageDeflate()], close_timeout=0.2, **options)
        ws.onerror = lambda event: None
        keep.add(ws, style)

    answer_questions(0, connect)


def answer_questions(port: int, connect: Callable[[str], None] | None = None) -> None:
    """Print the port, then the resident memory for each line of stdin.

    If the line names a style, connect first.
    """
    import gevent
    from gevent.fileobject import FileObjectPosix

    print(port, flush=True)
    for line in FileObjectPosix(sys.stdin.fileno(), 'r'):
        if line.strip() and connect is not None:
            connect(line.strip())
        gevent.sleep(0.01)
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        with open('/proc/self/statm') as file:
            print(int(file.read().split()[1]) * os.sysconf('SC_PAGE_SIZE'), flush=True)


class Victim:
    """The process that is measured."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, __file__, *arguments]
        environment = {
            **os.environ,
            'PYTHONPATH': os.pathsep.join([str(ROOT), os.environ.get('PYTHONPATH', '')]),
        }
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.port = self._answer()

    def _answer(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def ask(self, style: str = '') -> int:
        """Return the resident bytes. If a style is given, connect with it first."""
        assert self.process.stdin is not None
        print(style, file=self.process.stdin, flush=True)
        return self._answer()

    def settle(self, seconds: float = 5) -> int:
        """Return the resident bytes once they do not change any more."""
        end, before = time.monotonic() + seconds, -1
        while (now := self.ask()) != before and time.monotonic() < end:
            before = now
            time.sleep(0.1)
        return now

    def close(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


# ---- the peer


class Peer:
    """One connection to the process, with the number of bytes that were sent on it."""

    def __init__(self, sock: socket.socket, is_client: bool) -> None:
        self.sock = sock
        self.is_client = is_client
        self.sent = 0

    def send(self, data: bytes) -> bool:
        """Send until the process stops reading; return whether all was sent."""
        self.sock.settimeout(STALL)
        view = memoryview(data)
        with suppress(TimeoutError, ConnectionError):
            while view:
                count = self.sock.send(view[:MIB])
                self.sent += count
                view = view[count:]
        return not view

    def frame(self, opcode: int, payload: bytes, first: int = 0x80) -> bytes:
        """Return a frame of this side. The masking key is zero."""
        length, mask = len(payload), 0x80 if self.is_client else 0
        code = length if length < 126 else 126 if length < 65536 else 127
        size = {126: 2, 127: 8}.get(code, 0)
        head = bytes((first | opcode, mask | code)) + length.to_bytes(size or 1, 'big')[:size]
        return head + bytes(4 if self.is_client else 0) + payload

    def flood(self, data: bytes, most: int) -> None:
        """Send the data repeatedly, up to this many bytes or until the process stops
        reading.
        """
        block = data * max(1, min(most, 2**16) // len(data))
        for _ in range(max(1, most // len(block))):
            if not self.send(block):
                break

    def read_head(self) -> bytes:
        """Read up to an empty line."""
        self.sock.settimeout(10)
        data = b''
        while b'\r\n\r\n' not in data:
            chunk = self.sock.recv(65536)
            if not chunk:
                break
            data += chunk
        return data


def headers(count: int, name: int, value: int) -> str:
    """Return this many header lines, with different names of this length."""
    return ''.join(
        f'{index:02x}'.ljust(name, 'x') + ':' + 'v' * value + '\r\n' for index in range(count)
    )


def request(path: str, more: str = '', version: str = 'hybi') -> bytes:
    """Return the shortest possible request."""
    upgrade = {
        'hybi': 'Upgrade:websocket\r\nConnection:Upgrade\r\nSec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==\r\n'
        'Sec-WebSocket-Version:13\r\n',
        'hixie-76': 'Upgrade:WebSocket\r\nConnection:Upgrade\r\nSec-WebSocket-Key1:4 @1  46546xW%0l 1 5\r\n'
        'Sec-WebSocket-Key2:12998 5 Y3 1  .P00\r\n',
        'hixie-75': 'Upgrade:WebSocket\r\nConnection:Upgrade\r\n',
        'events': 'Accept:text/event-stream\r\n',
    }[version]
    return f'GET /{path} HTTP/1.1\r\nHost:x\r\n{upgrade}{more}\r\n'.encode('latin-1')


def acceptance(head: bytes, more: str = '') -> bytes:
    """Return the shortest response that accepts a client's request."""
    key = next(
        line.split(b':')[1].strip()
        for line in head.split(b'\r\n')
        if line.lower().startswith(b'sec-websocket-key')
    )
    accept = base64.b64encode(hashlib.sha1(key + GUID.encode()).digest()).decode()
    return (
        f'HTTP/1.1 101 \r\nUpgrade:websocket\r\nConnection:Upgrade\r\nSec-WebSocket-Accept:{accept}\r\n'
        f'{more}\r\n'
    ).encode('latin-1')


def bombs(peer: Peer) -> bytes:
    """Return 66 compressed messages of 1 MiB."""
    deflater = zlib.compressobj(9, wbits=-15)
    frames = []
    for _ in range(66):
        data = deflater.compress(bytes(MIB)) + deflater.flush(zlib.Z_SYNC_FLUSH)
        frames.append(peer.frame(BINARY, data[:-4], 0xC0))
    return b''.join(frames)


# ---- the ways


#: Sends to a peer, and is called with it and with the most bytes that it may send.
Send = Callable[[Peer, int], object]


class Way(NamedTuple):
    """A way in which a peer can make the library keep data.

    It includes the style of the application and the number of connections.
    """

    title: str
    send: Send
    style: str = 'none'
    connections: int = 100
    request: str = ''
    version: str = 'hybi'
    is_compressed: bool = False
    is_idle: bool = False
    volumes: tuple[int, ...] = (0,)
    options: dict[str, Any] = {}


def nothing(peer: Peer, most: int) -> None:
    """Send nothing but the handshake."""


def flood(opcode: int, payload: bytes) -> Send:
    """Send messages."""
    return lambda peer, most: peer.flood(peer.frame(opcode, payload), most)


def fragments(payload: bytes) -> Send:
    """Send a message in the greatest number of frames, except for the last one."""
    return lambda peer, most: peer.send(
        peer.frame(TEXT, payload, 0) + peer.frame(0, payload, 0) * 16_382
    )


def declare(peer: Peer, most: int) -> None:
    """Send the header of a frame of 64 MiB, less one byte, and one byte of it."""
    mask = 0x80 if peer.is_client else 0
    length = (2**26 - 1).to_bytes(8, 'big')
    peer.send(
        bytes((0x80 | BINARY, mask | 127)) + length + bytes(4 if peer.is_client else 0) + b'x'
    )


def part(peer: Peer, most: int) -> None:
    """Send most of a message, which never ends."""
    peer.send(peer.frame(TEXT, b'x' * most, 0))


def in_small_parts(peer: Peer, most: int) -> None:
    """Send a part of a message, byte by byte."""
    peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    frame = peer.frame(BINARY, bytes(4096))
    peer.send(frame[:-300])
    for start in range(len(frame) - 300, len(frame) - 1):
        peer.send(frame[start : start + 1])


def ping_flood(peer: Peer, most: int) -> None:
    """Send pings, and read no pong."""
    peer.flood(peer.frame(PING, bytes(125)), most)


def bomb(peer: Peer, most: int) -> None:
    """Send 66 MiB as 70 KiB."""
    peer.send(bombs(peer))


def close(peer: Peer, most: int) -> None:
    """Close with the longest reason."""
    peer.send(peer.frame(CLOSE, b'\x03\xe8' + b'r' * 123))


def hixie(data: bytes) -> Send:
    """Send an incomplete frame of the hixie drafts."""
    return lambda peer, most: peer.send(data)


OFFERS = 'Sec-WebSocket-Extensions:permessage-deflate' + ',permessage-deflate' * 99 + '\r\n'
OFFER = 'Sec-WebSocket-Extensions:permessage-deflate\r\n'
SHORT, LONG = headers(90, 2, 0), headers(90, 8000, 0)
VALUES = headers(90, 2, 8000)
# The bytes that an idle socket reads at once, those that a busy one reads, and many
# more than either.
VOLUMES = (2**14, 2**16, 2**23)
DEFLATE: dict[str, Any] = {'is_compressed': True, 'request': OFFER}

SERVER_WAYS = [
    Way('a handshake, and nothing else', nothing, connections=500, is_idle=True),
    Way('a handshake with 90 short headers', nothing, request=SHORT),
    Way('a handshake with 90 long headers', nothing, request=VALUES, connections=10),
    Way('a handshake with 90 headers of long names', nothing, request=LONG, connections=10),
    Way('a handshake with 100 offers of extensions', nothing, request=OFFERS),
    Way('a handshake of hixie-76 without its body', nothing, version='hixie-76', connections=500),
    Way('an event stream', nothing, version='events', connections=500, is_idle=True),
    Way('an event stream with 90 short headers', nothing, version='events', request=SHORT),
    Way('the head of a frame of 64 MiB', declare, connections=500),
    Way('a part of a message', part, connections=5, volumes=(1, 2**12, 2**22)),
    Way('a part of a frame, byte by byte', in_small_parts, connections=50),
    Way('16,383 empty fragments', fragments(b''), connections=50),
    Way('16,383 fragments of a byte', fragments(b'x'), connections=50),
    Way(
        'a text of hixie-75 without an end',
        hixie(b'\0' + b'x' * MIB),
        version='hixie-75',
        connections=5,
    ),
    Way('pings, and no pong is read', ping_flood, connections=20, volumes=VOLUMES),
    Way('a close frame with a long reason', close, connections=500),
    *(
        Way(f'{title} to {who}', flood(opcode, payload), style, 10, volumes=VOLUMES)
        for style, who in (
            ('blocked', 'a handler that blocks'),
            ('none', 'nobody'),
            ('receive', 'receive, once'),
        )
        for title, opcode, payload in (
            ('empty messages', BINARY, b''),
            ('messages of two bytes', TEXT, 'Ā'.encode()),
            ('messages of eight bytes', TEXT, 'ĀĀĀĀ'.encode()),
            ('messages of 125 bytes', TEXT, b'x' * 125),
            ('messages of 64 KiB', BINARY, bytes(65536)),
            ('texts of 64 KiB with an emoji', TEXT, b'x' * 65532 + '\U0001f600'.encode()),
        )
    ),
    Way(
        'an echo of 64 KiB that is not read',
        flood(BINARY, bytes(65536)),
        'echo',
        5,
        volumes=VOLUMES,
    ),
    Way(
        'an echo of two bytes that is not read',
        flood(TEXT, 'Ā'.encode()),
        'echo',
        5,
        volumes=VOLUMES,
    ),
    Way('compressed messages of 1 MiB to a handler that blocks', bomb, 'blocked', 5, **DEFLATE),
    Way('compressed messages of 1 MiB to nobody', bomb, 'none', 5, **DEFLATE),
    Way('compressed messages of 1 MiB to receive, once', bomb, 'receive', 5, **DEFLATE),
]

CLIENT_WAYS = [
    Way('a response with 90 short headers', nothing, request=SHORT),
    Way('a response of 32 KiB', nothing, request=headers(3, 8, 10_000), connections=50),
    Way(
        'a refusal with a body of 1 MiB',
        lambda peer, most: peer.send(bytes(MIB)),
        version='refusal',
        connections=50,
    ),
    Way(
        'a redirect with a Location of 8 KiB',
        nothing,
        version='redirect',
        connections=50,
        options={'max_redirects': 5},
    ),
    Way(
        "a proxy's answer of 32 KiB",
        nothing,
        version='proxy',
        request=headers(3, 8, 10_000),
        connections=50,
        options={'proxy': 'PROXY'},
    ),
    Way('a response that does not end', nothing, version='endless', connections=50),
    Way('the head of a frame of 64 MiB', declare, connections=300),
    Way(
        'messages of two bytes to a handler that blocks',
        flood(TEXT, 'Ā'.encode()),
        'blocked',
        10,
        volumes=VOLUMES,
    ),
    Way('messages of two bytes to nobody', flood(TEXT, 'Ā'.encode()), 'none', 10, volumes=VOLUMES),
    Way(
        'texts of 64 KiB with an emoji to a handler that blocks',
        flood(TEXT, b'x' * 65532 + '\U0001f600'.encode()),
        'blocked',
        10,
        volumes=VOLUMES,
    ),
    Way('a close frame with a long reason', close, connections=300),
    Way('compressed messages of 1 MiB to a handler that blocks', bomb, 'blocked', 5, **DEFLATE),
    Way('compressed messages of 1 MiB to nobody', bomb, 'none', 5, **DEFLATE),
]


class Held(NamedTuple):
    """The result of a way: the bytes sent and held, on this number of connections."""

    sent: int
    held: int
    connections: int

    @property
    def factor(self) -> float:
        """The number of bytes held for each byte sent."""
        return self.held / self.sent


def measure_server(way: Way, count: int, most: int) -> Held:
    """Measure a way against a server."""
    with ExitStack() as stack:
        victim = Victim('--victim', 'server')
        stack.callback(victim.close)

        def connect() -> Peer:
            peer = Peer(
                stack.enter_context(socket.create_connection(('127.0.0.1', victim.port), 10)), True
            )
            peer.send(request(way.style, way.request, way.version))
            peer.read_head()
            return peer

        warm = Way('', nothing, way.style, 20, version=way.version)
        for _ in range(warm.connections):
            with connect().sock:
                pass
        before = victim.settle()
        peers = [connect() for _ in range(count)]
        for peer in peers:
            way.send(peer, most)
        held = victim.settle() - before
        return Held(sum(peer.sent for peer in peers), held, count)


def measure_client(way: Way, count: int, most: int) -> Held:
    """Measure a way against clients, without the memory that idle clients take."""
    held = measure_clients(way, count, most)
    by_themselves = int(count * measure_idle_clients(way.style, way.is_compressed))
    return held._replace(held=max(0, held.held - by_themselves))


@cache
def measure_idle_clients(style: str, is_compressed: bool) -> float:
    """Return the bytes that an idle client takes."""
    way = Way(
        '', nothing, style, request=OFFER if is_compressed else '', is_compressed=is_compressed
    )
    held = measure_clients(way, 200, 0)
    return held.held / held.connections


def measure_clients(way: Way, count: int, most: int) -> Held:
    """Measure a way against clients."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(('127.0.0.1', 0), backlog=1024))
        port = listener.getsockname()[1]
        options = {
            name: value if value != 'PROXY' else f'http://127.0.0.1:{port}'
            for name, value in way.options.items()
        }
        victim = Victim(
            '--victim',
            'client',
            '--url',
            f'ws://127.0.0.1:{port}/',
            '--options',
            json.dumps(options),
        )
        stack.callback(victim.close)

        def accept(is_warm_up: bool) -> Peer:
            victim.ask(way.style)
            listener.settimeout(10)
            peer = Peer(stack.enter_context(listener.accept()[0]), False)
            head = peer.read_head()
            if way.version == 'endless':
                peer.send(b'HTTP/1.1 101 \r\n' + headers(4, 8, 8000).encode()[:32_000])
            elif way.version == 'refusal':
                peer.send(b'HTTP/1.1 403 Forbidden\r\n\r\n')
            elif way.version == 'redirect':
                peer.send(b'HTTP/1.1 302 Found\r\nLocation:/' + b'x' * 8190 + b'\r\n\r\n')
                sent, peer = peer.sent, Peer(stack.enter_context(listener.accept()[0]), False)
                peer.sent = sent
                peer.send(acceptance(peer.read_head()))
            elif way.version == 'proxy':
                peer.send(b'HTTP/1.1 200 OK\r\n' + way.request.encode() + b'\r\n')
                peer.send(acceptance(peer.read_head()))
            else:
                peer.send(
                    acceptance(head, '' if is_warm_up and not way.is_compressed else way.request)
                )
            return peer

        for _ in range(5):
            with accept(True).sock:
                pass
        before = victim.settle()
        peers = [accept(False) for _ in range(count)]
        for peer in peers:
            way.send(peer, most)
        held = victim.settle() - before
        return Held(sum(peer.sent for peer in peers), held, count)


def table(title: str, rows: list[tuple[Way, Held]]) -> str:
    """Return a table of reStructuredText."""
    cells = [
        [title, 'sent', 'held', 'factor'],
        *(
            [
                way.title,
                *(f'{number / held.connections / 1024:,.1f} KiB' for number in held[:2]),
                f'{held.factor:,.1f}',
            ]
            for way, held in rows
        ),
    ]
    widths = [max(len(row[column]) for row in cells) for column in range(4)]
    lines = [
        '  '.join(
            [
                row[0].ljust(widths[0]),
                *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in cells
    ]
    rule = '  '.join('=' * width for width in widths)
    return '\n'.join([rule, lines[0], rule, *lines[1:], rule])


@contextmanager
def more_descriptors() -> Iterator[None]:
    """Allow this process and its children as many descriptors as possible."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def main(arguments: list[str] | None = None) -> int:
    """Run the command, and return the process's exit status."""
    parser = argparse.ArgumentParser(
        description='Measure the bytes that are held for each byte that a peer sends.'
    )
    parser.add_argument('--quick', action='store_true', help='measure fewer connections and ways')
    parser.add_argument(
        '--only',
        action='append',
        metavar='TEXT',
        help='measure only the ways with this in their titles',
    )
    parser.add_argument(
        '--most', type=float, metavar='FACTOR', help='fail if a factor exceeds this'
    )
    parser.add_argument('--victim', choices=['server', 'client'], help=argparse.SUPPRESS)
    parser.add_argument('--url', help=argparse.SUPPRESS)
    parser.add_argument('--options', type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.victim == 'server':
        run_server()
    elif options.victim == 'client':
        run_client(options.url, options.options)
    else:
        with more_descriptors():
            return report(options)
    return 0


def is_too_much(way: Way, held: Held, most: float) -> bool:
    """Return whether more is held than is allowed."""
    if way.is_compressed:
        # The bytes that may be queued, one message more, and the one that is being
        # handled.
        return held.held > held.connections * (16 + 3) * MIB
    return held.factor > most and not way.is_idle


def report(options: argparse.Namespace) -> int:
    """Measure all that was asked for, and print the tables."""
    too_much = []
    for title, ways, measure in (
        ('to a server', SERVER_WAYS, measure_server),
        ('to a client', CLIENT_WAYS, measure_client),
    ):
        rows = []
        for way in ways:
            if any(text in way.title for text in options.only or ['']):
                count = max(1, way.connections // 5) if options.quick else way.connections
                volumes = way.volumes[:1] if options.quick else way.volumes
                held = max(
                    (measure(way, count, volume) for volume in volumes),
                    key=lambda held: held.factor,
                )
                rows.append((way, held))
                print(f'{title}: {way.title}: {held.factor:.1f}', file=sys.stderr, flush=True)
        print(table(title, rows), end='\n\n', flush=True)
        too_much += [
            way.title for way, held in rows if options.most and is_too_much(way, held, options.most)
        ]
    for each in too_much:
        print(f'more than {options.most} times what was sent: {each}', file=sys.stderr)
    return 1 if too_much else 0


if __name__ == '__main__':
    sys.exit(main())
