"""Another library's WebSocket support, left in place in the server.

gevent-websocket is a handler of gevent.pywsgi's, and a gunicorn worker with that
handler. It answers the handshake before it calls the application, for which it puts a
socket of its own into ``environ``; two libraries cannot both have the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..driver.codes import CloseCode, Opcode
from ..driver.control_frames import close_payload
from ..errors import UnsupportedServer

__all__ = ['check_leftover']

logger = logging.getLogger('faye_websocket.server')

_OURS = __name__.partition('.')[0]
# The package's name, whatever distribution it comes from; compatible classes of other
# packages share the names of its classes.
_GEVENT_WEBSOCKET = 'geventwebsocket'
_FIX = (
    'start gunicorn with -k gevent instead of '
    '-k geventwebsocket.gunicorn.workers.GeventWebSocketWorker, and gevent.pywsgi '
    'without handler_class=WebSocketHandler'
)
_OTHER_FIX = 'remove it (a worker class, a handler class or a middleware)'
_REASON = 'answered by another library'


def check_leftover(environ: Mapping[str, Any]) -> None:
    """Raise and log UnsupportedServer if another library has answered the handshake."""
    other = environ.get('wsgi.websocket')
    if other is None:
        return
    packages = {base.__module__.partition('.')[0] for base in type(other).__mro__}
    if _OURS in packages:
        return
    is_known = _GEVENT_WEBSOCKET in packages
    error = _explain(other, is_known)
    logger.warning('%s', error)
    if is_known:
        _close(other)
    raise error


def _explain(other: object, is_known: bool) -> UnsupportedServer:
    kind = f'{type(other).__module__}.{type(other).__qualname__}'
    return UnsupportedServer(
        'another library has answered this WebSocket handshake: '
        f"environ['wsgi.websocket'] is a {kind}. faye_websocket does that itself: "
        + (_FIX if is_known else _OTHER_FIX)
    )


def _close(other: Any) -> None:
    """End the connection, open for its client, with 1011 instead of without a word."""
    try:
        payload = close_payload(CloseCode.INTERNAL_ERROR, _REASON)
        other.send_frame(payload, Opcode.CLOSE)
        # It would send another close frame when the application is done.
        other.closed = True
    except Exception:
        logger.debug('closing it failed', exc_info=True)
