"""Tests of a socket with pytest, and of the pages beside it with WebTest.

Run it with: python -m pytest examples/testing
"""

import pytest
from bottle import Bottle
from webtest import TestApp

from faye_websocket import HandshakeError, SocketMiddleware
from faye_websocket.testing import connect


def echo(ws):
    ws.onmessage = lambda event: ws.send(event.data.upper())


site = Bottle()
site.get('/', callback=lambda: 'hello')
app = SocketMiddleware(
    site, {'/echo': echo}, protocols=['loud'], allowed_origins=['https://example.com']
)


def test_the_socket():
    with connect(app, '/echo') as ws:
        ws.send('hello')
        assert ws.receive(timeout=1) == 'HELLO'


def test_its_subprotocol():
    with connect(app, '/echo', protocols=['quiet', 'loud']) as ws:
        assert ws.protocol == 'loud'


def test_its_refusal():
    with pytest.raises(HandshakeError, match='403'):
        connect(app, '/echo', headers={'Origin': 'https://example.org'})


@pytest.mark.parametrize(('path', 'status'), [('/', 200), ('/echo', 404)])
def test_the_pages_beside_it(path, status):
    assert TestApp(app).get(path, status=status)
