"""PackedEnviron: an equal environ, without the objects of the request."""

from __future__ import annotations

import gc
import io
import sys
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.servers.packed_environ import PackedEnviron

DROPPED = [
    'gunicorn.sock', 'gunicorn.socket', 'werkzeug.request', 'werkzeug.socket', 'wsgi.early_hints', 'wsgi.input']


def unpacked(environ: dict[str, Any]) -> dict[str, Any]:
    """Return the environ after packing, without the input that is always there."""
    result = PackedEnviron(environ).unpack()
    assert result.pop('wsgi.input').read() == b''
    return result


class Text(str):
    """A string with an attribute."""


@pytest.mark.parametrize('environ', [
    {'A': '1'},
    {'A': '', 'B': ''},
    {'REQUEST_METHOD': 'GET', 'wsgi.version': (1, 0), 'PATH_INFO': '/caf\xc3\xa9', 'wsgi.run_once': False, 'QUERY_STRING': ''},
    {'A': 'a\0b', 'B': '\0', 'C': 'c', 'D': None},
    {},
    {'wsgi.version': (1, 0)},
])
def test_unpacks_to_what_was_packed(environ: dict[str, Any]) -> None:
    assert unpacked(environ) == environ


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.none(), min_size=1).map(lambda environ: {**environ, 'A': 'a'}))
def test_unpacks_to_what_was_packed_whatever_it_is(environ: dict[str, Any]) -> None:
    assert unpacked({name: value for name, value in environ.items() if name not in DROPPED}) == {
        name: value for name, value in environ.items() if name not in DROPPED}


def test_unpacks_to_a_new_dict_each_time() -> None:
    packed = PackedEnviron({'A': '1'})
    packed.unpack()['A'] = '2'
    assert packed.unpack()['A'] == '1'


def test_keeps_other_objects_as_they_are() -> None:
    marker, text = object(), Text('text')
    environ = unpacked({'A': '1', 'marker': marker, 'text': text})
    assert (environ['marker'], environ['text']) == (marker, text)
    assert type(environ['text']) is Text


@pytest.mark.parametrize('name', DROPPED)
def test_lets_go_of_what_belongs_to_the_request(name: str) -> None:
    body = io.BytesIO(b'body')
    gone = weakref.ref(body)
    packed = PackedEnviron({'A': '1', name: body})
    del body
    gc.collect()
    assert gone() is None
    assert packed.unpack().keys() == {'A', 'wsgi.input'}


def test_has_an_input_that_is_at_its_end() -> None:
    assert PackedEnviron({'A': '1', 'wsgi.input': io.BytesIO(b'frames')}).unpack()['wsgi.input'].read() == b''


def held(pack: Callable[[int], PackedEnviron], count: int) -> int:
    """Return the bytes held after packing and releasing this many environs."""
    pack(0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(count):
            pack(number)
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@pytest.mark.proves('P4')
def test_shares_the_keys_of_a_browser() -> None:
    names = [f'HTTP_SEC_HEADER_{number:02d}' for number in range(50)]

    def pack(number: int) -> PackedEnviron:
        return PackedEnviron({name + '_X': '' for name in names})

    kept = pack(0)
    packed: list[PackedEnviron] = []
    alone = held(lambda number: packed.append(pack(number)), 100) / 100  # type: ignore[arg-type, return-value]
    assert alone < 300 < sum(map(sys.getsizeof, names))
    assert kept.unpack() == packed[0].unpack() or kept.unpack().keys() == packed[0].unpack().keys()


@pytest.mark.proves('S4', 'O6')
@pytest.mark.parametrize(('count', 'length'), [(100, 8192), (1000, 20), (1, 2**20)], ids=['long', 'many', 'one'])
def test_keeps_no_hostile_keys_of_connections_that_are_gone(count: int, length: int) -> None:
    def pack(number: int) -> PackedEnviron:
        return PackedEnviron({f'{number} {index} '.ljust(length, 'x'): 'v' for index in range(count)})

    assert held(pack, 256) < 100_000


@pytest.mark.proves('S4', 'O6')
def test_keeps_few_bytes_of_the_largest_that_are_shared() -> None:
    def pack(number: int) -> PackedEnviron:
        return PackedEnviron({f'{number:04d}{index:04d}xxxxxxxx': 'v' for index in range(128)})

    assert held(pack, 1000) < 3_500_000
