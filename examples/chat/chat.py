"""A chat over several processes, on Flask.

Run it with: python examples/chat/run.py
"""

import json
import os
import re
from pathlib import Path

from flask import Flask, abort, request

from examples.chat.room import Room
from faye_websocket import WebSocket

PAGE = Path(__file__).with_name('chat.html').read_text()

app = Flask(__name__)
room = Room(os.environ.get('CHAT_REDIS', 'redis://127.0.0.1:6379'))


@app.get('/')
def page():
    return PAGE


# With this argument, Werkzeug matches the route for WebSocket requests only.
@app.get('/chat', websocket=True)
def chat():
    """Open a socket.

    ``?name=`` is the name of its user, and ``since=`` the id of the last message seen.
    """
    name, since = request.args.get('name', ''), request.args.get('since', '')
    if not 0 < len(name) <= 40 or not re.fullmatch(r'([0-9]{1,18}-[0-9]{1,18})?', since):
        abort(400)
    ws = WebSocket(request.environ, ping=25, max_length=4096, allowed_origins='same-origin')

    # Handlers run one after another: each starts when the one before has returned.
    ws.onopen = lambda event: room.join(ws, name, since)
    ws.onclose = lambda event: room.leave(ws)

    @ws.on('message')
    def post(event):
        try:
            said = json.loads(event.data)
            key, text = str(said['key']), str(said['text'])
        except (ValueError, LookupError, TypeError):
            ws.close(1003, 'expected {"key": ..., "text": ...}')
        else:
            room.post(name, key, text)

    return ws
