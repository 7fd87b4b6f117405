"""HTTP/1.1 heads: the heads that a peer may send, their limits, and the caller's
headers.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.errors import HandshakeError
from faye_websocket.http.head import (
    MAX_HEAD,
    MAX_HEADERS,
    HeadParser,
    RequestParser,
    ResponseParser,
    basic_credentials,
    check_headers,
    is_host,
    is_token,
    serialize_head,
    tokens,
)
from tests.conftest import AssertLinear, Cut


def parsed(head: bytes) -> RequestParser:
    """Return a request parser that has parsed this head."""
    parser = RequestParser()
    assert parser.parse(head) is True
    return parser


def request(*headers: str, line: str = 'GET / HTTP/1.1') -> bytes:
    """Return a request with these header lines."""
    return '\r\n'.join((line, *headers, '', '')).encode('latin-1')


def refused(head: bytes, cut: Cut = lambda data: [data]) -> tuple[str, str]:
    """Return the status and the text of the refusal of this head."""
    parser = RequestParser()
    with pytest.raises(HandshakeError) as raised:
        for chunk in cut(head):
            if parser.parse(chunk):
                parser.environ()
    assert raised.value.headers == ()
    return raised.value.status, str(raised.value)


class TestHeadParser:
    def test_parses_a_head(self, chunks: Cut) -> None:
        parser = HeadParser()
        head, rest = b'HTTP/1.1 200 OK\r\nA: 1\r\nB:\r\nA: \t 2, 3 \t\r\nC: caf\xe9\r\n\r\n', b'body\r\n\r\n'
        pieces = chunks(head + rest)
        while not parser.parse(pieces.pop(0)):
            assert parser.rest == b''
        behind = parser.take_rest() + b''.join(pieces)
        assert parser.rest == b''
        assert parser.start_line == 'HTTP/1.1 200 OK'
        assert parser.headers == [('A', '1'), ('B', ''), ('A', '2, 3'), ('C', 'caf\xe9')]
        assert behind == rest

    def test_needs_no_headers(self, chunks: Cut) -> None:
        parser = HeadParser()
        assert [parser.parse(chunk) for chunk in chunks(b'HELLO\r\n\r\n')][-1] is True
        assert (parser.start_line, parser.headers) == ('HELLO', [])

    @pytest.mark.proves('S9')
    @pytest.mark.parametrize('length', [MAX_HEAD - 1, MAX_HEAD])
    def test_accepts_a_head_of_up_to_32_kib(self, chunks: Cut, length: int) -> None:
        head = request(f'A: {"x" * (length - 23)}')
        assert len(head) == length
        parser = HeadParser()
        assert [parser.parse(chunk) for chunk in chunks(head) if chunk][-1] is True

    @pytest.mark.proves('S9')
    @pytest.mark.parametrize('head', [
        request(f'A: {"x" * (MAX_HEAD - 22)}'), b'x' * MAX_HEAD, b'x' * MAX_HEAD * 2 + b'\r\n\r\n'])
    def test_refuses_one_byte_more(self, chunks: Cut, head: bytes) -> None:
        assert refused(head, chunks) == ('431 Request Header Fields Too Large', 'head is longer than 32768 bytes')

    @pytest.mark.proves('S9')
    @pytest.mark.parametrize('count', [MAX_HEADERS - 1, MAX_HEADERS])
    def test_accepts_up_to_100_headers(self, count: int) -> None:
        assert len(parsed(request(*['A: 1'] * count)).headers) == count

    @pytest.mark.proves('S9')
    def test_refuses_one_header_more(self) -> None:
        assert refused(request(*['A: 1'] * 101)) == ('431 Request Header Fields Too Large', 'head has more than 100 headers')

    @pytest.mark.parametrize('parser', [HeadParser, RequestParser])
    @pytest.mark.parametrize('line', ['B: 1\r\n 2', 'B: 1\r\n\t'])
    def test_refuses_folded_lines_except_in_responses(
        self, parser: type[HeadParser], line: str
    ) -> None:  # RFC 9112, 5.2
        with pytest.raises(HandshakeError, match='^malformed header line '):
            parser().parse(request('Host: h', line))

    @pytest.mark.parametrize('line', [
        'A', 'A 1', ': 1', 'A : 1', ' A: 1', '\tfolded', 'A\xe9: 1', 'A: 1\n B: 2', 'A: 1\rB: 2', 'A: \0', 'A: \x7f', 'A(): 1',
        '"A": 1'])
    def test_refuses_a_malformed_header(self, chunks: Cut, line: str) -> None:
        assert refused(request('Host: h', line, 'B: 2'), chunks) == ('400 Bad Request', f'malformed header line {line!r}')

    def test_shows_no_more_than_80_characters_of_a_line(self) -> None:
        assert refused(request('x' * 81)) == ('400 Bad Request', f'malformed header line {"x" * 80!r}')
        assert refused(request(line='x' * 81)) == ('400 Bad Request', f'malformed request line {"x" * 80!r}')

    @pytest.mark.proves('S6')
    @pytest.mark.parametrize('parser_class', [HeadParser, RequestParser, ResponseParser])
    @pytest.mark.parametrize('head', [
        b'x' * 30000, b'A: 1\r\n' * 5000, b'\r\n\r' * 10000, b'\r\n' * 15000,
        b'A: ' + b' ' * 30000 + b'\r\n\r\n'])
    def test_takes_linear_time_byte_by_byte(
        self, assert_linear: AssertLinear, head: bytes, parser_class: type[HeadParser]
    ) -> None:
        def run(size: int) -> None:
            parser = parser_class()
            try:
                for index in range(size):
                    parser.parse(head[index:index + 1])
            except HandshakeError:
                pass

        assert_linear(run, len(head) // 8)


class TestRequestParser:
    def test_makes_an_environ(self, chunks: Cut) -> None:
        parser = RequestParser()
        head = request(
            'Host: h:1', 'X-A: 1', 'Content-Type: t', 'Content-Length: 0', line='GET /a%20b%C3%A9/?q=%20&r HTTP/1.1')
        for chunk in chunks(head):
            is_complete = parser.parse(chunk)
        assert is_complete is True
        assert parser.environ() == {
            'REQUEST_METHOD': 'GET', 'SCRIPT_NAME': '', 'PATH_INFO': '/a b\xc3\xa9/', 'QUERY_STRING': 'q=%20&r',
            'SERVER_PROTOCOL': 'HTTP/1.1', 'wsgi.url_scheme': 'http', 'HTTP_HOST': 'h:1', 'HTTP_X_A': '1',
            'CONTENT_TYPE': 't', 'CONTENT_LENGTH': '0'}

    @pytest.mark.parametrize('lines', [b'\r\n', b'\r\n\r\n', b'\r\n' * 1000])
    def test_ignores_empty_lines_before_the_request(
        self, chunks: Cut, lines: bytes
    ) -> None:  # RFC 9112, 2.2
        parser = RequestParser()
        assert [
            parser.parse(chunk)
            for chunk in chunks(lines + request('Host: h') + b'rest')
            if chunk
        ].count(True) >= 1
        assert (parser.start_line, parser.headers) == ('GET / HTTP/1.1', [('Host', 'h')])

    @pytest.mark.proves('S9')
    def test_counts_empty_lines_as_a_part_of_the_head(self, chunks: Cut) -> None:
        assert refused(b'\r\n' * (MAX_HEAD // 2), chunks)[1] == 'head is longer than 32768 bytes'

    @pytest.mark.parametrize(
        ('target', 'host', 'path', 'query'),
        [
            ('http://shop.example/chat', 'shop.example', '/chat', ''),
            ('HTTPS://shop.example:8443/a%20b?c', 'shop.example:8443', '/a b', 'c'),
            ('ws://shop.example', 'shop.example', '/', ''),
            ('http://shop.example?q=/', 'shop.example', '/', 'q=/'),
            ('http://[::1]:80/', '[::1]:80', '/', ''),
            ('http://user@shop.example/', 'user@shop.example', '/', ''),
            ('http:///path', '', '/path', ''),
            ('ftp://shop.example/', 'h', 'ftp://shop.example/', ''),
            ('//shop.example/', 'h', '//shop.example/', ''),
        ],
    )
    def test_uses_the_host_of_an_absolute_target(
        self, target: str, host: str, path: str, query: str
    ) -> None:
        environ = parsed(request('Host: h', line=f'GET {target} HTTP/1.1')).environ()
        assert (environ['HTTP_HOST'], environ['PATH_INFO'], environ['QUERY_STRING']) == (host, path, query)

    @pytest.mark.parametrize(
        'headers', [[], ['Host: a/b?c#d'], ['Host: a', 'Host: b'], ['Host:']]
    )
    def test_keeps_a_host_that_must_be_refused(
        self, headers: list[str]
    ) -> None:  # RFC 9112, 3.2
        environ = parsed(
            request(*headers, line='GET http://shop.example/ HTTP/1.1')
        ).environ()
        assert environ.get('HTTP_HOST') == (', '.join(line[6:] for line in headers) if headers else None)

    def test_joins_repeated_headers(self) -> None:
        environ = parsed(request('Connection: keep-alive', 'connection: Upgrade')).environ()
        assert environ['HTTP_CONNECTION'] == 'keep-alive, Upgrade'

    def test_leaves_out_names_with_an_underscore(self) -> None:
        environ = parsed(request('X_Forwarded_Proto: https', 'Host_: evil', 'Host: h')).environ()
        assert {name for name in environ if name.startswith('HTTP_')} == {'HTTP_HOST'}

    @pytest.mark.parametrize(('secure', 'scheme'), [(False, 'http'), (True, 'https')])
    def test_its_scheme_is_that_of_the_connection(self, secure: bool, scheme: str) -> None:
        assert parsed(request()).environ(secure=secure)['wsgi.url_scheme'] == scheme

    @pytest.mark.parametrize('line', ['POST / HTTP/1.0', 'OPTIONS * HTTP/1.1', 'GET //?? HTTP/2.0'])
    def test_does_not_check_the_method_or_the_version(self, line: str) -> None:
        method, _, version = line.split()
        environ = parsed(request(line=line)).environ()
        assert (environ['REQUEST_METHOD'], environ['SERVER_PROTOCOL']) == (method, version)

    @pytest.mark.parametrize('line', [
        ' ', 'GET', 'GET /', 'GET  / HTTP/1.1', 'get / HTTP/1.1', 'GET / HTTP/1', 'GET / HTTP/11.1', 'GET / http/1.1',
        'GET /a b HTTP/1.1', 'GET /\xe9 HTTP/1.1', 'GET / HTTP/1.1 ', 'GET /\n HTTP/1.1'])
    def test_refuses_a_malformed_request_line(self, chunks: Cut, line: str) -> None:
        assert refused(request('Host: h', line=line), chunks) == ('400 Bad Request', f'malformed request line {line!r}')


class TestResponseParser:
    @pytest.mark.parametrize(('line', 'status', 'reason'), [
        ('HTTP/1.1 101 Switching Protocols', 101, 'Switching Protocols'), ('HTTP/1.0 200 OK', 200, 'OK'),
        ('HTTP/1.1 404', 404, ''), ('HTTP/1.1 404 ', 404, ''), ('HTTP/1.1 500 caf\xe9', 500, 'caf\xe9')])
    def test_parses_status_and_reason(self, chunks: Cut, line: str, status: int, reason: str) -> None:
        parser = ResponseParser()
        assert (parser.status, parser.reason) == (0, '')
        assert [parser.parse(chunk) for chunk in chunks(request('A: 1', line=line)) if chunk][-1] is True
        assert (parser.status, parser.reason) == (status, reason)

    @pytest.mark.parametrize('line', [
        '', 'HTTP/1.1', 'HTTP/1.1 20', 'HTTP/1.1 2000', 'HTTP/2 200 OK', 'HTTP/1.2 200 OK', 'http/1.1 200 OK',
        'HTTP/1.1  200 OK', 'GET / HTTP/1.1', 'HTTP/1.1 200OK'])
    def test_refuses_an_invalid_status_line(self, chunks: Cut, line: str) -> None:
        parser = ResponseParser()
        with pytest.raises(HandshakeError) as raised:
            for chunk in chunks(request('A: 1', line=line)):
                parser.parse(chunk)
        assert (raised.value.status, str(raised.value)) == ('', f'expected an HTTP response, got {line!r}')

    def test_shows_no_more_than_80_characters_of_a_line(self) -> None:
        with pytest.raises(HandshakeError, match=f"got '{'x' * 80}'$"):
            ResponseParser().parse(request(line='x' * 81))

    @pytest.mark.proves('K9')
    @pytest.mark.parametrize(
        ('lines', 'headers'),
        [
            (['A: 1\r\n 2'], [('A', '1 2')]),
            (['A: 1 \t\r\n\t \t2 \r\n 3', 'B: 4'], [('A', '1 2 3'), ('B', '4')]),
            (['A: 1\r\n \r\n\t\r\n 2'], [('A', '1 2')]),
            (['A:\r\n 1', 'B: 2\r\n '], [('A', '1'), ('B', '2')]),
            (['A: 1\r\n B: 2'], [('A', '1 B: 2')]),
            (['A: 1\r\n 2'] * MAX_HEADERS, [('A', '1 2')] * MAX_HEADERS),
        ],
    )
    def test_unfolds_lines(
        self, chunks: Cut, lines: list[str], headers: list[Any]
    ) -> None:
        parser = ResponseParser()
        for chunk in chunks(request(*lines, line='HTTP/1.1 200 OK')):
            parser.parse(chunk)
        assert parser.headers == headers

    @pytest.mark.proves('K9')
    @pytest.mark.parametrize('line', [' A: 1', '\t', ' '])
    def test_refuses_a_folded_line_before_the_first_header(
        self, line: str
    ) -> None:
        with pytest.raises(HandshakeError, match='^malformed header line '):
            ResponseParser().parse(request(line, 'A: 1', line='HTTP/1.1 200 OK'))

    @pytest.mark.proves('S6', 'K9')
    @pytest.mark.parametrize('part', ['\r\n ', ' ', '\r\n\t x', ' \t'])
    def test_unfolds_in_linear_time(
        self, assert_linear: AssertLinear, part: str
    ) -> None:
        def run(count: int) -> None:
            ResponseParser().parse(
                request(f'A: {part * count}x', line='HTTP/1.1 200 OK')
            )

        assert_linear(run, 4000 // len(part))

    @pytest.mark.proves('K9')
    @pytest.mark.parametrize('status', [100, 102, 103, 199])
    def test_skips_interim_responses(
        self, chunks: Cut, status: int
    ) -> None:
        parser = ResponseParser()
        wire = (
            request('A: 1', line=f'HTTP/1.1 {status} Wait') * 16
            + request('B: 2', line='HTTP/1.1 200 OK')
            + b'body'
        )
        pieces = chunks(wire)
        while not parser.parse(pieces.pop(0)):
            assert parser.rest == b''
        assert (parser.status, parser.reason, parser.headers) == (
            200,
            'OK',
            [('B', '2')],
        )
        assert parser.rest + b''.join(pieces) == b'body'

    @pytest.mark.parametrize('status', ['099', '101', '200'])
    def test_every_other_status_is_final(self, status: str) -> None:
        parser = ResponseParser()
        assert parser.parse(request(line=f'HTTP/1.1 {status} Now')) is True
        assert parser.status == int(status)

    def test_finds_a_header_in_any_case_and_joins_its_lines(self) -> None:
        parser = ResponseParser()
        parser.parse(request('Vary: a', 'vary: b', 'Empty:', line='HTTP/1.1 200 OK'))
        assert [parser.get(name) for name in ('VARY', 'empty', 'missing')] == ['a, b', '', None]


class TestCheckHeaders:
    @pytest.mark.parametrize(('headers', 'pairs'), [
        (None, []),
        ({}, []),
        ({'A': '1', 'B': ''}, [('A', '1'), ('B', '')]),
        ([('A', '1'), ('A', '2')], [('A', '1'), ('A', '2')]),
        (iter([('A', 'caf\xe9\t;')]), [('A', 'caf\xe9\t;')]),
    ])
    def test_returns_pairs(self, headers: Any, pairs: list[tuple[str, str]]) -> None:
        assert check_headers(headers) == pairs

    @pytest.mark.proves('S7')
    @pytest.mark.parametrize('name', ['', 'A B', 'A:', 'A\r\nB', 'A\n', 'A\0', '\xe9'])
    def test_refuses_a_name(self, name: str) -> None:
        with pytest.raises(ValueError) as raised:
            check_headers({name: '1'})
        assert str(raised.value) == f'headers: {name!r} is not a header name'

    @pytest.mark.proves('S7')
    @pytest.mark.parametrize('value', ['1\r\nB: 2', '1\n', '1\r', '1\0', '\x7f', '\x01', '€', '\x80\u0100'])
    def test_refuses_a_value(self, value: str) -> None:
        with pytest.raises(ValueError) as raised:
            check_headers([('A', value)])
        assert str(raised.value) == f'headers: the value of A has a character that is not allowed in a header: {value!r}'

    @pytest.mark.parametrize(('headers', 'shown'), [
        (['A: 1'], "'A: 1'"), ([('A',)], "('A',)"), ([('A', '1', '2')], "('A', '1', '2')"), ({'A': 1}, "('A', 1)"),
        ([(b'A', '1')], "(b'A', '1')"), ([['A', '1']], "['A', '1']")])
    def test_refuses_anything_but_pairs_of_strings(self, headers: Any, shown: str) -> None:
        with pytest.raises(TypeError) as raised:
            check_headers(headers)
        assert str(raised.value) == f'headers: expected pairs of strings, got {shown}'

    @pytest.mark.proves('S7')
    @given(st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3))
    def test_refuses_everything_that_would_end_a_line(self, headers: list[tuple[str, str]]) -> None:
        try:
            pairs = check_headers(headers)
        except ValueError:
            return
        parser = HeadParser()
        assert parser.parse(serialize_head('START', pairs)) is True
        assert parser.headers == [(name, value.strip(' \t')) for name, value in headers]


def test_serializes_a_head() -> None:
    assert serialize_head('HTTP/1.1 200 OK', [('A', '1'), ('A', '\xe9')]) == b'HTTP/1.1 200 OK\r\nA: 1\r\nA: \xe9\r\n\r\n'
    assert serialize_head('HTTP/1.1 200 OK', []) == b'HTTP/1.1 200 OK\r\n\r\n'


@pytest.mark.parametrize(('text', 'is_one'), [
    ("!#$%&'*+-.^_`|~aZ09", True), ('', False), ('a b', False), ('a\n', False), ('"a"', False), ('\xe9', False),
    ('a,b', False)])
def test_recognizes_a_token(text: str, is_one: bool) -> None:
    assert is_token(text) is is_one


@pytest.mark.parametrize(
    ('text', 'is_one'),
    [
        ('example.com', True),
        ('EXAMPLE.com:8080', True),
        ('example.com:', True),
        ('a_b.c-d~', True),
        ('%2Frun%2Fsocket', True),
        ("!$&'()*+;=", True),
        ('127.0.0.1:80', True),
        ('[::1]', True),
        ('[2001:DB8::1.2.3.4]:443', True),
        ('[fe80::1%25eth0]', True),
        ('[fe80::1%eth0]:80', True),
        ('[v1.a:b]', True),
        ('localhost.', True),
        ('', False),
        (':80', False),
        ('a/b?c#d', False),
        ('user@h', False),
        ('a b', False),
        ('a\\b', False),
        ('h:80x', False),
        ('h:80:80', False),
        ('a,b', False),
        ('%zz', False),
        ('%2', False),
        ('\xe9', False),
        ('::1', False),
        ('[::1', False),
        ('[::1]x', False),
        ('x[::1]', False),
        ('[]', False),
        ('[g::1]', False),
        ('h\n', False),
        ('<h>', False),
    ],
)
def test_recognizes_a_host(text: str, is_one: bool) -> None:
    assert is_host(text) is is_one


@pytest.mark.proves('S6')
@pytest.mark.parametrize('part', ['a', '%41', '[', ':', '1:', '%'])
def test_recognizes_a_host_in_linear_time(
    assert_linear: AssertLinear, part: str
) -> None:
    assert_linear(lambda count: is_host(f'[{part * count}') or is_host(part * count + '/'), 8192 // len(part))


@pytest.mark.parametrize(('value', 'elements'), [
    ('', []), (' , ', []), ('a', ['a']), (' a ,\tb c,,d', ['a', 'b c', 'd'])])
def test_splits_a_list_into_its_elements(value: str, elements: list[str]) -> None:
    assert tokens(value) == elements


@pytest.mark.proves('K4')
@pytest.mark.parametrize(('username', 'password', 'value'), [
    ('Aladdin', 'open sesame', 'Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=='), ('bob', None, 'Basic Ym9iOg=='),
    ('', '', 'Basic Og=='), ('test', '123\xa3', 'Basic dGVzdDoxMjPCow==')])
def test_makes_basic_credentials(username: str, password: str | None, value: str) -> None:
    assert basic_credentials(username, password) == value
