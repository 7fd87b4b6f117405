"""The standard streams: lines that are read, and lines that are written."""

from __future__ import annotations

import os
from pathlib import Path

import gevent
import pytest

from faye_websocket.cli.console import hex_dump, printable, read_lines
from tests.conftest import AssertLinear


@pytest.mark.proves('S6')
def test_a_line_of_any_length_is_read_in_linear_time(assert_linear: AssertLinear, tmp_path: Path) -> None:
    path = tmp_path / 'lines'

    def read(size: int) -> None:
        path.write_bytes(b'ab\n\n' + bytes(size))
        with open(path) as stream:
            assert [len(line) for line in read_lines(stream)] == [2, 0, size]

    assert_linear(read, 2_000_000)


def test_lines_are_cut_wherever_the_pipe_cuts_them() -> None:
    chunks = [b'a', b'b\nc', b'\n', b'\n', b'd\xc3', b'\xa4e\nf\ng', b'h', b'']
    read_end, write_end = os.pipe()
    with open(read_end) as stream:
        def write() -> None:
            for chunk in chunks:
                os.write(write_end, chunk)
                gevent.sleep(0.001)
            os.close(write_end)

        writer = gevent.spawn(write)
        assert list(read_lines(stream)) == ['ab', 'c', '', 'd\xe4e', 'f', 'gh']
        writer.get(timeout=5)


@pytest.mark.parametrize(('data', 'dump'), [
    (b'', '00000000'),
    (b'0123456789abcdef', '00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|\n00000010'),
    (b'0123456789abcdef\x7f', '00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|\n'
                             f'00000010  {"7f":47}  |.|\n00000011'),
])
def test_the_dump_has_the_offset_the_bytes_and_the_length(data: bytes, dump: str) -> None:
    assert hex_dump(data) == dump


def test_only_control_characters_are_escaped() -> None:
    assert printable('grüß \t\\n \U0001f600') == 'grüß \t\\n \U0001f600'
    assert printable('\r\n\x00\x7f\x9b\u2028') == '\\r\\n\\x00\\x7f\\x9b\\u2028'


def test_a_process_without_stdin_has_no_lines() -> None:
    assert list(read_lines(None)) == []


def test_a_stream_that_cannot_be_read_has_no_lines(tmp_path: Path) -> None:
    with (tmp_path / 'file').open('w') as stream:
        assert list(read_lines(stream)) == []
