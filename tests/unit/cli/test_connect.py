"""The command ``connect``."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gevent
import pytest
from gevent.subprocess import PIPE, Popen
from prompt_toolkit import PromptSession
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from faye_websocket import WebSocket
from faye_websocket.__main__ import main
from faye_websocket.cli.editor import Editor
from tests.support.inside import connection_of, driver_of, stream_of
from tests.support.local import LocalServer, hub_errors, serve, wait_until
from tests.support.processes import ROOT, environment


def echo(ws: WebSocket) -> None:
    """Send back every message."""
    ws.on('message', lambda event: ws.send(event.data))


def url_of(server: LocalServer) -> str:
    """Return the URL of the server's WebSocket."""
    return f'{"wss" if server.certificate else "ws"}://127.0.0.1:{server.wsgi.server_port}/'


class Input:
    """A pipe or a terminal as stdin, and the input of its user."""

    def __init__(self, is_terminal: bool) -> None:
        self.read_end, self.write_end = os.openpty()[::-1] if is_terminal else os.pipe()
        self.stream = open(self.read_end)

    def type(self, text: str | bytes) -> None:
        """Write text to it."""
        os.write(self.write_end, text if isinstance(text, bytes) else text.encode())

    def end(self) -> None:
        """Close the pipe, or lose the terminal."""
        with suppress(OSError):
            os.close(self.write_end)


class Output:
    """A terminal as stdout or stderr."""

    def __init__(self, encoding: str = 'utf-8') -> None:
        self.main_end, end = os.openpty()
        tty.setraw(end)
        os.set_blocking(self.main_end, False)
        self.stream = open(end, 'w', encoding=encoding)
        self._text = b''

    @property
    def text(self) -> str:
        """All text that was written."""
        with suppress(BlockingIOError):
            self._text += os.read(self.main_end, 65536)
        return self._text.decode()

    def close(self) -> None:
        """Close both ends."""
        self.stream.close()
        os.close(self.main_end)


