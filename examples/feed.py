"""A feed of which nobody misses anything. Run it with: faye-websocket serve examples.feed:app

Follow it, and give it news:

    curl -N -H 'Accept: text/event-stream' http://127.0.0.1:9292/
    curl -d 'It rains' http://127.0.0.1:9292/

A client that lost its connection says which event it saw last, and is sent what came after it.
"""

from collections import deque

from faye_websocket import EventSource


class Feed:
    """The latest events, numbered from 1, and those who follow them."""

    def __init__(self, length=1000):
        self.number = 0
        self.latest = deque(maxlen=length)
        self.followers = set()

    def publish(self, text):
        """Sends an event to all."""
        self.number += 1
        self.latest.append((self.number, text))
        for es in tuple(self.followers):
            es.send(text, id=self.number)

    def follow(self, es):
        """Sends what ``es`` has missed, and from then on what comes: nothing can come in between."""
        # Whoever is new is told nothing old. An id that is none of ours is from before a restart: then all is told.
        last = self.number if es.last_event_id == '' else number(es.last_event_id)
        if last > self.number:
            last = 0
        for id, text in self.latest:
            if id > last:
                es.send(text, id=id)
        self.followers.add(es)
        es.onclose = lambda event: self.followers.discard(es)


def number(text):
    """The number of an event; anybody can send any text for one."""
    return int(text[:20]) if text.isdecimal() else 0


feed = Feed()


def app(environ, start_response):
    if EventSource.is_eventsource(environ):
        es = EventSource(environ, ping=15, retry=1)
        feed.follow(es)
        return es(environ, start_response)

    if environ['REQUEST_METHOD'] == 'POST':
        feed.publish(environ['wsgi.input'].read(int(environ.get('CONTENT_LENGTH') or 0)).decode('utf-8', 'replace'))
        start_response('204 No Content', [])
        return []

    start_response('200 OK', [('Content-Type', 'text/plain; charset=utf-8')])
    return [f'{id}: {text}\n'.encode() for id, text in feed.latest]
