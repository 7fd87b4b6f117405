"""The command ``faye-websocket connect``, which connects to a server from a terminal.

A line of stdin is a message to send, and a message received is a line of stdout. All
other output goes to stderr. Colours and the prompt appear on terminals only. A server
cannot control the terminal, because control characters are written as escapes, which
also keep each message on one line. If prompt_toolkit is installed, it edits the lines
and keeps a history.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from contextvars import copy_context
from typing import IO, Any, TextIO

import gevent
import gevent.event
from gevent import socket

from ..client import Client
from ..driver.codes import CloseCode

__all__ = [
    'Editor',
    'UsageError',
    'add_arguments',
    'connect',
    'hex_dump',
    'make_editor',
    'printable',
    'read_lines',
]

_CLEAN = frozenset({CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD})

# The status that a shell reports for a command that SIGINT has ended.
_INTERRUPTED = 128 + signal.SIGINT

_PROMPT = '> '
_ERASE_LINE = '\r\x1b[K'
_RED, _GREEN, _CYAN = 31, 32, 36

# C0 without the tab, DEL, C1, and the line separators of Unicode.
_CONTROL = re.compile('[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]')


class UsageError(Exception):
    """The command cannot do what its arguments ask for; the text says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    parser.add_argument(
        'url', metavar='URL', help='the URL of the server, such as ws://localhost:9292/'
    )
    parser.add_argument(
        '--header',
        action='append',
        default=[],
        metavar='"NAME: VALUE"',
        help='add a request header',
    )
    parser.add_argument(
        '--protocol', action='append', default=[], metavar='NAME', help='offer a subprotocol'
    )
    parser.add_argument('--origin', help='send this Origin header')
    parser.add_argument(
        '--ping', type=_parse_seconds, metavar='SECONDS', help='send a ping every SECONDS'
    )
    parser.add_argument(
        '--insecure', action='store_true', help="do not verify the server's certificate"
    )
    parser.add_argument(
        '--ca', metavar='FILE', help="trust these authorities instead of the system's"
    )
    parser.add_argument(
        '--proxy',
        metavar='URL',
        help='connect through a proxy: http://user:password@host:port, or "env" to use the environment variables',
    )
    parser.add_argument(
        '--timeout',
        type=_parse_seconds,
        default=30,
        metavar='SECONDS',
        help='give up connecting after SECONDS; default %(default)s',
    )
    parser.add_argument(
        '--execute',
        action='append',
        default=[],
        metavar='TEXT',
        help='send a message first; repeatable',
    )
    parser.add_argument(
        '--listen-only',
        action='store_true',
        help='do not read stdin; print messages until the server closes',
    )
    parser.add_argument(
        '--wait',
        type=_parse_seconds,
        default=1,
        metavar='SECONDS',
        help='after the end of a piped stdin, close after SECONDS; default %(default)s',
    )


def _parse_seconds(text: str) -> float:
    """Return the time that an option gives. Raise ArgumentTypeError if invalid."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(
            f'expected a number of seconds, at least 0, or inf, got {text!r}'
        )
    return seconds


def connect(options: argparse.Namespace) -> int:
    """Exchange messages until either side closes, and return the exit status.

    It is 0 after a clean close (1000, 1001 or no code), 130 after Ctrl-C, and 1
    otherwise, also if writing to stdout failed. Raise UsageError if an argument is not
    valid.
    """
    try:
        client = make_client(options)
    except (OSError, TypeError, ValueError) as error:
        raise UsageError(f'cannot connect to {options.url}: {error}') from error
    return Terminal(client, options).run()


def make_client(options: argparse.Namespace) -> Client:
    """Return the client with these options."""
    tls = {'verify_peer': not options.insecure, 'root_cert_file': options.ca}
    has_own_proxy = options.proxy not in (None, 'env')
    return Client(
        options.url,
        options.protocol,
        headers=parse_headers(options),
        proxy={'origin': options.proxy, 'tls': tls} if has_own_proxy else options.proxy,
        tls=tls,
        timeout=options.timeout,
        ping=options.ping,
        overflow='block',
    )


def parse_headers(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Return the request headers of these options.

    Raise ValueError for a malformed one.
    """
    headers = [] if options.origin is None else [('Origin', options.origin)]
    for header in options.header:
        name, colon, value = header.partition(':')
        if not colon:
            raise ValueError(f'--header {header!r} is not of the form "NAME: VALUE"')
        headers.append((name.strip(), value.strip()))
    return headers


