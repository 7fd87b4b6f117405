"""A client's options for TLS and proxies; test_client covers connecting."""

from __future__ import annotations

import os
import resource
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gevent.ssl
import pytest
from gevent import socket

from faye_websocket import Client
from faye_websocket.errors import ConnectError
from faye_websocket.http.url import parse_url
from faye_websocket.io import tls as tls_module
from faye_websocket.io.dial import dial, make_proxy
from faye_websocket.io.tls import make_context
from tests.support.certificates import client_certificate, session_certificate
from tests.support.local import wait_until
from tests.support.scripted import closing, scripted

URL = parse_url('ws://example.com/')


class TestContext:
    @pytest.mark.proves('K7')
    @pytest.mark.parametrize('tls', [None, {}, {'verify_peer': True}])
    def test_verifies_by_default(self, tls: Any) -> None:
        context, server_hostname = make_context(tls)
        assert context is not None
        assert (context.verify_mode, context.check_hostname, server_hostname) == (ssl.CERT_REQUIRED, True, None)
        assert isinstance(context, gevent.ssl.SSLContext)

    def test_verifies_nothing_on_request(self) -> None:
        context, _ = make_context({'verify_peer': False})
        assert context is not None
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)

    @pytest.mark.parametrize('value', [None, '', 0, 'no'])
    def test_takes_no_other_value_for_such_a_request(self, value: Any) -> None:
        with pytest.raises(TypeError, match=f'tls: verify_peer: expected True or False, got {value!r}'):
            make_context({'verify_peer': value})

    @pytest.mark.parametrize('count', [0, 1, 2])
    def test_trusts_the_given_authorities_only(self, count: int) -> None:
        files = [session_certificate().authority, session_certificate().certfile][:count]
        context, _ = make_context({'root_cert_file': files})
        assert context is not None
        assert len(context.get_ca_certs(binary_form=True)) == min(count, 1)

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
    def test_refuses_a_file_that_is_not_there(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            make_context({name: str(tmp_path / 'missing')})


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Exhaust the descriptors for this block, so that no file can be opened."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull) as first:
        lowest = first.fileno()
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


class TestSystemAuthorities:
    """The authorities that a client trusts by default."""

    @pytest.fixture(autouse=True)
    def nothing_read_yet(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """A file of authorities that no client has read yet."""
        monkeypatch.setenv('SSL_CERT_FILE', session_certificate().authority)
        tls_module._default_context.cache_clear()
        yield
        tls_module._default_context.cache_clear()

    @pytest.mark.proves('K7')
    def test_are_read_again_when_they_could_not_be_read(self) -> None:
        with no_descriptors():
            assert make_context(None) == (None, None)
            with pytest.raises(OSError, match='the authorities cannot be read: Too many open files'):
                make_context({'server_hostname': 'h'})
        context = make_context(None).context
        assert context is not None
        assert context.cert_store_stats()['x509_ca'] == 1
        assert make_context({}).context is context

    @pytest.mark.proves('K2', 'K7')
    def test_that_cannot_be_read_fail_the_handshake_with_the_reason(self) -> None:
        sock, peer = socket.socketpair()
        with peer:
            with no_descriptors():
                client = Client('wss://example.com/', socket=sock)
                errors: list[str] = []
                client.onerror = lambda event: errors.append(event.message)
                wait_until(lambda: errors)
            assert errors[0].startswith('TLS handshake with example.com failed: ')
            assert 'the authorities cannot be read: Too many open files' in errors[0]
            # The next client can read them, and sends its handshake.
            sock, other = socket.socketpair()
            with other:
                client = Client('wss://example.com/', socket=sock)
                assert other.recv(1) == b'\x16'
                client.close()

    def test_are_not_read_without_tls(self) -> None:
        sock, peer = socket.socketpair()
        with peer:
            with no_descriptors():
                client = Client('ws://example.com/', socket=sock)
                assert peer.recv(4) == b'GET '
            client.close()

    def test_may_be_none(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
        for content in ('', 'no certificate'):
            (tmp_path / 'authorities').write_text(content)
            monkeypatch.setenv('SSL_CERT_FILE', str(tmp_path / 'authorities'))
            tls_module._default_context.cache_clear()
            context = make_context(None).context
            assert context is not None
            assert context.cert_store_stats()['x509'] == 0


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

    @pytest.mark.proves('K5')
    def test_gets_headers_and_credentials(self) -> None:
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
        dial(URL, tls=make_context(None), proxy=settings, timeout=5, socket_path=None, progress=stages.append)
    assert stages[1:] == [f'connecting to 127.0.0.1:{proxy.port}', f'the proxy {proxy.authority}']
