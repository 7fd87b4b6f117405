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
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import gevent
import gevent.event

from ..client import Client
from ..driver.codes import CloseCode
from . import UsageError
from .console import (
    CYAN,
    GREEN,
    RED,
    hex_dump,
    is_terminal,
    printable,
    read_lines,
    write_data,
    write_line,
)
from .editor import PROMPT, Editor, make_editor
from .trace import TracedClient

__all__ = ['add_arguments', 'connect']

_CLEAN = frozenset({CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD})

# The status that a shell reports for a command that SIGINT has ended.
_INTERRUPTED = 128 + signal.SIGINT

_ERASE_LINE = '\r\x1b[K'


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
    parser.add_argument('--origin', help='send this Origin header (default: none)')
    parser.add_argument(
        '--ping',
        type=_parse_interval,
        metavar='SECONDS',
        help='send a ping every SECONDS (default: none)',
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
        help='connect through a proxy: http://user:password@host:port, or "env" to use the'
        ' environment variables (default: none)',
    )
    parser.add_argument(
        '--timeout',
        type=_parse_interval,
        default=30,
        metavar='SECONDS',
        help='give up connecting after SECONDS (default: %(default)s)',
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
        help='after the end of a piped stdin, close after SECONDS (default: %(default)s)',
    )
    parser.add_argument(
        '--output',
        metavar='FILE',
        help='write the messages received to FILE, and not to standard output: a text with a'
        ' line feed behind it, the bytes of a binary message as they are',
    )
    parser.add_argument(
        '--verbose',
        action='store_true',
        help='show the handshake and the frames on standard error',
    )


def _parse_seconds(text: str) -> float:
    """Return the time that an option gives. Raise ArgumentTypeError if invalid."""
    seconds = _to_float(text)
    if not seconds >= 0:
        raise argparse.ArgumentTypeError(
            f'expected a number of seconds, at least 0, or inf, got {text!r}'
        )
    return seconds


def _parse_interval(text: str) -> float:
    """Return a time that is not 0. Raise ArgumentTypeError if invalid."""
    seconds = _to_float(text)
    if not seconds > 0:
        raise argparse.ArgumentTypeError(
            f'expected a number of seconds, more than 0, or inf, got {text!r}'
        )
    return seconds


def _to_float(text: str) -> float:
    """Return the number, or nan if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


def connect(options: argparse.Namespace) -> int:
    """Exchange messages until either side closes, and return the exit status.

    It is 0 after a clean close (1000, 1001 or no code), 130 after Ctrl-C, and 1
    otherwise, also if writing to stdout failed. Raise UsageError if an argument is not
    valid.
    """
    with _open_output(options.output) as output:
        try:
            client = make_client(options)
        except (OSError, TypeError, ValueError) as error:
            raise UsageError(f'cannot connect to {options.url}: {error}') from error
        return Terminal(client, options, output).run()


@contextmanager
def _open_output(path: str | None) -> Iterator[BinaryIO | None]:
    """Yield the file for messages, or None.

    Raise UsageError if it cannot be written.
    """
    if path is None:
        yield None
        return
    try:
        output = open(path, 'wb')
    except OSError as error:
        raise UsageError(f'cannot write to {path}: {error}') from error
    try:
        yield output
    finally:
        # What could not be written was reported, and would raise again.
        with suppress(OSError):
            output.close()


def make_client(options: argparse.Namespace) -> Client:
    """Return the client with these options."""
    tls = {'verify_peer': not options.insecure, 'root_cert_file': options.ca}
    has_own_proxy = options.proxy not in (None, 'env')
    return (TracedClient if options.verbose else Client)(
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
    """A client that exchanges messages with stdin and stdout, or ``output``."""

    def __init__(
        self, client: Client, options: argparse.Namespace, output: BinaryIO | None = None
    ) -> None:
        self.client = client
        self.options = options
        self.output = output
        self.is_interactive = not options.listen_only and is_terminal(sys.stdin)
        self.has_prompt = self.is_interactive and is_terminal(sys.stderr)
        self.status = 1
        self.has_failed = False
        # The error that was told, which its close event need not repeat.
        self.error = ''
        self.ended = gevent.event.Event()
        self.reader: Any = None
        self.editor: Editor | None = None
        client.onopen = self._opened
        client.onmessage = self._received
        client.onerror = self._failed
        client.onclose = self._closed
        if isinstance(client, TracedClient):
            client.tell = self._tell

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
        self._tell(f'connected to {self.client.url}{agreed}', GREEN)
        for text in self.options.execute:
            self.client.send(text)
        if not self.options.listen_only:
            if self.has_prompt and is_terminal(sys.stdout):
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
        self._clear_prompt()
        error = self._write(event.data)
        if error is not None:
            self._output_failed(error)
        self._prompt()

    def _write(self, data: str | bytes) -> OSError | None:
        """Write a message, and return the error if that fails."""
        if self.output is not None:
            return write_data(self.output, f'{data}\n'.encode() if isinstance(data, str) else data)
        text = printable(data) if isinstance(data, str) else hex_dump(data)
        return write_line(sys.stdout, text, CYAN)

    def _output_failed(self, error: OSError) -> None:
        """Close: the reader of stdout is gone, or the disk is full."""
        name = 'stdout' if self.output is None else self.options.output
        self._tell(f'error: writing to {name} failed: {error}', RED)
        self.has_failed = True
        self.client.close()

    def _failed(self, event: Any) -> None:
        """Print the error, and the beginning of the body of a refusal."""
        self.error = event.message
        self._tell(f'error: {event.message}', RED)
        for line in self.client.body.decode(errors='replace').splitlines():
            self._tell(line)

    def _closed(self, event: Any) -> None:
        is_clean = event.was_clean and event.code in _CLEAN
        if self.status != _INTERRUPTED:
            self.status = 0 if is_clean and not self.has_failed else 1
        self.has_prompt, had_prompt = False, self.has_prompt
        if had_prompt:
            write_line(sys.stderr, '')
        reason = event.reason if event.reason not in self.error else ''
        if not self.error or event.code != CloseCode.ABNORMAL_CLOSURE:
            self._tell(f'closed: {event.code} {reason}'.rstrip(), GREEN if is_clean else RED)
        self.ended.set()

    def _interrupted(self) -> None:
        """Close at Ctrl-C. At the second one, do not wait for the server."""
        if self.status == _INTERRUPTED:
            self.ended.set()
        self.status = _INTERRUPTED
        self.client.close()

    def _tell(self, text: str, colour: int = 0) -> None:
        """Print a line that is not a message."""
        self._clear_prompt()
        write_line(sys.stderr, printable(text), colour)

    def _prompt(self) -> None:
        if self.has_prompt:
            write_line(sys.stderr, PROMPT, end='')

    def _clear_prompt(self) -> None:
        if self.has_prompt:
            write_line(sys.stderr, _ERASE_LINE, end='')
