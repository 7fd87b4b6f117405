"""What the options of a client make of TLS and proxies; how connecting goes on is in test_client."""

from __future__ import annotations

import ssl
from typing import Any

import gevent.ssl
import pytest

from faye_websocket.connect import connect_to, make_context, make_proxy
from faye_websocket.errors import ConnectError
from faye_websocket.url import parse_url
from tests.support.certificates import client_certificate, session_certificate
from tests.support.scripted import closing, scripted

URL = parse_url('ws://example.com/')


class TestContext:
    @pytest.mark.parametrize('tls', [None, {}, {'verify_peer': True}])
    def test_verifies_by_default(self, tls: Any) -> None:  # K7
        context, server_hostname = make_context(tls)
        assert (context.verify_mode, context.check_hostname, server_hostname) == (ssl.CERT_REQUIRED, True, None)
        assert isinstance(context, gevent.ssl.SSLContext)

    def test_verifies_nothing_on_request(self) -> None:
        context, _ = make_context({'verify_peer': False})
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)

    @pytest.mark.parametrize('count', [0, 1, 2])
    def test_trusts_the_given_authorities_only(self, count: int) -> None:
        files = [session_certificate().authority, session_certificate().certfile][:count]
        assert len(make_context({'root_cert_file': files}).context.get_ca_certs(binary_form=True)) == min(count, 1)

    def test_takes_one_file_for_certificate_and_key(self, tmp_path: Any) -> None:
        own = client_certificate()
        both = tmp_path / 'both.pem'
        with open(own.certfile) as certificate, open(own.keyfile) as key:
            both.write_text(certificate.read() + key.read())
        assert make_context({'cert_file': str(both)}).context is not None

    @pytest.mark.parametrize('kind', [ssl.SSLContext, gevent.ssl.SSLContext])
    def test_may_be_given(self, kind: Any) -> None:
        context = kind(ssl.PROTOCOL_TLS_CLIENT)
        assert make_context(context) == (context, None)

    def test_knows_another_name(self) -> None:
        assert make_context({'server_hostname': 'h'}).server_hostname == 'h'
        assert make_context({'server_hostname': 'fa\xdf.example'}).server_hostname == 'xn--fa-hia.example'

    def test_refuses_an_unknown_option(self) -> None:
        with pytest.raises(TypeError, match="^tls: unknown option 'ca', 'verify'$"):
            make_context({'verify': 1, 'ca': 2, 'cert_file': 'x'})

    @pytest.mark.parametrize('name', ['root_cert_file', 'cert_file'])
    def test_refuses_a_file_that_is_not_there(self, name: str) -> None:
        with pytest.raises(FileNotFoundError):
            make_context({name: '/nonexistent'})


class TestProxy:
    def test_is_none_by_default(self) -> None:
        for proxy in (None, {'origin': None}, {'origin': None, 'headers': {'X': '1'}}):
            assert make_proxy(proxy, URL) is None

    @pytest.mark.parametrize(('origin', 'host', 'port', 'is_secure'), [
        ('http://p', 'p', 80, False), ('https://p', 'p', 443, True), ('http://[::1]:3128/', '::1', 3128, False)])
    def test_is_a_url(self, origin: str, host: str, port: int, is_secure: bool) -> None:
        for proxy in (origin, {'origin': origin}):
            settings = make_proxy(proxy, URL)
            assert settings is not None
            assert (settings.url.host, settings.url.port, settings.url.is_secure) == (host, port, is_secure)
            assert settings.headers == []

    def test_gets_headers_and_credentials(self) -> None:  # K5
        settings = make_proxy({'origin': 'http://b%40b@p', 'headers': {'X': '1'}, 'tls': {'server_hostname': 'h'}}, URL)
        assert settings is not None
        assert settings.headers == [('X', '1'), ('Proxy-Authorization', 'Basic YkBiOg==')]
        assert settings.tls.server_hostname == 'h'

    @pytest.mark.parametrize(('proxy', 'error', 'text'), [
        ({'origin': 'http://p', 'b': 1, 'a': 2}, TypeError, "proxy: unknown option 'a', 'b'"),
        ({'origin': None, 'a': 2}, TypeError, "proxy: unknown option 'a'"),
        ({}, ValueError, 'proxy: origin is missing'),
        ('p:3128', ValueError, "proxy: url: the scheme must be http or https, not 'p'"),
        ({'origin': 'http://p', 'tls': {'x': 1}}, TypeError, "tls: unknown option 'x'"),
    ])
    def test_is_checked(self, proxy: Any, error: Any, text: str) -> None:
        with pytest.raises(error) as raised:
            make_proxy(proxy, URL)
        assert str(raised.value) == text


def test_connects_nowhere_without_a_proxy_that_answers() -> None:
    stages: list[str] = []
    with scripted(closing) as proxy, pytest.raises(ConnectError, match='^proxy: the proxy closed the connection before'):
        settings = make_proxy(proxy.origin, URL)
        connect_to(URL, tls=make_context(None), proxy=settings, timeout=5, socket_path=None, progress=stages.append)
    assert stages[1:] == [f'connecting to 127.0.0.1:{proxy.port}', f'the proxy {proxy.authority}']
