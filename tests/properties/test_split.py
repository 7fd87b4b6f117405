"""The main property: any split of the wire makes equal events and bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from faye_websocket.driver import server
from tests.support.recorder import Recorder, opened, sent
from tests.support.requests import HIXIE_75, HIXIE_76, HIXIE_76_BODY, HYBI, HYBI_HEAD
from tests.support.strategies import (
    cut,
    hostile_hixie,
    hostile_hybi,
    sizes,
    valid_hixie,
    valid_hybi,
)
from tests.support.vectors import TEXT

hixies = pytest.mark.parametrize('environ', [HIXIE_75, HIXIE_76], ids=['hixie-75', 'hixie-76'])


def story(environ: dict[str, str], parts: Iterable[bytes], **options: Any) -> list[tuple[Any, ...]]:
    """Return the log of an open driver that echoes, and is fed these parts."""
    driver, io = opened(environ, **options)
    driver.on('message', lambda data: driver.text(data) if isinstance(data, str) else driver.binary(data))
    for part in parts:
        driver.parse(part)
    return io.log


def server_story(parts: Iterable[bytes]) -> list[tuple[Any, ...]]:
    """Return the log of a raw connection that is fed these parts."""
    io = Recorder({})
    driver = server(io)
    io.watch(driver)
    for part in parts:
        driver.parse(part)
    return io.log


@given(wire=valid_hybi, sizes=sizes)
def test_of_an_honest_hybi_client(wire: bytes, sizes: list[int]) -> None:
    assert story(HYBI, cut(wire, sizes)) == story(HYBI, [wire])


@given(wire=hostile_hybi, sizes=sizes)
@example(wire=sent(TEXT, b'a\xed\xa0\x80b'), sizes=[1])
def test_of_a_hostile_hybi_client(wire: bytes, sizes: list[int]) -> None:
    options = {'max_length': 100, 'max_fragments': 3}
    log = story(HYBI, [wire], **options)
    assert story(HYBI, cut(wire, sizes), **options) == log
    assert [entry[0] for entry in log[:-1]].count('close') == 0


@hixies
@given(wire=valid_hixie, sizes=sizes)
def test_of_an_honest_hixie_client(environ: dict[str, str], wire: bytes, sizes: list[int]) -> None:
    assert story(environ, cut(wire, sizes)) == story(environ, [wire])


@hixies
@given(wire=hostile_hixie, sizes=sizes)
def test_of_a_hostile_hixie_client(environ: dict[str, str], wire: bytes, sizes: list[int]) -> None:
    log = story(environ, [wire], max_length=20)
    assert story(environ, cut(wire, sizes), max_length=20) == log
    assert [entry[0] for entry in log[:-1]].count('close') == 0


@pytest.mark.proves('H4')
@given(wire=valid_hybi | hostile_hybi, sizes=sizes)
def test_of_a_raw_connection(wire: bytes, sizes: list[int]) -> None:
    assert server_story(cut(HYBI_HEAD + wire, sizes)) == server_story([HYBI_HEAD + wire])


noise = st.binary(max_size=60)


@given(head=noise | noise.map(lambda data: b'GET / HTTP/1.1\r\n' + data + b'\r\n\r\n'), sizes=sizes)
def test_of_a_hostile_request(head: bytes, sizes: list[int]) -> None:
    assert server_story(cut(head, sizes)) == server_story([head])


@pytest.mark.proves('H4')
@given(wire=valid_hixie, sizes=sizes)
def test_of_the_handshake_of_hixie_76(wire: bytes, sizes: list[int]) -> None:
    head = HYBI_HEAD[:HYBI_HEAD.index(b'Sec-')] + (
        b'Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\r\n')
    whole = head + HIXIE_76_BODY + wire
    log = server_story([whole])
    assert server_story(cut(whole, sizes)) == log
    assert ('open',) in log
