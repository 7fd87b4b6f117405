"""The handshake and the frames of a connection, as lines."""

from __future__ import annotations

import socket

import pytest

from faye_websocket.cli.trace import Trace, _TracedTransport
from faye_websocket.driver.codec import RSV1, serialize_frame
from faye_websocket.driver.codes import Opcode

ACCEPTED = b'HTTP/1.1 101 Switching Protocols\r\nX: 1\r\n\r\n'
KEY = b'abcd'


def lines_of(data: bytes, *, size: int = 0, masked: bool = False) -> list[str]:
    """Return the lines for data that comes whole, or in pieces of this size."""
    lines: list[str] = []
    trace = Trace('>' if masked else '<', lines.append, masked)
    size = size or len(data)
    for start in range(0, len(data), size):
        trace.feed(data[start:start + size])
    return lines


@pytest.mark.parametrize('size', [0, 1, 7])
def test_the_head_comes_before_the_frames(size: int) -> None:
    data = ACCEPTED + serialize_frame(Opcode.PING, b'hello') + serialize_frame(Opcode.PONG, b'')
    assert lines_of(data, size=size) == [
        '< HTTP/1.1 101 Switching Protocols', '< X: 1', '< PING of 5 bytes: hello', '< PONG of 0 bytes']


def test_an_interim_response_is_followed_by_another_head() -> None:
    data = b'HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n' + ACCEPTED + serialize_frame(Opcode.PING, b'')
    assert lines_of(data) == [
        '< HTTP/1.1 103 Early Hints', '< Link: </x>', '< HTTP/1.1 101 Switching Protocols', '< X: 1', '< PING of 0 bytes']


def test_a_request_is_followed_by_masked_frames() -> None:
    data = b'GET / HTTP/1.1\r\n\r\n' + serialize_frame(Opcode.TEXT, b'hello', masking_key=KEY)
    assert lines_of(data, masked=True) == ['> GET / HTTP/1.1', '> TEXT of 5 bytes: hello']


@pytest.mark.parametrize('head', [b'HTTP/1.1 403 Forbidden', b'HTTP/1.1'])
def test_the_body_of_a_refusal_is_not_shown(head: bytes) -> None:
    assert lines_of(head + b'\r\n\r\nYou may not') == [f'< {head.decode()}']


@pytest.mark.parametrize(('frame', 'line'), [
    (serialize_frame(Opcode.TEXT, b'hel', fin=False), 'TEXT of 3 bytes, not the last of its message: hel'),
    (serialize_frame(Opcode.CONTINUATION, b'lo\xff'), 'CONTINUATION of 3 bytes: lo\ufffd'),
    (serialize_frame(Opcode.TEXT, b'x', rsv=RSV1), 'TEXT of 1 bytes: x'),
    (serialize_frame(Opcode.TEXT, b'x' * 65), f'TEXT of 65 bytes: {"x" * 64} ...'),
    (serialize_frame(Opcode.BINARY, b'\x00\xff'), 'BINARY of 2 bytes: 00 ff'),
    (serialize_frame(Opcode.CLOSE, b'\x03\xe8'), 'CLOSE 1000'),
    (serialize_frame(Opcode.CLOSE, b'\x03\xe9bye'), 'CLOSE 1001 bye'),
    (serialize_frame(Opcode.CLOSE, b''), 'CLOSE of 0 bytes'),
])
def test_a_frame_is_a_line(frame: bytes, line: str) -> None:
    assert lines_of(ACCEPTED + frame)[2:] == [f'< {line}']


def test_nothing_is_shown_behind_what_is_no_frame() -> None:
    assert lines_of(ACCEPTED + b'\x83\x00' + serialize_frame(Opcode.PING, b''), size=1)[2:] == ['< unknown opcode 3']


def test_a_transport_shows_what_the_kernel_has_taken() -> None:
    shown: list[bytes] = []
    ours, theirs = socket.socketpair()
    with ours, theirs:
        transport = _TracedTransport(ours, shown.append)
        assert transport.send(memoryview(b'one')) == 3
        assert transport.sendmsg([b'two', memoryview(b'three')]) == 8
        assert theirs.recv(100) == b'onetwothree' == b''.join(shown)
        theirs.sendall(b'four')
        assert transport.recv(100) == b'four'
        assert transport.fileno() == ours.fileno()
