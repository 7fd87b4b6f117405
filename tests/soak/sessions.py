"""Sessions of a soak: each is the life of one connection, with a good or a bad end.

A session is a function of a ``User``, which raises if something is wrong. Half of them
use the library's own client; the others write raw bytes.
"""

from __future__ import annotations

import random
import socket
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import gevent

from faye_websocket import Client, PermessageDeflate
from tests.soak.ledger import Ledger
from tests.support.processes import Endpoint
from tests.support.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    RFC_6455,
    TEXT,
    RawClient,
    close_payload,
    serialize_frame,
)

#: The longest time in seconds for anything that a session waits for, on a busy machine.
PATIENCE = 120.0

#: The seconds between two messages of a session.
PAUSE = (2.0, 10.0)

DEFLATE = (*RFC_6455, ('Sec-WebSocket-Extensions', 'permessage-deflate'))
EVENT_STREAM = (('Accept', 'text/event-stream'),)


class User:
    """A user that makes one connection after another.

    It selects the server, the duration and all other random values.
    """

    def __init__(self, servers: Sequence[Endpoint], ledger: Ledger, seed: int, lifetime: float) -> None:
        self.servers = servers
        self.ledger = ledger
        self.random = random.Random(seed)
        self.lifetime = lifetime

    def server(self) -> Endpoint:
        """Return the plain port, or in a third of the cases the one with TLS."""
        return self.servers[self.random.random() < 0.33]

    def query(self) -> str:
        """Return a query that selects compression, or none."""
        return self.random.choice(['', '?deflate'])

    def messages(self) -> range:
        """Return a range with the number of messages in this connection."""
        life = min(self.random.expovariate(1 / self.lifetime), 4 * self.lifetime)
        return range(1 + int(life / (sum(PAUSE) / 2)))

    def pause(self) -> None:
        """Wait until the next message."""
        gevent.sleep(self.random.uniform(*PAUSE))

    def text(self) -> str:
        """Return a message that can be compressed somewhat."""
        return f'{self.random.random()} ' * self.random.choice([1, 5, 50])

    def client(self, path: str, servers: Sequence[Endpoint] = (), **options: Any) -> Client:
        """Return a client of the library, whose close event is counted."""
        server = servers[0] if servers else self.server()
        if server.certificate is not None:
            options['tls'] = {'root_cert_file': server.certificate.authority}
        if 'deflate' in path:
            options['extensions'] = [PermessageDeflate()]
        client = Client(server.ws_url(path), timeout=PATIENCE, **options)
        self.ledger.enter_silent(client)
        return client

    def raw(self, path: str) -> RawClient:
        """Return a raw client with an open socket.

        It uses the plain port, where FIN and RST are sent unchanged.
        """
        client = RawClient(self.servers[0], path, deadline=PATIENCE)
        check(client.handshake().status, 101)
        return client


def check(seen: object, expected: object) -> None:
    """Raise AssertionError unless the values are equal."""
    if seen != expected:
        raise AssertionError(f'expected {expected!r:.80}, got {seen!r:.80}')


def converse(user: User, path: str) -> None:
    """Exchange texts and their echoes, and close."""
    with user.client(path, ping=10) as ws:
        for _ in user.messages():
            text = user.text()
            ws.send(text)
            check(ws.receive(PATIENCE), text)
            user.pause()


def text_echo(user: User) -> None:
    """Exchange texts with a handler."""
    converse(user, '/echo' + user.query())


def greenlet_echo(user: User) -> None:
    """Exchange texts with a greenlet that receives."""
    converse(user, '/greenlet' + user.query())


def slow_echo(user: User) -> None:
    """Exchange texts with a slow handler."""
    converse(user, '/slow' + user.query())


def forking_echo(user: User) -> None:
    """Exchange texts with a handler that forks a child with copies of all sockets."""
    converse(user, '/fork' + user.query())