class Command:
    """The command in a greenlet.

    ``handlers`` are those of signals. They are kept here, and not installed.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        self.handlers: dict[int, Callable[[], object]] = {}
        self.greenlet: Any = None
        self.input: Any = None
        self._out = self._err = ''
        self._outputs: list[Output] = []
        monkeypatch.setattr('gevent.signal_handler', self.handlers.__setitem__)

    def start(self, url: str, *arguments: str, is_terminal: bool = False) -> None:
        """Start the command, with an input."""
        self.input = Input(is_terminal)
        self.monkeypatch.setattr(sys, 'stdin', self.input.stream)
        self.greenlet = gevent.spawn(main, ['connect', url, *arguments])

    def wait(self) -> int:
        """Wait for the end, and return the exit status."""
        return int(self.greenlet.get(timeout=10))

    def wait_until_connected(self) -> None:
        """Wait until the command prints that it is connected."""
        wait_until(lambda: any(line.startswith('connected') for line in self.err))

    def run(self, url: str, *arguments: str, text: str | bytes = '') -> int:
        """Run the command with this text in a pipe, and return the exit status."""
        self.start(url, *arguments)
        self.input.type(text)
        self.input.end()
        return self.wait()

    def give_terminal(self, name: str, encoding: str = 'utf-8') -> Output:
        """Replace ``stdout`` or ``stderr`` by a terminal."""
        self._outputs.append(Output(encoding))
        self.monkeypatch.setattr(sys, name, self._outputs[-1].stream)
        return self._outputs[-1]

    @property
    def out(self) -> list[str]:
        """The lines of stdout."""
        self._read()
        return self._out.splitlines()

    @property
    def err(self) -> list[str]:
        """The lines of stderr."""
        self._read()
        return self._err.splitlines()

    def close(self) -> None:
        """End the command, and close its streams."""
        if self.greenlet is not None:
            self.greenlet.kill()
            self.input.stream.close()
            self.input.end()
        for output in self._outputs:
            output.close()

    def _read(self) -> None:
        out, err = self.capsys.readouterr()
        self._out += out
        self._err += err


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Command]:
    """The command, which leaves no errors in the hub."""
    monkeypatch.delenv('NO_COLOR', raising=False)
    command = Command(monkeypatch, capsys)
    with hub_errors() as errors:
        yield command
        command.close()
        assert errors.getvalue() == ''


class TestPipe:
    """The command with a pipe as stdin."""

    def test_each_line_is_a_message_and_each_message_a_line(self, command: Command) -> None:
        with serve(echo) as server:
            assert command.run(url_of(server), '--wait', '.1', text='hello\n\ngrüß\nno end') == 0
            assert command.out == ['hello', '', 'grüß', 'no end']
            assert command.err == [f'connected to {url_of(server)}', 'closed: 1000']
            assert server.record.messages == ['hello', '', 'grüß', 'no end']

    def test_waits_for_replies_before_it_closes(self, command: Command) -> None:
        with serve() as server:
            command.start(url_of(server), '--wait', '9')
            command.input.type('question\n')
            command.input.end()
            server.record.wait('message')
            server.ws.send('answer')
            server.ws.close(1001, 'bye')
            assert command.wait() == 0
            assert command.out == ['answer']
            assert command.err[-1] == 'closed: 1001 bye'

    def test_bytes_that_are_not_utf8_are_replaced(self, command: Command) -> None:
        with serve() as server:
            command.run(url_of(server), '--wait', '0', text=b'\xff\n')
            assert server.record.messages == ['\ufffd']

    def test_does_not_block_the_hub_while_waiting_for_input(self, command: Command) -> None:
        with serve(lambda ws: ws.on('open', lambda event: ws.send('first'))) as server:
            command.start(url_of(server))
            wait_until(lambda: command.out == ['first'])
            server.ws.send('second')
            wait_until(lambda: command.out == ['first', 'second'])
            server.ws.close(1000)
            assert command.wait() == 0

    def test_sends_a_message_longer_than_the_pipe_holds(self, command: Command) -> None:
        with serve() as server:
            command.start(url_of(server), '--wait', '0')
            for _ in range(10):
                command.input.type('x' * 60000)
                gevent.idle()
                wait_until(lambda: command.greenlet.dead or not has_bytes(command.input.read_end))
            command.input.end()
            assert command.wait() == 0
            assert server.record.messages == ['x' * 600000]

    def test_reads_a_file_as_well(self, command: Command, tmp_path: Path) -> None:
        (tmp_path / 'lines').write_text('one\ntwo\n')
        with serve(echo) as server, (tmp_path / 'lines').open() as lines:
            command.monkeypatch.setattr(sys, 'stdin', lines)
            assert main(['connect', url_of(server), '--wait', '.1']) == 0
            assert command.out == ['one', 'two']

    def test_binary_is_dumped(self, command: Command) -> None:
        with serve(lambda ws: ws.on('open', lambda event: (ws.send(b'abc\x00'), ws.close(1000)))) as server:
            assert command.run(url_of(server), '--listen-only') == 0
            assert command.out == [f'00000000  {"61 62 63 00":47}  |abc.|', '00000004']

    def test_has_neither_colours_nor_a_prompt(self, command: Command) -> None:
        with serve(echo) as server:
            command.run(url_of(server), '--wait', '.1', text='hello\n')
        assert '\x1b' not in ''.join([*command.out, *command.err])
        assert '>' not in ''.join(command.err)

    @pytest.mark.parametrize('name', ['stdout', 'stderr'])
    def test_works_without_one_of_its_outputs(self, command: Command, name: str) -> None:
        command.monkeypatch.setattr(sys, name, None)
        with serve(echo) as server:
            assert command.run(url_of(server), '--wait', '.1', text='hello\n') == 0

    def test_closes_when_the_reader_of_stdout_is_gone(self, command: Command) -> None:
        with serve(lambda ws: ws.on('message', lambda event: (ws.send('one'), ws.send('two')))) as server, \
                broken_pipe() as stdout:
            command.monkeypatch.setattr(sys, 'stdout', stdout)
            command.start(url_of(server))
            command.input.type('hello\n')
            assert command.wait() == 1
            assert server.record.the_close().code == 1000
        assert command.err[1:] == ['error: writing to stdout failed: [Errno 32] Broken pipe', 'closed: 1000']

    def test_reports_that_the_disk_is_full(self, command: Command) -> None:
        with serve(echo) as server, open('/dev/full', 'w') as stdout:
            command.monkeypatch.setattr(sys, 'stdout', stdout)
            command.start(url_of(server))
            command.input.type('hello\n')
            assert command.wait() == 1
        assert command.err[1] == 'error: writing to stdout failed: [Errno 28] No space left on device'

    def test_goes_on_when_the_reader_of_stderr_is_gone(self, command: Command) -> None:
        with serve(echo) as server, broken_pipe() as stderr:
            command.monkeypatch.setattr(sys, 'stderr', stderr)
            assert command.run(url_of(server), '--wait', '.1', text='hello\n') == 0
        assert command.out == ['hello']


@contextmanager
def broken_pipe() -> Iterator[Any]:
    """Yield a stream whose reader is gone."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    with open(write_end, 'w') as stream:
        yield stream


