"""The chat of the examples as real processes, and users who reconnect when they are
lost.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import gevent
from gevent.event import AsyncResult

from faye_websocket import Client
from tests.support.processes import ROOT, Process, own_directory, read_text
from tests.support.programs import require_module, require_program

RUN = ROOT / 'examples' / 'chat' / 'run.py'

#: The longest time until the next attempt to connect.
JITTER = 0.5


class Chat:
    """A running chat: redis-server, gunicorn with its workers, and HAProxy."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self.url = f'ws://127.0.0.1:{port}'

    def pid(self, name: str) -> int:
        """Return the process of a program, as it was last started."""
        return int(re.findall(rf'^{name} is process (\d+)', read_text(self.process.stdout), re.MULTILINE)[-1])

    def workers(self) -> set[int]:
        """Return the processes of gunicorn's workers."""
        master = self.pid('gunicorn')
        return set(map(int, Path(f'/proc/{master}/task/{master}/children').read_text().split()))

    def redis(self, *command: str) -> Any:
        """Return the response of Redis to a command."""
        from redis import Redis

        path, = self.process.directory.glob('chat-*/redis.sock')
        with Redis(unix_socket_path=str(path), decode_responses=True) as store:
            return store.execute_command(*command)

    def members(self) -> list[str]:
        """Return the members, as another program sees them."""
        from faye_websocket.channels import Channels

        path, = self.process.directory.glob('chat-*/redis.sock')
        channels = Channels(f'unix://{path}', prefix='chat:')
        try:
            return channels.members('chat')
        finally:
            channels.close()

    def subscriptions(self) -> int:
        """Count the connections that have subscribed to the chat's channel."""
        return int(self.redis('PUBSUB', 'NUMSUB', 'chat:{chat}:bus')[1])

    def subscribers(self) -> int:
        """Count the connections to Redis that have subscribed to any channel."""
        return len(self.redis('CLIENT', 'LIST', 'TYPE', 'PUBSUB').splitlines())


@contextmanager
def running_chat(tmp_path: Path, port: int) -> Iterator[Chat]:
    """Run the chat. It must end cleanly on Ctrl-C, with all of its programs."""
    for program in 'redis-server', 'haproxy':
        require_program(program, f'apt-get install {program}')
    for module in 'flask', 'redis':
        require_module(module, f'pip install {module}')
    directory = own_directory(tmp_path, 'chat')
    process = Process([sys.executable, str(RUN), str(port)], directory, {'TMPDIR': str(directory)})
    try:
        process.wait_for_start(lambda: 'The chat is at' in read_text(process.stdout))
        yield Chat(process, port)
        pids = [int(pid) for pid in re.findall(r' is process (\d+)', read_text(process.stdout))]
        process.popen.send_signal(signal.SIGINT)
        assert process.wait() == 0, process.output()
        assert [pid for pid in pids if os.path.exists(f'/proc/{pid}')] == []
        assert 'Traceback' not in process.output(), process.output()
    finally:
        if process.is_running():
            process.stop()


class Chatter:
    """A user of the chat, who behaves as its page does."""

    def __init__(self, chat: Chat, name: str, since: str = '') -> None:
        self.url = chat.url
        self.name = name
        self.since = since
        self.heard: list[dict[str, str]] = []
        self.here: list[str] = []
        self.worker = 0
        self.connections = 0
        self.unseen: dict[str, str] = {}
        self.ws: Any = None
        self._greenlet = gevent.spawn(self._stay)

    def say(self, text: str) -> None:
        """Send a message, and again after every loss until it appears in the chat."""
        key = f'{self.name}-{text}'
        self.unseen[key] = text
        self._send(key)

    def texts(self, start: str = '') -> list[str]:
        """Return the texts received that begin with ``start``."""
        return [message['text'] for message in self.heard if message['text'].startswith(start)]

    def go(self) -> None:
        """Leave the chat."""
        self._greenlet.kill()

    def _stay(self) -> None:
        while True:
            closed: Any = AsyncResult()
            with Client(f'{self.url}/chat?{urlencode({"name": self.name, "since": self.since})}') as self.ws:
                self.ws.onopen = self._opened
                self.ws.onmessage = self._received
                self.ws.onclose = closed.set
                closed.get()
            gevent.sleep(random.uniform(0, JITTER))

    def _opened(self, event: Any) -> None:
        self.connections += 1
        for key in self.unseen:
            self._send(key)

    def _received(self, event: Any) -> None:
        message = json.loads(event.data)
        self.here = message.get('here', self.here)
        self.worker = message.get('worker', self.worker)
        if 'id' in message:
            self.since = message['id']
            self.unseen.pop(message['key'], None)
            self.heard.append(message)

    def _send(self, key: str) -> None:
        if self.ws is not None and self.ws.ready_state == Client.OPEN:
            self.ws.send(json.dumps({'key': key, 'text': self.unseen[key]}))
