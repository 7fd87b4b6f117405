"""Text as UTF-8: the replacement of surrogates, wherever a driver gets text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.driver.base import SharedMessage
from faye_websocket.driver.control_frames import check_close, close_payload, control_payload
from faye_websocket.driver.eventstream import serialize_comment, serialize_event
from faye_websocket.driver.text import encode_text
from faye_websocket.extensions import PermessageDeflate
from tests.support.recorder import Recorder, close_frame, connecting, opened, sent, sent_close
from tests.support.requests import HIXIE_75, HIXIE_76, HYBI
from tests.support.vectors import CLOSE, PING, PONG, TEXT, frame
from tests.unit.driver import test_client

#: With the result of JavaScript's String.prototype.toWellFormed().
TEXTS = [
    ('', ''),
    ('ab', 'ab'),
    ('\xe9\u20ac\U0001f600', '\xe9\u20ac\U0001f600'),
    ('a\ud800b', 'a\ufffdb'),
    ('\udc00', '\ufffd'),
    ('\ud83d\ude00', '\U0001f600'),
    ('\ude00\ud83d', '\ufffd\ufffd'),
    ('\ud800\ud83d\ude00\udc00', '\ufffd\U0001f600\ufffd'),
    ('\ud800\ud800', '\ufffd\ufffd'),
    ('\U0001f600\ud800', '\U0001f600\ufffd'),
    ('\xff\udfff', '\xff\ufffd'),
]
LONE, MENDED = 'a\ud800b', 'a\ufffdb'.encode()
surrogates = st.characters(categories=['Cs'])


@pytest.mark.parametrize(('text', 'sent'), TEXTS)
def test_has_replacement_characters_for_lone_surrogates(text: str, sent: str) -> None:
    assert encode_text(text).decode() == sent


@given(st.text(st.one_of(surrogates, st.characters())))
def test_is_what_a_browser_sends(text: str) -> None:
    units, mended = (
        memoryview(text.encode('utf-16-le', 'surrogatepass')).cast('H').tolist(),
        [],
    )
    while units:
        unit = units.pop(0)
        if 0xD800 <= unit < 0xDC00 and units and 0xDC00 <= units[0] < 0xE000:
            unit = 0x10000 + (unit - 0xD800) * 0x400 + units.pop(0) - 0xDC00
        mended.append('\ufffd' if 0xD800 <= unit < 0xE000 else chr(unit))
    assert encode_text(text) == ''.join(mended).encode()



def deflating(threshold: int) -> tuple[Any, Recorder]:
    """Return the open driver of a server with an extension."""
    environ = {**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': 'permessage-deflate'}
    return opened(environ, extensions=[PermessageDeflate(threshold=threshold)])


class TestServer:
    @pytest.mark.parametrize(('text', 'mended'), TEXTS)
    @pytest.mark.parametrize('times', [1, 20_000])
    def test_sends_text(self, text: str, mended: str, times: int) -> None:
        driver, io = opened()
        assert driver.text(f'{text} ' * times) is True
        assert io.written == frame(TEXT, f'{mended} '.encode() * times)

    def test_sends_text_before_it_is_open(self) -> None:
        driver, io = connecting()
        assert driver.text(LONE) is True
        driver.start()
        assert io.log[1] == ('write', frame(TEXT, MENDED))

    @pytest.mark.parametrize('threshold', [0, 1000])
    def test_sends_text_through_extensions(self, threshold: int) -> None:
        driver, io = deflating(threshold)
        expected, other = deflating(threshold)
        assert driver.text(LONE) is expected.text(MENDED.decode()) is True
        assert io.log == other.log

    @pytest.mark.parametrize('environ', [HYBI, HIXIE_75, HIXIE_76])
    def test_sends_a_shared_message(self, environ: Any) -> None:
        driver, io = opened(environ)
        message = SharedMessage(LONE)
        assert (driver.send_shared(message), driver.text(LONE)) == (True, True)
        assert io.log[0] == io.log[1]
        assert MENDED in io.written
        assert message.payload == MENDED

    def test_sends_pings_and_pongs(self) -> None:
        driver, io = opened()
        called: list[bool] = []
        assert (
            driver.ping(LONE, lambda: called.append(True)) is driver.pong(LONE) is True
        )
        assert io.log == [
            ('write', frame(PING, MENDED)),
            ('write', frame(PONG, MENDED)),
        ]
        driver.parse(sent(PONG, MENDED))
        assert called == [True]

    def test_closes_with_a_reason(self) -> None:
        driver, io = opened()
        assert driver.close(1000, LONE) is True
        driver.parse(sent_close(1000))
        assert io.log == [
            ('write', close_frame(1000, MENDED.decode())),
            ('close', 1000, MENDED.decode()),
        ]

    def test_fails_with_a_reason(self) -> None:
        driver, io = opened()
        driver.fail(1011, LONE)
        assert io.log[0] == ('write', close_frame(1011, MENDED.decode()))


class TestClient:
    def test_sends_all_of_it(self) -> None:
        driver, io = test_client.opened()
        driver.text(LONE)
        driver.send_shared(SharedMessage(LONE))
        driver.ping(LONE)
        driver.pong(LONE)
        driver.close(1000, LONE)
        assert [test_client.unmasked(entry[1]) for entry in io.log] == [
            frame(TEXT, MENDED),
            frame(TEXT, MENDED),
            frame(PING, MENDED),
            frame(PONG, MENDED),
            frame(CLOSE, b'\x03\xe8' + MENDED),
        ]


class TestControlFrames:
    def test_count_the_bytes_that_are_sent(self) -> None:
        lone = '\ud800' * 41
        check_close(1000, lone, server=True)
        assert close_payload(1000, lone)[2:] == '\ufffd'.encode() * 41
        assert control_payload(lone + 'ab') == '\ufffd'.encode() * 41 + b'ab'
        with pytest.raises(
            ValueError,
            match='^reason: a close frame holds at most 123 bytes, not 124$',
        ):
            check_close(1000, f'{lone}a', server=True)
        with pytest.raises(
            ValueError,
            match='^message: a control frame holds at most 125 bytes, not 126$',
        ):
            control_payload(f'{lone}abc')

    def test_cut_a_reason_where_a_character_ends(self) -> None:
        assert close_payload(1011, 'ab' + '\ud800' * 41)[2:] == b'ab' + '\ufffd'.encode() * 40


def test_an_event_stream_has_none_either() -> None:
    assert serialize_event(
        LONE, LONE, LONE
    ) == b'event: %b\r\nid: %b\r\ndata: %b\r\n\r\n' % (MENDED, MENDED, MENDED)
    assert serialize_comment(LONE) == b': %b\r\n' % MENDED
