"""A feed that loses no event when a client reconnects.

Run it with: faye-websocket serve examples.feed:app

Follow it, and publish an event:

    curl -N -H 'Accept: text/event-stream' http://127.0.0.1:9292/
    curl -d 'It rains' http://127.0.0.1:9292/

A client that reconnects sends the id of the last event that it saw, and gets the events
after that.
"""

from collections import deque

from faye_websocket import EventSource


class Feed:
    """The latest events, numbered from 1, and the sockets that follow them."""

    def __init__(self, length=1000):
        self.number = 0
        self.latest = deque(maxlen=length)
        self.followers = set()

    def publish(self, text):
        """Send an event to all followers."""
        self.number += 1
        self.latest.append((self.number, text))
        for es in tuple(self.followers):
            es.send(text, id=self.number)

    def follow(self, es):
        """Send the events that ``es`` has missed, and add it to the followers.

        Nothing here lets another greenlet run, so that no event is published in
        between.
        """
        # A new client gets no old events. An id above ours is from before a restart:
        # send that client all events.
        last = self.number if es.last_event_id == '' else number(es.last_event_id)
        if last > self.number:
            last = 0
        for id, text in self.latest:
            if id > last:
                es.send(text, id=id)
        self.followers.add(es)
        es.onclose = lambda event: self.followers.discard(es)


def number(text):
    """Return the number of an event. The text is input from the client."""
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
