"""The client: from its URL to its last event, against scripted servers and proxies."""

from __future__ import annotations

import gc
import math
import os
import re
import socket as std_socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent import socket

from faye_websocket import Client, PermessageDeflate, WebSocket
from faye_websocket.errors import ConnectError, HandshakeError
from tests.support.certificates import (
    WRONG,
    client_certificate,
    session_certificate,
    wrong_certificate,
)
from tests.support.inside import connecting_of, connection_of
from tests.support.local import (
    Record,
    full_listener,
    hub_errors,
    run_threads,
    serve,
    settle,
    tcp_pair,
    wait_until,
)
from tests.support.scripted import (
    acceptance,
    accepting,
    answering,
    closing,
    read_head,
    resetting,
    scripted,
    silent,
    tunnelling,
)
from tests.support.wire import BINARY, CLOSE, PING, TEXT, serialize_frame

#: K1 asks for 10,000.
CONNECTS = int(os.environ.get('FAYE_TEST_CONNECTS', '200'))
#: Seconds, far fewer than any deadline.
SHORT = 0.1
HELLO = serialize_frame(TEXT, b'hello', masked=False)

def trusted() -> dict[str, str]:
    """Return the option that trusts the certificate that openssl made for this run."""
    return {'root_cert_file': session_certificate().authority}


@pytest.fixture(autouse=True)
def no_errors_of_the_hub() -> Iterator[None]:
    """A hub in which no greenlet fails."""
    with hub_errors() as errors:
        yield
    settle()
    assert errors.getvalue() == ''


def connect(url: str, *arguments: Any, **options: Any) -> Record:
    """Return the record of a new client, which is its ``ws``."""
    return Record(Client(url, *arguments, **options))  # type: ignore[arg-type]


def failure(record: Record) -> str:
    """Return the error of a client that could not connect."""
    event = record.the_close()
    assert record.types == ['error', 'close'], record
    error = record.events[0]
    assert (event.code, event.reason, event.was_clean) == (1006, error.message, False)
    assert str(error.error) == error.message
    assert record.ws.ready_state == Client.CLOSED
    assert record.ws.send('late') is False
    return str(error.message)


def fails(url: str, **options: Any) -> str:
    """Return the error of a new client that cannot connect."""
    return failure(connect(url, **options))


def finish(record: Record) -> None:
    """Close an open client, cleanly."""
    record.wait('open')
    record.ws.close()
    event = record.the_close()
    assert (event.code, event.was_clean) == (1005, True) or event.code == 1000, record


def echo(ws: WebSocket) -> None:
    """Echo every message."""
    ws.on('message', lambda event: ws.send(event.data))


@contextmanager
def echo_server(setup: Callable[[WebSocket], object] = echo, *, scheme: str = 'ws', **options: Any) -> Iterator[Any]:
    """Run a server of this library, with its ``url``."""
    with serve(setup, tls=scheme == 'wss', **options) as server:
        server.url = f'{scheme}://localhost:{server.wsgi.server_port}/'  # type: ignore[attr-defined]
        yield server


def unused_port() -> int:
    """Return a port at which nothing listens."""
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return int(sock.getsockname()[1])


def descriptors() -> int:
    """Count the descriptors of this process."""
    return len(os.listdir('/proc/self/fd'))


def greenlets() -> int:
    """Count the greenlets that are not dead."""
    gc.collect()
    return sum(1 for each in gc.get_objects() if issubclass(type(each), gevent.Greenlet) and not each.dead)


class TestArguments:
    @pytest.mark.proves('K4', 'K6', 'S7')
    @pytest.mark.parametrize(('url', 'options', 'error', 'text'), [
        ('http://h/', {}, ValueError, "url: the scheme must be ws or wss, not 'http'"),
        ('ws://h/#x', {}, ValueError, "url: 'ws://h/#x' has a fragment"),
        (None, {}, TypeError, 'url: expected a str, got None'),
        ('ws://h/', {'protocols': ['a b']}, ValueError, "protocols: 'a b' is not a subprotocol name"),
        ('ws://h/', {'protocols': 'a, a'}, ValueError, 'protocols: a subprotocol is named more than once'),
        ('ws://h/', {'headers': {'Host': 'x'}}, ValueError, 'headers: Host is set by the handshake'),
        ('ws://h/', {'headers': {'X': 'a\r\nB: c'}}, ValueError,
         "headers: the value of X has a character that is not allowed in a header: 'a\\r\\nB: c'"),
        ('ws://h/', {'headers': ['X']}, TypeError, "headers: expected pairs of strings, got 'X'"),
        ('ws://h/', {'tls': {'verify': False, 'a': 1}}, TypeError, "tls: unknown option 'a', 'verify'"),
        ('ws://h/', {'max_redirects': 1.5}, ValueError, 'max_redirects: expected a whole number, got 1.5'),
        ('ws://h/', {'tls': 5}, TypeError, 'tls: expected an ssl.SSLContext or a dict, got 5'),
        ('ws://h/', {'tls': {'server_hostname': 5}}, TypeError, 'tls: expected a str as server_hostname, got 5'),
        ('ws://h/', {'tls': {'root_cert_file': 5}}, TypeError,
         'tls: expected the path of a file, or a list of them, as root_cert_file, got 5'),
        ('ws://h/', {'tls': {'root_cert_file': [5]}}, TypeError, 'tls: expected the path of a file as root_cert_file, got 5'),
        ('ws://h/', {'tls': {'cert_file': 5}}, TypeError, 'tls: expected the path of a file as cert_file, got 5'),
        ('ws://h/', {'protocols': 5}, TypeError, 'protocols: expected a list of names or a str, got 5'),
        ('ws://h/', {'extensions': 5}, TypeError, 'extensions: expected a list such as [PermessageDeflate()], got 5'),
        ('ws://h/', {'headers': 5}, TypeError, 'headers: expected a mapping or a list of pairs, got 5'),
        ('ws://h/', {'proxy': 5}, TypeError, "proxy: expected a URL, a dict, 'env' or None, got 5"),
        ('ws://h/', {'proxy': {'origin': 5}}, TypeError, 'proxy: url: expected a str, got 5'),
        ('ws://h/', {'tls': {'key_file': 'x'}}, ValueError, 'tls: key_file needs cert_file'),
        ('ws://h/', {'socket': 'x'}, TypeError, "socket: expected a connected socket, got 'x'"),
        ('ws://h/', {'socket_path': 5}, TypeError, 'socket_path: expected a str, got 5'),
        ('ws://h/', {'socket_path': 'a\0b'}, ValueError, "socket_path: 'a\\x00b' has a NUL in it"),
        ('ws://h/', {'socket_path': b'a\0b'}, ValueError, "socket_path: b'a\\x00b' has a NUL in it"),
        ('ws://h/', {'proxy': {'url': 'x'}}, TypeError, "proxy: unknown option 'url'"),
        ('ws://h/', {'proxy': {}}, ValueError, 'proxy: origin is missing'),
        ('ws://h/', {'proxy': 'socks5://p'}, ValueError, "proxy: url: the scheme must be http or https, not 'socks5'"),
        ('ws://h/', {'proxy': {'origin': 'http://p', 'headers': {'X': '\0'}}}, ValueError,
         "headers: the value of X has a character that is not allowed in a header: '\\x00'"),
        ('ws://h/', {'ping': 0}, ValueError, 'ping: expected more than 0 seconds, or None, got 0'),
        ('ws://h/', {'overflow': 'x'}, ValueError, "overflow: expected one of close, drop, block, got 'x'"),
    ])
    def test_are_checked_at_once(self, url: Any, options: dict[str, Any], error: Any, text: str) -> None:
        with pytest.raises(error) as raised:
            Client(url, **options)
        assert str(raised.value) == text

    def test_of_another_name_are_refused(self) -> None:
        with pytest.raises(TypeError):
            Client('ws://h/', nonsense=1)  # type: ignore[call-arg]

    def test_of_tls_must_be_files(self, tmp_path: Path) -> None:
        with pytest.raises(OSError):
            Client('wss://h/', tls={'root_cert_file': str(tmp_path / 'missing')})

    def test_are_where_the_servers_class_says(self) -> None:
        assert WebSocket.Client is Client


