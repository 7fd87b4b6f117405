"""Measure channels: deliver each message to all sockets of two processes.

A third process publishes the messages, and the load generator times their arrival. It
opens the sockets, half of them at each of two servers that share one Redis. First,
messages are published as fast as they arrive, with a few in flight at once. Then they
are published at a fixed rate, and the latency of each arrival is measured. Each round
measures all libraries in turn. To install the other libraries, run:

    pip install 'Flask-SocketIO>=5' gevent-websocket 'channels>=4' 'channels-redis>=4'
    pip install 'uvicorn[standard]' sse-starlette
"""

from __future__ import annotations

import argparse
import base64
import importlib.util
import os
import re
import selectors
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
STAMP = re.compile(rb'<(\d+):([\d.]+):')
WEBSOCKET, EVENTSOURCE, SOCKETIO = range(3)

#: Code that publishes a text, for each library. It runs in the publisher process, whose
#: environment has the URL of Redis.
FAYE = """
from faye_websocket.channels import Channels
channels = Channels(os.environ['BENCHMARK_REDIS'])
publish = lambda text: channels.publish('room', text)
"""
SOCKETIO_PUBLISH = """
from flask_socketio import SocketIO
socketio = SocketIO(message_queue=os.environ['BENCHMARK_REDIS'])
publish = lambda text: socketio.emit('m', text)
"""
DJANGO = """
sys.path.insert(0, '.')
import channels_django
from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
publish = lambda text: async_to_sync(get_channel_layer().group_send)('room', {'type': 'room.message', 'text': text})
"""
REDIS = """
import redis
client = redis.Redis.from_url(os.environ['BENCHMARK_REDIS'])
publish = lambda text: client.publish('room', text)
"""
PUBLISHER = """
import os, sys, time
{publish}
for line in sys.stdin:
    number, size = line.split()
    publish(f'<{{number}}:{{time.time():.6f}}:' + 'x' * int(size) + '>')
"""
GUNICORN = ['-m', 'gunicorn', '-k', 'gevent', '--no-control-socket', '--log-level', 'error', '--bind', '127.0.0.1:{port}']
UVICORN = ['-m', 'uvicorn', '--host', '127.0.0.1', '--log-level', 'error', '--port', '{port}']


@dataclass(frozen=True)
class Peer:
    """A library, with its server and the code that publishes."""

    title: str
    module: str
    kind: int
    publish: str
    command: list[str]


PEERS = {
    'faye-websocket': Peer('faye_websocket.channels, WebSocket', 'redis', WEBSOCKET, FAYE, [*GUNICORN, 'channels_faye:app']),
    'socketio': Peer('Flask-SocketIO, Redis queue', 'flask_socketio', SOCKETIO, SOCKETIO_PUBLISH,
                     ['channels_socketio.py', '{port}']),
    'django': Peer('Django Channels, channels_redis (pub/sub)', 'channels_redis', WEBSOCKET, DJANGO,
                   [*UVICORN, 'channels_django:app']),
    'faye-events': Peer('faye_websocket.channels, EventSource', 'redis', EVENTSOURCE, FAYE, [*GUNICORN, 'channels_faye:app']),
    'sse': Peer('sse-starlette, Redis pub/sub', 'sse_starlette', EVENTSOURCE, REDIS, [*UVICORN, 'channels_sse:app']),
}


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.create_server(('127.0.0.1', 0)) as listener:
        return int(listener.getsockname()[1])


def connect(port: int, kind: int) -> socket.socket:
    """Connect to a server, and read the header of its response."""
    deadline = time.monotonic() + 30
    while True:
        try:
            sock = socket.create_connection(('127.0.0.1', port), 30)
            break
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    path = '/socket.io/?EIO=4&transport=websocket' if kind == SOCKETIO else '/'
    key = base64.b64encode(os.urandom(16)).decode()
    upgrade = f'Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n'
    fields = 'Accept: text/event-stream\r\n' if kind == EVENTSOURCE else upgrade
    sock.sendall(f'GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n'.encode())
    data = b''
    while b'\r\n\r\n' not in data:
        data += sock.recv(65536)
    if kind == SOCKETIO:
        # The packet "connect", masked with zeros; the reply has the session's id.
        sock.sendall(b'\x81\x82\0\0\0\x0040')
        while b'40{' not in data:
            data += sock.recv(65536)
    sock.setblocking(False)
    return sock


class Load:
    """Client sockets that count the messages that arrive."""

    def __init__(self, ports: list[int], kind: int, count: int) -> None:
        self.selector = selectors.DefaultSelector()
        self.socks = [connect(ports[number % len(ports)], kind) for number in range(count)]
        for sock in self.socks:
            # The data of each socket is the incomplete end of what it received.
            self.selector.register(sock, selectors.EVENT_READ, [b''])
        self.arrived: dict[int, int] = {}
        self.latencies: list[float] = []

    def take(self, timeout: float) -> None:
        """Read and count the messages that have arrived."""
        for key, _ in self.selector.select(timeout):
            data = key.data[0] + key.fileobj.recv(262144)  # type: ignore[union-attr]
            now = time.time()
            end = 0
            for found in STAMP.finditer(data):
                number = int(found[1])
                self.arrived[number] = self.arrived.get(number, 0) + 1
                self.latencies.append(now - float(found[2]))
                end = found.end()
            start = data.rfind(b'<', end)
            key.data[0] = data[start:] if start >= 0 else b''

    def has_all(self, number: int) -> bool:
        """Return whether a message has arrived at every socket."""
        return self.arrived.get(number, 0) >= len(self.socks)

    def close(self) -> None:
        """Close all sockets."""
        for sock in self.socks:
            sock.close()