def binary_echo(user: User) -> None:
    """Exchange binary messages with each encoding of the length."""
    with user.client('/echo' + user.query()) as ws:
        for _ in user.messages():
            data = user.random.randbytes(user.random.choice([0, 1, 125, 126, 5000, 65535, 65536]))
            ws.send(data)
            check(ws.receive(PATIENCE), data)
            user.pause()


def large_echo(user: User) -> None:
    """Exchange a message of a megabyte."""
    with user.client('/echo' + user.query(), ping=10) as ws:
        data = user.random.randbytes(2**18) * 4
        ws.send(data)
        check(ws.receive(PATIENCE), data)
        user.pause()


def listener(user: User) -> None:
    """Listen in the room, with a handler, and send nothing."""
    with user.client('/room' + user.query()) as ws:
        ws.onmessage = lambda event: None
        for _ in user.messages():
            user.pause()


def fragments(user: User) -> None:
    """Send messages in fragments, with pings between them."""
    with user.raw('/echo') as client:
        for _ in user.messages():
            parts = [b'%d ' % number * 50 for number in range(5)]
            for number, part in enumerate(parts):
                client.send_frame(CONTINUATION if number else TEXT, part, fin=number == 4)
                client.send_frame(PING, b'%d' % number)
            echo, pongs = None, 0
            while echo is None or pongs < 1:
                frame = receive(client)
                pongs += frame.opcode == PONG
                echo = frame.payload if frame.opcode == TEXT else echo
            check(echo, b''.join(parts))
            user.pause()
        say_goodbye(client)


def server_closes(user: User) -> None:
    """Let the server close."""
    with user.client('/close') as ws:
        user.pause()
        ws.send('enough?')
        check(ws.receive(PATIENCE), None)


def close_at_once(user: User) -> None:
    """Close before the connection is open, or right after."""
    # Not over TLS: gevent's server logs a handshake that its peer has left.
    ws = user.client('/echo', servers=user.servers[:1])
    gevent.sleep(user.random.choice([0, 0.001, 0.01, 0.1]))
    ws.close()


def event_stream(user: User) -> None:
    """Read an event stream for a while, and leave, sometimes with a reset."""
    server = user.server()
    with RawClient(server, '/events', EVENT_STREAM, deadline=PATIENCE) as client:
        check(client.handshake().status, 200)
        check(client.receive(7), b'retry: ')
        for _ in user.messages():
            user.pause()
            client.socket.settimeout(PATIENCE)
            check(client.socket.recv(65536) != b'', True)
        if server.certificate is None and user.random.random() < 0.3:
            client.reset()


def handler_raises(user: User) -> None:
    """Make a handler raise."""
    with user.raw('/raise') as client:
        user.pause()
        client.send_frame(TEXT, b'do it')
        check(expect(client, CLOSE).code, 1011)
        client.send_close(1011)
        client.read_to_eof()


def greenlet_raises(user: User) -> None:
    """Make a handler in greenlet style raise."""
    with user.client('/fail') as ws:
        user.pause()
        ws.send('raise')
        check(ws.receive(PATIENCE), None)
        check(ws.wait_closed(PATIENCE), True)


def greenlet_waits(user: User) -> None:
    """Let a greenlet wait for the end, by this side or by a timeout."""
    with user.client('/fail') as ws:
        ws.send('wait')
        user.pause()


def reset(user: User) -> None:
    """Reset the connection while an echo is on its way."""
    with user.raw('/echo') as client:
        user.pause()
        client.send_frame(TEXT, b'x' * 20_000)
        client.reset()


def end_within_a_frame(user: User) -> None:
    """End the connection in the middle of a frame."""
    with user.raw('/echo') as client:
        user.pause()
        client.send(serialize_frame(TEXT, b'hello' * 20)[:-20])


