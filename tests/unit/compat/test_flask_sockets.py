"""The interface of flask-sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from flask import Blueprint, Flask, request, session
from gevent.pywsgi import WSGIServer
from werkzeug.routing import BaseConverter, Rule

from faye_websocket import Client, UnsupportedServer
from faye_websocket.compat import flask_sockets
from faye_websocket.compat.flask_sockets import Sockets
from faye_websocket.compat.gevent_websocket import WebSocketError, WebSocketHandler
from faye_websocket.compat.gevent_websocket.gunicorn.workers import GeventWebSocketWorker
from faye_websocket.compat.gevent_websocket.websocket import WebSocket
from faye_websocket.testing import connect
from tests.support.leftover import Theirs
from tests.support.local import Response, hub_errors, make_environ, wait_until


@pytest.fixture
def app() -> Flask:
    """A Flask application with a page at the path of a socket."""
    app = Flask(__name__)
    app.secret_key = 'a secret'

    @app.route('/room/1')
    def page() -> str:
        session['user'] = 'ann'
        return 'a page'

    return app


@pytest.fixture
def sockets(app: Flask) -> Sockets:
    """The sockets of the application."""
    sockets = Sockets()
    assert sockets.blueprints == {}
    sockets.init_app(app)

    @sockets.route('/room/<int:number>', endpoint='room', methods=['GET'])
    def room(ws: WebSocket, number: int) -> None:
        ws.send(f'{number} {request.path} {session.get("user")} {dict(request.cookie)}')  # type: ignore[attr-defined]

    return sockets


class TestRoutes:
    @pytest.mark.proves('M1')
    def test_calls_the_handler_within_a_request(self, app: Flask, sockets: Sockets) -> None:
        ended: list[Any] = []
        app.teardown_request(ended.append)
        with connect(app, '/room/1') as client:
            assert list(client) == ['1 /room/1 None {}']
        assert ended == [None]

    @pytest.mark.proves('M1')
    def test_has_access_to_the_session(self, app: Flask, sockets: Sockets) -> None:
        page = app.test_client().get('/room/1')
        assert page.text == 'a page'
        cookie = page.headers['Set-Cookie'].partition(';')[0]
        with connect(app, '/room/1', headers={'Cookie': cookie}) as client:
            assert ' ann ' in (client.receive(timeout=1) or '')

    @pytest.mark.proves('M1')
    def test_leaves_an_unknown_path_to_the_application(self, app: Flask, sockets: Sockets) -> None:
        assert connect(app, '/unknown', refused=True).status == 404

    @pytest.mark.proves('M1')
    def test_an_exception_of_the_program_is_raised_and_closes_with_1011(self, app: Flask, sockets: Sockets) -> None:
        @sockets.route('/fail')
        def fail(ws: WebSocket) -> None:
            raise ValueError('a fault')

        ends: list[Any] = []
        with hub_errors() as errors, pytest.raises(ValueError, match='^a fault$'), connect(app, '/fail') as client:
            client.onclose = ends.append
            wait_until(lambda: ends)
        assert (ends[0].code, 'a fault' in errors.getvalue()) == (1011, True)

    @pytest.mark.proves('M1')
    def test_a_send_only_handler_detects_the_close(self, app: Flask, sockets: Sockets) -> None:
        seen: list[Any] = []

        @sockets.route('/outbox')
        def outbox(ws: WebSocket) -> None:
            while not ws.closed:
                gevent.sleep(0.001)
            try:
                ws.send('x')
            except WebSocketError as error:
                seen.append(str(error))

        with connect(app, '/outbox'):
            pass
        wait_until(lambda: seen)
        assert seen == ['Socket is dead']


    @pytest.mark.proves('M1')
    def test_the_constructor_accepts_the_application(self, app: Flask) -> None:
        Sockets(app).route('/echo')(lambda ws: ws.send(ws.receive()))
        with connect(app, '/echo') as client:
            client.send('x')
            assert list(client) == ['x']


    @pytest.mark.proves('M1')
    def test_rules_and_converters_may_be_added_to_its_map(self, app: Flask, sockets: Sockets) -> None:
        # As programs do that run the original with Werkzeug 2.
        class Upper(BaseConverter):
            def to_python(self, value: str) -> str:
                return value.upper()

        def echo(ws: WebSocket, name: str) -> None:
            ws.send(name)

        sockets.url_map.converters['upper'] = Upper
        sockets.url_map.add(Rule('/upper/<upper:name>', endpoint=echo, websocket=True))
        with connect(app, '/upper/ann') as client:
            assert list(client) == ['ANN']


class TestBlueprints:
    @pytest.mark.proves('M1')
    def test_adds_the_routes_of_a_blueprint(self, app: Flask, sockets: Sockets) -> None:
        bp = Blueprint('bp', __name__)

        @bp.route('/a/<name>', defaults={'other': 'b'})  # type: ignore[type-var]
        def a(ws: WebSocket, name: str, other: str) -> None:
            ws.send(name + other)

        sockets.register_blueprint(bp, url_prefix='/')
        sockets.register_blueprint(bp, url_prefix='/more')
        assert sockets.blueprints == {'bp': bp}
        for path in ('/a/x', '/more/a/x'):
            with connect(app, path) as client:
                assert list(client) == ['xb']

    @pytest.mark.proves('M1')
    def test_two_blueprints_with_one_name_are_an_error(self, sockets: Sockets) -> None:
        sockets.register_blueprint(Blueprint('bp', __name__))
        with pytest.raises(ValueError, match="there is another named 'bp'"):
            sockets.register_blueprint(Blueprint('bp', __name__))


@pytest.fixture
def url(app: Flask, sockets: Sockets) -> Iterator[str]:
    """The URL of a server with gevent-websocket's handler."""
    server = WSGIServer(('127.0.0.1', 0), app, log=None, handler_class=WebSocketHandler)
    server.start()
    try:
        yield f'ws://127.0.0.1:{server.server_port}'
    finally:
        server.stop(timeout=1)


class TestHandler:
    @pytest.mark.proves('M1')
    def test_uses_the_socket_of_the_handler(self, url: str) -> None:
        with Client(f'{url}/room/2') as client:
            assert list(client) == ['2 /room/2 None {}']

    @pytest.mark.proves('M1')
    def test_an_unknown_path_closes_the_socket_with_the_page(self, url: str) -> None:
        with Client(f'{url}/unknown') as client:
            assert list(client) == []

    @pytest.mark.proves('M1', 'O5')
    def test_the_error_for_another_librarys_socket_says_so(self, app: Flask, sockets: Sockets) -> None:
        sockets.route('/left')(pytest.fail)
        environ = make_environ(PATH_INFO='/left', SERVER_NAME='a', SERVER_PORT='80')
        environ['wsgi.websocket'] = Theirs()
        with pytest.raises(UnsupportedServer, match='another library has answered'):
            app(environ, Response())
        assert environ['wsgi.websocket'].frames == [(b'\x03\xf3answered by another library', 8)]


class TestNames:
    @pytest.mark.proves('M1')
    def test_exports_the_worker_like_the_original(self) -> None:
        assert flask_sockets.worker is flask_sockets.Worker is GeventWebSocketWorker
        with pytest.raises(AttributeError, match='has no attribute'):
            flask_sockets.Unknown  # noqa: B018
