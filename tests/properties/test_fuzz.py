"""The targets of the fuzzers on their corpus, without atheris.

They run with all other tests, so that neither gets out of date.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from faye_websocket.driver import accel, codec, eventstream, hybi
from faye_websocket.driver.base import Driver
from faye_websocket.driver.draft75 import Draft75
from faye_websocket.driver.incoming_message import IncomingMessage
from faye_websocket.errors import ProtocolError
from faye_websocket.extensions import header, inflater, permessage_deflate
from faye_websocket.http import head as http
from faye_websocket.http import origin
from faye_websocket.http.head import HeadParser, RequestParser, ResponseParser
from tests.fuzz import CORPUS, seeds, targets
from tests.fuzz.targets import TARGETS

INPUTS = [(target, name, data) for target, inputs in seeds.make().items() for name, data in inputs.items()]


@pytest.mark.proves('S4', 'S5', 'S9', 'D2')
@pytest.mark.parametrize(('target', 'data'), [
    pytest.param(target, data, id=f'{target}-{name}') for target, name, data in INPUTS])
def test_keeps_the_rules(target: str, data: bytes) -> None:
    TARGETS[target](data)


@pytest.mark.parametrize('target', TARGETS)
@pytest.mark.parametrize('data', [b'', b'\0', b'\xff' * 3, bytes(64)])
def test_accepts_inputs_of_any_length(target: str, data: bytes) -> None:
    TARGETS[target](data)


def test_the_corpus_is_up_to_date() -> None:
    assert seeds.read() == seeds.make()
    assert sum(len(data) for *_, data in INPUTS) < 200 * 1024


def test_every_target_has_a_corpus() -> None:
    assert {folder.name for folder in CORPUS.iterdir()} == set(TARGETS)


def _raising(error: Exception) -> Callable[..., Any]:
    def fail(*arguments: Any, **options: Any) -> Any:
        raise error
    return fail


def _unbounded(self: Any, data: bytes, max_length: int) -> bytes:
    return zlib.decompressobj(-15).decompress(data + b'\0\0\xff\xff')


def _halved(data: bytes) -> list[bytes]:
    """Return pieces of half the size, so that the tail is added too early."""
    pieces = [data[start:start + 2**15] for start in range(0, len(data) or 1, 2**15)]
    return [*pieces[:-1], pieces[-1] + b'\0\0\xff\xff']


#: By target: the object to break, and the fault.
FAULTS = [
    ('frames', codec.FrameParser, 'next_frame', lambda self: None),
    ('frames', codec, 'ProtocolError', KeyError),
    ('hybi', hybi, '_decode', lambda opcode, data: data.decode()),
    ('hybi', IncomingMessage, 'begin_frame', lambda self, frame: setattr(self, 'opcode', self.opcode or frame.opcode)),
    ('hybi', Driver, '_fail', lambda self, code, error: self.emit('error', error)),
    ('hybi', hybi.Hybi, '_receive_ping', lambda self, payload: self.emit('ping', payload)),
    ('hixie', Draft75, '_parse_text', _raising(ProtocolError('unknown frame type'))),
    ('hixie', Driver, '_close', lambda self, code, reason: self.emit('close', code, reason)),
    ('request', HeadParser, '_parse_lines', _raising(KeyError('name'))),
    ('request', Driver, 'refuse', lambda self, error: self.give_up(error)),
    ('request', RequestParser, '_find_start', lambda self: 0),
    ('request', http, 'is_host', lambda text: False),
    ('response', ResponseParser, '_pass_over', _raising(IndexError())),
    ('response', http, '_OBS_FOLD', re.compile('(?!)')),
    ('response', targets.Pipeline, 'activate', _raising(IndexError())),
    ('proxy', http, '_MAX_INTERIM', 0),
    ('proxy', HeadParser, 'parse', _raising(IndexError())),
    ('extensions', header, '_skip_empty', lambda header, position: position),
    ('extensions', targets, 'serialize_extension', lambda name, parameters: name),
    ('negotiation', permessage_deflate, '_parse_bits', lambda value: int(value or 0)),
    ('inflater', inflater.Inflater, 'inflate', _unbounded),
    ('inflater', inflater, '_pieces', _halved),
    ('url', origin, '_check_host', lambda scheme, host: host),
    ('url', targets, 'parse_url', _raising(KeyError())),
    ('eventsource', targets, 'PING', b':\r\n\r\n'),
    ('eventsource', eventstream, '_END_OF_LINE', re.compile('\n')),
]


@pytest.mark.parametrize(('target', 'owner', 'name', 'fault'), [
    pytest.param(*row, id=f'{row[0]}-{row[2]}') for row in FAULTS])
def test_finds_a_fault(target: str, owner: Any, name: str, fault: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if accel.IS_COMPILED:
        pytest.skip("nothing can be broken in the compiled form; test_forms.py runs these in the other one")
    monkeypatch.setattr(owner, name, fault)
    with pytest.raises((AssertionError, LookupError, ValueError, zlib.error)):
        for each, _, data in INPUTS:
            if each == target:
                TARGETS[target](data)