def garbage(user: User) -> None:
    """Send bytes that are not frames."""
    with user.raw('/echo' + user.query()) as client:
        user.pause()
        client.send(b'\xff' + user.random.randbytes(1000))
        check(expect(client, CLOSE).code, 1002)


def faulty_frame(user: User) -> None:
    """Send an invalid frame, one of many kinds, and check the code of the close frame.
    """
    frame, code = user.random.choice([
        (serialize_frame(TEXT, b'not masked', masked=False), 1002),
        (serialize_frame(TEXT, b'\xff\xfe'), 1007),
        (serialize_frame(CONTINUATION, b'of nothing'), 1002),
        (serialize_frame(PING, b'x' * 126), 1002),
        (serialize_frame(3, b''), 1002),
        (serialize_frame(CLOSE, close_payload(1005)), 1002),
        (b'\x82\xff' + (2**22 + 1).to_bytes(8, 'big') + bytes(4), 1009)])
    with user.raw('/echo') as client:
        user.pause()
        client.send(frame)
        check(expect(client, CLOSE).code, code)
        client.send_close(code)
        client.read_to_eof()


def slow_reader(user: User) -> None:
    """Read nothing of a flood, until the server gives the connection up."""
    with user.raw('/flood') as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for _ in range(4):
            user.pause()


def compressed_flood(user: User) -> None:
    """Send twenty megabytes, compressed to twenty kilobytes, to a slow handler.

    A ping after them must get its pong.
    """
    with RawClient(user.servers[0], '/busy?deflate', DEFLATE, deadline=PATIENCE) as client:
        check(client.handshake().status, 101)
        deflater = zlib.compressobj(wbits=-15)
        for _ in range(20):
            data = deflater.compress(bytes(2**20)) + deflater.flush(zlib.Z_SYNC_FLUSH)
            client.send(serialize_frame(BINARY, data[:-4], rsv=4))
        client.send_frame(PING, b'behind them')
        check(expect(client, PONG).payload, b'behind them')
        user.pause()
        say_goodbye(client)


def nobody_asks(user: User) -> None:
    """Send messages for which there is no handler and no receive.

    Pings and the close frame must be answered even so.
    """
    with user.raw('/ignore') as client:
        for _ in range(2):
            client.send(serialize_frame(TEXT, b'to nobody') * 200)
            client.send_frame(PING, b'behind them')
            check(expect(client, PONG).payload, b'behind them')
            user.pause()
        say_goodbye(client)


def silent_peer(user: User) -> None:
    """Answer no ping, so that the server gives the connection up."""
    with user.raw('/echo'):
        gevent.sleep(65)


def idle(user: User) -> None:
    """Do nothing but answer pings."""
    with user.client('/echo' + user.query()):
        for _ in user.messages():
            user.pause()


def receive(client: RawClient) -> Any:
    """Return the next frame that is not a ping of the keep-alive. Answer those."""
    while (frame := client.receive_frame()).opcode == PING:
        client.send_frame(PONG, frame.payload)
    return frame


def expect(client: RawClient, opcode: int) -> Any:
    """Return the next frame with this opcode."""
    while (frame := receive(client)).opcode != opcode:
        pass
    return frame


def say_goodbye(client: RawClient) -> None:
    """Make the closing handshake."""
    client.send_close(1000)
    check(expect(client, CLOSE).code, 1000)


Session = Callable[[User], None]

#: The sessions of a user, and their weights.
SESSIONS: dict[Session, int] = {
    text_echo: 16, greenlet_echo: 8, slow_echo: 4, forking_echo: 1, binary_echo: 10, large_echo: 2, listener: 12, fragments: 6,
    server_closes: 3,
    close_at_once: 3, event_stream: 12, idle: 8,
    handler_raises: 2, greenlet_raises: 2, greenlet_waits: 2,
    reset: 4, end_within_a_frame: 3, garbage: 3, faulty_frame: 4, slow_reader: 1, silent_peer: 1,
    compressed_flood: 1, nobody_asks: 2}
