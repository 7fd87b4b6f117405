"""What is fuzzed: TARGETS, functions that feed an input to the library and raise for whatever should not have come of it.

The rule for all: an input is accepted, or rejected with a documented error; nothing else is raised. Beyond it each target
states what must hold whichever happened. The first bytes of an input choose options, and how the rest is cut; the rest is
the peer's.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from faye_websocket import PermessageDeflate
from faye_websocket.driver import CLOSED, CONNECTING, OPEN, is_websocket, server
from faye_websocket.driver.eventstream import find_last_event_id, is_eventsource, serialize_event
from faye_websocket.driver.proxy import Proxy
from faye_websocket.errors import InvalidData, MessageTooBig, ProtocolError
from faye_websocket.extensions import Message, Pipeline
from faye_websocket.extensions.header import parse_extensions, serialize_extension
from faye_websocket.origin import make_origin_check
from faye_websocket.url import determine_url, parse_url
from tests.driver import test_client
from tests.driver.recorder import Recorder, opened
from tests.driver.requests import HIXIE_75, HIXIE_76, HYBI
from tests.support.forms import FORMS, find_codec

__all__ = ['TARGETS']

#: Small, so that a short input can exceed them.
LIMITS = {'max_length': 200, 'max_fragments': 5}
#: What a driver may hold of the wire beyond a message: a header, a control frame, the bookkeeping of strings.
SLACK = 1024

_DOCUMENTED = ('ProtocolError', 'InvalidData', 'MessageTooBig', 'HandshakeError')
_RESERVED = (0x00, 0x40, 0x60, 0x70)


#: The codec, in each form that is installed.
CODECS = [module for module in map(find_codec, FORMS) if module is not None]


def cut(wire: bytes, size: int) -> list[bytes]:
    """The wire in parts of this size, or whole for 0."""
    return [wire[start:start + size] for start in range(0, len(wire), size)] if size else [wire]


def frames(data: bytes) -> None:
    """The frame parser: what RFC 6455 says plainly, in each form of the codec, however the wire is cut."""
    if len(data) < 2:
        return
    masked, reserved, size, wire = bool(data[0] & 1), _RESERVED[data[0] >> 1 & 3], data[1], data[2:]
    expected = list(_plain_frames(wire, masked, reserved))
    for module in CODECS:
        for parts in (cut(wire, 0), cut(wire, size)):
            assert list(_parsed_frames(module, parts, masked, reserved)) == expected


def _parsed_frames(module: ModuleType, parts: Iterable[bytes], masked: bool, reserved: int) -> Iterator[Any]:
    """The frames that a codec makes of the parts, put together and serialized again; then the payload of the last one that
    is not whole, and whether the rest was refused."""
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
    """The same by RFC 6455 section 5.2, read slowly."""
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
    """RFC 6455's messages at either end, with and without an extension: one story, and a bounded memory, however it is cut."""
    if len(data) < 2:
        return
    _assert_one_story(_open_client if data[0] & 1 else _open_server, bool(data[0] & 2), data[1], data[2:])


