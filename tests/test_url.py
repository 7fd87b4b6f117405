"""The URL of a WebSocket request, as its client sees it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.url import determine_url, is_secure

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
])
def test_is_put_together_from_the_request(change: dict[str, Any], url: str) -> None:
    environ = {name: value for name, value in {**REQUEST, **change}.items() if value is not None}
    assert determine_url(environ) == url


@pytest.mark.parametrize(('scheme', 'url'), [('http', 'http://example.com/'), ('https', 'https://example.com/')])
def test_may_have_other_schemes(scheme: str, url: str) -> None:
    assert determine_url({**REQUEST, 'wsgi.url_scheme': scheme}, ('http', 'https')) == url


@pytest.mark.parametrize(('name', 'value'), [
    ('wsgi.url_scheme', 'https'), ('HTTPS', 'on'), ('HTTP_X_FORWARDED_SSL', 'on'), ('HTTP_X_FORWARDED_SCHEME', 'https'),
    ('HTTP_X_FORWARDED_PROTO', 'https')])
def test_is_secure_when_the_server_or_its_proxy_says_so(name: str, value: str) -> None:
    assert is_secure({**REQUEST, name: value}) is True
    assert is_secure({**REQUEST, name: 'http'}) is is_secure({}) is False


@given(st.dictionaries(st.sampled_from([*REQUEST, 'SERVER_NAME', 'SERVER_PORT', 'HTTPS']), st.text()))
def test_never_raises(environ: dict[str, str]) -> None:
    assert determine_url(environ).startswith(('ws://', 'wss://'))
