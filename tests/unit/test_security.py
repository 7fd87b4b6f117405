"""Attacks that others have suffered, on us: each CVE that the README's table names, and the floods that nobody has numbered.

What a single function does with hostile bytes is in its own tests; here are the ends that users have, with their defaults.
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
from faye_websocket.io.limits import BURST
from tests.conftest import Cost
from tests.support.local import make_environ, serve
from tests.support.recorder import Recorder, opened
from tests.support.requests import HYBI, HYBI_HEAD
from tests.support.vectors import BINARY, CONTINUATION, PING, PONG, RSV1, TEXT, frame, head
from tests.support.wire import RFC_6455, Frame, serialize_frame
from tests.unit.driver.test_client import ACCEPTED, started

MIB = 2**20
EXTENSION = 'permessage-deflate'
#: What 64 KiB of somebody's header may cost (S6), in seconds of the processor; tracing lines takes three times as long.
MOST_SECONDS = 0.05 if sys.gettrace() is None else 0.2

Parts = list[bytes]


def open_server(**options: Any) -> tuple[Any, Recorder]:
    """A server's driver that has agreed on compression, with the limits that users have if they set none."""
    return opened({**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': EXTENSION}, extensions=[PermessageDeflate()], **options)


def open_client(**options: Any) -> tuple[Any, Recorder]:
    """A client's, likewise."""
    driver, io = started(extensions=[PermessageDeflate()], **options)
    driver.parse(f'{ACCEPTED}Sec-WebSocket-Extensions: {EXTENSION}\r\n\r\n'.encode())
    assert driver.ready_state == OPEN
    io.log.clear()
    return driver, io


class Peer:
    """The other end of one of ours: opens ours, and makes the frames that it takes."""

    def __init__(self, open: Callable[..., tuple[Any, Recorder]], masking_key: bytes | None) -> None:
        self.open = open
        self.masking_key = masking_key

    def frame(self, opcode: int, payload: bytes = b'', **options: Any) -> bytes:
        return frame(opcode, payload, masking_key=self.masking_key, **options)

    def head(self, length: int) -> bytes:
        """A header that declares so much."""
        return head(0x80 | BINARY, length, masked=self.masking_key is not None) + (self.masking_key or b'')


@pytest.fixture(params=[(open_server, b'\x37\xfa\x21\x3d'), (open_client, None)], ids=['server', 'client'])
def peer(request: pytest.FixtureRequest) -> Peer:
    return Peer(*request.param)


def memory_for(run: Callable[[], object]) -> int:
    """The most bytes that Python and zlib's results took at once in ``run()``."""
    gc.collect()
    tracemalloc.start()
    try:
        run()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def bomb_of(mebibytes: int) -> bytes:
    """Zeros, compressed a thousandfold."""
    deflater = zlib.compressobj(9, wbits=-15)
    return (b''.join(deflater.compress(bytes(MIB)) for _ in range(mebibytes)) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def in_fragments(peer: Peer, data: bytes, count: int) -> Parts:
    """A compressed message in so many frames."""
    size = len(data) // count + 1
    pieces = [data[start:start + size] for start in range(0, len(data), size)]
    last = len(pieces) - 1
    return [
        peer.frame(CONTINUATION if number else BINARY, piece, fin=number == last, rsv=0 if number else RSV1)
        for number, piece in enumerate(pieces)]


@pytest.mark.parametrize('fragments', [1, 50])
def test_cve_2018_1000518_and_2026_1526_a_bomb_is_stopped_while_it_grows(peer: Peer, fragments: int) -> None:  # D1
    """websockets (2018) and undici (2026) held the compressed size to the limit, and inflated it to whatever it became."""
    limit = 4 * MIB
    wire = in_fragments(peer, bomb_of(64), fragments)
    driver, io = peer.open(max_length=limit)
    assert memory_for(lambda: [driver.parse(part) for part in wire]) < 2 * limit
    assert [entry[:2] for entry in io.events] == [('error', 'MessageTooBig'), ('close', 1009)]


def test_cve_2018_1000518_the_default_is_a_limit_too(peer: Peer) -> None:  # D1
    """No option is needed to be safe: the bomb would be 256 MiB, and the default is 64 MiB less a byte."""
    wire = in_fragments(peer, bomb_of(256), 1)
    driver, io = peer.open()
    assert memory_for(lambda: [driver.parse(part) for part in wire]) < 2 * 64 * MIB
    assert [entry[:2] for entry in io.events] == [('error', 'MessageTooBig'), ('close', 1009)]


def test_cve_2021_21419_a_frame_of_any_declared_length_takes_no_memory(peer: Peer) -> None:  # S4
    """eventlet collected whatever a frame's header announced."""
    driver, io = peer.open()
    assert memory_for(lambda: driver.parse(peer.head(2**62) + bytes(1000))) < MIB
    assert [entry[:2] for entry in io.events] == [('error', 'MessageTooBig'), ('close', 1009)]
    assert driver.ready_state == CLOSED


def test_cve_2021_21419_frames_that_are_small_count_together(peer: Peer) -> None:  # S4
    """So with a message whose frames are each within the limit."""
    driver, io = peer.open(max_length=MIB)
    driver.parse(peer.frame(BINARY, bytes(1000), fin=False))
    more = peer.frame(CONTINUATION, bytes(1000), fin=False)
    assert memory_for(lambda: [driver.parse(more) for _ in range(20_000)]) < 3 * MIB
    assert [entry[:2] for entry in io.events] == [('error', 'MessageTooBig'), ('close', 1009)]


def test_cve_2026_48779_fragments_without_a_byte_are_counted(peer: Peer) -> None:  # S4
    """Their length is never too much; their number is, though pings come between them."""
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


#: What made the regular expressions of others try everything: quoted strings without an end, and blanks without one.
HOSTILE = [
    'a; b="' + r'\c' * 32768, 'a; b=' + r'"\"' * 21845, 'a' + ' ' * 65536 + 'x', 'a;' + ' ' * 65536 + ';',
    'a;b=' + 'c' * 65536 + '"', ',' * 65536, 'a,' * 32768, '; ' * 32768, '"' * 65536, 'x' + '\t ' * 32768 + '\0']


@pytest.fixture(params=HOSTILE, ids=range(len(HOSTILE)))
def hostile(request: pytest.FixtureRequest) -> str:
    return request.param


def test_cve_2020_7662_and_7663_extensions_are_read_in_linear_time(hostile: str, cost: Cost) -> None:  # S6
    """websocket-extensions, for Node and for Ruby: a quoted string of backslashes without an end took minutes."""
    def run() -> None:
        try:
            parse_extensions(hostile)
        except ValueError as error:
            assert str(error).startswith(('malformed Sec-WebSocket-Extensions header', 'more than 100 extensions'))

    assert cost(run) < MOST_SECONDS


def test_cve_2021_32640_subprotocols_are_read_in_linear_time(hostile: str, cost: Cost) -> None:  # S6
    """ws: blanks between two subprotocols, that many tried to split off."""
    assert cost(lambda: tokens(hostile)) < MOST_SECONDS


@pytest.mark.parametrize('name', [
    'Sec-WebSocket-Extensions', 'Sec-WebSocket-Protocol', 'Sec-WebSocket-Key', 'Sec-WebSocket-Version', 'Connection', 'Upgrade',
    'Origin', 'Host'])
def test_cve_2020_7662_and_2021_32640_no_header_of_a_request_is_read_slowly(name: str, hostile: str, cost: Cost) -> None:  # S6
    """The same to a whole socket, as a WSGI server with no limit of its own would pass it on."""
    environ = make_environ(None, [*((key, value) for key, value in RFC_6455 if key != name), (name, hostile)])

    def run() -> None:
        WebSocket(environ, ['chat'], extensions=[PermessageDeflate()], allowed_origins=['https://example.com'])

    assert cost(run) < MOST_SECONDS


@pytest.mark.parametrize('allowed', ['same-origin', ['https://example.com']])
def test_no_origin_is_read_slowly(allowed: Any, hostile: str, cost: Cost) -> None:  # S6, S1
    check = make_origin_check(allowed)
    assert cost(lambda: check(f'https://{hostile}', {'HTTP_HOST': hostile, 'wsgi.url_scheme': 'https'})) < MOST_SECONDS


@pytest.mark.parametrize('status_line', [
    'HTTP/1.1 101 Switching Protocols', 'HTTP/1.1 ' + ' ' * 16000 + 'x', 'HTTP/1.1 200' + ' x' * 8000], ids=range(3))
def test_cve_2020_7662_no_response_is_read_slowly(status_line: str, hostile: str, cost: Cost) -> None:  # S6
    """A client's turn: all that a server says before the connection is open, byte by byte."""
    lines = [status_line, f'Sec-WebSocket-Extensions: {hostile[:8000]}', f'Sec-WebSocket-Protocol: {hostile[:8000]}', '', '']
    response = '\r\n'.join(lines).encode()

    def run() -> None:
        driver, _ = started(extensions=[PermessageDeflate()])
        for start in range(0, len(response), 64):
            driver.parse(response[start:start + 64])

    assert cost(run) < MOST_SECONDS


class Raw:
    """What the drivers of raw connections want: an environ, or a URL."""

    def __init__(self) -> None:
        self.environ: dict[str, Any] = {}
        self.url = 'ws://example.com/'
        self.written = 0

    def write(self, data: bytes) -> None:
        self.written += len(data)


@pytest.mark.parametrize('make', [server, client], ids=['server', 'client'])
@pytest.mark.parametrize('piece', [b'x', b'GET / HTTP/1.1\r\n', b'HTTP/1.1 101 x\r\n', b'A: b\r\n', b'\r', b'\n'])
def test_a_handshake_without_an_end_takes_no_memory(make: Any, piece: bytes) -> None:  # S9
    io = Raw()
    driver = make(io)
    if make is client:
        driver.start()
    assert memory_for(lambda: [driver.parse(piece * 100) for _ in range(10_000)]) < MIB
    assert driver.ready_state == CLOSED


def test_a_refusal_is_plain_text_whatever_it_quotes() -> None:  # S2
    io = Recorder({})
    server(io).parse(HYBI_HEAD.replace(b': 13', b': <script>'))
    assert io.written.startswith(b'HTTP/1.1 426 Upgrade Required\r\nContent-Type: text/plain; charset=utf-8\r\n')


@pytest.mark.parametrize(('first', 'wire'), [
    pytest.param(b'', serialize_frame(PING) * 10_000, id='pings'),
    pytest.param(b'', serialize_frame(PONG) * 10_000, id='pongs'),
    pytest.param(serialize_frame(BINARY, fin=False), serialize_frame(PING) * 10_000, id='pings within a message'),
    pytest.param(b'', serialize_frame(TEXT, b'x') * 10_000, id='messages')])
def test_a_flood_delays_nobody_else_and_piles_nothing_up(first: bytes, wire: bytes) -> None:  # S8
    """From a client that sends without end and reads nothing, while another converses."""
    def echo(ws: WebSocket) -> None:
        ws.onmessage = lambda event: ws.send(event.data) if event.data != 'x' else None

    with serve(echo) as server:
        flooder, other = server.open(), server.open()
        # It waits for as long as the server has it wait.
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
            # What the kernel has refused of one burst, and one pong.
            assert server.records[0].ws.buffered_amount <= BURST + 2
        assert count > 0
        flooding.kill()
