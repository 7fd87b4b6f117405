"""A chat over several processes, on Flask. Run it with: python examples/chat/run.py"""

import json
import os
import weakref
from pathlib import Path

from flask import Flask, abort, request

from faye_websocket import WebSocket, broadcast
from faye_websocket.channels import Channels

PAGE = Path(__file__).with_name('chat.html').read_text()

app = Flask(__name__)
# The sockets of this process, for data that is not a message of the channel.
sockets = weakref.WeakSet()
channels = Channels(
    os.environ.get('CHAT_REDIS', 'redis://127.0.0.1:6379'),
    history=10_000,
    prefix='chat:',
    # Each client remembers the id of the last message that it has, and reconnects with
    # it.
    encode=lambda id, channel, message: json.dumps({'id': id, **json.loads(message)}),
)
channels.onmembers = lambda channel, names: broadcast(sockets, json.dumps({'here': names}))


@app.get('/')
def page():
    return PAGE


# With this argument, Werkzeug matches the route for WebSocket requests only.
@app.get('/chat', websocket=True)
def chat():
    """Open a socket.

    ``?name=`` is the name of its user, and ``since=`` the id of the last message seen.
    """
    name, since = request.args.get('name', ''), request.args.get('since')
    if not 0 < len(name) <= 40 or not name.isprintable():
        abort(400)
    ws = WebSocket(request.environ, ping=25, max_length=4096, allowed_origins='same-origin')

    @ws.on('open')
    def join(event):
        sockets.add(ws)
        channels.join(ws, 'chat', since=since, recent=50, name=name)
        ws.send(json.dumps({'here': channels.members('chat'), 'worker': os.getpid()}))

    @ws.on('message')
    def post(event):
        try:
            said = json.loads(event.data)
            key, text = str(said['key']), str(said['text'])
            # What is sent again after a loss has the same key, and is one message. A
            # key that is empty or too long raises ValueError, too.
            channels.publish('chat', json.dumps({'name': name, 'key': key, 'text': text}), key=key)
        except (ValueError, LookupError, TypeError, RecursionError):
            ws.close(1003, 'expected {"key": ..., "text": ...}')

    return ws