def measure(peer: Peer, url: str, arguments: argparse.Namespace) -> dict[str, float]:
    """Run the servers and the publisher of a library, and measure them."""
    ports = [free_port(), free_port()]
    env = {**os.environ, 'BENCHMARK_REDIS': url, 'PYTHONPATH': os.pathsep.join([str(HERE.parent), str(HERE / 'servers')])}
    start = lambda command, **options: subprocess.Popen(  # noqa: E731
        [sys.executable, *command], env=env, cwd=HERE / 'servers', **options)
    servers = [start([word.format(port=port) for word in peer.command]) for port in ports]
    publisher = start(['-c', PUBLISHER.format(publish=peer.publish)], stdin=subprocess.PIPE, text=True)
    load = None
    try:
        load = Load(ports, peer.kind, arguments.sockets)
        return {**run_throughput(load, publisher, arguments), **run_latency(load, publisher, arguments)}
    finally:
        if load is not None:
            load.close()
        for process in (publisher, *servers):
            process.send_signal(signal.SIGKILL)
            process.wait()


def publish(publisher: subprocess.Popen[str], number: int, size: int) -> None:
    """Ask the publisher process to publish a message."""
    assert publisher.stdin is not None
    publisher.stdin.write(f'{number} {size}\n')
    publisher.stdin.flush()


def wait_for(load: Load, number: int) -> None:
    """Wait until a message has arrived at every socket."""
    deadline = time.monotonic() + 60
    while not load.has_all(number):
        if time.monotonic() > deadline:
            raise RuntimeError(f'message {number} arrived at {load.arrived.get(number, 0)} sockets only')
        load.take(1)


def run_throughput(load: Load, publisher: subprocess.Popen[str], arguments: argparse.Namespace) -> dict[str, float]:
    """Publish as fast as the messages arrive, with a fixed number in flight."""
    publish(publisher, 0, arguments.size)
    wait_for(load, 0)
    began = time.monotonic()
    number = 0
    while time.monotonic() - began < arguments.seconds:
        number += 1
        publish(publisher, number, arguments.size)
        if number > arguments.window:
            wait_for(load, number - arguments.window)
    wait_for(load, number)
    return {'messages': number / (time.monotonic() - began)}


def run_latency(load: Load, publisher: subprocess.Popen[str], arguments: argparse.Namespace) -> dict[str, float]:
    """Publish at a fixed rate, and measure the latency of each arrival."""
    load.latencies.clear()
    first = 1_000_000
    began = time.monotonic()
    count = int(arguments.seconds * arguments.rate)
    for number in range(count):
        while (left := began + number / arguments.rate - time.monotonic()) > 0:
            load.take(left)
        publish(publisher, first + number, arguments.size)
    wait_for(load, first + count - 1)
    ordered = sorted(load.latencies)
    return {'p50': 1000 * ordered[len(ordered) // 2], 'p99': 1000 * ordered[len(ordered) * 99 // 100]}


def main() -> int:
    """Measure all installed libraries, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--peers', default=','.join(PEERS), help='names separated by commas')
    parser.add_argument('--sockets', type=int, default=1000, help='number of sockets, in both servers together')
    parser.add_argument('--size', type=int, default=125, help='bytes per message')
    parser.add_argument('--window', type=int, default=8, help='messages in flight at once')
    parser.add_argument('--rate', type=float, default=10, help='messages per second, for the latency')
    parser.add_argument('--seconds', type=float, default=5, help='duration of each measurement')
    parser.add_argument('--rounds', type=int, default=3, help='measurements of each library')
    arguments = parser.parse_args()
    program = shutil.which('redis-server', path=os.pathsep.join([os.environ.get('PATH', ''), '/usr/sbin']))
    if program is None:
        parser.error('redis-server is missing: apt-get install redis-server')
    peers = {name: PEERS[name] for name in arguments.peers.split(',') if importlib.util.find_spec(PEERS[name].module)}
    results: dict[str, list[dict[str, float]]] = {name: [] for name in peers}
    with tempfile.TemporaryDirectory() as directory:
        port = free_port()
        redis = subprocess.Popen([program, '--port', str(port), '--dir', directory, '--save', '', '--loglevel', 'warning'])
        try:
            for _ in range(arguments.rounds):
                for name, peer in peers.items():
                    results[name].append(measure(peer, f'redis://127.0.0.1:{port}', arguments))
        finally:
            redis.terminate()
            redis.wait()
    print(f'{arguments.sockets} sockets in two processes, {arguments.size} bytes, medians of {arguments.rounds} rounds\n')
    print(f'{"":45}{"messages/s":>12}{"deliveries/s":>14}{"p50 ms":>9}{"p99 ms":>9}')
    for name, runs in results.items():
        messages, p50, p99 = (statistics.median(run[what] for run in runs) for what in ('messages', 'p50', 'p99'))
        print(f'{peers[name].title:45}{messages:12.1f}{messages * arguments.sockets:14,.0f}{p50:9.1f}{p99:9.1f}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