class TestConnecting:
    def test_is_done_in_the_background(self) -> None:
        with echo_server() as server:
            record = connect(server.url)
            assert (record.ws.ready_state, record.ws.status, record.ws.headers.pairs()) == (Client.CONNECTING, None, [])
            assert record.types == []
            record.wait('open')
            assert (record.ws.ready_state, record.ws.status) == (Client.OPEN, 101)
            assert record.ws.headers['upgrade'] == 'websocket'
            assert [*record.ws.headers] == ['Upgrade', 'Connection', 'Sec-WebSocket-Accept']
            assert (record.ws.url, record.ws.version, record.ws.extensions) == (server.url, 'hybi-13', '')
            assert repr(record.ws) == f'<Client hybi-13 OPEN {server.url}>'
            finish(record)

    @pytest.mark.parametrize('options', [
        {}, {'no_context_takeover': True, 'request_no_context_takeover': True}, {'max_window_bits': 9, 'mem_level': 1}])
    def test_agrees_on_extensions(self, options: dict[str, Any]) -> None:
        deflate = PermessageDeflate(threshold=0, **options)
        with echo_server(extensions=[PermessageDeflate()]) as server:
            record = connect(server.url, extensions=iter([deflate]))
            record.wait('open')
            assert record.ws.extensions == server.ws.extensions == record.ws.headers['Sec-WebSocket-Extensions']
            assert record.ws.extensions.startswith('permessage-deflate')
            for message in ('a' * 1000, b'b' * 1000, '', 'a' * 1000):
                record.ws.send(message)
            record.wait('message', 4)
            assert record.messages == ['a' * 1000, b'b' * 1000, '', 'a' * 1000]
            finish(record)

    @pytest.mark.proves('D2')
    def test_says_what_is_wrong_with_the_answer_to_its_extensions(self) -> None:
        with scripted(accepting(b'', 'Sec-WebSocket-Extensions: foo')) as server:
            assert fails(server.url, extensions=[PermessageDeflate()]).endswith(
                "expected Sec-WebSocket-Extensions to accept 'permessage-deflate; client_max_window_bits', got 'foo': "
                'foo was not offered, or is accepted twice')

    @pytest.mark.parametrize('extensions', [[PermessageDeflate], 'deflate', None])
    def test_refuses_what_are_no_extensions(self, extensions: Any) -> None:
        with pytest.raises(TypeError):
            Client('ws://127.0.0.1/', extensions=extensions)

    def test_offers_extensions_to_where_it_is_redirected(self) -> None:
        with echo_server(extensions=[PermessageDeflate()]) as server:
            location = f'Location: {server.url}\r\n'.encode()
            with scripted(answering(b'HTTP/1.1 302 Found\r\n' + location + b'Content-Length: 0\r\n\r\n')) as first:
                record = connect(first.url, extensions=[PermessageDeflate()], max_redirects=1)
                record.wait('open')
                assert record.ws.extensions == 'permessage-deflate'
                finish(record)

    def test_queues_what_is_sent(self) -> None:
        with echo_server() as server:
            record = connect(server.url)
            for message in ('one', b'two', 'three'):
                assert record.ws.send(message) is True
            assert record.ws.buffered_amount == 11
            record.wait('message', 3)
            assert record.messages == ['one', b'two', 'three']
            finish(record)

    def test_agrees_on_a_subprotocol(self) -> None:
        with echo_server(protocols=['b']) as server:
            record = connect(server.url, 'a, b')
            record.wait('open')
            assert record.ws.protocol == 'b'
            finish(record)

    def test_sends_headers_and_credentials(self) -> None:
        with scripted(accepting()) as server:
            finish(connect(server.url.replace('//', '//b%6Fb:s%20s@'), headers=[('X-A', '1')]))
            assert server.headers()['x-a'] == '1'
            assert server.headers()['authorization'] == 'Basic Ym9iOnMgcw=='

    @pytest.mark.proves('K1')
    def test_loses_nothing_behind_the_response(self) -> None:
        with scripted(accepting(HELLO + serialize_frame(CLOSE, b'\x03\xe8', masked=False))) as server:
            for _ in range(CONNECTS):
                ws = Client(server.url)
                assert list(ws) == ['hello']

    @pytest.mark.proves('K3')
    def test_tries_every_address(self) -> None:
        with echo_server() as server:
            assert 'localhost' in server.url
            finish(connect(server.url))

    @pytest.mark.proves('K2')
    def test_tells_of_every_address(self) -> None:
        port = unused_port()
        text = fails(f'ws://localhost:{port}/')
        assert text.startswith(f'connecting to localhost:{port} failed: ')
        assert '127.0.0.1: [Errno 111] Connection refused' in text

    @pytest.mark.proves('K2')
    def test_tells_of_a_refusal(self) -> None:
        port = unused_port()
        record = connect(f'ws://127.0.0.1:{port}/')
        assert failure(record) == f'connecting to 127.0.0.1:{port} failed: 127.0.0.1: [Errno 111] Connection refused'
        assert isinstance(record.events[0].error, ConnectError)
        assert record.ws.status is None

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize('host', ['nosuch.invalid', 'a..b', 'x' * 64 + '.example'])
    def test_tells_of_a_name_that_is_not_found(self, host: str) -> None:
        assert fails(f'ws://{host}/').startswith(f'name resolution of {host} failed: ')

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize(('response', 'status', 'text'), [
        (b'HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n', 301, 'expected status 101, got 301 Moved'),
        (b'HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno', 401, 'expected status 101, got 401 Unauthorized'),
        (b'HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n', 403, 'expected status 101, got 403 Forbidden'),
        (b'HTTP/1.1 404 Not Found\r\n\r\n' + b'x' * 2000, 404, 'expected status 101, got 404 Not Found'),
        (b'HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n', 500, 'expected status 101, got 500 Oops'),
        (b'HTTP/1.1 101 OK\r\n\r\n', 101, 'expected Upgrade to be websocket, got None'),
    ])
    def test_tells_of_a_response(self, response: bytes, status: int, text: str) -> None:
        with scripted(answering(response)) as server:
            record = connect(server.url)
            assert failure(record) == f'handshake failed: {text}'
            assert record.ws.status == status
            assert isinstance(record.events[0].error, HandshakeError)

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize(('response', 'text'), [
        (b'220 mail.example.com\r\n\r\n', "expected an HTTP response, got '220 mail.example.com'"),
        (b'x' * 40000, 'head is longer than 32768 bytes'),
        (b'HTTP/1.1 101 OK\r\n' + b'A: b\r\n' * 101 + b'\r\n', 'head has more than 100 headers'),
    ])
    def test_tells_of_garbage(self, response: bytes, text: str) -> None:
        with scripted(answering(response)) as server:
            assert fails(server.url) == text

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize('response', [b'', b'HTTP/1.1 101 Sw'])
    def test_tells_of_the_end(self, response: bytes) -> None:
        with scripted(answering(response, closes=True)) as server:
            assert fails(server.url) == 'handshake failed: the connection was closed before a response arrived'

    @pytest.mark.proves('K9')
    @pytest.mark.parametrize(
        'interim',
        [
            b'100 Continue',
            b'102 Processing',
            b'103 Early Hints\r\nLink: </a>;\r\n rel=x',
        ],
    )
    def test_passes_over_interim_responses(self, interim: bytes) -> None:
        def answer(sock: Any, head: bytes) -> None:
            sock.sendall(b'HTTP/1.1 ' + interim + b'\r\n\r\n')
            accepting(HELLO)(sock, head)

        with scripted(answer) as server:
            record = connect(server.url)
            record.wait('message')
            assert (record.messages, record.ws.status) == (['hello'], 101)

    @pytest.mark.proves('K3', 'S9')
    def test_waits_for_the_response_behind_interim_ones_no_longer_than_for_any(
        self,
    ) -> None:
        with scripted(answering(b'HTTP/1.1 102 Processing\r\n\r\n')) as server:
            assert fails(server.url, timeout=0.2) == 'handshake failed: handshake timeout before a response arrived'

    def test_fails_when_the_server_names_no_subprotocol(self) -> None:
        with echo_server() as server:
            assert fails(server.url, protocols=['a']) == (
                'handshake failed: expected Sec-WebSocket-Protocol to be a, got None')

    def test_tells_of_a_subprotocol_that_was_not_offered(self) -> None:
        with scripted(accepting(b'', 'Sec-WebSocket-Protocol: c')) as server:
            assert fails(server.url, protocols=['a']) == (
                "handshake failed: expected Sec-WebSocket-Protocol to be a, got 'c'")

    @pytest.mark.proves('L2')
    @pytest.mark.parametrize('wait', [lambda record: None, lambda record: settle(), lambda record: gevent.sleep(0)])
    def test_fails_when_it_is_closed(self, wait: Callable[[Record], object]) -> None:
        with scripted(silent) as server:
            record = connect(server.url)
            wait(record)
            record.ws.close()
            record.ws.close(3000, 'again')
            assert failure(record) == 'closed before the connection was established'

    @pytest.mark.proves('L2')
    def test_fails_once_when_it_is_closed_during_the_handshake(self) -> None:
        with scripted(silent) as server:
            record = connect(server.url)
            wait_until(lambda: server.heads)
            record.ws.close()
            assert failure(record) == 'closed before the connection was established'

    @pytest.mark.proves('L2')
    @pytest.mark.threads
    def test_fails_once_when_it_is_closed_from_other_threads(self) -> None:
        with scripted(silent) as server:
            record = connect(server.url)
            run_threads(*[record.ws.close] * 4)
            assert failure(record) == 'closed before the connection was established'

    @pytest.mark.proves('L2')
    def test_fails_when_it_is_closed_within_the_connection_phase(self) -> None:
        with full_listener() as port:
            record = connect(f'ws://127.0.0.1:{port}/')
            settle()
            record.ws.close()
            assert failure(record) == 'closed before the connection was established'

    def test_lets_go_of_a_socket_that_comes_too_late(self) -> None:
        with scripted(silent) as server:
            record = connect(server.url)
            # Connecting has begun.
            gevent.sleep(0)
            # The exception may arrive after the event that wakes the connecting
            # greenlet.
            connection_of(record.ws).give_up(ConnectError('too late'))
            assert failure(record) == 'too late'
            wait_until(lambda: connecting_of(record.ws).dead)
            assert connecting_of(record.ws).successful()
            settle()
            assert server.heads == []

    def test_is_left_to_a_timeout_of_somebody_else(self) -> None:
        with full_listener() as port:
            record = connect(f'ws://127.0.0.1:{port}/')
            settle()
            foreign = gevent.Timeout(60)
            with hub_errors() as errors:
                connecting_of(record.ws).kill(foreign)
            assert 'Timeout' in errors.getvalue()
            record.ws.close()
            failure(record)

    @pytest.mark.parametrize('code', [1001, 1002, 1005, 1006, 1011, 1015, 2999, 5000])
    def test_may_be_closed_with_the_codes_of_a_client_only(self, code: int) -> None:
        with scripted(silent) as server:
            record = connect(server.url)
            with pytest.raises(ValueError, match=f'^code: {code} cannot be sent by an application$'):
                record.ws.close(code)
            with pytest.raises(ValueError, match='^reason: '):
                record.ws.close(1000, 'x' * 124)
            record.ws.close()
            failure(record)


