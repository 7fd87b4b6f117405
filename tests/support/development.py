"""Development servers, which give each request a thread, started as processes.

    with develop('flask', tmp_path) as server:
        client = RawClient(server, '/echo')

The application is ``tests.support.development_app``.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.apps import EVENTS
from tests.support.processes import Process, own_directory, read_text
from tests.support.servers import Server
from tests.support.waiting import DEADLINE, wait_until
from tests.support.wire import http_get

#: The command of each server.
COMMANDS = {
    'flask': ['flask', '--app', 'tests.support.development_app:make_flask()', 'run', '-p', '0', '--no-reload'],
    'flask debug': [
        'flask', '--app', 'tests.support.development_app:make_flask()', 'run', '-p', '0', '--debug'],
    'runserver': ['tests.support.development_django', 'runserver', '127.0.0.1:0', '--noreload'],
    'runserver reload': ['tests.support.development_django', 'runserver', '127.0.0.1:0'],
    'gthread': [
        'gunicorn', '-c', 'tests/support/development_gunicorn.py', '-b', '127.0.0.1:0', '--threads', '32',
        '--graceful-timeout', '1', '--no-control-socket', 'tests.support.development_app:handled'],
}
LISTENING = re.compile(r'(?:Running on|server at|Listening at:) http://127\.0\.0\.1:(\d+)')
TRACEBACK = re.compile(r'Traceback|ValueError|Exception ignored')


class DevelopmentServer(Server):
    """A running server. Its log is all that it prints."""

    def log(self) -> str:
        """Return what it has printed so far."""
        return self.process.output()

    def find_port(self) -> None:
        """Find the port again: Django's reloader takes another one."""
        self.address = ('127.0.0.1', int(LISTENING.findall(self.log())[-1]))

    def ends(self) -> list[str]:
        """Return the paths of the views that have noted their end."""
        return read_text(self.process.directory / 'ends').split()

    def change(self) -> None:
        """Change a file that it has imported."""
        path = self.process.directory / 'watched.py'
        then = path.stat().st_mtime + 2
        os.utime(path, (then, then))

    def count_descriptors(self) -> int:
        """Return the number of descriptors of the process that serves."""
        return int(http_get(self, '/descriptors')[1])

    def spent(self) -> list[str]:
        """Return the process's state, and the processor time that it has used."""
        fields = Path(f'/proc/{self.pid}/stat').read_text().rpartition(')')[2].split()
        return [fields[0], *fields[11:13]]

    def interrupt(self) -> None:
        """Send SIGINT, as Ctrl-C does, but to this process only, once it is idle.

        A patched view or handler that runs would get the KeyboardInterrupt. gunicorn
        gets SIGTERM: patched, it logs a traceback of its own for SIGINT.
        """
        looks = [self.spent()]
        wait_until(lambda: looks.append(self.spent()) or len(looks) > 20 and looks[-20:] == looks[-1:] * 20, 'idle')
        self.process.popen.send_signal(signal.SIGTERM if self.kind == 'gthread' else signal.SIGINT)


@contextmanager
def develop(kind: str, tmp_path: Path, *, patched: bool = False, options: Sequence[str] = ()) -> Iterator[DevelopmentServer]:
    """Run the server of this kind until the block ends."""
    directory = own_directory(tmp_path, 'develop')
    (directory / 'watched.py').touch()
    env = {
        EVENTS: str(directory / 'events'), 'FAYE_TEST_ENDS': str(directory / 'ends'),
        'FAYE_TEST_WATCHED': str(directory), 'FAYE_TEST_PATCH': '1' if patched else ''}
    process = Process([sys.executable, '-m', *COMMANDS[kind], *options], directory, env)
    try:
        process.wait_for_start(lambda: LISTENING.search(process.output()))
        server = DevelopmentServer(kind, process, ('127.0.0.1', 0), None)
        server.find_port()
        process.wait_for_start(lambda: is_serving(server))
        yield server
    finally:
        if process.is_running():
            process.stop()


def is_serving(server: DevelopmentServer, other_than: bytes = b'') -> bool:
    """Return whether the server has a page, in another process than this one."""
    server.find_port()
    try:
        head, pid = http_get(server, '/pid')
        return head.status == 200 and pid != other_than
    except (OSError, EOFError):
        return False


def wait_for_reload(server: DevelopmentServer, pid: bytes) -> None:
    """Wait until another process than this one serves; it goes on while it ends."""
    wait_until(lambda: is_serving(server, pid), 'serving again', 3 * DEADLINE)
