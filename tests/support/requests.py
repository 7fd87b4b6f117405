"""WSGI requests for each version of the protocol, from the examples of the standards.
"""

from __future__ import annotations

from tests.support.wire import ACCEPT, HIXIE_76_BODY, HIXIE_76_PROOF, KEY

__all__ = ['ACCEPT', 'HIXIE_75', 'HIXIE_76', 'HIXIE_76_BODY', 'HIXIE_76_PROOF', 'HYBI', 'HYBI_HEAD', 'KEY', 'without']

_GET = {
    'REQUEST_METHOD': 'GET',
    'SCRIPT_NAME': '',
    'PATH_INFO': '/demo',
    'QUERY_STRING': '',
    'SERVER_PROTOCOL': 'HTTP/1.1',
    'wsgi.url_scheme': 'http',
    'HTTP_HOST': 'example.com',
    'HTTP_CONNECTION': 'Upgrade',
    'HTTP_UPGRADE': 'WebSocket',
}
HYBI = {**_GET, 'HTTP_SEC_WEBSOCKET_KEY': KEY, 'HTTP_SEC_WEBSOCKET_VERSION': '13'}
HIXIE_75 = {**_GET, 'HTTP_ORIGIN': 'http://example.com'}
HIXIE_76 = {
    **HIXIE_75,
    'HTTP_SEC_WEBSOCKET_KEY1': '4 @1  46546xW%0l 1 5',
    'HTTP_SEC_WEBSOCKET_KEY2': '12998 5 Y3 1  .P00',
}

HYBI_HEAD = (
    'GET /demo HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n'
    f'Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n').encode()


def without(environ: dict[str, str], name: str) -> dict[str, str]:
    """Return the request without one header."""
    return {key: value for key, value in environ.items() if key != name}