class TestTimeout:
    def assert_times_out(self, url: str, text: str, **options: Any) -> None:
        """Assert that connecting fails in time."""
        start = time.monotonic()
        assert text in fails(url, timeout=SHORT, **options)
        assert SHORT * 0.9 <= time.monotonic() - start < 10 * SHORT

    @pytest.mark.parametrize('endless', [math.inf, 1e300])
    def test_may_be_without_end(self, endless: float) -> None:
        with scripted(accepting(HELLO)) as server:
            record = connect(server.url, timeout=endless, ping=endless, close_timeout=endless)
            assert record.wait('message').data == 'hello'
            finish(record)

    @pytest.mark.proves('K3')
    def test_covers_the_handshake(self) -> None:
        with scripted(silent) as server:
            self.assert_times_out(server.url, 'handshake failed: handshake timeout before a response arrived')

    @pytest.mark.proves('K3')
    def test_covers_a_response_that_does_not_end(self) -> None:
        with scripted(answering(b'HTTP/1.1 503 Busy\r\nA: ')) as server:
            self.assert_times_out(server.url, 'handshake failed: handshake timeout before a response arrived')

    @pytest.mark.proves('K3')
    def test_covers_a_body_that_does_not_end(self) -> None:
        with scripted(answering(b'HTTP/1.1 503 Busy\r\n\r\nwait')) as server:
            self.assert_times_out(server.url, 'handshake failed: expected status 101, got 503 Busy')

    @pytest.mark.proves('K3')
    def test_covers_tls(self) -> None:
        with scripted(silent, reads_head=False) as server:
            self.assert_times_out(server.url.replace('ws', 'wss'), 'TLS handshake with 127.0.0.1 timed out')

    @pytest.mark.proves('K3')
    def test_covers_the_proxy(self) -> None:
        with scripted(silent) as proxy:
            for url in ('ws://example.com/', 'wss://example.com/'):
                self.assert_times_out(url, f'the proxy 127.0.0.1:{proxy.port} timed out', proxy=proxy.origin)

    @pytest.mark.proves('K3')
    def test_covers_tls_with_the_proxy(self) -> None:
        with scripted(silent, reads_head=False) as proxy:
            origin = proxy.origin.replace('http', 'https')
            self.assert_times_out('ws://example.com/', 'TLS handshake with the proxy 127.0.0.1 timed out', proxy=origin)

    @pytest.mark.proves('K3')
    def test_covers_the_connection(self) -> None:
        with full_listener() as port:
            self.assert_times_out(f'ws://127.0.0.1:{port}/', 'timed out')

    @pytest.mark.proves('K3')
    def test_may_be_over_at_once(self) -> None:
        with scripted(silent) as server:
            assert 'time' in fails(server.url, timeout=0)

    @pytest.mark.proves('K2')
    def test_does_not_hide_what_a_refusal_says(self) -> None:
        with scripted(answering(b'HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nGo!\n')) as server:
            record = connect(server.url)
            assert failure(record) == 'handshake failed: expected status 101, got 403 Forbidden'
            client = record.ws
            assert (client.status, client.headers, client.body) == (403, {'content-length': '4'}, b'Go!\n')

    @pytest.mark.parametrize('options', [{'timeout': -1}, {'timeout': None}, {'max_redirects': -1}, {'max_redirects': '1'},
        {'timeout': math.nan}])
    def test_must_be_a_number(self, options: dict[str, Any]) -> None:
        with pytest.raises((TypeError, ValueError), match=f'^{next(iter(options))}: expected '):
            Client('ws://example.com/', **options)

    @pytest.mark.parametrize('name', ['timeout', 'max_redirects'])
    def test_must_not_be_too_large_a_number(self, name: str) -> None:
        with pytest.raises(ValueError, match=f'^{name}: the number is too large$'):
            Client('ws://example.com/', **{name: 10**400})  # type: ignore[arg-type]

    def test_is_over_once_it_is_open(self) -> None:
        with echo_server() as server:
            record = connect(server.url, timeout=SHORT)
            record.wait('open')
            gevent.sleep(2 * SHORT)
            assert record.ws.ready_state == Client.OPEN
            finish(record)


