"""EventSource: its options and commands, and a stream that leaves its server.

The other way is in test_response_carrier.
"""

from __future__ import annotations

import gc
import io
import logging
import math
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
import gevent.ssl
import pytest
from gevent import socket
from gevent.pywsgi import WSGIServer

from faye_websocket import EventSource, close_all, is_eventsource, register_adapter
from faye_websocket.eventsource.response_carrier import ResponseCarrier
from faye_websocket.io.connection import Connection
from faye_websocket.servers.hijack import ADAPTERS
from tests.support.certificates import session_certificate
from tests.support.eventstream import ACCEPT, EventClient, ServerEvent, unchunked
from tests.support.inside import carrier_of
from tests.support.local import (
    Connected,
    Record,
    Response,
    hub_errors,
    make_environ,
    reset,
    run_threads,
    settle,
    tcp_pair,
    wait_until,
)
from tests.support.wire import parse_head

RETRY = b'retry: 5000\r\n'

# The headers that servers add to a head, and the application's middleware.
SERVER_HEADERS = [
    ('Server', 'gunicorn'), ('Connection', 'keep-alive'), ('Transfer-Encoding', 'chunked'), ('Content-Length', '0'),
    ('Content-Encoding', 'gzip'), ('Set-Cookie', 'a=b'), ('Set-Cookie', 'c=d')]


class Pair:
    """An event source whose response has not begun, and a client at the other end."""

    def __init__(self, environ: dict[str, Any] | None = None, buffer_size: int = 0, **options: Any) -> None:
        self.sock, client_sock = tcp_pair(buffer_size)
        self.environ = make_environ(self.sock, ACCEPT, **(environ or {}))
        self.es = EventSource(self.environ, **options)
        self.client = EventClient(Connected(client_sock))  # type: ignore[arg-type]
        self.response = Response()

    def take(self) -> None:
        """Return the event source from a view."""
        assert list(self.es(self.environ, self.response)) == []

    def start(self, status: str = '', headers: Any = SERVER_HEADERS, body: bytes = b'0\r\n\r\n') -> None:
        """Return it from a view whose server writes the response, and finishes."""
        self.take()
        lines = [f'{name}: {value}' for name, value in [*self.response.headers, *headers]]
        head = '\r\n'.join([f'HTTP/1.1 {status or self.response.status}', *lines, '', ''])
        self.sock.sendall(head.encode() + body)
        self.sock.close()

    def open(self) -> tuple[EventSource, EventClient]:
        """Return it from a view, and let the client read the head."""
        self.start()
        # The socket of the other end is not read again.
        self.client.head = self.client.receive_head()
        return self.es, self.client


@contextmanager
def joined(environ: dict[str, Any] | None = None, **options: Any) -> Iterator[Pair]:
    """Yield a pair for this block, during which the hub may report no errors."""
    pair = Pair(environ, **options)
    try:
        with hub_errors() as errors:
            yield pair
            assert errors.getvalue() == '', errors.getvalue()
    finally:
        pair.client.close()
        pair.sock.close()
        settle()


def describe(event: Any) -> tuple[Any, ...]:
    """Return the attributes of a close event."""
    return event.code, event.reason, event.was_clean


