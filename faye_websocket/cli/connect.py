"""The command ``faye-websocket connect``: a line of stdin is a message to send, a message received is a line of stdout.

Whatever is not a message goes to stderr. Colours and the prompt are for terminals only, and what a server sends cannot steer
the terminal: control characters are shown as escapes, which also keeps each text on one line. Where prompt_toolkit is
installed, lines are edited with it, and have a history.
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

__all__ = ['Editor', 'UsageError', 'add_arguments', 'connect', 'hex_dump', 'make_editor', 'printable', 'read_lines']

_CLEAN = frozenset({CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD})

# What a shell reports for a command that SIGINT ended.
_INTERRUPTED = 128 + signal.SIGINT

_PROMPT = '> '
_ERASE_LINE = '\r\x1b[K'
_RED, _GREEN, _CYAN = 31, 32, 36

# C0 without the tab, DEL, C1, and the line ends of Unicode.
_CONTROL = re.compile('[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]')


class UsageError(Exception):
    """What the user asked for cannot be done; the text says why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the command's arguments."""
    parser.add_argument('url', metavar='URL', help='the server, such as ws://localhost:9292/')
    parser.add_argument('--header', action='append', default=[], metavar='"NAME: VALUE"', help='a further request header')
    parser.add_argument('--protocol', action='append', default=[], metavar='NAME', help='a subprotocol to offer')
    parser.add_argument('--origin', help='the Origin header')
    parser.add_argument('--ping', type=_parse_seconds, metavar='SECONDS', help='send a ping as often as this')
    parser.add_argument('--insecure', action='store_true', help="do not verify the server's certificate")
    parser.add_argument('--ca', metavar='FILE', help="authorities to trust in the place of the system's")
    parser.add_argument('--proxy', metavar='URL', help='http://user:password@host:port, or "env" for the environment variables')
    parser.add_argument('--timeout', type=_parse_seconds, default=30, metavar='SECONDS', help='for connecting; %(default)s')
    parser.add_argument('--execute', action='append', default=[], metavar='TEXT', help='a message to send first')
    parser.add_argument('--listen-only', action='store_true', help='do not read stdin; listen until the server closes')
    parser.add_argument(
        '--wait', type=_parse_seconds, default=1, metavar='SECONDS',
        help='from the end of a piped stdin to closing; %(default)s')


