"""The grammar of Sec-WebSocket-Extensions, RFC 6455 section 9.1, in both directions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faye_websocket.extensions.header import parse_extensions, serialize_extension
from tests.conftest import AssertLinear, Cost

TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


class TestParse:
    @pytest.mark.proves('K9')
    @pytest.mark.parametrize(('header', 'offers'), [
        ('', []),
        (' \t', []),
        ('a', [('a', {})]),
        (' a ', [('a', {})]),
        ('a, b', [('a', {}), ('b', {})]),
        ('a,b;x', [('a', {}), ('b', {'x': True})]),
        ('a; x; y=1', [('a', {'x': True, 'y': '1'})]),
        ('a ;\tx = 1 , b', [('a', {'x': '1'}), ('b', {})]),
        ('a, a; x', [('a', {}), ('a', {'x': True})]),
        ('a; x="1"', [('a', {'x': '1'})]),
        ('a; x=""', [('a', {'x': ''})]),
        ('a; x="a, b; c=\\"d\\\\"', [('a', {'x': 'a, b; c="d\\'})]),
        ('a; x=1; x=2', [('a', {'x': ['1', '2']})]),
        ('a; x; x=1; y; x="2"', [('a', {'x': [True, '1', '2'], 'y': True})]),
        ('permessage-deflate; client_max_window_bits; server_max_window_bits=10, permessage-deflate', [
            ('permessage-deflate', {'client_max_window_bits': True, 'server_max_window_bits': '10'}),
            ('permessage-deflate', {})]),
        (TCHAR, [(TCHAR, {})]),
        (',', []),
        (' ,\t, ', []),
        ('a,', [('a', {})]),
        (', a', [('a', {})]),
        (' ,, a , ,\tb; x=1,, ', [('a', {}), ('b', {'x': '1'})]),
    ])
    def test_reads(self, header: str, offers: list[Any]) -> None:
        assert parse_extensions(header) == offers

    @pytest.mark.parametrize(('header', 'position'), [
        (';', 0),
        ('=', 0),
        ('"a"', 0),
        ('a b', 0),
        ('a=1', 0),
        ('a="1"', 0),
        ('a=', 0),
        ('a, ;x', 3),
        ('a; ,b', 2),
        ('a;x=,b', 2),
        ('a;', 2),
        ('a;;x', 2),
        ('a; =1', 2),
        ('a; x=', 2),
        ('a; x=1 2', 2),
        ('a; x="1', 2),
        ('a; x="1"2', 2),
        ('a; x="1\\"', 2),
        ('a; x=1, b; y@', 10),
        ('\xe9', 0),
        ('a\n', 0),
        ('a; x="\\\n"', 2),
    ])
    def test_refuses(self, header: str, position: int) -> None:
        with pytest.raises(ValueError, match=f'^malformed Sec-WebSocket-Extensions header at character {position}$'):
            parse_extensions(header)

    @given(st.text(alphabet='ab=;," \\\t', max_size=30) | st.text(max_size=20))
    def test_raises_nothing_but_value_error(self, header: str) -> None:
        try:
            parse_extensions(header)
        except ValueError as error:
            assert str(error).startswith('malformed Sec-WebSocket-Extensions header at character ')

    @pytest.mark.proves('S6')
    @pytest.mark.parametrize('part', [
        'a, ', ', ', ',', 'a,,', 'a; x=1, ', 'a; "', 'a' * 8, 'a,' + ' ' * 6, ' ' * 8,
        'a; x="' + '\\"' * 2, 'x=\\"', '\\\\', '"'])
    @pytest.mark.parametrize('start', ['', 'a', 'a; x=', 'a; x="', 'a; x'])
    @pytest.mark.parametrize('end', ['a', '"', '\0'])
    def test_takes_linear_time(
        self, assert_linear: AssertLinear, start: str, part: str, end: str
    ) -> None:
        def run(count: int) -> None:
            try:
                parse_extensions(start + part * count + end)
            except ValueError:
                pass

        assert_linear(run, 8192 // len(part))

    @pytest.mark.proves('S6')
    @pytest.mark.parametrize('header', [
        'a,' * 99 + 'a', 'a, ,' * 99 + 'a', 'a' + ';x' * 99, 'a;x=1,' * 49 + 'a;x="2"'])
    def test_accepts_a_hundred_parts_at_most(self, header: str) -> None:
        parse_extensions(header)
        with pytest.raises(ValueError, match='^more than 100 extensions and parameters in the Sec-WebSocket-Ext'):
            parse_extensions(f'{header};y')

    @pytest.mark.proves('S6')
    def test_takes_no_longer_with_blanks_around_it(self, cost: Cost) -> None:
        header = 'a' * 131072
        assert cost(lambda: parse_extensions(f' {header} ')) < 3 * cost(lambda: parse_extensions(header))


class TestSerialize:
    @pytest.mark.parametrize(('parameters', 'header'), [
        ({}, 'a'),
        ({'x': True}, 'a; x'),
        ({'x': False}, 'a'),
        ({'x': '10', 'y': True}, 'a; x=10; y'),
        ({'x': ['1', True, False, '2']}, 'a; x=1; x; x=2'),
        ({'x': []}, 'a'),
        ({'x': 'b c'}, 'a; x="b c"'),
        ({'x': ''}, 'a; x=""'),
        ({'x': 'say "\\"'}, 'a; x="say \\"\\\\\\""'),
    ])
    def test_writes(self, parameters: dict[str, Any], header: str) -> None:
        assert serialize_extension('a', parameters) == header

    @given(st.dictionaries(
        st.text(TCHAR, min_size=1, max_size=5),
        st.just(True) | st.text(TCHAR, max_size=5)
        | st.text(st.characters(max_codepoint=255, exclude_characters='\n'), max_size=9)
        | st.lists(st.just(True) | st.text(TCHAR, max_size=5), min_size=2, max_size=3), max_size=4))
    def test_writes_a_header_that_parses_back(self, parameters: dict[str, Any]) -> None:
        assert parse_extensions(serialize_extension('a', parameters)) == [('a', parameters)]