class TestOptions:
    """The options of an event source."""

    @pytest.mark.parametrize(('environ', 'url'), [
        ({}, 'http://example.com/'),
        ({'wsgi.url_scheme': 'https', 'QUERY_STRING': 'a=b'}, 'https://example.com/?a=b'),
        ({'PATH_INFO': 'http://shop.example/chat'}, 'http://shop.example/chat'),
        ({'RAW_URI': 'http://shop.example/chat?a', 'PATH_INFO': '/chat', 'QUERY_STRING': 'a'}, 'http://shop.example/chat?a'),
        ({'HTTP_X_FORWARDED_PROTO': 'https', 'SCRIPT_NAME': '/x', 'PATH_INFO': '/ü'}, 'https://example.com/x/%FC')])
    def test_has_the_url_of_the_request(self, environ: dict[str, Any], url: str) -> None:
        assert EventSource(make_environ(None, ACCEPT, **environ)).url == url

    def test_has_the_last_event_id(self) -> None:
        assert EventSource(make_environ(None, ACCEPT)).last_event_id == ''
        assert EventSource(make_environ(None, [('Last-Event-ID', 'ü'.encode().decode('latin-1'))])).last_event_id == 'ü'
        assert EventSource(make_environ(QUERY_STRING='lastEventId=7')).last_event_id == '7'

    @pytest.mark.proves('S7')
    @pytest.mark.parametrize(('options', 'error', 'message'), [
        ({'retry': None}, TypeError, 'retry: expected a number, got None'),
        ({'retry': '5'}, TypeError, "retry: expected a number, got '5'"),
        ({'retry': -1}, ValueError, 'retry: expected at least 0 seconds, got -1'),
        ({'retry': math.nan}, ValueError, 'retry: expected at least 0 seconds, got nan'),
        ({'retry': 10**400}, ValueError, '^retry: the number is too large$'),
        ({'ping': 10**400}, ValueError, '^ping: the number is too large$'),
        ({'max_buffered': 10**400}, ValueError, '^max_buffered: the number is too large$'),
        ({'ping': 0}, ValueError, 'ping: expected more than 0 seconds, or None, got 0'),
        ({'ping': 'x'}, TypeError, "ping: expected a number, got 'x'"),
        ({'max_buffered': -1}, ValueError, 'max_buffered: expected at least 0, got -1'),
        ({'overflow': 'x'}, ValueError, "overflow: expected one of close, drop, block, got 'x'"),
        ({'headers': [('A', 'b\r\nC: d')]}, ValueError,
         'headers: the value of A has a character that is not allowed in a header'),
        ({'headers': {'A b': 'c'}}, ValueError, "headers: 'A b' is not a header name"),
        ({'headers': {'Content-TYPE': 'text/plain', 'connection': 'close'}}, ValueError,
         'headers: an event source sets connection, content-type itself'),
        ({'nothing': 1}, TypeError, 'nothing')])
    def test_an_option_that_cannot_be_is_refused(
            self, options: dict[str, Any], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            EventSource(make_environ(None, ACCEPT), **options)

    @pytest.mark.parametrize('endless', [math.inf, 1e300])
    def test_a_time_without_end_is_a_year(self, endless: float) -> None:
        es = EventSource(make_environ(None, ACCEPT), retry=endless, ping=endless)
        response: Any = es.wsgi_response(Response())
        assert next(response) == b'retry: 31536000000\r\n'
        # Later tests close all sockets, and would wait for this one.
        response.close()

    @pytest.mark.proves('E2')
    @pytest.mark.parametrize('sock', [False, True], ids=['iterable', 'socket'])
    def test_the_head_is_that_of_an_event_stream(self, sock: bool) -> None:
        with joined() as pair:
            es = pair.es if sock else EventSource(make_environ(None, ACCEPT))
            es.wsgi_response(pair.response)
            assert pair.response.status == '200 OK'
            assert pair.response.headers == [
                ('Content-Type', 'text/event-stream'), ('Cache-Control', 'no-cache, no-transform'),
                ('X-Accel-Buffering', 'no'), ('Content-Encoding', 'identity')]

    def test_headers_are_added_and_may_take_the_place_of_a_default(self) -> None:
        response = Response()
        headers = [('Set-Cookie', 'a=b'), ('Set-Cookie', 'c=d'), ('cache-control', 'no-store')]
        EventSource(make_environ(None, ACCEPT), headers=headers).wsgi_response(response)
        assert [pair for pair in response.headers if pair[0].lower() in ('set-cookie', 'cache-control')] == headers

    @pytest.mark.proves('E6')
    def test_recognises_a_request(self) -> None:
        assert is_eventsource(make_environ(None, ACCEPT))
        assert EventSource.is_eventsource(make_environ(None, ACCEPT))
        assert not EventSource.is_eventsource(make_environ())

    def test_the_socket_is_used_where_it_can_be_had(self) -> None:
        with joined() as pair:
            assert isinstance(carrier_of(pair.es), Connection)
            http2 = EventSource({**pair.environ, 'SERVER_PROTOCOL': 'HTTP/2.0'})
            assert isinstance(carrier_of(http2), ResponseCarrier)
        assert isinstance(carrier_of(EventSource(make_environ())), ResponseCarrier)

    def test_an_adapter_opens_another_server(self) -> None:
        sock, other = tcp_pair()
        try:
            register_adapter('another', lambda environ: (sock, b'') if 'another' in environ else None)
            assert isinstance(carrier_of(EventSource(make_environ(another=True))), Connection)
            assert isinstance(carrier_of(EventSource(make_environ())), ResponseCarrier)
        finally:
            del ADAPTERS['another']
            sock.close()
            other.close()

    def test_shows_its_state(self) -> None:
        assert repr(EventSource(make_environ())) == '<EventSource CONNECTING http://example.com/>'


class TestSend:
    """The data that may be sent."""

    @pytest.mark.proves('E1')
    @pytest.mark.parametrize(('arguments', 'expected'), [
        (('hello',), ServerEvent('hello')),
        (('a\nb', 'news', '99'), ServerEvent('a\nb', 'news', '99')),
        ((1, 2, 3), ServerEvent('1', '2', '3')),
        ((1.5, '', ''), ServerEvent('1.5')),
        (('',), ServerEvent(''))])
    def test_the_client_reads_it(self, arguments: tuple[Any, ...], expected: ServerEvent) -> None:
        with joined() as pair:
            es, client = pair.open()
            assert es.send(*arguments)
            assert client.receive_event() == expected

    @pytest.mark.parametrize(('arguments', 'name'), [
        ((b'x',), 'data'), ((None,), 'data'), ((True,), 'data'), (('x', b'x'), 'event'), (('x', None, []), 'id')])
    def test_anything_else_raises(self, arguments: tuple[Any, ...], name: str) -> None:
        with pytest.raises(TypeError, match=f'{name}: expected a str or a number, got '):
            EventSource(make_environ()).send(*arguments)

    @pytest.mark.proves('S7')
    @pytest.mark.parametrize('value', ['a\nb', 'a\rb', 'a\0b'])
    def test_an_injection_raises(self, value: str) -> None:
        es = EventSource(make_environ())
        with pytest.raises(ValueError, match='event: expected no CR, LF or NUL'):
            es.send('x', event=value)
        with pytest.raises(ValueError, match='id: expected no CR, LF or NUL'):
            es.send('x', id=value)
        assert es.buffered_amount == 0


class TestHead:
    """A stream that the server begins, and this library continues."""

    @pytest.mark.proves('E2')
    def test_keeps_what_others_have_put_into_it_and_ends_with_the_connection(self) -> None:
        with joined() as pair:
            _, client = pair.open()
            assert client.head is not None
            assert client.head.status_line == 'HTTP/1.1 200 OK'
            assert client.head.headers == [
                ('Content-Type', 'text/event-stream'), ('Cache-Control', 'no-cache, no-transform'),
                ('X-Accel-Buffering', 'no'), ('Server', 'gunicorn'), ('Set-Cookie', 'a=b'), ('Set-Cookie', 'c=d'),
                ('Connection', 'close')]

    @pytest.mark.proves('E2')
    def test_head_and_retry_come_in_one_write(self) -> None:
        with joined() as pair:
            pair.start()
            assert pair.client.socket.recv(65536).endswith(b'\r\n\r\n' + RETRY)

    def test_nothing_that_the_server_writes_follows(self) -> None:
        with joined() as pair:
            pair.start(body=b'a body')
            pair.es.close()
            assert pair.client.read_to_eof().endswith(b'\r\n\r\n' + RETRY)

    @pytest.mark.parametrize(('status', 'headers'), [
        ('500 Internal Server Error', []), ('304 Not Modified', [])])
    def test_another_answer_of_the_servers_is_what_the_client_gets(self, status: str, headers: Any) -> None:
        with joined() as pair:
            record = Record(pair.es)
            pair.start(status, [('Content-Length', '4')], b'body')
            head, _, body = pair.client.read_to_eof().partition(b'\r\n\r\n')
            assert (parse_head(head).status_line, parse_head(head).get('Connection')) == (f'HTTP/1.1 {status}', 'close')
            assert body == b'body'
            assert record.the_close().code == 1006
            assert record.types == ['error', 'close']

    def test_a_response_of_another_type_is_another_answer(self) -> None:
        with joined() as pair:
            pair.take()
            pair.sock.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nHello')
            pair.sock.close()
            assert pair.client.read_to_eof().endswith(b'\r\n\r\nHello')
            wait_until(lambda: pair.es.ready_state == EventSource.CLOSED)

    @pytest.mark.proves('L2')
    def test_a_server_that_answers_nothing_ends_it(self) -> None:
        with joined() as pair:
            record = Record(pair.es)
            pair.take()
            pair.sock.close()
            assert pair.client.read_to_eof() == b''
            assert record.the_close().code == 1006

    def test_returning_it_twice_takes_the_socket_once(self) -> None:
        with joined() as pair:
            pair.take()
            pair.start()
            pair.es.close()
            assert pair.client.read_to_eof().count(RETRY) == 1


class TestConnecting:
    """Before the response has begun."""

    def test_what_is_sent_follows_the_head(self) -> None:
        with joined() as pair:
            assert pair.es.send('a', id='1')
            assert (pair.es.ready_state, pair.es.buffered_amount) == (EventSource.CONNECTING, 18)
            assert pair.es.ping()
            es, client = pair.open()
            assert client.receive_event() == ServerEvent('a', 'message', '1')
            assert (es.ready_state, es.buffered_amount) == (EventSource.OPEN, 0)

    @pytest.mark.proves('L2')
    def test_closing_ends_the_stream_behind_what_was_sent(self) -> None:
        with joined() as pair:
            record = Record(pair.es)
            pair.es.send('a')
            pair.es.close()
            assert not pair.es.send('b')
            pair.start()
            assert pair.client.read_to_eof().endswith(RETRY + b'data: a\r\n\r\n')
            assert describe(record.the_close()) == (1000, '', True)

    def test_may_have_no_limits_at_all(self) -> None:
        with joined(max_buffered=math.inf, ping=math.inf) as pair:
            pair.start()
            assert pair.es.send('x' * 900_000) is True
            pair.es.close()
            assert pair.client.read_to_eof().endswith(b'x' * 900_000 + b'\r\n\r\n')
        es = EventSource(make_environ(None, ACCEPT), max_buffered=math.inf, ping=math.inf)
        es.send('x')
        es.close()
        assert b''.join(es.wsgi_response(Response())).endswith(b'data: x\r\n\r\n')

    @pytest.mark.proves('L2')
    def test_too_much_ends_the_connection(self) -> None:
        with joined(max_buffered=1000) as pair:
            record = Record(pair.es)
            assert [pair.es.send('x' * 900), pair.es.send('x' * 900)] == [True, False]
            pair.start()
            assert pair.client.read_to_eof() == b''
            assert describe(record.the_close()) == (1013, 'slow consumer', False)

    def test_it_ends_at_once_while_all_are_closed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr('faye_websocket.eventsource.socket_carrier.register', lambda socket: True)
        with joined() as pair:
            record = Record(pair.es)
            pair.start()
            assert pair.client.read_to_eof().endswith(RETRY)
            assert record.the_close().code == 1001


class TestOpen:
    """While events are sent."""

    def test_a_ping_is_a_comment(self) -> None:
        with joined() as pair:
            es, client = pair.open()
            assert es.ping()
            assert client.receive_comment() == ''

    def test_pings_go_out_and_nobody_waits_for_an_answer(self) -> None:
        with joined(ping=0.05) as pair:
            record, began = Record(pair.es), time.monotonic()
            _, client = pair.open()
            client.receive_comment(4)
            assert 0.19 <= time.monotonic() - began < 2
            assert record.types == ['open']

    @pytest.mark.proves('C1')
    def test_a_thread_can_do_everything(self) -> None:
        with joined() as pair:
            record = Record(pair.es)
            es, client = pair.open()
            answers: list[bool] = []
            run_threads(lambda: answers.extend([es.send('a'), es.ping()]))
            assert client.receive_event().data == 'a'
            client.receive_comment()
            run_threads(es.close)
            client.read_to_eof()
            assert answers == [True, True]
            assert describe(record.the_close()) == (1000, '', True)

    @pytest.mark.proves('C1')
    @pytest.mark.threads
    def test_greenlets_and_threads_send_whole_events_in_order(self) -> None:
        with joined() as pair:
            es, client = pair.open()

            def send(name: str) -> None:
                for number in range(500):
                    assert es.send(f'{name}\n{number}')

            greenlets = [gevent.spawn(send, f'greenlet {name}') for name in range(10)]
            run_threads(*(lambda name=name: send(f'thread {name}') for name in range(4)))
            gevent.joinall(greenlets, raise_error=True)
            es.close()
            client.read_to_eof()
            events = [event.data.split('\n') for event in client.stream.events]
            for name in {name for name, _ in events}:
                assert [int(number) for sender, number in events if sender == name] == list(range(500))
            assert len(events) == 14 * 500

    def test_what_the_client_sends_is_ignored(self) -> None:
        with joined() as pair:
            es, client = pair.open()
            client.send(b'GET /smuggled HTTP/1.1\r\nHost: example.com\r\n\r\n')
            settle()
            es.send('a')
            assert client.receive_event().data == 'a'

    @pytest.mark.proves('L8')
    def test_a_late_handler_gets_what_it_missed(self) -> None:
        with joined() as pair:
            es, client = pair.open()
            settle()
            record = Record(es)
            record.wait('open')
            client.close()
            assert record.the_close().code == 1006

    @pytest.mark.proves('C2')
    @pytest.mark.parametrize('handler', ['onopen', 'onclose'])
    def test_a_fault_of_a_handler_is_logged_once(self, handler: str, caplog: pytest.LogCaptureFixture) -> None:
        def fail(event: object) -> None:
            raise ValueError('a fault')

        with joined() as pair, caplog.at_level(logging.ERROR, 'faye_websocket'):
            record = Record(pair.es, ('close',))
            setattr(pair.es, handler, fail)
            _, client = pair.open()
            if handler == 'onclose':
                client.close()
            else:
                client.read_to_eof()
            wait_until(lambda: caplog.records)
            settle()
            assert [line.getMessage() for line in caplog.records] == [f'{handler[2:]} handler of http://example.com/ raised']
            if handler == 'onopen':
                assert describe(record.the_close()) == (1011, 'internal error', True)


class TestClosing:
    """The end by us, or by the client."""

    @pytest.mark.proves('L2')
    def test_the_end_follows_what_was_sent(self) -> None:
        with joined() as pair:
            record = Record(pair.es)
            es, client = pair.open()
            es.send('a')
            es.close()
            es.close()
            assert client.read_to_eof().endswith(b'data: a\r\n\r\n')
            assert not client.was_reset
            assert describe(record.the_close()) == (1000, '', True)
            assert not es.send('b')
            assert not es.ping()

    @pytest.mark.proves('E4', 'L2')
    @pytest.mark.parametrize('silent', [True, False], ids=['silent', 'sending'])
    @pytest.mark.parametrize('end', [EventClient.close, EventClient.finish_sending, reset], ids=['close', 'FIN', 'RST'])
    def test_a_client_that_is_gone_is_noticed(self, end: Any, silent: bool) -> None:
        with joined() as pair:
            record = Record(pair.es)
            es, client = pair.open()
            if end is EventClient.finish_sending:
                client.socket._sock.shutdown(socket.SHUT_WR)  # type: ignore[attr-defined]
            else:
                end(client)
            if not silent:
                es.send('a')
            began = time.monotonic()
            event = record.the_close()
            assert (event.code, event.was_clean) == (1006, False)
            assert time.monotonic() - began < 1

    def test_close_all_closes_it(self) -> None:
        with joined() as pair:
            record = Record(pair.es)
            _, client = pair.open()
            close_all(timeout=5)
            assert describe(record.the_close()) == (1001, '', True)
            assert client.read_to_eof().endswith(RETRY)

    @pytest.mark.proves('H9')
    def test_nothing_of_it_is_left(self) -> None:
        def handler(event: object) -> None:
            """Do nothing, and live as long as the event source."""

        with joined() as pair:
            pair.es.onclose = handler
            reference = weakref.ref(handler)
            _, client = pair.open()
            client.close()
            es = pair.es
            wait_until(lambda es=es: es.ready_state == EventSource.CLOSED)
            settle()
        del es, pair, client, handler, _
        gc.collect()
        assert reference() is None


class TestOverflow:
    """A client that does not read."""

    def stalled(self, pair: Pair) -> EventSource:
        """Return an open event source for which the kernel accepts nothing more."""
        es, _ = pair.open()
        while not es.buffered_amount:
            es.send('x' * 10_000)
            gevent.sleep(0)
        return es

    @pytest.mark.proves('B3')
    def test_close_drops_what_waits_and_says_why(self) -> None:
        with joined(buffer_size=4096, max_buffered=200_000) as pair:
            record = Record(pair.es)
            es = self.stalled(pair)
            while es.send('x' * 10_000):
                assert es.buffered_amount <= 200_000
            assert pair.client.read_to_eof().endswith(b'x\r\n\r\n: slow consumer\r\n')
            assert describe(record.the_close()) == (1013, 'slow consumer', False)
            assert set(pair.client.stream.events) == {ServerEvent('x' * 10_000)}

    @pytest.mark.proves('B1', 'B2')
    def test_drop_answers_false_until_the_client_has_caught_up(self) -> None:
        with joined(buffer_size=4096, max_buffered=200_000, overflow='drop') as pair:
            record = Record(pair.es)
            es, sent = self.stalled(pair), 0
            while es.send(f'{sent}\n' + 'x' * 10_000):
                sent += 1
            while len(pair.client.stream.events) < sent:
                pair.client._read(time.monotonic() + 5)
            record.wait('drain')
            assert es.send('after')
            wait_until(lambda: es.buffered_amount == 0)
            numbers = [event.data.split('\n')[0] for event in pair.client.stream.events if '\n' in event.data]
            assert numbers == [str(number) for number in range(len(numbers))]

    @pytest.mark.proves('B1')
    def test_block_waits_for_the_client(self) -> None:
        with joined(buffer_size=4096, max_buffered=100_000, overflow='block') as pair:
            es, client = pair.open()

            def send() -> None:
                for _ in range(100):
                    assert es.send('x' * 10_000)
                es.close()

            sender = gevent.spawn(send)
            client.read_to_eof()
            sender.get(timeout=5)
            assert len(client.stream.events) == 100

    @pytest.mark.proves('L7')
    def test_pings_do_not_pile_up(self) -> None:
        with joined(buffer_size=4096, max_buffered=500_000) as pair:
            es = self.stalled(pair)
            before = es.buffered_amount
            for _ in range(100):
                es.ping()
            assert es.buffered_amount == before + len(b':\r\n')


class TestServer:
    """gevent.pywsgi, with a real server."""

    @contextmanager
    def serve(self, tls: bool = False, **options: Any) -> Iterator[tuple[Any, list[EventSource], io.StringIO]]:
        """Run a server whose every response is an event source."""
        sources: list[EventSource] = []
        log, errors = io.StringIO(), io.StringIO()
        certificate = session_certificate()
        if tls:
            context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certfile, certificate.keyfile)
            options['ssl_context'] = context

        def app(environ: dict[str, Any], start_response: Any) -> Any:
            sources.append(EventSource(environ))
            return sources[-1](environ, start_response)

        server = WSGIServer(('127.0.0.1', 0), app, log=log, error_log=errors, **options)
        server.start()
        try:
            with hub_errors() as hub:
                yield server, sources, log
                assert errors.getvalue() + hub.getvalue() == ''
        finally:
            server.stop(timeout=1)

    def connect(self, server: Any, tls: bool = False) -> EventClient:
        """Return a client of the server."""
        sock = socket.create_connection(('127.0.0.1', server.server_port), 10)
        if tls:
            context = gevent.ssl.SSLContext(gevent.ssl.PROTOCOL_TLS_CLIENT)
            context.load_verify_locations(session_certificate().authority)
            sock = context.wrap_socket(sock, server_hostname='127.0.0.1')
        return EventClient(Connected(sock)).open()  # type: ignore[arg-type]

    @pytest.mark.parametrize('tls', [False, True], ids=['plain', 'tls'])
    def test_events_come_and_the_end(self, tls: bool) -> None:
        with self.serve(tls) as (server, sources, log):
            client = self.connect(server, tls)
            assert client.head is not None
            assert not client.head.names() & {'content-length', 'transfer-encoding', 'content-encoding'}
            sources[0].send('a')
            assert client.receive_event().data == 'a'
            sources[0].close()
            client.read_to_eof()
            client.close()
            assert ' 200 ' in log.getvalue()
            assert log.getvalue().count('\n') == 1

    @pytest.mark.proves('F2')
    def test_the_server_has_let_go_of_the_request(self) -> None:
        with self.serve() as (server, sources, log):
            client = self.connect(server)
            wait_until(log.getvalue, 'the line in the log')
            assert sources[0].ready_state == EventSource.OPEN
            client.close()
            wait_until(lambda: sources[0].ready_state == EventSource.CLOSED)


def test_a_chunked_body_is_put_together() -> None:
    assert unchunked(b'3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n') == b'abcde'
