"""Known attacks, the table of docs/security.rst, and floods without a number.

These tests use whole drivers and servers with their default options. The tests of a
single function show its behaviour with hostile bytes.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import gevent
import pytest

from faye_websocket import PermessageDeflate, WebSocket
from faye_websocket.driver import CLOSED, OPEN, client, server
from faye_websocket.driver.base import MAX_FRAGMENTS
from faye_websocket.extensions.header import parse_extensions
from faye_websocket.http.head import tokens
from faye_websocket.http.origin import make_origin_check
from faye_websocket.io.backlog import BURST
from tests.conftest import Cost
from tests.support.local import make_environ, serve
from tests.support.recorder import Recorder, opened
from tests.support.requests import HYBI, HYBI_HEAD
from tests.support.vectors import BINARY, CONTINUATION, PING, PONG, RSV1, TEXT, frame, head
from tests.support.wire import RFC_6455, Frame, serialize_frame
from tests.unit.driver.test_client import ACCEPTED, started

MIB = 2**20
EXTENSION = 'permessage-deflate'
#: The time that 64 KiB of a hostile header may take (S6), in seconds of the processor.
#: With tracing it takes three times as long.
MOST_SECONDS = 0.05 if sys.gettrace() is None else 0.2

Parts = list[bytes]


def open_server(**options: Any) -> tuple[Any, Recorder]:
    """Return the driver of a server that has agreed on compression, and its recorder.

    All limits are the default ones.
    """
    return opened({**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': EXTENSION}, extensions=[PermessageDeflate()], **options)


def open_client(**options: Any) -> tuple[Any, Recorder]:
    """Return the driver of a client that has agreed on compression, and its recorder.
    """
    driver, io = started(extensions=[PermessageDeflate()], **options)
    driver.parse(f'{ACCEPTED}Sec-WebSocket-Extensions: {EXTENSION}\r\n\r\n'.encode())
    assert driver.ready_state == OPEN
    io.log.clear()
    return driver, io


class Peer:
    """The opposite end: it opens one of our drivers, and makes frames for it."""

    def __init__(self, open: Callable[..., tuple[Any, Recorder]], masking_key: bytes | None) -> None:
        self.open = open
        self.masking_key = masking_key

    def frame(self, opcode: int, payload: bytes = b'', **options: Any) -> bytes:
        return frame(opcode, payload, masking_key=self.masking_key, **options)

    def head(self, length: int) -> bytes:
        """Return a frame's header that declares this length."""
        return head(0x80 | BINARY, length, masked=self.masking_key is not None) + (self.masking_key or b'')


@pytest.fixture(params=[(open_server, b'\x37\xfa\x21\x3d'), (open_client, None)], ids=['server', 'client'])
def peer(request: pytest.FixtureRequest) -> Peer:
    return Peer(*request.param)