class TestOpen:
    @pytest.mark.parametrize('scheme', ['ws', 'wss'])
    @pytest.mark.parametrize('message', ['', 'hi', b'', b'\0\xff', 'x' * 65536, b'y' * 2**20], ids=lambda data: f'{len(data)}')
    def test_gets_back_what_it_sends(self, scheme: str, message: Any) -> None:
        with echo_server(scheme=scheme) as server, Client(server.url, tls=trusted()) as ws:
            assert ws.send(message) is True
            assert ws.receive(timeout=5) == message

    def test_is_received_from_in_a_loop(self) -> None:
        def count(ws: WebSocket) -> None:
            for number in range(100):
                ws.send(number)
            ws.close()

        with echo_server(lambda ws: ws.on('open', lambda event: count(ws))) as server:
            assert list(Client(server.url)) == [str(number) for number in range(100)]

    def test_may_have_no_limits_at_all(self) -> None:
        names = ('max_length', 'max_fragments', 'ping', 'ping_timeout', 'close_timeout', 'max_buffered', 'max_queue')
        unlimited: dict[str, Any] = dict.fromkeys(names, math.inf)
        with echo_server(**unlimited) as server:
            record = connect(server.url, timeout=math.inf, max_redirects=math.inf, **unlimited)
            record.ws.send('x' * 1_000_000)
            assert record.wait('message').data == 'x' * 1_000_000
            finish(record)

    def test_times_out_when_nothing_comes(self) -> None:
        with echo_server() as server, Client(server.url) as ws, pytest.raises(TimeoutError):
            ws.receive(timeout=SHORT)

    def test_is_closed_with_1011_after_an_exception(self) -> None:
        with echo_server() as server:
            with suppress(KeyError), Client(server.url) as ws:
                server.record.wait('open')
                ws.send('x')
                ws.receive()
                raise KeyError
            assert server.record.the_close().code == 1011

    @pytest.mark.proves('L2', 'L4')
    @pytest.mark.parametrize(('code', 'reason'), [(1000, ''), (3000, 'bye'), (4999, '\xe9' * 61)])
    def test_closes(self, code: int, reason: str) -> None:
        with echo_server() as server:
            record = connect(server.url)
            record.wait('open')
            record.ws.close(code, reason)
            record.ws.close(3333, 'again')
            for event in (record.the_close(), server.record.the_close()):
                assert (event.code, event.reason, event.was_clean) == (code, reason, True)

    @pytest.mark.proves('L4')
    def test_is_closed_by_the_server(self) -> None:
        with echo_server(lambda ws: ws.on('open', lambda event: ws.close(1012, 'later'))) as server:
            event = connect(server.url).the_close()
            assert (event.code, event.reason, event.was_clean) == (1012, 'later', True)

    @pytest.mark.proves('L2', 'L4')
    @pytest.mark.parametrize('end', [lambda sock: None, lambda sock: resetting(sock, b'')], ids=['FIN', 'RST'])
    def test_loses_the_connection(self, end: Callable[[Any], object]) -> None:
        def script(sock: Any, head: bytes) -> None:
            sock.sendall(acceptance(head) + HELLO)
            sock.recv(1)
            end(sock)

        with scripted(script) as server:
            record = connect(server.url)
            record.wait('message')
            record.ws.send('x')
            event = record.the_close()
            assert (event.code, event.was_clean, record.types) == (1006, False, ['open', 'message', 'close'])

    @pytest.mark.proves('L3')
    def test_closes_in_time_on_a_peer_that_does_not_answer(self) -> None:
        with scripted(lambda sock, head: (sock.sendall(acceptance(head)), silent(sock, head))) as server:
            record = connect(server.url, close_timeout=SHORT)
            record.wait('open')
            record.ws.close()
            assert (record.the_close().code, record.events[-1].reason) == (1006, 'close timeout')

    @pytest.mark.proves('L1', 'L5')
    def test_gives_a_silent_server_up(self) -> None:
        received: list[bytes] = []

        def script(sock: Any, head: bytes) -> None:
            sock.sendall(acceptance(head))
            while data := sock.recv(1000):
                received.append(data)

        with scripted(script) as server:
            record = connect(server.url, ping=SHORT, ping_timeout=SHORT)
            event = record.the_close()
            assert (event.code, event.reason, event.was_clean) == (1006, 'ping timeout', False)
            assert received[0][:2] == bytes((0x80 | PING, 0x80))

    def test_answers_pings_and_knows_pongs(self) -> None:
        with echo_server() as server:
            record, seen = connect(server.url), []
            record.wait('open')
            assert record.ws.ping('x', lambda: seen.append('client')) is True
            assert server.ws.ping('y', lambda: seen.append('server')) is True
            wait_until(lambda: len(seen) == 2)
            assert record.ws.pong('z') is True
            finish(record)

    @pytest.mark.proves('S5')
    def test_refuses_masked_frames(self) -> None:
        with scripted(accepting(serialize_frame(TEXT, b'hi'))) as server:
            record = connect(server.url)
            event = record.the_close()
            assert (event.code, record.types) == (1002, ['open', 'error', 'close'])
            assert 'masked' in event.reason

    @pytest.mark.proves('L5')
    def test_refuses_a_message_that_is_too_big(self) -> None:
        with echo_server() as server:
            record = connect(server.url, max_length=4)
            record.ws.send('12345')
            event = record.the_close()
            assert (event.code, event.reason) == (1009, 'message too big: 5 > 4')

    @pytest.mark.proves('L8')
    def test_never_misses_an_event(self) -> None:
        with scripted(accepting(HELLO)) as server:
            ws, seen = Client(server.url), []
            wait_until(lambda: ws.ready_state == Client.OPEN)
            settle()
            ws.onopen = lambda event: seen.append('open')
            ws.onmessage = lambda event: seen.append(event.data)
            wait_until(lambda: len(seen) == 2)
            assert seen == ['open', 'hello']
            ws.close()

    @pytest.mark.proves('C1')
    @pytest.mark.threads
    def test_is_sent_to_from_many_greenlets_and_threads(self) -> None:
        with echo_server() as server:
            record = connect(server.url)

            def send(name: str) -> None:
                for number in range(50):
                    assert record.ws.send(f'{name} {number}') is True

            spawned = [gevent.spawn(send, f'greenlet {index}') for index in range(5)]
            run_threads(*[lambda index=index: send(f'thread {index}') for index in range(4)])  # type: ignore[misc]
            gevent.joinall(spawned, raise_error=True)
            record.wait('message', 450)
            by_sender: dict[str, list[str]] = {}
            for message in record.messages:
                sender, _, number = str(message).rpartition(' ')
                by_sender.setdefault(sender, []).append(number)
            assert len(by_sender) == 9
            assert set(map(tuple, by_sender.values())) == {tuple(map(str, range(50)))}
            finish(record)

    @pytest.mark.proves('C2')
    def test_closes_with_1011_after_a_fault_of_a_handler(self, caplog: pytest.LogCaptureFixture) -> None:
        with echo_server() as server:
            record = connect(server.url)
            record.ws.on('message', lambda event: 1 / 0)
            record.ws.send('x')
            assert (record.the_close().code, server.record.the_close().code) == (1011, 1011)
            assert record.types == ['open', 'message', 'error', 'close']
        assert len(caplog.records) == 1


