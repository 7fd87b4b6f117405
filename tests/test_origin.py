"""Which web pages may open a WebSocket."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.origin import make_origin_check

REQUEST = {'wsgi.url_scheme': 'http', 'HTTP_HOST': 'example.com'}
TLS_REQUEST = {'wsgi.url_scheme': 'https', 'HTTP_HOST': 'example.com'}

MALFORMED = [
    '', 'null', 'example.com', '//example.com', 'https://', 'https:example.com', 'https://example.com/',
    'https://example.com/path', 'https://example.com?q', 'https://example.com#f', 'https://user@example.com',
    'https://:pw@example.com', 'https://example.com:port', 'https://example.com:65536', 'https://[::1',
    'https://a.example, https://b.example', '\0']


class TestAny:
    @pytest.mark.parametrize('origin', ['https://example.com', *MALFORMED])
    def test_allows_every_origin(self, origin: str) -> None:  # S1
        assert make_origin_check(None)(origin, REQUEST) is True


class TestCallable:
    def test_decides(self) -> None:  # S1
        seen = []

        def check(origin: str, environ: Any) -> bool:
            seen.append((origin, environ))
            return False

        assert make_origin_check(check)('https://example.com', REQUEST) is False
        assert seen == [('https://example.com', REQUEST)]


class TestList:
    @pytest.mark.parametrize(('origin', 'is_allowed'), [
        ('https://example.com', True),
        ('https://example.com:443', True),
        ('https://EXAMPLE.com', True),
        ('HTTPS://example.com', True),
        ('http://localhost:3000', True),
        ('app://desktop', True),
        ('http://example.com', False),
        ('https://example.com:444', False),
        ('https://www.example.com', False),
        ('https://example.com.evil.example', False),
        ('https://evil.example', False),
        ('http://localhost', False),
        *((origin, False) for origin in MALFORMED),
    ])
    def test_allows_those_in_it(self, origin: str, is_allowed: bool) -> None:  # S1
        check = make_origin_check(iter(['https://example.com', 'http://localhost:3000', 'app://desktop']))
        assert check(origin, REQUEST) is is_allowed

    def test_may_be_empty(self) -> None:
        assert make_origin_check([])('https://example.com', REQUEST) is False

    @pytest.mark.parametrize('origin', [*MALFORMED[:-1], '*', 5, None, b'https://example.com'])
    def test_has_nothing_but_origins(self, origin: Any) -> None:
        with pytest.raises(ValueError) as raised:
            make_origin_check([origin])
        assert str(raised.value) == f'allowed_origins: {origin!r} is not an origin such as https://example.com'

    @pytest.mark.parametrize('allowed', ['https://example.com', '*', '', b'same-origin'])
    def test_is_no_string(self, allowed: Any) -> None:
        with pytest.raises(ValueError) as raised:
            make_origin_check(allowed)
        assert str(raised.value) == (
            f"allowed_origins: expected 'same-origin', a list of origins, a callable or None, got {allowed!r}")

    def test_is_a_list(self) -> None:
        with pytest.raises(TypeError):
            make_origin_check(5)  # type: ignore[arg-type]


class TestSameOrigin:
    @pytest.mark.parametrize(('origin', 'environ', 'is_allowed'), [
        ('http://example.com', REQUEST, True),
        ('http://example.com:80', REQUEST, True),
        ('http://Example.COM', REQUEST, True),
        ('http://example.com:8080', {**REQUEST, 'HTTP_HOST': 'example.com:8080'}, True),
        ('http://[::1]:8080', {**REQUEST, 'HTTP_HOST': '[::1]:8080'}, True),
        ('https://example.com', TLS_REQUEST, True),
        ('https://example.com', {**TLS_REQUEST, 'HTTP_HOST': 'example.com:443'}, True),
        ('https://example.com', REQUEST, True),     # a proxy took TLS off, and does not tell
        ('https://example.com', {**REQUEST, 'HTTP_X_FORWARDED_PROTO': 'https'}, True),
        ('http://example.com', TLS_REQUEST, False),
        ('http://example.com', {**REQUEST, 'HTTP_X_FORWARDED_PROTO': 'https'}, False),
        ('http://example.com:8080', REQUEST, False),
        ('http://evil.example', REQUEST, False),
        ('http://example.com', {}, False),
        ('http://example.com', {**REQUEST, 'HTTP_HOST': 'example.com/'}, False),
        ('http://example.com', {**REQUEST, 'HTTP_HOST': 'user@example.com'}, False),
        *((origin, REQUEST, False) for origin in MALFORMED),
    ])
    def test_compares_with_the_host_of_the_request(self, origin: str, environ: dict[str, str], is_allowed: bool) -> None:  # S1
        assert make_origin_check('same-origin')(origin, environ) is is_allowed


@pytest.mark.parametrize('allowed', [['https://example.com'], 'same-origin'])
@given(origin=st.text() | st.text().map('https://'.__add__), host=st.text())
def test_never_raises(allowed: Any, origin: str, host: str) -> None:  # S1
    assert make_origin_check(allowed)(origin, {'HTTP_HOST': host}) in (True, False)


def test_port_0_is_not_the_default_port() -> None:
    assert make_origin_check(['https://example.com'])('https://example.com:0', REQUEST) is False
