"""The targets of fuzzing: functions that feed an input to the library.

They raise if the library does not keep its rules. The rule for all is that an input is
accepted, or rejected with a documented error; nothing else is raised. Each target adds
rules of its own. The first bytes of an input choose the options and how the rest is
cut. The rest comes from the peer.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from faye_websocket import PermessageDeflate
from faye_websocket.driver import CLOSED, CONNECTING, OPEN, is_websocket, server
from faye_websocket.driver.eventstream import (
    PING,
    find_last_event_id,
    is_eventsource,
    serialize_event,
    serialize_retry,
)
from faye_websocket.driver.proxy import Proxy
from faye_websocket.errors import InvalidData, MessageTooBig, ProtocolError
from faye_websocket.extensions import Message, Pipeline
from faye_websocket.extensions.header import parse_extensions, serialize_extension
from faye_websocket.http.origin import make_origin_check
from faye_websocket.http.url import determine_url, parse_url
from tests.support.forms import FORMS, find_codec
from tests.support.recorder import Recorder, closing, opened
from tests.support.requests import HIXIE_75, HIXIE_76, HYBI
from tests.unit.driver import test_client

__all__ = ['TARGETS']

#: Limits so small that a short input can exceed them.
LIMITS: Any = {'max_length': 200, 'max_fragments': 5}
#: The number of bytes that a driver may hold beside a message: a header, a control
#: frame, the overhead of strings.
SLACK = 1024

#: A response that a client must skip, and a number of such responses that it accepts.
_INTERIM = b'HTTP/1.1 103 Early Hints\r\nLink: </a>;\r\n rel=preload\r\n\r\n'
_FEW = 15
#: The length of the pieces that zlib is given, the tail of a message, and the greatest
#: number of final blocks in one.
_PIECE = 2**16
_TAIL = b'\0\0\xff\xff'
_MAX_FINAL_BLOCKS = 64

_DOCUMENTED = ('ProtocolError', 'InvalidData', 'MessageTooBig', 'HandshakeError')
_RESERVED = (0x00, 0x40, 0x60, 0x70)


#: The codec in each form that is installed.
CODECS = [module for module in map(find_codec, FORMS) if module is not None]


def cut(wire: bytes, size: int) -> list[bytes]:
    """Return the wire in parts of this size, or whole for 0."""
    return [wire[start:start + size] for start in range(0, len(wire), size)] if size else [wire]


def frames(data: bytes) -> None:
    """Compare the frame parser with a plain implementation of RFC 6455.

    Each form of the codec is fed the wire whole and in parts.
    """
    if len(data) < 2:
        return
    masked, reserved, size, wire = bool(data[0] & 1), _RESERVED[data[0] >> 1 & 3], data[1], data[2:]
    expected = list(_plain_frames(wire, masked, reserved))
    for module in CODECS:
        for parts in (cut(wire, 0), cut(wire, size)):
            assert list(_parsed_frames(module, parts, masked, reserved)) == expected


def _parsed_frames(module: ModuleType, parts: Iterable[bytes], masked: bool, reserved: int) -> Iterator[Any]:
    """Yield the frames that a codec makes of the parts, joined and serialized again.

    Then yield the payload of the last one, if it is incomplete, and whether the rest
    was refused.
    """
    parser = module.FrameParser(masked=masked)
    parser.reserve(reserved)
    payload = b''
    try:
        for part in parts:
            parser.feed(part)
            while (frame := parser.next_frame()) is not None:
                assert frame.is_first or not frame.opcode & 8
                payload = frame.payload if frame.is_first else payload + frame.payload
                if frame.is_last:
                    assert frame.length == len(payload)
                    yield module.serialize_frame(frame.opcode, payload, frame.fin, frame.rsv, frame.masking_key)
                    payload = b''
    except ProtocolError as error:
        assert type(error) is ProtocolError
        yield 'refused'
        return
    yield payload


def _plain_frames(wire: bytes, masked: bool, reserved: int) -> Iterator[Any]:
    """Yield the result of ``_parsed_frames`` from a plain parser of RFC 6455 section
    5.2.
    """
    while len(wire) >= 2:
        fin, rsv, opcode, length = wire[0] & 0x80, wire[0] & 0x70, wire[0] & 0x0F, wire[1] & 0x7F
        is_control = opcode in (8, 9, 10)
        size = {126: 2, 127: 8}.get(length, 0)
        if (
            opcode not in (0, 1, 2, 8, 9, 10)
            or rsv & ~(0 if is_control else reserved)
            or (is_control and not (fin and length < 126))
            or bool(wire[1] & 0x80) is not masked
        ):
            yield 'refused'
            return
        start = 2 + size + 4 * masked
        if len(wire) < 2 + size:
            break
        if size:
            length = int.from_bytes(wire[2:2 + size], 'big')
            if length < (126 if size == 2 else 2**16) or length >= 2**63:
                yield 'refused'
                return
        if len(wire) < start:
            break
        if len(wire) < start + length:
            key = wire[start - 4:start] if masked else bytes(4)
            yield b'' if is_control else bytes(byte ^ key[index % 4] for index, byte in enumerate(wire[start:]))
            return
        yield wire[:start + length]
        wire = wire[start + length:]
    yield b''


def hybi(data: bytes) -> None:
    """Feed messages of RFC 6455 to either end, with and without an extension.

    The end is open or closing. The events and the memory must not depend on how the
    wire is cut, and every ping before the peer's close must get a pong.
    """
    if len(data) < 2:
        return
    open = _open_client if data[0] & 1 else _open_server
    for log in _assert_one_story(
        lambda: open(bool(data[0] & 2), bool(data[0] & 4)), data[1], data[2:]
    ):
        pings = [index for index, entry in enumerate(log) if entry[0] == 'ping']
        assert all(index and log[index - 1][0] == 'write' for index in pings)


def _open_server(has_extension: bool, is_closing: bool) -> tuple[Any, Recorder]:
    environ = {**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': 'permessage-deflate'}
    extensions = [PermessageDeflate()] if has_extension else ()
    return (closing if is_closing else opened)(environ, extensions=extensions, **LIMITS)


def _open_client(has_extension: bool, is_closing: bool) -> tuple[Any, Recorder]:
    driver, io = test_client.started(extensions=[PermessageDeflate()] if has_extension else (), **LIMITS)
    extension = 'Sec-WebSocket-Extensions: permessage-deflate\r\n' if has_extension else ''
    driver.parse(f'{test_client.ACCEPTED}{extension}\r\n'.encode())
    assert driver.ready_state == OPEN
    if is_closing:
        driver.close(1000, 'done')
    io.log.clear()
    return driver, io


def hixie(data: bytes) -> None:
    """Feed messages of the two drafts, and compare with what the Ruby driver makes of
    them.
    """
    if len(data) < 2:
        return
    environ = HIXIE_76 if data[0] & 1 else HIXIE_75
    logs = _assert_one_story(lambda: opened(environ, max_length=LIMITS['max_length']), data[1], data[2:])
    expected = list(_plain_hixie(data[2:], bool(data[0] & 1)))
    for log in logs:
        told = [entry[entry[0] == 'message'] for entry in log if entry[0] != 'write']
        assert told[:len(expected)] == expected


def _plain_hixie(wire: bytes, has_close: bool) -> Iterator[str]:
    """Yield the texts, as a plain parser reads them, and the end: an error, or the
    close.
    """
    while wire:
        if wire[0] < 0x80:
            text, end, rest = wire[1:].partition(b'\xff')
            if len(text) > LIMITS['max_length'] or (end and not _is_utf8(text)):
                yield 'error'
            if len(text) > LIMITS['max_length'] or not end or not _is_utf8(text):
                return
            yield text.decode()
            wire = rest
            continue
        length = 0
        for index, byte in enumerate(wire[1:], 1):
            length = length * 128 + (byte & 0x7F)
            if length > LIMITS['max_length'] or index > 9:
                yield 'error'
                return
            if byte < 0x80:
                break
        else:
            return
        if has_close and wire[0] == 0xFF and not length:
            yield 'close'
            return
        wire = wire[1 + index + length:]


def _is_utf8(text: bytes) -> bool:
    return text.decode(errors='replace').encode() == text


def _assert_one_story(open: Callable[[], tuple[Any, Recorder]], size: int, wire: bytes) -> list[list[Any]]:
    """Return the log for each way to cut the wire; they must agree."""
    stories, logs = [], []
    for parts in (cut(wire, 0), cut(wire, size)):
        driver, io = open()
        for part in parts:
            driver.parse(part)
            assert _held(driver) <= LIMITS['max_length'] + len(part) + SLACK
        is_closed = driver.ready_state == CLOSED
        _assert_story(driver, io)
        logs.append([*io.log])
        driver.end('gone')
        driver.parse(b'late')
        assert driver.ready_state == CLOSED
        _assert_story(driver, io)
        assert driver.was_clean or not is_closed or io.events[-2][0] == 'error'
        # The masking keys of a client differ from run to run. The events show the
        # masked data.
        stories.append((is_closed, driver.was_clean, io.events, [entry[0] for entry in io.log]))
    assert stories[0] == stories[1]
    return logs


def _assert_story(driver: Any, io: Recorder) -> None:
    """Assert that close comes once and last, after at most one error, a documented one.
    """
    types = [entry[0] for entry in io.log]
    errors = [entry for entry in io.log if entry[0] == 'error']
    assert types.count('close') == (driver.ready_state == CLOSED)
    assert 'close' not in types[:-1]
    assert len(errors) <= 1
    assert all(entry[1] in _DOCUMENTED and types[-1] == 'close' for entry in errors)
    assert not (driver.was_clean and errors)
    for entry in io.log:
        if entry[0] == 'message':
            assert len(entry[1] if isinstance(entry[1], bytes) else entry[1].encode()) <= driver.max_length


def _held(thing: object, depth: int = 3) -> int:
    """Return the number of bytes and characters in the attributes of a driver and its
    parts.
    """
    if isinstance(thing, (bytes, bytearray, str)):
        return len(thing)
    if not type(thing).__module__.startswith('faye_websocket') or not depth:
        return 0
    names = {name for cls in type(thing).__mro__ for name in getattr(cls, '__slots__', ())} - {'_writer', 'observer'}
    return sum(_held(getattr(thing, name, None), depth - 1) for name in names)


def request(data: bytes) -> None:
    """Feed a raw connection any request, and the bytes after it in any version.

    An empty line before the request must have no effect.
    """
    if len(data) < 2:
        return
    logs = []
    for parts in (cut(data[2:], 0), cut(b'\r\n' + data[2:], data[1])):
        io = Recorder({})
        driver = server(
            io, ['chat'], secure=bool(data[0] & 1), extensions=[PermessageDeflate()], max_length=LIMITS['max_length'])
        io.watch(driver)
        for part in parts:
            driver.parse(part)
        _assert_answer(driver, io)
        _assert_head(driver, data[2:].lstrip(b'\r\n'))
        _assert_environ(driver.environ)
        driver.end()
        assert (driver.ready_state, io.events[-1][0]) == (CLOSED, 'close')
        assert [entry[0] for entry in io.events].count('close') == 1
        logs.append(io.log)
    assert logs[0] == logs[1]


def _assert_answer(driver: Any, io: Recorder) -> None:
    """Assert that a request is accepted, refused by a complete response, or incomplete.
    """
    if driver.ready_state == CONNECTING:
        # hixie-76 sends the head before the proof.
        assert io.written == b'' or driver.version == 'hixie-76'
        return
    head, _, rest = io.written.partition(b'\r\n\r\n')
    status, *lines = head.decode('latin-1').split('\r\n')
    headers = dict(line.split(': ', 1) for line in lines)
    assert not set(''.join(lines)) & set('\r\n\0')
    if status.startswith('HTTP/1.1 101 '):
        assert 'Content-Length' not in headers
        assert ('open',) in io.log
    else:
        assert status.startswith(('HTTP/1.1 400 ', 'HTTP/1.1 426 ', 'HTTP/1.1 431 '))
        assert (headers['Connection'], headers['Content-Length']) == ('close', str(len(rest)))
        assert [entry[0] for entry in io.events if entry[0] != 'connect'] == ['error', 'close']


def _assert_head(driver: Any, wire: bytes) -> None:
    """Assert that an accepted head has no folded line, and one host.

    The host is in the target, or else in the Host header.
    """
    if driver.ready_state != OPEN:
        return
    line, *lines = wire.partition(b'\r\n\r\n')[0].split(b'\r\n')
    assert not any(line.startswith((b' ', b'\t')) for line in lines)
    hosts = [
        line[5:].strip().decode() for line in lines if line.lower().startswith(b'host:')
    ]
    scheme, _, rest = line.split(b' ')[1].decode().partition('://')
    host = (
        re.split('[/?#]', rest)[0]
        if scheme.lower() in ('http', 'https', 'ws', 'wss')
        else hosts[0]
    )
    assert len(hosts) == 1
    assert not set(hosts[0] + host) & set(' \t/?#@\\"<>')
    assert driver.environ['HTTP_HOST'] == host
    assert determine_url(driver.environ).partition('://')[2].startswith(host)


def _assert_environ(environ: Any) -> None:
    """Assert that all functions of an environ return a value."""
    assert is_websocket(environ) in (True, False)
    assert is_eventsource(environ) in (True, False)
    assert isinstance(find_last_event_id(environ), str)
    parts = environ.get('HTTP_HOST', '') + environ.get('QUERY_STRING', '')
    assert determine_url(environ).isascii() or not parts.isascii()
    origin = environ.get('HTTP_ORIGIN', '')
    for allowed in ('same-origin', ['https://example.com']):
        assert make_origin_check(allowed)(origin, environ) in (True, False)
    if make_origin_check(['https://*.example.com'])(origin, environ):
        assert re.fullmatch(r'https://[^/?#@:]+\.example\.com(:(0*443)?)?', origin, re.IGNORECASE)


def response(data: bytes) -> None:
    """Feed a client any response, and the bytes after it.

    An interim response before it must have no effect.
    """
    if len(data) < 2:
        return
    stories, protocols = [], ['chat', 'superchat'] if data[0] & 1 else []
    for parts in (cut(data[2:], 0), cut(_INTERIM + data[2:], data[1])):
        driver, io = test_client.started(
            protocols=protocols, extensions=[PermessageDeflate()], redirect=_is_followed, **LIMITS)
        for part in parts:
            driver.parse(part)
        is_open = ('open',) in io.log
        assert is_open == (driver.status == 101 and io.events[:1] == [('open',)])
        assert driver.protocol in (protocols if is_open and protocols else [''])
        assert driver.status in (None, 101) or not 100 <= driver.status < 200
        driver.end()
        assert (driver.ready_state, io.events[-1][0]) == (CLOSED, 'close')
        assert len(driver.body) <= 1024
        _assert_story(driver, io)
        assert is_open or [entry[0] for entry in io.log] == ['error', 'close']
        stories.append((driver.status, driver.headers, driver.protocol, driver.extensions, is_open, io.events))
    # The network decides how much of a refusal's body arrives together with the head.
    assert stories[0] == stories[1] or data.count(b'HTTP/1.') > _FEW


def _is_followed(location: str) -> bool:
    """Return False, after parsing the location: any redirect can be judged."""
    url([location.encode('latin-1')][0])
    return False


def proxy(data: bytes) -> None:
    """Feed a tunnel any response of a proxy: it must open, or emit one error."""
    if not data:
        return
    stories = []
    for parts in (cut(data[1:], 0), cut(_INTERIM + data[1:], data[0])):
        io = Recorder({})
        tunnel = Proxy(io, 'example.com:443')
        io.watch(tunnel)
        tunnel.start()
        answered = sum(_feed(tunnel, io, part) for part in parts)
        tunnel.end()
        assert len(io.events) == 1
        assert io.events[0][:2] in [('connect',), ('error', 'HandshakeError')]
        assert answered or io.events[0][0] == 'error'
        assert tunnel.status in (None, 101) or not 100 <= tunnel.status < 200
        stories.append((tunnel.status, tunnel.headers, io.events))
    assert stories[0] == stories[1] or data.count(b'HTTP/1.') > _FEW


def _feed(tunnel: Proxy, io: Recorder, part: bytes) -> bool:
    tunnel.parse(part)
    return bool(io.events)


def extensions(data: bytes) -> None:
    """Parse Sec-WebSocket-Extensions: serialized again, it must parse to an equal
    value.

    Empty elements must have no effect.
    """
    header = data.decode('latin-1')
    offers = _parse_extensions(header)
    assert _parse_extensions(f' ,\t,{header}, ,') == offers
    if offers is not None:
        again = ',,'.join(
            serialize_extension(name, parameters) for name, parameters in offers
        )
        assert _parse_extensions(again) == offers


def _parse_extensions(header: str) -> list[Any] | None:
    try:
        return parse_extensions(header)
    except ValueError as error:
        assert str(error).startswith(('malformed Sec-WebSocket-Extensions header at character ', 'more than 100 extensions'))
        return None


def negotiation(data: bytes) -> None:
    """Negotiate permessage-deflate at both ends.

    No offer raises, the client accepts the response to its own offer, and messages then
    pass.
    """
    if not data:
        return
    options = _deflate_options(data[0])
    header = data[1:].decode('latin-1')
    for side in ('generate_response', 'activate'):
        pipeline = Pipeline([PermessageDeflate(**options)])
        offer = pipeline.generate_offer() if side == 'activate' else ''
        try:
            getattr(pipeline, side)(header)
        except ValueError:
            continue
        if pipeline.header:
            ours = parse_extensions(pipeline.header)
            assert [name for name, _ in ours] == ['permessage-deflate']
            _assert_within(ours[0][1], parse_extensions(offer if side == 'activate' else header))
            _assert_sends(pipeline)
    client, peer = Pipeline([PermessageDeflate(**options)]), Pipeline([PermessageDeflate(**_deflate_options(data[-1]))])
    answer = peer.generate_response(client.generate_offer())
    if answer:
        client.activate(answer)
        for text in (b'', b'a' * 300, bytes(range(256))):
            for sender, receiver in ((client, peer), (peer, client)):
                message = sender.process_outgoing_message(Message(2, text, 0))
                assert receiver.process_incoming_message(Message(2, message.data, message.rsv, 300)).data == text


def _deflate_options(byte: int) -> dict[str, Any]:
    bits = [None, 8, 9, 15]
    return {
        'no_context_takeover': bool(byte & 1), 'request_no_context_takeover': bool(byte & 2),
        'max_window_bits': bits[byte >> 2 & 3], 'request_max_window_bits': bits[byte >> 4 & 3], 'threshold': 0}


def _assert_within(agreed: Any, offers: list[Any]) -> None:
    """Assert that the agreement has only parameters of RFC 7692, within the offer."""
    assert set(agreed) <= {
        'server_no_context_takeover', 'client_no_context_takeover', 'server_max_window_bits', 'client_max_window_bits'}
    mine = [parameters for name, parameters in offers if name == 'permessage-deflate']
    for name in ('server_max_window_bits', 'client_max_window_bits'):
        assert agreed.get(name) is None or agreed[name] in [str(bits) for bits in range(8, 16)]
    # 7.1.2.2: not in the response unless it is in the offer
    assert 'client_max_window_bits' not in agreed or any('client_max_window_bits' in parameters for parameters in mine)


def _assert_sends(pipeline: Pipeline) -> None:
    """Assert that zlib can inflate a compressed message."""
    message = pipeline.process_outgoing_message(Message(1, b'hello hello hello', 0))
    data = zlib.decompressobj(-15).decompress(message.data + b'\0\0\xff\xff') if message.rsv else message.data
    assert data == b'hello hello hello'


def inflater(data: bytes) -> None:
    """Inflate messages one after another, and compare with zlib.

    No message may become longer than allowed. In some inputs a block precedes each
    message which moves it across the border between two pieces of the input.
    """
    if len(data) < 2:
        return
    max_length, has_context = data[0] * 16, bool(data[1] & 1)
    before = _stored(bytes(_PIECE - 5 - (data[1] >> 3))) if data[1] & 2 else b''
    if data[1] & 4:
        before = b'\1' + before[1:]
    max_length += len(before)
    session = PermessageDeflate().create_server_session([{} if has_context else {'client_no_context_takeover': True}])
    assert session is not None
    oracle = zlib.decompressobj(-15)
    for compressed in (before + each for each in _messages(data[2:])):
        if not has_context:
            oracle = zlib.decompressobj(-15)
        oracle, expected = _inflated(oracle, compressed, max_length)
        try:
            message = session.process_incoming_message(Message(2, compressed, 0x40, max_length))
        except (InvalidData, MessageTooBig) as error:
            assert expected is None or not has_context, error
            return
        assert len(message.data) <= max_length
        assert message.rsv == 0
        assert message.data == expected
    session.close()


def _stored(data: bytes) -> bytes:
    """Return a block that is not compressed."""
    return b'\0' + len(data).to_bytes(2, 'little') + (len(data) ^ 0xFFFF).to_bytes(2, 'little') + data


def _messages(data: bytes) -> Iterator[bytes]:
    """Yield payloads, each after a byte with its length."""
    while data:
        yield data[1:1 + data[0]]
        data = data[1 + data[0]:]


def _inflated(oracle: Any, compressed: bytes, max_length: int) -> tuple[Any, bytes | None]:
    """Return the inflater for the next message, and the data of this one.

    The data is None if it is too long, or is not DEFLATE.
    """
    rest, data, final_blocks = compressed + _TAIL, b'', 0
    try:
        while final_blocks <= _MAX_FINAL_BLOCKS:
            data += oracle.decompress(rest)
            if not oracle.eof:
                return oracle, data if len(data) <= max_length else None
            final_blocks, rest, oracle = (
                final_blocks + 1,
                oracle.unused_data,
                zlib.decompressobj(-15),
            )
            if rest in (b'', _TAIL) and final_blocks <= _MAX_FINAL_BLOCKS:
                return oracle, data if len(data) <= max_length else None
    except zlib.error:
        pass
    return oracle, None


def url(data: bytes) -> None:
    """Parse a URL from a redirect.

    It is refused with a ValueError, or fit for a request line and a Host header. Also
    parse it as an entry of ``allowed_origins``: it is refused, or there is an origin
    that matches.
    """
    text = data.decode('latin-1')
    _assert_matches(text)
    try:
        parsed = parse_url(text)
    except ValueError as error:
        assert str(error).startswith('url: ')
        return
    assert 0 <= parsed.port < 65536
    for part in (parsed.target, parsed.authority):
        assert part.isascii()
        assert not set(part) & set(map(chr, [*range(33), 127]))
    assert '#' not in parsed.target
    # K11: no other program reads another host from it, and it does not change when it
    # is parsed again.
    assert urlsplit(f'http://{parsed.authority}/').hostname == parsed.host
    again = parse_url(f'{parsed.scheme}://{parsed.authority}{parsed.target}')
    assert again == parsed._replace(username=None, password=None)


def _assert_matches(entry: str) -> None:
    try:
        check = make_origin_check([entry])
    except ValueError as error:
        assert str(error).startswith('allowed_origins: ')
        return
    if entry.isascii():
        assert check(_as_browsers_write(entry.replace('://*.', '://a.b.')), {})
        assert not check(entry.replace('://*.', '://'), {}) or '*' not in entry


def _as_browsers_write(origin: str) -> str:
    try:
        url = parse_url(origin, ('http', 'https'))
    except ValueError:
        return origin
    return f'{url.scheme}://{url.authority}'


def eventsource(data: bytes) -> None:
    """Parse a request for an event stream with any headers, and send an event.

    A client must read the event that was sent.
    """
    accept, _, rest = data.decode('latin-1').partition('\n')
    last_event_id, _, text = rest.partition('\n')
    environ = {
        'REQUEST_METHOD': 'GET', 'HTTP_ACCEPT': accept, 'HTTP_LAST_EVENT_ID': last_event_id, 'QUERY_STRING': last_event_id}
    assert is_eventsource(environ) in (True, False)
    assert isinstance(find_last_event_id(environ), str)
    assert isinstance(find_last_event_id({'QUERY_STRING': last_event_id}), str)
    try:
        event = serialize_event(text, accept, last_event_id)
    except ValueError:
        assert set(accept + last_event_id) & set('\r\n\0')
        event = serialize_event(text)
        accept = last_event_id = ''
    assert _read_event(event) == (text.replace('\r\n', '\n').replace('\r', '\n'), accept, last_event_id)
    # Many clients make an event of every empty line.
    assert (serialize_retry(5) + PING + event + PING).split(b'\r\n\r\n') == [
        serialize_retry(5) + PING + event.removesuffix(b'\r\n\r\n'), PING]


def _read_event(stream: bytes) -> tuple[str, str, str]:
    """Return the data, type and id of a single event (WHATWG HTML section 9.2.6)."""
    fields: dict[str, list[str]] = {'data': [], 'event': [''], 'id': ['']}
    *lines, empty, end = stream.decode().replace('\r\n', '\n').replace('\r', '\n').split('\n')
    assert empty == end == ''
    for line in lines:
        name, _, value = line.partition(':')
        fields[name].append(value.removeprefix(' '))
    return '\n'.join(fields['data']), fields['event'][-1], fields['id'][-1]


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (
        frames, hybi, hixie, request, response, proxy, extensions, negotiation, inflater, url, eventsource)
}
