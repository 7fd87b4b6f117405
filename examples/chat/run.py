"""A program that starts the chat and everything it needs.

Run it with: python examples/chat/run.py [PORT]

It starts redis-server, gunicorn with four workers, and HAProxy; Ctrl-C ends them. A
program that ends before is started again, so kill any of them and watch the chat
recover. Before the first run, in a checkout of this repository:

    apt-get install redis-server haproxy
    pip install -e . -r examples/chat/requirements.txt
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 4
START_SECONDS = 20


class Service:
    """A program, with the address at which it accepts connections when ready."""

    def __init__(self, name, command, address, **env):
        self.name, self.command, self.address, self.env = (
            name,
            command,
            address,
            {**os.environ, **env},
        )
        self.process = None

    def start(self):
        # In a session of its own, so that Ctrl-C does not reach it: the programs are
        # ended in order.
        self.process = subprocess.Popen(
            self.command, cwd=ROOT, env=self.env, start_new_session=True
        )
        print(f'{self.name} is process {self.process.pid}', flush=True)

    def wait_until_ready(self, stopping):
        for _ in range(START_SECONDS * 20):
            if stopping.wait(0.05):
                return
            if self.process.poll() is not None:
                sys.exit(f'{self.name} does not start')
            with socket.socket(
                socket.AF_INET if isinstance(self.address, tuple) else socket.AF_UNIX
            ) as probe:
                if probe.connect_ex(self.address) == 0:
                    return
        sys.exit(f'{self.name} is not ready after {START_SECONDS} s')

    def keep_running(self):
        if self.process.poll() is not None:
            print(f'{self.name} has ended with {self.process.returncode}', flush=True)
            self.start()

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


def services(directory, port):
    """Yield the programs in the order in which they start."""
    store = f'{directory}/redis.sock'
    redis = [
        program('redis-server'),
        '--port',
        '0',
        '--unixsocket',
        store,
        '--dir',
        directory,
        '--save',
        '',
        '--appendonly',
        'yes',
        # By default Redis may lose the last two seconds when it is killed.
        '--appendfsync',
        'always',
        '--loglevel',
        'warning',
    ]
    yield Service('redis-server', redis, store)
    app_port = free_port()
    gunicorn = [
        sys.executable,
        '-m',
        'gunicorn',
        'examples.chat.chat:app',
        '-k',
        'gevent',
        '-w',
        str(WORKERS),
        '--bind',
        f'127.0.0.1:{app_port}',
        '--no-control-socket',
        '--log-level',
        'warning',
    ]
    yield Service('gunicorn', gunicorn, ('127.0.0.1', app_port), CHAT_REDIS=f'unix://{store}')
    haproxy = [program('haproxy'), '-db', '-q', '-f', str(ROOT / 'examples' / 'haproxy.conf')]
    yield Service(
        'haproxy', haproxy, ('127.0.0.1', port), LISTEN_PORT=str(port), APP_PORT=str(app_port)
    )


def program(name):
    """Return the path of a program.

    Debian's daemons are in /usr/sbin, not in every PATH.
    """
    path = shutil.which(
        name, path=os.pathsep.join([os.environ.get('PATH', os.defpath), '/usr/sbin'])
    )
    return path or sys.exit(f'{name} is missing: apt-get install {name}')


def free_port():
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return listener.getsockname()[1]


def main(port):
    stopping, running = threading.Event(), []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with TemporaryDirectory(prefix='chat-') as directory:
        try:
            for service in services(directory, port):
                service.start()
                running.append(service)
                service.wait_until_ready(stopping)
            print(f'The chat is at http://127.0.0.1:{port}/', flush=True)
            while not stopping.wait(0.5):
                for service in running:
                    service.keep_running()
        finally:
            # gunicorn ends first: its sockets say goodbye through the others.
            for service in sorted(running, key=lambda service: service.name != 'gunicorn'):
                service.stop()


if __name__ == '__main__':
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
