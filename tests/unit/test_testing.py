"""A client and an application in one process, connected in memory."""

from __future__ import annotations

import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import gevent
import gevent.event
import pytest
from flask import Flask, request, session

from faye_websocket import Client, HandshakeError, SocketMiddleware, WebSocket
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


class TestAFault:
    """An exception of the application is raised in the test."""

    @pytest.mark.proves('F3')
    @pytest.mark.parametrize('refused', [False, True])
    def test_before_the_handshake_is_raised_by_connect(self, refused: bool, capsys: pytest.CaptureFixture[str]) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            raise RuntimeError('a fault')

        with pytest.raises(RuntimeError, match='^a fault$') as raised:
            connect(app, refused=refused)
        assert raised.traceback[-1].name == 'app'
        assert 'RuntimeError: a fault' in capsys.readouterr().err

    def test_of_a_generator_is_raised_by_connect(self, capsys: pytest.CaptureFixture[str]) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            start_response('200 OK', [])
            raise RuntimeError('a fault')
            yield b''

        with pytest.raises(RuntimeError, match='^a fault$'):
            connect(app)

    def test_of_flask_is_raised_where_it_is_testing(self, capsys: pytest.CaptureFixture[str]) -> None:
        app = Flask('faulty')
        app.get('/', websocket=True)(lambda: str(1 // 0))
        assert connect(app, refused=True).status == 500
        app.testing = True
        with pytest.raises(ZeroDivisionError):
            connect(app)

    @pytest.mark.proves('F3')
    @pytest.mark.parametrize('type', ['open', 'message', 'close'])
    def test_of_a_handler_is_raised_at_the_end_of_the_block(self, type: str) -> None:
        client = connect(socket_app(lambda ws: ws.on(type, lambda event: 1 // 0)))
        with pytest.raises(ZeroDivisionError) as raised, client as ws:
            ws.send('hello')
            if type != 'close':
                assert ws.receive(timeout=1) is None
        assert raised.traceback[-1].name == '<lambda>'
        with client:
            # Raised once.
            pass

    def test_explains_an_assertion_that_fails(self) -> None:
        with (
            pytest.raises(ZeroDivisionError) as raised,
            connect(socket_app(lambda ws: ws.on('message', lambda event: 1 // 0))) as ws,
        ):
            ws.send('hello')
            assert ws.receive(timeout=1) == 'hello'
        assert isinstance(raised.value.__context__, AssertionError)

    @pytest.mark.skipif(sys.version_info < (3, 11), reason='there are no notes')
    def test_shows_those_that_follow_with_it(self) -> None:
        def setup(ws: WebSocket) -> None:
            ws.onmessage = lambda event: 1 // 0
            ws.onclose = lambda event: [].pop()

        with pytest.raises(ZeroDivisionError) as raised, connect(socket_app(setup)) as ws:
            ws.send('hello')
        [note] = raised.value.__notes__
        assert note.startswith('The application has raised this, too:\nTraceback (most recent call last):\n')
        assert note.endswith('\nIndexError: pop from empty list')

    def test_gives_way_to_the_end_of_the_process(self) -> None:
        with (
            pytest.raises(KeyboardInterrupt),
            connect(socket_app(lambda ws: ws.on('open', lambda event: 1 // 0))) as ws,
        ):
            assert ws.receive(timeout=1) is None
            raise KeyboardInterrupt

    @pytest.mark.parametrize('seconds', [0, 0.05])
    @pytest.mark.parametrize('is_in_middleware', [False, True])
    def test_in_greenlet_style_is_raised_even_after_the_close(
        self, is_in_middleware: bool, seconds: float, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def handle(ws: WebSocket) -> None:
            assert list(ws) == ['hello']
            gevent.sleep(seconds)
            raise RuntimeError('a fault')

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            handle(WebSocket(environ))
            raise AssertionError

        with (
            pytest.raises(RuntimeError, match='^a fault$'),
            connect(SocketMiddleware(app, {'/': handle}) if is_in_middleware else app) as ws,
        ):
            ws.send('hello')

    def test_that_both_the_socket_and_the_server_report_is_raised_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            with WebSocket(environ) as ws:
                ws.receive()
                raise RuntimeError('a fault')

        client = connect(app)
        with pytest.raises(RuntimeError, match='^a fault$'), client as ws:
            ws.send('hello')
            assert ws.wait_closed(timeout=1)
        with client:
            pass

    def test_is_none_where_a_greenlet_is_killed(self) -> None:
        def handle(ws: WebSocket) -> None:
            raise gevent.GreenletExit

        with connect(SocketMiddleware(socket_app(echo), {'/': handle})) as ws:
            assert ws.wait_closed(timeout=1)

    def test_is_not_waited_for_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('faye_websocket.testing._PATIENCE', 0.01)
        stop = gevent.event.Event()

        def handle(ws: WebSocket) -> None:
            stop.wait()

        with connect(SocketMiddleware(socket_app(echo), {'/': handle})):
            pass
        stop.set()

    def test_is_none_of_a_socket_that_is_never_used(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            sockets.append(WebSocket(environ))
            start_response('200 OK', [])
            return iter(())

        sockets: list[WebSocket] = []
        with connect(app, refused=True) as ws:
            assert ws.status == 200

    def test_leaves_the_response_to_be_closed(self) -> None:
        class Body:
            def __iter__(self) -> Iterator[bytes]:
                return iter([b'hello'])

            def close(self) -> None:
                closed.append(self)

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            start_response('200 OK', [])
            return Body()

        closed: list[Body] = []
        assert connect(app, refused=True).body == b'hello'
        wait_until(lambda: closed)


def forgotten(environ: dict[str, Any], start_response: Callable[..., Any]) -> None:
    """Make a socket, and return nothing."""
    WebSocket(environ)


def late(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Yield the body only."""
    yield b'a page'


class TestSilence:
    """An application that has returned, and not called start_response."""

    @pytest.mark.proves('F3')
    @pytest.mark.parametrize('refused', [False, True])
    @pytest.mark.parametrize(('app', 'text'), [
        (lambda *request: None, 'returned None without calling start_response'),
        (lambda *request: [], r'returned \[\] without calling start_response'),
        (lambda *request: [b'a page'], r"returned \[b'a page'\] without calling start_response"),
        (lambda *request: iter(()), 'returned <tuple_iterator object at 0x.+> without calling start_response'),
        (late, 'returned <generator object late at 0x.+> without calling start_response'),
        (forgotten, r'returned None .*; was it to return ws\(environ, start_response\)\?')])
    def test_is_an_error_at_once(
            self, app: Any, text: str, refused: bool, capsys: pytest.CaptureFixture[str]) -> None:
        began = time.monotonic()
        with pytest.raises(HandshakeError, match=f'^the application {text}$'):
            connect(app, refused=refused)
        # The client's timeout is 30 s.
        assert time.monotonic() - began < 15

    def test_of_one_that_was_killed_is_an_error(self, capsys: pytest.CaptureFixture[str]) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            raise gevent.GreenletExit

        with pytest.raises(HandshakeError, match=r'^the application ended with GreenletExit\(\) before its response$'):
            connect(app, refused=True)

    def test_is_none_of_one_that_is_killed_after_its_response(self, capsys: pytest.CaptureFixture[str]) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            start_response('404 Not Found', [])
            raise gevent.GreenletExit

        assert connect(app, refused=True).status == 500

    def test_gives_way_to_what_a_generator_raises(self, capsys: pytest.CaptureFixture[str]) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            raise RuntimeError('a fault')
            yield b''

        with pytest.raises(RuntimeError, match='^a fault$'):
            connect(app)

    def test_is_none_after_a_handshake_in_greenlet_style(self) -> None:
        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            list(WebSocket(environ))
            return []

        with connect(app) as ws:
            assert ws.status == 101


class TestTheCookies:
    """Of a test client that has logged in. That of Django is in test_django.py."""

    @pytest.fixture
    def app(self) -> Flask:
        app = Flask('login')
        app.secret_key = 'x'

        @app.get('/login/<user>')
        def login(user: str) -> str:
            session['user'] = user
            return 'hello'

        @app.get('/', websocket=True)
        @app.get('/deep/er', websocket=True)
        def socket() -> Any:
            ws = WebSocket(request.environ)
            ws.send(session.get('user', 'nobody'))
            return ws

        return app

    def seen(self, app: Any, path: str = '/', **options: Any) -> Any:
        with connect(app, path, **options) as ws:
            return ws.receive(timeout=1)

    @pytest.mark.proves('F3')
    def test_of_flask_log_the_socket_in(self, app: Flask) -> None:
        browser = app.test_client()
        assert self.seen(app, cookies=browser) == 'nobody'
        browser.get('/login/me')
        assert self.seen(app, cookies=browser) == self.seen(app, '/deep/er', cookies=browser) == 'me'
        assert self.seen(app) == 'nobody'

    def test_of_flask_stay_with_their_host(self, app: Flask) -> None:
        browser = app.test_client()
        browser.get('/login/me', base_url='http://shop.example')
        assert self.seen(app, cookies=browser) == 'nobody'
        assert self.seen(app, 'ws://shop.example:8080/?x', cookies=browser) == 'me'
        assert self.seen(app, cookies=app.test_client(use_cookies=False)) == 'nobody'

    @pytest.mark.proves('F3')
    @pytest.mark.filterwarnings("ignore:'cgi' is deprecated:DeprecationWarning")
    def test_of_webtest_log_the_socket_in(self, app: Flask) -> None:
        from webtest import TestApp

        browser = TestApp(app)
        browser.get('/login/me')
        assert self.seen(app, cookies=browser) == 'me'

    def test_may_be_a_mapping_beside_other_headers(self, app: Flask) -> None:
        def tell(ws: WebSocket) -> None:
            ws.send(ws.environ.get('HTTP_COOKIE', '') + ws.environ.get('HTTP_X', ''))

        assert self.seen(socket_app(tell), cookies={'a': 1, 'b': '2'}, headers={'X': '!'}) == 'a=1; b=2!'
        assert self.seen(socket_app(tell), cookies={}, headers=[('Cookie', 'c=3')]) == 'c=3'

    def test_are_nothing_else(self) -> None:
        with pytest.raises(TypeError, match='^cookies: expected a test client or a mapping, got 1$'):
            connect(socket_app(echo), cookies=1)


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
