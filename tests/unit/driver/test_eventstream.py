"""Event streams: the events that a browser reads, and the driver that sends them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from faye_websocket.driver.eventstream import (
    PING,
    EventStream,
    find_last_event_id,
    is_eventsource,
    serialize_comment,
    serialize_event,
    serialize_retry,
)
from tests.support.eventstream import EventParser, ServerEvent
from tests.support.recorder import BufferedRecorder, Recorder

Cost = Callable[[Callable[[], object]], float]

HEAD = b'HTTP/1.1 200 OK\r\n\r\n'
PREAMBLE = b'retry: 5000\r\n'

# Everything that has a meaning for a parser, or that an encoder may get wrong.
SPECIAL = [
    '\r', '\n', '\r\n', '\0', ' ', ':', '\t', '\x85', '\u2028', '\u2029', '\ufeff', '\ud83d', '\ude00', 'data: ', 'é', '😀']

texts = st.lists(st.one_of(st.sampled_from(SPECIAL), st.text(), st.characters(categories=['Cs']))).map(''.join)
lines = texts.map(lambda text: re.sub('[\r\n\0]', '', text))


def scalar_values(text: str) -> str:
    """Return a string of UTF-16 code units as a USVString (WebIDL, 2.13.20).

    It follows the definition of the conversion.
    """
    units, result, index = text.encode('utf-16-be', 'surrogatepass'), '', 0
    codes = [int.from_bytes(units[at:at + 2], 'big') for at in range(0, len(units), 2)]
    while index < len(codes):
        code, following = codes[index], codes[index + 1] if index + 1 < len(codes) else 0
        if 0xD800 <= code <= 0xDBFF and 0xDC00 <= following <= 0xDFFF:
            result += chr(0x10000 + (code - 0xD800) * 0x400 + following - 0xDC00)
            index += 1
        else:
            result += '\ufffd' if 0xD800 <= code <= 0xDFFF else chr(code)
        index += 1
    return result


def as_read(text: str) -> str:
    """Return the data that a browser must show for the data sent."""
    return scalar_values(text).replace('\r\n', '\n').replace('\r', '\n')


class TestSerializing:
    """Events as bytes."""

    @pytest.mark.proves('E1')
    @given(texts)
    @example('')
    @example('\n')
    @example('\r')
    @example(' leading and trailing ')
    @example('\ufeffmark')
    @example('data: x\n\ndata: y')
    @example('a\0b')
    @example('\u2028')
    @example('\ud83d')
    @example('\ude00\ud83d')
    def test_what_is_sent_is_what_a_browser_reads(self, data: str) -> None:
        assert EventParser().parse(PREAMBLE + serialize_event(data)).events == [ServerEvent(as_read(data))]

    @pytest.mark.proves('E1')
    @given(st.lists(st.tuples(texts, st.none() | lines, st.none() | lines)))
    def test_a_stream_is_read_event_by_event(self, events: list[tuple[str, str | None, str | None]]) -> None:
        expected, last_event_id = [], ''
        for data, event, id in events:
            last_event_id = last_event_id if id is None else scalar_values(id)
            expected.append(ServerEvent(as_read(data), scalar_values(event or '') or 'message', last_event_id))
        stream = PREAMBLE + b''.join(serialize_event(*event) + PING for event in events)
        assert EventParser().parse(stream).events == expected

    @pytest.mark.proves('E1')
    def test_every_empty_line_ends_an_event(self) -> None:
        # fetch-event-source, httpx-sse and others make an event of any block without
        # data, which no browser does.
        stream = (
            serialize_retry(1)
            + PING
            + serialize_event('a', id='1')
            + PING * 2
            + serialize_event('b\n\nc')
            + PING
        )
        *blocks, rest = stream.split(b'\r\n\r\n')
        assert [b'\r\ndata: ' in block for block in blocks] == [True, True]
        assert (
            rest + serialize_comment('slow consumer') == PING + b': slow consumer\r\n'
        )
        events = [ServerEvent(data, last_event_id='1') for data in ('a', 'b\n\nc')]
        assert EventParser().parse(stream).events == events

    @pytest.mark.proves('S7', 'E1')
    @given(texts, texts, texts)
    def test_nothing_breaks_out_of_its_field(self, data: str, event: str, id: str) -> None:
        try:
            stream = serialize_event(data, event, id)
        except ValueError:
            assert re.search('[\r\n\0]', event + id)
        else:
            assert len(EventParser().parse(stream).events) == 1

    @pytest.mark.proves('S7')
    @pytest.mark.parametrize('name', ['event', 'id'])
    @pytest.mark.parametrize('value', ['a\rb', 'a\nb', 'a\r\nb', 'a\0b', '\n', '\r', '\0', 'x\n\ndata: injected'])
    def test_an_injection_raises(self, name: str, value: str) -> None:
        with pytest.raises(ValueError, match=f'{name}: expected no CR, LF or NUL, got '):
            serialize_event('data', **{name: value})

    def test_writes_what_the_ruby_library_writes(self) -> None:
        assert serialize_event('a\nb\r\nc', 'news', '99') == (
            b'event: news\r\nid: 99\r\ndata: a\r\ndata: b\r\ndata: c\r\n\r\n')

    def test_an_empty_id_resets_the_last_event_id(self) -> None:
        stream = serialize_event('a', id='1') + serialize_event('b', id='')
        assert [event.last_event_id for event in EventParser().parse(stream).events] == ['1', '']

    @pytest.mark.parametrize(('seconds', 'milliseconds'), [(5, 5000), (0, 0), (0.25, 250), (1.0004, 1000), (1e6, 10**9)])
    def test_retry_is_in_milliseconds(self, seconds: float, milliseconds: int) -> None:
        assert EventParser().parse(serialize_retry(seconds)).retry == milliseconds

    @pytest.mark.parametrize('seconds', [-1, math.nan, math.inf, -0.001])
    def test_refuses_a_retry_that_is_not_a_time(self, seconds: float) -> None:
        with pytest.raises(ValueError, match=f'retry: expected at least 0 seconds, got {seconds}'):
            serialize_retry(seconds)

    @pytest.mark.parametrize('comment', [PING, serialize_comment('slow consumer')])
    def test_a_comment_is_no_event(self, comment: bytes) -> None:
        parsed = EventParser().parse(comment)
        assert (parsed.events, len(parsed.comments)) == ([], 1)


class TestRequest:
    """The parts of an environ that concern an event source."""

    @pytest.mark.proves('E6')
    @pytest.mark.parametrize(('accept', 'expected'), [
        ('text/event-stream', True),
        ('text/event-stream;q=0.9, */*', True),
        ('*/*, text/event-stream', True),
        ('text/html,text/event-stream ; charset=utf-8', True),
        ('Text/Event-Stream', True),
        ('text/event-stream;q=0.001', True),
        ('text/event-stream;q=0', False),
        ('text/event-stream; Q=0.000 ', False),
        ('text/event-stream;q=0;a=b', False),
        ('text/event-streams', False),
        ('x-text/event-stream', False),
        ('*/*', False),
        ('text/*', False),
        ('', False),
        (',;,', False),
    ])
    def test_is_recognized_by_the_accept_header(self, accept: str, expected: bool) -> None:
        assert is_eventsource({'REQUEST_METHOD': 'GET', 'HTTP_ACCEPT': accept}) is expected

    @pytest.mark.proves('E6')
    @pytest.mark.parametrize('method', ['HEAD', 'POST', 'OPTIONS', 'get', ''])
    def test_only_a_get_is_accepted(self, method: str) -> None:
        assert not is_eventsource({'REQUEST_METHOD': method, 'HTTP_ACCEPT': 'text/event-stream'})

    @pytest.mark.proves('E6')
    @pytest.mark.parametrize('environ', [
        {}, {'REQUEST_METHOD': 'GET'}, {'REQUEST_METHOD': None, 'HTTP_ACCEPT': None},
        {'REQUEST_METHOD': 'GET', 'HTTP_ACCEPT': None}, {'REQUEST_METHOD': 'GET', 'HTTP_ACCEPT': b'\xff'},
        {'REQUEST_METHOD': 'GET', 'HTTP_ACCEPT': '\udcff\0;q=;;'}])
    def test_never_raises(self, environ: Any) -> None:
        assert not is_eventsource(environ)

    @pytest.mark.proves('S6')
    @pytest.mark.parametrize('header', [
        'text/event-stream;' * 3641, ',' * 65536, ';q=0.' + '0' * 65530, 'text/event-stream' + '; ' * 32768,
        'text/event-stream' + ';' + ' ' * 65536, 'text/event-stream;q=0.' + '0' * 65530 + 'x'])
    def test_a_hostile_header_costs_linear_time(self, header: str, cost: Cost) -> None:
        assert cost(lambda: is_eventsource({'REQUEST_METHOD': 'GET', 'HTTP_ACCEPT': header})) < 0.05

    @pytest.mark.parametrize(('environ', 'expected'), [
        ({}, ''),
        ({'HTTP_LAST_EVENT_ID': '42'}, '42'),
        ({'HTTP_LAST_EVENT_ID': 'ü☃'.encode().decode('latin-1')}, 'ü☃'),
        ({'HTTP_LAST_EVENT_ID': '\xff'}, '\ufffd'),
        ({'HTTP_LAST_EVENT_ID': '☃'}, '?'),
        ({'QUERY_STRING': 'a=b&lastEventId=42'}, '42'),
        ({'QUERY_STRING': 'last-event-id=%C3%BC%20x'}, 'ü x'),
        ({'QUERY_STRING': 'lastEventId=&last-event-id=2'}, ''),
        ({'QUERY_STRING': 'lasteventid=42&x'}, ''),
        ({'QUERY_STRING': 'lastEventId=1', 'HTTP_LAST_EVENT_ID': '2'}, '2'),
        ({'QUERY_STRING': 'lastEventId=1', 'HTTP_LAST_EVENT_ID': ''}, '1'),
    ])
    def test_finds_the_last_event_id(self, environ: dict[str, str], expected: str) -> None:
        assert find_last_event_id(environ) == expected


def new_stream(io: type[Recorder] = Recorder) -> tuple[EventStream, Any]:
    """Return a driver that was not started, and its recorder."""
    recorder, driver = io({}), EventStream(PREAMBLE)
    driver.io = recorder
    recorder.watch(driver)
    return driver, recorder


def opened(io: type[Recorder] = Recorder) -> tuple[EventStream, Any]:
    """Return an open driver, and its recorder with an empty log."""
    driver, recorder = new_stream(io)
    driver.start()
    recorder.log.clear()
    return driver, recorder


class TestConnecting:
    """Before the response has begun."""

    @pytest.mark.proves('E2')
    def test_begins_with_the_head_and_the_preamble_in_one_write(self) -> None:
        driver, recorder = new_stream()
        driver.accept([('A', 'b')])
        assert recorder.log == [('write', b'HTTP/1.1 200 OK\r\nA: b\r\n\r\n' + PREAMBLE), ('open',)]

    def test_starts_once(self) -> None:
        driver, recorder = opened()
        assert not driver.start()
        assert recorder.log == []

    def test_events_sent_before_follow_the_head(self) -> None:
        driver, recorder = new_stream()
        assert driver.text('a')
        assert driver.ping()
        assert driver.close(1000, '')
        assert not driver.text('b')
        driver.start()
        assert recorder.log == [
            ('write', HEAD + PREAMBLE), ('write', b'data: a\r\n\r\n'), ('write', PING), ('close', 1000, '')]

    def test_failing_writes_nothing(self) -> None:
        driver, recorder = new_stream()
        driver.fail(1013, 'slow consumer')
        driver.start()
        assert recorder.log == [('close', 1013, 'slow consumer')]

    def test_discards_its_bytes_without_an_io(self) -> None:
        assert EventStream(PREAMBLE).start()


class TestOpen:
    """While events are sent."""

    def test_sends_text_as_an_event_and_bytes_as_they_are(self) -> None:
        driver, recorder = opened()
        assert driver.text('a\n\ud83d')
        assert driver.binary(b'data: b\r\n\r\n')
        assert recorder.log == [('write', 'data: a\r\ndata: \ufffd\r\n\r\n'.encode()), ('write', b'data: b\r\n\r\n')]

    @pytest.mark.parametrize(('io', 'expected'), [
        (Recorder, ('write', PING)), (BufferedRecorder, ('write_urgent', PING, 'ping'))])
    def test_a_ping_overtakes_buffered_data_if_it_can(self, io: type[Recorder], expected: tuple[Any, ...]) -> None:
        driver, recorder = opened(io)
        assert driver.ping('whatever')
        assert recorder.log == [expected]

    def test_has_no_pongs(self) -> None:
        driver, recorder = opened()
        assert not driver.pong()
        assert recorder.log == []

    def test_ignores_the_bytes_of_the_client(self) -> None:
        driver, recorder = opened()
        driver.parse(b'GET / HTTP/1.1\r\n\r\n')
        assert recorder.log == []

    def test_closes_at_once_and_cleanly(self) -> None:
        driver, recorder = opened()
        assert driver.close(1000, '')
        assert (recorder.log, driver.was_clean) == ([('close', 1000, '')], True)

    @pytest.mark.parametrize(('io', 'verb'), [(Recorder, 'write'), (BufferedRecorder, 'write_last')])
    def test_failing_replaces_buffered_data_by_the_reason(self, io: type[Recorder], verb: str) -> None:
        driver, recorder = opened(io)
        driver.fail(1013, 'slow consumer')
        assert recorder.log == [(verb, b': slow consumer\r\n'), ('close', 1013, 'slow consumer')]
        assert not driver.was_clean

    def test_the_end_of_the_connection_is_the_end(self) -> None:
        driver, recorder = opened()
        driver.end('reset')
        assert (recorder.log, driver.was_clean) == ([('close', 1006, 'reset')], False)


def test_nothing_is_sent_once_closed() -> None:
    driver, recorder = opened()
    driver.end()
    recorder.log.clear()
    assert not any([driver.text('a'), driver.binary(b'b'), driver.ping(), driver.close()])
    driver.fail(1013, 'slow consumer')
    driver.end()
    assert recorder.log == []
