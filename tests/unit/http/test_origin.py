"""The check of the origins that may open a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.http.origin import make_origin_check

REQUEST = {'wsgi.url_scheme': 'http', 'HTTP_HOST': 'example.com'}
TLS_REQUEST = {'wsgi.url_scheme': 'https', 'HTTP_HOST': 'example.com'}

MALFORMED = [
    '', 'null', 'example.com', '//example.com', 'https://', 'https:example.com', 'https://example.com/',
    'https://example.com/path', 'https://example.com?q', 'https://example.com#f', 'https://user@example.com',
    'https://:pw@example.com', 'https://example.com:port', 'https://example.com:65536', 'https://[::1',
    'https://a.example, https://b.example', '\0', 'https://' + 'a' * 505]

PATH = 'it has a path, a query or a fragment'
BLANKS = 'it has blanks or control characters'
CHARACTERS = 'its host has an empty label, or characters that are not allowed in a host'
BRACKETS = 'its host is not just an address in brackets'
WILDCARD = "a wildcard stands for subdomains: 'https://*.example.com'"


class TestAny:
    @pytest.mark.proves('S1')
    @pytest.mark.parametrize('origin', ['https://example.com', *MALFORMED])
    def test_allows_every_origin(self, origin: str) -> None:
        assert make_origin_check(None)(origin, REQUEST) is True


class TestCallable:
    @pytest.mark.proves('S1')
    def test_decides(self) -> None:
        seen = []

        def check(origin: str, environ: Any) -> bool:
            seen.append((origin, environ))
            return False

        assert make_origin_check(check)('https://example.com', REQUEST) is False
        assert seen == [('https://example.com', REQUEST)]


class TestList:
    @pytest.mark.proves('S1')
    @pytest.mark.parametrize(('origin', 'is_allowed'), [
        ('https://example.com', True),
        ('https://example.com:443', True),
        ('https://EXAMPLE.com', True),
        ('HTTPS://example.com', True),
        ('http://localhost:3000', True),
        ('app://desktop', True),
        ('https://' + 'a' * 504, True),
        ('http://example.com', False),
        ('https://example.com:444', False),
        ('https://www.example.com', False),
        ('https://example.com.evil.example', False),
        ('https://evil.example', False),
        ('http://localhost', False),
        *((origin, False) for origin in MALFORMED),
    ])
    def test_allows_the_origins_in_it(self, origin: str, is_allowed: bool) -> None:
        origins = ['https://example.com', 'http://localhost:3000', 'app://desktop', 'https://' + 'a' * 504]
        check = make_origin_check(iter(origins))
        assert check(origin, REQUEST) is is_allowed

    def test_may_be_empty(self) -> None:
        assert make_origin_check([])('https://example.com', REQUEST) is False

    @pytest.mark.proves('S1')
    @pytest.mark.parametrize(
        ('entry', 'origin', 'is_allowed'),
        [
            ('https://*.example.com', 'https://a.example.com', True),
            ('https://*.example.com', 'https://a.b-c.example.com', True),
            ('https://*.example.com', 'https://A.EXAMPLE.com:443', True),
            ('HTTPS://*.Example.COM:443', 'https://a.example.com', True),
            ('https://*.example.com:8443', 'https://a.example.com:8443', True),
            ('http://*.localhost:3000', 'http://app.localhost:3000', True),
            ('app://*.desktop', 'app://main.desktop', True),
            ('https://*.b\xfccher.example', 'https://shop.xn--bcher-kva.example', True),
            ('https://*.example.com', 'https://example.com', False),
            ('https://*.example.com', 'https://.example.com', False),
            ('https://*.example.com', 'https://..example.com', False),
            ('https://*.example.com', 'https://a..example.com', False),
            ('https://*.example.com', 'https://evilexample.com', False),
            ('https://*.example.com', 'https://a.example.com.evil.example', False),
            ('https://*.example.com', 'https://evil.example/.example.com', False),
            ('https://*.example.com', 'https://evil.example#.example.com', False),
            ('https://*.example.com', 'https://evil.example@a.example.com', False),
            ('https://*.example.com', 'https://a.example.com:8443', False),
            ('https://*.example.com:8443', 'https://a.example.com', False),
            ('https://*.example.com', 'http://a.example.com', False),
            ('https://*.example.com', 'null', False),
        ],
    )
    def test_may_have_all_subdomains(
        self, entry: str, origin: str, is_allowed: bool
    ) -> None:
        assert make_origin_check(['https://other.example', entry])(origin, REQUEST) is is_allowed

    @pytest.mark.proves('S1')
    def test_may_have_a_domain_and_its_subdomains(self) -> None:
        check = make_origin_check(['https://example.com', 'https://*.example.com'])
        assert [
            check(f'https://{host}', REQUEST)
            for host in ('example.com', 'www.example.com', 'example.org')
        ] == [True, True, False]

    @pytest.mark.proves('S1')
    @pytest.mark.parametrize(
        ('entry', 'origin'),
        [
            ('https://b\xfccher.example', 'https://xn--bcher-kva.example'),
            ('https://B\xdcCHER.example', 'https://xn--bcher-kva.example'),
            ('http://[::0:1]:8080', 'http://[::1]:8080'),
            ('http://[2001:DB8::1]', 'http://[2001:db8:0::1]'),
            ('http://127.0.0.1:3000', 'http://127.0.0.1:3000'), ('http://127.1', 'http://127.0.0.1'), ('app://127.1', 'app://127.1'),
            ('https://a_b.example', 'https://a_b.example'),
            ('https://example.com.', 'https://example.com.'),
            ('https://example.com:', 'https://example.com'),
            ('chrome-extension://abcdefgh', 'chrome-extension://abcdefgh'),
            ('safari-web-extension://0E9A-B', 'safari-web-extension://0E9A-B'),
            ('https://1.example', 'https://1.example'),
        ],
    )
    def test_has_origins_in_any_form(self, entry: str, origin: str) -> None:
        assert make_origin_check([entry])(origin, REQUEST) is True

    @pytest.mark.proves('S1')
    @pytest.mark.parametrize(('origin', 'reason'), [
        ('', 'it names no scheme'), ('null', 'it names no scheme'), ('*', 'it names no scheme'),
        ('example.com', 'it names no scheme'),
        ('//example.com', 'it names no scheme'), ('https://', 'it names no host'), ('https:example.com', 'it names no host'),
        ('https://:443', 'it names no host'), ('https://*', WILDCARD), ('moz-extension://*', WILDCARD),
        ('https://*example.com', WILDCARD), ('https://a.*.com', WILDCARD), ('https://*.*.com', WILDCARD),
        ('https://www*.example.com', WILDCARD), ('https://example.*', WILDCARD),
        ('https://example.com/', PATH), ('https://example.com/path', PATH),
        ('https://example.com?q', PATH), ('https://example.com#f', PATH),
        ('https://example.com?', PATH), ('https://example.com#', PATH),
        ('https://user@example.com', 'it names a user'), ('https://:pw@example.com', 'it names a user'),
        ('https://example.com ', BLANKS), (' https://example.com', BLANKS),
        ('https://exa mple.com', BLANKS), ('https://exa\tmple.com', BLANKS),
        ('https://example.com\n', BLANKS), ('\0', BLANKS),
        ('https://a.example, https://b.example', BLANKS),
        ('https://example.com:port', "Port could not be cast to integer value as 'port'"),
        ('https://example.com:*', "Port could not be cast to integer value as '*'"),
        ('https://example.com:65536', 'Port out of range 0-65535'), ('https://[::1', BRACKETS),
        ('https://ex%61mple.com', "'ex%61mple.com' has characters that are not allowed in a host"),
        ('https://exa"mple.com', "'exa\"mple.com' has characters that are not allowed in a host"),
        ('https://exa\\mple.com', r"'exa\\mple.com' has characters that are not allowed in a host"),
        ('https://.example.com', CHARACTERS), ('https://a..example.com', CHARACTERS),
        ('https://*..example.com', CHARACTERS), ('https://*.', CHARACTERS), ('app://*.', CHARACTERS),
        ('app://a%20b', CHARACTERS),
        ('https://\xa0.example', r"'\xa0.example' has characters that are not allowed in a host"),
        ('http://127.0.0.256', "'127.0.0.256' is not an IPv4 address"), ('http://*.127.1', 'an address has no subdomains'),
        ('http://*.127.0.0.1', 'an address has no subdomains'),
        ('app://[::]]*92', BRACKETS), ('http://[::1].example', BRACKETS), ('http://x[::1]', BRACKETS),
        ('http://*.[::1]', BRACKETS),
        ('wss://example.com', 'an origin begins with http or https, not with wss'),
        ('ws://*.example.com', 'an origin begins with http or https, not with ws'),
        (5, 'it is not a str'), (None, 'it is not a str'), (b'https://example.com', 'it is not a str'),
    ])
    def test_refuses_entries_that_match_nothing(self, origin: Any, reason: str) -> None:
        with pytest.raises(ValueError) as raised:
            make_origin_check(['https://example.com', origin])
        assert str(raised.value) == f'allowed_origins: {origin!r} is not an origin such as https://example.com: {reason}'

    @pytest.mark.parametrize('allowed', ['https://example.com', '*', '', b'same-origin'])
    def test_must_not_be_a_string(self, allowed: Any) -> None:
        with pytest.raises(ValueError) as raised:
            make_origin_check(allowed)
        assert str(raised.value) == (
            f"allowed_origins: expected 'same-origin', a list of origins, a callable or None, got {allowed!r}")

    @pytest.mark.proves('S1')
    def test_must_not_be_an_async_function_which_would_allow_all(self) -> None:
        async def is_allowed(origin: str, environ: Any) -> bool:
            return False

        allowed: Any = is_allowed
        with pytest.raises(TypeError, match='allowed_origins: expected a function that is not async'):
            make_origin_check(allowed)

    def test_must_be_iterable(self) -> None:
        with pytest.raises(TypeError):
            make_origin_check(5)  # type: ignore[arg-type]


class TestSameOrigin:
    @pytest.mark.proves('S1')
    @pytest.mark.parametrize(('origin', 'environ', 'is_allowed'), [
        ('http://example.com', REQUEST, True),
        ('http://example.com:80', REQUEST, True),
        ('http://Example.COM', REQUEST, True),
        ('http://example.com:8080', {**REQUEST, 'HTTP_HOST': 'example.com:8080'}, True),
        ('http://[::1]:8080', {**REQUEST, 'HTTP_HOST': '[::1]:8080'}, True),
        ('https://example.com', TLS_REQUEST, True),
        ('https://example.com', {**TLS_REQUEST, 'HTTP_HOST': 'example.com:443'}, True),
        ('https://example.com', REQUEST, True),     # a proxy ends TLS without reporting it
        ('https://example.com', {**REQUEST, 'HTTP_X_FORWARDED_PROTO': 'https'}, True),
        ('http://example.com', TLS_REQUEST, False),
        ('http://example.com', {**REQUEST, 'HTTP_X_FORWARDED_PROTO': 'https'}, False),
        ('http://example.com', {**REQUEST, 'HTTP_X_FORWARDED_PROTO': 'wss'}, False),
        ('http://example.com', {**REQUEST, 'HTTP_X_FORWARDED_PROTO': 'https,http'}, False),
        ('https://example.com', {**REQUEST, 'HTTP_X_FORWARDED_PROTO': 'wss'}, True),
        ('http://shop.example', {**REQUEST, 'PATH_INFO': 'http://shop.example/chat'}, True),
        ('http://example.com', {**REQUEST, 'PATH_INFO': 'http://shop.example/chat'}, False),
        ('http://shop.example', {**REQUEST, 'PATH_INFO': '/chat', 'RAW_URI': 'http://shop.example/chat'}, True),
        ('http://[0::1]', {**REQUEST, 'HTTP_HOST': '[::1]'}, True),
        (' http://example.com', REQUEST, False),
        ('http://exam\tple.com', REQUEST, False),
        ('http://[::1].evil.example', {**REQUEST, 'HTTP_HOST': '[::1]'}, False),
        ('http://example.com:8080', REQUEST, False),
        ('http://evil.example', REQUEST, False),
        ('http://example.com', {}, False),
        ('http://example.com', {**REQUEST, 'HTTP_HOST': 'example.com/'}, False),
        ('http://example.com', {**REQUEST, 'HTTP_HOST': 'user@example.com'}, False),
        *((origin, REQUEST, False) for origin in MALFORMED),
    ])
    def test_compares_with_the_host_of_the_request(self, origin: str, environ: dict[str, str], is_allowed: bool) -> None:
        assert make_origin_check('same-origin')(origin, environ) is is_allowed


@pytest.mark.proves('S1')
@pytest.mark.parametrize('allowed', [['https://example.com'], ['https://*.example.com'], 'same-origin'])
@given(origin=st.text() | st.text().map('https://'.__add__), host=st.text())
def test_never_raises(allowed: Any, origin: str, host: str) -> None:
    assert make_origin_check(allowed)(origin, {'HTTP_HOST': host}) in (True, False)


def test_port_0_is_not_the_default_port() -> None:
    assert make_origin_check(['https://example.com'])('https://example.com:0', REQUEST) is False
