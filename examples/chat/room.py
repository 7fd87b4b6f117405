"""One worker's part of the chat, and Redis between the workers.

Redis keeps a stream of what was said. Its order is everybody's order, and its ids tell a client that comes back what it has
missed. Pub/sub is a bell only: a worker that hears it reads on in the stream, from where it was. So whatever goes missing for
a while, be it a bell, a worker or Redis itself, nothing that Redis kept is lost, and nothing is told twice.
"""

import json
import logging
import os
import time
import uuid

import gevent
import redis
from gevent.lock import RLock
from redis.backoff import ExponentialWithJitterBackoff
from redis.retry import Retry

from faye_websocket import broadcast

STREAM, BELL, HERE = 'chat:stream', 'chat:bell', 'chat:here'
# The messages that are kept, and how many of them a newcomer is shown.
KEPT, RECENT = 10_000, 50
# The seconds between two signs of life; who has given none for three times as long is not here any more.
BEAT = 2
# The seconds for which a message is known that is sent again.
KNOWN = 24 * 3600

# A client sends a message again if it lost its connection before it saw it in the chat, and a worker does if it lost Redis: by
# the message's key they know whether it is in the stream already. Redis runs a script as a whole or not at all.
POST = """
if redis.call('SET', KEYS[3], '', 'NX', 'EX', ARGV[2]) then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'name', ARGV[3], 'key', ARGV[4], 'text', ARGV[5])
    redis.call('PUBLISH', KEYS[2], '')
end
"""


class Room:
    """The sockets of one worker."""

    def __init__(self, url):
        # Every command is tried until Redis answers it, with pauses of up to two seconds that differ between the workers.
        self.redis = redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(
            url, retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=2), retries=-1), decode_responses=True,
            socket_timeout=5, health_check_interval=10, max_connections=16, timeout=None))
        self.script = self.redis.register_script(POST)
        self.members = {}  # each socket, and its entry in the list of those who are here
        self.last = '0-0'  # how far this worker has read
        self.here = []
        self.reading = RLock()
        self.subscription = None

    def join(self, ws, name, since):
        """Tells a new socket what it has missed; from then on it hears what all others hear."""
        with self.reading:
            self.read_on()
            if since:
                missed = self.redis.xrange(STREAM, f'({since}', self.last)
            else:
                missed = reversed(self.redis.xrevrange(STREAM, self.last, count=RECENT))
            for entry in missed:
                ws.send(message(entry))
            ws.send(json.dumps({'here': self.here, 'worker': os.getpid()}))
            self.members[ws] = f'{uuid.uuid4().hex} {name}'
        if self.subscription is None:
            self.subscription = gevent.spawn(self.listen)

    def leave(self, ws):
        """With the last socket of this worker its subscription goes too."""
        member = self.members.pop(ws, None)
        if not self.members and self.subscription is not None:
            subscription, self.subscription = self.subscription, None
            subscription.kill()
        if member is not None:
            self.redis.zrem(HERE, member)

    def post(self, name, key, text):
        """Has Redis keep a message, and ring for it. Waits while Redis is away."""
        self.script(keys=[STREAM, BELL, f'chat:sent:{key}'], args=[KEPT, KNOWN, name, key, text])

    def listen(self):
        """The subscription, while this worker has sockets. After a loss redis-py connects and subscribes again by itself."""
        while True:
            try:
                with self.redis.pubsub() as bell:
                    bell.subscribe(BELL)
                    self.serve(bell)
            except redis.RedisError:
                logging.getLogger('chat').exception('Redis refuses')
                gevent.sleep(BEAT)

    def serve(self, bell):
        """Reads on when the bell rings, when the subscription begins, and after each beat in case that a ring was lost."""
        while True:
            self.beat()
            end = time.monotonic() + BEAT
            while (seconds := end - time.monotonic()) > 0:
                if bell.get_message(timeout=seconds):
                    # However often it rang meanwhile: reading once is enough.
                    while bell.get_message():
                        pass
                self.read_on()

    def read_on(self):
        """Sends what is new in the stream to every socket."""
        with self.reading:
            for entry in self.redis.xrange(STREAM, f'({self.last}'):
                self.last = entry[0]
                broadcast(self.members, message(entry))

    def beat(self):
        """Says who is here in this worker, strikes off those of whom nobody says so any more, and tells any change."""
        now = time.time()
        with self.redis.pipeline() as pipe:
            if self.members:
                pipe.zadd(HERE, dict.fromkeys(self.members.values(), now))
            pipe.zremrangebyscore(HERE, 0, now - 3 * BEAT)
            pipe.zrange(HERE, 0, -1)
            here = sorted({member.partition(' ')[2] for member in pipe.execute()[-1]})
        if here != self.here:
            self.here = here
            broadcast(self.members, json.dumps({'here': here}))


def message(entry):
    """An entry of the stream, as clients get it."""
    return json.dumps({'id': entry[0], **entry[1]})