def has_bytes(descriptor: int) -> bool:
    """Return whether a pipe holds any bytes."""
    return fcntl.ioctl(descriptor, termios.FIONREAD, b'\0' * 4) != b'\0' * 4


class TestTerminal:
    """The command with a terminal as stdin."""

    def test_prompts_for_each_line_and_closes_at_the_end(self, command: Command) -> None:
        err = command.give_terminal('stderr')
        with serve() as server:
            command.start(url_of(server), is_terminal=True)
            wait_until(lambda: err.text.endswith('> '))
            command.input.type('hello\n')
            server.record.wait('message')
            wait_until(lambda: err.text.endswith('> > '))
            command.input.type('\x04')
            assert command.wait() == 0
            assert server.record.messages == ['hello']
            # The last output may still be on its way through the terminal.
            wait_until(lambda: 'closed: ' in err.text and err.text.endswith('\n'))
            assert err.text == f'\x1b[32mconnected to {url_of(server)}\x1b[0m\n> > \n\x1b[32mclosed: 1000\x1b[0m\n'.replace(
                '\x1b[32mconnected', '\r\x1b[K\x1b[32mconnected', 1)

    def test_a_message_replaces_the_prompt(self, command: Command) -> None:
        err = command.give_terminal('stderr')
        with serve() as server:
            command.start(url_of(server), is_terminal=True)
            wait_until(lambda: err.text.endswith('> '))
            server.ws.send('news')
            wait_until(lambda: err.text.endswith('> \r\x1b[K> '))
            assert command.out == ['news']
            server.ws.close(1000)
            assert command.wait() == 0

    def test_messages_have_a_colour_on_a_terminal(self, command: Command) -> None:
        out = command.give_terminal('stdout')
        with serve(echo) as server:
            command.run(url_of(server), '--wait', '.1', text='hello\n')
        assert out.text == '\x1b[36mhello\x1b[0m\n'

    def test_no_color_turns_colours_off(self, command: Command) -> None:
        out = command.give_terminal('stdout')
        command.monkeypatch.setenv('NO_COLOR', '1')
        with serve(echo) as server:
            command.run(url_of(server), '--wait', '.1', text='hello\n')
        assert out.text == 'hello\n'

    def test_characters_that_the_encoding_lacks_are_escaped(self, command: Command) -> None:
        out = command.give_terminal('stdout', 'ascii')
        with serve(echo) as server:
            command.run(url_of(server), '--wait', '.1', text='grüß\n')
        assert out.text == '\x1b[36mgr\\xfc\\xdf\x1b[0m\n'

    def test_has_no_prompt_where_it_would_not_be_seen(self, command: Command) -> None:
        with serve() as server:
            command.start(url_of(server), is_terminal=True)
            server.record.wait('open')
            command.input.type('\x04')
            assert command.wait() == 0
        assert command.err == [f'connected to {url_of(server)}', 'closed: 1000']

    def test_closes_when_the_terminal_is_lost(self, command: Command) -> None:
        with serve() as server:
            command.start(url_of(server), is_terminal=True)
            server.record.wait('open')
            command.input.end()
            assert command.wait() == 0


