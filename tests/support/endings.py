"""Every way in which a connection to `tests.support.apps:control` can end, as actions of a raw client."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from tests.support.processes import Endpoint
from tests.support.wire import CLOSE, PING, TEXT, RawClient, close_payload, http_get, serialize_frame

CLOSE_FRAME = serialize_frame(CLOSE, close_payload(1000, 'bye'))
SMUGGLED_PATH = '/smuggled'
SMUGGLED_REQUEST = f'GET {SMUGGLED_PATH} HTTP/1.1\r\nHost: example.com\r\n\r\n'.encode()
GARBAGE = bytes(range(256)) * 4


class Ending(NamedTuple):
    """An action that ends the connection, and the codes our close frame may have; with none, we may send one or not."""

    act: Callable[[RawClient, Endpoint], None]
    codes: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The action's name."""
        return self.act.__name__


def busy(server: Endpoint) -> None:
    """Let the server do other things for a while: it serves three requests."""
    for _ in range(3):
        assert http_get(server)[0].status == 200


def client_closes(client: RawClient, server: Endpoint) -> None:
    """The client starts the closing handshake."""
    client.send(CLOSE_FRAME)


def server_closes(client: RawClient, server: Endpoint) -> None:
    """The server starts it, and the client answers at once."""
    client.send_frame(TEXT, b'close 3001 enough')
    assert client.receive_frame().code == 3001
    client.send_close(3001)


def client_answers_late(client: RawClient, server: Endpoint) -> None:
    """The client goes on sending frames after the server's close frame, and answers it much later."""
    client.send_frame(TEXT, b'close 3001 enough')
    assert client.receive_frame().code == 3001
    client.send_frame(TEXT, b'I have not seen it yet')
    busy(server)
    client.send_frame(TEXT, b'nor now')
    client.send_close(3001)


def both_close_at_once(client: RawClient, server: Endpoint) -> None:
    """The two close frames cross on the wire."""
    client.send(serialize_frame(TEXT, b'close 3001 enough') + CLOSE_FRAME)


def newlines_behind_the_close_frame(client: RawClient, server: Endpoint) -> None:
    """Some clients end everything with an empty line."""
    client.send(CLOSE_FRAME + b'\r\n\r\n')


def garbage_behind_the_close_frame(client: RawClient, server: Endpoint) -> None:
    """Bytes that are neither frames nor HTTP, in the same segment."""
    client.send(CLOSE_FRAME + GARBAGE)


def request_behind_the_close_frame(client: RawClient, server: Endpoint) -> None:
    """An HTTP request in the same segment as the close frame."""
    client.send(CLOSE_FRAME + SMUGGLED_REQUEST)


def frames_behind_the_close_frame(client: RawClient, server: Endpoint) -> None:
    """Frames that come too late."""
    client.send(CLOSE_FRAME + serialize_frame(TEXT, b'late') + serialize_frame(PING, b'late') + CLOSE_FRAME)


def request_after_the_closing_handshake(client: RawClient, server: Endpoint) -> None:
    """An HTTP request once the server's close frame is there, as if the connection were kept alive."""
    client.send(CLOSE_FRAME)
    assert client.receive_frame().opcode == CLOSE
    send_if_possible(client, SMUGGLED_REQUEST)


def newlines_and_a_late_answer(client: RawClient, server: Endpoint) -> None:
    """Newlines where the answer to the server's close frame should be, and a request behind them."""
    client.send_frame(TEXT, b'close 3001 enough')
    assert client.receive_frame().code == 3001
    send_if_possible(client, b'\r\n\r\n')
    busy(server)
    send_if_possible(client, SMUGGLED_REQUEST)


def request_in_place_of_a_frame(client: RawClient, server: Endpoint) -> None:
    """An HTTP request on an open socket is a frame with reserved bits."""
    client.send(SMUGGLED_REQUEST)


def unmasked_frame(client: RawClient, server: Endpoint) -> None:
    """A protocol error in the middle of valid frames."""
    client.send(serialize_frame(TEXT, b'not masked', masked=False) + CLOSE_FRAME)


def end_of_stream(client: RawClient, server: Endpoint) -> None:
    """The client ends its half of the connection without a close frame."""
    client.finish_sending()


def end_of_stream_within_a_frame(client: RawClient, server: Endpoint) -> None:
    """The same after half a frame."""
    client.send(serialize_frame(TEXT, b'hello')[:-2])
    client.finish_sending()


def handler_raises(client: RawClient, server: Endpoint) -> None:
    """The application's handler fails, and the client answers the close frame."""
    client.send_frame(TEXT, b'raise on purpose')
    assert client.receive_frame().code == 1011
    client.send_close(1011)


def send_if_possible(client: RawClient, data: bytes) -> None:
    """Send on a connection that the server may have closed already."""
    with suppress(OSError):
        client.send(data)


def reset(client: RawClient, server: Endpoint) -> None:
    """The client's kernel sends RST."""
    client.reset()


def reset_with_an_unread_echo(client: RawClient, server: Endpoint) -> None:
    """The client sends something, and is gone before the answer."""
    client.send_frame(TEXT, b'x' * 100_000)
    client.reset()


#: Endings in which the client reads to the end of the stream, and in which nothing but time is between it and FIN.
POLITE = [
    Ending(client_closes, (1000,)),
    Ending(server_closes, (3001,)),
    Ending(client_answers_late, (3001,)),
    Ending(both_close_at_once, (1000, 3001)),
    Ending(end_of_stream),
]

#: Endings in which it sends more than it should; whether it sees FIN or RST then, is up to the kernel.
RUDE = [
    Ending(newlines_behind_the_close_frame, (1000,)),
    Ending(garbage_behind_the_close_frame, (1000,)),
    Ending(request_behind_the_close_frame, (1000,)),
    Ending(frames_behind_the_close_frame, (1000,)),
    Ending(request_after_the_closing_handshake, (1000,)),
    Ending(newlines_and_a_late_answer, (3001,)),
    Ending(request_in_place_of_a_frame, (1002,)),
    Ending(unmasked_frame, (1002,)),
    Ending(end_of_stream_within_a_frame),
]

#: Endings that the error log tells of.
FAULTY = [
    Ending(handler_raises, (1011,)),
]

#: Endings after which the client reads nothing.
SUDDEN = [
    Ending(reset),
    Ending(reset_with_an_unread_echo),
]
