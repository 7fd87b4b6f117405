"""An echo server, with plain HTTP beside it. Run it with: faye-websocket serve examples.app:app"""

from pathlib import Path

from faye_websocket import WebSocket

PAGE = Path(__file__).with_name('ws.html').read_bytes()


def app(environ, start_response):
    if WebSocket.is_websocket(environ):
        # The Autobahn test suite sends messages of 65,537 fragments; a real application has no need for so many.
        ws = WebSocket(environ, ['irc', 'amqp'], ping=30, max_fragments=2**17)

        @ws.on('message')
        def echo(event):
            ws.send(event.data)

        ws.onclose = lambda event: print('close', event.code, event.reason, flush=True)
        return ws(environ, start_response)

    if environ['PATH_INFO'] == '/':
        start_response('200 OK', [('Content-Type', 'text/html; charset=utf-8')])
        return [PAGE]

    start_response('404 Not Found', [('Content-Type', 'text/plain')])
    return [b'There is a page at /, and a WebSocket anywhere.\n']
