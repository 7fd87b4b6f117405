"""The objects that other libraries leave in the server."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from faye_websocket import SocketMiddleware, UnsupportedServer, WebSocket
from tests.support.leftover import Theirs
from tests.support.local import Pair, joined
from tests.support.wire import RFC_6455

FIX = (
    'start gunicorn with -k gevent instead of '
    '-k geventwebsocket.gunicorn.workers.GeventWebSocketWorker, and gevent.pywsgi '
    'without handler_class=WebSocketHandler'
)
TEXT = (
    'another library has answered this WebSocket handshake: '
    "environ['wsgi.websocket'] is a {}. faye_websocket does that itself: {}"
)


class Another:
    """A socket of an unknown library."""


class Ours:
    """A socket made of this library."""


Ours.__module__ = 'faye_websocket.compat'


class Derived(Ours):
    """A class of a user's."""


KNOWN = TEXT.format('geventwebsocket.websocket.Theirs', FIX)
UNKNOWN = TEXT.format(
    f'{__name__}.Another', 'remove it (a worker class, a handler class or a middleware)'
)


def leave(pair: Pair, other: object) -> None:
    """Put an object where other libraries have their sockets."""
    pair.environ['wsgi.websocket'] = other


@pytest.mark.proves('O5')
@pytest.mark.parametrize(('other', 'text'), [(Theirs(), KNOWN), (Another(), UNKNOWN)])
@pytest.mark.parametrize(
    'start',
    [
        lambda pair: pair.start(),
        lambda pair: pair.ws.receive(),
        lambda pair: pair.ws.__enter__(),
        lambda pair: SocketMiddleware(pytest.fail, {'/': pytest.fail})(  # type: ignore[arg-type, dict-item]
            pair.environ, pair.response
        ),
    ],
    ids=['response', 'receive', 'with', 'middleware'],
)
def test_raises_and_is_logged_however_the_handshake_is_made(
    other: Any, text: str, start: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with joined() as pair:
        leave(pair, other)
        with pytest.raises(UnsupportedServer) as caught:
            start(pair)
        assert str(caught.value) == text
        assert caplog.record_tuples == [
            ('faye_websocket.server', logging.WARNING, text)
        ]
        # The connection belongs to the other library.
        assert pair.sock.fileno() > 0


@pytest.mark.proves('O5')
def test_raises_for_a_refused_handshake_too() -> None:
    with joined([*RFC_6455, ('Origin', 'http://a')], allowed_origins=[]) as pair:
        leave(pair, Theirs())
        with pytest.raises(UnsupportedServer):
            pair.start_refused()


@pytest.mark.proves('O5')
def test_the_client_gets_a_close_frame() -> None:
    with joined() as pair:
        theirs = Theirs()
        leave(pair, theirs)
        with pytest.raises(UnsupportedServer):
            pair.start()
        assert (theirs.frames, theirs.closed) == (
            [(b'\x03\xf3answered by another library', 8)],
            True,
        )


@pytest.mark.proves('O5')
def test_the_error_comes_though_there_is_no_closing_it() -> None:
    with joined() as pair:
        leave(pair, Theirs(OSError('gone')))
        with pytest.raises(UnsupportedServer):
            pair.start()


@pytest.mark.parametrize('other', [None, Ours(), Derived(), WebSocket])
def test_what_is_of_this_library_is_no_leftover(other: Any) -> None:
    with joined() as pair:
        leave(pair, pair.ws if other is WebSocket else other)
        pair.open()
