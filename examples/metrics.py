"""An echo server with metrics for Prometheus at /metrics.

Run it with: faye-websocket serve examples.metrics:app

Under gunicorn: gunicorn -c examples/gunicorn_conf.py examples.metrics:app

With -w 4 there are four workers, and whichever of them is asked for the page, its
numbers are the sums of all.
"""

from faye_websocket import WebSocket, metrics

metrics.enable()


def app(environ, start_response):
    if WebSocket.is_websocket(environ):
        ws = WebSocket(environ, ping=30)
        ws.onmessage = lambda event: ws.send(event.data)
        return ws(environ, start_response)

    if environ['PATH_INFO'] == '/metrics':
        return metrics.prometheus(environ, start_response)

    start_response('404 Not Found', [('Content-Type', 'text/plain')])
    return [b'There is a WebSocket anywhere, and its metrics are at /metrics.\n']