class TestEditor:
    """The command with terminals only, and with prompt_toolkit."""

    @pytest.fixture
    def keys(self) -> Iterator[Any]:
        """A keyboard."""
        with create_pipe_input() as keyboard:
            yield keyboard

    @pytest.fixture(autouse=True)
    def editor(self, command: Command, keys: Any) -> Any:
        """The editor that reads from this keyboard."""
        session: Any = PromptSession(input=keys, output=DummyOutput())
        command.monkeypatch.setattr('prompt_toolkit.PromptSession', lambda: session)
        return session

    def start(self, command: Command, server: LocalServer, *arguments: str) -> None:
        """Start the command."""
        for name in ('stdout', 'stderr'):
            command.give_terminal(name)
        command.start(url_of(server), *arguments, is_terminal=True)

    def test_edits_lines_and_remembers_them(self, command: Command, keys: Any) -> None:
        with serve() as server:
            self.start(command, server)
            keys.send_text('hexlo\x1b[D\x1b[D\x7fl\r')
            server.record.wait('message')
            keys.send_text('\x1b[A\r')
            server.record.wait('message', 2)
            keys.send_text('\x04')
            assert command.wait() == 0
            assert server.record.messages == ['hello', 'hello']
            assert server.record.the_close().code == 1000

    def test_ends_when_the_server_closes(self, command: Command, keys: Any) -> None:
        with serve(lambda ws: ws.on('message', lambda event: ws.close(1000))) as server:
            self.start(command, server, '--execute', 'go')
            assert command.wait() == 0
            assert server.record.messages == ['go']

    def test_ends_when_the_server_closes_without_any_input(self, command: Command, keys: Any, editor: Any) -> None:
        with serve() as server:
            self.start(command, server)
            keys.send_text('hello\r')
            server.record.wait('message')
            wait_until(lambda: editor.app.is_running, 'the next prompt')
            server.ws.close(1011)
            assert command.wait() == 1

    def test_may_be_stopped_before_the_first_prompt(self, editor: Any) -> None:
        reader = Editor(editor, lambda: None)
        stopping = gevent.spawn(reader.stop)
        gevent.idle()
        assert list(reader.read_lines()) == []
        stopping.get(timeout=5)

    def test_ctrl_c_closes_with_1000(self, command: Command, keys: Any) -> None:
        with serve() as server:
            self.start(command, server)
            keys.send_text('\x03')
            assert command.wait() == 130
            assert server.record.the_close().code == 1000

    def test_is_optional(self, command: Command, keys: Any) -> None:
        command.monkeypatch.setitem(sys.modules, 'prompt_toolkit', None)
        with serve() as server:
            self.start(command, server)
            command.input.type('hello\n')
            server.record.wait('message')
            command.input.type('\x04')
            assert command.wait() == 0


