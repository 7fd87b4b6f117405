"""A client and an application in one process, connected in memory."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from faye_websocket import Client, HandshakeError, WebSocket
from faye_websocket.io.shutdown import open_sockets
from faye_websocket.testing import connect
from tests.support.local import settle, wait_until


def socket_app(setup: Callable[[WebSocket], object], **options: Any) -> Callable[..., Iterable[bytes]]:
    """Return an application that makes a socket for every request."""
    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        ws = WebSocket(environ, **options)
        setup(ws)
        return ws(environ, start_response)

    return app


def echo(ws: WebSocket) -> None:
    ws.onmessage = lambda event: ws.send(event.data)


@pytest.mark.proves('F3')
def test_five_lines_test_a_socket() -> None:
    with connect(socket_app(echo), '/echo') as ws:
        ws.send('hello')
        assert ws.receive(timeout=1) == 'hello'


class TestTheRequest:
    def seen(self, path: str, **options: Any) -> dict[str, Any]:
        """Return the environ of a request."""
        seen: list[WebSocket] = []
        with connect(socket_app(seen.append), path, **options):
            return seen[0].environ

    def test_has_the_path_and_the_query(self) -> None:
        environ = self.seen('/a%20b?x=1&y=2')
        assert (environ['PATH_INFO'], environ['QUERY_STRING']) == ('/a b', 'x=1&y=2')

    def test_comes_from_this_machine(self) -> None:
        environ = self.seen('/')
        names = ('HTTP_HOST', 'SERVER_NAME', 'SERVER_PORT', 'REMOTE_ADDR', 'wsgi.url_scheme')
        assert [environ[name] for name in names] == ['localhost', 'localhost', '80', '127.0.0.1', 'http']

    def test_is_for_the_host_of_a_whole_url(self) -> None:
        environ = self.seen('ws://shop.example:8080/basket?id=1')
        assert (environ['HTTP_HOST'], environ['PATH_INFO']) == ('shop.example:8080', '/basket')

    def test_has_the_clients_headers(self) -> None:
        assert self.seen('/', headers={'Cookie': 'user=7'})['HTTP_COOKIE'] == 'user=7'

    def test_offers_the_clients_subprotocols(self) -> None:
        with connect(socket_app(echo, protocols=['chat']), protocols=['irc', 'chat']) as ws:
            assert ws.protocol == 'chat'

    def test_is_for_a_flask_application_too(self) -> None:
        app = Flask('hello')

        @app.get('/hello/<name>', websocket=True)
        def hello(name: str) -> Any:
            from flask import request

            ws = WebSocket(request.environ)
            ws.send(f'hello, {name}')
            return ws

        with connect(app, '/hello/world') as ws:
            assert ws.receive(timeout=1) == 'hello, world'


class TestTheClient:
    def test_is_open_at_once(self) -> None:
        with connect(socket_app(echo)) as ws:
            assert isinstance(ws, Client)
            assert (ws.ready_state, ws.status) == (Client.OPEN, 101)

    def test_has_not_missed_an_event_by_then(self) -> None:
        events: list[Any] = []
        ws = connect(socket_app(lambda ws: (ws.send('early'), ws.close(4000, 'bye'))))
        for type in ('open', 'message', 'close'):
            ws.on(type, events.append)
        wait_until(lambda: [event.type for event in events] == ['open', 'message', 'close'])
        assert (events[1].data, events[2].code, events[2].reason) == ('early', 4000, 'bye')

    def test_shows_a_refusal(self) -> None:
        app = socket_app(echo, allowed_origins=['https://good.example'])
        ws = connect(app, headers={'Origin': 'https://bad.example'}, refused=True)
        assert (ws.ready_state, ws.status, ws.body) == (Client.CLOSED, 403, b'this origin is not allowed\n')
        assert ws.headers['connection'] == 'close'

    def test_shows_another_response(self) -> None:
        app = Flask('nothing')
        assert connect(app, '/nowhere', refused=True).status == 404

    def test_shows_an_exception_of_the_application(self, capsys: pytest.CaptureFixture[str]) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            raise RuntimeError('a fault')

        assert connect(app, refused=True).status == 500
        assert 'RuntimeError: a fault' in capsys.readouterr().err

    def test_is_not_returned_for_a_refusal(self) -> None:
        app = socket_app(echo, allowed_origins=['https://good.example'])
        with pytest.raises(HandshakeError, match='^the application refused the handshake: 403 this origin is not allowed$'):
            connect(app, headers={'Origin': 'https://bad.example'})

    def test_is_not_returned_without_a_response(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ['wsgi.input'].raw._sock.shutdown(2)
            start_response('200 OK', [])
            return []

        with pytest.raises(HandshakeError, match='before a response arrived'):
            connect(app)

    def test_can_use_an_application_in_greenlet_style(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            with WebSocket(environ) as ws:
                for message in ws:
                    ws.send(f'{len(message)} characters')
            return ws(environ, start_response)

        with connect(app) as ws:
            ws.send('hello')
            assert ws.receive(timeout=1) == '5 characters'


class TestTheEnd:
    def test_of_a_with_block_finds_the_applications_handlers_done(self) -> None:
        codes: list[int] = []
        with connect(socket_app(lambda ws: ws.on('close', lambda event: codes.append(event.code)))) as ws:
            pass
        assert (ws.ready_state, codes) == (Client.CLOSED, [1000])

    @pytest.mark.proves('F3')
    def test_leaves_nothing(self) -> None:
        with connect(socket_app(echo)):
            pass
        settle()
        before, others, older = descriptors(), len(open_sockets), clients()
        for _ in range(20):
            with connect(socket_app(echo)) as ws:
                ws.send('hello')
                ws.receive(timeout=1)
            assert connect(Flask('nothing'), refused=True).status == 404
        wait_until(lambda: descriptors() <= before and len(open_sockets) <= others)
        del ws
        wait_until(lambda: clients() <= older)


class TestWhatCannotBe:
    @pytest.mark.parametrize('path', ['chat', 'wss://localhost/', 'http://localhost/', ''])
    def test_is_a_value_error_about_the_path(self, path: str) -> None:
        with pytest.raises(ValueError, match='^path: expected a path or a ws:// URL, got'):
            connect(socket_app(echo), path)

    def test_is_an_unknown_option(self) -> None:
        before = descriptors()
        with pytest.raises(TypeError, match='pings'):
            connect(socket_app(echo), pings=1)
        assert descriptors() == before


def clients() -> int:
    """Count the clients that exist. Those of other tests' OS threads may be among them.
    """
    gc.collect()
    return sum(issubclass(type(thing), Client) for thing in gc.get_objects())


def descriptors() -> int:
    """Count the files and sockets that this process has open."""
    return len(list(Path(f'/proc/{os.getpid()}/fd').iterdir()))