def _parse_seconds(text: str) -> float:
    """Return a time that an option gives. Raises ArgumentTypeError for what is not one."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(f'expected a number of seconds, at least 0, or inf, got {text!r}')
    return seconds


def connect(options: argparse.Namespace) -> int:
    """Talks to the server until either side closes, and returns the process's exit status.

    0 after a clean close (1000, 1001 or none), 130 after Ctrl-C, and 1 otherwise, also when stdout could not be written.
    Raises UsageError.
    """
    try:
        client = make_client(options)
    except (OSError, TypeError, ValueError) as error:
        raise UsageError(f'cannot connect to {options.url}: {error}') from error
    return Terminal(client, options).run()


def make_client(options: argparse.Namespace) -> Client:
    """The client that the options ask for."""
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
    """The request headers that the options ask for."""
    headers = [] if options.origin is None else [('Origin', options.origin)]
    for header in options.header:
        name, colon, value = header.partition(':')
        if not colon:
            raise ValueError(f'--header {header!r} is not of the form "NAME: VALUE"')
        headers.append((name.strip(), value.strip()))
    return headers


class Terminal:
    """A client whose user is at stdin, stdout and stderr."""

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
        """Until the connection has ended."""
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
        """Sends what is typed, and closes at its end: at once in a terminal, or when the answers had time to come."""
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
        error = _write(sys.stdout, printable(data) if isinstance(data, str) else hex_dump(data), _CYAN)
        if error is not None:
            self._output_failed(error)
        self._prompt()

    def _output_failed(self, error: OSError) -> None:
        """Nobody reads on, or the disk is full."""
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
        """Ctrl-C closes; a second one does not wait for the server."""
        if self.status == _INTERRUPTED:
            self.ended.set()
        self.status = _INTERRUPTED
        self.client.close()

    def _tell(self, text: str, colour: int) -> None:
        """Prints a line that is no message."""
        self._clear_prompt()
        _write(sys.stderr, printable(text), colour)

    def _prompt(self) -> None:
        if self.has_prompt:
            _write(sys.stderr, _PROMPT, end='')

    def _clear_prompt(self) -> None:
        if self.has_prompt:
            _write(sys.stderr, _ERASE_LINE, end='')


class Editor:
    """Reads lines with prompt_toolkit, in an OS thread of its own; what is printed meanwhile appears above the prompt."""

    def __init__(self, session: Any, interrupted: Callable[[], object]) -> None:
        self._session = session
        self._interrupted = interrupted
        self._ended = gevent.event.Event()
        self._is_stopping = False

    def read_lines(self) -> Iterator[str]:
        """The lines as they are typed, up to the end of input, to Ctrl-C, or to ``stop``. Blocks the calling greenlet only."""
        from prompt_toolkit.application import create_app_session
        from prompt_toolkit.patch_stdout import patch_stdout

        pool = gevent.get_hub().threadpool
        try:
            with create_app_session(self._session.input, self._session.output), patch_stdout(raw=True):
                # The thread's prompt and what is printed here have to know of each other.
                context = copy_context()
                while isinstance(answer := pool.apply(context.run, (self._ask,)), str):
                    yield answer
        finally:
            self._ended.set()
        if isinstance(answer, KeyboardInterrupt):
            self._interrupted()

    def stop(self) -> None:
        """Leaves the terminal as it was."""
        self._is_stopping = True
        # The prompt lives in another thread, and may end meanwhile, its loop with it. The next one looks for itself.
        if (loop := self._session.app.loop) is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._exit)
        self._ended.wait()

    def _ask(self) -> str | BaseException:
        """One line, or why there is none. In the thread, where no exception may escape to."""
        try:
            return str(self._session.prompt(_PROMPT, pre_run=self._exit))
        except (EOFError, KeyboardInterrupt) as error:
            return error

    def _exit(self) -> None:
        """Ends the prompt, if it shall be. In the thread, and also when a prompt begins, which ``stop`` may not have seen."""
        future = self._session.app.future
        if self._is_stopping and future is not None and not future.done():
            self._session.app.exit(exception=EOFError)


def make_editor(interrupted: Callable[[], object]) -> Editor | None:
    """An editor, if prompt_toolkit is there, which the extra ``prompt`` installs; ``interrupted`` is called at Ctrl-C."""
    try:
        from prompt_toolkit import PromptSession
    except ModuleNotFoundError:
        return None
    return Editor(PromptSession(), interrupted)


def read_lines(stream: IO[str] | None) -> Iterator[str]:
    """The lines of a stream as they come, without their ends. Blocks the calling greenlet only.

    The descriptor stays as it is: a terminal that is made non-blocking would be so for stdout and for the shell too.
    """
    # What there is of a line without an end yet, in pieces: put together once, whatever its length.
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
    """What can be read now, once there is something; nothing at the end."""
    if stream is None:
        return b''
    descriptor = stream.fileno()
    mode = os.fstat(descriptor).st_mode
    # Files are always ready, and epoll does not take them.
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor):
        socket.wait_read(descriptor)
    try:
        return os.read(descriptor, 65536)
    except OSError:
        # The terminal is gone, or stdin is not for reading.
        return b''


def hex_dump(data: bytes) -> str:
    """Sixteen bytes in a line, with offset and ASCII; at the end the length, as hexdump -C has it."""
    lines = []
    for start in range(0, len(data), 16):
        row = data[start:start + 16]
        text = ''.join(chr(byte) if 32 <= byte < 127 else '.' for byte in row)
        lines.append(f'{start:08x}  {row.hex(" "):47}  |{text}|')
    return '\n'.join([*lines, f'{len(data):08x}'])


def printable(text: str) -> str:
    r"""The text in one line, with escapes such as ``\n`` and ``\x1b`` for control characters."""
    return _CONTROL.sub(lambda match: repr(match[0])[1:-1], text)


def _is_terminal(stream: IO[str] | None) -> bool:
    """Whether a stream is there, and is a terminal."""
    return stream is not None and stream.isatty()


def _write(stream: TextIO | None, text: str, colour: int = 0, end: str = '\n') -> OSError | None:
    """Prints a line, with escapes for what the stream's encoding lacks; in colour on a terminal. Answers why it failed."""
    if stream is None:
        return None
    encoding = stream.encoding or 'utf-8'
    text = text.encode(encoding, 'backslashreplace').decode(encoding)
    if colour and stream.isatty() and 'NO_COLOR' not in os.environ:
        text = f'\x1b[{colour}m{text}\x1b[0m'
    try:
        print(text, end=end, file=stream, flush=True)
    except OSError as error:
        # What is left in the buffer must not fail again when the process ends.
        with open(os.devnull, 'wb') as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())
        return error
    return None