class TestTLS:
    @pytest.mark.parametrize('host', ['localhost', '127.0.0.1'])
    @pytest.mark.parametrize('roots', [str, lambda path: [path], lambda path: (path,)], ids=['path', 'list', 'tuple'])
    def test_verifies_chain_and_host(self, host: str, roots: Any) -> None:
        authority = session_certificate().authority
        with scripted(accepting(), certificate=session_certificate()) as server:
            finish(connect(f'wss://{host}:{server.port}/', tls={'root_cert_file': roots(authority)}))

    @pytest.mark.proves('H7', 'K1')
    @pytest.mark.parametrize('nested', [False, True], ids=['direct', 'https proxy'])
    @pytest.mark.parametrize(
        'sizes', [(300,) * 40, (9000,), (16000,), (50_000, 3)],
        ids=lambda sizes: f'{len(sizes)}x{sizes[0]}')
    def test_loses_nothing_in_one_write_with_the_response(
            self, sizes: tuple[int, ...], nested: bool) -> None:
        messages = [b'%03d' % number + bytes(size - 3) for number, size in enumerate(sizes)]
        frames = b''.join(serialize_frame(BINARY, message, masked=False) for message in messages)
        certificate = session_certificate()
        with (scripted(accepting(frames), certificate=certificate) as server,
              scripted(tunnelling, certificate=certificate) as proxy):
            through = {'origin': f'https://localhost:{proxy.port}', 'tls': trusted()}
            record = connect(server.url, tls=trusted(), proxy=through if nested else None)
            record.wait('message', len(messages))
            assert record.messages == messages
            finish(record)

    def test_names_the_host(self) -> None:
        with scripted(accepting(), certificate=session_certificate()) as server:
            finish(connect(f'wss://localhost:{server.port}/', tls=trusted()))
            finish(connect(f'wss://127.0.0.1:{server.port}/', tls={**trusted(), 'server_hostname': 'localhost'}))
            assert server.names == ['localhost', 'localhost']

    @pytest.fixture
    def absolute_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`localhost.` is found without asking any server."""
        resolve = socket.getaddrinfo

        def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
            return resolve('localhost' if host in ('localhost.', b'localhost.') else host, *arguments, **options)

        monkeypatch.setattr(socket, 'getaddrinfo', getaddrinfo)

    @pytest.mark.proves('K11')
    @pytest.mark.usefixtures('absolute_names')
    def test_names_the_host_without_a_dot_behind_it(self) -> None:
        with scripted(accepting(), certificate=session_certificate()) as server:
            finish(connect(f'wss://localhost.:{server.port}/', tls=trusted()))
            finish(connect(f'wss://127.0.0.1:{server.port}/', tls={**trusted(), 'server_hostname': 'localhost.'}))
            assert server.names == ['localhost', 'localhost']
            assert server.headers(0)['host'] == f'localhost.:{server.port}'

    @pytest.mark.proves('K11')
    @pytest.mark.usefixtures('absolute_names')
    def test_names_the_host_without_a_dot_within_the_tls_of_a_proxy(self) -> None:
        certificate = session_certificate()
        with scripted(accepting(), certificate=certificate) as server, scripted(tunnelling, certificate=certificate) as proxy:
            origin = f'https://localhost.:{proxy.port}'
            finish(connect(f'wss://localhost.:{server.port}/', proxy={'origin': origin, 'tls': trusted()}, tls=trusted()))
            assert proxy.names == server.names == ['localhost']

    @pytest.mark.proves('K7')
    @pytest.mark.parametrize(('kind', 'text'), [
        ('expired', 'certificate has expired'), ('self-signed', 'self.signed certificate'),
        ('wrong host', "Hostname mismatch, certificate is not valid for 'localhost'"),
        ('unknown authority', 'unable to get local issuer certificate')])
    def test_tells_what_is_wrong_with_a_certificate(self, kind: str, text: str) -> None:
        with scripted(accepting(), certificate=wrong_certificate(kind)) as server:
            message = fails(f'wss://localhost:{server.port}/', tls=trusted())
            assert message.startswith('TLS handshake with localhost failed: ')
            assert re.search(f'certificate verify failed: {text}', message), message
            assert server.heads == []

    @pytest.mark.proves('K7')
    def test_asks_the_systems_authorities_by_default(self) -> None:
        with scripted(accepting(), certificate=session_certificate()) as server:
            assert 'certificate verify failed' in fails(f'wss://localhost:{server.port}/')

    @pytest.mark.parametrize('kind', WRONG)
    def test_verifies_nothing_on_request(self, kind: str) -> None:
        with scripted(accepting(), certificate=wrong_certificate(kind)) as server:
            finish(connect(f'wss://localhost:{server.port}/', tls={'verify_peer': False}))

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize(('script', 'text'), [
        (closing, 'TLS handshake with 127.0.0.1 failed: '), (answering(b'HTTP/1.1 400 Bad\r\n\r\n'), 'wrong version number'),
        (resetting, 'TLS handshake with 127.0.0.1 failed: ')])
    def test_tells_of_a_server_without(self, script: Any, text: str) -> None:
        with scripted(script, reads_head=False) as server:
            assert text in fails(server.url.replace('ws', 'wss'))

    def test_tells_of_a_name_that_cannot_be_asked_for(self) -> None:
        with scripted(silent, reads_head=False) as server:
            text = fails(server.url.replace('ws', 'wss'), tls={'server_hostname': '.example'})
            assert text.startswith('TLS handshake with .example failed: ')

    def test_shows_a_certificate_of_its_own(self) -> None:
        own = client_certificate()
        with scripted(accepting(), certificate=session_certificate(), asks_certificate=True) as server:
            finish(connect(server.url, tls={**trusted(), 'cert_file': own.certfile, 'key_file': own.keyfile}))
            assert server.peers[0]['subject'] == ((('commonName', 'localhost'),),)
            record = connect(server.url, tls=trusted())
            assert record.the_close().code == 1006
            assert len(server.peers) == 1

    def test_takes_a_context_and_never_blocks_the_hub(self) -> None:
        context = ssl.create_default_context(cafile=session_certificate().authority)

        def script(sock: Any, head: bytes) -> None:
            sock.sendall(acceptance(head))
            gevent.sleep(SHORT)
            sock.sendall(HELLO)
            silent(sock, head)

        with scripted(script, certificate=session_certificate()) as server:
            ws, ticks = Client(f'wss://localhost:{server.port}/', tls=context), []
            ticker = gevent.spawn(lambda: [ticks.append(gevent.sleep(SHORT / 20)) for _ in range(1000)])
            assert ws.receive(timeout=5) == 'hello'
            assert len(ticks) > 3
            ticker.kill()
            ws.close()


class TestSocket:
    def test_may_be_a_unix_path(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / 'socket'))
            listener.listen()
            with scripted(accepting(), listener=listener) as server:
                finish(connect('ws://example.com/x', socket_path=str(tmp_path / 'socket')))
                assert server.line() == 'GET /x HTTP/1.1'
                assert server.headers()['host'] == 'example.com'

    @pytest.mark.proves('K2')
    @pytest.mark.parametrize(('name', 'text'), [
        ('missing', '[Errno 2] No such file or directory'), ('x' * 200, 'AF_UNIX path too long')])
    def test_tells_of_a_unix_path(self, tmp_path: Path, name: str, text: str) -> None:
        path = str(tmp_path / name)
        assert fails('ws://example.com/', socket_path=path) == f'connecting to {path} failed: {text}'

    @pytest.mark.proves('K3')
    def test_leaves_nothing_of_a_unix_path_that_takes_no_more(self, tmp_path: Path) -> None:
        path = str(tmp_path / 'socket')
        with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
            listener.bind(path)
            listener.listen(0)
            waiting.connect(path)
            before = descriptors()
            assert fails('ws://example.com/', socket_path=path, timeout=SHORT) == 'connecting timed out'
            assert descriptors() == before

    @pytest.mark.parametrize('scheme', ['ws', 'wss'])
    @pytest.mark.parametrize('library', [socket, std_socket], ids=['gevent', 'standard library'])
    def test_may_be_ready(self, scheme: str, library: Any) -> None:
        with echo_server(scheme=scheme) as server:
            tls = trusted() if scheme == 'wss' else None
            sock = library.create_connection(('127.0.0.1', server.wsgi.server_port))
            with Client(server.url, socket=sock, tls=tls) as ws:
                ws.send('hi')
                assert ws.receive(timeout=5) == 'hi'

    def test_may_speak_tls_already(self) -> None:
        with echo_server(scheme='wss') as server, Client(server.url, socket=server.connect()) as ws:
            ws.send('hi')
            assert ws.receive(timeout=5) == 'hi'

    @pytest.mark.parametrize('library', [socket, std_socket], ids=['gevent', 'standard library'])
    def test_may_be_closed_already(self, library: Any) -> None:
        sock = library.socket()
        sock.close()
        assert fails('ws://example.com/', socket=sock).startswith('the socket cannot be used: ')

    def test_may_not_have_tls_that_blocks(self) -> None:
        with ssl.create_default_context().wrap_socket(std_socket.socket(), server_hostname='h') as sock, pytest.raises(
                TypeError, match='^socket: its TLS is not of gevent'):
            Client('wss://h/', socket=sock)

    @pytest.mark.parametrize(('location', 'count'), [('/there', 2), ('ws://other.example/', 1)])
    def test_stays_with_its_server_in_redirects(self, tmp_path: Path, location: str, count: int) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / 'socket'))
            listener.listen()
            with scripted(answering(redirect_to(location)), listener=listener) as server:
                failure(connect('ws://example.com/', socket_path=str(tmp_path / 'socket'), max_redirects=1))
                assert len(server.heads) == count

    def test_is_not_asked_for_redirects(self) -> None:
        here, there = tcp_pair()
        record = connect('ws://example.com/', socket=here, max_redirects=5)
        read_head(there)
        there.sendall(b'HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n')
        assert failure(record) == 'handshake failed: expected status 101, got 302 Found'
        there.close()


class TestProxy:
    @pytest.mark.proves('K5')
    @pytest.mark.parametrize('scheme', ['ws', 'wss'])
    def test_leads_to_the_server(self, scheme: str) -> None:
        with echo_server(scheme=scheme) as server, scripted(tunnelling) as proxy:
            with Client(server.url, proxy=proxy.origin, tls=trusted()) as ws:
                ws.send('hi')
                assert ws.receive(timeout=5) == 'hi'
            assert proxy.line() == f'CONNECT localhost:{server.wsgi.server_port} HTTP/1.1'
            assert proxy.headers() == {'host': f'localhost:{server.wsgi.server_port}'}

    @pytest.mark.proves('K5')
    @pytest.mark.parametrize(('url', 'authority'), [
        ('ws://[::1]/', '[::1]:80'), ('wss://example.com/', 'example.com:443'), ('ws://h:81/', 'h:81')])
    def test_is_told_host_and_port(self, url: str, authority: str) -> None:
        with scripted(answering(b'HTTP/1.1 502 Bad Gateway\r\n\r\n')) as proxy:
            assert fails(url, proxy=proxy.origin) == 'proxy: the proxy answered 502 Bad Gateway'
            assert proxy.line() == f'CONNECT {authority} HTTP/1.1'
            assert proxy.headers()['host'] == authority

    @pytest.mark.proves('K9')
    def test_may_send_interim_responses(self) -> None:
        script = partial(
            tunnelling, interim=b'HTTP/1.1 100 Continue\r\nA: b\r\n\r\n' * 2
        )
        with scripted(accepting(HELLO)) as server, scripted(script) as proxy:
            assert (
                connect(server.url, proxy=proxy.origin).wait('message').data == 'hello'
            )
        with scripted(
            answering(b'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad Gateway\r\n\r\n')
        ) as proxy:
            assert fails('ws://h/', proxy=proxy.origin) == 'proxy: the proxy answered 502 Bad Gateway'

    @pytest.mark.proves('K5')
    def test_gets_credentials_and_headers(self) -> None:
        with scripted(accepting(HELLO)) as server, scripted(tunnelling) as proxy:
            origin = proxy.origin.replace('//', '//b%40b:s%C3%A9@')
            record = connect(server.url, proxy={'origin': origin, 'headers': {'X-A': '1'}}, headers={'X-B': '2'})
            assert record.wait('message').data == 'hello'
            assert proxy.headers() == {
                'host': server.authority, 'x-a': '1', 'proxy-authorization': 'Basic YkBiOnPDqQ=='}
            assert 'proxy-authorization' not in server.headers()
            assert 'x-a' not in server.headers()
            assert server.headers()['x-b'] == '2'
            finish(record)

    @pytest.mark.proves('K5')
    def test_may_speak_tls_itself(self) -> None:
        certificate = session_certificate()
        with scripted(accepting(HELLO)) as server, scripted(tunnelling, certificate=certificate) as proxy:
            record = connect(server.url, proxy={'origin': f'https://localhost:{proxy.port}', 'tls': trusted()})
            assert record.wait('message').data == 'hello'
            finish(record)

    @pytest.mark.proves('K7')
    def test_is_verified(self) -> None:
        with scripted(tunnelling, certificate=session_certificate()) as proxy:
            text = fails('ws://example.com/', proxy=proxy.origin)
            assert text.startswith('TLS handshake with 127.0.0.1 failed: ')

    @pytest.mark.proves('K5')
    def test_may_speak_tls_itself_for_wss_too(self) -> None:
        with echo_server(scheme='wss') as server, scripted(tunnelling, certificate=session_certificate()) as proxy:
            options: dict[str, Any] = {
                'proxy': {'origin': f'https://localhost:{proxy.port}', 'tls': trusted()}, 'tls': trusted()}
            with Client(server.url, **options) as ws:
                for message in ('hi', 'x' * 1_000_000):
                    ws.send(message)
                    assert ws.receive(timeout=5) == message

    @pytest.mark.proves('K5', 'K7')
    def test_does_not_vouch_for_the_server(self) -> None:
        certificate = session_certificate()
        with scripted(silent, certificate=certificate) as server, scripted(tunnelling, certificate=certificate) as proxy:
            url = f'wss://localhost:{server.port}/'
            text = fails(url, proxy={'origin': f'https://localhost:{proxy.port}', 'tls': trusted()})
            assert text.startswith('TLS handshake with localhost failed: ')

    @pytest.mark.proves('K5')
    def test_may_lose_the_server_in_its_handshake(self) -> None:
        with scripted(closing, reads_head=False) as server, scripted(tunnelling, certificate=session_certificate()) as proxy:
            url = f'wss://localhost:{server.port}/'
            text = fails(url, proxy={'origin': f'https://localhost:{proxy.port}', 'tls': trusted()}, tls=trusted())
            assert text.startswith('TLS handshake with localhost failed: ')

    @pytest.mark.proves('K5', 'K2')
    @pytest.mark.parametrize('tls', [False, True], ids=['http', 'https'])
    def test_refuses(self, tls: bool) -> None:
        options = {'certificate': session_certificate()} if tls else {}
        with scripted(answering(b'HTTP/1.1 407 Proxy Authentication Required\r\n\r\n'), **options) as proxy:
            text = fails('ws://example.com/', proxy={'origin': proxy.origin, 'tls': trusted()})
            assert text == 'proxy: the proxy answered 407 Proxy Authentication Required'

    @pytest.mark.proves('K2', 'S9')
    @pytest.mark.parametrize(('script', 'text'), [
        (closing, 'proxy: the proxy closed the connection before it answered'),
        (resetting, 'the proxy broke the connection: [Errno 104] Connection reset by peer'),
        (answering(b'hello\r\n\r\n'), "proxy: expected an HTTP response, got 'hello'"),
        (answering(b'x' * 40000), 'proxy: head is longer than 32768 bytes'),
    ])
    def test_breaks(self, script: Any, text: str) -> None:
        with scripted(script) as proxy:
            assert fails('ws://example.com/', proxy=proxy.origin) == text

    @pytest.mark.proves('K2')
    def test_is_not_there(self) -> None:
        port = unused_port()
        text = fails('ws://example.com/', proxy=f'http://127.0.0.1:{port}')
        assert text.startswith(f'connecting to 127.0.0.1:{port} failed: ')


class TestProxyOfTheEnvironment:
    @pytest.fixture(autouse=True)
    def clean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An environment without the variables of the user who runs the tests."""
        for name in ('http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    @pytest.mark.parametrize(('name', 'scheme'), [
        ('http_proxy', 'ws'), ('https_proxy', 'wss'), ('all_proxy', 'ws'), ('HTTPS_PROXY', 'wss')])
    def test_is_used(self, monkeypatch: pytest.MonkeyPatch, name: str, scheme: str) -> None:
        with echo_server(scheme=scheme) as server, scripted(tunnelling) as proxy:
            for origin in (proxy.origin, proxy.authority):
                monkeypatch.setenv(name, origin)
                finish(connect(server.url, proxy='env', tls=trusted()))
            assert len(proxy.heads) == 2

    @pytest.mark.parametrize('variables', [
        {}, {'https_proxy': 'http://127.0.0.1:9'}, {'http_proxy': 'http://127.0.0.1:9', 'no_proxy': 'x,localhost'},
        {'http_proxy': 'http://127.0.0.1:9', 'no_proxy': 'localhost:PORT'},
        {'all_proxy': 'http://127.0.0.1:9', 'no_proxy': '*'},
        {'http_proxy': '127.0.0.1:9', 'no_proxy': '192.0.2.0/24, .localhost.'}])
    def test_is_not_used(self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
        with echo_server() as server:
            for name, value in variables.items():
                monkeypatch.setenv(name, value.replace('PORT', str(server.wsgi.server_port)))
            finish(connect(server.url, proxy='env'))

    def test_is_not_used_unless_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv('http_proxy', 'http://127.0.0.1:9')
        with echo_server() as server:
            finish(connect(server.url))

    def test_must_be_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv('http_proxy', 'socks5://h')
        with pytest.raises(ValueError, match='^proxy: '):
            Client('ws://h/', proxy='env')


def redirect_to(location: str, status: int = 302) -> bytes:
    """Return a redirect."""
    return f'HTTP/1.1 {status} Go\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n'.encode()


def by_path(responses: dict[str, bytes]) -> Any:
    """Return a script that responds as the path says, and accepts any other path."""
    def script(sock: Any, head: bytes) -> None:
        response = responses.get(head.split(b' ')[1].decode())
        answering(response)(sock, head) if response is not None else accepting()(sock, head)
    return script


SECRETS = {'Authorization': 'Bearer x', 'cookie': 'a=b', 'Proxy-authorization': 'Basic Og==', 'X-A': '1'}


class TestRedirects:
    @pytest.mark.parametrize('status', [301, 302, 303, 307, 308])
    def test_are_followed_on_request(self, status: int) -> None:
        with scripted(by_path({'/': redirect_to('/there?x=1', status)})) as server:
            record = connect(server.url, max_redirects=1, headers=SECRETS)
            record.ws.send('hi')
            finish(record)
            assert record.types == ['open', 'close']
            assert (record.ws.url, record.ws.status) == (f'{server.url}there?x=1', 101)
            assert [server.line(index) for index in (0, 1)] == ['GET / HTTP/1.1', 'GET /there?x=1 HTTP/1.1']
            assert {**server.headers(), **{name.lower(): value for name, value in SECRETS.items()}} == server.headers()

    def test_are_not_followed_by_default(self) -> None:
        with scripted(by_path({'/': redirect_to('/there')})) as server:
            assert fails(server.url) == 'handshake failed: expected status 101, got 302 Go'
            assert len(server.heads) == 1

    @pytest.mark.parametrize('limit', [1, 2, 5])
    def test_are_followed_so_often_only(self, limit: int) -> None:
        with scripted(answering(redirect_to('/again'))) as server:
            record = connect(server.url, max_redirects=limit)
            assert failure(record) == 'handshake failed: expected status 101, got 302 Go'
            assert len(server.heads) == limit + 1
            assert record.ws.status == 302

    @pytest.mark.parametrize(('base', 'location', 'path'), [
        ('/a/b', 'c', '/a/c'), ('/a/b', '../c', '/c'), ('/a/b?x', '?y', '/a/b?y'), ('/ws', '/ws/http', '/ws/http'),
        ('/a', 'b#fragment', '/b'), ('/a', '/'.ljust(8192, 'b'), '/'.ljust(8192, 'b')),
        ('/a', 'HTTP_URL/http', '/http'), ('/a', 'WS_URL/http', '/http'), ('/a', '//AUTHORITY/c', '/c')])
    def test_may_be_relative_or_of_either_scheme(self, base: str, location: str, path: str) -> None:
        with scripted(lambda sock, head: by_path({base: redirect_to(location)})(sock, head)) as server:
            location = (location.replace('HTTP_URL', f'http://{server.authority}').replace('WS_URL', f'ws://{server.authority}')
                        .replace('AUTHORITY', server.authority))
            record = connect(f'WS://{server.authority}{base}', max_redirects=1)
            finish(record)
            assert server.line() == f'GET {path} HTTP/1.1'
            assert record.ws.url == f'ws://{server.authority}{path}'

    @pytest.mark.proves('K11')
    @pytest.mark.parametrize(('location', 'path'), [
        ('/caf\xe9', '/caf%C3%A9'), ('/caf%C3%A9?\xe9=%20', '/caf%C3%A9?%C3%A9=%20'), ('?\u20ac', '/?%E2%82%AC'),
        ('//AUTHORITY/\xe9', '/%C3%A9')])
    def test_may_have_any_bytes(self, location: str, path: str) -> None:
        with scripted(lambda sock, head: by_path({'/': redirect_to(location)})(sock, head)) as server:
            location = location.replace('AUTHORITY', server.authority)
            record = connect(server.url, max_redirects=1)
            finish(record)
            assert server.line() == f'GET {path} HTTP/1.1'
            assert record.ws.url == f'ws://{server.authority}{path}'

    @pytest.mark.proves('K11')
    def test_may_have_bytes_that_are_no_text(self) -> None:
        response = redirect_to('/').replace(b'Location: /', b'Location: /\xe9\xff')
        with scripted(by_path({'/': response})) as server:
            finish(connect(server.url, max_redirects=1))
            assert server.line() == 'GET /%E9%FF HTTP/1.1'

    @pytest.mark.proves('K12')
    def test_keep_secrets_from_another_origin(self) -> None:
        with scripted(accepting()) as there, scripted(answering(redirect_to(there.url))) as here:
            record = connect(here.url.replace('//', '//bob:x@'), max_redirects=1, headers=SECRETS)
            finish(record)
            assert not {'authorization', 'cookie', 'proxy-authorization'} & set(there.headers())
            assert there.headers()['x-a'] == here.headers()['x-a'] == '1'
            assert here.headers()['authorization'] == 'Bearer x'

    def test_keep_what_was_sent_before(self) -> None:
        with echo_server() as server, scripted(answering(redirect_to(server.url))) as here:
            record = connect(here.url, max_redirects=1)
            record.ws.send('one')
            record.ws.ping('p')
            wait_until(lambda: record.ws.url == server.url)
            record.ws.send(b'two')
            record.wait('message', 2)
            assert record.messages == ['one', b'two']
            finish(record)

    def test_may_lead_from_ws_to_wss(self) -> None:
        with (
            scripted(accepting(), certificate=session_certificate()) as there,
            scripted(answering(redirect_to(f'https://localhost:{there.port}/x'))) as here,
        ):
            record = connect(here.url, max_redirects=1, tls=trusted())
            finish(record)
            assert record.ws.url == f'wss://localhost:{there.port}/x'

    @pytest.mark.parametrize('scheme', ['ws', 'http'])
    def test_never_lead_from_wss_to_ws(self, scheme: str) -> None:
        with scripted(accepting()) as there:
            location = f'{scheme}://{there.authority}/'
            with scripted(answering(redirect_to(location)), certificate=session_certificate()) as here:
                text = fails(here.url, max_redirects=5, tls=trusted())
                assert text == 'handshake failed: expected status 101, got 302 Go'
                assert there.heads == []

    @pytest.mark.parametrize(
        'location', ['ftp://h/', 'http://h:x/', 'http://[::1/', 'http:///', 'mailto:bob', '//h\\@x/',
                     '/'.ljust(8193, 'a')])
    def test_to_what_is_no_websocket_are_refusals(self, location: str) -> None:
        with scripted(answering(redirect_to(location))) as server:
            assert fails(server.url, max_redirects=5) == 'handshake failed: expected status 101, got 302 Go'

    @pytest.mark.proves('K3')
    def test_are_within_the_same_timeout(self) -> None:
        with scripted(by_path({'/': redirect_to('/silent'), '/silent': b''})) as server:
            start = time.monotonic()
            assert fails(server.url, max_redirects=1, timeout=SHORT).startswith('handshake failed: handshake timeout')
            assert time.monotonic() - start < 10 * SHORT

    def test_to_where_nobody_listens_fail(self) -> None:
        port = unused_port()
        with scripted(answering(redirect_to(f'ws://127.0.0.1:{port}/'))) as server:
            assert fails(server.url, max_redirects=1).startswith(f'connecting to 127.0.0.1:{port} failed: ')


class TestAfterwards:
    @pytest.mark.proves('K8')
    @pytest.mark.parametrize('scheme', ['ws', 'wss'])
    def test_nothing_is_left(self, scheme: str) -> None:
        def cycle(url: str) -> None:
            with Client(url, tls=trusted()) as ws:
                ws.send('x')
                assert ws.receive(timeout=5) == 'x'
            assert ws.receive(timeout=5) is None

        # Earlier tests may have left some.
        others = greenlets()
        with echo_server(scheme=scheme) as server:
            cycle(server.url)
            settle()
            wait_until(lambda: greenlets() <= max(3, others + 1))
            before = descriptors(), greenlets()
            for _ in range(100):
                cycle(server.url)
            wait_until(lambda: (descriptors(), greenlets()) <= before, f'{before}')

    @pytest.mark.parametrize('options', [
        {'proxy': 'PROXY'}, {'proxy': 'TLS_PROXY'}, {'timeout': 0.01}, {'tls': None}, {}])
    def test_nothing_is_left_of_a_failure(self, options: dict[str, Any]) -> None:
        refusal = answering(b'HTTP/1.1 407 No\r\n\r\n')
        tls_proxy_run = scripted(refusal, certificate=session_certificate())
        with scripted(refusal) as proxy, tls_proxy_run as tls_proxy, scripted(silent, reads_head=False) as server:
            if options.get('proxy') == 'PROXY':
                options = {'proxy': proxy.origin}
            elif 'proxy' in options:
                options = {'proxy': {'origin': tls_proxy.origin, 'tls': trusted()}}
            url = server.url.replace('ws', 'wss') if options.keys() <= {'timeout'} else server.url
            if not options or 'tls' in options:
                url, options = 'ws://127.0.0.1:9/', {}
            fails(url, **options)
            settle()
            gc.collect()
            before = descriptors()
            for _ in range(20):
                fails(url, **options)
            wait_until(lambda: descriptors() <= before)

    @pytest.mark.proves('K8')
    @pytest.mark.parametrize('end', ['ws.close()', "ws.onopen = lambda event: ws.close(); gevent.wait()"])
    def test_the_process_ends_by_itself(self, end: str) -> None:
        program = (
            'import sys, gevent, threading\n'
            'from faye_websocket import Client\n'
            'from gevent import monkey\n'
            'ws = Client(sys.argv[1])\n'
            'ws.send("hi")\n'
            'print(ws.receive(timeout=5))\n'
            f'{end}\n'
            'print(ws.receive(timeout=5), monkey.is_module_patched("socket"))\n'
            'gevent.wait()\n')
        with echo_server() as server:
            process = gevent.get_hub().threadpool.spawn(
                subprocess.run, [sys.executable, '-c', program, server.url], capture_output=True, timeout=30)
            wait_until(process.ready, deadline=30)
            done = process.get()
            assert (done.returncode, done.stdout, done.stderr) == (0, b'hi\nNone False\n', b'')

    def test_works_in_a_thread_of_its_own(self) -> None:
        messages: list[Any] = []

        def run() -> None:
            with Client(server.url) as ws:
                ws.send(threading.current_thread().name)
                messages.append(ws.receive(timeout=5))
            gevent.get_hub().destroy()

        with echo_server() as server:
            run_threads(run)
            assert len(messages) == 1