class TestOptions:
    """The options of the command."""

    def test_sends_the_texts_of_execute_before_stdin(self, command: Command) -> None:
        with serve() as server:
            command.run(url_of(server), '--execute', 'one', '--execute', 'two', '--wait', '0', text='three\n')
            assert server.record.messages == ['one', 'two', 'three']

    def test_only_listens(self, command: Command) -> None:
        with serve(lambda ws: ws.on('message', lambda event: ws.close(1000))) as server:
            assert command.run(url_of(server), '--listen-only', '--execute', 'bye', text='not this\n') == 0
            assert server.record.messages == ['bye']

    def test_sends_headers(self, command: Command) -> None:
        with serve() as server:
            command.run(
                url_of(server), '--header', 'X-One: 1', '--header', 'X-Two:a:b', '--origin', 'http://there', '--wait', '0')
            environ = server.ws.environ
        assert (environ['HTTP_X_ONE'], environ['HTTP_X_TWO'], environ['HTTP_ORIGIN']) == ('1', 'a:b', 'http://there')

    def test_agrees_on_a_protocol(self, command: Command) -> None:
        with serve(protocols=['b']) as server:
            command.run(url_of(server), '--protocol', 'a', '--protocol', 'b', '--wait', '0')
        assert command.err[0] == f'connected to {url_of(server)}, protocol b'

    def test_pings(self, command: Command) -> None:
        with serve() as server:
            command.start(url_of(server), '--ping', '.02')
            driver = driver_of(server.record.ws)
            pings: list[object] = []
            driver.on('ping', pings.append)
            wait_until(lambda: pings)
            command.input.end()
            assert command.wait() == 0

    def test_trusts_an_authority(self, command: Command) -> None:
        with serve(tls=True) as server:
            assert server.certificate is not None
            assert command.run(url_of(server), '--ca', server.certificate.authority, '--wait', '0') == 0

    def test_insecure_turns_verification_off(self, command: Command) -> None:
        with serve(tls=True) as server:
            assert command.run(url_of(server), '--insecure', '--wait', '0') == 0

    def test_connects_through_a_proxy(self, command: Command) -> None:
        with gevent.socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen()
            command.start('ws://there.example/', '--proxy', f'http://127.0.0.1:{listener.getsockname()[1]}')
            sock, _ = listener.accept()
            with sock:
                assert sock.recv(1000).startswith(b'CONNECT there.example:80 HTTP/1.1\r\n')
                sock.sendall(b'HTTP/1.1 403 Forbidden\r\n\r\n')
                assert command.wait() == 1
        assert command.err[0].startswith('error: proxy: ')

    def test_uses_the_proxy_of_the_environment(self, command: Command) -> None:
        for name in ('http_proxy', 'all_proxy', 'no_proxy', 'HTTP_PROXY', 'ALL_PROXY', 'NO_PROXY'):
            command.monkeypatch.delenv(name, raising=False)
        command.monkeypatch.setenv('http_proxy', 'http://127.0.0.1:1')
        assert command.run('ws://there.example/', '--proxy', 'env') == 1
        assert command.err[0].startswith('error: connecting to 127.0.0.1:1 failed: ')


