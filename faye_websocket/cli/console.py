"""The standard streams: lines that are read, and lines that are written.

Whatever comes from a peer is escaped before it is printed, so that it cannot control
the terminal. A failure to write is returned, and never raised.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from typing import IO, BinaryIO, TextIO

from gevent import socket

__all__ = [
    'CYAN',
    'GREEN',
    'RED',
    'hex_dump',
    'is_terminal',
    'printable',
    'read_lines',
    'write_data',
    'write_line',
]

RED, GREEN, CYAN = 31, 32, 36

# C0 without the tab, DEL, C1, and the line separators of Unicode.
_CONTROL = re.compile('[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]')


def read_lines(stream: IO[str] | None) -> Iterator[str]:
    """Yield the lines of a stream as they arrive, without their ends.

    Only the calling greenlet blocks. The descriptor is not made non-blocking: if it is
    a terminal, that would affect stdout and the shell, too.
    """
    # The beginning of a line whose end has not arrived. It is joined once, so that long
    # lines take linear time.
    pieces: list[bytes] = []
    while chunk := _read_chunk(stream):
        *lines, rest = chunk.split(b'\n')
        for line in lines:
            yield b''.join((*pieces, line)).decode(errors='replace')
            pieces.clear()
        pieces.append(rest)
    if line := b''.join(pieces):
        yield line.decode(errors='replace')


def _read_chunk(stream: IO[str] | None) -> bytes:
    """Wait until the stream can be read, and return the data: none at its end."""
    if stream is None:
        return b''
    descriptor = stream.fileno()
    mode = os.fstat(descriptor).st_mode
    # Files are always ready, and epoll does not accept them.
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor):
        socket.wait_read(descriptor)
    try:
        return os.read(descriptor, 65536)
    except OSError:
        # The terminal is gone, or stdin is not open for reading.
        return b''


def hex_dump(data: bytes) -> str:
    """Return a dump as hexdump -C prints it: 16 bytes a line, then the length."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        text = ''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in row)
        lines.append(f'{start:08x}  {row.hex(" "):47}  |{text}|')
    return '\n'.join([*lines, f'{len(data):08x}'])


def printable(text: str) -> str:
    r"""Return the text in one line, with escapes (``\n``) for control characters."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def is_terminal(stream: IO[str] | None) -> bool:
    """Return whether the stream exists and is a terminal."""
    return stream is not None and stream.isatty()


def write_line(
    stream: TextIO | None, text: str, colour: int = 0, end: str = '\n'
) -> OSError | None:
    """Print a line, and return the error if that fails.

    Characters that the stream's encoding lacks are escaped. On a terminal the line is
    in colour.
    """
    if stream is None:
        return None
    encoding = stream.encoding or 'utf-8'
    text = text.encode(encoding, 'backslashreplace').decode(encoding)
    if colour and stream.isatty() and 'NO_COLOR' not in os.environ:
        text = f'\x1b[{colour}m{text}\x1b[0m'
    try:
        print(text, end=end, file=stream, flush=True)
    except OSError as error:
        # Otherwise the rest of the buffer would raise again when the process exits.
        with open(os.devnull, 'wb') as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        return error
    return None


def write_data(stream: BinaryIO, data: bytes) -> OSError | None:
    """Write bytes at once, and return the error if that fails."""
    try:
        stream.write(data)
        stream.flush()
    except OSError as error:
        return error
    return None
