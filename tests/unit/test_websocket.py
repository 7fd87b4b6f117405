"""The server's WebSocket: accepted and refused requests, and its options."""

from __future__ import annotations

import io
import re
from types import MappingProxyType, SimpleNamespace
from typing import Any
from wsgiref.handlers import SimpleHandler

import pytest

from faye_websocket import EventSource, PermessageDeflate, UnsupportedServer, WebSocket
from tests.support.local import (
    Record,
    Response,
    joined,
    make_environ,
    reset,
    run_threads,
    serve,
    settle,
)
from tests.support.wire import CLOSE, RFC_6455, TEXT, Frame, Headers, serialize_frame

SMUGGLED = b'GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n'
EVIL = ('Origin', 'http://evil.example')
MESSAGE = serialize_frame(TEXT, b'early')


def without(name: str) -> list[tuple[str, str]]:
    """Return the headers of a handshake without one."""
    return [pair for pair in RFC_6455 if pair[0] != name]


REFUSALS = [
    ('a version that nobody speaks', [*without('Sec-WebSocket-Version'), ('Sec-WebSocket-Version', '99')], {}, 426),
    ('no version', without('Sec-WebSocket-Version'), {}, 426),
    ('a bad key', [*without('Sec-WebSocket-Key'), ('Sec-WebSocket-Key', 'short')], {}, 400),
    ('no key', without('Sec-WebSocket-Key'), {}, 400),
    ('a body', [*RFC_6455, ('Content-Length', '5')], {}, 400),
    ('malformed extensions', [*RFC_6455, ('Sec-WebSocket-Extensions', ';')], {}, 400),
    ('another origin', [*RFC_6455, EVIL], {'allowed_origins': 'same-origin'}, 403),
    ('an origin that is not in the list', [*RFC_6455, EVIL], {'allowed_origins': ['https://good.example']}, 403),
    ('a malformed origin', [*RFC_6455, ('Origin', 'http://[')], {'allowed_origins': 'same-origin'}, 403),
    ('an opaque origin', [*RFC_6455, ('Origin', 'null')], {'allowed_origins': ['https://good.example']}, 403),
    ('an origin that a function refuses', [*RFC_6455, EVIL], {'allowed_origins': lambda origin, environ: False}, 403),
    ('another origin in the words of hybi-07', [*without('Sec-WebSocket-Version'), ('Sec-WebSocket-Version', '7'),
                                                ('Sec-WebSocket-Origin', EVIL[1])], {'allowed_origins': 'same-origin'}, 403),
]