class TestEnd:
    """The end of the connection, and the exit status."""

    @pytest.mark.parametrize(('code', 'status'), [(1000, 0), (1001, 0), (1011, 1), (3000, 1)])
    def test_the_status_is_0_if_the_server_closed_cleanly(self, command: Command, code: int, status: int) -> None:
        with serve(lambda ws: ws.on('open', lambda event: ws.close(code))) as server:
            assert command.run(url_of(server), '--listen-only') == status
        assert command.err[-1] == f'closed: {code}'

    def test_a_close_without_a_code_is_clean(self, command: Command) -> None:
        with serve() as server:
            command.start(url_of(server))
            command.wait_until_connected()
            stream_of(server.ws).write(b'\x88\x00')
            assert command.wait() == 0
        assert command.err[-1] == 'closed: 1005'

    def test_a_lost_connection_is_a_failure(self, command: Command) -> None:
        with serve() as server:
            command.start(url_of(server))
            command.wait_until_connected()
            connection_of(server.ws).abort('lost')
            assert command.wait() == 1
        assert command.err[-1].startswith('closed: 1006')

    def test_a_failed_connection_is_a_failure(self, command: Command) -> None:
        assert command.run('ws://127.0.0.1:1/') == 1
        assert command.err[0].startswith('error: connecting to 127.0.0.1:1 failed: ')

    def test_the_server_cannot_control_the_terminal(self, command: Command) -> None:
        with serve(lambda ws: ws.on('open', lambda event: (ws.send('a\n\x1b[2J'), ws.close(1000, '\x1b[2J')))) as server:
            assert command.run(url_of(server), '--listen-only') == 0
        assert command.out == ['a\\n\\x1b[2J']
        assert command.err[-1] == 'closed: 1000 \\x1b[2J'

    def test_ctrl_c_closes_with_1000(self, command: Command) -> None:
        with serve() as server:
            command.start(url_of(server))
            command.wait_until_connected()
            command.handlers[signal.SIGINT]()
            assert command.wait() == 130
            assert server.record.the_close().code == 1000
        assert command.err[-1] == 'closed: 1000'

    def test_ctrl_c_gives_up_connecting(self, command: Command) -> None:
        with gevent.socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen()
            command.start(f'ws://127.0.0.1:{listener.getsockname()[1]}/')
            with listener.accept()[0]:
                command.handlers[signal.SIGINT]()
                assert command.wait() == 130

    def test_a_second_ctrl_c_does_not_wait_for_the_server(self, command: Command) -> None:
        with serve() as server:
            command.start(url_of(server))
            command.wait_until_connected()
            stream_of(server.ws).pause()
            command.handlers[signal.SIGINT]()
            command.handlers[signal.SIGINT]()
            assert command.wait() == 130
            assert command.err == [f'connected to {url_of(server)}']
            stream_of(server.ws).resume()
            wait_until(lambda: command.err[-1] == 'closed: 1000')


    @pytest.mark.parametrize('body', [b'You may not,\nreally.\n\x1b[2J', b''])
    def test_a_refusal_is_shown_once_with_its_status_and_body(self, command: Command, body: bytes) -> None:
        with gevent.socket.socket() as listener:
            listener.bind(('127.0.0.1', 0))
            listener.listen()
            command.start(f'ws://127.0.0.1:{listener.getsockname()[1]}/')
            with listener.accept()[0] as sock:
                sock.recv(1000)
                sock.sendall(b'HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%b' % (len(body), body))
                assert command.wait() == 1
        shown = ['You may not,', 'really.', '\\x1b[2J'] if body else []
        assert command.err == ['error: handshake failed: expected status 101, got 403 Forbidden', *shown]

    def test_a_failure_is_told_once(self, command: Command) -> None:
        assert command.run('ws://127.0.0.1:1/') == 1
        assert len(command.err) == 1

    def test_a_reason_that_was_told_is_not_repeated(self, command: Command) -> None:
        with serve() as server:
            command.start(url_of(server))
            command.wait_until_connected()
            stream_of(server.ws).write(b'\x85\x00')
            assert command.wait() == 1
        assert command.err[1:] == ['error: unknown opcode 5', 'closed: 1002']


class TestOutput:
    """The option ``--output``."""

    def test_has_the_messages_as_they_are(self, command: Command, tmp_path: Path) -> None:
        path = tmp_path / 'messages'
        with serve(lambda ws: ws.on('open', lambda event: (
                ws.send('gr\xfc\xdf\x1b'), ws.send(b'\x00\xff'), ws.send('end'), ws.close(1000)))) as server:
            assert command.run(url_of(server), '--listen-only', '--output', str(path)) == 0
        assert command.out == []
        assert path.read_bytes() == 'gr\xfc\xdf\x1b\n'.encode() + b'\x00\xffend\n'

    def test_that_cannot_be_written_closes_the_connection(self, command: Command) -> None:
        with serve(echo) as server:
            command.start(url_of(server), '--output', '/dev/full')
            command.input.type('hello\n')
            assert command.wait() == 1
        assert command.err[1] == 'error: writing to /dev/full failed: [Errno 28] No space left on device'


