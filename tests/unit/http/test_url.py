"""The URL of a request as its client sees it; and the parsing of URLs for a client."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.http.url import URL, determine_url, is_secure, parse_url

REQUEST = {'wsgi.url_scheme': 'http', 'HTTP_HOST': 'example.com', 'SCRIPT_NAME': '', 'PATH_INFO': '/', 'QUERY_STRING': ''}


@pytest.mark.parametrize(('change', 'url'), [
    ({}, 'ws://example.com/'),
    ({'wsgi.url_scheme': 'https'}, 'wss://example.com/'),
    ({'HTTP_HOST': 'example.com:8080'}, 'ws://example.com:8080/'),
    ({'HTTP_HOST': '[::1]:8080'}, 'ws://[::1]:8080/'),
    ({'HTTP_HOST': '', 'SERVER_NAME': 'server', 'SERVER_PORT': '80'}, 'ws://server:80/'),
    ({'HTTP_HOST': None, 'SERVER_NAME': 'server', 'SERVER_PORT': '80'}, 'ws://server:80/'),
    ({'SCRIPT_NAME': '/app', 'PATH_INFO': '/chat'}, 'ws://example.com/app/chat'),
    ({'PATH_INFO': ''}, 'ws://example.com'),
    ({'PATH_INFO': '/', 'QUERY_STRING': 'a=%20&b=/?'}, 'ws://example.com/?a=%20&b=/?'),
    ({'PATH_INFO': '/a b/\xc3\xa9%?#'}, 'ws://example.com/a%20b/%C3%A9%25%3F%23'),
    ({'PATH_INFO': "/:@!$&'()*+,;=~-._"}, "ws://example.com/:@!$&'()*+,;=~-._"),
    ({'PATH_INFO': '/\u20ac'}, 'ws://example.com/%3F'),
    # pywsgi, and then gunicorn and uWSGI: RFC 9112, 3.2.2
    ({'PATH_INFO': 'http://shop.example/chat'}, 'ws://shop.example/chat'),
    ({'PATH_INFO': 'HTTPS://shop.example:81/a b', 'QUERY_STRING': 'c'}, 'ws://shop.example:81/a%20b?c'),
    ({'PATH_INFO': 'http://shop.example', 'wsgi.url_scheme': 'https'}, 'wss://shop.example/'),
    ({'PATH_INFO': '/chat', 'RAW_URI': 'http://shop.example/chat?a'}, 'ws://shop.example/chat'),
    ({'PATH_INFO': '/chat', 'REQUEST_URI': 'http://shop.example/chat?a'}, 'ws://shop.example/chat'),
    ({'PATH_INFO': '/chat', 'RAW_URI': '/chat', 'REQUEST_URI': '/http://shop.example/'}, 'ws://example.com/chat'),
    ({'PATH_INFO': 'http://user@shop.example/chat'}, 'ws://example.com/chat'),
    ({'PATH_INFO': 'http:///chat'}, 'ws://example.com/chat'),
    ({'PATH_INFO': '.evil.example/'}, 'ws://example.com/.evil.example/'),
    ({'PATH_INFO': '*'}, 'ws://example.com/*'),
])
def test_is_determined_from_the_request(change: dict[str, Any], url: str) -> None:
    environ = {name: value for name, value in {**REQUEST, **change}.items() if value is not None}
    assert determine_url(environ) == url


@pytest.mark.parametrize(('scheme', 'url'), [('http', 'http://example.com/'), ('https', 'https://example.com/')])
def test_may_have_other_schemes(scheme: str, url: str) -> None:
    assert determine_url({**REQUEST, 'wsgi.url_scheme': scheme}, ('http', 'https')) == url


@pytest.mark.parametrize(('name', 'value'), [
    ('wsgi.url_scheme', 'https'), ('wsgi.url_scheme', 'wss'), ('HTTPS', 'on'), ('HTTP_X_FORWARDED_SSL', 'on'),
    ('HTTP_X_FORWARDED_SSL', 'on, off'), ('HTTP_X_FORWARDED_SCHEME', 'https'), ('HTTP_X_FORWARDED_SCHEME', 'WSS,ws'),
    ('HTTP_X_FORWARDED_PROTO', 'https'), ('HTTP_X_FORWARDED_PROTO', 'wss'), ('HTTP_X_FORWARDED_PROTO', 'https,http'),
    ('HTTP_X_FORWARDED_PROTO', ' HTTPS , http')])
def test_is_secure_when_the_server_or_its_proxy_says_so(name: str, value: str) -> None:
    assert is_secure({**REQUEST, name: value}) is True
    assert is_secure({**REQUEST, name: 'http'}) is is_secure({}) is False


@pytest.mark.parametrize(
    'value',
    [
        'http',
        'ws',
        'http, https',
        'ws,wss',
        'off, on',
        '',
        ',https',
        'on https',
        'httpss',
    ],
)
@pytest.mark.parametrize(
    'name',
    ['HTTP_X_FORWARDED_SSL', 'HTTP_X_FORWARDED_SCHEME', 'HTTP_X_FORWARDED_PROTO'],
)
def test_is_not_secure_when_the_first_proxy_says_so(name: str, value: str) -> None:
    assert is_secure({**REQUEST, name: value}) is False


@given(st.dictionaries(st.sampled_from([*REQUEST, 'SERVER_NAME', 'SERVER_PORT', 'HTTPS']), st.text()))
def test_never_raises(environ: dict[str, str]) -> None:
    assert determine_url(environ).startswith(('ws://', 'wss://'))


class TestParseURL:
    @pytest.mark.proves('K4')
    @pytest.mark.parametrize(('url', 'parts'), [
        ('ws://example.com', URL('ws', 'example.com', 80, '/', None, None)),
        ('wss://example.com/', URL('wss', 'example.com', 443, '/', None, None)),
        ('WSS://Example.COM:8443/A?B=c', URL('wss', 'example.com', 8443, '/A?B=c', None, None)),
        ('ws://[2001:db8::1]:0/', URL('ws', '2001:db8::1', 0, '/', None, None)),
        ('ws://b\xfccher.example', URL('ws', 'xn--bcher-kva.example', 80, '/', None, None)),
        ('ws://h/\xe9%C3%A9"?\xe9{}', URL('ws', 'h', 80, '/%C3%A9%C3%A9%22?%C3%A9%7B%7D', None, None)),
        ('ws://h?', URL('ws', 'h', 80, '/', None, None)),
        ('ws://bob@h', URL('ws', 'h', 80, '/', 'bob', None)),
        ('ws://b%40b:p%3A%C3%A9@h', URL('ws', 'h', 80, '/', 'b@b', 'p:\xe9')),
        ('ws://:@h', URL('ws', 'h', 80, '/', '', '')),
        ('ws://bob:@h', URL('ws', 'h', 80, '/', 'bob', '')),
        ('ws://:pw@h', URL('ws', 'h', 80, '/', '', 'pw')),
        ('ws://a@b:c@h', URL('ws', 'h', 80, '/', 'a@b', 'c')),
        ('ws://h:/', URL('ws', 'h', 80, '/', None, None)),
        ('ws://my_service:080/', URL('ws', 'my_service', 80, '/', None, None)),
        ('ws://[2001:DB8:0::1]/', URL('ws', '2001:db8::1', 80, '/', None, None)),
        ('ws://%6cocalhost/', URL('ws', 'localhost', 80, '/', None, None)),
        ('ws://b%C3%BCcher.example', URL('ws', 'xn--bcher-kva.example', 80, '/', None, None)),
        ('ws://127.1/', URL('ws', '127.0.0.1', 80, '/', None, None)),
    ])
    def test_parses_it(self, url: str, parts: URL) -> None:
        assert parse_url(url) == parts

    @pytest.mark.proves('K11')
    @pytest.mark.parametrize('url', ['ws://@h', 'ws://h'])
    def test_has_no_credentials_without_userinfo(self, url: str) -> None:
        assert parse_url(url) == URL('ws', 'h', 80, '/', None, None)

    @pytest.mark.proves('K11')
    @pytest.mark.parametrize('authority', [
        '127.0.0.1\\@localhost', '\\localhost', 'local\\host', 'u\\v@localhost', 'x[::1]', '[::1].example.com', '[::1]x',
        '[::1', '::1]', '::1', '[::1]@h', '[::1]]', '[[::1]]', '[u@::1]', '[]', '[v1.x]', '[::1%25eth0]', '[::1%eth0]',
        '[1.2.3.4]', '[::g]', 'a%20b', 'a%2fb', 'a%00b', 'a%25b', 'a%40b', 'a%5bb', 'a%ffb', 'a%', 'a%zz', 'a^b', 'a|b',
        'a<b', '1.2.3.4.5', '1.2.3.256', 'a.0x7f', 'a.1', '127.0.0.09', 'h:65536', 'h:99999999999', 'h:+1',
        'h:1_0', 'h:\u0661', 'h:1:2', 'h:' + '1' * 5000])
    def test_refuses_an_invalid_authority(self, authority: str) -> None:
        with pytest.raises(ValueError, match='^url: .* is not a URL: '):
            parse_url(f'ws://{authority}/')

    @pytest.mark.proves('K4', 'S7')
    @pytest.mark.parametrize(('url', 'text'), [
        ('', "url: the scheme must be ws or wss, not ''"),
        ('example.com', "url: the scheme must be ws or wss, not ''"),
        ('http://h/', "url: the scheme must be ws or wss, not 'http'"),
        ('ws:', "url: 'ws:' names no host"),
        ('ws:///path', "url: 'ws:///path' names no host"),
        ('ws://:80/', "url: 'ws://:80/' names no host"),
        ('ws://h/#', "url: 'ws://h/#' has a fragment"),
        ('ws://h/#a', "url: 'ws://h/#a' has a fragment"),
        ('ws://h/#[', "url: 'ws://h/#[' has a fragment"),
        ('ws://a b/', "url: 'ws://a b/' has blanks or control characters"),
        ('ws://x[::1]/', "url: 'ws://x[::1]/' is not a URL: its authority is not [user[:password]@]host[:port]"),
        ('ws://[::1/', "url: 'ws://[::1/' is not a URL: its authority is not [user[:password]@]host[:port]"),
        ('ws://h:65536/', "url: 'ws://h:65536/' is not a URL: port 65536 is out of range"),
        ('ws://[::1%25eth0]/',
         "url: 'ws://[::1%25eth0]/' is not a URL: '::1%25eth0' has a zone, which is not allowed in a URL"),
        ('ws://1.2.3.4.5/', "url: 'ws://1.2.3.4.5/' is not a URL: '1.2.3.4.5' is not an IPv4 address"),
        ('ws://h/a b', "url: 'ws://h/a b' has blanks or control characters"),
        ('ws://h/\r\nX: y', "url: 'ws://h/\\r\\nX: y' has blanks or control characters"),
        ('ws://h/\0', "url: 'ws://h/\\x00' has blanks or control characters"),
        ('ws://h/\x7f', "url: 'ws://h/\\x7f' has blanks or control characters"),
        ('ws://a\xa8b/', "url: 'ws://a\xa8b/' is not a URL: 'a\xa8b' has characters that are not allowed in a host"),
        ('ws://\xa0b/', "url: 'ws://\\xa0b/' is not a URL: '\\xa0b' has characters that are not allowed in a host"),
        ('ws://a"b/', "url: 'ws://a\"b/' is not a URL: 'a\"b' has characters that are not allowed in a host"),
    ])
    def test_says_why_it_cannot_be_used(self, url: str, text: str) -> None:
        with pytest.raises(ValueError) as raised:
            parse_url(url)
        assert str(raised.value) == text

    @pytest.mark.parametrize('url', [
        'ws://h:x/', 'ws://h:65536/', 'ws://h:-1/', 'ws://[::1/', 'ws://\u2100.example/', 'ws://\xe9..e/', 'ws://\ud800@h/', 'ws://h/\ud800',
    ])
    def test_refuses_text_that_is_not_a_url(self, url: str) -> None:
        with pytest.raises(ValueError, match='^url: .* is not a URL: '):
            parse_url(url)

    @pytest.mark.parametrize('url', [None, b'ws://h/', 1])
    def test_refuses_anything_but_a_string(self, url: Any) -> None:
        with pytest.raises(TypeError, match='^url: expected a str, got '):
            parse_url(url)

    @pytest.mark.parametrize(('url', 'authority', 'secure'), [
        ('http://h', 'h', False), ('https://h', 'h', True), ('https://h:80', 'h:80', True),
        ('http://[::1]:81', '[::1]:81', False)])
    def test_may_have_other_schemes(self, url: str, authority: str, secure: bool) -> None:
        parts = parse_url(url, ('http', 'https'))
        assert (parts.authority, parts.is_secure) == (authority, secure)

    @pytest.mark.parametrize(('one', 'other', 'is_same'), [
        ('ws://h/', 'ws://H:80/x?y', True), ('ws://h/', 'ws://u:p@h/', True), ('ws://h/', 'wss://h:80/', False),
        ('ws://h/', 'ws://h:81/', False), ('ws://h/', 'ws://g/', False)])
    def test_compares_origins(self, one: str, other: str, is_same: bool) -> None:
        assert (parse_url(one).origin == parse_url(other).origin) is is_same

    @given(st.text())
    def test_raises_nothing_but_value_errors(self, text: str) -> None:
        try:
            parts = parse_url(f'ws://{text}')
        except ValueError:
            return
        assert f'GET {parts.target} HTTP/1.1'.isascii()