def _open_server(has_extension: bool) -> tuple[Any, Recorder]:
    environ = {**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': 'permessage-deflate'}
    return opened(environ, extensions=[PermessageDeflate()] if has_extension else (), **LIMITS)


def _open_client(has_extension: bool) -> tuple[Any, Recorder]:
    driver, io = test_client.started(extensions=[PermessageDeflate()] if has_extension else (), **LIMITS)
    extension = 'Sec-WebSocket-Extensions: permessage-deflate\r\n' if has_extension else ''
    driver.parse(f'{test_client.ACCEPTED}{extension}\r\n'.encode())
    assert driver.ready_state == OPEN
    io.log.clear()
    return driver, io


def hixie(data: bytes) -> None:
    """The two drafts' messages, likewise."""
    if len(data) < 2:
        return
    environ = HIXIE_76 if data[0] & 1 else HIXIE_75
    _assert_one_story(lambda _: opened(environ, max_length=LIMITS['max_length']), False, data[1], data[2:])


def _assert_one_story(open: Callable[[bool], tuple[Any, Recorder]], option: bool, size: int, wire: bytes) -> None:
    stories = []
    for parts in (cut(wire, 0), cut(wire, size)):
        driver, io = open(option)
        for part in parts:
            driver.parse(part)
            assert _held(driver) <= LIMITS['max_length'] + len(part) + SLACK
        is_closed = driver.ready_state == CLOSED
        _assert_story(driver, io)
        driver.end('gone')
        driver.parse(b'late')
        assert driver.ready_state == CLOSED
        _assert_story(driver, io)
        assert driver.was_clean or not is_closed or io.events[-2][0] == 'error'
        # A client's masking keys differ from run to run; what they mask is in the events.
        stories.append((is_closed, driver.was_clean, io.events, [entry[0] for entry in io.log]))
    assert stories[0] == stories[1]


def _assert_story(driver: Any, io: Recorder) -> None:
    """One close at most, and nothing after it; before it at most one error, a documented one."""
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
    """The bytes and characters that a driver holds in its attributes, and in those of its parts."""
    if isinstance(thing, (bytes, bytearray, str)):
        return len(thing)
    if not type(thing).__module__.startswith('faye_websocket') or not depth:
        return 0
    names = {name for cls in type(thing).__mro__ for name in getattr(cls, '__slots__', ())} - {'_writer', 'observer'}
    return sum(_held(getattr(thing, name, None), depth - 1) for name in names)


def request(data: bytes) -> None:
    """A raw connection from its first byte: any request, and what follows it in any version."""
    if len(data) < 2:
        return
    logs = []
    for parts in (cut(data[2:], 0), cut(data[2:], data[1])):
        io = Recorder({})
        driver = server(
            io, ['chat'], secure=bool(data[0] & 1), extensions=[PermessageDeflate()], max_length=LIMITS['max_length'])
        io.watch(driver)
        for part in parts:
            driver.parse(part)
        _assert_answer(driver, io)
        _assert_environ(driver.environ)
        driver.end()
        assert (driver.ready_state, io.events[-1][0]) == (CLOSED, 'close')
        assert [entry[0] for entry in io.events].count('close') == 1
        logs.append(io.log)
    assert logs[0] == logs[1]


def _assert_answer(driver: Any, io: Recorder) -> None:
    """A request is accepted, refused by a whole response that ends the connection, or waited for."""
    if driver.ready_state == CONNECTING:
        # In hixie-76 the head goes out before the proof.
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


def _assert_environ(environ: Any) -> None:
    """Whoever looks at an environ gets an answer."""
    assert is_websocket(environ) in (True, False)
    assert is_eventsource(environ) in (True, False)
    assert isinstance(find_last_event_id(environ), str)
    parts = environ.get('HTTP_HOST', '') + environ.get('QUERY_STRING', '')
    assert determine_url(environ).isascii() or not parts.isascii()
    origin = environ.get('HTTP_ORIGIN', '')
    for allowed in ('same-origin', ['https://example.com']):
        assert make_origin_check(allowed)(origin, environ) in (True, False)


def response(data: bytes) -> None:
    """A client's handshake: any response, and what follows it."""
    if len(data) < 2:
        return
    stories = []
    for parts in (cut(data[2:], 0), cut(data[2:], data[1])):
        driver, io = test_client.started(
            protocols=['chat', 'superchat'], extensions=[PermessageDeflate()], redirect=_is_followed, **LIMITS)
        for part in parts:
            driver.parse(part)
        is_open = ('open',) in io.log
        assert is_open == (driver.status == 101 and io.events[:1] == [('open',)])
        assert is_open or not driver.protocol
        driver.end()
        assert (driver.ready_state, io.events[-1][0]) == (CLOSED, 'close')
        assert len(driver.body) <= 1024
        _assert_story(driver, io)
        assert is_open or [entry[0] for entry in io.log] == ['error', 'close']
        stories.append((driver.status, driver.headers, driver.protocol, driver.extensions, is_open, io.events))
    # How much of a refusal's body comes with the head is up to the network.
    assert stories[0] == stories[1]


def _is_followed(location: str) -> bool:
    """What becomes of a redirect is up to the client above; that it can be judged is not."""
    url([location.encode('latin-1')][0])
    return False


def proxy(data: bytes) -> None:
    """A proxy's answer to CONNECT: a tunnel, or one error."""
    if not data:
        return
    stories = []
    for parts in (cut(data[1:], 0), cut(data[1:], data[0])):
        io = Recorder({})
        tunnel = Proxy(io, 'example.com:443')
        io.watch(tunnel)
        tunnel.start()
        answered = sum(_feed(tunnel, io, part) for part in parts)
        tunnel.end()
        assert len(io.events) == 1
        assert io.events[0][:2] in [('connect',), ('error', 'HandshakeError')]
        assert answered or io.events[0][0] == 'error'
        stories.append((tunnel.status, tunnel.headers, io.events))
    assert stories[0] == stories[1]


def _feed(tunnel: Proxy, io: Recorder, part: bytes) -> bool:
    tunnel.parse(part)
    return bool(io.events)


def extensions(data: bytes) -> None:
    """Sec-WebSocket-Extensions: what is read can be written, and reads the same."""
    try:
        offers = parse_extensions(data.decode('latin-1'))
    except ValueError as error:
        assert str(error).startswith(('malformed Sec-WebSocket-Extensions header at character ', 'more than 100 extensions'))
        return
    assert parse_extensions(', '.join(serialize_extension(name, parameters) for name, parameters in offers)) == offers


def negotiation(data: bytes) -> None:
    """permessage-deflate at both ends: no offer raises, what a server answers its own client takes, and messages then pass."""
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
    """Nothing is agreed on that RFC 7692 does not know, or that goes beyond an offer."""
    assert set(agreed) <= {
        'server_no_context_takeover', 'client_no_context_takeover', 'server_max_window_bits', 'client_max_window_bits'}
    mine = [parameters for name, parameters in offers if name == 'permessage-deflate']
    for name in ('server_max_window_bits', 'client_max_window_bits'):
        assert agreed.get(name) is None or agreed[name] in [str(bits) for bits in range(8, 16)]
    # 7.1.2.2: not in the answer unless it is in the offer
    assert 'client_max_window_bits' not in agreed or any('client_max_window_bits' in parameters for parameters in mine)


def _assert_sends(pipeline: Pipeline) -> None:
    """What is compressed for the peer any inflater reads."""
    message = pipeline.process_outgoing_message(Message(1, b'hello hello hello', 0))
    data = zlib.decompressobj(-15).decompress(message.data + b'\0\0\xff\xff') if message.rsv else message.data
    assert data == b'hello hello hello'


def inflater(data: bytes) -> None:
    """Compressed messages, one after the other: never longer than allowed, and what zlib itself makes of them."""
    if len(data) < 2:
        return
    max_length, has_context, rest = data[0] * 16, bool(data[1] & 1), data[2:]
    session = PermessageDeflate().create_server_session([{} if has_context else {'client_no_context_takeover': True}])
    assert session is not None
    oracle = zlib.decompressobj(-15)
    # A final block ends zlib's stream; from there the oracle has nothing to say.
    knows = True
    for compressed in _messages(rest):
        if not has_context:
            oracle = zlib.decompressobj(-15)
        expected = _inflated(oracle, compressed, max_length)
        knows = knows and not oracle.eof
        try:
            message = session.process_incoming_message(Message(2, compressed, 0x40, max_length))
        except (InvalidData, MessageTooBig) as error:
            assert not knows or expected is None or not has_context, error
            return
        assert len(message.data) <= max_length
        assert message.rsv == 0
        assert not knows or message.data == expected
    session.close()


def _messages(data: bytes) -> Iterator[bytes]:
    """Payloads, each behind a byte with its length."""
    while data:
        yield data[1:1 + data[0]]
        data = data[1 + data[0]:]


def _inflated(oracle: Any, compressed: bytes, max_length: int) -> bytes | None:
    """What zlib makes of a message, unless it is too long or no DEFLATE."""
    try:
        data: bytes = oracle.decompress(compressed + b'\0\0\xff\xff', max_length + 1)
    except zlib.error:
        return None
    return data if len(data) <= max_length else None


def url(data: bytes) -> None:
    """A URL, as a redirect names it: refused with a ValueError, or fit for a request line and a Host header."""
    text = data.decode('latin-1')
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
    # K11: no program sees another host in it, and it stays what it is.
    assert urlsplit(f'http://{parsed.authority}/').hostname == parsed.host
    again = parse_url(f'{parsed.scheme}://{parsed.authority}{parsed.target}')
    assert again == parsed._replace(username=None, password=None)


def eventsource(data: bytes) -> None:
    """An event stream's request, whatever its headers; and what is sent is what a client reads."""
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


def _read_event(stream: bytes) -> tuple[str, str, str]:
    """WHATWG HTML section 9.2.6 for a single event: its data, type and id."""
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
