"""Flask, with a blueprint, a URL argument and the session.

Run it with: faye-websocket serve examples.flask_app:app

Under gunicorn: gunicorn -k gevent examples.flask_app:app
"""

from flask import Blueprint, Flask, request, session

from faye_websocket import WebSocket

rooms = Blueprint('rooms', __name__, url_prefix='/rooms')
members = {}


# With this argument, Werkzeug matches the route for WebSocket requests only.
@rooms.route('/<name>', websocket=True)
def enter(name):
    session['visits'] = session.get('visits', 0) + 1
    # Without this, a page of another site could open the socket with its visitor's
    # session.
    ws = WebSocket(request.environ, ping=30, allowed_origins='same-origin')
    others = members.setdefault(name, set())
    others.add(ws)
    ws.send(f'Welcome to {name}. Visit {session["visits"]}, {len(others)} in the room.')

    @ws.on('message')
    def share(event):
        for member in others:
            member.send(event.data)

    ws.onclose = lambda event: others.discard(ws)
    return ws


app = Flask(__name__)
app.secret_key = 'not a secret'
app.register_blueprint(rooms)


@app.get('/')
def index():
    return 'There are WebSockets at /rooms/NAME.\n'