def memory_for(run: Callable[[], object]) -> int:
    """Return the peak number of bytes that Python and zlib allocated in ``run()``."""
    gc.collect()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bomb_of(mebibytes: int) -> bytes:
    """Return zeros, compressed a thousandfold."""
    deflater = zlib.compressobj(9, wbits=-15)
    return (b''.join(deflater.compress(bytes(MIB)) for _ in range(mebibytes)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def in_fragments(peer: Peer, data: bytes, count: int) -> Parts:
    """Return a compressed message in this number of frames."""
    size = len(data) // count + 1
    pieces = [data[start:start + size] for start in range(0, len(data), size)]
    last = len(pieces) - 1
    return [
        peer.frame(CONTINUATION if number else BINARY, piece, fin=number == last, rsv=0 if number else RSV1)
        for number, piece in enumerate(pieces)]


@pytest.mark.proves('D1')
@pytest.mark.parametrize('fragments', [1, 50])
def test_cve_2018_1000518_and_2026_1526_a_bomb_is_stopped_while_it_grows(peer: Peer, fragments: int) -> None:
    """Limit the inflated size while inflating.

    websockets (2018) and undici (2026) limited the compressed size, and inflated the
    message to any size.
    """
    limit = 4 * MIB
    wire = in_fragments(peer, bomb_of(64), fragments)
    driver, io = peer.open(max_length=limit)
    assert memory_for(lambda: [driver.parse(part) for part in wire]) < 2 * limit
    assert [entry[:2] for entry in io.events] == [('error', 'MessageTooBig'), ('close', 1009)]


@pytest.mark.proves('D1')
def test_cve_2018_1000518_the_default_is_a_limit_too(peer: Peer) -> None:
    """Be safe without any option: the bomb has 256 MiB, and the default limit is 64
    MiB.
    """
    wire = in_fragments(peer, bomb_of(256), 1)
    driver, io = peer.open()
    assert memory_for(lambda: [driver.parse(part) for part in wire]) < 2 * 64 * MIB
    assert [entry[:2] for entry in io.events] == [('error', 'MessageTooBig'), ('close', 1009)]


@pytest.mark.proves('S4')
def test_cve_2021_21419_a_frame_of_any_declared_length_takes_no_memory(peer: Peer) -> None:
    """Check the declared length. eventlet collected frames of any length."""
    driver, io = peer.open()
    assert memory_for(lambda: driver.parse(peer.head(2**62) + bytes(1000))) < MIB
    assert [entry[:2] for entry in io.events] == [('error', 'MessageTooBig'), ('close', 1009)]
    assert driver.ready_state == CLOSED


@pytest.mark.proves('S4')
def test_cve_2021_21419_small_frames_are_added_up(peer: Peer) -> None:
    """Limit the sum of a message's frames, each of which is within the limit."""
    driver, io = peer.open(max_length=MIB)
    driver.parse(peer.frame(BINARY, bytes(1000), fin=False))
    more = peer.frame(CONTINUATION, bytes(1000), fin=False)
    assert memory_for(lambda: [driver.parse(more) for _ in range(20_000)]) < 3 * MIB
    assert [entry[:2] for entry in io.events] == [('error', 'MessageTooBig'), ('close', 1009)]


@pytest.mark.proves('S4')
def test_cve_2026_48779_empty_fragments_are_counted(peer: Peer) -> None:
    """Limit the number of empty fragments, with pings between them."""
    driver, io = peer.open()
    driver.parse(peer.frame(BINARY, fin=False))
    empty = peer.frame(CONTINUATION, fin=False) * 2 + peer.frame(PING)
    io.log.clear()

    def run() -> None:
        for _ in range(MAX_FRAGMENTS):
            driver.parse(empty)
            io.log[:] = [entry for entry in io.log if entry[0] in ('error', 'close')]

    assert memory_for(run) < MIB
    assert io.log == [
        ('error', 'MessageTooBig', 'message has too many fragments: 16385 > 16384'),
        ('close', 1009, 'message has too many fragments: 16385 > 16384')]


#: Text that made the regular expressions of others backtrack: quoted strings and blanks
#: that never end.
HOSTILE = [
    'a; b="' + r'\c' * 32768, 'a; b=' + r'"\"' * 21845, 'a' + ' ' * 65536 + 'x', 'a;' + ' ' * 65536 + ';',
    'a;b=' + 'c' * 65536 + '"', ',' * 65536, 'a,' * 32768, '; ' * 32768, '"' * 65536, 'x' + '\t ' * 32768 + '\0']


@pytest.fixture(params=HOSTILE, ids=range(len(HOSTILE)))
def hostile(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.proves('S6')
def test_cve_2020_7662_and_7663_extensions_are_read_in_linear_time(hostile: str, cost: Cost) -> None:
    """Parse a quoted string of backslashes without an end.

    It took websocket-extensions, for Node and for Ruby, minutes.
    """
    def run() -> None:
        try:
            parse_extensions(hostile)
        except ValueError as error:
            assert str(error).startswith(('malformed Sec-WebSocket-Extensions header', 'more than 100 extensions'))

    assert cost(run) < MOST_SECONDS


@pytest.mark.proves('S6')
def test_cve_2021_32640_subprotocols_are_read_in_linear_time(hostile: str, cost: Cost) -> None:
    """Parse many blanks between two subprotocols, which took ws quadratic time."""
    assert cost(lambda: tokens(hostile)) < MOST_SECONDS


@pytest.mark.proves('S6')
@pytest.mark.parametrize('name', [
    'Sec-WebSocket-Extensions', 'Sec-WebSocket-Protocol', 'Sec-WebSocket-Key', 'Sec-WebSocket-Version', 'Connection', 'Upgrade',
    'Origin', 'Host'])
def test_cve_2020_7662_and_2021_32640_no_header_of_a_request_is_read_slowly(name: str, hostile: str, cost: Cost) -> None:
    """Pass hostile headers to a socket, as a WSGI server without limits would."""
    environ = make_environ(None, [*((key, value) for key, value in RFC_6455 if key != name), (name, hostile)])

    def run() -> None:
        WebSocket(environ, ['chat'], extensions=[PermessageDeflate()], allowed_origins=['https://example.com'])

    assert cost(run) < MOST_SECONDS


@pytest.mark.proves('S6', 'S1')
@pytest.mark.parametrize('allowed', ['same-origin', ['https://example.com']])
def test_origins_are_read_in_linear_time(allowed: Any, hostile: str, cost: Cost) -> None:
    check = make_origin_check(allowed)
    assert cost(lambda: check(f'https://{hostile}', {'HTTP_HOST': hostile, 'wsgi.url_scheme': 'https'})) < MOST_SECONDS


@pytest.mark.proves('S6')
@pytest.mark.parametrize('status_line', [
    'HTTP/1.1 101 Switching Protocols', 'HTTP/1.1 ' + ' ' * 16000 + 'x', 'HTTP/1.1 200' + ' x' * 8000], ids=range(3))
def test_cve_2020_7662_no_response_is_read_slowly(status_line: str, hostile: str, cost: Cost) -> None:
    """Feed a client a hostile response, byte by byte, before the connection is open."""
    lines = [status_line, f'Sec-WebSocket-Extensions: {hostile[:8000]}', f'Sec-WebSocket-Protocol: {hostile[:8000]}', '', '']
    response = '\r\n'.join(lines).encode()

    def run() -> None:
        driver, _ = started(extensions=[PermessageDeflate()])
        for start in range(0, len(response), 64):
            driver.parse(response[start:start + 64])

    assert cost(run) < MOST_SECONDS


class Raw:
    """An ``io`` for the drivers of raw connections."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] = {}
        self.url = 'ws://example.com/'
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)


@pytest.mark.proves('S9')
@pytest.mark.parametrize('make', [server, client], ids=['server', 'client'])
@pytest.mark.parametrize('piece', [b'x', b'GET / HTTP/1.1\r\n', b'HTTP/1.1 101 x\r\n', b'A: b\r\n', b'\r', b'\n'])
def test_a_handshake_without_an_end_takes_no_memory(make: Any, piece: bytes) -> None:
    io = Raw()
    driver = make(io)
    if make is client:
        driver.start()
    assert memory_for(lambda: [driver.parse(piece * 100) for _ in range(10_000)]) < MIB
    assert driver.ready_state == CLOSED


@pytest.mark.proves('S2')
def test_a_refusal_is_plain_text_whatever_it_quotes() -> None:
    io = Recorder({})
    server(io).parse(HYBI_HEAD.replace(b': 13', b': <script>'))
    assert io.written.startswith(b'HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain; charset=utf-8\r\n')


@pytest.mark.proves('S8')
@pytest.mark.parametrize(('first', 'wire'), [
    pytest.param(b'', serialize_frame(PING) * 10_000, id='pings'),
    pytest.param(b'', serialize_frame(PONG) * 10_000, id='pongs'),
    pytest.param(serialize_frame(BINARY, fin=False), serialize_frame(PING) * 10_000, id='pings within a message'),
    pytest.param(b'', serialize_frame(TEXT, b'x') * 10_000, id='messages')])
def test_a_flood_delays_no_other_client_and_uses_no_memory(first: bytes, wire: bytes) -> None:
    """Flood a server from a client that never reads, while another client is served."""
    def echo(ws: WebSocket) -> None:
        ws.onmessage = lambda event: ws.send(event.data) if event.data != 'x' else None

    with serve(echo) as server:
        flooder, other = server.open(), server.open()
        # It blocks for as long as the server makes it wait.
        flooder.socket.settimeout(None)
        count = 0

        def flood() -> None:
            nonlocal count
            flooder.socket.sendall(first)
            while True:
                flooder.socket.sendall(wire)
                count += 1

        flooding = gevent.spawn(flood)
        for number in range(5):
            text = b'%d' % number
            other.send_frame(TEXT, text)
            assert other.receive_frame() == Frame(TEXT, text)
            # The data of one burst that the kernel has refused, and one pong.
            assert server.records[0].ws.buffered_amount <= BURST + 2
        assert count > 0
        flooding.kill()
