"""Tests of a socket behind a login, with the cookies of Flask's test client.

Run it with: python -m pytest examples/testing
"""

import pytest
from flask import Flask, abort, request, session

from faye_websocket import HandshakeError, WebSocket

# In a project of your own, this line stands in conftest.py.
pytest_plugins = ['faye_websocket.pytest']

app = Flask(__name__)
app.secret_key = 'for tests only'
app.testing = True


@app.post('/login')
def login():
    session['user'] = request.form['user']
    return 'hello'


@app.get('/inbox', websocket=True)
def inbox():
    if 'user' not in session:
        abort(401)
    ws = WebSocket(request.environ)
    ws.send(f'hello, {session["user"]}')
    ws.onmessage = lambda event: ws.send(str(int(event.data) + 1))
    return ws


@pytest.fixture
def browser():
    client = app.test_client()
    client.post('/login', data={'user': 'me'})
    return client


def test_greets_the_user(websocket_connect, browser):
    ws = websocket_connect(app, '/inbox', cookies=browser)
    assert ws.receive(timeout=1) == 'hello, me'


def test_is_for_users_only(websocket_connect):
    with pytest.raises(HandshakeError, match='401'):
        websocket_connect(app, '/inbox')


def test_a_word_is_no_number(websocket_connect, browser):
    with pytest.raises(ValueError), websocket_connect(app, '/inbox', cookies=browser) as ws:
        ws.send('one')
        ws.wait_closed(timeout=1)
