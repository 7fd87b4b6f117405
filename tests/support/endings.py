"""Every way in which a connection can end, as actions of a raw client.

The server is ``tests.support.apps:control``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from tests.support.processes import Endpoint
from tests.support.wire import (
    CLOSE,
    PING,
    TEXT,
    RawClient,
    close_payload,
    http_get,
    serialize_frame,
)

CLOSE_FRAME = serialize_frame(CLOSE, close_payload(1000, 'bye'))
SMUGGLED_PATH = '/smuggled'
SMUGGLED_REQUEST = f'GET {SMUGGLED_PATH} HTTP/1.1\r\nHost: example.com\r\n\r\n'.encode()
GARBAGE = bytes(range(256)) * 4


class Ending(NamedTuple):
    """An action that ends the connection, with the codes that our close frame may have.

    Without codes, a close frame may be sent or not.
    """

    act: Callable[[RawClient, Endpoint], None]
    codes: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """The name of the action."""
        return self.act.__name__


def busy(server: Endpoint) -> None:
    """Keep the server busy for a while: it serves three requests."""
    for _ in range(3):
        assert http_get(server)[0].status == 200


def client_closes(client: RawClient, server: Endpoint) -> None:
    """Close: the client starts the closing handshake."""
    client.send(CLOSE_FRAME)


def server_closes(client: RawClient, server: Endpoint) -> None:
    """Let the server close, and respond at once."""
    client.send_frame(TEXT, b'close 3001 enough')
    assert client.receive_frame().code == 3001
    client.send_close(3001)


def client_answers_late(client: RawClient, server: Endpoint) -> None:
    """Let the server close, go on sending frames, and respond much later."""
    client.send_frame(TEXT, b'close 3001 enough')
    assert client.receive_frame().code == 3001
    client.send_frame(TEXT, b'I have not seen it yet')
    busy(server)
    client.send_frame(TEXT, b'nor now')
    client.send_close(3001)


def both_close_at_once(client: RawClient, server: Endpoint) -> None:
    """Send close frames from both sides, so that they cross."""
    client.send(serialize_frame(TEXT, b'close 3001 enough') + CLOSE_FRAME)


def newlines_behind_the_close_frame(client: RawClient, server: Endpoint) -> None:
    """Close, and send an empty line, as some clients do after everything."""
    client.send(CLOSE_FRAME + b'\r\n\r\n')


def garbage_behind_the_close_frame(client: RawClient, server: Endpoint) -> None:
    """Close, and send bytes in the same segment that are neither frames nor HTTP."""
    client.send(CLOSE_FRAME + GARBAGE)


def request_behind_the_close_frame(client: RawClient, server: Endpoint) -> None:
    """Close, and send an HTTP request in the same segment."""
    client.send(CLOSE_FRAME + SMUGGLED_REQUEST)


def frames_behind_the_close_frame(client: RawClient, server: Endpoint) -> None:
    """Close, and send frames that come too late."""
    client.send(CLOSE_FRAME + serialize_frame(TEXT, b'late') + serialize_frame(PING, b'late') + CLOSE_FRAME)


def request_after_the_closing_handshake(client: RawClient, server: Endpoint) -> None:
    """Send an HTTP request after the server's close frame, as if with keep-alive."""
    client.send(CLOSE_FRAME)
    assert client.receive_frame().opcode == CLOSE
    send_if_possible(client, SMUGGLED_REQUEST)


def newlines_and_a_late_answer(client: RawClient, server: Endpoint) -> None:
    """Send newlines instead of the response to the server's close, and then a request.
    """
    client.send_frame(TEXT, b'close 3001 enough')
    assert client.receive_frame().code == 3001
    send_if_possible(client, b'\r\n\r\n')
    busy(server)
    send_if_possible(client, SMUGGLED_REQUEST)


def request_in_place_of_a_frame(client: RawClient, server: Endpoint) -> None:
    """Send an HTTP request on an open socket, which is a frame with reserved bits."""
    client.send(SMUGGLED_REQUEST)


def unmasked_frame(client: RawClient, server: Endpoint) -> None:
    """Send an unmasked frame among valid ones."""
    client.send(serialize_frame(TEXT, b'not masked', masked=False) + CLOSE_FRAME)


def end_of_stream(client: RawClient, server: Endpoint) -> None:
    """End the client's half of the connection without a close frame."""
    client.finish_sending()


def end_of_stream_within_a_frame(client: RawClient, server: Endpoint) -> None:
    """End the client's half of the connection after half a frame."""
    client.send(serialize_frame(TEXT, b'hello')[:-2])
    client.finish_sending()


def handler_raises(client: RawClient, server: Endpoint) -> None:
    """Make the application's handler raise, and respond to the close frame."""
    client.send_frame(TEXT, b'raise on purpose')
    assert client.receive_frame().code == 1011
    client.send_close(1011)


def send_if_possible(client: RawClient, data: bytes) -> None:
    """Send on a connection that the server may have closed already."""
    with suppress(OSError):
        client.send(data)


def reset(client: RawClient, server: Endpoint) -> None:
    """Reset the connection: the client's kernel sends RST."""
    client.reset()


def reset_with_an_unread_echo(client: RawClient, server: Endpoint) -> None:
    """Send a message, and reset the connection before the echo."""
    client.send_frame(TEXT, b'x' * 100_000)
    client.reset()


#: Endings in which the client reads to the end of the stream, and sends nothing between
#: the close and FIN.
POLITE = [
    Ending(client_closes, (1000,)),
    Ending(server_closes, (3001,)),
    Ending(client_answers_late, (3001,)),
    Ending(both_close_at_once, (1000, 3001)),
    Ending(end_of_stream),
]

#: Endings in which the client sends more than it should. The kernel decides whether it
#: gets FIN or RST.
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

#: Endings that the error log reports.
FAULTY = [
    Ending(handler_raises, (1011,)),
]

#: Endings after which the client reads nothing.
SUDDEN = [
    Ending(reset),
    Ending(reset_with_an_unread_echo),
]
