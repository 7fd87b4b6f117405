"""SocketMiddleware: the choice of the handler, and the end of handlers."""

from __future__ import annotations

import gc
import re
import subprocess
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import gevent
import greenlet
import pytest
from gevent.event import AsyncResult

from faye_websocket import WebSocket
from faye_websocket.middleware import SocketMiddleware
from faye_websocket.testing import connect
from tests.support.local import Response, hub_errors, make_environ, settle, wait_until
from tests.support.processes import ROOT
from tests.support.wire import RFC_6455


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Serve, as the application inside the middleware."""
    start_response('200 OK', [('Content-Length', '5')])
    return [b'Hello']


async def async_echo(ws: WebSocket) -> None:
    """Do nothing: it is never run."""


def echo(ws: WebSocket) -> None:
    ws.onmessage = lambda event: ws.send(event.data)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """The log, in a test during which the hub may report nothing."""
    with hub_errors() as errors:
        yield caplog
        assert errors.getvalue() == ''


class TestRouting:
    def test_gives_a_websocket_at_a_known_path_to_its_handler(self) -> None:
        middleware = SocketMiddleware(app, {'/echo': echo, '/other': lambda ws: ws.close(4000)})
        with connect(middleware, '/echo?a=1') as ws:
            ws.send('hello')
            assert ws.receive(timeout=1) == 'hello'

    @pytest.mark.parametrize('path', ['/', '/echo/', '/echo/more', '/ECHO', '/%65cho/'])
    def test_gives_every_other_path_to_the_application(self, path: str) -> None:
        assert connect(SocketMiddleware(app, {'/echo': echo}), path, refused=True).status == 200

    def test_gives_a_plain_request_to_the_application(self) -> None:
        response = Response()
        environ = make_environ(headers=(), PATH_INFO='/echo')
        assert list(SocketMiddleware(app, {'/echo': echo})(environ, response)) == [b'Hello']

    def test_gives_a_request_without_a_path_to_the_application(self) -> None:
        environ = make_environ(headers=RFC_6455)
        del environ['PATH_INFO']
        assert list(SocketMiddleware(app, {'/': echo})(environ, Response())) == [b'Hello']

    def test_looks_at_the_path_below_its_mount(self) -> None:
        inner = SocketMiddleware(app, {'/echo': echo})

        def mounted(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            environ['SCRIPT_NAME'], environ['PATH_INFO'] = '/inner', environ['PATH_INFO'].removeprefix('/inner')
            return inner(environ, start_response)

        with connect(mounted, '/inner/echo') as ws:
            assert ws.status == 101

    def test_knows_paths_beyond_ascii(self) -> None:
        with connect(SocketMiddleware(app, {'/grüße': echo}), '/grüße') as ws:
            assert ws.status == 101

    def test_can_be_around_itself(self) -> None:
        middleware = SocketMiddleware(SocketMiddleware(app, {'/inner': echo}), {'/outer': echo})
        for path, status in (('/inner', 101), ('/outer', 101), ('/', 200)):
            with connect(middleware, path, refused=True) as ws:
                assert ws.status == status

    def test_is_not_changed_by_changing_what_it_was_given(self) -> None:
        handlers = {'/echo': echo}
        middleware = SocketMiddleware(app, handlers)  # type: ignore[arg-type]
        handlers.clear()
        with connect(middleware, '/echo') as ws:
            assert ws.status == 101


def tell(ws: WebSocket, *positional: Any, **named: Any) -> None:
    """Send the arguments, and close."""
    ws.send(repr((positional, named)))
    ws.close()


class TestArguments:
    @pytest.mark.proves('M2')
    @pytest.mark.parametrize(('path', 'arguments'), [
        ('/room/lobby', ((), {'name': 'lobby'})),
        ('/room/gr%C3%BC%C3%9Fe', ((), {'name': 'grüße'})),
        ('/room/5', ((), {'number': 5})),
        ('/file/a/b.txt', ((), {'path': 'a/b.txt'})),
        ('/room/equal', ((), {})),
    ])
    def test_are_those_of_a_rule_of_werkzeugs(self, path: str, arguments: Any) -> None:
        middleware = SocketMiddleware(app, {
            '/room/<name>': tell, '/room/<int:number>': tell, '/file/<path:path>': tell, '/room/equal': tell})
        with connect(middleware, path) as ws:
            assert ws.receive(timeout=1) == repr(arguments)

    @pytest.mark.proves('M2')
    @pytest.mark.parametrize(('pattern', 'path', 'arguments'), [
        (r'/room/(?P<name>\w+)', '/room/grüße', ((), {'name': 'grüße'})),
        (r'/(\d+)-(\d+)', '/1-22', (('1', '22'), {})),
        (r'/(\d+)(?P<rest>.*)', '/1-22', ((), {'rest': '-22'})),
        (r'/any|/other', '/other', ((), {})),
    ])
    def test_are_the_groups_of_an_expression(self, pattern: str, path: str, arguments: Any) -> None:
        with connect(SocketMiddleware(app, {re.compile(pattern): tell}), path) as ws:
            assert ws.receive(timeout=1) == repr(arguments)

    @pytest.mark.proves('M2')
    def test_the_first_expression_is_taken_behind_paths_and_rules(self) -> None:
        middleware = SocketMiddleware(app, {
            re.compile('/(a)'): tell, re.compile('/(.)'): tell, '/<name>.txt': tell, '/b': tell})
        for path, arguments in (('/a', (('a',), {})), ('/c', (('c',), {})), ('/b', ((), {})),
                                ('/a.txt', ((), {'name': 'a'}))):
            with connect(middleware, path) as ws:
                assert ws.receive(timeout=1) == repr(arguments)

    @pytest.mark.proves('M2')
    @pytest.mark.parametrize('path', ['/room/', '/room/1/2', '/room/1/', '/1', '/number/x', '/slash'])
    def test_what_matches_none_is_the_applications(self, path: str) -> None:
        middleware = SocketMiddleware(app, {
            '/room/<name>': tell, '/number/<int:number>': tell, '/slash/': tell, '/slash/<name>/': tell,
            re.compile('/[a-z]'): tell})
        assert connect(middleware, path, refused=True).status == 200

    @pytest.mark.proves('M2')
    def test_a_plain_request_is_the_applications(self) -> None:
        environ = make_environ(headers=(), PATH_INFO='/room/1')
        assert list(SocketMiddleware(app, {'/room/<name>': tell})(environ, Response())) == [b'Hello']

    @pytest.mark.proves('M2')
    def test_without_werkzeug_a_rule_is_refused_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, 'werkzeug.routing', None)
        text = ("handlers: '/room/<name>' is a rule of Werkzeug, which is not installed: pip install werkzeug, "
                'or give a path as re.compile(...)')
        with pytest.raises(ValueError, match=f'^{re.escape(text)}$'):
            SocketMiddleware(app, {'/room/<name>': tell})


class TestOptionsOfAPath:
    @pytest.mark.proves('M2')
    def test_come_on_top_of_the_others(self) -> None:
        middleware = SocketMiddleware(
            app, {'/a': echo, '/<name>': (tell, {'protocols': ['b'], 'headers': {'X-A': '1'}})}, protocols=iter(['a']))
        for path, protocol, header in (('/a', 'a', None), ('/x', 'b', '1'), ('/a', 'a', None)):
            with connect(middleware, path, protocols=['a', 'b']) as ws:
                assert (ws.protocol, ws.headers.get('X-A')) == (protocol, header)

    @pytest.mark.proves('M2')
    def test_that_cannot_be_are_refused_at_once(self) -> None:
        with pytest.raises(TypeError, match='ping: expected a number'):
            SocketMiddleware(app, {'/': (echo, {'ping': 'often'})})


class TestHandler:
    @pytest.mark.proves('L8')
    def test_may_set_handlers_and_miss_nothing(self) -> None:
        events: list[str] = []

        def handler(ws: WebSocket) -> None:
            gevent.sleep(0.01)
            ws.onopen = lambda event: events.append('open')
            ws.on('message', lambda event: events.append(event.data))
            ws.onclose = lambda event: events.append(f'close {event.code}')

        with connect(SocketMiddleware(app, {'/': handler})) as ws:
            ws.send('early')
        wait_until(lambda: events == ['open', 'early', 'close 1000'])

    def test_may_receive_for_itself(self) -> None:
        def handler(ws: WebSocket) -> None:
            with ws:
                for message in ws:
                    ws.send(f'{len(message)} characters')
                    break

        with connect(SocketMiddleware(app, {'/': handler})) as ws:
            ws.send('hello')
            assert (ws.receive(timeout=1), ws.receive(timeout=1), ws.ready_state) == ('5 characters', None, ws.CLOSED)

    def test_may_stay_while_its_callbacks_are_called(self) -> None:
        def handler(ws: WebSocket) -> None:
            echo(ws)
            while ws.ready_state == ws.OPEN:
                gevent.sleep(0.001)

        with connect(SocketMiddleware(app, {'/': handler})) as ws:
            ws.send('hello')
            assert ws.receive(timeout=1) == 'hello'

    def test_leaves_the_socket_open_when_it_returns(self) -> None:
        with connect(SocketMiddleware(app, {'/': lambda ws: None})) as ws:
            with pytest.raises(TimeoutError):
                ws.receive(timeout=0.02)
            assert ws.ready_state == ws.OPEN

    def test_runs_apart_from_the_request_which_is_freed(self) -> None:
        requests: list[Any] = []
        handlers: AsyncResult = AsyncResult()

        def outer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            requests.append(weakref.ref(greenlet.getcurrent()))
            environ['request'] = Request()
            requests.append(weakref.ref(environ['request']))
            del environ['request']
            return middleware(environ, start_response)

        def handler(ws: WebSocket) -> None:
            handlers.set(greenlet.getcurrent())
            for _ in ws:
                pass

        middleware = SocketMiddleware(app, {'/': handler})
        with connect(outer) as ws:
            assert handlers.get(timeout=1) is not requests[0]()
            wait_until(lambda: gc.collect() >= 0 and [request() for request in requests] == [None, None])
            assert ws.ready_state == ws.OPEN

    def test_runs_when_the_handshake_is_made_so_cookies_added_around_arrive(self) -> None:
        def handler(ws: WebSocket) -> None:
            ws.send(str(ws.receive()))

        def outer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            def with_cookie(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
                gevent.sleep(0.01)
                return start_response(status, [*headers, ('Set-Cookie', 'a=1')], exc_info)

            return middleware(environ, with_cookie)

        middleware = SocketMiddleware(app, {'/': handler})
        with connect(outer) as ws:
            assert ws.headers['Set-Cookie'] == 'a=1'
            ws.send('hello')
            assert ws.receive(timeout=1) == 'hello'

    def test_is_not_called_for_a_refused_handshake(self) -> None:
        called: list[WebSocket] = []
        middleware = SocketMiddleware(app, {'/': called.append}, allowed_origins=['https://good.example'])
        assert connect(middleware, headers={'Origin': 'https://bad.example'}, refused=True).status == 403
        settle()
        assert called == []

    @pytest.mark.parametrize('is_direct', [True, False], ids=['direct', 'around'])
    def test_is_not_called_when_something_around_answers_otherwise(self, is_direct: bool) -> None:
        called: list[WebSocket] = []
        inner = SocketMiddleware(app, {'/': called.append})

        def outer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            inner(environ, start_response if is_direct else Response())
            start_response('503 Service Unavailable', [('Content-Length', '0')])
            return []

        assert connect(outer, refused=True).status == 503
        settle()
        assert called == []


def raises_fault() -> Any:
    """Expect the fault of a handler, which ``connect`` raises at the end of its block.
    """
    return pytest.raises(RuntimeError, match='^a fault$')


class TestFaultOfAHandler:
    @pytest.mark.proves('C2')
    def test_is_logged_once_and_closes_with_1011(self, log: pytest.LogCaptureFixture) -> None:
        def handler(ws: WebSocket) -> None:
            raise RuntimeError('a fault')

        with raises_fault(), connect(SocketMiddleware(app, {'/a': handler}), '/a') as ws:
            closed: AsyncResult = AsyncResult()
            ws.onclose = closed.set
            assert (closed.get(timeout=1).code, closed.get().reason) == (1011, 'internal error')
        [record] = log.records
        assert (record.name, record.getMessage()) == ('faye_websocket.server', 'handler of ws://localhost/a raised')
        assert record.exc_info is not None
        assert repr(record.exc_info[1]) == "RuntimeError('a fault')"

    def test_is_told_to_onerror_and_then_comes_the_close(self, log: pytest.LogCaptureFixture) -> None:
        events: list[Any] = []

        def handler(ws: WebSocket) -> None:
            for type in ('open', 'error', 'close'):
                ws.on(type, events.append)
            raise RuntimeError('a fault')

        with raises_fault(), connect(SocketMiddleware(app, {'/': handler})):
            wait_until(lambda: len(events) == 3)
        assert [event.type for event in events] == ['open', 'error', 'close']
        assert (events[1].message, repr(events[1].error)) == ('a fault', "RuntimeError('a fault')")

    def test_touches_nothing_else(self, log: pytest.LogCaptureFixture) -> None:
        def handler(ws: WebSocket) -> None:
            for message in ws:
                if message == 'raise':
                    raise RuntimeError('a fault')
                ws.send(message)

        middleware = SocketMiddleware(app, {'/': handler})
        with raises_fault(), connect(middleware) as ws, connect(middleware) as other:
            ws.send('raise')
            assert ws.receive(timeout=1) is None
            other.send('hello')
            assert other.receive(timeout=1) == 'hello'
        assert len(log.records) == 1

    def test_is_only_logged_after_the_close(self, log: pytest.LogCaptureFixture) -> None:
        events: list[str] = []

        def handler(ws: WebSocket) -> None:
            for type in ('error', 'close'):
                ws.on(type, lambda event: events.append(event.type))
            for _ in ws:
                pass
            raise RuntimeError('a fault')

        with raises_fault(), connect(SocketMiddleware(app, {'/': handler})):
            pass
        wait_until(lambda: log.records)
        settle()
        assert events == ['close']

    @pytest.mark.proves('C2')
    def test_is_no_kill_but_that_closes_with_1011_too(self, log: pytest.LogCaptureFixture) -> None:
        running: AsyncResult = AsyncResult()

        def handler(ws: WebSocket) -> None:
            running.set(greenlet.getcurrent())
            gevent.sleep(60)

        with connect(SocketMiddleware(app, {'/': handler})) as ws:
            closed: AsyncResult = AsyncResult()
            ws.onclose = closed.set
            running.get(timeout=1).kill()
            assert closed.get(timeout=1).code == 1011
        assert log.records == []


class TestOptions:
    def test_go_to_the_sockets(self) -> None:
        middleware = SocketMiddleware(
            app, {'/': echo}, protocols=iter(['chat']), headers=iter([('X-A', '1')]), max_length=4, extensions=iter(()))
        for _ in range(2):
            with connect(middleware, protocols=['irc', 'chat']) as ws:
                assert ws.protocol == 'chat'
                assert ws.headers['X-A'] == '1'
                ws.send('hello')
                assert ws.receive(timeout=1) is None

    def test_allow_origins(self) -> None:
        middleware = SocketMiddleware(app, {'/': echo}, allowed_origins=iter(['https://good.example']))
        for host, status in (('good', 101), ('bad', 403), ('good', 101)):
            with connect(middleware, headers={'Origin': f'https://{host}.example'}, refused=True) as ws:
                assert ws.status == status

    @pytest.mark.parametrize(('options', 'error', 'text'), [
        ({'pings': 1}, TypeError, "unexpected keyword argument 'pings'"),
        ({'environ': {}}, TypeError, 'environ'),
        ({'ping': 'often'}, TypeError, 'ping: expected a number'),
        ({'max_queue': 0}, ValueError, 'max_queue: expected at least 1'),
        ({'overflow': 'burst'}, ValueError, 'overflow: expected one of'),
        ({'protocols': ['a b']}, ValueError, "protocols: 'a b' is not a subprotocol name"),
        ({'headers': {'X': 'a\r\nb'}}, ValueError, 'headers: the value of X'),
        ({'allowed_origins': ['here']}, ValueError, "allowed_origins: 'here' is not an origin"),
        ({'extensions': [1]}, TypeError, 'extensions'),
        ({'extensions': 5}, TypeError, r'^extensions: expected a list such as \[PermessageDeflate\(\)\], got 5$'),
    ])
    def test_that_cannot_be_are_refused_at_once(self, options: dict[str, Any], error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            SocketMiddleware(app, {}, **options)

    @pytest.mark.parametrize(('handlers', 'error', 'text'), [
        ({b'/': echo}, TypeError, "handlers: expected a str as a path, got b'/'"),
        ({re.compile(b'/'): echo}, TypeError, r"handlers: expected a pattern of str, got re.compile\(b'/'\)"),
        ({'chat': echo}, ValueError, "handlers: the path 'chat' does not begin with a slash"),
        ({'/': 'echo'}, TypeError, "handlers: expected a callable for '/', got 'echo'"),
        ({'/': async_echo}, TypeError, "handlers: '/': expected a function that is not async"),
        ([('/', echo)], TypeError, 'handlers: expected a dict of paths and functions, got '),
    ])
    def test_handlers_that_cannot_be_are_refused_at_once(self, handlers: Any, error: type[Exception], text: str) -> None:
        with pytest.raises(error, match=text):
            SocketMiddleware(app, handlers)


@pytest.mark.proves('H11')
def test_making_it_makes_no_hub_so_that_a_server_can_still_fork() -> None:
    program = """
import gevent
from faye_websocket.middleware import SocketMiddleware
SocketMiddleware(print, {'/': print}, ping=30, allowed_origins='same-origin')
assert gevent.hub._get_hub() is None
"""
    result = subprocess.run([sys.executable, '-c', program], cwd=ROOT, capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stderr) == (0, '')


class Request:
    """An object that belongs to a request."""
