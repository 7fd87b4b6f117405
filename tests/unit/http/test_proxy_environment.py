"""The proxy for a URL by the environment variables, and the hosts without one."""

from __future__ import annotations

import os

import pytest

from faye_websocket.http.proxy_environment import find_proxy
from faye_websocket.http.url import parse_url


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without the variables of the user who runs the tests."""
    for name in list(os.environ):
        if name.lower().endswith('_proxy') or name == 'REQUEST_METHOD':
            monkeypatch.delenv(name)


def find(monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str]) -> str | None:
    """Return the proxy for a URL with these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return find_proxy(parse_url(url))


@pytest.mark.parametrize(('url', 'variables', 'proxy'), [
    ('ws://h/', {}, None),
    ('ws://h/', {'http_proxy': 'http://p:1'}, 'http://p:1'),
    ('ws://h/', {'http_proxy': ''}, None),
    ('ws://h/', {'HTTP_PROXY': 'http://p'}, 'http://p'),
    ('ws://h/', {'HTTP_PROXY': 'http://P', 'http_proxy': 'http://p'}, 'http://p'),
    ('ws://h/', {'HTTP_PROXY': 'http://P', 'http_proxy': ''}, None),
    ('ws://h/', {'HTTP_PROXY': 'http://p', 'REQUEST_METHOD': 'GET'}, None),
    ('ws://h/', {'https_proxy': 'http://p', 'wss_proxy': 'http://p'}, None),
    ('ws://h/', {'ws_proxy': 'http://w', 'http_proxy': 'http://p', 'all_proxy': 'http://a'}, 'http://w'),
    ('ws://h/', {'all_proxy': 'http://a'}, 'http://a'),
    ('wss://h/', {'https_proxy': 'http://p', 'all_proxy': 'http://a'}, 'http://p'),
    ('wss://h/', {'HTTPS_PROXY': 'http://p', 'WSS_PROXY': 'http://w'}, 'http://w'),
    ('wss://h/', {'http_proxy': 'http://p', 'ws_proxy': 'http://p'}, None),
    ('wss://h/', {'ALL_PROXY': 'http://a'}, 'http://a'),
    ('ws://h/', {'http_proxy': '127.0.0.1:3128'}, 'http://127.0.0.1:3128'),
    ('ws://h/', {'http_proxy': 'p'}, 'http://p'),
    ('ws://h/', {'http_proxy': 'bob:x@p:1'}, 'http://bob:x@p:1'),
    ('ws://h/', {'http_proxy': '[::1]:1'}, 'http://[::1]:1'),
    ('ws://h/', {'http_proxy': 'socks5://p'}, 'socks5://p'),
])
def test_is_named_by_a_variable(
        monkeypatch: pytest.MonkeyPatch, url: str, variables: dict[str, str], proxy: str | None) -> None:
    assert find(monkeypatch, url, variables) == proxy


@pytest.mark.parametrize('name', ['no_proxy', 'NO_PROXY'])
@pytest.mark.parametrize(('url', 'no_proxy', 'is_none'), [
    ('ws://h/', '', False), ('ws://h/', '*', True), ('ws://h/', 'x, *', True), ('ws://h/', ' , ', False),
    ('ws://example.com/', 'example.com', True),
    ('ws://example.com/', 'x,example.com', True),
    ('ws://example.com/', 'x example.com', True),
    ('ws://Example.com/', 'EXAMPLE.com', True),
    ('ws://example.com./', 'example.com', True),
    ('ws://example.com/', 'example.com.', True),
    ('ws://example.com./', '.example.com.', True),
    ('ws://example.com/', '.example.com', True),
    ('ws://a.b.example.com/', '.example.com', True),
    ('ws://a.b.example.com/', 'example.com', True),
    ('ws://a.example.com/', '*.example.com', True),
    ('ws://anexample.com/', 'example.com', False),
    ('ws://example.com/', 'a.example.com', False),
    ('ws://example.com/', 'com.', True),
    ('ws://example.com/', '.', False),
    ('ws://fa\xdf.example/', 'FA\xdf.example', True),
    ('ws://example.com:81/', 'example.com:81', True),
    ('ws://a.example.com:81/', '.example.com:81', True),
    ('ws://example.com:81/', 'example.com:80', False),
    ('ws://example.com/', 'example.com:80', True),
    ('wss://example.com/', 'example.com:443', True),
    ('wss://example.com/', 'example.com:80', False),
    ('ws://127.0.0.1/', '127.0.0.1', True),
    ('ws://127.0.0.1:81/', '127.0.0.1:81', True),
    ('ws://127.1/', '127.0.0.1', True),
    ('ws://10.0.0.1/', '0.0.1', False), ('ws://10.0.0.1/', '1', False), ('ws://10.0.0.1/', '.1', False),
    ('ws://10.1.2.3/', '10.0.0.0/8', True),
    ('ws://10.1.2.3/', '10.1.2.0/24', True),
    ('ws://10.1.2.3/', '10.1.2.3/8', True),
    ('ws://10.1.2.3/', '10.1.2.3/32', True),
    ('ws://11.1.2.3/', '10.0.0.0/8', False),
    ('ws://10.1.2.3/', '10.0.0.0/33', False),
    ('ws://10.1.2.3/', 'fd00::/8', False),
    ('ws://10.example/', '10.0.0.0/8', False),
    ('ws://[fd00::1]/', 'fd00::/8', True),
    ('ws://[fe00::1]/', 'fd00::/8', False),
    ('ws://[::1]/', '::1', True), ('ws://[::1]/', '[::1]', True), ('ws://[::1]/', '0:0::1', True),
    ('ws://[::1]:81/', '[::1]:81', True), ('ws://[::1]:81/', '[::1]:80', False), ('ws://[::2]/', '::1', False),
    ('ws://h/', 'http://h/', False), ('ws://h/', ':80', False), ('ws://h/', 'h:x', False), ('ws://h/', '\u2024', False),
])
def test_is_not_used_for_the_hosts_of_no_proxy(
        monkeypatch: pytest.MonkeyPatch, name: str, url: str, no_proxy: str, is_none: bool) -> None:
    assert find(monkeypatch, url, {'all_proxy': 'http://p', name: no_proxy}) == (None if is_none else 'http://p')
