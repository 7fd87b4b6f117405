"""The version of a request, and the checks that all versions share."""

from __future__ import annotations

from typing import Any

import pytest

from faye_websocket.driver import CONNECTING, OPEN, Driver, is_websocket
from faye_websocket.errors import HandshakeError
from tests.support.recorder import Recorder, connecting
from tests.support.requests import HIXIE_75, HIXIE_76, HYBI, KEY, without

every_version = pytest.mark.parametrize('environ', [HYBI, HIXIE_75, HIXIE_76], ids=['hybi-13', 'hixie-75', 'hixie-76'])


class TestVersion:
    @pytest.mark.parametrize(('environ', 'version'), [
        (HYBI, 'hybi-13'),
        ({**HYBI, 'HTTP_SEC_WEBSOCKET_VERSION': '8'}, 'hybi-08'),
        ({**HYBI, 'HTTP_SEC_WEBSOCKET_VERSION': '7'}, 'hybi-07'),
        ({**HYBI, 'HTTP_SEC_WEBSOCKET_VERSION': '14'}, 'hybi-13'),
        (without(HYBI, 'HTTP_SEC_WEBSOCKET_VERSION'), 'hybi-13'),
        (without(HYBI, 'HTTP_SEC_WEBSOCKET_KEY'), 'hybi-13'),
        ({**HIXIE_76, 'HTTP_SEC_WEBSOCKET_KEY': KEY}, 'hybi-13'),
        (HIXIE_76, 'hixie-76'),
        (without(HIXIE_76, 'HTTP_SEC_WEBSOCKET_KEY1'), 'hixie-76'),
        (without(HIXIE_76, 'HTTP_SEC_WEBSOCKET_KEY2'), 'hixie-76'),
        (HIXIE_75, 'hixie-75'),
        ({}, 'hixie-75'),
    ])
    def test_is_chosen_by_the_headers(self, environ: dict[str, str], version: str) -> None:
        assert connecting(environ)[0].version == version

    @every_version
    def test_gets_the_options_that_it_has(self, environ: dict[str, str]) -> None:
        driver, _ = connecting(environ, protocols=['chat'], headers=[], max_length=10, max_fragments=3, extensions=())
        assert (driver.max_length, getattr(driver, 'max_fragments', 3)) == (10, 3)

    @every_version
    def test_has_no_unknown_options(self, environ: dict[str, str]) -> None:
        with pytest.raises(TypeError, match="unexpected keyword argument 'max_size'"):
            connecting(environ, max_size=10)


class TestRefusals:
    @pytest.mark.proves('S2', 'S3')
    @every_version
    @pytest.mark.parametrize(('change', 'text'), [
        ({'REQUEST_METHOD': 'POST'}, 'the method of a WebSocket handshake must be GET'),
        ({'REQUEST_METHOD': 'get'}, 'the method of a WebSocket handshake must be GET'),
        ({'SERVER_PROTOCOL': 'HTTP/1.0'}, 'a WebSocket handshake requires HTTP/1.1'),
        ({'SERVER_PROTOCOL': 'HTTP/2'}, 'a WebSocket handshake requires HTTP/1.1'),
        ({'HTTP_HOST': None}, 'the Host header is missing'),
        ({'HTTP_HOST': ''}, 'the Host header is missing'),
        ({'HTTP_HOST': 'a/b?c#d'}, "the Host header is not a valid host: 'a/b?c#d'"),
        ({'HTTP_HOST': 'x' * 90 + ' '}, f"the Host header is not a valid host: {'x' * 80!r}"),
        ({'HTTP_UPGRADE': None}, 'the Upgrade header does not contain websocket'),
        ({'HTTP_UPGRADE': 'h2c, websockets'}, 'the Upgrade header does not contain websocket'),
        ({'HTTP_CONNECTION': None}, 'the Connection header does not contain Upgrade'),
        ({'HTTP_CONNECTION': 'keep-alive'}, 'the Connection header does not contain Upgrade'),
        ({'CONTENT_LENGTH': '1'}, 'a WebSocket handshake must not have a body'),
        ({'CONTENT_LENGTH': '-1'}, 'a WebSocket handshake must not have a body'),
        ({'CONTENT_LENGTH': 'x'}, 'a WebSocket handshake must not have a body'),
        ({'HTTP_TRANSFER_ENCODING': 'chunked'}, 'a WebSocket handshake must not have a body'),
    ])
    def test_are_complete_and_close_the_connection(
        self, environ: dict[str, str], change: dict[str, str | None], text: str
    ) -> None:
        driver, io = connecting({name: value for name, value in {**environ, **change}.items() if value is not None})
        with pytest.raises(HandshakeError) as raised:
            driver.check()
        assert (str(raised.value), raised.value.status, raised.value.headers) == (text, '400 Bad Request', ())
        assert io.log == []
        assert driver.start() is False
        assert io.written.decode() == (
            'HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n'
            f'Content-Length: {len(text) + 1}\r\nConnection: close\r\n\r\n{text}\n')
        assert io.events == [('error', 'HandshakeError', text), ('close', 1006, text)]

    @every_version
    @pytest.mark.parametrize('change', [
        {'CONTENT_LENGTH': ''}, {'CONTENT_LENGTH': '0'}, {'HTTP_CONNECTION': 'keep-alive, \tupgrade'},
        {'HTTP_UPGRADE': 'h2c, WEBSOCKET'}])
    def test_are_not_for(self, environ: dict[str, str], change: dict[str, str]) -> None:
        connecting({**environ, **change})[0].check()


class TestIsWebsocket:
    @pytest.mark.parametrize('environ', [
        HYBI, HIXIE_75, HIXIE_76,
        {**HYBI, 'HTTP_CONNECTION': 'keep-alive, Upgrade'},
        {**HYBI, 'HTTP_UPGRADE': 'WebSocket, h2c'},
        {**HYBI, 'HTTP_SEC_WEBSOCKET_VERSION': '99'},
    ])
    def test_is_true_for(self, environ: dict[str, str]) -> None:
        assert is_websocket(environ) is True

    @pytest.mark.proves('H6')
    @pytest.mark.parametrize('environ', [
        {},
        {**HYBI, 'REQUEST_METHOD': 'POST'},
        {**HYBI, 'SERVER_PROTOCOL': 'HTTP/1.0'},
        {**HYBI, 'SERVER_PROTOCOL': 'HTTP/2'},
        {**HYBI, 'HTTP_CONNECTION': 'keep-alive'},
        {**HYBI, 'HTTP_UPGRADE': 'h2c'},
        {**HYBI, 'HTTP_UPGRADE': None},
        {**HYBI, 'HTTP_CONNECTION': 5},
        without(HYBI, 'HTTP_UPGRADE'),
        without(HYBI, 'HTTP_CONNECTION'),
    ])
    def test_is_false_for(self, environ: dict[str, Any]) -> None:
        assert is_websocket(environ) is False


class TestDriver:
    """The base class, which implements no version, and writes nothing."""

    @pytest.mark.parametrize(('state', 'command'), [
        (CONNECTING, lambda driver: driver.start()),
        (OPEN, lambda driver: driver.parse(b'')),
        (OPEN, lambda driver: driver.text('')),
        (OPEN, lambda driver: driver.close()),
    ], ids=['start', 'parse', 'text', 'close'])
    def test_leaves_to_a_version(self, state: int, command: Any) -> None:
        driver = Driver(Recorder(HYBI))
        driver.ready_state = state
        with pytest.raises(NotImplementedError):
            command(driver)