class Terminal:
    """A client that exchanges messages with stdin and stdout."""

    def __init__(self, client: Client, options: argparse.Namespace) -> None:
        self.client = client
        self.options = options
        self.is_interactive = not options.listen_only and _is_terminal(sys.stdin)
        self.has_prompt = self.is_interactive and _is_terminal(sys.stderr)
        self.status = 1
        self.has_failed = False
        self.ended = gevent.event.Event()
        self.reader: Any = None
        self.editor: Editor | None = None
        client.onopen = self._opened
        client.onmessage = self._received
        client.onerror = lambda event: self._tell(f'error: {event.message}', _RED)
        client.onclose = self._closed

    def run(self) -> int:
        """Wait until the connection has ended, and return the exit status."""
        gevent.signal_handler(signal.SIGINT, self._interrupted)
        try:
            self.ended.wait()
        finally:
            if self.editor is not None:
                self.editor.stop()
            elif self.reader is not None:
                self.reader.kill()
        return self.status

    def _opened(self, event: Any) -> None:
        agreed = f', protocol {self.client.protocol}' if self.client.protocol else ''
        self._tell(f'connected to {self.client.url}{agreed}', _GREEN)
        for text in self.options.execute:
            self.client.send(text)
        if not self.options.listen_only:
            if self.has_prompt and _is_terminal(sys.stdout):
                self.editor = make_editor(self._interrupted)
                self.has_prompt = self.editor is None
            self.reader = gevent.spawn(self._read)

    def _read(self) -> None:
        """Send the lines that are typed, and close when they end.

        In a terminal, close at once. Otherwise, first give the replies time to arrive.
        """
        self._prompt()
        for line in read_lines(sys.stdin) if self.editor is None else self.editor.read_lines():
            self.client.send(line)
            self._prompt()
        if not self.is_interactive:
            self.ended.wait(None if self.options.wait == math.inf else self.options.wait)
        self.client.close()

    def _received(self, event: Any) -> None:
        data = event.data
        self._clear_prompt()
        error = _write(
            sys.stdout, printable(data) if isinstance(data, str) else hex_dump(data), _CYAN
        )
        if error is not None:
            self._output_failed(error)
        self._prompt()

    def _output_failed(self, error: OSError) -> None:
        """Close: the reader of stdout is gone, or the disk is full."""
        self._tell(f'error: writing to stdout failed: {error}', _RED)
        self.has_failed = True
        self.client.close()

    def _closed(self, event: Any) -> None:
        is_clean = event.was_clean and event.code in _CLEAN
        if self.status != _INTERRUPTED:
            self.status = 0 if is_clean and not self.has_failed else 1
        self.has_prompt, had_prompt = False, self.has_prompt
        if had_prompt:
            _write(sys.stderr, '')
        reason = f' {event.reason}' if event.reason else ''
        self._tell(f'closed: {event.code}{reason}', _GREEN if is_clean else _RED)
        self.ended.set()

    def _interrupted(self) -> None:
        """Close at Ctrl-C. At the second one, do not wait for the server."""
        if self.status == _INTERRUPTED:
            self.ended.set()
        self.status = _INTERRUPTED
        self.client.close()

    def _tell(self, text: str, colour: int) -> None:
        """Print a line that is not a message."""
        self._clear_prompt()
        _write(sys.stderr, printable(text), colour)

    def _prompt(self) -> None:
        if self.has_prompt:
            _write(sys.stderr, _PROMPT, end='')

    def _clear_prompt(self) -> None:
        if self.has_prompt:
            _write(sys.stderr, _ERASE_LINE, end='')


class Editor:
    """An editor of lines: a prompt of prompt_toolkit in an OS thread of its own.

    Output that is printed meanwhile appears above the prompt.
    """

    def __init__(self, session: Any, interrupted: Callable[[], object]) -> None:
        self._session = session
        self._interrupted = interrupted
        self._ended = gevent.event.Event()
        self._is_stopping = False

    def read_lines(self) -> Iterator[str]:
        """Yield the lines that are typed, until the end of input, Ctrl-C, or ``stop``.

        Only the calling greenlet blocks.
        """
        from prompt_toolkit.application import create_app_session
        from prompt_toolkit.patch_stdout import patch_stdout

        pool = gevent.get_hub().threadpool
        try:
            with (
                create_app_session(self._session.input, self._session.output),
                patch_stdout(raw=True),
            ):
                # The thread and this greenlet need one context, so that output goes
                # above the prompt.
                context = copy_context()
                while isinstance(answer := pool.apply(context.run, (self._ask,)), str):
                    yield answer
        finally:
            self._ended.set()
        if isinstance(answer, KeyboardInterrupt):
            self._interrupted()

    def stop(self) -> None:
        """End the prompt, and restore the terminal."""
        self._is_stopping = True
        # The prompt runs in another thread, and may end meanwhile, with its event loop.
        # Then the next prompt finds that it must end.
        if (loop := self._session.app.loop) is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._exit)
        self._ended.wait()

    def _ask(self) -> str | BaseException:
        """Return one line, or the exception for which there is none.

        This runs in the thread, from which no exception may escape.
        """
        try:
            return str(self._session.prompt(_PROMPT, pre_run=self._exit))
        except (EOFError, KeyboardInterrupt) as error:
            return error

    def _exit(self) -> None:
        """End the prompt, if ``stop`` was called.

        This runs in the thread. It also runs when a prompt begins, since ``stop`` may
        have found none.
        """
        future = self._session.app.future
        if self._is_stopping and future is not None and not future.done():
            self._session.app.exit(exception=EOFError)


def make_editor(interrupted: Callable[[], object]) -> Editor | None:
    """Return an editor, or None if prompt_toolkit is not installed.

    The extra ``prompt`` installs it. ``interrupted`` is called at Ctrl-C.
    """
    try:
        from prompt_toolkit import PromptSession
    except ModuleNotFoundError:
        return None
    return Editor(PromptSession(), interrupted)


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


def _is_terminal(stream: IO[str] | None) -> bool:
    """Return whether the stream exists and is a terminal."""
    return stream is not None and stream.isatty()


def _write(stream: TextIO | None, text: str, colour: int = 0, end: str = '\n') -> OSError | None:
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
