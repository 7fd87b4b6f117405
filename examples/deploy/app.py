"""An echo server as it is deployed, with a page for health checks and one of metrics.

Run it with: gunicorn -c examples/gunicorn_conf.py examples.deploy.app:app
"""

from faye_websocket import WebSocket, metrics

metrics.enable()


def app(environ, start_response):
    if WebSocket.is_websocket(environ):
        ws = WebSocket(environ, ping=25, allowed_origins='same-origin')
        ws.onmessage = lambda event: ws.send(event.data)
        return ws(environ, start_response)
    page = PAGES.get(environ['PATH_INFO'], not_found)
    return page(environ, start_response)


def healthy(environ, start_response):
    """Return a page at once, which a worker with a blocked loop does not."""
    start_response('200 OK', [('Content-Type', 'text/plain'), ('Content-Length', '3')])
    return [b'ok\n']


def not_found(environ, start_response):
    start_response('404 Not Found', [('Content-Type', 'text/plain')])
    return [b'not found\n']


PAGES = {'/healthz': healthy, '/metrics': metrics.prometheus}
