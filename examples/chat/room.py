"""The sockets of one worker, and Redis between the workers.

Redis keeps a stream of messages. All clients see them in the order of the stream, and a
client that reconnects gets those after the last id it has seen. Pub/sub only rings a
bell: a worker that hears it reads on in the stream, from where it was. So if a bell, a
worker or Redis itself is missing for a while, no message that Redis kept is lost, and
none is sent twice.
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
# The number of messages that Redis keeps, and the number that a new client gets.
KEPT, RECENT = 10_000, 50
# The seconds between two signs of life. A member without any for three times as long is
# removed.
BEAT = 2
# The seconds for which the key of a message is remembered.
KNOWN = 24 * 3600

# A client sends a message again if it lost its connection before it saw the message in
# the chat. A worker does if it lost Redis. The message's key says whether it is in the
# stream already. Redis runs a script as a whole, or not at all.
POST = """
if redis.call('SET', KEYS[3], '', 'NX', 'EX', ARGV[2]) then
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'name', ARGV[3], 'key', ARGV[4], 'text', ARGV[5])
    redis.call('PUBLISH', KEYS[2], '')
end
"""


class Room:
    """The sockets of one worker."""

    def __init__(self, url):
        # Every command is retried until Redis replies, with random pauses of up to two
        # seconds.
        self.redis = redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(
            url, retry=Retry(ExponentialWithJitterBackoff(base=0.05, cap=2), retries=-1), decode_responses=True,
            socket_timeout=5, health_check_interval=10, max_connections=16, timeout=None))
        self.script = self.redis.register_script(POST)
        self.members = {}  # by socket: its entry in the list of all members
        self.last = '0-0'  # the id of the last message that this worker has read
        self.here = []
        self.reading = RLock()
        self.subscription = None

    def join(self, ws, name, since):
        """Send a new socket the messages that it has missed, and add it to the members.
        """
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
        """Remove a socket. Unsubscribe if it was the last of this worker."""
        member = self.members.pop(ws, None)
        if not self.members and self.subscription is not None:
            subscription, self.subscription = self.subscription, None
            subscription.kill()
        if member is not None:
            self.redis.zrem(HERE, member)

    def post(self, name, key, text):
        """Append a message to the stream, and ring the bell. Wait while Redis is away.
        """
        self.script(keys=[STREAM, BELL, f'chat:sent:{key}'], args=[KEPT, KNOWN, name, key, text])

    def listen(self):
        """Subscribe for as long as this worker has sockets.

        redis-py reconnects and subscribes again by itself.
        """
        while True:
            try:
                with self.redis.pubsub() as bell:
                    bell.subscribe(BELL)
                    self.serve(bell)
            except redis.RedisError:
                logging.getLogger('chat').exception('Redis refuses')
                gevent.sleep(BEAT)

    def serve(self, bell):
        """Read on whenever the bell rings, and after each beat in case a ring was lost.
        """
        while True:
            self.beat()
            end = time.monotonic() + BEAT
            while (seconds := end - time.monotonic()) > 0:
                if bell.get_message(timeout=seconds):
                    # Reading once is enough, however often it has rung meanwhile.
                    while bell.get_message():
                        pass
                self.read_on()

    def read_on(self):
        """Send the new messages of the stream to every socket."""
        with self.reading:
            for entry in self.redis.xrange(STREAM, f'({self.last}'):
                self.last = entry[0]
                broadcast(self.members, message(entry))

    def beat(self):
        """Renew this worker's members, remove those that expired, and send the list if
        it changed.
        """
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
    """Return an entry of the stream in the form that clients get."""
    return json.dumps({'id': entry[0], **entry[1]})