class TestVerbose:
    """The option ``--verbose``."""

    def test_shows_the_handshake_and_the_frames(self, command: Command) -> None:
        with serve(echo) as server:
            assert command.run(url_of(server), '--verbose', '--wait', '.1', '--header', 'X-One: 1', text='hello\n') == 0
        assert command.out == ['hello']
        err = command.err
        assert err[:2] == ['> GET / HTTP/1.1', f'> Host: {url_of(server)[5:-1]}']
        assert '> X-One: 1' in err
        assert '< HTTP/1.1 101 Switching Protocols' in err
        assert err[err.index(f'connected to {url_of(server)}') + 1:] == [
            '> TEXT of 5 bytes: hello', '< TEXT of 5 bytes: hello', '> CLOSE 1000', '< CLOSE 1000', 'closed: 1000']

    def test_shows_many_messages_in_their_order(self, command: Command) -> None:
        with serve(echo) as server:
            texts = [f'{number:03}' + 'x' * 20000 for number in range(50)]
            assert command.run(url_of(server), '--verbose', '--wait', '.5', *(f'--execute={text}' for text in texts)) == 0
        for mark in '><':
            shown = [line for line in command.err if line.startswith(f'{mark} TEXT')]
            assert shown == [f'{mark} TEXT of 20003 bytes: {text[:64]} ...' for text in texts]

    def test_shows_tls_in_clear(self, command: Command) -> None:
        with serve(echo, tls=True) as server:
            assert command.run(url_of(server), '--verbose', '--insecure', '--wait', '.1', text='hello\n') == 0
        assert '< TEXT of 5 bytes: hello' in command.err


class TestUsageError:
    """Invalid arguments end the command with status 2 and a reason."""

    @pytest.mark.parametrize(('arguments', 'message'), [
        (('http://x/',), "cannot connect to http://x/: url: the scheme must be ws or wss, not 'http'"),
        (('ws://x/', '--header', 'x'), 'cannot connect to ws://x/: --header \'x\' is not of the form "NAME: VALUE"'),
        (('ws://x/', '--ca', '/nowhere/at/all'),
         "cannot connect to ws://x/: [Errno 2] No such file or directory: '/nowhere/at/all'"),
        (('ws://x/', '--timeout', '0'), "argument --timeout: expected a number of seconds, more than 0, or inf, got '0'"),
        (('ws://x/', '--ping', '0.0'), "argument --ping: expected a number of seconds, more than 0, or inf, got '0.0'"),
        (('ws://x/', '--output', '/nowhere/at/all'),
         "cannot write to /nowhere/at/all: [Errno 2] No such file or directory: '/nowhere/at/all'"),
    ])
    def test_is_reported(self, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], message: str) -> None:
        with pytest.raises(SystemExit) as caught:
            main(['connect', *arguments])
        assert caught.value.code == 2
        assert capsys.readouterr().err.splitlines()[-1] == f'faye-websocket connect: error: {message}'


@pytest.mark.parametrize('value', ['nan', '-1', '-inf', 'soon', ''])
@pytest.mark.parametrize('option', ['--wait', '--ping', '--timeout'])
def test_an_invalid_time_is_reported(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    least = 'at least' if option == '--wait' else 'more than'
    with pytest.raises(SystemExit) as caught:
        main(['connect', 'ws://x/', f'{option}={value}'])
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(
        f'argument {option}: expected a number of seconds, {least} 0, or inf, got {value!r}')


def test_waits_for_the_server_without_end(command: Command) -> None:
    with serve(lambda ws: ws.on('message', lambda event: ws.close(1000))) as server:
        assert command.run(url_of(server), '--wait', 'inf', text='bye\n') == 0


def test_a_real_ctrl_c_ends_the_process_with_status_130() -> None:
    with serve() as server:
        process = Popen(
            [sys.executable, '-W', 'error', '-m', 'faye_websocket', 'connect', url_of(server)], cwd=ROOT, env=environment(),
            stdin=PIPE, stdout=PIPE, stderr=PIPE)
        with process:
            assert process.stderr.readline() == f'connected to {url_of(server)}\n'.encode()
            os.kill(process.pid, signal.SIGINT)
            assert process.wait(10) == 130
            assert (process.stdout.read(), process.stderr.read()) == (b'', b'closed: 1000\n')