class TestRefusal:
    """A handshake that is refused with an HTTP error."""

    @pytest.mark.proves('S1', 'S2', 'S3')
    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    @pytest.mark.parametrize(('headers', 'options', 'status'), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
    def test_is_complete_and_ends_the_connection(
            self, headers: Headers, options: dict[str, Any], status: int, tls: bool) -> None:
        with serve(tls=tls, **options) as server:
            client = server.client('/', headers)
            head = client.handshake(SMUGGLED)
            body = client.read_to_eof()
            assert (head.status, head.get('Connection')) == (status, 'close')
            assert (len(body), body[-1:]) == (int(head.get('Content-Length') or 0), b'\n')
            settle()
            assert server.paths == ['/']
            assert f'" {status} ' in server.access_log.getvalue()
            event = server.record.the_close()
            assert (event.code, f'{event.reason}\n'.encode()) == (1006, body)

    @pytest.mark.proves('S3')
    def test_of_a_version_names_those_that_are_spoken(self) -> None:
        with serve() as server:
            assert server.client('/', REFUSALS[0][1]).handshake().get('Sec-WebSocket-Version') == '13, 8, 7'

    @pytest.mark.proves('S2', 'H6')
    def test_has_its_origin_and_host_in_the_log(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level('DEBUG', 'faye_websocket.server')
        environ = make_environ(headers=[*RFC_6455, EVIL])
        WebSocket(environ, allowed_origins='same-origin')
        assert f'origin {EVIL[1]!r} is not allowed at host {environ["HTTP_HOST"]!r}' in caplog.messages

    @pytest.mark.proves('S2', 'H6')
    def test_is_a_plain_response_where_the_socket_cannot_be_had(self) -> None:
        environ = make_environ(headers=[*RFC_6455, EVIL])
        ws, response = WebSocket(environ, allowed_origins='same-origin'), Response()
        record = Record(ws)
        assert ws(environ, response) == [b'this origin is not allowed\n']
        assert response.status == '403 Forbidden'
        assert dict(response.headers)['Connection'] == 'close'
        assert dict(response.headers)['Content-Length'] == '27'
        assert record.the_close().code == 1006

    @pytest.mark.proves('S2')
    @pytest.mark.parametrize('software', ['WSGIServer/0.2', 'WSGIServer'], ids=['3.10', '3.15'])
    def test_has_nothing_that_wsgiref_would_not_take(self, software: str) -> None:
        out, errors = io.BytesIO(), io.StringIO()
        environ = make_environ(headers=[*RFC_6455, EVIL], SERVER_SOFTWARE=software)
        SimpleHandler(io.BytesIO(), out, errors, environ).run(WebSocket(environ, allowed_origins=[]))
        assert out.getvalue().startswith(b'HTTP/1.0 403 Forbidden\r\n')
        assert errors.getvalue() == ''

    def test_is_given_to_receive_as_the_end(self) -> None:
        with joined([]) as pair:
            assert pair.ws.receive() is None
        assert WebSocket(make_environ(headers=())).receive() is None

    @pytest.mark.proves('S3')
    @pytest.mark.parametrize('others', [
        {'REQUEST_METHOD': 'POST'}, {'SERVER_PROTOCOL': 'HTTP/1.0'}, {'HTTP_HOST': ''}, {'HTTP_UPGRADE': 'h2c'},
        {'HTTP_CONNECTION': 'close'}, {'HTTP_TRANSFER_ENCODING': 'chunked'}], ids=lambda others: next(iter(others)))
    def test_answers_a_request_that_is_no_handshake(self, others: dict[str, str]) -> None:
        environ = {**make_environ(), **others}
        response = Response()
        WebSocket(environ)(environ, response)
        assert response.status == '400 Bad Request'


class TestAcceptance:
    """A handshake that is accepted with a 101."""

    @pytest.mark.proves('S1')
    @pytest.mark.parametrize(('origins', 'headers'), [
        (None, [EVIL]),
        ('same-origin', []),
        ('same-origin', [('Origin', 'http://example.com')]),
        (['https://a.example', 'http://evil.example'], [EVIL]),
        (lambda origin, environ: origin == EVIL[1] and 'PATH_INFO' in environ, [EVIL])],
        ids=['any', 'no browser', 'same', 'listed', 'function'])
    def test_of_an_allowed_origin(self, origins: Any, headers: Headers) -> None:
        with joined([*RFC_6455, *headers], allowed_origins=origins) as pair:
            ws, _ = pair.open()
            assert ws.ready_state == WebSocket.OPEN

    @pytest.mark.parametrize('headers', [{'Set-Cookie': 'a=1'}, [('Set-Cookie', 'a=1'), ('Set-Cookie', 'b=2')]],
                             ids=['mapping', 'pairs'])
    def test_has_the_headers_of_the_application(self, headers: Any) -> None:
        with joined(options_headers=headers) as pair:
            pair.start()
            expected = list(headers.items() if isinstance(headers, dict) else headers)
            assert pair.client.receive_head().headers[-len(expected):] == expected

    @pytest.mark.proves('F1', 'V4')
    def test_has_the_headers_that_were_added_around_the_application(self) -> None:
        with joined(options_headers={'X-Mine': '1'}) as pair:
            pair.ws(pair.environ, pair.response)
            pair.respond('HTTP/1.1 101 Switching Protocols\r\nServer: x\r\nset-cookie: a=1; Path=/\r\nContent-Le')
            pair.ws.send('queued')
            pair.respond('ngth: 0\r\nSet-Cookie: b=2\r\nContent-Security-Policy: none\r\nETag: W/"0"\r\nUpgrade: x\r\n')
            pair.respond('Connection: keep-alive\r\nSec-WebSocket-Accept: x\r\nX-Request-ID: caf\xe9: 7\r\n\r\n', 'latin-1')
            head = pair.client.receive_head()
            assert head.headers[-5:] == [
                ('X-Mine', '1'), ('set-cookie', 'a=1; Path=/'), ('Set-Cookie', 'b=2'), ('Content-Security-Policy', 'none'),
                ('X-Request-ID', 'caf\xe9: 7')]
            assert len(head.headers) == 8
            assert (head.get('Upgrade'), head.get('Connection')) == ('websocket', 'Upgrade')
            assert pair.client.receive_frame() == Frame(TEXT, b'queued')

    @pytest.mark.proves('H6')
    def test_must_come_in_the_thread_of_the_socket(self) -> None:
        with joined() as pair, pytest.raises(UnsupportedServer, match='must be answered in the OS thread that it was made in'):
            run_threads(lambda: pair.ws(pair.environ, pair.response))

    def test_comes_early_when_a_message_is_waited_for(self) -> None:
        with joined() as pair:
            pair.client.send(MESSAGE)
            assert pair.ws.receive() == 'early'
            pair.start()
            pair.ws.close()
            assert pair.client.receive_head().status == 101
            assert pair.client.receive_frame().opcode == CLOSE

    @pytest.mark.parametrize('protocols', [['chat', 'feed'], ('feed',), 'chat, feed'])
    def test_names_the_protocol_agreed_on(self, protocols: Any) -> None:
        with joined([*RFC_6455, ('Sec-WebSocket-Protocol', 'feed, chat')], protocols=protocols) as pair:
            pair.start()
            assert pair.client.receive_head().get('Sec-WebSocket-Protocol') == 'feed'
            assert pair.ws.protocol == 'feed'

    @pytest.mark.proves('H3')
    def test_tells_the_server_a_101(self) -> None:
        with joined() as pair:
            pair.start()
            assert pair.response.status == '101 Switching Protocols'

    @pytest.mark.proves('H5')
    def test_satisfies_whoever_checks_responses_and_sends_none_of_that(self) -> None:
        with joined() as pair:
            pair.start()
            assert dict(pair.response.headers) == {
                'Content-Type': 'text/plain', 'Content-Length': '0'}
            names = pair.client.receive_head().names()
            assert not names & {'content-type', 'content-length'}

    def test_is_made_once(self) -> None:
        with joined() as pair:
            ws, client = pair.open()
            assert list(ws.wsgi_response(pair.response)) == []
            ws.send('only')
            assert client.receive_frame() == Frame(TEXT, b'only')

    @pytest.mark.parametrize(('number', 'version'), [('13', 'hybi-13'), ('8', 'hybi-08'), ('7', 'hybi-07')])
    def test_knows_the_version(self, number: str, version: str) -> None:
        with joined([*without('Sec-WebSocket-Version'), ('Sec-WebSocket-Version', number)]) as pair:
            assert pair.open()[0].version == version

    @pytest.mark.proves('S4')
    def test_bounds_the_number_of_fragments(self) -> None:
        with joined(max_fragments=2) as pair:
            record = Record(pair.ws)
            _, client = pair.open()
            client.send(serialize_frame(TEXT, fin=False) + serialize_frame(0, fin=False) * 2)
            assert record.the_close().code == 1009


class TestAnotherResponse:
    """The response if a middleware discards that of the handshake."""

    def test_is_passed_on(self) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            pair.ws(pair.environ, pair.response)
            pair.respond('HTTP/1.1 500 Oh\r\nConnection: keep-alive\r\nContent-Length: 9\r\n\r\nsor')
            pair.respond('ry, no')
            pair.sock.close()
            assert pair.client.read_to_eof() == (
                b'HTTP/1.1 500 Oh\r\nContent-Length: 9\r\nConnection: close\r\n\r\nsorry, no')
            event = record.the_close()
            assert (event.code, event.reason) == (1006, 'the application gave another response')
            assert record.types == ['error', 'close']

    def test_may_come_without_a_body(self) -> None:
        with joined() as pair:
            pair.ws(pair.environ, pair.response)
            pair.respond('HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n')
            pair.sock.close()
            assert pair.client.receive_head().status == 503

    def test_may_be_none(self) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            pair.ws(pair.environ, pair.response)
            pair.sock.close()
            assert pair.client.read_to_eof() == b''
            assert record.the_close().code == 1006

    def test_may_come_when_the_peer_is_gone(self) -> None:
        with joined() as pair:
            record = Record(pair.ws)
            pair.ws(pair.environ, pair.response)
            pair.respond('HTTP/1.1 500 Oh\r\n\r\n')
            reset(pair.client)
            assert record.the_close().code == 1006
            pair.respond('sorry')
            pair.sock.close()
            settle()
            assert record.types == ['close']


class TestOptions:
    """Invalid options, which are named in the error."""

    @pytest.mark.proves('S7')
    @pytest.mark.parametrize(('name', 'value', 'error'), [
        ('ping', 0, ValueError), ('ping', -1, ValueError), ('ping', 'x', TypeError), ('ping', True, TypeError),
        ('ping_timeout', 0, ValueError), ('ping_timeout', [], TypeError), ('close_timeout', -1, ValueError),
        ('close_timeout', None, TypeError), ('max_length', -1, ValueError), ('max_length', '1', TypeError),
        ('max_fragments', 0, ValueError), ('max_buffered', -1, ValueError), ('max_queue', 0, ValueError),
        ('ping', float('nan'), ValueError),
        ('overflow', 'explode', ValueError), ('allowed_origins', 'example.com', ValueError),
        ('allowed_origins', ['not an origin'], ValueError), ('allowed_origins', [1], ValueError),
        ('protocols', ['a b'], ValueError), ('protocols', [1], ValueError), ('protocols', 'chat,\r\nX', ValueError),
        ('headers', {'X-A': 'a\r\nX-B: b'}, ValueError), ('headers', {'X-A': 'a\0'}, ValueError),
        ('headers', {'X A': 'a'}, ValueError), ('headers', [('X-A', 1)], TypeError), ('headers', ['X-A: a'], TypeError),
        ('headers', 5, TypeError), ('extensions', 5, TypeError), ('extensions', PermessageDeflate(), TypeError),
        ('protocols', 5, TypeError), ('protocols', b'x', ValueError), ('allowed_origins', 5, TypeError),
    ])
    def test_raise_at_once(self, name: str, value: Any, error: type[Exception]) -> None:
        with pytest.raises(error, match=f'^{name}: '):
            WebSocket(make_environ(), **{name: value})

    def test_that_are_unknown_raise(self) -> None:
        with pytest.raises(TypeError, match='pong'):
            WebSocket(make_environ(), pong=1)  # type: ignore[call-arg]

    def test_that_cannot_be_compared_by_a_cache_are_named_too(self) -> None:
        with pytest.raises(TypeError, match='^max_length: '):
            WebSocket(make_environ(), max_length=[])  # type: ignore[arg-type]

    def test_have_an_error_with_one_traceback(self) -> None:
        with pytest.raises(TypeError) as raised:
            WebSocket(make_environ(), ping='x')  # type: ignore[arg-type]
        assert raised.value.__context__ is None

    @pytest.mark.parametrize('make', [WebSocket, EventSource, WebSocket.is_websocket, EventSource.is_eventsource])
    @pytest.mark.parametrize(('request_', 'hint'), [
        (SimpleNamespace(environ={}), ': pass its attribute environ, as in request.environ'),
        (SimpleNamespace(environ={}, META={}), ': pass its attribute META, as in request.META'),
        (5, 'got 5')])
    def test_say_what_to_pass_for_an_object_that_is_no_environ(self, make: Any, request_: Any, hint: str) -> None:
        with pytest.raises(TypeError, match=f'^environ: expected the environ of a WSGI request.*{re.escape(hint)}$'):
            make(request_)

    def test_let_an_environ_be_any_mapping(self) -> None:
        assert WebSocket.is_websocket(MappingProxyType(make_environ()))


class TestEnviron:
    """The request, before and after its connection is taken over."""

    def test_is_the_servers_before(self) -> None:
        with joined() as pair:
            assert pair.ws.environ is pair.environ
            assert pair.ws.url == 'ws://example.com/'

    def test_is_the_same_without_the_servers_things_after(self) -> None:
        with joined() as pair:
            pair.environ['app.user'] = user = object()
            before = {name: value for name, value in pair.environ.items() if name != 'gunicorn.socket'}
            ws, _ = pair.open()
            assert ws.url == 'ws://example.com/'
            after = dict(ws.environ)
            assert after['app.user'] is user
            body = after.pop('wsgi.input')
            assert isinstance(body, io.BytesIO)
            assert body.read() == b''
            assert after == before

    def test_outlasts_that_of_uwsgi(self) -> None:
        environ = make_environ(**{'uwsgi.version': b'2'})  # type: ignore[arg-type]
        ws = WebSocket(environ)
        environ.clear()
        assert ws.url == 'ws://example.com/'

    def test_can_be_changed_after(self) -> None:
        with joined() as pair:
            ws, _ = pair.open()
            ws.environ['app.room'] = 'blue'
            assert ws.environ['app.room'] == 'blue'

    @pytest.mark.parametrize(('others', 'url'), [
        ({'wsgi.url_scheme': 'https'}, 'wss://example.com/'),
        ({'HTTP_X_FORWARDED_PROTO': 'https'}, 'wss://example.com/'),
        ({'HTTP_X_FORWARDED_PROTO': 'wss'}, 'wss://example.com/'),
        ({'PATH_INFO': 'http://shop.example/chat', 'RAW_URI': 'http://shop.example/chat'}, 'ws://shop.example/chat'),
        ({'SCRIPT_NAME': '/app', 'PATH_INFO': '/a b', 'QUERY_STRING': 'q=1'}, 'ws://example.com/app/a%20b?q=1')])
    def test_tells_the_url(self, others: dict[str, str], url: str) -> None:
        assert WebSocket({**make_environ(), **others}).url == url


@pytest.mark.proves('H6')
@pytest.mark.parametrize(('others', 'expected'), [
    ({}, True), ({'REQUEST_METHOD': 'POST'}, False), ({'SERVER_PROTOCOL': 'HTTP/1.0'}, False),
    ({'SERVER_PROTOCOL': 'HTTP/2'}, False), ({'HTTP_CONNECTION': 'keep-alive, Upgrade'}, True),
    ({'HTTP_UPGRADE': 'WebSocket'}, True), ({'HTTP_UPGRADE': ''}, False), ({'HTTP_CONNECTION': 'close'}, False)])
def test_is_websocket_looks_at_the_request_only(others: dict[str, str], expected: bool) -> None:
    assert WebSocket.is_websocket({**make_environ(), **others}) is expected
    assert not WebSocket.is_websocket({})
