"""SocketResponse, in Django's own handler and middleware."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from types import SimpleNamespace
from typing import Any

import django
import gevent
import gevent.event
import pytest
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import connections
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from gevent.pywsgi import WSGIServer

from faye_websocket import EventSource, UnsupportedServer, WebSocket
from faye_websocket.django import SocketResponse, close_connections
from faye_websocket.testing import connect
from tests.support.local import Response, make_environ, tcp_pair
from tests.support.wire import RFC_6455

if not settings.configured:
    settings.configure(LOGGING_CONFIG=None, SECRET_KEY='secret' * 9, STATIC_URL='/static/')
django.setup()

MIDDLEWARE = [
    'django.middleware.gzip.GZipMiddleware',
    'django.middleware.http.ConditionalGetMiddleware',
    'django.middleware.security.SecurityMiddleware',
    'django.contrib.sessions.middleware.SessionMiddleware',
    'django.middleware.locale.LocaleMiddleware',
    'django.middleware.common.CommonMiddleware',
    'django.middleware.csrf.CsrfViewMiddleware',
    'django.middleware.clickjacking.XFrameOptionsMiddleware',
]


@pytest.fixture
def app() -> Iterator[WSGIHandler]:
    """A Django application with the views of this module."""
    with override_settings(
            ROOT_URLCONF=__name__, ALLOWED_HOSTS=['localhost'], MIDDLEWARE=MIDDLEWARE,
            SESSION_ENGINE='django.contrib.sessions.backends.signed_cookies', DEBUG=False):
        yield WSGIHandler()


def echo_to(request: Any, **options: Any) -> WebSocket:
    ws = WebSocket(request.META, **options)
    ws.onmessage = lambda event: ws.send(event.data)
    return ws


def echo(request: Any) -> HttpResponse:
    return SocketResponse(echo_to(request))


def counting(request: Any, name: str) -> HttpResponse:
    """Open a socket whose path has an argument, and which counts in the session."""
    request.session['count'] = request.session.get('count', 0) + 1
    ws = echo_to(request, headers={'X-Kept': '1'})
    ws.send(f'{name} {request.session["count"]}')
    response = SocketResponse(ws)
    response.set_cookie('of', 'view')
    response['X-Of-The-View'] = '1'
    return response


def guarded(request: Any) -> HttpResponse:
    return SocketResponse(echo_to(request, allowed_origins='same-origin'))


def faulty(request: Any) -> HttpResponse:
    SocketResponse(echo_to(request))
    raise RuntimeError('a fault')


def replaced(request: Any) -> HttpResponse:
    SocketResponse(echo_to(request))
    return HttpResponse('something else', status=402)


def events(request: Any) -> HttpResponse:
    es = EventSource(request.META, headers={'X-Kept': '1'})
    es.send('hello')
    es.close()
    return SocketResponse(es)


async def asynchronous(request: Any) -> HttpResponse:
    return SocketResponse(echo_to(request))


async def slow(request: Any) -> HttpResponse:
    """Block the greenlet in the middle of a coroutine."""
    request.META['entered'].set()
    request.META['leave'].wait()
    return HttpResponse('slow')


def slow_by_hand(request: Any) -> HttpResponse:
    """Run an event loop, as a library may do."""
    return asyncio.run(slow(request))


urlpatterns = [
    path('echo', echo),
    path('count/<name>', counting),
    path('guarded', guarded),
    path('faulty', faulty),
    path('replaced', replaced),
    path('events', events),
    path('async', asynchronous),
    path('slow', slow_by_hand),
]


class TestAccepted:
    def test_is_for_sockets(self) -> None:
        with pytest.raises(TypeError, match='^socket: expected a WebSocket or an EventSource, got None'):
            SocketResponse(None)  # type: ignore[arg-type]

    @pytest.mark.proves('F1')
    def test_is_an_open_socket(self, app: WSGIHandler) -> None:
        with connect(app, '/echo') as ws:
            ws.send('hello')
            assert ws.receive(timeout=1) == 'hello'

    @pytest.mark.proves('H5')
    def test_has_no_length_though_the_middleware_adds_one(self, app: WSGIHandler) -> None:
        with connect(app, '/echo') as ws:
            names = [name.lower() for name in ws.headers]
            assert names[:3] == ['upgrade', 'connection', 'sec-websocket-accept']
            assert not {'content-length', 'content-type', 'etag'} & set(names)

    @pytest.mark.proves('F1', 'V4')
    def test_carries_the_cookies_and_headers_of_session_view_and_middleware(self, app: WSGIHandler) -> None:
        cookies: dict[str, str] = {}
        for count in (1, 2):
            header = '; '.join(f'{name}={value}' for name, value in cookies.items())
            with connect(app, '/count/me', headers={'Cookie': header} if header else None) as ws:
                assert ws.receive(timeout=1) == f'me {count}'
                pairs = [value.partition(';')[0].split('=', 1) for name, value in ws.headers.pairs() if name == 'Set-Cookie']
                cookies = dict(pairs)
                assert set(cookies) == {'sessionid', 'of'}
                names = [name for name, _ in ws.headers.pairs()]
                assert {'X-Kept', 'X-Of-The-View', 'X-Frame-Options', 'X-Content-Type-Options'} <= set(names)

    @pytest.mark.proves('F3')
    def test_is_for_the_user_of_the_test_client(self, app: WSGIHandler) -> None:
        browser = Client(SERVER_NAME='localhost')
        browser.session.save()
        browser.cookies['of'] = 'a b'
        with connect(app, '/count/me', cookies=browser) as ws:
            assert ws.receive(timeout=1) == 'me 1'
            browser.cookies.load(next(value for value in ws.headers.pairs() if 'sessionid' in value[1])[1])
        with connect(app, '/count/me', cookies=browser) as ws:
            assert ws.receive(timeout=1) == 'me 2'

    def test_is_an_ordinary_response_to_middleware(self, app: WSGIHandler) -> None:
        def take(ws: WebSocket, start_response: Callable[..., Any]) -> list[bytes]:
            start_response('101 Switching Protocols', [])
            return []

        class Socket(WebSocket):
            wsgi_response = take

        response = SocketResponse(Socket(make_environ()))
        assert isinstance(response, HttpResponse)
        assert (response.status_code, response.reason_phrase) == (101, 'Switching Protocols')
        assert (response.content, response.streaming) == (b'', False)


    def test_works_while_another_request_runs_an_event_loop(self, app: WSGIHandler) -> None:
        entered, leave = gevent.event.Event(), gevent.event.Event()
        environ = {**make_environ(headers=(), HTTP_HOST='localhost', PATH_INFO='/slow'), **input_of()}
        other = gevent.spawn(app, {**environ, 'entered': entered, 'leave': leave}, Response())
        entered.wait()
        assert asyncio.current_task() is not None
        with connect(app, '/echo') as ws:
            ws.send('hello')
            assert ws.receive(timeout=1) == 'hello'
        leave.set()
        assert other.get().content == b'slow'


class TestRefused:
    @pytest.mark.proves('V4', 'S2')
    def test_is_an_http_error_with_the_headers_of_middleware(self, app: WSGIHandler) -> None:
        ws = connect(app, '/guarded', headers={'Origin': 'https://bad.example'}, refused=True)
        assert (ws.status, ws.body) == (403, b'this origin is not allowed\n')
        assert ws.headers['Connection'] == 'close'
        assert ws.headers['X-Frame-Options'] == 'DENY'

    def test_has_its_headers_except_those_of_the_server(self, app: WSGIHandler) -> None:
        environ = make_environ(headers=[*RFC_6455, ('Sec-WebSocket-Version', '9')])
        response = SocketResponse(WebSocket(environ))
        assert (response.status_code, response.reason_phrase) == (426, 'Upgrade Required')
        assert response['Sec-WebSocket-Version'] == '13, 8, 7'
        assert response['Content-Type'] == 'text/plain; charset=utf-8'
        assert not response.has_header('Connection')
        assert int(response['Content-Length']) == len(response.content) > 0

    def test_is_the_response_to_a_plain_request(self, app: WSGIHandler) -> None:
        response = Response()
        body = b''.join(app({**make_environ(headers=(), HTTP_HOST='localhost', PATH_INFO='/echo'), **input_of()}, response))
        assert (response.status, body) == ('400 Bad Request', b'the Upgrade header does not contain websocket\n')


class TestEventSource:
    @pytest.mark.proves('E7', 'E3')
    def test_is_a_streaming_response_of_any_server(self, app: WSGIHandler) -> None:
        response = Response()
        body = app({**make_environ(headers=(), HTTP_HOST='localhost', PATH_INFO='/events'), **input_of()}, response)
        assert b''.join(body) == b'retry: 5000\r\ndata: hello\r\n\r\n'
        body.close()
        headers = dict(response.headers)
        assert (response.status, headers['Content-Type'], headers['X-Kept']) == ('200 OK', 'text/event-stream', '1')
        assert headers['X-Frame-Options'] == 'DENY'
        assert 'ETag' not in headers

    @pytest.mark.proves('E7')
    def test_has_each_header_that_is_repeated(self) -> None:
        headers = [('Set-Cookie', 'a=1; Path=/feed'), ('Set-Cookie', 'b=2'), ('Link', '<x>'), ('Link', '<y>')]
        response = SocketResponse(EventSource(make_environ(None), headers=headers))
        assert response['Link'] == '<x>, <y>'
        assert [response.cookies[name].value for name in 'ab'] == ['1', '2']
        assert response.cookies['a']['path'] == '/feed'
        response.close()

    @pytest.mark.proves('F1', 'V4')
    def test_leaves_a_server_of_gevent_with_the_headers_of_middleware(self, app: WSGIHandler) -> None:
        ours, theirs = tcp_pair()
        gevent.spawn(WSGIServer(('127.0.0.1', 0), app, log=None).handle, ours, ('127.0.0.1', 0))
        with theirs:
            theirs.sendall(b'GET /events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n')
            head, _, body = b''.join(iter(lambda: theirs.recv(65536), b'')).partition(b'\r\n\r\n')
        assert head.startswith(b'HTTP/1.1 200 OK\r\n')
        assert b'\r\nX-Frame-Options: DENY' in head
        assert b'\r\nTransfer-Encoding' not in head
        assert body == b'retry: 5000\r\ndata: hello\r\n\r\n'


@pytest.mark.proves('V3')
class TestCloseConnections:
    def test_closes_them_when_the_handler_returns_or_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        calls: list[Any] = []
        connection = SimpleNamespace(in_atomic_block=False, close=lambda: calls.append('closed'))
        monkeypatch.setattr(connections, 'all', lambda: [connection])

        @close_connections
        def handle(event: Any, *, fails: bool = False) -> int:
            """Ask the database."""
            calls.append(event)
            return 1 // (not fails)

        assert handle('first') == 1
        with pytest.raises(ZeroDivisionError):
            handle('second', fails=True)
        assert calls == ['first', 'closed', 'second', 'closed']
        assert (handle.__name__, handle.__doc__) == ('handle', 'Ask the database.')
        # A transaction around the call goes on.
        connection.in_atomic_block = True
        assert handle('third') == 1
        assert calls[4:] == ['third']


class TestInsteadOfTheSocket:
    def test_an_exception_sends_its_own_response(self, app: WSGIHandler) -> None:
        assert connect(app, '/faulty', refused=True).status == 500

    def test_another_response_of_a_middleware_is_sent(self, app: WSGIHandler) -> None:
        ws = connect(app, '/replaced', refused=True)
        assert (ws.status, ws.body) == (402, b'something else')

    def test_the_response_of_a_middleware_before_the_view_is_sent(self, app: WSGIHandler) -> None:
        assert connect(app, 'ws://unknown.example/echo', refused=True).status == 400


class TestWhereItCannotWork:
    @pytest.mark.proves('H6')
    def test_a_server_without_gevent_gets_a_clear_error(self, app: WSGIHandler) -> None:
        request = RequestFactory(
            SERVER_SOFTWARE='WSGIServer/0.2 CPython/3.11', HTTP_CONNECTION='Upgrade', HTTP_UPGRADE='websocket',
            HTTP_SEC_WEBSOCKET_KEY='dGhlIHNhbXBsZSBub25jZQ==', HTTP_SEC_WEBSOCKET_VERSION='13', HTTP_HOST='localhost').get('/')
        with pytest.raises(UnsupportedServer, match='gives no access to its socket.* runs under gevent.pywsgi'):
            echo(request)

    def test_an_async_view_gets_a_clear_error(self, app: WSGIHandler, caplog: pytest.LogCaptureFixture) -> None:
        assert connect(app, '/async', refused=True).status == 500
        assert 'RuntimeError: a SocketResponse cannot come from an async view: write "def"' in caplog.text


def test_the_name_django_still_means_django() -> None:
    assert sys.modules['django'].__name__ == 'django'
    assert sys.modules['django'] is not sys.modules['faye_websocket.django']


def input_of() -> dict[str, Any]:
    """Return the variables that Django needs in every request."""
    return {'wsgi.input': BytesIO(), 'SERVER_NAME': 'localhost', 'SERVER_PORT': '80'}
