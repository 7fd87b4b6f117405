"""A feed that loses no event when a client reconnects.

Run it with: faye-websocket serve examples.feed:app

Over several workers:

    FEED_URL=redis://localhost gunicorn -k gevent -w 4 examples.feed:app

Follow it, and publish an event:

    curl -N -H 'Accept: text/event-stream' http://127.0.0.1:9292/
    curl -d 'It rains' http://127.0.0.1:9292/

A client that reconnects sends the id of the last event that it saw, as browsers do by
themselves, and gets the events after that.
"""

import os

from faye_websocket import EventSource
from faye_websocket.channels import Channels

channels = Channels(os.environ.get('FEED_URL', 'memory://'))
# The events that are kept do not reach back to the last one that the client saw.
channels.onlost = lambda es, channel: es.send('you have missed some', event='lost')


def app(environ, start_response):
    if EventSource.is_eventsource(environ):
        es = EventSource(environ, ping=15, retry=1)
        channels.join(es, 'news')
        return es(environ, start_response)

    if environ['REQUEST_METHOD'] == 'POST':
        if not environ.get('CONTENT_LENGTH'):
            # Such as a body in chunks.
            start_response('411 Length Required', [('Content-Type', 'text/plain')])
            return [b'Content-Length is missing.\n']
        body = environ['wsgi.input'].read(int(environ['CONTENT_LENGTH']))
        id = channels.publish('news', body.decode('utf-8', 'replace'))
        start_response('201 Created', [('Content-Type', 'text/plain')])
        return [f'{id}\n'.encode()]

    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'There is an event stream here.\n']
