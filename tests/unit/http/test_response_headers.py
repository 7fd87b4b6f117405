"""The headers of a response, as a mapping with names in any case."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from faye_websocket.http.response_headers import ResponseHeaders

PAIRS = [('Upgrade', 'websocket'), ('Set-Cookie', 'a=1'), ('X', ''), ('SET-COOKIE', 'b=2'), ('set-cookie', 'c=3')]
HEADERS = ResponseHeaders(PAIRS)


@pytest.mark.parametrize('name', ['Set-Cookie', 'set-cookie', 'SET-COOKIE'])
def test_a_name_is_found_in_any_case_with_its_first_value(name: str) -> None:
    assert name in HEADERS
    assert HEADERS[name] == HEADERS.get(name) == 'a=1'


@pytest.mark.parametrize('name', ['Set', '', 0, None, ('Upgrade', 'websocket')])
def test_any_other_name_is_missing(name: Any) -> None:
    assert name not in HEADERS
    assert HEADERS.get(name) is None
    assert HEADERS.get(name, '-') == '-'
    with pytest.raises(KeyError) as raised:
        HEADERS[name]
    assert raised.value.args == (name,)


def test_names_are_iterated_once_and_in_order() -> None:
    assert isinstance(HEADERS, Mapping)
    assert list(HEADERS) == list(HEADERS.keys()) == ['Upgrade', 'Set-Cookie', 'X']
    assert list(HEADERS.items()) == [('Upgrade', 'websocket'), ('Set-Cookie', 'a=1'), ('X', '')]
    assert list(HEADERS.values()) == ['websocket', 'a=1', '']
    assert len(HEADERS) == 3
    assert dict(HEADERS) == {**HEADERS} == {'Upgrade': 'websocket', 'Set-Cookie': 'a=1', 'X': ''}


def test_pairs_returns_all_headers() -> None:
    assert HEADERS.pairs() == PAIRS
    HEADERS.pairs().clear()
    assert HEADERS.pairs() == PAIRS


def test_may_be_empty() -> None:
    empty = ResponseHeaders([])
    assert (list(empty), len(empty), bool(empty), empty.pairs(), 'x' in empty) == ([], 0, False, [], False)


def test_cannot_be_changed() -> None:
    pairs = list(PAIRS)
    headers = ResponseHeaders(pairs)
    pairs.clear()
    assert headers.pairs() == PAIRS
    with pytest.raises(TypeError):
        headers['x'] = '1'  # type: ignore[index]


def test_are_equal_in_any_case() -> None:
    assert HEADERS == {'upgrade': 'websocket', 'X': '', 'SET-Cookie': 'a=1'}
    assert ResponseHeaders([('x', '1')]) == ResponseHeaders([('X', '1')]) != ResponseHeaders([('X', '2')])
    assert HEADERS != PAIRS
    assert (HEADERS == 1) is False


def test_their_repr_has_all_pairs() -> None:
    assert repr(ResponseHeaders([('x', '1')])) == "ResponseHeaders([('x', '1')])"
