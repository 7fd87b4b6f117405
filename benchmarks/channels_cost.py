"""Measure what channels cost a process: joins, leaves, and idle sockets that joined.

A child process opens WebSockets, each of which joins one of many channels, leaves it,
and joins it again. The cost is the processor time of the server's process, and its
memory. It needs a redis-server, or is measured in memory with ``--memory``:

    python benchmarks/channels_cost.py --sockets 10000 --channels 1000
"""

from gevent import monkey

monkey.patch_all()

import argparse  # noqa: E402
import gc  # noqa: E402
import os  # noqa: E402
import shutil  # noqa: E402
import subprocess  # noqa: E402
import sys  # noqa: E402
import tempfile  # noqa: E402
import time  # noqa: E402
import tracemalloc  # noqa: E402
from collections.abc import Callable, Iterator  # noqa: E402
from contextlib import contextmanager  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402

from faye_websocket import WebSocket  # noqa: E402
from faye_websocket.channels import Channels  # noqa: E402

#: The clients, which wait for a line before they end.
CLIENTS = """
import socket, sys
request = b'GET / HTTP/1.1\\r\\nHost: x\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n' \\
    b'Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\\r\\n\\r\\n'
socks = []
for _ in range(int(sys.argv[2])):
    socks.append(socket.create_connection(('127.0.0.1', int(sys.argv[1]))))
    socks[-1].sendall(request)
    assert b' 101 ' in socks[-1].recv(65536)
sys.stdin.readline()
"""


@contextmanager
def running_redis() -> Iterator[str]:
    """Run a redis-server, and yield its URL."""
    program = shutil.which('redis-server', path=os.pathsep.join([os.environ.get('PATH', ''), '/usr/sbin']))
    if program is None:
        sys.exit('redis-server is missing: apt-get install redis-server')
    with tempfile.TemporaryDirectory() as directory:
        path = f'{directory}/redis.sock'
        command = [program, '--port', '0', '--unixsocket', path, '--dir', directory, '--save', '']
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            while not os.path.exists(path):
                time.sleep(0.01)
            yield f'unix://{path}'
            process.terminate()


@contextmanager
def open_sockets(count: int) -> Iterator[list[Any]]:
    """Yield the server's sockets of so many clients."""
    opened: list[Any] = []

    def app(environ: dict[str, Any], start_response: Any) -> Any:
        opened.append(WebSocket(environ))
        return opened[-1](environ, start_response)

    server = WSGIServer(('127.0.0.1', 0), app, log=None)
    server.start()
    command = [sys.executable, '-c', CLIENTS, str(server.server_port), str(count)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as clients:
        while len(opened) < count or opened[-1].ready_state != WebSocket.OPEN:
            gevent.sleep(0.05)
            assert clients.poll() is None
        yield opened
        clients.kill()
    server.stop()


def measure(action: Callable[[Any, str], object], sockets: list[Any], channels: int) -> float:
    """Return the microseconds of processor time that an action takes for one socket."""
    began = time.process_time()
    for number, socket in enumerate(sockets):
        action(socket, f'room/{number % channels}')
    return (time.process_time() - began) * 1e6 / len(sockets)


def run(url: str, sockets: list[Any], count: int) -> None:
    """Measure, and print the costs."""
    channels = Channels(url)
    channels.publish('warm up', 'x')
    first = measure(channels.join, sockets, count)
    leave = measure(channels.leave, sockets, count)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    again = measure(channels.join, sockets, count)
    gevent.sleep(1)
    gc.collect()
    memory = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    print(f'{len(sockets)} sockets in {count} channels, {url.partition(":")[0]}')
    print(f'join {first:.0f} us, leave {leave:.0f} us, of the processor (join while traced {again:.0f})')
    print(f'memory {memory / len(sockets):.0f} bytes for each socket')
    channels.close()


def main() -> None:
    """Measure with the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--sockets', type=int, default=10_000, help='number of sockets')
    parser.add_argument('--channels', type=int, default=1000, help='number of channels')
    parser.add_argument('--memory', action='store_true', help='measure channels in memory')
    arguments = parser.parse_args()
    with open_sockets(arguments.sockets) as sockets:
        if arguments.memory:
            run('memory://', sockets, arguments.channels)
        else:
            with running_redis() as url:
                run(url, sockets, arguments.channels)


if __name__ == '__main__':
    main()
