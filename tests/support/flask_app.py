"""A Flask application with a blueprint, URL arguments, a session, Flask-Login,
SQLAlchemy.

The pool has five connections, and each request returns its own at its end.
``FAYE_TEST_DATABASE`` is the file of the database.
"""

from __future__ import annotations

import os
from contextvars import copy_context
from typing import Any

from flask import Blueprint, Flask, Response, current_app, g, redirect, request, session, url_for
from flask.globals import app_ctx
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from sqlalchemy import QueuePool, create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

from faye_websocket import SocketMiddleware, WebSocket

rooms = Blueprint('rooms', __name__, url_prefix='/rooms')
app = Flask(__name__)
app.secret_key = 'secret'

engine = create_engine(
    f'sqlite:///{os.environ.get("FAYE_TEST_DATABASE", "")}', poolclass=QueuePool, pool_size=5, max_overflow=0, pool_timeout=0.5,
    connect_args={'check_same_thread': False})
database = scoped_session(sessionmaker(engine), scopefunc=lambda: id(app_ctx._get_current_object()))  # type: ignore[attr-defined]


@app.teardown_appcontext
def give_back(error: BaseException | None) -> None:
    """Return the connection, as Flask-SQLAlchemy does."""
    database.remove()


@app.after_request
def add_headers(response: Response) -> Response:
    """Add headers to every response."""
    response.headers['X-Request-ID'] = request.headers.get('X-Request-ID', 'none')
    response.headers.add('Server-Timing', 'view;dur=1')
    return response


logins = LoginManager(app)


class User(UserMixin):
    """A user with any name."""

    def __init__(self, name: str) -> None:
        self.id = name


@logins.user_loader
def load_user(name: str) -> User:
    """Return the user with this name."""
    return User(name)


@app.get('/login/<name>')
def login(name: str) -> Any:
    """Log in without a password."""
    login_user(User(name))
    return redirect('/')


@app.get('/')
def index() -> str:
    """Use the database."""
    return f'the answer is {database.execute(text("select 6 * 7")).scalar()}'


@rooms.route('/<name>/<int:number>', websocket=True)
def enter(name: str, number: int) -> WebSocket:
    """Count visits in the session, and echo with the room's name as a prefix."""
    session['visits'] = session.get('visits', 0) + 1
    ws = WebSocket(request.environ, ['chat'])
    ws.send(f'{name} {number} {session["visits"]}')
    ws.onmessage = lambda event: ws.send(f'{name}: {event.data}')
    return ws


@app.route('/private', websocket=True)
@login_required
def private() -> WebSocket:
    """Greet a user who is logged in."""
    ws = WebSocket(request.environ)
    ws.send(f'hello, {current_user.id}')
    return ws


@app.route('/here/<name>', websocket=True)
@login_required
def here(name: str) -> WebSocket:
    """Answer each message in the context of this view."""
    g.name, session['visits'] = name, 7
    ws = WebSocket(request.environ, context=copy_context(), allowed_origins=['http://example.com'])

    @ws.on('message')
    def answer(event: Any) -> None:
        seen = (request.path, request.args['q'], g.name, session['visits'], current_user.id, current_app.name, url_for('index'))
        ws.send(f'{event.data}: {" ".join(map(str, seen))}')

    return ws


@app.route('/stored', websocket=True)
def stored() -> WebSocket:
    """Use the database before the handshake, after which the request ends."""
    answer = database.execute(text('select 6 * 7')).scalar()
    ws = WebSocket(request.environ)
    ws.send(str(answer))
    return ws


@app.route('/kept', websocket=True)
def kept() -> WebSocket:
    """Echo in greenlet style: the request keeps its database connection until the end.
    """
    answer = database.execute(text('select 6 * 7')).scalar()
    with WebSocket(request.environ) as ws:
        ws.send(str(answer))
        for message in ws:
            ws.send(message)
    return ws


@app.route('/fault', websocket=True)
def fault() -> WebSocket:
    """Raise an exception after the socket was made."""
    ws = WebSocket(request.environ)
    ws.send('never')
    raise RuntimeError('a fault')


app.register_blueprint(rooms)


def echo(ws: WebSocket) -> None:
    """Echo, as a handler of the middleware."""
    with ws:
        for message in ws:
            ws.send(message)


around = SocketMiddleware(app, {'/echo': echo}, protocols=['chat'])
