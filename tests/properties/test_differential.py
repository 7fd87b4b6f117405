"""A second opinion: our drivers and wsproto are fed equal bytes, and must agree.

They must return equal messages and close codes. wsproto is by another author. Each of
DIFFERENCES describes a case in which they differ, with the one that follows RFC 6455,
and asserts that they still do.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from wsproto.connection import CLIENT, SERVER, Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage
from wsproto.extensions import PerMessageDeflate

from faye_websocket import PermessageDeflate
from tests.support.recorder import MASKING_KEY, opened, sent, sent_close
from tests.support.requests import HYBI
from tests.support.strategies import cut, hostile_hybi, sizes, valid_hybi
from tests.support.vectors import BINARY, CONTINUATION, PING, RSV1, TEXT, VECTORS, frame, head
from tests.unit.driver import test_client

Story = list[tuple[Any, ...]]

#: Enough zeros to complete any header or character at the end of an input.
FILLER = bytes(32)


def ours(parts: Iterable[bytes], *, is_client: bool = False) -> Story:
    """Return the events of our driver: messages, pings, pongs, and the close code."""
    driver, io = test_client.opened() if is_client else opened(HYBI)
    for part in parts:
        driver.parse(part)
    return [entry[:2] for entry in io.events if entry[0] != 'error']


def theirs(parts: Iterable[bytes], *, is_client: bool = False, extension: PerMessageDeflate | None = None) -> Story:
    """Return the events of wsproto in that form."""
    connection = Connection(CLIENT if is_client else SERVER, [extension] if extension else [])
    story: Story = []
    message: list[Any] = []
    for part in parts:
        if story and story[-1][0] == 'close':
            break
        connection.receive_data(part)
        for event in connection.events():
            if isinstance(event, (TextMessage, BytesMessage)):
                message.append(event.data)
                if event.message_finished:
                    story.append(('message', type(event.data)().join(message)))
                    message = []
            elif isinstance(event, CloseConnection):
                story.append(('close', int(event.code)))
            else:
                assert isinstance(event, (Ping, Pong))
                story.append((type(event).__name__.lower(), bytes(event.payload)))
    return story


def mutated(wire: bytes, changes: list[tuple[int, int]]) -> bytes:
    """Return the wire with some of its bytes changed."""
    changed = bytearray(wire)
    for index, byte in changes:
        if changed:
            changed[index % len(changed)] = byte
    return bytes(changed)


changes = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), min_size=1, max_size=3)
_unmasked = st.builds(
    frame, st.sampled_from([0, 1, 1, 2, 2, 8, 9, 10, 3]), st.text(max_size=20).map(str.encode) | st.binary(max_size=130),
    fin=st.sampled_from([True, True, False]), rsv=st.sampled_from([0, 0, 0, 0x40]))
from_a_server = st.builds(lambda frames, rest: b''.join(frames) + rest, st.lists(_unmasked, max_size=6), st.binary(max_size=5))


def is_sooner(wire: bytes, *, is_client: bool = False) -> bool:
    """Return whether the two agree, or differ only in that ours ends sooner.

    Ours may end at a byte after which no further byte could make the input valid.
    """
    mine, other = ours([wire], is_client=is_client), theirs([wire], is_client=is_client)
    if mine == other:
        return True
    if mine[-1] == ('close', 1009):
        # wsproto has no limit, so that it may find another fault in the following
        # bytes, or none.
        return mine[:-1] == [entry for entry in other[:len(mine) - 1] if entry[0] != 'close']
    assert mine[:-1] == other
    assert mine[-1] in [('close', 1002), ('close', 1007)]
    # wsproto waits for more bytes, of which no message can come.
    return theirs([wire + FILLER], is_client=is_client)[-1][0] == 'close'


def _needs_a_second_opinion(story: Story) -> bool:
    """Return whether the close code of the story is not one of DIFFERENCES."""
    return not story or story[-1] not in [('close', 1014), ('close', 1004)]


@pytest.mark.proves('S5')
@given(wire=valid_hybi, sizes=sizes)
def test_on_an_honest_client(wire: bytes, sizes: list[int]) -> None:
    assert ours(cut(wire, sizes)) == theirs(cut(wire, sizes))


@pytest.mark.proves('S5')
@given(wire=hostile_hybi, sizes=sizes)
def test_on_a_hostile_client(wire: bytes, sizes: list[int]) -> None:
    assert is_sooner(wire)
    assert ours(cut(wire, sizes)) == ours([wire])


@pytest.mark.proves('S5')
@given(wire=valid_hybi, changes=changes)
@settings(max_examples=300)
def test_on_a_client_whose_bytes_were_changed(wire: bytes, changes: list[tuple[int, int]]) -> None:
    wire = mutated(wire, changes)
    assume(_needs_a_second_opinion(ours([wire])))
    assert is_sooner(wire)


@pytest.mark.proves('S5')
@given(wire=from_a_server, changes=st.just([]) | changes)
@settings(max_examples=300)
def test_on_a_server(wire: bytes, changes: list[tuple[int, int]]) -> None:
    wire = mutated(wire, changes)
    assume(_needs_a_second_opinion(ours([wire], is_client=True)))
    assert is_sooner(wire, is_client=True)


@pytest.mark.parametrize('vector', VECTORS, ids=lambda vector: vector.name)
def test_on_the_vectors(vector: Any) -> None:
    is_client = vector.masking_key is None
    assert ours([vector.wire], is_client=is_client) == theirs([vector.wire], is_client=is_client)


@pytest.mark.proves('L4', 'S5')
def test_on_close_codes() -> None:
    codes = [*range(5100), *range(5100, 2**16, 997), 2**16 - 1]
    assert [code for code in codes if ours([sent_close(code)]) != theirs([sent_close(code)])] == [1014]


class Difference(NamedTuple):
    """Bytes from a client that the two do not treat alike, and the reason."""

    name: str
    wire: bytes
    ours: Story
    theirs: Story


DIFFERENCES = [
    # IANA registered 1014 after RFC 6455, and wsproto does not know it. Autobahn's
    # cases neither send nor expect it.
    Difference('close code 1014', sent_close(1014), [('close', 1014)], [('close', 1002)]),
    # 8.1 fails a peer for bytes that are not UTF-8. ED A0 begins a surrogate, which no
    # third byte makes valid. Python's incremental decoder, and so wsproto, waits for
    # it.
    Difference('half a surrogate', sent(TEXT, b'\xed\xa0', fin=False), [('close', 1007)], []),
    # 5.1: the second byte shows that a frame is not masked. wsproto reads the length
    # first.
    Difference('unmasked, length to come', b'\x82\x7e', [('close', 1002)], []),
    # 5.2: the first byte has the reserved bits. wsproto reads the length first.
    Difference('reserved bit, length to come', b'\xc2\xfe', [('close', 1002)], []),
    # 5.4: the header shows that there is nothing to continue. wsproto waits for the
    # first byte of the payload.
    Difference('nothing to continue, payload to come', head(0x80, 5, masked=True) + MASKING_KEY, [('close', 1002)], []),
    # 5.4: so does the header of a new message in the midst of another.
    Difference('interleaved, payload to come', sent(TEXT, b'a', fin=False) + head(0x81, 5, masked=True) + MASKING_KEY,
               [('close', 1002)], []),
    # 10.4: implementations should limit the size of messages. wsproto leaves that to
    # its user.
    Difference('a message of 1 TiB', head(0x82, 2**40, masked=True) + MASKING_KEY, [('close', 1009)], []),
    Difference('a message of 1 TiB that is no text', head(0x81, 2**40, masked=True) + bytes(4) + b'\xff',
               [('close', 1009)], [('close', 1007)]),
    Difference('20,000 empty fragments', sent(BINARY, b'', fin=False) + sent(CONTINUATION, b'', fin=False) * 20000,
               [('close', 1009)], []),
]


@pytest.mark.proves('S4')
@pytest.mark.parametrize('difference', DIFFERENCES, ids=lambda difference: difference.name)
def test_is_still_different(difference: Difference) -> None:
    assert (ours([difference.wire]), theirs([difference.wire])) == (difference.ours, difference.theirs)


_texts = st.lists(st.text(max_size=50) | st.text('ab', min_size=100, max_size=400), min_size=1, max_size=5)
_bits = st.sampled_from([9, 12, 15])


@pytest.mark.proves('D2')
@given(
    texts=_texts, own=_bits, peer=_bits, own_context=st.booleans(), peer_context=st.booleans(), sizes=sizes)
def test_on_compressed_messages(
        texts: list[str], own: int, peer: int, own_context: bool, peer_context: bool, sizes: list[int]) -> None:
    extension = PerMessageDeflate(
        client_max_window_bits=peer, server_max_window_bits=own, client_no_context_takeover=not peer_context,
        server_no_context_takeover=not own_context)
    offer = f'permessage-deflate; {extension.offer()}'
    driver, io = opened({**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': offer}, extensions=[PermessageDeflate(threshold=0)])
    extension.finalize(driver.extensions)
    connection = Connection(ConnectionType.CLIENT, [extension])
    wire = b''.join(connection.send(TextMessage(data=text)) for text in texts)
    for part in cut(wire, sizes):
        driver.parse(part)
    assert io.log == [('message', text) for text in texts]
    for text in texts:
        driver.text(text)
    connection.receive_data(io.written)
    received = [event.data for event in connection.events() if isinstance(event, TextMessage) and event.data]
    assert ''.join(received) == ''.join(texts)
    assert connection.state is ConnectionState.OPEN


def test_a_ping_between_compressed_fragments_is_still_different() -> None:
    """Send a ping between the fragments of a compressed message.

    RFC 7692 section 6.1: RSV1 of the first frame holds for its message. wsproto forgets
    it at the ping.
    """
    deflater = zlib.compressobj(wbits=-15)
    data = (deflater.compress(b'hello hello hello') + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]
    wire = sent(TEXT, data[:4], fin=False, rsv=RSV1) + sent(PING) + sent(CONTINUATION, data[4:])
    driver, io = opened({**HYBI, 'HTTP_SEC_WEBSOCKET_EXTENSIONS': 'permessage-deflate'}, extensions=[PermessageDeflate()])
    driver.parse(wire)
    assert ('message', 'hello hello hello') in io.log
    extension = PerMessageDeflate()
    extension.finalize('permessage-deflate')
    assert ('message', 'hello hello hello') not in theirs([wire], extension=extension)
